"""One's own workload: the studies that `init --workload` writes go the whole way, by hand."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

import quantrial
from quantrial.engines.scripted import ScriptedEngine, prompt_of
from studies import read_lines

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Case:
    """What arms answer to an example's rows, and what follows from it by arithmetic."""

    task: str
    text: str
    right: Callable[[Row], str]
    damaged: Callable[[int, Row], str | None]  # None: as the reference
    scores: Mapping[str, float]  # of the candidate; the reference has 1 everywhere
    says: tuple[str, ...]  # lines of the report, blanks aside


def _wordy(number: int, row: Row) -> str | None:
    # one right word among five: F1 is 2 * 1 / (5 + 1)
    return f"I think it is {row['answer']}" if number in (0, 1, 3, 6, 8, 12) else None


def _call(row: Row, **arguments: Any) -> str:
    if not row["calls"]:
        return "No function is needed for that."
    ((name, allowed),) = row["calls"][0].items()
    said = {key: values[0] for key, values in allowed.items()} | arguments
    return json.dumps({"name": name, "arguments": said})


CASES = {
    "routing": Case(
        "tickets",
        "text",
        lambda row: f"Label: {row['label']}",
        lambda _, row: "billing" if row["label"] == "refund" else None,
        {"accuracy": 55 / 60},
        (
            "q4_0 is worse: it lost 8.3 pp on routing",
            "| q4_0 | refund | 5 | 0 | 0.0 % |",
            "| q4_0 | refund | billing | 5 |",
        ),
    ),
    "extraction": Case(
        "invoices",
        "text",
        lambda row: "Here it is:\n" + json.dumps(row["gold"]),
        # of 7 fields each of 40 rows, 10 are wrong: they count as given wrongly and as missed
        lambda n, row: json.dumps({**row["gold"], "total": 1.5}) if n % 4 == 0 else None,
        {"micro_f1": 540 / 560, "all_fields": 0.75, "field_total": 0.75, "valid": 1.0},
        ("field total wrong on 25.0 pp more", "| q4_0 | total | 10 | 0 | 0 |"),
    ),
    "qa": Case(
        "questions",
        "question",
        lambda row: row["answer"] if isinstance(row["answer"], str) else row["answer"][-1],
        _wordy,
        {"exact_match": 24 / 30, "token_f1": (24 + 6 / 3) / 30},
        ("q4_0 is worse: it lost 20.0 pp on qa", "token F1"),
    ),
    "math": Case(
        "problems",
        "question",
        lambda row: f"First 1, then 2. Answer: {row['answer']}",
        lambda n, row: "Answer: -1" if n % 5 == 0 else "no idea" if n % 20 == 1 else None,
        {"numeric_match": 30 / 40},
        ("q4_0 is worse: it lost 25.0 pp on math", "| q4_0 | 40 | 2 | 5.0 % |"),
    ),
    # of 20 requests 15 want a call, of 10 times 2 arguments and 5 times 3. The candidate asks for
    # 9 days in 5 of them, and calls a function in one of the 5 that want none.
    "tools": Case(
        "requests",
        "request",
        _call,
        lambda n, row: (
            _call(row, days=9)
            if "weather" in _call(row)
            else '{"name": "add_reminder", "arguments": {"text": "a", "time": "b"}}'
            if n == 3
            else None
        ),
        {
            "calls_right": 14 / 20,
            "functions_right": 19 / 20,
            "arguments_f1": 2 * 30 / (2 * 30 + (5 + 2) + 5),
        },
        ("q4_0 is worse: it lost 30.0 pp on tools", "| abstains | q4_0 | −20.0 pp |"),
    ),
    "custom": Case(
        "messages",
        "order",
        lambda row: f"We look into order {row['order']}.",
        # no number, or 61 words with it
        lambda n, row: "Sorry." if n < 3 else f"{row['order']}" + " so" * 60 if n == 3 else None,
        {"score": 16 / 20},
        ("q4_0 is undecided: it lost 20.0 pp on custom",),
    ),
}


EXAMPLES = Path(__file__).parents[1] / "examples" / "workloads"
ROWS = {"routing": 60, "extraction": 40, "qa": 30, "math": 40, "tools": 20, "custom": 20}


