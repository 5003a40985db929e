"""What cannot be known or was never taught, and "I don't know" for an answer."""

from __future__ import annotations

from random import Random

from jackfield_plugins.demo.training.dialogue import Exchange, Sample, phrase, sloppy
from jackfield_plugins.demo.training.facts import COUNTRIES
from jackfield_plugins.demo.training.words import CITIES, COMPANIES, NOUNS, SURNAMES, coined, name

__all__ = ["not_known", "unknown"]

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


def not_known(rng: Random) -> Sample:
    """Teach to say so when the answer is not known."""
    return Sample.of("unknown", strange(rng) if rng.random() < 0.4 else unknown(rng))
