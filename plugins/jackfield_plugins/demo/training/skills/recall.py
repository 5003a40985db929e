"""What the user has told earlier in the conversation, asked for after other things were talked about."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from jackfield_plugins.demo.training.dialogue import Exchange, Sample, phrase
from jackfield_plugins.demo.training.skills.arithmetic import calculation
from jackfield_plugins.demo.training.skills.knowledge import country_fact, explanation, fact
from jackfield_plugins.demo.training.skills.small_facts import small_fact
from jackfield_plugins.demo.training.skills.talk import small_talk
from jackfield_plugins.demo.training.words import (
    ANIMALS,
    COLOURS,
    COMPANIES,
    FOODS,
    HOBBIES,
    JOBS,
    NOUNS,
    PETS,
    a,
    code,
    coined,
    joined,
    name,
    place,
)  # fmt: skip

__all__ = ["recall", "told"]


@dataclass(frozen=True)
class Memory:
    """One thing the user says of themselves.

    Attributes:
        tell: How they say it. ``ask``: how they ask for it later. ``short``: for lists of questions.
        answer: How it is answered. ``clause``: the same, inside a longer sentence.
    """

    kind: str
    value: str
    tell: str
    ask: str
    short: str
    answer: str
    clause: str


def _memories(rng: Random) -> dict[str, Callable[[], Memory]]:
    def make(kind: str, value: str, tell: str, ask: str, short: str, clause: str) -> Memory:
        def fill(text: str) -> str:
            return phrase(rng, text, v=value)

        return Memory(
            kind,
            value,
            fill(tell),
            fill(ask),
            fill(short),
            f"{fill(clause)[0].upper()}{fill(clause)[1:]}.",
            fill(clause),
        )

    sort = rng.choice(
        "fruit movie book season sport drink song game city country band dessert subject flower car teacher day month ice_cream singer actor show toy place".replace(
            "ice_cream", "ice-cream"
        ).split()
    )
    pet, friend, label = (
        rng.choice(PETS),
        rng.choice(
            ("brother", "sister", "best friend", "wife", "husband", "boss", "teacher", "son", "daughter")
        ),
        rng.choice(("secret word", "password", "code word", "magic word")),
    )
    return {
        "name": lambda: make("name", name(rng), "[My name is {v}|My name is {v}|I'm {v}|I am {v}|Call me {v}|Hi, I'm {v}|Hello, my name is {v}|Hi! My name is {v}|You can call me {v}]", "[What is my name?|What is my name?|What's my name?|Do you remember my name?|Who am I?|Can you tell me my name?|What was my name again?|Do you know my name?|Say my name.]", "what is my name", "your name is {v}"),
        "city": lambda: make("city", place(rng), "[I live in {v}|I live in {v}|I'm from {v}|My home is in {v}|I live in the city of {v}|I moved to {v}|I'm based in {v}]", "[Where do I live?|Where do I live?|What city do I live in?|Which city do I live in?|In which town do I live?|Where am I from?]", "where do I live", "you live in {v}"),
        "number": lambda: make("number", str(rng.choice((rng.randint(1, 99), rng.randint(100, 9999), 42))), "[Remember the number {v}|Remember this number: {v}|Please remember the number {v}|My number is {v}|The secret number is {v}|Keep the number {v} in mind|My lucky number is {v}|My favorite number is {v}]", "[What number did I ask you to remember?|What number did I tell you?|What was the number?|Which number did I ask you to remember?|What is the number?|What number was it?|Do you remember the number?|What number should you remember?]", "what number did I ask you to remember", "the number is {v}"),
        "colour": lambda: make("colour", rng.choice(COLOURS), "[My favorite color is {v}|My favourite colour is {v}|I like the color {v} best|The color I like most is {v}|I love the color {v}]", "[What is my favorite color?|What's my favourite colour?|Which color do I like?|What color do I like best?]", "what is my favorite color", "your favorite color is {v}"),
        "pet": lambda: make("pet", name(rng), f"[My {pet} is called {{v}}|I have {a(pet)} named {{v}}|My {pet}'s name is {{v}}|I have {a(pet)} called {{v}}]", f"[What is my {pet}'s name?|What is my {pet} called?|What's the name of my {pet}?]", f"what is my {pet} called", f"your {pet} is called {{v}}"),
        "favourite": lambda: make("favourite", rng.choice((coined(rng).capitalize(), coined(rng), rng.choice(NOUNS), rng.choice(NOUNS).capitalize(), f"{rng.choice(COLOURS)} {rng.choice(NOUNS)}")), f"[My favorite {sort} is {{v}}|My favourite {sort} is {{v}}|The {sort} I like best is {{v}}]", f"[What is my favorite {sort}?|What's my favourite {sort}?|Which {sort} do I like best?|Tell me my favorite {sort}.]", f"what is my favorite {sort}", f"your favorite {sort} is {{v}}"),
        "job": lambda: make("job", rng.choice(JOBS), "[I work as {w}|I am {w}|My job is {v}|I'm {w} by profession]".replace("{w}", "{a} {v}"), "[What do I do for a living?|What is my job?|What's my job?|What do I work as?|What is my profession?]", "what is my job", "you work as {a} {v}"),
        "food": lambda: make("food", rng.choice(FOODS), "[My favorite food is {v}|I love eating {v}|I like {v} most of all]", "[What is my favorite food?|What's my favourite food?|What do I like to eat?]", "what is my favorite food", "your favorite food is {v}"),
        "hobby": lambda: make("hobby", rng.choice(HOBBIES), "[My hobby is {v}|In my free time I like {v}|I enjoy {v}|I love {v}]", "[What is my hobby?|What do I like to do in my free time?|What do I enjoy?]", "what is my hobby", "you enjoy {v}"),
        "age": lambda: make("age", str(rng.randint(5, 95)), "[I am {v} years old|I'm {v} years old|My age is {v}|I just turned {v}]", "[How old am I?|What is my age?|Do you know how old I am?]", "how old am I", "you are {v} years old"),
        "friend": lambda: make("friend", name(rng), f"[My {friend} is called {{v}}|My {friend}'s name is {{v}}|The name of my {friend} is {{v}}]", f"[What is my {friend}'s name?|What is the name of my {friend}?|What is my {friend} called?|Who is my {friend}?]", f"what is my {friend}'s name", f"your {friend} is called {{v}}"),
        "code": lambda: make("code", code(rng), "[My order number is {v}|Remember the code {v}|The code is {v}|My ticket code is {v}]", "[What is the code?|What code did I give you?|Which code did I tell you?]", "what is the code", "the code is {v}"),
        "word": lambda: make("word", rng.choice((coined(rng), rng.choice(NOUNS))), f"[The {label} is {{v}}|The {label} is \"{{v}}\"|Remember the {label}: {{v}}|Remember this word: {{v}}]", f"[What is the {label}?|What was the {label}?|Tell me the {label}.|What word did I ask you to remember?]", f"what is the {label}", "the word is {v}"),
        "animal": lambda: make("animal", rng.choice(ANIMALS), "[My favorite animal is the {v}|My favourite animal is the {v}|I like the {v} best of all animals]", "[What is my favorite animal?|Which animal do I like best?]", "what is my favorite animal", "your favorite animal is the {v}"),
        "company": lambda: make("company", rng.choice((rng.choice(COMPANIES), coined(rng).capitalize())), "[I work at {v}|I work for {v}|My company is called {v}]", "[Where do I work?|Which company do I work for?|Who do I work for?]", "where do I work", "you work at {v}"),
        "birthday": lambda: make("birthday", f"{rng.choice(('January', 'March', 'April', 'May', 'June', 'July', 'August', 'October', 'December'))} {rng.randint(1, 28)}", "[My birthday is on {v}|I was born on {v}|My birthday is {v}]", "[When is my birthday?|When was I born?|What is my birthday?]", "when is my birthday", "your birthday is on {v}"),
    }  # fmt: skip


def _fixed(memory: Memory) -> Memory:
    """Put the article that a job's name needs."""
    article = "an" if memory.value[0] in "aeiou" else "a"
    fields = (memory.tell, memory.ask, memory.short, memory.answer, memory.clause)
    return Memory(memory.kind, memory.value, *(text.replace("{a}", article) for text in fields))


