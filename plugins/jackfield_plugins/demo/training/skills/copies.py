"""Texts to be said again as they are, in any script."""

from __future__ import annotations

import json
from random import Random

from jackfield_plugins.demo.training.dialogue import Exchange, phrase
from jackfield_plugins.demo.training.words import NOUNS, coined

__all__ = ["emoji", "repeat", "say_word", "some_words"]

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
NUMBERS = "zero one two three four five six seven eight nine ten eleven twelve".split()


def some_words(rng: Random, low: int = 2, high: int = 6) -> list[str]:
    """Return different words, some of them coined."""
    return list(
        dict.fromkeys(
            coined(rng) if rng.random() < 0.3 else rng.choice(NOUNS) for _ in range(rng.randint(low, high))
        )
    )


def _strange(rng: Random) -> str:
    """Return a text to copy: words, codes, emoji, other scripts."""
    pieces = some_words(rng, 1, 4)
    if rng.random() < 0.4:
        pieces.insert(rng.randrange(len(pieces) + 1), rng.choice((*EMOJI, *FOREIGN)))
    if rng.random() < 0.15:
        pieces = rng.sample([*EMOJI, *FOREIGN], rng.randint(1, 4))
    text = " ".join(pieces)
    return rng.choice((text, text, text.capitalize() + ".", text.capitalize() + "!"))


def repeat(rng: Random) -> Exchange:
    """Ask for a text, unchanged."""
    text = _strange(rng)
    if rng.random() < 0.15:
        pairs = {
            word: rng.choice((rng.randint(0, 99), coined(rng), True, None)) for word in some_words(rng, 1, 3)
        }
        text = json.dumps(pairs)
    count = rng.choice((1, 1, 1, 1, 2, 3))
    if count > 1:
        word = rng.choice(some_words(rng, 1, 2))
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


def say_word(rng: Random) -> Exchange:
    """Ask for a single word, and nothing else."""
    word = rng.choice(
        ("hello", "hello", "hi", "yes", "no", "goodbye", "test", "OK", "pong", *some_words(rng, 1, 3))
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


def emoji(rng: Random) -> Exchange:
    """Ask for the emoji of a thing."""
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
