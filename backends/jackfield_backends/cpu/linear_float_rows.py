"""Row products of plain floats: rows of weights, straight from the file, with up to ``FEW_FLOAT_TOKENS`` tokens.

As many rows at once as have their sums in registers. They lie a part of the rows apart, so that each part is read from
its beginning to its end, which hardware prefetchers follow; rows side by side would leap. Several tokens go by threes
and twos, over rows that stay in the first-level cache.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import cast

from jackfield_backends.cpu.emit import F32, I64, Totals, Value, loop, vector_of, zeros
from jackfield_backends.cpu.instructions import in_force
from jackfield_backends.cpu.kernel import arg, kernel_family
from jackfield_backends.cpu.linear_float import ELEMENT_BYTES, load_weights, num_chains, summed_lanes
from jackfield_backends.cpu.operation import i64, nothing, operation

__all__ = ["float_rows"]

PREFETCH = 1536  # bytes ahead: more of four rows would push the activations out of the first-level cache
MOST_ROWS = 4
WEIGHTS_OF_ONE = 16  # at once, with one token: fewer would wait for the sums, more are more streams than one

RowProducts = Callable[[int, int, int], None]
Passes = Sequence[tuple[int, Value]]


@kernel_family
def float_rows(type_name: str) -> Callable[[int, int, int], None]:
    """Multiply rows of weights by a few tokens.

    Matrix, bytes between rows, columns, input, results, their step, the input's step, tokens. Called as ``(args, start,
    stop)``; the result of row r and token t goes to ``results[t][r - start]``.
    """
    one, several, four = _one(type_name), _several(type_name), _four(type_name)

    def multiply(args: int, start: int, stop: int) -> None:
        if arg(args, 7) == 1:
            one(args, start, stop)
        elif arg(args, 7) == 4:
            four(args, start, stop)
        else:
            several(args, start, stop)

    return multiply


def _one(type_name: str) -> RowProducts:
    @operation(nothing, i64, i64, i64)
    def one(args: Value, start: Value, stop: Value) -> None:
        num_rows = max(1, WEIGHTS_OF_ONE // num_chains())
        _RowProducts(type_name, args, start, stop, num_rows).write([(1, args.constant(1))])

    return cast("RowProducts", one)


def _four(type_name: str) -> RowProducts:
    @operation(nothing, i64, i64, i64)
    def four(args: Value, start: Value, stop: Value) -> None:
        _RowProducts(type_name, args, start, stop, _rows_of(4)).write([(4, args.constant(1))])

    return cast("RowProducts", four)


def _several(type_name: str) -> RowProducts:
    @operation(nothing, i64, i64, i64)
    def several(args: Value, start: Value, stop: Value) -> None:
        num_tokens, three = args.load(I64, 1, 8 * 7), args.constant(3)
        twos = args.new(args.b.urem((num_tokens * 2).v, three.v))
        threes = args.new(args.b.udiv((num_tokens - twos * 2).v, three.v))
        _RowProducts(type_name, args, start, stop, _rows_of(3)).write([(3, threes), (2, twos)])

    return cast("RowProducts", several)


def _rows_of(num_tokens: int) -> int:
    """Return how many rows have their sums with so many tokens in registers."""
    tile = in_force().float_tile
    return max(1, min(MOST_ROWS, tile.rows * tile.tokens // (num_tokens * num_chains())))


class _RowProducts:
    """Writes the products of rows ``start`` to ``stop``, some at once."""

    def __init__(self, type_name: str, args: Value, start: Value, stop: Value, num_rows: int) -> None:
        self.type_name, self.size, self.num_rows = type_name, ELEMENT_BYTES[type_name], num_rows
        words = [args.load(I64, 1, 8 * i) for i in range(7)]
        matrix, self.row_bytes, self.width, self.x, self.out, self.out_step, self.x_step = words
        self.matrix, self.count = matrix + start * self.row_bytes, stop - start

    def write(self, passes: Passes) -> None:
        """Write the loop over the rows; ``passes`` are numbers of tokens and how many times each."""
        length = self.count + (self.num_rows - 1)
        length = length.new(length.b.udiv(length.v, length.constant(self.num_rows).v))
        last = self.count - 1
        with loop(length) as j:
            others = (j + length * i for i in range(1, self.num_rows))
            rows = [j, *(row.below(last).choose(row, last) for row in others)]
            token = j.constant(0)
            for num_tokens, times in passes:
                with loop(times) as i:
                    self._store(rows, token + i * num_tokens, num_tokens)
                token = token + times * num_tokens

    def _store(self, rows: Sequence[Value], token: Value, num_tokens: int) -> None:
        weights = [self.matrix + row * self.row_bytes for row in rows]
        tokens = [token + t for t in range(num_tokens)]
        inputs = [self.x + t * self.x_step for t in tokens]
        zero, whole = token.constant(0), self.width & -num_chains()
        totals = self._walk(weights, inputs, zero, whole, num_chains())
        tails = self._walk(weights, inputs, whole, self.width, 1)
        for t, number in enumerate(tokens):
            places = [num_tokens * min(r, self.num_rows - 1) + t for r in range(MOST_ROWS)]
            sums = summed_lanes([totals[i] for i in places]) + vector_of([tails[i] for i in places])
            for r, row in enumerate(rows):
                (self.out + number * self.out_step + row * 4).store(sums.lane(r))

    def _walk(
        self, rows: Sequence[Value], inputs: Sequence[Value], start: Value, stop: Value, lanes: int
    ) -> list[Value]:
        """Return each row's sums with each token, over some of the columns."""
        totals = Totals([zeros(start.b, F32, lanes)] * (len(rows) * len(inputs)))
        with loop(stop, start, lanes) as k:
            places = [row + k * self.size for row in rows]
            for place in places if lanes > 1 else ():
                place.prefetch(PREFETCH)
            for r, t, weight, value in self._factors(places, [x + k * 4 for x in inputs], lanes):
                i = len(inputs) * r + t
                totals.set(i, weight.fma(value, totals.get(i)))
        return totals.all()

    def _factors(
        self, rows: Sequence[Value], inputs: Sequence[Value], lanes: int
    ) -> Iterator[tuple[int, int, Value, Value]]:
        """Read what is multiplied: the fewer of rows and tokens at once, the others when needed, to spare registers."""
        weights = (load_weights(row, self.type_name, lanes) for row in rows)
        values = (x.load(F32, lanes) for x in inputs)
        if len(rows) > len(inputs):
            held = list(values)
            yield from ((r, t, weight, x) for r, weight in enumerate(weights) for t, x in enumerate(held))
        else:
            held = list(weights)
            yield from ((r, t, weight, x) for t, x in enumerate(values) for r, weight in enumerate(held))
