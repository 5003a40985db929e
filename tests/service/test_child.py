"""An engine in a process of its own: what its death, its silence and its parent's end come to."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import pytest

from jackfield.errors import BackendError, CheckpointError, NotFound, RequestError
from jackfield.host import Host
from jackfield.service import child, engine_child, engine_spawn
from jackfield.service.child import ChildService
from jackfield.service.config import EngineConfig
from jackfield.service.contract import Service
from jackfield.service.engine_spawn import EarlyEngine
from jackfield.service.events import Event, Finished, TextDelta
from jackfield.service.requests import Message
from jackfield.testing.stage import collect, ending_of, error_of, make_request, run_service, text_of

R = TypeVar("R")
COMMAND = (sys.executable, "-P", "-m", "jackfield.testing.scripted_process")
FILE = "scripted.gguf"


def run(use: Callable[[ChildService], Awaitable[R]], model: str = FILE, **config: Any) -> R:
    """Start a service, await ``use`` of it, stop it."""

    settings = EngineConfig(model=model, models=["other.gguf", "bad.gguf", "slow.gguf"], **config)
    return run_service(ChildService(settings, Host(installed=False), command=COMMAND), use)


def pid_of(service: ChildService) -> int:
    running = service._child
    assert running is not None
    return running.process_id


async def until(condition: Callable[[], bool], within_s: float = 10.0) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass"
        await asyncio.sleep(0.01)


async def first_text(service: Service, request: Any) -> tuple[Any, Event]:
    stream = service.generate(request)
    async for event in stream:
        if isinstance(event, TextDelta):
            return stream, event
    raise AssertionError("no text came")


# ---- ordinary life ----


def test_answer_crosses_the_border_whole() -> None:
    events = run(lambda service: collect(service, make_request(user="say héllo 東京")))
    assert text_of(events) == "héllo 東京"
    assert ending_of(events).usage.num_completion_tokens == len("héllo 東京".encode())


def test_questions_are_answered_and_errors_keep_their_class() -> None:
    async def use(service: ChildService) -> None:
        tokens = (await service.tokenize("hé", add_special=True, parse_special=False)).tokens
        assert tokens == [256, *"hé".encode()]
        assert await service.detokenize([104, 105]) == "hi"
        rendered = await service.render([Message("user", "Hi")], [])
        assert rendered.text.endswith("<|im_start|>assistant\n")
        assert (await service.embed(["abc"], truncate=False))[0].num_tokens == 4
        with pytest.raises(RequestError, match="token 999999"):
            await service.detokenize([999999])

    run(use)


def test_refusals_come_as_they_were_raised() -> None:
    events = run(lambda service: collect(service, make_request(user="say x", temperature=-1.0)))
    assert error_of(events).error.param == "temperature"


def test_loading_is_told() -> None:
    told: list[tuple[str, int, int]] = []

    async def use() -> None:
        service = ChildService(
            EngineConfig(model=FILE),
            Host(installed=False),
            command=COMMAND,
            on_progress=lambda *step: told.append(step),
        )
        await service.start()
        await service.stop(0.0)

    asyncio.run(use())
    assert told == [("scripting", 1, 1)]


def test_deleted_session_ends_what_runs_in_it() -> None:
    async def use(service: ChildService) -> list[Event]:
        session = service.create_session("me")
        request = make_request(user="count 99999", session_id=session, max_tokens=None)
        running = asyncio.create_task(collect(service, request))
        await until(lambda: service.status().num_running == 1)
        await service.delete_session(session, "me")
        with pytest.raises(NotFound, match="no session"):
            await service.delete_session(session, "me")
        return await running

    assert ending_of(run(use)).reason == "cancelled"


# ---- leaving ----


def test_200_random_cancels_leave_nothing_behind() -> None:
    def probe() -> tuple[int, int]:
        return len(os.listdir("/proc/self/fd")) if Path(
            "/proc/self/fd"
        ).is_dir() else 0, threading.active_count()

    async def use(service: ChildService) -> None:
        dice = random.Random(7)
        await collect(service, make_request(user="say warm"))
        before, tasks = probe(), len(asyncio.all_tasks())

        async def leave(index: int) -> None:
            stream = service.generate(make_request(user="count 400", id=f"r{index}", max_tokens=None))
            wanted = dice.choice([0, 1, 2, 5, 20])
            task = asyncio.create_task(read(stream, wanted))
            await asyncio.wait([task], timeout=dice.random() * 0.1)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

        for start in range(0, 200, 20):
            await asyncio.gather(*[leave(index) for index in range(start, start + 20)])
        engine = service._child
        assert engine is not None
        assert not engine._streams
        last = engine._beat
        await until(lambda: engine._beat is not last and engine.load.num_running == 0)
        assert engine.load.num_waiting == 0
        assert len(asyncio.all_tasks()) == tasks
        assert probe() == before
        assert text_of(await collect(service, make_request(user="say still here"))) == "still here"

    async def read(stream: Any, wanted: int) -> None:
        try:
            for _ in range(wanted):
                await anext(stream)
        finally:
            await stream.aclose()

    run(use, queue_limit=1000)


def test_survivors_of_cancels_lose_no_token() -> None:
    async def use(service: ChildService) -> list[int]:
        tasks = [
            asyncio.create_task(collect(service, make_request(user="count 150", id=f"r{i}", max_tokens=None)))
            for i in range(20)
        ]
        await until(lambda: service.status().num_running == 20)
        for task in tasks[::2]:
            task.cancel()
        await asyncio.gather(*tasks[::2], return_exceptions=True)
        return [len(text_of(await task)) for task in tasks[1::2]]

    assert run(use) == [150] * 10


def test_slow_reader_holds_the_engine_and_loses_nothing() -> None:
    async def use(service: ChildService) -> str:
        stream, first = await first_text(
            service, make_request(user="count 1500", max_tokens=None, top_logprobs=0)
        )
        await asyncio.sleep(0.5)
        assert service._child is not None
        [reader] = service._child._streams.values()
        assert reader.buffer._num_bytes < 40_000
        rest = [event async for event in stream]
        return text_of([first, *rest])

    assert run(use, stream_buffer_bytes=4096) == "x" * 1500


# ---- dying ----


def test_killed_engine_ends_streams_and_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child, "FIRST_PAUSE_S", 0.05)

    async def use(service: ChildService) -> None:
        running = asyncio.create_task(collect(service, make_request(user="count 99999", max_tokens=None)))
        await until(lambda: service.status().num_running == 1)
        os.kill(pid_of(service), signal.SIGKILL)
        events = await asyncio.wait_for(running, 2)
        assert error_of(events).error.kind == "Unavailable"
        assert "SIGKILL" in error_of(events).error.message
        assert service.status().state == "restarting"
        refused = error_of(await collect(service, make_request(user="say x"))).error
        assert refused.kind == "Unavailable"
        assert refused.retry_after_s
        await until(lambda: service.status().state == "ready")
        assert service.status().num_restarts == 1
        assert text_of(await collect(service, make_request(user="say back"))) == "back"

    run(use)


def test_crash_keeps_what_was_said_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child, "FIRST_PAUSE_S", 0.05)
    events = run(lambda service: collect(service, make_request(user="crash 5")))
    assert text_of(events) == "xxxxx"
    assert "SIGABRT" in error_of(events).error.message


def test_stopped_process_is_declared_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_child, "SILENT_S", 1.0)
    monkeypatch.setattr(child, "FIRST_PAUSE_S", 0.05)

    async def use(service: ChildService) -> None:
        running = asyncio.create_task(collect(service, make_request(user="count 99999", max_tokens=None)))
        await until(lambda: service.status().num_running == 1)
        os.kill(pid_of(service), signal.SIGSTOP)
        events = await asyncio.wait_for(running, 5)
        assert "no sign of life" in error_of(events).error.message
        await until(lambda: service.status().state == "ready")

    run(use)


def test_dead_engine_in_a_living_process_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child, "FIRST_PAUSE_S", 0.05)

    async def use(service: ChildService) -> None:
        events = await collect(service, make_request(user="die"))
        assert isinstance(events[-1], Finished) or "its thread died" in error_of(events).error.message
        await until(lambda: service.status().num_restarts == 1)

    run(use)


def test_engine_that_keeps_dying_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child, "FIRST_PAUSE_S", 0.01)

    async def use(service: ChildService) -> None:
        await until(lambda: service.status().state == "failed", 20)
        assert "5 times within 60 s" in service.status().reason
        assert (
            error_of(await collect(service, make_request(user="say x", model="flaky"))).error.kind
            == "Unavailable"
        )
        await service.load("other")
        assert service.status().state == "ready"
        assert text_of(await collect(service, make_request(user="say x", model="other"))) == "x"

    run(use, "flaky.gguf")


# ---- starting and replacing ----


def test_bad_model_is_one_clear_error_and_no_loop() -> None:
    with pytest.raises(CheckpointError, match="damaged: told to be"):
        run(lambda service: asyncio.sleep(0), "bad.gguf")


def test_crash_while_loading_names_the_signal() -> None:
    with pytest.raises(BackendError, match="SIGABRT"):
        run(lambda service: asyncio.sleep(0), "crash.gguf")


def test_loading_that_takes_too_long_is_ended() -> None:
    with pytest.raises(BackendError, match="not loaded within 2 s"):
        run(lambda service: asyncio.sleep(0), "slow.gguf", start_timeout_s=2.0)


def test_other_model_takes_over_while_the_old_one_finishes() -> None:
    async def use(service: ChildService) -> tuple[list[Event], list[Event]]:
        old = asyncio.create_task(collect(service, make_request(user="count 300", max_tokens=None)))
        await until(lambda: service.status().num_running == 1)
        info = await service.load("other")
        assert info.file == "other.gguf"
        new = await collect(service, make_request(user="say new", model="OTHER:latest"))
        return await old, new

    old, new = run(use)
    assert len(text_of(old)) == 300
    assert text_of(new) == "new"


def test_model_that_cannot_be_loaded_leaves_the_old_one() -> None:
    async def use(service: ChildService) -> str:
        with pytest.raises(CheckpointError, match="damaged"):
            await service.load("bad.gguf")
        with pytest.raises(NotFound, match="'nowhere' not found"):
            await service.load("nowhere")
        return text_of(await collect(service, make_request(user="say old")))

    assert run(use) == "old"


# ---- ending ----


def test_drain_lets_a_stream_finish_and_refuses_new_ones() -> None:
    async def use(service: ChildService) -> list[Event]:
        running = asyncio.create_task(collect(service, make_request(user="count 300", max_tokens=None)))
        await until(lambda: service.status().num_running == 1)
        stopping = asyncio.create_task(service.stop(20.0))
        await asyncio.sleep(0.05)
        assert error_of(await collect(service, make_request(user="say x"))).error.kind == "Unavailable"
        await stopping
        return await running

    events = run(use)
    assert len(text_of(events)) == 300
    assert ending_of(events).reason == "stop"


def test_drain_ends_at_its_deadline_with_an_error() -> None:
    async def use(service: ChildService) -> list[Event]:
        running = asyncio.create_task(collect(service, make_request(user="count 99999", max_tokens=None)))
        await until(lambda: service.status().num_running == 1)
        await service.stop(0.2)
        return await running

    assert error_of(run(use)).error.kind == "Unavailable"


def test_child_dies_with_its_parent() -> None:
    program = (
        "import asyncio, os, sys\n"
        "from jackfield.host import Host\n"
        "from jackfield.service.child import ChildService\n"
        "from jackfield.service.config import EngineConfig\n"
        "async def main():\n"
        "    service = ChildService(EngineConfig(model='scripted.gguf'), Host(installed=False),\n"
        "        command=(sys.executable, '-P', '-m', 'jackfield.testing.scripted_process'))\n"
        "    await service.start()\n"
        "    print(service._child.process_id, flush=True)\n"
        "    os.kill(os.getpid(), 9)\n"
        "asyncio.run(main())\n"
    )
    parent = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=30, check=False)
    orphan = int(parent.stdout)
    deadline = time.monotonic() + 2
    while _is_alive(orphan):
        assert time.monotonic() < deadline, "the child outlived its parent"
        time.sleep(0.02)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/stat")
    return not (status.exists() and status.read_text().rsplit(")", 1)[1].split()[0] == "Z")


def test_load_that_is_given_up_leaves_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[subprocess.Popen[bytes]] = []

    def note(command: Sequence[str]) -> subprocess.Popen[bytes]:
        started.append(engine_spawn.spawn(command))
        return started[-1]

    monkeypatch.setattr(engine_child, "spawn", note)

    async def use(service: ChildService) -> None:
        loading = asyncio.create_task(service.load("slow"))
        await until(lambda: len(started) == 2)
        loading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await loading
        assert started[1].returncode is not None
        assert text_of(await collect(service, make_request(user="say old"))) == "old"

    run(use)


def test_program_that_cannot_be_started_is_a_clear_error() -> None:
    async def start() -> None:
        service = ChildService(EngineConfig(model=FILE), Host(installed=False), command=["/nowhere/python"])
        with pytest.raises(BackendError, match="cannot be started"):
            await service.start()
        assert service.status().state == "failed"

    asyncio.run(start())


# ---- a process that was started before its server ----


def serve_early(early: EarlyEngine, use: Callable[[ChildService], Awaitable[R]]) -> R:
    async def session() -> R:
        service = ChildService(early_config(), Host(installed=False), command=COMMAND, early=early)
        try:
            await service.start()
            return await use(service)
        finally:
            await service.stop(0.0)

    return asyncio.run(session())


def early_config(model: str = FILE) -> EngineConfig:
    return EngineConfig(model=model, models=[FILE])


def test_early_engine_answers_and_is_replaced_like_any_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child, "FIRST_PAUSE_S", 0.05)

    async def use(service: ChildService) -> None:
        assert pid_of(service) == early.take().pid
        assert text_of(await collect(service, make_request(user="say one"))) == "one"
        os.kill(pid_of(service), signal.SIGKILL)
        await until(lambda: service.status().num_restarts == 1)
        assert pid_of(service) != early.take().pid
        assert text_of(await collect(service, make_request(user="say two"))) == "two"

    with EarlyEngine(early_config(), COMMAND) as early:
        serve_early(early, use)


@pytest.mark.parametrize(
    ("model", "message"),
    [("bad.gguf", "is damaged: told to be"), ("crash.gguf", "while it loaded the model")],
)
def test_early_engine_that_fails_says_why_to_a_server_that_comes_later(model: str, message: str) -> None:
    async def nothing(service: ChildService) -> None:
        raise AssertionError("it must not start")

    with EarlyEngine(early_config(model), COMMAND) as early:
        early.take().wait(30)
        with pytest.raises(BackendError if model == "crash.gguf" else CheckpointError, match=message):
            serve_early(early, nothing)


def test_early_engine_that_nobody_takes_is_ended() -> None:
    with EarlyEngine(early_config("slow.gguf"), COMMAND) as early:
        process = early._process
        assert process.poll() is None
    assert process.returncode == -signal.SIGKILL
