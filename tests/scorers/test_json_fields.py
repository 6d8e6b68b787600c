"""Fields of a JSON object: types, what is right, wrong, missing and invented, hostile objects."""

from __future__ import annotations

import datetime
import functools
import json
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cpu import within_a_second
from quantrial.records import Item
from quantrial.scorers.base import Said, Score
from quantrial.scorers.json_fields import Json, JsonPart, read_date
from quantrial.study.scoring import _entry
from quantrial.tasks.answer import as_answer
from quantrial.tasks.base import Outcome

FIELDS = {
    "total": "number",
    "date": "date",
    "vendor.name": "casefold",
    "tags": "set",
    "note": "ignore",
    "id": "exact",
}
GOLD = {
    "total": 1234.5,
    "date": "2024-03-31",
    "vendor": {"name": "ACME Ltd", "city": "Köln"},
    "tags": ["paid", "eu"],
    "id": "X-1",
}


@functools.cache
def scorer(fields: str = json.dumps(FIELDS), **options: Any) -> Json:
    return Json(JsonPart(scorer="json", fields=json.loads(fields), **options))


def item(gold: Any) -> Item:
    return Item("invoices", "1", {}, gold)


def scored(gold: Any, text: str, using: Json | None = None) -> Score:
    using = using or scorer()
    using.check(gold)
    return using.score(gold, text, Said(as_answer(text), item(gold)))


def counts(one: Score) -> list[float]:
    return [one.values[name] for name in ("tp", "fp", "fn", "correct", "valid")]


def changed(**values: Any) -> str:
    return json.dumps({**GOLD, **values})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (changed(), [5, 0, 0, 1, 1]),
        (changed(note="whatever", other=1), [5, 0, 0, 1, 1]),  # neither of them counts
        (changed(total="$1,234.50"), [5, 0, 0, 1, 1]),
        (changed(total="1234.50 EUR"), [5, 0, 0, 1, 1]),
        (changed(date="31 March 2024"), [5, 0, 0, 1, 1]),
        (changed(vendor={"name": " acme  LTD "}), [5, 0, 0, 1, 1]),
        (changed(tags=["EU", "paid", "paid"]), [5, 0, 0, 1, 1]),
        (changed(tags="eu, paid"), [5, 0, 0, 1, 1]),
        (changed(total=1234), [4, 1, 1, 0, 1]),
        (changed(total=True), [4, 1, 1, 0, 1]),
        (changed(total="about a thousand"), [4, 1, 1, 0, 1]),
        (changed(total=None), [4, 0, 1, 0, 1]),
        (changed(total=" "), [4, 0, 1, 0, 1]),
        (changed(date="03/04/2024"), [4, 1, 1, 0, 1]),  # may be either of two days
        (changed(vendor="ACME Ltd"), [4, 0, 1, 0, 1]),
        (changed(tags=[]), [4, 0, 1, 0, 1]),
        (changed(tags=["eu"]), [4, 1, 1, 0, 1]),
        (changed(id="x-1"), [4, 1, 1, 0, 1]),
        (changed(id=1), [4, 1, 1, 0, 1]),
        ("{}", [0, 0, 5, 0, 1]),
    ],
)
def test_fields_by_hand(text: str, expected: list[float]) -> None:
    one = scored(GOLD, text)
    assert counts(one) == expected
    assert one.parsed
    wrong = [name for name, value in one.values.items() if name.startswith("field_") and not value]
    assert len(wrong) == expected[2]


@pytest.mark.parametrize(
    "text",
    [
        *("", "no", "[]", '[{"total": 1}]', "1", '"a"', '{"total": 1', '{"total": NaN}'),
        '{"total": 1234.5, "total": 1234.5}',  # which of them is meant?
        '{"a": ' + "[" * 100_000,
        '{"a": ' * 2_000 + "1" + "}" * 2_000,
        '{"total": 1e999}',
    ],
    ids=lambda text: text[:20],
)
def test_what_is_no_strict_object_misses_every_field(text: str) -> None:
    with within_a_second():
        one = scored(GOLD, text)
    assert (counts(one), one.parsed, one.answer) == ([0, 0, 5, 0, 0], False, None)
    assert not any(value for name, value in one.values.items() if name.startswith("field_"))
    assert one == scorer().unread(GOLD, Said(as_answer(""), item(GOLD)))


