"""The hooks page has one section for each hook, headed by its signature."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

from jackfield import hooks

PAGE = Path(__file__).parents[2] / "docs" / "hooks.md"


def specifications() -> dict[str, str]:
    """Return each hook's heading as the page must spell it."""
    found: dict[str, str] = {}
    for name, function in vars(hooks).items():
        if name.startswith("jackfield_"):
            signature = inspect.signature(function)
            parameters = ", ".join(f"{p.name}: {p.annotation}" for p in signature.parameters.values())
            found[name] = f"{name}({parameters}) -> {signature.return_annotation}"
    return found


def headings() -> list[str]:
    return re.findall(r"^### `(jackfield_[^`]+)`$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)


def test_every_hook_heads_a_section_with_its_signature_in_calling_order() -> None:
    assert headings() == list(specifications().values())


def test_every_example_a_hook_names_is_a_module_that_implements_it() -> None:
    for name in specifications():
        documentation = inspect.getdoc(getattr(hooks, name)) or ""
        module_name = re.search(r"Example: ``([\w.]+)``", documentation)
        assert module_name, name
        module = __import__(module_name[1], fromlist=["_"])
        assert hasattr(getattr(module, name), "jackfield_impl"), f"{module_name[1]} lacks {name}"
