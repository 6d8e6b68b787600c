from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from analysis.fabricated import (
    FAULT,
    NAMES,
    answered,
    make_response,
    make_study,
    quiz,
    said,
    sentences,
)
from quantrial.analysis import TaskOutcomes, score_task
from quantrial.analysis.answers.text_signs import (
    is_empty,
    is_refused,
    is_repeating,
    is_truncated,
    panel_without,
    sign_panels,
    text_signs,
)
from quantrial.documents import to_dict
from quantrial.records import Response
from quantrial.tasks import make_task


def text(output: str, **changes: Any) -> Response:
    return make_response(quiz(1)[0], "new", output, **changes)


@pytest.mark.parametrize(
    "output",
    [
        "I'm sorry, but I can't help with that.",
        "I’m sorry, I cannot assist with this request.",
        "Sorry, I can't do that.",
        "I cannot provide an answer to this question.",
        "As an AI language model, I cannot engage in this.",
        "As a large language model, I'm not able to answer questions about people.",
        "Unfortunately, I am unable to fulfill this request.",
        "I apologize for the inconvenience, but I won't be able to help.",
        "I'm afraid that I can't do that.",
        "I apologize, but I will not generate such content.",
        "I must respectfully decline.",
        "We have to refuse.",
        "I decline to answer.",
        "<think>The user asks for C.</think>\n\nI can't help with that.",
        "**I'm sorry, but I can’t comply.**",
    ],
)
def test_refusals_by_hand(output: str) -> None:
    assert is_refused(text(output))


@pytest.mark.parametrize(
    "output",
    [
        "",
        "B",
        "The answer is C. I cannot help thinking of D.",
        "I cannot determine the answer from the text.",
        "I can't find any entities in the sentence: []",
        "I can help with that. B",
        "I don't know.",
        "Unfortunately, the answer is D.",
        "Sorry, B.",
        "As an AI language model, I would say B.",
        '"I can\'t," she said, "help you."',
        "He said: I can't help you.",
        said(("I cannot help", "SONG")),
        "I am sorry for your loss.",
        "Iran cannot assist",
    ],
)
def test_answers_that_are_no_refusals_by_hand(output: str) -> None:
    assert not is_refused(text(output))


@pytest.mark.parametrize(
    ("output", "loops"),
    [
        ("ab" * 25, True),
        ("ab" * 24, False),  # 48 characters
        ("the cat sat on it, " * 5 + "then", True),
        ("the cat sat on it, " * 5, False),  # the last one lacks its space
        ("Rome is old. " + "and it is big " * 6, True),
        ("The answer is " + "!" * 60, True),
        ("-" * 60 + " a heading " + "x y z w v u t s r q p o n m l k j i h g f e d c b a", False),
        ("| --- | --- | --- | --- | --- | --- | --- |\n" + " ".join(map(str, range(40))), False),
        ("no\n" * 40, True),
        ("no \t\n  no\n" * 20, True),
        ("\n" * 500, False),  # nothing is said: that is `empty`
        ("", False),
        (said(*[("Rome", "LOC")] * 6), True),
        (said(*[("Rome", "LOC")] * 4), False),
        (said(*[(name, "PER") for name in ("Ada", "Bo", "Cy", "Di", "Ed", "Flo", "Gus")]), False),
        ("1/3 = 0.333333333333333333333333333333", False),
        (("".join(map(chr, range(200, 839))) + "a") * 5, True),  # the longest unit, 640
        (("".join(map(chr, range(200, 840))) + "a") * 5, False),
        ("x" + ("abcdefghi" * 3 + "j") * 5, True),  # a unit that repeats within itself
    ],
)
def test_loops_by_hand(output: str, loops: bool) -> None:
    assert is_repeating(text(output)) is loops


