"""Answer one prompt, or a JSONL file of prompts.

The prompt comes from the argument or from standard input. With --jsonl, each line of the file (or of "-")
is an object with "prompt" or "messages", and optionally "id", "tools" and sampling fields such as
"temperature"; each line of the output is an object with "id", "text", "reason" and "usage", in the order of
the input.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import AsyncIterator, Iterable, Sequence
from pathlib import Path
from typing import IO, Any, cast

import msgspec
from rich.console import Console
from rich.progress import track

from jackfield.cli.engine_options import add_engine_arguments, engine_config, model_file
from jackfield.cli.progress import LoadProgress
from jackfield.cli.sampling_options import add_sampling_arguments, sampling_from
from jackfield.errors import ConfigError, JackfieldError
from jackfield.host import Host
from jackfield.service.contract import Service
from jackfield.service.events import Event, Failed, Finished, TextDelta, ThinkingDelta, ToolCallDone, Usage
from jackfield.service.requests import GenerationRequest, Message, Sampling, ToolDefinition
from jackfield.service.thread import ThreadService
from jackfield.text.portable import portable

__all__ = ["add_arguments", "execute"]


class Job(msgspec.Struct, frozen=True):
    """One line of the input; sampling fields override the command's."""

    prompt: str | None = None
    messages: list[Message] | None = None
    id: str | int | None = None
    tools: list[ToolDefinition] = []


class Result(msgspec.Struct, omit_defaults=True):
    """One line of the output; ``error`` stands alone."""

    id: str | int | None = None
    text: str = ""
    thinking: str = ""
    tool_calls: list[ToolCallDone] = []
    reason: str = ""
    usage: Usage | None = None
    error: str = ""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("prompt", nargs="?", help="the prompt; standard input when absent")
    parser.add_argument("--jsonl", metavar="FILE", help="answer each line of this file; - for standard input")
    parser.add_argument("--out", metavar="FILE", help="where --jsonl writes (default: standard output)")
    parser.add_argument("--system", metavar="TEXT", help="what the model is told first")
    parser.add_argument(
        "--raw", action="store_true", help="use the prompt as it is, without the chat template"
    )
    add_engine_arguments(parser)
    add_sampling_arguments(parser)


def execute(arguments: argparse.Namespace) -> int:
    """Answer; status 1 when a line of a batch failed."""
    if arguments.jsonl and arguments.prompt is not None:
        raise ConfigError("a prompt beside --jsonl would be left out; put it into the file")
    if arguments.out and not arguments.jsonl:
        raise ConfigError("--out says where --jsonl writes; without it, redirect the output")
    return asyncio.run(_run(arguments))


async def _run(arguments: argparse.Namespace) -> int:
    host = Host()
    config = engine_config(arguments, model_file(arguments.model, host))
    with LoadProgress(f"loading {Path(config.model).name}") as progress:
        service = ThreadService(config, host, on_progress=progress.report)
        await service.start()
        progress.stop()
        try:
            if arguments.jsonl:
                return await _run_batch(service, arguments)
            return await _run_one(service, arguments)
        finally:
            await service.stop(0.0)


# ---- one prompt ----------------------------------------------------------------------------------


async def _run_one(service: Service, arguments: argparse.Namespace) -> int:
    prompt = arguments.prompt if arguments.prompt is not None else sys.stdin.read()
    if not prompt:
        raise ConfigError("no prompt: give one as an argument or on standard input")
    job = Job(prompt=portable(prompt))
    request = _request(service, job, sampling_from(arguments), arguments, "run")
    async for text in _texts(service.generate(request)):
        print(text, end="", flush=True)
    print()
    return 0


async def _texts(events: AsyncIterator[Event]) -> AsyncIterator[str]:
    """Yield the answer's text; tool calls as JSON lines. Raises what the request failed with."""
    async for event in events:
        match event:
            case TextDelta():
                yield event.text
            case ToolCallDone():
                yield msgspec.json.encode({"name": event.name, "arguments": event.arguments}).decode() + "\n"
            case Failed():
                raise JackfieldError.from_record(event.error)
            case _:
                continue


