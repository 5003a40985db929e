"""Familiar functions with several parameters of different kinds."""

from __future__ import annotations

import json
from random import Random
from typing import Any

from jackfield_plugins.demo.training.dialogue import phrase
from jackfield_plugins.demo.training.toolbox.definition import (
    BOOLEAN,
    INTEGER,
    NUMBER,
    STRING,
    Schema,
    Use,
    one_of,
    tool,
)
from jackfield_plugins.demo.training.words import COLOURS, FOODS, NOUNS, PRODUCTS, code, coined, name, place

__all__ = ["several"]


def flight(rng: Random) -> Use:
    """Ask for a flight."""
    a, b, day = place(rng), place(rng), f"2026-{rng.randint(1, 12):02}-{rng.randint(1, 28):02}"
    keys = rng.choice(
        (
            ("origin", "destination", "date"),
            ("from_city", "to_city", "date"),
            ("departure", "arrival", ""),
        )
    )
    arguments = {k: v for k, v in zip(keys, (a, b, day), strict=True) if k}
    on = f" on {day}" if keys[2] else ""
    request = phrase(
        rng,
        "[Book a flight from {a} to {b}{o}.|I want to fly from {a} to {b}{o}.|Find flights from {a} to {b}{o}.|When is the flight from {a} to {b}{o}?]",
        a=a,
        b=b,
        o=on,
    )
    r = f"flight {code(rng)} at {rng.randint(1, 23)}:00"
    return Use(
        tool(
            rng,
            rng.choice(("book_flight", "search_flights", "get_flight_times", "find_flights")),
            "Find flights between two cities.",
            dict.fromkeys(arguments, STRING),
            list(arguments),
        ),
        request,
        f"a flight from {a} to {b}{on}",
        arguments,
        r,
        f"I found {r} from {a} to {b}.",
    )


def conversion(rng: Random) -> Use:
    """Ask for an amount in another currency."""
    n, (a, b) = rng.randint(1, 5000), rng.sample(["USD", "EUR", "GBP", "JPY", "CHF", "CAD"], 2)
    keys = rng.choice(
        (
            ("amount", "from_currency", "to_currency"),
            ("amount", "source", "target"),
            ("value", "from", "to"),
        )
    )
    amounts: tuple[Any, ...] = (n, a, b)
    arguments = dict(zip(keys, amounts, strict=True))
    kinds: dict[str, Schema] = {keys[0]: NUMBER, keys[1]: STRING, keys[2]: STRING}
    r = f"{rng.randint(1, 9000)}.{rng.randint(10, 99)}"
    return Use(
        tool(
            rng,
            rng.choice(("convert_currency", "currency_converter", "convert")),
            "Convert an amount of money.",
            kinds,
            list(keys),
        ),
        phrase(
            rng,
            "[Convert {n} {a} to {b}.|How much is {n} {a} in {b}?|What is {n} {a} in {b}?]",
            n=n,
            a=a,
            b=b,
        ),
        f"{n} {a} in {b}",
        arguments,
        r,
        f"{n} {a} is {r} {b}.",
    )


def translation(rng: Random) -> Use:
    """Ask for a text in another language."""
    text, language = (
        rng.choice(
            (
                "good morning",
                "thank you",
                f"the {rng.choice(NOUNS)} is {rng.choice(COLOURS)}",
                "where is the station",
                "I am hungry",
            )
        ),
        rng.choice(("French", "Spanish", "German", "Italian", "Japanese")),
    )
    keys = rng.choice((("text", "target_language"), ("text", "language"), ("sentence", "to")))
    r = f"{coined(rng)} {coined(rng)}"
    return Use(
        tool(
            rng,
            rng.choice(("translate", "translate_text")),
            "Translate a text.",
            dict.fromkeys(keys, STRING),
            list(keys),
        ),
        phrase(
            rng,
            '[Translate "{t}" to {l}.|Use the tool to translate "{t}" into {l}.|How do you say "{t}" in {l}? Use the translator.]',
            t=text,
            l=language,
        ),
        f'"{text}" in {language}',
        dict(zip(keys, (text, language), strict=True)),
        r,
        f'"{text}" in {language} is "{r}".',
    )


