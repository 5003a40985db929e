"""``functions`` and ``function_call``, which ``tools`` replaced: the same calls under their older names."""

from __future__ import annotations

from typing import Any

import msgspec

from jackfield.errors import RequestError
from jackfield.service.events import Finished, ToolCallDelta
from jackfield_protocols.openai.bodies import ChatBody
from jackfield_protocols.openai.frames import ChatChunks

__all__ = ["FunctionChunks", "with_function_calls", "with_tools"]


def with_tools(body: ChatBody) -> ChatBody:
    """Return the body with its functions as tools, of which one is called at a time.

    Raises:
        RequestError: It has both, or ``function_call`` cannot be read.
    """
    if body.functions is None:
        return body
    if body.tools:
        raise RequestError("give tools or functions, not both", param="functions")
    choice = body.function_call
    if isinstance(choice, dict):
        choice = {"type": "function", "function": choice}
    elif choice not in (None, "auto", "none"):
        raise RequestError(
            f"function_call is {choice!r}, expected auto, none or a named function", param="function_call"
        )
    tools = [{"type": "function", "function": function} for function in body.functions]
    return msgspec.structs.replace(body, tools=tools, tool_choice=choice, parallel_tool_calls=False)


class FunctionChunks(ChatChunks):
    """Chunks whose calls are ``function_call``."""

    def call_delta(self, event: ToolCallDelta) -> dict[str, Any]:
        """Return a piece of a call."""
        name = {"name": event.name} if event.name else {}
        return {"function_call": {**name, "arguments": event.arguments}}

    def reason(self, event: Finished) -> str:
        """Return how a choice ended."""
        return _older(super().reason(event))


def with_function_calls(answer: dict[str, Any]) -> dict[str, Any]:
    """Return a whole answer whose calls are ``function_call``."""
    for choice in answer["choices"]:
        calls = choice["message"].pop("tool_calls", None)
        if calls:
            choice["message"]["function_call"] = calls[0]["function"]
        choice["finish_reason"] = _older(choice["finish_reason"])
    return answer


def _older(reason: str) -> str:
    return "function_call" if reason == "tool_calls" else reason
