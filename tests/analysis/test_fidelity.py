"""Probabilities of tokens against the reference's, by hand."""

from __future__ import annotations

import math
from typing import Any

import pytest

from analysis.fabricated import make_response, make_study, quiz
from quantrial.analysis import score_task
from quantrial.documents import load_summary
from quantrial.records import response_from_json
from quantrial.reporting.sections.flips import fidelity_section
from quantrial.tasks import make_task
from summaries import summarise


def token(text: str, **top: float) -> dict[str, Any]:
    ranked = sorted(top.items(), key=lambda one: -one[1])
    return {
        "token": text,
        "logprob": math.log(top[text]),
        "top": [[name, math.log(p)] for name, p in ranked],
    }


def summary_of(ref: list[Any], new: list[Any], n: int = 6) -> dict[str, Any]:
    """Analyse n questions, each with these tokens in both arms."""
    study, items = make_study(), quiz(n)
    responses = {
        arm: [make_response(item, arm, "A", logprobs=tokens) for item in items]
        for arm, tokens in (("ref", ref), ("new", new))
    }
    scored = score_task(make_task("quiz", study.tasks["quiz"]), items, responses)
    return summarise(
        study, {"quiz": scored}, arms={arm: {"sha256": arm} for arm in responses}, methods="classic"
    )


def found(summary: dict[str, Any]) -> dict[str, Any]:
    [one] = summary["tasks"]["quiz"]["fidelity"]
    return dict(one)


def test_divergence_agreement_and_margin_by_hand() -> None:
    ref = [token("A", A=0.5, B=0.25), token("x", x=0.9, y=0.1)]
    new = [token("A", A=0.25, B=0.25), token("x", x=0.9, y=0.1)]
    one = found(summary_of(ref, new))
    assert (one["items"], one["tokens"]) == (6, 12)
    # first token: .5 ln(.5/.25) + .25 ln(.25/.25) + .25 ln(.25/.5); second: none
    first = 0.5 * math.log(2) + 0.25 * math.log(0.5)
    assert one["kl"]["estimate"] == pytest.approx(first / 2)
    assert one["top_agreement"]["estimate"] == 1.0
    # the lead of the first token goes from .25 to 0, the second stays
    assert one["margin"]["estimate"] == pytest.approx(-0.25 / 2)


def test_tokens_that_not_both_list_are_taken_together() -> None:
    one = found(summary_of([token("A", A=0.6, B=0.3)], [token("A", A=0.6, C=0.3)]))
    assert one["kl"]["estimate"] == pytest.approx(0.0), "0.6 and all the rest on either side"


def test_nothing_is_compared_after_the_texts_part() -> None:
    ref = [token("A", A=0.6, B=0.4), token("x", x=0.9, y=0.1)]
    new = [token("B", A=0.4, B=0.6), token("y", x=0.1, y=0.9)]
    one = found(summary_of(ref, new))
    assert one["tokens"] == 6
    assert one["top_agreement"]["estimate"] == 0.0


def test_tokens_of_an_item_are_one_cluster_and_few_items_have_no_interval() -> None:
    ref = [token("A", A=0.6, B=0.4)] * 3
    assert found(summary_of(ref, ref, n=4))["kl"]["ci"] == [None, None]
    # no token differs: nothing varies, and an interval of no width would be an invented number
    assert found(summary_of(ref, ref, n=6))["kl"]["ci"] == [None, None]


def test_without_probabilities_nothing_is_said() -> None:
    summary = summary_of([], [])
    assert "fidelity" not in summary["tasks"]["quiz"]
    assert fidelity_section(load_summary(summary)) is None


def test_the_report_shows_them_beside_the_outcome() -> None:
    summary = summary_of([token("A", A=0.6, B=0.4)], [token("A", A=0.7, B=0.3)])
    section = fidelity_section(load_summary(summary))
    assert section is not None
    assert "say little about arms close to the reference" in section.lead
    cells = [cell.text for cell in section.groups[0].tables[0].rows[0].cells]
    assert cells[0] == "new vs ref"
    assert cells[2] == cells[3] == cells[1]  # median and p90 of equal tokens
    assert cells[4] == "1.000"


@pytest.mark.parametrize("bad", [None, float("-inf"), float("nan"), 4.5, "x"])
def test_an_alternative_without_a_probability_is_missing_in_a_run_that_holds_one(bad: Any) -> None:
    """As earlier versions wrote what an engine said: -Infinity and NaN became null."""
    sound = [token("A", A=0.5, B=0.25), token("x", x=0.9, y=0.1)]
    holding = [
        sound[0] | {"top": [*sound[0]["top"], ["C", bad]]},
        sound[1] | {"logprob": bad},
    ]
    line = make_response(quiz(1)[0], "ref", "A", logprobs=holding).to_json()
    read = response_from_json(line, path="quiz.ref.jsonl").logprobs
    assert read == [sound[0], sound[1] | {"logprob": None}]
    assert found(summary_of(list(read), sound)) == found(summary_of(sound, sound))
