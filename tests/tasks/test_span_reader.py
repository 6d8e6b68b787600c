"""The first whole array of the right shape, whatever stands around it; and what is compared."""

from __future__ import annotations

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cpu import within_a_second
from quantrial.tasks import make_task
from quantrial.tasks.answer import read_answer
from quantrial.tasks.span_reader import compared, read_spans
from quantrial.tasks.spans import READERS, gold_spans, parse_spans
from repetitions import repetitions
from strategies import make_item
from tasks.specs import spans

ADA, ROME = ("ada", "PER"), ("rome", "LOC")
ONE = '{"text": "Ada", "type": "PER"}'
TWO = '{"text": "Rome", "type": "LOC"}'
GOOD = f"[{ONE}]"

# (what a model wrote, what is read; None is malformed)
LABELLED: list[tuple[str, set[tuple[str, str]] | None]] = [
    (GOOD, {ADA}),
    ("[]", set()),
    ("[ \n ]", set()),
    (f"[{ONE}, {TWO}]", {ADA, ROME}),
    # what stands around
    (f"{GOOD}[/INST]", {ADA}),
    (f"{GOOD}\nTypes used: [PER, LOC]", {ADA}),
    (f"{GOOD}\n{GOOD}", {ADA}),
    (f"{GOOD}\n[{TWO}]", {ADA}),
    ("[]\n\nSentence: Ada saw [him]\nEntities: " + GOOD, set()),
    (f"Types are [PER, LOC]: {GOOD}", {ADA}),
    (f"[1] says {GOOD} [2]", {ADA}),
    (f"[see above] {GOOD}", {ADA}),
    (f"[Note: {GOOD}]", {ADA}),
    (f'["PER", "LOC"]\n{GOOD}', {ADA}),
    (f"```json\n{GOOD}\n```", {ADA}),
    (f'{{"entities": {GOOD}}}', {ADA}),
    (f'{{"entities": {GOOD}', {ADA}),
    (f'{{"n": 1, "entities": {GOOD}, "types": ["PER"]}}', {ADA}),
    (f"- [x] done\n{GOOD}", {ADA}),
    (f"[[1, 2], [3]] {GOOD}", {ADA}),
    (f'[{ONE}, ...]\nAll of them: [{ONE}, {TWO}]', {ADA, ROME}),
    (f"say \"[\" and {GOOD}", {ADA}),
    (f"<s>[INST] x [/INST] {GOOD}", {ADA}),
    # keys
    ('[{"name": "Ada", "type": "PER"}]', {ADA}),
    ('[{"word": "Ada", "entity_group": "PER", "score": 0.99, "start": 0, "end": 3}]', {ADA}),
    ('[{"word": "Ada", "entity": "PER"}]', {ADA}),
    ('[{"text": "Ada", "entity": "PER"}]', {ADA}),
    ('[{"entity": "Ada", "label": "PER"}]', {ADA}),
    ('[{"span": "Ada", "tag": "per"}]', {ADA}),
    ('[{"text": "Ada", "entity": "Bob", "type": "PER"}]', {ADA}),
    ('[{"type": "PER", "text": "Ada", "aliases": [], "more": {"a": [1, [2]]}}]', {ADA}),
    # an element that names no span
    ('["Lisbon"]', None),
    ('["Nobody", "Nowhere"]', None),
    ('[["Ada", "PER"]]', None),
    (f"[[{ONE}]]", None),
    (f"[{ONE}, \"Rome\"]", None),
    (f"[{ONE}, null]", None),
    (f"[{ONE}, []]", None),
    ('[{"name": "Ada"}]', None),
    ('[{"text": "Ada"}]', None),
    ('[{"type": "PER"}]', None),
    ('[{"entity": "PER"}]', None),
    ('[{"text": "Ada", "kind": "PER"}]', None),
    ('[{"text": 3, "type": "PER"}]', None),
    ('[{"text": "Ada", "type": null}]', None),
    ('[{"text": "", "type": ""}]', None),
    ('[{"text": " ", "type": "PER"}]', None),
    ("[{}]", None),
    ("[1, 2]", None),
    ("[null]", None),
    # an object with several arrays
    (f'{{"notes": [], "entities": [{ONE}]}}', {ADA}),
    (f'{{"PER": [], "LOC": [], "n": 2, "MISC": [{ONE}]}}', {ADA}),
    (f'{{"thoughts": ["a"], "seen": [], "entities": [{ONE}]}}', {ADA}),
    ('{"entities": [], "notes": ["none"]}', set()),
    ('{"entities": [], "notes": []}', set()),
    (f'{{"notes": [], "entities": [{ONE}', None),
    ('{"notes": [], "entities": [{"text": "Ada", "ty', None),
    ('{"entities": [], "note": "see [1] and [', set()),
    ('{"entities": []}\n{"entities": [{"text": "Ada", "ty', set()),
    (f'{{"entities": []}}\n\n{{"entities": [{ONE}]}}', set()),
    (f'{{"entities": []}} [{ONE}]', set()),
    (f'[] {{"entities": [{ONE}]}}', set()),
    # broken off, or no JSON
    (f"[{ONE}", None),
    (f"[{ONE},", None),
    (f"[{ONE},]", None),
    (f"[{ONE} {TWO}]", None),
    ('[{"text": "Ada", "type": "PER", "aliases": []}, {"te', None),
    ('[{"text": "Ada", "type": "PER", "aliases": []} {"text": "Bo", "aliases": []}]', None),
    ('[{"text": "A\nda", "type": "PER"}]', None),
    ("[{'text': 'Ada', 'type': 'PER'}]", None),
    ('[{"text": "Ada\\x", "type": "PER"}]', None),
    ('[{"text": "Ada", "type": "PER", "n": 01}]', None),
    ("No entities.", None),
    ("", None),
    (ONE, None),
    # what numbers and strings may hold
    ('[{"text": "O\'Neil [Jr]", "type": "PER"}]', {("o'neil [jr]", "PER")}),
    ('[{"text": "a ```json b", "type": "PER"}]', {("a ```json b", "PER")}),
    ('[{"text": "say \\"[]\\"", "type": "PER"}]', {('say "[]"', "PER")}),
    (f'[{{"text": "Ada", "type": "PER", "id": {"1" * 100_000}}}]', {ADA}),
    ('[{"text": "Ada", "type": "PER", "score": NaN}]', {ADA}),
    (f'[{{"text": "Ada", "type": "PER", "x": {"[" * 900}{"]" * 900}}}]', {ADA}),
    (f'[{{"text": "Ada", "type": "PER", "x": {"[" * 90_000}{"]" * 90_000}}}]', None),
]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "found"), LABELLED, ids=[f"{i}: {text:.40}" for i, (text, _) in enumerate(LABELLED)]
)
def test_read_spans_by_hand(text: str, found: set[tuple[str, str]] | None) -> None:
    assert read_spans(text) == (None if found is None else frozenset(found))


