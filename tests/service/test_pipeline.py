"""From a request to its events, around an engine that follows a script."""

from __future__ import annotations

import asyncio
import dataclasses
import re
import time
from typing import Any

import pytest

from jackfield.backend import OpenProgress
from jackfield.host import Host
from jackfield.service import reader
from jackfield.service.config import EngineConfig
from jackfield.service.events import Admitted, Event, Failed, Finished, QueuePlace, TextDelta
from jackfield.service.hosting import HostedModel
from jackfield.service.requests import Image, Message, ToolChoice, ToolDefinition
from jackfield.service.thread import ThreadService
from jackfield.testing.byte_text import ByteTokenizer
from jackfield.testing.scripted import scripted_model
from jackfield.testing.stage import (
    FILE,
    Stage,
    collect,
    ending_of,
    error_of,
    make_request,
    saying,
    text_of,
    thinking_of,
)

TOOL = ToolDefinition("f", "", {"type": "object"})


def ask(text: str, stage: dict[str, Any] | None = None, **request: Any) -> list[Event]:
    [events] = Stage(saying(text), **(stage or {})).ask(make_request(**{"user": "Hi", **request}))
    return events


# ---- a plain answer ----


def test_stream_is_admission_then_text_then_one_end() -> None:
    events = ask("Hello there.")
    assert isinstance(events[0], Admitted)
    assert text_of(events) == "Hello there."
    assert ending_of(events).reason == "stop"
    assert sum(not isinstance(event, TextDelta) for event in events) == 2


def test_usage_counts_prompt_and_picked_tokens() -> None:
    usage = ending_of(ask("12345")).usage
    prompt = "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    assert usage.num_prompt_tokens == len(
        ByteTokenizer().encode(prompt, add_special=True, parse_special=True)
    )
    assert usage.num_completion_tokens == 5


def test_limit_of_tokens_is_reported_as_length() -> None:
    events = ask("Hello there.", max_tokens=5)
    assert text_of(events) == "Hello"
    assert ending_of(events).reason == "length"


def test_limit_is_clamped_to_what_the_context_leaves() -> None:
    [events] = Stage(lambda request: [65] * 1000, context=64).ask(make_request(user="Hi", max_tokens=2**40))
    admitted = events[0]
    assert isinstance(admitted, Admitted)
    assert admitted.max_tokens == 64 - admitted.num_prompt_tokens == len(text_of(events))


def test_no_tokens_asked_for_gives_a_prompt_count_and_no_text() -> None:
    events = ask("Hello", max_tokens=0)
    assert text_of(events) == ""
    assert ending_of(events).reason == "length"


# ---- text ----


def test_characters_split_over_tokens_come_whole() -> None:
    said = "naïve 東京 👩‍🚀"
    events = ask(said, max_tokens=None)
    assert text_of(events) == said
    assert all("�" not in event.text for event in events if isinstance(event, TextDelta))


def test_broken_utf8_at_the_end_becomes_a_replacement_character() -> None:
    [events] = Stage(lambda request: [0x41, 0xE6, 0x9D]).ask(make_request(user="Hi"))
    assert text_of(events) == "A�"


def test_stop_string_over_many_tokens_is_cut_and_named() -> None:
    events = ask("one two END three", stop=["END"])
    assert text_of(events) == "one two "
    assert ending_of(events).stop_text == "END"
    assert ending_of(events).reason == "stop"


def test_text_held_back_for_a_stop_string_comes_when_it_is_none() -> None:
    assert text_of(ask("say EN", stop=["END"])) == "say EN"


def test_stop_string_inside_thinking_does_not_end_the_answer() -> None:
    events = ask("<think>END of it</think>so END", stop=["END"], think=True)
    assert thinking_of(events) == "END of it"
    assert text_of(events) == "so "


def test_control_tokens_are_not_shown() -> None:
    assert text_of(ask("a<|im_start|>b")) == "ab"


def test_logprobs_cover_every_shown_token() -> None:
    events = ask("né!", top_logprobs=0)
    tokens = [item for event in events if isinstance(event, TextDelta) for item in event.logprobs]
    assert bytes(byte for token in tokens for byte in token.bytes_) == "né!".encode()


