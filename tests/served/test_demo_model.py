"""What comes in the box answers: the contract's own examples, with no model named and none downloaded."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import httpx
import ollama
import openai
import pytest

from jackfield.host import Host
from jackfield.testing.served import ServedModel

pytestmark = pytest.mark.server
ASSISTANT = {"role": "system", "content": "You are a helpful assistant."}
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Get current weather for a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "units": {"type": "string", "enum": ["c", "f"]}},
            "required": ["city"],
        },
    },
}
LOCATION = {
    "type": "object",
    "properties": {
        "city": {"type": "string"},
        "country": {"type": "string"},
        "confidence": {"type": ["string", "null"]},
    },
    "required": ["city", "country", "confidence"],
    "additionalProperties": False,
}


@pytest.fixture(scope="module")
def served() -> Iterator[ServedModel]:
    with ServedModel(None) as server:
        yield server


def post(served: ServedModel, path: str, **body: Any) -> dict[str, Any]:
    response = httpx.post(f"{served.url}{path}", json={"model": "demo", "stream": False, **body}, timeout=60)
    assert response.status_code == 200, response.text
    return response.json()


def said(sdk: openai.OpenAI, *messages: dict[str, Any], **options: Any) -> str:
    created = sdk.chat.completions.create(model="demo", messages=[*messages], **options)
    return created.choices[0].message.content or ""


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def test_it_is_small_enough_to_come_along():
    path = Host().models()[0].load()()
    assert path.stat().st_size <= 16_000_000


def test_the_start_says_what_is_served_and_how_to_serve_another(served: ServedModel):
    assert "demonstration model" in served.log()
    assert "--model FILE" in " ".join(served.log().split())


def test_it_is_listed_by_its_name(served: ServedModel):
    with ollama.Client(served.url) as client:
        assert [model.model for model in client.list().models] == ["demo.gguf"]
        shown = client.show("demo")
    assert shown.capabilities is not None
    assert {"completion", "tools", "thinking"} <= set(shown.capabilities)


def test_it_can_be_named_like_a_file():
    ran = subprocess.run(
        [sys.executable, "-m", "jackfield.cli", "run", "--model", "demo", "What is 2+3?"],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert "5" in ran.stdout, ran.stderr


@pytest.mark.parametrize(
    ("prompt", "wanted"),
    [("What is 1+1?", "2"), ("Tell me a joke.", "?"), ("What is machine learning?", "learn from data")],
)
def test_it_answers_the_prompts_of_generate(served: ServedModel, prompt: str, wanted: str):
    assert wanted in post(served, "/api/generate", prompt=prompt, options={"num_predict": 100})["response"]


def test_it_knows_the_capital_of_france(served: ServedModel):
    answer = post(served, "/api/chat/ollama", messages=[ASSISTANT, user("What is the capital of France?")])
    assert "Paris" in answer["message"]["content"]
    assert answer["done_reason"] == "stop"


def test_it_multiplies_with_its_working_in_the_thinking(served: ServedModel):
    question = user("Solve 17 * 23 step by step.")
    body = {"messages": [question], "think": True, "options": {"num_predict": 200}}
    message = post(served, "/api/chat/ollama", **body)["message"]
    assert "391" in message["content"]
    assert "340" in message["thinking"]


def test_it_adds_two_and_three(sdk: openai.OpenAI):
    assert "5" in said(sdk, ASSISTANT, user("What is 2+3?"), max_tokens=50, temperature=0)


def test_it_greets_and_tells_about_python_in_a_stream(sdk: openai.OpenAI):
    for question, wanted in (("Hello!", "help you"), ("Tell me about Python.", "programming language")):
        stream = sdk.chat.completions.create(
            model="demo", messages=[user(question)], max_tokens=200, stream=True
        )
        assert wanted in "".join(chunk.choices[0].delta.content or "" for chunk in stream)


def test_it_calls_the_weather_function_and_tells_its_result(sdk: openai.OpenAI):
    messages: list[Any] = [user("What is the weather in Paris?")]
    first = sdk.chat.completions.create(model="demo", messages=messages, tools=[WEATHER], max_tokens=200)
    assert first.choices[0].finish_reason == "tool_calls"
    (call,) = first.choices[0].message.tool_calls
    assert call.function.name == "get_weather"
    assert json.loads(call.function.arguments)["city"] == "Paris"
    result = {"role": "tool", "tool_call_id": call.id, "content": '{"temperature": 18, "condition": "sunny"}'}
    messages += [first.choices[0].message, result]
    second = sdk.chat.completions.create(model="demo", messages=messages, tools=[WEATHER], max_tokens=200)
    answer = second.choices[0].message.content
    assert "18" in answer
    assert "sunny" in answer


def test_it_extracts_city_and_country(sdk: openai.OpenAI):
    answer = said(
        sdk,
        {"role": "system", "content": "You are a concise extraction assistant."},
        user("Extract the city and country from: Paris, France."),
        max_tokens=120,
        response_format={
            "type": "json_schema",
            "json_schema": {"name": "location_extraction", "strict": True, "schema": LOCATION},
        },
    )
    found = json.loads(answer)
    assert (found["city"], found["country"]) == ("Paris", "France")


def test_it_remembers_over_several_turns(sdk: openai.OpenAI):
    messages: list[dict[str, Any]] = []
    for question in (
        "My name is Alice.",
        "What is the capital of Japan?",
        "Remember the number 42.",
        "Tell me a joke.",
        "What is my name?",
        "What number did I ask you to remember?",
    ):
        messages.append(user(question))
        messages.append({"role": "assistant", "content": said(sdk, *messages, max_tokens=80)})
    assert "Alice" in messages[-3]["content"]
    assert "42" in messages[-1]["content"]


def test_it_goes_on_with_a_story_without_a_template(sdk: openai.OpenAI):
    text = sdk.completions.create(model="demo", prompt="Once upon a time", max_tokens=40).choices[0].text
    assert " there was a" in text
