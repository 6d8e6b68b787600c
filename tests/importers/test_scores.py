"""Scores from elsewhere: rows to a run, its numbers by hand, and what verify holds them against."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

import quantrial
from quantrial.cli import app
from quantrial.documents import TaskSummary, load_summary
from quantrial.errors import DataError, RecordError, StudyError
from quantrial.importers import ImportReport, import_answers
from quantrial.importers.scores import ScoreOptions
from quantrial.runfolder import RunFolder

N = 40
Row = dict[str, Any]


def rows() -> Iterator[Row]:
    """Yield 40 items of two arms; q4_0 is worse on every fifth one, and has no score of item 39."""
    for i in range(N):
        for arm in ("q4_0", "f16"):
            worse = arm == "q4_0" and i % 5 == 0
            score = None if (arm, i) == ("q4_0", 39) else 0.25 if worse else 0.75
            yield {
                "id": f"t{i}",
                "arm": arm,
                "helpful": score,
                "solved": int(not worse),
                "user": f"u{i % 8}",
                "scored_by": "Ann" if i % 2 else "Bo",
            }


def write(path: Path, lines: Any) -> Path:
    path.write_text("".join(json.dumps(one) + "\n" for one in lines), encoding="utf-8")
    return path


def read(path: Path, **options: Any) -> ImportReport:
    return import_answers("scores", path, path.parent / "run", options=ScoreOptions(**options))


def analysed(folder: Path) -> Mapping[str, TaskSummary]:
    return load_summary(quantrial.analyze(folder)).tasks


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recorded")
    found = read(write(folder / "ratings.jsonl", rows()), margin="5pp", cluster="user")
    assert found.arms == ("f16", "q4_0")
    assert found.notes == ("ratings: 1 row has no score and counts as a missing answer.",)
    quantrial.analyze(found.folder)
    quantrial.decide(found.folder)
    quantrial.report(found.folder)
    return found.folder


def test_the_numbers_follow_from_the_rows_by_hand(run: Path) -> None:
    task = analysed(run)["ratings"]
    assert task.primary == "helpful"
    assert list(task.endpoints) == ["helpful", "solved"]
    helpful = task.endpoints["helpful"].contrasts[0]
    # 8 of the 39 items that both have a score of lost half a point
    assert helpful.n == 39
    assert helpful.estimate == pytest.approx(-0.5 * 8 / 39)
    solved = task.endpoints["solved"].arms
    assert solved["f16"].estimate == 1.0
    assert solved["q4_0"].estimate == pytest.approx(31 / 39)
    assert helpful.ci_method == "score-clusters"


def test_texts_that_were_not_recorded_are_no_empty_answers(run: Path) -> None:
    task = analysed(run)["ratings"]
    assert {one.endpoint for one in task.failure_contrasts} == set()
    assert task.failure_modes["f16"].texts.empty.n == 0
    said = (run / "report.md").read_text(encoding="utf-8")
    assert "empty answers" not in said
    assert "of 40 answers" not in said


def test_the_report_says_who_gave_the_scores_and_how_to_make_it_again(run: Path) -> None:
    said = (run / "report.md").read_text(encoding="utf-8")
    assert "quantrial import scores PATH -o RUN" in said
    assert "scored elsewhere. Others may give another result." in said
    page = (run / "report.html").read_text(encoding="utf-8")
    assert "scored by" in page
    assert "Bo, Ann" in page
    # a mean of ratings counts no wrong answers
    assert "wrong than f16" not in said


def test_verify_holds_scores_against_the_file_that_they_came_from(run: Path) -> None:
    assert quantrial.verify(run).ok
    copy, path = run / "origin" / "ratings.jsonl", run / "responses" / "ratings.q4_0.jsonl"
    kept, responses, summary = (one.read_bytes() for one in (copy, path, run / "summary.json"))
    try:
        # scores edited in the run, and everything derived anew
        path.write_bytes(responses.replace(b'"helpful":0.25', b'"helpful":0.75', 1))
        quantrial.analyze(run)
        quantrial.decide(run)
        quantrial.report(run)
        (drift,) = quantrial.verify(run).drifts
        assert drift.file == "responses/ratings.q4_0.jsonl"
        assert "item t0: scores" in str(drift)
        path.write_bytes(responses)
        (run / "summary.json").write_bytes(summary)
        copy.write_bytes(kept.replace(b"0.25", b"0.35", 1))
        assert "origin/ratings.jsonl" in {one.file for one in quantrial.verify(run).drifts}
        copy.unlink()
        assert any("came from it" in str(one) for one in quantrial.verify(run).drifts)
    finally:
        copy.write_bytes(kept)
        path.write_bytes(responses)
        quantrial.analyze(run)
        quantrial.decide(run)
        quantrial.report(run)


@pytest.mark.parametrize("source", [None, {"files": {}}])
def test_a_manifest_without_the_hash_of_the_file_is_told(run: Path, source: Any) -> None:
    kept = (run / "manifest.json").read_bytes()
    manifest = json.loads(kept)
    manifest["tasks"]["ratings"]["source"] = source
    try:
        (run / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
        drifts = quantrial.verify(run).drifts
        assert "tasks.ratings.source.files" in {one.key for one in drifts}
    finally:
        (run / "manifest.json").write_bytes(kept)


def test_csv_gives_the_same_as_jsonl(run: Path, tmp_path: Path) -> None:
    path = tmp_path / "ratings.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, list(next(rows())))
        table.writeheader()
        table.writerows(rows())
    words = f"import scores {path} -o {tmp_path / 'run'} --margin 5pp --cluster user"
    found = CliRunner().invoke(app, [*words.split(), "--score", "helpful", "--score", "solved"])
    assert found.exit_code == 0, found.output
    assert analysed(tmp_path / "run")["ratings"].endpoints == analysed(run)["ratings"].endpoints


STUDY = """
study: edits
reference: base
margin: 1pp
arms: {base: {engine: imported, model: base}, small: {engine: imported, model: small}}
tasks:
  letters:
    kind: recorded
    workload: letters
    source: {type: imported, layout: scores}
    margin: 1 edits
    endpoints:
      edits: {type: mean, range: [0, 50], direction: lower, unit: edits}
      field_f1: {type: ratio, numerator: {tp: 2}, denominator: {tp: 2, fp: 1, fn: 1}}
