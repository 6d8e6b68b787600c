from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import quantrial
from importers.fabricated import import_reference, outcomes
from quantrial.analysis import TaskOutcomes
from quantrial.analysis.speed.timings import speed
from quantrial.cli import tell
from quantrial.documents import load_summary
from quantrial.errors import StudyError
from quantrial.importers import ImportOptions, ScoreDifference
from quantrial.records import content_hash
from quantrial.runfolder import RunFolder
from quantrial.study import ChoiceTask, load_study
from summaries import summarise

Edit = Callable[[str, int, dict[str, Any]], Path]


@pytest.fixture
def run(published: Path, tmp_path: Path) -> RunFolder:
    return RunFolder(import_reference(published, tmp_path / "run").folder)


def totals(scored: TaskOutcomes, arm: str, column: str) -> float:
    return sum(o.values[column] for o in scored.outcomes[arm] if o is not None)


def test_report_by_hand(published: Path, tmp_path: Path) -> None:
    report = import_reference(published, tmp_path / "run")
    assert report.folder == tmp_path / "run"
    assert report.tasks == ("mmlu", "extraction")
    assert report.arms == ("fp16", "q8_0", "q4_K_M")
    assert report.reference == "fp16"
    assert report.responses == 3 * 40 + 2 * 30 + 29
    assert report.duplicates == (
        "mmlu.q8_0: example q5: line 1 of mmlu_q8_0.jsonl is replaced by line 7",
    )
    assert report.score_differences == (
        ScoreDifference("mmlu", "fp16", "q12", 0.0, 1.0),
        ScoreDifference("mmlu", "q8_0", "q3", 1.0, 0.0),
        ScoreDifference("extraction", "q8_0", "6", 0.66667, 2 / 3),
    )
    assert report.notes == (
        "mmlu_fp16.jsonl: 1 recorded score differs from the re-derived ones.",
        "mmlu_q8_0.jsonl: 1 recorded score differs from the re-derived ones.",
        "mmlu_q8_0.jsonl: 1 row repeats an example; the last one counts.",
        "mmlu_q4_K_M.jsonl: 1 answer has status 'HTTP 500' and counts as a fault, not as wrong.",
        "extraction_q8_0.jsonl: 1 recorded score differs from the re-derived ones.",
        "extraction_q4_K_M.jsonl: 1 of 30 examples has no row.",
        "extraction_q4_K_M.jsonl: 1 answer has status 'timeout' and counts as a fault, "
        "not as wrong.",
    )


def test_accuracy_by_hand(run: RunFolder) -> None:
    scored = outcomes(run, "mmlu")
    assert totals(scored, "fp16", "correct") == 30
    assert totals(scored, "q8_0", "correct") == 30
    assert totals(scored, "q4_K_M", "correct") == 21
    flow = scored.flow
    assert (flow.planned, flow.answered, flow.faulted, flow.missing) == (120, 119, 1, 0)
    assert (flow.duplicates, flow.analysed_items) == (0, 39)


def test_micro_and_macro_f1_by_hand(run: RunFolder) -> None:
    scored = outcomes(run, "extraction")
    counts = {
        arm: tuple(totals(scored, arm, column) for column in ("tp", "fp", "fn"))
        for arm in scored.arms
    }
    assert counts == {"fp16": (46, 0, 2), "q8_0": (45, 1, 3), "q4_K_M": (39, 5, 5)}
    assert totals(scored, "fp16", "f1") == 29
    assert math.isclose(totals(scored, "q8_0", "f1"), 26 + 3 * 2 / 3)
    assert totals(scored, "q4_K_M", "f1") == 23 + 5 / 2
    flow = scored.flow
    assert (flow.planned, flow.answered, flow.faulted, flow.missing) == (90, 88, 1, 1)


def test_speed_pooled_and_mean_by_hand(run: RunFolder) -> None:
    # 20 answers of 10 tokens in 1 s, 20 of 30 tokens in 0.5 s
    said = speed(outcomes(run, "mmlu").responses["fp16"])
    assert math.isclose(said.tokens_per_second or 0.0, 800 / 30)
    assert math.isclose(said.mean_tokens_per_second or 0.0, (10 + 60) / 2)
    assert math.isclose(said.prompt_tokens_per_second or 0.0, 400)
    assert said.completion_tokens == 800
    assert said.seconds_per_answer == 1.5  # the total without the load


