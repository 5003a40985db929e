"""List every installed plugin: what it declares, its version, its state, and why it is not loaded."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict

from rich.console import Console
from rich.table import Table

from jackfield.host import Host, PluginReport

__all__ = ["add_arguments", "execute"]

STATE_STYLES = {"loaded": "green", "blocked": "yellow", "failed": "bold red"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("--json", action="store_true", help="print one JSON array instead of a table")
    parser.add_argument("--verbose", action="store_true", help="print the traceback of plugins that failed")


def execute(arguments: argparse.Namespace) -> int:
    """Print the report; status 1 when a plugin failed."""
    reports = Host().report()
    if arguments.json:
        print(json.dumps([asdict(report) for report in reports], indent=2))
    else:
        _print_table(reports, verbose=arguments.verbose)
    return int(any(report.state == "failed" for report in reports))


def _print_table(reports: list[PluginReport], *, verbose: bool) -> None:
    console = Console()
    table = Table(box=None, pad_edge=False)
    for heading in ("plugin", "distribution", "version", "state", "declares"):
        table.add_column(heading, overflow="fold")
    for report in reports:
        style = STATE_STYLES[report.state]
        what = report.reason or ", ".join(report.declares) or ", ".join(report.hooks)
        table.add_row(report.name, report.distribution, report.version, f"[{style}]{report.state}[/]", what)
    console.print(table)
    for report in reports:
        if verbose and report.traceback:
            console.print(f"\n{report.name}:\n{report.traceback}", markup=False)
