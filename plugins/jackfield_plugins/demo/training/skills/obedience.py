"""What the system prompt asks for: a name, a style, a language, a length, a limit."""

from __future__ import annotations

from random import Random

from jackfield_plugins.demo.training.dialogue import Exchange, Sample, phrase
from jackfield_plugins.demo.training.facts import COUNTRIES
from jackfield_plugins.demo.training.skills.arithmetic import operands
from jackfield_plugins.demo.training.skills.knowledge import country_fact, fact
from jackfield_plugins.demo.training.skills.small_facts import small_fact
from jackfield_plugins.demo.training.skills.talk import small_talk
from jackfield_plugins.demo.training.skills.working import is_easy, result
from jackfield_plugins.demo.training.words import COMPANIES, FIRST_NAMES, JOBS, coined, name, place

__all__ = ["obedience"]


def _short(rng: Random) -> tuple[str, str, str]:
    """Return a question, its answer in one word, and in a sentence."""
    if rng.random() < 0.6:
        country, capital, *_ = rng.choice(COUNTRIES)
        return (
            phrase(
                rng, "[What is the capital of {c}?|Capital of {c}?|Tell me the capital of {c}.]", c=country
            ),
            capital,
            f"The capital of {country} is {capital}.",
        )
    a, op, b = operands(rng)
    while not is_easy(a, op, b) or (op == "/" and a % b):
        a, op, b = operands(rng)
    r = result(a, op, b)
    return f"What is {a} {op} {b}?", r, f"{a} {op} {b} = {r}."


def _persona(rng: Random) -> tuple[str, Exchange]:
    who = coined(rng).capitalize() if rng.random() < 0.4 else rng.choice(FIRST_NAMES)
    role = rng.choice((*JOBS, "robot", "assistant", "pirate", "wizard", "tutor", "travel guide"))
    company = rng.choice((*COMPANIES, coined(rng).capitalize()))
    with_company = rng.random() < 0.3
    system = (
        phrase(
            rng,
            "[You are {w}, a {r}{c}.|Your name is {w}. You are a {r}{c}.|You are a {r} named {w}{c}.|You are {w}{c}.|Act as {w}, a {r}{c}.|You are a helpful assistant named {w}{c}.|Your name is {w}{c}.]",
            w=who,
            r=role,
            c=f" at {company}" if with_company else "",
        )
        .replace(" a assistant", " an assistant")
        .replace(" a engineer", " an engineer")
        .replace(" a electrician", " an electrician")
        .replace(" a architect", " an architect")
        .replace(" a accountant", " an accountant")
        .replace(" a astronomer", " an astronomer")
    )
    asks = [
        "[What is your name?|What's your name?|Who are you?|Tell me your name.|Introduce yourself.|Who am I talking to?]"
    ]
    if role in system and "assistant" not in role:
        asks.append("[What is your job?|What do you do?|What are you?]")
    if with_company:
        asks.append("[Where do you work?|Which company do you work for?]")
    ask = rng.choice(asks)
    if "job" in ask:
        answer, wanted = f"I am {'an' if role[0] in 'aeiou' else 'a'} {role}.", role
    elif "company" in ask:
        answer, wanted = f"I work at {company}.", company
    elif role in system and "named" not in system and "assistant" not in role:
        answer, wanted = f"I am {who}, {'an' if role[0] in 'aeiou' else 'a'} {role}.", who
    else:
        answer, wanted = f"My name is {who}.", who
    return system, Exchange(phrase(rng, ask), answer, f"The system prompt says that I am {who}.", (wanted,))


