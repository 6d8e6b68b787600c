"""Run folders of every released version are still read, checked and derived anew."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

import quantrial
from quantrial.commands.verification.report import only_words
from quantrial.documents.codec import METHODS_VERSION

ROOT = Path(__file__).parents[1]
RELEASED = sorted((Path(__file__).parent / "data" / "released").iterdir())


@pytest.fixture(params=RELEASED, ids=lambda path: str(path.name))
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Path]:
    """The version that made a run, and a copy of that run; its report is left out for its size."""
    path: Path = request.param
    return path.name, Path(shutil.copytree(path, tmp_path / "run"))


def test_every_released_version_is_kept() -> None:
    headings = re.findall(r"^## (\S+)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    released = {name for name in headings if name not in ("Unreleased", quantrial.__version__)}
    assert released <= {path.name for path in RELEASED}
    assert "0.1.0" in {path.name for path in RELEASED}


@pytest.mark.parametrize("path", RELEASED, ids=lambda path: str(path.name))
def test_what_is_kept_is_small(path: Path) -> None:
    assert sum(file.stat().st_size for file in path.rglob("*") if file.is_file()) < 300_000


def test_what_it_says_is_verified(kept: tuple[str, Path]) -> None:
    version, run = kept
    summary = json.loads((run / "summary.json").read_text(encoding="utf-8"))
    assert summary["quantrial"] == version
    found = quantrial.verify(run)
    assert {drift.recorded for drift in found.drifts} <= {"missing"}
    files = {drift.file for drift in found.drifts}
    assert {name for name in files if not name.startswith(("report.", "plots/"))} == set()
    assert found.derived == (summary["methods_version"] == METHODS_VERSION)
    if version != quantrial.__version__:
        said = f"the run was made by quantrial {version}; this is {quantrial.__version__}"
        assert said in found.warnings


def test_an_edit_of_it_is_found(kept: tuple[str, Path]) -> None:
    _, run = kept
    path = run / "responses" / "sums.q8_0.jsonl"
    text = path.read_text(encoding="utf-8")
    assert '"output":"' in text
    path.write_text(text.replace('"output":"', '"output":"B', 1), encoding="utf-8")
    assert any("missing" not in str(drift.recorded) for drift in quantrial.verify(run).drifts)


@pytest.mark.filterwarnings("ignore::quantrial.errors.RecordWarning")  # of an early version
def test_it_is_derived_anew(kept: tuple[str, Path]) -> None:
    _, run = kept
    before = json.loads((run / "summary.json").read_text(encoding="utf-8"))
    quantrial.analyze(run)
    after = json.loads((run / "summary.json").read_text(encoding="utf-8"))
    assert after.pop("quantrial") == quantrial.__version__
    if before["methods_version"] == METHODS_VERSION:
        del before["quantrial"]
        assert only_words(before, after)
    quantrial.decide(run)
    quantrial.report(run)
    assert quantrial.verify(run).ok