def test_no_value_is_right_where_there_is_none() -> None:
    gold: dict[str, Any] = {"total": 5, "date": None, "tags": []}
    assert counts(scored(gold, '{"total": 5}')) == [1, 0, 0, 1, 1]
    one = scored(gold, '{"total": 5, "date": "2024-01-01", "id": ""}')
    assert counts(one) == [1, 1, 0, 0, 1]
    assert (one.values["field_date"], one.values["field_tags"], one.values["invented"]) == (0, 1, 1)
    (mode,) = scorer().failure_modes
    assert mode.shows(None, item(gold), Outcome(one.values, True, one.answer)) is True
    assert mode.applies is not None
    assert mode.applies(item(gold))
    assert not mode.applies(item(GOLD))


def test_numbers_within_a_tolerance_are_right() -> None:
    near = scorer(json.dumps({"total": "number"}), abs=0.01)
    assert counts(scored({"total": 0.3}, '{"total": 0.31}', near)) == [1, 0, 0, 1, 1]
    assert counts(scored({"total": 0.3}, '{"total": 0.311}', near)) == [0, 1, 1, 0, 1]


def test_numbers_of_very_many_digits_are_compared() -> None:
    # 10^999 - 1, times 10^999: more digits than are read of one number without an exponent
    using, huge = scorer('{"total": "number"}'), "9" * 999 + "e999"
    assert counts(scored({"total": 5}, json.dumps({"total": huge}), using))[:3] == [0, 1, 1]
    assert counts(scored({"total": huge}, json.dumps({"total": huge}), using))[:3] == [1, 0, 0]


def test_exact_values_tell_types_apart_and_equal_ones_not() -> None:
    one = scorer(json.dumps({"a": "exact"}))
    for gold, text, right in (
        (1, "1.0", 1),
        (1, "true", 0),
        (1, '"1"', 0),
        ([1, 2], "[2, 1]", 0),
        ({"b": 1, "c": [None]}, '{"c": [null], "b": 1.0}', 1),
        ("e\u0301", '"\\u00e9"', 1),
    ):
        assert counts(scored({"a": gold}, f'{{"a": {text}}}', one))[0] == right, text
    deep = '{"a": ' + "[" * 150 + "]" * 150 + "}"
    assert counts(scored({"a": 1}, deep, one)) == [0, 1, 1, 0, 1]
    kept = scored({"a": 1}, deep, one).answer
    assert kept == {"a": {"unreadable": "[" * 60}}


def test_gold_may_be_json_in_a_text() -> None:
    assert counts(scored(json.dumps(GOLD), changed())) == [5, 0, 0, 1, 1]


