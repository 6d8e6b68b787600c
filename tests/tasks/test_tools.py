"""Tools of a task or of its items: what is offered and refused, and a study from end to end."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import quantrial
from quantrial.engines import Artifact
from quantrial.engines.scripted import ScriptedEngine
from quantrial.errors import DataError, StudyError
from quantrial.records import Item
from quantrial.runfolder import RunFolder
from quantrial.study import TextTask, parse_study
from quantrial.tasks import make_task
from quantrial.tasks.sources import load_items

SCHEMA = {"type": "object", "properties": {"town": {"type": "string"}}, "required": ["town"]}
BARE = {"name": "weather", "description": "Weather of a town", "parameters": SCHEMA}
TOOL = {"type": "function", "function": BARE}
STUDY = """
study: own
reference: f16
margin: 0.1
seed: 3
arms:
  f16:
    engine: scripted
    model: m
    options: {replies: [{tool_calls: [{name: weather, arguments: {town: riga}}]}]}
  q4: {engine: scripted, model: n, options: {replies: ["It rains."]}}
tasks:
  tools:
    kind: text
    workload: tools
    source: {type: jsonl, path: items.jsonl}
    prompt: "{{ q }}"
    score: [tool_call]
    %s
"""


def spec_of(said: str) -> TextTask:
    spec = parse_study(STUDY % said).tasks["tools"]
    assert isinstance(spec, TextTask)
    return spec


def rows_in(folder: Path, rows: list[dict[str, Any]]) -> None:
    (folder / "items.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")


def test_tools_of_the_task_stand_beside_every_prompt() -> None:
    item = Item("tools", "1", {"q": "Rain?"}, [], {})
    for said in (BARE, TOOL):
        task = make_task("tools", spec_of(f"tools: [{json.dumps(said)}]"))
        assert task.prompt(item).tools == (TOOL,)
        assert task.needs == {"tools"}
    plain = make_task("tools", spec_of("max_tokens: 9"))
    assert (plain.prompt(item).tools, plain.needs) == ((), frozenset())
    assert "tools" not in plain.prompt(item).canonical()


def test_tools_of_the_items_are_read_of_their_field_and_share_nothing(tmp_path: Path) -> None:
    rows_in(
        tmp_path,
        [
            {"q": "Rain?", "offer": [BARE], "gold": [{"weather": {"town": ["Riga"]}}]},
            {"q": "Snow?", "offer": json.dumps([TOOL]), "gold": []},
            {"q": "A joke?", "offer": [], "gold": []},
        ],
    )
    spec = spec_of('tools: offer, system: "You help."'.replace(", ", "\n    "))
    items = load_items("tools", spec, base=tmp_path).items
    task = make_task("tools", spec)
    prompts = [task.prompt(one) for one in items]
    assert [one.tools for one in prompts] == [(TOOL,), (TOOL,), ()]
    assert {one.shared for one in prompts} == {0}
    # what an argument may be follows from the item's own tools: 5 is no text
    [first, *_] = items
    assert task.score(first, 'weather(town="riga")').values["correct"] == 1.0
    five = Item("tools", "5", first.content, [{"weather": {"town": [5, "5"]}}], {})
    assert task.score(five, "weather(town=5.0)").values["correct"] == 0.0


@pytest.mark.parametrize(
    ("said", "wrong"),
    [
        ("tools: [weather]", "is no tool; expected one such as"),
        ("tools: {name: weather}", "is no list of tools"),
        ("tools: [{name: ' '}]", "is no tool"),
        ("tools: [{name: f}, {name: f}]", "two tools are named 'f'"),
        ("tools: [{name: f, parameters: [a]}]", "expected a JSON schema of an object"),
        ("tools: [{name: f}]\n    prompt_format: completion", "set prompt_format to 'chat'"),
    ],
)
def test_what_a_study_says_wrong_of_tools_is_told(said: str, wrong: str) -> None:
    with pytest.raises(StudyError, match=wrong):
        spec_of(said)


@pytest.mark.parametrize(
    ("row", "wrong"),
    [
        ({"q": "Rain?", "gold": []}, "the field 'offer' is missing"),
        ({"q": "Rain?", "gold": [], "offer": "no"}, "the field 'offer': 'no' is no list of tools"),
        ({"q": "Rain?", "gold": [], "offer": [1]}, "the field 'offer': 1 is no tool"),
        ({"q": "Rain?", "gold": "no", "offer": []}, "the field 'gold': 'no' is no list of calls"),
    ],
)
def test_a_wrong_row_is_refused_with_its_place(
    tmp_path: Path, row: dict[str, Any], wrong: str
) -> None:
    rows_in(tmp_path, [row])
    with pytest.raises(DataError, match=rf"items\.jsonl, line 1: {wrong}"):
        load_items("tools", spec_of("tools: offer"), base=tmp_path)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of 9 requests that need a tool and 3 that need none: one arm always calls it."""
    folder = tmp_path_factory.mktemp("tools")
    right = [{"name": "weather", "arguments": {"town": "Riga"}}]
    rows_in(folder, [{"q": f"Rain {i}?", "gold": [] if i % 4 == 3 else right} for i in range(12)])
    (folder / "study.yaml").write_text(STUDY % f"tools: [{json.dumps(BARE)}]", encoding="utf-8")
    quantrial.run(folder / "study.yaml", out=folder / "run")
    for derive in (quantrial.analyze, quantrial.decide, quantrial.report):
        derive(folder / "run")
    return folder / "run"


