"""Files made to do harm cost one sentence: the file, the key or tensor, the byte. Never a crash or a hang."""

from __future__ import annotations

import errno
import os
import socket
import struct
import sys
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from jackfield.errors import CheckpointError
from jackfield.gguf import open_checkpoint
from jackfield.testing import raw
from jackfield.testing.raw import RawGguf

COUNTS = [2**31 - 1, 2**31, 2**32 - 1, 2**53 + 1, 2**62, 2**63 - 1, 2**63, 2**64 - 1]
ARCHITECTURE = raw.key("general.architecture", raw.STRING, raw.text("llama"))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "model.gguf"


@contextmanager
def modest_memory(size: int) -> Iterator[None]:
    """Hold what is done inside to the promise: 64 MiB and four times the file."""
    tracemalloc.start()
    try:
        yield
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < (64 << 20) + 4 * size


def refuse(file: Path, content: bytes | RawGguf, message: str) -> None:
    file.write_bytes(content.build() if isinstance(content, RawGguf) else content)
    with modest_memory(file.stat().st_size), pytest.raises(CheckpointError, match=message) as caught:
        open_checkpoint(file)
    assert "\n" not in caught.value.message
    assert "model.gguf" in caught.value.message
    assert len(caught.value.message) < 1000


def accept(file: Path, content: RawGguf) -> None:
    file.write_bytes(content.build())
    with modest_memory(file.stat().st_size), open_checkpoint(file) as checkpoint:
        for tensor in checkpoint.tensors.values():
            tensor.to_float32()


# ---- header ----


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"G", r"the magic needs 4 bytes but only 1 are left; the file is truncated \(byte 0\)"),
        (b"PK\x03\x04" + bytes(100), r"begins with b'PK\\x03\\x04'; expected b'GGUF'.*\(byte 0\)"),
        (b"GGML" + bytes(100), "this is not a GGUF file"),
        (RawGguf(version=0), r"has GGUF version 0; expected 2 or 3 \(byte 4\)"),
        (RawGguf(version=1), "has GGUF version 1"),
        (RawGguf(version=4), "has GGUF version 4"),
        (RawGguf(version=3 << 24), "it is big-endian"),
        (RawGguf(num_tensors=1), r"claims 1 tensors in 8 bytes.*\(byte 8\)"),
        (RawGguf(num_keys=1), r"claims 1 keys in 8 bytes.*\(byte 16\)"),
    ],
)
def test_a_bad_header_is_refused(file: Path, content: bytes | RawGguf, message: str) -> None:
    refuse(file, content, message)


def test_a_file_without_keys_and_tensors_is_a_checkpoint(file: Path) -> None:
    accept(file, RawGguf())


@pytest.mark.parametrize("size", range(33))
def test_every_tiny_size_is_refused(file: Path, size: int) -> None:
    whole = RawGguf(keys=[ARCHITECTURE]).build()
    refuse(file, whole[:size], "empty|truncated|claims")


# ---- counts ----


@pytest.mark.parametrize("count", [65_537, *COUNTS])
def test_an_impossible_number_of_keys_or_tensors_is_refused(file: Path, count: int) -> None:
    refuse(file, RawGguf([ARCHITECTURE], num_keys=count), rf"claims {count} keys in \d+ bytes")
    refuse(file, RawGguf([ARCHITECTURE], num_tensors=count), rf"claims {count} tensors in \d+ bytes")


@pytest.mark.parametrize("count", COUNTS)
def test_an_impossible_length_is_refused_wherever_it_stands(file: Path, count: int) -> None:
    refuse(file, RawGguf([raw.text("k", length=count) + bytes(60)]), "the name of key 0 claims")
    value = raw.text("v", length=count)
    refuse(file, RawGguf([raw.key("k", raw.STRING, value)]), rf"key 'k' claims {count} bytes")
    listed = raw.array(raw.STRING, [raw.text("a"), raw.text("b", length=count)])
    refuse(file, RawGguf([raw.key("k", raw.ARRAY, listed)]), "element 1 of key 'k' does not fit")
    table = RawGguf(tensors=[raw.text("t", length=count) + bytes(60)])
    refuse(file, table, "the name of tensor 0 claims")