def test_echo_with_logprobs_tells_those_of_the_prompt() -> None:
    stage = Stage(saying("!"))
    request = make_request(prompt="Hi", echo=True, top_logprobs=0, num_choices=2)
    [events] = stage.ask(request)
    for choice in range(2):
        deltas = [e for e in events if isinstance(e, TextDelta) and e.choice == choice]
        assert "".join(delta.text for delta in deltas) == "Hi!"  # in one piece where nobody read in between
        found = [(item.text, item.logprob) for delta in deltas for item in delta.logprobs]
        assert found == [("H", -1.0), ("i", -1.0), ("!", -0.5)]
    assert [run.on_prompt is not None for run in stage.engine.requests] == [True, False]


def test_first_token_of_a_prompt_in_tokens_has_no_logprob() -> None:
    request = make_request(prompt_tokens=[72, 105], echo=True, top_logprobs=0, max_tokens=0)
    [events] = Stage(saying("!")).ask(request)
    [delta] = [event for event in events if isinstance(event, TextDelta)]
    assert [(item.text, item.logprob) for item in delta.logprobs] == [("H", None), ("i", -1.0)]
    assert ending_of(events).reason == "length"
    assert ending_of(events).usage.num_completion_tokens == 0


def test_echo_begins_with_the_prompt() -> None:
    [events] = Stage(saying(" world")).ask(make_request(prompt="Hello", echo=True))
    assert text_of(events) == "Hello world"


# ---- thinking ----


def test_thinking_is_told_apart_and_counted() -> None:
    events = ask("<think>hm</think>yes", think=True)
    assert (thinking_of(events), text_of(events)) == ("hm", "yes")
    assert ending_of(events).usage.num_reasoning_tokens >= 2


def test_endless_thinking_is_closed_in_time_for_an_answer() -> None:
    [events] = Stage(lambda request: [ord("x")] * 1000).ask(
        make_request(user="Hi", think=True, max_tokens=60)
    )
    assert 0 < len(thinking_of(events)) <= 40
    assert len(text_of(events)) >= 15
    assert ending_of(events).reason == "length"


def test_asked_budget_bounds_thinking() -> None:
    endless = Stage(lambda request: [ord("x")] * 1000)
    [events] = endless.ask(make_request(user="Hi", think=True, max_tokens=60, thinking_budget=7))
    assert len(thinking_of(events)) == 7


def test_no_budget_at_all_closes_thinking_at_once() -> None:
    endless = Stage(lambda request: [ord("x")] * 1000)
    [events] = endless.ask(make_request(user="Hi", think=True, max_tokens=20, thinking_budget=0))
    assert thinking_of(events) == ""
    assert text_of(events) == "x" * 19


def test_thinking_is_off_unless_the_server_says_otherwise() -> None:
    def prompt(**config: Any) -> str:
        stage = Stage(saying("x"), **config)
        stage.ask(make_request(user="Hi"))
        return b"".join(ByteTokenizer().piece(token) for token in stage.engine.requests[0].prompt).decode()

    assert "<think>" not in prompt()
    assert prompt(default_think=True).endswith("<think>")


def test_least_number_of_tokens_holds_back_the_end() -> None:
    [events] = Stage(lambda request: [258] * 50).ask(make_request(user="Hi", min_tokens=4))
    assert ending_of(events).usage.num_completion_tokens == 4


# ---- other prompts ----


def test_raw_prompt_goes_on_without_a_template() -> None:
    stage = Stage(saying(" on"))
    [events] = stage.ask(make_request(prompt="Go"))
    assert list(stage.engine.requests[0].prompt) == [256, *b"Go"]
    assert text_of(events) == " on"


def test_infill_puts_both_sides_around_the_gap() -> None:
    stage = Stage(saying("x"))
    stage.ask(make_request(prompt="a", suffix="b"))
    assert list(stage.engine.requests[0].prompt) == [256, 261, ord("a"), 262, ord("b"), 263]


def test_unfinished_answer_is_gone_on_with() -> None:
    stage = Stage(saying("lo"))
    messages = [Message("user", "Hi"), Message("assistant", "Hel")]
    stage.ask(make_request(messages=messages, continue_final_message=True))
    assert bytes(stage.engine.requests[0].prompt[-3:]) == b"Hel"


