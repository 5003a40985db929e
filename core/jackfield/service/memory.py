"""How much memory this process may still take: the machine's, or the container's when that is less."""

from __future__ import annotations

import os
import sys
from pathlib import Path

__all__ = ["available_memory_bytes", "resident_memory_bytes"]

MEMINFO = Path("/proc/meminfo")
STATM = Path("/proc/self/statm")
CGROUP = Path("/sys/fs/cgroup")


def available_memory_bytes() -> int | None:
    """Return the bytes that can be taken without swapping; ``None`` where the system does not say."""
    known = [size for size in (_machine_bytes(), _container_bytes()) if size is not None]
    return min(known, default=None)


def resident_memory_bytes() -> int | None:
    """Return this process's resident bytes; ``None`` where the system does not say."""
    try:
        return int(STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, AttributeError, IndexError):
        return None


def _machine_bytes() -> int | None:
    if sys.platform == "win32":
        return None
    try:
        for line in MEMINFO.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        pass
    return _physical_bytes()


def _physical_bytes() -> int | None:
    """Return the machine's whole memory: what systems without ``/proc`` tell."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, AttributeError):
        return None


def _container_bytes() -> int | None:
    """Return what a version 2 control group leaves; ``None`` without one, or without a limit."""
    try:
        limit = (CGROUP / "memory.max").read_text().strip()
        used = (CGROUP / "memory.current").read_text().strip()
        return None if limit == "max" else max(0, int(limit) - int(used))
    except (OSError, ValueError):
        return None
