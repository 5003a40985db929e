"""What a diffusion model's blocks become: events of a choice, refusals, notes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from jackfield.engine.contract import SampledToken
from jackfield.errors import JackfieldError, Unsupported
from jackfield.service.block_requests import refuse_beyond_blocks, unused_note
from jackfield.service.choice import Choice, ChoiceEnd, VerbatimParser
from jackfield.service.events import CanvasPreview, Event, TextDelta, ThinkingDelta
from jackfield.service.requests import Constraint, GenerationRequest, Sampling, ToolChoice, ToolDefinition
from jackfield.testing.byte_text import ByteTokenizer, TagFormat
from jackfield.text import StopStrings, StreamDetokenizer

TOKENIZER = ByteTokenizer()
EOG = min(TOKENIZER.special.eog)


@dataclass
class Owner:
    events: list[Event] = field(default_factory=list)
    wants_more: bool = True

    def emit(self, event: Event) -> bool:
        self.events.append(event)
        return self.wants_more

    def waiting(self, position: int, pending: int) -> None: ...
    def admitted(self, index: int, stats: object, cache_note: str) -> None: ...
    def began(self, index: int) -> None: ...
    def ended(self, index: int, end: ChoiceEnd) -> None: ...
    def broke(self, error: JackfieldError) -> None:
        raise error


def make(owner: Owner, stop: list[str] | None = None, parser: Any = None, preserved: Any = ()) -> Choice:
    return Choice(
        index=0,
        owner=owner,
        tokenizer=TOKENIZER,
        parser=parser or VerbatimParser(),
        detokenizer=StreamDetokenizer(TOKENIZER, frozenset(preserved), is_fresh=True),
        make_stops=lambda: StopStrings(stop or []),
    )


def test_a_block_is_one_delta_and_a_preview_shows_all_of_the_answer() -> None:
    owner = Owner()
    choice = make(owner)
    choice.canvas(b"Tqe s\xffn", 1, 8)
    assert choice.block(b"The sun ") is None
    choice.canvas([*b"rises", EOG, *b"junk"], 2, 8)
    assert choice.block("rises – so".encode()) is None
    assert owner.events == [
        CanvasPreview("Tqe s�n", 1, 8),
        TextDelta("The sun "),
        CanvasPreview("The sun rises", 2, 8),
        TextDelta("rises – so"),
    ]


def test_control_tokens_are_not_previewed() -> None:
    owner = Owner()
    make(owner).canvas([TOKENIZER.id_of("<s>") or 0, *b"on"], 3, 8)
    assert owner.events == [CanvasPreview("on", 3, 8)]


def test_a_stop_string_ends_within_a_block_and_across_two() -> None:
    owner = Owner()
    choice = make(owner, stop=["END"])
    assert choice.block(b"one EN") is None
    assert choice.block(b"D two") == "stop"
    assert owner.events == [TextDelta("one ")]
    assert make(owner, stop=["b"]).block(b"abc") == "stop"
    assert owner.events[-1] == TextDelta("a")


def test_other_events_keep_their_place_between_the_text_of_a_block() -> None:
    owner = Owner()
    tags = [TOKENIZER.id_of(tag) or 0 for tag in ("<think>", "</think>")]
    choice = make(owner, parser=TagFormat().parser([]), preserved=tags)
    choice.block([*b"ab", tags[0], *b"cd", tags[1], *b"ef"])
    assert owner.events[0] == TextDelta("ab")
    assert owner.events[-1] == TextDelta("ef")
    between = owner.events[1:-1]
    assert "".join(event.text for event in between if isinstance(event, ThinkingDelta)) == "cd"
    assert all(isinstance(event, ThinkingDelta) for event in between)


def test_a_reader_that_left_ends_the_block() -> None:
    owner = Owner(wants_more=False)
    assert make(owner).block(b"abc") == "cancelled"
    choice = make(owner)
    choice.canvas(b"abc", 1, 8)
    assert choice.token(SampledToken(97)) == "cancelled"


TOOL = ToolDefinition("look")


@pytest.mark.parametrize(
    ("param", "what", "fields"),
    [
        ("tools", "call tools", {"tools": [TOOL]}),
        ("think", "think before it answers", {"think": True}),
        ("think", "think before it answers", {"think": "low"}),
        ("think", "think before it answers", {"template_arguments": {"enable_thinking": True}}),
        ("format", "follow a grammar or a schema", {"constraint": Constraint("json")}),
        ("logprobs", "give log-probabilities", {"sampling": Sampling(top_logprobs=0)}),
        ("min_tokens", "promise a least length", {"sampling": Sampling(min_tokens=1)}),
    ],
)
def test_what_blocks_cannot_do_is_refused(param: str, what: str, fields: dict[str, Any]) -> None:
    request = GenerationRequest(id="r", protocol="test", model="m", prompt="", **fields)
    with pytest.raises(Unsupported, match=f"'m.gguf' writes whole blocks .* cannot {what}") as caught:
        refuse_beyond_blocks(request, "m.gguf")
    assert caught.value.param == param


def test_what_asks_for_nothing_is_not_refused() -> None:
    request = GenerationRequest(
        id="r", protocol="test", model="m", prompt="", think=False, tools=[TOOL], num_choices=3,
        tool_choice=ToolChoice("none"), template_arguments={"enable_thinking": False},
        sampling=Sampling(stop=["x"], logit_bias={1: 2.0}, seed=3, ignore_eos=True),
    )  # fmt: skip
    refuse_beyond_blocks(request, "m.gguf")


def test_sampling_that_has_no_effect_is_told() -> None:
    assert unused_note(Sampling(seed=1, max_tokens=5)) == ""
    note = "a diffusion model samples by its own schedule: temperature, top_p had no effect"
    assert unused_note(Sampling(temperature=0.7, top_p=0.9)) == note