def event(rng: Random) -> Use:
    """Ask for an event in the calendar."""
    what, day, at = (
        rng.choice(("a meeting", "lunch", "a call", "dinner", "a workshop")),
        rng.choice(
            (
                "Monday",
                "Tuesday",
                "Friday",
                "tomorrow",
                f"2026-{rng.randint(1, 12):02}-{rng.randint(1, 28):02}",
            )
        ),
        f"{rng.randint(8, 20)}:{rng.choice(('00', '30'))}",
    )
    who = name(rng)
    title = f"{what.removeprefix('a ').capitalize()} with {who}"
    keys = rng.choice((("title", "date", "time"), ("name", "day", "start_time"), ("summary", "date", "time")))
    return Use(
        tool(
            rng,
            rng.choice(("create_event", "add_event", "schedule_meeting", "create_calendar_event")),
            "Create a calendar event.",
            dict.fromkeys(keys, STRING),
            list(keys),
        ),
        phrase(
            rng,
            "[Schedule|Plan|Create an event for|Put in my calendar:] {w} with {n} on {d} at {t}.",
            w=what,
            n=who,
            d=day,
            t=at,
        ),
        f"{what} with {who} on {day} at {at}",
        dict(zip(keys, (title, day, at), strict=True)),
        "created",
        f"I created the event: {title} on {day} at {at}.",
    )


def light(rng: Random) -> Use:
    """Ask for a light on or off, which is told as a word or as a truth value."""
    room = rng.choice(("kitchen", "bedroom", "living room", "office", "bathroom", "garage"))
    is_on = rng.random() < 0.5
    as_enum = rng.random() < 0.5
    key = rng.choice(("state", "power")) if as_enum else rng.choice(("on", "is_on", "enabled"))
    value: Any = ("on" if is_on else "off") if as_enum else is_on
    return Use(
        tool(
            rng,
            rng.choice(("set_light", "control_light", "switch_light", "toggle_light")),
            "Switch a light.",
            {"room": STRING, key: one_of("on", "off") if as_enum else BOOLEAN},
            ["room", key],
        ),
        f"{rng.choice(('Turn', 'Switch', 'Please turn'))} {'on' if is_on else 'off'} the light in the {room}.",
        f"the light in the {room} {'on' if is_on else 'off'}",
        {"room": room, key: value},
        "ok",
        f"The light in the {room} is now {'on' if is_on else 'off'}.",
    )


def table(rng: Random) -> Use:
    """Ask for a table at a restaurant."""
    n, at, who = rng.randint(1, 12), f"{rng.randint(5, 9)} pm", f"{coined(rng).capitalize()}"
    return Use(
        tool(
            rng,
            rng.choice(("book_table", "reserve_table", "make_reservation")),
            "Reserve a table at a restaurant.",
            {"restaurant": STRING, "people": INTEGER, "time": STRING},
            ["restaurant", "people", "time"],
        ),
        phrase(rng, "[Book|Reserve] a table for {n} at {w} at {t}.", n=n, w=who, t=at),
        f"a table for {n} at {who} at {at}",
        {"restaurant": who, "people": n, "time": at},
        "confirmed",
        f"Your table for {n} at {who} at {at} is confirmed.",
    )


def reminder(rng: Random) -> Use:
    """Ask for a reminder."""
    what, n = (
        rng.choice(
            (
                f"call {name(rng)}",
                f"buy {rng.choice(FOODS)}",
                "drink water",
                f"water the {rng.choice(NOUNS)}",
            )
        ),
        rng.randint(2, 60),
    )
    key = rng.choice(("minutes", "in_minutes", "delay_minutes"))
    return Use(
        tool(
            rng,
            rng.choice(("set_reminder", "create_reminder", "remind")),
            "Set a reminder.",
            {"text": STRING, key: INTEGER},
            ["text", key],
        ),
        phrase(rng, "Remind me [in {n} minutes to {w}|to {w} in {n} minutes].", n=n, w=what),
        f"a reminder to {what} in {n} minutes",
        {"text": what, key: n},
        "ok",
        f"I will remind you to {what} in {n} minutes.",
    )


def product(rng: Random) -> Use:
    """Ask for products of a kind, a colour and a price."""
    article, top = rng.choice(PRODUCTS), rng.randint(10, 900)
    colour = rng.choice(COLOURS)
    return Use(
        tool(
            rng,
            rng.choice(("search_products", "find_products", "search_catalog")),
            "Search the product catalogue.",
            {"category": STRING, "max_price": NUMBER, "color": STRING},
            ["category"],
        ),
        phrase(
            rng, "[Find|Show me|I am looking for] a {c} {p} under {n} dollars.", c=colour, p=article, n=top
        ),
        f"a {colour} {article} under {top} dollars",
        {"category": article, "max_price": top, "color": colour},
        json.dumps([{"name": f"{coined(rng).capitalize()} {article}", "price": top - 1}]),
        f"I found one for {top - 1} dollars.",
    )


SEVERAL = (flight, conversion, translation, event, light, table, reminder, product)


def several(rng: Random) -> Use:
    """Use one of the functions above."""
    return rng.choice(SEVERAL)(rng)
