"""Every scorer's endpoints from a run to the page, the exports, a comparison and a plan."""

from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from playwright.sync_api import expect

import quantrial
from command import command
from quantrial.engines.scripted import ScriptedEngine
from quantrial.reporting.exports import EXPORTS
from reporting.browser.conftest import Open

ITEMS = 36
LABELS = ["billing", "login", "other"]
TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}
SCHEMA = {"required": ["a"], "properties": {"a": {"type": "integer"}}}
# what is right, how a model says it, what it says instead, the list of scorers
KINDS: dict[str, tuple[Any, str, str, list[Any]]] = {
    "label": ("billing", "billing", "login", [{"label": LABELS}]),
    "fields": (
        {"total": 12, "day": "2026-11-30"},
        '{"total": 12, "day": "2026-11-30"}',
        '{"total": 13, "day": "2026-11-30"}',
        [{"json": {"fields": {"total": "number", "day": "date"}}}],
    ),
    "number": (12, "It is 12.", "It is 13.", ["number"]),
    "words": ("red car", "red car", "red bus", ["token_f1", "similarity", "exact", "rouge_l"]),
    "holds": ("Paris", "In Paris.", "In Rome.", ["contains", {"regex": "Par(is)"}]),
    "form": (None, '{"a": 1}', '{"a": "x"}', [{"schema": {"inline": SCHEMA}}]),
    "calls": (
        [{"weather": {"city": ["Oslo"]}}],
        '{"name": "weather", "arguments": {"city": "Oslo"}}',
        '{"name": "weather", "arguments": {"city": "Rome"}}',
        ["tool_call"],
    ),
    "limits": ({"contains": "harbour"}, "By the harbour.", "By the sea.", ["constraints"]),
    "said": (None, "We look into it.", "Please wait.", ["exact", "similarity"]),
}
# of each item several answers: their mean, pass@k and the majority
SAMPLED = ("label", "number", "limits")


def study_in(folder: Path, *, sampled: bool) -> tuple[Path, dict[str, dict[str, str]]]:
    """Write items and a study of a task a scorer; every sixth answer of arm `b` is wrong.

    Returns:
        The study, and what each arm answers by question.
    """
    replies: dict[str, dict[str, str]] = {"a": {}, "b": {}}
    tasks = {}
    for name in SAMPLED if sampled else KINDS:
        gold, right, wrong, score = KINDS[name]
        rows = [{"q": f"{name} question {i:02}", "gold": gold} for i in range(ITEMS)]
        (folder / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)))
        for i, row in enumerate(rows):
            replies["a"][row["q"]] = right
            replies["b"][row["q"]] = wrong if i % 6 == 0 else right
        tasks[name] = {
            "kind": "text",
            "workload": name,
            "source": {"type": "jsonl", "path": f"{name}.jsonl"},
            "prompt": "{{ q }}",
            "score": score,
            **({"tools": [TOOL]} if name == "calls" else {}),
            **({"gold": "none"} if name == "said" else {}),
        }
    study = {
        "study": "endpoints",
        "reference": "a",
        "margin": 0.05,
        "arms": {arm: {"engine": "scripted", "model": arm} for arm in replies},
        "tasks": tasks,
        "design": {"samples": 3, "temperature": 0.6} if sampled else {},
        "analysis": {"resamples": 200},
    }
    path = folder / "study.yaml"
    path.write_text(yaml.safe_dump(study, sort_keys=False))
    return path, replies


@pytest.fixture(scope="module", params=["one answer", "several answers"])
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("endpoints")
    study, replies = study_in(folder, sampled=request.param == "several answers")

    def scripted(model: str, options: Any, **_: Any) -> ScriptedEngine:
        return ScriptedEngine(replies[model], model=model)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("quantrial.engines.scripted.scripted_from_options", scripted)
        run = quantrial.run(study, out=folder / "run").folder
    for step in (quantrial.analyze, quantrial.decide, quantrial.report):
        step(run)
    return run


def endpoints(run: Path) -> dict[str, list[str]]:
    summary = json.loads((run / "summary.json").read_text())
    return {task: list(part["endpoints"]) for task, part in summary["tasks"].items()}


def test_every_task_has_lost_a_sixth(run: Path) -> None:
    summary = json.loads((run / "summary.json").read_text())
    for task, part in summary["tasks"].items():
        (contrast,) = part["endpoints"][part["primary"]]["contrasts"]
        # of the two fields one is wrong, of two words one: half of the loss of the others
        lost = 1 / 12 if task in ("fields", "words") else 1 / 6
        assert contrast["estimate"] == pytest.approx(-lost, abs=0.01), task
        (flips,) = part["flips"]
        assert flips["harmful"] == ITEMS // 6, task


def test_the_page_shows_every_endpoint_and_its_controls_work(run: Path, visit: Open) -> None:
    page = visit(run / "report.html", at="#pick").page
    content, text = page.content(), page.locator("body").inner_text()
    for task, names in endpoints(run).items():
        assert task in text
        for name in names:
            assert f'id="{task}.{name}.b.vs.a"' in content
    table, said = (page.locator(name) for name in ("#picker-table", "#picker-words"))
    assert table.text_content()
    before = page.locator("#pick").inner_text()
    slider = page.get_by_role("slider", name="Least speed")
    slider.focus()
    for _ in range(30):
        page.keyboard.press("ArrowRight")
    expect(page.locator("#pick")).not_to_have_text(before)
    assert said.count() == 1


def test_exports_comparison_power_and_verify_take_them(run: Path) -> None:
    named, again = endpoints(run), run.parent / "again"
    shutil.copytree(run, again)
    for form in EXPORTS:
        done = command("report", run, "--format", form, cwd=run.parent, drawn=False)
        assert done.returncode == 0, (form, done.stderr)
        if form == "csv":
            rows = list(csv.DictReader(io.StringIO(done.stdout)))
            found = {(row["task"], row["endpoint"]) for row in rows}
            assert {(task, name) for task, names in named.items() for name in names} <= found
    for words in (
        ("compare", run, again),
        ("power", "--from", run),
        ("verify", run),
        ("plan", run.parent / "study.yaml"),
        ("prompts", run, "--task", "limits"),
    ):
        done = command(*words, cwd=run.parent, drawn=words[0] == "verify")
        assert done.returncode == 0, (words, done.stderr, done.stdout)
