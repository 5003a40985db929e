"""Small jobs on words, each kind in a file of its own."""

from __future__ import annotations

from random import Random

from jackfield_plugins.demo.training.dialogue import Exchange, Sample
from jackfield_plugins.demo.training.skills.copies import emoji, repeat, say_word
from jackfield_plugins.demo.training.skills.letters import (
    change_case,
    count,
    initials,
    letters_of,
    replace,
    reverse,
    spell,
)
from jackfield_plugins.demo.training.skills.lists import join, name_some, pick, sort

__all__ = ["text_tasks"]

TASKS = (
    repeat,
    repeat,
    repeat,
    say_word,
    say_word,
    spell,
    letters_of,
    reverse,
    sort,
    sort,
    change_case,
    count,
    count,
    name_some,
    name_some,
    name_some,
    pick,
    initials,
    replace,
    join,
    emoji,
)


def text_task(rng: Random) -> Exchange:
    """Return one small job."""
    return rng.choice(TASKS)(rng)


def text_tasks(rng: Random) -> Sample:
    """Teach one small job."""
    return Sample.of("text tasks", text_task(rng))
