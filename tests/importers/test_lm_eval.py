"""Logs of lm-eval: real ones against counts by another program; what is refused or warned of."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import orjson
import pytest
from typer.testing import CliRunner

import quantrial
from quantrial.cli import app
from quantrial.errors import DataError, StudyError
from quantrial.importers import ImportReport, LogOptions
from quantrial.runfolder import RunFolder

FORMATS = Path(__file__).parents[1] / "data" / "formats"
LOGS = FORMATS / "lm-eval"
ARMS = {"f16": LOGS / "f16", "q4": LOGS / "q4"}
EXPECTED: Mapping[str, Any] = json.loads((FORMATS / "expected.json").read_text())["lm-eval"]


def read(out: Path, arms: Mapping[str, Path] = ARMS, **options: Any) -> ImportReport:
    return quantrial.read_log("lm-eval", arms, out, options=LogOptions(**options))


def scores(run: Path, task: str, metric: str) -> dict[str, dict[str, float]]:
    """Return the recorded scores by arm and item."""
    found: dict[str, dict[str, float]] = {}
    for arm in ("f16", "q4"):
        for response in RunFolder(run).read_responses(task, arm, known=None):
            value = (response.scores or {})[metric]
            assert value is not None
            found.setdefault(arm, {})[response.item] = value
    return found


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """Read all tasks by the first filters and by the second ones, and the leaves by themselves."""
    folder = tmp_path_factory.mktemp("lm-eval")
    every = {
        "strict": ("strict-match", "toy_rep=score-first"),
        "flexible": ("toy_gen=flexible-extract", "maj@3"),
    }
    for name, filters in every.items():
        read(folder / name, filters=filters, margin="5pp")
    read(folder / "leaves", tasks=("toy_colour", "toy_size"), stratify="group")
    return {name: folder / name for name in (*every, "leaves")}


CASES = [
    ("strict", "toy_mc", "toy_mc / none / acc"),
    ("strict", "toy_mc", "toy_mc / none / acc_norm"),
    ("strict", "toy_gen", "toy_gen / strict-match / exact_match"),
    ("flexible", "toy_gen", "toy_gen / flexible-extract / exact_match"),
    ("strict", "toy_rep", "toy_rep / score-first / exact_match"),
    ("flexible", "toy_rep", "toy_rep / maj@3 / exact_match"),
    ("leaves", "toy_colour", "toy_colour / none / acc"),
    ("leaves", "toy_colour", "toy_colour / none / acc_norm"),
    ("leaves", "toy_size", "toy_size / none / acc"),
    ("leaves", "toy_size", "toy_size / none / acc_norm"),
]


@pytest.mark.parametrize(("run", "task", "name"), CASES)
def test_real_logs_have_the_counts_of_another_program(
    runs: Mapping[str, Path], run: str, task: str, name: str
) -> None:
    wanted = EXPECTED[name]
    found = scores(runs[run], task, name.split(" / ")[2])
    assert {arm: len(own) for arm, own in found.items()} == dict.fromkeys(ARMS, wanted["n"])
    assert {arm: sum(own.values()) for arm, own in found.items()} == wanted["right"]
    f16, q4 = found["f16"], found["q4"]
    assert [int(key) for key in f16 if f16[key] > q4[key]] == wanted["harmful_doc_ids"]
    assert [int(key) for key in f16 if f16[key] < q4[key]] == wanted["beneficial_doc_ids"]


def test_a_group_is_one_task_with_its_leaves_as_strata(runs: Mapping[str, Path]) -> None:
    items = RunFolder(runs["strict"]).read_items()["toy_pair"]
    leaves = [item.metadata["subtask"] for item in items]
    assert (leaves.count("toy_colour"), leaves.count("toy_size")) == (6, 9)
    found = scores(runs["strict"], "toy_pair", "acc")  # by size: (4 + 5) and (4 + 6) of 15
    assert {arm: sum(own.values()) for arm, own in found.items()} == {"f16": 9, "q4": 10}


def test_groups_of_a_field_are_counted(runs: Mapping[str, Path]) -> None:
    items = RunFolder(runs["leaves"]).read_items()["toy_size"]
    groups = [item.metadata["group"] for item in items]
    assert {name: groups.count(name) for name in groups} == {"animals": 3, "objects": 6}


def test_the_right_choice_has_the_probability_of_the_log_likelihoods(
    runs: Mapping[str, Path],
) -> None:
    # exp(-3.352372) over the sum of exp of -1.871942, -6.592601, -6.552644, -3.352372
    found = scores(runs["strict"], "toy_mc", "p_right")["f16"]["0"]
    assert found == pytest.approx(0.035001 / (0.153825 + 0.001370 + 0.001426 + 0.035001), rel=1e-3)


def test_scores_are_derived_again_and_the_run_verifies(runs: Mapping[str, Path]) -> None:
    run = runs["strict"]
    notes = "\n".join(RunFolder(run).read_manifest().notes)
    for task, metric, rows in (
        ("toy_mc", "acc", 72),
        ("toy_mc", "acc_norm", 72),
        ("toy_gen", "exact_match", 48),
        ("toy_pair", "acc", 30),
    ):
        assert f"{task}: {metric} was scored by lm-eval 0.4.13, {rows} of {rows} derived" in notes
    quantrial.analyze(run)
    quantrial.report(run)
    assert not quantrial.verify(run).drifts


def copied(tmp_path: Path, change: Callable[[list[dict[str, Any]]], object], arm: str) -> Path:
    """Copy the rows of toy_mc of an arm, changed."""
    folder = tmp_path / "changed"
    shutil.copytree(LOGS / arm, folder)
    path = next(folder.rglob("samples_toy_mc_*.jsonl"))
    rows = [orjson.loads(line) for line in path.read_bytes().splitlines()]
    change(rows)
    path.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
    return folder


def mended(row: dict[str, Any], **changes: Any) -> None:
    row.update(changes)


TRAPS: list[tuple[Callable[[list[dict[str, Any]]], object], str, str | None]] = [
    (lambda rows: rows.pop(), "missing in q4 .35..*--allow unpaired", "unpaired"),
    (lambda rows: rows.append(rows[3]), r"37.* item '3'.*stands here again", "duplicates"),
    (lambda rows: mended(rows[2], target="0"), "another right answer", "changed-golds"),
    (
        lambda rows: mended(rows[2]["arguments"]["gen_args_0"], arg_0="Now:"),
        "1 of 36 items were asked in other words",
        "different-prompts",
    ),
    (lambda rows: mended(rows[2]["doc"], question="Now?"), "another one than in", None),
    (lambda rows: mended(rows[1], doc_id="1"), "'doc_id' is '1'", None),
]


@pytest.mark.parametrize(("change", "said", "allowed"), TRAPS)
def test_what_does_not_pair_is_refused_until_it_is_allowed(
    tmp_path: Path,
    change: Callable[[list[dict[str, Any]]], object],
    said: str,
    allowed: str | None,
) -> None:
    arms = {"f16": LOGS / "f16", "q4": copied(tmp_path, change, "q4")}
    with pytest.raises(DataError) as caught:
        read(tmp_path / "run", arms, tasks=("toy_mc",))
    assert re.search(said, str(caught.value))
    if allowed is not None:
        report = read(tmp_path / "run", arms, tasks=("toy_mc",), allow=frozenset({allowed}))
        assert report.responses in (71, 72)
        assert any(re.search("1 (of|rows|items)", note) for note in report.notes)


def test_hashes_of_odd_documents_are_derived_as_lm_eval_writes_them(tmp_path: Path) -> None:
    odd = {"large": 1e22, "none": [], "text": "\x7f\u2028\b", "small": 1e-7, "one": {"two": {}}}
    arms = {}
    for arm, wrong in (("f16", 0), ("q4", 1)):

        def change(rows: list[dict[str, Any]], wrong: int = wrong) -> None:
            for number, row in enumerate(rows):
                row["doc"] |= odd
                text = json.dumps(row["doc"], indent=2, ensure_ascii=False)
                row["doc_hash"] = hashlib.sha256(text.encode()).hexdigest()
                if number < wrong:
                    row["doc_hash"] = "0" * 64

        arms[arm] = copied(tmp_path / arm, change, arm)
    notes = read(tmp_path / "run", arms, tasks=("toy_mc",)).notes
    (said,) = [note for note in notes if "doc_hash" in note]
    assert "doc_hash of 1 of 36 rows is not that" in said


def test_old_logs_without_filters_are_not_deduplicated(tmp_path: Path) -> None:
    def change(rows: list[dict[str, Any]]) -> None:
        rows.append(dict(rows[0]))
        for row in rows:
            del row["filter"], row["metrics"]

    arms = {"f16": LOGS / "f16", "q4": copied(tmp_path, change, "q4")}
    with pytest.raises(DataError, match="nothing says which filter"):
        read(tmp_path / "run", arms, tasks=("toy_mc",), allow=frozenset({"duplicates"}))


def test_the_broken_copy_needs_each_of_its_faults_allowed(tmp_path: Path) -> None:
    arms = {"f16": LOGS / "f16", "q4": LOGS / "q4-broken"}
    options: dict[str, Any] = {"tasks": ("toy_rep",), "filters": ("score-first",)}
    with pytest.raises(DataError, match=r"'4' of toy_rep stands here again.*--allow duplicates"):
        read(tmp_path / "run", arms, **options)
    with pytest.raises(DataError, match=r"1 of 9 items of toy_rep are missing in q4 \(7\)"):
        read(tmp_path / "run", arms, **options, allow=frozenset({"duplicates"}))
    report = read(tmp_path / "run", arms, **options, allow=frozenset({"duplicates", "unpaired"}))
    assert report.responses == 9 + 8
    with pytest.raises(DataError, match="q4 has no row of toy_colour"):
        read(tmp_path / "all", arms, allow=frozenset({"duplicates"}))


def test_several_filters_need_a_name(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"strict-match, flexible-extract.*--filter strict-match"):
        read(tmp_path / "run", tasks=("toy_gen",))


def test_two_runs_of_an_arm_are_refused_or_the_newest_is_read(tmp_path: Path) -> None:
    both = tmp_path / "both"
    shutil.copytree(LOGS / "f16", both / "a")
    shutil.copytree(LOGS / "q4", both / "b")  # two minutes later
    arms = {"f16": LOGS / "f16", "q4": both}
    with pytest.raises(DataError, match=r"ran toy_colour 2 times.*--latest"):
        read(tmp_path / "run", arms)
    read(tmp_path / "run", arms, tasks=("toy_mc",), latest=True)
    assert sum(scores(tmp_path / "run", "toy_mc", "acc")["q4"].values()) == 15


def test_other_filters_of_two_arms_are_refused(tmp_path: Path) -> None:
    def change(rows: list[dict[str, Any]]) -> None:
        for row in rows:
            row["filter"] = "flexible-extract"

    q4 = copied(tmp_path, change, "q4")
    with pytest.raises(StudyError, match="toy_mc were read by different filters: f16 by"):
        read(tmp_path / "run", {"f16": LOGS / "f16", "q4": q4}, tasks=("toy_mc",))


def test_a_metric_of_which_fewer_is_better_is_read_so(tmp_path: Path) -> None:
    arms = {}
    for arm, source in ARMS.items():
        arms[arm] = tmp_path / arm
        shutil.copytree(source, arms[arm])
        (results,) = arms[arm].rglob("results_*.json")
        said = json.loads(results.read_text())
        said["higher_is_better"]["toy_mc"] = {"acc": False, "acc_norm": True}
        results.write_text(json.dumps(said))
    read(tmp_path / "run", arms, tasks=("toy_mc",))
    task = quantrial.load_study(tmp_path / "run" / "study.yaml").tasks["toy_mc"]
    directions = {one["endpoint"]: one.get("direction") for one in task.measures or ()}
    assert (directions["acc"], directions["acc_norm"]) == ("lower", None)


def test_identical_outputs_are_said_first_and_odd_metrics_are_named(tmp_path: Path) -> None:
    same = FORMATS / "identical" / "lm-eval"
    arms = {"f16": same / "toy-f16", "q4": same / "toy-q4"}
    report = read(tmp_path / "run", arms, filters=("strict-match",))
    assert "gave the same outputs to the byte" in report.notes[0]
    assert any("word_perplexity is left out" in note for note in report.notes)
    assert any(re.search("perplexity is left out; it goes from -", note) for note in report.notes)


def test_an_edited_score_is_said_first(tmp_path: Path) -> None:
    arms = {
        "f16": LOGS / "f16",
        "q4": copied(tmp_path, lambda rows: mended(rows[1], acc=0.0), "q4"),
    }
    report = read(tmp_path / "run", arms, tasks=("toy_mc",))
    assert "1 scores of acc are not those that the answers give" in report.notes[0]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (b'"acc": 0.0', b'"acc": NaN', None),
        (b'"acc": 0.0', b'"acc": ' + b"9" * 100_000, None),
        (b"is right", b"\\ud800\\u001b[31m", None),
        (b'"doc_id": 0', b'"doc_id": 0.5', "'doc_id' is 0.5"),
        (b'{"doc_id": 0', b"{", "is no JSON"),
        (b'"doc": {', b'"doc": [' * 100_000 + b"{", "is no JSON"),
    ],
)
def test_hostile_lines_end_in_typed_errors_or_plain_text(
    tmp_path: Path, old: bytes, new: bytes, said: str | None
) -> None:
    folder = tmp_path / "hostile"
    shutil.copytree(LOGS / "q4", folder)
    path = next(folder.rglob("samples_toy_mc_*.jsonl"))
    path.write_bytes(path.read_bytes().replace(old, new, 1))
    arms = {"f16": LOGS / "f16", "q4": folder}
    if said is None:
        report = read(tmp_path / "run", arms, tasks=("toy_mc",))
        assert report.responses >= 71
        return
    with pytest.raises(DataError, match=said):
        read(tmp_path / "run", arms, tasks=("toy_mc",))


def test_one_command_from_two_folders_to_the_decision(tmp_path: Path) -> None:
    run = tmp_path / "run"
    words = ["import", "lm-eval", f"f16={ARMS['f16']}", f"q4={ARMS['q4']}", "-o", str(run)]
    words += ["--task", "toy_mc", "--margin", "5pp", "--weights", "q4=4bit:77MB"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    assert (run / "report.md").is_file()
    record = RunFolder(run).read_manifest().arms["q4"]
    assert (record.quantization, record.bytes_on_disk) == ("4bit", 77_000_000)
    with pytest.raises(StudyError, match="two arms are needed"):
        read(tmp_path / "x", {"f16": LOGS / "f16"})
