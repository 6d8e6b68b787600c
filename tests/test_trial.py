"""A study built in code, run without a folder."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import narwhals
import numpy as np
import pandas as pd
import pytest

import quantrial
from quantrial.documents import ScoreComparison, load_summary
from quantrial.errors import DataError, RunChangedError, StudyError
from quantrial.study import parse_study

N = 60
WRONG = {3, 5, 9, 11, 20, 44}  # what q4_0 gets wrong
ROWS = [{"question": f"number {i}", "gold": "4"} for i in range(N)]


def study(rows: Any = ROWS, **changes: Any) -> quantrial.Study:
    faults = [{"matching": f"number {i} ", "kind": "timeout", "times": 9} for i in (50, 51)]
    return quantrial.Study(
        **{
            "study": "sums",
            "reference": "f16",
            "margin": 0.1,
            "arms": {
                "f16": {"engine": "scripted", "model": "f16", "options": {"replies": ["4"]}},
                "q4_0": {
                    "engine": "scripted",
                    "model": "q4_0",
                    "options": {"replies": ["4"], "faults": changes.pop("faults", faults[:0])},
                },
            },
            "tasks": {
                "sums": {
                    "kind": "text",
                    "workload": "reasoning",
                    "source": {"type": "rows", "rows": rows},
                    "prompt": "{{ question }} please",
                    "score": ["exact", "similarity"],
                }
            },
        }
        | changes
    )


def wrong_on_some() -> list[dict[str, str]]:
    return [{**row, "gold": "5"} if i in WRONG else row for i, row in enumerate(ROWS)]


def test_nothing_is_left_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    monkeypatch.chdir(tmp_path)
    found = quantrial.trial(study())
    assert found.decision.default.arm in ("f16", "q4_0")
    assert [*tmp_path.rglob("*")] == [tmp_path / "temporary"]


def test_its_comparison_is_what_compare_scores_returns() -> None:
    found = quantrial.trial(study(wrong_on_some())).comparison()
    right = [float(i not in WRONG) for i in range(N)]
    other = quantrial.compare_scores(right, right, margin=0.1)
    assert type(found) is type(other) is ScoreComparison
    for arm, as_ in (("f16", "reference"), ("q4_0", "candidate")):
        assert found.arms[arm].estimate == other.arms[as_].estimate == pytest.approx(54 / 60)
        assert found.arms[arm].ci == other.arms[as_].ci
    assert found.contrast.ci == other.contrast.ci
    assert (found.verdict, found.margin) == (other.verdict, 0.1)
    assert found.turned is not None
    assert (found.turned.harmful, found.turned.beneficial) == (0, 0)
    assert "q4_0 − f16: 0.0 pp" in str(found)


def test_other_endpoints_and_names() -> None:
    found = quantrial.trial(study())
    assert found.comparison("sums", "q4_0", "similarity").turned is None
    with pytest.raises(StudyError, match="did you mean 'sums'"):
        found.comparison("sum")
    with pytest.raises(StudyError, match="there is: exact_match, similarity"):
        found.comparison(endpoint="accuracy")


def test_it_prints_in_a_notebook_and_as_text() -> None:
    found = quantrial.trial(study())
    assert found.decision.default.text in str(found)
    page = found._repr_html_()
    assert "<table>" in page
    assert "sums, exact match" in page


def test_a_data_frame_gives_the_rows() -> None:
    rows = wrong_on_some()
    frame = narwhals.from_dict(
        {key: [row[key] for row in rows] for key in rows[0]}, backend="pyarrow"
    ).to_native()
    found = quantrial.trial(study(frame)).comparison()
    assert found.arms["f16"].estimate == pytest.approx(54 / 60)


def test_what_is_no_row_is_refused_with_its_place() -> None:
    for wrong, said in (
        ({"question": object(), "gold": "4"}, "row 2: the field 'question' is a object, and no"),
        ({"question": {1}, "gold": "4"}, "row 2: the field 'question' is a set, and no"),
        ({"question": 2**70, "gold": "4"}, "row 2: cannot be written as JSON"),
        ({"question": "\ud800", "gold": "4"}, "row 2: cannot be written as JSON"),
        ({1: "a", "1": "b"}, "row 2: two fields have one name"),
        (3, "row 2: a row is a mapping of fields; got 3"),
    ):
        with pytest.raises(StudyError, match=rf"^tasks\.sums\.source\.rows: {said}"):
            study([ROWS[0], wrong])
    nothings: tuple[Any, ...] = ([], "x", None, {}, iter(ROWS))
    for nothing in nothings:
        with pytest.raises(StudyError, match=r"^tasks\.sums\.source"):
            study(nothing)
    with pytest.raises(DataError, match=r"rows of the study.*2.*'gold' is missing"):
        quantrial.trial(study([ROWS[0], {"question": "x"}]))


def test_a_key_that_is_wrong_is_named_with_the_nearest() -> None:
    with pytest.raises(StudyError, match=r"^refrence: unknown key; did you mean 'reference'"):
        study(refrence="f16")
    with pytest.raises(StudyError, match=r"^reference is 'f', which is not among the arms"):
        study(reference="f")


def test_values_of_numpy_and_pandas_are_those_of_json() -> None:
    frame = pd.DataFrame(
        {
            "question": [row["question"] for row in ROWS],
            "gold": np.arange(N),
            "when": pd.to_datetime(["2026-01-02"] * (N - 1) + [None]),
            "size": [1.5] * (N - 1) + [np.nan],
        }
    )
    plain = [
        {
            "question": row["question"],
            "gold": i,
            "when": "2026-01-02T00:00:00" if i < N - 1 else None,
            "size": 1.5 if i < N - 1 else None,
        }
        for i, row in enumerate(ROWS)
    ]
    numpy = [{**row, "gold": np.int64(i)} for i, row in enumerate(plain)]
    # the list or the frame may stand for the whole source, too
    bare = study().tasks["sums"].model_dump() | {"score": ["exact", "similarity"], "source": frame}
    made = [study(plain), study(frame), study(numpy), study(tasks={"sums": bare})]
    assert len({one.hash for one in made}) == 1
    assert study(plain[1:]).hash != made[0].hash


def test_rows_beyond_a_study_file_stand_in_it_by_their_hash(tmp_path: Path) -> None:
    long = [{**row, "note": "\0" + "word " * 2000} for row in wrong_on_some()]  # 600 kB
    run = tmp_path / "run"
    assert quantrial.run(study(long), out=run).faulted == 0
    assert (run / "study.yaml").stat().st_size < 5000
    summary = load_summary(quantrial.analyze(run))
    assert summary.tasks["sums"].main.arms["f16"].estimate == pytest.approx(54 / 60)
    # the same rows go on with it; others are another study; without any there is nothing to ask
    assert quantrial.run(study(long), out=run).asked == 0
    with pytest.raises(RunChangedError):
        quantrial.run(study(long[1:]), out=run)
    with pytest.raises(StudyError, match="in the memory of a program"):
        quantrial.run(run)


def test_rows_may_stand_in_a_study_file(tmp_path: Path) -> None:
    text = """
study: sums
reference: a
arms:
  a: {engine: scripted, model: a}
  b: {engine: scripted, model: b}
tasks:
  sums:
    kind: text
    workload: sums
    source: {type: rows, rows: [{question: 1 + 1, gold: 2}, {question: 2 + 2, gold: 4}]}
    prompt: "{{ question }}"
    score: [number]
"""
    (tmp_path / "study.yaml").write_text(text)
    assert quantrial.plan(tmp_path / "study.yaml").tasks[0].items == 2
    assert parse_study(text).tasks["sums"].source.type == "rows"


def test_an_answer_that_is_missing_counts_as_in_a_run() -> None:
    faults = [{"matching": "number 50 ", "kind": "context_overflow", "times": 9}]
    found = quantrial.trial(study(faults=faults)).comparison()
    assert found.contrast.n == N - 1
