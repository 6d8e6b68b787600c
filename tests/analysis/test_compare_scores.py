"""Scores from anywhere, compared without a run: the numbers of a run, and what is refused."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import quantrial
from analysis.fabricated import NAMES, Data, make_item, make_study, said, scored
from quantrial.documents import EndpointSummary, TurnedScores, load_summary
from quantrial.errors import DataError, StudyError
from quantrial.tasks import Endpoint
from summaries import summarise

compare: Any = quantrial.compare_scores
N = 60


def text_task(scorer: str, **keys: Any) -> dict[str, Any]:
    source = {"type": "bundled"}
    return {
        "kind": "text",
        "workload": "qa",
        "source": source,
        "prompt": "{{ question }}",
        "score": [scorer],
        **keys,
    }


def primary_of(task: dict[str, Any], data: Data, methods: str = "calibrated") -> Any:
    """Return the primary endpoint of the summary of a run of two arms; its seed is 7."""
    study = make_study(
        arms=("reference", "candidate"), tasks={"scores": task}, analysis={"resamples": 10_000}
    )
    records = {
        arm: {"bytes_on_disk": 1, "sha256": "0" * 64, "quantization": arm} for arm in study.arms
    }
    found = summarise(study, scored(study, data), arms=records, methods=methods)
    part = load_summary(found).tasks["scores"]
    return part.endpoints[part.primary]


def results(of: EndpointSummary) -> Any:
    """Return all numbers of an endpoint, without what it is called."""
    text = msgspec.json.encode({"arms": of.arms, "contrasts": of.contrasts}).decode()
    return msgspec.json.decode(re.sub(r'scores\.\w+|,"label":("token F1"|null)', "", text))


@pytest.mark.parametrize("clustered", [False, True])
@pytest.mark.parametrize("methods", ["calibrated", "classic"])
@pytest.mark.parametrize(("scorer", "kind"), [("exact", "proportion"), ("token_f1", "mean")])
def test_the_numbers_are_those_of_a_run_against_reference(
    scorer: str, kind: str, methods: str, clustered: bool
) -> None:
    groups = [f"g{i % 8}" for i in range(N)]
    items = [
        make_item("scores", i, {"question": f"{i}?"}, "x y", group=groups[i]) for i in range(N)
    ]
    texts = {
        "reference": ["x y" if i % 7 else "x" for i in range(N)],
        "candidate": ["x y" if i % 5 else "x z z" for i in range(N)],
    }
    task = text_task(scorer, margin=0.1, **({"cluster": "group"} if clustered else {}))
    run = primary_of(task, {"scores": (items, texts)}, methods)
    # by hand: `x` has one of two words, `x z z` too, among three
    worth = {"x y": 1.0, "x": 2 / 3, "x z z": 2 / 5} if kind == "mean" else {"x y": 1.0}
    scores = {arm: [worth.get(text, 0.0) for text in said] for arm, said in texts.items()}
    found = compare(
        **scores,
        endpoint=kind,
        margin="10pp",
        clusters=groups if clustered else None,
        seed=7,
        methods=methods,
    )
    assert results(found) == results(run)
    assert found.clusters == (8 if clustered else None)
    # wrong of the candidate: the 12 multiples of 5; of the reference: the 9 of 7; of both: 0, 35
    turned = TurnedScores(harmful=10, beneficial=7)
    assert found.turned == (turned if kind == "proportion" else None)


def test_the_numbers_of_a_ratio_are_those_of_a_run_against_reference() -> None:
    ada, bo = ("Ada", "PER"), ("Bo", "PER")
    items = [make_item("scores", i, {"text": f"{i}."}, [list(ada), list(bo)]) for i in range(20)]
    answers = {
        "reference": [said(ada, bo) if i % 4 else said(ada) for i in range(20)],
        "candidate": [said(ada, bo) if i % 3 else said(ada, ("X", "PER")) for i in range(20)],
    }
    run = primary_of(NAMES | {"margin": 0.1}, {"scores": (items, answers)})
    full, less, other = (2, 0, 0), (1, 0, 1), (1, 1, 1)
    counts = {
        "reference": [full if i % 4 else less for i in range(20)],
        "candidate": [full if i % 3 else other for i in range(20)],
    }
    frames = {
        arm: dict(zip(("tp", "fp", "fn"), np.array(rows).T, strict=True))
        for arm, rows in counts.items()
    }
    micro = Endpoint("micro_f1", "ratio", {"tp": 2.0}, {"tp": 2.0, "fp": 1.0, "fn": 1.0})
    found = compare(**frames, endpoint=micro, margin=0.1, seed=7)
    assert results(found) == results(run)


def test_less_may_be_better() -> None:
    edits = Endpoint(
        "edits", "mean", {"score": 1.0}, unit="edits", direction="lower", low=0, high=None
    )
    reference = np.arange(80) % 5
    more = reference + np.arange(80) % 3  # one more on average, but for the 80th's rest
    found = compare(reference, more, endpoint=edits, margin="2 edits")
    assert found.contrast.estimate == pytest.approx(79 / 80)
    assert (found.verdict, found.contrast.also) == ("equivalent", "worse")
    assert "+0.988 edits" in str(found)


SCORES = ([1, 0, 1, 1, 0] * 6, [1, 0, 0, 1, 1] * 6)


@pytest.mark.parametrize(
    "form",
    [
        list,
        tuple,
        np.array,
        lambda x: np.array(x, dtype=bool),
        lambda x: pd.Series(x, dtype="Int64"),
        lambda x: pd.DataFrame({"score": x, "note": "seen"}),
        lambda x: pa.table({"score": x}),
        pa.array,
        lambda x: {"score": x},
    ],
)
def test_any_array_or_frame_gives_the_same(form: Any) -> None:
    reference, candidate = SCORES
    assert compare(form(reference), form(candidate), margin=0.2) == compare(
        reference, candidate, margin=0.2
    )


FRAME = pd.DataFrame({"score": [1, 0, 1]})


@pytest.mark.parametrize(
    ("reference", "candidate", "problem"),
    [
        ([1, 0], [1, 0, 1], r"reference has 2 scores and candidate 3"),
        ([1, math.nan], [1, 0], r"reference.score\[1\] is nan"),
        ([1, 0], [1, math.inf], r"candidate.score\[1\] is inf"),
        ([1, None], [1, 0], r"reference.score\[1\] is None"),
        ([1, 0], [1, "0"], r"candidate.score holds"),
        ([1, 0], [1, 0.5], r"candidate\[1\] is 0.5; a score of 'score' is 0 or 1"),
        ([[1], [0]], [[1], [0]], r"shape \(2, 1\)"),
        ([[1], [0, 1]], [1, 0], "no array of numbers"),
        ([], [], "holds no score"),
        (3, [1, 0], "reference.score is 3"),
        ("10", [1, 0], "reference.score is '10'"),
        (FRAME, FRAME.rename(columns={"score": "points"}), "has no column 'score'; it has points"),
        (FRAME, FRAME.iloc[::-1], "labelled otherwise"),
        (np.ma.array([1, 0], mask=[False, True]), [1, 0], r"reference.score\[1\] is masked"),
        ([10**400, 0], [1, 0], "beyond the largest float"),
        (FRAME[["score", "score"]], FRAME, "reference is a data frame that cannot be read"),
        (FRAME, [1, 0], "reference has 3 scores and candidate 2"),
    ],
)
def test_what_is_not_paired_scores_is_refused(reference: Any, candidate: Any, problem: str) -> None:
    with pytest.raises(DataError, match=problem):
        compare(reference, candidate)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"endpoint": "ratio"}, "endpoint: should be `proportion`, `mean` or an Endpoint"),
        ({"margin": 2}, "did you mean 2pp"),
        ({"margin": -0.1}, "margin: should be a share"),
        ({"margin": math.nan}, "margin: should be a share"),
        ({"margin": True}, "margin: should be a share"),
        ({"alpha": 5}, "alpha: should be above 0"),
        ({"seed": -1}, "seed: should be a whole number"),
        ({"methods": "best"}, "no set of methods 'best'"),
    ],
)
def test_a_question_that_is_none_is_refused(options: dict[str, Any], problem: str) -> None:
    with pytest.raises(StudyError, match=problem):
        compare(*SCORES, **options)


@pytest.mark.parametrize(
    "clusters",
    [
        *(["a"], [["a"] * 30], [None] * 30, [math.nan] * 30, [1, "1"] * 15),
        np.ma.array([1] * 30, mask=[False] * 29 + [True]),
    ],
)
def test_clusters_that_name_no_group_of_each_item_are_refused(clusters: Any) -> None:
    with pytest.raises(DataError, match="clusters"):
        compare(*SCORES, clusters=clusters)


def test_too_few_clusters_are_warned_of_and_claim_nothing() -> None:
    found = compare(*SCORES, clusters=["a", "b"] * 15, margin=0.2)
    assert found.verdict == "inconclusive"
    assert found.contrast.ci == (None, None)
    assert any("clusters" in one for one in found.warnings)
    assert found.warnings[0] in str(found)


def test_it_prints_as_text_and_in_a_notebook() -> None:
    odd = Endpoint("share", "mean", {"score": 1.0}, label="<b>share")
    found = compare([1.0] * 40, [0.5, 1.0] * 20, endpoint=odd, margin="3pp")
    assert str(found).startswith("candidate − reference: −25.0 pp (95 % interval ")
    assert str(found).endswith(": worse at a margin of 3 pp")
    page = found._repr_html_()
    assert "&lt;b&gt;share" in page
    assert "<b>share" not in page.replace("<p><b>&lt;", "")
    assert page.count("<table>") == page.count("</table>") == 2
    assert "▼ worse" in page


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=2, max_size=30))
def test_property_the_estimate_is_the_mean_difference(pairs: Sequence[tuple[bool, bool]]) -> None:
    here, there = zip(*pairs, strict=True)
    found = compare(here, there)
    assert found.contrast.estimate == pytest.approx((sum(there) - sum(here)) / len(pairs))
    back = compare(there, here)
    assert back.contrast.estimate == pytest.approx(-found.contrast.estimate)
    assert back.contrast.p_value == pytest.approx(found.contrast.p_value)