def test_summary_by_hand(run: RunFolder) -> None:
    study = load_study(run.study_path)
    scored = {task: outcomes(run, task) for task in study.tasks}
    summary = summarise(study, scored, arms=run.read_manifest().arms, methods="classic")
    mmlu, extraction = summary["tasks"]["mmlu"], summary["tasks"]["extraction"]
    estimates = {a: e["estimate"] for a, e in mmlu["endpoints"]["accuracy"]["arms"].items()}
    assert estimates == {"fp16": 0.75, "q8_0": 0.75, "q4_K_M": 21 / 39}
    micro = extraction["endpoints"]["micro_f1"]["arms"]
    assert math.isclose(micro["fp16"]["estimate"], 92 / 94)
    assert math.isclose(micro["q8_0"]["estimate"], 90 / 94)
    assert math.isclose(micro["q4_K_M"]["estimate"], 78 / 88)
    assert mmlu["chance"] == 0.25
    assert {v: s["n"] for v, s in mmlu["strata"]["subject"].items()} == dict.fromkeys(
        ("s0", "s1", "s2", "s3"), 10
    )
    assert extraction["strata"] == {}


def test_study_file(run: RunFolder) -> None:
    text = run.study_path.read_text(encoding="utf-8")
    assert text.startswith("# Imported by `quantrial import reference`")
    study = load_study(run.study_path)
    assert study.study == "published-study"
    assert (study.seed, study.margin, study.analysis.resamples) == (0, 0.01, 10_000)
    assert list(study.arms) == ["fp16", "q8_0", "q4_K_M"]
    assert {(arm.engine, arm.model) for arm in study.arms.values()} == {
        ("imported", "fp16"),
        ("imported", "q8_0"),
        ("imported", "q4_K_M"),
    }
    mmlu, extraction = study.tasks["mmlu"], study.tasks["extraction"]
    assert isinstance(mmlu, ChoiceTask)
    assert (mmlu.workload, mmlu.scoring) == ("reasoning", "first_letter")
    assert (mmlu.stratify, mmlu.cluster) == ("subject", "subject")
    assert (extraction.kind, extraction.workload) == ("spans", "extraction")
    assert (extraction.stratify, extraction.cluster) == (None, None)
    assert run.read_manifest().study["hash"] == study.hash


def test_options_reach_the_study(published: Path, tmp_path: Path) -> None:
    options = ImportOptions("mine", seed=7, margin=0.02, scoring="answer_letter", resamples=500)
    import_reference(published, tmp_path / "run", reference="q8_0", options=options)
    study = load_study(tmp_path / "run" / "study.yaml")
    mmlu = study.tasks["mmlu"]
    assert isinstance(mmlu, ChoiceTask)
    assert (study.study, study.seed, study.margin) == ("mine", 7, 0.02)
    assert (study.analysis.resamples, mmlu.scoring) == (500, "answer_letter")
    assert (study.reference, list(study.arms)) == ("q8_0", ["q8_0", "fp16", "q4_K_M"])


def test_scoring_rule_decides_what_differs(edit: Edit, published: Path, tmp_path: Path) -> None:
    # gold of q13 is B; the first of A-D in the text is the A of "answer"
    edit("mmlu_fp16", 13, {"output": "The answer is B.", "score": 0})
    first = import_reference(published, tmp_path / "one")
    assert "q13" not in {one.example_id for one in first.score_differences}
    options = ImportOptions(scoring="answer_letter")
    reader = import_reference(published, tmp_path / "two", options=options)
    assert ScoreDifference("mmlu", "fp16", "q13", 0.0, 1.0) in reader.score_differences


def test_items(run: RunFolder) -> None:
    items = run.read_items()
    assert [item.metadata["example_id"] for item in items["mmlu"]] == [f"q{i}" for i in range(40)]
    one, other = items["mmlu"][6], items["extraction"][29]
    assert one.content == {"example_id": "q6", "options": ["A", "B", "C", "D"]}
    assert one.gold == "C"
    assert one.id == content_hash(one.content, one.gold)[:16]
    assert one.metadata == {"example_id": "q6", "subject": "s2", "difficulty": "6"}
    assert one.source == "mmlu_fp16.jsonl:7"
    assert other.content == {"example_id": "29"}
    assert other.gold == [["Name 29", "PER"], ["City 29", "LOC"]]


def test_responses(run: RunFolder) -> None:
    items = run.read_items()
    ids = [item.id for item in (*items["mmlu"], *items["extraction"])]
    orders = set()
    for task in ("mmlu", "extraction"):
        for arm in ("fp16", "q8_0", "q4_K_M"):
            for response in run.read_responses(task, arm):
                assert response.block == ids.index(response.item)
                assert response.order // 3 == response.block
                assert (response.replicate, response.attempt) == (0, 1)
                assert (response.prompt_sha256, response.started_at) == (None, "")
                orders.add(response.order)
    assert len(orders) == 209
    first = run.read_responses("mmlu", "fp16")[1]
    assert (first.study, first.output) == ("published-study", "(C)")
    assert (first.completion_tokens, first.prompt_tokens) == (30, 100)
    assert first.timing == {"load": 0.5, "prompt": 0.25, "decode": 0.5, "wall": 1.5}
    untimed = run.read_responses("extraction", "fp16")[0]
    assert untimed.timing == {"load": None, "prompt": None, "decode": None, "wall": None}
    assert untimed.completion_tokens is None


