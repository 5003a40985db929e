"""The llama-server tools."""

from __future__ import annotations

from collections.abc import Callable

import httpx

from jackfield.testing.service import FakeService


def test_tokenize_and_detokenize_are_inverse(serve: Callable[[FakeService], str]):
    url = serve(FakeService())
    tokens = httpx.post(f"{url}/tokenize", json={"content": "hé"}).json()["tokens"]
    assert httpx.post(f"{url}/detokenize", json={"tokens": tokens}).json() == {"content": "hé"}
    pieces = httpx.post(f"{url}/tokenize", json={"content": "hé", "with_pieces": True}).json()["tokens"]
    assert [piece["piece"] for piece in pieces] == ["h", [0xC3], [0xA9]]


def test_template_and_props_describe_the_model(serve: Callable[[FakeService], str]):
    url = serve(FakeService())
    body = {"messages": [{"role": "user", "content": "hi"}]}
    assert httpx.post(f"{url}/apply-template", json=body).json()["prompt"] == "user: hi\n"
    props = httpx.get(f"{url}/props").json()
    assert props["default_generation_settings"]["n_ctx"] == 4096
    assert props["chat_template"]


def test_wrong_bodies_are_refused_in_shape(serve: Callable[[FakeService], str]):
    url = serve(FakeService())
    for path, body in (
        ("/tokenize", {}),
        ("/detokenize", {"tokens": ["a"]}),
        ("/detokenize", {"tokens": [-1]}),
    ):
        response = httpx.post(url + path, json=body)
        assert response.status_code == 400
        assert response.json()["error"]["code"] == 400
    response = httpx.get(f"{serve(FakeService(hosted=False))}/props")
    assert response.status_code == 503
