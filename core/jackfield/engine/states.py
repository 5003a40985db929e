"""Slots of convolution and recurrent state: one for each running sequence, the rest for checkpoints.

A state cannot be cut back to a shorter text, so reusing a prefix needs a copy of the state as it was at
exactly that length. Checkpoints are taken where a later prompt is likely to part: where earlier texts parted,
at the last page boundary and at the end of the prompt, and at the end of the turn. They give way, least
recently used first, to running sequences.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Protocol

__all__ = ["StateHolder", "StateSlots"]


class StateHolder(Protocol):
    """What a checkpoint belongs to: a place in the prefix tree."""

    states: dict[int, int]
    """Tokens into the page, to the slot that holds the state there."""


class StateSlots:
    """Own the slots of a program with fixed state.

    Args:
        num_slots: How many the backend has.
    """

    def __init__(self, num_slots: int) -> None:
        self.num_slots = num_slots
        self._free = list(range(num_slots - 1, -1, -1))
        self._live: set[int] = set()
        self._checkpoints: OrderedDict[int, tuple[StateHolder, int]] = OrderedDict()

    @property
    def num_available(self) -> int:
        """Slots that a sequence can have, at a checkpoint's cost if need be."""
        return len(self._free) + len(self._checkpoints)

    @property
    def num_checkpoints(self) -> int:
        """Slots that hold a checkpoint."""
        return len(self._checkpoints)

    def take(self, spare: int | None = None) -> int | None:
        """Return a slot for a sequence; the checkpoint in ``spare`` is not given up for it."""
        slot = self._free.pop() if self._free else self._evict(spare)
        if slot is not None:
            self._live.add(slot)
        return slot

    def adopt(self, slot: int) -> None:
        """Turn a checkpoint into a sequence's own state, without copying."""
        self._forget(slot)
        self._live.add(slot)

    def release(self, slot: int) -> None:
        """Take a sequence's slot back."""
        self._live.remove(slot)
        self._free.append(slot)

    def reserve_checkpoint(self) -> int | None:
        """Return a free or evicted slot to copy a checkpoint into, ``None`` when all are live."""
        return self._free.pop() if self._free else self._evict(None)

    def keep(self, slot: int, holder: StateHolder, offset: int) -> None:
        """File a slot, live or reserved, as the checkpoint of a place that has none yet."""
        assert offset not in holder.states, f"offset {offset} has a checkpoint already"
        self._live.discard(slot)
        holder.states[offset] = slot
        self._checkpoints[slot] = (holder, offset)

    def touch(self, slot: int) -> None:
        """Note that a checkpoint was used."""
        self._checkpoints.move_to_end(slot)

    def move(self, source: StateHolder, target: StateHolder) -> None:
        """Give a place's checkpoints to another that begins with the same tokens."""
        for offset, slot in list(source.states.items()):
            if offset in target.states:
                self.drop(slot)
                continue
            del source.states[offset]
            target.states[offset] = slot
            self._checkpoints[slot] = (target, offset)

    def drop(self, slot: int) -> None:
        """Throw a checkpoint away."""
        self._forget(slot)
        self._free.append(slot)

    def drop_all(self, holder: StateHolder) -> None:
        """Throw a place's checkpoints away."""
        for slot in list(holder.states.values()):
            self.drop(slot)

    def check(self, live: set[int]) -> None:
        """Assert that each slot is free, live or a checkpoint, and that ``live`` are the live ones."""
        assert live == self._live, f"sequences hold slots {live}, but {self._live} are live"
        everywhere = [*self._free, *self._live, *self._checkpoints]
        assert sorted(everywhere) == list(range(self.num_slots)), (
            f"slots are lost or held twice: {everywhere}"
        )
        for slot, (holder, offset) in self._checkpoints.items():
            assert holder.states.get(offset) == slot, f"the checkpoint in slot {slot} has no holder"

    def _evict(self, spare: int | None) -> int | None:
        slot = next((slot for slot in self._checkpoints if slot != spare), None)
        if slot is not None:
            self._forget(slot)
        return slot

    def _forget(self, slot: int) -> None:
        holder, offset = self._checkpoints.pop(slot)
        del holder.states[offset]
