"""Functions a conversation may offer: familiar ones under many names, and made-up ones with any parameters."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

from jackfield_plugins.demo.training.dialogue import phrase
from jackfield_plugins.demo.training.facts import COUNTRIES
from jackfield_plugins.demo.training.words import (
    CITIES,
    COLOURS,
    COMPANIES,
    FOODS,
    HOBBIES,
    NOUNS,
    PRODUCTS,
    SURNAMES,
    code,
    coined,
    email,
    name,
    place,
)  # fmt: skip

__all__ = ["FAMILIAR", "Use", "made_up", "use"]

Schema = dict[str, Any]


@dataclass(frozen=True)
class Use:
    """A function, what the user says that calls for it, the call, its result and what is told then.

    Attributes:
        clause: The wish as a clause, to be joined with others.
    """

    tool: dict[str, Any]
    request: str
    clause: str
    arguments: dict[str, Any]
    result: str
    told: str

    @property
    def name(self) -> str:
        """The function's name."""
        return str(self.tool["name"])


def tool(
    rng: Random, function: str, description: str, parameters: dict[str, Schema], required: list[str]
) -> dict[str, Any]:
    """Return a definition, with or without what clients add or leave out."""
    properties = {key: dict(value) for key, value in parameters.items()}
    draw = rng.random()
    for key, value in properties.items():
        if draw < 0.35:
            value["description"] = rng.choice(
                (
                    f"The {key.replace('_', ' ')}",
                    f"The {key.replace('_', ' ')} to use",
                    key.replace("_", " ").capitalize(),
                )
            )
        elif draw < 0.45:
            value = {"title": key.replace("_", " ").title(), **value}
            properties[key] = value
    schema: Schema = {"type": "object", "properties": properties}
    if required or rng.random() < 0.5:
        schema["required"] = required
    if rng.random() < 0.25:
        schema["additionalProperties"] = False
    return {"name": function, "description": description if rng.random() < 0.9 else "", "parameters": schema}


STRING, INTEGER, NUMBER, BOOLEAN = (
    {"type": "string"},
    {"type": "integer"},
    {"type": "number"},
    {"type": "boolean"},
)


def _enum(*values: str) -> Schema:
    return {"type": "string", "enum": list(values)}


def _told_plain(rng: Random, result: str) -> str:
    return rng.choice(("The result is {r}.", "The answer is {r}.", "It is {r}.")).replace("{r}", result)


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
        parameters[unit_key] = _enum(*units)
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


OPERATIONS = {"add": ("+", "add {a} and {b}|{a} plus {b}|the sum of {a} and {b}"), "multiply": ("*", "multiply {a} by {b}|{a} times {b}|the product of {a} and {b}|multiply {a} and {b}"),
              "subtract": ("-", "subtract {b} from {a}|{a} minus {b}"), "divide": ("/", "divide {a} by {b}|{a} divided by {b}")}  # fmt: skip
WORDS = "zero one two three four five six seven eight nine ten eleven twelve".split()


