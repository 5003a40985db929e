"""Questions about a given text, and summaries of one."""

from __future__ import annotations

from random import Random

from jackfield_plugins.demo.training.dialogue import Exchange, Sample, phrase
from jackfield_plugins.demo.training.topics import TOPICS
from jackfield_plugins.demo.training.words import COMPANIES, JOBS, NOUNS, PRODUCTS, a, coined, name, place

__all__ = ["reading"]


def _passage(rng: Random) -> tuple[list[str], list[tuple[str, str]], str]:
    """Return sentences, questions with what their answers hold, and a summary."""
    kind = rng.randrange(4)
    who, where, year, n = name(rng), place(rng), rng.randint(1800, 2024), rng.randint(2, 900)
    if kind == 0:
        company, product, town = (
            rng.choice((*COMPANIES, coined(rng).capitalize())),
            rng.choice(PRODUCTS),
            place(rng),
        )
        sentences = [
            f"{company} was founded in {year} by {who}.",
            f"Its headquarters are in {where}.",
            f"The company makes {product}s and has {n} employees.",
            f"Last year it opened a second office in {town}.",
        ]
        asked = [
            (f"Who founded {company}?", who),
            (f"When was {company} founded?", str(year)),
            (f"Where are the headquarters of {company}?", where),
            (f"What does {company} make?", product),
            (f"How many employees does {company} have?", str(n)),
            ("Where is the second office?", town),
        ]
        return sentences, asked, f"{company}, founded in {year} by {who}, makes {product}s in {where}."
    if kind == 1:
        job, pet, friend = rng.choice(JOBS), coined(rng).capitalize(), name(rng)
        sentences = [
            f"{who} is {a(job)} from {where}.",
            f"{who} has a dog called {pet}.",
            f"Every morning they walk {rng.randint(2, 9)} kilometres with {friend}.",
            f"{who} moved there in {year}.",
        ]
        asked = [
            (f"What is {who}'s job?", job),
            (f"Where is {who} from?", where),
            ("What is the dog called?", pet),
            (f"When did {who} move?", str(year)),
            (f"With whom does {who} walk?", friend),
        ]
        return (
            sentences,
            asked,
            f"{who}, {a(job)} from {where}, walks every morning with the dog {pet} and {friend}.",
        )
    if kind == 2:
        thing, room, day = (
            rng.choice(NOUNS),
            rng.choice(("kitchen", "library", "garage", "garden", "cellar", "attic")),
            rng.choice(("Monday", "Tuesday", "Friday", "Sunday")),
        )
        sentences = [
            f"On {day} {who} lost a {thing}.",
            f"It was found in the {room} by {place(rng)}'s postman.",
            f"{who} gave him {n} coins as a reward.",
            "Everybody was happy.",
        ]
        asked = [
            (f"What did {who} lose?", thing),
            ("Where was it found?", room),
            ("How many coins were given?", str(n)),
            (f"On which day did {who} lose it?", day),
        ]
        return sentences, asked, f"{who} lost a {thing} on {day}, and it was found in the {room}."
    topic, (_, known) = rng.choice(list(TOPICS.items()))
    sentences = known[: rng.randint(2, len(known))]
    return sentences, [("What is the text about?", topic)], known[0]


def reading(rng: Random) -> Sample:
    """Teach to answer from a text, to say when it does not tell, and to summarise."""
    sentences, asked, summary = _passage(rng)
    extra = [
        f"The {rng.choice(NOUNS)} of {coined(rng).capitalize()} is old."
        for _ in range(rng.choice((0, 0, 1, 3)))
    ]
    body = [*sentences, *extra]
    text = " ".join(body)
    if rng.random() < 0.35:
        q = phrase(
            rng,
            "[Summarize this text|Summarize the following text|Summarize this|Sum up this text|Give a summary of this text|Summarise][ in one sentence|]:[ |\n\n]{t}",
            t=text,
        )
        return Sample.of(
            "reading",
            Exchange(q, summary, f"The main point is: {summary}", (summary.split(",")[0].split(" is ")[0],)),
        )
    question, answer = rng.choice(asked)
    sentence = next((s for s in body if answer.lower() in s.lower()), body[0])
    if question == "What is the text about?":
        reply, sentence = f"The text is about {answer}.", body[0]
    else:
        reply = sentence if rng.random() < 0.7 else f"{answer[0].upper()}{answer[1:]}."
    if rng.random() < 0.15:
        question, answer = (
            rng.choice(
                (
                    f"Who is {coined(rng).capitalize()}?",
                    "How old is the building?",
                    "What colour is the car?",
                    "What is the name of the cat?",
                )
            ),
            "does not say",
        )
        reply, sentence = "The text does not say.", "Nothing in the text answers this."
    q = rng.choice(
        (
            f"Context: {text}\n\nQuestion: {question}",
            f"{text}\n\n{question}",
            f"Answer the question based on the text.\n\nText: {text}\n\nQuestion: {question}\nAnswer:",
            f"Read this: {text} {question}",
            f"Use the following context to answer the question.\n\n{text}\n\nQuestion: {question}",
        )
    )
    return Sample.of("reading", Exchange(q, reply, f"The text says: {sentence}", (answer,)))
