"""Logs of Inspect: real ones against counts by another program, and hostile archives."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import quantrial
from quantrial.errors import DataError
from quantrial.importers import LogOptions
from quantrial.runfolder import RunFolder

FORMATS = Path(__file__).parents[1] / "data" / "formats"
LOGS = FORMATS / "inspect"
EXPECTED: Mapping[str, Any] = json.loads((FORMATS / "expected.json").read_text())["inspect"]
SCORERS = {"toy_match": "match", "toy_includes": "includes", "toy_choice": "choice"}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    arms = {"f16": LOGS / "f16", "q4_0": LOGS / "q4_0"}
    folder = tmp_path_factory.mktemp("inspect") / "run"
    return quantrial.read_log("inspect", arms, folder).folder


@pytest.mark.parametrize("task", SCORERS)
def test_real_logs_have_the_counts_of_another_program(run: Path, task: str) -> None:
    wanted = EXPECTED[task]
    for arm, right in wanted["right_rows"].items():
        found = RunFolder(run).read_responses(task, arm, known=None)
        values = [(one.scores or {})[SCORERS[task]] or 0.0 for one in found]
        assert len(values) == wanted["n_samples"]
        # epochs are samples: the score of an item is their mean
        assert sum(values) * wanted["epochs"] == right


def test_a_json_log_is_read_and_an_item_of_one_arm_is_refused(tmp_path: Path) -> None:
    arms = {"f16": LOGS / "f16", "q4_0": LOGS / "q4_0-json"}
    with pytest.raises(DataError, match="9 of 10 items of toy_choice are missing in q4_0"):
        quantrial.read_log(
            "inspect", arms, tmp_path / "run", options=LogOptions(tasks=("toy_choice",))
        )


def test_equal_outputs_are_said_first(tmp_path: Path) -> None:
    one, other = sorted((FORMATS / "identical" / "inspect").iterdir())
    report = quantrial.read_log("inspect", {"a": one, "b": other}, tmp_path / "run")
    assert any("the same outputs" in note for note in report.notes[:1])


def sample(name: object, **more: Any) -> dict[str, Any]:
    return {"id": name, "epoch": 1, "input": "?", "target": "1", **more}


def archive(path: Path, samples: list[dict[str, Any]]) -> Path:
    header = {"eval": {"task": "toy", "model": "m"}}
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("header.json", json.dumps(header))
        file.writestr("../evil.json", "{}")
        for number, one in enumerate(samples):
            file.writestr(f"samples/{number}_epoch_1.json", json.dumps(one))
    return path


def test_errors_are_faults_and_nan_is_no_score(tmp_path: Path) -> None:
    right = {"scores": {"match": {"value": "C"}}}
    good = archive(tmp_path / "a.eval", [sample(i, **right) for i in range(4)])
    bad = archive(
        tmp_path / "b.eval",
        [
            sample(0, **right),
            sample(1, **right, error={"message": "no \ud800 server"}),
            sample(2, scores={"match": {"value": float("nan")}}),
            sample(3, scores={"match": {"value": "I"}}),
        ],
    )
    report = quantrial.read_log("inspect", {"a": good, "b": bad}, tmp_path / "run")
    found = list(RunFolder(report.folder).read_responses("toy", "b", known=None))
    assert [(one.item, one.status, one.scores) for one in found] == [
        ("0", "ok", {"match": 1.0}),
        ("1", "engine_error", None),
        ("3", "ok", {"match": 0.0}),
    ]
    assert any("b has 1 answers without a score" in note for note in report.notes)
    assert not (tmp_path.parent / "evil.json").exists()


def test_what_is_no_log_is_refused(tmp_path: Path) -> None:
    good = archive(tmp_path / "a.eval", [sample(1)])
    clash = archive(tmp_path / "b.eval", [sample(1), sample("1")])
    torn = tmp_path / "c.eval"
    torn.write_bytes(good.read_bytes()[:100])
    empty = tmp_path / "d.eval"
    with zipfile.ZipFile(empty, "w") as file:
        file.writestr("_journal/start.json", "{}")
    for bad, said in ((clash, "as a text and as a number"), (torn, "no whole"), (empty, "recover")):
        with pytest.raises(DataError, match=said):
            quantrial.read_log("inspect", {"a": good, "b": bad}, tmp_path / "run")
