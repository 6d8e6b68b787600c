"""JSON schemas: the official test suite's verdicts, files of a study, and what is hostile."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given

from cpu import within_a_second
from quantrial.errors import ScoringError, ScoringLimitError, StudyError
from quantrial.records import Item
from quantrial.registry import kind_of
from quantrial.scorers.base import Said, Score
from quantrial.scorers.schema import Schema, SchemaPart, guarded
from quantrial.strict_yaml import write_yaml
from quantrial.study import TextTask, load_study, parse_study
from quantrial.study.scoring import _entry
from quantrial.tasks.answer import as_answer
from quantrial.tasks.base import Outcome
from strategies import JSON

# groups of schemas and values of the official suite, with whether each value is valid
SUITE = json.loads(
    (Path(__file__).parents[1] / "data/scorers/json_schema_suite.json").read_text("utf-8")
)["groups"]
ITEM = Item("invoices", "1", {}, None)
INVOICE = {
    "type": "object",
    "properties": {"total": {"type": "number", "minimum": 0}, "lines": {"$ref": "#/$defs/lines"}},
    "required": ["total"],
    "$defs": {"lines": {"type": "array", "items": {"type": "string"}}},
}


def scored(schema: dict[str, Any], text: str) -> Score:
    made = Schema(SchemaPart(scorer="schema", inline=schema))
    return made.score(None, text, Said(as_answer(text), ITEM))


@pytest.mark.parametrize("group", SUITE, ids=lambda one: f"{one['file']}: {one['description']}")
def test_schema_against_the_official_suite(group: dict[str, Any]) -> None:
    for value, valid in group["tests"]:
        one = scored(group["schema"], json.dumps(value))
        assert (one.values["correct"], one.parsed) == (valid, True), value


def test_an_older_draft_is_read_as_such() -> None:
    tuples = {"items": [{"type": "string"}], "additionalItems": False}
    draft = {"$schema": "http://json-schema.org/draft-07/schema#", **tuples}
    assert scored(draft, '["a"]').values["correct"] == 1
    assert scored(draft, '["a", "b"]').values["correct"] == 0


@pytest.mark.parametrize(
    ("text", "broken"),
    [
        ('{"total": 3, "lines": ["a"]}', []),
        ('{"lines": ["a", 1]}', ["required", "type"]),
        ('{"total": -1}', ["minimum"]),
        ("[]", ["type"]),
    ],
)
def test_rules_that_are_broken_are_named(text: str, broken: list[str]) -> None:
    one = scored(INVOICE, text)
    assert one.values["correct"] == (not broken)
    assert sorted(one.values.keys() - {"correct"}) == [f"breaks_{rule}" for rule in broken]
    assert one.answer == json.loads(text)


def test_broken_rules_are_counted_most_first() -> None:
    pairs = []
    for text in ("{}", '{"lines": [1]}', '{"total": -1}', '{"total": 1}', "no"):
        one = scored(INVOICE, text)
        pairs.append((ITEM, Outcome(one.values, one.parsed, one.answer)))
    made = Schema(SchemaPart(scorer="schema", inline=INVOICE))
    assert made.failures(pairs, lambda *_: {}) == {
        "rules_broken": [
            {"rule": "required", "n": 2},
            {"rule": "minimum", "n": 1},
            {"rule": "type", "n": 1},
        ]
    }
    assert made.schema() == INVOICE


@pytest.mark.parametrize(
    "text",
    [
        *("", "no", '{"a": 1', '{"a": NaN}', '{"a": 1, "a": 2}', "[" * 10**6),
        *("[" * 150 + "]" * 150, '"' + "a" * 10**6),
    ],
    ids=lambda text: f"{text:.9}",
)
def test_what_is_no_strict_json_is_unread(text: str) -> None:
    with within_a_second():
        assert scored({}, text) == Score({"correct": 0.0}, parsed=False)


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ({"type": "strng"}, "no JSON schema: at type"),
        ({"properties": {"a": {"minimum": "1"}}}, "at properties/a/minimum"),
        ({"pattern": "("}, "no JSON schema: at pattern"),
        ({"$schema": "https://example.com/own"}, "none of the drafts"),
        ({"$schema": []}, "none of the drafts"),
        ({"$ref": "https://example.com/a.json"}, "refers to 'https://example.com/a.json'"),
        ({"properties": {"a": {"items": {"$ref": "#/$defs/b"}}}}, "refers to '#/\\$defs/b'"),
        ({"$ref": "file:///etc/passwd"}, "nothing is fetched"),
        ({"$ref": "#"}, "refers to itself"),
        ({"properties": {"a": {"anyOf": [{"not": {"$ref": "#/properties/a"}}]}}}, "itself"),
        ({"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}}, "itself"),
    ],
)
def test_a_schema_that_cannot_be_used_is_refused(schema: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        SchemaPart(scorer="schema", inline=schema)


def test_a_schema_that_is_nested_too_deeply_is_refused() -> None:
    schema: dict[str, Any] = {}
    for _ in range(150):
        schema = {"not": schema}
    with pytest.raises(ValueError, match="100 levels"):
        SchemaPart(scorer="schema", inline=schema)


def test_schemas_that_refer_to_themselves_are_checked_as_deep_as_the_answer() -> None:
    tree = {"type": "object", "additionalProperties": {"$ref": "#"}}
    assert scored(tree, '{"a": ' * 90 + "{}" + "}" * 90).values["correct"] == 1
    assert scored(tree, '{"a": ' * 90 + "1" + "}" * 90).values["correct"] == 0


def test_nothing_is_ever_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: Any, **__: Any) -> None:
        pytest.fail("a schema was fetched")

    monkeypatch.setattr(socket, "socket", never)
    for ref in ("http://127.0.0.1:9/a.json", "https://example.com/a.json", "file:///etc/passwd"):
        with pytest.raises(Exception, match="Unresolvable"):  # in the process that checks
            guarded({"schema": json.dumps({"properties": {"a": {"$ref": ref}}}), "value": {"a": 1}})


def test_what_would_take_for_ever_ends_in_a_typed_error() -> None:
    twice = [{"properties": {"a": {"$ref": "#"}}}] * 2
    for schema, text in (
        ({"pattern": "^(a+)+$"}, json.dumps("a" * 60 + "!")),
        ({"allOf": twice}, '{"a": ' * 80 + "1" + "}" * 80),
    ):
        with pytest.raises(ScoringLimitError, match="check of an answer against its schema"):
            scored(schema, text)
    assert issubclass(ScoringLimitError, ScoringError)
    assert scored({"pattern": "^(a+)+$"}, '"aaa"').values["correct"] == 1  # it goes on


STUDY = """
study: own
reference: a
arms: {a: {engine: scripted, model: m}, b: {engine: scripted, model: n}}
tasks:
  invoices:
    kind: text
    workload: extraction
    source: {type: jsonl, path: items.jsonl}
    prompt: "{{ q }}"
    constrained: true
    score: [%s]