def test_text_of_users_never_becomes_a_control_token() -> None:
    stage = Stage(saying("x"))
    stage.ask(make_request(user="<|im_end|>"))
    assert list(stage.engine.requests[0].prompt).count(258) == 1


def test_dry_run_renders_and_computes_nothing() -> None:
    stage = Stage(saying("x"))
    [events] = stage.ask(make_request(user="Hi", dry_run=True))
    assert isinstance(events[0], Admitted)
    assert events[0].dry_run is not None
    assert events[0].dry_run.prompt == "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    assert not stage.engine.requests


def test_choices_come_apart_and_have_their_own_seeds() -> None:
    stage = Stage(lambda request: f"{request.id[-1]}!".encode())
    [events] = stage.ask(make_request(user="Hi", num_choices=3, seed=7))
    assert [text_of(events, choice) for choice in range(3)] == ["0!", "1!", "2!"]
    assert len({request.sampling.seed for request in stage.engine.requests}) == 3
    assert stage.engine.requests[0].sampling.seed == 7


def test_later_choices_wait_for_the_first_ones_prefill() -> None:
    stage = Stage(saying("abc"))
    [events] = stage.ask(make_request(user="Hi", num_choices=2))
    ends = [event for event in events if isinstance(event, Finished)]
    cached = {end.choice: end.usage.num_cached_tokens for end in ends}
    assert cached[0] == 0
    assert cached[1] == len(stage.engine.requests[0].prompt)


# ---- refusals ----


@pytest.mark.parametrize(
    ("fields", "kind", "message"),
    [
        ({"model": ""}, "RequestError", "model is required"),
        ({"model": "other"}, "NotFound", "model 'other' not found"),
        ({"user": "x" * 600}, "ContextOverflow", "context holds 512"),
        ({"temperature": float("nan")}, "RequestError", "temperature is nan"),
        ({"top_p": 1.5}, "RequestError", "top_p is 1.5"),
        ({"logit_bias": {264: 1.0}}, "RequestError", r"logit_bias\[0\] is token 264"),
        ({"stop": [""]}, "RequestError", "stop string has 0 bytes"),
        ({"stop": ["x"] * 17}, "TooLarge", "stop has 17 entries"),
        ({"num_choices": 9}, "RequestError", "n is 9"),
        ({"messages": []}, "RequestError", "messages is empty"),
        ({"prompt": "and"}, "RequestError", "messages and prompt"),
        ({"messages": None, "prompt_tokens": [-1]}, "RequestError", "token -1, expected 0 to 263"),
        ({"messages": [Message("user", "x", images=[Image(b"")])]}, "Unsupported", "does not support images"),
        ({"tool_choice": ToolChoice("required")}, "RequestError", "there are no tools"),
        ({"tool_choice": ToolChoice(name="g"), "tools": [TOOL]}, "RequestError", "names 'g'"),
        ({"tool_choice": ToolChoice("required"), "tools": [TOOL]}, "Unsupported", "cannot be forced"),
        ({"id": "../x"}, "RequestError", "request id is"),
    ],
)
def test_refused_before_anything_is_computed(fields: dict[str, Any], kind: str, message: str) -> None:
    stage = Stage(saying("x"))
    fields = fields if "messages" in fields else {"user": "Hi", **fields}
    [events] = stage.ask(make_request(**fields))
    assert len(events) == 1
    error = error_of(events).error
    assert error.kind == kind
    assert re.search(message, error.message)
    assert not stage.engine.requests


def test_overflow_carries_its_numbers() -> None:
    numbers = error_of(ask("x", user="y" * 600)).error.numbers
    assert numbers["n_ctx"] == 512
    assert numbers["n_prompt"] > 600