def operation(rng: Random) -> Use:
    """Ask for one operation on two numbers."""
    op = rng.choice(("add", "add", "multiply", "multiply", "subtract", "divide"))
    sign, ways = OPERATIONS[op]
    a, b = rng.randint(1, 400), rng.randint(1, 99)
    if op == "divide":
        a = b * rng.randint(1, 40)
    first, second = rng.choice(
        (
            ("a", "b"),
            ("a", "b"),
            ("a", "b"),
            ("x", "y"),
            ("first", "second"),
            ("num1", "num2"),
            ("first_int", "second_int"),
        )
    )
    kind = rng.choice((INTEGER, INTEGER, NUMBER))
    function = rng.choice((op, op, f"{op}_numbers", f"{op}_two_numbers", f"{op.capitalize()}", f"calc_{op}"))
    definition = tool(
        rng,
        function,
        rng.choice(
            (
                f"{op.capitalize()} two numbers.",
                f"{op.capitalize()} two numbers",
                f"{op.capitalize()} {first} and {second}.",
            )
        ),
        {first: kind, second: kind},
        [first, second],
    )
    way = rng.choice(ways.split("|"))
    spelt = a <= 12 and b <= 12 and rng.random() < 0.4
    said = way.replace("{a}", WORDS[a] if spelt else str(a)).replace("{b}", WORDS[b] if spelt else str(b))
    is_order = said.startswith(("add", "multiply", "subtract", "divide"))
    if rng.random() < 0.4:
        said, is_order = f"{a} {sign if sign != '*' else rng.choice('*x')} {b}", False
    request = phrase(
        rng,
        "[{s}.|Please {s}.|Can you {s}?|Use the tool to {s}.]"
        if is_order
        else "[What is {s}?|What's {s}?|Calculate {s}.|{s}?|How much is {s}?]",
        s=said,
    )
    value = {"+": a + b, "*": a * b, "-": a - b, "/": a // b}[sign]
    result, told = rng.choice(
        (
            (str(value), f"The result is {value}."),
            (json.dumps({"result": value}), f"The result is {value}."),
            (str(value), f"{a} {sign} {b} = {value}."),
        )
    )
    clause = said if not is_order else f"{a} {sign} {b}"
    return Use(definition, request[0].upper() + request[1:], clause, {first: a, second: b}, result, told)


def calculator(rng: Random) -> Use:
    """Ask for an expression's value."""
    a, b, op = rng.randint(2, 999), rng.randint(2, 999), rng.choice("+-*")
    expression = f"{a} {op} {b}" if rng.random() < 0.75 else f"({a} {op} {b}) * {rng.randint(2, 9)}"
    value = _value(expression)
    key = rng.choice(("expression", "expression", "query", "formula", "input"))
    function = rng.choice(("calculator", "calculate", "evaluate", "compute", "math", "eval_expression"))
    definition = tool(
        rng,
        function,
        rng.choice(
            (
                "Evaluate a math expression.",
                "Calculate the value of an expression",
                "A calculator. Takes an arithmetic expression.",
            )
        ),
        {key: STRING},
        [key],
    )
    request = phrase(
        rng,
        "[What is {e}?|Calculate {e}.|Compute {e}.|How much is {e}?|{e} = ?|Use the calculator: {e}|Evaluate {e}.]",
        e=expression,
    )
    result = rng.choice((str(value), json.dumps({"result": value})))
    return Use(definition, request, expression, {key: expression}, result, f"{expression} = {value}.")


def _value(expression: str) -> int:
    inner, _, factor = expression.partition(") * ")
    left, op, right = inner.lstrip("(").split(" ")
    value = {"+": int(left) + int(right), "-": int(left) - int(right), "*": int(left) * int(right)}[op]
    return value * int(factor or 1)


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


def _simple(
    functions: str, description: str, key: str, kind: Schema, requests: str, value: Callable[[Random], Any], clause: str, results: str, told: str,
) -> Callable[[Random], Use]:  # fmt: skip
    """Return a maker of uses of a function with one parameter; ``{v}`` is its value, ``{r}`` the result."""

    def make(rng: Random) -> Use:
        v, parameter = value(rng), rng.choice(key.split("|"))
        definition = tool(rng, rng.choice(functions.split("|")), description, {parameter: kind}, [parameter])
        r = phrase(
            rng,
            results,
            v=v,
            n=rng.randint(1, 500),
            h=f"{rng.randint(0, 23)}:{rng.randint(10, 59)}",
            w=coined(rng),
            c=rng.choice(COLOURS),
        )
        shown = (
            json.dumps({rng.choice(("result", "value", "answer", "status")): r}) if rng.random() < 0.3 else r
        )
        return Use(
            definition,
            phrase(rng, f"[{requests}]", v=v),
            clause.replace("{v}", str(v)),
            {parameter: v},
            shown,
            phrase(rng, told, v=v, r=r),
        )

    return make


SIMPLE = (
    _simple("get_time|get_current_time|current_time|time_in", "Get the current time in a city.", "city|location|timezone", STRING, "What time is it in {v}?|Tell me the time in {v}.|What's the time in {v}?|Current time in {v}?", place, "the time in {v}", "{h}", "It is {r} in {v}."),
    _simple("get_stock_price|stock_price|get_quote", "Get the stock price of a company.", "company|symbol|ticker", STRING, "What is the stock price of {v}?|How much is a share of {v}?|Get the stock price of {v}.", lambda r: r.choice((*COMPANIES, "AAPL", "MSFT", "GOOG", "TSLA", coined(r).upper()[:4])), "the stock price of {v}", "{n}", "The stock price of {v} is {r}."),
    _simple("set_timer|start_timer|timer", "Set a timer.", "minutes|duration_minutes", INTEGER, "Set a timer for {v} minutes.|Start a {v} minute timer.|Timer: {v} minutes", lambda r: r.randint(1, 90), "a timer for {v} minutes", "[ok|started|done]", "The timer is set for {v} minutes."),
    _simple("set_alarm|create_alarm|wake_me", "Set an alarm.", "time|at", STRING, "Set an alarm for {v}.|Wake me at {v}.|I need an alarm at {v}.", lambda r: f"{r.randint(1, 12)}:{r.choice(('00', '15', '30', '45'))}", "an alarm at {v}", "[ok|set|done]", "The alarm is set for {v}."),
    _simple("get_order_status|track_order|order_status", "Get the status of an order.", "order_id|order_number|id", STRING, "Where is my order {v}?|What is the status of order {v}?|Track order {v}.|Status of {v}?", code, "the status of order {v}", "[shipped|delivered|on its way|cancelled|in production]", "Order {v}: {r}."),
    _simple("get_user|lookup_user|find_user|get_user_info", "Look up a user.", "user_id|id", INTEGER, "Who is user {v}?|Look up user {v}.|Find the user with id {v}.|Get user {v}.", lambda r: r.randint(1, 9999), "user {v}", "{w}", "User {v} is {r}."),
    _simple("play_music|play_song|play", "Play music.", "song|title|track", STRING, "Play {v}.|Please play the song {v}.|I want to hear {v}.", lambda r: f"{r.choice(COLOURS).capitalize()} {r.choice(NOUNS).capitalize()}", "the song {v}", "[ok|playing]", "Now playing {v}."),
    _simple("add_todo|add_task|create_task|add_item", "Add an item to the list.", "item|task|title", STRING, "Add {v} to my list.|Put {v} on my list.|Please add {v} to my todo list.", lambda r: r.choice(("milk", f"buy {r.choice(FOODS)}", f"call {name(r)}", f"clean the {r.choice(NOUNS)}")), "{v} on the list", "[ok|added]", "I added {v} to your list."),
    _simple("get_capital|capital_of|country_capital", "Get the capital of a country.", "country", STRING, "What is the capital of {v}?|Use the tool to find the capital of {v}.", lambda r: r.choice(COUNTRIES)[0].removeprefix("the "), "the capital of {v}", "{w}", "The capital of {v} is {r}."),
    _simple("roll_dice|roll_die|dice", "Roll a die.", "sides|num_sides", INTEGER, "Roll a die with {v} sides.|Roll a {v}-sided die.", lambda r: r.choice((4, 6, 8, 10, 12, 20)), "a roll of a {v}-sided die", "{n}", "You rolled {r}."),
    _simple("magic_function|secret_function|mystery", "Applies a magic function to an input.", "input|x|value", INTEGER, "What is the value of magic_function({v})?|Apply the magic function to {v}.|What is the magic value of {v}?", lambda r: r.randint(1, 99), "the magic value of {v}", "{n}", "The result is {r}."),
    _simple("read_file|open_file|get_file", "Read a file.", "path|filename|file", STRING, "Read the file {v}.|What is in {v}?|Open {v}.|Show me {v}.", lambda r: f"{r.choice(NOUNS)}.{r.choice(('txt', 'md', 'json', 'py', 'csv'))}", "the content of {v}", "the {w} is {c}", "The file {v} says: {r}."),
    _simple("run_query|execute_sql|query_database", "Run a SQL query.", "sql|query", STRING, "Run this query: {v}|Execute {v}|Run {v}", lambda r: f"SELECT {r.choice(('*', 'name', 'count(*)'))} FROM {r.choice(NOUNS)}s", "the result of {v}", "{n}", "The query returned {r}."),
    _simple("get_price|product_price|price_of", "Get the price of a product.", "product|item|name", STRING, "How much does the {v} cost?|What is the price of the {v}?|Price of {v}?", lambda r: r.choice(PRODUCTS), "the price of the {v}", "{n} dollars", "The {v} costs {r}."),
    _simple("get_population|population_of", "Get the population of a place.", "city|place|country", STRING, "What is the population of {v}?|How many people live in {v}?", place, "the population of {v}", "{n} thousand", "The population of {v} is {r}."),
    _simple("define_word|dictionary|get_definition", "Look up a word.", "word|term", STRING, "What does {v} mean?|Look up the word {v}.|Define {v} with the dictionary.", lambda r: r.choice((coined(r), r.choice(NOUNS))), "the meaning of {v}", "a {c} {w}", "{v} means {r}."),
    _simple("delete_file|remove_file", "Delete a file.", "path|filename", STRING, "Delete the file {v}.|Please remove {v}.", lambda r: f"{r.choice(NOUNS)}.{r.choice(('txt', 'tmp', 'log'))}", "the deletion of {v}", "[ok|deleted]", "I deleted {v}."),
)  # fmt: skip


def several(rng: Random) -> Use:
    """Use one of the functions with several parameters of different kinds."""
    kind = rng.choice(("flight", "convert", "translate", "event", "light", "reserve", "remind", "product"))
    if kind == "flight":
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
    if kind == "convert":
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
    if kind == "translate":
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
        keys2 = rng.choice((("text", "target_language"), ("text", "language"), ("sentence", "to")))
        r = f"{coined(rng)} {coined(rng)}"
        return Use(
            tool(
                rng,
                rng.choice(("translate", "translate_text")),
                "Translate a text.",
                dict.fromkeys(keys2, STRING),
                list(keys2),
            ),
            phrase(
                rng,
                '[Translate "{t}" to {l}.|Use the tool to translate "{t}" into {l}.|How do you say "{t}" in {l}? Use the translator.]',
                t=text,
                l=language,
            ),
            f'"{text}" in {language}',
            dict(zip(keys2, (text, language), strict=True)),
            r,
            f'"{text}" in {language} is "{r}".',
        )
    if kind == "event":
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
        keys3 = rng.choice(
            (("title", "date", "time"), ("name", "day", "start_time"), ("summary", "date", "time"))
        )
        return Use(
            tool(
                rng,
                rng.choice(("create_event", "add_event", "schedule_meeting", "create_calendar_event")),
                "Create a calendar event.",
                dict.fromkeys(keys3, STRING),
                list(keys3),
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
            dict(zip(keys3, (title, day, at), strict=True)),
            "created",
            f"I created the event: {title} on {day} at {at}.",
        )
    if kind == "light":
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
                {"room": STRING, key: _enum("on", "off") if as_enum else BOOLEAN},
                ["room", key],
            ),
            f"{rng.choice(('Turn', 'Switch', 'Please turn'))} {'on' if is_on else 'off'} the light in the {room}.",
            f"the light in the {room} {'on' if is_on else 'off'}",
            {"room": room, key: value},
            "ok",
            f"The light in the {room} is now {'on' if is_on else 'off'}.",
        )
    if kind == "reserve":
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
    if kind == "remind":
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
    product, top = rng.choice(PRODUCTS), rng.randint(10, 900)
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
            rng, "[Find|Show me|I am looking for] a {c} {p} under {n} dollars.", c=colour, p=product, n=top
        ),
        f"a {colour} {product} under {top} dollars",
        {"category": product, "max_price": top, "color": colour},
        json.dumps([{"name": f"{coined(rng).capitalize()} {product}", "price": top - 1}]),
        f"I found one for {top - 1} dollars.",
    )


