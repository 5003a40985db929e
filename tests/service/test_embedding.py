"""Vectors of a real program: pooled as the file says, compared for ranking, refused where there is a head."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import numpy as np
import pytest

from jackfield.errors import ContextOverflow, RequestError, Unsupported
from jackfield.host import Host
from jackfield.service.catalogue import pooling_of
from jackfield.service.config import EngineConfig
from jackfield.service.contract import Embedding
from jackfield.service.hosting import HostedModel
from jackfield.service.opening import open_model
from jackfield.service.thread import ThreadService
from jackfield.testing.stage import run_service
from jackfield.testing.tiny import make_checkpoint

R = TypeVar("R")


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_checkpoint(tmp_path_factory.mktemp("models") / "tiny.gguf", "qwen3")


def serve(
    path: Path, use: Callable[[ThreadService], Awaitable[R]], pooling: str | None = "mean", **config: Any
) -> R:
    def opened(config: EngineConfig, host: Host, progress: Any) -> HostedModel:
        model = open_model(config, host, progress)
        return dataclasses.replace(model, info=_with_pooling(model, pooling))

    settings = EngineConfig(model=str(path), backend="reference", context_length=64, **config)
    return run_service(ThreadService(settings, opener=opened), use)


def _with_pooling(model: HostedModel, pooling: str | None) -> Any:

    return msgspec.structs.replace(model.info, pooling=pooling)


def test_kinds_of_pooling_are_rows_of_the_same_text(path: Path):
    async def use(service: ThreadService) -> list[Embedding]:
        return await service.embed(["a few words", "a few words and more"], truncate=False)

    by_kind = {kind: serve(path, use, kind, max_rows=16) for kind in ("mean", "first", "last")}
    firsts = [np.array(embedding.values) for embedding in by_kind["first"]]
    assert np.allclose(firsts[0], firsts[1], atol=1e-5)  # a causal model's first row sees nothing after it
    for embeddings in by_kind.values():
        assert math.isclose(np.linalg.norm(embeddings[1].values), 1.0, rel_tol=1e-5)
    vectors = [np.array(by_kind[kind][1].values) for kind in ("mean", "first", "last")]
    assert not any(np.allclose(vectors[i], vectors[j], atol=1e-3) for i, j in ((0, 1), (0, 2), (1, 2)))


def test_ranking_puts_the_text_itself_first(path: Path):
    async def use(service: ThreadService) -> list[Any]:
        return await service.rank("a few words", ["something else", "a few words", "words a few"])

    other, same, _ = serve(path, use)
    assert math.isclose(same.score, 1.0, rel_tol=1e-5)
    assert other.score < same.score
    assert same.num_tokens > 0


def test_ranking_head_is_refused_clearly(path: Path):
    async def use(service: ThreadService) -> None:
        with pytest.raises(Unsupported, match="ranking head"):
            await service.embed(["x"], truncate=False)
        with pytest.raises(Unsupported, match="ranking head"):
            await service.rank("x", ["y"])

    serve(path, use, None)


def test_text_that_is_too_long_is_cut_only_when_asked(path: Path):
    async def use(service: ThreadService) -> int:
        with pytest.raises(ContextOverflow):
            await service.embed(["word " * 100], truncate=False)
        [cut] = await service.embed(["word " * 100], truncate=True)
        return cut.num_tokens

    assert serve(path, use) == 64


@pytest.mark.parametrize(
    ("kind", "pooling"), [(1, "mean"), (2, "first"), (3, "last"), (4, None), (0, "mean")]
)
def test_pooling_is_read_from_the_file(kind: int, pooling: str | None):
    class Named:
        architecture = "qwen3"

        def __init__(self) -> None:
            self.metadata = {"qwen3.pooling_type": kind}

    assert pooling_of(Named()) == pooling


def test_shortened_vector_has_unit_length():
    embedding = Embedding([3.0, 4.0, 12.0], 1)
    assert embedding.shortened(2) == [0.6, 0.8]
    assert embedding.shortened(None) == embedding.values
    with pytest.raises(RequestError, match="at most 3"):
        embedding.shortened(4)
