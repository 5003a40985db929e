"""The queue is first come, first served, and fair between keys."""

from __future__ import annotations

import numpy as np

from jackfield.engine.sequence import Pooling, Sequence
from jackfield.engine.waiting import WaitingQueue


def make(id: str, key: str, arrival: int, *, was_running: bool = False) -> Sequence:
    sequence = Pooling(id, np.ones(1, np.int32), "mean", key)
    sequence.arrival = arrival
    sequence.is_admitted = was_running
    return sequence


def order(*waiting: Sequence, running: tuple[Sequence, ...] = ()) -> str:
    queue = WaitingQueue()
    for sequence in waiting:
        queue.add(sequence)
    return "".join(sequence.id for sequence in queue.in_order(running))


def test_one_key_is_served_in_order_of_arrival() -> None:
    assert order(make("b", "", 2), make("a", "", 1), make("c", "", 3)) == "abc"


def test_a_key_with_many_requests_does_not_keep_another_out() -> None:
    greedy = [make(str(i), "greedy", i) for i in range(4)]
    assert order(*greedy, make("x", "modest", 9)) == "0x123"


def test_what_runs_already_counts() -> None:
    running = (make("r", "greedy", 1), make("s", "greedy", 2))
    assert order(make("a", "greedy", 3), make("x", "modest", 4), running=running) == "xa"
    assert order(make("a", "g", 3), make("x", "m", 4), running=(make("r", "m", 1),)) == "ax"


def test_preempted_sequences_come_first() -> None:
    assert order(make("a", "", 1), make("p", "", 5, was_running=True)) == "pa"


def test_no_key_starves_over_many_rounds() -> None:
    queue = WaitingQueue()
    arrival = 0
    served: list[str] = []
    queue.add(make("patient", "patient", 0))
    for _ in range(50):
        arrival += 1
        queue.add(make("busy", "busy", arrival))
        queue.add(make("busy", "busy", arrival + 1))
        arrival += 1
        first = queue.in_order(())[0]
        queue.remove(first)
        served.append(first.id)
    assert served.index("patient") == 0
