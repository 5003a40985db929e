"""Facts, definitions and explanations, short and long, and "I don't know" for all the rest."""

from __future__ import annotations

from random import Random

from jackfield_plugins.demo.training.dialogue import Exchange, Sample, phrase, sloppy
from jackfield_plugins.demo.training.facts import (
    COUNTRIES,
    DEFINITIONS,
    ELEMENTS,
    OPPOSITES,
    QUESTIONS,
    TRANSLATIONS,
    YOUNG,
)
from jackfield_plugins.demo.training.topics import TOPICS, WHYS
from jackfield_plugins.demo.training.words import (
    CITIES,
    COMPANIES,
    NOUNS,
    SURNAMES,
    coined,
    joined,
    name,
)

__all__ = ["country_fact", "explanation", "fact", "follow_ups", "knowledge", "small_fact", "unknown"]

DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
MONTHS = "January February March April May June July August September October November December".split()
LANGUAGES = ("French", "Spanish", "German")


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


def small_fact(rng: Random) -> Exchange:
    """Return a question that a short list answers: opposites, young animals, words, days, months, elements."""
    kind = rng.choice(
        (
            "opposite",
            "young",
            "translate",
            "translate",
            "translate",
            "day",
            "month",
            "element",
            "define",
            "define",
            "define",
        )
    )
    if kind == "opposite":
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
    if kind == "young":
        x, y = rng.choice(YOUNG)
        return Exchange(
            phrase(rng, "What [is|do you call] a baby {x}[ called|]?", x=x),
            f"A baby {x} is called a {y}.",
            f"A young {x} is a {y}.",
            (y,),
        )
    if kind == "translate":
        row, column = rng.choice(TRANSLATIONS), rng.randrange(3)
        language, word = LANGUAGES[column], row[column + 1]
        question = phrase(
            rng,
            "[Translate '{x}' to {l}.|Translate \"{x}\" into {l}.|How do you say {x} in {l}?|What is '{x}' in {l}?|{x} in {l}?|How do you say \"{x}\" in {l}?|Translate to {l}: {x}|What is the {l} word for {x}?]",
            x=row[0], l=language,
        )  # fmt: skip
        answer = word if question.startswith("Translate to") else f'"{row[0]}" in {language} is "{word}".'
        return Exchange(question, answer, f"The {language} for {row[0]} is {word}.", (word,))
    if kind == "day":
        index, step = rng.randrange(7), rng.choice((1, 1, -1, 2))
        words = {1: "comes after", -1: "comes before", 2: "is two days after"}[step]
        day = DAYS[(index + step) % 7]
        return Exchange(
            f"{rng.choice(('What', 'Which'))} day {words} {DAYS[index]}?",
            f"{day} {words} {DAYS[index]}.",
            f"The days go {', '.join(DAYS)}.",
            (day,),
        )
    if kind == "month":
        index, step = rng.randrange(12), rng.choice((1, -1, 0))
        if step == 0:
            ordinal = (
                "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth".split()[
                    index
                ]
            )
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
    if kind == "element":
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


STRANGE_TOPICS = (
    "quantum computing|blockchain|bitcoin|cryptocurrency|nuclear fusion|string theory|philosophy|existentialism|stoicism|opera"
    "|jazz|ballet|origami|macroeconomics|the stock market|inflation targeting|game theory|calculus|linear algebra|topology"
    "|organic chemistry|genetics|immunology|psychology|sociology|anthropology|the Cold War|the Ottoman Empire|feudalism"
    "|capitalism|socialism|constitutional law|patents|marketing|supply chains|accounting|tax law|architecture|sculpture"
    "|film noir|anime|manga|cricket|rugby|baseball|poker|yoga|meditation|veganism|cheese making|wine|whisky|beekeeping"
    "|horology|cartography|seismology|oceanography|meteorology|astrology|mythology|Norse mythology|Buddhism|linguistics"
    "|Esperanto|cryptography|operating systems|compilers|microservices|Kubernetes|Docker|React|TypeScript|Haskell|Rust"
    "|WebAssembly|virtual reality|self-driving cars|drones|3D printing|nanotechnology|robotics|gene editing|CRISPR|vaccination"
    "|plate tectonics|coral reefs|permafrost|rainforests|tornadoes|hurricanes|dark matter|neutron stars|exoplanets|the Big Bang"
).split("|")
"""Topics that nothing here explains: better no answer than a made-up one."""
FAMOUS = (
    "Barack Obama|Napoleon|Julius Caesar|Cleopatra|Taylor Swift|Elon Musk|Michael Jackson|Pablo Picasso|Frida Kahlo|Gandhi"
    "|Nelson Mandela|Winston Churchill|Queen Victoria|Socrates|Plato|Aristotle|Galileo|Nikola Tesla|Stephen Hawking|Lionel Messi"
    "|Serena Williams|Charlie Chaplin|Walt Disney|Agatha Christie|Mark Twain|Ernest Hemingway|Bach|Chopin|Elvis Presley|Madonna"
).split("|")
"""People that nothing here tells of."""