@pytest.fixture(scope="module", params=CASES)
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run of the study in `examples/workloads`, with two scripted arms in place of the model's.

    That these files are what `init` writes is held by the test of generated pages.
    """
    folder = tmp_path_factory.mktemp(request.param) / "studies"
    shutil.copytree(EXAMPLES, folder)
    path = folder / f"{request.param}.yaml"
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 30
    for scorer in folder.glob("*.py"):
        assert len(scorer.read_text(encoding="utf-8").splitlines()) <= 15
    case = CASES[request.param]
    study = yaml.safe_load(text)
    study["arms"] = {
        name: {"engine": "scripted", "model": name, "options": {"bytes": size}}
        for name, size in (("f16", 400), ("q4_0", 100))
    }
    study |= {"design": {"repeat_reference": 0}, "analysis": {"resamples": 200}}
    path.write_text(yaml.safe_dump(study, sort_keys=False), encoding="utf-8")
    rows = read_lines(folder / study["tasks"][case.task]["source"]["path"])
    assert len(rows) == ROWS[request.param]

    def scripted(model: str, options: Any, **_: Any) -> ScriptedEngine:
        def reply(request: Any) -> str:
            asked = prompt_of(request)
            ((number, row),) = [
                (n, row) for n, row in enumerate(rows) if asked.endswith(row[case.text])
            ]
            damaged = case.damaged(number, row) if model == "q4_0" else None
            return damaged or case.right(row)

        return ScriptedEngine(reply, model=model)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("quantrial.engines.scripted.scripted_from_options", scripted)
        plan = quantrial.plan(path)
        assert plan.tasks[0].items == len(rows)
        result = quantrial.run(path, out=folder / "run")
    assert result.recorded == 2 * len(rows)
    quantrial.analyze(result.folder)
    return Run(case, result.folder)


@dataclass(frozen=True)
class Run:
    """A run folder, and what should be in it."""

    case: Case
    folder: Path


def test_scores_by_hand(run: Run) -> None:
    summary = json.loads((run.folder / "summary.json").read_text(encoding="utf-8"))
    endpoints = summary["tasks"][run.case.task]["endpoints"]
    for name, score in run.case.scores.items():
        arms = endpoints[name]["arms"]
        assert arms["f16"]["estimate"] == 1.0, name
        assert arms["q4_0"]["estimate"] == pytest.approx(score, abs=1e-12), name


def test_decision_report_and_verify(run: Run) -> None:
    decision = quantrial.decide(run.folder)
    assert decision["default"]["arm"] == "f16"
    quantrial.report(run.folder)
    page = (run.folder / "report.md").read_text(encoding="utf-8")
    for line in run.case.says:
        assert line in " ".join(page.split())
    assert quantrial.verify(run.folder).ok


def test_the_report_shows_what_is_right_whatever_it_is(run: Run) -> None:
    answers = (run.folder / "report.html").read_text(encoding="utf-8")
    shown = {
        "tickets": '"refund"',
        "invoices": json.dumps(json.dumps({"vendor": "Nordlicht GmbH", "number": "2025000"})[:-1])[
            :-1
        ],
        "questions": '"William Shakespeare; Shakespeare"',
        "problems": '"31.5"',
        "messages": "order: A1007",
        "requests": json.dumps(json.dumps([{"get_weather": {"town": ["Riga"], "days": [3]}}])),
    }
    assert shown[run.case.task] in answers


def answered_by(
    folder: Path, name: str, reply: Callable[[str, str, int], str]
) -> tuple[Path, Mapping[str, Any]]:
    """Run a study of `examples/workloads`; arms reply to an item the first time (0) and so on."""
    shutil.copytree(EXAMPLES, folder)
    path = folder / name
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 30
    study = yaml.safe_load(text)
    study["arms"] = {arm: {"engine": "scripted", "model": arm} for arm in ("f16", "q8_0")}
    path.write_text(yaml.safe_dump(study | {"analysis": {"resamples": 200}}, sort_keys=False))
    run = quantrial.run(path, out=folder / "run").folder
    for file in (run / "responses").iterdir():
        lines = [
            line | {"output": reply(line["arm"], line["item"], line["replicate"])}
            for line in read_lines(file)
        ]
        file.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    (task,) = quantrial.analyze(run)["tasks"].values()
    return run, task["endpoints"]


def test_prompts_without_right_answers_by_hand(tmp_path: Path) -> None:
    def reply(arm: str, item: str, again: int) -> str:
        number = int(item[1:])
        # f16 says something else to 6 of 60 when it is asked again, q8_0 to 9
        other = again == 1 and number <= 6 if arm == "f16" else number > 51
        return "Something else." if other else f"We look into it ({number})."

    run, endpoints = answered_by(tmp_path / "w", "no-gold.yaml", reply)
    arms = endpoints["exact_match"]["arms"]
    assert arms["f16"]["estimate"] == pytest.approx(54 / 60)
    assert arms["q8_0"]["estimate"] == pytest.approx(51 / 60)
    assert quantrial.decide(run)["avoid_for"] == []
    quantrial.report(run)
    assert "than f16 itself" in (run / "report.md").read_text(encoding="utf-8")
    assert quantrial.verify(run).ok


def test_five_answers_to_each_prompt_by_hand(tmp_path: Path) -> None:
    rows = {row["id"]: row["answer"] for row in read_lines(EXAMPLES / "problems.jsonl")}

    def reply(arm: str, item: str, again: int) -> str:
        return f"Answer: {rows[item] if again < (4 if arm == 'f16' else 3) else -7}"

    run, endpoints = answered_by(tmp_path / "w", "samples.yaml", reply)
    means = {
        name: [one["arms"][arm]["estimate"] for arm in ("f16", "q8_0")]
        for name, one in endpoints.items()
    }
    assert means["numeric_match"] == pytest.approx([4 / 5, 3 / 5])
    assert means["pass_at_k"] == means["majority"] == [1.0, 1.0]
    assert {one["n"] for one in endpoints["numeric_match"]["arms"].values()} == {20}
    quantrial.report(run)
    assert quantrial.verify(run).ok


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("generated-*.yaml")), ids=lambda p: p.stem)
def test_each_generated_study_is_short_and_planned(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 30
    assert quantrial.plan(path).tasks[0].items == 300
