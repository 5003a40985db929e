"""State slots serve sequences first and checkpoints with what is left."""

from __future__ import annotations

from jackfield.engine.states import StateSlots


class Place:
    def __init__(self) -> None:
        self.states: dict[int, int] = {}


def test_checkpoints_give_way_to_sequences_least_recently_used_first() -> None:
    slots = StateSlots(2)
    place = Place()
    for offset in (1, 2):
        slot = slots.take()
        assert slot is not None
        slots.keep(slot, place, offset)
    slots.touch(place.states[1])
    assert slots.take() is not None
    assert list(place.states) == [1]
    slots.check({slot for slot in range(2) if slot not in place.states.values()})


def test_the_checkpoint_to_restore_is_spared() -> None:
    slots = StateSlots(1)
    place = Place()
    slot = slots.take()
    assert slot is not None
    slots.keep(slot, place, 1)
    assert slots.take(spare=slot) is None
    slots.adopt(slot)
    assert not place.states
    slots.check({slot})
    slots.release(slot)
    slots.check(set())


def test_no_checkpoint_is_taken_when_every_slot_is_live() -> None:
    slots = StateSlots(1)
    live = slots.take()
    assert slots.reserve_checkpoint() is None
    assert live is not None
    slots.release(live)
    assert slots.reserve_checkpoint() is not None
