"""The stream of conversations: which skills in what shares, and which questions are kept for the evaluation."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from random import Random

from jackfield_plugins.demo.training.dialogue import Sample, Skill
from jackfield_plugins.demo.training.skills.agent_loop import agent_loop
from jackfield_plugins.demo.training.skills.arithmetic import arithmetic
from jackfield_plugins.demo.training.skills.arithmetic_chain import arithmetic_chain
from jackfield_plugins.demo.training.skills.choices import classification
from jackfield_plugins.demo.training.skills.extraction import extraction
from jackfield_plugins.demo.training.skills.json_answer import json_answer
from jackfield_plugins.demo.training.skills.knowledge import knowledge
from jackfield_plugins.demo.training.skills.obedience import obedience
from jackfield_plugins.demo.training.skills.reading import reading
from jackfield_plugins.demo.training.skills.recall import recall
from jackfield_plugins.demo.training.skills.talk import talk
from jackfield_plugins.demo.training.skills.text_tasks import text_tasks
from jackfield_plugins.demo.training.skills.tools import tool_answer, tool_call, tool_free
from jackfield_plugins.demo.training.skills.unknown import not_known
from jackfield_plugins.demo.training.skills.writing import writing

__all__ = ["SKILLS", "held_out_samples", "is_held_out", "training_samples"]

SKILLS: dict[Skill, float] = {
    arithmetic: 17, arithmetic_chain: 3, knowledge: 14, not_known: 5, talk: 4, recall: 9, extraction: 10, json_answer: 3,
    classification: 4, tool_call: 11, tool_free: 3, tool_answer: 6, agent_loop: 3, text_tasks: 7, reading: 4, obedience: 5,
    writing: 4,
}  # fmt: skip
"""Shares of the conversations, in percent or so."""

HELD_OUT_IN = 16
ALWAYS_TAUGHT = ("small talk", "writing", "unknown")
"""Skills with few different questions, of which none can be spared; they are judged all the same."""


def is_held_out(sample: Sample) -> bool:
    """Tell whether a question is kept for the evaluation: one in sixteen, by a hash of what it asks."""
    return sample.skill not in ALWAYS_TAUGHT and zlib.crc32(sample.key.casefold().encode()) % HELD_OUT_IN == 0


def _draw(rng: Random) -> Sample:
    return rng.choices(list(SKILLS), list(SKILLS.values()))[0](rng)


def training_samples(seed: int) -> Iterator[Sample]:
    """Yield conversations without end, the same ones for the same seed; never a held-out question."""
    rng = Random(f"train {seed}")
    while True:
        sample = _draw(rng)
        if not is_held_out(sample):
            yield sample


def held_out_samples(seed: int, skill: Skill, count: int) -> list[Sample]:
    """Return that many different questions of a skill that training never sees."""
    rng = Random(f"held out {seed}")
    found: dict[str, Sample] = {}
    for _ in range(200 * HELD_OUT_IN * count):
        sample = skill(rng)
        if is_held_out(sample) or sample.skill in ALWAYS_TAUGHT:
            found.setdefault(sample.key, sample)
        if len(found) == count:
            break
    return list(found.values())
