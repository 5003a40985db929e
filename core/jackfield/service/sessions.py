"""Sessions: ids that name a conversation, each with an owner and an end."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass

from jackfield.errors import NotFound, RateLimited

__all__ = ["Sessions"]

MAX_SESSIONS_PER_OWNER = 256
IDLE_S = 24 * 3600.0


@dataclass
class _Session:
    owner: str
    used_s: float


class Sessions:
    """The sessions of one service; belongs to one event loop.

    Args:
        clock: Seconds that never jump; changed in tests.
    """

    def __init__(
        self,
        *,
        max_per_owner: int = MAX_SESSIONS_PER_OWNER,
        idle_s: float = IDLE_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._max_per_owner = max_per_owner
        self._idle_s = idle_s
        self._clock = clock
        self._sessions: dict[str, _Session] = {}

    def create(self, owner: str) -> str:
        """Return the id of a new session, 32 hex digits.

        Raises:
            RateLimited: The owner has as many sessions as one may have.
        """
        self._expire()
        held = sum(session.owner == owner for session in self._sessions.values())
        if held >= self._max_per_owner:
            raise RateLimited(
                f"this key has {held} sessions, at most {self._max_per_owner} are allowed; delete one first"
            )
        session_id = secrets.token_hex(16)
        self._sessions[session_id] = _Session(owner, self._clock())
        return session_id

    def has(self, session_id: str, owner: str) -> bool:
        """Tell whether that session exists and belongs to that owner; asking counts as using it."""
        self._expire()
        session = self._sessions.get(session_id)
        if session is None or session.owner != owner:
            return False
        session.used_s = self._clock()
        return True

    def delete(self, session_id: str, owner: str) -> None:
        """Forget a session.

        Raises:
            NotFound: There is none of that id, or it is somebody else's; the two look the same.
        """
        if not self.has(session_id, owner):
            raise NotFound(f"no session {session_id!r}; create one first", param="session_id")
        del self._sessions[session_id]

    def __len__(self) -> int:
        self._expire()
        return len(self._sessions)

    def _expire(self) -> None:
        """Drop idle sessions; the dictionary is small, and this runs per session call, not per token."""
        oldest = self._clock() - self._idle_s
        for session_id in [key for key, session in self._sessions.items() if session.used_s < oldest]:
            del self._sessions[session_id]
