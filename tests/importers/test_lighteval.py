"""Details of lighteval: files with the columns that its dataclasses make, and what traps end in."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import duckdb
import pytest

import quantrial
from quantrial.errors import DataError
from quantrial.importers import LogOptions
from quantrial.importers.auto import guess
from quantrial.runfolder import RunFolder

TIME = "2025-11-05T14-43-47.148527"
MODEL = {"model_name": "org/m", "lighteval_sha": "3fd1526612345", "model_config": {}}


def write(
    out: Path,
    rows: Sequence[Mapping[str, Any]],
    *,
    model: str = "org/f16",
    task: str = "toy|0",
    time: str = TIME,
    results: Mapping[str, Any] | None = None,
) -> Path:
    """Write a task's details where `EvaluationTracker.save` does; return the model's folder."""
    folder = out / "details" / model
    file = folder / time / f"details_{task}_{time}.parquet"
    file.parent.mkdir(parents=True, exist_ok=True)
    source = out / "rows.json"
    source.write_text(json.dumps(list(rows)))
    with duckdb.connect(":memory:") as connection:
        connection.execute(
            f"COPY (SELECT * FROM read_json('{source}', maximum_object_size = 100000000)) "
            f"TO '{file}' (FORMAT parquet)"
        )
    if results is not None:
        beside = out / "results" / model / f"results_{time}.json"
        beside.parent.mkdir(parents=True, exist_ok=True)
        beside.write_text(json.dumps(results))
    return folder


def choice(number: int, logprobs: Sequence[float], gold: int = 0, **more: Any) -> dict[str, Any]:
    """Make a row of multiple choice: no text, a log-likelihood for each choice."""
    doc = {
        "choices": [" yes", " no", " maybe"],
        "gold_index": gold,
        "id": str(number),
        "query": f"Is it {number}?",
        "specific": {"subject": "a" if number % 2 else "b"},
        "task_name": "toy|0",
    }
    right = max(range(3), key=lambda at: logprobs[at]) == gold
    return {
        "doc": doc,
        "metric": {"acc": int(right)},
        "model_response": {
            "input": f"Is it {number}?",
            "input_tokens": [1, 2, 3],
            "logprobs": list(logprobs),
            "output_tokens": [[5], [6], [7]],
            "text": [],
            "truncated_tokens_count": 0,
        },
    } | more


def text(
    number: int, said: Sequence[str], metric: Mapping[str, Any] | None = None, gold: str = "1"
) -> dict[str, Any]:
    """Make a row of a task that generates: a text for each sample."""
    return {
        "doc": {"choices": [gold], "gold_index": [0], "id": str(number), "query": f"{number}?"},
        "metric": metric or {"em": float(gold in said)},
        "model_response": {
            "input": f"{number}?",
            "text": list(said),
            "text_post_processed": [one.strip() for one in said],
            "output_tokens": [[1]],
            "logprobs": None,
            "truncated_tokens_count": 0,
        },
    }


def scores(folder: Path, task: str, arm: str) -> list[dict[str, Any]]:
    found = RunFolder(folder).read_responses(task, arm, known=None)
    return [dict(one.scores or {}) for one in found]


def test_choices_are_scored_again_and_the_probability_of_the_right_one_is_read(
    tmp_path: Path,
) -> None:
    results = {"config_general": MODEL, "config_tasks": {}}
    arms = {
        "f16": write(tmp_path / "a", [choice(n, (-1, -2, -3)) for n in range(4)], results=results),
        "q4": write(
            tmp_path / "b",
            [choice(n, (-2, -1, -3) if n == 2 else (-1, -2, -4)) for n in range(4)],
            results=results,
        ),
    }
    report = quantrial.read_log("lighteval", arms, tmp_path / "run")
    found = scores(report.folder, "toy-0", "q4")
    assert [one["acc"] for one in found] == [1.0, 1.0, 0.0, 1.0]
    # by hand: of exp(-2), exp(-1), exp(-3) the first is this share
    share = math.exp(-2) / (math.exp(-1) + math.exp(-2) + math.exp(-3))
    assert found[2]["p_right"] == pytest.approx(share, rel=1e-12)
    notes = "\n".join(report.notes)
    assert "acc was scored by lighteval 3fd152661234, 8 of 8 derived again" in notes
    answers = RunFolder(report.folder).read_responses("toy-0", "q4", known=None)
    assert [one.output for one in answers] == [" yes", " yes", " no", " yes"]


def test_an_edited_score_and_a_cut_prompt_are_said(tmp_path: Path) -> None:
    good = [choice(n, (-1, -2, -3)) for n in range(4)]
    bad = [choice(n, (-1, -2.5, -3)) for n in range(4)]
    bad[1]["metric"] = {"acc": 0}
    bad[3]["model_response"]["truncated_tokens_count"] = 12
    report = quantrial.read_log(
        "lighteval",
        {"f16": write(tmp_path / "a", good), "q4": write(tmp_path / "b", bad)},
        tmp_path / "run",
    )
    assert "1 scores of acc are not those that the answers give" in report.notes[0]
    assert any("1 of 4 prompts were longer than the context" in note for note in report.notes)


def test_models_of_one_output_folder_are_arms(tmp_path: Path) -> None:
    for arm in ("f16", "q4"):
        write(tmp_path, [text(n, ["1" if n or arm == "f16" else "2"]) for n in range(4)],
              model=f"org/m-{arm}")  # fmt: skip
    found = guess([tmp_path])
    assert (found.form, found.said[1]) == ("lighteval", "The arms are m-f16, m-q4.")
    options = LogOptions(reference="m-f16")
    report = quantrial.read_log("lighteval", tmp_path, tmp_path / "run", options=options)
    assert [one["em"] for one in scores(report.folder, "toy-0", "m-q4")] == [0, 1, 1, 1]
    with pytest.raises(DataError, match=r"holds several models \(m-f16, m-q4\)"):
        quantrial.read_log("lighteval", {"a": tmp_path, "b": tmp_path}, tmp_path / "run2")


def test_two_times_are_two_runs(tmp_path: Path) -> None:
    a = write(tmp_path / "a", [text(n, ["1"]) for n in range(3)])
    b = write(tmp_path / "b", [text(n, ["2"]) for n in range(3)])
    write(tmp_path / "b", [text(n, ["1"]) for n in range(3)], time="2025-12-05T14-43-47.148527")
    arms = {"f16": a, "q4": b}
    with pytest.raises(DataError, match=r"arm q4 ran toy\|0 2 times"):
        quantrial.read_log("lighteval", arms, tmp_path / "run")
    options = LogOptions(latest=True)
    report = quantrial.read_log("lighteval", arms, tmp_path / "run", options=options)
    assert [one["em"] for one in scores(report.folder, "toy-0", "q4")] == [1, 1, 1]


def test_subsets_are_one_task_with_strata(tmp_path: Path) -> None:
    for arm in ("f16", "q4"):
        for subset in ("anatomy", "virology"):
            rows = [choice(n, (-1, -2, -3) if arm == "f16" else (-1, -2, -2)) for n in range(3)]
            write(tmp_path, rows, model=arm, task=f"mmlu:{subset}|5")
    arms = {arm: tmp_path / "details" / arm for arm in ("f16", "q4")}
    report = quantrial.read_log("lighteval", arms, tmp_path / "run")
    assert report.tasks == ("mmlu-5",)
    items = RunFolder(report.folder).read_items()["mmlu-5"]
    assert {dict(one.metadata)["subtask"] for one in items} == {
        "mmlu:anatomy|5",
        "mmlu:virology|5",
    }
    one = LogOptions(tasks=("mmlu:virology|5",))
    report = quantrial.read_log("lighteval", arms, tmp_path / "one", options=one)
    assert report.responses == 6


def test_samples_have_one_score_and_equal_outputs_are_said_first(tmp_path: Path) -> None:
    rows = [text(n, ["1", "2"], {"avg@n:n=2": 0.5}) for n in range(6)]
    arms = {arm: write(tmp_path / arm, rows) for arm in ("a", "b")}
    report = quantrial.read_log("lighteval", arms, tmp_path / "run")
    assert "the same outputs to the byte on all 6 items" in report.notes[0]
    assert scores(report.folder, "toy-0", "a") == [{"avg_n_n_2": 0.5}] * 6
    answers = RunFolder(report.folder).read_responses("toy-0", "a", known=None)
    assert next(iter(answers)).output == "1\n2"


def test_metrics_of_the_whole_corpus_are_named_and_left(tmp_path: Path) -> None:
    bleu = {"golds": ["x"], "preds": ["y"]}
    arms = {
        arm: write(
            tmp_path / arm,
            [text(n, [arm], {"em": 0.0, "bleu": bleu, "ppl": 3.5}) for n in range(3)],
        )
        for arm in ("a", "b")
    }
    report = quantrial.read_log("lighteval", arms, tmp_path / "run")
    notes = "\n".join(report.notes)
    assert "toy|0: bleu is left out; it is no number an item." in notes
    assert "toy|0: ppl is left out; it goes from 3.5 to 3.5" in notes
    assert scores(report.folder, "toy-0", "a") == [{"em": 0.0}] * 3


def test_long_names_of_metrics_that_begin_alike_stay_apart(tmp_path: Path) -> None:
    start = "acc:logprob_normalization=LogProbCharNorm(name='norm', ignore_first_space="
    metrics = {f"{start}True)": 1, f"{start}False)": 0}
    arms = {
        arm: write(tmp_path / arm, [text(n, [arm], metrics) for n in range(3)])
        for arm in ("a", "b")
    }
    report = quantrial.read_log("lighteval", arms, tmp_path / "run")
    assert sorted(scores(report.folder, "toy-0", "a")[0].values()) == [0.0, 1.0]


def test_metrics_of_which_fewer_is_better_are_read_so(tmp_path: Path) -> None:
    stated = [{"metric_name": "er", "higher_is_better": False}]
    results = {"config_general": MODEL, "config_tasks": {"toy|0": {"metrics": stated}}}
    arms = {
        arm: write(
            tmp_path / arm, [text(n, [arm], {"er": 0.25}) for n in range(3)], results=results
        )
        for arm in ("a", "b")
    }
    report = quantrial.read_log("lighteval", arms, tmp_path / "run")
    assert "direction: lower" in (report.folder / "study.yaml").read_text()


def old(number: int, right: bool, *, printed: bool) -> dict[str, Any]:
    """Make a row of `Detail` before 0.9; up to 0.6 every value was `str(value)`."""
    row = {
        "example": f"{number}?",
        "full_prompt": f"Answer.\n{number}?",
        "predictions": ["1" if right else "it's 2"],
        "gold": ["1"],
        "choices": [],
        "metrics": {"em": float(right), "f1": 0.5, "bleu": {"golds": ["1"], "preds": ["2"]}},
        "specifics": {"subject": "sums"},
    }
    if not printed:
        return row
    shown = {name: str(value) for name, value in row.items()}
    shown["metrics"] = shown["metrics"].replace("0.5", "np.float64(nan)")
    return shown


@pytest.mark.parametrize("printed", [True, False])
def test_the_old_layout_is_read_by_the_order_of_rows(tmp_path: Path, printed: bool) -> None:
    arms = {
        "f16": write(tmp_path / "a", [old(n, True, printed=printed) for n in range(4)],
                     task="lighteval|toy|0"),
        "q4": write(tmp_path / "b", [old(n, n > 0, printed=printed) for n in range(4)],
                    task="lighteval|toy|0"),
    }  # fmt: skip
    options = LogOptions(stratify="subject")
    report = quantrial.read_log("lighteval", arms, tmp_path / "run", options=options)
    assert [one["em"] for one in scores(report.folder, "lighteval-toy-0", "q4")] == [0, 1, 1, 1]
    answers = RunFolder(report.folder).read_responses("lighteval-toy-0", "q4", known=None)
    assert next(iter(answers)).output == "it's 2"
    items = RunFolder(report.folder).read_items()["lighteval-toy-0"]
    assert [item.id for item in items] == ["0", "1", "2", "3"]
    other = [old(n + 1, True, printed=printed) for n in range(4)]
    arms["q4"] = write(tmp_path / "c", other, task="lighteval|toy|0")
    with pytest.raises(DataError, match="is another one than in"):
        quantrial.read_log("lighteval", arms, tmp_path / "run2")


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    good = write(tmp_path / "a", [choice(n, (-1, -2, -3)) for n in range(3)])
    asked = [choice(n, (-1, -2, -3)) for n in range(3)]
    asked[1]["model_response"]["input"] = "<s>Is it 1?"
    for name, rows, message in (
        ("gold", [choice(n, (-1, -2, -3), gold=n == 1) for n in range(3)], "another right answer"),
        ("twice", [choice(0, (-1, -2, -3))] * 3, "stands here again"),
        ("asked", asked, "1 of 3 items were asked in other words"),
        ("fewer", [choice(n, (-1, -2, -3)) for n in range(2)], "missing in q4"),
        ("other", [{"x": 1}], "needed are doc, metric"),
    ):
        arms = {"f16": good, "q4": write(tmp_path / name, rows)}
        with pytest.raises(DataError, match=message):
            quantrial.read_log("lighteval", arms, tmp_path / "run")


def test_hostile_details_end_in_an_error_or_in_plain_text(tmp_path: Path) -> None:
    good = write(tmp_path / "a", [text(n, ["1"]) for n in range(3)])
    torn = tmp_path / "torn" / f"details_toy|0_{TIME}.parquet"
    torn.parent.mkdir()
    torn.write_bytes(b"PAR1 no more")
    with pytest.raises(DataError, match="no Parquet file"):
        quantrial.read_log("lighteval", {"f16": good, "q4": torn}, tmp_path / "run")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="--save-details"):
        quantrial.read_log("lighteval", {"f16": good, "q4": tmp_path / "empty"}, tmp_path / "run")
    evil = {"../../x": 1.0, "em": 1.0, "\x1b[31m": 0.5}
    arms = {
        arm: write(tmp_path / arm, [text(n, ["\x1b[2J" + arm], evil) for n in range(3)])
        for arm in ("b", "c")
    }
    report = quantrial.read_log("lighteval", arms, tmp_path / "out")
    assert "\x1b" not in (report.folder / "study.yaml").read_text() + "".join(report.notes)
    for value in ("9" * 100_000, "[" * 100_000, "-" * 50_000 + "1", "{'em': 1" + "0" * 5000 + "}"):
        bad = write(tmp_path / "d", [old(0, True, printed=True) | {"metrics": value}])
        with pytest.raises(DataError, match=r"'metrics' is .*needed is an object"):
            quantrial.read_log("lighteval", {"f16": bad, "q4": bad}, tmp_path / "no")
