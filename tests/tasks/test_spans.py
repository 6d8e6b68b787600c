"""Spans: reading arrays, comparing, scoring, prompts."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantrial.records import Item
from quantrial.tasks import make_task
from quantrial.tasks.spans import Spans, gold_spans, normalize, parse_spans, spans_from_tags
from strategies import make_item, spans_items
from tasks.specs import spans

ADA, PARIS = ("ada", "PER"), ("paris", "LOC")
ADA_JSON = '{"text": "Ada", "type": "PER"}'

# (what a model wrote, what is read; None is malformed)
LABELLED: list[tuple[str, set[tuple[str, str]] | None]] = [
    ("[]", set()),
    (" [ ] ", set()),
    (f"[{ADA_JSON}]", {ADA}),
    ('[{"text": "Ada", "type": "PER"}, {"text": "Paris", "type": "LOC"}]', {ADA, PARIS}),
    # fences
    (f"```json\n[{ADA_JSON}]\n```", {ADA}),
    (f"```\n[{ADA_JSON}]\n```", {ADA}),
    (f"```JSON [{ADA_JSON}]```", {ADA}),
    (f"```json\n[{ADA_JSON}]", {ADA}),
    # prose around
    (f"Here are the entities: [{ADA_JSON}] I hope this helps!", {ADA}),
    (f"Sure!\n\n[{ADA_JSON}]\n\nNo other entities.", {ADA}),
    # an object around: from the first bracket to the last
    (f'{{"entities": [{ADA_JSON}]}}', {ADA}),
    # a bracket in the prose spoils it: the published rule
    (f"[1] says [{ADA_JSON}]", None),
    (f"[{ADA_JSON}] [see above]", None),
    (f"[{ADA_JSON}]\n[{ADA_JSON}]", None),
    # keys
    ('[{"entity": "Ada", "label": "per"}]', {ADA}),
    ('[{"span": "Ada", "tag": "PER"}]', {ADA}),
    ('[{"text": "Ada", "entity": "Bob", "type": "PER"}]', {ADA}),
    ('[{"type": "PER", "text": "Ada", "start": 0}]', {ADA}),
    ('[{"name": "Ada", "type": "PER"}]', set()),
    ('[{"text": "Ada", "kind": "PER"}]', set()),
    ('[{"Text": "Ada", "Type": "PER"}]', set()),
    ('[{"text": "Ada"}]', set()),
    ('[{"text": 3, "type": "PER"}]', set()),
    ('[{"text": "Ada", "type": null}]', set()),
    ('[{"text": ["Ada"], "type": "PER"}]', set()),
    # elements that are no object
    ('["Ada", 3, null, true]', set()),
    (f'["Ada", {ADA_JSON}]', {ADA}),
    ('[["Ada", "PER"]]', set()),
    (f"[[{ADA_JSON}]]", set()),
    # comparison
    ('[{"text": "  ADA ", "type": " per "}]', {ADA}),
    (f'[{ADA_JSON}, {ADA_JSON}, {{"text": "ada", "type": "PER"}}]', {ADA}),
    ('[{"text": "Ada", "type": "PER"}, {"text": "Ada", "type": "LOC"}]', {ADA, ("ada", "LOC")}),
    ('[{"text": "Zürich", "type": "LOC"}]', {("zürich", "LOC")}),
    ('[{"text": "Z\\u00fcrich", "type": "LOC"}]', {("zürich", "LOC")}),
    (
        '[{"text": "東京", "type": "LOC"}, {"text": "🙂", "type": "MISC"}]',
        {("東京", "LOC"), ("🙂", "MISC")},
    ),
    ('[{"text": "O\'Neil [Jr]", "type": "PER"}]', {("o'neil [jr]", "PER")}),
    ('[{"text": "a ```json b", "type": "PER"}]', {("a  b", "PER")}),
    # malformed
    ("", None),
    ("No entities.", None),
    ("None", None),
    ("[", None),
    ("]", None),
    ("][", None),
    (f"[{ADA_JSON}", None),
    (f"[{ADA_JSON},]", None),
    (f"[{ADA_JSON} {ADA_JSON}]", None),
    ("[{'text': 'Ada', 'type': 'PER'}]", None),
    ('[{"text": "Ada", "type": "PER"]', None),
    ("[Ada, Paris]", None),
    ("[...]", None),
    (ADA_JSON, None),
    ('{"text": "Ada"}', None),
    ("Ada (PER), Paris (LOC)", None),
    ('[{"text": "A\nda", "type": "PER"}]', None),
]


def items_of(*types: str) -> list[Item]:
    return [make_item("ner", {"text": "x"}, [["x", label]], {}) for label in types]


@pytest.mark.parametrize(("text", "found"), LABELLED)
def test_parse_spans_by_hand(text: str, found: set[tuple[str, str]] | None) -> None:
    assert parse_spans(text) == found


@pytest.mark.parametrize(
    "piece",
    ["[", "]", "[]", "{", '{"a":', "[[", "```", "`", '"', "\\", "1", "-", "[1,", '[{"text":'],
)
def test_a_hundred_thousand_characters_neither_raise_nor_take_time(piece: str) -> None:
    text = (piece * (100_000 // len(piece) + 1))[:100_000]
    start = time.process_time()
    for candidate in (text, f"[{text}]", f"[{text}", f'[{{"text": "{text}", "type": "PER"}}]'):
        parse_spans(candidate)
    assert time.process_time() - start < 2.0


@given(st.text())
def test_property_any_text_is_read_to_a_set_or_nothing(text: str) -> None:
    found = parse_spans(text)
    assert found is None or all(isinstance(part, str) for span in found for part in span)


@given(st.text(st.sampled_from('[]{}",:`textypPER1 \\u')), st.booleans())
def test_property_any_json_like_text_is_read_to_a_set_or_nothing(text: str, closed: bool) -> None:
    found = parse_spans(f"[{text}]" if closed else text)
    assert found is None or isinstance(found, frozenset)


@given(spans_items())
def test_property_the_gold_written_as_json_is_found_again(item: Item) -> None:
    task = Spans("ner", spans({"type": "bundled"}))
    text = json.dumps([{"text": text, "type": label} for text, label in item.gold])
    assert parse_spans(text) == gold_spans(item.gold)
    outcome = task.score(item, f"```json\n{text}\n```")
    assert outcome.values["f1"] == outcome.values["parsed"] == 1.0
    assert outcome.values["fp"] == outcome.values["fn"] == 0.0


def test_normalize_by_hand() -> None:
    assert normalize(" New  York ", " loc") == ("new  york", "LOC")
    assert gold_spans([["Rome", "LOC"], ["rome", "LOC"]]) == {("rome", "LOC")}


@pytest.mark.parametrize(
    ("gold", "text", "tp", "fp", "fn", "f1", "parsed"),
    [
        ([["Ada", "PER"], ["Paris", "LOC"]], f"[{ADA_JSON}]", 1, 0, 1, 2 / 3, True),
        ([["Ada", "PER"]], '[{"text": "Ada", "type": "LOC"}]', 0, 1, 1, 0.0, True),
        ([["Ada", "PER"]], "[]", 0, 0, 1, 0.0, True),
        ([["Ada", "PER"], ["ada", "PER"]], "nonsense", 0, 0, 1, 0.0, False),
        ([], "[]", 0, 0, 0, 1.0, True),
        ([], f"[{ADA_JSON}]", 0, 1, 0, 0.0, True),
        ([], "nonsense", 0, 0, 0, 0.0, False),
        ([], "[1, 2]", 0, 0, 0, 0.0, False),
        ([], '["Nobody", "Nowhere"]', 0, 0, 0, 0.0, False),
        ([], "<think>[]</think>", 0, 0, 0, 0.0, False),
        ([["Ada", "PER"]], f"<think>[]</think>[{ADA_JSON}]", 1, 0, 0, 1.0, True),
    ],
)
def test_score_by_hand(
    gold: list[list[str]], text: str, tp: int, fp: int, fn: int, f1: float, parsed: bool
) -> None:
    task = make_task("ner", spans({"type": "bundled"}))
    outcome = task.score(make_item("ner", {"text": "Ada saw Paris"}, gold, {}), text)
    assert outcome.values == {
        "tp": tp,
        "fp": fp,
        "fn": fn,
        "f1": pytest.approx(f1),
        "parsed": float(parsed),
        "exact": float(f1 == 1),  # here: all of what was there and nothing else
    }
    assert outcome.parsed is parsed


def test_endpoints_are_made_of_what_score_returns() -> None:
    task = make_task("ner", spans({"type": "bundled"}))
    columns = task.score(make_item("ner", {"text": "x"}, [], {}), "[]").values.keys()
    assert task.endpoints[0].name == "micro_f1"
    for endpoint in task.endpoints:
        assert {*endpoint.numerator, *endpoint.denominator} <= columns


@pytest.mark.parametrize(
    ("tagged", "found"),
    [
        ("", []),
        ("Ada/B-PER Lovelace/I-PER", ["Ada Lovelace/PER"]),
        ("Ada/I-PER Lovelace/I-PER", ["Ada Lovelace/PER"]),  # IOB1
        ("Ada/B-PER Bob/B-PER", ["Ada/PER", "Bob/PER"]),
        ("Ada/I-PER Bob/B-PER", ["Ada/PER", "Bob/PER"]),
        ("Ada/B-PER Paris/I-LOC", ["Ada/PER", "Paris/LOC"]),
        ("Ada/B-PER and/O Bob/I-PER", ["Ada/PER", "Bob/PER"]),
        ("x/B-creative-work y/I-creative-work", ["x y/creative-work"]),
        ("Ada/B-PER x/O", ["Ada/PER"]),
    ],
)
def test_spans_from_tags_by_hand(tagged: str, found: list[str]) -> None:
    pairs = [pair.split("/") for pair in tagged.split()]
    spans_found = spans_from_tags([p[0] for p in pairs], [p[1] for p in pairs])
    assert [f"{text}/{label}" for text, label in spans_found] == found


SHOTS = [
    make_item("ner", {"text": "Zoë left."}, [["Zoë", "PER"]], {}),
    make_item("ner", {"text": "It rained."}, [], {}),
    make_item("ner", {"text": "Unused."}, [], {}),
]
ITEM = make_item("ner", {"text": "Ada saw Paris."}, [["Ada", "PER"]], {})


def test_chat_prompt() -> None:
    task = make_task(
        "ner", spans({"type": "bundled"}, shots=2), shots=SHOTS, items=items_of("LOC", "PER")
    )
    prompt = task.prompt(ITEM)
    assert prompt.text is None
    (role, system), *rest = prompt.messages
    assert role == "system"
    assert "Types: LOC, PER." in system
    assert rest == [
        ("user", "Zoë left."),
        ("assistant", '[{"text": "Zoë", "type": "PER"}]'),
        ("user", "It rained."),
        ("assistant", "[]"),
        ("user", "Ada saw Paris."),
    ]
    assert not task.needs


def test_the_types_of_the_study_are_those_asked_for() -> None:
    task = make_task("ner", spans({"type": "bundled"}, types=["PER"]), items=items_of("LOC", "PER"))
    assert "Types: PER." in task.prompt(ITEM).messages[0][1]


def test_system_message_replaced_or_left_out() -> None:
    own = make_task("ner", spans({"type": "bundled"}, system="Find names."))
    assert own.prompt(ITEM).messages[0] == ("system", "Find names.")
    none = make_task("ner", spans({"type": "bundled"}, system=""))
    assert none.prompt(ITEM).messages == (("user", "Ada saw Paris."),)


def test_completion_prompt() -> None:
    spec = spans({"type": "bundled"}, shots=2, prompt_format="completion", system="Names:")
    prompt = make_task("ner", spec, shots=SHOTS).prompt(ITEM)
    assert prompt.messages == ()
    assert prompt.stop == ("\n",)
    assert prompt.text == (
        'Names:\n\nSentence: Zoë left.\nEntities: [{"text": "Zoë", "type": "PER"}]\n\n'
        "Sentence: It rained.\nEntities: []\n\nSentence: Ada saw Paris.\nEntities:"
    )


@pytest.mark.parametrize("form", ["chat", "completion"])
def test_a_constrained_answer_is_held_to_an_array_of_text_and_type(form: str) -> None:
    source = {"type": "bundled"}
    spec = spans(source, constrained=True, prompt_format=form)
    task = make_task("ner", spec, items=items_of("LOC", "PER"))
    prompt, free = task.prompt(ITEM), make_task("ner", spans(source)).prompt(ITEM)
    assert task.needs == {"schema"}
    assert prompt.schema is not None
    (item,) = [prompt.schema["items"]]
    assert (prompt.schema["type"], item["type"]) == ("array", "object")
    assert item["properties"] == {"text": {"type": "string"}, "type": {"enum": ["LOC", "PER"]}}
    assert item["required"] == ["text", "type"]
    # an array may be written over several lines
    assert prompt.stop == ()
    assert free.schema is None
    assert prompt.canonical()["schema"] == prompt.schema
    # the hash of a prompt without a schema is what it was before there were any
    assert set(free.canonical()) == {"messages", "text", "max_tokens", "stop", "grammar"}


def test_a_constrained_answer_has_any_type_where_none_are_known() -> None:
    schema = make_task("ner", spans({"type": "bundled"}, constrained=True)).prompt(ITEM).schema
    assert schema is not None
    assert schema["items"]["properties"]["type"] == {"type": "string"}


@given(spans_items(), st.sampled_from(["chat", "completion"]))
def test_property_the_prompt_does_not_depend_on_the_gold(item: Item, form: str) -> None:
    task = make_task("ner", spans({"type": "bundled"}, prompt_format=form), items=items_of("PER"))
    assert task.prompt(item) == task.prompt(make_item(item.task, dict(item.content), [], {}))