@pytest.mark.parametrize("element_type", [*range(9), 10, 11, 12])
@pytest.mark.parametrize("count", [1000, 17_000_000, *COUNTS])
def test_an_impossible_array_is_refused_before_memory_is_taken(
    file: Path, element_type: int, count: int
) -> None:
    value = raw.array(element_type, [bytes(64)], count=count)
    refuse(file, RawGguf([raw.key("k", raw.ARRAY, value)]), rf"key 'k' claims {count} elements.*\(byte 33\)")


@pytest.mark.parametrize("extra", [-1, 1])
@pytest.mark.parametrize("what", ["text", "array", "texts"])
def test_a_length_off_by_one_is_refused(file: Path, what: str, extra: int) -> None:
    numbers = [raw.number(raw.UINT64, 9)] * 4
    value = {
        "text": (raw.STRING, raw.text("x" * 50, length=50 + extra)),
        "array": (raw.ARRAY, raw.array(raw.UINT64, numbers, count=4 + extra)),
        "texts": (raw.ARRAY, raw.array(raw.STRING, [raw.text("abc")] * 4, count=4 + extra)),
    }[what]
    content = RawGguf([raw.key("k", *value), ARCHITECTURE]).build().rstrip(b"\0")
    refuse(file, content, r"\(byte \d+\)")


@pytest.mark.parametrize("what", ["keys", "tensors"])
def test_more_records_than_anyone_needs_are_refused_even_if_they_are_there(file: Path, what: str) -> None:
    content = RawGguf(**{f"num_{what}": 65_537}, data=bytes(3 << 20))
    refuse(file, content, rf"claims 65537 {what} in \d+ bytes; at most 65536")


def test_more_elements_than_anyone_needs_are_refused_even_if_they_are_there(file: Path) -> None:
    count = (16 << 20) + 1
    value = raw.array(raw.UINT8, [bytes(count)], count=count)
    refuse(file, RawGguf([raw.key("k", raw.ARRAY, value)]), f"key 'k' claims {count} elements")


def test_a_longer_text_than_anyone_needs_is_refused_even_if_it_is_there(file: Path) -> None:
    long = raw.text(bytes((16 << 20) + 1))
    refuse(file, RawGguf([raw.key("k", raw.STRING, long)]), "key 'k' claims 16777217 bytes; at most 16777216")
    value = raw.array(raw.STRING, [raw.text("a"), long])
    refuse(file, RawGguf([raw.key("k", raw.ARRAY, value)]), "element 1 of key 'k' does not fit")


@pytest.mark.parametrize(("length", "fits"), [(2, True), (3, False)])
def test_the_last_text_may_end_with_the_file_and_not_after_it(file: Path, length: int, fits: bool) -> None:
    value = raw.array(raw.STRING, [raw.text("a"), raw.text("xy", length=length)])
    content = RawGguf([raw.key("k", raw.ARRAY, value)], alignment=1)
    if fits:
        accept(file, content)
    else:
        refuse(file, content, "element 1 of key 'k' does not fit")


def test_an_empty_text_may_end_the_file(file: Path) -> None:
    value = raw.array(raw.STRING, [raw.text("a"), raw.text("")])
    accept(file, RawGguf([raw.key("k", raw.ARRAY, value)], alignment=1))


def test_a_43_byte_file_with_an_endless_array_is_refused(file: Path) -> None:
    content = RawGguf([raw.key("a", raw.ARRAY, raw.array(raw.UINT8, [], count=2**63))], alignment=1).build()
    refuse(file, content, f"key 'a' claims {2**63} elements")


# ---- values ----


@pytest.mark.parametrize("depth", [1, 2, 5, 1000, 100_000])
def test_arrays_of_arrays_are_refused_at_any_depth(file: Path, depth: int) -> None:
    value = struct.pack("<iQ", raw.ARRAY, 1) * depth + raw.array(raw.UINT8, [b"\0"])
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(10**6)
    try:
        refuse(file, RawGguf([raw.key("k", raw.ARRAY, value)]), "key 'k' is an array of arrays")
    finally:
        sys.setrecursionlimit(limit)


