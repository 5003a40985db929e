"""Which passes of a micro-kernel take how many tokens."""

from __future__ import annotations

import pytest

from jackfield_backends.cpu.instructions import TABLES
from jackfield_backends.cpu.isa import Isa
from jackfield_backends.cpu.tile import TILE


@pytest.mark.parametrize("isa", TABLES)
def test_passes_take_every_token_and_fill_whole_tiles(isa: Isa) -> None:
    for tile in (TABLES[isa].tile, TABLES[isa].float_tile):
        for num_tokens in range(1, TILE + 1):
            passes = tile.passes_for(num_tokens)
            assert set(passes) <= set(tile.passes)
            assert num_tokens <= sum(passes) < num_tokens + tile.tokens
        assert sum(tile.passes_for(TILE)) == TILE


def test_passes_over_plain_floats_begin_where_their_tiles_do() -> None:
    for table in TABLES.values():
        tile = table.float_tile
        for num_tokens in range(1, TILE + 1):
            passes = sorted(tile.passes_for(num_tokens), reverse=True)
            assert set(passes[:-1]) <= {tile.tokens}


def test_few_places_are_left_over_and_no_pass_is_wasted() -> None:
    tile = TABLES[Isa.AVX2].tile
    assert [tile.passes_for(count) for count in (4, 5, 8, 9, 12)] == [
        (4,),
        (3, 2),
        (4, 4),
        (3, 3, 3),
        (4, 4, 4),
    ]
    assert [TABLES[Isa.AVX512].tile.passes_for(count) for count in (5, 8, 9, 12)] == [
        (6,),
        (8,),
        (12,),
        (12,),
    ]
