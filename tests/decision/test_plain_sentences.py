"""Every sentence of a decision reads plainly, whatever was found: the rules of style, as tests."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decision.fabricated import (
    ARMS,
    GB,
    MARGIN,
    contrast,
    decide_from,
    make_arm,
    make_summary,
    make_task,
)
from decision.test_constraints import VERDICTS, limits
from quantrial.decision import Constraints
from quantrial.words import possible_loss, seen_loss

# "the study" is what people run, "you accept" a loss, an arm "could lose": one word for each
UNWANTED = ("which", "trial", "tolerated", "floor", "assay", "twin", "inconclusive", "binds")
MOST_WORDS = 36  # beside what stands in brackets
UNITS = r"(?:pp|MB|bytes|times|s|ms|%)"


def sentences(decision: Any) -> Iterator[str]:
    """Yield every text of a decision; the evidence is numbers in brackets, and no sentence."""
    if isinstance(decision, dict):
        for key, value in decision.items():
            if key == "text":
                yield value
            else:
                yield from sentences(value)
    elif isinstance(decision, (list, tuple)):
        for one in decision:
            yield from sentences(one)


def split(text: str) -> list[str]:
    """Split at full stops; not at those of numbers, and `p = .03` has none after a letter."""
    return re.split(r"(?<=[A-Za-z0-9)%]\.) (?=\S)", text)


def faults(text: str) -> list[str]:
    """Name what a text does against the rules."""
    found = [f"says {word!r}" for word in UNWANTED if re.search(rf"\b{word}s?\b", text)]
    found += [f"has {mark!r}" for mark in ("  ", "`", "..", "None", "nan") if mark in text]
    found += ["has a space before its point"] if re.search(r" [.,;:](?!\d)", text) else []
    if not text.endswith("."):
        found.append("has no full stop")
    if text[:1] != text[:1].upper() and not re.match(r"(?:q\d|fp16|broken)", text):
        found.append("begins small")
    for one in split(text):
        words = re.sub(r" \([^)]*\)", "", one).split()
        if len(words) > MOST_WORDS:
            found.append(f"{len(words)} words: {one}")
        left, _, right = one.partition("; ")
        numbers = [set(re.findall(rf"[\d.,]+ {UNITS}\b", side)) for side in (left, right)]
        if numbers[0] & numbers[1]:
            found.append(f"one number on both sides: {one}")
    return found


# estimates and bounds at the margin itself, a rounding beside it, and anywhere
NEAR = st.sampled_from([MARGIN, -MARGIN, -MARGIN - 1e-5, -MARGIN + 1e-5, -0.0104, 0.0, -0.0004])
VALUES = NEAR | st.floats(-0.2, 0.2)


@st.composite
def found_of(draw: st.DrawFn) -> tuple[str, dict[str, Any]]:
    """Draw a verdict with what goes with it, missing answers among it."""
    said = draw(VERDICTS)
    low, estimate, high = sorted(draw(VALUES) for _ in range(3))
    more: dict[str, Any] = {
        "estimate": estimate,
        "ci": [low - 0.003, high + 0.003],
        "test_ci": draw(st.sampled_from([[low, high], [None, None]])),
        "test_p_non_inferior": draw(st.floats(0, 1)),
        "test_approximate": draw(st.booleans()),
        "test_non_inferior": said in ("equivalent", "non_inferior") or draw(st.booleans()),
        "also": draw(st.sampled_from([None, "worse"])) if said == "equivalent" else None,
        "ci_method": draw(st.sampled_from(["score", "score-clusters"])),
        "items_needed": draw(
            st.none()
            | st.fixed_dictionaries(
                dict.fromkeys(
                    ("equivalence", "non_inferiority", "difference"),
                    st.none() | st.integers(2, 9000),
                )
            )
        ),
    }
    if draw(st.integers(0, 3)) == 0:
        bound = draw(VALUES)
        more["worst_case"] = {
            "bound": draw(st.sampled_from([bound, None])),
            "n": 500,
            "missing_reference": draw(st.integers(0, 2)),
            "missing_candidate": draw(st.integers(1, 40)),
            "taken_to_invent": draw(st.none() | st.integers(0, 3)),
            "p_non_inferior": draw(st.floats(0, 1)),
            "non_inferior": draw(st.booleans()),
            "ci": draw(st.sampled_from([[bound - 0.01, bound + 0.01], [None, None]])),
            "confidence": 0.9,
        }
    return said, more


MODES = ("not_truncated", "not_empty", "answered", "not_refused", "not_repeating")


@st.composite
def studies(draw: st.DrawFn) -> dict[str, Any]:
    """Draw a summary: floors, controls, identical arms, faults, arms without an answer."""
    names = ["q8_0", "q6_K", "q4_K_M", "broken"][: draw(st.integers(1, 4))]
    memory = st.none() | st.integers(1, 20)
    arms = {
        name: make_arm(draw(memory), name, "positive" if name == "broken" else None)
        for name in draw(st.permutations(["fp16", *names]))
    }
    speeds = {
        name: draw(st.sampled_from([10.0, 10.02, 30.0])) for name in arms if draw(st.booleans())
    }
    tasks = {}
    for task in ("mmlu", "arc", "conll")[: draw(st.integers(1, 3))]:
        compared = [name for name in names if draw(st.integers(0, 9))]
        spans = task == "conll"
        secondary = ("precision", "recall", "parse_rate", "entity_free_correct") if spans else ()
        failing = []
        fails = draw(st.booleans())
        for mode in MODES if compared and fails else ():
            one, test = contrast(task, mode, compared[0], "worse")
            declared = draw(st.booleans())
            failing.append({**one, "endpoint": mode, "declared": declared, "equivalence": test})
        tasks[task] = make_task(
            task,
            {name: draw(found_of()) for name in compared},
            workload="extraction" if spans else "reasoning",
            kind="spans" if spans else "choice",
            secondary={name: dict.fromkeys(compared, draw(VERDICTS)) for name in secondary},
            chance=draw(st.sampled_from([0.25, None])),
            failure_contrasts=failing,
        )
        flow = tasks[task]["flow"]
        flow |= {"missing": draw(st.integers(0, 2)), "faulted": draw(st.integers(0, 2))}
        own = tasks[task]["endpoints"]["micro_f1" if spans else "accuracy"]["arms"]["fp16"]
        own |= draw(st.sampled_from([{}, {"estimate": 0.2, "ci": [0.0, 0.21]}, {"estimate": None}]))
    summary = make_summary(tasks, arms=arms, speeds=speeds)
    for task in tasks:
        for row in summary["speed"][task].values():
            row["seconds_per_answer"] = draw(st.sampled_from([1.0, 1.0004, 2.5]))
    if draw(st.integers(0, 4)) == 0:
        weights = draw(st.sampled_from(["same", "other", None]))
        pair = ["fp16", draw(st.sampled_from(names))]
        summary["twins"] = [
            {"arms": pair, "weights": weights or "unknown", "answers": True, "items": 9}
        ]
    return summary


@st.composite
def asked(draw: st.DrawFn) -> Constraints:
    """Draw constraints: limits that measured values meet exactly, or miss by a rounding."""
    tolerate = st.sampled_from([None, MARGIN, 0.0104, 0.01003, 0.05])
    speedup = st.sampled_from([None, 1.0, 1.001, 3.0])
    latency = st.sampled_from([None, 1.0, 0.9999, 3.0])
    memory = st.sampled_from([None, 8 * GB, 8 * GB - 1])
    return replace(
        draw(limits()),
        tolerate=draw(tolerate),
        min_speedup=draw(speedup),
        max_latency=draw(latency),
        max_memory=draw(memory),
        error_cost=draw(st.sampled_from([None, 0.1])),
        cost_per_hour=draw(st.sampled_from([None, 2.5])),
    )


@settings(max_examples=100)
@given(studies(), asked())
def test_every_sentence_is_plain_property(
    summary: dict[str, Any], constraints: Constraints
) -> None:
    for text in sentences(decide_from(summary, constraints)):
        assert faults(text) == [], text


def test_the_rules_find_what_they_are_for() -> None:
    plain = "q8_0 could lose as much as 2.0 pp on reasoning; you accept less than 1 pp."
    assert faults(plain) == []
    assert faults(plain.replace("1 pp", "2.0 pp"))
    assert faults(plain[:-1])
    assert faults(plain.replace("reasoning", "`reasoning`"))
    assert faults(plain + " That loss, which was seen, is small.")
    assert faults(plain + "  It is small.")
    assert faults("It is " + "very " * MOST_WORDS + "small.")


@pytest.mark.parametrize("bound", [None, 0.02, 0.0, -0.01, -0.0100001, -0.01049])
def test_a_loss_that_rounds_to_the_limit_is_said_with_one_number(bound: float | None) -> None:
    for accepted, tail in ((False, "that is the margin"), (True, "you accept less")):
        said = possible_loss(bound, 0.01, "reasoning", unit=None, accepted=accepted)
        assert said == f"could lose 1 pp or more on reasoning; {tail}"


def test_losses_beside_what_is_allowed_by_hand() -> None:
    assert possible_loss(-0.0204, 0.01, "x", unit=None, accepted=False) == (
        "could lose as much as 2.0 pp on x; the margin is 1 pp"
    )
    assert possible_loss(-0.0204, 0.01, "x", unit=None, accepted=True) == (
        "could lose as much as 2.0 pp on x; you accept less than 1 pp"
    )
    assert seen_loss(0.033, 0.02, "x", unit=None, accepted=True) == (
        "lost 3.3 pp on x, more than the 2 pp you accept"
    )
    assert seen_loss(0.0201, 0.02, "x", unit=None, accepted=False) == (
        "lost slightly more than 2 pp on x, the margin"
    )
    assert seen_loss(3.2, 2.0, "x", unit="edits", accepted=False) == (
        "lost 3.2 edits on x, more than the margin of 2 edits"
    )
    assert possible_loss(-2.001, 2.0, "x", unit="edits", accepted=False) == (
        "could lose 2 edits or more on x; that is the margin"
    )
    assert (
        seen_loss(0.02, 0.02, "x", unit=None, accepted=True)
        == "lost exactly 2 pp on x, the loss you accept"
    )


def test_an_equivalent_arm_with_a_proven_loss_says_both() -> None:
    small = ("equivalent", {"estimate": -0.006, "also": "worse"})
    summary = make_summary(
        {"mmlu": make_task("mmlu", {"q8_0": small, "q4_K_M": "worse"})}, arms=ARMS
    )
    default = decide_from(summary)["default"]
    assert default["arm"] == "q8_0"
    assert (
        "A loss on reasoning is proven, but within the margin (0.6 pp, estimated)."
        in default["text"]
    )
    assert "equivalent, and worse [mmlu" in default["evidence"][0]
