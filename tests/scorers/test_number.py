"""Numbers of answers: what is read by hand-made cases, exactly, and in linear time."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cpu import within_a_second
from quantrial.records import Item
from quantrial.scorers.base import Said, Score
from quantrial.scorers.number import Number, NumberPart, NumberReader, written
from quantrial.tasks.answer import as_answer

SAID = Said(as_answer(""), Item("sums", "1", {}, None))


def scored(gold: Any, text: str, **options: Any) -> Score:
    scorer = Number(NumberPart(scorer="number", **options))
    scorer.check(gold)
    return scorer.score(gold, text, SAID)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("It costs 1,234 in all.", "1234"),
        ("1'234", "1234"),
        ("1\u202f234.50", "1234.5"),
        ("12,34,567", "1234567"),  # lakhs
        ("$5", "5"),
        ("-$5", "-5"),
        ("€ 7.50", "7.5"),
        ("12 %", "12"),
        ("3/4", "0.75"),
        ("1/3", "1/3"),
        ("2/6", "1/3"),
        ("1 1/2 cups", "1.5"),
        ("2½", "2.5"),
        ("-½", "-0.5"),
        (r"\boxed{-\frac{3}{4}}", "-0.75"),
        (r"1\dfrac{1}{2}", "1.5"),
        ("-2", "-2"),
        ("−2", "-2"),
        ("x=-2", "-2"),
        ("10-12", "12"),  # a range, no negative number
        ("1e3", "1000"),
        ("1.5E-3", "0.0015"),
        ("3 × 10^8", "300000000"),
        (r"2 \times 10^{-1}", "0.2"),
        ("10^4", "10000"),
        (".5", "0.5"),
        ("5.", "5"),
        ("5kg", "5"),
        ("7/hour", "7"),
        ("答案是5", "5"),
        ("٣", "3"),
        ("6 in H2O and CO25", "6"),
        ("x^2 = 9", "9"),
        ("5 + 3 = 8", "8"),
        ("0.10", "0.1"),
    ],
)
def test_number_by_hand(text: str, value: str) -> None:
    found = scored(0, text)
    assert (found.parsed, found.answer) == (True, value)
    assert scored(float(Fraction(value)), text, rel=1e-12).values == {"correct": 1.0}
    assert scored(value, text).values == {"correct": 1.0}
    assert scored(float(Fraction(value)) + 1, text).values == {"correct": 0.0}


@pytest.mark.parametrize(
    "text",
    [
        *("", "none", "NaN", "Infinity", "-inf", "²", "$", "H2O", "v2.5"),
        *("1,5", "0,500", "1.5.2024", "3/4/2024", "1,2,3", "1.234,5", "1,23"),
        *("5/0", "2^10", "5^2", "1e3e", "1e1001", "1e99999999999999999999", "1 2/0"),
    ],
)
def test_what_is_no_number_is_not_read(text: str) -> None:
    expected = Score({"correct": 0.0}, parsed=False)
    if text == "1e3e":  # letters after a number are its unit
        expected = Score({"correct": 0.0}, answer="1000")
    assert scored(5, text) == expected


def test_options_say_what_is_read() -> None:
    assert scored(12, "12 or 13").values["correct"] == 0
    assert scored(12, "12 or 13", take="first").values["correct"] == 1
    assert scored(1234.5, "1.234,5", decimal="comma").answer == "1234.5"
    assert scored("0,5", "1/2", decimal="comma").values["correct"] == 1
    assert scored(0.12, "12 %", percent="share").answer == "0.12"
    assert scored("12%", "0.12", percent="share").values["correct"] == 1
    assert scored(12, "12 percent").values["correct"] == 1


def test_tolerances_are_exact_and_the_larger_one_counts() -> None:
    assert scored(0.3, "0.4", abs=0.1).values["correct"] == 1  # 0.4 - 0.3 > 0.1 in floats
    assert scored(0.3, "0.4000001", abs=0.1).values["correct"] == 0
    assert scored(200, "202", rel=0.01).values["correct"] == 1
    assert scored(-200, "-202.1", rel=0.01).values["correct"] == 0
    assert scored(200, "203", rel=0.01, abs=3).values["correct"] == 1
    assert scored("1/3", "0.333", abs=0.001).values["correct"] == 1
    assert scored("1/3", "0.333").values["correct"] == 0


@pytest.mark.parametrize(
    ("gold", "value"),
    [
        ("She sold 48/2 = 24 clips.\n48 + 24 = 72\n#### 72", 72),  # as GSM8K has it
        ("#### 1,080", 1080),
        (r"\boxed{72}", 72),
        (r"$\boxed{\frac{3}{4}}$", Fraction(3, 4)),
        ("x" * 100_000 + "#### -3", -3),
    ],
)
def test_the_number_of_a_worked_gold(gold: str, value: Fraction) -> None:
    assert NumberReader().exact(gold) == value


@pytest.mark.parametrize(
    "gold",
    [True, None, "", "twelve", "12 apples", "1 2", [1], {}, float("nan"), float("inf"), 2**10**6],
    ids=lambda gold: f"{gold!r}" if not isinstance(gold, int) else "whole",
)
def test_a_gold_that_is_no_number_is_refused(gold: Any) -> None:
    with pytest.raises(ValueError, match=r"is no number|too large"):
        Number(NumberPart(scorer="number")).check(gold)


@pytest.mark.parametrize("option", [{"abs": -1}, {"rel": float("nan")}, {"take": "best"}, {"x": 1}])
def test_options_that_make_no_sense_are_refused(option: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(option))):
        NumberPart(scorer="number", **option)


@pytest.mark.parametrize(
    "text",
    [
        *("9" * 10**6, "1," * 500_000, "1/" * 500_000, "1 " * 500_000, "1e" * 500_000),
        *("½" * 500_000, "-" * 10**6, r"\frac{1}{" * 100_000, "0." + "3" * 10**5),
        "1" * 10**5 + "/" + "1" * 10**5,
    ],
    ids=lambda text: text[:9],
)
def test_no_text_takes_long(text: str) -> None:
    with within_a_second():
        scored(5, text)


@given(
    st.decimals(allow_nan=False, allow_infinity=False, places=3, min_value=-1e9, max_value=1e9),
    st.text(st.characters(categories=["Zs", "Lo"]), max_size=9),
)
def test_property_a_number_is_read_as_python_writes_it(number: Decimal, around: str) -> None:
    text = f"{around} {number:,}. {around}"
    swapped = f"{around} {number:,} {around}".translate(str.maketrans(".,", ",."))
    for reader, said in ((NumberReader(), text), (NumberReader("comma"), swapped)):
        found = reader.read(said)
        assert found == Fraction(number)
        assert Fraction(written(found)) == found
