"""Talk to a model in the terminal.

/help lists what else can be typed; Ctrl-C stops an answer, Ctrl-D leaves.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import importlib
import sys
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console

from jackfield.cli.engine_options import (
    add_engine_arguments,
    engine_config,
    model_file,
    unasked_model_note,
)
from jackfield.cli.progress import LoadProgress
from jackfield.cli.sampling_options import add_sampling_arguments, sampling_from, with_setting
from jackfield.errors import JackfieldError
from jackfield.host import Host
from jackfield.service.contract import Service
from jackfield.service.events import Failed, Finished, TextDelta, ThinkingDelta
from jackfield.service.requests import GenerationRequest, Message, Sampling
from jackfield.service.thread import ThreadService
from jackfield.text.portable import portable

__all__ = ["Conversation", "add_arguments", "execute", "take_command"]

HELP = """\
/system TEXT       tell the model who it is, and start over; without a text, show it
/set NAME VALUE    change how tokens are picked, such as /set temperature 0.7; without a name, show all
/think on|off      let the model think first
/stats             tokens, reuse and speed of the last answer
/history           show the conversation
/retry             ask the last question again
/clear             start over
/bye               leave (so does Ctrl-D)"""


@dataclass
class Conversation:
    """What the terminal knows: the turns so far, the settings, and how the last answer went."""

    sampling: Sampling
    system: str = ""
    think: bool = False
    turns: list[Message] = field(default_factory=list[Message])
    last: Finished | None = None
    num_requests: int = 0

    @property
    def messages(self) -> list[Message]:
        """The conversation as it is sent."""
        return [*([Message("system", self.system)] if self.system else []), *self.turns]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("--system", default="", metavar="TEXT", help="what the model is told first")
    add_engine_arguments(parser)
    add_sampling_arguments(parser)


def execute(arguments: argparse.Namespace) -> int:
    """Talk until the end of input."""
    with contextlib.suppress(ImportError):
        importlib.import_module("readline")  # gives input() line editing and history, where there is one
    host = Host()
    config = engine_config(arguments, model_file(arguments.model, host))
    conversation = Conversation(sampling_from(arguments), arguments.system, arguments.think)
    console = Console(highlight=False)
    with asyncio.Runner() as runner:
        with LoadProgress(f"loading {Path(config.model).name}") as progress:
            service = ThreadService(config, host, on_progress=progress.report)
            runner.run(service.start())
        try:
            console.print(f"[dim]{Path(config.model).name} · /help lists commands[/]")
            if note := unasked_model_note(arguments, host):
                console.print(f"[dim]{note}[/]")
            _converse(runner, service, conversation, console)
        finally:
            runner.run(service.stop(0.0))
    return 0


def _converse(runner: asyncio.Runner, service: Service, conversation: Conversation, console: Console) -> None:
    """Read lines and answer them; the event loop runs only while an answer is made."""
    while (line := _read_line()) is not None:
        if not line.strip():
            continue
        if line.startswith("/"):
            answer = _try_command(conversation, line)
            if answer is None:
                return
            console.print(answer, markup=False)
            if line.split()[0] != "/retry" or not conversation.turns:
                continue
        else:
            conversation.turns.append(Message("user", line))
        _answer(runner, service, conversation, console)


def _read_line() -> str | None:
    try:
        return str(portable(input(">>> " if sys.stdin.isatty() else "")))
    except (EOFError, KeyboardInterrupt):
        return None


def _try_command(conversation: Conversation, line: str) -> str | None:
    try:
        return take_command(conversation, line)
    except JackfieldError as error:
        return error.message


# ---- commands ------------------------------------------------------------------------------------


def take_command(conversation: Conversation, line: str) -> str | None:
    """Carry out a line that begins with a slash and return what to print; ``None`` to leave.

    Raises:
        ConfigError: A setting that does not exist, or a value it cannot have.
    """
    name, _, rest = line.strip().partition(" ")
    rest = rest.strip()
    match name:
        case "/bye" | "/exit" | "/quit":
            return None
        case "/help" | "/?":
            return HELP
        case "/system":
            return _system(conversation, rest)
        case "/set":
            return _set(conversation, rest)
        case "/think":
            conversation.think = rest != "off"
            return f"thinking is {'on' if conversation.think else 'off'}"
        case "/stats":
            return _stats(conversation.last)
        case "/history":
            return "\n".join(f"{turn.role}: {turn.content}" for turn in conversation.messages)
        case "/retry":
            return _retry(conversation)
        case "/clear":
            conversation.turns.clear()
            return "started over"
        case _:
            return f"no command {name!r}; /help lists them"


def _system(conversation: Conversation, text: str) -> str:
    if not text:
        return conversation.system or "no system message"
    conversation.system = text
    conversation.turns.clear()
    return "started over with that system message"


def _set(conversation: Conversation, text: str) -> str:
    name, _, value = text.partition(" ")
    if not name:
        fields = Sampling.__struct_fields__
        return "\n".join(f"{field} = {getattr(conversation.sampling, field)!r}" for field in fields)
    conversation.sampling = with_setting(conversation.sampling, name, value.strip())
    return f"{name} = {getattr(conversation.sampling, name)!r}"


def _retry(conversation: Conversation) -> str:
    while conversation.turns and conversation.turns[-1].role != "user":
        conversation.turns.pop()
    return "asking again" if conversation.turns else "nothing was asked yet"


def _stats(last: Finished | None) -> str:
    if last is None:
        return "no answer yet"
    usage, timings = last.usage, last.timings
    decode_s, prefill_s = timings.decode_ns / 1e9, timings.prefill_ns / 1e9
    return (
        f"prompt {usage.num_prompt_tokens} tokens, {usage.num_cached_tokens} of them reused,"
        f" first token after {prefill_s:.2f} s; answer {usage.num_completion_tokens} tokens"
        f" at {usage.num_completion_tokens / max(decode_s, 1e-9):.1f} a second; ended by {last.reason}"
    )


# ---- answering -----------------------------------------------------------------------------------


def _answer(runner: asyncio.Runner, service: Service, conversation: Conversation, console: Console) -> None:
    """Print an answer as it comes; Ctrl-C stops it and keeps what came."""
    answer = _Answer(console)
    try:
        runner.run(_print_events(service, conversation, answer))
    except KeyboardInterrupt:
        console.print("[dim] (stopped)[/]", end="")
    except JackfieldError as error:
        console.print(f"[red]{error.message}[/]")
        conversation.turns.pop()
        return
    console.print()
    conversation.turns.append(Message("assistant", answer.text, thinking=answer.thinking or None))


async def _print_events(service: Service, conversation: Conversation, answer: _Answer) -> None:
    model = service.status().model
    conversation.num_requests += 1
    request = GenerationRequest(
        id=f"chat-{conversation.num_requests}",
        protocol="chat",
        model=model.file if model else "",
        messages=conversation.messages,
        sampling=conversation.sampling,
        think=conversation.think,
        session_id="chat",
    )
    async for event in service.generate(request):
        match event:
            case TextDelta():
                answer.add_text(event.text)
            case ThinkingDelta():
                answer.add_thinking(event.text)
            case Finished():
                conversation.last = event
            case Failed():
                raise JackfieldError.from_record(event.error)
            case _:
                continue


class _Answer:
    """What has been printed of an answer: thinking dimmed, then the text."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self.text = ""
        self.thinking = ""

    def add_thinking(self, text: str) -> None:
        self.thinking += text
        self._console.print(text, end="", style="dim", markup=False, soft_wrap=True)

    def add_text(self, text: str) -> None:
        if self.thinking and not self.text:
            self._console.print("\n")
        self.text += text
        self._console.print(text, end="", markup=False, soft_wrap=True)
