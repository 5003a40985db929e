"""Jobs on letters and words: spell, count, reverse, change case, replace."""

from __future__ import annotations

from random import Random

from jackfield_plugins.demo.training.dialogue import Exchange, phrase
from jackfield_plugins.demo.training.skills.copies import some_words
from jackfield_plugins.demo.training.words import FIRST_NAMES, NOUNS, coined

__all__ = ["change_case", "count", "initials", "letters_of", "replace", "reverse", "spell"]


def spell(rng: Random) -> Exchange:
    """Ask for the letters of a word, one by one."""
    word = rng.choice((rng.choice(NOUNS), coined(rng), rng.choice(FIRST_NAMES)))
    answer = "-".join(word.upper())
    return Exchange(
        phrase(rng, '[Spell {w}.|Spell the word {w}.|How do you spell {w}?|Can you spell "{w}"?]', w=word),
        answer,
        f"The letters of {word} are {', '.join(word)}.",
        text=answer,
    )


def letters_of(rng: Random) -> Exchange:
    """Ask for the first or last letters, how many there are, or how often one occurs."""
    word = rng.choice(
        (rng.choice(NOUNS), "strawberry", "banana", "hello", "mississippi", rng.choice(FIRST_NAMES).lower())
    )
    spelt = "-".join(word)
    if rng.random() < 0.5:
        q = phrase(rng, '[How many letters are in|How many letters does] [the word |]"{w}"[ have|]?', w=word)
        q = (
            f"How many letters does the word {word} have?"
            if "does" in q and "have" not in q
            else q.replace(" have?", "?")
            if "are in" in q
            else q
        )
        return Exchange(
            q,
            f"The word {word} has {len(word)} letters: {spelt}.",
            f"{spelt}: that is {len(word)}.",
            (str(len(word)),),
        )
    letter = rng.choice((*word, word[0], "r" if word == "strawberry" else word[-1]))
    n = word.count(letter)
    marked = ", ".join(f"{c} {i}" for i, c in enumerate((c for c in word if c == letter), 1))
    q = phrase(
        rng,
        '[How many {l}\'s are in {w}?|How many times does the letter {l} occur in {w}?|How many letters {l} are there in "{w}"?|Count the letter {l} in {w}.]',
        l=letter,
        w=word,
    )
    return Exchange(
        q,
        f"{spelt}: the letter {letter} occurs {n} {'time' if n == 1 else 'times'} in {word}.",
        f"{spelt}. I count {letter}: {marked}. That is {n}.",
        (f"{n} time",),
    )


def reverse(rng: Random) -> Exchange:
    """Ask for a word, or some words, backwards."""
    if rng.random() < 0.5:
        words = some_words(rng, 2, 6)
        answer = " ".join(reversed(words))
        return Exchange(
            phrase(
                rng,
                "[Reverse the order of these words: {w}|Write these words in reverse order: {w}]",
                w=" ".join(words),
            ),
            answer,
            f"The last word is {words[-1]}, the first is {words[0]}.",
            text=answer,
        )
    word = rng.choice((rng.choice(NOUNS), coined(rng, 2)))
    return Exchange(
        phrase(
            rng,
            '[Reverse the word {w}.|Spell {w} backwards.|Write {w} backwards.|Reverse the string "{w}".|What is {w} backwards?]',
            w=word,
        ),
        f"{'-'.join(word)} backwards is {'-'.join(reversed(word))}: {word[::-1]}",
        f"{'-'.join(word)} becomes {'-'.join(reversed(word))}.",
        (word[::-1],),
    )


def change_case(rng: Random) -> Exchange:
    """Ask for capitals or small letters."""
    words = " ".join(some_words(rng, 1, 6))
    kind = rng.choice(("upper", "upper", "lower", "title"))
    if kind == "upper":
        return Exchange(
            phrase(
                rng,
                '[Write this in uppercase: {w}|Convert to upper case: {w}|Uppercase: {w}|Make this all caps: {w}|Write "{w}" in capital letters.]',
                w=words,
            ),
            words.upper(),
            "Every letter becomes a capital.",
            text=words.upper(),
        )
    if kind == "lower":
        return Exchange(
            phrase(
                rng,
                "[Write this in lowercase: {w}|Convert to lower case: {w}|Lowercase: {w}]",
                w=words.upper(),
            ),
            words,
            "Every letter becomes small.",
            text=words,
        )
    return Exchange(
        phrase(rng, "[Capitalize each word: {w}|Write in title case: {w}]", w=words),
        words.title(),
        "Each word begins with a capital.",
        text=words.title(),
    )


def count(rng: Random) -> Exchange:
    """Ask for a row of numbers, or how many words there are."""
    if rng.random() < 0.6:
        low, high = (
            rng.choice((1, 1, 1, rng.randint(0, 20))),
            rng.choice((5, 10, 10, 20, 50, 100, rng.randint(3, 30), rng.randint(3, 30))),
        )
        high = max(high, low + 2)
        down = rng.random() < 0.2
        numbers = [str(n) for n in range(low, high + 1)]
        numbers = numbers[::-1] if down else numbers
        separator = rng.choice((", ", ", ", ", "))
        q = phrase(
            rng,
            "[Count from {a} to {b}.|Count from {a} to {b}|Please count from {a} to {b}.|List the numbers from {a} to {b}.|Write the numbers from {a} to {b}.|Count to {b}.]"
            if not down and low == 1
            else "Count [from {a} to {b}.|down from {a} to {b}.]"
            if down
            else "Count from {a} to {b}.",
            a=numbers[0],
            b=numbers[-1],
        )
        return Exchange(
            q,
            separator.join(numbers),
            f"I begin at {numbers[0]} and end at {numbers[-1]}.",
            text=separator.join(numbers),
        )
    words = some_words(rng, 2, 8)
    n = len(words)
    return Exchange(
        phrase(
            rng,
            "[How many words are in this|Count the words in this] [sentence|text]: {w}[?|]",
            w=" ".join(words),
        ),
        f"There are {n} words.",
        f"{', '.join(f'{w} {i}' for i, w in enumerate(words, 1))}.",
        (str(n),),
    )


def initials(rng: Random) -> Exchange:
    """Ask for the first letters of some words."""
    words = [w.capitalize() for w in some_words(rng, 2, 5)]
    answer = "".join(w[0] for w in words)
    return Exchange(
        phrase(
            rng,
            "[What is the acronym of|Make an acronym from|Give the initials of] {w}[?|.]",
            w=" ".join(words),
        ),
        answer,
        f"The first letters are {', '.join(w[0] for w in words)}.",
        text=answer,
    )


def replace(rng: Random) -> Exchange:
    """Ask for one word in the place of another."""
    words = some_words(rng, 3, 6)
    old, new = rng.choice(words), rng.choice((coined(rng), rng.choice(NOUNS)))
    text = " ".join(words)
    answer = " ".join(new if w == old else w for w in words)
    return Exchange(
        phrase(
            rng, "[Replace {o} with {n} in: {t}|In this text replace {o} by {n}: {t}]", o=old, n=new, t=text
        ),
        answer,
        f"{old} becomes {new}.",
        text=answer,
    )
