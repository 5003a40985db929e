"""The queue: first come, first served, but no key keeps the others out."""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Iterator

from jackfield.engine.sequence import Sequence

__all__ = ["WaitingQueue"]


class WaitingQueue:
    """Sequences that are not running; those that were preempted come first."""

    def __init__(self) -> None:
        self._sequences: list[Sequence] = []

    def __len__(self) -> int:
        return len(self._sequences)

    def __iter__(self) -> Iterator[Sequence]:
        return iter(self._sequences)

    def add(self, sequence: Sequence) -> None:
        """Add a sequence; its place follows from its arrival and its key."""
        self._sequences.append(sequence)

    def remove(self, sequence: Sequence) -> None:
        """Take a sequence out."""
        self._sequences.remove(sequence)

    def in_order(self, running: Iterable[Sequence]) -> list[Sequence]:
        """Return the sequences as they would be admitted if nothing else changed.

        The next one is of the key with the fewest sequences running or ahead in this order, and of those
        the first to have come.
        """
        arrived = sorted(self._sequences, key=lambda sequence: sequence.arrival)
        ordered = [sequence for sequence in arrived if sequence.is_admitted]
        by_key: dict[str, deque[Sequence]] = defaultdict(deque)
        for sequence in arrived:
            if not sequence.is_admitted:
                by_key[sequence.priority_key].append(sequence)
        served = Counter(sequence.priority_key for sequence in (*running, *ordered))
        heap = [(served[key], queue[0].arrival, key) for key, queue in by_key.items()]
        heapq.heapify(heap)
        while heap:
            count, _, key = heapq.heappop(heap)
            ordered.append(by_key[key].popleft())
            if by_key[key]:
                heapq.heappush(heap, (count + 1, by_key[key][0].arrival, key))
        return ordered
