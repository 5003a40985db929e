"""A signal ends the server well: running answers finish, the rest get an ending, and it exits in time."""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
import sys
import textwrap
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from jackfield.errors import ConfigError
from jackfield.server import ServerSettings
from jackfield.server.app import RailApp
from jackfield.server.run import bind
from jackfield.service.events import Admitted, Finished, QueuePlace, TextDelta, Timings, Usage
from jackfield.testing.service import FakeService
from jackfield.testing.wire import Client, connect, eventually, request_bytes, served

pytestmark = pytest.mark.server
MakeApp = Callable[..., RailApp]
ADMITTED = Admitted("echo-tiny.gguf", 3, 0, 10)
FINISHED = Finished("stop", Usage(3, 0, 2), Timings(10, 0, 0, 5, 5))

PROGRAM = """
    import sys
    from pathlib import Path
    import jackfield.testing.plain_protocol
    from jackfield.host import Host
    from jackfield.server import ServerSettings, UploadLimits
    from jackfield.server.run import serve
    from jackfield.service.events import Admitted, Finished, TextDelta, Timings, Usage
    from jackfield.testing.service import FakeService

    class Service(FakeService):
        async def start(self):
            await super().start()
            if {slow_start}:
                print("starting", flush=True)
                import asyncio
                await asyncio.sleep(600)

        async def stop(self, drain_s):
            await super().stop(drain_s)
            print("stopped", self.num_stops, flush=True)

    def script(request):
        yield Admitted("echo-tiny.gguf", 3, 0, 10)
        yield TextDelta("begun")
        yield float(request.prompt)
        yield TextDelta("done")
        yield Finished("stop", Usage(3, 0, 2), Timings(10, 0, 0, 5, 5))

    settings = ServerSettings(
        port=0, drain_s={drain_s}, uploads=UploadLimits(directory=Path({folder!r}), free_disk_bytes=0)
    )
    host = Host({{"plain": jackfield.testing.plain_protocol}}, installed=False)
    sys.exit(serve(settings, Service(script=script), host, when_ready=lambda urls: print(urls[0], flush=True)))
"""


class ServerProcess:
    """A server in a process of its own, for signals."""

    def __init__(self, folder: Path, *, drain_s: float, slow_start: bool = False) -> None:
        source = PROGRAM.format(drain_s=drain_s, slow_start=slow_start, folder=str(folder / "uploads"))
        self.process = subprocess.Popen(
            [sys.executable, "-W", "error", "-c", textwrap.dedent(source)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def first_line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def port(self) -> int:
        return int(self.first_line().rpartition(":")[2])

    async def exit_code(self, timeout_s: float) -> int:
        return await asyncio.to_thread(self.process.wait, timeout_s)

    def end(self) -> tuple[str, str]:
        if self.process.poll() is None:
            self.process.kill()
        return self.process.communicate()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., ServerProcess]]:
    processes: list[ServerProcess] = []

    def begin(**options: Any) -> ServerProcess:
        processes.append(ServerProcess(tmp_path, **options))
        return processes[-1]

    yield begin
    for process in processes:
        process.end()


async def begun(port: int, seconds: float) -> Client:
    """Return a client whose answer has begun and will take that long."""
    client = await connect(port)
    client.writer.write(request_bytes("POST", "/plain/generate", {"prompt": str(seconds)}))
    await client.head()
    assert await anext(client.chunks()) == b'{"text":"begun"}\n'
    return client


async def rest(client: Client) -> bytes:
    parts = [part async for part in client.chunks()]
    client.close()
    return b"".join(parts)


def test_running_streams_finish_and_the_exit_code_is_0(start: Any) -> None:
    async def scenario() -> None:
        server = start(drain_s=20.0)
        port = await asyncio.to_thread(server.port)
        clients = [await begun(port, 1.0) for _ in range(8)]
        idle = await connect(port)
        server.process.send_signal(signal.SIGTERM)
        await asyncio.sleep(0.3)
        with pytest.raises(ConnectionRefusedError):
            await connect(port)
        assert await idle.reader.read() == b""
        idle.close()
        for client in clients:
            assert (await rest(client)).endswith(b'{"text":"done"}\n{"finished":"stop"}\n{"end":true}\n')
        assert await server.exit_code(3) == 0
        output, errors = server.end()
        assert output.split() == ["stopped", "1"]
        assert "Traceback" not in errors

    asyncio.run(scenario())