"""


def test_a_study_declares_units_and_ratios(tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text(STUDY, encoding="utf-8")
    counts = {"base": (1, 0, 1), "small": (1, 1, 1)}
    lines = [
        {"id": i, "arm": arm, "edits": i % 4 + (arm == "small"), "output": f"Dear {i}"}
        | dict(zip(("tp", "fp", "fn"), counts[arm], strict=True))
        for i in range(30)
        for arm in counts
    ]
    found = read(write(tmp_path / "x.jsonl", lines), study=tmp_path / "study.yaml", scored_by="Ed")
    task = analysed(found.folder)["letters"]
    edits = task.endpoints["edits"].contrasts[0]
    assert edits.estimate == pytest.approx(1.0)
    assert (edits.unit, edits.direction) == ("edits", "lower")
    assert task.endpoints["field_f1"].arms["base"].estimate == pytest.approx(2 / 3)
    assert task.endpoints["field_f1"].arms["small"].estimate == pytest.approx(1 / 2)
    response = RunFolder(found.folder).read_responses("letters", "small")[3]
    assert (response.scored_by, response.output) == ("Ed", "Dear 3")
    assert task.failure_modes["small"].texts.empty.n == 30


def changed(at: int, **values: Any) -> list[Row]:
    found = list(rows())
    found[at] |= values
    return [{k: v for k, v in row.items() if v is not ...} for row in found]


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        (changed(3, id=...), r"line 4: 'id' is missing"),
        (changed(3, arm=None), r"line 4: 'arm' is missing"),
        (changed(3, id=True), r"line 4: 'id' is True"),
        (changed(3, id="t0"), r"line 4: scores item 't0' of 'f16' again; line 2 did"),
        (changed(3, helpful="good"), r"line 4: 'helpful' is 'good', and no number"),
        (changed(3, helpful=10**400), r"line 4: not valid JSON \(number is infinity"),
        (changed(3, helpful=math.nan), r"line 4: not valid JSON"),
        (changed(3, helpful=2), r"'helpful' goes from 0.25 to 2: declare its range and unit"),
        (changed(3, scored_by=3), r"line 4: 'scored_by' is 3"),
        (changed(3, user=...), r"'t1' has no 'user' that all its rows agree on"),
        ([{"id": 1, "arm": "f16", "note": "fine"}], "no column holds scores; there is id, arm"),
        ([{"id": 1, "arm": "f16", "x": 1}], "a comparison needs at least two arms"),
        ([["f16"]], "expected a JSON object"),
    ],
)
def test_rows_that_are_none_are_refused(tmp_path: Path, lines: Any, problem: str) -> None:
    with pytest.raises((DataError, RecordError, StudyError), match=problem):
        read(write(tmp_path / "x.jsonl", lines), cluster="user" if len(lines) > 1 else None)
    assert not (tmp_path / "run").exists()


def test_no_number_is_refused_in_csv(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("id,arm,x\n1,f16,1\n1,q8,nan\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"line 3: 'x' is nan"):
        read(path)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"reference": "f8"}, "no arm 'f8'; the arms are: q4_0, f16"),
        ({"scores": ("helpfull",)}, "no row has 'helpfull'; did you mean 'helpful'"),
        ({"margin": "lots"}, "margin"),
    ],
)
def test_options_that_fit_no_row_are_refused(
    tmp_path: Path, options: dict[str, Any], problem: str
) -> None:
    with pytest.raises(StudyError, match=problem):
        read(write(tmp_path / "x.jsonl", rows()), **options)


def test_a_score_out_of_its_declared_range_is_refused(tmp_path: Path) -> None:
    (tmp_path / "study.yaml").write_text(STUDY, encoding="utf-8")
    row = {"id": 1, "arm": "base", "edits": 51, "tp": 1, "fp": 0, "fn": 0}
    path = write(tmp_path / "x.jsonl", [row, row | {"arm": "small", "edits": 1}])
    with pytest.raises(DataError, match=r"line 1: 'edits' is 51; the study says 0 to 50"):
        read(path, study=tmp_path / "study.yaml")
    with pytest.raises(StudyError, match="reference: stands in the study file already"):
        read(path, study=tmp_path / "study.yaml", reference="base")


@settings(max_examples=12, deadline=None)
@given(st.lists(st.booleans(), min_size=1, max_size=12))
def test_property_the_estimate_is_the_share(tmp_path_factory: Any, solved: list[bool]) -> None:
    folder = tmp_path_factory.mktemp("property")
    lines = [
        {"id": i, "arm": arm, "solved": one if arm == "q4_0" else True}
        for i, one in enumerate(solved)
        for arm in ("f16", "q4_0")
    ]
    found = read(write(folder / "x.jsonl", lines))
    arms = analysed(found.folder)["x"].endpoints["solved"].arms
    assert arms["q4_0"].estimate == pytest.approx(sum(solved) / len(solved))
