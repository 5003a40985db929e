"""Measure prefill, decode, batches and contexts of a model, beside llama.cpp if asked.

The model is a file (--model), or a named shape with random weights (--shape, --type). Runs alternate with the
peer's, figures are medians, ratios are of one run. Quote ratios: machines differ and vary.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import tempfile
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from jackfield.bench.figures import Figures, Workload, median_figures
from jackfield.bench.ours import OurModel
from jackfield.bench.peer import PeerModel
from jackfield.bench.shapes import SHAPES, write_shape
from jackfield.cli.doctor import usable_cores
from jackfield.cli.progress import LoadProgress
from jackfield.errors import ConfigError

__all__ = ["add_arguments", "execute"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--model", metavar="FILE", help="a GGUF file")
    which.add_argument("--shape", choices=sorted(SHAPES), help="random weights in a published model's sizes")
    parser.add_argument("--type", default="Q8_0", help="block format of --shape, or Q4_K_M and the like")
    parser.add_argument("--folder", metavar="DIR", help="keep the files of --shape here")
    parser.add_argument("--backend", default="auto")
    parser.add_argument("--threads", type=int, default=usable_cores(), metavar="N")
    parser.add_argument("--prefill", type=int, default=512, metavar="N", help="tokens of the prompt")
    parser.add_argument("--decode", type=int, default=64, metavar="N", help="tokens after it")
    parser.add_argument("--streams", type=_numbers, default=(), metavar="2,8", help="decode so many together")
    parser.add_argument("--contexts", type=_numbers, default=(), metavar="1024,8192", help="decode there too")
    parser.add_argument("--runs", type=int, default=3, metavar="N", help="runs of each; the median counts")
    parser.add_argument("--against", choices=["llama.cpp"], help="measure this on the same file, in turn")
    parser.add_argument("--peer-python", metavar="FILE", help="interpreter that has llama-cpp-python")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--plot", metavar="PNG", help="draw the figures (needs matplotlib)")


def execute(arguments: argparse.Namespace) -> int:
    """Measure and print."""
    workload = Workload(
        arguments.prefill, arguments.decode, arguments.streams, arguments.contexts, arguments.threads
    )
    if arguments.decode < 2 or arguments.runs < 1:
        raise ConfigError("--decode needs at least 2 tokens and --runs at least 1")
    with _model_file(arguments) as path:
        ours, peers, backend = _measure(path, workload, arguments)
    results = _results(path, backend, workload, ours, peers)
    if arguments.json:
        print(json.dumps(results))
    else:
        _print(results)
    if arguments.plot:
        from jackfield.bench.plot import draw

        draw(results, Path(arguments.plot))
    return 0


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(",") if part)


@contextlib.contextmanager
def _model_file(arguments: argparse.Namespace) -> Any:
    if arguments.model:
        yield arguments.model
        return
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(arguments.folder or scratch)
        with LoadProgress(f"writing random weights in the shape of {arguments.shape}"):
            path = write_shape(arguments.shape, arguments.type, folder)
        yield str(path)


def _measure(
    path: str, workload: Workload, arguments: argparse.Namespace
) -> tuple[list[Figures], list[Figures], str]:
    """Alternate the runs, so that a slow minute of the machine hits both."""
    ours: list[Figures] = []
    peers: list[Figures] = []
    with contextlib.ExitStack() as opened:
        progress = opened.enter_context(LoadProgress(f"loading {os.path.basename(path)}"))
        model = opened.enter_context(OurModel(path, arguments.backend, workload, progress.report))
        peer = None
        if arguments.against:
            peer = opened.enter_context(PeerModel(path, workload, arguments.peer_python))
        for run in range(arguments.runs):
            progress.report(f"run {run + 1} of {arguments.runs}", run, arguments.runs)
            ours.append(model.measure(workload))
            if peer is not None:
                peers.append(peer.measure())
        return ours, peers, model.backend


def _results(
    path: str, backend: str, workload: Workload, ours: list[Figures], peers: list[Figures]
) -> dict[str, Any]:
    results: dict[str, Any] = {
        "model": os.path.basename(path),
        "backend": backend,
        "threads": workload.threads,
        "prefill": workload.prefill,
        "decode": workload.decode,
        "runs": len(ours),
        "machine": f"{platform.system()} {platform.machine()}, {usable_cores()} cores",
        **median_figures(ours).as_json(),
    }
    if peers:
        results["llama_cpp"] = median_figures(peers).as_json()
        results["ratios"] = _ratios(ours, peers)
    return results


def _ratios(ours: list[Figures], peers: list[Figures]) -> dict[str, Any]:
    """Return the median over the pairs of runs of ours / theirs, for each rate."""
    pairs = [
        Figures(
            prefill_tokens_per_s=a.prefill_tokens_per_s / b.prefill_tokens_per_s,
            decode_tokens_per_s=a.decode_tokens_per_s / b.decode_tokens_per_s,
            time_to_first_token_s=a.time_to_first_token_s / b.time_to_first_token_s,
            load_s=a.load_s / b.load_s,
            resident_bytes=0,
            batch_tokens_per_s={n: r / b.batch_tokens_per_s[n] for n, r in a.batch_tokens_per_s.items()},
            context_tokens_per_s={
                n: r / b.context_tokens_per_s[n] for n, r in a.context_tokens_per_s.items()
            },
        )
        for a, b in zip(ours, peers, strict=True)
    ]
    ratios = median_figures(pairs).as_json()
    del ratios["resident_bytes"]
    return ratios


def _print(results: dict[str, Any]) -> None:
    console = Console()
    console.print(
        f"{results['model']} · backend {results['backend']} · {results['threads']} threads"
        f" · {results['machine']} · median of {results['runs']}"
    )
    table = Table("tokens a second", "jackfield", "llama.cpp", "ratio", box=None)
    for label, keys in _rows(results):
        cells = [
            _value(results.get(column, {}) if column else results, keys)
            for column in ("", "llama_cpp", "ratios")
        ]
        table.add_row(label, _text(cells[0]), _text(cells[1]), f"{cells[2]:.2f}" if cells[2] else "")
    console.print(table)
    console.print(
        f"time to first token {results['time_to_first_token_s']:.3f} s · load {results['load_s']:.2f} s"
        f" · resident {results['resident_bytes'] / 2**20:.0f} MiB"
    )


def _rows(results: dict[str, Any]) -> list[tuple[str, tuple[str, ...]]]:
    rows: list[tuple[str, tuple[str, ...]]] = [
        (f"prefill {results['prefill']}", ("prefill_tokens_per_s",)),
        (f"decode {results['decode']}", ("decode_tokens_per_s",)),
    ]
    rows += [(f"{n} streams", ("batch_tokens_per_s", n)) for n in results["batch_tokens_per_s"]]
    rows += [(f"decode at {n}", ("context_tokens_per_s", n)) for n in results["context_tokens_per_s"]]
    return rows


def _value(table: dict[str, Any], keys: tuple[str, ...]) -> float | None:
    value: Any = table
    for key in keys:
        value = value.get(key, {})
    return value or None


def _text(value: float | None) -> str:
    return "" if value is None else f"{value:.1f}"
