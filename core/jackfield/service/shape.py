"""What shape an answer must have: the grammar of a request's tools and form, behind its prompt."""

from __future__ import annotations

from jackfield.constrain.forms import form_grammar
from jackfield.constrain.grammar import CompiledGrammar
from jackfield.errors import Unsupported
from jackfield.service.hosting import HostedModel
from jackfield.service.prompting import Prompt, offered_tools
from jackfield.service.requests import GenerationRequest, ToolDefinition
from jackfield.text.grammars import Wanted

__all__ = ["answer_grammar", "check_form"]


def check_form(request: GenerationRequest) -> None:
    """Refuse a form that is malformed or too large before the prompt tells the model of it.

    Raises:
        RequestError: Says what and where.
    """
    if request.constraint is not None:
        form_grammar(request.constraint)


def answer_grammar(
    request: GenerationRequest, model: HostedModel, prompt: Prompt, think: bool | str
) -> CompiledGrammar | None:
    """Return the grammar of the answer; ``None`` when anything may be said.

    Raises:
        RequestError: A tool's schema is too large or too complex.
        Unsupported: A call is forced, and the model's chat format has none.
    """
    if not prompt.is_chat:
        return None if request.constraint is None else model.grammars.of_text(request.constraint)
    tools = _callable_tools(request, model)
    if not tools and request.constraint is None:
        return None
    parser = model.chat_format.parser(tools)
    parser.prime(prompt.tail)
    wanted = Wanted(
        tools=tools,
        must_call=_must_call(request),
        is_parallel=request.tool_choice.parallel,
        has_form=request.constraint is not None,
        is_thinking=parser.in_thinking,
        may_think=bool(think) or request.constraint is None,
        tail=prompt.tail,
        is_continued=prompt.is_continued,
    )
    return model.grammars.of_chat(wanted, request.constraint)


def _must_call(request: GenerationRequest) -> bool:
    return request.tool_choice.mode == "required" or request.tool_choice.name is not None


def _callable_tools(request: GenerationRequest, model: HostedModel) -> list[ToolDefinition]:
    """Return the tools that may be called now: all that are offered, or the one that is forced."""
    offered = offered_tools(request, model)
    if _must_call(request) and not offered:
        raise Unsupported(
            "a tool call cannot be forced: the model's chat format has no tool calls", param="tool_choice"
        )
    name = request.tool_choice.name
    return [tool for tool in offered if name is None or tool.name == name]
