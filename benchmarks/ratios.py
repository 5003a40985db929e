"""Measure the table of docs/performance.md: Jackfield and llama.cpp in turn on the same files.

    python benchmarks/ratios.py --out results --peer-python /path/to/python/with/llama-cpp-python

Every cell is one ``jackfield bench`` of a minute or two and one JSON file in the folder; a cell whose file is there is
not measured again, so a run that was cut short goes on where it stopped. At the end the folder has ``table.md`` and,
where matplotlib is installed, ``ratios.png``.
"""

from __future__ import annotations

import argparse
import importlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

CELLS = [
    ("qwen3-0.6b", "Q8_0"),
    ("qwen3-0.6b", "Q4_K_M"),
    ("qwen3-0.6b", "Q6_K"),
    ("qwen3-0.6b", "F16"),
    ("qwen3-1.7b", "Q8_0"),
    ("qwen3-1.7b", "Q4_K_M"),
    ("qwen3-1.7b", "Q6_K"),
    ("qwen3-1.7b", "F16"),
    ("moe-small", "Q4_K_M"),
]
COLUMNS = {
    "prefill": ("prefill_tokens_per_s",),
    "decode at 64": ("context_tokens_per_s", "64"),
    "decode at 1024": ("context_tokens_per_s", "1024"),
    "2 streams": ("batch_tokens_per_s", "2"),
    "8 streams": ("batch_tokens_per_s", "8"),
    "busy cores": ("busy", "decode_tokens_per_s"),
}


def main() -> None:
    """Measure the cells that are missing and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("results"), help="folder of the results")
    parser.add_argument("--models", type=Path, help="folder of the model files (default: OUT/models)")
    parser.add_argument("--peer-python", help="interpreter that has llama-cpp-python")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--only", help="measure only cells whose name has this in it, such as 0.6b-Q8_0")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    for shape, file_type in CELLS:
        name = f"{shape}-{file_type}"
        path = arguments.out / f"{name}.json"
        if path.exists() or (arguments.only and arguments.only not in name):
            continue
        print(name, flush=True)
        path.write_text(json.dumps(measure(shape, file_type, arguments), indent=1))
    found = {p.stem: json.loads(p.read_text()) for p in sorted(arguments.out.glob("*.json"))}
    (arguments.out / "table.md").write_text(table(found))
    print((arguments.out / "table.md").read_text())
    draw(found, arguments.out / "ratios.png")


def measure(shape: str, file_type: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """Run one cell and return its object."""
    command = [
        *(sys.executable, "-c", "import sys; from jackfield.cli import main; sys.exit(main())"),
        *("bench", "--json", "--shape", shape, "--type", file_type),
        *("--folder", str(arguments.models or arguments.out / "models"), "--threads", str(arguments.threads)),
        *("--runs", str(arguments.runs), "--prefill", "512", "--decode", "24", "--contexts", "64,1024"),
        *("--streams", "2,8", "--busy", str(arguments.threads), "--guess", "--against", "llama.cpp"),
    ]
    if arguments.peer_python:
        command += ["--peer-python", arguments.peer_python]
    result: dict[str, Any] = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
    return result


def value(results: dict[str, Any], path: tuple[str, ...]) -> float:
    """Return what is at a path of keys; 0 for what was not measured."""
    found: Any = results
    for key in path:
        found = found.get(key, {})
    return found or 0.0


def table(found: dict[str, dict[str, Any]]) -> str:
    """Return ours (ratio to llama.cpp) of every cell, as a Markdown table."""
    heads = ["model", *COLUMNS, "read", "share", "busy / own idle", "guesses"]
    lines = [f"| {' | '.join(heads)} |", "|" + "---|" * len(heads)]
    for name, results in found.items():
        cells = [
            f"{value(results, path):.1f} ({value(results['ratios'], path):.2f}×)" for path in COLUMNS.values()
        ]
        busy = value(results, ("busy", "decode_tokens_per_s")) / results["decode_tokens_per_s"]
        guessing = results["guessing"]
        cells += [
            f"{results['read_bytes_per_s'] / 1e9:.1f} GB/s",
            f"{results['decode_read_share']:.0%}",
            f"{busy:.0%}",
            f"{guessing['tokens_per_s'] / guessing['plain_tokens_per_s']:.2f}×",
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def draw(found: dict[str, dict[str, Any]], path: Path) -> None:
    """Draw the ratios as bars, where matplotlib is installed."""
    try:
        figures: Any = importlib.import_module("matplotlib.figure")
    except ImportError:
        print("no picture: matplotlib is not installed")
        return
    figure = figures.Figure(figsize=(10, 1 + 0.55 * len(found)), layout="constrained")
    panels = figure.subplots(1, len(COLUMNS), sharey=True)
    names = list(found)[::-1]
    for panel, (label, keys) in zip(panels, COLUMNS.items(), strict=True):
        ratios = [value(found[name]["ratios"], keys) for name in names]
        bars = panel.barh(names, ratios, color="#2563eb")
        panel.bar_label(bars, fmt="%.1f×", fontsize=8, padding=2)
        panel.axvline(1, color="#9ca3af", linewidth=1)
        panel.set_xlim(0, 1.25 * max(1.0, *ratios))
        panel.set_title(label, fontsize=9)
        panel.spines[["top", "right"]].set_visible(False)
    figure.suptitle("times as fast as llama.cpp, same file, threads and run", fontsize=11)
    figure.savefig(path, dpi=150)


if __name__ == "__main__":
    main()
