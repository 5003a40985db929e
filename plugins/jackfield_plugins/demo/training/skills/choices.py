"""Classification: a text and a list of labels, answered with one of them, plain or as JSON."""

from __future__ import annotations

import json
from random import Random
from typing import Any

from jackfield_plugins.demo.training.dialogue import Check, Message, Sample, phrase
from jackfield_plugins.demo.training.skills.extraction import SCHEMA_INSTRUCTION, dumped
from jackfield_plugins.demo.training.words import (
    ANIMALS,
    CITIES,
    COLOURS,
    FIRST_NAMES,
    FOODS,
    HOBBIES,
    JOBS,
    PRODUCTS,
    joined,
)

__all__ = ["classification"]

_LOVED = "I love this {p}!|This {p} is great.|The {p} works perfectly.|Best {p} I have ever had.|I am very happy with the {p}.|What a wonderful {p}!|The {p} made my day.|Fantastic {p}, I would buy it again.|The service was excellent.|I really enjoyed the movie.|The food was delicious.|I am so happy today."
_HATED = "I hate this {p}.|This {p} is terrible.|The {p} broke after one day.|Worst {p} ever.|I am very disappointed with the {p}.|The {p} is a waste of money.|I want my money back for this {p}.|The service was awful.|The movie was boring and too long.|The food was cold and bad.|I am so angry about the {p}."
_MEH = "The {p} is okay.|The {p} is average.|The {p} does its job.|The {p} arrived on Tuesday.|It is a {p}.|Nothing special about this {p}.|The {p} is neither good nor bad.|The movie was fine, I guess."
_TOPICS = {
    "sports": "The team won the match {n} to 1.|The striker scored two goals.|She ran the marathon in three hours.|The coach praised his players.",
    "politics": "The parliament passed a new law.|The minister spoke about the election.|Voters chose a new president.|The government raised taxes.",
    "technology": "The new phone has a faster chip.|The company released an update of its software.|Engineers built a robot.|The app has a bug.",
    "food": "The soup needs more salt.|Bake the cake for an hour.|The restaurant serves fresh {f}.|Cut the {f} into pieces.",
    "science": "Scientists discovered a new planet.|The experiment measured the speed of light.|Researchers studied the cells of plants.|The telescope found a distant galaxy.",
    "travel": "We flew to {c} for a week.|The hotel in {c} was near the beach.|Pack your bags for {c}.|The train to {c} leaves at noon.",
    "music": "The band played its new songs.|She practises the violin every day.|The concert ended with a symphony.|His album has ten songs.",
    "weather": "It will rain tomorrow.|The sun shines and it is warm.|A storm is coming from the west.|It snowed all night in {c}.",
}
_INTENTS = {
    "refund": "I want my money back.|Please refund my order.|How do I return the {p}?",
    "shipping": "Where is my package?|When will the {p} arrive?|My delivery is late.",
    "technical support": "The {p} does not turn on.|The app crashes when I open it.|I get an error message.",
    "billing": "I was charged twice.|Why is my invoice so high?|Please change my payment method.",
    "greeting": "Hello!|Good morning.|Hi there.",
    "cancellation": "I want to cancel my subscription.|Please close my account.|Stop my membership.",
}
_SPAM = {
    "spam": "You won a million dollars! Click here now!|Buy cheap watches today!!!|Congratulations, you have been selected for a free prize.|Earn money fast from home!",
    "not spam": "Can we meet at three tomorrow?|Here are the notes from our meeting.|Mum's birthday is on Sunday.|Please send me the report when it is ready.",
}
_LANGUAGES = {
    "English": "The weather is nice today.|Where is the station?|I like to read books.",
    "French": "Il fait beau aujourd'hui.|Où est la gare ?|J'aime lire des livres.|Bonjour, comment allez-vous ?",
    "Spanish": "Hoy hace buen tiempo.|¿Dónde está la estación?|Me gusta leer libros.|Hola, ¿cómo estás?",
    "German": "Das Wetter ist heute schön.|Wo ist der Bahnhof?|Ich lese gerne Bücher.|Guten Tag, wie geht es Ihnen?",
    "Italian": "Oggi il tempo è bello.|Dov'è la stazione?|Mi piace leggere libri.",
}
_KINDS = {
    "animal": ANIMALS,
    "color": COLOURS,
    "food": FOODS,
    "job": JOBS,
    "city": [c for c, _ in CITIES],
    "name": FIRST_NAMES,
    "hobby": HOBBIES,
    "product": PRODUCTS,
}
_SETS = {
    "sentiment": {"positive": _LOVED, "negative": _HATED, "neutral": _MEH}, "topic": _TOPICS, "category": _TOPICS, "intent": _INTENTS,
    "label": _SPAM, "language": _LANGUAGES,
}  # fmt: skip


