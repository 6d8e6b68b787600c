"""Results of promptfoo: rows as its `EvaluateResult` has them, and what each trap ends in."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import quantrial
from quantrial.cli import app
from quantrial.errors import DataError
from quantrial.importers import ImportReport, LogOptions
from quantrial.importers.auto import guess
from quantrial.runfolder import RunFolder

CAPITALS = (("France", "Paris"), ("Italy", "Rome"), ("Japan", "Tokyo"), ("Chad", "N'Djamena"))


def result(
    test: int, arm: str, said: str | None, *, item: int | None = None, column: int = 0, **more: Any
) -> dict[str, Any]:
    """Make a row as `createEvaluateResult` and `applyGradingResult` of promptfoo leave it."""
    country, capital = CAPITALS[(test if item is None else item) % len(CAPITALS)]
    number = (test if item is None else item) // len(CAPITALS)
    own = {"country": country, "n": number}
    asserts = [{"type": "icontains", "value": capital, "metric": "right"}]
    passed = said is not None and capital.lower() in said.lower()
    reason = "Assertion passed" if passed else f"Expected output to contain {capital!r}"
    grading = {"pass": passed, "score": float(passed), "reason": reason}
    row: dict[str, Any] = {
        "promptIdx": column,
        "testIdx": test,
        "promptId": "a" * 64,
        "provider": {"id": f"openai:chat:{arm}", "label": arm},
        "prompt": {"raw": f"{number}. Capital of {country}?", "label": "Capital of {{country}}?"},
        "vars": own,
        "testCase": {"vars": own, "assert": asserts, "options": {}, "metadata": {"lang": "en"}},
        "success": passed,
        "score": float(passed),
        "namedScores": {"right": float(passed)},
        "failureReason": 0 if passed else 1,
        "gradingResult": {
            **grading,
            "componentResults": [{**grading, "assertion": asserts[0]}],
        },
        "response": {"output": said, "cached": False, "finishReason": "stop"},
        "latencyMs": 120,
        "cost": 0,
        "metadata": {},
        **({} if passed else {"error": reason}),
    }
    return row | more


def fault(test: int, arm: str, **more: Any) -> dict[str, Any]:
    """Make a row as the `catch` of `runEvalInternal` leaves it: score 0, no response."""
    row = result(test, arm, None, error="Error: 503 \x1b[31mbusy", failureReason=2, **more)
    row |= {"score": 0, "namedScores": {}, "success": False}
    del row["response"], row["gradingResult"]
    return row


def summary(path: Path, rows: Sequence[dict[str, Any]], **stats: int) -> Path:
    """Write what `-o out.json` writes, or the lines of `-o out.jsonl`."""
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return path
    whole = {
        "evalId": "eval-abc-2026-11-30T10:00:00",
        "results": {
            "version": 3,
            "timestamp": "2026-11-30T10:00:00.000Z",
            "prompts": [],
            "results": list(rows),
            "stats": {"successes": len(rows), "failures": 0, "errors": 0, **stats},
        },
        "config": {},
        "shareableUrl": None,
        "metadata": {"promptfooVersion": "0.123.1"},
    }
    path.write_text(json.dumps(whole))
    return path


def both(right: int = 8, wrong: Sequence[int] = (1, 5)) -> list[dict[str, Any]]:
    """Make rows of two providers, in the order in which they ended: not that of the tests."""
    rows = [result(n, "f16", f"It is {CAPITALS[n % 4][1]}.") for n in range(right)]
    rows += [
        result(n, "q4", "Oslo" if n in wrong else f"{CAPITALS[n % 4][1]}!", column=1)
        for n in range(right)
    ]
    return rows[::-1]


def scores(report: ImportReport, arm: str, task: str = "tests") -> dict[str, dict[str, Any] | None]:
    return {
        one.item.rpartition("-")[0]: None if one.scores is None else dict(one.scores)
        for one in RunFolder(report.folder).read_responses(task, arm, known=None)
    }


def test_one_file_holds_several_arms_in_any_order(tmp_path: Path) -> None:
    out = summary(tmp_path / "out.json", both())
    found = CliRunner().invoke(
        app, ["import", "promptfoo", str(out), "-o", str(tmp_path / "run"), "--reference", "f16"]
    )
    assert found.exit_code == 0, found.output
    run = RunFolder(tmp_path / "run")
    right = {
        arm: [
            (one.scores or {})["success"] or 0.0
            for one in run.read_responses("tests", arm, known=None)
        ]
        for arm in ("f16", "q4")
    }
    # by hand: of 8 tests q4 fails two
    assert (sum(right["f16"]), sum(right["q4"]), len(right["q4"])) == (8, 6, 8)
    assert "success was scored by promptfoo 0.123.1, 16 of 16 derived again" in " ".join(
        quantrial.read_log("promptfoo", out, tmp_path / "again").notes
    )


def test_a_file_an_arm_is_paired_by_variables_though_filters_renumber(tmp_path: Path) -> None:
    a = summary(tmp_path / "a.json", [result(n, "local", CAPITALS[n % 4][1]) for n in range(4)])
    # --filter-sample numbers what is left from 0
    b = summary(tmp_path / "b.jsonl", [result(n, "local", "Rome", item=3 - n) for n in range(4)])
    report = quantrial.read_log("promptfoo", {"f16": a, "q4": b}, tmp_path / "run")
    keys = ("success", "score", "right")
    wrong, right = dict.fromkeys(keys, 0.0), dict.fromkeys(keys, 1.0)
    assert sorted(map(str, scores(report, "q4").values())) == sorted(
        map(str, [wrong] * 3 + [right])
    )
    assert {name for name, one in scores(report, "q4").items() if one == right} == {"Italy"}


def test_a_test_of_one_arm_only_is_refused(tmp_path: Path) -> None:
    a = summary(tmp_path / "a.json", [result(n, "f16", "Rome") for n in range(4)])
    b = summary(tmp_path / "b.json", [result(n, "q4", "Rome") for n in range(3)])
    with pytest.raises(DataError, match=r"1 of 4 items of tests are missing in q4 \(Chad-"):
        quantrial.read_log("promptfoo", [a, b], tmp_path / "run")


def test_errors_are_faults_and_failed_assertions_are_wrong_answers(tmp_path: Path) -> None:
    rows = [result(n, "f16", CAPITALS[n][1]) for n in range(4)]
    rows += [result(0, "q4", "Oslo"), fault(1, "q4"), result(2, "q4", "Tokyo")]
    # a provider that gave nothing back: promptfoo fails the test, and so do we
    rows.append(result(3, "q4", None, error="No output", failureReason=0, gradingResult=None))
    report = quantrial.read_log("promptfoo", summary(tmp_path / "out.json", rows), tmp_path / "run")
    found = {
        one.item.rpartition("-")[0]: (one.status, (one.scores or {}).get("success"))
        for one in RunFolder(report.folder).read_responses("tests", "q4", known=None)
    }
    assert found == {
        "France": ("ok", 0.0),
        "Italy": ("engine_error", None),
        "Japan": ("ok", 1.0),
        "Chad": ("ok", 0.0),
    }
    assert "\x1b" not in (report.folder / "study.yaml").read_text()
    assert any("1 of 4 responses have no output" in note for note in report.notes)


def test_results_from_before_the_reason_of_failures_was_written(tmp_path: Path) -> None:
    rows = [result(n, "f16", CAPITALS[n][1]) for n in range(2)]
    rows += [result(0, "q4", "Oslo"), fault(1, "q4")]
    for row in rows:
        del row["failureReason"]
        row["provider"] = row["provider"]["label"]
    out = tmp_path / "out.json"
    out.write_text(json.dumps(rows))  # a bare list
    report = quantrial.read_log("promptfoo", out, tmp_path / "run")
    assert scores(report, "q4") == {
        "France": {"success": 0.0, "score": 0.0, "right": 0.0},
        "Italy": None,
    }


def test_repeats_are_samples_whatever_their_numbers(tmp_path: Path) -> None:
    said = {"f16": ("Paris", "Paris"), "q4": ("Paris", "Oslo")}
    rows = [
        result(2 * item + n, arm, said[arm][n] if item == 0 else CAPITALS[item][1], item=item)
        for arm in said
        for item in range(3)
        for n in range(2)
    ]
    report = quantrial.read_log("promptfoo", summary(tmp_path / "o.json", rows), tmp_path / "run")
    assert {name: (one or {})["success"] for name, one in scores(report, "q4").items()} == {
        "France": 0.5,
        "Italy": 1.0,
        "Japan": 1.0,
    }
    assert any("3 items of q4 stand 2 times (`--repeat`" in note for note in report.notes)


def test_tests_that_differ_in_their_assertions_are_two_items(tmp_path: Path) -> None:
    other = [{"type": "contains", "value": "P"}]
    rows = []
    for arm in ("f16", "q4"):
        rows.append(result(0, arm, "Paris"))
        rows.append(result(1, arm, "paris", item=0))
        rows[-1]["testCase"] = {**rows[-1]["testCase"], "assert": other}
        rows[-1] |= {"success": False, "score": 0.0, "failureReason": 1}
    ended = [*rows[:2], rows[3], rows[2]]  # in another order in each arm
    report = quantrial.read_log("promptfoo", summary(tmp_path / "o.json", ended), tmp_path / "run")
    assert report.responses == 4
    # an assertion that one arm has not is another right answer
    rows[-1]["testCase"] = {**rows[-1]["testCase"], "assert": [{"type": "contains", "value": "Q"}]}
    with pytest.raises(DataError, match="1 items have another right answer"):
        quantrial.read_log("promptfoo", summary(tmp_path / "o.json", rows), tmp_path / "run2")


def test_the_cache_ungraded_answers_and_failed_graders_are_counted(tmp_path: Path) -> None:
    rows = both()
    for row in rows:
        if row["provider"]["label"] == "q4":
            row["response"] = {**row["response"], "cached": True}
    rows[0]["gradingResult"] = {"pass": True, "score": 1, "reason": "No assertions"}
    grading = rows[1]["gradingResult"]
    grading["componentResults"][0] |= {"metadata": {"graderError": True}}
    rows[2]["success"] = not rows[2]["success"]
    report = quantrial.read_log("promptfoo", summary(tmp_path / "o.json", rows), tmp_path / "run")
    notes = "\n".join(report.notes)
    assert "q4: 8 of 8 answers came from promptfoo's cache" in notes
    assert "q4: 1 of 8 results have no assertion" in notes
    assert "q4: the grader itself failed on 1 of 8" in notes
    assert "tests: q4 has 2 answers without a score" in notes
    assert "1 scores of success are not those that the answers give" in report.notes[0]


def test_named_scores_of_some_tests_only_leave_the_others_scored(tmp_path: Path) -> None:
    rows = both()
    for row in rows:
        if row["testIdx"] > 5:
            row["namedScores"] = {}
    out = summary(tmp_path / "o.json", rows)
    report = quantrial.read_log("promptfoo", out, tmp_path / "run")
    assert any("right is left out; 4 of 16 answers have none" in note for note in report.notes)
    assert report.responses == 16
    options = LogOptions(metrics=("right",))
    report = quantrial.read_log("promptfoo", out, tmp_path / "named", options=options)
    assert report.responses == 12


def test_several_prompts_are_several_tasks(tmp_path: Path) -> None:
    rows = both(4, ())
    for row in both(4, (0,)):
        asked = {"raw": f"Please. {row['prompt']['raw']}", "label": "polite"}
        rows.append(row | {"promptId": "b" * 64, "prompt": asked, "promptIdx": 2})
    report = quantrial.read_log("promptfoo", summary(tmp_path / "o.json", rows), tmp_path / "run")
    assert set(report.tasks) == {"Capital-of-country", "polite"}
    assert (scores(report, "q4", "polite")["France"] or {})["success"] == 0.0
    options = LogOptions(tasks=("polite",))
    again = quantrial.read_log("promptfoo", tmp_path / "o.json", tmp_path / "one", options=options)
    assert again.tasks == ("polite",)


def test_other_words_in_one_arm_are_refused(tmp_path: Path) -> None:
    rows = both(4, ())
    rows[0]["prompt"] = {"raw": "What?", "label": "x"}
    with pytest.raises(DataError, match="1 of 4 items were asked in other words"):
        quantrial.read_log("promptfoo", summary(tmp_path / "o.json", rows), tmp_path / "run")


def edited(name: str) -> list[Any]:
    rows: list[Any] = both(4, ())
    if name == "no provider":
        rows[0]["provider"] = {"config": {}}
    elif name == "twice":
        rows.append(rows[0])
    elif name == "one label":
        for row in rows:
            row["provider"] = {"id": "x", "label": "same"}
    elif name == "no object":
        rows[0] = 3
    elif name == "names alike":
        for row in rows:
            row["provider"] = {"id": "x", "label": f"m{' -'[row['promptIdx']]}4"}
    return rows


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no provider", r"out\.json.*'provider' has no label and no id"),
        ("twice", r"test 3 of q4 stands here again, after out\.json:1"),
        ("one label", "2 providers are both called 'same'"),
        ("no object", "expected a result"),
        ("names alike", "several providers would be called m-4"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, name: str, message: str) -> None:
    out = summary(tmp_path / "out.json", edited(name))
    with pytest.raises(DataError, match=message):
        quantrial.read_log("promptfoo", out, tmp_path / "run")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("out.yaml", "results: []", "neither .json nor .jsonl"),
        ("out.json", '{"results": {"results": []}}', "holds no result"),
        ("out.json", '{"results": 3}', "no list of results"),
        ("out.json", '{"results": [', "is no JSON"),
        ("out.jsonl", "\n[]\n", "expected a result"),
        ("out.json", "[" * 100_000, "is no JSON"),
    ],
)
def test_what_is_no_result_is_refused(tmp_path: Path, name: str, text: str, message: str) -> None:
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(DataError, match=message):
        quantrial.read_log("promptfoo", path, tmp_path / "run")


def test_hostile_values_are_inert(tmp_path: Path) -> None:
    rows = both(6, (1,))
    for row in rows:
        row["vars"] = row["testCase"]["vars"] = {**row["vars"], "evil": "\ud800\x1b[2J=1+1"}
        row["namedScores"] = {"../../x": 1.0, "\x1b[31m": 0.5, "success": 1.0}
    rows[0] |= {"score": float("nan"), "promptIdx": [1], "latencyMs": "x", "failureReason": "2"}
    text = json.dumps(rows).replace('"cost": 0', f'"cost": {"9" * 100_000}', 1)
    out = tmp_path / "out.json"
    out.write_text(text)
    report = quantrial.read_log("promptfoo", out, tmp_path / "run")
    said = (report.folder / "study.yaml").read_text() + "".join(report.notes)
    assert not set("\x1b\ud800") & set(said)
    assert "x:" in said
    assert "named_success" in said
    deep: Any = []
    for _ in range(900):
        deep = [deep]
    rows[0]["vars"] = rows[0]["testCase"]["vars"] = {"deep": deep}
    out.write_text(json.dumps(rows))
    with pytest.raises(DataError, match=r"missing in|deeply"):
        quantrial.read_log("promptfoo", out, tmp_path / "deep")


def test_results_that_somebody_cut_down_are_read(tmp_path: Path) -> None:
    kept = ("provider", "testIdx", "success")
    rows: list[dict[str, Any]] = [{name: row[name] for name in kept} for row in both()]
    for row in rows:
        row["success"] = int(row["success"])
    rows[0]["provider"] = rows[1]["provider"] = {"id": "模型"}
    out = summary(tmp_path / "o.json", rows)
    options = LogOptions(allow=frozenset({"unpaired"}))
    report = quantrial.read_log("promptfoo", out, tmp_path / "a", options=options)
    assert any(note.endswith("is the provider '模型'.") for note in report.notes)
    # no answer is recorded, so none is the same
    assert not any("to the byte" in note for note in report.notes)
    assert sum(one["success"] for one in scores(report, "f16").values() if one) == 8
    options = LogOptions(metrics=("succes",), allow=frozenset({"unpaired"}))
    with pytest.raises(DataError, match="has no metric succes; did you mean"):
        quantrial.read_log("promptfoo", out, tmp_path / "b", options=options)


def test_several_files_of_one_arm_need_a_choice(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    summary(folder / "a.json", both(4, ()))
    newer = summary(folder / "b.json", both(4, (0,)))
    newer.write_text(newer.read_text().replace("2026-11-30T10", "2026-11-30T11"))
    with pytest.raises(DataError, match=r"ran tests 2 times .*--latest"):
        quantrial.read_log("promptfoo", folder, tmp_path / "run")
    options = LogOptions(latest=True)
    report = quantrial.read_log("promptfoo", folder, tmp_path / "run", options=options)
    assert (scores(report, "q4")["France"] or {})["success"] == 0.0


def test_a_named_arm_is_found_among_several_providers(tmp_path: Path) -> None:
    out = summary(tmp_path / "out.json", both(4, (0,)))
    report = quantrial.read_log("promptfoo", {"q4": out, "f16": out}, tmp_path / "run")
    assert (scores(report, "q4")["France"] or {})["success"] == 0.0
    with pytest.raises(DataError, match=r"several providers \(.*\), and none of them is q5"):
        quantrial.read_log("promptfoo", {"q5": out, "f16": out}, tmp_path / "run2")


def test_results_are_recognised_with_their_arms(tmp_path: Path) -> None:
    for name in ("out.json", "out.jsonl"):
        found = guess([summary(tmp_path / name, both(2, ()))])
        assert found.form == "promptfoo"
        assert found.said[1] in ("The arms are f16, q4.", "The arms are q4, f16.")
