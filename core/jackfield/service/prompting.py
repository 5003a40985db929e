"""From a request to prompt tokens: template, raw text, infill, and the splice of earlier answers."""

from __future__ import annotations

import dataclasses
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field

from msgspec.structs import replace

from jackfield.errors import ContextOverflow, JackfieldError, RequestError, Unsupported
from jackfield.service.history import ConversationDigest, TokenHistory
from jackfield.service.hosting import HostedModel, RenderedText
from jackfield.service.requests import GenerationRequest, Message, ToolDefinition

__all__ = ["Prompt", "make_prompt", "offered_tools"]

SYSTEM_ROLES = ("system", "developer")


@dataclass(frozen=True)
class Prompt:
    """What a generation starts from.

    Attributes:
        text: As rendered, or as the client wrote it.
        tail: What the template wrote after the conversation; tells whether thinking is open.
        is_chat: Whether a template made it, so that the format's parser reads the output.
        is_continued: Whether the output goes on in the middle of a text.
        note: What was changed to make it fit, one sentence.
    """

    tokens: list[int]
    text: str
    tail: str = ""
    is_chat: bool = False
    is_continued: bool = False
    note: str = ""
    digest: ConversationDigest | None = field(default=None, compare=False)


def offered_tools(request: GenerationRequest, model: HostedModel) -> list[ToolDefinition]:
    """Return the tools the model gets to see."""
    is_offered = request.tool_choice.mode != "none" and model.chat_format.supports_tools
    return list(request.tools) if is_offered else []


def make_prompt(
    request: GenerationRequest,
    model: HostedModel,
    *,
    think: bool | str,
    history: TokenHistory | None,
    may_overflow: bool = False,
) -> Prompt:
    """Turn a request into tokens that fit the model's context.

    Args:
        think: What the request's ``think`` came to.
        history: Where earlier answers' tokens are found; ``None`` to leave them as text.
        may_overflow: The prompt is only looked at, so it need not fit.

    Raises:
        ContextOverflow: The prompt has no room left for even one token, and truncation was not asked for.
        RequestError: The template refuses the conversation, or nothing is left to start from.
        Unsupported: Infill with a vocabulary that has no tokens for it.
    """
    if request.messages is not None:
        prompt = _chat_prompt(request, model, think, history)
    elif request.prompt_tokens is not None:
        text = _text_of(request.prompt_tokens, model) if request.echo else ""
        prompt = Prompt(list(request.prompt_tokens), text, is_continued=True)
    elif request.suffix is not None:
        prompt = _infill_prompt(request, model)
    else:
        text = request.prompt or ""
        tokens = model.tokenizer.encode(text, add_special=True, parse_special=True)
        prompt = Prompt(tokens, text, is_continued=bool(text))
    prompt = _started(prompt, model)
    return prompt if may_overflow else _fitted(prompt, request, model, think)


# ---- raw text ----


def _text_of(tokens: Sequence[int], model: HostedModel) -> str:
    return b"".join(model.tokenizer.piece(token) for token in tokens).decode("utf-8", "replace")


def _infill_prompt(request: GenerationRequest, model: HostedModel) -> Prompt:
    special = model.tokenizer.special
    if special.fim_prefix is None or special.fim_suffix is None or special.fim_middle is None:
        raise Unsupported(
            f"model {model.info.file!r} does not support insert: its vocabulary has no infill tokens",
            param="suffix",
        )
    before = model.tokenizer.encode(request.prompt or "")
    after = model.tokenizer.encode(request.suffix or "")
    tokens = [special.fim_prefix, *before, special.fim_suffix, *after, special.fim_middle]
    if model.tokenizer.add_bos and special.bos is not None:
        tokens.insert(0, special.bos)
    return Prompt(tokens, request.prompt or "", is_continued=True)


def _started(prompt: Prompt, model: HostedModel) -> Prompt:
    """Let an empty prompt begin with the vocabulary's own beginning."""
    if prompt.tokens:
        return prompt
    special = model.tokenizer.special
    start = special.bos if special.bos is not None else special.eos
    if start is None:
        raise RequestError(
            "the prompt is empty and the vocabulary has no token to begin with", param="prompt"
        )
    return dataclasses.replace(prompt, tokens=[start])