def _request(
    service: Service, job: Job, sampling: Sampling, arguments: argparse.Namespace, request_id: str
) -> GenerationRequest:
    model = service.status().model
    system = [Message("system", portable(arguments.system))] if arguments.system else []
    messages = job.messages if job.messages is not None else [*system, Message("user", job.prompt or "")]
    is_raw = arguments.raw and job.prompt is not None
    return GenerationRequest(
        id=request_id,
        protocol="run",
        model=model.file if model else "",
        messages=None if is_raw else messages,
        prompt=job.prompt if is_raw else None,
        sampling=sampling,
        tools=job.tools,
    )


# ---- a batch -------------------------------------------------------------------------------------


async def _run_batch(service: Service, arguments: argparse.Namespace) -> int:
    """Answer every line, as many at once as the engine takes; results keep the order of the input."""
    lines = _read_lines(arguments.jsonl)
    room = asyncio.Semaphore(arguments.max_sequences)
    tasks = [
        asyncio.ensure_future(_answer_line(service, number, line, arguments, room))
        for number, line in enumerate(lines, 1)
    ]
    num_failed = 0
    with _output(arguments.out) as out:
        for task in _tracked(tasks, quiet=arguments.out is None):
            result = await task
            num_failed += bool(result.error)
            out.write(msgspec.json.encode(result) + b"\n")
            out.flush()
    return int(num_failed > 0)


async def _answer_line(
    service: Service, number: int, line: bytes, arguments: argparse.Namespace, room: asyncio.Semaphore
) -> Result:
    async with room:
        result = Result()
        try:
            job, sampling = _job(line, sampling_from(arguments))
            result.id = job.id if job.id is not None else number
            await _fill(
                result, service.generate(_request(service, job, sampling, arguments, f"line-{number}"))
            )
        except JackfieldError as error:
            return Result(id=result.id if result.id is not None else number, error=error.message)
        return result


def _job(line: bytes, defaults: Sampling) -> tuple[Job, Sampling]:
    try:
        fields: dict[str, Any] = msgspec.json.decode(line, type=dict[str, Any])
        job = msgspec.convert({**fields, "tools": _functions(fields.get("tools"))}, Job)
        own = {name: value for name, value in fields.items() if name in Sampling.__struct_fields__}
        checked = msgspec.convert(own, Sampling)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise ConfigError(
            f"line is not a job: {error}; expected an object with prompt or messages"
        ) from error
    if (job.prompt is None) == (job.messages is None):
        raise ConfigError("line is not a job: give exactly one of prompt and messages")
    return job, msgspec.structs.replace(defaults, **{name: getattr(checked, name) for name in own})


def _functions(tools: Any) -> Any:
    """Return the functions inside of tools that are written as OpenAI's endpoint takes them."""
    if not isinstance(tools, list):
        return tools or []
    given = cast("list[object]", tools)
    return [cast("Any", tool).get("function", tool) if isinstance(tool, dict) else tool for tool in given]


async def _fill(result: Result, events: AsyncIterator[Event]) -> None:
    async for event in events:
        match event:
            case TextDelta():
                result.text += event.text
            case ThinkingDelta():
                result.thinking += event.text
            case ToolCallDone():
                result.tool_calls = [*result.tool_calls, event]
            case Finished():
                result.reason, result.usage = event.reason, event.usage
            case Failed():
                raise JackfieldError.from_record(event.error)
            case _:
                continue


def _read_lines(path: str) -> list[bytes]:
    try:
        data = sys.stdin.buffer.read() if path == "-" else Path(path).read_bytes()
    except OSError as error:
        raise ConfigError(f"jobs {path!r} cannot be read: {error.strerror}") from error
    return [line for line in data.splitlines() if line.strip()]


def _output(path: str | None) -> IO[bytes]:
    if path is None:
        return open(sys.stdout.fileno(), "wb", closefd=False)
    try:
        return open(path, "wb")
    except OSError as error:
        raise ConfigError(f"{path!r} cannot be written: {error.strerror}") from error


def _tracked(tasks: Sequence[asyncio.Future[Result]], *, quiet: bool) -> Iterable[asyncio.Future[Result]]:
    console = Console(stderr=True)
    return track(tasks, "answering", console=console, disable=quiet or not console.is_terminal)
