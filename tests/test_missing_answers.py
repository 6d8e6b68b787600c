"""Whole studies whose arms time out: from the run to the report, who is missing is never silent."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml

import quantrial
from quantrial.decision import Constraints
from studies import arm
from test_cli import ok, quantrial_

QUESTIONS = 300


def write(folder: Path, faults: dict[str, list[int]], **changes: Any) -> Path:
    """Write a study of right answers throughout, of whose arms some time out on some questions."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = [
        {
            "question": f"Question {i:04d}?",
            "options": list("wxyz"),
            "answer": 0,
            "subject": f"s{i % 10}",
        }
        for i in range(QUESTIONS)
    ]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "questions.jsonl").write_text(lines, encoding="utf-8")
    arms = {}
    for name, size in (("f16", 400), ("q8_0", 200), ("q4_0", 100)):
        # a run stops where an engine fails throughout, and goes on where prompts are too long
        kind = "timeout" if len(faults.get(name, ())) < QUESTIONS else "context_overflow"
        late = [
            {"matching": f"Question {i:04d}?", "kind": kind, "times": 99}
            for i in faults.get(name, ())
        ]
        # of the same answers nothing would tell arms apart but their files: other words about them
        arms[name] = arm(name, size, [f"A. By {name}."], faults=late)
    source = {"type": "jsonl", "path": "questions.jsonl"}
    study = {
        "study": "late",
        "seed": 3,
        "reference": "f16",
        "margin": 0.05,
        "arms": arms,
        "tasks": {"sums": {"kind": "choice", "workload": "reasoning", "source": source}},
        "design": {"repeat_reference": 0, "attempts": 1},
        "analysis": {"resamples": 200},
    } | changes
    path = folder / "study.yaml"
    path.write_text(yaml.safe_dump(study, sort_keys=False), encoding="utf-8")
    return path


def decided(folder: Path, faults: dict[str, list[int]], **changes: Any) -> dict[str, Any]:
    run = folder / "run"
    quantrial.run(write(folder, faults, **changes), out=run)
    quantrial.analyze(run)
    return quantrial.decide(run)


EVERY_TENTH = list(range(0, QUESTIONS, 10))


def test_the_well_behaved_study_ships_the_cheapest(tmp_path: Path) -> None:
    assert decided(tmp_path, {})["default"]["arm"] == "q4_0"


@pytest.mark.parametrize(
    ("late", "expected", "who"),
    [
        ({"q4_0": EVERY_TENTH}, "q8_0", "30 answers are missing (30 of q4_0)"),
        ({"q4_0": EVERY_TENTH, "q8_0": EVERY_TENTH}, "f16", "(30 of q8_0)"),
        # both alike: what one answers rightly the other may not
        (dict.fromkeys(("f16", "q8_0", "q4_0"), EVERY_TENTH), "f16", "(30 of q4_0 and 30 of f16)"),
        ({"q4_0": list(range(QUESTIONS))}, "q8_0", "no answered item in common"),
    ],
)
def test_an_arm_that_times_out_is_not_shipped(
    tmp_path: Path, late: dict[str, list[int]], expected: str, who: str
) -> None:
    found = decided(tmp_path, late)
    assert found["default"]["arm"] == expected
    if expected == "q8_0":
        said = str(found["pick_when"]) + str(found["cautions"])
        assert "a possible loss of" in said
        assert "ended in a fault" in said
    else:
        assert who in found["default"]["text"]
    constrained = quantrial.decide(tmp_path / "run", constraints=Constraints(max_memory=150))
    assert constrained["constrained"]["pick"] is None
    assert who in json.dumps(constrained["constrained"], ensure_ascii=False)


def test_what_the_reference_lacks_is_no_loss_where_the_candidate_is_right(tmp_path: Path) -> None:
    found = decided(tmp_path, {"f16": EVERY_TENTH})
    assert found["default"]["arm"] == "q4_0"
    assert "30 answers are missing (30 of f16)" in found["default"]["text"]


