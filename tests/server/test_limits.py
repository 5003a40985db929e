"""What is too large, too slow or compressed is refused in time, and whoever sent it sees that."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest

from jackfield.server import BodyLimits
from jackfield.server.app import RailApp
from jackfield.testing.service import FakeService
from jackfield.testing.wire import connect, request_bytes, served

MakeApp = Callable[..., RailApp]
LIMITS = BodyLimits(json_bytes=1000, conversation_bytes=5000, upload_bytes=9000)
CHUNKED = b"POST /plain/generate HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n"
PIECE = b"10000\r\n" + b"x" * 65536 + b"\r\n"


def padded(num_bytes: int) -> bytes:
    start, end = b'{"prompt":"', b'","stream":false}'
    return start + b"x" * (num_bytes - len(start) - len(end)) + end


def as_chunks(body: bytes) -> bytes:
    pieces = [body[at : at + 700] for at in range(0, len(body), 700)]
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


@pytest.mark.parametrize(("num_bytes", "status"), [(4999, 200), (5000, 200), (5001, 413), (50_000, 413)])
@pytest.mark.parametrize("is_chunked", [False, True])
def test_the_limit_of_a_conversation_is_exact(
    make_app: MakeApp, num_bytes: int, status: int, is_chunked: bool
) -> None:
    async def scenario() -> None:
        async with served(make_app(bodies=LIMITS)) as server:
            client = await connect(server.port)
            body = padded(num_bytes)
            if is_chunked:
                client.writer.write(CHUNKED + as_chunks(body))
            else:
                client.writer.write(request_bytes("POST", "/plain/generate", body))
            answer = await client.answer()
            assert answer.status == status, answer.body
            client.close()

    asyncio.run(scenario())


def test_paths_that_say_nothing_take_small_bodies_only(open_client: Any) -> None:
    client = open_client(bodies=LIMITS)
    assert client.post("/plain/load", content=b"x" * 1001).status_code == 200, (
        "a body nobody reads is no harm"
    )
    assert client.post("/plain/generate", content=padded(5001)).status_code == 413


def test_an_endless_body_costs_no_memory(make_app: MakeApp) -> None:
    async def scenario() -> None:
        async with served(make_app(bodies=LIMITS)) as server:
            client = await connect(server.port)
            client.writer.write(CHUNKED)

            async def flood() -> None:
                while True:
                    client.writer.write(PIECE)
                    await client.writer.drain()

            flooding = asyncio.ensure_future(flood())
            tracemalloc.start()
            status, headers = await asyncio.wait_for(client.head(), 5)
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            flooding.cancel()
            await asyncio.wait({flooding})
            assert status == 413
            assert headers["connection"] == "close"
            assert peak < 2 * 2**20
            client.close()

    asyncio.run(scenario())


def test_a_client_that_reads_only_when_all_is_sent_sees_its_refusal(make_app: MakeApp) -> None:
    async def scenario() -> None:
        async with served(make_app(bodies=LIMITS)) as server:
            client = await connect(server.port, receive_bytes=4096)
            client.writer.write(CHUNKED)
            for _ in range(256):
                client.writer.write(PIECE)
                await client.writer.drain()
            status, headers = await client.head()
            assert (status, headers["connection"]) == (413, "close")
            client.close()

    asyncio.run(scenario())


def test_a_client_with_endless_headers_sees_its_refusal(make_app: MakeApp) -> None:
    async def scenario() -> None:
        async with served(make_app(bodies=LIMITS)) as server:
            client = await connect(server.port, receive_bytes=4096)
            client.writer.write(b"GET /plain/generate HTTP/1.1\r\nhost: localhost\r\n")
            for number in range(128):
                client.writer.write(b"x-%d: %s\r\n" % (number, b"x" * 65536))
                await client.writer.drain()
            assert (await client.answer()).status == 400
            assert await asyncio.wait_for(client.reader.read(), 5) == b"", "and then the connection ends"
            client.close()

    asyncio.run(scenario())


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd", "gzip, identity"])
def test_compressed_bodies_are_refused(open_client: Any, encoding: str) -> None:
    response = open_client().post("/plain/generate", content=b"x", headers={"content-encoding": encoding})
    assert response.status_code == 415
    assert (
        open_client()
        .post("/plain/generate", content=padded(100), headers={"content-encoding": "identity"})
        .status_code
        == 200
    )


def test_a_body_that_trickles_is_given_up(make_app: MakeApp) -> None:
    async def scenario() -> None:
        limits = BodyLimits(body_grace_s=0.2, body_bytes_per_s=1000)
        async with served(make_app(bodies=limits)) as server:
            client = await connect(server.port)
            client.writer.write(
                request_bytes("POST", "/plain/generate", b"", {"content-length": "5000"}) + b"{"
            )
            status, headers = await asyncio.wait_for(client.head(), 3)
            assert status == 408
            assert headers["connection"] == "close"
            client.close()

    asyncio.run(scenario())


def test_headers_that_trickle_are_given_up_on_new_and_on_used_connections(make_app: MakeApp) -> None:
    async def scenario() -> None:
        async with served(make_app(bodies=BodyLimits(header_arrival_s=0.2))) as server:
            fresh, used = await connect(server.port), await connect(server.port)
            assert (await used.ask("GET", "/health")).status == 200
            fresh.writer.write(b"GET /health HT")
            used.writer.write(b"GET /health HT")
            for client in (fresh, used):
                assert await asyncio.wait_for(client.reader.read(), 3) == b""
                client.close()

    asyncio.run(scenario())


def test_a_slow_answer_is_not_taken_for_slow_headers(make_app: MakeApp) -> None:
    async def scenario() -> None:
        service = FakeService(delay_s=0.3)
        async with served(make_app(service, bodies=BodyLimits(header_arrival_s=0.1))) as server:
            client = await connect(server.port)
            answer = await client.ask("POST", "/plain/generate", {"prompt": "a"})
            assert answer.body.endswith(b'{"end":true}\n')
            client.close()

    asyncio.run(scenario())


def test_header_limits_are_kept(make_app: MakeApp) -> None:
    async def scenario() -> None:
        async with served(make_app()) as server:
            many = {f"x-{index}": "1" for index in range(98)}
            for headers, status in [
                (many, 200),
                ({**many, "x-98": "1"}, 431),
                ({"x-long": "y" * 30_000}, 200),
                ({"x-long": "y" * 40_000}, 431),
            ]:
                client = await connect(server.port)
                answer = await client.ask("GET", "/health", None, headers)
                assert answer.status == status
                client.close()

    asyncio.run(scenario())
