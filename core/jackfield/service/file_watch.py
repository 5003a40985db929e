"""Whether the files under a mapped model are still what they were."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

__all__ = ["FileWatch"]


class FileWatch:
    """Compare files with what they were when this was made.

    A path that now leads to another file, or to none, does no harm: the mapping keeps the old one. The same
    file with other contents does, because the engine computes with them from then on.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self._files = [(path, os.stat(path)) for path in paths]

    def damage(self) -> str | None:
        """Return what was done to a file, one sentence; ``None`` when nothing was."""
        for path, before in self._files:
            try:
                now = os.stat(path)
            except OSError:
                continue
            is_same_file = (now.st_dev, now.st_ino) == (before.st_dev, before.st_ino)
            if is_same_file and (now.st_size, now.st_mtime_ns) != (before.st_size, before.st_mtime_ns):
                return (
                    f"{path.name!r} was changed in place while it was served; put new files under new names"
                )
        return None