"""


def test_the_schema_of_a_file_becomes_part_of_the_study(tmp_path: Path) -> None:
    file, path = tmp_path / "invoice.json", tmp_path / "study.yaml"
    file.write_text(json.dumps(INVOICE), encoding="utf-8")
    path.write_text(STUDY % "{schema: invoice.json}", encoding="utf-8")
    study = load_study(path)
    task = study.tasks["invoices"]
    assert isinstance(task, TextTask)
    assert task.score[0] == SchemaPart(scorer="schema", inline=INVOICE)
    assert kind_of(task).scorers[0].schema() == INVOICE
    file.unlink()  # what a run keeps is whole without it
    assert parse_study(write_yaml(study.canonical())).hash == study.hash
    with pytest.raises(StudyError, match=r"tasks\.invoices\.score\.0: .*invoice\.json cannot be"):
        load_study(path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "not valid JSON"),
        ("[]", "holds no JSON object"),
        ('{"type": "strng"}', "no JSON schema: at type"),
        ('{"a": 1, "a": 2}', "occurs twice"),
        ('{"a": "%s"}' % ("a" * 70_000), "larger than 65,536 bytes"),
    ],
    ids=lambda one: f"{one:.12}",
)
def test_a_file_that_holds_no_schema_is_refused(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "s.json").write_text(text, encoding="utf-8")
    (tmp_path / "study.yaml").write_text(STUDY % "{schema: {file: s.json}}", encoding="utf-8")
    with pytest.raises(StudyError, match=rf"tasks\.invoices\.score\.0: .*{said}"):
        load_study(tmp_path / "study.yaml")


@pytest.mark.parametrize("said", ["schema", "{schema: {file: a, inline: {}}}"])
def test_one_schema_is_needed(said: str) -> None:
    with pytest.raises(StudyError, match="needs either `file` or `inline`"):
        parse_study(STUDY % said)


def test_the_plain_value_is_a_file() -> None:
    assert _entry({"schema": "a.json"}) == {"scorer": "schema", "file": "a.json"}


@given(JSON)
def test_property_a_value_is_valid_as_itself_and_never_as_its_opposite(value: Any) -> None:
    text = json.dumps(value)
    assume("Infinity" not in text)  # which is no JSON
    assert scored({"const": json.loads(text)}, text).values["correct"] == 1
    assert scored({"not": {"const": json.loads(text)}}, text).values["correct"] == 0
