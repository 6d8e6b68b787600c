"""Data that can say little, from the run to the report: a sentence or a typed error, no number."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

import quantrial
from drawings import draw_nothing
from quantrial.errors import DataError, RunFolderError
from studies import arm

ARMS = ("f16", "q8_0", "q4_0")
ADA = '[{"text": "Ada", "type": "PER"}]'
QUIZ = {"kind": "choice", "workload": "reasoning"}
NAMES = {"kind": "spans", "workload": "extraction"}


def questions(n: int) -> list[dict[str, Any]]:
    return [
        {"question": f"{i}?", "options": [f"{i}.{k}" for k in range(4)], "answer": 0, "book": "x"}
        for i in range(n)
    ]


def sentences(n: int, *, gold: bool = True) -> list[dict[str, Any]]:
    return [
        {"text": f"Ada came {i}.", "entities": [["Ada", "PER"]] if gold else []} for i in range(n)
    ]


def make_run(
    folder: Path,
    items: Sequence[dict[str, Any]],
    replies: dict[str, list[str]],
    task: dict[str, Any],
    **changes: Any,
) -> Path:
    """Run a study of three scripted arms and one task."""
    folder.mkdir(exist_ok=True)
    (folder / "items.jsonl").write_text("".join(json.dumps(i) + "\n" for i in items), "utf-8")
    study = {
        "study": "degenerate",
        "reference": "f16",
        "margin": 0.05,
        "arms": {
            name: arm(name, size, replies.get(name, replies["f16"]))
            for name, size in zip(ARMS, (400, 200, 100), strict=True)
        },
        "tasks": {"task": {**task, "source": {"type": "jsonl", "path": "items.jsonl"}}},
        "analysis": {"resamples": 300},
        "design": {"repeat_reference": 0},
    }
    path = folder / "study.yaml"
    path.write_text(yaml.safe_dump(study | changes, sort_keys=False), "utf-8")
    run = folder / "run"
    quantrial.run(path, out=run)
    return run


def rewritten(run: Path, name: str, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Rewrite what one arm recorded."""
    (path,) = (run / "responses").glob(f"*.{name}.jsonl")
    lines = [change(json.loads(line)) for line in path.read_text("utf-8").splitlines()]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")


def told(run: Path, methods: str) -> tuple[dict[str, Any], dict[str, Any], str]:
    """Analyse, decide, report, verify; return the task's summary, the decision, the report."""
    summary = quantrial.analyze(run, methods=methods)
    decision = quantrial.decide(run)
    quantrial.report(run)
    assert quantrial.verify(run).ok
    text = (run / "report.md").read_text("utf-8")
    # NaN has no JSON, and nothing of Python's reaches a reader
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary
    for word in ("nan", "inf", "None", "Traceback", "{'"):
        assert not re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])", text), word
    return summary["tasks"]["task"], decision, text.replace("\\", "")


def claims_nothing(task: dict[str, Any]) -> None:
    """No interval of zero width, and no claim where there is no interval."""
    for results in task["endpoints"].values():
        for one, test in zip(results["contrasts"], results["equivalence"], strict=True):
            low, high = one["ci"]
            assert (low is None) == (high is None)
            assert low is None or high > low
            if low is None:
                assert (test["equivalent"], test["non_inferior"]) == (False, False)


CASES: dict[str, tuple[Sequence[dict[str, Any]], dict[str, list[str]], dict[str, Any], str]] = {
    "one item": (
        questions(1),
        {"f16": ["A"], "q4_0": ["B"]},
        QUIZ,
        "How many items would rule that out is not known.",
    ),
    "one sentence": (
        sentences(1),
        {"f16": [ADA], "q4_0": ["[]"]},
        NAMES,
        "q8_0 is undecided: it could lose",
    ),
    "all equal and right": (
        questions(12),
        {"f16": ["A"]},
        QUIZ,
        "q4_0 is undecided: it could lose",
    ),
    "all equal and wrong": (
        questions(12),
        {"f16": ["B"]},
        QUIZ,
        "On reasoning even f16 does no better than guessing (25 %)",
    ),
    "all spans equal": (
        sentences(12),
        {"f16": [ADA]},
        NAMES,
        "How many items would rule that out is not known.",
    ),
    "one cluster": (
        questions(12),
        {"f16": ["A"], "q4_0": ["A", "B"]},
        QUIZ | {"cluster": "book"},
        "",
    ),
    "one stratum": (
        questions(12),
        {"f16": ["A"], "q4_0": ["A", "B"]},
        QUIZ | {"stratify": "book"},
        "",
    ),
    "an arm that never parses": (
        sentences(12),
        {"f16": [ADA], "q4_0": ["I would rather not."]},
        NAMES,
        "calibrated says worse, classic says undecided",
    ),
    "an arm without a letter": (
        questions(12),
        {"f16": ["A"], "q4_0": ["I would rather not."]},
        QUIZ,
        "q4_0 is worse: it lost 100.0 pp on reasoning, more than the margin of 5 pp.",
    ),
    "empty gold": (
        sentences(12, gold=False),
        {"f16": ["[]"], "q4_0": [ADA]},
        NAMES,
        "q4_0 cannot be compared with f16 on extraction: one of the two has no micro-F1.",
    ),
    "empty gold, all right": (
        sentences(12, gold=False),
        {"f16": ["[]"]},
        NAMES,
        "there was nothing to find and f16 found nothing, so its micro-F1 has no value.",
    ),
    "empty gold, never parses": (
        sentences(12, gold=False),
        {"f16": ["[]"], "q4_0": ["no"]},
        NAMES,
        "there was nothing to find",
    ),
}


