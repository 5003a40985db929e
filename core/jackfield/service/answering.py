"""Answers to what is asked of a model beside a generation, on a thread that may wait."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import Future
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from jackfield.errors import ContextOverflow, RequestError, TooLarge, Unavailable, Unsupported
from jackfield.service.config import EngineConfig
from jackfield.service.contract import Embedding, Relevance, RenderedPrompt, TokenizedText
from jackfield.service.hosting import HostedModel
from jackfield.service.prompting import make_prompt
from jackfield.service.questions import Detokenize, Embed, Question, Rank, Render, Tokenize
from jackfield.service.requests import GenerationRequest
from jackfield.service.validation import check_tokens

__all__ = ["Reply", "answer"]

Reply: TypeAlias = TokenizedText | str | RenderedPrompt | list[Embedding] | list[Relevance] | None
F32 = npt.NDArray[np.float32]

MAX_EMBED_INPUTS = 2048
WITHDRAWAL_POLL_S = 0.1


def answer(question: Question, model: HostedModel, config: EngineConfig, withdrawn: threading.Event) -> Reply:
    """Return the answer to a question.

    Args:
        withdrawn: Set by whoever asked when nobody waits for the answer any more.

    Raises:
        RequestError: It has none.
        Unavailable: It was withdrawn.
    """
    if isinstance(question, Tokenize):
        return _tokenize(question, model)
    if isinstance(question, Detokenize):
        return _detokenize(question, model)
    if isinstance(question, Render):
        return _render(question, model, config)
    if isinstance(question, Embed):
        return _embed(question, model, withdrawn)
    if isinstance(question, Rank):
        return _rank(question, model, withdrawn)
    raise RequestError(f"a model has no answer to {type(question).__name__}")


def _tokenize(question: Tokenize, model: HostedModel) -> TokenizedText:
    tokens = model.tokenizer.encode(
        question.text, add_special=question.add_special, parse_special=question.parse_special
    )
    return TokenizedText(tokens, [model.tokenizer.piece(token) for token in tokens])


def _detokenize(question: Detokenize, model: HostedModel) -> str:
    check_tokens(question.tokens, model.tokenizer.vocab_size, "tokens")
    pieces = [model.tokenizer.piece(token) for token in question.tokens]
    return b"".join(pieces).decode("utf-8", "replace")


def _render(question: Render, model: HostedModel, config: EngineConfig) -> RenderedPrompt:
    """Render a conversation as a generation would."""
    asked = config.default_think if question.think is None else question.think
    think = asked if "thinking" in model.info.capabilities else False
    request = GenerationRequest(
        "render", "render", model.info.file, messages=question.messages, tools=question.tools
    )
    prompt = make_prompt(request, model, think=think, history=None, may_overflow=True)
    return RenderedPrompt(prompt.text, len(prompt.tokens))


# ---- embeddings ----


def _embed(question: Embed, model: HostedModel, withdrawn: threading.Event) -> list[Embedding]:
    inputs: Sequence[str | list[int]] = question.texts or question.tokens
    prompts = _embed_prompts(inputs, question.truncate, model, "input")
    vectors = _pool(prompts, model, withdrawn)
    return [Embedding(vector.tolist(), len(prompt)) for vector, prompt in zip(vectors, prompts, strict=True)]


def _rank(question: Rank, model: HostedModel, withdrawn: threading.Event) -> list[Relevance]:
    prompts = _embed_prompts([question.query, *question.documents], False, model, "documents")
    query, *documents = _pool(prompts, model, withdrawn)
    return [
        Relevance(float(document @ query), len(prompt))
        for document, prompt in zip(documents, prompts[1:], strict=True)
    ]


def _embed_prompts(
    inputs: Sequence[str | list[int]], truncate: bool, model: HostedModel, param: str
) -> list[list[int]]:
    if model.info.pooling is None:
        raise Unsupported(
            f"model {model.info.file!r} cannot embed: it has a ranking head, which this server does not run",
            param="model",
        )
    if len(inputs) > MAX_EMBED_INPUTS:
        raise TooLarge(
            f"{param} has {len(inputs)} entries, at most {MAX_EMBED_INPUTS} are allowed", param=param
        )
    return [_embed_prompt(item, truncate, model, param) for item in inputs]


def _pool(prompts: Sequence[list[int]], model: HostedModel, withdrawn: threading.Event) -> list[F32]:
    """Return each prompt's vector; what is not needed any more is cancelled."""
    kind = model.info.pooling or "mean"
    pending = [model.engine.embed(prompt, pooling=kind) for prompt in prompts]
    try:
        return [_result(future, withdrawn) for future in pending]
    finally:
        for future in pending:
            future.cancel()


def _result(future: Future[F32], withdrawn: threading.Event) -> F32:
    while True:
        try:
            return future.result(timeout=WITHDRAWAL_POLL_S)
        except TimeoutError:
            if withdrawn.is_set():
                raise Unavailable("the question was withdrawn") from None


def _embed_prompt(item: str | list[int], truncate: bool, model: HostedModel, param: str) -> list[int]:
    limit = model.info.context_length
    if isinstance(item, str):
        tokens = model.tokenizer.encode(item, add_special=True)
    else:
        check_tokens(item, model.tokenizer.vocab_size, param)
        tokens = item
    if not tokens:
        raise RequestError("an input is empty; give at least one token", param=param)
    if len(tokens) > limit and not truncate:
        raise ContextOverflow(
            f"an input has {len(tokens)} tokens, the context holds {limit}; shorten it or set truncate",
            param=param,
            numbers={"n_prompt": len(tokens), "n_ctx": limit},
        )
    return tokens[:limit]
