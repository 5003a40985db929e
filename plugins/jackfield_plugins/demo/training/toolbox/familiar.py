"""Weather, searches and mail, each under the many names that its function goes by."""

from __future__ import annotations

import json
from random import Random
from typing import Any

from jackfield_plugins.demo.training.dialogue import phrase
from jackfield_plugins.demo.training.toolbox.definition import INTEGER, STRING, Schema, Use, one_of, tool
from jackfield_plugins.demo.training.words import (
    CITIES,
    FOODS,
    HOBBIES,
    NOUNS,
    SURNAMES,
    coined,
    email,
    name,
    place,
)

__all__ = ["mail", "search", "weather"]


def weather(rng: Random) -> Use:
    """Ask for the weather of a place."""
    key, where = rng.choice(("city", "city", "location", "location", "place", "town")), place(rng)
    if rng.random() < 0.08:
        where = ", ".join(rng.choice(CITIES))
    units = rng.choice((("celsius", "fahrenheit"), ("c", "f"), ("metric", "imperial")))
    unit_key = rng.choice(("unit", "units", "format"))
    has_unit, says_unit = rng.random() < 0.5, rng.random() < 0.3
    parameters: dict[str, Schema] = {key: STRING}
    arguments: dict[str, Any] = {key: where}
    unit = rng.randrange(2)
    word = ("celsius", "fahrenheit")[unit] if units[0] != "metric" else units[unit] + " units"
    if has_unit:
        parameters[unit_key] = one_of(*units)
        if says_unit:
            arguments[unit_key] = units[unit]
    required = [key, unit_key] if has_unit and says_unit and rng.random() < 0.3 else [key]
    function = rng.choice(
        (
            "get_weather",
            "get_weather",
            "get_current_weather",
            "weather",
            "fetch_weather",
            "weather_lookup",
            "getWeather",
            "get_temperature",
            "current_weather",
            "get_forecast",
        )
    )
    about = "temperature" if "temperature" in function else "weather"
    definition = tool(
        rng,
        function,
        rng.choice(
            (
                f"Get the current {about} for a {key}.",
                f"Get current {about} for a {key}.",
                f"Returns the {about}",
                f"Get the {about} in a given {key}",
            )
        ),
        parameters,
        required,
    )
    tail = f" in {word}" if has_unit and says_unit else ""
    request = phrase(
        rng,
        "[What is the {a} in {w}{t}?|What is the {a} in {w}{t}?|What's the {a} like in {w}{t}?|What's the {a} like in {w} today{t}?|How is the {a} in {w}{t}?|Tell me the {a} in {w}{t}.|{a} in {w}{t}|What is the {a} in {w} [today|right now|now]{t}?|What's the current {a} in {w}{t}?|Give me the {a} for {w}{t}.|I am going to {w}. What is the {a}{t}?]",
        a=about, w=where, t=tail,
    )  # fmt: skip
    degrees, sky = (
        rng.randint(-10, 38),
        rng.choice(("sunny", "cloudy", "rainy", "clear", "windy", "snowing", "partly cloudy", "foggy")),
    )
    sign = "°F" if says_unit and unit else "°C"
    results = (
        (json.dumps({"temperature": degrees, "condition": sky}), f"It is {degrees} degrees and {sky} in {where}."),
        (json.dumps({key: where, "temperature": degrees, "unit": ("celsius", "fahrenheit")[unit], "condition": sky}), f"It is {degrees} degrees {('Celsius', 'Fahrenheit')[unit]} and {sky} in {where}."),
        (json.dumps({"temp_c": degrees, "conditions": sky}), f"It is {degrees} °C and {sky} in {where}."),
        (f"{degrees}{sign}, {sky}", f"The {about} in {where}: {degrees}{sign}, {sky}."),
        (f"{degrees}{sign} and {sky}", f"The {about} in {where}: {degrees}{sign} and {sky}."),
        (f"{sky.capitalize()}, {degrees} {sign}", f"The {about} in {where}: {sky}, {degrees} {sign}."),
        (f"The weather in {where} is {sky}.", f"The weather in {where} is {sky}."),
        (f"It is {sky} in {where}, {degrees} degrees.", f"It is {sky} in {where}, {degrees} degrees."),
        (str(degrees), f"It is {degrees} degrees in {where}."),
        (sky, f"The {about} in {where}: {sky}."),
    )  # fmt: skip
    result, told = rng.choice(results)
    return Use(definition, request, f"the {about} in {where}", arguments, result, told)


