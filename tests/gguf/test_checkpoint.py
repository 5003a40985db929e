"""Checkpoints written by the gguf package are read as they were written."""

from __future__ import annotations

import os
from pathlib import Path

import gguf
import numpy as np
import pytest

from jackfield.errors import CheckpointError
from jackfield.gguf import NumberArray, TextArray, open_checkpoint
from jackfield.testing.raw import INT32, UINT16, UINT32, RawGguf, key, scalar, tensor, text

MATRIX = np.arange(6 * 32, dtype=np.float32).reshape(6, 32)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "model.gguf"
    writer = gguf.GGUFWriter(None, "llama")
    writer.add_uint32("llama.block_count", 2)
    writer.add_float32("llama.rope.freq_base", 10000.0)
    writer.add_bool("tokenizer.ggml.add_bos_token", True)
    writer.add_uint64("big", 2**64 - 1)
    writer.add_int8("small", -128)
    writer.add_array("tokens", ["a", "", "ö", "▁the"])
    writer.add_array("counts", [3, -4])
    writer.add_array("flags", [True, False])
    writer.add_array("scales", [0.5, -2.0])
    writer.add_tensor("matrix", MATRIX)
    writer.add_tensor("half", MATRIX[0].astype(np.float16))
    packed = gguf.quants.quantize(MATRIX, gguf.GGMLQuantizationType.Q8_0)
    writer.add_tensor("packed", packed, raw_dtype=gguf.GGMLQuantizationType.Q8_0)
    writer.write_header_to_file(file)
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file


def test_metadata_is_read_as_written(path: Path) -> None:
    with open_checkpoint(path) as checkpoint:
        metadata = checkpoint.metadata
        assert checkpoint.architecture == "llama"
        assert metadata["big"] == 2**64 - 1
        assert metadata["small"] == -128
        assert metadata["tokenizer.ggml.add_bos_token"] is True
        assert metadata.texts("tokens") == ["a", "", "ö", "▁the"]
        assert metadata.integers("counts") == [3, -4]
        assert metadata.booleans("flags") == [True, False]
        assert metadata.numbers("scales") == [0.5, -2.0]
        assert metadata.type_name("tokens") == "ARRAY of STRING"
        assert "nothing" not in metadata
        assert next(iter(metadata)) == "general.architecture"


def test_tensors_are_read_as_written(path: Path) -> None:
    with open_checkpoint(path) as checkpoint:
        assert list(checkpoint.tensors) == ["matrix", "half", "packed"]
        matrix, half, packed = checkpoint.tensors.values()
        assert (matrix.shape, matrix.type_name) == ((6, 32), "F32")
        np.testing.assert_array_equal(matrix.to_float32(), MATRIX)
        np.testing.assert_array_equal(half.to_float32(), MATRIX[0])
        np.testing.assert_allclose(packed.to_float32(), MATRIX, atol=0.8)
        assert packed.num_bytes == len(packed.data) == 6 * 34


def test_tensor_bytes_are_mapped_and_cannot_be_written(path: Path) -> None:
    with open_checkpoint(path) as checkpoint:
        data = checkpoint.tensors["matrix"].data
        assert not data.flags.owndata
        with pytest.raises(ValueError, match="read-only"):
            data[0] = 1


def test_an_array_outlives_its_checkpoint(path: Path) -> None:
    with open_checkpoint(path) as checkpoint:
        data = checkpoint.tensors["matrix"].data
    assert data.view(np.float32).tolist() == MATRIX.reshape(-1).tolist()


def test_metadata_outlives_its_checkpoint(path: Path) -> None:
    with open_checkpoint(path) as checkpoint:
        pass
    assert checkpoint.metadata.texts("tokens")[3] == "▁the"
    assert checkpoint.tensors == {}
    checkpoint.close()


def test_a_tensor_read_after_closing_is_an_error_not_a_crash(path: Path) -> None:
    with open_checkpoint(path) as checkpoint:
        matrix = checkpoint.tensors["matrix"]
    with pytest.raises(CheckpointError, match=r"'matrix' was read after 'model.gguf' was closed"):
        matrix.to_float32()


def test_arrays_are_sequences_decoded_on_demand(path: Path) -> None:
    with open_checkpoint(path) as checkpoint:
        tokens, counts = checkpoint.metadata["tokens"], checkpoint.metadata["counts"]
        assert isinstance(tokens, TextArray)
        assert (len(tokens), tokens[0], tokens[-1], tokens[1:3]) == (4, "a", "▁the", ["", "ö"])
        assert tokens.bytes_at(2) == b"\xc3\xb6"
        with pytest.raises(IndexError):
            tokens[4]
        assert isinstance(counts, NumberArray)
        assert (counts[1], counts[:], counts.kind) == (-4, [3, -4], "int")


