"""Well-formed files with impossible contents: every key wrong in turn, every tensor missing or misshapen.

What comes out is a model or one sentence that names what is wrong; nothing else, and no memory
taken on the word of a number.
"""

from __future__ import annotations

import math
import pkgutil
import re
import tracemalloc
from collections.abc import Iterator, Mapping
from types import SimpleNamespace
from typing import Any

import pytest

from jackfield.errors import CheckpointError, ProgramError, UnknownName
from jackfield.gguf import Checkpoint, Metadata, Tensor, open_checkpoint
from jackfield.gguf.values import Entry, NumberArray
from jackfield.host import Host
from jackfield.testing import families
from jackfield.testing.raw import FLOAT32, INT8, INT32, number
from jackfield.testing.tiny import make_checkpoint

FAMILIES = sorted(
    module.name.replace("_", "-") if module.name == "gpt_oss" else module.name
    for module in pkgutil.iter_modules(families.__path__)
)
VALUES: dict[str, Any] = {
    "absent": None,
    "zero": 0,
    "minus one": -1,
    "one": 1,
    "prime": 13,
    "2^31": 2**31,
    "2^32-1": 2**32 - 1,
    "2^64-1": 2**64 - 1,
    "float": 0.5,
    "nan": math.nan,
    "inf": math.inf,
    "tiny": 1e-45,
    "bool": True,
    "text": "x",
    "int array": NumberArray(number(INT32, 7) * 2, INT32),
    "byte array": NumberArray(number(INT8, 7) * 384, INT8),
    "float array": NumberArray(number(FLOAT32, math.nan) * 384, FLOAT32),
    "empty array": NumberArray(b"", INT32),
}
UNREAD = (
    ("nemotron", ".rope."),  # its attention knows no positions
    ("qwen35", ".rope.dimension_sections"),  # all sections of a text have one position
    ("diffusion", ".attention.causal"),  # the family is what it is
)
"""Beginnings of families' names, and parts of keys that their files have and nobody reads."""
NEVER_RIGHT = {"nan", "inf"}
OPTIONAL = (
    ".bias",
    ".scale",
    "output.weight",
    "rope_freqs.weight",
    ".attn_v.weight",
    "layer_output_scale.weight",
)


@pytest.fixture(scope="module")
def host() -> Host:
    return Host()


@pytest.fixture(scope="module", params=FAMILIES)
def checkpoint(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Checkpoint]:
    path = make_checkpoint(tmp_path_factory.mktemp("hostile") / "tiny.gguf", request.param)
    with open_checkpoint(path) as opened:
        yield opened


@pytest.fixture(params=["gpt2", "llama"], scope="module")
def vocabulary(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Metadata:
    path = make_checkpoint(tmp_path_factory.mktemp("words") / "tiny.gguf", vocabulary=request.param)
    with open_checkpoint(path) as opened:
        return opened.metadata


def changed(metadata: Metadata, key: str, value: Any) -> Metadata:
    entries = {name: Entry(metadata[name], metadata.type_name(name), 0) for name in metadata}
    entries.pop(key, None)
    if value is not None:
        entries[key] = Entry(value, f"{type(value).__name__} of the test", 0)
    return Metadata(entries, metadata.file)


def problem_of(call: Any, *arguments: Any) -> str | None:
    """Return the sentence of a clean error, ``None`` when there was none."""
    problem = None
    tracemalloc.start()
    try:
        call(*arguments)
    except (CheckpointError, ProgramError, UnknownName) as error:
        problem = error.message
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 64 << 20
    assert "\n" not in (problem or "")
    return problem


def is_unread(checkpoint: Checkpoint, key: str) -> bool:
    """Tell whether the family has no use for a key that its files have."""
    return any(checkpoint.architecture.startswith(name) and part in key for name, part in UNREAD)


def with_metadata(checkpoint: Checkpoint, metadata: Metadata) -> SimpleNamespace:
    return with_tensors(checkpoint, checkpoint.tensors, metadata)


def with_tensors(
    checkpoint: Checkpoint, tensors: Mapping[str, Tensor], metadata: Metadata | None = None
) -> SimpleNamespace:
    metadata = metadata or checkpoint.metadata
    return SimpleNamespace(
        path=checkpoint.path, metadata=metadata, tensors=tensors, architecture=checkpoint.architecture
    )


def test_any_hyper_parameter_may_be_anything(host: Host, checkpoint: Checkpoint) -> None:
    build = host.architecture(checkpoint.architecture).load()
    keys = [key for key in checkpoint.metadata if key.startswith(checkpoint.architecture)]
    assert problem_of(build, checkpoint) is None
    for key in keys:
        for name, value in VALUES.items():
            problem = problem_of(build, with_metadata(checkpoint, changed(checkpoint.metadata, key, value)))
            if name in NEVER_RIGHT and not is_unread(checkpoint, key):
                assert problem, (key, name)
                assert key in problem, (key, name, problem)


def test_a_missing_tensor_is_named_unless_it_is_optional(host: Host, checkpoint: Checkpoint) -> None:
    build = host.architecture(checkpoint.architecture).load()
    for name in checkpoint.tensors:
        rest = {other: tensor for other, tensor in checkpoint.tensors.items() if other != name}
        problem = problem_of(build, with_tensors(checkpoint, rest))
        if problem is None:  # a head of its own, biases, frequencies, values apart from keys
            assert name.endswith(OPTIONAL)
        else:  # another one may be missed: without a router the layer is taken for one without experts
            assert re.search(r"tensor '\S+' is missing", problem)


def test_a_misshapen_tensor_is_named(host: Host, checkpoint: Checkpoint) -> None:
    build = host.architecture(checkpoint.architecture).load()
    for name, tensor in checkpoint.tensors.items():
        shape = (tensor.shape[0] + 1, *tensor.shape[1:])
        wrong = Tensor(name, shape, tensor.form, tensor.file_offset, tensor.source)
        problem = problem_of(build, with_tensors(checkpoint, {**checkpoint.tensors, name: wrong}))
        if problem is None:  # a tied matrix may have more rows than the vocabulary has tokens
            assert name == "token_embd.weight"
        else:
            assert name in problem or name == "token_embd.weight"


def test_any_key_of_a_vocabulary_may_be_anything(host: Host, vocabulary: Metadata) -> None:
    make = host.tokenizer(vocabulary.text("tokenizer.ggml.model")).load()
    assert problem_of(make, vocabulary) is None
    for key in [key for key in vocabulary if key.startswith("tokenizer.ggml.")]:
        for name, value in VALUES.items():
            problem = problem_of(make, changed(vocabulary, key, value))
            if name in NEVER_RIGHT:
                assert problem is None or "tokenizer." in problem, (key, name, problem)
