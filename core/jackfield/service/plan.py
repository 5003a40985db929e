"""What is decided about a request before anything is computed: every refusal happens here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from msgspec.structs import replace

from jackfield.constrain.combined import BothMasks
from jackfield.constrain.grammar import CompiledGrammar
from jackfield.constrain.instructions import instructed
from jackfield.engine.contract import TokenMask
from jackfield.errors import Unsupported
from jackfield.service.block_requests import refuse_beyond_blocks, unused_note
from jackfield.service.config import EngineConfig
from jackfield.service.history import TokenHistory
from jackfield.service.hosting import HostedModel
from jackfield.service.prompting import Prompt, make_prompt
from jackfield.service.requests import GenerationRequest
from jackfield.service.shape import answer_grammar, check_form
from jackfield.service.thinking import LengthMask, thinking_budget
from jackfield.service.validation import check_request
from jackfield.text.contract import Tokenizer

__all__ = ["Plan", "make_plan"]


@dataclass(frozen=True)
class Plan:
    """How a request will be run.

    Attributes:
        max_tokens: Most tokens to generate, clamped to what the context leaves.
        min_tokens: Tokens before which the generation may not end.
        thinking_end: Tokens that close a thinking block; empty where none can be open.
        thinking_budget: Most tokens inside one.
        grammar: What the answer is held to; ``None`` when anything may be said.
        note: What was done otherwise than asked, in words.
    """

    prompt: Prompt
    think: bool | str
    max_tokens: int
    min_tokens: int
    thinking_end: list[int]
    thinking_budget: int
    grammar: CompiledGrammar | None
    note: str

    def mask(self, tokenizer: Tokenizer, is_thinking: Callable[[], bool]) -> TokenMask | None:
        """Return what a choice is held to: a grammar, bounds on its length and thinking, or both.

        Args:
            is_thinking: Whether the choice has a thinking block open now.
        """
        bounds = self._bounds(tokenizer, is_thinking)
        if self.grammar is None:
            return bounds
        grammar = self.grammar.mask(self.max_tokens)
        return grammar if bounds is None else BothMasks(grammar, bounds)

    def _bounds(self, tokenizer: Tokenizer, is_thinking: Callable[[], bool]) -> LengthMask | None:
        if not self.thinking_end and not self.min_tokens:
            return None
        return LengthMask(
            tokenizer.vocab_size,
            is_thinking=is_thinking,
            end_tokens=self.thinking_end,
            budget=self.thinking_budget,
            eog=tokenizer.special.eog,
            min_tokens=self.min_tokens,
        )


def make_plan(
    request: GenerationRequest, model: HostedModel, config: EngineConfig, history: TokenHistory
) -> Plan:
    """Check a request and turn it into tokens and limits.

    Raises:
        RequestError: It cannot be done; the subclass and ``param`` say why.
    """
    check_request(request, model.tokenizer.vocab_size)
    _check_media(request, model)
    if model.info.canvas_length is not None:
        refuse_beyond_blocks(request, model.info.file)
    think = _resolve_think(request, model, config)
    is_spliced = config.splice and not request.reset_session
    prompt = make_prompt(_instructed(request), model, think=think, history=history if is_spliced else None)
    room = model.info.context_length - len(prompt.tokens)
    asked = request.sampling.max_tokens
    max_tokens = room if asked is None else min(asked, room)
    thinking_end = _thinking_end(prompt, model)
    grammar = answer_grammar(request, model, prompt, think)
    notes = [*_notes(prompt, request, model), grammar.note if grammar is not None else ""]
    return Plan(
        prompt=prompt,
        think=think,
        max_tokens=max_tokens,
        min_tokens=min(request.sampling.min_tokens, max_tokens),
        thinking_end=thinking_end,
        thinking_budget=thinking_budget(
            request.thinking_budget, max_tokens, config.answer_reserve, len(thinking_end)
        ),
        grammar=grammar,
        note="; ".join(note for note in notes if note),
    )


def _instructed(request: GenerationRequest) -> GenerationRequest:
    """Return the request whose messages tell the model of the form that is wanted."""
    check_form(request)
    if request.constraint is None or request.messages is None:
        return request
    return replace(request, messages=instructed(request.messages, request.constraint))


def _check_media(request: GenerationRequest, model: HostedModel) -> None:
    has_images = any(message.images for message in request.messages or ())
    if has_images and "vision" not in model.info.capabilities:
        raise Unsupported(
            f"model {model.info.file!r} does not support images; send text only", param="images"
        )


def _resolve_think(request: GenerationRequest, model: HostedModel, config: EngineConfig) -> bool | str:
    can_think = "thinking" in model.info.capabilities
    if request.think and not can_think:
        raise Unsupported(f"model {model.info.file!r} does not support thinking", param="think")
    if request.think is None:
        return config.default_think if can_think else False
    return request.think


def _notes(prompt: Prompt, request: GenerationRequest, model: HostedModel) -> list[str]:
    is_diffusion = model.info.canvas_length is not None
    return [prompt.note, _tools_note(request, model), unused_note(request.sampling) if is_diffusion else ""]


def _tools_note(request: GenerationRequest, model: HostedModel) -> str:
    if not request.tools or model.chat_format.supports_tools:
        return ""
    return "the model's chat format has no tool calls, so the tools were not offered to it"


def _thinking_end(prompt: Prompt, model: HostedModel) -> list[int]:
    closing = model.chat_format.thinking_end
    if not closing or not prompt.is_chat:
        return []
    return model.tokenizer.encode(closing, parse_special=True)
