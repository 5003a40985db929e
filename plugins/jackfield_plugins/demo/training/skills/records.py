"""Texts that mention fields of any name and type: people, orders, events, places, opinions, pets, lists."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

from jackfield_plugins.demo.training.dialogue import phrase
from jackfield_plugins.demo.training.words import (
    CITIES,
    COLOURS,
    COMPANIES,
    FOODS,
    HOBBIES,
    JOBS,
    NOUNS,
    PETS,
    PRODUCTS,
    SURNAMES,
    a,
    code,
    coined,
    email,
    joined,
    name,
    phone,
)

__all__ = ["REAL", "SOURCES", "TEXT", "WHOLE", "Schema"]

MONTHS = "January February March April May June July August September October November December".split()
WEEKDAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
Schema = dict[str, Any]


@dataclass(frozen=True)
class Field:
    """A field that a text mentions: its names, its schema, its value."""

    names: tuple[str, ...]
    schema: Schema
    value: Any


TEXT, WHOLE, REAL, YES_NO = {"type": "string"}, {"type": "integer"}, {"type": "number"}, {"type": "boolean"}


def _date(rng: Random) -> str:
    day, month, year = rng.randint(1, 28), rng.randrange(12), rng.randint(1990, 2030)
    return rng.choice(
        (
            f"{year}-{month + 1:02}-{day:02}",
            f"{MONTHS[month]} {day}, {year}",
            f"{day} {MONTHS[month]} {year}",
            f"{MONTHS[month]} {day}",
        )
    )


def _money(rng: Random) -> int | float:
    return rng.choice(
        (rng.randint(1, 2000), round(rng.randint(1, 300) + rng.choice((0.5, 0.99, 0.25, 0.95)), 2))
    )


def _person(rng: Random) -> str:
    return rng.choice((name(rng), f"{name(rng)} {rng.choice(SURNAMES)}"))


def person(rng: Random) -> tuple[str, list[Field]]:
    """Return a text about a person."""
    who, age, (city, country) = _person(rng), rng.randint(4, 95), rng.choice(CITIES)
    city = coined(rng).capitalize() if rng.random() < 0.2 else city
    job, company = rng.choice(JOBS), rng.choice((*COMPANIES, coined(rng).capitalize()))
    mail, tel, hobby, colour = (
        email(rng, who.split()[0], who.split()[-1]),
        phone(rng),
        rng.choice(HOBBIES),
        rng.choice(COLOURS),
    )
    fields = {
        "age": (
            f"[is {age} years old|is {age}|turned {age}]",
            Field(("age", "age_years", "years"), WHOLE, age),
        ),
        "city": (
            f"[lives in {city}|is from {city}|comes from {city}]",
            Field(("city", "town", "location", "residence"), TEXT, city),
        ),
        "land": (f"lives in {city}, {country}", Field(("country", "nation"), TEXT, country)),
        "job": (
            f"[works as {a(job)}|is {a(job)}]",
            Field(("job", "occupation", "profession", "role", "job_title"), TEXT, job),
        ),
        "company": (
            f"works [at|for] {company}",
            Field(("company", "employer", "organization"), TEXT, company),
        ),
        "email": (f"can be reached at {mail}", Field(("email", "email_address", "contact"), TEXT, mail)),
        "phone": (f"has the phone number {tel}", Field(("phone", "phone_number", "telephone"), TEXT, tel)),
        "hobby": (f"[likes|enjoys|loves] {hobby}", Field(("hobby", "interest", "activity"), TEXT, hobby)),
        "colour": (f"likes the color {colour}", Field(("favorite_color", "color", "colour"), TEXT, colour)),
    }
    chosen = rng.sample(list(fields), rng.randint(1, 4))
    if "land" in chosen:
        chosen = [key for key in chosen if key != "city"]
    clauses = [phrase(rng, fields[key][0]) for key in chosen]
    found = [
        Field(("name", "full_name", "person", "person_name"), TEXT, who),
        *(fields[key][1] for key in chosen),
    ]
    if "land" in chosen:
        found.append(fields["city"][1])
    style = rng.randrange(3)
    if style == 0:
        return f"{who} {joined(clauses)}.", found
    if style == 1:
        return f"{who} {clauses[0]}. " + " ".join(
            f"{rng.choice(('He', 'She', 'They'))} {clause}." for clause in clauses[1:]
        ), found
    pairs = [f"{field.names[0].replace('_', ' ').capitalize()}: {field.value}" for field in found]
    return rng.choice((", ", "; ", "\n")).join(pairs), found


def order(rng: Random) -> tuple[str, list[Field]]:
    """Return a text about something bought."""
    product, count, price = rng.choice((*PRODUCTS, coined(rng))), rng.randint(1, 40), _money(rng)
    who, number, when, colour = _person(rng), code(rng), _date(rng), rng.choice(COLOURS)
    sign, currency = rng.choice((("$", "USD"), ("€", "EUR"), ("£", "GBP")))
    text = rng.choice((
        f"{who} ordered {count} {product}s for {sign}{price} on {when}. The order number is {number}.",
        f"Order {number}: {count} x {product}, {sign}{price}, {when}, customer {who}.",
        f"On {when} {who} bought {count} {product}s at {sign}{price}. Order number: {number}.",
        f"Invoice {number}. Customer: {who}. Item: {product}. Quantity: {count}. Total: {sign}{price}. Date: {when}.",
    ))  # fmt: skip
    fields = [
        Field(("product", "item", "product_name", "article"), TEXT, product), Field(("quantity", "count", "amount", "units"), WHOLE, count),
        Field(("price", "total", "cost"), REAL, price), Field(("customer", "buyer", "customer_name", "client"), TEXT, who),
        Field(("order_number", "order_id", "reference", "id"), TEXT, number), Field(("date", "order_date", "purchase_date"), TEXT, when),
        Field(("currency",), rng.choice((TEXT, {"type": "string", "enum": ["USD", "EUR", "GBP"]})), currency),
    ]  # fmt: skip
    if rng.random() < 0.3:
        text = f"The {colour} {product} costs {sign}{price}."
        return text, [fields[0], Field(("color", "colour"), TEXT, colour), fields[2], fields[6]]
    return text, fields


def event(rng: Random) -> tuple[str, list[Field]]:
    """Return a text about a meeting with people, a day and a place."""
    people = list(dict.fromkeys(name(rng) for _ in range(rng.randint(2, 4))))
    what = rng.choice(
        (
            "science fair",
            "meeting",
            "birthday party",
            "concert",
            "workshop",
            "lunch",
            "team call",
            "wedding",
            "book club",
            "football match",
            "conference",
            "picnic",
        )
    )
    when, hour, where = (
        rng.choice((*WEEKDAYS, _date(rng))),
        f"{rng.randint(1, 12)}:{rng.choice(('00', '30', '15'))} {rng.choice(('am', 'pm'))}",
        rng.choice(CITIES)[0],
    )
    text = rng.choice((
        f"{joined(people)} are going to a {what} on {when}.", f"{joined(people)} have a {what} on {when} at {hour}.",
        f"There is a {what} in {where} on {when} at {hour} with {joined(people)}.", f"{people[0]} invited {joined(people[1:])} to a {what} on {when} in {where}.",
    ))  # fmt: skip
    fields = [
        Field(("name", "event", "title", "event_name"), TEXT, what), Field(("date", "day", "when"), TEXT, when),
        Field(("participants", "people", "attendees", "names", "guests"), {"type": "array", "items": TEXT}, people),
    ]  # fmt: skip
    if hour in text:
        fields.append(Field(("time", "start_time"), TEXT, hour))
    if where in text:
        fields.append(Field(("location", "city", "place"), TEXT, where))
    return text, fields


def location(rng: Random) -> tuple[str, list[Field]]:
    """Return a text that names a city and its country."""
    city, country = (
        rng.choice(CITIES) if rng.random() < 0.8 else (coined(rng).capitalize(), coined(rng).capitalize())
    )
    text = rng.choice(
        (
            f"{city}, {country}",
            f"{city}, {country}.",
            f"I live in {city}, {country}.",
            f"We flew to {city} in {country}.",
            f"The conference takes place in {city}, {country}.",
            f"Greetings from {city} ({country})!",
        )
    )
    return text, [Field(("city", "town"), TEXT, city), Field(("country", "nation"), TEXT, country)]


def review(rng: Random) -> tuple[str, list[Field]]:
    """Return an opinion of a product."""
    product, stars = rng.choice(PRODUCTS), rng.randint(1, 5)
    mood = "positive" if stars > 3 else "negative" if stars < 3 else "neutral"
    words = {
        "positive": "[I love it|It works very well|Great quality|I am very happy with it]",
        "negative": "[It broke after a day|I want my money back|Terrible quality|I am disappointed]",
        "neutral": "[It is okay|It does its job|Nothing special|It is average]",
    }[mood]
    text = phrase(rng, f"I bought {{p}}. {words}. {{s}} [out of 5 stars|stars|/ 5].", p=a(product), s=stars)
    return text, [
        Field(("product", "item"), TEXT, product), Field(("rating", "stars", "score"), WHOLE, stars),
        Field(("sentiment", "mood"), {"type": "string", "enum": ["positive", "neutral", "negative"]}, mood),
        Field(("recommended", "is_positive", "satisfied"), YES_NO, mood == "positive"),
    ]  # fmt: skip


def available(rng: Random) -> tuple[str, list[Field]]:
    """Return a text with a yes-or-no side to it."""
    who, age, busy = rng.choice((name(rng), coined(rng).capitalize())), rng.randint(1, 90), rng.random() < 0.5
    state = (
        rng.choice(("busy saving the world", "busy", "not available", "on holiday"))
        if busy
        else rng.choice(("free", "available", "free this afternoon"))
    )
    return f"{who} is {age} years old and is {state}.", [
        Field(("name", "person"), TEXT, who), Field(("age",), WHOLE, age), Field(("available", "is_available", "is_free"), YES_NO, not busy)
    ]  # fmt: skip


def labelled(rng: Random) -> tuple[str, list[Field]]:
    """Return a text with labels of any kind, some of them coined."""
    fields: list[Field] = []
    for label in dict.fromkeys(
        rng.choice(
            (rng.choice(NOUNS), coined(rng), f"{rng.choice(NOUNS)}_{rng.choice(NOUNS)}", f"{coined(rng)}_id")
        )
        for _ in range(rng.randint(2, 5))
    ):
        value = rng.choice(
            (
                coined(rng),
                coined(rng).capitalize(),
                code(rng),
                rng.choice(NOUNS),
                f"{rng.choice(COLOURS)} {rng.choice(NOUNS)}",
                rng.randint(0, 999),
                rng.randint(0, 99) + 0.5,
                rng.random() < 0.5,
            )
        )
        kind = (
            YES_NO
            if isinstance(value, bool)
            else WHOLE
            if isinstance(value, int)
            else REAL
            if isinstance(value, float)
            else TEXT
        )
        fields.append(Field((label,), kind, value))
    shown = [
        (
            f.names[0].replace("_", " "),
            {True: "yes", False: "no"}.get(f.value, f.value) if isinstance(f.value, bool) else f.value,
        )
        for f in fields
    ]
    style = rng.randrange(3)
    if style == 0:
        return ". ".join(f"The {label} is {value}" for label, value in shown) + ".", fields
    if style == 1:
        return rng.choice((", ", "; ", "\n")).join(f"{label}: {value}" for label, value in shown), fields
    return f"We have {joined([f'{label} {value}' for label, value in shown])}.", fields


def pets(rng: Random) -> tuple[str, list[Field]]:
    """Return a text about some pets, which become a list of objects."""
    kinds = list(dict.fromkeys((rng.choice(PETS), rng.choice(PETS))))
    rows: list[dict[str, Any]] = [
        {"name": name(rng), "animal": kind, "age": rng.randint(1, 15), "color": rng.choice(COLOURS)}
        for kind in kinds
    ]
    like = rng.choice(("playing with yarn", "tennis balls", "sleeping", "long walks", "apples"))
    sentences = [
        f"{a(r['animal']).capitalize()} named {r['name']} who is {r['age']} years old and has {r['color']} fur"
        for r in rows
    ]
    text = f"I have {'two pets' if len(rows) == 2 else 'a pet'}. {'. '.join(sentences)}. {rows[0]['name']} loves {like}."
    keys = ["name", *rng.sample(["animal", "age", "color"], rng.randint(1, 3))]
    item: Schema = {
        "type": "object",
        "properties": {k: WHOLE if k == "age" else TEXT for k in keys},
        "required": keys,
    }
    return text, [
        Field(("pets", "animals"), {"type": "array", "items": item}, [{k: r[k] for k in keys} for r in rows])
    ]


def shopping(rng: Random) -> tuple[str, list[Field]]:
    """Return a text with a list in it."""
    things = rng.sample(FOODS if rng.random() < 0.6 else NOUNS, rng.randint(2, 5))
    who = name(rng)
    text = rng.choice(
        (
            f"{who} needs {joined(things)}.",
            f"Please buy {joined(things)} for {who}.",
            f"Shopping list of {who}: {', '.join(things)}.",
        )
    )
    return text, [
        Field(("items", "things", "products", "list"), {"type": "array", "items": TEXT}, things), Field(("person", "name", "owner"), TEXT, who),
        Field(("count", "num_items", "number_of_items"), WHOLE, len(things)),
    ]  # fmt: skip


SOURCES: tuple[Callable[[Random], tuple[str, list[Field]]], ...] = (
    person, person, person, order, order, event, event, location, location, review, available, labelled, labelled, labelled, pets, shopping,
)  # fmt: skip