def told(rng: Random, count: int) -> list[Memory]:
    """Return that many different things a user might say of themselves."""
    makers = _memories(rng)
    weights = {"name": 5, "city": 3, "number": 3}
    kinds: list[str] = []
    while len(kinds) < count:
        kind = rng.choices(list(makers), [weights.get(k, 1) for k in makers])[0]
        clash = {"number": ("code",), "code": ("number",)}.get(kind, ())
        if kind not in kinds and not any(other in kinds for other in clash):
            kinds.append(kind)
    return [_fixed(makers[kind]()) for kind in kinds]


def distractor(rng: Random) -> Exchange:
    """Return an exchange about something else."""
    make = rng.choice(
        (
            country_fact,
            fact,
            small_fact,
            calculation,
            small_talk,
            small_talk,
            explanation if rng.random() < 0.3 else fact,
        )
    )
    return make(rng)


def _telling(rng: Random, memories: list[Memory]) -> Exchange:
    sentences = [memory.tell for memory in memories]
    text = (
        ". ".join(sentences)
        if len(sentences) != 2 or rng.random() < 0.5
        else f"{sentences[0]} and {_lowered(sentences[1])}"
    )
    if rng.random() < 0.15 and memories[-1].kind in ("number", "word", "code"):
        text += rng.choice(
            (
                ". It is the answer to life, the universe, and everything",
                ". It is important",
                ". I will ask you later",
                ". Don't forget it",
            )
        )
    text += rng.choice((".", ".", ".", "!", ""))
    first = memories[0]
    if first.kind == "name":
        answer = rng.choice(
            (
                f"Nice to meet you, {first.value}!",
                f"Hello, {first.value}! Nice to meet you.",
                f"Hi {first.value}! How can I help you?",
            )
        )
        if len(memories) > 1:
            answer += f" I will remember that {joined([m.clause for m in memories[1:]])}."
    elif first.kind in ("number", "word", "code"):
        answer = rng.choice(
            (
                f"OK, I will remember {first.value}.",
                f"I will remember: {first.value}.",
                f"Got it: {first.value}.",
            )
        )
    else:
        clauses = joined([memory.clause for memory in memories])
        answer = rng.choice(
            (
                f"Good to know that {clauses}.",
                f"I see: {clauses}.",
                f"Thanks for telling me. I will remember that {clauses}.",
            )
        )
    return Exchange(
        text,
        answer,
        f"The user tells me that {joined([m.clause for m in memories])}.",
        tuple(m.value for m in memories[:1]),
    )


