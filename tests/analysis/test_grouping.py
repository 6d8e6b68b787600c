"""Items that are alike: equal content is one cluster, undeclared groups are asked about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from analysis.fabricated import QUIZ, answered, make_study, quiz
from quantrial.analysis import score_task
from quantrial.assay import alike_checks
from quantrial.decision import decide_from
from quantrial.design.sampling import repeated, undeclared_groups
from quantrial.records import Item
from quantrial.study import Task
from quantrial.tasks import make_task
from summaries import summarise


def copies(items: Sequence[Item], times: int) -> list[Item]:
    """Every item so many times, under ids of their own."""
    return [
        item if copy == 0 else replace(item, id=f"{item.id}-{copy + 1}")
        for copy in range(times)
        for item in items
    ]


def wrong(item: Item) -> str:
    return "ABCD"[("ABCD".index(item.gold) + 1) % 4]


def summary_of(
    items: Sequence[Item],
    losses: Sequence[int],
    gains: Sequence[int] = (),
    *,
    methods: str = "calibrated",
    **task: Any,
) -> dict[str, Any]:
    """Summarise a study in which the candidate loses and gains these items, by their place."""
    study = make_study(tasks={"quiz": QUIZ | task})
    spec = study.tasks["quiz"]
    outputs = {
        "ref": [wrong(item) if i in gains else item.gold for i, item in enumerate(items)],
        "new": [wrong(item) if i in losses else item.gold for i, item in enumerate(items)],
    }
    scored = score_task(
        make_task("quiz", spec),
        items,
        {arm: answered(items, arm, said) for arm, said in outputs.items()},
        cluster=spec.cluster,
        stratum=spec.stratify,
        equal_items=spec.equal_items,
    )
    record = {"bytes_on_disk": 1000, "sha256": "0" * 64, "quantization": "F16"}
    arms = {"ref": record, "new": record | {"bytes_on_disk": 500, "sha256": "1" * 64}}
    return summarise(study, {"quiz": scored}, arms=arms, methods=methods)


def contrast(summary: dict[str, Any]) -> dict[str, Any]:
    found = summary["tasks"]["quiz"]["endpoints"]["accuracy"]["contrasts"][0]
    return dict(found)


def twice(places: Sequence[int], n: int) -> list[int]:
    return [*places, *(n + place for place in places)]


def test_every_item_twice_tells_no_more_than_every_item_once() -> None:
    once, n = quiz(100), 100
    doubled = copies(once, 2)
    assert repeated(once) == 0
    assert repeated(doubled) == 200
    losses, gains = [0, 3, 9, 20], [50, 51]
    found = contrast(summary_of(doubled, twice(losses, n), twice(gains, n)))
    alone = contrast(summary_of(once, losses, gains))
    assert found["ci_method"] == "score-clusters"
    assert found["estimate"] == pytest.approx(alone["estimate"])
    width, before = (one["ci"][1] - one["ci"][0] for one in (found, alone))
    assert width == pytest.approx(before, rel=0.1)
    # taken as independent they would seem to tell as much as 200 items: narrower by the root of 2
    free = contrast(
        summary_of(doubled, twice(losses, n), twice(gains, n), equal_items="independent")
    )
    assert free["ci_method"] == "score"
    assert free["ci"][1] - free["ci"][0] == pytest.approx(before / np.sqrt(2), rel=0.1)


@pytest.mark.parametrize("times", [pytest.param(2, marks=pytest.mark.soak), 3])
def test_copies_keep_the_error_rates_of_items_against_simulation(times: int) -> None:
    # a loss of exactly the margin, 5 points, on contents drawn afresh; copies answer alike
    rng = np.random.default_rng(times)
    covered, claimed, studies, contents = 0, 0, 100, 120
    items = copies(quiz(contents), times)
    for _ in range(studies):
        drawn = rng.random(contents)
        losses, gains = np.flatnonzero(drawn < 0.1), np.flatnonzero(drawn > 0.95)
        places = [
            [int(i) + copy * contents for copy in range(times) for i in some]
            for some in (losses, gains)
        ]
        summary = summary_of(items, *places)
        low, high = contrast(summary)["ci"]
        covered += low <= -0.05 <= high
        tests = summary["tasks"]["quiz"]["endpoints"]["accuracy"]["equivalence"]
        claimed += tests[0]["non_inferior"]
    # three Monte-Carlo standard errors; independent, they cover 82 % and claim in 14 %
    assert covered / studies >= 0.935 - 3 * np.sqrt(0.935 * 0.065 / studies)
    assert claimed / studies <= 0.055 + 3 * np.sqrt(0.055 * 0.945 / studies)


def test_clusters_of_the_study_go_before_equal_content() -> None:
    items = copies(quiz(60, topic=[f"t{i % 12}" for i in range(60)]), 2)
    found = summary_of(items, [0, 1, 2], cluster="topic")
    assert found["tasks"]["quiz"]["alike"]["clustered"] is False
    (check,) = [one for one in found["assay"] if one["id"] == "repeats.quiz"]
    assert check["status"] == "warn"
    assert "make intervals too narrow" in check["text"]


def test_strata_do_not_hide_equal_content() -> None:
    items = copies(quiz(60, topic=[f"t{i % 3}" for i in range(60)]), 2)
    found = summary_of(items, [0, 1, 2, 60, 61, 62], stratify="topic")
    assert contrast(found)["ci_method"] == "score-clusters"
    within = found["tasks"]["quiz"]["strata"]["topic"]["t0"]["contrasts"][0]
    assert within["ci_method"] == "score-clusters"


def test_classic_stays_as_published_and_says_so() -> None:
    items = copies(quiz(40), 2)
    found = summary_of(items, [0, 1, 40, 41], methods="classic")["tasks"]["quiz"]
    assert any("items of equal content" in said for said in found["warnings"])
    assert found["alike"]["clustered"] is False


def test_few_different_contents_claim_nothing() -> None:
    found = contrast(summary_of(copies(quiz(4), 30), [0, 4, 8]))
    assert found["ci_method"] == "refused"
    assert found["verdict"] == "inconclusive"


def test_failure_modes_take_copies_as_clusters_too() -> None:
    found = summary_of(copies(quiz(50), 2), twice([1, 2, 3], 50))["tasks"]["quiz"]
    methods = {one["ci_method"] for one in found["failure_contrasts"]}
    assert methods <= {"score-clusters"}


GROUPED = quiz(
    120,
    subject=[f"s{i % 6}" for i in range(120)],
    difficulty=[("easy", "hard")[i % 2] for i in range(120)],
    row=[str(i) for i in range(120)],
    author=[f"a{i % 60}" for i in range(120)],
    page=[f"p{i % 61}" for i in range(120)],
)


def undeclared(items: Sequence[Item], spec: Task) -> Mapping[str, int]:
    return undeclared_groups(items, {spec.stratify, spec.cluster, *spec.ungrouped})


@pytest.mark.parametrize(
    ("task", "asked"),
    [
        ({}, {"subject": 6, "author": 60}),
        ({"stratify": "subject"}, {"author": 60}),
        ({"cluster": "author"}, {"subject": 6}),
        ({"stratify": "subject", "cluster": "author"}, {}),
        ({"ungrouped": ["subject", "author"]}, {}),
    ],
)
def test_metadata_that_look_like_groups_are_asked_about(
    task: dict[str, Any], asked: dict[str, int]
) -> None:
    # two values are categories; 61 of 120 items, or one an item, are no groups of two
    spec = make_study(tasks={"quiz": QUIZ | task}).tasks["quiz"]
    assert undeclared(GROUPED, spec) == asked


@pytest.mark.parametrize(("without", "asked"), [(0, True), (1, True), (60, True), (61, False)])
def test_a_key_that_half_of_the_items_lack_is_no_group(without: int, asked: bool) -> None:
    bare = [replace(one, metadata={"row": f"{i}"}) for i, one in enumerate(GROUPED[:without])]
    found = undeclared([*bare, *GROUPED[without:]], make_study().tasks["quiz"])
    assert found.get("subject") == (6 if asked else None)
    assert undeclared([], make_study().tasks["quiz"]) == {}


@pytest.mark.parametrize("values", [4, 5, 200, 201])
def test_the_number_of_groups_has_limits(values: int) -> None:
    items = quiz(500, subject=[f"s{i % values}" for i in range(500)])
    found = undeclared(items, make_study().tasks["quiz"])
    assert found == ({"subject": values} if 5 <= values <= 200 else {})


def test_undeclared_groups_are_a_caution_where_the_decision_is_read() -> None:
    summary = summary_of(GROUPED, [0, 1])
    said = [one["text"] for one in decide_from(summary)["cautions"]]
    assert any("6 groups by their subject" in text for text in said)
    assert any("60 groups by their author" in text for text in said)
    declared = summary_of(GROUPED, [0, 1], ungrouped=["subject", "author"])
    said = [one["text"] for one in decide_from(declared)["cautions"]]
    assert not any("groups by their" in text for text in said)


def test_equal_items_are_a_caution_where_the_decision_is_read() -> None:
    said = [one["text"] for one in decide_from(summary_of(copies(quiz(50), 2), [0]))["cautions"]]
    assert any("100 items of quiz have the same content as another one" in text for text in said)


def test_nothing_alike_is_no_check() -> None:
    assert list(alike_checks("quiz", None)) == []
