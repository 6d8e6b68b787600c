"""Layouts a little different from the plain one, and what the import says of them."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import quantrial
from importers.fabricated import import_reference, outcomes, read_rows, write_rows
from quantrial.errors import RunFolderError
from quantrial.runfolder import RunFolder
from quantrial.study import load_study

Edit = Callable[[str, int, dict[str, Any]], Path]


def test_items_of_other_arms_follow_those_of_the_reference(published: Path, tmp_path: Path) -> None:
    path = published / "extraction_fp16.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    path.write_text("".join([*reversed(lines[10:]), *lines[:5]]), encoding="utf-8")
    run = RunFolder(import_reference(published, tmp_path / "run").folder)
    items = run.read_items()["extraction"]
    expected = [*range(29, 9, -1), *range(5), *range(5, 10)]
    assert [int(item.metadata["example_id"]) for item in items] == expected
    assert items[-1].source == "extraction_q8_0.jsonl:10"


def test_golds_beyond_d_bring_more_letters(edit: Edit, published: Path, tmp_path: Path) -> None:
    for arm in ("fp16", "q4_K_M"):
        edit(f"mmlu_{arm}", 30, {"gold": "f"})
    edit("mmlu_q8_0", 31, {"gold": " F "})
    report = import_reference(published, tmp_path / "run")
    item = RunFolder(tmp_path / "run").read_items()["mmlu"][30]
    assert (item.gold, item.content["options"]) == ("F", list("ABCDEF"))
    assert (
        "mmlu: golds go up to F, but first_letter reads A to D only; answer_letter reads all."
    ) in report.notes


def test_a_row_without_subject_leaves_no_stratum(
    edit: Edit, published: Path, tmp_path: Path
) -> None:
    edit("mmlu_q8_0", 20, {"metadata": None})
    report = import_reference(published, tmp_path / "run")
    mmlu = load_study(tmp_path / "run" / "study.yaml").tasks["mmlu"]
    assert (mmlu.stratify, mmlu.cluster) == (None, None)
    assert report.notes[-1] == (
        "mmlu: 1 row has no metadata.subject, so subjects are neither strata nor clusters."
    )


def test_metadata_that_differs_between_arms_is_no_fact_of_the_item(
    edit: Edit, published: Path, tmp_path: Path
) -> None:
    edit("mmlu_q8_0", 20, {"metadata": {"subject": "s3", "difficulty": 99, "nested": [1]}})
    report = import_reference(published, tmp_path / "run")
    items = RunFolder(tmp_path / "run").read_items()["mmlu"]
    assert items[19].metadata == {"example_id": "q19", "subject": "s3"}
    assert all("difficulty" not in item.metadata for item in items)
    assert (
        "mmlu: these differ between arms and are not kept as facts of the item: difficulty."
    ) in report.notes


def test_repeats_with_another_gold_are_pointed_out(
    edit: Edit, published: Path, tmp_path: Path
) -> None:
    edit("mmlu_q8_0", 0, {"gold": "A"})
    report = import_reference(published, tmp_path / "run")
    assert (
        "mmlu: 1 replaced row has another gold than the row that counts, so its example_id may "
        "stand for two examples."
    ) in report.notes


def test_arm_without_a_task_is_missing_there(published: Path, tmp_path: Path) -> None:
    (published / "extraction_q4_K_M.jsonl").unlink()
    report = import_reference(published, tmp_path / "run")
    run = RunFolder(report.folder)
    assert "extraction: there is no file for q4_K_M." in report.notes
    scored = outcomes(run, "extraction")
    assert scored.arms == ("fp16", "q8_0", "q4_K_M")
    assert scored.flow.missing == 30


def test_one_task_is_enough(published: Path, tmp_path: Path) -> None:
    for path in published.glob("mmlu_*"):
        path.unlink()
    report = import_reference(published, tmp_path / "run")
    assert report.tasks == ("extraction",)
    assert RunFolder(report.folder).read_responses("extraction", "fp16")[3].block == 3


def test_what_else_a_row_may_hold(edit: Edit, published: Path, tmp_path: Path) -> None:
    timing = {"eval_count": 12, "tokens_per_second": 48.0}
    row = {
        "timing": timing,
        "timestamp": "2026-01-02T03:04:05Z",
        "done_reason": "length",
        "prompt": "What?",
        "mood": "good",
        "metadata": {"subject": "s0", "hard": True, "ratio": 0.5, "tags": ["x"], "note": None},
    }
    edit("mmlu_fp16", 0, row)
    report = import_reference(published, tmp_path / "run")
    run = RunFolder(report.folder)
    first = run.read_responses("mmlu", "fp16")[0]
    assert (first.started_at, first.finish_reason) == ("2026-01-02T03:04:05Z", "length")
    assert first.timing == {"load": None, "prompt": None, "decode": 0.25, "wall": None}
    item = run.read_items()["mmlu"][0]
    assert item.metadata == {
        "subject": "s0",
        "hard": "true",
        "ratio": "0.5",
        "difficulty": "0",
        "example_id": "q0",
    }
    assert report.notes[0] == "mmlu_fp16.jsonl: these keys are not kept: mood."


def test_recorded_duration_goes_before_the_recorded_rate(
    edit: Edit, published: Path, tmp_path: Path
) -> None:
    timing = {"eval_count": 12, "eval_duration_ns": 3e9, "tokens_per_second": 48.0}
    edit("mmlu_fp16", 0, {"timing": timing})
    run = RunFolder(import_reference(published, tmp_path / "run").folder)
    assert run.read_responses("mmlu", "fp16")[0].timing["decode"] == 3.0


def test_there_are_four_options_at_least(tmp_path: Path) -> None:
    row = {"example_id": 1, "score": 1, "output": "B", "gold": "B"}
    for arm in ("a", "b"):
        write_rows(tmp_path / f"mmlu_{arm}.jsonl", [row])
    run = RunFolder(import_reference(tmp_path, tmp_path / "run", reference="b").folder)
    assert run.read_items()["mmlu"][0].content == {
        "example_id": "1",
        "options": ["A", "B", "C", "D"],
    }


def test_rows_as_python_and_windows_write_them(published: Path, tmp_path: Path) -> None:
    path = published / "mmlu_fp16.jsonl"
    rows = read_rows(path)
    rows[3] |= {"score": math.nan}
    rows[4] |= {"output": "(A) \u2028 a line separator", "example_id": "q4"}
    lines = [json.dumps(row, ensure_ascii=False) for row in rows]
    path.write_bytes(b"\xef\xbb\xbf" + "\r\n\r\n".join(lines).encode())
    report = import_reference(published, tmp_path / "run")
    run = RunFolder(report.folder)
    responses = run.read_responses("mmlu", "fp16")
    assert len(responses) == 40
    assert responses[4].output == "(A) \u2028 a line separator"
    assert run.read_items()["mmlu"][4].source == "mmlu_fp16.jsonl:9"
    assert report.notes[:2] == (
        "mmlu_fp16.jsonl: NaN or Infinity is read as null in 1 row, first in line 7.",
        "mmlu_fp16.jsonl: 1 answer has no recorded score to compare with.",
    )


def test_names_are_made_valid(published: Path, tmp_path: Path) -> None:
    for task in ("mmlu", "extraction"):
        (published / f"{task}_q8_0.jsonl").rename(published / f"{task}_llama3.1:8b-q8_0.jsonl")
    path = published / "mmlu_llama3.1:8b-q8_0.jsonl"
    write_rows(path, [row | {"arm": "LLAMA3.1:8b-q8_0"} for row in read_rows(path)])
    (published / "notes.jsonl").write_text("whatever")
    report = import_reference(published, tmp_path / "run", reference="llama3.1:8b-q8_0")
    assert report.reference == "llama3-1-8b-q8_0"
    assert report.arms == ("llama3-1-8b-q8_0", "fp16", "q4_K_M")
    assert "mmlu_llama3.1:8b-q8_0.jsonl: the arm is called 'llama3-1-8b-q8_0' here." in report.notes
    said = "These files are of no task that was asked for and were not read: notes.jsonl."
    assert said in report.notes
    assert len(RunFolder(report.folder).read_responses("mmlu", "llama3-1-8b-q8_0")) == 40


@pytest.mark.parametrize("name", ["FP16", "f16", "BF16"])
def test_reference_by_default(published: Path, tmp_path: Path, name: str) -> None:
    for task in ("mmlu", "extraction"):
        rows = read_rows(published / f"{task}_fp16.jsonl")
        (published / f"{task}_fp16.jsonl").unlink()
        write_rows(published / f"{task}_{name}.jsonl", [row | {"arm": name} for row in rows])
    assert import_reference(published, tmp_path / "run").reference == name


def test_an_import_without_answers_is_not_told_to_ask(published: Path, tmp_path: Path) -> None:
    for path in published.glob("extraction_*"):
        path.unlink()
    for path in published.glob("mmlu_*"):
        gone = {"status": "error", "error": "x", "output": ""}
        write_rows(path, [row | gone for row in read_rows(path)])
    run = import_reference(published, tmp_path / "run").folder
    with pytest.raises(RunFolderError) as caught:
        quantrial.analyze(run)
    assert str(caught.value) == (
        f"{run}: what was imported holds no answer (120 ended in a fault); `quantrial import` "
        "reads other files into a new folder"
    )
