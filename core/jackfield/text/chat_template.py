"""A model's chat template: which one it is, what it can do, and conversations through it."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import msgspec

from jackfield.errors import RequestError
from jackfield.service.requests import Message, ToolDefinition
from jackfield.text.capabilities import TemplateCapabilities, probe
from jackfield.text.contract import ChatFormat, Tokenizer
from jackfield.text.conversation import template_messages, template_tools
from jackfield.text.protection import Protector, read_marks
from jackfield.text.renderer import Rendered, TemplateRenderer
from jackfield.text.rendering import RenderJob

if TYPE_CHECKING:
    from jackfield.gguf import Metadata

__all__ = ["CHATML", "ChatTemplate", "TemplateSources", "template_sources"]

log = logging.getLogger(__name__)

CHATML = (
    "{% for message in messages %}"
    "<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n"
    "{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
# names a request may not set: they are the conversation itself
_RESERVED = frozenset(("messages", "tools", "documents", "add_generation_prompt"))


@dataclass(frozen=True)
class TemplateSources:
    """The templates of a model: ``with_tools`` is used instead of ``main`` when tools are offered."""

    main: str
    with_tools: str | None = None
    is_fallback: bool = False


def template_sources(metadata: Metadata, override: str | None = None) -> TemplateSources:
    """Return the templates to use: the user's own, the file's, or ChatML."""
    if override is not None:
        return TemplateSources(override)
    main = metadata.text("tokenizer.chat_template", None)
    if main is None:
        log.warning("the checkpoint has no chat template: ChatML is used")
        return TemplateSources(CHATML, is_fallback=True)
    return TemplateSources(main, metadata.text("tokenizer.chat_template.tool_use", None))


class ChatTemplate:
    """Turns conversations into prompts; safe to call from several threads.

    Args:
        variables: Texts of special tokens, as ``bos_token``.
        control: Spellings no message may turn into tokens.
        protocol: Spellings only the model's own earlier answers may turn into tokens.
    """

    def __init__(
        self,
        sources: TemplateSources,
        renderer: TemplateRenderer,
        *,
        variables: Mapping[str, str],
        control: Iterable[str],
        protocol: Iterable[str] = (),
    ) -> None:
        self.sources = sources
        self._renderer = renderer
        self._variables = dict(variables)
        self._protector = Protector(control, protocol)

    @classmethod
    def of(
        cls,
        metadata: Metadata,
        tokenizer: Tokenizer,
        chat_format: ChatFormat,
        renderer: TemplateRenderer,
        override: str | None = None,
    ) -> ChatTemplate:
        """Return the template of a checkpoint; ChatML, with a warning, when it does not compile."""
        sources = template_sources(metadata, override)
        template = cls(
            sources,
            renderer,
            variables=special_texts(tokenizer),
            control=control_texts(tokenizer),
            protocol=chat_format.preserved_tokens,
        )
        return template if override is not None else template._or_fallback()

    @cached_property
    def capabilities(self) -> TemplateCapabilities:
        """What the main template can do; learnt at the first use."""
        return self._probe(self.sources.main)

    @cached_property
    def _tool_capabilities(self) -> TemplateCapabilities:
        source = self.sources.with_tools
        return self.capabilities if source is None else self._probe(source)

    def render(
        self,
        messages: Sequence[Message],
        tools: Sequence[ToolDefinition] = (),
        *,
        think: bool | str | None = None,
        arguments: Mapping[str, str | int | float | bool] | None = None,
        continue_final: bool = False,
        now: str = "",
    ) -> Rendered:
        """Render a conversation.

        Args:
            think: Switch thinking on or off, or its level; ``None`` leaves it to the template.
            arguments: Further variables of the template.
            continue_final: The last message is an answer to go on with: end the prompt inside it.
            now: ISO date and time for templates that tell it.

        Raises:
            RequestError: The template refuses the conversation or breaks on it.
        """
        source, capabilities = self.sources.main, self.capabilities
        if tools and self.sources.with_tools is not None:
            source, capabilities = self.sources.with_tools, self._tool_capabilities
        if capabilities.switches_by_word:
            messages = _with_word(messages, think)
        job = RenderJob(
            template=source,
            messages=template_messages(messages, capabilities),
            tools=template_tools(tools),
            variables=self._all_variables(think, arguments or {}),
            now=now,
        )
        if continue_final:
            return self._continued(job, messages[-1].content)
        return self.render_job(msgspec.structs.replace(job, want_tail=True))

    def render_job(self, job: RenderJob) -> Rendered:
        """Render a job with its texts kept from turning into control tokens."""
        asked = {name: value for name, value in job.variables.items() if name not in self._variables}
        mark, messages, others = self._protector.mark(job.messages, job.tools, job.documents, asked)
        marked = msgspec.structs.replace(
            job,
            messages=messages,
            tools=others[0],
            documents=others[1],
            variables={**self._variables, **others[2]},
        )
        rendered = self._renderer.render(marked)
        text, spans = read_marks(rendered.text, mark)
        tail, _ = read_marks(rendered.tail, mark)
        return Rendered(text, spans, tail)

    # ---- parts ----

    def _continued(self, job: RenderJob, answer: str) -> Rendered:
        """Cut the rendering right behind the unfinished answer."""
        job = msgspec.structs.replace(job, add_generation_prompt=False)
        whole = self.render_job(job)
        answer = answer if answer in whole.text else answer.strip()
        end = whole.text.rfind(answer) + len(answer)
        if not answer or end < len(answer):
            raise RequestError(
                f"the last message cannot be continued: the chat template does not show its text {answer!r}"
                " as it is; send a last message of role 'user' instead",
                param="messages",
            )
        spans = [span for span in whole.protected_spans if span[1] <= end]
        return Rendered(whole.text[:end], spans, whole.text[self._start_of_last(job, whole.text) : end])

    def _start_of_last(self, job: RenderJob, text: str) -> int:
        """Return where the last message begins: its header and thinking tell the parser where it is."""
        try:
            before = self.render_job(msgspec.structs.replace(job, messages=job.messages[:-1])).text
        except RequestError:  # many templates refuse an empty conversation, or one that ends here
            return 0
        return next((i for i, (a, b) in enumerate(zip(before, text, strict=False)) if a != b), len(before))

    def _all_variables(
        self, think: bool | str | None, arguments: Mapping[str, str | int | float | bool]
    ) -> dict[str, Any]:
        taken = _RESERVED | self._variables.keys()
        allowed = {name: value for name, value in arguments.items() if name not in taken}
        return {**self._variables, **_thinking_variables(think), **allowed}

    def _probe(self, source: str) -> TemplateCapabilities:
        def render(
            messages: list[dict[str, Any]], tools: list[dict[str, Any]] | None, variables: dict[str, Any]
        ) -> str:
            job = RenderJob(source, messages, tools, variables={**self._variables, **variables})
            return self._renderer.render(job).text

        return probe(source, render)

    def _or_fallback(self) -> ChatTemplate:
        problem = self._renderer.problem(self.sources.main)
        if problem is None:
            return self
        log.warning("the checkpoint's chat template is rejected (%s): ChatML is used", problem)
        self.sources = replace(self.sources, main=CHATML, with_tools=None, is_fallback=True)
        return self


def special_texts(tokenizer: Tokenizer) -> dict[str, str]:
    """Return the special tokens' texts under the names templates use."""
    special = tokenizer.special
    ids = {
        "bos_token": special.bos,
        "eos_token": special.eos,
        "unk_token": special.unknown,
        "pad_token": special.padding,
    }
    return {name: tokenizer.token_text(token_id) for name, token_id in ids.items() if token_id is not None}


def control_texts(tokenizer: Tokenizer) -> list[str]:
    """Return the spellings that a text written by a user must not turn into tokens."""
    return [tokenizer.token_text(token_id) for token_id in sorted(tokenizer.control_ids)]


def _thinking_variables(think: bool | str | None) -> dict[str, Any]:
    """Return the names under which templates look for the switch and the level."""
    if think is None:
        return {}
    switch = {"enable_thinking": think is not False, "thinking": think is not False}
    if isinstance(think, str):
        return {**switch, "reasoning_effort": think}
    # a family that always thinks at least thinks less
    return switch if think else {**switch, "reasoning_effort": "low"}


def _with_word(messages: Sequence[Message], think: bool | str | None) -> Sequence[Message]:
    """Say ``/no_think`` in the system message, as some families want it."""
    if think is not False:
        return messages
    if messages and messages[0].role == "system":
        first = msgspec.structs.replace(messages[0], content=f"{messages[0].content}\n/no_think")
        return [first, *messages[1:]]
    return [Message("system", "/no_think"), *messages]
