"""No body, however broken, large or slow, costs more than a clear refusal."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from litestar.testing import TestClient

from jackfield.errors import RequestError
from jackfield.host import Host
from jackfield.server import BodyLimits, ServerSettings, UploadLimits, build_app, decode_json
from jackfield.server.app import RailApp
from jackfield.testing.service import FakeService
from jackfield.testing.wire import connect, request_bytes, served

MakeApp = Callable[..., RailApp]
FIELDS = (
    "prompt",
    "messages",
    "model",
    "input",
    "sessionId",
    "tools",
    "options",
    "temperature",
    "content",
    "name",
)


def nested(depth: int, opening: bytes = b"[", closing: bytes = b"]") -> bytes:
    return opening * depth + closing * depth


MALFORMED: dict[str, bytes] = {
    "empty": b"",
    "blank": b" \n ",
    "nul": b"\x00",
    "bare word": b"hello",
    "half": b'{"prompt": "hi"',
    "open string": b'{"prompt": "hi',
    "open escape": b'{"prompt": "\\',
    "single quotes": b"{'prompt': 'hi'}",
    "trailing comma": b'{"prompt": "hi",}',
    "two values": b"{}{}",
    "comment": b'{"prompt": "hi" /* x */}',
    "bad utf-8": b'{"prompt": "\xff\xfe"}',
    "cut utf-8": b'{"prompt": "\xe2\x82"}',
    "overlong utf-8": b'{"prompt": "\xc0\xaf"}',
    "utf-8 surrogate": b'{"prompt": "\xed\xa0\x80"}',
    "bad utf-8 key": b'{"\xff": 1}',
    "bom": b'\xef\xbb\xbf{"prompt": "hi"}',
    "utf-16": '{"prompt": "hi"}'.encode("utf-16"),
    "utf-32": '{"prompt": "hi"}'.encode("utf-32"),
    "lone surrogate": b'{"prompt": "\\ud800"}',
    "lone low surrogate": b'{"prompt": "\\udc00"}',
    "swapped surrogates": b'{"prompt": "\\udc00\\ud800"}',
    "bad escape": b'{"prompt": "\\x41"}',
    "raw newline": b'{"prompt": "a\nb"}',
    "raw nul": b'{"prompt": "a\x00b"}',
    "nan": b'{"temperature": NaN}',
    "infinity": b'{"temperature": Infinity}',
    "minus infinity": b'{"temperature": -Infinity}',
    "too large float": b'{"temperature": 1e999}',
    "leading zero": b'{"temperature": 01}',
    "plus": b'{"temperature": +1}',
    "hex": b'{"temperature": 0x10}',
    "long integer": b'{"temperature": ' + b"9" * 5000 + b"}",
    "very long integer": b'{"temperature": ' + b"9" * 200_000 + b"}",
    "long exponent": b'{"temperature": 1e' + b"9" * 5000 + b"}",
    "depth 65": nested(65),
    "depth 900": nested(900),
    "depth 2000": nested(2000),
    "depth 100000": nested(100_000),
    "depth of objects": nested(2000, b'{"a":', b"}").replace(b":}", b":1}"),
    "depth inside a field": b'{"messages": ' + nested(3000) + b"}",
    "mixed depth": nested(5000, b'[{"a":', b"}]").replace(b":}", b":[]}"),
    "unbalanced": b"[" * 100_000,
    "wrong brackets": b"[}" * 1000,
    "quotes": b'"' * 100_001,
    "escaped quotes": b'"' + b'\\"' * 200_000,
    "backslashes": b'"' + b"\\" * 200_001,
    "many keys": b"{" + b",".join(b'"%d":0' % index for index in range(100_001)) + b"}",
    "null": b"null",
    "true": b"true",
    "number": b"1",
    "string": b'"hi"',
    "array": b"[]",
    "array of objects": b"[{}]",
}
ODD_VALUES: list[Any] = [
    None,
    True,
    -1,
    2**31,
    2**63,
    2**64,
    10**18,
    1.5,
    "",
    "\u0000",
    [],
    {},
    [None],
    [[]],
    {"a": 1},
]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Every installed protocol, behind a client without a network."""
    limits = UploadLimits(directory=tmp_path_factory.mktemp("up") / "uploads", free_disk_bytes=0)
    settings = ServerSettings(allow_hosts=("testserver.local",), uploads=limits)
    app = build_app(settings, FakeService(), Host())
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


def post_paths(client: Any) -> list[str]:
    return [route.path_format for route in client.app.routes if "POST" in getattr(route, "methods", ())]


def takes_no_body(path: str) -> bool:
    return path in ("/api/sessions", "/api/blobs/{digest}")


