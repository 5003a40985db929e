"""Agents written with the real SDKs: a question, a call, its result, an answer; over a service and a chat format."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import anthropic
import ollama
import openai
import pytest

from jackfield.engine.contract import SequenceRequest
from jackfield.host import Host
from jackfield.server import ServerSettings, build_app
from jackfield.testing.byte_text import ByteTokenizer
from jackfield.testing.live import LiveServer
from jackfield.testing.stage import Stage
from jackfield_plugins.formats.hermes import HermesFormat

MODEL = "scripted"
QUESTION = "What is the weather in Paris and in Rome?"
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TEMPERATURES = {"Paris": "18 degrees", "Rome": "25 degrees"}
ANSWER = "Paris has 18 degrees, Rome has 25 degrees."


def weather(city: str) -> str:
    return TEMPERATURES[city]


def follow(request: SequenceRequest) -> list[int]:
    """Call the tool for both cities, then answer from the results that are in the prompt."""
    prompt = bytes(token for token in request.prompt if token < 256).decode()
    if all(result in prompt for result in TEMPERATURES.values()):
        text = ANSWER
    else:
        calls = [json.dumps({"name": "weather", "arguments": {"city": city}}) for city in TEMPERATURES]
        text = "Let me look.\n" + "\n".join(f"<tool_call>\n{call}\n</tool_call>" for call in calls)
    return ByteTokenizer().encode(text)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    stage = Stage(follow, chat_format=HermesFormat(), context=4096)
    service = stage.make_service()
    host = Host(allow=["ollama", "openai", "responses", "anthropic"])
    asyncio.run(service.start())
    with LiveServer(build_app(ServerSettings(port=0), service, host)) as server:
        yield server.url
    asyncio.run(service.stop(0.0))


@pytest.fixture
def openai_client(url: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{url}/v1", api_key="not-needed", max_retries=0) as client:
        yield client


@pytest.mark.parametrize("stream", [False, True])
def test_openai_chat(openai_client: openai.OpenAI, stream: bool):
    tool = {"type": "function", "function": {"name": "weather", "parameters": SCHEMA}}
    messages: list[Any] = [{"role": "user", "content": QUESTION}]

    def turn() -> Any:
        asked = {"model": MODEL, "messages": messages, "tools": [tool], "max_tokens": 300}
        if not stream:
            return openai_client.chat.completions.create(**asked).choices[0]
        with openai_client.chat.completions.stream(**asked) as chunks:
            return chunks.get_final_completion().choices[0]

    first = turn()
    assert first.finish_reason == "tool_calls"
    assert first.message.content.strip() == "Let me look."
    messages.append(first.message.model_dump(exclude_none=True, warnings=False))
    for call in first.message.tool_calls:
        result = weather(**json.loads(call.function.arguments))
        messages.append({"role": "tool", "tool_call_id": call.id, "content": result})
    last = turn()
    assert (last.finish_reason, last.message.content) == ("stop", ANSWER)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("by_id", [False, True])
def test_openai_responses(openai_client: openai.OpenAI, stream: bool, by_id: bool):
    tool = {"type": "function", "name": "weather", "parameters": SCHEMA, "strict": False}

    def turn(items: Any, **more: Any) -> Any:
        asked = {"model": MODEL, "input": items, "tools": [tool], **more}
        if not stream:
            return openai_client.responses.create(**asked)
        with openai_client.responses.stream(**asked) as events:
            return events.get_final_response()

    first = turn(QUESTION)
    calls = [item for item in first.output if item.type == "function_call"]
    results = [
        {
            "type": "function_call_output",
            "call_id": call.call_id,
            "output": weather(**json.loads(call.arguments)),
        }
        for call in calls
    ]
    if by_id:
        last = turn(results, previous_response_id=first.id)
    else:
        output = [item.model_dump(exclude_none=True, warnings=False) for item in first.output]
        last = turn([{"role": "user", "content": QUESTION}, *output, *results])
    assert (last.status, last.output_text) == ("completed", ANSWER)


@pytest.mark.parametrize("stream", [False, True])
def test_anthropic_messages(url: str, stream: bool):
    tool = {"name": "weather", "input_schema": SCHEMA}
    messages: list[Any] = [{"role": "user", "content": QUESTION}]
    with anthropic.Anthropic(base_url=url, api_key="not-needed", max_retries=0) as client:

        def turn() -> Any:
            asked = {"model": MODEL, "messages": messages, "tools": [tool], "max_tokens": 300}
            if not stream:
                return client.messages.create(**asked)
            with client.messages.stream(**asked) as events:
                return events.get_final_message()

        first = turn()
        assert first.stop_reason == "tool_use"
        messages.append({"role": "assistant", "content": first.content})
        results = [
            {"type": "tool_result", "tool_use_id": block.id, "content": weather(**block.input)}
            for block in first.content
            if block.type == "tool_use"
        ]
        messages.append({"role": "user", "content": results})
        last = turn()
    assert (last.stop_reason, last.content[0].text) == ("end_turn", ANSWER)
    assert last.usage.cache_read_input_tokens > 0


@pytest.mark.parametrize("stream", [False, True])
def test_ollama_chat(url: str, stream: bool):
    messages: list[Any] = [{"role": "user", "content": QUESTION}]
    with ollama.Client(url) as client:

        def turn() -> Any:
            asked = {
                "model": MODEL,
                "messages": messages,
                "tools": [weather],
                "options": {"num_predict": 300},
            }
            if not stream:
                return client.chat(**asked).message
            pieces = [piece.message for piece in client.chat(**asked, stream=True)]
            calls = [call for piece in pieces for call in piece.tool_calls or []]
            text = "".join(piece.content or "" for piece in pieces)
            return ollama.Message(role="assistant", content=text, tool_calls=calls or None)

        first = turn()
        messages.append(first)
        for call in first.tool_calls:
            result = weather(**call.function.arguments)
            messages.append({"role": "tool", "tool_name": call.function.name, "content": result})
        last = turn()
    assert last.content == ANSWER
    assert not last.tool_calls