def test_thoughts_are_taken_out_first() -> None:
    reader = READERS["first_array"]
    for text in (
        f"<think>types are [PER, LOC]</think>{GOOD}",
        f"<think>maybe [{TWO}] or []</think>\n{GOOD}",
        f"[THINK][{TWO}][/THINK]{GOOD}",
        f"<reasoning>[]</reasoning><answer>{GOOD}</answer>",
    ):
        assert reader.read(read_answer(text)) == frozenset({ADA})
    assert reader.read(read_answer(f"<think>{GOOD}", finish_reason="length")) is None


COMPOSED = "Z\u00fcrich"


@pytest.mark.parametrize(
    "text",
    [
        COMPOSED,
        unicodedata.normalize("NFD", COMPOSED),
        f"  {COMPOSED}\u00a0",
        COMPOSED.upper(),
        unicodedata.normalize("NFD", COMPOSED.upper()),
        f"\ufeff{COMPOSED}\u200b",
        "Z\u00fc\u00adrich",
        "\u200eZu\u2060\u0308rich\u200f",
    ],
)
def test_spans_are_compared_in_nfc_without_regard_to_case(text: str) -> None:
    assert compared(text, "loc ") == ("z\u00fcrich", "LOC")


@pytest.mark.parametrize(
    "text", ["New  York", "New\nYork", "New\tYork", " New \u00a0York ", "New\u2003York", "NEW york"]
)
def test_spans_are_compared_with_white_space_collapsed(text: str) -> None:
    assert compared(text, " L oc") == ("new york", "L OC")


