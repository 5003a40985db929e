"""Responses that were asked to be kept: in memory, bounded, each for its owner alone."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from jackfield.errors import NotFound, RequestError
from jackfield.service.requests import Message

__all__ = ["ResponseStore", "Stored"]

MAX_RESPONSES = 1024
MAX_BYTES = 64 << 20


@dataclass(frozen=True)
class Stored:
    """A response and the conversation that ends with it.

    Attributes:
        items: The input it answered, as the client sent it.
        num_bytes: What it counts for, its whole conversation included.
    """

    owner: str
    response: dict[str, Any]
    items: list[dict[str, Any]]
    conversation: Sequence[Message]
    num_bytes: int


class ResponseStore:
    """Keep responses; the least recently used are forgotten first. Lives on one event loop."""

    def __init__(self, max_responses: int = MAX_RESPONSES, max_bytes: int = MAX_BYTES) -> None:
        self._max_responses = max_responses
        self._max_bytes = max_bytes
        self._num_bytes = 0
        self._responses: OrderedDict[str, Stored] = OrderedDict()

    def __len__(self) -> int:
        return len(self._responses)

    def keep(
        self,
        owner: str,
        response: dict[str, Any],
        items: list[dict[str, Any]],
        conversation: Sequence[Message],
    ) -> None:
        """Keep a whole response under its id; one that alone is over the limit is not kept."""
        num_bytes = len(msgspec.msgpack.encode([response, items, conversation]))
        if num_bytes > self._max_bytes:
            return
        self._responses[response["id"]] = Stored(owner, response, items, conversation, num_bytes)
        self._num_bytes += num_bytes
        while len(self._responses) > self._max_responses or self._num_bytes > self._max_bytes:
            _, forgotten = self._responses.popitem(last=False)
            self._num_bytes -= forgotten.num_bytes

    def get(self, response_id: str, owner: str) -> Stored:
        """Return a response. Raises ``NotFound`` for an unknown id, and for another owner's."""
        stored = self._responses.get(response_id)
        if stored is None or stored.owner != owner:
            raise NotFound(
                f"no response {response_id[:64]!r} is stored here; it was not kept, was deleted, or is too old",
                code="response_not_found",
                param="response_id",
            )
        self._responses.move_to_end(response_id)
        return stored

    def delete(self, response_id: str, owner: str) -> None:
        """Forget a response. Raises as ``get``."""
        self._num_bytes -= self.get(response_id, owner).num_bytes
        del self._responses[response_id]

    def conversation_before(self, previous_id: str | None, owner: str) -> list[Message]:
        """Return the turns a new response goes on from.

        Raises:
            RequestError: ``previous_response_id`` is not stored here.
        """
        if previous_id is None:
            return []
        try:
            return list(self.get(previous_id, owner).conversation)
        except NotFound as error:
            raise RequestError(
                error.message, code="previous_response_not_found", param="previous_response_id"
            ) from None

    def item(self, item_id: str, owner: str) -> dict[str, Any] | None:
        """Return an item of one of the owner's responses."""
        for stored in reversed(self._responses.values()):
            for item in stored.response["output"] if stored.owner == owner else ():
                if item["id"] == item_id:
                    return dict(item)
        return None
