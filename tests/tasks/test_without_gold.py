"""Tasks without gold: answers held against the reference's first ones."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

import quantrial
from quantrial.errors import StudyError
from quantrial.records import Item
from quantrial.study import parse_study
from quantrial.tasks import Task
from quantrial.tasks.answer import as_answer
from quantrial.tasks.text import Text
from studies import read_lines

ITEMS = 60
# how many of the 60 say something else: the reference's second answers, and the candidate's
AGAIN, OTHER = {*range(6)}, {*range(3), *range(20, 29)}


def study(folder: Path, score: Any, **changes: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    rows = [json.dumps({"id": f"t{i}", "text": f"Parcel {i} is late."}) for i in range(ITEMS)]
    (folder / "prompts.jsonl").write_text("\n".join(rows) + "\n", encoding="utf-8")
    arm = {"engine": "scripted", "options": {"replies": ["7"], "quantization": "F16"}}
    said = {
        "study": "letters",
        "reference": "f16",
        "margin": "20pp",
        "arms": {
            "f16": {**arm, "model": "f16"},
            "q8_0": {**arm, "model": "q8", "options": {"replies": ["7"], "quantization": "Q8_0"}},
        },
        "tasks": {
            "letters": {
                "kind": "text",
                "workload": "letters",
                "source": {"type": "jsonl", "path": "prompts.jsonl"},
                "id": "id",
                "prompt": "How many? {{ text }}",
                "gold": "none",
                "score": score,
                **changes,
            }
        },
        "analysis": {"resamples": 200},
    }
    path = folder / "study.yaml"
    path.write_text(yaml.safe_dump(said), encoding="utf-8")
    return path


def rewrite(run: Path, arm: str, replicate: int, items: set[int], output: str) -> None:
    """Let an arm have said something else to some items."""
    path = run / "responses" / f"letters.{arm}.jsonl"
    rows = read_lines(path)
    for row in rows:
        if row["replicate"] == replicate and int(row["item"][1:]) in items:
            row["output"] = output
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("letters")
    done = quantrial.run(study(folder, ["number"]), out=folder / "run").folder
    rewrite(done, "f16", 1, AGAIN, "8")
    rewrite(done, "q8_0", 0, OTHER, "9")
    for step in (quantrial.analyze, quantrial.decide, quantrial.report):
        step(done)
    return done


def test_every_item_is_asked_of_the_reference_twice(run: Path) -> None:
    asked = [
        (row["item"], row["replicate"]) for row in read_lines(run / "responses/letters.f16.jsonl")
    ]
    assert sorted(asked) == sorted((f"t{i}", k) for i in range(ITEMS) for k in (0, 1))
    other = read_lines(run / "responses/letters.q8_0.jsonl")
    assert [row["replicate"] for row in other] == [0] * ITEMS


def test_the_estimate_is_paired_by_item_against_the_references_own_repeats(run: Path) -> None:
    task = json.loads((run / "summary.json").read_text())["tasks"]["letters"]
    arms = task["endpoints"]["numeric_match"]["arms"]
    assert arms["f16"]["estimate"] == pytest.approx((ITEMS - len(AGAIN)) / ITEMS)
    assert arms["q8_0"]["estimate"] == pytest.approx((ITEMS - len(OTHER)) / ITEMS)
    (contrast,) = task["endpoints"]["numeric_match"]["contrasts"]
    assert contrast["estimate"] == pytest.approx((len(AGAIN) - len(OTHER)) / ITEMS)
    (flips,) = task["flips"]
    assert (flips["harmful"], flips["beneficial"]) == (len(OTHER - AGAIN), len(AGAIN - OTHER))


def test_what_people_read_speaks_of_changes_and_not_of_errors(run: Path) -> None:
    decision = json.loads((run / "decision.json").read_text())
    assert decision["avoid_for"] == []
    said = json.dumps([decision[key] for key in ("default", "pick_when", "stay_when", "risk")])
    assert " wrong" not in said
    assert "worse than" not in said
    (caution,) = [c["text"] for c in decision["cautions"] if "no right answers" in c["text"]]
    assert "Asked again, f16 itself agrees with its first answer by 90.0 %" in caution
    report = (run / "report.md").read_text(encoding="utf-8")
    assert "right to wrong" not in report
    # 12 of 60 differ, and 6 of the reference's own: 100 more in a thousand
    assert "q8_0 changes about 100 more answers than f16 itself" in report


def test_a_gate_says_the_same(run: Path) -> None:
    line = quantrial.check_gate(run, {"require": [{"non_inferior": 0.1}]}).lines[0]
    assert "q8_0 changed 10.0 pp more answers on letters than f16 itself" in line.text


def test_more_change_is_said_as_such_and_avoided_nowhere(tmp_path: Path) -> None:
    done = quantrial.run(study(tmp_path, ["exact"]), out=tmp_path / "run").folder
    rewrite(done, "q8_0", 0, {*range(50)}, "9")
    quantrial.analyze(done)
    decision = quantrial.decide(done)
    (finding,) = [one for one in decision["findings"].values() if one["kind"] == "primary"]
    assert (finding["verdict"], finding["against"]) == ("worse", "reference")
    assert decision["avoid_for"] == []
    assert (
        "q8_0 differs more: it gives another answer on 83.3 pp more of letters"
        in (decision["default"]["text"])
    )
    assert "is worse" not in json.dumps([decision[k] for k in ("default", "pick_when")])


def test_an_arm_that_changes_no_more_is_shipped_with_what_is_not_known(tmp_path: Path) -> None:
    done = quantrial.run(study(tmp_path, ["exact"]), out=tmp_path / "run").folder
    quantrial.analyze(done)
    text = quantrial.decide(done)["default"]["text"]
    assert "It is shown to change at most 20 pp more answers than f16 itself on letters" in text
    assert "No right answers are known for letters" in text


def task_of(folder: Path, score: Any) -> Task:
    found = parse_study(study(folder, score).read_text(encoding="utf-8"))
    spec = found.tasks["letters"]
    kind: Any = Text.variant(spec.measures)
    made: Task = kind("letters", spec)
    return made


FIELDS = {"json": {"fields": {"name": "casefold", "total": "number"}}}
ALIKE = [
    ("exact", "Yes.", "Yes.", 1),
    ("exact", "Yes.", "No.", 0),
    ({"number": {}}, "about 1,200 EUR", "1200", 1),
    ({"number": {}}, "1200", "no number", 0),
    ({"number": {}}, "none here", "none here", 1),  # neither can be read, and both say the same
    ({"number": {}}, "none here", "1200", 0),
    ({"label": ["billing", "login"]}, "Billing!", "it is billing", 1),
    ({"label": ["billing", "login"]}, "Billing!", "login", 0),
    (FIELDS, '{"name": "Bo", "total": "1,200"}', '{"total": 1200, "name": "bo"}', 1),
    (FIELDS, '{"name": "Bo", "total": 1}', '{"name": "Bo", "total": 2}', 0),
    (FIELDS, '{"name": "Bo", "total": "many"}', '{"name": "Bo", "total": 2}', 0),
    (FIELDS, "no object", "no object", 1),
    ("tool_call", '{"name": "f", "arguments": {"a": 1}}', '[{"name":"f","arguments":{"a":1}}]', 1),
    ("tool_call", '{"name": "f", "arguments": {"a": 1}}', "No function fits.", 0),
    ("tool_call", "No function fits.", "None of them.", 1),  # neither calls anything
]


@pytest.mark.parametrize(("score", "first", "other", "same"), ALIKE)
def test_scorers_say_whether_two_answers_say_the_same(
    score: Any, first: str, other: str, same: int, tmp_path: Path
) -> None:
    task = task_of(tmp_path, [score])
    item = Item("letters", "t1", {"text": "x"}, None, {})
    one, two = as_answer(first), as_answer(other)
    assert task.compare(item, one, two, two).values["correct"] == same
    again = task.compare(item, one, two, one)  # the reference's own: its first answer is read
    assert again.values["correct"] == same
    assert again.answer == task.compare(item, one, one, one).answer


def test_fields_are_compared_one_by_one(tmp_path: Path) -> None:
    task = task_of(tmp_path, [FIELDS])
    item = Item("letters", "t1", {"text": "x"}, None, {})
    one, two = as_answer('{"name": "Bo", "total": 1}'), as_answer('{"name": "Bo", "total": 2}')
    values = task.compare(item, one, two, two).values
    assert (values["tp"], values["fp"], values["fn"]) == (1, 1, 1)
    assert (values["field_name"], values["field_total"]) == (1, 0)


def refused() -> Iterator[tuple[Any, dict[str, Any], str]]:
    yield ["contains"], {}, "contains cannot do that; use one of exact"
    yield [{"regex": "[0-9]+"}], {}, "it may come later in the list"
    yield ["exact"], {"shots": 2}, "leave `shots` out"


@pytest.mark.parametrize(("score", "changes", "says"), list(refused()))
def test_what_cannot_be_held_against_answers_is_refused(
    score: Any, changes: dict[str, Any], says: str, tmp_path: Path
) -> None:
    text = study(tmp_path, score, **changes).read_text(encoding="utf-8")
    with pytest.raises(StudyError, match=says):
        parse_study(text)


def test_null_is_no_gold_either_and_scorers_of_form_may_follow(tmp_path: Path) -> None:
    scorers = ["exact", {"regex": "[0-9]+"}]
    text = study(tmp_path, scorers, gold=None).read_text(encoding="utf-8")
    task = parse_study(text).tasks["letters"]
    assert not task.has_gold
    against = [one.against for one in Text.variant(task.measures).endpoints]
    assert against == ["reference", "gold"]
