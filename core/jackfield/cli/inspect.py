"""Explain a GGUF file: what it is, its tensors and formats, the memory it takes, and whether it runs here."""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from jackfield.backend import Backend, Limits
from jackfield.errors import JackfieldError
from jackfield.gguf import Checkpoint, Tensor, open_checkpoint
from jackfield.host import Host
from jackfield.program import Attend, Op, Program

__all__ = ["add_arguments", "execute"]

KV_ELEMENT_BYTES = {"f16": 2.0, "f32": 4.0, "q8_0": 34 / 32}
LONGEST_VALUE_SHOWN = 96


@dataclass(frozen=True)
class Verdict:
    """Whether the file runs, by which plugin, and what it takes; ``problem`` is why it does not."""

    architecture: str
    problem: str = ""
    layers: str = ""
    context_length: int = 0
    kv_bytes_per_token: int = 0
    fixed_state_bytes: int = 0
    unused_tensors: tuple[str, ...] = ()
    backends: tuple[tuple[str, str], ...] = ()
    memory: tuple[tuple[str, int], ...] = ()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("model", help="the GGUF file; the first one of a split model")
    parser.add_argument("--tensors", action="store_true", help="list every tensor")
    parser.add_argument("--context", type=int, default=4096, help="tokens the memory estimate is for")
    parser.add_argument("--kv-type", choices=sorted(KV_ELEMENT_BYTES), default="f16")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of tables")


def execute(arguments: argparse.Namespace) -> int:
    """Print the explanation; status 1 when no plugin here can run the file."""
    with open_checkpoint(arguments.model) as checkpoint:
        verdict = judge(checkpoint, Host(), arguments.context, arguments.kv_type)
        if arguments.json:
            print(json.dumps(_as_json(checkpoint, verdict, tensors=arguments.tensors), indent=2))
        else:
            _print(checkpoint, verdict, tensors=arguments.tensors)
    return int(bool(verdict.problem))


# ---- judging -------------------------------------------------------------------------------------


