"""JSONL of one's own: both kinds, metadata, ids, and what can be wrong."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantrial.errors import DataError, DataWarning, StudyError
from quantrial.records import Item, item_from_json
from quantrial.registry import TASKS
from quantrial.study import ChoiceTask, SpansTask
from quantrial.tasks.sources import LoadedItems, load_items
from quantrial.tasks.sources._jsonl import jsonl_rows
from quantrial.tasks.spans import entity_types
from strategies import JSON, attempt, choice_items, spans_items
from tasks.specs import Write, choice, spans

QUIZ = '{"question": "Who?", "options": ["w", "x", "y"], "answer": %s}'
ADA = '{"text": "Ada saw Paris.", "entities": [["Ada", "PER"], ["Paris", "LOC"]]}'


def load(path: Path, kind: str, **options: Any) -> LoadedItems:
    dev = {"dev": options.pop("dev")} if "dev" in options else {}
    make = choice if kind == "choice" else spans
    spec: ChoiceTask | SpansTask = make({"type": "jsonl", "path": path.name, **dev}, **options)
    return load_items("mine", spec, base=path.parent)


@pytest.mark.parametrize(("answer", "gold"), [("0", "A"), ("2", "C"), ('"B"', "B"), ('" b "', "B")])
def test_choice_answers_are_an_index_or_a_letter(write: Write, answer: str, gold: str) -> None:
    (item,) = load(write("a.jsonl", QUIZ % answer), "choice").items
    assert item.gold == gold
    assert item.content == {"question": "Who?", "options": ["w", "x", "y"]}
    assert (item.task, item.source, item.metadata) == ("mine", "a.jsonl:1", {})


def test_spans(write: Write) -> None:
    path = write("a.jsonl", f'\n{ADA}\r\n\n{{"text": "Nothing.", "entities": []}}\n')
    items = load(path, "spans").items
    assert [(i.content, i.gold, i.source) for i in items] == [
        ({"text": "Ada saw Paris."}, [["Ada", "PER"], ["Paris", "LOC"]], "a.jsonl:2"),
        ({"text": "Nothing."}, [], "a.jsonl:4"),
    ]
    assert entity_types(items) == ("LOC", "PER")


def test_other_keys_are_metadata_in_text(write: Write) -> None:
    row = {"text": "x", "entities": [], "genre": "news", "year": 2024, "score": 0.5, "old": False}
    (item,) = load(write("a.jsonl", json.dumps({**row, "note": None})), "spans").items
    assert item.metadata == {"genre": "news", "year": "2024", "score": "0.5", "old": "false"}


def test_metadata_is_no_part_of_the_id(write: Write) -> None:
    row = {"text": "x", "entities": []}
    text = "\n".join(json.dumps({**row, "genre": genre}) for genre in ("a", "b"))
    with pytest.warns(
        DataWarning, match=r"1 row repeats an earlier one and is kept .*a\.jsonl:2\)"
    ):
        items = load(write("a.jsonl", text), "spans").items
    assert items[1].id == f"{items[0].id}-2"
    assert items[1].content_sha256 == items[0].content_sha256


def test_content_and_gold_make_the_id(write: Write) -> None:
    rows = [QUIZ % 0, QUIZ % 1, (QUIZ % 0).replace("Who", "What")]
    with pytest.warns(DataWarning, match="1 row asks what an earlier one asks"):
        items = load(write("a.jsonl", "\n".join(rows)), "choice").items
    assert len({item.id for item in items}) == 3


def test_a_line_separator_of_unicode_ends_no_line(write: Write) -> None:
    (item,) = load(write("a.jsonl", '{"text": "a\u2028b\x85", "entities": []}'), "spans").items
    assert item.content["text"] == "a\u2028b\x85"


def test_a_byte_order_mark_is_no_content(write: Write) -> None:
    plain = load(write("a.jsonl", ADA), "spans")
    marked = load(write("b.jsonl", b"\xef\xbb\xbf" + ADA.encode()), "spans")
    assert plain.items[0].id == marked.items[0].id
    assert plain.provenance["content_sha256"] == marked.provenance["content_sha256"]


def test_no_path_of_this_machine_is_recorded(write: Write, tmp_path: Path) -> None:
    path = write("a.jsonl", ADA)
    spec = spans({"type": "jsonl", "path": str(path)})
    here = load_items("mine", spec, base=Path("/elsewhere"))
    shutil.move(path, write("sub/a.jsonl", ""))
    there = load_items("mine", spans({"type": "jsonl", "path": "sub/a.jsonl"}), base=tmp_path)
    assert here == there
    assert str(tmp_path) not in repr(here)


def test_provenance_follows_content(write: Write) -> None:
    one = load(write("a.jsonl", ADA), "spans").provenance
    other = load(write("b.jsonl", ADA.replace("saw", "loves")), "spans").provenance
    assert one["content_sha256"] != other["content_sha256"]
    assert one["rows"] == 1
    json.dumps(dict(one))


CHOICE_ERRORS = [
    ('{"question": "Who?"', "not valid JSON ("),
    ('["Who?"]', "expected a JSON object, got "),
    ("3", "expected a JSON object, got '3'"),
    (
        '{"options": ["a", "b"], "answer": 0}',
        "the key 'question' is missing; keys there: options, answer",
    ),
    (
        '{"question": 3, "options": ["a", "b"], "answer": 0}',
        "'question' is 3; expected a text in quotes",
    ),
    ('{"question": "", "options": ["a", "b"], "answer": 0}', "the question is empty"),
    ('{"question": "Q", "options": "ab", "answer": 0}', "'options' is 'ab'; expected a list"),
    (
        '{"question": "Q", "options": ["a", 2], "answer": 0}',
        "option B is 2; expected a text in quotes",
    ),
    ('{"question": "Q", "options": ["a", ""], "answer": 0}', "option B is empty"),
    ('{"question": "Q", "options": ["a"], "answer": 0}', "1 option; expected 2 to 10"),
    (
        json.dumps({"question": "Q", "options": list("abcdefghijk"), "answer": 0}),
        "11 options; expected 2 to 10",
    ),
    (
        '{"question": "Q", "options": ["a", "b ", "b"], "answer": 0}',
        "the option 'b' occurs twice",
    ),
    (QUIZ % "3", "the answer is index 3; with 3 options, expected 0 to 2"),
    (QUIZ % "-1", "the answer is index -1"),
    (QUIZ % '"D"', "the answer is 'D'; with 3 options, expected a letter from A to C"),
    (QUIZ % '"x"', "the answer is 'x'; with 3 options"),
    (QUIZ % '""', "the answer is ''"),
    (QUIZ % "1.0", "'answer' is 1.0; expected an index from 0, or a letter"),
    (QUIZ % "true", "'answer' is True; expected an index"),
    (QUIZ % "[1]", "'answer' is [1]; expected an index"),
    (QUIZ % "null", "'answer' is None; expected an index"),
    ((QUIZ % "1")[:-1] + ', "question": "R"}', "the key 'question' occurs twice"),
    (
        (QUIZ % "1")[:-1] + ', "n": 36893488147419103232}',  # 2^65
        "the whole number 36893488147419103232 is beyond 64 bits and would be rounded",
    ),
    ((QUIZ % "1")[:-1] + ', "tags": ["a"]}', "'tags' is ['a']; expected a text or a number"),
    (
        (QUIZ % "1")[:-1] + ', "more": {"a": 1}}',
        "'more' is {'a': 1}; expected a text or a number",
    ),
]
SPANS_ERRORS = [
    ("{}", "the key 'text' is missing; keys there: none"),
    ('{"text": "x"}', "the key 'entities' is missing; keys there: text"),
    ('{"text": " ", "entities": []}', "the text is empty"),
    ('{"text": "x", "entities": {}}', "'entities' is {}; expected a list"),
    ('{"text": "x", "entities": ["x"]}', "the entity 'x' is not a pair such as"),
    ('{"text": "x", "entities": [["x"]]}', "the entity ['x'] is not a pair"),
    ('{"text": "x", "entities": [["x", 1]]}', "the entity ['x', 1] is not a pair"),
    ('{"text": "x", "entities": [["x", ""]]}', "the entity ['x', ''] is not a pair"),
    ('{"text": "x", "entities": [{"text": "x"}]}', "is not a pair"),
    (
        '{"text": "Paris", "entities": [["paris", "LOC"]]}',
        "the entity 'paris' does not occur in the text",
    ),
]


@pytest.mark.parametrize(
    ("kind", "line", "message"),
    [("choice", *case) for case in CHOICE_ERRORS] + [("spans", *case) for case in SPANS_ERRORS],
)
def test_a_malformed_line_is_named(write: Write, kind: str, line: str, message: str) -> None:
    good = QUIZ % 0 if kind == "choice" else ADA
    path = write("a.jsonl", f"{good}\n\n{line}\n")
    with pytest.raises(DataError, match=re.escape(message)) as caught:
        load(path, kind)
    assert (caught.value.path, caught.value.line) == (path, 3)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "the file is empty"),
        (b"\n \n", "the file is empty"),
        (b'{"text": "\xe9"}', "line 1: not UTF-8 (byte 10 is 0xe9): save it as UTF-8"),
        (ADA.encode() + b"\n\xff", "line 2: not UTF-8 (byte "),
    ],
)
def test_a_file_that_holds_nothing_readable(write: Write, data: bytes, message: str) -> None:
    with pytest.raises(DataError, match=re.escape(message)):
        load(write("a.jsonl", data), "spans")


def test_files_that_are_not_there(write: Write, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a\.jsonl: no such file"):
        load(tmp_path / "a.jsonl", "spans")
    with pytest.raises(DataError, match=r"dev\.jsonl: no such file"):
        load(write("b.jsonl", ADA), "spans", dev="dev.jsonl")


def test_examples(write: Write) -> None:
    path = write("a.jsonl", QUIZ % 0)
    write("dev.jsonl", "\n".join((QUIZ % 1).replace("Who", f"Dev {i}") for i in range(3)))
    loaded = load(path, "choice", dev="dev.jsonl", shots=2)
    assert [shot.content["question"] for shot in loaded.shots] == ["Dev 0?", "Dev 1?", "Dev 2?"]
    with pytest.raises(
        StudyError, match=r"tasks\.mine\.shots: asks for 4 examples, but the source offers 3$"
    ):
        load(path, "choice", dev="dev.jsonl", shots=4)
    with pytest.raises(StudyError, match="the source offers 0; set `dev` in the source"):
        load(path, "choice", shots=1)


def test_imported_answers_have_no_source() -> None:
    spec = choice({"type": "imported"})
    with pytest.raises(
        StudyError, match="the answers were imported, so there is no source of items"
    ):
        load_items("mine", spec, base=Path())


@given(st.lists(st.one_of(choice_items()), min_size=1, max_size=4))
def test_property_choice_items_survive_the_way_to_disk_and_back(items: list[Item]) -> None:
    lines = [
        json.dumps(
            {**item.content, "answer": "ABCDEFGHIJ".index(item.gold), **item.metadata},
            ensure_ascii=False,
        )
        for item in items
    ]
    rows = list(jsonl_rows("\n".join(lines), "a.jsonl", TASKS.load("choice").row))
    assert [(r.content, r.gold, r.metadata) for r in rows] == [
        (item.content, item.gold, item.metadata) for item in items
    ]
    for item in items:
        assert item_from_json(item.to_json(), path="items.jsonl") == item


@given(st.lists(spans_items(), min_size=1, max_size=4))
def test_property_spans_items_survive_the_way_to_disk_and_back(items: list[Item]) -> None:
    lines = [json.dumps({"text": i.content["text"], "entities": i.gold}) for i in items]
    rows = list(jsonl_rows("\n".join(lines), "a.jsonl", TASKS.load("spans").row))
    assert [(row.content, row.gold) for row in rows] == [(i.content, i.gold) for i in items]


@given(
    st.dictionaries(
        st.sampled_from(["question", "options", "answer", "text", "entities", "genre"]), JSON
    ),
    st.sampled_from(["choice", "spans"]),
)
def test_property_any_json_is_a_row_or_an_error_with_its_line(
    record: dict[str, Any], kind: Any
) -> None:
    rows, error = attempt(
        lambda: list(jsonl_rows(json.dumps(record), "a.jsonl", TASKS.load(kind).row)), DataError
    )
    assert error is None or error.line == 1
    assert all(row.metadata.keys() <= record.keys() for row in rows or ())