@pytest.mark.parametrize("value_type", [-1, 13, 14, 255, 2**31 - 1, -(2**31)])
def test_an_unknown_value_type_is_refused(file: Path, value_type: int) -> None:
    refuse(file, RawGguf([raw.key("k", value_type, bytes(8))]), rf"key 'k' has value type {value_type}")
    value = raw.array(value_type, [bytes(8)])
    refuse(file, RawGguf([raw.key("k", raw.ARRAY, value)]), rf"key 'k' is an array of type {value_type}")


@pytest.mark.parametrize("byte", [2, 127, 255])
def test_a_bool_is_0_or_1(file: Path, byte: int) -> None:
    refuse(file, RawGguf([raw.scalar("k", raw.BOOL, byte)]), f"key 'k' is a BOOL of value {byte}")
    value = raw.array(raw.BOOL, [bytes([0, 1, byte, 1])], count=4)
    refuse(
        file, RawGguf([raw.key("k", raw.ARRAY, value)]), "key 'k' is an array of BOOL with a value above 1"
    )


@pytest.mark.parametrize(
    "name", [b"", b"\0", b"a\0b", b"\xff\xfe", b"line\nbreak", b"\x1b[31mred", "\u202e".encode()]
)
def test_names_are_printable_text(file: Path, name: bytes) -> None:
    padding = bytes(64)
    refuse(file, RawGguf([raw.scalar(name, raw.UINT8, 1), raw.scalar("k", raw.UINT8, 1)]), "name of key 0")
    refuse(file, RawGguf(tensors=[raw.tensor(name, [8])], data=padding), "name of tensor 0")


def test_a_key_may_be_long_but_not_in_a_message(file: Path) -> None:
    name = "k" * 65_535
    accept(file, RawGguf([raw.scalar(name, raw.UINT8, 1)]))
    refuse(file, RawGguf([raw.key(name, 77, bytes(8))]), "value type 77")
    refuse(file, RawGguf([raw.scalar(name + "k", raw.UINT8, 1)]), "claims 65536 bytes; at most 65535")


def test_a_key_twice_is_refused(file: Path) -> None:
    keys = [raw.scalar("k", raw.UINT8, 1), raw.scalar("k", raw.UINT8, 1)]
    refuse(file, RawGguf(keys), r"key 'k' appears twice \(byte 38\)")


def test_65536_keys_load(file: Path) -> None:
    accept(file, RawGguf([raw.scalar(f"k{i}", raw.UINT8, 1) for i in range(65_536)]))


def test_metadata_beyond_its_limit_is_refused(file: Path) -> None:
    value = raw.text("x" * (16 << 20))
    refuse(
        file,
        RawGguf([raw.key(f"k{i}", raw.STRING, value) for i in range(9)]),
        "takes more than 134217728 bytes",
    )


# ---- alignment ----


def aligned(alignment: int, *, value_type: int = raw.UINT32, offset: int = 0, real: int = 32) -> RawGguf:
    return RawGguf(
        [raw.scalar("general.alignment", value_type, alignment)],
        [raw.tensor("a", [8]), raw.tensor("b", [8], offset=offset or max(real, 32))],
        data=bytes(max(real, 32) + 32),
        alignment=real,
    )


@pytest.mark.parametrize("alignment", [8, 16, 32, 64, 4096, 2**20])
def test_powers_of_two_align(file: Path, alignment: int) -> None:
    content = aligned(alignment, real=alignment)
    content.data = bytes([1]) * 32 + content.data[32:-32] + bytes([2]) * 32
    accept(file, content)
    with open_checkpoint(file) as checkpoint:
        assert checkpoint.tensors["a"].data.tolist() == [1] * 32
        assert checkpoint.tensors["b"].data.tolist() == [2] * 32


@pytest.mark.parametrize("alignment", [0, 1, 3, 4, 13, 48, 2**20 + 1, 2**21, 2**31, 2**32 - 1])
def test_other_alignments_are_refused(file: Path, alignment: int) -> None:
    refuse(file, aligned(alignment), rf"key 'general.alignment' is {alignment}; expected")


