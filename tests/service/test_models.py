"""Real parts around small real files: the same request through every placement."""

from __future__ import annotations

import asyncio
from importlib.metadata import EntryPoint, EntryPoints, entry_points
from pathlib import Path
from typing import TypeVar

import pytest

from jackfield.descriptors import SamplerDescriptor
from jackfield.errors import BackendError, CheckpointError, UnknownName
from jackfield.hooks import hookimpl
from jackfield.host import Host
from jackfield.service.child import ChildService
from jackfield.service.config import EngineConfig
from jackfield.service.contract import Service
from jackfield.service.events import Admitted, Event
from jackfield.service.requests import GenerationRequest, Message
from jackfield.service.thread import ThreadService
from jackfield.testing.stage import (
    collect,
    ending_of,
    error_of,
    make_request,
    run_service,
    text_of,
    thinking_of,
)
from jackfield.testing.tiny import make_checkpoint

R = TypeVar("R")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_checkpoint(tmp_path_factory.mktemp("models") / "tiny.gguf", "qwen3", context_length=2048)


def ask(service: Service, *requests: GenerationRequest) -> list[list[Event]]:
    async def use(service: Service) -> list[list[Event]]:
        return [await collect(service, request) for request in requests]

    return run_service(service, use)


def make(model: Path, backend: str = "reference", **fields: object) -> EngineConfig:
    return EngineConfig(model=str(model), backend=backend, threads=1, **fields)  # type: ignore[arg-type]


def test_thread_and_child_say_the_same(model: Path) -> None:
    request = make_request(model="tiny", user="Tell me.", max_tokens=24)
    [in_thread] = ask(ThreadService(make(model), Host()), request)
    [in_child] = ask(ChildService(make(model), Host()), request)
    assert text_of(in_thread) == text_of(in_child) != ""
    assert ending_of(in_thread).reason == ending_of(in_child).reason == "length"


def test_null_backend_repeats_the_prompt_and_ends_with_its_end_token(model: Path) -> None:
    [events] = ask(
        ThreadService(make(model, "null"), Host()), make_request(model="tiny", user="Hello friend")
    )
    assert text_of(events) == "user\nHello friend"
    assert ending_of(events).reason == "stop"


def test_second_turn_meets_nearly_all_of_the_first_in_the_cache(model: Path) -> None:
    async def use(service: Service) -> tuple[int, int]:
        first = [Message("user", "Tell me a long story about a small house by the sea.")]
        events = await collect(service, make_request(model="tiny", messages=first, max_tokens=40))
        shared = ending_of(events).usage.num_prompt_tokens + ending_of(events).usage.num_completion_tokens
        second = [*first, Message("assistant", text_of(events)), Message("user", "And then?")]
        admitted = (await collect(service, make_request(model="tiny", messages=second, max_tokens=4)))[0]
        assert isinstance(admitted, Admitted)
        return admitted.num_cached_tokens, shared

    cached, shared = run_service(ThreadService(make(model), Host()), use)
    assert cached >= 0.95 * shared


def test_answers_are_the_same_alone_and_together(model: Path) -> None:
    requests = [
        make_request(id=f"r{i}", model="tiny", user=f"Number {i}: " + "word " * i, max_tokens=16)
        for i in range(6)
    ]

    async def together(service: Service) -> list[str]:
        return [text_of(events) for events in await asyncio.gather(*[collect(service, r) for r in requests])]

    alone = [text_of(events) for events in ask(ThreadService(make(model), Host()), *requests)]
    assert run_service(ThreadService(make(model), Host()), together) == alone


def test_cancels_give_every_page_back(model: Path) -> None:
    async def use(service: Service) -> None:
        async def leave(index: int) -> None:
            request = make_request(id=f"r{index}", model="tiny", user="x" * index, max_tokens=None)
            task = asyncio.create_task(collect(service, request))
            await asyncio.sleep(0.01 * (index % 7))
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

        num_pages = service.status().num_pages
        await asyncio.gather(*[leave(index) for index in range(40)])
        for _ in range(500):
            if service.status().num_running == 0 and service.status().num_free_pages == num_pages:
                return
            await asyncio.sleep(0.01)
        raise AssertionError(service.status())

    run_service(ThreadService(make(model, queue_limit=100), Host()), use)


