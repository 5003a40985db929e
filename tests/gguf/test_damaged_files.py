"""Cuts, flipped bits and random bytes: a clean error, or a checkpoint whose every tensor can be read."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jackfield.errors import CheckpointError
from jackfield.gguf import BLOCK_FORMATS, Checkpoint, open_checkpoint
from jackfield.testing import raw
from jackfield.testing.raw import RawGguf
from jackfield.testing.tiny import make_checkpoint

SMALL = RawGguf(
    keys=[
        raw.key("general.architecture", raw.STRING, raw.text("llama")),
        raw.scalar("general.alignment", raw.UINT32, 32),
        raw.scalar("llama.block_count", raw.UINT32, 2),
        raw.scalar("llama.rope.freq_base", raw.FLOAT32, 1e4),
        raw.scalar("flag", raw.BOOL, 1),
        raw.key("tokens", raw.ARRAY, raw.array(raw.STRING, [raw.text("a"), raw.text("bc")])),
        raw.key("flags", raw.ARRAY, raw.array(raw.BOOL, [b"\1", b"\0"])),
        raw.key("types", raw.ARRAY, raw.array(raw.INT32, [raw.number(raw.INT32, 1)] * 2)),
    ],
    tensors=[
        raw.tensor("a", [8, 2]),
        raw.tensor("b", [32], type_id=8, offset=64),
        raw.tensor("c", [256], type_id=12, offset=128),
    ],
    data=bytes(range(256)) + bytes(16),
).build()


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("damage") / "model.gguf"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return make_checkpoint(
        tmp_path_factory.mktemp("seed") / "tiny.gguf", "llama", tensor_type="Q8_0"
    ).read_bytes()


def end_of_tensors(path: Path) -> int:
    with open_checkpoint(path) as checkpoint:
        return max(tensor.file_offset + tensor.num_bytes for tensor in checkpoint.tensors.values())


def read_everything(checkpoint: Checkpoint) -> None:
    metadata = checkpoint.metadata
    for key in metadata:
        value = metadata[key]
        assert repr(key)
        if not isinstance(value, bool | int | float | str):
            assert len(list(value)) == len(value)
    for tensor in checkpoint.tensors.values():
        assert tensor.to_float32().shape == tensor.shape


def survives(path: Path, content: bytes) -> bool:
    """Tell whether damaged content loads; anything but a clean error fails the test."""
    path.write_bytes(content)
    try:
        with open_checkpoint(path) as checkpoint:
            read_everything(checkpoint)
    except CheckpointError as error:
        message = error.message
    else:
        return True
    assert "\n" not in message
    assert "model.gguf" in message
    return False


def test_the_seed_itself_loads(scratch: Path, tiny: bytes) -> None:
    assert survives(scratch, SMALL)
    assert survives(scratch, tiny)


def test_every_cut_of_a_small_file_is_an_error(scratch: Path) -> None:
    survives(scratch, SMALL)
    end = end_of_tensors(scratch)
    for size in range(end):
        assert not survives(scratch, SMALL[:size]), size
    assert survives(scratch, SMALL[:end])


def test_cuts_of_a_whole_checkpoint_are_errors(scratch: Path, tiny: bytes) -> None:
    survives(scratch, tiny)
    end = end_of_tensors(scratch)
    for size in [*range(0, 16_000, 37), *range(16_000, end, 4096), end - 1]:
        assert not survives(scratch, tiny[:size]), size


def test_every_flipped_bit_of_a_small_file_is_an_error_or_harmless(scratch: Path) -> None:
    num_survivors = 0
    for bit in range(8 * len(SMALL)):
        damaged = bytearray(SMALL)
        damaged[bit // 8] ^= 1 << bit % 8
        num_survivors += survives(scratch, bytes(damaged))
    assert 8 * 256 < num_survivors < 8 * len(SMALL) - 1000  # data may change, structure may not


def test_double_faults_in_a_whole_checkpoint_are_errors_or_harmless(scratch: Path, tiny: bytes) -> None:
    chance = random.Random(7)
    for _ in range(400):
        damaged = bytearray(tiny)
        for _ in range(2):
            damaged[chance.randrange(16_000)] = chance.randrange(256)
        survives(scratch, bytes(damaged))


def test_random_words_in_the_tables_are_errors_or_harmless(scratch: Path) -> None:
    chance = random.Random(11)
    words = [0, 1, 7, 8, 9, 32, 2**31, 2**32 - 1, 2**62, 2**63, 2**64 - 1]
    for _ in range(2000):
        damaged = bytearray(SMALL)
        at = chance.randrange(4, 480)
        damaged[at : at + 8] = chance.choice(words).to_bytes(8, "little")
        survives(scratch, bytes(damaged))


# ---- properties ----

NAMES = st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1, max_size=20)
NUMBER_TYPES = st.sampled_from([t for t in raw.NUMBER_LAYOUTS if t not in (raw.FLOAT32, raw.FLOAT64)])


@st.composite
def values(draw: st.DrawFn) -> tuple[int, bytes]:
    kind = draw(st.sampled_from([raw.STRING, raw.ARRAY, raw.FLOAT64, raw.BOOL, raw.UINT32]))
    if kind == raw.STRING:
        return kind, raw.text(draw(st.binary(max_size=40)))
    if kind == raw.ARRAY and draw(st.booleans()):
        return kind, raw.array(raw.STRING, [raw.text(t) for t in draw(st.lists(st.binary(max_size=9)))])
    if kind == raw.ARRAY:
        element = draw(NUMBER_TYPES)
        return kind, raw.array(element, [raw.number(element, n) for n in draw(st.lists(st.integers(0, 1)))])
    return kind, raw.number(kind, draw(st.integers(0, 1)))


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[bytes], bytes]:
    """Draw tensors of any format, one after the other."""
    records: list[bytes] = []
    data = b""
    for name in draw(st.lists(NAMES, unique=True, max_size=4)):
        form = draw(st.sampled_from(list(BLOCK_FORMATS.values())))
        extents = [
            form.block_elements * draw(st.integers(1, 3)),
            *draw(st.lists(st.integers(1, 3), max_size=3)),
        ]
        records.append(raw.tensor(name, extents, type_id=form.type_id, offset=len(data)))
        size = form.block_bytes * (extents[0] // form.block_elements)
        for extent in extents[1:]:
            size *= extent
        data += draw(st.binary(min_size=1, max_size=16)).ljust(size + -size % 32, b"\x5a")[
            : size + -size % 32
        ]
    return records, data


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(entries=st.dictionaries(NAMES, values(), max_size=6), table=tables())
def test_every_well_formed_file_loads(
    scratch: Path, entries: dict[str, tuple[int, bytes]], table: tuple[list[bytes], bytes]
) -> None:
    keys = [raw.key(name, kind, value) for name, (kind, value) in entries.items()]
    scratch.write_bytes(RawGguf(keys, *table).build())
    with open_checkpoint(scratch) as checkpoint:
        assert list(checkpoint.metadata) == list(entries)
        assert len(checkpoint.tensors) == len(table[0])
        read_everything(checkpoint)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    edits=st.lists(st.tuples(st.integers(0, len(SMALL) - 1), st.binary(min_size=1, max_size=9)), max_size=4),
    cut=st.integers(0, len(SMALL)) | st.none(),
)
def test_any_edit_of_a_file_is_an_error_or_harmless(
    scratch: Path, edits: list[tuple[int, bytes]], cut: int | None
) -> None:
    damaged = bytearray(SMALL)
    for at, replacement in edits:
        damaged[at : at + len(replacement)] = replacement
    survives(scratch, bytes(damaged[:cut]))


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=st.binary(max_size=400))
def test_random_bytes_after_the_magic_are_an_error_or_harmless(scratch: Path, body: bytes) -> None:
    survives(scratch, b"GGUF\x03\x00\x00\x00" + body)
