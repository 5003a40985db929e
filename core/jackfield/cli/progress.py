"""A progress bar for loading: what is being done now, and how far it is."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

__all__ = ["LoadProgress"]


class LoadProgress:
    """Shows a bar on a terminal, and nothing where standard error is none or ``quiet`` is set."""

    def __init__(self, title: str, *, quiet: bool = False) -> None:
        console = Console(stderr=True)
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            disable=quiet or not console.is_terminal,
        )
        self._task = self._progress.add_task(title, total=None)

    def report(self, what: str, done: int, total: int) -> None:
        """Show a step; safe to call from any thread."""
        self._progress.update(self._task, description=what, completed=done, total=total or None)

    def stop(self) -> None:
        """Take the bar away; what is printed from now on stays."""
        self._progress.stop()

    def __enter__(self) -> LoadProgress:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