def _told(rng: Random) -> tuple[str, Exchange]:
    """A fact in the system prompt that the user asks for."""
    who, where, price = name(rng), place(rng), rng.randint(2, 500)
    rows = (
        (f"The user's name is {who}.", "[What is my name?|Do you know my name?|Who am I?]", f"Your name is {who}.", who),
        (f"The user lives in {where}.", "[Where do I live?|In which city do I live?]", f"You live in {where}.", where),
        (f"Our shop is in {where}. It is open from 9 to 18.", "[Where is your shop?|Where is the shop?]", f"Our shop is in {where}.", where),
        (f"The secret word is {coined(rng)}.", "", "", ""),
        (f"A ticket costs {price} dollars.", "[How much is a ticket?|What does a ticket cost?]", f"A ticket costs {price} dollars.", str(price)),
        (f"The contact person is {who}.", "[Who is the contact person?|Whom should I contact?]", f"The contact person is {who}.", who),
        (f"Today's date is {rng.randint(2024, 2027)}-{rng.randint(1, 12):02}-{rng.randint(1, 28):02}.", "DATE", "", ""),
    )  # fmt: skip
    system, ask, answer, wanted = rng.choice(rows)
    if ask == "DATE":
        wanted = system.split()[-1].rstrip(".")
        ask, answer = (
            "[What is today's date?|What day is it?|What's the date today?]",
            f"Today's date is {wanted}.",
        )
    elif not ask:
        wanted = system.split()[-1].rstrip(".")
        ask, answer = "[What is the secret word?|Tell me the secret word.]", f"The secret word is {wanted}."
    return rng.choice(("", "You are a helpful assistant. ")) + system, Exchange(
        phrase(rng, ask), answer, f"The system prompt says: {system}", (wanted,)
    )


FRENCH = (
    ("Hello!", "Bonjour ! Comment puis-je vous aider ?"),
    ("How are you?", "Je vais bien, merci."),
    ("Thank you!", "De rien !"),
    ("Goodbye.", "Au revoir !"),
    ("Good morning!", "Bonjour !"),
    ("What is your name?", "Je m'appelle Jackfield."),
)
SPANISH = (
    ("Hello!", "¡Hola! ¿En qué puedo ayudarle?"),
    ("How are you?", "Estoy bien, gracias."),
    ("Thank you!", "¡De nada!"),
    ("Goodbye.", "¡Adiós!"),
    ("Good morning!", "¡Buenos días!"),
    ("What is your name?", "Me llamo Jackfield."),
)
GERMAN = (
    ("Hello!", "Hallo! Wie kann ich Ihnen helfen?"),
    ("How are you?", "Mir geht es gut, danke."),
    ("Thank you!", "Gern geschehen!"),
    ("Goodbye.", "Auf Wiedersehen!"),
    ("Good morning!", "Guten Morgen!"),
    ("What is your name?", "Ich heiße Jackfield."),
)


def _language(rng: Random) -> tuple[str, Exchange]:
    language, rows = rng.choice((("French", FRENCH), ("Spanish", SPANISH), ("German", GERMAN)))
    question, answer = rng.choice(rows)
    if rng.random() < 0.25:
        return "", Exchange(
            f"{rng.choice(('Say hello in', 'Greet me in'))} {language}.",
            answer_of(rows[0][1]),
            f"Hello in {language}.",
            (answer_of(rows[0][1]).split("!")[0].split(" ")[0],),
        )
    system = phrase(
        rng,
        "[Answer in {l}.|Reply in {l}.|Always answer in {l}.|You only speak {l}.|Respond only in {l}.]",
        l=language,
    )
    return system, Exchange(
        question.rstrip("!.") + rng.choice(("!", "", ".")) if not question.endswith("?") else question,
        answer,
        f"I have to answer in {language}.",
        (answer.split()[0],),
    )


def answer_of(greeting: str) -> str:
    """Return the greeting without the offer of help."""
    return greeting.split("!")[0].strip() + "!"