@pytest.mark.parametrize(
    ("gold", "said"),
    [
        ("ACME", "no JSON object"),
        ([1], "no JSON object"),
        (None, "no JSON object"),
        ({"other": 1}, "none of the fields total, date"),
        ({"total": "twelve"}, "field 'total'.*no number"),
        ({"total": float("nan")}, "field 'total'.*no number"),
        ({"date": "03/04/2024"}, "field 'date'.*two dates"),
        ({"date": "2024-02-30"}, "field 'date'.*day"),
        ({"vendor": {"name": ["a"]}}, "field 'vendor.name'.*no text"),
        ({"tags": {"a": 1}}, "field 'tags'.*no list"),
        ({"tags": [["a"]]}, "field 'tags'.*no text"),
        ({"id": 2**70}, "field 'id'.*too large"),
    ],
)
def test_a_gold_that_cannot_be_compared_is_refused(gold: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        scorer().check(gold)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({}, "at least 1"),
        ({"a": "text"}, "'exact', 'casefold'"),
        ({"a": "ignore"}, "every field is ignored"),
        ({"a..b": "exact"}, "empty"),
        ({"a.b": "exact", "a": "exact"}, "name one of them"),
    ],
)
def test_fields_that_make_no_sense_are_refused(fields: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        JsonPart(scorer="json", fields=fields)


def test_endpoints_follow_from_the_fields() -> None:
    assert [one.name for one in scorer().endpoints] == [
        *("micro_f1", "all_fields", "valid"),
        *("field_total", "field_date", "field_vendor_name", "field_tags", "field_id"),
    ]
    many = JsonPart(scorer="json", fields={f"f{n}": "exact" for n in range(26)})
    assert len(Json(many).endpoints) == 3
    assert _entry({"json": {"fields": {"a": "exact"}}}) == {
        "scorer": "json",
        "fields": {"a": "exact"},
    }


def test_errors_are_counted_by_field_most_first() -> None:
    said = [changed(), changed(total=1, id=None), changed(total=2), "no", '{"total": 1234.5}']
    golds = [GOLD] * 4 + [{"total": 1234.5}]
    pairs = []
    for gold, text in zip(golds, [*said[:4], changed()], strict=True):
        one = scored(gold, text)
        pairs.append((item(gold), Outcome(one.values, one.parsed, one.answer)))
    assert scorer().failures(pairs, lambda *_: {}) == {
        "field_errors": [
            {"field": "total", "wrong": 2, "missing": 0, "invented": 0},
            {"field": "id", "wrong": 0, "missing": 1, "invented": 1},
            {"field": "date", "wrong": 0, "missing": 0, "invented": 1},
            {"field": "vendor.name", "wrong": 0, "missing": 0, "invented": 1},
            {"field": "tags", "wrong": 0, "missing": 0, "invented": 1},
        ]
    }


def test_the_schema_holds_decoding_to_the_fields_against_jsonschema() -> None:
    check = jsonschema.Draft202012Validator(scorer().schema()).is_valid
    whole = {**GOLD, "vendor": {"name": "ACME"}, "note": None}
    assert check(whole)
    assert check({**whole, "total": None, "vendor": {"name": None}})
    assert not check({**whole, "total": "1"})
    assert not check({**whole, "other": 1})
    assert not check({key: value for key, value in whole.items() if key != "id"})
    assert not check({**whole, "vendor": {}})


def test_an_answer_of_a_megabyte_takes_no_second() -> None:
    # four fields of a quarter of a megabyte
    for value in (["a"] * 50_000, "1" * 250_000, {f"k{n}": n for n in range(15_000)}):
        with within_a_second():
            scored(GOLD, changed(total=value, tags=value, date=value, id=value))


DATE_FORMS = (
    "%Y-%m-%d", "%Y/%m/%d", "%Y%m%d", "%Y-%m-%dT%H:%M:%SZ", "%d %B %Y", "%B %d, %Y", "%b %d %Y",
    "%A, %d %B %Y", "%d-%b-%Y", "%d.%m.%Y", "%Y年%m月%d日", "%d.%m.%Y %H:%M",
)  # fmt: skip


@given(st.dates(datetime.date(1000, 1, 1)), st.sampled_from(DATE_FORMS))
def test_property_dates_are_read_as_python_writes_them(day: datetime.date, form: str) -> None:
    written = datetime.datetime.combine(day, datetime.time()).strftime(form)
    assert read_date(written) == day.isoformat()
    assert read_date(f" {written.upper()} ") == day.isoformat()


@given(st.dates(datetime.date(1000, 1, 1)))
def test_property_slashes_are_read_only_where_one_day_can_be_meant(day: datetime.date) -> None:
    for form in ("%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y"):
        if day.day > 12 or day.day == day.month:
            assert read_date(day.strftime(form)) == day.isoformat()
        else:
            with pytest.raises(ValueError, match="two dates"):
                read_date(day.strftime(form))


@pytest.mark.parametrize(
    "text",
    [
        *("", "2024", "March 2024", "3/4/24", "2024-13-01", "31/31/2024", "June 31, 2024"),
        *("x" * 10**6, " " * 10**6, "2024-01-01 or 2024-01-02", 20240331, None, []),
    ],
    ids=lambda text: f"{text!r:.20}",
)
def test_what_is_no_date_is_refused(text: Any) -> None:
    with pytest.raises(ValueError, match=r"no date|day|month"):
        read_date(text)


VALUES = st.dictionaries(st.sampled_from("abcd"), st.none() | st.integers(0, 3))


@given(VALUES.filter(lambda gold: any(one is not None for one in gold.values())), VALUES)
def test_property_counts_are_those_of_sets_of_pairs(gold: Any, said: Any) -> None:
    using = scorer(json.dumps(dict.fromkeys("abcd", "exact")))
    right, found = ({(k, v) for k, v in one.items() if v is not None} for one in (gold, said))
    expected = [len(right & found), len(found - right), len(right - found), right == found, 1]
    assert counts(scored(gold, json.dumps(said), using)) == expected