def test_a_checkpoint_knows_whether_its_file_has_changed(path: Path) -> None:
    with open_checkpoint(path) as checkpoint:
        assert checkpoint.is_unchanged()
        os.utime(path, ns=(0, 1))
        assert not checkpoint.is_unchanged()


def test_a_replaced_or_removed_file_counts_as_changed(path: Path, tmp_path: Path) -> None:
    with open_checkpoint(path) as checkpoint:
        copy = tmp_path / "copy.gguf"
        copy.write_bytes(path.read_bytes())
        status = path.stat()
        os.utime(copy, ns=(status.st_atime_ns, status.st_mtime_ns))
        copy.replace(path)
        assert not checkpoint.is_unchanged()
        path.unlink()
        assert not checkpoint.is_unchanged()
        np.testing.assert_array_equal(checkpoint.tensors["matrix"].to_float32(), MATRIX)


def test_version_2_files_are_read(tmp_path: Path) -> None:
    file = tmp_path / "old.gguf"
    file.write_bytes(RawGguf(keys=[key("general.architecture", 8, text("llama"))], version=2).build())
    with open_checkpoint(file) as checkpoint:
        assert checkpoint.architecture == "llama"


# ---- split checkpoints ----


def part(number: int, *, count: int = 3, name: str | None = None, total: int = 3) -> bytes:
    return RawGguf(
        keys=[
            scalar("split.no", UINT16, number),
            scalar("split.count", UINT16, count),
            scalar("split.tensors.count", INT32, total),
        ],
        tensors=[tensor(name or f"t{number}", [8])],
        data=bytes([number] * 32),
    ).build()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(3):
        (tmp_path / f"m-{number + 1:05d}-of-00003.gguf").write_bytes(part(number))
    return tmp_path


def test_a_split_checkpoint_is_opened_by_its_first_file(folder: Path) -> None:
    with open_checkpoint(folder / "m-00001-of-00003.gguf") as checkpoint:
        assert [path.name[:7] for path in checkpoint.paths] == ["m-00001", "m-00002", "m-00003"]
        assert {name: int(t.data[0]) for name, t in checkpoint.tensors.items()} == {"t0": 0, "t1": 1, "t2": 2}
        assert checkpoint.size_bytes == sum(path.stat().st_size for path in checkpoint.paths)
        assert checkpoint.is_unchanged()
        os.utime(folder / "m-00003-of-00003.gguf", ns=(0, 1))
        assert not checkpoint.is_unchanged()


def test_another_part_than_the_first_is_refused_with_the_name_to_open(folder: Path) -> None:
    with pytest.raises(CheckpointError, match=r"'m-00002-of-00003.gguf' is not the first of 3 files"):
        open_checkpoint(folder / "m-00002-of-00003.gguf")


def test_a_renamed_first_part_is_refused(folder: Path) -> None:
    (folder / "m-00001-of-00003.gguf").rename(folder / "model.gguf")
    with pytest.raises(CheckpointError, match=r"open the one named '...-00001-of-00003.gguf'"):
        open_checkpoint(folder / "model.gguf")


def test_a_missing_part_is_named(folder: Path) -> None:
    (folder / "m-00003-of-00003.gguf").unlink()
    with pytest.raises(CheckpointError, match=r"m-00003-of-00003.gguf.*No such file"):
        open_checkpoint(folder / "m-00001-of-00003.gguf")


@pytest.mark.parametrize(
    ("second", "message"),
    [
        (part(2), "'split.no' is 2; expected 1"),
        (part(1, count=4), "'split.count' is not 3"),
        (part(1, name="t0"), "'t0' is in two files"),
        (RawGguf().build(), "required key 'split.no' is missing"),
        (b"GGUF", "the file is truncated"),
    ],
)
def test_parts_that_do_not_belong_together_are_refused(folder: Path, second: bytes, message: str) -> None:
    (folder / "m-00002-of-00003.gguf").write_bytes(second)
    with pytest.raises(CheckpointError, match=message):
        open_checkpoint(folder / "m-00001-of-00003.gguf")


def test_a_split_with_another_number_of_tensors_is_refused(folder: Path) -> None:
    (folder / "m-00001-of-00003.gguf").write_bytes(part(0, total=4))
    with pytest.raises(CheckpointError, match=r"'split.tensors.count' is 4, but the files hold 3 tensors"):
        open_checkpoint(folder / "m-00001-of-00003.gguf")


@pytest.mark.parametrize("count", [0, 1025, 2**16 - 1])
def test_an_impossible_number_of_parts_is_refused(tmp_path: Path, count: int) -> None:
    file = tmp_path / "m-00001-of-00003.gguf"
    file.write_bytes(
        RawGguf(keys=[scalar("split.no", UINT16, 0), scalar("split.count", UINT32, count)]).build()
    )
    with pytest.raises(CheckpointError, match=r"'split.count' is"):
        open_checkpoint(file)