@pytest.mark.parametrize("methods", ["calibrated", "classic"])
def test_both_sets_of_methods_hold_missing_answers_against_an_arm(
    tmp_path: Path, methods: str
) -> None:
    analysis = {"resamples": 200, "methods": methods}
    found = decided(tmp_path, {"q4_0": EVERY_TENTH, "q8_0": EVERY_TENTH}, analysis=analysis)
    assert found["default"]["arm"] == "f16"
    rejected = quantrial.decide(tmp_path / "run", constraints=Constraints(max_memory=250))
    assert rejected["constrained"]["pick"] is None


def test_few_missing_answers_are_told_where_an_arm_is_shipped_all_the_same(tmp_path: Path) -> None:
    found = decided(tmp_path, {"q4_0": [7]})
    assert found["default"]["arm"] == "q4_0"
    # one flip of 300 against the margin of 5 pp, the second-largest p of two
    assert (
        "1 answer is missing (1 of q4_0). If all count against q4_0, it still loses less than 5 pp."
        in (found["default"]["text"])
    )
    assert {one["arm"]: one["missing"] for one in found["ship"]} == {"q4_0": 1, "q8_0": 0}
    assert any("1 of q4_0" in one["text"] for one in found["cautions"])


def test_over_clusters_and_strata_too(tmp_path: Path) -> None:
    for key in ("cluster", "stratify"):
        source = {"type": "jsonl", "path": "questions.jsonl"}
        task = {"kind": "choice", "workload": "reasoning", "source": source, key: "subject"}
        late = {"q4_0": [i for i in EVERY_TENTH if i < 250]}
        found = decided(tmp_path / key, late, tasks={"sums": task})
        assert found["default"]["arm"] != "q4_0"
        assert found["picker"]["tasks"]["sums"]["arms"]["q4_0"]["missing"] == 25


def test_the_command_line_and_the_report_say_who_is_missing(tmp_path: Path) -> None:
    late = {"q4_0": EVERY_TENTH, "q8_0": EVERY_TENTH}
    decided(tmp_path, late)
    run = tmp_path / "run"
    said = " ".join(ok("analyze", run).split())
    assert "with every missing answer held against q4_0" in said
    assert "(of 300 items, 30 missing there and 0 on f16)" in said
    assert "a loss of the margin is not ruled out then" in said
    said = " ".join(ok("decide", run).split())
    assert "Stay with f16" in said
    assert "q4_0 ○ undecided: 30 answers missing" in said  # in the table of the arms
    assert "q4_0 is undecided on reasoning: 30 answers are missing (30 of q4_0)." in said
    done = quantrial_("decide", run, "--max-memory", "150B", "--require-pick")
    assert done.returncode == 1
    assert "undecided: 30 answers missing" in " ".join(done.stdout.split())
    ok("decide", run)
    ok("report", run)
    text = (run / "report.md").read_text(encoding="utf-8")
    assert "undecided: 30 answers missing" in text
    assert "Fit to ship" in text
    page = (run / "report.html").read_text(encoding="utf-8")
    assert "undecided: 30 answers missing" in page
    assert "Not settled, for want of answers, for reasoning." in page
    assert "answered" in text
    summary = orjson.loads((run / "summary.json").read_bytes())
    (one,) = [
        one
        for one in summary["tasks"]["sums"]["failure_contrasts"]
        if one["endpoint"] == "answered" and one["candidate"] == "q4_0"
        if one["reference"] == "f16"
    ]
    assert one["verdict"] == "worse"
    assert "everything follows from the responses" in ok("verify", run)


def test_asked_again_the_arm_is_shipped(tmp_path: Path) -> None:
    late = {"q4_0": EVERY_TENTH}
    decided(tmp_path, late)
    run = tmp_path / "run"
    # the responses come in: nothing is missing any more
    path = run / "responses" / "sums.q4_0.jsonl"
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    good = next(row for row in rows if row["status"] == "ok")
    again = [
        {
            **good,
            **{key: row[key] for key in ("item", "order", "block", "prompt_sha256")},
            "attempt": 2,
        }
        for row in rows
        if row["status"] != "ok"
    ]
    with path.open("a", encoding="utf-8") as out:
        out.writelines(json.dumps(row) + "\n" for row in again)
    quantrial.analyze(run)
    assert quantrial.decide(run)["default"]["arm"] == "q4_0"
