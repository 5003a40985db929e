"""Held-out questions through the real service: template, tokenizer, engine and parser are judged together."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jackfield.host import Host
from jackfield.service.config import EngineConfig
from jackfield.service.contract import Service
from jackfield.service.events import TextDelta, ToolCallDone
from jackfield.service.requests import GenerationRequest, Message, Sampling, ToolCall, ToolDefinition
from jackfield.service.thread import ThreadService
from jackfield_plugins.demo.training.dialogue import Check, Sample
from jackfield_plugins.demo.training.mixture import SKILLS, held_out_samples

__all__ = ["Answer", "Score", "evaluate", "held_out_questions"]

MAX_TOKENS = 400
AT_ONCE = 16


@dataclass(frozen=True)
class Answer:
    """What the model said, and which functions it called."""

    text: str
    calls: list[tuple[str, dict[str, Any]]]


@dataclass
class Score:
    """How many of a skill's questions were answered right, and the ones that were not."""

    num_asked: int = 0
    num_right: int = 0
    wrong: list[tuple[Sample, Answer]] = field(default_factory=list[tuple[Sample, Answer]])


def held_out_questions(count: int, seed: int) -> list[Sample]:
    """Return up to that many questions of every skill that have a right answer."""
    found = [sample for skill in SKILLS for sample in held_out_samples(seed, skill, count)]
    return [sample for sample in found if sample.check != Check()]


def evaluate(model: Path, samples: Iterable[Sample], *, think: bool) -> dict[str, Score]:
    """Ask every question and return the scores by skill."""
    asked = list(samples)
    scores: dict[str, Score] = {}
    for sample, answer in zip(asked, asyncio.run(_answer_all(model, asked, think)), strict=True):
        score = scores.setdefault(sample.skill, Score())
        score.num_asked += 1
        if sample.check.passes(answer.text, answer.calls):
            score.num_right += 1
        else:
            score.wrong.append((sample, answer))
    return scores


async def _answer_all(model: Path, samples: list[Sample], think: bool) -> list[Answer]:
    service = ThreadService(EngineConfig(model=str(model), max_sequences=AT_ONCE), Host())
    await service.start()
    try:
        return await answers(service, samples, think=think)
    finally:
        await service.stop(0.0)


async def answers(service: Service, samples: list[Sample], *, think: bool) -> list[Answer]:
    """Return the answer to each sample's last question, several asked at once."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def ask(index: int, sample: Sample) -> Answer:
        async with gate:
            return await _answer(service, sample, think, f"question-{index}")

    return await asyncio.gather(*(ask(index, sample) for index, sample in enumerate(samples)))


async def _answer(service: Service, sample: Sample, think: bool, request_id: str) -> Answer:
    model = service.status().model
    assert model is not None, "the service has no model"
    request = GenerationRequest(
        id=request_id,
        protocol="evaluation",
        model=model.file,
        messages=[_message(message) for message in sample.messages[:-1]],
        tools=[ToolDefinition(**tool) for tool in sample.tools],
        sampling=Sampling(max_tokens=MAX_TOKENS),
        think=think,
    )
    text: list[str] = []
    calls: list[tuple[str, dict[str, Any]]] = []
    async for event in service.generate(request):
        if isinstance(event, TextDelta):
            text.append(event.text)
        elif isinstance(event, ToolCallDone):
            calls.append((event.name, event.arguments))
    return Answer("".join(text).strip(), calls)


def _message(message: dict[str, Any]) -> Message:
    calls = [ToolCall(call["name"], call["arguments"]) for call in message.get("tool_calls", ())]
    return Message(message["role"], message["content"], tool_calls=calls, name=message.get("name"))