def judge(checkpoint: Checkpoint, host: Host, context: int, kv_type: str) -> Verdict:
    """Try to build the file's program, and ask each backend about it; nothing is computed."""
    try:
        program: Program = host.architecture(checkpoint.architecture).load()(checkpoint)
    except JackfieldError as error:
        return Verdict(checkpoint.architecture, problem=error.message)
    limits = Limits(
        num_pages=-(-context // 32), max_context=context, kv_type=kv_type, num_state_slots=1, max_rows=512
    )
    answers = list(_ask_backends(host, program, checkpoint, limits))
    computing = {backend.name for backend in host.backends() if backend.preference >= 0}
    runs = [name for name, answer, _ in answers if answer == "runs"]
    return Verdict(
        checkpoint.architecture,
        problem="" if computing & set(runs) else f"only backends that must be named run it: {runs}",
        layers=_layers(program.ops),
        context_length=program.context_length,
        kv_bytes_per_token=program.kv_bytes_per_token(KV_ELEMENT_BYTES[kv_type]),
        fixed_state_bytes=program.fixed_state_bytes(),
        unused_tensors=tuple(sorted(set(checkpoint.tensors) - program.weight_names())),
        backends=tuple((name, answer) for name, answer, _ in answers),
        memory=next((memory for _, answer, memory in answers if answer == "runs" and memory), ()),
    )


def _ask_backends(
    host: Host, program: Program, checkpoint: Checkpoint, limits: Limits
) -> Iterable[tuple[str, str, tuple[tuple[str, int], ...]]]:
    for descriptor in sorted(host.backends(), key=lambda item: -item.preference):
        try:
            backend: Backend = descriptor.load()()
            reason = backend.unavailable() or backend.cannot_run(program, checkpoint.tensors)
            estimate = None if reason else backend.estimate(program, checkpoint.tensors, limits)
        except JackfieldError as error:
            reason, estimate = error.message, None
        yield descriptor.name, reason or "runs", tuple(asdict(estimate).items()) if estimate else ()


def _layers(ops: Iterable[Op]) -> str:
    """Count what the layers do: ``24 attention (12 windowed of 128), 24 feed-forward``."""
    ops = list(ops)
    attention = [op for op in ops if isinstance(op, Attend)]
    windows = Counter(op.window for op in attention if op.window)
    kinds = Counter(type(op).__name__ for op in ops)
    parts = [f"{len(attention)} attention"] if attention else []
    parts += [f"{count} of them with a window of {window}" for window, count in windows.items()]
    for name, meaning in LAYER_MARKS.items():
        if kinds[name]:
            parts.append(f"{kinds[name]} {meaning}")
    return ", ".join(parts)


LAYER_MARKS = {
    "SsmScan": "Mamba-2",
    "DeltaRule": "gated delta rule",
    "ExpertFeedForward": "mixture of experts",
    "Glu": "gated feed-forward",
}


# ---- showing -------------------------------------------------------------------------------------


def _print(checkpoint: Checkpoint, verdict: Verdict, *, tensors: bool) -> None:
    console = Console()
    console.print(_metadata_table(checkpoint))
    console.print(_formats_table(checkpoint.tensors.values()))
    if tensors:
        console.print(_tensors_table(checkpoint.tensors.values()))
    console.print(_verdict_table(verdict))


def _metadata_table(checkpoint: Checkpoint) -> Table:
    table = Table("key", "value", title=f"{checkpoint.path.name}: metadata", box=None, title_justify="left")
    for key in checkpoint.metadata:
        table.add_row(key, _short(checkpoint.metadata[key]))
    return table


def _formats_table(tensors: Iterable[Tensor]) -> Table:
    counts: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    for tensor in tensors:
        counts[tensor.type_name] += 1
        sizes[tensor.type_name] += len(tensor.data)
    table = Table("format", "tensors", "size", title="\nformats", box=None, title_justify="left")
    for name, size in sizes.most_common():
        table.add_row(name, str(counts[name]), format_bytes(size))
    return table


def _tensors_table(tensors: Iterable[Tensor]) -> Table:
    table = Table("tensor", "format", "shape", "size", title="\ntensors", box=None, title_justify="left")
    for tensor in tensors:
        shape = " x ".join(map(str, tensor.shape))
        table.add_row(tensor.name, tensor.type_name, shape, format_bytes(len(tensor.data)))
    return table


def _verdict_table(verdict: Verdict) -> Table:
    table = Table(title="\ndoes it run here?", box=None, show_header=False, title_justify="left")
    table.add_row("architecture", verdict.architecture)
    table.add_row("verdict", verdict.problem or "yes")
    if verdict.layers:
        table.add_row("layers", verdict.layers)
        table.add_row("trained context", f"{verdict.context_length} tokens")
        table.add_row("keys and values", f"{format_bytes(verdict.kv_bytes_per_token)} a token")
    if verdict.fixed_state_bytes:
        table.add_row("recurrent state", f"{format_bytes(verdict.fixed_state_bytes)} a sequence")
    for name, answer in verdict.backends:
        table.add_row(f"backend {name}", answer)
    for name, size in verdict.memory:
        table.add_row(name.removesuffix("_bytes") + " memory", format_bytes(size))
    if verdict.unused_tensors:
        table.add_row("unused tensors", ", ".join(verdict.unused_tensors))
    return table


def format_bytes(size: float) -> str:
    """Write a size with a binary unit and three significant digits."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024 or unit == "GiB":
            break
        size /= 1024
    return f"{size:.0f} {unit}" if unit == "B" else f"{size:.3g} {unit}"


def _short(value: Any) -> str:
    if isinstance(value, str):
        text = repr(value) if len(value) <= LONGEST_VALUE_SHOWN else f"{value[:LONGEST_VALUE_SHOWN]!r}…"
    elif isinstance(value, int | float):
        text = str(value)
    else:
        first = ", ".join(repr(item) for item in value[:4])
        text = f"[{first}{', …' if len(value) > 4 else ''}] ({len(value)} entries)"
    return text.replace("[", "\\[")


def _as_json(checkpoint: Checkpoint, verdict: Verdict, *, tensors: bool) -> dict[str, Any]:
    found: dict[str, Any] = {
        "file": checkpoint.path.name,
        "size_bytes": checkpoint.size_bytes,
        "metadata": {key: _plain(checkpoint.metadata[key]) for key in checkpoint.metadata},
        "formats": Counter(tensor.type_name for tensor in checkpoint.tensors.values()),
        "verdict": asdict(verdict),
    }
    if tensors:
        found["tensors"] = [
            {"name": t.name, "format": t.type_name, "shape": list(t.shape), "bytes": len(t.data)}
            for t in checkpoint.tensors.values()
        ]
    return found


def _plain(value: Any) -> Any:
    return value if isinstance(value, str | int | float) else f"{len(value)} entries"