# ---- conversations ----


def _chat_prompt(
    request: GenerationRequest, model: HostedModel, think: bool | str, history: TokenHistory | None
) -> Prompt:
    messages = request.messages or []
    if not messages:
        raise RequestError("messages is empty; give at least one message", param="messages")
    if request.earlier_tokens:
        return _after(request.earlier_tokens, request, messages, model, think)
    if history is not None and not request.continue_final_message:
        spliced = _spliced(request, messages, model, think, history)
        if spliced is not None and len(spliced.tokens) < model.info.context_length:
            return spliced
    return _rendered(request, messages, model, think)


def _rendered(
    request: GenerationRequest, messages: Sequence[Message], model: HostedModel, think: bool | str
) -> Prompt:
    rendered = _render(request, messages, model, think)
    digest = ConversationDigest(request, think)
    for message in messages:
        digest.add(message)
    return Prompt(
        tokens=model.tokenizer.encode_prompt(rendered.text, rendered.protected_spans),
        text=rendered.text,
        tail=rendered.tail,
        is_chat=True,
        is_continued=request.continue_final_message,
        digest=None if request.continue_final_message else digest,
    )


def _render(
    request: GenerationRequest, messages: Sequence[Message], model: HostedModel, think: bool | str
) -> RenderedText:
    return model.template.render(
        model.chat_format.adapt(list(messages)),
        offered_tools(request, model),
        think=think,
        arguments=request.template_arguments,
        continue_final=request.continue_final_message,
    )


# ---- the splice ----


def _spliced(
    request: GenerationRequest,
    messages: Sequence[Message],
    model: HostedModel,
    think: bool | str,
    history: TokenHistory,
) -> Prompt | None:
    """Return the prompt that begins with the latest answer's own tokens; ``None`` when none is known.

    The conversation is rendered with a mark in that answer's place. What the template writes after the mark
    is tokenised; what it writes before is what the kept tokens stand for.
    """
    digest = ConversationDigest(request, think)
    keys = [digest.add(message) for message in messages]
    for index in range(len(messages) - 2, -1, -1):
        kept = history.recall(keys[index]) if messages[index].role == "assistant" else None
        if kept is not None:
            return _splice_at(index, kept, request, messages, model, think, digest)
    return None


def _splice_at(
    index: int,
    kept: list[int],
    request: GenerationRequest,
    messages: Sequence[Message],
    model: HostedModel,
    think: bool | str,
    digest: ConversationDigest,
) -> Prompt | None:
    mark = f"answer-{secrets.token_hex(16)}"
    marked = list(messages)
    marked[index] = replace(messages[index], content=mark, thinking=None, tool_calls=[])
    try:
        rendered = _render(request, marked, model, think)
    except JackfieldError:  # a template may insist on the calls that its tool results answer
        return None
    if rendered.text.count(mark) != 1:
        return None
    rest = _encode_rest(rendered, rendered.text.index(mark) + len(mark), model)
    if rest is None:
        return None
    return Prompt(
        tokens=[*kept, *rest],
        text=rendered.text.replace(mark, messages[index].content),
        tail=rendered.tail,
        is_chat=True,
        digest=digest,
    )


def _after(
    tokens: list[int],
    request: GenerationRequest,
    messages: Sequence[Message],
    model: HostedModel,
    think: bool | str,
) -> Prompt:
    """Return the prompt that goes on after an earlier one and its answer.

    They stand for an exchange before the messages, which the template closes; where it cannot be cut, for whatever
    text precedes what the template makes of the messages alone.
    """
    turns = [message for message in messages if message.role not in SYSTEM_ROLES]
    exchange = [Message("user", "-"), Message("assistant", ""), *turns]
    spliced = _splice_at(1, tokens, request, exchange, model, think, ConversationDigest(request, think))
    if spliced is not None:
        note = (
            "system was left out: what the context holds was said first" if len(turns) < len(messages) else ""
        )
        return dataclasses.replace(spliced, note=note, digest=None)
    rendered = _rendered(request, messages, model, think)
    return dataclasses.replace(rendered, tokens=[*tokens, *_without_bos(rendered.tokens, model)], digest=None)