@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_body_is_the_clients_mistake_on_every_path(whole: Any, name: str) -> None:
    paths = post_paths(whole)
    assert len(paths) > 15
    for path in paths:
        response = whole.post(path, content=MALFORMED[name], headers={"content-type": "application/json"})
        if takes_no_body(path):
            assert response.status_code < 500, (path, response.text)
            continue
        assert response.status_code in (400, 413, 415, 403, 501), (path, response.text)
        assert response.headers["content-type"] == "application/json"
        assert "error" in response.json() or response.json().get("type") == "error"


@pytest.mark.parametrize("value", ODD_VALUES, ids=repr)
def test_a_wrong_type_in_any_field_is_never_a_server_error(whole: Any, value: Any) -> None:
    base = {
        "model": "echo-tiny",
        "messages": [{"role": "user", "content": "hi"}],
        "prompt": "hi",
        "stream": False,
    }
    for path in post_paths(whole):
        for field in FIELDS:
            response = whole.post(path, json={**base, field: value})
            assert response.status_code < 500, (path, field, value, response.text)


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "application/octet-stream", ""]
)
def test_json_is_read_whatever_the_client_calls_it(open_client: Any, content_type: str) -> None:
    response = open_client().post(
        "/plain/generate", content=b'{"prompt":"a b","stream":false}', headers={"content-type": content_type}
    )
    assert response.json() == {"text": "a b"}


def test_a_field_of_the_wrong_type_is_named(open_client: Any) -> None:
    response = open_client().post("/plain/generate", json={"prompt": 5})
    assert response.json() == {"plain": [400, "field 'prompt' has the wrong form: expected str, got int"]}


@pytest.mark.parametrize("depth", [1, 63, 64])
def test_depth_up_to_the_limit_is_read(depth: int) -> None:
    assert decode_json(nested(depth)) is not None


def test_brackets_and_colons_in_strings_do_not_count() -> None:
    text = "[{:," * 100_000 + '\\"\\\\'
    assert decode_json(msgspec.json.encode({"prompt": text})) == {"prompt": text}


def test_more_values_than_allowed_are_refused_before_they_exist() -> None:
    limits = BodyLimits(json_values=1000)
    assert len(decode_json(msgspec.json.encode([0] * 999), limits)) == 999
    with pytest.raises(RequestError, match="more than 1000 values"):
        decode_json(msgspec.json.encode([0] * 1001), limits)
    with pytest.raises(RequestError, match="more than 1000 values"):
        decode_json(msgspec.json.encode([[]] * 1000), limits)


def test_large_bodies_are_checked_in_linear_time() -> None:
    """A quadratic check of these eight megabytes would take minutes."""
    for body in (b'"' + b'\\"' * 4_000_000, b"[" * 8_000_000, b'"' * 8_000_001, b"[]," * 2_700_000):
        with pytest.raises(RequestError):
            decode_json(body)


@pytest.mark.parametrize(
    "request_text",
    [
        b"POST /plain/generate HTTP/1.1\r\nhost: localhost\r\ncontent-length: -5\r\n\r\n",
        b"POST /plain/generate HTTP/1.1\r\nhost: localhost\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello!",
        b"POST /plain/generate HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: gzip, chunked\r\n\r\n",
        b"POST /plain/generate HTTP/1.1\r\nhost: localhost\r\n x: folded\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"NOT HTTP AT ALL\r\n\r\n",
    ],
)
def test_what_is_not_http_is_refused_and_the_server_goes_on(make_app: MakeApp, request_text: bytes) -> None:
    async def scenario() -> None:
        async with served(make_app(bodies=BodyLimits(header_arrival_s=0.3))) as server:
            client = await connect(server.port)
            client.writer.write(request_text)
            first = await asyncio.wait_for(client.reader.read(100), 3)
            assert first == b"" or b" 400 " in first or b" 501 " in first, first
            client.close()
            other = await connect(server.port)
            assert (await other.ask("GET", "/health")).status == 200
            other.close()

    asyncio.run(scenario())


def test_pipelined_requests_are_answered_in_order(make_app: MakeApp) -> None:
    async def scenario() -> None:
        async with served(make_app()) as server:
            client = await connect(server.port)
            prompts = [f"p{index}" for index in range(20)]
            client.writer.write(
                b"".join(
                    request_bytes("POST", "/plain/generate", {"prompt": p, "stream": False}) for p in prompts
                )
            )
            answers = [await client.answer() for _ in prompts]
            assert [answer.json() for answer in answers] == [{"text": prompt} for prompt in prompts]
            client.close()

    asyncio.run(scenario())
