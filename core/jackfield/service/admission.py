"""How many requests may wait, in all and with one API key."""

from __future__ import annotations

import threading
from collections import Counter

from jackfield.errors import QueueFull, RateLimited

__all__ = ["Admission"]

RETRY_AFTER_S = 5


class Admission:
    """Count the requests that have no place in the batch yet; safe between threads."""

    def __init__(self, limit: int, limit_per_key: int) -> None:
        self._limit = limit
        self._limit_per_key = limit_per_key
        self._waiting: Counter[str] = Counter()
        self._lock = threading.Lock()

    def enter(self, priority_key: str) -> None:
        """Let one more request of that key wait.

        Raises:
            RateLimited: The key has as many waiting as one key may. The empty key, of servers without keys,
                is bounded by the whole queue alone.
            QueueFull: The queue is full.
        """
        with self._lock:
            if priority_key and self._waiting[priority_key] >= self._limit_per_key:
                raise RateLimited(
                    f"this key already has {self._limit_per_key} requests waiting;"
                    " try again when one has begun",
                    retry_after_s=RETRY_AFTER_S,
                )
            if self.num_waiting >= self._limit:
                raise QueueFull(
                    f"{self._limit} requests are waiting and no more are queued; try again soon",
                    retry_after_s=RETRY_AFTER_S,
                )
            self._waiting[priority_key] += 1

    def leave(self, priority_key: str) -> None:
        """Take note that a request of that key no longer waits."""
        with self._lock:
            self._waiting[priority_key] -= 1
            if self._waiting[priority_key] <= 0:
                del self._waiting[priority_key]

    @property
    def num_waiting(self) -> int:
        """Requests that wait."""
        return self._waiting.total()
