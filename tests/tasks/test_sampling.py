"""Several answers to each item: the item stays the unit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

import quantrial
from quantrial.errors import StudyError
from quantrial.study import parse_study
from studies import read_lines

ITEMS, SAMPLES = 12, 5


def study(folder: Path, **changes: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    rows = [json.dumps({"id": f"t{i}", "text": f"Sum {i}?", "gold": 7}) for i in range(ITEMS)]
    (folder / "items.jsonl").write_text("\n".join(rows) + "\n", encoding="utf-8")
    arm = {"engine": "scripted", "options": {"replies": ["7"]}}
    said = {
        "study": "sums",
        "seed": 40,
        "reference": "f16",
        "margin": "20pp",
        "arms": {"f16": {**arm, "model": "f16"}, "q8_0": {**arm, "model": "q8"}},
        "tasks": {
            "sums": {
                "kind": "text",
                "workload": "sums",
                "source": {"type": "jsonl", "path": "items.jsonl"},
                "id": "id",
                "prompt": "{{ text }}",
                "score": ["number"],
                **changes.pop("task", {}),
            }
        },
        "design": {"samples": SAMPLES, "temperature": 0.6},
        "analysis": {"resamples": 200},
    } | changes
    path = folder / "study.yaml"
    path.write_text(yaml.safe_dump(said), encoding="utf-8")
    return path


# what q8_0 says to the first items, in the order of the samples; all else is right
SAID = {0: "99778", 1: "99977", 2: "98765", 3: "x9xx7"}
# right answers, whether any is right, and whether the most frequent answer is (the first of equals)
RIGHT = {0: (2, 1, 0), 1: (2, 1, 0), 2: (1, 1, 0), 3: (1, 1, 0)}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sums")
    done = quantrial.run(study(folder), out=folder / "run").folder
    path = done / "responses" / "sums.q8_0.jsonl"
    rows = read_lines(path)
    for row in rows:
        said = SAID.get(int(row["item"][1:]))
        if said is not None:
            row["output"] = said[row["replicate"]]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    for step in (quantrial.analyze, quantrial.decide, quantrial.report):
        step(done)
    return done


def endpoints(run: Path) -> Any:
    return json.loads((run / "summary.json").read_text())["tasks"]["sums"]["endpoints"]


def test_each_arm_answers_each_item_so_often_with_other_seeds(run: Path) -> None:
    for arm in ("f16", "q8_0"):
        rows = read_lines(run / "responses" / f"sums.{arm}.jsonl")
        asked = sorted((row["item"], row["replicate"]) for row in rows)
        assert asked == sorted((f"t{i}", k) for i in range(ITEMS) for k in range(SAMPLES))
        assert len({row["prompt_sha256"] for row in rows}) == ITEMS  # the seed is told apart


def test_the_item_has_the_mean_of_its_answers(run: Path) -> None:
    found = endpoints(run)
    right = sum(own[0] for own in RIGHT.values()) + SAMPLES * (ITEMS - len(RIGHT))
    assert found["numeric_match"]["arms"]["q8_0"]["estimate"] == pytest.approx(
        right / (SAMPLES * ITEMS)
    )
    assert found["numeric_match"]["arms"]["q8_0"]["n"] == ITEMS
    for name, at in (("pass_at_k", 1), ("majority", 2)):
        share = (sum(own[at] for own in RIGHT.values()) + ITEMS - len(RIGHT)) / ITEMS
        assert found[name]["arms"]["q8_0"]["estimate"] == pytest.approx(share)


def test_the_share_of_drawing_is_that_of_the_variances(run: Path) -> None:
    task = json.loads((run / "summary.json").read_text())["tasks"]["sums"]
    (found,) = task["drawing"]
    scores = [[float(c == "7") for c in SAID[i]] if i in SAID else [1.0] * 5 for i in range(ITEMS)]
    within = np.mean([np.var(own, ddof=1) / SAMPLES for own in scores])
    total = np.var([np.mean(own) for own in scores], ddof=1)
    assert found["within_share"] == pytest.approx(within / total)
    said = (run / "report.md").read_text(encoding="utf-8")
    assert "twice as many answers would tell as much as" in said


def test_the_flips_are_those_of_the_majority(run: Path) -> None:
    task = json.loads((run / "summary.json").read_text())["tasks"]["sums"]
    (flips,) = task["flips"]
    assert flips["harmful"] == sum(not own[2] for own in RIGHT.values())


def test_an_item_with_an_answer_missing_has_no_score(run: Path, tmp_path: Path) -> None:
    import shutil

    copy = shutil.copytree(run, tmp_path / "run")
    path = copy / "responses" / "sums.q8_0.jsonl"
    rows = [r for r in read_lines(path) if (r["item"], r["replicate"]) != ("t9", 3)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    quantrial.analyze(copy)
    assert endpoints(copy)["numeric_match"]["arms"]["q8_0"]["n"] == ITEMS - 1


def test_samples_need_a_temperature_and_a_gold(tmp_path: Path) -> None:
    text = study(tmp_path, design={"samples": 3}).read_text()
    with pytest.raises(StudyError, match="needs a `temperature` above 0"):
        parse_study(text)
    text = study(tmp_path, task={"gold": "none"}).read_text()
    with pytest.raises(StudyError, match="leave `samples` out"):
        parse_study(text)


def test_the_run_verifies_but_for_what_was_written_into_it(tmp_path: Path) -> None:
    done = quantrial.run(study(tmp_path), out=tmp_path / "run").folder
    for step in (quantrial.analyze, quantrial.decide, quantrial.report):
        step(done)
    assert quantrial.verify(done).ok


def test_voting_takes_the_first_of_answers_that_are_as_frequent() -> None:
    from quantrial.tasks import Outcome
    from quantrial.tasks.sampling import combined, sampled
    from quantrial.tasks.text import Text

    one: Any = Text.variant(({"scorer": "number"},))
    task = object.__new__(sampled(one, 4))
    each = [Outcome({"correct": float(n == 7)}, True, str(n)) for n in (7, 8, 8, 7)]
    assert combined(task, each).values["majority"] == 1.0
    assert combined(task, each[1:]).values["majority"] == 0.0  # 8, 8, 7
    unread = Outcome({"correct": 0.0}, False, None)
    assert combined(task, [unread, unread]).values["majority"] == 0.0
