"""One answer in the making: picked tokens come in, events go out."""

from __future__ import annotations

import itertools
import logging
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from jackfield.engine.contract import SampledToken, SequenceStats
from jackfield.errors import JackfieldError
from jackfield.service.events import (
    CanvasPreview,
    Event,
    FinishReason,
    TextDelta,
    ThinkingDelta,
    TokenLogprob,
    ToolCallDelta,
    ToolCallDone,
)
from jackfield.service.requests import ToolCall
from jackfield.text import StopStrings, StreamDetokenizer
from jackfield.text.contract import (
    ArgumentsDelta,
    CallDone,
    CallStarted,
    Content,
    FormatParser,
    ParsedEvent,
    Thinking,
    Tokenizer,
)
from jackfield.text.portable import portable

__all__ = ["Choice", "ChoiceEnd", "ChoiceOwner", "VerbatimParser"]

log = logging.getLogger("jackfield.service")


@dataclass(frozen=True)
class ChoiceEnd:
    """How a choice ended; ``tokens`` are those picked, without the one that ended the generation."""

    reason: FinishReason
    stats: SequenceStats
    tokens: list[int]
    num_reasoning_tokens: int
    stop_text: str | None
    content: str
    tool_calls: list[ToolCall]


class ChoiceOwner(Protocol):
    """The generation a choice belongs to."""

    def waiting(self, position: int, pending: int) -> None:
        """A choice is in the engine's queue."""
        ...

    def admitted(self, index: int, stats: SequenceStats, cache_note: str) -> None:
        """A choice has joined the batch."""
        ...

    def emit(self, event: Event) -> bool:
        """Send an event; ``False`` when nobody wants more and the choice should end."""
        ...

    def began(self, index: int) -> None:
        """A choice has its first token, so the prompt is computed and cached."""
        ...

    def ended(self, index: int, end: ChoiceEnd) -> None:
        """A choice is complete; all its deltas have been sent."""
        ...

    def broke(self, error: JackfieldError) -> None:
        """A choice ends with an error."""
        ...


class VerbatimParser:
    """The parser of output that no chat format shaped: all of it is content."""

    @property
    def in_thinking(self) -> bool:
        """Never."""
        return False

    def prime(self, prompt_tail: str) -> None:
        """Take nothing from the prompt."""

    def feed(self, text: str) -> list[ParsedEvent]:
        """Return the text as it is."""
        return [Content(text)] if text else []

    def finish(self, stop_token: str | None) -> list[ParsedEvent]:
        """Hold nothing back."""
        return []