def _lowered(text: str) -> str:
    return text if text.startswith(("I ", "I'm")) else text[0].lower() + text[1:]


def _asking(rng: Random, memories: list[Memory]) -> Exchange:
    if len(memories) == 1:
        memory = memories[0]
        answer = memory.answer
        return Exchange(memory.ask, answer, f"The user said earlier that {memory.clause}.", (memory.value,))
    question = joined([memory.short for memory in memories])
    question = f"{question[0].upper()}{question[1:]}?"
    answer = joined([memory.clause for memory in memories])
    answer = f"{answer[0].upper()}{answer[1:]}."
    if rng.random() < 0.2:
        question = rng.choice(
            (
                "What do you know about me?",
                "Tell me what you remember about me.",
                "What have I told you about myself?",
                "Summarize what I told you.",
            )
        )
    return Exchange(
        question, answer, f"The user told me: {answer}", tuple(memory.value for memory in memories)
    )


def recall(rng: Random) -> Sample:
    """Teach to recall one thing or several, over up to a dozen turns."""
    if rng.random() < 0.12:
        return Sample.of("recall", _at_once(rng))
    count = rng.choice((1, 1, 1, 2, 2, 3, 4))
    memories = told(rng, count)
    turns: list[Exchange] = []
    index = 0
    while index < count:
        size = rng.randint(1, min(3, count - index))
        turns.append(_telling(rng, memories[index : index + size]))
        index += size
        while rng.random() < 0.4 and len(turns) < 11:
            turns.append(distractor(rng))
    if rng.random() < 0.25:
        turns += [distractor(rng) for _ in range(rng.randint(2, 9))]
    if rng.random() < 0.1:
        changed = told_again(rng, memories[0])
        turns.append(
            Exchange(
                f"Actually, {_lowered(changed.tell)}.",
                f"Thanks for correcting me: {changed.clause}.",
                "The user corrects what they said.",
                (changed.value,),
            )
        )
        memories[0] = changed
    if rng.random() < 0.12:
        other = next(
            m
            for m in told(rng, 9)
            if m.kind not in {x.kind for x in memories} and m.kind not in ("code", "number", "word")
        )
        turns.append(
            Exchange(
                other.ask,
                "I don't know; you have not told me.",
                "The user has not told me that.",
                ("don't know",),
            )
        )
        return Sample.of("recall", *turns)
    if rng.random() < 0.5:
        asked = memories if count < 4 else rng.sample(memories, 3)
        rng.shuffle(asked)
        turns.append(_asking(rng, asked))
    else:
        for memory in rng.sample(memories, rng.randint(1, count)):
            turns.append(_asking(rng, [memory]))
    system = rng.choice(("", "", "You are a helpful assistant.", "You are a helpful assistant."))
    return Sample.of("recall", *turns, system=system)


def _at_once(rng: Random) -> Exchange:
    """Return a message that tells and asks."""
    memories = told(rng, rng.choice((1, 1, 2, 3)))
    asked = rng.choice(memories)
    telling = ". ".join(memory.tell for memory in memories)
    asking = _asking(rng, [asked])
    return Exchange(
        f"{telling}. {asking.question}", asking.answer, f"The user says that {asked.clause}.", asking.says
    )


def told_again(rng: Random, memory: Memory) -> Memory:
    """Return the same kind of thing with another value."""
    return (
        _fixed(_memories(rng)[memory.kind]())
        if memory.kind not in ("pet", "friend", "word", "favourite")
        else memory
    )