# data that leave plots something else out
DRAWN = ("one item", "all equal and right", "an arm that never parses", "empty gold, never parses")


@pytest.mark.parametrize("name", CASES)
def test_a_sentence_and_no_number_made_up(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name not in DRAWN:
        draw_nothing(monkeypatch)
    items, replies, task, sentence = CASES[name]
    run = make_run(tmp_path / "study", items, replies, task)
    summary = quantrial.analyze(run, methods="classic")
    claims_nothing(summary["tasks"]["task"])
    assert quantrial.decide(run)["default"]["arm"] == "f16"
    found, decision, text = told(run, "calibrated")
    claims_nothing(found)
    assert decision["default"]["arm"] == "f16"
    assert sentence in text


@pytest.mark.usefixtures("undrawn")
def test_without_a_discordant_pair_enough_silence_is_a_claim(tmp_path: Path) -> None:
    # the score test works without one: at a margin of 5 points, 80 equal answers rule it out
    run = make_run(tmp_path / "study", questions(80), {"f16": ["A"]}, QUIZ)
    task, decision, _ = told(run, "calibrated")
    assert decision["default"]["arm"] == "q4_0"
    low, high = task["endpoints"]["accuracy"]["contrasts"][0]["ci"]
    assert low < 0 < high
    task, decision, text = told(run, "classic")
    assert decision["default"]["arm"] == "f16"  # a bootstrap that does not vary knows nothing
    assert "calibrated says equivalent, classic says undecided" in text


@pytest.mark.usefixtures("undrawn")
def test_one_cluster_is_refused_and_says_what_to_do(tmp_path: Path) -> None:
    items, replies, task, _ = CASES["one cluster"]
    run = make_run(tmp_path / "study", items, replies, task)
    found, _, text = told(run, "calibrated")
    for one in found["endpoints"]["accuracy"]["contrasts"]:
        assert (one["ci_method"], one["verdict"]) == ("refused", "inconclusive")
        assert (one["sd_paired"], one["settled_by"]) == (None, None)
    assert "On reasoning there are too few clusters to speak for others like them" in text


def test_an_arm_with_no_answers_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_run(tmp_path / "study", questions(12), {"f16": ["A"]}, QUIZ)

    def failed(line: dict[str, Any]) -> dict[str, Any]:
        return {**line, "status": "engine_error", "error": "it broke", "output": ""}

    rewritten(run, "q4_0", failed)
    for methods in ("calibrated", "classic"):
        task, decision, text = told(run, methods)
        assert "q4_0" not in task["endpoints"]["accuracy"]["arms"]
        assert task["flow"]["faulted"] == 12
        assert "q4_0 answered nothing on reasoning, so this study says nothing" in text
        assert decision["default"]["arm"] == "f16"
        assert "q4_0 has no answered item in common with f16 on reasoning." in text
        draw_nothing(monkeypatch)  # once is enough


def test_the_reference_with_no_answers_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run(tmp_path / "study", questions(12), {"f16": ["A"]}, QUIZ)
    rewritten(run, "f16", lambda line: {**line, "status": "timeout", "error": "x", "output": ""})
    for methods in ("calibrated", "classic"):
        _, decision, text = told(run, methods)
        assert decision["default"]["arm"] == "f16"
        assert "f16 answered nothing on reasoning, so this study says nothing" in text
        draw_nothing(monkeypatch)


def test_no_item_and_no_answer_are_typed_errors(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"items\.jsonl"):
        make_run(tmp_path / "none", [], {"f16": ["A"]}, QUIZ)
    run = make_run(tmp_path / "study", questions(3), {"f16": ["A"]}, QUIZ)
    for path in (run / "responses").glob("*.jsonl"):
        path.write_text("", "utf-8")
    with pytest.raises(RunFolderError, match="no answer is recorded yet"):
        quantrial.analyze(run)
    with pytest.raises(RunFolderError, match="no answer is recorded yet"):
        quantrial.report(run)


def test_calls_that_all_ended_in_a_fault_say_how_to_ask_again(tmp_path: Path) -> None:
    run = make_run(tmp_path / "study", questions(3), {"f16": ["A"]}, QUIZ)
    for name in ARMS:
        rewritten(run, name, lambda one: {**one, "status": "timeout", "error": "x", "output": ""})
    with pytest.raises(RunFolderError, match="no call was answered, 9 ended in a fault") as caught:
        quantrial.analyze(run)
    assert f"quantrial run {run} --retry-faults" in str(caught.value)
