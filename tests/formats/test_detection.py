from __future__ import annotations

from pathlib import Path

import pytest

from jackfield.gguf import open_checkpoint
from jackfield.host import Host
from jackfield.service.requests import Message, ToolCall
from jackfield.text.contract import ChatFormat
from jackfield.text.histories import one_call_per_message, with_short_ids

EXPECTED = {
    **dict.fromkeys(("gemma2", "gemma3", "phi3"), "plain"),
    **dict.fromkeys(("gemma4_31b", "gemma4_e", "gemma4_moe", "diffusion_gemma"), "gemma4"),
    **dict.fromkeys(("mistral", "ministral3"), "mistral"),
    **dict.fromkeys(("qwen2", "qwen3", "qwen3next"), "hermes"),
    **dict.fromkeys(("qwen35", "qwen35_mtp", "qwen35moe", "nemotron_h_moe"), "qwen-xml"),
    "qwen3moe": "qwen-xml",
    "gpt_oss": "harmony",
    "llama": "llama3",
    "nemotron_h": "nemotron",
}


@pytest.mark.oracle
@pytest.mark.parametrize("model", EXPECTED)
def test_the_template_tells_the_format(oracles: Path, host: Host, model: str) -> None:
    checkpoint = open_checkpoint(oracles / model / "model.gguf")
    source = checkpoint.metadata.text("tokenizer.chat_template")
    assert host.chat_format_for(source, checkpoint.architecture).name == EXPECTED[model]


MARKS = {
    "[TOOL_CALLS] [ARGS] <think>": "mistral",
    "<|start|> <|channel|> <tool_call>": "harmony",
    "'<|tool_call>call:' <|channel>": "gemma4",
    "<tool_call> <function= <parameter= <think> </think>": "qwen-xml",
    "<TOOLCALL> <think> </think>": "nemotron",
    "{{ dsml_token }} <think> </think>": "deepseek-dsml-token",
    "<｜DSML｜invoke <｜tool▁call▁begin｜>": "deepseek-dsml",
    "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜> </think>": "deepseek",
    "<tool_call> </think>": "hermes",
    "Environment: ipython": "llama3",
    "<think> </think>": "think",
    "{{ messages }}": "plain",
}


@pytest.mark.parametrize("source", MARKS)
def test_the_most_telling_mark_wins(host: Host, source: str) -> None:
    assert host.chat_format_for(source, "llama").name == MARKS[source]


@pytest.mark.parametrize("name", [descriptor.name for descriptor in Host().chat_formats()])
def test_a_format_says_what_it_reads(host: Host, name: str) -> None:
    chat_format: ChatFormat = host.chat_format(name).load()()
    assert chat_format.supports_thinking == bool(chat_format.thinking_end)
    assert all(chat_format.preserved_tokens)
    assert chat_format.adapt([Message("user", "hi")]) == [Message("user", "hi")]


def two_calls() -> list[Message]:
    calls = [ToolCall("a", {}, "1"), ToolCall("b", {}, "2")]
    return [
        Message("user", "go"),
        Message("assistant", "both", thinking="why", tool_calls=calls),
        Message("tool", "of b", tool_call_id="2"),
        Message("tool", "of a", tool_call_id="1"),
        Message("user", "so?"),
    ]


def test_parallel_calls_follow_each_other_with_their_results() -> None:
    first, call_a, of_a, call_b, of_b, last = one_call_per_message(two_calls())
    assert [call.name for call in (*call_a.tool_calls, *call_b.tool_calls)] == ["a", "b"]
    assert (of_a.content, of_b.content) == ("of a", "of b")
    assert (call_a.content, call_b.content, call_b.thinking) == ("both", "", None)
    assert (first.content, last.content) == ("go", "so?")


def test_results_without_ids_follow_in_their_order() -> None:
    messages = [
        Message("assistant", tool_calls=[ToolCall("a", {}), ToolCall("b", {})]),
        Message("tool", "first"),
        Message("tool", "second"),
    ]
    assert [m.content for m in one_call_per_message(messages) if m.role == "tool"] == ["first", "second"]
    assert one_call_per_message(messages)[1].content == "first"


def test_harmony_puts_both_texts_of_a_call_into_one(host: Host) -> None:
    adapted = host.chat_format("harmony").load()().adapt(two_calls())
    assert (adapted[1].content, adapted[1].thinking) == ("", "why\n\nboth")


def test_mistral_ids_have_nine_letters_and_stay_the_same() -> None:
    calls = [ToolCall("a", {}, "call_0123456789abcdef"), ToolCall("b", {}, "abcDEF123")]
    message, result = with_short_ids(
        [Message("assistant", tool_calls=calls), Message("tool", "x", tool_call_id="call_0123456789abcdef")]
    )
    short, kept = (call.id for call in message.tool_calls)
    assert len(short) == 9
    assert short.isalnum()
    assert result.tool_call_id == short
    assert kept == "abcDEF123"