def test_truncation_drops_the_oldest_turns_and_says_so() -> None:
    turns = [Message("system", "Be brief."), *[Message(role, "x" * 90) for role in ("user", "assistant") * 4]]
    stage = Stage(saying("ok"))
    [events] = stage.ask(
        make_request(messages=[*turns, Message("user", "last")], truncate=True, max_tokens=50)
    )
    assert "messages were dropped" in ending_of(events).note
    prompt = bytes(token for token in stage.engine.requests[0].prompt if token < 256)
    assert prompt.startswith(b"system\nBe brief.")
    assert b"last" in prompt
    assert len(stage.engine.requests[0].prompt) <= 462


def test_tools_that_the_format_cannot_call_are_declared_so() -> None:
    assert "not offered" in ending_of(ask("x", tools=[ToolDefinition("f")])).note


# ---- failures ----


def test_error_in_the_middle_ends_the_stream_once() -> None:
    [events] = Stage(lambda request: [65, 66, -1, 67]).ask(make_request(user="Hi"))
    assert text_of(events) == "AB"
    assert error_of(events).error.message == "the script says so"
    assert sum(isinstance(event, Failed) for event in events) == 1


def test_leaving_early_cancels_within_a_step() -> None:
    stage = Stage(lambda request: [65] * 10_000, delay_s=0.001, context=20_000)

    async def leave(service: ThreadService) -> None:
        stream = service.generate(make_request(user="Hi", max_tokens=None))
        async for event in stream:
            if isinstance(event, TextDelta):
                break
        await stream.aclose()  # type: ignore[attr-defined]  # the protocol only promises an iterator
        deadline = time.monotonic() + 5
        while stage.engine.stats().num_running and time.monotonic() < deadline:
            await asyncio.sleep(0.002)
        assert stage.engine.stats().num_running == 0
        assert service.status().num_running == 0
        assert service.status().num_processed == 1

    stage.run(leave)


def test_stop_ends_a_running_stream_with_an_error() -> None:
    stage = Stage(lambda request: [65] * 10_000, delay_s=0.002, context=20_000)

    async def use(service: ThreadService) -> list[Event]:
        running = asyncio.create_task(collect(service, make_request(user="Hi", max_tokens=None)))
        while not stage.engine.requests:
            await asyncio.sleep(0.002)
        await service.stop(0.05)
        return await running

    assert error_of(stage.run(use)).error.kind == "Unavailable"


def test_queue_refuses_more_than_its_limit() -> None:
    stage = Stage(saying("x"), queue_limit=2)
    stage.engine.submit = lambda request: None  # type: ignore[method-assign]  # nothing is ever admitted

    async def use(service: ThreadService) -> list[str]:
        tasks = [asyncio.create_task(collect(service, make_request(user="Hi", id=f"r{i}"))) for i in range(4)]
        done, waiting = await asyncio.wait(tasks, timeout=1)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        assert service.status().num_waiting == 0
        return [error_of(task.result()).error.kind for task in done]

    assert stage.run(use) == ["QueueFull", "QueueFull"]


def test_place_in_the_queue_is_told_again_while_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "REPEAT_S", 0.02)
    stage = Stage(saying("x"))
    monkeypatch.setattr(stage.engine, "submit", lambda request: request.sink.waiting(2, 3))

    async def use(service: ThreadService) -> list[Event]:
        stream = service.generate(make_request(user="Hi"))
        places = [await anext(stream) for _ in range(3)]
        await stream.aclose()  # type: ignore[attr-defined]  # the protocol only promises an iterator
        return places

    assert stage.run(use) == [QueuePlace(2, 3)] * 3


def test_load_that_is_given_up_releases_what_it_made() -> None:
    stage = Stage(saying("x"), models=["other.gguf"])
    made: list[HostedModel] = []
    released: list[str] = []

    def open_slowly(config: EngineConfig, host: Host, progress: OpenProgress | None) -> HostedModel:
        time.sleep(0.05 if made else 0.0)
        model = scripted_model(stage.engine, file=config.model)
        made.append(dataclasses.replace(model, close=lambda: released.append(config.model)))
        return made[-1]

    async def use() -> None:
        service = ThreadService(stage.config, stage.host, opener=open_slowly)
        await service.start()
        loading = asyncio.create_task(service.load("other"))
        await asyncio.sleep(0.02)
        loading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await loading
        while not released:
            await asyncio.sleep(0.005)
        assert service.resolve_model(FILE).file == FILE
        await service.stop(0.0)

    asyncio.run(use())
    assert released == ["other.gguf", FILE]