def loops_slowly(said: str) -> bool:
    """Try every stretch of every period."""
    words = " ".join(said.split())
    n = len(words)
    for period in range(1, n // 5 + 1):
        start = 0
        while start + period < n:
            end = start + period
            while end < n and words[end] == words[end - period]:
                end += 1
            length = end - start
            if length >= max(50, 5 * period) and (
                2 * length >= n or any(ch.isalnum() for ch in words[start : start + period])
            ):
                return True
            start = end - period + 1
    return False


UNITS = st.text("ab-! ", min_size=1, max_size=45)
PIECES = st.tuples(UNITS, st.integers(1, 60)).map(lambda piece: (piece[0] * piece[1])[:260])


@given(st.lists(PIECES | UNITS, max_size=4).map("".join))
# a run that begins inside another one of the same period
@example("!!!-" + "!!!!!!!!!-" * 3 + "!!!!!!!!!" + "!a-!!!!!!!" * 5 + "!")
@example("!!!-!!!!!!!!!-!!!!!!!!!-!!!!!!!!!-!!!!!!!!!!a-!!!!!!!!a-!!!!!!!!a-!!!!!!!!a-!!!!!!!!a-!")
@example("-" * 49 + "!" + "-" * 51 + "a" * 40 + "b")
def test_loops_against_a_slow_twin_property(output: str) -> None:
    assert is_repeating(text(output)) is loops_slowly(output)


@pytest.mark.parametrize(
    "unit",
    [
        "a",
        "-",
        "- ",
        "ab" * 9 + "c",
        # blocks that come again, and runs that fall short: the work must not pile up
        "-" * 1000 + "a",
        ("ab" * 20 + "c") * 2 + "d",
        "I'm sorry, sorry, sorry, ",
        "as an ai model ",
    ],
)
def test_no_text_takes_long(unit: str) -> None:
    rng = np.random.default_rng(1)
    noise = "".join(rng.choice(list("abcdefgh "), size=100_000))
    for output in ((unit * 200_000)[:200_000], (unit * 100_000)[:100_000] + noise):
        started = time.process_time()
        is_repeating(text(output))
        is_refused(text(output))
        assert time.process_time() - started < 5


def test_other_signs_by_hand() -> None:
    assert [is_empty(text(one)) for one in ("", " \n\t", "A")] == [True, True, False]
    reasons = ("length", "stop", None)
    told = [is_truncated(text("A", finish_reason=reason)) for reason in reasons]
    assert told == [True, False, None]


def test_text_signs_by_hand() -> None:
    signs = text_signs(
        [
            text("A", completion_tokens=1),
            text("", completion_tokens=0, finish_reason=None),
            None,
            text("na " * 20 + "n", completion_tokens=None, finish_reason="length"),
            text("I can't help.", completion_tokens=5),
        ]
    )
    assert to_dict(signs) == {
        "n": 4,
        "characters": {"n": 4, "mean": (1 + 0 + 61 + 13) / 4, "median": 7.0},
        "completion_tokens": {"n": 3, "mean": 2.0, "median": 1.0},
        "truncated": {"n": 3, "count": 1, "rate": 1 / 3},
        "refused": {"n": 4, "count": 1, "rate": 1 / 4},
        "repeating": {"n": 4, "count": 1, "rate": 1 / 4},
        "empty": {"n": 4, "count": 1, "rate": 1 / 4},
    }


@pytest.mark.parametrize("responses", [[], [None, None]])
def test_nothing_is_said_of_no_texts(responses: list[None]) -> None:
    found = to_dict(text_signs(responses))
    nothing = {"n": 0, "mean": None, "median": None}
    assert found["characters"] == found["completion_tokens"] == nothing
    assert found["empty"] == found["truncated"] == {"n": 0, "count": 0, "rate": None}


def outcomes_of(new: list[Response], **groups: Any) -> TaskOutcomes:
    items = quiz(4, subject=["x", "x", "y", "y"])
    task = make_task("quiz", make_study().tasks["quiz"])
    given = {"ref": answered(items, "ref", ["A", "B", "", FAULT]), "new": new}
    return score_task(task, items, given, **groups)


def test_sign_panels_by_hand() -> None:
    items = quiz(4)
    new = [
        make_response(items[0], "new", "A", finish_reason="length"),
        make_response(items[1], "new", "B", finish_reason=None),
        make_response(items[3], "new", "I can't help."),
    ]
    panels = {panel.endpoints[0].name: panel for panel in sign_panels(outcomes_of(new))}
    # nobody loops: nothing to test
    assert list(panels) == ["not_truncated", "not_refused", "not_empty"]
    cut, refused, empty = panels.values()
    assert cut.arms == ("ref", "new")
    assert cut.answered.tolist() == [[True, True], [True, False], [True, False], [False, True]]
    assert cut.numerators[:, :, 0].tolist() == [[1, 0], [1, 0], [1, 0], [0, 1]]
    assert (
        refused.answered.tolist()
        == empty.answered.tolist()
        == [[True, True], [True, True], [True, False], [False, True]]
    )
    assert refused.numerators[:, :, 0].tolist() == [[1, 1], [1, 1], [1, 0], [0, 0]]
    assert empty.numerators[:, :, 0].tolist() == [[1, 1], [1, 1], [0, 0], [0, 1]]
    for panel in panels.values():
        assert panel.endpoints[0].type == "proportion"
        assert (panel.denominators[:, :, 0] == panel.answered).all()
        assert panel.clusters is None
        assert panel.strata is None


def test_panels_keep_the_groups() -> None:
    (panel,) = sign_panels(outcomes_of([], cluster="subject", stratum="subject"))
    assert panel.clusters is not None
    assert panel.strata is not None
    assert panel.clusters.tolist() == panel.strata.tolist() == ["x", "x", "y", "y"]


def test_no_panel_for_what_nobody_shows() -> None:
    task = make_task("names", make_study(tasks={"names": NAMES}).tasks["names"])
    outcomes = score_task(task, sentences([[]]), {"ref": [], "new": []})
    assert sign_panels(outcomes) == []
    assert panel_without(outcomes, "not_seen", [[False], [None]]) is None
    panel = panel_without(outcomes, "not_seen", [[True], [None]])
    assert panel is not None
    assert panel.answered.tolist() == [[True, False]]
