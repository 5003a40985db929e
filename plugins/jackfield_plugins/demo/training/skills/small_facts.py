"""Questions that a short list answers: opposites, young animals, words, days, months, elements, definitions."""

from __future__ import annotations

from random import Random

from jackfield_plugins.demo.training.dialogue import Exchange, phrase, sloppy
from jackfield_plugins.demo.training.facts import DEFINITIONS, ELEMENTS, OPPOSITES, TRANSLATIONS, YOUNG

__all__ = ["small_fact"]

DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
MONTHS = "January February March April May June July August September October November December".split()
ORDINALS = "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth".split()
LANGUAGES = ("French", "Spanish", "German")


def opposite(rng: Random) -> Exchange:
    """Ask for the opposite of a word."""
    pair = rng.choice(OPPOSITES)
    x, y = pair if rng.random() < 0.5 else pair[::-1]
    return Exchange(
        phrase(
            rng,
            "[What is the opposite of|What's the opposite of|Give me the opposite of|Antonym of] [{x}|\"{x}\"|'{x}']?",
            x=x,
        ),
        f"The opposite of {x} is {y}.",
        f"The opposite of {x} is {y}.",
        (y,),
    )


def young(rng: Random) -> Exchange:
    """Ask for what a young animal is called."""
    x, y = rng.choice(YOUNG)
    return Exchange(
        phrase(rng, "What [is|do you call] a baby {x}[ called|]?", x=x),
        f"A baby {x} is called a {y}.",
        f"A young {x} is a {y}.",
        (y,),
    )


def translation(rng: Random) -> Exchange:
    """Ask for a word in another language."""
    row, column = rng.choice(TRANSLATIONS), rng.randrange(3)
    language, word = LANGUAGES[column], row[column + 1]
    question = phrase(
        rng,
        "[Translate '{x}' to {l}.|Translate \"{x}\" into {l}.|How do you say {x} in {l}?|What is '{x}' in {l}?|{x} in {l}?|How do you say \"{x}\" in {l}?|Translate to {l}: {x}|What is the {l} word for {x}?]",
        x=row[0], l=language,
    )  # fmt: skip
    answer = word if question.startswith("Translate to") else f'"{row[0]}" in {language} is "{word}".'
    return Exchange(question, answer, f"The {language} for {row[0]} is {word}.", (word,))


def day(rng: Random) -> Exchange:
    """Ask for the day of the week next to another."""
    index, step = rng.randrange(7), rng.choice((1, 1, -1, 2))
    words = {1: "comes after", -1: "comes before", 2: "is two days after"}[step]
    day = DAYS[(index + step) % 7]
    return Exchange(
        f"{rng.choice(('What', 'Which'))} day {words} {DAYS[index]}?",
        f"{day} {words} {DAYS[index]}.",
        f"The days go {', '.join(DAYS)}.",
        (day,),
    )


def month(rng: Random) -> Exchange:
    """Ask for a month by its number or its neighbour."""
    index, step = rng.randrange(12), rng.choice((1, -1, 0))
    if step == 0:
        ordinal = ORDINALS[index]
        return Exchange(
            f"What is the {ordinal} month of the year?",
            f"The {ordinal} month of the year is {MONTHS[index]}.",
            f"Month {index + 1} is {MONTHS[index]}.",
            (MONTHS[index],),
        )
    month, words = MONTHS[(index + step) % 12], "comes after" if step == 1 else "comes before"
    return Exchange(
        f"{rng.choice(('What', 'Which'))} month {words} {MONTHS[index]}?",
        f"{month} {words} {MONTHS[index]}.",
        f"{MONTHS[index]} is next to {month}.",
        (month,),
    )


def element(rng: Random) -> Exchange:
    """Ask for the symbol or the number of a chemical element."""
    element, symbol, number = rng.choice(ELEMENTS)
    form = rng.randrange(3)
    if form == 0:
        return Exchange(
            f"What is the chemical symbol {rng.choice(('for', 'of'))} {element}?",
            f"The chemical symbol for {element} is {symbol}.",
            f"{element} is {symbol}.",
            (symbol,),
        )
    if form == 1:
        return Exchange(
            f"Which element has the symbol {symbol}?",
            f"{symbol} is the symbol for {element}.",
            f"{symbol} is {element}.",
            (element,),
        )
    return Exchange(
        f"What is the atomic number of {element}?",
        f"The atomic number of {element} is {number}.",
        f"{element} has {number} protons.",
        (number,),
    )


def definition(rng: Random) -> Exchange:
    """Ask for what something is."""
    term, meaning = rng.choice(DEFINITIONS)
    word = term.split(" ", 1)[1] if term.startswith(("a ", "an ")) else term
    question = phrase(
        rng,
        "[What is {t}?|What is {t}?|What's {t}?|Define {w}.|What does {w} mean?|Explain {t} in one sentence.|What is the definition of {w}?|Define \"{w}\" in one sentence.]",
        t=term, w=word,
    )  # fmt: skip
    return Exchange(
        sloppy(rng, question),
        f"{term[0].upper()}{term[1:]} is {meaning}.",
        f"The user wants to know what {term} is.",
        (" ".join(meaning.split()[:3]),),
    )


SMALL_FACTS = (
    opposite,
    young,
    *(translation,) * 3,
    day,
    month,
    element,
    *(definition,) * 3,
)


def small_fact(rng: Random) -> Exchange:
    """Return one of the questions above."""
    return rng.choice(SMALL_FACTS)(rng)