def test_last_of_repeated_rows_wins_in_the_first_place(run: RunFolder) -> None:
    responses = run.read_responses("mmlu", "q8_0")
    fifth = run.read_items()["mmlu"][5]
    assert [r.output for r in responses if r.item == fifth.id] == ["(C)"]  # gold B: wrong
    assert [r.block for r in responses] == list(range(40))


def test_status(run: RunFolder) -> None:
    fault = run.read_responses("mmlu", "q4_K_M")[39]
    assert (fault.status, fault.error) == ("engine_error", "HTTP 500: server went away")
    assert fault.output == ""
    late = run.read_responses("extraction", "q4_K_M")[15]
    assert (late.status, late.error) == ("timeout", "timeout")


@pytest.mark.parametrize("status", ["ok", "OK", "success", None, "", "parse_error"])
def test_fine_status(edit: Edit, published: Path, tmp_path: Path, status: str | None) -> None:
    edit("mmlu_fp16", 0, {"status": status})
    import_reference(published, tmp_path / "run")
    first = RunFolder(tmp_path / "run").read_responses("mmlu", "fp16")[0]
    assert (first.status, first.error) == ("ok", None)


def test_fault_that_holds_text_is_pointed_out(edit: Edit, published: Path, tmp_path: Path) -> None:
    edit("extraction_fp16", 29, {"status": "server_error"})
    report = import_reference(published, tmp_path / "run")
    assert (
        "extraction_fp16.jsonl: 1 answer has status 'server_error' and counts as a fault, not as "
        "wrong, though its text is there." in report.notes
    )


def test_manifest(run: RunFolder, published: Path) -> None:
    manifest = run.read_manifest()
    study = load_study(run.study_path)
    assert manifest.study == {
        "name": "published-study",
        "hash": study.hash,
        "seed": 0,
        "base": ".",
    }
    arm = manifest.arms["q4_K_M"]
    assert (arm["engine"], arm["model"], arm["quantization"]) == ("imported", "q4_K_M", "Q4_K_M")
    assert (arm["sha256"], arm["bytes_on_disk"]) == (None, None)
    assert {a: r["quantization"] for a, r in manifest.arms.items()} == {
        "fp16": "F16",
        "q8_0": "Q8_0",
        "q4_K_M": "Q4_K_M",
    }
    mmlu = manifest.tasks["mmlu"]
    assert (mmlu["kind"], mmlu["workload"], mmlu["items"]) == ("choice", "reasoning", 40)
    source = mmlu["source"]
    assert (source["type"], source["rows"]) == ("imported", 121)
    assert sorted(source["files"]) == [f"mmlu_{arm}.jsonl" for arm in ("fp16", "q4_K_M", "q8_0")]
    fifth = run.read_items()["mmlu"][5]
    assert source["duplicates"] == [[fifth.id, "mmlu_q8_0.jsonl:1"]]
    assert source["score_differences"][0] == {
        "task": "mmlu",
        "arm": "fp16",
        "example_id": "q12",
        "recorded": 0.0,
        "derived": 1.0,
    }
    assert (manifest.sessions, manifest.host) == ((), {})
    assert str(published.parent) not in (run.path / "manifest.json").read_text(encoding="utf-8")


def test_two_imports_are_byte_identical(published: Path, tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "deep" / "two"
    import_reference(published, one)
    import_reference(published, two)
    names = sorted(p.relative_to(one) for p in one.rglob("*"))
    assert names == sorted(p.relative_to(two) for p in two.rglob("*"))
    assert len([n for n in names if n.suffix == ".jsonl"]) == 7
    assert all((one / n).read_bytes() == (two / n).read_bytes() for n in names if n.suffix)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["deep", "one", "published study"]


def test_nobody_can_be_asked_about_imported_answers(run: RunFolder) -> None:
    before = {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()}
    for command in (quantrial.run, quantrial.plan):
        with pytest.raises(StudyError, match=r"arms\.fp16: its answers were imported, so no"):
            command(run.path)
    assert {path: path.read_bytes() for path in before} == before


def test_missing_rows_are_not_called_an_unfinished_run(
    run: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nobody can be asked for the row that q4_K_M lacks: the files have to be imported again."""
    tell.summary(load_summary(quantrial.analyze(run.path)), run.path)
    said = " ".join(capsys.readouterr().out.split())
    assert "Incomplete: 1 row is missing in what was imported" in said
    assert "quantrial import into a new folder" in said
    assert "quantrial run" not in said
    texts = [one["text"] for one in quantrial.decide(run.path)["cautions"]]
    assert (
        "On extraction, 1 of 90 planned calls is missing in what was imported. "
        "Its pairs are left out."
    ) in texts
    assert not any("not asked yet" in text for text in texts)
