"""Transcripts of every family: what they mean, and that they mean it however they are cut."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from typing import Any

import pytest

from jackfield.text.contract import (
    ArgumentsDelta,
    CallDone,
    CallStarted,
    Content,
    FormatParser,
    ParsedEvent,
    Thinking,
)

PARIS = {"city": "Paris"}


def call(index: int, text: str, arguments: dict[str, Any], name: str = "get_weather") -> list[ParsedEvent]:
    return [CallStarted(index, name), ArgumentsDelta(index, text), CallDone(index, name, arguments)]


def paris(index: int = 0) -> list[ParsedEvent]:
    return call(index, '{"city": "Paris"}', PARIS)


PLAIN = {
    "as it is": ("  <b> a <think> \n", [Content("  <b> a <think> \n")]),
}
THINK = {
    "a thought, then the answer": ("<think>\nwhy?\n</think>\n\nso", [Thinking("why?"), Content("so")]),
    "a thought that never ends": ("<think>\nwhy? <b>\n\n", [Thinking("why? <b>")]),
    "a tag inside of the answer": ("so <think> is a tag", [Content("so <think> is a tag")]),
    "half a tag": ("a </thin", [Content("a </thin")]),
    "a tag that becomes another": ("<thinking> no", [Content("<thinking> no")]),
}
JSON = '{"name": "get_weather", "arguments": {"city": "Paris"}}'
HERMES = {
    **THINK,
    "text around two calls": (
        f"<think>why</think>Let me.\n\n<tool_call>\n{JSON}\n</tool_call>\n<tool_call>{JSON}</tool_call>\nDone. ",
        [Thinking("why"), Content("Let me."), *paris(), *paris(1), Content("Done.")],
    ),
    "a call inside of a thought": (
        f"<think>I call <tool_call>{JSON}</tool_call>",
        [Thinking("I call"), *paris()],
    ),
    "a closing tag and brackets inside of a string": (
        '<tool_call>{"name": "get_weather", "arguments": {"city": "\\"}</tool_call>{"}}</tool_call>',
        call(0, '{"city": "\\"}</tool_call>{"}', {"city": '"}</tool_call>{'}),
    ),
    "arguments before the name, and called parameters": (
        '<tool_call>{"parameters": {"city": "Paris"}, "name": "get_weather"}</tool_call>',
        paris(),
    ),
    "arguments as text": (
        '<tool_call>{"name": "get_weather", "arguments": "{\\"city\\": \\"Paris\\"}"}</tool_call>',
        paris(),
    ),
    "a newline, a wrong escape and a comma too many": (
        '<tool_call>{"name": "get_weather", "arguments": {"city": "a\nb\\d",}}</tool_call>',
        call(0, '{"city": "a\\nb\\\\d"}', {"city": "a\nb\\d"}),
    ),
    "no end of the call": (f"<tool_call>{JSON[:-1]}", paris()),
    "an end in the middle of a value": (
        '<tool_call>{"name": "get_weather", "arguments": {"days": 3, "city": "Par',
        call(0, '{"days": 3, "city": "Par"}', {"days": 3, "city": "Par"}),
    ),
    "an end before any argument": (
        '<tool_call>{"name": "get_weather"',
        [Content('<tool_call>{"name": "get_weather"')],
    ),
    "a list of calls": (f"<tool_call>[{JSON}, {JSON}]</tool_call>", [*paris(), *paris(1)]),
    "no call at all": ("<tool_call>oops</tool_call> sorry", [Content("<tool_call>oops</tool_call> sorry")]),
    "a bracket too many": (f"<tool_call>{JSON}}}</tool_call>", paris()),
    "a name nobody offered": (
        '<tool_call>{"name": "f", "arguments": {}}</tool_call>',
        call(0, "{}", {}, "f"),
    ),
    "a tag that becomes another inside of the answer": ("a <tool_box>", [Content("a <tool_box>")]),
}
XML_PARIS = "<function=get_weather>\n<parameter=city>\nParis\n</parameter>\n</function>"
QWEN_XML = {
    **THINK,
    "text around two calls": (
        f"why</think>\nLet me.\n<tool_call>\n{XML_PARIS}\n</tool_call>\n<tool_call>\n{XML_PARIS}\n</tool_call>ok",
        [Content("why</think>\nLet me."), *paris(), *paris(1), Content("ok")],
    ),
    "values of several types": (
        "<tool_call><function=get_weather><parameter=days>3</parameter><parameter=exact>True</parameter>"
        "<parameter=more>[1, null]</parameter><parameter=city>7</parameter></function></tool_call>",
        call(
            0,
            '{"days": 3, "exact": true, "more": [1, null], "city": "7"}',
            {"days": 3, "exact": True, "more": [1, None], "city": "7"},
        ),
    ),
    "a closing tag inside of a value": (
        "<tool_call>\n<function=get_weather>\n<parameter=city>\na </parameter> b\n\n</parameter>\n"
        "</function>\n</tool_call>",
        call(0, '{"city": "a </parameter> b\\n"}', {"city": "a </parameter> b\n"}),
    ),
    "no opening tag": (f"Now:\n{XML_PARIS}", [Content("Now:"), *paris()]),
    "no opening tag and a name nobody offered": ("a\n<function=f>", [Content("a\n<function=f>")]),
    "no end of the value": ("<tool_call><function=get_weather>\n<parameter=city>\nParis", paris()),
    "no end of the parameter": (
        "<tool_call><function=get_weather><parameter=city>\nParis\n</function></tool_call>",
        paris(),
    ),
    "no parameters": ("<tool_call>\n<function=get_weather>\n</function>\n</tool_call>", call(0, "{}", {})),
    "no call at all": ("<tool_call>oops</tool_call> sorry", [Content("<tool_call>oops</tool_call> sorry")]),
}
Q = '<|"|>'
GEMMA4 = {
    "a thought, a text, two calls": (
        f"<|channel>thought\nwhy {{x}}\n<channel|>Let me.<|tool_call>call:get_weather{{city:{Q}Paris{Q}}}<tool_call|>"
        f"<|tool_call>call:get_weather{{city:{Q}Paris{Q}}}<tool_call|><tool_call|><|tool_response>",
        [Thinking("why {x}"), Content("Let me."), *paris(), *paris(1)],
    ),
    "an empty thought": ("<|channel>thought\n<channel|>Hi <b>", [Content("Hi <b>")]),
    "tags and brackets inside of a string": (
        f"<|tool_call>call:get_weather{{city:{Q}}}<tool_call|>,<|channel>{Q}}}<tool_call|>",
        call(0, '{"city": "}<tool_call|>,<|channel>"}', {"city": "}<tool_call|>,<|channel>"}),
    ),
    "values of several types": (
        f"<|tool_call>call:list-files{{a:[1,-2.5,true,null],b:{{c:{Q}x{Q}}}}}<tool_call|>",
        call(
            0,
            '{"a": [1, -2.5, true, null], "b": {"c": "x"}}',
            {"a": [1, -2.5, True, None], "b": {"c": "x"}},
            "list-files",
        ),
    ),
    "ordinary quotes, a quoted key, Python's words": (
        "<|tool_call>call:get_weather{\"city\":'Paris',days:None}<tool_call|>",
        call(0, '{"city": "Paris", "days": null}', {"city": "Paris", "days": None}),
    ),
    "a bare string with a comma": (
        "<|tool_call>call:get_weather{city:Paris, France,days:2}<tool_call|>",
        call(0, '{"city": "Paris, France", "days": 2}', {"city": "Paris, France", "days": 2}),
    ),
    "no end of the string": (f"<|tool_call>call:get_weather{{city:{Q}Paris}}<tool_call|>", paris()),
    "no end at all": (f"<|tool_call>call:get_weather{{city:{Q}Paris", paris()),
    "no call at all": ("<|tool_call>oops<tool_call|> sorry", [Content("<|tool_call>oops<tool_call|> sorry")]),
    "half a tag": ("a <|chan", [Content("a <|chan")]),
}
NEXT = "<|start|>assistant"
HARMONY = {
    "all channels": (
        f"<|channel|>analysis<|message|>why<|end|>{NEXT}<|channel|>commentary<|message|>Let me.<|end|>"
        f'{NEXT}<|channel|>commentary to=functions.get_weather <|constrain|>json<|message|>{{"city": "Paris"}}<|call|>',
        [Thinking("why"), Content("Let me."), *paris()],
    ),
    "the recipient in front, and no stop token": (
        ' to=functions.get_weather<|channel|>commentary json<|message|>{"city": "Paris"}',
        paris(),
    ),
    "two thoughts and a final answer": (
        f"<|channel|>analysis<|message|>a<|end|>{NEXT}<|channel|>analysis<|message|>b<|end|>"
        f"{NEXT}<|channel|>final<|message|>so\n it is",
        [Thinking("a\n\nb"), Content("so\n it is")],
    ),
    "an empty header before the real one": (
        f"<|channel|>commentary{NEXT}<|channel|>final<|message|>x",
        [Content("x")],
    ),
    "a channel that was not started": (
        "<|channel|>analysis<|message|>a<|channel|>final<|message|>b",
        [Thinking("a"), Content("b")],
    ),
    "tags inside of an argument": (
        '<|channel|>commentary to=functions.get_weather<|message|>{"city": "<|end|>"}<|call|>',
        call(0, '{"city": "<|end|>"}', {"city": "<|end|>"}),
    ),
    "a name with other punctuation": (
        " to=functions.list_files<|channel|>commentary<|message|>{}",
        call(0, "{}", {}, "list-files"),
    ),
    "a built-in tool": (
        "<|channel|>analysis to=python code<|message|>print(1)<|call|>",
        call(0, '{"code": "print(1)"}', {"code": "print(1)"}, "python"),
    ),
    "arguments that are none": (
        "<|channel|>commentary to=functions.get_weather<|message|>oops",
        [Content("oops")],
    ),
    "an end in the middle of a value": (
        '<|channel|>commentary to=functions.get_weather<|message|>{"city": "Paris',
        paris(),
    ),
    "no header": ("just text", [Content("just text")]),
}
NEMOTRON = {
    **THINK,
    "a list of two": (
        f"Let me.\n<TOOLCALL>[{JSON}, {JSON}]</TOOLCALL>",
        [Content("Let me."), *paris(), *paris(1)],
    ),
    "no end of the list": (f"<TOOLCALL>[{JSON}]", paris()),
    "a list that breaks off": (f"<TOOLCALL>[{JSON}", [Content(f"<TOOLCALL>[{JSON}")]),
    "no call at all": ("<TOOLCALL>oops</TOOLCALL> sorry", [Content("<TOOLCALL>oops</TOOLCALL> sorry")]),
}
MISTRAL = {
    "names and arguments": (
        '[THINK]why[/THINK]Let me.[TOOL_CALLS]get_weather[ARGS]{"city": "Paris"}'
        '[TOOL_CALLS]get_weather[ARGS]{"city": "Paris"}',
        [Thinking("why"), Content("Let me."), *paris(), *paris(1)],
    ),
    "names, ids and arguments": (
        '[TOOL_CALLS]get_weather[CALL_ID]abc123DEF[ARGS]{"city": "Paris"} ok',
        [*paris(), Content("ok")],
    ),
    "a list": (f"[TOOL_CALLS] [{JSON}, {JSON}]", [*paris(), *paris(1)]),
    "one object": (f"[TOOL_CALLS]{JSON}", paris()),
    "older tags of thinking": ("<think>why</think>so", [Thinking("why"), Content("so")]),
    "brackets inside of a string": (
        '[TOOL_CALLS]get_weather[ARGS]{"city": "}\\"["}',
        call(0, '{"city": "}\\"["}', {"city": '}"['}),
    ),
    "an end in the middle of a value": ('[TOOL_CALLS]get_weather[ARGS]{"city": "Paris', paris()),
    "no arguments": ("[TOOL_CALLS]get_weather", [Content("[TOOL_CALLS]get_weather")]),
    "no call at all": ("[TOOL_CALLS][ARGS]oops", [Content("[TOOL_CALLS][ARGS]oops")]),
}
BARE = '{"name": "get_weather", "parameters": {"city": "Paris"}}'
LLAMA3 = {
    "a bare object": (f"\n{BARE}", paris()),
    "two objects": (f"{BARE}; {BARE}\n", [*paris(), *paris(1)]),
    "the type first": (BARE.replace("{", '{"type": "function", ', 1), paris()),
    "a tag in front": (f"<|python_tag|>{BARE}", paris()),
    "a built-in tool": (
        '<|python_tag|>brave_search.call(query="a, \\"b\\"", n=3)',
        call(0, '{"query": "a, \\"b\\"", "n": 3}', {"query": 'a, "b"', "n": 3}, "brave_search"),
    ),
    "an object that is an answer": ('{"answer": {"name": 1}} so', [Content('{"answer": {"name": 1}} so')]),
    "a name nobody offered": (
        '{"name": "f", "parameters": {}}',
        [Content('{"name": "f", "parameters": {}}')],
    ),
    "an object inside of the answer": (f"Like {BARE}", [Content(f"Like {BARE}")]),
    "code": ("<|python_tag|>print(1)", [Content("print(1)")]),
    "an end in the middle of a value": (BARE[:-3], paris()),
}
DEEPSEEK = {
    **THINK,
    "fenced arguments": (
        "Let me.<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>get_weather\n"
        '```json\n{"city": "Paris"}\n```<｜tool▁call▁end｜>\n<｜tool▁call▁begin｜>function<｜tool▁sep｜>get_weather\n'
        '```json\n{"city": "Paris"}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>',
        [Content("Let me."), *paris(), *paris(1)],
    ),
    "bare arguments and a misspelt tag": (
        '<｜tool calls begin｜><｜tool▁call▁begin｜>get_weather<｜tool▁sep｜>{"city": "Paris"}<｜tool▁call▁end｜>'
        "<｜tool▁calls▁end｜>",
        paris(),
    ),
    "a call inside of a thought": (
        '<think>hm<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>get_weather<｜tool▁sep｜>{"city": "Paris"}',
        [Thinking("hm"), *paris()],
    ),
    "no call at all": ("<｜tool▁calls▁begin｜>oops", [Content("<｜tool▁calls▁begin｜>oops")]),
}
INVOKE = (
    '<｜DSML｜invoke name="get_weather">\n<｜DSML｜parameter name="city" string="true">Paris</｜DSML｜parameter>\n'
    "</｜DSML｜invoke>\n"
)
DSML = {
    **THINK,
    "two invocations": (
        f"Let me.<｜DSML｜function_calls>\n{INVOKE}{INVOKE}</｜DSML｜function_calls>",
        [Content("Let me."), *paris(), *paris(1)],
    ),
    "the later block name and a value that is no text": (
        '<｜DSML｜tool_calls><｜DSML｜invoke name="get_weather">\n'
        '<｜DSML｜parameter name="days" string="false">3</｜DSML｜parameter></｜DSML｜invoke></｜DSML｜tool_calls>',
        call(0, '{"days": 3}', {"days": 3}),
    ),
    "no end": (f"<｜DSML｜function_calls>{INVOKE.partition('</')[0]}", paris()),
    "no call at all": ("<｜DSML｜function_calls>oops", [Content("<｜DSML｜function_calls>oops")]),
}
FAMILIES: dict[str, dict[str, tuple[str, list[ParsedEvent]]]] = {
    "plain": PLAIN,
    "think": THINK,
    "hermes": HERMES,
    "qwen-xml": QWEN_XML,
    "gemma4": GEMMA4,
    "harmony": HARMONY,
    "nemotron": NEMOTRON,
    "mistral": MISTRAL,
    "llama3": LLAMA3,
    "deepseek": DEEPSEEK,
    "deepseek-dsml": DSML,
}
TAILS = {"harmony": "<|start|>assistant"}
CASES = [(family, case) for family, cases in FAMILIES.items() for case in cases]
ParserOf = Callable[..., FormatParser]
Read = Callable[..., list[ParsedEvent]]


@pytest.mark.parametrize(("family", "case"), CASES)
def test_a_transcript_means_what_it_should(parser_of: ParserOf, read: Read, family: str, case: str) -> None:
    text, events = FAMILIES[family][case]
    assert read(parser_of(family, tail=TAILS.get(family)), text) == events


@pytest.mark.parametrize(("family", "case"), CASES)
def test_a_transcript_means_the_same_however_it_is_cut(
    parser_of: ParserOf, read: Read, family: str, case: str
) -> None:
    text, events = FAMILIES[family][case]
    cuts = [(), tuple(range(len(text))), *((i,) for i in range(len(text))), *_pairs(len(text))]
    for places in cuts:
        assert read(parser_of(family, tail=TAILS.get(family)), text, places) == events, places


def _pairs(length: int) -> list[tuple[int, int]]:
    """Return pairs of cuts: all that are near each other, and some that are not."""
    near = [(i, j) for i, j in combinations(range(length), 2) if j - i < 4]
    return near + [(i, length - i) for i in range(length // 2)]


@pytest.mark.parametrize("family", [name for name in FAMILIES if name not in ("plain", "think", "harmony")])
def test_calls_are_text_when_no_tools_were_offered(parser_of: ParserOf, read: Read, family: str) -> None:
    for text, _ in FAMILIES[family].values():
        events = read(parser_of(family, with_tools=False), text)
        assert not any(isinstance(event, CallStarted) for event in events)


def test_without_tools_harmony_shows_a_call_as_text(parser_of: ParserOf, read: Read) -> None:
    text = '<|channel|>commentary to=functions.get_weather<|message|>{"city": "Paris"}<|call|>'
    assert read(parser_of("harmony", tail=NEXT, with_tools=False), text) == [Content('{"city": "Paris"}')]


PRIMED = [
    ("hermes", "<|im_start|>assistant\n<think>\n", "why</think>so", [Thinking("why"), Content("so")]),
    (
        "hermes",
        "<|im_start|>assistant\n<think>\n",
        "<think>\nwhy</think>so",
        [Thinking("why"), Content("so")],
    ),
    ("hermes", "<|im_start|>assistant\n<think>\n\n</think>\n\n", "\nso", [Content("so")]),
    ("hermes", "<|im_start|>assistant\n<think>\n\n</think>\n\nThe answer", " is", [Content(" is")]),
    (
        "hermes",
        "<|im_start|>assistant\n<think>\nI think",
        " so</think>yes",
        [Thinking(" so"), Content("yes")],
    ),
    ("hermes", "<|im_start|>assistant\n", "<think>why</think>so", [Thinking("why"), Content("so")]),
    ("nemotron", "<SPECIAL_11>Assistant\n<think></think>", "so", [Content("so")]),
    ("gemma4", "<|turn>model\n<|channel>thought\n<channel|>", "so", [Content("so")]),
    ("gemma4", "<|turn>model\n<|channel>thought\n", "why<channel|>so", [Thinking("why"), Content("so")]),
    ("gemma4", "<|turn>model\n<|channel>", "thought\nwhy<channel|>so", [Thinking("why"), Content("so")]),
    ("mistral", "[THINK]", "why[/THINK]so", [Thinking("why"), Content("so")]),
    ("harmony", f"{NEXT}<|channel|>final<|message|>The answer", " is", [Content(" is")]),
    ("harmony", f"{NEXT}<|channel|>analysis", "<|message|>why", [Thinking("why")]),
    ("deepseek", "<｜Assistant｜><think>\n", "why</think>so", [Thinking("why"), Content("so")]),
    ("deepseek", "<｜Assistant｜></think>", "so", [Content("so")]),
]


@pytest.mark.parametrize(("family", "tail", "text", "events"), PRIMED)
def test_the_prompt_says_where_the_output_begins(
    parser_of: ParserOf, read: Read, family: str, tail: str, text: str, events: list[ParsedEvent]
) -> None:
    assert read(parser_of(family, tail=tail), text, range(len(text))) == events


def test_thinking_is_open_from_its_tag_to_its_end(parser_of: ParserOf) -> None:
    parser = parser_of("hermes", tail="<think>\n")
    assert parser.in_thinking
    parser.feed("why</think>")
    assert not parser.in_thinking


@pytest.mark.parametrize("family", FAMILIES)
def test_the_closing_text_of_thinking_ends_it(parser_of: ParserOf, host: object, family: str) -> None:
    closing = host.chat_format(family).load()().thinking_end  # type: ignore[attr-defined]  # a Host
    opened = {"gemma4": "<|channel>thought\n", "mistral": "[THINK]"}.get(family, "<think>")
    if family == "harmony":
        opened = f"{NEXT}<|channel|>analysis<|message|>"
    parser = parser_of(family, tail=opened)
    assert parser.in_thinking == bool(closing)
    events = parser.feed(f"why{closing}so")
    assert not parser.in_thinking
    assert closing == "" or events == [Thinking("why"), Content("so")]


def test_arguments_are_passed_on_before_the_call_ends(parser_of: ParserOf) -> None:
    for family, text in (
        ("hermes", '<tool_call>{"name": "get_weather", "arguments": {"city": "Par'),
        ("qwen-xml", "<tool_call><function=get_weather><parameter=city>\nParis and"),
        ("harmony", ' to=functions.get_weather<|channel|>commentary<|message|>{"city": "Par'),
        ("mistral", '[TOOL_CALLS]get_weather[ARGS]{"city": "Par'),
        ("llama3", '{"name": "get_weather", "parameters": {"city": "Par'),
        ("deepseek", '<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>get_weather<｜tool▁sep｜>{"city": "Par'),
    ):
        started, delta = parser_of(family, tail=TAILS.get(family)).feed(text)
        assert started == CallStarted(0, "get_weather")
        assert isinstance(delta, ArgumentsDelta)
        assert delta.text.startswith('{"city": "Par')
