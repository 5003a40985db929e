"""Draw a benchmark's figures, for people who would rather see than read."""

from __future__ import annotations

import importlib
import itertools
from pathlib import Path
from typing import Any

from jackfield.bench.profile_report import shares_of
from jackfield.bench.report import machine_of, rows_of
from jackfield.errors import ConfigError

__all__ = ["draw"]

OURS, THEIRS = "#2563eb", "#9ca3af"
PRODUCTS = ("#1e3a8a", "#1d4ed8", "#3b6fe0", "#4f83e8", "#6a97ee", "#84aaf2")
OTHERS = ("#f59e0b", "#10b981", "#8b5cf6", "#14b8a6", "#ec4899", "#84cc16", "#a16207", "#64748b", "#0f766e")
PYTHON = {"sampling": "#fca5a5", "Python": "#dc2626"}
LABELLED = 0.03
"""Share from which on a part has room for its figure."""


def draw(results: dict[str, Any], path: Path) -> None:
    """Write a bar chart of every rate to a PNG file, with llama.cpp's beside where it was measured.

    Raises:
        ConfigError: matplotlib is not installed.
    """
    try:
        figures: Any = importlib.import_module("matplotlib.figure")
    except ImportError as error:
        raise ConfigError("--plot needs matplotlib; install it with pip install 'jackfield[plot]'") from error
    rows, profiles = rows_of(results), results.get("profile", [])
    height = 1.2 + 0.9 * max(2, len(profiles)) if profiles else 0.01
    figure = figures.Figure(figsize=(max(9.0, 1.6 + 1.5 * len(rows)), 3.6 + height), layout="constrained")
    upper, lower = figure.subfigures(2, 1, height_ratios=[3.6, height])
    _draw_rates(upper, [(label, ours, theirs) for label, ours, theirs, _ in rows])
    if profiles:
        _draw_profiles(lower, profiles)
    figure.suptitle(f"{results['model']}, {machine_of(results)}", fontsize=10)
    figure.savefig(path, dpi=150)


def _draw_rates(figure: Any, rows: list[tuple[str, float, float | None]]) -> None:
    panels = figure.subplots(1, len(rows), squeeze=False)[0]
    for panel, (label, ours, theirs) in zip(panels, rows, strict=True):
        values = [ours] if theirs is None else [ours, theirs]
        bars = panel.bar(
            ["jackfield", "llama.cpp"][: len(values)], values, width=0.6, color=[OURS, THEIRS][: len(values)]
        )
        panel.bar_label(bars, fmt="%.0f", padding=2)
        panel.set_xlim(-0.7, len(values) - 0.3)
        panel.margins(y=0.12)
        panel.set_title(label, fontsize=10)
        panel.spines[["top", "right"]].set_visible(False)
        panel.tick_params(axis="x", labelsize=8)
    panels[0].set_ylabel("tokens a second")


def _draw_profiles(figure: Any, profiles: list[dict[str, Any]]) -> None:
    """Draw a bar for each profile: shares of the step, side by side."""
    panel = figure.subplots()
    colours = _colours(profiles)
    for place, profile in enumerate(reversed(profiles)):
        left = 0.0
        for what, share in shares_of(profile):
            panel.barh(
                place, share, left=left, color=colours[what], height=0.6, edgecolor="white", linewidth=0.5
            )
            if share >= LABELLED:
                panel.text(
                    left + share / 2,
                    place,
                    f"{share:.0%}",
                    ha="center",
                    va="center",
                    fontsize=8,
                    color="white",
                )
            left += share
    labels = [f"{profile['phase']}\n{1e3 * profile['step_s']:.1f} ms" for profile in reversed(profiles)]
    panel.set_yticks(range(len(profiles)), labels)
    panel.set_xlim(0, 1)
    panel.xaxis.set_major_formatter(importlib.import_module("matplotlib.ticker").PercentFormatter(1.0))
    panel.spines[["top", "right"]].set_visible(False)
    panel.set_title("where the time goes", fontsize=10)
    handles = [
        importlib.import_module("matplotlib.patches").Patch(color=c, label=w) for w, c in colours.items()
    ]
    panel.legend(handles=handles, fontsize=8, loc="upper left", bbox_to_anchor=(1, 1), frameon=False)


def _colours(profiles: list[dict[str, Any]]) -> dict[str, str]:
    """Give products shades of one colour, and everything else a colour of its own; the largest come first."""
    largest: dict[str, float] = {}
    for what, share in itertools.chain.from_iterable(map(shares_of, profiles)):
        largest[what] = max(share, largest.get(what, 0.0))
    names = sorted(largest, key=lambda name: -largest[name])
    products = [name for name in names if name.startswith(("linear ", "experts "))]
    others = [name for name in names if name not in products and name not in PYTHON]
    return {
        **dict(zip(products, itertools.cycle(PRODUCTS), strict=False)),
        **dict(zip(others, itertools.cycle(OTHERS), strict=False)),
        **PYTHON,
    }