@pytest.mark.parametrize("value_type", [raw.INT32, raw.UINT64, raw.UINT16, raw.FLOAT32, raw.BOOL])
def test_alignment_of_another_type_is_refused(file: Path, value_type: int) -> None:
    content = RawGguf([raw.scalar("general.alignment", value_type, 1 if value_type == raw.BOOL else 32)])
    refuse(file, content, "key 'general.alignment' is of type")


def test_two_alignments_are_refused(file: Path) -> None:
    keys = [raw.scalar("general.alignment", raw.UINT32, 32)] * 2
    refuse(file, RawGguf(keys), "key 'general.alignment' appears twice")


def test_offsets_that_do_not_fit_the_stated_alignment_are_refused(file: Path) -> None:
    refuse(file, aligned(64, real=64, offset=32), "tensor 'b' starts at offset 32, not a multiple of 64")


# ---- tensors ----


def with_tensor(
    extents: list[int],
    *,
    type_id: int = 0,
    offset: int = 0,
    num_dimensions: int | None = None,
    size: int = 256,
) -> RawGguf:
    record = raw.tensor("t", extents, type_id=type_id, offset=offset, num_dimensions=num_dimensions)
    return RawGguf([ARCHITECTURE], [record], bytes(size))


@pytest.mark.parametrize("num_dimensions", [0, 5, 2**31, 2**32 - 1])
def test_a_tensor_has_one_to_four_dimensions(file: Path, num_dimensions: int) -> None:
    refuse(
        file,
        with_tensor([8] * 5, num_dimensions=num_dimensions),
        rf"tensor 't' has {num_dimensions} dimensions",
    )


@pytest.mark.parametrize(
    "extents",
    [
        [0],
        [8, 0],
        [2**63],
        [2**64 - 1],
        [2**40 + 1],
        [2**32, 2**32],
        [2**32, 2**32, 2**32, 2**32],
        [4194305, 4194305, 211106198978564],
        [2**63, 2, 1],
    ],
)
def test_extents_that_are_empty_or_wrap_around_are_refused(file: Path, extents: list[int]) -> None:
    refuse(file, with_tensor(extents), "tensor 't' has extents .* expected 1 to 2\\^40 elements")


def test_two_tensors_whose_sizes_sum_to_little_modulo_2_64_are_refused(file: Path) -> None:
    big = 0x7FFFFFFFFFFFFFC0
    records = [raw.tensor("a", [big], type_id=24), raw.tensor("b", [big], type_id=24, offset=big)]
    refuse(file, RawGguf([ARCHITECTURE], records, bytes(256)), "tensor 'a' has extents")


@pytest.mark.parametrize(("type_id", "row"), [(2, 31), (8, 33), (12, 128), (39, 16), (40, 32), (41, 64)])
def test_rows_are_whole_blocks(file: Path, type_id: int, row: int) -> None:
    refuse(file, with_tensor([row, 2], type_id=type_id), rf"tensor 't' has rows of {row} elements; \w+ needs")


@pytest.mark.parametrize("type_id", [4, 5, 9, 15, 31, 36, 38, 43, 1000, 2**31, 2**32 - 1])
def test_types_that_are_retired_or_unknown_are_refused(file: Path, type_id: int) -> None:
    refuse(file, with_tensor([256], type_id=type_id), rf"tensor 't' has type {type_id}, ")


@pytest.mark.parametrize("offset", [1, 4, 31, 33])
def test_a_misaligned_tensor_is_refused(file: Path, offset: int) -> None:
    refuse(file, with_tensor([8], offset=offset), rf"'t' starts at offset {offset}, not a multiple of 32")


@pytest.mark.parametrize("offset", [256, 2**32, 2**62, 2**63, 2**64 - 32])
def test_a_tensor_beyond_the_end_is_refused(file: Path, offset: int) -> None:
    refuse(file, with_tensor([8], offset=offset), "tensor 't' ends at offset .* the file is truncated")


@pytest.mark.parametrize(("elements", "fits"), [(63, True), (64, True), (65, False)])
def test_the_last_byte_of_the_file_may_be_used_and_no_more(file: Path, elements: int, fits: bool) -> None:
    content = with_tensor([elements])
    if fits:
        accept(file, content)
    else:
        refuse(file, content, "tensor 't' ends at offset 260 of 256 bytes")


