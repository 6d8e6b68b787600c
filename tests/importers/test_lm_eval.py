"""Logs of lm-eval: real ones against counts by another program; what is refused or warned of."""

from __future__ import annotations

import hashlib
import json
import math
import re
import shutil
import statistics
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import orjson
import pytest
from typer.testing import CliRunner

import quantrial
from quantrial.cli import app
from quantrial.documents import load_summary
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
    summary = load_summary(quantrial.analyze(run))
    quantrial.report(run)
    assert not quantrial.verify(run).drifts
    divergences = sorted(divergence(*pair) for pair in zip(*map(likelihoods, ARMS), strict=True))
    [found] = summary.tasks["toy_mc"].fidelity
    assert (found.of, found.items) == ("choices", 36)
    assert found.kl.estimate == pytest.approx(statistics.fmean(divergences))
    assert found.kl_median == pytest.approx(statistics.median(divergences))
    assert found.kl_p90 == pytest.approx(
        0.5 * (divergences[31] + divergences[32])
    )  # 0.9 of 35 gaps is 31.5
    page = (run / "report.md").read_text()
    assert "From the log-likelihoods of each item's choices." in page


def likelihoods(arm: str) -> list[list[float]]:
    """Return the log-likelihoods of the choices of toy_mc, as the log has them."""
    path = next((LOGS / arm).rglob("samples_toy_mc_*.jsonl"))
    rows = sorted(map(orjson.loads, path.read_bytes().splitlines()), key=lambda row: row["doc_id"])
    return [[float(one[0][0]) for one in row["resps"]] for row in rows]


def divergence(one: list[float], other: list[float]) -> float:
    """Return the Kullback-Leibler divergence of the first softmax from the second, in nats."""
    p, q = ([math.exp(x) / math.fsum(map(math.exp, own)) for x in own] for own in (one, other))
    return math.fsum(a * math.log(a / b) for a, b in zip(p, q, strict=True))


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


def test_likelihoods_of_zero_are_read_and_those_that_are_none_are_counted(tmp_path: Path) -> None:
    def change(rows: list[dict[str, Any]]) -> None:
        for row, value in ((rows[0], "-inf"), (rows[1], "nan")):
            row["filtered_resps"][0][0] = row["resps"][0][0][0] = value

    arms = {"f16": LOGS / "f16", "q4": copied(tmp_path, change, "q4")}
    with pytest.raises(DataError):
        read(tmp_path / "run", arms, tasks=("toy_mc",), metrics=("p_left",))
    report = read(tmp_path / "run", arms, tasks=("toy_mc",), metrics=("p_right", "acc"))
    assert any("log-likelihoods of 1 of 36 rows are no numbers" in one for one in report.notes)
    [first, *_] = likelihoods("q4")
    rest = [math.exp(value) for value in first[1:]]  # the first choice has a probability of 0
    found = scores(tmp_path / "run", "toy_mc", "p_right")["q4"]
    assert found["0"] == pytest.approx(rest[2] / math.fsum(rest))
    assert "1" not in found
    summary = load_summary(quantrial.analyze(tmp_path / "run"))
    [fidelity] = summary.tasks["toy_mc"].fidelity
    assert fidelity.items == 35


def test_lists_of_bools_are_ratios_and_what_is_no_number_is_named(tmp_path: Path) -> None:
    arms = {}
    for arm, kept in (("f16", 3), ("q4", 2)):

        def change(rows: list[dict[str, Any]], kept: int = kept) -> None:
            for number, row in enumerate(rows):
                told = [True] * kept + [False] * (4 - kept) if number else [True] * 9
                row |= {"inst": told, "f1": [1, 0], "judge": {"a": 1}, "cut": "x"}
                row["metrics"] = ["inst", "f1", "judge", "cut"]

        arms[arm] = copied(tmp_path / arm, change, arm)
    report = read(tmp_path / "run", arms, tasks=("toy_mc",))
    task = load_summary(quantrial.analyze(tmp_path / "run")).tasks["toy_mc"]
    found = {arm: own.estimate for arm, own in task.endpoints["inst"].arms.items()}
    # 9 of the first item, 3 or 2 of 4 of the other 35
    assert found == pytest.approx({"f16": (9 + 105) / 149, "q4": (9 + 70) / 149})
    notes = "\n".join(report.notes)
    for said in (
        "f1 is left out; of an item it is a pair",
        "judge is left out; of an item it is an",
    ):
        assert said in notes


def test_log_likelihoods_a_word_are_a_ratio_with_a_range(tmp_path: Path) -> None:
    folder = FORMATS / "identical" / "lm-eval"
    arms = {arm: folder / f"toy-{arm}" for arm in ("f16", "q4")}
    options: dict[str, Any] = {"metrics": ("word_perplexity",), "margin": "0.1"}
    ranges = {"word_perplexity": (-20.0, 0.0)}
    read(tmp_path / "run", arms, tasks=("toy_ppl",), ranges=ranges, **options)
    task = load_summary(quantrial.analyze(tmp_path / "run")).tasks["toy_ppl"]
    path = next((folder / "toy-f16").glob("samples_toy_ppl_*"))
    pairs = [orjson.loads(line)["word_perplexity"] for line in path.read_bytes().splitlines()]
    wanted = sum(pair[0] for pair in pairs) / sum(pair[1] for pair in pairs)
    assert task.endpoints["word_perplexity"].arms["f16"].estimate == pytest.approx(wanted)
    study = quantrial.load_study(tmp_path / "run" / "study.yaml").tasks["toy_ppl"]
    [measure] = study.measures or ()
    # fewer is better of a perplexity, more of the log-likelihood that the log has
    assert (measure["unit"], measure.get("direction")) == ("nats a word", None)


def test_logs_that_were_cut_or_limited_are_told(tmp_path: Path) -> None:
    cut = copied(tmp_path, lambda rows: rows.pop(), "q4")
    (results,) = cut.rglob("results_*.json")
    said = json.loads(results.read_text())
    said["n-samples"]["toy_mc"]["original"] = 100
    results.write_text(json.dumps(said))
    arms = {"f16": LOGS / "f16", "q4": cut}
    notes = "\n".join(
        read(tmp_path / "run", arms, tasks=("toy_mc",), allow=frozenset({"unpaired"})).notes
    )
    assert re.search(r"was cut or edited after the run.* It holds 35 items; 36 were asked", notes)
    assert "q4 was asked 36 of the 100 items of its tasks (`--limit` of lm_eval)" in notes
    assert notes.count("was cut or edited") == 1, "the other arm's file is whole"


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


def test_a_field_that_looks_like_a_group_is_named(tmp_path: Path) -> None:
    def subjects(rows: list[dict[str, Any]]) -> None:
        for number, row in enumerate(rows):
            # 6 subjects of 2 items; an id of its own; a topic with 2 values; the right answer
            row["doc"] |= {"subject": f"s{number % 6}", "name": f"n{number}", "topic": number % 2}

    arms = {arm: copied(tmp_path / arm, subjects, arm) for arm in ("f16", "q4")}
    report = read(tmp_path / "run", arms, tasks=("toy_mc",))
    named = [note for note in report.notes if "looks like a group" in note]
    assert [note.partition(" looks")[0] for note in named] == ["toy_mc: subject"]
    assert "with 6 values. `--stratify subject` shows" in named[0]
    again = read(tmp_path / "more", arms, tasks=("toy_mc",), stratify="subject")
    assert not any("looks like a group" in note for note in again.notes)


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
