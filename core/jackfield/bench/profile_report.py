"""Profiles as tables for people."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

from jackfield.backend import MachineRates
from jackfield.bench.profile import WHOLE

__all__ = ["print_profiles", "shares_of"]

GIGA = 1e9
OTHERS = {"sampling": "sampling", "python": "Python"}
"""What a step consists of beside the backend's calls, and how it is shown."""


def shares_of(profile: dict[str, Any]) -> list[tuple[str, float]]:
    """Return (what, share of the step) of all parts, longest first, then of what is not the backend's."""
    parts = [(part["what"], part["share"]) for part in profile["parts"]]
    return parts + [(shown, profile[f"{name}_share"]) for name, shown in OTHERS.items()]


def print_profiles(results: dict[str, Any]) -> None:
    """Print the profiles of a benchmark's results."""
    console = Console()
    for profile in results["profile"]:
        console.print()
        console.print(_heading(profile))
        console.print(_table(profile))
    if "read_bytes_per_s" in results:
        rates = MachineRates(results["read_bytes_per_s"], results["int8_ops_per_s"])
        console.print(
            f"at best this machine reads {rates.read_bytes_per_s / GIGA:.1f} GB/s"
            f" and does {rates.int8_ops_per_s / GIGA:.0f} GOPS in int8"
        )
    if any(part["what"] == WHOLE for profile in results["profile"] for part in profile["parts"]):
        console.print(f"backend {results['backend']!r} does not time its calls, so its steps are shown whole")


def _heading(profile: dict[str, Any]) -> str:
    rows, step_ms = profile["rows"], 1e3 * profile["step_s"]
    native_ms, by_call_ms = 1e3 * profile["native_s"], 1e3 * profile["by_call_s"]
    return (
        f"[bold]{profile['phase']}[/bold]: {rows} token{'s' * (rows > 1)} in {step_ms:.2f} ms;"
        f" calls {native_ms:.2f} ms, one by one {by_call_ms:.2f} ms"
    )


def _table(profile: dict[str, Any]) -> Table:
    table = Table(box=None)
    for name in ("where the time goes", "ms", "share", "calls", "GB/s", "GOPS"):
        table.add_column(name, justify="left" if name.startswith("where") else "right")
    for part in profile["parts"]:
        rates = [_text(part["read_bytes_per_s"], 1), _text(part["ops_per_s"], 0)]
        table.add_row(part["what"], *_time(part["seconds"], part["share"]), str(part["calls"]), *rates)
    for name, shown in OTHERS.items():
        table.add_row(shown, *_time(profile[f"{name}_s"], profile[f"{name}_share"]), "", "", "")
    return table


def _time(seconds: float, share: float) -> tuple[str, str]:
    return f"{1e3 * seconds:.3f}", f"{share:.1%}"


def _text(rate: float, digits: int) -> str:
    return f"{rate / GIGA:.{digits}f}" if rate else ""
