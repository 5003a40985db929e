"""Structured output through the real clients: whatever the weights, finished answers fit their schema."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import httpx
import jsonschema
import ollama
import openai
import pytest

from jackfield.testing.served import ServedModel
from jackfield.testing.tiny import make_checkpoint

pytestmark = pytest.mark.server
HELLO = [{"role": "user", "content": "Extract the city from: Paris, France."}]
SCHEMA = {
    "type": "object",
    "properties": {
        "city": {"enum": ["Paris", "Rome"]},
        "big": {"type": "boolean"},
        "note": {"type": ["null", "boolean"]},
    },
    "required": ["city", "big", "note"],
    "additionalProperties": False,
}
FORMAT = {"type": "json_schema", "json_schema": {"name": "place", "strict": True, "schema": SCHEMA}}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedModel]:
    path = make_checkpoint(tmp_path_factory.mktemp("models") / "tiny.gguf", "qwen3")
    with ServedModel(path) as server:
        yield server


@pytest.mark.parametrize("seed", range(8))
def test_a_schema_is_kept_at_any_temperature(sdk: openai.OpenAI, seed: int):
    answer = sdk.chat.completions.create(
        model="tiny", messages=HELLO, response_format=FORMAT, max_tokens=120, temperature=1.5, seed=seed
    )
    assert answer.choices[0].finish_reason == "stop"
    jsonschema.validate(json.loads(answer.choices[0].message.content), SCHEMA)


def test_a_stream_is_constrained_the_same(sdk: openai.OpenAI):
    stream = sdk.chat.completions.create(
        model="tiny", messages=HELLO, response_format=FORMAT, max_tokens=120, stream=True
    )
    text = "".join(chunk.choices[0].delta.content or "" for chunk in stream)
    jsonschema.validate(json.loads(text), SCHEMA)


def test_an_answer_cut_short_is_a_422_with_details(sdk: openai.OpenAI):
    with pytest.raises(openai.UnprocessableEntityError) as error:
        sdk.chat.completions.create(model="tiny", messages=HELLO, response_format=FORMAT, max_tokens=3)
    assert error.value.body["type"] == "invalid_response_error"
    assert error.value.body["details"]


def test_ollamas_format_takes_a_schema(served: ServedModel):
    with ollama.Client(served.url) as client:
        answer = client.chat("tiny", HELLO, format=SCHEMA, options={"num_predict": 120})
    jsonschema.validate(json.loads(answer.message.content), SCHEMA)


def test_a_choice_and_a_regex_are_kept(sdk: openai.OpenAI):
    def answer(**extra: object) -> str:
        created = sdk.chat.completions.create(
            model="tiny", messages=HELLO, max_tokens=40, temperature=1.0, seed=1, extra_body=extra
        )
        return created.choices[0].message.content

    assert answer(structured_outputs={"choice": ["yes", "no"]}) in ("yes", "no")
    assert re.fullmatch("[a-c]{3}-[0-9]", answer(guided_regex="[a-c]{3}-[0-9]"))


def test_a_bad_schema_is_refused_before_anything_runs(served: ServedModel):
    body = {"model": "tiny", "messages": HELLO, "stream": True, "format": {"type": "objekt"}}
    refused = httpx.post(f"{served.url}/api/chat", json=body)
    assert refused.status_code == 400
    assert "objekt" in refused.json()["error"]
