"""Small jobs on words: repeat, spell, count, reverse, sort, change case, list, translate by pattern."""

from __future__ import annotations

import json
from random import Random

from jackfield_plugins.demo.training.dialogue import Exchange, Sample, phrase
from jackfield_plugins.demo.training.words import (
    ANIMALS,
    CITIES,
    COLOURS,
    FIRST_NAMES,
    FOODS,
    HOBBIES,
    JOBS,
    NOUNS,
    coined,
    joined,
)  # fmt: skip

__all__ = ["text_tasks"]

EMOJI = "😀 😂 🎉 ❤️ 🔥 🌍 🚀 🐱 🐶 🍕 ☕ 🌞 🌧️ ⭐ 👍 🙏 🎵 📚 🏠 ✅ 🌈 🦊 🐼 🍎 🎂".split()
FOREIGN = (
    "café",
    "naïve",
    "Zürich",
    "Ærø",
    "São Paulo",
    "日本語",
    "你好",
    "привет",
    "Ελλάδα",
    "مرحبا",
    "안녕하세요",
    "señor",
    "Łódź",
    "crème brûlée",
    "こんにちは",
    "garçon",
    "€100",
    "½",
    "→",
    "∑",
)
GROUPS = {"animals": ANIMALS, "colors": COLOURS, "fruits": "apples bananas cherries grapes oranges pears plums mangoes lemons peaches".split(), "jobs": JOBS, "hobbies": HOBBIES,
          "cities": [city for city, _ in CITIES], "foods": FOODS, "names": FIRST_NAMES, "countries": "France Germany Italy Japan Brazil Canada Egypt Kenya India Norway Peru Spain".split(),
          "vegetables": "carrots onions potatoes tomatoes peas beans spinach cabbage peppers pumpkins".split(), "planets": "Mercury Venus Earth Mars Jupiter Saturn Uranus Neptune".split(),
          "sports": "football tennis basketball swimming rowing judo hockey golf cycling running".split(), "programming languages": "Python C Java JavaScript Rust Go Ruby Swift Kotlin Haskell".split(),
          "days of the week": "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split(), "months": "January February March April May June July August September October November December".split()}  # fmt: skip
NUMBERS = "zero one two three four five six seven eight nine ten eleven twelve".split()


def _words(rng: Random, low: int = 2, high: int = 6) -> list[str]:
    return list(
        dict.fromkeys(
            coined(rng) if rng.random() < 0.3 else rng.choice(NOUNS) for _ in range(rng.randint(low, high))
        )
    )


def _strange(rng: Random) -> str:
    """Return a text to copy: words, codes, emoji, other scripts."""
    pieces = _words(rng, 1, 4)
    if rng.random() < 0.4:
        pieces.insert(rng.randrange(len(pieces) + 1), rng.choice((*EMOJI, *FOREIGN)))
    if rng.random() < 0.15:
        pieces = rng.sample([*EMOJI, *FOREIGN], rng.randint(1, 4))
    text = " ".join(pieces)
    return rng.choice((text, text, text.capitalize() + ".", text.capitalize() + "!"))


def _repeat(rng: Random) -> Exchange:
    text = _strange(rng)
    if rng.random() < 0.15:
        pairs = {
            word: rng.choice((rng.randint(0, 99), coined(rng), True, None)) for word in _words(rng, 1, 3)
        }
        text = json.dumps(pairs)
    count = rng.choice((1, 1, 1, 1, 2, 3))
    if count > 1:
        word = rng.choice(_words(rng, 1, 2))
        q = phrase(
            rng,
            "[Say {w} {n} times.|Write {w} {n} times.|Repeat the word {w} {n} times.]",
            w=word,
            n=rng.choice((count, NUMBERS[count])),
        )
        answer = " ".join([word] * count)
        return Exchange(q, answer, f"I write {word} {count} times.", text=answer)
    q = phrase(
        rng,
        "[Repeat after me: {t}|Repeat: {t}|Say: {t}|Echo: {t}|Repeat this exactly: {t}|Please repeat the following: {t}|Say exactly this: {t}|Write exactly: {t}|Copy this text: {t}|Repeat this text and nothing else: {t}]",
        t=text,
    )
    return Exchange(q, text, f"I repeat: {text}", text=text)


def _say_word(rng: Random) -> Exchange:
    word = rng.choice(
        ("hello", "hello", "hi", "yes", "no", "goodbye", "test", "OK", "pong", *_words(rng, 1, 3))
    )
    q = phrase(
        rng,
        '[Say {w}.|Say \'{w}\'.|Say "{w}" and nothing else.|Reply with the word {w}.|Reply with just {w}.|Just say {w}.|Say {w} in one word.|Answer only with {w}.|Respond with only the word "{w}".|Please say {w}.|Reply with exactly: {w}|Say only {w}]',
        w=word,
    )
    capital = (
        word[0].upper() + word[1:]
        if word in ("hello", "hi", "yes", "no", "goodbye")
        and "nothing" not in q
        and '"' not in q
        and "exactly" not in q
        else word
    )
    return Exchange(q, capital, f"I say {word}.", (word,))


def _spell(rng: Random) -> Exchange:
    word = rng.choice((rng.choice(NOUNS), coined(rng), rng.choice(FIRST_NAMES)))
    answer = "-".join(word.upper())
    return Exchange(
        phrase(rng, '[Spell {w}.|Spell the word {w}.|How do you spell {w}?|Can you spell "{w}"?]', w=word),
        answer,
        f"The letters of {word} are {', '.join(word)}.",
        text=answer,
    )


def _letters(rng: Random) -> Exchange:
    word = rng.choice(
        (rng.choice(NOUNS), "strawberry", "banana", "hello", "mississippi", rng.choice(FIRST_NAMES).lower())
    )
    spelt = "-".join(word)
    if rng.random() < 0.5:
        q = (
            phrase(rng, '[How many letters are in|How many letters does] [the word |]"{w}"[ have|]?', w=word)
            .replace("are in", "are in")
            .replace("have?", "have?")
        )
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


def _reverse(rng: Random) -> Exchange:
    if rng.random() < 0.5:
        words = _words(rng, 2, 6)
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


def _sort(rng: Random) -> Exchange:
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


def _case(rng: Random) -> Exchange:
    words = " ".join(_words(rng, 1, 6))
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


def _count(rng: Random) -> Exchange:
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
    words = _words(rng, 2, 8)
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


def _list(rng: Random) -> Exchange:
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


def _pick(rng: Random) -> Exchange:
    words = _words(rng, 3, 6)
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


def _initials(rng: Random) -> Exchange:
    words = [w.capitalize() for w in _words(rng, 2, 5)]
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


def _replace(rng: Random) -> Exchange:
    words = _words(rng, 3, 6)
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


def _join(rng: Random) -> Exchange:
    a, b = rng.choice(_words(rng, 1, 2)), rng.choice(_words(rng, 1, 2))
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


def _emoji(rng: Random) -> Exchange:
    rows = (
        ("a heart", "❤️"),
        ("a cat", "🐱"),
        ("a dog", "🐶"),
        ("a pizza", "🍕"),
        ("fire", "🔥"),
        ("a star", "⭐"),
        ("a rocket", "🚀"),
        ("the sun", "🌞"),
        ("a rainbow", "🌈"),
        ("a house", "🏠"),
        ("a smile", "😀"),
        ("a party", "🎉"),
        ("coffee", "☕"),
        ("books", "📚"),
        ("music", "🎵"),
        ("a thumbs up", "👍"),
    )
    what, face = rng.choice(rows)
    return Exchange(
        phrase(
            rng,
            "[Show me the emoji for {w}.|What is the emoji for {w}?|Send me {w} emoji.|Emoji for {w}?]",
            w=what,
        ),
        face,
        f"The emoji for {what} is {face}.",
        (face,),
    )


TASKS = (
    _repeat,
    _repeat,
    _repeat,
    _say_word,
    _say_word,
    _spell,
    _letters,
    _reverse,
    _sort,
    _sort,
    _case,
    _count,
    _count,
    _list,
    _list,
    _list,
    _pick,
    _initials,
    _replace,
    _join,
    _emoji,
)


def text_task(rng: Random) -> Exchange:
    """Return one small job."""
    return rng.choice(TASKS)(rng)


def text_tasks(rng: Random) -> Sample:
    """Teach one small job."""
    return Sample.of("text tasks", text_task(rng))