def search(rng: Random) -> Use:
    """Ask for a search."""
    key = rng.choice(("query", "query", "q", "search_query", "question", "text"))
    topic = rng.choice(
        (
            f"{rng.choice(NOUNS)} {rng.choice(NOUNS)}s",
            f"the history of {place(rng)}",
            f"{name(rng)} {rng.choice(SURNAMES)}",
            f"best {rng.choice(FOODS)} in {place(rng)}",
            f"{rng.choice(HOBBIES)} for beginners",
            f"{coined(rng)} {rng.choice(NOUNS)}",
            "latest news",
        )
    )
    limit = rng.randint(1, 10)
    function = rng.choice(
        (
            "search",
            "web_search",
            "search_web",
            "google_search",
            "tavily_search",
            "search_knowledge_base",
            "lookup",
            "search_docs",
            "wikipedia",
        )
    )
    parameters: dict[str, Schema] = {key: STRING}
    arguments: dict[str, Any] = {key: topic}
    counted = rng.random() < 0.3
    if counted:
        limit_key = rng.choice(("limit", "max_results", "num_results", "k"))
        parameters[limit_key] = INTEGER
        if rng.random() < 0.6:
            arguments[limit_key] = limit
    definition = tool(
        rng,
        function,
        rng.choice(
            (
                "Search the web.",
                "Search for information",
                "Look up a query in the knowledge base.",
                "Search the internet",
            )
        ),
        parameters,
        [key],
    )
    tail = f" Give me {limit} results." if len(arguments) > 1 else ""
    request = phrase(
        rng,
        "[Search for {t}.|Search the web for {t}.|Look up {t}.|Find information about {t}.|Can you search for {t}?|Please look up {t}.|Google {t}.]{x}",
        t=topic,
        x=tail,
    )
    found = rng.choice(
        (
            f"{coined(rng).capitalize()} is the best known.",
            f"There are {rng.randint(2, 900)} of them.",
            f"It began in {rng.randint(1500, 2020)}.",
            f"{name(rng)} {rng.choice(SURNAMES)} lives in {place(rng)}.",
        )
    )
    result, told = rng.choice(
        (
            (found, found),
            (json.dumps({"results": [found]}), f"I found this: {found}"),
            (json.dumps([{"title": topic, "content": found}]), f"I found this: {found}"),
        )
    )
    return Use(definition, request, f"information about {topic}", arguments, result, told)


def mail(rng: Random) -> Use:
    """Ask to send a message."""
    to, subject = (
        email(rng),
        rng.choice(("Meeting", "Hello", "Invoice", "Lunch", "Report", "Holiday", coined(rng).capitalize())),
    )
    body = rng.choice(
        (
            f"See you at {rng.randint(1, 12)}",
            "Thank you",
            f"I will be late by {rng.randint(5, 50)} minutes",
            f"Please bring the {rng.choice(NOUNS)}",
            f"The {rng.choice(NOUNS)} is ready",
        )
    )
    keys = rng.choice(
        (
            ("to", "subject", "body"),
            ("recipient", "subject", "message"),
            ("address", "title", "text"),
            ("to", "", "body"),
            ("to", "", "message"),
        )
    )
    parameters = {key: STRING for key in keys if key}
    arguments = {key: value for key, value in zip(keys, (to, subject, body), strict=True) if key}
    function = rng.choice(("send_email", "send_mail", "email", "send_message", "sendEmail"))
    definition = tool(
        rng,
        function,
        rng.choice(("Send an email.", "Send an email to someone", "Sends a message to a recipient")),
        parameters,
        list(parameters),
    )
    with_subject = f" with the subject {subject}" if keys[1] else ""
    request = phrase(
        rng,
        '[Send an email to {to}{s} saying "{b}".|Write {to} an email{s}: {b}|Email {to}{s} and say {b}.|Please mail {to}{s}: {b}]',
        to=to,
        s=with_subject,
        b=body,
    )
    result, told = rng.choice(
        (
            ("ok", f"I sent the email to {to}."),
            (json.dumps({"status": "sent"}), f"I sent the email to {to}."),
            ("Email sent", f"I sent the email to {to}."),
        )
    )
    return Use(definition, request, f"an email to {to} saying {body}", arguments, result, told)
