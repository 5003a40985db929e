"""Stop strings: the text before the first, with nothing shown that might still become one."""

from __future__ import annotations

from collections.abc import Sequence

from jackfield.text.literals import longest_partial

__all__ = ["StopStrings"]


class StopStrings:
    """Cuts one answer at the stop string that is complete first, however the text is cut into pieces.

    Of two that are complete at the same character, the longer one counts.
    """

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = [stop for stop in stops if stop]
        self._held = ""

    def feed(self, text: str) -> tuple[str, str | None]:
        """Take more text.

        Returns:
            The text that is safe to show, and the stop string that ended it, if one did.
        """
        text = self._held + text
        hit = self._first(text)
        if hit is not None:
            start, stop = hit
            self._held = ""
            return text[:start], stop
        keep = longest_partial(text, self._stops)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep], None

    def finish(self) -> str:
        """Return the text held back: it became no stop string."""
        held, self._held = self._held, ""
        return held

    def _first(self, text: str) -> tuple[int, str] | None:
        found = [(text.find(stop), stop) for stop in self._stops]
        hits = [(start + len(stop), start, stop) for start, stop in found if start >= 0]
        if not hits:
            return None
        _, start, stop = min(hits)
        return start, stop