def test_endless_streams_get_an_error_frame_at_the_deadline(start: Any) -> None:
    async def scenario() -> None:
        server = start(drain_s=0.5)
        client = await begun(await asyncio.to_thread(server.port), 600)
        server.process.send_signal(signal.SIGINT)
        assert await rest(client) == b'{"failed":"the server is shutting down"}\n'
        assert await server.exit_code(3) == 0
        assert "Traceback" not in server.end()[1]

    asyncio.run(scenario())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_it_within_a_second(start: Any, number: int) -> None:
    async def scenario() -> None:
        server = start(drain_s=600.0)
        client = await begun(await asyncio.to_thread(server.port), 600)
        server.process.send_signal(number)
        await asyncio.sleep(0.3)
        server.process.send_signal(number)
        assert await server.exit_code(1.5) == 128 + number
        assert b"shutting down" in await rest(client)
        assert "Traceback" not in server.end()[1]

    asyncio.run(scenario())


def test_a_signal_while_the_model_loads_ends_it(start: Any) -> None:
    async def scenario() -> None:
        server = start(drain_s=600.0, slow_start=True)
        assert await asyncio.to_thread(server.first_line) == "starting"
        server.process.send_signal(signal.SIGTERM)
        assert await server.exit_code(3) == 0
        assert "Traceback" not in server.end()[1]

    asyncio.run(scenario())


def test_requests_of_open_connections_are_refused_while_draining(make_app: MakeApp) -> None:
    async def scenario() -> None:
        service = FakeService(
            script=lambda r: [QueuePlace(1, 1), 600.0] if r.prompt == "queued" else [ADMITTED, 0.5, FINISHED]
        )
        async with served(make_app(service, drain_s=0.8)) as server:
            busy, queued = await connect(server.port), await connect(server.port)
            busy.writer.write(request_bytes("POST", "/plain/generate", {"prompt": "x"}))
            queued.writer.write(
                request_bytes("POST", "/plain/generate", {"prompt": "queued", "stream": False})
            )
            await eventually(lambda: service.num_running == 2)
            server.server.should_exit = True
            answer = await queued.answer()
            assert answer.status == 503
            assert 1 <= int(answer.headers["retry-after"]) <= 60
            assert (await busy.answer()).body.endswith(b'{"end":true}\n')
            for client in (busy, queued):
                client.close()

    asyncio.run(scenario())


def test_a_service_that_does_not_stop_holds_nothing_up(make_app: MakeApp) -> None:
    async def scenario() -> None:
        class Stubborn(FakeService):
            async def stop(self, drain_s: float) -> None:
                self.num_stops += 1

        service = Stubborn(script=[ADMITTED, TextDelta("begun"), 600.0])
        async with served(make_app(service, drain_s=0.1)) as server:
            client = await begun(server.port, 600)
            server.server.should_exit = True
            async with asyncio.timeout(3):
                assert await rest(client) == b'{"failed":"the server is shutting down"}\n'
        assert service.num_running == 0

    asyncio.run(scenario())


@asynccontextmanager
async def taken_port() -> AsyncGenerator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def test_a_taken_port_is_one_clear_sentence() -> None:
    async def scenario() -> None:
        async with taken_port() as port:
            with pytest.raises(ConfigError, match=rf"cannot listen on 127\.0\.0\.1:{port}: .*choose another"):
                bind(ServerSettings(port=0, extra_ports=(port,)))

    asyncio.run(scenario())


def test_a_host_that_does_not_exist_is_one_clear_sentence() -> None:
    with pytest.raises(ConfigError, match=r"cannot listen on 203\.0\.113\.7:0"):
        bind(ServerSettings(host="203.0.113.7", port=0, insecure=True))