def _encode_rest(rendered: RenderedText, start: int, model: HostedModel) -> list[int] | None:
    """Return the tokens of the text from ``start``; ``None`` where cutting there would change them.

    A control token stands at the cut in every template that closes its turns: nothing merges across it.
    """
    spans = [(first - start, last - start) for first, last in rendered.protected_spans if first >= start]
    tokens = _without_bos(model.tokenizer.encode_prompt(rendered.text[start:], spans), model)
    is_clean = bool(tokens) and tokens[0] in model.tokenizer.control_ids
    return tokens if is_clean else None


def _without_bos(tokens: list[int], model: HostedModel) -> list[int]:
    is_begun = bool(tokens) and model.tokenizer.add_bos and tokens[0] == model.tokenizer.special.bos
    return tokens[1:] if is_begun else tokens


# ---- the context ----


def _fitted(prompt: Prompt, request: GenerationRequest, model: HostedModel, think: bool | str) -> Prompt:
    limit = model.info.context_length
    if len(prompt.tokens) < limit:
        return prompt
    if not request.truncate:
        raise ContextOverflow(
            f"the prompt has {len(prompt.tokens)} tokens and the context holds {limit}, the answer included;"
            " shorten it, or start the server with a larger context",
            param="messages" if request.messages is not None else "prompt",
            numbers={"n_prompt": len(prompt.tokens), "n_ctx": limit},
        )
    room = limit - min(request.sampling.max_tokens or limit, limit // 2)
    if request.messages is None or request.earlier_tokens:
        return _without_front(prompt, room, model)
    return _without_oldest(prompt, room, request, model, think)


def _without_front(prompt: Prompt, room: int, model: HostedModel) -> Prompt:
    """Drop the first tokens of a text or of a context, but not the vocabulary's beginning."""
    head = prompt.tokens[:1] if prompt.tokens[0] == model.tokenizer.special.bos else []
    tail = prompt.tokens[len(prompt.tokens) - room + len(head) :]
    num_dropped = len(prompt.tokens) - room
    note = f"the first {num_dropped} tokens of the prompt were dropped to fit the context"
    notes = "; ".join(filter(None, [prompt.note, note]))
    return dataclasses.replace(prompt, tokens=[*head, *tail], note=notes)


def _without_oldest(
    prompt: Prompt, room: int, request: GenerationRequest, model: HostedModel, think: bool | str
) -> Prompt:
    """Drop the oldest turns, never the system's words nor the last user turn; fewest first that fit."""
    messages = request.messages or []
    kept = [message for message in messages if message.role in SYSTEM_ROLES]
    turns = [message for message in messages if message.role not in SYSTEM_ROLES]
    starts = [index for index, message in enumerate(turns) if message.role == "user" and index > 0]
    low, high, best = 0, len(starts), None
    while low < high:  # a later start is a shorter prompt: search the earliest that fits
        middle = (low + high) // 2
        shorter = _rendered(request, [*kept, *turns[starts[middle] :]], model, think)
        if len(shorter.tokens) <= room:
            high, best = (
                middle,
                dataclasses.replace(shorter, note=_dropped_note(starts[middle], len(messages))),
            )
        else:
            low = middle + 1
    if best is None:
        raise ContextOverflow(
            f"the prompt has {len(prompt.tokens)} tokens; even its last turn alone does not fit the context"
            f" of {model.info.context_length}",
            param="messages",
            numbers={"n_prompt": len(prompt.tokens), "n_ctx": model.info.context_length},
        )
    return best


def _dropped_note(num_dropped: int, num_messages: int) -> str:
    return f"the oldest {num_dropped} of {num_messages} messages were dropped to fit the context"
