"""Every wrong body of ``/v1/chat/completions`` has its message and its field."""

from __future__ import annotations

from typing import Any

import pytest

from jackfield.errors import RequestError, Unsupported
from jackfield_protocols.openai.requests import chat_request, decode_chat

HELLO = [{"role": "user", "content": "hi"}]
SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}


def translate(**fields: Any):
    return chat_request(decode_chat({"model": "m", "messages": HELLO, **fields}), request_id="r", owner="")


def formatted(schema: Any = SCHEMA, **extra: Any) -> dict[str, Any]:
    return {
        "type": "json_schema",
        "json_schema": {"name": "place", "strict": True, "schema": schema, **extra},
    }


def test_model_is_checked_before_messages():
    for body in ({}, {"model": None}, {"model": "  ", "messages": 3}):
        with pytest.raises(RequestError, match="model is required"):
            decode_chat(body)
    with pytest.raises(RequestError, match="messages is required"):
        decode_chat({"model": "m", "messages": "hi"})


@pytest.mark.parametrize(
    ("fields", "param", "message"),
    [
        ({"max_tokens": 0}, "max_tokens", "max_tokens is 0"),
        ({"n": 9}, "n", "expected int <= 8"),
        ({"top_logprobs": 3}, "top_logprobs", "needs logprobs"),
        ({"logit_bias": {"x": 1}}, "logit_bias", "token ids"),
        ({"reasoning_effort": "huge"}, "reasoning_effort", "expected one of"),
        ({"chat_template_kwargs": {"tokenize": True}}, "chat_template_kwargs", "not allowed"),
        ({"chat_template_kwargs": {"enable_thinking": [1]}}, "chat_template_kwargs", "scalar"),
        ({"tool_choice": "maybe"}, "tool_choice", "expected none, auto"),
        ({"stop": ["x" * 2000]}, "stop[0]", "length"),
        ({"temperature": 1e400}, "temperature", "expected"),
    ],
)
def test_a_wrong_field_is_named(fields, param, message):
    with pytest.raises(RequestError, match=message) as error:
        translate(**fields)
    assert error.value.param == param


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ({"type": "image_url", "image_url": {"url": "http://x/y.png"}}, "data:image"),
        ({"type": "image_url", "image_url": {"url": "file:///etc/passwd"}}, "data:image"),
        ({"type": "image_url", "image_url": {"url": "data:image/png;base64,@@"}}, "not valid base64"),
        ({"type": "input_audio"}, "expected text or image_url"),
        ({"type": "text"}, "must be a string"),
    ],
)
def test_a_wrong_part_is_refused(part, message):
    with pytest.raises(RequestError, match=message):
        translate(messages=[{"role": "user", "content": [part]}])


def test_text_parts_join_and_images_are_decoded():
    parts = [
        {"type": "text", "text": "a"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}},
        {"type": "text", "text": "b"},
    ]
    message = translate(messages=[{"role": "user", "content": parts}]).messages[0]
    assert message.content == "a\nb"
    assert message.images[0].data == b"hi"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("json", "must be an object"),
        ({}, "type is required"),
        ({"type": "xml"}, "unsupported type 'xml'"),
        ({"type": "json_schema"}, "json_schema must be an object"),
        ({"type": "json_schema", "json_schema": {"schema": SCHEMA}}, "name is required"),
        ({"type": "json_schema", "json_schema": {"name": "x", "schema": 3}}, "schema must be an object"),
        (formatted(strict=False), "strict must be true"),
        (formatted({**SCHEMA, "additionalProperties": True}), "additionalProperties must be false"),
        (formatted({**SCHEMA, "required": []}), "required must list 'city'"),
        (formatted({"type": "array", "items": SCHEMA}), "root must have type 'object'"),
    ],
)
def test_a_wrong_response_format_has_its_own_message(given, message):
    with pytest.raises(RequestError, match=message) as error:
        translate(response_format=given)
    assert error.value.param.startswith("response_format")


def test_structured_output_excludes_thinking_and_tools_unless_composed():
    tool = {"type": "function", "function": {"name": "f"}}
    for fields, message in (({"think": True}, "think=true"), ({"tools": [tool]}, "with tools")):
        with pytest.raises(RequestError, match=message):
            translate(response_format=formatted(), **fields)
        composed = translate(response_format=formatted(), x_jackfield={"compose_structured": True}, **fields)
        assert composed.constraint.kind == "schema"


def test_a_good_schema_and_a_flat_wrapper_are_taken():
    assert translate(response_format=formatted()).constraint.value == SCHEMA
    flat = {"type": "json_schema", "name": "place", "strict": True, "schema": SCHEMA}
    assert translate(response_format=flat).constraint.name == "place"
    assert translate(response_format={"type": "json_object"}).constraint.kind == "json"
    assert translate(response_format={"type": "text"}).constraint is None


def test_audio_output_is_refused():
    with pytest.raises(Unsupported, match="audio output"):
        translate(modalities=["text", "audio"])


def test_values_that_turn_a_field_off_are_taken():
    assert translate(top_k=-1).sampling.top_k == 0
    assert translate(top_logprobs=0).sampling.top_logprobs is None


def test_unknown_fields_are_ignored():
    assert translate(user="me", store=True, service_tier="auto", metadata={"a": 1}).model == "m"


def test_arguments_that_are_no_object_stay_text():
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "not json"}}
    request = translate(messages=[{"role": "assistant", "content": None, "tool_calls": [call]}])
    assert request.messages[0].tool_calls[0].arguments == "not json"
