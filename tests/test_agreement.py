"""Which numbers are the same, and how they are rounded: examples reckoned by hand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from quantrial.agreement import (
    ABSENT,
    all_rounded,
    as_recorded,
    differences,
    fingerprint,
    rounded,
    same,
)

EXAMPLE = Path(__file__).parents[1] / "examples" / "demo"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (0.1, 0.1 * (1 + 1e-13)),
        (-0.0068860409981199370, -0.006886040998048003),  # two processors, 1.04e-11 apart
        (0.0, 3.1e-17),  # what is left where numbers of ordinary size cancel
        (-2e-16, 1e-16),
        (1, 1.0),
        (None, None),
        ("a", "a"),
        (True, True),
    ],
)
def test_by_hand_the_same(one: object, other: object) -> None:
    assert same(one, other)
    assert same(other, one)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (0.123456789, 0.123456788),  # the ninth digit
        (9.99999999, 9.99999998),
        (1.23456789e-5, 1.23456788e-5),
        (123456789012, 123456789013),  # whole numbers are counted, not rounded
        (1, True),
        (0, False),
        (0.0, None),
        ("a", "b"),
        (1.0, "1.0"),
        ([], {}),
    ],
)
def test_by_hand_not_the_same(one: object, other: object) -> None:
    assert not same(one, other)
    assert not same(other, one)


def test_by_hand_a_probability_is_told_apart_however_small() -> None:
    assert same(4.4e-16, 9.9e-16)
    assert not same(4.4e-16, 9.9e-16, probability=True)
    assert same(4.4e-16, 4.4e-16 * (1 + 1e-12), probability=True)


@pytest.mark.parametrize(
    ("document", "small"),
    [
        ({"p_value": 1e-20}, 2e-20),
        ({"equivalence_p_adjusted": 1e-20}, 2e-20),
        ({"p": {"calibrated": 1e-20, "classic": None}}, 2e-20),
    ],
)
def test_by_hand_small_p_values_are_compared_as_such(
    document: dict[str, object], small: float
) -> None:
    changed = json.loads(json.dumps(document).replace("1e-20", str(small)))
    assert len(list(differences(document, changed))) == 1


def test_by_hand_an_arm_called_p_is_no_probability() -> None:
    of_arm = {"p": {"estimate": 0.0, "method": "wilson"}}
    elsewhere = {"p": {"estimate": 3e-17, "method": "wilson"}}
    assert list(differences(of_arm, elsewhere)) == []


def test_differences_name_the_place_and_both_values() -> None:
    one = {"a": [{"b": 1.0}, {"b": 2.0}], "c": "x", "e": [1]}
    other = {"a": [{"b": 1.0}, {"b": 2.1}], "d": None, "e": [1, 2]}
    found = {d.key: (d.recorded, d.derived) for d in differences(one, other)}
    assert found == {
        "a[1].b": (2.0, 2.1),
        "c": ("x", ABSENT),
        "d": (ABSENT, None),
        "e": ("1 entries", 2),
    }


def test_what_follows_stays_as_recorded_and_what_does_not_is_as_derived() -> None:
    recorded = {"a": 0.1, "b": [1.0, 2.0], "edited": 7.0, "gone": 1}
    derived = {"a": 0.1 + 1e-16, "b": [1.0 + 1e-15, 2.0], "edited": 5.0, "new": None}
    assert as_recorded(recorded, derived) == {
        "a": 0.1, "b": [1.0, 2.0], "edited": 5.0, "new": None
    }  # fmt: skip


def test_by_hand_rounding_keeps_what_is_read_and_drops_the_last_bits() -> None:
    assert rounded(12.250000000000002) == rounded(12.249999999999998) == 12.25
    assert rounded(1 / 3, 3) == 0.333
    assert all_rounded({"a": [1 / 3, 2, "x", None]}, 2) == {"a": [0.33, 2, "x", None]}


def test_a_fingerprint_is_the_same_on_two_kinds_of_processor_and_of_no_other_document() -> None:
    document = {"a": 0.123456789012345, "b": [0.1, 5]}
    elsewhere = {"b": [0.1 * (1 + 1e-13), 5], "a": 0.123456789012345 * (1 - 1e-14)}
    assert fingerprint(document) == fingerprint(elsewhere)
    assert fingerprint(document) != fingerprint({"a": 0.123456789012345, "b": [0.1, 6]})
    assert fingerprint(document) != fingerprint({"a": 0.12346, "b": [0.1, 5]})


@pytest.mark.parametrize("name", ["summary.json", "decision.json"])
def test_the_ninth_digit_of_every_number_of_the_example_counts(name: str) -> None:
    def nudge(value: object) -> object:
        if isinstance(value, dict):
            return {key: nudge(part) for key, part in value.items()}
        if isinstance(value, list):
            return [nudge(part) for part in value]
        if isinstance(value, float) and value and not value.is_integer():
            digits = f"{value:.8e}"  # one digit, a point and eight: the ninth one changes
            mantissa, exponent = digits.split("e")
            other = mantissa[:-1] + ("8" if mantissa[-1] == "9" else str(int(mantissa[-1]) + 1))
            changed.append(value)
            return float(f"{other}e{exponent}") + (value - float(digits))
        return value

    changed: list[float] = []
    document = json.loads((EXAMPLE / name).read_text(encoding="utf-8"))
    found = list(differences(document, nudge(document)))
    assert len(found) == len(changed) > 500
