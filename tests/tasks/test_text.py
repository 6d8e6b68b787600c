"""The kind `text`: prompts from templates, rows with fields of one's own, reading and scoring."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from quantrial.errors import DataError, QuantrialError, ScoringError, StudyError
from quantrial.records import Item
from quantrial.registry import kind_of
from quantrial.study import TextTask, parse_study
from quantrial.study.scoring import ReadStep
from quantrial.tasks import make_task
from quantrial.tasks.sources import load_items
from quantrial.tasks.text import first_json, read_step

STUDY = """
study: own
reference: a
arms: {a: {engine: scripted, model: m}, b: {engine: scripted, model: n}}
tasks:
  qa: {kind: text, workload: qa, source: {type: jsonl, path: items.jsonl}, %s}
"""


def spec_of(said: str = 'prompt: "{{ q }}", score: [exact]') -> TextTask:
    spec = parse_study(STUDY % said).tasks["qa"]
    assert isinstance(spec, TextTask)
    return spec


def loaded(folder: Path, rows: list[dict[str, Any]], said: str = "") -> Any:
    (folder / "items.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return load_items("qa", spec_of(said) if said else spec_of(), base=folder)


def item(gold: Any = "Paris", **content: Any) -> Item:
    return Item("qa", "i1", content or {"q": "?"}, gold, {"topic": "geo"}, "items.jsonl:1")


def test_the_prompt_is_the_template_filled_in() -> None:
    said = 'system: "You know {{ topic }}.", prompt: "Q: {{ q }}\\nA:", score: [exact], shots: 1'
    shot = item("Rome", q="Italy?")
    made = make_task("qa", spec_of(said), shots=[shot]).prompt(item(q="France?"))
    assert made.messages == (
        ("system", "You know geo."),
        ("user", "Q: Italy?\nA:"),
        ("assistant", "Rome"),
        ("user", "Q: France?\nA:"),
    )
    assert made.shared == 0  # the system message depends on the item
    fixed = make_task("qa", spec_of(said.replace("{{ topic }}", "all")), shots=[shot])
    assert fixed.prompt(item(q="France?")).shared == 3
    text = make_task("qa", spec_of(said + ", prompt_format: completion"), shots=[shot])
    assert text.prompt(item(q="France?")).text == (
        "You know geo.\n\nQ: Italy?\nA: Rome\n\nQ: France?\nA:"
    )


def test_messages_are_several_turns() -> None:
    said = (
        'messages: [{role: user, content: "Hi"}, {role: assistant, content: "Yes?"},'
        ' {role: user, content: "{{ q }}"}], score: [exact]'
    )
    made = make_task("qa", spec_of(said)).prompt(item(q="France?"))
    assert made.messages == (("user", "Hi"), ("assistant", "Yes?"), ("user", "France?"))


@pytest.mark.parametrize(
    ("said", "wrong"),
    [
        ("score: [exact]", "`prompt` is missing"),
        ('prompt: "{{ q }}"', "tasks.qa.score: is missing"),
        ('prompt: "{{ q }}", score: []', "at least one entry"),
        ('prompt: "{{ q }}", score: [exakt]', "did you mean 'exact'?"),
        ('prompt: "{{ q }}", score: [{exact: {normalise: squad}}]', "did you mean 'normalize'?"),
        ('prompt: "{{ q }}", score: [{exact: {normalize: foo}}]', "tasks.qa.score.0.normalize"),
        ('prompt: "{{ q }}", score: [{exact: squad}]', "takes options by name"),
        ('prompt: "{{ q }}", score: [exact, exact]', "another `name`"),
        ('prompt: "{{ q }}", score: [exact], constrained: true', "no form that decoding"),
        (
            'prompt: "{{ q }}", score: [{python: "my.py:f", range: [0, 1]}]',
            "range must stand within the scorer's options: write `{scorer: python, ...}`",
        ),
        ('prompt: "{{ q }}", score: [exact], margins: {exact: 0.1}', "did you mean 'exact_match'?"),
        ('prompt: "{{ q }}", score: [exact], read: jsn', "tasks.qa.read.0.step"),
        ('prompt: "{{ q }}", score: [exact], read: {regex: "("}', "no regular expression"),
        ('prompt: "{{ q }}", score: [exact], read: {regex: "a", after: "b"}', "regex and after"),
        ("prompt: a, messages: [{role: user, content: b}], score: [exact]", "not both"),
    ],
)
def test_what_a_study_says_wrong_is_told_with_its_key(said: str, wrong: str) -> None:
    with pytest.raises(StudyError, match=r"tasks\.qa") as caught:
        spec_of(said)
    assert wrong in str(caught.value)


@pytest.mark.parametrize(
    "template",
    [
        "{{ ''.__class__ }}",
        "{{ q.__class__.__mro__ }}",
        "{{ q.format(q) }}",
        "{{ 'a' * 1000000000 }}",
        "{{ 'a'.ljust(1000000000) }}",
        "{{ '%1000000000d' % 1 }}",
        "{{ 2 ** 100000000 }}",
        "{% for i in range(100000000) %}a{% endfor %}",
        "{% for a in q %}{% for b in q %}{% for c in q %}{% for d in q %}x{% endfor %}"
        "{% endfor %}{% endfor %}{% endfor %}",
        "{% for a in q %}{% for b in q %}{% for c in q %}{{ q }}{% endfor %}{% endfor %}"
        "{% endfor %}",
        "{% include '/etc/passwd' %}",
        "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
        "{{ cycler }}",
        "{{ q | format }}",
        "{{ q",
        "{" * 10_000 + "{",
        "{{ " + "(" * 5_000,
        "{{ quest }}",
        "{{ gold }}",
    ],
)
def test_a_hostile_or_wrong_template_ends_in_a_typed_error(template: str) -> None:
    spec = spec_of().model_copy(update={"prompt": template})
    asked = item(q="a" * 2000)
    with pytest.raises(QuantrialError):
        make_task("qa", spec, items=[asked]).prompt(asked)


def test_an_unknown_name_is_refused_with_the_nearest_before_anything_is_asked() -> None:
    with pytest.raises(StudyError, match=r"tasks\.qa\.prompt.*'qeustion' is no.*'question'"):
        make_task(
            "qa",
            spec_of('prompt: "{{ qeustion }}", score: [exact]'),
            items=[item(question="?")],
        )


def test_rows_name_their_parts(tmp_path: Path) -> None:
    rows = [
        {"nr": 7, "ask": "France?", "right": ["Paris", "City of Paris"], "topic": "geo", "w": 1.5},
        {"nr": 8, "ask": "Spain?", "right": "Madrid", "topic": "geo", "w": None},
    ]
    found = loaded(
        tmp_path, rows, 'gold: right, id: nr, stratify: topic, prompt: "{{ ask }}", score: [exact]'
    ).items
    assert [(one.id, one.content, one.gold) for one in found] == [
        ("7", {"ask": "France?"}, ["Paris", "City of Paris"]),
        ("8", {"ask": "Spain?"}, "Madrid"),
    ]
    assert [dict(one.metadata) for one in found] == [{"topic": "geo", "w": "1.5"}, {"topic": "geo"}]


@pytest.mark.parametrize(
    ("rows", "said", "wrong"),
    [
        (
            [{"q": "a", "gold": "x"}, {"q": "b"}],
            "",
            "items.jsonl, line 2: the field 'gold' is missing",
        ),
        ([{"gold": "x"}], "", "items.jsonl, line 1: the field 'q' is missing"),
        ([{"q": None, "gold": "x"}], "", "the field 'q' is null"),
        ([{"q": "a", "gold": None}], "", "the field 'gold' is null"),
        ([{"q": "a", "gold": ""}], "", "an empty text"),
        ([{"q": "a", "gold": {"x": 1}}], "", "is no text"),
        (
            [{"q": "a", "gold": "x"}, {"q": "a", "gold": "y"}],
            "",
            "items.jsonl, line 2: asks what items.jsonl:1 asks, which says 'x'; here 'y' is right",
        ),
        (
            [{"n": 1, "q": "a", "gold": "x"}, {"n": 1, "q": "b", "gold": "x"}],
            'id: n, prompt: "{{ q }}", score: [exact]',
            "items.jsonl, line 2: the id '1' is that of items.jsonl:1 already",
        ),
        ([{"n": [1], "q": "a", "gold": "x"}], 'id: n, prompt: "{{ q }}", score: [exact]', "an id"),
        ([{"q": "a", "gold": "x"}], 'prompt: "Hi", score: [exact]', "no field is shown"),
    ],
)
def test_a_wrong_row_is_refused_with_its_place(
    tmp_path: Path, rows: list[dict[str, Any]], said: str, wrong: str
) -> None:
    with pytest.raises(DataError) as caught:
        loaded(tmp_path, rows, said)
    assert wrong in str(caught.value)


def test_equal_content_under_two_ids_is_kept_and_told(tmp_path: Path) -> None:
    rows = [{"n": n, "q": "a", "gold": "x"} for n in (1, 2)]
    with pytest.warns(match="1 row repeats an earlier one"):
        found = loaded(tmp_path, rows, 'id: n, prompt: "{{ q }}", score: [exact]')
    assert [one.id for one in found.items] == ["1", "2"]
    assert len({one.content_sha256 for one in found.items}) == 1


@pytest.mark.parametrize(
    ("step", "text", "found"),
    [
        ({"step": "strip"}, "  a b \n", "a b"),
        ({"step": "json"}, 'Sure: {"a": [1, {"b": "}"}]} ok {"c": 1}', '{"a": [1, {"b": "}"}]}'),
        ({"step": "json"}, "no { json [ here", None),
        ({"step": "json"}, " 12 ", "12"),
        ({"step": "fenced"}, "x\n```json\n{1}\n```\ny\n```\nlast\n```", "last"),
        ({"step": "fenced"}, "```\nnever closed", "never closed"),
        ({"step": "fenced"}, "none", None),
        ({"regex": r"answer is (\w+)"}, "the answer is B, the answer is C", "B"),
        ({"regex": r"answer is (\w+)", "take": "last"}, "the answer is B, the answer is C", "C"),
        ({"regex": r"\d+"}, "it is 42.", "42"),
        ({"regex": r"\d+"}, "none", None),
        ({"after": "####"}, "so #### 1 #### 2 ", "2"),
        ({"after": "####"}, "so 2", None),
    ],
)
def test_a_step_reads(step: dict[str, Any], text: str, found: str | None) -> None:
    assert read_step(ReadStep.model_validate(step), text) == found


def test_json_is_looked_for_in_linear_time() -> None:
    assert first_json("{" * 100_000) is None
    assert first_json('{"a":' * 50_000) is None
    assert first_json("[" + "9" * 100_000 + "]") is not None


def test_several_scorers_have_columns_and_endpoints_of_their_own() -> None:
    said = 'prompt: "{{ q }}", score: [exact, {exact: {normalize: case, name: loose}}, contains]'
    task = make_task("qa", spec_of(said))
    assert [one.name for one in task.endpoints] == ["exact_match", "loose", "contains"]
    outcome = task.score(item("Paris"), "paris")
    shares = [
        sum(weight * outcome.values[name] for name, weight in one.numerator.items())
        for one in task.endpoints
    ]
    assert shares == [0.0, 1.0, 1.0]
    assert (outcome.parsed, outcome.answer, task.is_right(outcome)) == (True, "paris", False)
    assert kind_of(spec_of(said)) is type(task)  # made once, for reports as for runs


def test_what_a_step_does_not_find_is_unread_and_wrong() -> None:
    task = make_task("qa", spec_of('prompt: "{{ q }}", read: {after: "####"}, score: [exact]'))
    unread = task.score(item("Paris"), "Paris")
    assert (unread.parsed, unread.values["correct"]) == (False, 0.0)
    assert task.score(item("Paris"), "so #### Paris").values["correct"] == 1.0
    chain = make_task("qa", spec_of('prompt: "{{ q }}", read: [fenced, json], score: [exact]'))
    assert chain.score(item('{"a": 1}'), 'x\n```\nis {"a": 1} ok\n```').values["correct"] == 1.0


def test_a_scorer_that_fails_names_the_item(monkeypatch: pytest.MonkeyPatch) -> None:
    task = make_task("qa", spec_of())

    def broken(*_: Any) -> Any:
        raise ScoringError("division by zero")

    monkeypatch.setattr(task.scorers[0], "score", broken)  # type: ignore[attr-defined]
    with pytest.raises(ScoringError, match="qa, item i1, exact: division by zero"):
        task.score(item(), "Paris")


def test_choice_and_spans_take_templates() -> None:
    text = STUDY.replace(
        "{kind: text, workload: qa, source: {type: jsonl, path: items.jsonl}, %s}", "%s"
    )
    choice = parse_study(
        text % "{kind: choice, workload: w, source: {type: bundled}, "
        'prompt: "{{ question }} ({{ options | join(\'/\') }})", system: "Subject: {{ subject }}"}'
    ).tasks["qa"]
    asked = Item("qa", "i", {"question": "2+2?", "options": ["3", "4"]}, "B", {"subject": "sums"})
    made = make_task("qa", choice).prompt(asked)
    assert made.messages == (("system", "Subject: sums"), ("user", "2+2? (3/4)"))
    spans = parse_study(
        text % "{kind: spans, workload: w, source: {type: bundled}, types: [PER], "
        'prompt: "Find {{ types[0] }} in: {{ text }}"}'
    ).tasks["qa"]
    made = make_task("qa", spans).prompt(Item("qa", "i", {"text": "Ada ran."}, [["Ada", "PER"]]))
    assert made.messages[-1] == ("user", "Find PER in: Ada ran.")
    assert made.messages[0][0] == "system"  # the kind's own
