"""A client may leave at any moment; what it started ends, and nothing stays behind."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from typing import Any

import pytest

from jackfield.server.app import RailApp
from jackfield.service.events import Admitted, Finished, QueuePlace, TextDelta, Timings, Usage
from jackfield.testing.service import FakeService, ScriptItem
from jackfield.testing.wire import Census, Client, connect, eventually, request_bytes, served

MakeApp = Callable[..., RailApp]
ADMITTED = Admitted("echo-tiny.gguf", 3, 0, 10)
FINISHED = Finished("stop", Usage(3, 0, 2), Timings(10, 0, 0, 5, 5))
TOKEN = TextDelta("a")
FOREVER = 600.0
MOMENTS: dict[str, list[ScriptItem]] = {
    "queue": [QueuePlace(1, 1), FOREVER],
    "prefill": [ADMITTED, FOREVER],
    "first token": [ADMITTED, TOKEN, FOREVER],
    "middle": [ADMITTED, *[TOKEN] * 20, FOREVER],
    "last": [ADMITTED, *[TOKEN] * 20, FINISHED],
}
NUM_DISCONNECTS = 200
NUM_AT_ONCE = 20


def script(request: Any) -> list[ScriptItem]:
    return MOMENTS[request.prompt]


async def leave(port: int, moment: str, *, is_stream: bool, is_rude: bool) -> None:
    """Ask, read a little, and go."""
    client = await connect(port)
    body = {"prompt": moment, "stream": is_stream}
    client.writer.write(request_bytes("POST", "/plain/generate", body))
    if is_stream and moment in ("first token", "middle", "last"):
        await client.head()
        await anext(client.chunks())
    else:
        await asyncio.sleep(0.01)
    (client.reset if is_rude else client.close)()


def test_two_hundred_disconnects_leave_nothing_behind(make_app: MakeApp) -> None:
    async def scenario() -> None:
        service = FakeService(script=script)
        app = make_app(service)
        async with served(app) as server:
            connections = server.server.server_state.connections

            def is_quiet() -> bool:
                return not connections and not service.num_running and not len(app.layers.rail.streams)

            await leave(server.port, "prefill", is_stream=True, is_rude=True)
            await eventually(is_quiet)
            await asyncio.sleep(0.2)
            gc.collect()  # files of other tests must not be closed by chance meanwhile
            before = Census.take()
            waiting = asyncio.Semaphore(NUM_AT_ONCE)

            async def one(number: int) -> None:
                async with waiting:
                    moment = list(MOMENTS)[number % len(MOMENTS)]
                    await leave(server.port, moment, is_stream=number % 3 > 0, is_rude=number % 2 > 0)

            await asyncio.gather(*(one(number) for number in range(NUM_DISCONNECTS)))
            await eventually(lambda: service.num_running == 0, 1.0)
            await eventually(is_quiet, 1.0)
            await eventually(lambda: Census.take() == before, 2.0)
            assert service.num_processed == len(service.requests)

    asyncio.run(scenario())


@pytest.mark.parametrize("moment", ["queue", "prefill", "first token"])
@pytest.mark.parametrize("is_stream", [True, False])
def test_the_generation_is_cancelled_within_a_second(make_app: MakeApp, moment: str, is_stream: bool) -> None:
    async def scenario() -> None:
        service = FakeService(script=script)
        async with served(make_app(service)) as server:
            client = await connect(server.port)
            client.writer.write(
                request_bytes("POST", "/plain/generate", {"prompt": moment, "stream": is_stream})
            )
            await eventually(lambda: service.num_running == 1)
            await asyncio.sleep(0.02)
            client.close()
            await eventually(lambda: service.num_running == 0, 1.0)
            assert service.num_cancelled == 1

    asyncio.run(scenario())


def test_work_that_is_no_generation_ends_with_its_client(make_app: MakeApp) -> None:
    async def scenario() -> None:
        outcomes: list[str] = []

        class SlowService(FakeService):
            async def load(self, model: str, backend: str | None = None, projector: str | None = None) -> Any:
                outcomes.append("began")
                try:
                    await asyncio.sleep(FOREVER)
                except asyncio.CancelledError:
                    outcomes.append("cancelled")
                    raise

        async with served(make_app(SlowService())) as server:
            client = await connect(server.port)
            client.writer.write(request_bytes("POST", "/plain/load", {}))
            await eventually(lambda: outcomes == ["began"])
            client.reset()
            await eventually(lambda: outcomes == ["began", "cancelled"], 1.0)

    asyncio.run(scenario())


def test_a_client_that_leaves_within_its_body_is_no_fault(
    make_app: MakeApp, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        async with served(make_app()) as server:
            client = await connect(server.port)
            whole = request_bytes("POST", "/plain/generate", {"prompt": "x" * 100})
            client.writer.write(whole[:-50])
            await asyncio.sleep(0.05)
            client.reset()
            await eventually(lambda: "left before the answer" in caplog.text)

    with caplog.at_level("INFO", "jackfield"):
        asyncio.run(scenario())
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


def test_survivors_of_an_abort_get_every_token(make_app: MakeApp) -> None:
    async def scenario() -> None:
        text = " ".join(f"w{index}" for index in range(60))
        service = FakeService(delay_s=0.003)
        async with served(make_app(service)) as server:
            clients = [await connect(server.port) for _ in range(20)]
            for client in clients:
                client.writer.write(
                    request_bytes("POST", "/plain/generate", {"prompt": text, "stream": True})
                )
            await eventually(lambda: service.num_running == 20)
            for client in clients[::2]:
                client.reset()
            answers = await asyncio.gather(*(client.answer() for client in clients[1::2]))
            for answer in answers:
                assert answer.body.count(b'"text"') == 60
                assert answer.body.endswith(b'{"end":true}\n')
            await eventually(lambda: service.num_running == 0, 1.0)
            assert service.num_cancelled == 10
            for client in clients[1::2]:
                client.close()

    asyncio.run(scenario())


def test_a_connection_is_reused_after_a_stream(make_app: MakeApp) -> None:
    async def scenario() -> None:
        async with served(make_app()) as server:
            client: Client = await connect(server.port)
            for _ in range(3):
                answer = await client.ask("POST", "/plain/generate", {"prompt": "a b"})
                assert answer.body.endswith(b'{"end":true}\n')
            client.close()

    asyncio.run(scenario())
