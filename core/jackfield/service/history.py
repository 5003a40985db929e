"""The very tokens of earlier answers, so that a conversation's next prompt begins with what is cached."""

from __future__ import annotations

import hashlib
import threading
from array import array
from collections import OrderedDict
from collections.abc import Sequence

import msgspec

from jackfield.service.requests import GenerationRequest, Message, ToolCall

__all__ = ["ConversationDigest", "TokenHistory"]

MAX_TOKENS = 1 << 20
"""Tokens kept over all conversations: 4 MiB."""


class TokenHistory:
    """Remember what each conversation was in tokens, up to and including an answer; safe between threads.

    The least recently used conversations are forgotten first.
    """

    def __init__(self, max_tokens: int = MAX_TOKENS) -> None:
        self._max_tokens = max_tokens
        self._num_tokens = 0
        self._turns: OrderedDict[bytes, array[int]] = OrderedDict()
        self._lock = threading.Lock()

    def remember(self, key: bytes, tokens: Sequence[int]) -> None:
        """Keep a conversation's tokens under the key of its last message."""
        kept = array("i", tokens)
        with self._lock:
            self._drop(key)
            self._turns[key] = kept
            self._num_tokens += len(kept)
            while self._num_tokens > self._max_tokens:
                self._drop(next(iter(self._turns)))

    def recall(self, key: bytes) -> list[int] | None:
        """Return the tokens kept under that key."""
        with self._lock:
            kept = self._turns.get(key)
            if kept is None:
                return None
            self._turns.move_to_end(key)
            return kept.tolist()

    @property
    def num_tokens(self) -> int:
        """Tokens kept now."""
        return self._num_tokens

    def _drop(self, key: bytes) -> None:
        kept = self._turns.pop(key, None)
        self._num_tokens -= len(kept) if kept is not None else 0


class ConversationDigest:
    """A key for a conversation that grows by messages.

    Equal keys mean that a template renders the same prompt up to there, for the same owner. Thinking is left
    out, because clients do not send it back; so is white space around a message.
    """

    def __init__(self, request: GenerationRequest, think: bool | str) -> None:
        arguments = sorted(request.template_arguments.items())
        self._so_far = hashlib.sha256(
            msgspec.json.encode([request.cache_salt, think, request.tools, arguments])
        )

    def add(self, message: Message) -> bytes:
        """Go on by one message and return the key of the conversation that ends with it."""
        self._so_far.update(_essence(message))
        return self._so_far.digest()


def _essence(message: Message) -> bytes:
    return msgspec.json.encode(
        [
            message.role,
            message.content.strip(),
            message.name,
            message.tool_call_id if message.role != "assistant" else None,
            [_call(call) for call in message.tool_calls],
            [hashlib.sha256(image.data).hexdigest() for image in message.images],
        ]
    )


def _call(call: ToolCall) -> tuple[str, object]:
    """Return a call without its id; arguments in text form are read, so that spelling does not matter."""
    arguments: object = call.arguments
    if isinstance(arguments, str):
        try:
            arguments = msgspec.json.decode(arguments)
        except msgspec.DecodeError:
            return call.name, arguments
    return call.name, msgspec.json.encode(arguments, order="deterministic").decode()
