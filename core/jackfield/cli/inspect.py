"""Explain a GGUF file: what it is, its tensors and formats, the memory it takes, and whether it runs here."""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.table import Table

from jackfield.cli.verdict import KV_ELEMENT_BYTES, Verdict, judge
from jackfield.gguf import Checkpoint, Tensor, open_checkpoint
from jackfield.host import Host
from jackfield.service.memory import available_memory_bytes

__all__ = ["add_arguments", "execute"]

LONGEST_VALUE_SHOWN = 96


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
    return int(not verdict.runs)


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
    architecture = (
        f"{verdict.architecture}, by plugin {verdict.plugin}" if verdict.plugin else verdict.architecture
    )
    table.add_row("architecture", architecture)
    table.add_row("verdict", "yes" if verdict.runs else "no")
    for problem in verdict.problems:
        table.add_row("problem", problem)
    if verdict.layers:
        table.add_row("layers", verdict.layers)
        table.add_row("writes", verdict.writes)
        table.add_row("trained context", f"{verdict.context_length} tokens")
        table.add_row("keys and values", f"{format_bytes(verdict.kv_bytes_per_token)} a token")
    if verdict.fixed_state_bytes:
        table.add_row("recurrent state", f"{format_bytes(verdict.fixed_state_bytes)} a sequence")
    table.add_row("tokenizer", verdict.tokenizer or "none")
    table.add_row("chat format", verdict.chat_format)
    for name, answer in verdict.backends:
        table.add_row(f"backend {name}", answer)
    for name, size in verdict.memory:
        table.add_row(name.removesuffix("_bytes") + " memory", format_bytes(size))
    if verdict.memory:
        table.add_row("memory in all", _memory(verdict))
    if verdict.unused_tensors:
        table.add_row("unused tensors", _by_part(verdict.unused_tensors))
    return table


def _memory(verdict: Verdict) -> str:
    """Compare what the model takes at the context asked about with what can be taken."""
    needed, available = sum(size for _, size in verdict.memory), available_memory_bytes()
    text = f"{format_bytes(needed)} for a context of {verdict.memory_context}"
    return text if available is None else f"{text}; {format_bytes(available)} can be taken"


def _by_part(names: Iterable[str]) -> str:
    """Count tensors of the same block or part of the model: ``blk.4 (15), v (120), rope_freqs.weight``."""
    parts: Counter[str] = Counter()
    for name in names:
        steps = name.split(".")
        is_block = len(steps) > 2 and steps[1].isdigit()
        parts[".".join(steps[:2]) if is_block else steps[0] if len(steps) > 2 else name] += 1
    return ", ".join(f"{part} ({count} tensors)" if count > 1 else part for part, count in parts.items())


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
        "verdict": asdict(verdict) | {"runs": verdict.runs, "problem": "; ".join(verdict.problems)},
    }
    if tensors:
        found["tensors"] = [
            {"name": t.name, "format": t.type_name, "shape": list(t.shape), "bytes": len(t.data)}
            for t in checkpoint.tensors.values()
        ]
    return found


def _plain(value: Any) -> Any:
    return value if isinstance(value, str | int | float) else f"{len(value)} entries"
