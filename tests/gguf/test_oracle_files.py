"""Files that real tools wrote."""

from __future__ import annotations

from pathlib import Path

import gguf
import numpy as np
import pytest
from gguf import quants

from jackfield.gguf import open_checkpoint

pytestmark = pytest.mark.oracle


def test_every_reference_file_loads_and_dequantises(oracles: Path) -> None:
    paths = sorted(oracles.glob("*/*.gguf"))
    assert len(paths) > 40
    for path in paths:
        with open_checkpoint(path) as checkpoint:
            assert checkpoint.architecture
            for tensor in checkpoint.tensors.values():
                assert np.isfinite(tensor.to_float32()).all(), (path, tensor.name)


@pytest.mark.parametrize("name", ["llama/model-Q4_K_M.gguf", "qwen3moe/model-IQ4_XS.gguf"])
def test_tensors_are_those_the_gguf_package_reads(oracles: Path, name: str) -> None:
    expected = gguf.GGUFReader(oracles / name)
    with open_checkpoint(oracles / name) as checkpoint:
        assert list(checkpoint.tensors) == [tensor.name for tensor in expected.tensors]
        for tensor in expected.tensors:
            values = quants.dequantize(tensor.data, tensor.tensor_type)
            np.testing.assert_array_equal(checkpoint.tensors[tensor.name].to_float32(), values)


def test_a_large_vocabulary_is_read_whole(oracles: Path) -> None:
    with open_checkpoint(oracles / "vocab" / "ggml-vocab-qwen2.gguf") as checkpoint:
        tokens = checkpoint.metadata.texts("tokenizer.ggml.tokens")
        assert len(tokens) == 151_936
        assert len(checkpoint.metadata.texts("tokenizer.ggml.merges")) == 151_387
        assert (tokens[0], tokens[151_644]) == ("!", "<|im_start|>")
        assert len(checkpoint.metadata.integers("tokenizer.ggml.token_type")) == 151_936
