"""The observer that writes a line for each request."""

from __future__ import annotations

import asyncio
import logging

import pytest

from jackfield.service.events import TextDelta
from jackfield.service.thread import ThreadService
from jackfield.testing.stage import Stage, make_request, saying
from jackfield_plugins.observers import request_log

LOGGER = "jackfield.requests"


@pytest.fixture
def stage(caplog: pytest.LogCaptureFixture) -> Stage:
    caplog.set_level(logging.INFO, LOGGER)
    return Stage(saying("Hello secret world"), plugins={"request-log": request_log}, context=20_000)


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == LOGGER]


def test_hook_event_emitted_logs_one_line_without_any_text(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    stage.ask(make_request(id="abc", user="What is the secret?", protocol="openai"))
    [line] = [line for line in lines(caplog) if line.startswith("abc")]
    assert line.startswith("abc openai: ")
    assert " prompt tokens (0 cached) + 18" in line
    assert line.endswith(", stop")
    assert "secret" not in line


def test_hook_engine_started_and_stopped_are_logged(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    stage.ask()
    first, *_, last = lines(caplog)
    assert first.startswith("scripted.gguf answers: ")
    assert last == "the engine stopped: the server is shutting down"


def test_refused_request_is_logged_with_its_code(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    stage.ask(make_request(id="abc", user="x" * 30_000))
    assert "abc test: failed with context_length_exceeded" in lines(caplog)


def test_each_choice_has_a_line(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    stage.ask(make_request(id="abc", user="Hi", num_choices=2))
    endings = sorted(line.rpartition(", ")[2] for line in lines(caplog) if line.startswith("abc"))
    assert endings == ["choice 1 of 2", "choice 2 of 2"]


def test_request_nobody_reads_to_its_end_is_logged_as_cancelled(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    stage.engine.delay_s = 0.005

    async def leave(service: ThreadService) -> None:
        stream = service.generate(make_request(id="abc", user="Hi"))
        async for event in stream:
            if isinstance(event, TextDelta):
                break
        await stream.aclose()  # type: ignore[attr-defined]  # the protocol only promises an iterator
        await asyncio.sleep(0)

    stage.run(leave)
    assert any(line.startswith("abc test: ") and line.endswith(", cancelled") for line in lines(caplog))
