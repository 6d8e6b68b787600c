"""The embedded engine with several slots, which the design asks for and arms need not repeat."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import quantrial
from running.test_killed import small_embedded_study


@pytest.mark.model
def test_slots_of_the_design_reach_the_engine(tmp_path: Path) -> None:
    study = small_embedded_study(tmp_path, design={"slots": 3, "repeat_reference": 2})
    result = quantrial.run(study, out=tmp_path / "run")
    assert (result.recorded, result.faulted) == (result.planned, 0)
    manifest = json.loads((tmp_path / "run/manifest.json").read_text())
    assert manifest["design"]["slots"] == 3
    assert {arm["options"]["slots"] for arm in manifest["arms"].values()} == {3}
    # what it costs in sameness is measured, whatever it is
    assert quantrial.analyze(tmp_path / "run")["tasks"]["quiz"]["repeats"]["n"] == 2
