"""An executable without arithmetic that is honest about memory.

Its logits are a hash of the tokens that it finds in the pages (and in the state) it is told to use. So a page
that was mixed up, freed too early, copied too late or written by two changes what is generated; and what
should be generated is known from the tokens alone (``expected_logits``).

Dimension letters: T token rows, B sequences, R output rows, P pages, N tokens a page, V vocabulary, D width.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from jackfield.backend import Limits, Step
from jackfield.engine.canvas import Canvas
from jackfield.errors import BackendError

__all__ = [
    "PagedDouble",
    "expected_canvas_logits",
    "expected_greedy",
    "expected_hidden",
    "expected_logits",
]

F32 = npt.NDArray[np.float32]
U64 = npt.NDArray[np.uint64]
I64 = npt.NDArray[np.int64]

EMPTY = -1
POISON = -2
FACTOR = 0x9E3779B97F4A7C15
MASK = 2**64 - 1
WIDTH = 8


class PagedDouble:
    """Model pages and state slots, and check every promise of the step contract.

    Args:
        is_recurrent: Also keep a state: then logits depend on it, and on its being at the right position.
        bad_tokens: A sequence that holds one of these gets NaN logits.
        fatal_tokens: A step with a row of one of these raises.

    Attributes:
        num_rows: Rows computed so far.
        steps: For each step, how many rows and sequences it had.
    """

    def __init__(
        self,
        limits: Limits,
        vocab_size: int,
        *,
        is_recurrent: bool = False,
        bad_tokens: Iterable[int] = (),
        fatal_tokens: Iterable[int] = (),
    ) -> None:
        self.limits = limits
        self.vocab_size = vocab_size
        self.is_recurrent = is_recurrent
        self.num_rows = 0
        self.steps: list[tuple[int, int]] = []
        self.is_closed = False
        self._bad = frozenset(bad_tokens)
        self._fatal = frozenset(fatal_tokens)
        self._pages: I64 = np.full((limits.num_pages, limits.page_size), EMPTY, np.int64)
        num_slots = max(limits.num_state_slots, 1)
        self._states = [POISON] * num_slots
        self._state_lengths = [POISON] * num_slots
        self._hidden: F32 = np.zeros((0, WIDTH), np.float32)

    def step(self, step: Step) -> F32:
        """Write the step's tokens into their pages and hash what each output row then sees."""
        self._check(step)
        wanted = set(step.output_rows.tolist())
        hashes: list[int] = []
        bad: list[bool] = []
        _, ends = step.sight()
        for b in range(step.row_starts.size - 1):
            start, stop = int(step.row_starts[b]), int(step.row_starts[b + 1])
            text = self._write(step, b, start, stop)
            for row in range(start, stop):
                seen = text[: int(ends[row]) + 1]
                state = self._advance_state(step, b, row)
                if row in wanted:
                    hashes.append(_text_hash(_known(step, row, seen), state))
                    bad.append(bool(self._bad.intersection(seen.tolist())))
        self.num_rows += step.tokens.size
        self.steps.append((step.tokens.size, step.row_starts.size - 1))
        logits = (
            np.stack([_logits(each, self.vocab_size) for each in hashes]) if hashes else self._no_logits()
        )
        logits[np.array(bad, bool)] = np.nan
        self._hidden = np.stack([_hidden(each) for each in hashes]) if hashes else self._hidden[:0]
        return logits

    def hidden(self) -> F32:
        """Return a vector a row, made of its hash."""
        return self._hidden

    def copy_page(self, source: int, target: int) -> None:
        """Copy a page."""
        self._pages[target] = self._pages[source]

    def clear_state(self, slot: int) -> None:
        """Begin a new state."""
        self._states[slot], self._state_lengths[slot] = 0, 0

    def copy_state(self, source: int, target: int) -> None:
        """Copy a state."""
        self._states[target] = self._states[source]
        self._state_lengths[target] = self._state_lengths[source]

    def poison(self, page: int) -> None:
        """Make a free page's content show wherever it is read."""
        self._pages[page] = POISON

    def describe(self) -> Mapping[str, str]:
        """Return its name."""
        return {"backend": "paged double"}

    def close(self) -> None:
        """Note that it was closed."""
        self.is_closed = True

    def _no_logits(self) -> F32:
        return np.zeros((0, self.vocab_size), np.float32)

    def _write(self, step: Step, b: int, start: int, stop: int) -> I64:
        """Store a sequence's rows and return its whole text, read back from its pages."""
        size = self.limits.page_size
        for row in range(start, stop):
            position = int(step.positions[row])
            self._pages[step.page_table[b, position // size], position % size] = step.tokens[row]
        length = int(step.positions[stop - 1]) + 1
        used = step.page_table[b, : -(-length // size)]
        text: I64 = self._pages[used].reshape(-1)[:length]
        assert not (text == EMPTY).any(), "a sequence reads positions that nobody has computed"
        assert not (text == POISON).any(), "a sequence reads a page that was freed"
        return text

    def _advance_state(self, step: Step, b: int, row: int) -> int:
        if not self.is_recurrent:
            return 0
        slot = int(step.state_slots[b])
        position = int(step.positions[row])
        held = self._state_lengths[slot]
        assert held == position, f"slot {slot} holds the state after {held} tokens, not {position}"
        self._states[slot] = _next_state(self._states[slot], int(step.tokens[row]))
        self._state_lengths[slot] += 1
        return self._states[slot]

    def _check(self, step: Step) -> None:
        """Assert what the engine promises of every step."""
        limits = self.limits
        num_rows, num_sequences = step.tokens.size, step.row_starts.size - 1
        assert 1 <= num_rows <= limits.max_rows, f"{num_rows} rows"
        assert 1 <= num_sequences <= limits.max_sequences, f"{num_sequences} sequences"
        assert step.output_rows.size <= limits.max_outputs, f"{step.output_rows.size} outputs"
        assert step.row_starts[0] == 0
        assert step.row_starts[-1] == num_rows
        assert (np.diff(step.row_starts) > 0).all(), "a sequence without rows"
        assert (np.diff(step.output_rows) > 0).all(), "output rows do not ascend"
        assert all(0 <= row < num_rows for row in step.output_rows.tolist())
        assert step.tokens.min() >= 0
        assert step.tokens.max() < self.vocab_size
        assert step.positions.max() < limits.max_context
        tables: list[npt.NDArray[Any]] = [v for v in vars(step).values() if isinstance(v, np.ndarray)]
        assert all(table.flags.c_contiguous for table in tables)
        assert step.canvases is None or step.canvases.size == num_sequences
        assert step.soft_tokens is None or step.soft_tokens.starts.size == num_rows + 1
        assert all(table.dtype == np.int32 for table in tables)
        self._check_pages(step)
        if self.is_recurrent:
            assert len(set(step.state_slots.tolist())) == num_sequences, "two sequences share a state"
        if self._fatal.intersection(step.tokens.tolist()):
            raise BackendError("a kernel failed")

    def _check_pages(self, step: Step) -> None:
        size = self.limits.page_size
        readers: dict[int, int] = {}
        written: set[int] = set()
        for b in range(step.row_starts.size - 1):
            positions = step.positions[step.row_starts[b] : step.row_starts[b + 1]]
            assert (np.diff(positions) == 1).all(), "a sequence's rows are not in order"
            table = step.page_table[b]
            num_pages = int(positions[-1]) // size + 1
            for page in set(table[:num_pages].tolist()):
                readers[page] = readers.get(page, 0) + 1
            written.update(table[int(positions[0]) // size : num_pages].tolist())
        shared = {page for page in written if readers[page] > 1}
        assert not shared, f"pages {shared} are written by one sequence and belong to another as well"


def expected_canvas_logits(text: Sequence[int], canvas: Canvas, vocab_size: int) -> F32:
    """Return the logits of a canvas behind a text, from the tokens and its own last distributions alone."""
    whole = np.array([*text, *canvas.tokens.tolist()], np.int64)
    soft = canvas.soft
    rows: list[F32] = []
    for i in range(canvas.tokens.size):
        known: Iterable[int] = () if soft is None else soft.ids[soft.starts[i] : soft.starts[i + 1]].tolist()
        rows.append(_logits(_text_hash(_canvas_sight(whole, len(text) + i, known), 0), vocab_size))
    return np.stack(rows)


def _known(step: Step, row: int, text: I64) -> I64:
    """Return what a row's logits depend on: its text; for a row of a canvas its place and soft tokens, too."""
    if not step.canvas_rows()[row]:
        return text
    soft = step.soft_tokens
    known: Iterable[int] = () if soft is None else soft.ids[soft.starts[row] : soft.starts[row + 1]].tolist()
    return _canvas_sight(text, int(step.positions[row]), known)


def _canvas_sight(text: I64, position: int, known: Iterable[int]) -> I64:
    return np.array([*text, position, *known], np.int64)


def expected_logits(text: Sequence[int], vocab_size: int, *, is_recurrent: bool = False) -> F32:
    """Return the logits after a text, from the tokens alone."""
    state = 0
    for token in text if is_recurrent else ():
        state = _next_state(state, token)
    return _logits(_text_hash(np.asarray(text, np.int64), state), vocab_size)


def expected_hidden(text: Sequence[int], *, is_recurrent: bool = False) -> F32:
    """Return the hidden row after a text."""
    state = 0
    for token in text if is_recurrent else ():
        state = _next_state(state, token)
    return _hidden(_text_hash(np.asarray(text, np.int64), state))


def expected_greedy(
    prompt: Sequence[int], count: int, vocab_size: int, eog: frozenset[int], *, is_recurrent: bool = False
) -> list[int]:
    """Return the greedy continuation, without the token that ends it."""
    text = list(prompt)
    while len(text) < len(prompt) + count:
        token = int(expected_logits(text, vocab_size, is_recurrent=is_recurrent).argmax())
        if token in eog:
            break
        text.append(token)
    return text[len(prompt) :]


def _text_hash(text: I64, state: int) -> int:
    places = np.arange(1, text.size + 1, dtype=np.uint64) * np.uint64(FACTOR)
    mixed = _mix(places ^ (text.astype(np.uint64) + np.uint64(1)))
    return (int(mixed.sum(dtype=np.uint64)) ^ state) & MASK


def _next_state(state: int, token: int) -> int:
    return ((state ^ (token + 1)) * FACTOR + 1) & MASK


def _mix(values: U64) -> U64:
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: U64 = values ^ (values >> np.uint64(31))
    return mixed


def _logits(hash: int, vocab_size: int) -> F32:
    counts = np.arange(1, vocab_size + 1, dtype=np.uint64) * np.uint64(FACTOR)
    unit = _mix(counts ^ np.uint64(hash)).astype(np.float64) / 2.0**64
    return (unit * 12 - 6).astype(np.float32)


def _hidden(hash: int) -> F32:
    return _logits(hash, WIDTH)
