"""What an answer may be, as a grammar: compiled by ``llguidance`` under limits, and kept for the next such request."""

from __future__ import annotations

import dataclasses
import logging
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from threading import Lock, Timer
from typing import Any

import msgspec
from llguidance import LLMatcher

from jackfield.constrain.arguments import held_tool
from jackfield.constrain.forms import AS_WRITTEN, Grammar, form_grammar, held_form, json_grammar
from jackfield.constrain.growth import UNKNOWN_GROWTH, largest_growth
from jackfield.constrain.limits import LIMITS, check_schema
from jackfield.constrain.masks import GrammarMask
from jackfield.constrain.vocabulary import Vocabulary
from jackfield.errors import RequestError
from jackfield.service.requests import Constraint, ToolDefinition
from jackfield.text.contract import ChatFormat, Tokenizer
from jackfield.text.grammars import FORM, GrammarWriter, Wanted

__all__ = ["CompiledGrammar", "Grammars"]

log = logging.getLogger("jackfield.constrain")

CACHED_GRAMMARS = 64
PREWARM_AFTER_S = 1.0


@dataclass(frozen=True)
class CompiledGrammar:
    """A grammar ready for use.

    Attributes:
        note: Which schemas are not held to in all they say, in words.
    """

    matcher: LLMatcher
    letters: LLMatcher
    vocabulary: Vocabulary
    closers: Sequence[Sequence[int]] = ()
    most_growth: int = UNKNOWN_GROWTH
    note: str = ""

    def mask(self, max_tokens: int | None = None) -> GrammarMask:
        """Return a fresh mask for an answer of at most so many tokens."""
        return GrammarMask(
            self.matcher.deep_copy(),
            self.letters.deep_copy(),
            self.vocabulary,
            max_tokens=max_tokens,
            closers=self.closers,
            most_growth=self.most_growth,
        )


class Grammars:
    """The compiled grammars of one model. Safe to use from several threads.

    Args:
        tokenizer: Gives each token's bytes, and which ids end an answer.
        chat_format: Writes the grammar around calls and forms; ``None`` for raw text only.
    """

    def __init__(self, tokenizer: Tokenizer, chat_format: ChatFormat | None = None) -> None:
        self._tokenizer = tokenizer
        self._format = chat_format
        self._made: Vocabulary | None = None
        self._ready: OrderedDict[bytes, CompiledGrammar] = OrderedDict()
        self._lock = Lock()
        self._vocabulary_lock = Lock()

    @property
    def vocabulary(self) -> Vocabulary:
        """The model's tokens; built at the first use."""
        with self._vocabulary_lock:
            if self._made is None:
                tags = self._format.preserved_tokens if self._format is not None else ()
                self._made = Vocabulary(self._tokenizer, tags)
            return self._made

    def prewarm(self) -> None:
        """Build the vocabulary soon, on a thread, so that the first constrained request does not wait for it.

        Not now: an answer that is waited for would get half of a core.
        """
        timer = Timer(PREWARM_AFTER_S, self._build_vocabulary)
        timer.daemon = True
        timer.start()

    def _build_vocabulary(self) -> None:
        try:
            _ = self.vocabulary
        except Exception:  # whoever needs it meets the error again
            log.exception("no grammar can be used with this vocabulary")

    def of_text(self, constraint: Constraint) -> CompiledGrammar:
        """Return the grammar of an answer that no chat format shapes.

        Raises:
            RequestError: The constraint is malformed, too large or too complex; ``param`` names the field.
        """
        form_grammar(constraint)  # before anything walks through it
        key = msgspec.json.encode(constraint)
        return self._kept(key, lambda: self._compiled_text(constraint))

    def of_chat(self, wanted: Wanted, constraint: Constraint | None) -> CompiledGrammar:
        """Return the grammar of all that may follow a chat prompt.

        Raises:
            RequestError: As above, and for tools whose schema is too large.
        """
        for tool in wanted.tools:  # before anything walks through them
            check_schema(tool.parameters, "tools")
        key = msgspec.json.encode([constraint, vars(wanted)])
        return self._kept(key, lambda: self._compiled_chat(wanted, constraint))

    def _kept(self, key: bytes, compiled: Callable[[], CompiledGrammar]) -> CompiledGrammar:
        with self._lock:
            found = self._ready.get(key)
            if found is not None:
                self._ready.move_to_end(key)
                return found
        made = compiled()
        with self._lock:
            self._ready[key] = made
            while len(self._ready) > CACHED_GRAMMARS:
                self._ready.popitem(last=False)
        return made

    # ---- compiling ----

    def _compiled_text(self, constraint: Constraint) -> CompiledGrammar:
        form, note = held_form(constraint)
        matchers = self._matchers([form], f"{constraint.kind} constraint", "response_format")
        return CompiledGrammar(*matchers, self.vocabulary, most_growth=_growth([], form), note=note)

    def _compiled_chat(self, wanted: Wanted, constraint: Constraint | None) -> CompiledGrammar:
        assert self._format is not None
        form, form_note = held_form(constraint) if constraint is not None else (None, "")
        tools, tool_note = _held_tools(wanted.tools)
        writer = GrammarWriter(self.vocabulary.spell)
        self._format.write_grammar(dataclasses.replace(wanted, tools=tools), writer)
        parts = [{"lark_grammar": writer.text()}, *_named(writer, form)]
        what, param = "the grammar of the tools", "tools"
        if constraint is not None:
            what, param = f"{constraint.kind} constraint", "response_format"
        closers = [
            self.vocabulary.letters_of(text) for text in (self._format.thinking_end, *writer.closers) if text
        ]
        return CompiledGrammar(
            *self._matchers(parts, what, param),
            self.vocabulary,
            closers=closers,
            most_growth=_growth([tool.parameters for tool in tools], form),
            note="; ".join(filter(None, [tool_note, form_note])),
        )

    def _matchers(self, parts: Sequence[Grammar], what: str, param: str) -> tuple[LLMatcher, LLMatcher]:
        """Return the grammar over tokens and over letters."""
        source = msgspec.json.encode({"grammars": parts}).decode()
        matcher = LLMatcher(self.vocabulary.tokens, source, log_level=0, limits=LIMITS)
        if matcher.is_error():
            raise RequestError(
                f"{what} cannot be compiled: {' '.join(matcher.get_error().split())[:300]}",
                param=param,
                code="invalid_grammar",
            )
        return matcher, LLMatcher(self.vocabulary.letters, source, log_level=0, limits=LIMITS)


def _held_tools(tools: Sequence[ToolDefinition]) -> tuple[list[ToolDefinition], str]:
    held = [held_tool(tool) for tool in tools]
    return [tool for tool, _ in held], "; ".join(note for _, note in held if note)


def _named(writer: GrammarWriter, form: Grammar | None) -> list[Grammar]:
    parts = [{"name": name, **json_grammar(schema, AS_WRITTEN)} for name, schema in writer.schemas.items()]
    return parts if form is None else [*parts, {"name": FORM.removeprefix("@"), **form}]


def _growth(schemas: list[Any], form: Grammar | None) -> int:
    """Return by how many tokens the way out may grow with one; unknown where a form is no schema."""
    if form is None or "json_schema" in form:
        return largest_growth(schemas, form["json_schema"] if form is not None else None)
    return UNKNOWN_GROWTH
