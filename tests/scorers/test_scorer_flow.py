"""Labels, fields and a schema from a study file to a report that `verify` derives again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

import quantrial
from quantrial.commands.results import verify

LABELS = ["billing", "login", "card fraud"]
SCHEMA = {"required": ["total"], "properties": {"total": {"type": "integer"}}}


def reply(label: str, **fields: Any) -> str:
    return json.dumps({"label": label, **fields})


ARMS = {
    "f16": [reply("billing", total=1), reply("Login", total=2), reply("card_fraud", total=3)],
    "q4": [reply("billing", total=1), reply("billing", total="3"), reply("other"), "{"],
}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("flow")
    rows = [
        {"text": f"request {i}", "what": what, "form": {"label": what, "total": i % 4}}
        for i, what in enumerate(LABELS * 16)
    ]
    (folder / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    (folder / "form.json").write_text(json.dumps(SCHEMA), encoding="utf-8")
    shared = {"kind": "text", "source": {"type": "jsonl", "path": "rows.jsonl"}}
    study = {
        "study": "flow",
        "reference": "f16",
        "margin": 0.05,
        "arms": {
            name: {"engine": "scripted", "model": name, "options": {"replies": said}}
            for name, said in ARMS.items()
        },
        "tasks": {
            "tickets": {
                **shared,
                "workload": "routing",
                "prompt": "Which of billing, login, card fraud? {{ text }}",
                "gold": "what",
                "score": [{"label": LABELS}],
            },
            "forms": {
                **shared,
                "workload": "extraction",
                "prompt": "As JSON: {{ text }}",
                "gold": "form",
                "score": [
                    {"json": {"fields": {"label": "casefold", "total": "number"}}},
                    {"schema": "form.json"},
                ],
            },
        },
        "analysis": {"resamples": 200, "declared_failure_modes": ["recall_card_fraud"]},
        "design": {"repeat_reference": 0},
    }
    path = folder / "study.yaml"
    path.write_text(yaml.safe_dump(study), encoding="utf-8")
    done = quantrial.run(path, out=folder / "run").folder
    (folder / "form.json").unlink()
    for step in (quantrial.analyze, quantrial.decide, quantrial.report):
        step(done)
    return done


def answers(run: Path, task: str, arm: str) -> Iterator[tuple[Any, dict[str, Any] | None]]:
    """Pair the gold of each item with the object that was answered; None where it is none."""
    items = map(json.loads, (run / "items.jsonl").read_text("utf-8").splitlines())
    golds = {one["id"]: one["gold"] for one in items if one["task"] == task}
    for line in (run / "responses" / f"{task}.{arm}.jsonl").read_text("utf-8").splitlines():
        record = json.loads(line)
        whole = record["output"].endswith("}")
        yield golds[record["item"]], json.loads(record["output"]) if whole else None


def summary(run: Path, task: str) -> Any:
    return json.loads((run / "summary.json").read_text("utf-8"))["tasks"][task]


def plain(label: str) -> str:
    return label.lower().replace("_", " ")


def test_labels_against_counting_the_answers(run: Path) -> None:
    task, recalls = summary(run, "tickets"), {}
    assert task["chance"] == pytest.approx(1 / 3)
    for arm in ARMS:
        pairs = [
            (gold, said and plain(said["label"])) for gold, said in answers(run, "tickets", arm)
        ]
        right = sum(gold == said for gold, said in pairs) / 48
        assert task["endpoints"]["accuracy"]["arms"][arm]["estimate"] == pytest.approx(right)
        table = {one["label"]: one for one in task["failure_modes"][arm]["labels"]}
        for label in LABELS:
            found = sum((label, label) == pair for pair in pairs)
            assert (table[label]["n"], table[label]["right"]) == (16, found)
            recalls[arm, label] = found / 16
        taken = {
            (one["gold"], one["answered"]): one["n"]
            for one in task["failure_modes"][arm]["confusions"]
        }
        wrong = [pair for pair in pairs if pair[1] in LABELS and pair[0] != pair[1]]
        assert taken == {pair: wrong.count(pair) for pair in wrong}
    for one in task["failure_contrasts"]:
        if one["endpoint"] == "recall_card_fraud":
            lost = recalls["q4", "card fraud"] - recalls["f16", "card fraud"]
            assert (one["estimate"], one["declared"]) == (pytest.approx(lost), True)
            break
    else:
        pytest.fail("the recall of a label was not tested")


def test_fields_and_the_schema_against_counting_the_answers(run: Path) -> None:
    task = summary(run, "forms")
    for arm in ARMS:
        rows = [
            [
                None
                if said is None or key not in said
                else str(said[key]).lower() == str(gold[key])
                for key in ("label", "total")
            ]
            for gold, said in answers(run, "forms", arm)
        ]
        tp, wrong, missed = (sum(row.count(state) for row in rows) for state in (True, False, None))
        objects = [said for _, said in answers(run, "forms", arm) if said is not None]
        found = {name: one["arms"][arm]["estimate"] for name, one in task["endpoints"].items()}
        # a wrong value counts twice: as one that is missed and as one that is invented
        f1 = 2 * tp / (2 * tp + 2 * wrong + missed)
        assert found["micro_f1"] == pytest.approx(f1)
        assert found["all_fields"] == rows.count([True, True]) / 48
        assert found["valid"] == len(objects) / 48
        whole = sum(isinstance(said.get("total"), int) for said in objects)
        assert found["schema_valid"] == whole / 48


def test_a_run_is_whole_without_the_file_of_the_schema(run: Path) -> None:
    assert not (run.parent / "form.json").exists()
    assert verify(run).ok
    report = (run / "report.md").read_text("utf-8")
    assert "recall of card fraud" in report
    assert "| q4  | card fraud" in report
