"""Facts and explanations, short and long, and questions that follow from them."""

from __future__ import annotations

from random import Random

from jackfield_plugins.demo.training.dialogue import Exchange, Sample, phrase, sloppy
from jackfield_plugins.demo.training.facts import COUNTRIES, QUESTIONS
from jackfield_plugins.demo.training.skills.small_facts import small_fact
from jackfield_plugins.demo.training.topics import TOPICS, WHYS
from jackfield_plugins.demo.training.words import joined

__all__ = ["bare", "country_fact", "fact", "knowledge"]


def bare(country: str) -> str:
    """Return a country's name without its article."""
    return country.removeprefix("the ")


def country_fact(rng: Random) -> Exchange:
    """Return a question about a country: capital, continent, language or currency."""
    country, capital, continent, languages, currency = rng.choice(COUNTRIES)
    kind = rng.choice(("capital",) * 6 + ("of", "of", "continent", "language", "currency"))
    start = country[0].upper() + country[1:]
    if kind == "capital":
        question = phrase(
            rng,
            "[What is the capital of {c}?|What is the capital of {c}?|What's the capital of {c}?|Tell me the capital of {c}."
            "|Name the capital of {c}.|Which city is the capital of {c}?|capital of {c}?|Do you know the capital of {c}?"
            "|Can you tell me what the capital of {c} is?|What city is the capital of {c}?|The capital of {c} is|{c}'s capital?"
            "|What is the capital city of {c}?]",
            c=country,
        )
        answer = phrase(rng, "The capital of {c} is {x}.", c=country, x=capital)
        return Exchange(
            sloppy(rng, question),
            answer,
            _thought(rng, f"the capital of {country}", capital),
            (capital.split(",")[0],),
        )
    if kind == "of":
        question = phrase(
            rng,
            "[{x} is the capital of which country?|Which country has the capital {x}?|Of which country is {x} the capital?]",
            x=capital,
        )
        return Exchange(
            question,
            f"{capital} is the capital of {country}.",
            _thought(rng, f"the country with the capital {capital}", country),
            (bare(country),),
        )
    if kind == "continent":
        question = phrase(
            rng,
            "[On which continent is {c}?|What continent is {c} in?|Where is {c}?|Which continent is {c} on?]",
            c=country,
        )
        return Exchange(
            question,
            f"{start} is in {continent}.",
            _thought(rng, f"the continent of {country}", continent),
            (continent,),
        )
    if kind == "language":
        question = phrase(
            rng,
            "[What language do they speak in {c}?|What is the language of {c}?|Which languages are spoken in {c}?|What languages do people speak in {c}?]",
            c=country,
        )
        spoken = joined(languages.split(", "))
        return Exchange(
            question,
            f"People in {country} speak {spoken}.",
            _thought(rng, f"the language of {country}", spoken),
            (languages.split(", ")[0],),
        )
    question = phrase(
        rng,
        "[What is the currency of {c}?|What currency is used in {c}?|What money do they use in {c}?|Which currency does {c} have?]",
        c=country,
    )
    return Exchange(
        question,
        f"The currency of {country} is the {currency}.",
        _thought(rng, f"the currency of {country}", currency),
        (currency,),
    )


def _thought(rng: Random, what: str, value: str) -> str:
    return phrase(
        rng,
        "[The user asks for {w}. It is {v}.|I need {w}. That is {v}.|The question is about {w}: {v}.]",
        w=what,
        v=value,
    )


def fact(rng: Random) -> Exchange:
    """Return one question of the general list."""
    questions, wanted, answer = rng.choice(QUESTIONS)
    question = phrase(rng, rng.choice(questions.split(";")))
    thought = phrase(
        rng, "[The user asks: {q} I remember: {a}|I know this one. {a}|{a}]", q=question, a=answer
    )
    return Exchange(sloppy(rng, question), answer, thought, (wanted,))


def why(rng: Random) -> Exchange:
    """Return a question for a reason or a way."""
    questions, wanted, answer = rng.choice(WHYS)
    question = phrase(rng, rng.choice(questions.split(";")))
    if rng.random() < 0.15:
        question = phrase(
            rng,
            "[Can you explain|Explain|Please explain|Tell me] {q}",
            q=question[0].lower() + question[1:].rstrip("?") + ".",
        )
    return Exchange(
        sloppy(rng, question), answer, f"The main point: {answer.split('. ')[0].rstrip('.')}.", (wanted,)
    )


def explanation(rng: Random) -> Exchange:
    """Return a request to tell about a topic, in one sentence, a paragraph or several."""
    topic, (kind, sentences) = rng.choice(list(TOPICS.items()))
    asks = (
        "[Tell me about {t}.|Tell me about {t}.|Tell me about {t}.|What is {t}?|What are {t}?|Explain {t}.|What do you know about {t}?|Describe {t}."
        "|Can you tell me about {t}?|Give me an overview of {t}.|Write about {t}.|What can you tell me about {t}?|Explain what {t} is.]"
    )
    question = phrase(rng, asks, t=topic)
    plural = sentences[0].split()[1] in ("are", "were") or (
        topic.endswith("s") and " is " not in sentences[0][:40]
    )
    if question.startswith(("What is", "What are")):
        question = f"What {'are' if plural else 'is'} {topic}?"
    length = rng.random()
    if length < 0.15:
        question, answer = f"{question.rstrip('.?')} in one sentence.", sentences[0]
    elif length < 0.25:
        count = rng.choice((2, 3))
        word = {2: "two", 3: "three"}[count]
        question, answer = f"{question.rstrip('.?')} in {word} sentences.", " ".join(sentences[:count])
    elif length < 0.35:
        count = min(3, len(sentences))
        question = phrase(rng, "[Give me|List|Name] [{n}|three] [facts|things] about {t}.", n=3, t=topic)
        answer = "\n".join(f"{i}. {s}" for i, s in enumerate(sentences[:count], 1))
    elif length < 0.5:
        question = phrase(
            rng,
            "[Write a short essay about {t}.|Write a few paragraphs about {t}.|Explain {t} in detail.|Tell me everything you know about {t}.]",
            t=topic,
        )
        answer = _essay(topic, sentences)
    else:
        answer = " ".join(sentences)
    thought = f"The user wants to hear about {topic}. I start with what it is: {kind if kind else topic}."
    return Exchange(sloppy(rng, question), answer, thought, (" ".join(sentences[0].rstrip(".").split()[:4]),))


