"""Health tells the truth, metrics count, and one event is one log line."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from jackfield.server.logs import configure_logging
from jackfield.server.request_id import current_request_id
from jackfield.testing.service import FakeService


@pytest.mark.parametrize(
    ("state", "age_s", "status", "word"),
    [
        ("ready", 0.0, 200, "ok"),
        ("loading", 0.0, 200, "ok"),
        ("ready", 10.5, 503, "error"),
        ("starting", 0.0, 503, "loading model"),
        ("restarting", 0.0, 503, "loading model"),
        ("stopped", 0.0, 503, "error"),
        ("failed", 0.0, 503, "error"),
    ],
)
def test_health_is_the_engines_not_the_processs(
    open_client: Any, state: Any, age_s: float, status: int, word: str
) -> None:
    service = FakeService()
    service.state, service.heartbeat_age_s = state, age_s
    response = open_client(service).get("/health")
    assert response.status_code == status
    assert response.json()["status"] == word


def test_metrics_count_answers_and_show_the_engine(open_client: Any) -> None:
    client = open_client()
    client.post("/plain/generate", json={"prompt": "x"})
    client.get("/nothing")
    answer = client.get("/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    lines = answer.text.splitlines()
    assert 'jackfield_http_answers_total{status="200"} 1' in lines
    assert 'jackfield_http_answers_total{status="404"} 1' in lines
    assert 'jackfield_engine_state{state="ready"} 1' in lines
    assert "jackfield_requests_processed_total 1" in lines
    assert "jackfield_open_streams 0" in lines


@pytest.fixture
def restored_loggers() -> Iterator[None]:
    loggers = [logging.getLogger(name) for name in ("jackfield", "uvicorn")]
    before = [(logger.handlers, logger.propagate, logger.level) for logger in loggers]
    yield
    for logger, (handlers, propagate, level) in zip(loggers, before, strict=True):
        logger.handlers, logger.propagate = handlers, propagate
        logger.setLevel(level)


EVIL = "a\r\nFAKE 12:00:00 info\x1b[31m\u2028b\x00"


@pytest.mark.usefixtures("restored_loggers")
def test_a_text_log_line_cannot_pose_as_two(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging()
    token = current_request_id.set("id-1")
    logging.getLogger("jackfield.server").info("model %s", EVIL)
    current_request_id.reset(token)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert "[id-1] jackfield.server: model a\\x0d\\x0aFAKE" in lines[0]
    assert "\x1b" not in lines[0]


@pytest.mark.usefixtures("restored_loggers")
def test_a_json_log_line_is_one_object(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(json_lines=True)
    try:
        raise ValueError(EVIL)
    except ValueError:
        logging.getLogger("jackfield.server").exception("model %s", EVIL)
    (line,) = capsys.readouterr().err.rstrip("\n").split("\n")
    record = json.loads(line)
    assert record["message"] == f"model {EVIL}"
    assert record["level"] == "error"
    assert "ValueError" in record["traceback"]


@pytest.mark.usefixtures("restored_loggers")
def test_prompts_are_not_logged(open_client: Any, capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging()
    client = open_client()
    client.post("/plain/generate", json={"prompt": "the secret plan"})
    client.post("/plain/generate", content=b'{"prompt": "the secret plan"')
    logged = capsys.readouterr().err
    assert "POST /plain/generate 200" in logged
    assert "secret" not in logged
