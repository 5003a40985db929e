"""A stream has the right status, stays alive, and ends exactly once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from jackfield.errors import BackendError, ContextOverflow, NumericalError, QueueFull
from jackfield.server import StreamTimes
from jackfield.server.app import RailApp
from jackfield.service.events import Admitted, Finished, QueuePlace, TextDelta, Timings, Usage
from jackfield.testing.service import FakeService, ScriptItem
from jackfield.testing.wire import connect, request_bytes, served

MakeApp = Callable[..., RailApp]
ADMITTED = Admitted("echo-tiny.gguf", 3, 0, 10)
FINISHED = Finished("stop", Usage(3, 0, 2), Timings(10, 0, 0, 5, 5))


def lines_of(body: bytes) -> list[dict[str, Any]]:
    return [msgspec.json.decode(line) for line in body.splitlines()]


def stream(client: Any, **body: Any) -> Any:
    return client.post("/plain/generate", json={"prompt": "hello big world", **body})


def test_a_stream_is_deltas_then_one_finish_then_one_end(open_client: Any) -> None:
    response = stream(open_client())
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/x-ndjson"
    assert response.headers["cache-control"] == "no-cache"
    assert lines_of(response.content) == [
        {"text": "hello"},
        {"text": " big"},
        {"text": " world"},
        {"finished": "stop"},
        {"end": True},
    ]


def test_the_same_request_in_one_piece_has_the_same_text(open_client: Any) -> None:
    response = stream(open_client(), stream=False)
    assert response.json() == {"text": "hello big world"}


def test_the_end_comes_after_the_last_choice(open_client: Any) -> None:
    lines = lines_of(stream(open_client(), choices=3).content)
    assert lines.count({"finished": "stop"}) == 3
    assert lines[-1] == {"end": True}
    assert lines.count({"end": True}) == 1


@pytest.mark.parametrize("is_stream", [True, False])
@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ContextOverflow("the prompt is too long"), 400),
        (QueueFull("the queue is full"), 503),
        (BackendError("the kernel failed"), 500),
    ],
)
def test_a_refusal_before_the_first_byte_has_a_real_status(
    open_client: Any, is_stream: bool, error: Exception, status: int
) -> None:
    response = stream(open_client(FakeService(script=[error])), stream=is_stream)
    assert response.status_code == status
    assert response.json() == {"plain": [status, str(error)]}


def test_a_refusal_after_a_short_wait_in_the_queue_still_has_a_real_status(open_client: Any) -> None:
    service = FakeService(script=[QueuePlace(1, 1), 0.01, ContextOverflow("the prompt is too long")])
    assert stream(open_client(service)).status_code == 400


def test_a_long_wait_in_the_queue_is_shown_in_the_stream(open_client: Any) -> None:
    service = FakeService(
        script=[QueuePlace(2, 2), QueuePlace(1, 2), 0.2, ADMITTED, TextDelta("hi"), FINISHED]
    )
    response = stream(open_client(service, streams=StreamTimes(queue_grace_s=0.05)))
    assert response.status_code == 200
    assert lines_of(response.content)[0] == {"place": 1}
    assert lines_of(response.content)[-1] == {"end": True}


@pytest.mark.parametrize("num_tokens", range(11))
@pytest.mark.parametrize("fault", [NumericalError("logits are not finite"), RuntimeError("secret detail")])
def test_a_fault_after_any_token_ends_the_stream_once(
    open_client: Any, num_tokens: int, fault: Exception
) -> None:
    tokens: list[ScriptItem] = [TextDelta(str(index)) for index in range(num_tokens)]
    service = FakeService(script=[ADMITTED, *tokens, fault, TextDelta("never")])
    lines = lines_of(stream(open_client(service)).content)
    assert [line["text"] for line in lines[:-1]] == [str(index) for index in range(num_tokens)]
    assert list(lines[-1]) == ["failed"]
    assert "secret" not in lines[-1]["failed"]
    assert service.num_running == 0


def test_a_service_that_just_stops_still_gives_an_ending(open_client: Any) -> None:
    lines = lines_of(stream(open_client(FakeService(script=[ADMITTED, TextDelta("a")]))).content)
    assert lines[0] == {"text": "a"}
    assert "without a result" in lines[1]["failed"]
    assert len(lines) == 2


def test_silence_is_filled_with_heartbeats(open_client: Any) -> None:
    service = FakeService(script=[ADMITTED, 0.35, TextDelta("late"), FINISHED])
    lines = lines_of(stream(open_client(service, streams=StreamTimes(heartbeat_s=0.1))).content)
    assert lines.count({"text": ""}) >= 2
    assert {"text": "late"} in lines
    assert b"" not in msgspec.json.encode(lines).splitlines()


def test_events_without_frames_do_not_put_the_heartbeat_off(open_client: Any) -> None:
    silent: list[ScriptItem] = [item for _ in range(12) for item in (ADMITTED, 0.03)]
    service = FakeService(script=[*silent, FINISHED])
    lines = lines_of(stream(open_client(service, streams=StreamTimes(heartbeat_s=0.1))).content)
    assert lines.count({"text": ""}) >= 2


def test_headers_are_on_the_wire_before_the_first_token(make_app: MakeApp) -> None:
    async def scenario() -> None:
        service = FakeService(script=[ADMITTED, 30.0, TextDelta("late"), FINISHED])
        async with served(make_app(service, drain_s=0.0)) as server:
            client = await connect(server.port)
            client.writer.write(request_bytes("POST", "/plain/generate", {"prompt": "x"}))
            async with asyncio.timeout(2):
                status, _ = await client.head()
            assert status == 200
            client.close()

    asyncio.run(scenario())


def test_a_client_that_stops_reading_is_dropped_and_its_generation_cancelled(make_app: MakeApp) -> None:
    async def scenario() -> None:
        flood: list[ScriptItem] = [ADMITTED, *(TextDelta("x" * 10_000) for _ in range(2000)), FINISHED]
        service = FakeService(
            script=lambda request: flood if request.prompt == "flood" else [ADMITTED, FINISHED]
        )
        times = StreamTimes(stall_s=0.3, heartbeat_s=0.1)
        async with served(make_app(service, streams=times)) as server:
            slow = [await connect(server.port, receive_bytes=4096) for _ in range(4)]
            for client in slow:
                client.writer.write(request_bytes("POST", "/plain/generate", {"prompt": "flood"}))
            normal = await connect(server.port)
            for _ in range(20):
                assert (await normal.ask("POST", "/plain/generate", {"prompt": "x"})).status == 200
            async with asyncio.timeout(5):
                while service.num_running:
                    await asyncio.sleep(0.01)
            assert service.num_cancelled == 4
            assert len(server.server.server_state.connections) == 1
            for client in [*slow, normal]:
                client.close()

    asyncio.run(scenario())


def test_one_stream_does_not_starve_the_others(make_app: MakeApp) -> None:
    """A source that is always ready, and a reader that stalls and then leaves, must not hold the loop."""

    async def scenario() -> None:
        def endless(request: object) -> Any:
            yield ADMITTED
            while True:
                yield TextDelta("x" * 200)

        service = FakeService(script=lambda r: endless(r) if r.prompt == "endless" else [ADMITTED, FINISHED])
        async with served(make_app(service)) as server:
            greedy = await connect(server.port, receive_bytes=4096)
            greedy.writer.write(request_bytes("POST", "/plain/generate", {"prompt": "endless"}))
            await asyncio.sleep(0.2)
            other = await connect(server.port)
            assert (await other.ask("GET", "/health")).status == 200
            greedy.reset()
            async with asyncio.timeout(2):
                while service.num_running:
                    await asyncio.sleep(0.01)
            started_s = time.process_time()
            await asyncio.sleep(0.5)
            assert time.process_time() - started_s < 0.25, "something still spins after the client left"
            assert (await other.ask("GET", "/health")).status == 200
            other.close()

    asyncio.run(scenario())
