"""Run folders that another version analysed, and results that are older than what they rest on."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import quantrial
from quantrial.documents.codec import CHANGES, METHODS_VERSION
from quantrial.errors import QuantrialError, RecordWarning
from repetitions import repetitions
from studies import write_study


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("versions")
    run = quantrial.run(write_study(folder), out=folder / "run").folder
    quantrial.report(run)
    return run


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    shutil.copytree(finished, tmp_path / "run")
    return tmp_path / "run"


def edit(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    document = json.loads(path.read_text(encoding="utf-8"))
    change(document)
    path.write_text(json.dumps(document, indent=2), encoding="utf-8")


def older(summary: dict[str, Any]) -> None:
    """Make of a summary what the first version wrote: its rules gave another interval and p."""
    del summary["methods_version"], summary["quantrial"]
    first = summary["tasks"]["sums"]["endpoints"]["accuracy"]["contrasts"][1]
    first |= {"p_value": 0.9, "ci": [-0.9, 0.9], "verdict": "inconclusive"}
    del summary["statements"]


def found(run: Path) -> list[str]:
    """Return what verification finds: its drifts, or what it could not read."""
    try:
        return [str(drift) for drift in quantrial.verify(run).drifts]
    except QuantrialError as exc:
        return [str(exc)]


def test_every_version_of_the_methods_says_what_changed() -> None:
    assert max(CHANGES) == METHODS_VERSION
    assert sorted(CHANGES) == list(range(2, METHODS_VERSION + 1))


def test_the_version_is_written_in_the_summary(run: Path) -> None:
    summary = json.loads((run / "summary.json").read_text(encoding="utf-8"))
    assert summary["methods_version"] == METHODS_VERSION
    assert summary["quantrial"] == quantrial.__version__


def test_an_older_run_folder_holds_and_says_what_this_version_derives_otherwise(run: Path) -> None:
    edit(run / "summary.json", older)
    result = quantrial.verify(run)
    assert result.ok
    assert not result.derived
    (note,) = result.notes
    assert "version 1 of the methods" in note
    assert f"version {METHODS_VERSION}" in note
    assert CHANGES[METHODS_VERSION] in note
    assert "other numbers in tasks.sums.endpoints (4) and statements (1)" in note
    assert f"`quantrial analyze {run}`" in note


def test_a_newer_run_folder_is_none_of_an_editor_either(run: Path) -> None:
    edit(run / "summary.json", lambda d: d.update(methods_version=99, quantrial="9.9.0", alpha=0.1))
    result = quantrial.verify(run)
    assert result.ok
    (note,) = result.notes
    assert "version 99 of the methods (quantrial 9.9.0)" in note
    assert "since then" not in note
    assert "other numbers in alpha (1)" in note


@pytest.mark.parametrize("said", [0, "1", None, True, *repetitions(-1, 1.5, [1])])
def test_what_is_no_version_is_a_drift(run: Path, said: object) -> None:
    edit(run / "summary.json", lambda d: d.update(methods_version=said))
    (drift,) = quantrial.verify(run).drifts
    assert (drift.file, drift.key) == ("summary.json", "methods_version")


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("responses/sums.q4_0.jsonl", '"output":"A"', '"output":"B"'),
        ("responses/sums.q4_0.jsonl", '"output":"A"', '"output":"A "'),
        ("responses/names.f16.jsonl", '"order":1,', '"order":2,'),
        ("items.jsonl", '"gold":"A"', '"gold":"B"'),
        ("manifest.json", '"cores":', '"kernels":'),
        ("study.yaml", "margin: 0.05", "margin: 0.5"),
        ("study.yaml", "study: small", "study: small  # edited"),
    ],
)
def test_edited_inputs_of_an_older_run_folder_are_drifts(
    run: Path, name: str, old: str, new: str
) -> None:
    edit(run / "summary.json", older)
    text = (run / name).read_text(encoding="utf-8")
    if old not in text:
        old, new = '"order":', '"order":1'
    (run / name).write_text(text.replace(old, new, 1), encoding="utf-8")
    assert any(name in one for one in found(run))


@pytest.mark.parametrize(
    "name", ["decision.json", "report.md", "report.html", "plots/forest.png", "plots/SHA256SUMS"]
)
def test_a_missing_file_of_an_older_run_folder_is_a_drift(run: Path, name: str) -> None:
    edit(run / "summary.json", older)
    (run / name).unlink()
    assert [drift.file for drift in quantrial.verify(run).drifts] == [name]


def test_pictures_of_an_older_run_folder_have_their_hashes(run: Path) -> None:
    edit(run / "summary.json", older)
    image = run / "plots/forest.png"
    image.write_bytes(image.read_bytes() + b" ")
    assert [d.file for d in quantrial.verify(run).drifts] == ["plots/forest.png"]


def test_analyze_derives_an_older_run_folder_anew_and_says_what_changed(run: Path) -> None:
    now = (run / "summary.json").read_bytes()
    edit(run / "summary.json", older)
    with pytest.warns(RecordWarning) as caught:
        quantrial.analyze(run)
    (said,) = (str(one.message) for one in caught)
    assert "was made by version 1 of the methods" in said
    assert "numbers changed in tasks.sums.endpoints (4) and statements (1)" in said
    contrast = json.loads(now)["tasks"]["sums"]["endpoints"]["accuracy"]["contrasts"][1]
    word = contrast["verdict"].replace("_", "-")
    assert f"verdicts: {contrast['id']} was undecided and is {word}" in said
    assert (run / "summary.json").read_bytes() == now


@pytest.mark.parametrize("command", [quantrial.decide, quantrial.report])
def test_what_follows_from_an_older_summary_follows_from_a_new_one(
    run: Path, command: Callable[[Path], object]
) -> None:
    now = (run / "summary.json").read_bytes()
    edit(run / "summary.json", older)
    with pytest.warns(RecordWarning, match="derived anew by version"):
        command(run)
    assert (run / "summary.json").read_bytes() == now
    assert quantrial.verify(run).ok


def test_two_older_run_folders_are_compared_by_today_s_rules(run: Path, tmp_path: Path) -> None:
    edit(run / "summary.json", older)
    shutil.copytree(run, tmp_path / "second")
    with pytest.warns(RecordWarning, match="derived anew by version"):
        result = quantrial.compare(run, tmp_path / "second")
    assert result["runs"]["run"]["pick"] == result["runs"]["second"]["pick"]


def test_another_version_of_the_same_methods_may_word_things_otherwise(run: Path) -> None:
    def reworded(document: dict[str, Any]) -> None:
        for check in document.get("assay", ()):
            check["text"] = f"As an earlier version put it: {check['text']}"
        document |= {"quantrial": "0.0.9"} if "quantrial" in document else {}

    edit(run / "summary.json", reworded)
    result = quantrial.verify(run)
    assert any("summary.json was written by quantrial 0.0.9" in note for note in result.notes)
    # its numbers are held to the same rules as ever
    edit(run / "summary.json", lambda d: d.update(alpha=0.06))
    assert any(drift.key == "alpha" for drift in quantrial.verify(run).drifts)
    # and by this version, the same words are an edit
    edit(run / "summary.json", lambda d: d.update(alpha=0.05, quantrial=quantrial.__version__))
    assert any(drift.key.startswith("assay[0]") for drift in quantrial.verify(run).drifts)


@pytest.mark.parametrize("name", ["report.md", "report.html"])
def test_a_page_that_another_version_wrote_is_not_compared_and_that_is_said(
    run: Path, name: str
) -> None:
    path = run / name
    text = path.read_text(encoding="utf-8")
    here = f"quantrial {quantrial.__version__}, decision"
    assert text.count(here) == 1
    path.write_text(text.replace(here, "quantrial 0.0.9, decision"), encoding="utf-8")
    result = quantrial.verify(run)
    assert result.ok
    assert [note.split(" was ")[0] for note in result.notes] == [name]


def with_fewer_answers(run: Path) -> None:
    path = run / "responses/sums.q4_0.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    path.write_text("".join(lines[:-4]), encoding="utf-8")


@pytest.mark.usefixtures("undrawn")
def test_after_a_new_analysis_it_says_to_decide_and_report(run: Path) -> None:
    with_fewer_answers(run)
    quantrial.analyze(run)
    (drift,) = quantrial.verify(run).drifts
    assert str(drift) == (
        "decision.json: made_of: recorded an earlier summary.json, summary.json was analysed "
        f"since; `quantrial decide {run}`, then `quantrial report {run}`"
    )
    quantrial.decide(run)
    (drift,) = quantrial.verify(run).drifts
    assert str(drift) == (
        "report.md: decision: recorded an earlier one, decision.json was made since; "
        f"`quantrial report {run}` writes the report of that decision"
    )
    quantrial.report(run)
    assert quantrial.verify(run).drifts == ()


def test_a_new_analysis_keeps_the_constraints_in_what_to_run(run: Path) -> None:
    quantrial.decide(run, quantrial.Constraints(max_memory=150))
    with_fewer_answers(run)
    quantrial.analyze(run)
    (drift,) = quantrial.verify(run).drifts
    assert drift.remedy.startswith(f"`quantrial decide {run} --max-memory 150B`")


@pytest.mark.usefixtures("undrawn")
def test_answers_that_came_after_the_analysis_are_no_new_analysis(run: Path) -> None:
    with_fewer_answers(run)
    said = found(run)
    assert said[0].startswith("responses/sums.q4_0.jsonl: sha256: ")
    assert not any("analysed since" in one for one in said)


def test_a_report_of_an_early_version_says_so(run: Path) -> None:
    path = run / "report.md"
    text = path.read_text(encoding="utf-8")
    path.write_text(text[: text.rindex("\n[//]: # (quantrial")], encoding="utf-8")
    (drift,) = quantrial.verify(run).drifts
    assert (drift.file, drift.key, drift.recorded) == ("report.md", "decision", "none named")
    assert drift.remedy == f"`quantrial report {run}` writes the report of that decision"
