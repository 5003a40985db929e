"""What a file says of itself."""

from __future__ import annotations

from pathlib import Path

from jackfield.gguf import open_checkpoint
from jackfield.service.catalogue import digest_of, metadata_of, parameters_of, quantization_of
from jackfield.service.file_watch import FileWatch
from jackfield.testing.tiny import make_checkpoint


def test_quantisation_is_the_tensors_own_when_the_file_claims_another(tmp_path: Path) -> None:
    def named(file_type: int) -> str:
        path = make_checkpoint(
            tmp_path / f"{file_type}.gguf",
            "llama",
            tensor_type="Q8_0",
            metadata={"general.file_type": file_type},
        )
        with open_checkpoint(path) as checkpoint:
            return quantization_of(checkpoint)

    assert named(7) == "Q8_0"
    assert named(15) == "Q8_0"


def test_long_lists_are_left_out_of_the_metadata(tmp_path: Path) -> None:
    with open_checkpoint(make_checkpoint(tmp_path / "tiny.gguf", "llama")) as checkpoint:
        metadata = metadata_of(checkpoint)
        assert parameters_of(checkpoint) > 10_000
    assert metadata["tokenizer.ggml.tokens"] is None
    assert metadata["general.architecture"] == "llama"


def test_digest_depends_on_the_weights_too(tmp_path: Path) -> None:
    digests = [digest_of([make_checkpoint(tmp_path / f"{seed}.gguf", "llama", seed=seed)]) for seed in (1, 2)]
    again = digest_of([make_checkpoint(tmp_path / "again.gguf", "llama", seed=1)])
    assert digests[0] != digests[1]
    assert digests[0] == again


def test_file_that_is_replaced_is_safe_and_one_that_is_changed_is_not(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(b"old")
    watch = FileWatch([path])
    assert watch.damage() is None
    other = tmp_path / "other.gguf"
    other.write_bytes(b"longer")
    other.rename(path)
    assert watch.damage() is None
    path.unlink()
    assert watch.damage() is None
    path.write_bytes(b"old")
    watch = FileWatch([path])
    with path.open("ab") as file:
        file.write(b"more")
    assert "was changed in place" in (watch.damage() or "")