def made_up(rng: Random) -> Use:
    """Use a function that nobody has heard of, with parameters of any name and kind."""
    verb, noun = (
        rng.choice(
            "create update delete find get set check start stop send open close move rename count compare list assign register cancel approve scan reset fetch".split()
        ),
        rng.choice((rng.choice(NOUNS), coined(rng))),
    )
    style = rng.random()
    function = (
        f"{verb}_{noun}"
        if style < 0.7
        else f"{verb}{noun.capitalize()}"
        if style < 0.85
        else f"{coined(rng)}_{noun}"
        if style < 0.95
        else noun
    )
    parameters: dict[str, Schema] = {}
    arguments: dict[str, Any] = {}
    said: list[str] = []
    required: list[str] = []
    keys = dict.fromkeys(
        rng.choice(
            (
                rng.choice(NOUNS),
                coined(rng),
                f"{rng.choice(NOUNS)}_{rng.choice(('id', 'name', 'type', 'size', 'count', 'date', 'level'))}",
                rng.choice(
                    "name id title size color count status owner level mode amount priority category".split()
                ),
            )
        )
        for _ in range(rng.randint(1, 4))
    )
    for key in keys:
        kind, value, spoken = _any_value(rng)
        parameters[key] = kind
        if said and rng.random() < 0.15:
            continue
        arguments[key] = value
        if rng.random() < 0.8:
            required.append(key)
        said.append(
            rng.choice(
                (
                    f"{key.replace('_', ' ')} {spoken}",
                    f"{key.replace('_', ' ')} {spoken}",
                    f"{key} = {spoken}",
                    f"the {key.replace('_', ' ')} is {spoken}",
                    f"{key}: {spoken}",
                )
            )
        )
    listing = ", ".join(said[:-1]) + f" and {said[-1]}" if len(said) > 1 else said[0]
    action = f"{verb} the {noun}" if verb in function else f"{function.replace('_', ' ')}"
    request = phrase(
        rng,
        "[Please {a} with {l}.|{a}: {l}.|Can you {a} with {l}?|I want to {a}. {l}.|Call {f} with {l}.|Use {f}: {l}.|{a} where {l}.]",
        a=action,
        l=listing,
        f=function,
    )
    result, told = rng.choice(
        (
            ("ok", "Done."),
            ("success", "Done."),
            (json.dumps({"status": "ok"}), "Done."),
            (code(rng), ""),
            (str(rng.randint(1, 9999)), ""),
            (json.dumps({"id": code(rng)}), ""),
        )
    )
    if not told:
        value = json.loads(result)["id"] if result.startswith("{") else result
        told = _told_plain(rng, value)
    description = rng.choice(
        (
            f"{verb.capitalize()} a {noun}.",
            f"{verb.capitalize()}s the {noun}",
            f"Use this to {verb} a {noun}.",
            "",
        )
    )
    return Use(
        tool(rng, function, description, parameters, required),
        request[0].upper() + request[1:],
        f"{action} with {listing}",
        arguments,
        result,
        told,
    )


