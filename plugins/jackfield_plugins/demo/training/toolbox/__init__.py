"""Functions a conversation may offer: familiar ones under many names, and made-up ones with any parameters."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from jackfield_plugins.demo.training.toolbox.calculation import calculator, operation
from jackfield_plugins.demo.training.toolbox.definition import Use
from jackfield_plugins.demo.training.toolbox.familiar import mail, search, weather
from jackfield_plugins.demo.training.toolbox.made_up import made_up
from jackfield_plugins.demo.training.toolbox.one_parameter import SIMPLE
from jackfield_plugins.demo.training.toolbox.several_parameters import several

__all__ = ["use"]

FAMILIAR: tuple[Callable[[Random], Use], ...] = (
    weather,
    weather,
    weather,
    operation,
    operation,
    calculator,
    search,
    mail,
    several,
    several,
    several,
    *SIMPLE[:1],
)


def use(rng: Random) -> Use:
    """Return a use of any function."""
    draw = rng.random()
    if draw < 0.4:
        return made_up(rng)
    return rng.choice(SIMPLE)(rng) if draw < 0.6 else rng.choice(FAMILIAR)(rng)
