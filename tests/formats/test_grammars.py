"""Every family's grammar: whatever is said under it, the family's parser reads as the calls that were allowed."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from typing import Any

import jsonschema
import numpy as np
import pytest

from jackfield.constrain.grammar import Grammars
from jackfield.constrain.masks import GrammarMask
from jackfield.host import Host
from jackfield.service.requests import Constraint, ToolDefinition
from jackfield.testing.byte_text import ByteTokenizer
from jackfield.text.contract import CallDone, ChatFormat, Content, FormatParser, ParsedEvent, Thinking
from jackfield.text.grammars import Wanted
from jackfield.text.regions import joined

PLACE = {"type": "object", "properties": {"lat": {"type": "number"}}, "required": ["lat"]}
TOOLS = [
    ToolDefinition(
        "get_weather",
        "",
        {
            "type": "object",
            "properties": {
                "city": {"type": "string", "maxLength": 5},
                "days": {"type": "integer", "minimum": 1, "maximum": 9},
                "unit": {"enum": ["C", "F", "é"]},
                "exact": {"type": ["boolean", "null"]},
            },
            "required": ["city", "unit"],
        },
    ),
    ToolDefinition(
        "list-files",
        "",
        {
            "type": "object",
            "properties": {
                "where": {"anyOf": [{"$ref": "#/$defs/Place"}, {"type": "null"}]},
                "tags": {"type": "array", "items": {"type": "string", "maxLength": 3}, "maxItems": 2},
            },
            "required": ["where"],
            "$defs": {"Place": PLACE},
        },
    ),
    ToolDefinition("now", "", {"type": "object", "properties": {}}),
]
SCHEMAS = {tool.name: tool.parameters for tool in TOOLS}
WITH_TOOLS = [
    *("hermes", "qwen-xml", "gemma4", "harmony", "nemotron", "mistral", "llama3", "deepseek", "deepseek-dsml")
]
ALL = [*WITH_TOOLS, "plain", "think"]
TAILS = {"harmony": "<|start|>assistant"}
OPENED = {
    "gemma4": "<|turn>model\n<|channel>thought\n",
    "mistral": "[THINK]",
    "harmony": "<|start|>assistant<|channel|>analysis<|message|>",
}
MOST_TOKENS = 300
SEEDS = 50 if os.environ.get("JACKFIELD_LONG_TESTS") else 2


class Family:
    """A chat format, a vocabulary, and the grammars over both."""

    def __init__(self, host: Host, name: str, *, has_tags: bool) -> None:
        self.name = name
        self.format: ChatFormat = host.chat_format(name).load()()
        self.tokenizer = ByteTokenizer(self.format.preserved_tokens if has_tags else ())
        self.grammars = Grammars(self.tokenizer, self.format)

    def mask(
        self, constraint: Constraint | None = None, max_tokens: int = MOST_TOKENS, **wanted: Any
    ) -> GrammarMask:
        given = {"tools": TOOLS, "tail": TAILS.get(self.name, ""), **wanted}
        return self.grammars.of_chat(Wanted(**given), constraint).mask(max_tokens)

    def parser(self, **wanted: Any) -> FormatParser:
        parser = self.format.parser(TOOLS)
        parser.prime(wanted.get("tail", TAILS.get(self.name, "")))
        return parser

    def say(self, mask: GrammarMask, text: str) -> bool:
        """Tell whether the mask allows every token of a text."""
        for token in self.tokenizer.encode(text, parse_special=True):
            if not is_set(mask, token):
                return False
            mask.accept(token)
        return True

    def random_text(self, mask: GrammarMask, seed: int, most: int = MOST_TOKENS) -> tuple[str, bool]:
        """Pick allowed tokens at random, closing ones more often; return them and whether they ended."""
        draw = np.random.default_rng(seed)
        text = b""
        for _ in range(most):
            token = pick(mask, draw)
            if token in self.tokenizer.special.eog:
                return text.decode(), True
            text += self.tokenizer.piece(token)
            mask.accept(token)
        return text.decode("utf-8", "ignore"), False

    def read(self, text: str, **wanted: Any) -> list[ParsedEvent]:
        parser = self.parser(**wanted)
        return joined([event for char in text for event in parser.feed(char)] + parser.finish(None))


def pick(mask: GrammarMask, draw: np.random.Generator) -> int:
    while True:
        bits = mask.bitmask()
        ids = np.flatnonzero(np.unpackbits(bits.view(np.uint8), bitorder="little"))
        ascii_or_tag = ids[(ids < 127) & (ids >= 32) | (ids >= 256)]
        ids = ascii_or_tag if ascii_or_tag.size and draw.random() < 0.9 else ids
        token = int(draw.choice(ids))
        if mask.admits(token):
            return token


def is_set(mask: GrammarMask, token: int) -> bool:
    return bool(mask.bitmask()[token // 32] >> np.uint32(token % 32) & np.uint32(1))


FAMILIES: dict[tuple[str, bool], Family] = {}


@pytest.fixture(params=[True, False], ids=["tags", "letters"])
def family_of(host: Host, request: pytest.FixtureRequest) -> Callable[[str], Family]:
    def build(name: str) -> Family:
        key = (name, request.param)
        if key not in FAMILIES:
            FAMILIES[key] = Family(host, name, has_tags=request.param)
        return FAMILIES[key]

    return build


def calls_in(events: list[ParsedEvent]) -> list[CallDone]:
    return [event for event in events if isinstance(event, CallDone)]


def check_calls(events: list[ParsedEvent]) -> list[CallDone]:
    calls = calls_in(events)
    for call in calls:
        jsonschema.validate(call.arguments, SCHEMAS[call.name])
    return calls


FamilyOf = Callable[[str], Family]
NEXT = "<|end|><|start|>assistant"
THOUGHT = "<think>\nwhy?\n</think>\n\n"
Q = '<|"|>'
PARAMETERS = "<parameter=city>\nParis\n</parameter>\n<parameter=unit>\nC\n</parameter>\n"
XML = f"<tool_call>\n<function=get_weather>\n{PARAMETERS}</function>\n</tool_call>"
CITY, UNIT = (
    f'<｜DSML｜parameter name="{key}" string="true">{value}</｜DSML｜parameter>\n'
    for key, value in (("city", "Paris"), ("unit", "C"))
)
INVOKE = f'<｜DSML｜invoke name="get_weather">\n{CITY}{UNIT}</｜DSML｜invoke>\n'
ARGUMENTS = '{"city": "Paris", "unit": "C"}'
HERMES_CALL = f'<tool_call>\n{{"name": "get_weather", "arguments": {ARGUMENTS}}}\n</tool_call>'
FENCED = (
    f"<｜tool▁call▁begin｜>function<｜tool▁sep｜>get_weather\n```json\n{ARGUMENTS}\n```<｜tool▁call▁end｜>"
)
GEMMA_CALL = f"<|tool_call>call:get_weather{{city:{Q}Paris{Q},unit:{Q}C{Q}}}<tool_call|>"
BARE = f'{{"name": "get_weather", "parameters": {ARGUMENTS}}}'
USUAL = {
    "hermes": f"{THOUGHT}Let me see.\n{HERMES_CALL}\n{HERMES_CALL}",
    "qwen-xml": f"{THOUGHT}Let me see.\n{XML}\n{XML}",
    "gemma4": f"<|channel>thought\nwhy?\n<channel|>Let me see.{GEMMA_CALL}{GEMMA_CALL}",
    "harmony": f"<|channel|>analysis<|message|>why?{NEXT}<|channel|>commentary<|message|>Let me see.{NEXT}"
    f"<|channel|>commentary to=functions.get_weather <|constrain|>json<|message|>{ARGUMENTS}{NEXT}"
    f" to=functions.get_weather<|channel|>commentary json<|message|>{ARGUMENTS}",
    "nemotron": f'{THOUGHT}Let me see.<TOOLCALL>[{{"name": "get_weather", "arguments": {ARGUMENTS}}}, '
    f'{{"name": "get_weather", "arguments": {ARGUMENTS}}}]</TOOLCALL>',
    "mistral": f"[THINK]why?[/THINK]Let me see.[TOOL_CALLS]get_weather[ARGS]{ARGUMENTS}"
    f"[TOOL_CALLS]get_weather[CALL_ID]abcDEF123[ARGS]{ARGUMENTS}",
    "llama3": f"{BARE}; {BARE}",
    "deepseek": f"{THOUGHT}Let me see.<｜tool▁calls▁begin｜>{FENCED}\n{FENCED}<｜tool▁calls▁end｜>",
    "deepseek-dsml": f"{THOUGHT}Let me see.<｜DSML｜function_calls>\n{INVOKE}{INVOKE}</｜DSML｜function_calls>",
}


SPOKEN = re.compile(
    r"<think>.*</think>\s*|\[THINK\].*\[/THINK\]|<\|channel>.*<channel\|>"
    r"|(<\|channel\|>commentary<\|message\|>)?Let me see\.\s*(<\|end\|><\|start\|>assistant)?",
    re.DOTALL,
)
"""Thoughts and words before the calls."""


@pytest.mark.parametrize("name", WITH_TOOLS)
def test_what_the_family_was_trained_to_write_is_allowed(family_of: FamilyOf, name: str) -> None:
    family = family_of(name)
    mask = family.mask(max_tokens=4000)
    assert family.say(mask, USUAL[name])
    assert mask.is_complete
    events = family.read(USUAL[name])
    assert [call.arguments for call in check_calls(events)] == [{"city": "Paris", "unit": "C"}] * 2
    assert name == "llama3" or (Thinking("why?") in events and Content("Let me see.") in events)


@pytest.mark.parametrize("name", WITH_TOOLS)
def test_a_call_cannot_be_written_wrong(family_of: FamilyOf, name: str) -> None:
    family = family_of(name)
    for right, wrong in (("unit", "size"), ("Paris", "Paris, France"), ("get_weather", "get_rain")):
        mask = family.mask(max_tokens=4000)
        text = USUAL[name].replace(right, wrong)
        # an object that names no tool is plain text to Llama
        assert not family.say(mask, text) or not (mask.is_complete and calls_in(family.read(text)))


@pytest.mark.parametrize("name", WITH_TOOLS)
def test_text_is_free_where_no_call_begins(family_of: FamilyOf, name: str) -> None:
    family = family_of(name)
    text = 'So {"a": [1]} <b> and <tool_box> [ARGS, naïve\n\n```json\n{}\n```'
    lead = "<|channel|>final<|message|>" if name == "harmony" else ""
    mask = family.mask(max_tokens=4000)
    assert family.say(mask, lead + text)
    assert mask.is_complete
    assert family.read(lead + text) == [Content(text)]


@pytest.mark.parametrize("name", WITH_TOOLS)
def test_a_forced_call_is_read_and_fits_its_schema(family_of: FamilyOf, name: str) -> None:
    family = family_of(name)
    for seed in range(SEEDS):
        text, is_ended = family.random_text(family.mask(must_call=True, may_think=False), seed)
        calls = check_calls(family.read(text))
        assert is_ended, text
        assert calls, text
        assert not any(isinstance(event, Content) for event in family.read(text)), text


@pytest.mark.parametrize("name", WITH_TOOLS)
def test_one_call_at_most_where_only_one_is_wanted(family_of: FamilyOf, name: str) -> None:
    family = family_of(name)
    for seed in range(SEEDS):
        mask = family.mask(must_call=True, may_think=False, is_parallel=False)
        text, is_ended = family.random_text(mask, seed)
        assert is_ended
        assert len(check_calls(family.read(text))) == 1


@pytest.mark.parametrize("name", [name for name in WITH_TOOLS if name != "llama3"])
def test_a_call_is_forced_behind_an_open_thought(family_of: FamilyOf, name: str) -> None:
    family = family_of(name)
    tail = OPENED.get(name, "<think>\n")
    for seed in range(SEEDS):
        wanted = {"tail": tail, "is_thinking": True}
        text, is_ended = family.random_text(family.mask(must_call=True, max_tokens=250, **wanted), seed)
        events = family.read(text, tail=tail)
        assert is_ended, text
        assert check_calls(events), text


FORM = Constraint(
    "schema",
    {
        "type": "object",
        "properties": {"a": {"type": "integer"}, "b": {"enum": ["x", "y"]}},
        "required": ["a", "b"],
        "additionalProperties": False,
    },
)


@pytest.mark.parametrize("name", ALL)
def test_an_answer_has_its_form_behind_the_thinking(family_of: FamilyOf, name: str) -> None:
    family = family_of(name)
    can_think = family.format.supports_thinking
    tail = OPENED.get(name, "<think>\n") if can_think else ""
    for seed in range(SEEDS):
        wanted = {"tools": [], "tail": tail, "is_thinking": can_think}
        text, is_ended = family.random_text(family.mask(FORM, has_form=True, max_tokens=120, **wanted), seed)
        answer = "".join(e.text for e in family.read(text, tail=tail) if isinstance(e, Content))
        assert is_ended, text
        jsonschema.validate(json.loads(answer), FORM.value)


@pytest.mark.parametrize("name", WITH_TOOLS)
def test_a_form_and_tools_give_either(family_of: FamilyOf, name: str) -> None:
    family = family_of(name)
    lead = "<|channel|>final<|message|>" if name == "harmony" else ""
    for text in (lead + '{"a":1,"b":"x"}', USUAL[name]):
        mask = family.mask(FORM, has_form=True, may_think=False, max_tokens=4000)
        assert family.say(mask, SPOKEN.sub("", text))
        assert mask.is_complete
    for seed in range(SEEDS):
        text, is_ended = family.random_text(family.mask(FORM, has_form=True, may_think=False), seed)
        events = family.read(text)
        answer = "".join(event.text for event in events if isinstance(event, Content))
        assert is_ended, text
        assert bool(answer) != bool(check_calls(events)), text
        if answer:
            jsonschema.validate(json.loads(answer), FORM.value)


@pytest.mark.parametrize("name", WITH_TOOLS)
def test_thinking_that_is_switched_off_cannot_begin(family_of: FamilyOf, name: str) -> None:
    family = family_of(name)
    if name == "harmony":  # its thoughts are a channel that cannot be switched off
        return
    opening, closing = {"gemma4": ("<|channel>", "<channel|>"), "mistral": ("[THINK]", "[/THINK]")}.get(
        name, ("<think>", "</think>")
    )
    mask = family.mask(must_call=True, tail=f"{opening}thought\n{closing}")
    assert not family.say(mask, opening)
