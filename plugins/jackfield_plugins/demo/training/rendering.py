"""A conversation as the server renders it, cut into what the model reads and what it has to write.

The same text as ``chat_template.jinja`` makes; a test compares the two. Earlier answers come in both of the forms
that the server sends: as the tokens that were generated, or as the template shows them, without their thinking.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from jackfield_plugins.demo.training.dialogue import Message, Sample

__all__ = ["CHAT_TEMPLATE", "END_OF_TEXT", "Segment", "rendered", "template_message"]

CHAT_TEMPLATE = (Path(__file__).parent / "chat_template.jinja").read_text(encoding="utf-8")
START, END, END_OF_TEXT = "<|im_start|>", "<|im_end|>", "<|endoftext|>"
NO_THOUGHT = "<think>\n\n</think>\n\n"


@dataclass(frozen=True)
class Segment:
    """A piece of a rendered conversation; ``is_answer`` when the model writes it."""

    text: str
    is_answer: bool = False


def rendered(sample: Sample, *, think: bool, is_spliced: bool, rng: Random) -> list[Segment]:
    """Return a conversation with its answers.

    Args:
        think: Whether the answers think first.
        is_spliced: Earlier answers are as they were generated; they are to be learnt as well.
        rng: Decides how JSON arguments are spaced.
    """
    segments = [Segment(_system(sample))]
    last_question = max(i for i, message in enumerate(sample.messages) if message["role"] == "user")
    for index, message in enumerate(sample.messages):
        if message["role"] == "assistant":
            is_last = index == len(sample.messages) - 1
            segments += _answer(
                message,
                think=think,
                is_taught=is_last or is_spliced,
                is_recent=index > last_question,
                rng=rng,
            )
        elif index > 0 or message["role"] != "system":
            segments.append(Segment(_turn(sample.messages, index)))
    return [segment for segment in segments if segment.text]


def _system(sample: Sample) -> str:
    first = sample.messages[0]
    system = str(first["content"]) if first["role"] == "system" else ""
    if not sample.tools:
        return f"{START}system\n{system}{END}\n" if first["role"] == "system" else ""
    listing = "".join(
        "\n" + json.dumps({"type": "function", "function": tool}, ensure_ascii=False) for tool in sample.tools
    )
    return (
        f"{START}system\n" + (f"{system}\n\n" if first["role"] == "system" else "")
        + f"These functions can be called:\n<tools>{listing}\n</tools>\nCall one, or several, by writing its name and"
        ' arguments as JSON:\n<tool_call>\n{"name": NAME, "arguments": OBJECT}\n</tool_call>' + f"{END}\n"
    )  # fmt: skip


def _turn(messages: list[Message], index: int) -> str:
    """Render a user's turn, or one of a run of results, which share a turn."""
    role, content = messages[index]["role"], messages[index]["content"]
    if role != "tool":
        return f"{START}{role}\n{content}{END}\n"
    before = messages[index - 1]["role"] == "tool"
    after = index + 1 < len(messages) and messages[index + 1]["role"] == "tool"
    opening, closing = "" if before else f"{START}user", "" if after else f"{END}\n"
    return f"{opening}\n<tool_response>\n{content}\n</tool_response>{closing}"


def _answer(message: Message, *, think: bool, is_taught: bool, is_recent: bool, rng: Random) -> list[Segment]:
    thought = str(message.get("thinking") or "").strip()
    head = f"{START}assistant\n"
    body = answer_text(message, thought_first=think and bool(thought), rng=rng)
    if not is_taught:
        # the template drops what was thought before the last question
        shown = f"<think>\n{thought}\n</think>\n\n" if think and thought and is_recent else ""
        return [Segment(f"{head}{shown}{body}{END}\n")]
    if not think:
        return [Segment(head + NO_THOUGHT), Segment(f"{body}{END}", is_answer=True), Segment("\n")]
    return [
        Segment(head),
        Segment(f"<think>\n{thought}\n</think>\n\n{body}{END}", is_answer=True),
        Segment("\n"),
    ]


def answer_text(message: Message, *, thought_first: bool = False, rng: Random | None = None) -> str:
    """Return what follows the thinking: the words, then the calls."""
    content = str(message["content"])
    if thought_first and message.get("brief"):
        content = str(message["brief"])
    calls = [_call(call, rng) for call in message.get("tool_calls", ())]
    return "\n".join([*filter(None, [content]), *calls])


def _call(call: dict[str, Any], rng: Random | None) -> str:
    # a grammar may want its JSON without blanks; one call in five shows the model that too
    is_compact = rng is not None and rng.random() < 0.2
    arguments = json.dumps(
        call["arguments"], ensure_ascii=False, separators=(",", ":") if is_compact else (", ", ": ")
    )
    return f'<tool_call>\n{{"name": {json.dumps(call["name"])}, "arguments": {arguments}}}\n</tool_call>'


def template_message(message: Message) -> dict[str, Any]:
    """Return a message as the chat template is given it."""
    shown: dict[str, Any] = {"role": message["role"], "content": message["content"]}
    if message.get("thinking"):
        shown["reasoning_content"] = message["thinking"]
    if message.get("tool_calls"):
        shown["tool_calls"] = [{"type": "function", "function": call} for call in message["tool_calls"]]
    return shown
