"""Measure prefill, decode, batches and contexts of a model, beside llama.cpp if asked.

The model is a file (--model), or a named shape with random weights (--shape, --type). Runs alternate with the
peer's, figures are medians, ratios are of one run. Quote ratios: machines differ and vary.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from jackfield.backend import MachineRates
from jackfield.bench.busy import BusyCores
from jackfield.bench.figures import Figures, Workload
from jackfield.bench.ours import OurModel
from jackfield.bench.peer import PeerModel
from jackfield.bench.profile import check_picks_tokens, profile
from jackfield.bench.profile_report import print_profiles
from jackfield.bench.report import print_results, summarise
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
    parser.add_argument("--guess", action="store_true", help="decode a text without and with guesses")
    parser.add_argument(
        "--busy", type=int, default=0, metavar="N", help="measure again beside so many busy processes"
    )
    parser.add_argument(
        "--profile", action="store_true", help="show where the time of prompts and steps goes"
    )
    parser.add_argument("--runs", type=int, default=3, metavar="N", help="runs of each; the median counts")
    parser.add_argument("--against", choices=["llama.cpp"], help="measure this on the same file, in turn")
    parser.add_argument("--peer-python", metavar="FILE", help="interpreter that has llama-cpp-python")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--plot", metavar="PNG", help="draw the figures (needs matplotlib)")


def execute(arguments: argparse.Namespace) -> int:
    """Measure and print."""
    workload = Workload(
        prefill=arguments.prefill,
        decode=arguments.decode,
        streams=arguments.streams,
        contexts=arguments.contexts,
        threads=arguments.threads,
        guess=arguments.guess,
        busy=arguments.busy,
    )
    if arguments.decode < 2 or arguments.runs < 1:
        raise ConfigError("--decode needs at least 2 tokens and --runs at least 1")
    with _model_file(arguments) as path:
        results = _measure(path, workload, arguments)
    if arguments.json:
        print(json.dumps(results))
    else:
        print_results(results)
        if arguments.profile:
            print_profiles(results)
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
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(
                f"the folder of --shape's files cannot be made at {str(folder)!r}: {error.strerror}"
            ) from error
        with LoadProgress(f"writing random weights in the shape of {arguments.shape}"):
            path = write_shape(arguments.shape, arguments.type, folder)
        yield str(path)


def _measure(path: str, workload: Workload, arguments: argparse.Namespace) -> dict[str, Any]:
    """Alternate the runs, so that a slow minute of the machine hits both."""
    ours: list[Figures] = []
    peers: list[Figures] = []
    rates: list[MachineRates] = []
    with contextlib.ExitStack() as opened:
        progress = opened.enter_context(LoadProgress(f"loading {os.path.basename(path)}"))
        model = opened.enter_context(OurModel(path, arguments.backend, workload, progress.report))
        if arguments.profile:
            check_picks_tokens(model)
        peer = None
        if arguments.against:
            peer = opened.enter_context(PeerModel(path, workload, arguments.peer_python))
        for run in range(arguments.runs):
            progress.report(f"run {run + 1} of {arguments.runs}", run, arguments.runs)
            rates += filter(None, [model.machine_rates(workload.threads)])
            ours.append(_run(model, workload))
            if peer is not None:
                peers.append(_run(peer, workload))
        best = max(rates, key=lambda rate: rate.read_bytes_per_s, default=None)
        results = summarise(path, model.backend, workload, ours, peers, best, model.decode_bytes)
        facts = model.loaded.executable.describe()
        results |= {name: facts[name] for name in ("processor", "instruction set") if name in facts}
        if peer is not None:
            results["llama_cpp_python"] = peer.version
        if arguments.profile:
            results["profile"] = [each.as_json() for each in profile(model, workload)]
        return results


def _run(model: OurModel | PeerModel, workload: Workload) -> Figures:
    figures = model.measure(workload)
    if not workload.busy:
        return figures
    brief = replace(workload, streams=(), contexts=(), guess=False)
    with BusyCores(workload.busy):
        busy = model.measure(brief)
    rates = {
        "prefill_tokens_per_s": busy.prefill_tokens_per_s,
        "decode_tokens_per_s": busy.decode_tokens_per_s,
    }
    return replace(figures, busy=rates)
