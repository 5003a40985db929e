"""The command line: one module a command, imported only when it is the one asked for."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import NoReturn

from jackfield import __version__
from jackfield.errors import JackfieldError, did_you_mean

__all__ = ["COMMANDS", "main"]

COMMANDS = {
    "serve": "serve a model over HTTP",
    "chat": "talk to a model in the terminal",
    "run": "answer one prompt, or a JSONL file of prompts",
    "inspect": "explain a GGUF file: metadata, tensors, memory, whether it runs",
    "bench": "measure prefill, decode, batches and contexts, beside llama.cpp if asked",
    "logits": "compute logits for reference prompts, to prove an architecture",
    "plugins": "list every plugin, what it declares, and why one is not loaded",
    "doctor": "check this machine: instruction sets, memory, backends, kernel cache",
}

EXIT_USAGE = 2
EXIT_BROKEN_PIPE = 141


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return the process's exit status.

    Errors of our tree end as one line on stderr and status 2; Ctrl-C ends with 130, a closed output with 141.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(_overview())
        return 0
    if arguments[0] in ("-V", "--version"):
        print(f"jackfield {__version__}")
        return 0
    return _run_command(arguments[0], arguments[1:])


def _run_command(name: str, arguments: list[str]) -> int:
    if name not in COMMANDS:
        print(f"jackfield: no command {name!r}.{did_you_mean(name, COMMANDS)}", file=sys.stderr)
        print(_overview(), file=sys.stderr)
        return EXIT_USAGE
    command: ModuleType = importlib.import_module(f"jackfield.cli.{name}")
    parser = _Parser(
        prog=f"jackfield {name}",
        description=command.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_arguments(parser)
    try:
        status = int(command.execute(parser.parse_args(arguments)))
        sys.stdout.flush()
        return status
    except JackfieldError as error:
        print(f"jackfield {name}: {error.message}", file=sys.stderr)
        for detail in error.details:
            print(f"  {detail}", file=sys.stderr)
        return EXIT_USAGE
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # whoever reads the output has had enough, such as head
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_BROKEN_PIPE


class _Parser(argparse.ArgumentParser):
    """A parser whose complaint is one sentence, without the usage before it."""

    def error(self, message: str) -> NoReturn:
        self.exit(EXIT_USAGE, f"{self.prog}: {message}; {self.prog} --help lists the options\n")


def _overview() -> str:
    width = max(map(len, COMMANDS))
    rows = [f"  {name:<{width}}  {summary}" for name, summary in COMMANDS.items()]
    lines = [
        f"Jackfield {__version__}: any GGUF architecture x any backend x any HTTP protocol.",
        "",
        "usage: jackfield COMMAND [options]    (jackfield COMMAND --help for its options)",
        "",
        *rows,
    ]
    return "\n".join(lines)