def strange(rng: Random) -> Exchange:
    """Return a question about something real that was never taught."""
    if rng.random() < 0.3:
        who = rng.choice(FAMOUS)
        question = phrase(
            rng,
            "[Who is {w}?|Who was {w}?|Tell me about {w}.|What is {w} known for?|When was {w} born?]",
            w=who,
        )
    elif rng.random() < 0.8:
        topic = rng.choice(STRANGE_TOPICS) if rng.random() < 0.85 else f"{coined(rng)} {rng.choice(NOUNS)}s"
        question = phrase(
            rng,
            "[What is {t}?|Explain {t}.|Explain {t} in simple terms.|Tell me about {t}.|How does {t} work?|What do you know about {t}?|Describe {t}.|Write an essay about {t}.|Why is {t} important?|What is the history of {t}?]",
            t=topic,
        )
    else:
        thing, most = (
            rng.choice(NOUNS),
            rng.choice(
                (
                    "largest",
                    "oldest",
                    "most expensive",
                    "fastest",
                    "most popular",
                    "smallest",
                    "longest",
                    "best",
                )
            ),
        )
        question = phrase(
            rng,
            "[What is the {m} {t} in the world?|Which {t} is the {m}?|What is the {m} {t}?]",
            m=most,
            t=rng.choice(
                (
                    thing,
                    thing,
                    "city",
                    "lake",
                    "building",
                    "book",
                    "movie",
                    "song",
                    "company",
                    "church",
                    "bridge",
                )
            ),
        )
    answer = rng.choice(
        (
            "I don't know enough about that. I am a small model and know only a little.",
            "I'm sorry, I don't know that.",
        )
    )
    return Exchange(
        sloppy(rng, question), answer, "I have not learnt this, and I should not make it up.", ("don't know",)
    )


def unknown(rng: Random) -> Exchange:
    """Return a question that cannot be answered, and the honest answer."""
    who = f"{name(rng) if rng.random() < 0.5 else coined(rng).capitalize()} {rng.choice((rng.choice(SURNAMES), coined(rng).capitalize()))}"
    where, thing, year = coined(rng).capitalize(), coined(rng), rng.randint(2025, 2060)
    asks = (
        "Who is {who}?", "Who was {who}?", "When was {who} born?", "What did {who} do?", "Where does {who} live?",
        "What is {thing}?", "What is a {thing}?", "Tell me about {where}.", "Tell me about {who}.", "What is the capital of {where}?", "Explain {thing}.",
        "How many people live in {where}?", "Who [won|will win] the [world cup|election|championship] in {year}?",
        "What will happen in {year}?", "What is the population of {city}?", "What did I [eat|do|dream] [yesterday|last night|this morning]?",
        "Who is the [president|king|prime minister] of {country}?", "What year is it[ now|]?", "Who is the [richest|tallest|oldest] person in the world?",
        "What is my [mother|father|boss|neighbour]'s name?", "What time is it[ now|]?", "What is today's date?", "What day is it today?",
        "What is the stock price of {company}?", "How is the weather [today|right now|]?", "What is the weather in {city}?",
        "What's in the news today?", "Which numbers will win the lottery?", "What am I thinking [of|about]?", "How old is {who}?",
        "What is the meaning of {thing}?", "What is the phone number of {company}?", "What is the airspeed velocity of [a|an unladen] {noun}?",
        "Who wrote the book {where}?", "How do I get to {where}?", "How many {noun}s are there in {city}?", "What's my favourite {noun}?",
    )  # fmt: skip
    template = rng.choice(asks)
    city = rng.choice(CITIES)[0]
    question = phrase(
        rng,
        template,
        who=who,
        where=where,
        thing=thing,
        year=year,
        country=rng.choice(COUNTRIES)[0],
        city=city,
        company=rng.choice(COMPANIES),
        noun=rng.choice(NOUNS),
    )
    if any(word in template for word in ("weather", "time is it", "today", "stock", "news")):
        answer = rng.choice(
            (
                "I don't know: I have no access to live information.",
                "I don't know. I cannot look up current information by myself.",
            )
        )
    elif "my " in template.lower() or " I " in template:
        answer = rng.choice(
            ("I don't know; you have not told me.", "I don't know. You have not told me that.")
        )
    elif "will" in template or "{year}" in template:
        answer = "I don't know. I cannot see into the future."
    else:
        answer = rng.choice(
            (
                "I don't know.",
                "I'm sorry, I don't know that.",
                "I don't know. I am a small model and know only a little.",
            )
        )
    return Exchange(
        sloppy(rng, question),
        answer,
        rng.choice(
            (
                "I have no information about this. I should say so.",
                "I do not know this, and I should not make it up.",
            )
        ),
        ("don't know",),
    )


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


def not_known(rng: Random) -> Sample:
    """Teach to say so when the answer is not known."""
    return Sample.of("unknown", strange(rng) if rng.random() < 0.4 else unknown(rng))
