"""Test runs of DeepEval: files with the names of its models in JSON, and what traps end in."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import quantrial
from quantrial.errors import DataError
from quantrial.importers import LogOptions
from quantrial.importers.auto import guess
from quantrial.runfolder import RunFolder


def metric(
    score: float | None, *, name: str = "Correctness [GEval]", **more: Any
) -> dict[str, Any]:
    passed = score is not None and score >= 0.5
    own = {"name": name, "threshold": 0.5, "success": passed, "score": score, "reason": "so"}
    return own | {"strictMode": False, "evaluationModel": "judge", "evaluationCost": 0} | more


def case(number: int, score: float | None, **more: Any) -> dict[str, Any]:
    metrics = [metric(score)]
    return {
        "name": f"test_case_{number}",
        "input": f"Question {number}?",
        "actualOutput": f"Answer {score}",
        "expectedOutput": f"Gold {number}",
        "success": all(one["success"] for one in metrics),
        "metricsData": metrics,
        "runDuration": 0.5,
        "order": number,
        "metadata": {"kind": "easy"},
    } | more


def written(path: Path, cases: Sequence[Any], **more: Any) -> Path:
    whole = {"testFile": None, "testCases": list(cases), "conversationalTestCases": [], **more}
    path.write_text(json.dumps(whole | {"metricsScores": [], "runDuration": 3.5}))
    return path


def scores(folder: Path, arm: str) -> list[dict[str, Any] | None]:
    found = RunFolder(folder).read_responses("cases", arm, known=None)
    return [None if one.scores is None else dict(one.scores) for one in found]


def test_cases_are_paired_by_their_inputs_in_any_order(tmp_path: Path) -> None:
    a = written(tmp_path / "a.json", [case(n, 1.0) for n in range(4)])
    # the numbers of cases are those of this run
    moved = [case(3 - n, 0.25 if n == 1 else 0.75, name=f"test_case_{n}") for n in range(4)]
    b = written(tmp_path / "b.json", moved)
    options = LogOptions(stratify="kind")
    report = quantrial.read_log("deepeval", {"f16": a, "q4": b}, tmp_path / "run", options=options)
    found = RunFolder(report.folder).read_responses("cases", "q4", known=None)
    assert {one.item[:10]: (one.scores or {})["success"] for one in found} == {
        "Question-0": 1.0,
        "Question-1": 1.0,
        "Question-2": 0.0,
        "Question-3": 1.0,
    }
    assert "success was scored by DeepEval of unknown version, 8 of 8 derived again" in "\n".join(
        report.notes
    )


def test_flaky_metrics_do_not_decide_and_edited_scores_are_said(tmp_path: Path) -> None:
    flaky = metric(0.0, name="Style", flaky=True)
    rows = [case(n, 1.0) for n in range(3)]
    for row in rows:
        row["metricsData"].append(flaky)
    a = written(tmp_path / "a.json", rows)
    rows[0]["success"] = False
    b = written(tmp_path / "b.json", rows)
    report = quantrial.read_log("deepeval", {"f16": a, "q4": b}, tmp_path / "run")
    assert "1 scores of success are not those that the answers give" in "\n".join(report.notes)
    assert scores(report.folder, "f16")[0] == {
        "success": 1.0,
        "Correctness_GEval_": 1.0,
        "Style": 0.0,
    }


def test_metrics_that_were_not_measured_leave_a_case_unscored(tmp_path: Path) -> None:
    a = written(tmp_path / "a.json", [case(n, 1.0) for n in range(3)])
    rows = [case(n, 1.0) for n in range(3)]
    rows[1] |= {"metricsData": [metric(None, error="timeout \x1b[31m")], "success": False}
    b = written(tmp_path / "b.json", rows)
    report = quantrial.read_log("deepeval", {"f16": a, "q4": b}, tmp_path / "run")
    assert len(scores(report.folder, "q4")) == 2
    notes = "\n".join(report.notes)
    assert "b.json: 1 of 3 cases have a metric that was not measured" in notes
    assert "cases: q4 has 1 answer without a score" in notes


def test_thresholds_tell_of_which_metrics_fewer_is_better(tmp_path: Path) -> None:
    rows = [case(n, 1.0) for n in range(3)]
    for row in rows:  # bias passes below its threshold
        row["metricsData"].append(metric(0.1, name="Bias", success=True))
    path = written(tmp_path / "a.json", rows)
    report = quantrial.read_log("deepeval", {"f16": path, "q4": path}, tmp_path / "run")
    study = (report.folder / "study.yaml").read_text()
    assert study.count("direction: lower") == 1
    assert study.index("Bias") < study.index("direction: lower")


def test_equal_inputs_are_samples_unless_what_is_right_differs(tmp_path: Path) -> None:
    rows = [case(0, 1.0), case(0, 0.0), case(1, 1.0), case(1, 1.0, expectedOutput="Other")]
    path = written(tmp_path / "a.json", rows)
    report = quantrial.read_log("deepeval", {"f16": path, "q4": path}, tmp_path / "run")
    found = RunFolder(report.folder).read_responses("cases", "q4", known=None)
    assert [(one.scores or {})["success"] for one in found] == [0.5, 1.0, 1.0]
    assert any("1 items of q4 stand 2 times (equal inputs)" in note for note in report.notes)


def test_arms_are_called_after_their_models(tmp_path: Path) -> None:
    paths = [
        written(tmp_path / f"{n}.json", [case(0, 1.0)], hyperparameters={"model": f"m-{n}"})
        for n in ("f16", "q4")
    ]
    assert guess(paths).form == "deepeval"
    report = quantrial.read_log("deepeval", paths, tmp_path / "run")
    assert report.arms == ("m-f16", "m-q4")
    with pytest.raises(DataError, match="as another file is: name each"):
        quantrial.read_log("deepeval", [paths[0], paths[0]], tmp_path / "run2")


def test_conversations_are_counted_and_the_kept_run_is_read(tmp_path: Path) -> None:
    whole = {"testRunData": {"testCases": [case(0, 1.0)], "conversationalTestCases": [{}, {}]}}
    path = tmp_path / "20251130_101500"
    path.write_text(json.dumps(whole))
    report = quantrial.read_log("deepeval", {"f16": path, "q4": path}, tmp_path / "run")
    assert any("2 conversations are left out" in note for note in report.notes)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", "expected a test run"),
        ("{}", "has no list 'testCases'"),
        ('{"testCases": []}', "holds no test case"),
        ('{"testCases": [3]}', "expected a test case"),
        ('{"testCases": [{"input": 3}]}', r"line 1: 'input' is 3"),
        ('{"testCases": [{"input": "x"', "is no JSON"),
        ('{"testCases": [{"input": "x", "expectedOutput": ' + "[" * 1010 + "]" * 1010 + "}]}",
         "nested too deeply"),
    ],
)  # fmt: skip
def test_what_is_no_test_run_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(text)
    with pytest.raises(DataError, match=message):
        quantrial.read_log("deepeval", {"f16": path, "q4": path}, tmp_path / "run")


def test_several_runs_of_one_arm_need_a_choice(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    written(tmp_path / "out" / "test_run_1.json", [case(0, 0.0)])
    written(tmp_path / "out" / "test_run_2.json", [case(0, 1.0)])
    arms = {"f16": tmp_path / "out", "q4": tmp_path / "out"}
    with pytest.raises(DataError, match=r"ran cases 2 times .*--latest"):
        quantrial.read_log("deepeval", arms, tmp_path / "run")
    report = quantrial.read_log("deepeval", arms, tmp_path / "run", options=LogOptions(latest=True))
    assert [one["success"] for one in scores(report.folder, "q4") if one] == [1.0]