def _any_value(rng: Random) -> tuple[Schema, Any, str]:
    kind = rng.choice(("text", "text", "text", "int", "int", "number", "enum", "enum", "bool", "list"))
    if kind == "int":
        n = rng.randint(0, 9999) if rng.random() < 0.5 else rng.randint(0, 99)
        return INTEGER, n, str(n)
    if kind == "number":
        x = rng.randint(0, 999) / 10
        return NUMBER, x, str(x)
    if kind == "enum":
        values = rng.sample(
            [*NOUNS, *COLOURS, "low", "medium", "high", "fast", "slow", "daily", "weekly"], rng.randint(2, 4)
        )
        picked = rng.choice(values)
        return _enum(*values), picked, picked
    if kind == "bool":
        flag = rng.random() < 0.5
        return (
            BOOLEAN,
            flag,
            rng.choice(("true", "yes", "on")) if flag else rng.choice(("false", "no", "off")),
        )
    if kind == "list":
        items = rng.sample(NOUNS, rng.randint(2, 3))
        return (
            {"type": "array", "items": STRING},
            items,
            " and ".join(items) if len(items) == 2 else f"{items[0]}, {items[1]} and {items[2]}",
        )
    text = rng.choice(
        (
            coined(rng),
            coined(rng).capitalize(),
            code(rng),
            rng.choice(NOUNS),
            f"{name(rng)} {rng.choice(SURNAMES)}",
            rng.choice(CITIES)[0],
            f"{rng.choice(COLOURS)} {rng.choice(NOUNS)}",
        )
    )
    return STRING, text, rng.choice((text, text, f'"{text}"', f"'{text}'"))


FAMILIAR: tuple[Callable[[Random], Use], ...] = (
    weather,
    weather,
    weather,
    operation,
    operation,
    calculator,
    search,
    mail,
    several,
    several,
    several,
    *SIMPLE[:1],
)


def use(rng: Random) -> Use:
    """Return a use of any function."""
    draw = rng.random()
    if draw < 0.4:
        return made_up(rng)
    return rng.choice(SIMPLE)(rng) if draw < 0.6 else rng.choice(FAMILIAR)(rng)
