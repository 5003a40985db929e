"""Check this machine: Python, memory, each backend with what it would use, plugins and the kernel cache.

Backends that the machine bounds measure it, which takes a second or two: how fast memory is read, and how many int8
operations a second there are. With --model, it also says what part of that decoding this model reaches.
"""

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
from jackfield.backend import Backend, MachineRates
from jackfield.bench.figures import Workload
from jackfield.bench.ours import OurModel
from jackfield.cli.inspect import format_bytes
from jackfield.cli.progress import LoadProgress
from jackfield.descriptors import BackendDescriptor, plugin_code
from jackfield.engine.loading import AUTO
from jackfield.errors import JackfieldError
from jackfield.host import Host
from jackfield.service.memory import available_memory_bytes

__all__ = ["add_arguments", "execute", "usable_cores"]

GIGA = 1e9
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
    parser.add_argument("--quick", action="store_true", help="measure nothing")
    parser.add_argument("--model", metavar="FILE", help="decode some tokens with this GGUF file as well")
    parser.add_argument("--threads", type=int, default=usable_cores(), metavar="N")


def execute(arguments: argparse.Namespace) -> int:
    """Print the findings; status 1 when one of them is not healthy."""
    findings = [*_machine(), *_packages()]
    with LoadProgress("checking", quiet=arguments.json) as progress:
        findings += _plugins_and_backends(0 if arguments.quick else arguments.threads, progress)
        if arguments.model:
            findings += _decoding(arguments.model, arguments.threads, progress)
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


def _plugins_and_backends(num_threads: int, progress: LoadProgress) -> list[Finding]:
    try:
        host = Host()
    except JackfieldError as error:
        return [Finding("plugins", error.message, healthy=False)]
    failed = [
        Finding(f"plugin {r.name}", r.reason, healthy=False) for r in host.report() if r.state == "failed"
    ]
    backends = host.backends()
    findings: list[Finding] = []
    for place, descriptor in enumerate(backends):
        progress.report(f"measuring {descriptor.name}", place, len(backends))
        findings += _backend(descriptor, num_threads)
    return failed + findings


def _backend(descriptor: BackendDescriptor, num_threads: int) -> list[Finding]:
    """Ask one backend; being unavailable is no illness, failing to import is. No threads, no measuring."""
    subject = f"backend {descriptor.name}"
    try:
        backend: Backend = descriptor.make()
        with plugin_code(f"backend {descriptor.name!r}"):
            reason = backend.unavailable()
            facts: Mapping[str, str] = {} if reason else backend.describe()
            rates = backend.measure(num_threads) if num_threads and not reason else None
    except JackfieldError as error:
        return [Finding(subject, error.message, healthy=False)]
    found = [Finding(subject, f"unavailable: {reason}" if reason else f"ready: {descriptor.summary}")]
    found += [Finding(f"  {name}", fact) for name, fact in facts.items()]
    return found + (_rates(rates, num_threads) if rates is not None else [])


def _rates(rates: MachineRates, num_threads: int) -> list[Finding]:
    return [
        Finding("  memory read", f"{rates.read_bytes_per_s / GIGA:.1f} GB/s with {num_threads} threads"),
        Finding("  int8", f"{rates.int8_ops_per_s / GIGA:.0f} billion operations a second"),
    ]


def _decoding(path: str, num_threads: int, progress: LoadProgress) -> list[Finding]:
    """Decode some tokens and compare the weights they read with the bandwidth."""
    progress.report("decoding", 0, 1)
    workload = Workload(prefill=16, decode=32, threads=num_threads)
    with OurModel(path, AUTO, workload) as model:
        rate = model.measure(workload).decode_tokens_per_s
        rates = model.machine_rates(num_threads)
    read = rate * model.decode_bytes
    share = f", {read / rates.read_bytes_per_s:.0%} of the memory's" if rates is not None else ""
    return [
        Finding(
            "decoding", f"{rate:.1f} tokens/s on {model.backend}: {read / GIGA:.1f} GB/s of weights{share}"
        )
    ]


def _print(findings: list[Finding]) -> None:
    table = Table(box=None, show_header=False, pad_edge=False)
    for finding in findings:
        style = "" if finding.healthy else "bold red"
        table.add_row(finding.subject, finding.found, style=style)
    Console().print(table)
