"""The selections that truncating stages are made of.

Nothing here sorts a vocabulary, and little of a vocabulary's size is allocated for a token: fresh memory costs more
than what is computed in it.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["highest", "likeliest", "smallest_keys_of_mass"]

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
I32 = npt.NDArray[np.int32]
Indices = npt.NDArray[np.intp]

BLOCK = 512
CHUNK = 16384
BIN_BITS = 12
FEW = 2048
"""Up to this many are sorted: anything clever would take longer."""
RARE = np.float32(3e-5)
"""Tokens that make up the mass are looked for among those at least this likely first, the best one being 1."""
CLEARLY = 1.001
"""Beyond what float32 sums may be off."""
INFINITY = 0x7F800000


def highest(values: F32, count: int) -> Indices:
    """Return the places of the ``count`` highest values, ascending; among equals the first ones win."""
    if count >= values.size:
        return np.arange(values.size)
    places = _holding_highest(values, count)
    few = values[places]
    threshold = np.partition(few, few.size - count)[few.size - count]
    above = places[few > threshold]
    ties = places[few == threshold][: count - above.size]
    return np.sort(np.concatenate((above, ties)))


def likeliest(weights: F32, mass: float) -> Indices:
    """Return the places, ascending, of the highest weights that make up ``mass`` of their sum together.

    At least one place is returned; the one that crosses ``mass`` is included; among equals the first
    ones win.
    """
    wanted = mass * float(weights.sum())
    places = np.flatnonzero(weights >= RARE)
    few = weights.take(places)
    if float(few.sum()) <= wanted:
        return _smallest(-weights, weights, wanted)
    return places[_smallest(-few, few, wanted)]


def smallest_keys_of_mass(keys: F32, weights: F32, mass: float) -> Indices:
    """Return the places, ascending, of the smallest keys, all finite, whose weights reach ``mass`` together.

    At least one place is returned; the one that crosses ``mass`` is included; among equal keys the
    first ones win.
    """
    heavy = np.flatnonzero(weights >= RARE)
    few = weights.take(heavy)
    if keys.size <= FEW or float(few.sum()) <= mass * CLEARLY:
        return _smallest(keys, weights, mass)
    # at the key where the heavy ones alone reach the mass, all of them have reached it
    reaching = heavy[_smallest(keys.take(heavy), few, mass)]
    near = np.flatnonzero(keys <= keys[reaching].max())
    return near[_smallest(keys.take(near), weights.take(near), mass)]


def _smallest(keys: F32, weights: F32, mass: float) -> Indices:
    """Sort few keys; of many count what their first bits have in common weighs, then look closer where it matters."""
    lowest, highest = _word(keys.min()), _word(keys.max())
    if keys.size <= FEW or lowest == highest:
        return np.sort(_reach(np.argsort(keys, kind="stable"), weights, mass))
    shift = max(0, (highest - lowest).bit_length() - BIN_BITS)
    mass_by_bin = _mass_by_bin(keys, weights, lowest, shift)
    reached = np.cumsum(mass_by_bin)
    crossing = min(int(np.searchsorted(reached, mass)), (highest - lowest) >> shift)
    start, stop = (_float(lowest + (edge << shift)) for edge in (crossing, crossing + 1))
    kept, within = keys < start, np.flatnonzero((keys >= start) & (keys < stop))
    missing = mass - float(reached[crossing] - mass_by_bin[crossing])
    kept[within[_smallest(keys[within], weights[within], missing)]] = True
    return np.flatnonzero(kept)


def _holding_highest(values: F32, count: int) -> Indices:
    """Return places, ascending, that hold the ``count`` highest values and not many others.

    The count-th highest of the blocks' maxima bounds the count-th highest value from below.
    """
    num_blocks = values.size // BLOCK
    if count * 4 > num_blocks:
        return np.arange(values.size)
    whole = values[: num_blocks * BLOCK].reshape(num_blocks, BLOCK)
    maxima = whole.max(axis=1)
    bound = np.partition(maxima, num_blocks - count)[num_blocks - count]
    rows = np.flatnonzero(maxima >= bound)
    row, column = np.nonzero(whole[rows] >= bound)
    rest = np.flatnonzero(values[num_blocks * BLOCK :] >= bound)
    return np.concatenate((rows[row] * BLOCK + column, rest + num_blocks * BLOCK))


def _reach(order: Indices, weights: F32, mass: float) -> Indices:
    reached = np.cumsum(weights[order], dtype=np.float64)
    reaching: Indices = order[: int(np.searchsorted(reached, mass)) + 1]
    return reaching


def _mass_by_bin(keys: F32, weights: F32, lowest: int, shift: int) -> F64:
    """Add up the weights of keys that have all but the last ``shift`` bits in common, chunk by chunk."""
    mass_by_bin = np.zeros(1 << BIN_BITS)
    for start in range(0, keys.size, CHUNK):
        chunk = slice(start, start + CHUNK)
        bins = _words(keys[chunk]).astype(np.intp)
        bins -= lowest
        bins >>= shift
        mass_by_bin += np.bincount(bins, weights=weights[chunk], minlength=mass_by_bin.size)
    return mass_by_bin


def _words(values: F32) -> I32:
    """Return integers in the order of floats: their bits, but for the sign."""
    words = (values + np.float32(0)).view(np.int32)  # adding makes -0 the same as 0
    words ^= (words >> 31) & 0x7FFFFFFF  # bits of negative numbers are in reverse order
    return words


def _word(value: np.float32) -> int:
    return int(_words(np.array([value], np.float32))[0])


def _float(word: int) -> np.float32:
    """Return the float whose place among floats this is; infinity beyond the last."""
    bits = np.array([min(word, INFINITY)], np.int32)
    bits ^= (bits >> 31) & 0x7FFFFFFF
    return np.float32(bits.view(np.float32)[0])