@dataclass
class Choice:
    """The sink of one sequence: detokenise, parse the format, cut at stop strings, send events.

    Called from the engine's thread only, so it takes no locks and must be quick.

    Attributes:
        calls_in_parallel: Whether more than one tool call is wanted.
        with_logprobs: Whether deltas carry log-probabilities.
        trims_start: Leave out blanks before the content; a grammar lets them come before a form.
    """

    index: int
    owner: ChoiceOwner
    tokenizer: Tokenizer
    parser: FormatParser
    detokenizer: StreamDetokenizer
    make_stops: Callable[[], StopStrings]
    calls_in_parallel: bool = True
    with_logprobs: bool = False
    trims_start: bool = False
    _tokens: list[int] = field(default_factory=list[int])
    _logprobs: list[TokenLogprob] = field(default_factory=list[TokenLogprob])
    _content: list[str] = field(default_factory=list[str])
    _tool_calls: list[ToolCall] = field(default_factory=list[ToolCall])
    _call_ids: dict[int, str] = field(default_factory=dict[int, str])
    _num_reasoning_tokens: int = 0
    _may_hold_content: bool = False
    _stop_text: str | None = None
    _reason: FinishReason | None = None
    _joined: list[str] | None = None
    """Text of a block, while one is taken: it goes out as one delta."""

    def __post_init__(self) -> None:
        self._stops = self.make_stops()

    # ---- the engine's side ----

    def waiting(self, position: int, pending: int) -> None:
        """Pass the queue place on."""
        self.owner.waiting(position, pending)

    def admitted(self, stats: SequenceStats, cache_note: str) -> None:
        """Pass on that the sequence runs."""
        self.owner.admitted(self.index, stats, cache_note)

    def token(self, token: SampledToken) -> FinishReason | None:
        """Take a token; return why to end here, if so."""
        try:
            self._take(token)
        except Exception:
            log.exception("choice %d cannot take token %d", self.index, token.id)
            self.owner.broke(JackfieldError("the generated text could not be read; the log has the cause"))
            self._reason = "cancelled"
        return self._reason

    def canvas(self, token_ids: Sequence[int], step: int, num_steps: int) -> None:
        """Show the answer as it would be if the block were done; control tokens are left out."""
        text = itertools.takewhile(lambda token_id: token_id not in self.tokenizer.special.eog, token_ids)
        pieces = [self.tokenizer.piece(id) for id in text if id not in self.tokenizer.control_ids]
        preview = "".join(self._content) + b"".join(pieces).decode("utf-8", "replace")
        self._emit(CanvasPreview(preview, step, num_steps, self.index))

    def block(self, token_ids: Sequence[int]) -> FinishReason | None:
        """Take a block's tokens, and send what they say at once."""
        self._joined = []
        for token_id in token_ids:
            if self.token(SampledToken(token_id)) is not None:
                break
        self._release_joined()
        self._joined = None
        return self._reason

    def finished(self, reason: FinishReason, stats: SequenceStats, eog_token: int | None) -> None:
        """Send what was held back, then the end."""
        try:
            if self._reason is None:
                self._flush(eog_token)
            self.owner.ended(self.index, self._end(self._reason or reason, stats))
        except Exception:
            log.exception("choice %d cannot end", self.index)
            self.owner.broke(JackfieldError("the generated text could not be read; the log has the cause"))

    def failed(self, error: JackfieldError) -> None:
        """Pass the error on."""
        self.owner.broke(error)

    @property
    def is_thinking(self) -> bool:
        """Whether a thinking block is open."""
        return self.parser.in_thinking

    @property
    def num_tokens(self) -> int:
        """Tokens taken so far."""
        return len(self._tokens)

    def logprob_of(self, token: SampledToken) -> TokenLogprob:
        """Return a token's log-probability with spellings."""
        text, data = self._spelling(token.id)
        top = [(other, *self._spelling(other), other_logprob) for other, other_logprob in token.top]
        return TokenLogprob(token.id, text, data, token.logprob, top)

    # ---- tokens to text to events ----

    def _take(self, token: SampledToken) -> None:
        if not self._tokens:
            self.owner.began(self.index)
        self._tokens.append(token.id)
        self._num_reasoning_tokens += self.parser.in_thinking
        if self.with_logprobs and token.logprob is not None:
            self._logprobs.append(self.logprob_of(token))
        text = self.detokenizer.feed(token.id)
        if text:
            self._say(self.parser.feed(text))

    def _flush(self, eog_token: int | None) -> None:
        tail = self.detokenizer.finish()
        self._say(self.parser.feed(tail) if tail else [])
        stop_token = self.tokenizer.token_text(eog_token) if eog_token is not None else None
        self._say(self.parser.finish(stop_token))
        self._release_content()
        if self._logprobs and self._reason is None:
            self._emit(TextDelta("", self.index, self._taken_logprobs()))

    def _say(self, events: Sequence[ParsedEvent]) -> None:
        for event in events:
            if self._reason is not None:
                return
            if isinstance(event, Content):
                self._say_content(event.text)
                continue
            self._release_content()
            if isinstance(event, Thinking):
                self._emit(ThinkingDelta(event.text, self.index, self._taken_logprobs()))
            else:
                self._say_call(event)

    def _say_content(self, text: str) -> None:
        if self.trims_start:
            text = text.lstrip()
            self.trims_start = not text
        self._may_hold_content = True
        out, hit = self._stops.feed(text)
        if hit is not None:
            self._stop_text = hit
            self._reason = "stop"
        if out:
            self._content.append(out)
            self._emit(TextDelta(out, self.index, self._taken_logprobs()))

    def _release_content(self) -> None:
        """Send text that might have become a stop string: what follows is no content."""
        if not self._may_hold_content:
            return
        out = self._stops.finish()
        self._stops = self.make_stops()
        self._may_hold_content = False
        if out and self._reason is None:
            self._content.append(out)
            self._emit(TextDelta(out, self.index, self._taken_logprobs()))

    def _say_call(self, event: CallStarted | ArgumentsDelta | CallDone) -> None:
        if isinstance(event, CallStarted):
            call_id = self._call_ids.setdefault(event.index, f"call_{secrets.token_hex(12)}")
            self._emit(ToolCallDelta(event.index, call_id, event.name, choice=self.index))
        elif isinstance(event, ArgumentsDelta):
            self._emit(ToolCallDelta(event.index, arguments=event.text, choice=self.index))
        else:
            self._finish_call(event)

    def _finish_call(self, event: CallDone) -> None:
        call_id = self._call_ids.setdefault(event.index, f"call_{secrets.token_hex(12)}")
        arguments = portable(event.arguments)
        self._tool_calls.append(ToolCall(event.name, arguments, call_id))
        self._emit(ToolCallDone(event.index, call_id, event.name, arguments, self.index))
        if not self.calls_in_parallel:
            self._reason = "tool_calls"

    def _emit(self, event: Event) -> None:
        if self._joined is not None and isinstance(event, TextDelta):
            self._joined.append(event.text)
            return
        self._release_joined()
        if not self.owner.emit(event):
            self._reason = "cancelled"

    def _release_joined(self) -> None:
        joined, self._joined = self._joined, None
        if joined and not self.owner.emit(TextDelta("".join(joined), self.index)):
            self._reason = "cancelled"
        self._joined = [] if joined is not None else None

    # ---- log-probabilities and the end ----

    def _spelling(self, token_id: int) -> tuple[str, list[int]]:
        piece = self.tokenizer.piece(token_id)
        return piece.decode("utf-8", "replace"), list(piece)

    def _taken_logprobs(self) -> list[TokenLogprob]:
        taken, self._logprobs = self._logprobs, []
        return taken

    def _end(self, reason: FinishReason, stats: SequenceStats) -> ChoiceEnd:
        if reason == "stop" and self._tool_calls and self._stop_text is None:
            reason = "tool_calls"
        return ChoiceEnd(
            reason=reason,
            stats=stats,
            tokens=self._tokens,
            num_reasoning_tokens=self._num_reasoning_tokens,
            stop_text=self._stop_text,
            content="".join(self._content),
            tool_calls=self._tool_calls,
        )