@pytest.mark.parametrize("second", [0, 32, 64])
def test_overlapping_tensors_are_refused(file: Path, second: int) -> None:
    records = [raw.tensor("a", [24], offset=0), raw.tensor("b", [8], offset=second)]
    refuse(file, RawGguf([ARCHITECTURE], records, bytes(256)), "tensors '.' and '.' overlap")


def test_tensors_in_another_order_than_the_table_and_gaps_are_fine(file: Path) -> None:
    records = [raw.tensor("a", [8], offset=128), raw.tensor("b", [8], offset=0)]
    accept(file, RawGguf([ARCHITECTURE], records, bytes(256)))


def test_a_tensor_twice_is_refused(file: Path) -> None:
    records = [raw.tensor("t", [8]), raw.tensor("t", [8], offset=32)]
    refuse(file, RawGguf([ARCHITECTURE], records, bytes(256)), "tensor 't' appears twice")


@pytest.mark.parametrize(("length", "fits"), [(63, True), (64, False), (65, False)])
def test_tensor_names_have_at_most_63_bytes(file: Path, length: int, fits: bool) -> None:
    content = RawGguf([ARCHITECTURE], [raw.tensor("t" * length, [8])], bytes(32))
    if fits:
        accept(file, content)
    else:
        refuse(file, content, f"the name of tensor 0 claims {length} bytes; at most 63")


# ---- things that are not files ----


def refuse_path(path: Path, message: str) -> None:
    with modest_memory(0), pytest.raises(CheckpointError, match=message):
        open_checkpoint(path)


def test_paths_that_lead_to_no_file_are_refused(tmp_path: Path) -> None:
    refuse_path(tmp_path, "is a directory; expected a GGUF file")
    refuse_path(tmp_path / "absent.gguf", "cannot open .*absent.gguf': No such file")
    refuse_path(tmp_path / ("x" * 300), "cannot open")
    refuse_path(Path("a\0b"), "cannot open")


def test_a_fifo_is_refused_without_waiting_for_a_writer(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo.gguf")
    refuse_path(tmp_path / "fifo.gguf", "is not a regular file")


@pytest.mark.parametrize("device", ["/dev/zero", "/dev/random", "/dev/null"])
def test_devices_are_refused(device: str) -> None:
    refuse_path(Path(device), "is not a regular file")


def test_a_socket_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # the path of a socket is short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("s.gguf")
        refuse_path(tmp_path / "s.gguf", "is not a regular file")


def test_a_circle_of_links_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.gguf").symlink_to(tmp_path / "b.gguf")
    (tmp_path / "b.gguf").symlink_to(tmp_path / "a.gguf")
    refuse_path(tmp_path / "a.gguf", "cannot open")


def test_an_unreadable_file_is_refused(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_bytes(RawGguf().build())

    def deny(*_: object) -> int:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "open", deny)  # the superuser, who may run this, reads every file
    refuse_path(file, "cannot open .*Permission denied")


def test_a_file_that_shrinks_while_it_is_opened_is_refused(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write_bytes(RawGguf([ARCHITECTURE]).build())
    real = os.fstat

    def shrink(descriptor: int) -> os.stat_result:
        status = real(descriptor)
        os.truncate(file, 10)
        return status

    monkeypatch.setattr(os, "fstat", shrink)
    refuse_path(file, "cannot open .*greater than file size")


def test_a_sparse_file_of_a_terabyte_is_refused_at_once(file: Path) -> None:
    with file.open("wb") as handle:
        handle.truncate(2**40)
    refuse_path(file, "this is not a GGUF file")


def test_a_sparse_file_of_100_gb_of_data_opens_without_reading_it(file: Path) -> None:
    file.write_bytes(with_tensor([2**30, 25]).build())
    with file.open("r+b") as handle:
        handle.truncate(101 << 30)
    with modest_memory(0), open_checkpoint(file) as checkpoint:
        assert checkpoint.tensors["t"].num_bytes == 100 << 30
        assert not checkpoint.tensors["t"].data[-5:].any()
