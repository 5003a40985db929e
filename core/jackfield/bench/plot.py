"""Draw a benchmark's figures, for people who would rather see than read."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from jackfield.errors import ConfigError

__all__ = ["draw"]

OURS, THEIRS = "#2563eb", "#9ca3af"


def draw(results: dict[str, Any], path: Path) -> None:
    """Write a bar chart of every rate to a PNG file, with llama.cpp's beside where it was measured.

    Raises:
        ConfigError: matplotlib is not installed.
    """
    try:
        figures: Any = importlib.import_module("matplotlib.figure")
    except ImportError as error:
        raise ConfigError("--plot needs matplotlib; install it with pip install 'jackfield[plot]'") from error
    rows = _rows(results)
    figure = figures.Figure(figsize=(1.6 + 1.5 * len(rows), 4), layout="constrained")
    panels = figure.subplots(1, len(rows), squeeze=False)[0]
    for panel, (label, ours, theirs) in zip(panels, rows, strict=True):
        values = [ours] if theirs is None else [ours, theirs]
        bars = panel.bar(
            ["jackfield", "llama.cpp"][: len(values)], values, color=[OURS, THEIRS][: len(values)]
        )
        panel.bar_label(bars, fmt="%.0f")
        panel.set_title(label, fontsize=10)
        panel.spines[["top", "right"]].set_visible(False)
        panel.tick_params(axis="x", labelrotation=30, labelsize=8)
    panels[0].set_ylabel("tokens a second")
    figure.suptitle(f"{results['model']}, {results['threads']} threads, {results['machine']}", fontsize=11)
    figure.savefig(path, dpi=150)


def _rows(results: dict[str, Any]) -> list[tuple[str, float, float | None]]:
    peer = results.get("llama_cpp", {})
    rows = [
        (f"prefill {results['prefill']}", results["prefill_tokens_per_s"], peer.get("prefill_tokens_per_s")),
        ("decode", results["decode_tokens_per_s"], peer.get("decode_tokens_per_s")),
    ]
    for table, label in (("batch_tokens_per_s", "{} streams"), ("context_tokens_per_s", "decode at {}")):
        for key, value in results[table].items():
            rows.append((label.format(key), value, peer.get(table, {}).get(key)))
    return rows
