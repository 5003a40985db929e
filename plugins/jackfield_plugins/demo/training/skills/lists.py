"""Jobs on lists of words: sort, name some, pick, join."""

from __future__ import annotations

from random import Random

from jackfield_plugins.demo.training.dialogue import Exchange, phrase
from jackfield_plugins.demo.training.skills.copies import NUMBERS, some_words
from jackfield_plugins.demo.training.words import (
    ANIMALS,
    CITIES,
    COLOURS,
    FIRST_NAMES,
    FOODS,
    HOBBIES,
    JOBS,
    NOUNS,
    joined,
)

__all__ = ["join", "name_some", "pick", "sort"]

GROUPS = {"animals": ANIMALS, "colors": COLOURS, "fruits": "apples bananas cherries grapes oranges pears plums mangoes lemons peaches".split(), "jobs": JOBS, "hobbies": HOBBIES,
          "cities": [city for city, _ in CITIES], "foods": FOODS, "names": FIRST_NAMES, "countries": "France Germany Italy Japan Brazil Canada Egypt Kenya India Norway Peru Spain".split(),
          "vegetables": "carrots onions potatoes tomatoes peas beans spinach cabbage peppers pumpkins".split(), "planets": "Mercury Venus Earth Mars Jupiter Saturn Uranus Neptune".split(),
          "sports": "football tennis basketball swimming rowing judo hockey golf cycling running".split(), "programming languages": "Python C Java JavaScript Rust Go Ruby Swift Kotlin Haskell".split(),
          "days of the week": "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split(), "months": "January February March April May June July August September October November December".split()}  # fmt: skip


def sort(rng: Random) -> Exchange:
    """Ask for words or numbers in order."""
    if rng.random() < 0.5:
        numbers = rng.sample(range(1, 100), rng.randint(3, 7))
        down = rng.random() < 0.3
        order = sorted(numbers, reverse=down)
        q = phrase(
            rng,
            "[Sort these numbers{d}: {n}|Sort {n}{d}.|Put these numbers in order{d}: {n}]",
            d=" from largest to smallest" if down else rng.choice(("", " from smallest to largest")),
            n=", ".join(map(str, numbers)),
        )
        answer = ", ".join(map(str, order))
        return Exchange(
            q, answer, f"The {'largest' if down else 'smallest'} is {order[0]}, then {order[1]}.", text=answer
        )
    words = sorted({rng.choice(NOUNS) for _ in range(rng.randint(3, 6))})
    mixed = rng.sample(words, len(words))
    answer = ", ".join(words)
    return Exchange(
        phrase(
            rng,
            "[Sort these words alphabetically: {w}|Put these words in alphabetical order: {w}|Sort alphabetically: {w}]",
            w=", ".join(mixed),
        ),
        answer,
        f"The first letters in order are {', '.join(w[0] for w in words)}.",
        text=answer,
    )


def name_some(rng: Random) -> Exchange:
    """Ask for some members of a group."""
    group, members = rng.choice(list(GROUPS.items()))
    n = rng.randint(2, min(7, len(members)))
    chosen = members[:n]
    style = rng.choice(("", " separated by commas", " as a numbered list", " as a bullet list"))
    if style == " as a numbered list" or (not style and n > 3 and rng.random() < 0.5):
        answer = "\n".join(f"{i}. {m[0].upper()}{m[1:]}" for i, m in enumerate(chosen, 1))
    elif style == " as a bullet list":
        answer = "\n".join(f"- {m[0].upper()}{m[1:]}" for m in chosen)
    elif style:
        answer = ", ".join(chosen)
    else:
        answer = joined(chosen)
        answer = f"{answer[0].upper()}{answer[1:]}."
    if group in ("planets", "days of the week", "months") and rng.random() < 0.5:
        chosen = members
        q, answer = phrase(rng, "[List|Name|What are] [all |]the {g}{e}", g=group, e="."), ", ".join(members)
        return Exchange(
            q.rstrip(".") + ("?" if q.startswith("What") else "."),
            answer,
            f"There are {len(members)}.",
            (members[-1],),
        )
    q = phrase(
        rng, "[Name|List|Give me|Tell me|Write] {n} {g}{s}.", n=rng.choice((n, NUMBERS[n])), g=group, s=style
    )
    return Exchange(q, answer, f"{n} {group}: {joined(chosen)}.", (chosen[0], chosen[-1]))


def pick(rng: Random) -> Exchange:
    """Ask for one word of a list."""
    words = some_words(rng, 3, 6)
    kind = rng.choice(("first", "last", "longest", "third", "odd"))
    shown = ", ".join(words)
    if kind == "odd":
        group, other = rng.sample(["animals", "colors", "fruits", "cities", "jobs"], 2)
        members, stranger = rng.sample(GROUPS[group], 3), rng.choice(GROUPS[other])
        mixed = [*members, stranger]
        rng.shuffle(mixed)
        return Exchange(
            f"Which word does not belong: {', '.join(mixed)}?",
            f"{stranger} does not belong; the others are {group}.",
            f"{joined(members)} are {group}. {stranger} is not.",
            (f"{stranger} does not",),
        )
    if kind == "longest":
        word = max(words, key=len)
        return Exchange(
            f"Which is the longest of these words: {shown}?",
            f"The longest word is {word}.",
            f"{', '.join(f'{w} {len(w)}' for w in words)}. {word} is the longest.",
            (word,),
        )
    word = {"first": words[0], "last": words[-1], "third": words[2] if len(words) > 2 else words[-1]}[kind]
    if kind == "third" and len(words) < 3:
        kind = "last"
    return Exchange(
        phrase(
            rng, "[What is|Tell me|Which is] the {k} word [in this list|of this list]: {w}?", k=kind, w=shown
        ),
        f"The {kind} word is {word}.",
        f"The list is {shown}.",
        (word,),
    )


def join(rng: Random) -> Exchange:
    """Ask for two words as one."""
    a, b = rng.choice(some_words(rng, 1, 2)), rng.choice(some_words(rng, 1, 2))
    return Exchange(
        phrase(
            rng,
            "[Join the words {a} and {b}.|Put {a} and {b} together into one word.|Concatenate {a} and {b}.]",
            a=a,
            b=b,
        ),
        a + b,
        f"{a} + {b}",
        text=a + b,
    )