def _style(rng: Random) -> tuple[str, Exchange]:
    question, word, sentence = _short(rng)
    mark = rng.choice(
        ("over and out", "meow", "Arr!", "have a nice day", coined(rng), "🙂", "Best regards", "beep")
    )
    styles = (
        ("[Answer in one word.|Reply with one word only.|Answer with a single word.|Give only the answer, nothing else.|Answer with the result only.|Be extremely brief: one word.]", word, word),
        ("[Answer in one word.|Give only the answer.|Reply with just the answer.|Answer only, no explanation.]", word, word),
        ("[Answer in upper case.|Write everything in capital letters.|Always answer in uppercase.|Use only capital letters.|ANSWER IN ALL CAPS.]", sentence.upper(), word.upper()),
        ("[Answer in lower case.|Write everything in lowercase.|Use only lower case letters.]", sentence.lower(), word.lower()),
        (f"[End every answer with \"{mark}\".|Always end with {mark}|Finish each answer with {mark}]", f"{sentence} {mark}", mark),
        (f"[Begin every answer with \"{mark}\".|Always start with {mark}|Start each answer with {mark}]", f"{mark} {sentence}", mark),
        ("[You are a pirate.|Talk like a pirate.|You are a pirate. Answer like one.]", f"Arr! {sentence}", word),
        ("[Be concise.|You are a concise assistant.|Answer briefly.|Keep your answers short.|You are a helpful assistant. Be brief.]", sentence, word),
        ("[You are a helpful assistant.|You are a helpful and friendly assistant.|You are an AI assistant.|You are a useful assistant.]", sentence, word),
        ("[Answer politely and call the user Sir.|Call the user Sir.]", f"{sentence[:-1]}, Sir.", "Sir"),
        ("[Answer as a bullet list.|Use bullet points.]", f"- {sentence}", "- "),
    )  # fmt: skip
    system, answer, wanted = rng.choice(styles)
    chosen = phrase(rng, system)
    if rng.random() < 0.25:
        return "", Exchange(
            f"{question} {chosen}",
            answer,
            f"The answer is {word}. {chosen}",
            (wanted,),
            text=answer if answer == word else None,
        )
    return chosen, Exchange(
        question,
        answer,
        f"The answer is {word}. I was asked: {chosen}",
        (wanted,),
        text=answer if answer == word else None,
    )


def _yes_no(rng: Random) -> tuple[str, Exchange]:
    system = rng.choice(("Answer only with yes or no.", "Reply with yes or no.", "Answer yes or no."))
    country, capital, continent, *_ = rng.choice(COUNTRIES)
    other = rng.choice(COUNTRIES)
    n, m = rng.randint(1, 99), rng.randint(1, 99)
    rows = (
        (f"Is {capital} the capital of {country}?", True), (f"Is {other[1]} the capital of {country}?", other[1] == capital), (f"Is {country} in {continent}?", True),
        (f"Is {n} larger than {m}?", n > m), (f"Is {n} an even number?", n % 2 == 0), (f"Is {n} an odd number?", n % 2 == 1), (f"Is {n} + {m} equal to {n + m}?", True), (f"Is {n} + {m} equal to {n + m + 1}?", False),
    )  # fmt: skip
    question, is_so = rng.choice(rows)
    word = "Yes" if is_so else "No"
    return system, Exchange(question, word, f"{question} {word}.", text=word)


def _limit(rng: Random) -> tuple[str, Exchange]:
    topic = rng.choice(
        ("cooking", "mathematics", "geography", "sports", "music", "gardening", "our products")
    )
    system = phrase(
        rng,
        "[You only answer questions about {t}.|Only talk about {t}.|Answer only questions about {t}. Refuse everything else.|You are an assistant for {t}. Decline other questions.]",
        t=topic,
    )
    if topic == "geography" and rng.random() < 0.5:
        exchange = country_fact(rng)
        return system, exchange
    other = fact(rng) if topic in ("mathematics", "our products", "cooking", "gardening") else small_fact(rng)
    return system, Exchange(
        other.question,
        f"I'm sorry, I only answer questions about {topic}.",
        f"This is not about {topic}.",
        (f"only answer questions about {topic}",),
    )


def obedience(rng: Random) -> Sample:
    """Teach to do as the system prompt says."""
    make = rng.choices((_persona, _told, _language, _style, _yes_no, _limit), (4, 3, 2, 6, 2, 1.5))[0]
    system, exchange = make(rng)
    before = [small_talk(rng)] if rng.random() < 0.12 and make in (_persona, _told) else []
    sample = Sample.of("system prompts", *before, exchange, system=system)
    return sample
