"""What a kernel's code depends on: the source of its module and of all that it imports, and the compiler."""

from __future__ import annotations

import functools
import hashlib
import importlib
import platform
import re
import sys
from importlib.metadata import version
from pathlib import Path

import llvmlite

from jackfield_backends.cpu import isa

__all__ = ["compiler_digest", "source_digest"]

JIT = Path(__file__).with_name("jit.py")  # no kernel imports it
HERE = __name__.partition(".")[0]
# parsing the modules of a backend takes a third of a second; their import statements are plain
IMPORT = re.compile(r"^[ \t]*(?:from[ \t]+([\w.]+)[ \t]+)?import[ \t]+(\([^)]*\)|[^\n(]+)", re.MULTILINE)
WORD = re.compile(r"[\w.]+")


@functools.cache
def compiler_digest() -> str:
    """Return a hash of the compiler's versions, of what it is told, and of the processor it aims at."""
    facts = (
        version("numba"), llvmlite.__version__, JIT.read_text("utf-8"), sys.version, platform.machine(), sys.platform,
        isa.host_cpu(), *sorted(isa.host_features()),
    )  # fmt: skip
    return hashlib.sha256("\0".join(facts).encode()).hexdigest()[:16]


@functools.cache
def source_digest(module: str) -> str:
    """Return a hash of the module's source and of its imports', within this package and the module's own."""
    importlib.import_module(module)
    packages = (HERE, module.partition(".")[0])
    found: set[str] = set()
    pending = [module]
    while pending:
        name = pending.pop()
        if name not in found and name.partition(".")[0] in packages and _file(name) is not None:
            found.add(name)
            pending.extend(_imports(name))
    digest = hashlib.sha256()
    for name in sorted(found):
        digest.update(name.encode() + b"\0" + _source(name))
    return digest.hexdigest()[:16]


@functools.cache
def _source(module: str) -> bytes:
    file = _file(module)
    return b"" if file is None else file.read_bytes()


def _file(module: str) -> Path | None:
    found = getattr(sys.modules.get(module), "__file__", None)
    return None if found is None else Path(found)


@functools.cache
def _imports(module: str) -> frozenset[str]:
    """Return every name that the module's text says it imports; one too many only makes the hash more careful."""
    names: set[str] = set()
    for place, listed in IMPORT.findall(_source(module).decode()):
        found = WORD.findall(listed)
        names.update([place, *(f"{place}.{name}" for name in found)] if place else found)
    return frozenset(names)