def test_the_gold_is_compared_in_the_same_form() -> None:
    task = make_task("ner", spans({"type": "bundled"}))
    decomposed = unicodedata.normalize("NFD", COMPOSED)
    for gold, said in ((COMPOSED, decomposed), (decomposed, COMPOSED), ("New  York", "New York")):
        item = make_item("ner", {"text": f"Ada saw {gold}"}, [[gold, "LOC"]], {})
        outcome = task.score(item, json.dumps([{"text": said, "type": "LOC"}]))
        assert (outcome.values["tp"], outcome.values["fp"], outcome.values["fn"]) == (1, 0, 0)


PUBLISHED = [
    *(text for text, _ in LABELLED if len(text) < 1000),
    f"<think>[PER]</think>{GOOD}",
    f"<think>{GOOD}",
    f"<think>x</think>{GOOD}",
    json.dumps([{"text": unicodedata.normalize("NFD", COMPOSED), "type": "LOC"}]),
    json.dumps([{"text": "New  York", "type": "LOC"}]),
]


@pytest.mark.parametrize("text", PUBLISHED)
def test_the_scoring_of_published_studies_stays_by_its_name(text: str) -> None:
    task = make_task("ner", spans({"type": "bundled"}, scoring="spans_published"))
    gold = [["Ada", "PER"], ["New York", "LOC"], [COMPOSED, "LOC"]]
    outcome = task.score(make_item("ner", {"text": "x"}, gold, {}), text)
    found, right = parse_spans(text), gold_spans(gold)
    assert outcome.parsed is (found is not None)
    assert outcome.values["tp"] == len((found or set()) & right)
    assert outcome.values["fn"] == len(right - (found or set()))
    assert outcome.values["fp"] == len((found or set()) - right)


@pytest.mark.parametrize(
    "piece",
    ["[", "]", "[]", "{", '{"a":', "[[", "[{", '[{"a":', "```", '"', "\\", "1", "-", "[1,", "[ ",
     '[{"text":', '["', '["[",', '["\\"[', '[{"text":"a","type":"b"},', "[[[]", "[1 "],
)  # fmt: skip
@pytest.mark.parametrize("size", [60_000, *repetitions(300_000)])
def test_very_many_characters_are_read_to_their_end(piece: str, size: int) -> None:
    # a reader that begins anew at every bracket would not come back
    text = (piece * (size // len(piece) + 1))[:size]
    for candidate in (text, f"[{text}]", f"[{text}", f'[{{"text": "{text}", "type": "PER"}}]'):
        with within_a_second(f"{size} characters"):
            read_spans(candidate)
    assert read_spans(f"{text}\n") == read_spans(text)


def test_one_line_of_five_megabytes_is_read() -> None:
    many = ", ".join(json.dumps({"text": f"name {i}", "type": "PER"}) for i in range(125_000))
    assert len(read_spans(f"[{many}]") or ()) == 125_000


def slowly(text: str) -> frozenset[tuple[str, str]] | None:
    """Decode at each bracket that stands in no array which was decoded before."""
    decoder, at = json.JSONDecoder(), 0
    while (at := text.find("[", at)) >= 0:
        try:
            value, end = decoder.raw_decode(text, at)
        except ValueError:
            at += 1
            continue
        pairs = [
            (one["text"], one["type"])
            if isinstance(one, dict) and {*one} == {"text", "type"}
            else None
            for one in value
        ]
        if None not in pairs:
            return frozenset(compared(*pair) for pair in pairs if pair is not None)
        at = end
    return None


PROSE = st.lists(
    st.sampled_from([GOOD, f"[{ONE}, {TWO}]", "[]", "[PER, LOC]", "[1]", '["Ada"]', f"[[{ONE}]]",
                     "So, ", "\n", "[Note: ", "]", "Entities: ", "[/INST]", "```"]),
    max_size=8,
).map(" ".join)  # fmt: skip


@given(PROSE)
def test_property_prose_is_read_as_by_decoding_at_each_bracket(text: str) -> None:
    assert read_spans(text) == slowly(text)


@given(st.text(st.sampled_from('[]{}",:`textypPER1 \\u')), st.booleans())
def test_property_any_json_like_text_is_read_to_a_set_or_nothing(text: str, closed: bool) -> None:
    found = read_spans(f"[{text}]" if closed else text)
    assert found is None or isinstance(found, frozenset)
