"""What can be asked of a model beside a generation; each question knows the type of its answer."""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from jackfield.service.requests import Message, ToolDefinition

__all__ = ["Detokenize", "Embed", "ForgetSession", "Question", "Rank", "Render", "Tokenize"]


class Tokenize(msgspec.Struct, frozen=True, tag="tokenize"):
    """See ``Service.tokenize``."""

    text: str
    add_special: bool
    parse_special: bool


class Detokenize(msgspec.Struct, frozen=True, tag="detokenize"):
    """See ``Service.detokenize``."""

    tokens: list[int]


class Render(msgspec.Struct, frozen=True, tag="render"):
    """See ``Service.render``."""

    messages: list[Message]
    tools: list[ToolDefinition]
    think: bool | str | None


class Embed(msgspec.Struct, frozen=True, tag="embed"):
    """See ``Service.embed``; of texts and tokens one is empty."""

    texts: list[str]
    tokens: list[list[int]]
    truncate: bool


class Rank(msgspec.Struct, frozen=True, tag="rank"):
    """See ``Service.rank``."""

    query: str
    documents: list[str]


class ForgetSession(msgspec.Struct, frozen=True, tag="forget_session"):
    """Cancel what runs in a session and free its pages."""

    session_id: str


Question: TypeAlias = Tokenize | Detokenize | Render | Embed | Rank | ForgetSession
