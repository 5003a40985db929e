"""Draw a benchmark's figures, for people who would rather see than read."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from jackfield.bench.report import rows_of
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
    rows = [(label, ours, theirs) for label, ours, theirs, _ in rows_of(results)]
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
