"""Check this machine: Python, memory, each backend with what it would use, plugins and the kernel cache."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version

from rich.console import Console
from rich.table import Table

from jackfield import __version__
from jackfield.backend import Backend
from jackfield.cli.inspect import format_bytes
from jackfield.descriptors import BackendDescriptor
from jackfield.errors import JackfieldError
from jackfield.host import Host
from jackfield.service.memory import available_memory_bytes

__all__ = ["add_arguments", "execute", "usable_cores"]

PACKAGES = ("numpy", "numba", "llvmlite", "litestar", "msgspec", "tokenizers", "llguidance")


@dataclass(frozen=True)
class Finding:
    """One line of the check-up; ``healthy`` is false for what keeps the server from working well."""

    subject: str
    found: str
    healthy: bool = True


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("--json", action="store_true", help="print one JSON array instead of a table")


def execute(arguments: argparse.Namespace) -> int:
    """Print the findings; status 1 when one of them is not healthy."""
    findings = [*_machine(), *_packages(), *_plugins_and_backends()]
    if arguments.json:
        print(json.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        _print(findings)
    return int(not all(finding.healthy for finding in findings))


def _machine() -> list[Finding]:
    memory = available_memory_bytes()
    return [
        Finding("jackfield", __version__),
        Finding("python", f"{platform.python_version()} on {platform.system()} {platform.machine()}"),
        Finding("cores", str(usable_cores())),
        Finding("memory free", format_bytes(memory) if memory else "unknown"),
    ]


def usable_cores() -> int:
    """Return the cores this process may use."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _packages() -> list[Finding]:
    return [Finding(name, *_version_of(name)) for name in PACKAGES]


def _version_of(name: str) -> tuple[str, bool]:
    try:
        return version(name), True
    except PackageNotFoundError:
        return "not installed", False


def _plugins_and_backends() -> list[Finding]:
    try:
        host = Host()
    except JackfieldError as error:
        return [Finding("plugins", error.message, healthy=False)]
    failed = [
        Finding(f"plugin {r.name}", r.reason, healthy=False) for r in host.report() if r.state == "failed"
    ]
    findings = [finding for descriptor in host.backends() for finding in _backend(descriptor)]
    return failed + findings


def _backend(descriptor: BackendDescriptor) -> list[Finding]:
    """Ask one backend; being unavailable is no illness, failing to import is."""
    subject = f"backend {descriptor.name}"
    try:
        backend: Backend = descriptor.load()()
        reason = backend.unavailable()
        facts: Mapping[str, str] = {} if reason else backend.describe()
    except JackfieldError as error:
        return [Finding(subject, error.message, healthy=False)]
    found = [Finding(subject, f"unavailable: {reason}" if reason else f"ready: {descriptor.summary}")]
    return found + [Finding(f"  {name}", fact) for name, fact in facts.items()]


def _print(findings: list[Finding]) -> None:
    table = Table(box=None, show_header=False, pad_edge=False)
    for finding in findings:
        style = "" if finding.healthy else "bold red"
        table.add_row(finding.subject, finding.found, style=style)
    Console().print(table)
