from __future__ import annotations

import os
from pathlib import Path

import pytest

from quantrial.errors import RunFolderError
from reporting.trials import Trial, written

PLOTS = (
    *("equivalence", "errors", "flips", "flow", "forest", "pareto-memory", "pareto"),
    *("strata", "timeline"),
)


def test_the_report_and_its_plots_are_written(
    trial: Trial, documents: dict[str, str], tmp_path: Path
) -> None:
    paths = written(trial, tmp_path)
    assert paths.markdown.read_text(encoding="utf-8") == documents["report.md"]
    assert paths.html.read_text(encoding="utf-8") == documents["report.html"]
    assert sorted(p.name for p in paths.plots.iterdir()) == [
        "SHA256SUMS",
        *(f"{name}.{ending}" for name in PLOTS for ending in ("png", "svg")),
    ]
    assert set(paths.images) == set(paths.plots.iterdir()) - {paths.plots / "SHA256SUMS"}
    assert sorted(p.name for p in tmp_path.iterdir()) == ["plots", "report.html", "report.md"]


def test_writing_again_changes_no_byte(trial: Trial, tmp_path: Path) -> None:
    first = {p: p.read_bytes() for p in written(trial, tmp_path).images}
    again = {p: p.read_bytes() for p in written(trial, tmp_path).images}
    assert first == again


def test_a_folder_that_cannot_be_written_is_named(trial: Trial, tmp_path: Path) -> None:
    (tmp_path / "plots").write_text("in the way")
    with pytest.raises(RunFolderError, match=r"plots.*cannot be written"):
        written(trial, tmp_path)


def test_a_full_disk_leaves_what_was_there(
    trial: Trial, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "report.md").write_text("old")

    def full(*_: object, **__: object) -> object:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fdopen", full)
    with pytest.raises(RunFolderError, match="No space left"):
        written(trial, tmp_path)
    assert (tmp_path / "report.md").read_text() == "old"
    assert not [p for p in tmp_path.rglob("*") if p.name.startswith(".")]