def _essay(topic: str, sentences: list[str]) -> str:
    middle = (len(sentences) + 1) // 2
    title = topic.removeprefix("the ").title() if topic.islower() else topic
    first, second = " ".join(sentences[:middle]), " ".join(sentences[middle:])
    return f"# {title}\n\n{first}\n\n{second}\n\nThis is only a short overview of {topic}, but it shows why people find the subject interesting."


def follow_ups(rng: Random) -> list[Exchange]:
    """Return a question about a country or a mountain and questions that lean on it."""
    if rng.random() < 0.15:
        asked = [
            Exchange("What is the [tallest|highest] mountain in the world?", "The [tallest|highest] mountain in the world is Mount Everest.", "That is Mount Everest.", ("Everest",)),
            Exchange("How [tall|high] is it[ in meters|]?", "Mount Everest is 8849 metres high.", "It means Mount Everest: 8849 metres.", ("8849",)),
            Exchange("Has anyone climbed it without [supplemental|] oxygen?", "Yes. Reinhold Messner and Peter Habeler climbed it without supplemental oxygen in 1978.", "Messner and Habeler did in 1978.", ("Messner",)),
            Exchange("Who was the first person to do so?", "Reinhold Messner and Peter Habeler were the first, on 8 May 1978.", "They were the first together.", ("Messner",)),
            Exchange("What nationality was that person?", "Reinhold Messner is Italian, and Peter Habeler is Austrian.", "Messner is from South Tyrol in Italy.", ("Italian",)),
        ]  # fmt: skip
        return [
            Exchange(phrase(rng, e.question), phrase(rng, e.answer), e.thought, e.says)
            for e in asked[: rng.randint(2, 5)]
        ]
    if rng.random() < 0.25:
        asked = [
            Exchange("[What programming language was Python named after?|What is Python?|Tell me about Python.]", "", ""),
            Exchange("Tell me more[ about that|].", "Python is easy to read and has a large standard library. People use it for the web, for data and for machine learning.", "They want more about Python.", ("Python",)),
            Exchange("When was [Python|it] first released?", "Python was first released in 1991.", "It means Python: 1991.", ("1991",)),
            Exchange("Who created it?", "Guido van Rossum created Python.", "It means Python.", ("Guido",)),
        ]  # fmt: skip
        first = phrase(rng, asked[0].question)
        answer = (
            "Python was not named after a programming language: Guido van Rossum named it after the comedy group Monty Python."
            if "named" in first
            else " ".join(TOPICS["Python"][1][:3])
        )
        turns = [Exchange(first, answer, "The user asks about Python.", ("Python",))]
        rest = asked[1:] if rng.random() < 0.5 else rng.sample(asked[1:], rng.randint(1, 3))
        return turns + [Exchange(phrase(rng, e.question), e.answer, e.thought, e.says) for e in rest]
    country, capital, continent, languages, currency = rng.choice(COUNTRIES)
    spoken = joined(languages.split(", "))
    question = Exchange(
        f"What is the capital of {country}?",
        f"The capital of {country} is {capital}.",
        f"The capital of {country} is {capital}.",
        (capital,),
    )
    others = [
        Exchange(phrase(rng, "[What language do they speak there?|And which language do they speak?|What do people speak there?]"), f"People in {country} speak {spoken}.", f"There means {country}.", (languages.split(", ")[0],)),
        Exchange(phrase(rng, "[What is the currency there?|And the currency?|What money do they use there?]"), f"The currency of {country} is the {currency}.", f"There means {country}.", (currency,)),
        Exchange(phrase(rng, "[Which continent is it on?|On which continent is that?|Where is that?]"), f"{country[0].upper()}{country[1:]} is in {continent}.", f"It means {country}.", (continent,)),
    ]  # fmt: skip
    other = rng.choice(COUNTRIES)
    if rng.random() < 0.25:
        another = Exchange(
            phrase(rng, "[And of {c}?|And {c}?|What about {c}?|How about {c}?]", c=other[0]),
            f"The capital of {other[0]} is {other[1]}.",
            f"Now the capital of {other[0]}.",
            (other[1],),
        )
        return [question, another]
    return [question, *rng.sample(others, rng.randint(1, 3))]


def knowledge(rng: Random) -> Sample:
    """Teach one fact, one explanation, or a question and what follows from it."""
    draw = rng.random()
    if draw < 0.12:
        return Sample.of("follow-ups", *follow_ups(rng))
    make = (
        country_fact
        if draw < 0.37
        else small_fact
        if draw < 0.52
        else fact
        if draw < 0.75
        else why
        if draw < 0.83
        else explanation
    )
    return Sample.of("facts", make(rng))