# ---- conversations ----


def test_next_turn_begins_with_the_tokens_of_the_answer() -> None:
    answer = [ord("o"), ord("k"), 259, 260]  # a tail that no rendering would give back
    stage = Stage(lambda request: answer)
    first = [Message("user", "Hi")]
    second = [*first, Message("assistant", "ok"), Message("user", "More")]
    events = stage.ask(make_request(messages=first), make_request(messages=second))
    prompt = list(stage.engine.requests[0].prompt)
    assert list(stage.engine.requests[1].prompt[: len(prompt) + 4]) == [*prompt, *answer]
    admitted = events[1][0]
    assert isinstance(admitted, Admitted)
    assert admitted.num_cached_tokens == len(prompt) + 4


def test_a_context_goes_on_as_the_conversation_that_it_came_from_does() -> None:
    stage = Stage(lambda request: [ord("o"), ord("k"), 259, 260])
    conversation = [Message("user", "Hi"), Message("assistant", "ok"), Message("user", "More")]
    first, _ = stage.ask(make_request(user="Hi", return_tokens=True), make_request(messages=conversation))
    context = ending_of(first).tokens
    [later] = stage.ask(make_request(user="More", earlier_tokens=context, return_tokens=True))
    prompts = [list(request.prompt) for request in stage.engine.requests]
    assert prompts[2] == prompts[1]
    assert ending_of(later).tokens[: len(context)] == context
    assert ending_of(later).note == ""


def test_a_context_keeps_the_system_message_it_began_with() -> None:
    stage = Stage(saying("ok"))
    messages = [Message("system", "Be kind"), Message("user", "More")]
    plain, told = stage.ask(
        make_request(user="More", earlier_tokens=[1, 2]),
        make_request(messages=messages, earlier_tokens=[1, 2]),
    )
    prompts = [list(request.prompt) for request in stage.engine.requests]
    assert prompts[0] == prompts[1]
    assert ending_of(plain).note == ""
    assert ending_of(told).note == "system was left out: what the context holds was said first"


def test_a_context_that_is_too_long_loses_its_first_tokens_if_the_request_allows() -> None:
    stage = Stage(saying("ok"))
    context = [65] * 5000
    refused, cut = stage.ask(
        make_request(user="More", earlier_tokens=context),
        make_request(user="More", earlier_tokens=context, truncate=True),
    )
    assert "tokens of the prompt were dropped to fit the context" in ending_of(cut).note
    assert "tokens and the context holds" in error_of(refused).error.message
    [prompt] = [list(request.prompt) for request in stage.engine.requests]
    assert prompt[0] == 65
    assert b"More" in bytes(token for token in prompt if token < 256)


def test_a_context_of_tokens_that_there_are_not_is_refused() -> None:
    error = error_of(ask("ok", earlier_tokens=[1, 10**6])).error
    assert "context[1] is token 1000000, expected 0 to" in error.message


def test_answer_that_came_back_changed_is_rendered_as_text() -> None:
    stage = Stage(lambda request: [ord("o"), ord("k"), 259, 260])
    second = [Message("user", "Hi"), Message("assistant", "No!"), Message("user", "More")]
    stage.ask(make_request(user="Hi"), make_request(messages=second))
    assert 259 not in stage.engine.requests[1].prompt


def test_tokens_of_one_key_are_not_spliced_for_another() -> None:
    stage = Stage(lambda request: [ord("o"), ord("k"), 259, 260])
    second = [Message("user", "Hi"), Message("assistant", "ok"), Message("user", "More")]
    stage.ask(make_request(user="Hi", cache_salt="a"), make_request(messages=second, cache_salt="b"))
    assert 259 not in stage.engine.requests[1].prompt


def test_reset_session_forgets_and_reports_nothing_cached() -> None:
    stage = Stage(saying("ok"))
    request = make_request(user="Hi", session_id="s", reset_session=True)
    _, events = stage.ask(make_request(user="Hi", session_id="s"), request)
    assert stage.engine.forgotten == ["s"]
    assert ending_of(events).usage.num_cached_tokens == 0
