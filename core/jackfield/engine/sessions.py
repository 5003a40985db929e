"""What each session's last text was: keeps its pages longer, and explains a cache that gave less."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from jackfield.engine.prefix import PrefixTree, common_length

__all__ = ["SessionTrails"]

I32 = npt.NDArray[np.int32]
MAX_SESSIONS = 4096
MAX_TOKENS = 4 * 2**20


@dataclass(frozen=True)
class _Trail:
    salt: str
    tokens: I32


class SessionTrails:
    """Remember each session's latest text; the least recent ones are forgotten first."""

    def __init__(self, tree: PrefixTree) -> None:
        self._tree = tree
        self._trails: OrderedDict[str, _Trail] = OrderedDict()
        self._num_tokens = 0

    def remember(self, session_id: str, salt: str, tokens: I32) -> None:
        """Note the session's latest text."""
        self._pop(session_id)
        self._trails[session_id] = _Trail(salt, tokens.copy())
        self._num_tokens += tokens.size
        while len(self._trails) > MAX_SESSIONS or (self._num_tokens > MAX_TOKENS and len(self._trails) > 1):
            self._pop(next(iter(self._trails)))

    def forget(self, session_id: str) -> None:
        """Forget the session and free the pages of its text that are not part of another's."""
        trail = self._pop(session_id)
        if trail is None:
            return
        for node in reversed(self._tree.path(trail.salt, trail.tokens)):
            if not self._tree.discard(node):
                break

    def explain(self, session_id: str | None, salt: str, prompt: I32, num_cached: int) -> str:
        """Return why fewer tokens are reused than the session held; empty when nothing was lost."""
        trail = self._trails.get(session_id) if session_id is not None else None
        if trail is None or trail.salt != salt:
            return ""
        held, shared = trail.tokens, common_length(trail.tokens, prompt)
        if num_cached >= min(held.size, prompt.size - 1):
            return ""
        if num_cached < min(shared, prompt.size - 1):
            return (
                f"{shared} tokens agree with the session's, but only {num_cached} of them can be reused now"
            )
        if shared == prompt.size:
            return f"the prompt ends at token {shared}, within the {held.size} tokens the session held"
        return (
            f"the prompt differs from the session's {held.size} tokens at index {shared}: "
            f"token {int(prompt[shared])} instead of {int(held[shared])}"
        )

    def _pop(self, session_id: str) -> _Trail | None:
        trail = self._trails.pop(session_id, None)
        if trail is not None:
            self._num_tokens -= trail.tokens.size
        return trail