def test_overflow_is_refused_before_anything_runs(model: Path) -> None:
    [events] = ask(
        ThreadService(make(model, context_length=64), Host()), make_request(model="tiny", user="x" * 100)
    )
    assert error_of(events).error.kind == "ContextOverflow"
    assert error_of(events).error.numbers["n_ctx"] == 64


OPENS_THINKING = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n<think>\n"
    "{% if enable_thinking is defined and not enable_thinking %}\n</think>\n\n{% endif %}{% endif %}"
    "{# <tool_call> #}"
)


def test_thinking_leaves_room_for_an_answer_and_off_means_off(tmp_path: Path) -> None:
    path = make_checkpoint(tmp_path / "thinker.gguf", "qwen3", chat_template=OPENS_THINKING)
    on = make_request(model="thinker", user="Why?", think=True, max_tokens=60, ignore_eos=True)
    off = make_request(model="thinker", user="Why?", max_tokens=20, ignore_eos=True)
    thoughtful, plain = ask(ThreadService(make(path), Host()), on, off)
    assert len(thinking_of(thoughtful)) > 0
    assert len(text_of(thoughtful)) > 0
    assert 20 < ending_of(thoughtful).usage.num_reasoning_tokens <= 41
    assert thinking_of(plain) == ""
    assert len(text_of(plain)) > 0


def test_vectors_have_length_one(model: Path) -> None:
    async def use(service: Service) -> float:
        [embedding] = await service.embed(["a few words"], truncate=False)
        return sum(value * value for value in embedding.values)

    assert run_service(ThreadService(make(model), Host()), use) == pytest.approx(1.0, rel=1e-4)


def test_other_file_takes_over_and_a_bad_one_does_not(model: Path, tmp_path: Path) -> None:
    other = make_checkpoint(tmp_path / "other.gguf", "llama", seed=3)
    damaged = tmp_path / "damaged.gguf"
    damaged.write_bytes(model.read_bytes()[:5000])
    config = EngineConfig(model=str(model), models=[str(other), str(damaged)], backend="null", threads=1)

    async def use(service: Service) -> None:
        with pytest.raises(CheckpointError, match="damaged"):
            await service.load("damaged")
        with pytest.raises(UnknownName, match="no backend named 'cdua'"):
            await service.load("other", backend="cdua")
        assert service.resolve_model("tiny").file == "tiny.gguf"
        assert (await service.load("other")).architecture == "llama"
        assert service.available_models() == ["tiny.gguf", "other.gguf", "damaged.gguf"]
        assert ending_of(await collect(service, make_request(model="other", user="Hi"))).reason == "stop"

    run_service(ThreadService(config, Host()), use)


class BrokenSampler:
    @hookimpl
    def jackfield_samplers(self) -> list[SamplerDescriptor]:
        return [SamplerDescriptor(name="broken", summary="", factory="no_such_module:stage")]


BROKEN = BrokenSampler()


def test_a_sampler_that_cannot_be_imported_fails_no_request(
    model: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    found = [*entry_points(group="jackfield"), EntryPoint("broken", f"{__name__}:BROKEN", "jackfield")]
    monkeypatch.setattr("jackfield.plugins.entry_points", lambda group: EntryPoints(found))
    [events] = ask(ThreadService(make(model, "null"), Host()), make_request(model="tiny", user="Hi"))
    assert ending_of(events).reason == "stop"
    assert "plugin 'broken' (- -) failed and is left out" in caplog.text


def test_missing_file_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="cannot open"):
        ask(ChildService(make(tmp_path / "nowhere.gguf"), Host()))


def test_context_that_does_not_fit_is_refused_with_figures(model: Path) -> None:
    with pytest.raises(BackendError, match=r"needs .* MiB"):
        ask(ThreadService(make(model, memory_reserve=1 << 60, context_length=512), Host()))


def test_service_without_a_model_says_so() -> None:
    [events] = ask(ThreadService(EngineConfig(), Host()), make_request(model="tiny", user="Hi"))
    assert "no model is loaded" in error_of(events).error.message