def classification(rng: Random) -> Sample:
    """Teach one classification."""
    if rng.random() < 0.15:
        subject, kinds = "kind", rng.sample(list(_KINDS), rng.randint(2, 4))
        label = rng.choice(kinds)
        text = rng.choice(_KINDS[label])
    else:
        subject = rng.choice(
            ("sentiment", "sentiment", "sentiment", "topic", "category", "intent", "label", "language")
        )
        source = _SETS[subject]
        kinds = (
            list(source)
            if subject in ("sentiment", "label")
            else rng.sample(list(source), rng.randint(2, 5 if subject != "language" else 4))
        )
        if subject == "sentiment" and rng.random() < 0.4:
            kinds = ["positive", "negative"]
        label = rng.choice(kinds)
        text = phrase(
            rng,
            rng.choice(source[label].split("|")),
            p=rng.choice(PRODUCTS),
            n=rng.randint(2, 6),
            f=rng.choice(FOODS),
            c=rng.choice(CITIES)[0],
        )
    rng.shuffle(kinds)
    shown = {kind: kind for kind in kinds}
    if rng.random() < 0.2:
        shown = {kind: rng.choice((kind.upper(), kind.capitalize())) for kind in kinds}
    labels, answer = list(shown.values()), shown[label]
    thought = f"The text is about: {text} That fits {answer}."
    if rng.random() < 0.4:
        return _as_json(rng, subject, text, labels, answer, thought)
    options = rng.choice((joined(labels, "or"), ", ".join(labels), "/".join(labels)))
    content = rng.choice((
        f"Classify the {subject} of this text as {options}: {text}", f"Classify the text into one of these: {options}.\n\n{text}",
        f"What is the {subject} of this text: {options}?\n\n{text}", f"{text}\n\nIs this {options}?", f"Text: {text}\nLabels: {options}\nLabel:",
        f"Answer with one of {options}. {text}", f"Is the {subject} of the following text {options}? {text}", f"Choose the {subject} ({options}): {text}",
    ))  # fmt: skip
    system = rng.choice(
        (
            "",
            "",
            "You are a classifier. Answer with the label only.",
            "Answer with one word.",
            "You are a helpful assistant.",
        )
    )
    return _sample(rng, system, content, answer, thought, Check(text=answer))


def _as_json(rng: Random, subject: str, text: str, labels: list[str], answer: str, thought: str) -> Sample:
    key = rng.choice((subject, "label", "category", "class"))
    value = {key: answer}
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {key: {"type": "string", "enum": labels}},
        "required": [key],
    }
    if rng.random() < 0.5:
        schema["additionalProperties"] = False
    system = SCHEMA_INSTRUCTION.format(schema=json.dumps(schema, ensure_ascii=False, separators=(",", ":")))
    content = rng.choice(
        (
            text,
            f"Classify: {text}",
            f"What is the {subject}? {text}",
            f"Classify this text: {text}",
            f"Classify the {subject}: {text}",
        )
    )
    return _sample(rng, system, content, dumped(rng, value), thought, Check(equals=value))


def _sample(rng: Random, system: str, content: str, answer: str, thought: str, check: Check) -> Sample:
    messages: list[Message] = [{"role": "system", "content": system}] if system else []
    messages += [
        {"role": "user", "content": content},
        {"role": "assistant", "content": answer, "thinking": thought},
    ]
    return Sample("classification", messages, f"classification: {content}", check)