def test_by_hand_a_study_scores_calls_and_abstaining(run: Path) -> None:
    task = json.loads((run / "summary.json").read_bytes())["tasks"]["tools"]
    estimates = {
        name: [one["arms"][arm]["estimate"] for arm in ("f16", "q4")]
        for name, one in task["endpoints"].items()
    }
    assert estimates["calls_right"] == [pytest.approx(9 / 12), pytest.approx(3 / 12)]
    assert estimates["functions_right"] == [pytest.approx(9 / 12), pytest.approx(3 / 12)]
    # 9 arguments are right, 3 are of calls that nobody wanted; of the other arm 9 are missing
    assert estimates["arguments_f1"] == [pytest.approx(18 / (18 + 3)), 0.0]
    modes = {one["endpoint"]: one["estimate"] for one in task["failure_contrasts"]}
    assert modes["parse_rate"] == pytest.approx(-9 / 12)
    assert modes["abstains"] == pytest.approx(1.0)
    assert "well_formed_calls" not in modes, "no arm shows it"


def test_a_run_records_calls_raw_and_follows_from_them(run: Path) -> None:
    [first, *_] = RunFolder(run).read_responses("tools", "f16")
    function = {"name": "weather", "arguments": '{"town":"riga"}'}
    assert first.tool_calls == [{"id": "call_0", "type": "function", "function": function}]
    assert (first.output, first.finish_reason) == ("", "tool_calls")
    assert quantrial.verify(run).ok
    report = (run / "report.md").read_text(encoding="utf-8")
    assert "arguments F1" in report
    page = (run / "report.html").read_text(encoding="utf-8")
    assert page.count("riga") == 12, "the explorer shows what each of the 12 answers calls"
    assert "The share of requests that need no tool on which none is called." in report


def test_prompts_name_what_may_be_called(run: Path) -> None:
    [shown] = quantrial.prompts(run)
    assert shown.tools == ("weather",)
    assert shown.as_asked is True


def test_an_engine_that_shows_no_tools_is_refused_before_the_first_call(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    describe = ScriptedEngine.describe

    def without(self: ScriptedEngine) -> Artifact:
        self.abilities -= {"tools"}  # as the engines that look at a template for it
        return describe(self)

    monkeypatch.setattr(ScriptedEngine, "describe", without)
    wrong = r"tasks\.tools\.tools: its prompts offer tools, and the engine or the chat template of"
    with pytest.raises(StudyError, match=wrong):
        quantrial.plan(run.parent / "study.yaml")
    with pytest.raises(StudyError, match=wrong):
        quantrial.run(run.parent / "study.yaml", out=tmp_path / "run")
    assert not (tmp_path / "run" / "responses").exists()
