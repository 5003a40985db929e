"""Measure the table and the picture of docs/performance.md: Jackfield and llama.cpp in turn on the same files.

    python benchmarks/ratios.py --peer-python /path/to/python/with/llama-cpp-python

Every cell is one ``jackfield bench`` of some minutes and one JSON file in the folder; a cell whose file is there is not
measured again, so a run that was cut short goes on where it stopped. At the end ``table.md`` is written from all of
them and, where matplotlib is installed, ``ratios.png``; ``--draw`` writes just these again.
"""

from __future__ import annotations

import argparse
import importlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from PIL import Image

from jackfield.bench.report import machine_of

LONGEST = 4.0
"""Longer bars are cut: beside busy cores llama.cpp may come to a standstill."""
OURS, BEHIND, GREY = "#2563eb", "#93a7c8", "#4b5563"
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
RESULTS = Path(__file__).with_name("results")
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
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the results")
    parser.add_argument("--models", type=Path, help="folder of the model files (default: OUT/models)")
    parser.add_argument("--draw", action="store_true", help="measure nothing, use the results that are there")
    parser.add_argument("--peer-python", help="interpreter that has llama-cpp-python")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--only", help="measure only cells whose name has this in it, such as 0.6b-Q8_0")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    for shape, file_type in CELLS:
        name = f"{shape}-{file_type}"
        path = arguments.out / f"{name}.json"
        if path.exists() or arguments.draw or (arguments.only and arguments.only not in name):
            continue
        print(name, flush=True)
        path.write_text(json.dumps(measure(shape, file_type, arguments), indent=1))
    found = results_in(arguments.out)
    if not found:
        parser.error(f"{arguments.out} has no results yet")
    (arguments.out / "table.md").write_text(table(found), encoding="utf-8")
    print(table(found))
    draw(found, arguments.out / "ratios.png")


def results_in(folder: Path) -> dict[str, dict[str, Any]]:
    """Return the results of the cells that were measured, in the table's order."""
    names = [f"{shape}-{file_type}" for shape, file_type in CELLS]
    paths = {name: folder / f"{name}.json" for name in names}
    return {name: json.loads(path.read_text()) for name, path in paths.items() if path.exists()}


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


def value(results: dict[str, Any], path: tuple[str, ...]) -> float | None:
    """Return what is at a path of keys; ``None`` for what was not measured."""
    found: Any = results
    for key in path:
        found = found.get(key, {})
    return found or None


def table(found: dict[str, dict[str, Any]]) -> str:
    """Return ours (ratio to llama.cpp) of every cell, as a Markdown table under the machine it is of."""
    heads = ["model", *COLUMNS, "read", "share", "busy / own idle", "guesses"]
    lines = [f"{described(found)}:", "", f"| {' | '.join(heads)} |", "|" + "---|" * len(heads)]
    for name, results in found.items():
        cells = [cell(results, path) for path in COLUMNS.values()]
        busy, guessing = value(results, ("busy", "decode_tokens_per_s")), results["guessing"]
        cells += [
            f"{results['read_bytes_per_s'] / 1e9:.1f} GB/s",
            f"{results['decode_read_share']:.0%}",
            f"{busy / results['decode_tokens_per_s']:.0%}" if busy else "–",
            f"{guessing['tokens_per_s'] / guessing['plain_tokens_per_s']:.2f}×" if guessing else "–",
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def cell(results: dict[str, Any], path: tuple[str, ...]) -> str:
    """Return tokens a second, and how many times llama.cpp's that is."""
    rate, ratio = value(results, path), value(results["ratios"], path)
    return "–" if rate is None or ratio is None else f"{rate:.1f} ({ratio:.2f}×)"


def described(found: dict[str, dict[str, Any]]) -> str:
    """Return what the results were measured on."""
    runs = sorted({results["runs"] for results in found.values()})
    counted = "one run" if runs == [1] else f"medians of {' or '.join(map(str, runs))} runs"
    machines = dict.fromkeys(machine_of(results) for results in found.values())
    return f"{'; '.join(machines)} · {counted}"


def draw(found: dict[str, dict[str, Any]], path: Path) -> None:
    """Draw the ratios as bars, where matplotlib is installed."""
    try:
        figures: Any = importlib.import_module("matplotlib.figure")
    except ImportError:
        print("no picture: matplotlib is not installed")
        return
    names = list(found)[::-1]
    ratios = {
        label: [value(found[name]["ratios"], keys) or 0.0 for name in names]
        for label, keys in COLUMNS.items()
    }
    figure = figures.Figure(figsize=(8.3, 1.4 + 0.46 * len(names)), layout="constrained")
    panels = figure.subplots(2, len(COLUMNS) // 2, sharex=True, sharey=True)
    for panel, (label, lengths) in zip(panels.flat, ratios.items(), strict=True):
        draw_panel(panel, label, names, lengths)
    panels.flat[0].set_xlim(0, 1.17 * min(LONGEST, max(map(max, ratios.values()))))
    figure.suptitle("Tokens a second, as multiples of llama.cpp's", fontsize=11, fontweight="bold")
    figure.supxlabel(described(found), fontsize=7, color=GREY)
    figure.savefig(path, dpi=170)
    shrink(path)


def draw_panel(panel: Any, label: str, names: list[str], ratios: list[float]) -> None:
    """Draw one column of the table."""
    colours = [OURS if ratio >= 1 else BEHIND for ratio in ratios]
    bars = panel.barh(names, [min(ratio, LONGEST) for ratio in ratios], height=0.7, color=colours)
    texts = panel.bar_label(bars, [written(ratio) for ratio in ratios], fontsize=8, padding=3)
    for text in texts:  # the line does not cross it out
        text.set(bbox={"color": "white", "pad": 0.5}, zorder=3)
    panel.axvline(1, color="#111827", linewidth=0.8, linestyle="--", zorder=2)
    panel.set_title(label, fontsize=9)
    panel.tick_params(labelsize=8, left=False)
    panel.spines[["top", "right", "left"]].set_visible(False)


def written(ratio: float) -> str:
    """Return a bar's label."""
    if ratio > LONGEST:
        return f"→ {ratio:.1f}"
    return f"{ratio:.2f}" if ratio else "not measured"


def shrink(path: Path) -> None:
    """Keep few colours: the picture is part of the repository."""
    with Image.open(path) as picture:
        small = picture.convert("RGB").quantize(32)
    small.save(path, optimize=True)


if __name__ == "__main__":
    main()
