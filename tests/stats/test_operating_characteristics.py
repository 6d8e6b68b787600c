"""A small grid of the benchmark that shows coverage and error rates, run on every test."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

PATH = Path(__file__).parents[2] / "benchmarks" / "operating_characteristics.py"


@pytest.fixture(scope="module")
def oc() -> ModuleType:
    spec = importlib.util.spec_from_file_location("operating_characteristics", PATH)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # its dataclasses look themselves up
    spec.loader.exec_module(module)
    return module


def verdicts(oc: ModuleType, cells: list[Any]) -> list[tuple[str, float, bool | None]]:
    lines = [oc.measure(cell) for cell in cells]
    return [
        (f"{name} {where}", value, holds) for _, name, value, holds, where in oc.verdicts(lines)
    ]


def test_proportions_by_enumeration_keep_every_promise(oc: ModuleType) -> None:
    cells = [
        oc.Cell("proportions", "", n, rate, truth)
        for n in (50, 100, 300, 499)
        for rate in (0.01, 0.05, 0.2)
        for truth in (0.0, -rate / 2, -rate, rate)
    ]
    found = verdicts(oc, cells)
    assert len(found) > 80
    assert [one for one in found if one[2] is not True] == []


def test_f1_and_families_against_simulation_keep_their_promise(oc: ModuleType) -> None:
    cells = [
        oc.Cell("f1", "real", 300, 32 / 300, replications=400),
        oc.Cell("f1-null", "real", 300, 32 / 300, replications=300),
        oc.Cell("familywise", "", 499, 0.05, replications=400),
    ]
    found = verdicts(oc, cells)
    assert [one for one in found if one[2] is not True] == []


def test_a_cell_beyond_its_limit_is_told(oc: ModuleType) -> None:
    cell = {"family": "familywise", "kind": "", "n": 100, "rate": 0.1, "replications": 10_000}
    table, failures = oc.summed_up([{"cell": cell, "figures": {"family-wise error": 0.08}}])
    assert table[0].holds == "0/1"
    assert failures[0].startswith("familywise: family-wise error 0.0800 at")
