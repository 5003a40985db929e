"""The performance page shows what the kept results say."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
PAGES = ("README.md", "docs/performance.md")
LARGEST_PICTURE = 60_000


@pytest.fixture(scope="module")
def ratios() -> ModuleType:
    spec = importlib.util.spec_from_file_location("ratios", ROOT / "benchmarks/ratios.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("page", PAGES)
def test_its_picture_is_there_and_small(page: str):
    text = (ROOT / page).read_text(encoding="utf-8")
    (picture,) = re.findall(r"!\[[^]]+\]\(([^)]+\.png)\)", text)
    assert (ROOT / page).parent.joinpath(picture).stat().st_size < LARGEST_PICTURE


def test_the_table_is_that_of_the_results(ratios: ModuleType):
    found = ratios.results_in(ratios.RESULTS)
    assert found
    assert (ratios.RESULTS / "table.md").read_text(encoding="utf-8") == ratios.table(found)


def test_what_was_not_measured_is_left_open(ratios: ModuleType, tmp_path: Path):
    name, results = next(iter(ratios.results_in(ratios.RESULTS).items()))
    results |= {"busy": {}, "guessing": {}, "ratios": {**results["ratios"], "busy": {}}}
    (tmp_path / f"{name}.json").write_text(json.dumps(results))
    row = ratios.table(ratios.results_in(tmp_path)).splitlines()[-1]
    assert row.startswith(f"| {name} |")
    assert row.count("| – ") == 3
    pytest.importorskip("matplotlib", reason="pictures need matplotlib")
    ratios.draw(ratios.results_in(tmp_path), tmp_path / "ratios.png")
    assert (tmp_path / "ratios.png").read_bytes().startswith(b"\x89PNG")
