"""Familiar functions with one parameter, a line each."""

from __future__ import annotations

import json
from collections.abc import Callable
from random import Random
from typing import Any

from jackfield_plugins.demo.training.dialogue import phrase
from jackfield_plugins.demo.training.facts import COUNTRIES
from jackfield_plugins.demo.training.toolbox.definition import INTEGER, STRING, Schema, Use, tool
from jackfield_plugins.demo.training.words import (
    COLOURS,
    COMPANIES,
    FOODS,
    NOUNS,
    PRODUCTS,
    code,
    coined,
    name,
    place,
)

__all__ = ["SIMPLE"]


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
