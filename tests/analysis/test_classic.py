from __future__ import annotations

import math
from dataclasses import replace
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from analysis.fabricated import (
    ADA,
    BO,
    NAMES,
    QUIZ,
    ROME,
    Outputs,
    make_study,
    pair,
    quiz,
    right_on,
    said,
    scored,
    sentences,
    summary_of,
)
from quantrial.analysis.methods.classic import Classic

Z = NormalDist().inv_cdf


@pytest.fixture(scope="module")
def three() -> dict[str, Any]:
    """Forty questions: ref right on 30, new on 20 of them, old on 25 of them."""
    study = make_study(arms=("ref", "new", "old"), tasks={"quiz": QUIZ | {"stratify": "half"}})
    items = quiz(40, half=["even", "odd"] * 20)
    right = {"ref": range(30), "new": range(20), "old": range(25)}
    outputs = {arm: right_on(items, which) for arm, which in right.items()}
    found: dict[str, Any] = summary_of(study, {"quiz": (items, outputs)})["tasks"]["quiz"]
    return found


def test_accuracy_by_hand_with_wilson(three: dict[str, Any]) -> None:
    new = three["endpoints"]["accuracy"]["arms"]["new"]
    assert (new["estimate"], new["n"], new["confidence"], new["method"]) == (
        0.5,
        40,
        0.95,
        "wilson",
    )
    # the ends are the proportions whose score test is just at the level
    for end in new["ci"]:
        assert abs(0.5 - end) == pytest.approx(Z(0.975) * math.sqrt(end * (1 - end) / 40))


def test_mcnemar_and_holm_by_hand(three: dict[str, Any]) -> None:
    # 10 harmful flips, 5 harmful, 5 beneficial: two-sided exact binomials
    expected = {
        ("new", "ref"): (-0.25, 2 / 2**10, 3 * 2 / 2**10),
        ("old", "ref"): (-0.125, 2 / 2**5, 2 * 2 / 2**5),
        ("old", "new"): (0.125, 2 / 2**5, 2 * 2 / 2**5),
    }
    contrasts = three["endpoints"]["accuracy"]["contrasts"]
    found = {
        (c["candidate"], c["reference"]): (c["estimate"], c["p_value"], c["p_adjusted"])
        for c in contrasts
    }
    assert found == {key: pytest.approx(values) for key, values in expected.items()}
    assert {c["p_method"] for c in contrasts} == {"mcnemar-exact"}
    assert [c["verdict"] for c in contrasts] == ["worse", "inconclusive", "non_inferior"]
    assert {c["family"] for c in contrasts} == {"quiz.accuracy"}


def test_verdicts_follow_the_adjusted_p_by_hand() -> None:
    items = quiz(40)
    right = {"ref": range(30), "new": range(24), "old": {*range(29), 30}}
    outputs = {arm: right_on(items, which) for arm, which in right.items()}
    study = make_study(arms=("ref", "new", "old"))
    task = summary_of(study, {"quiz": (items, outputs)})["tasks"]["quiz"]
    contrast, _ = pair(task, "new", "ref")
    # six harmful flips; with three pairs in the family they are not enough
    assert contrast["p_value"] == pytest.approx(2 / 2**6)
    assert contrast["p_adjusted"] == pytest.approx(3 * 2 / 2**6)
    assert contrast["verdict"] == "inconclusive"


def test_mcnemar_with_yates_by_hand() -> None:
    items = quiz(60)
    outputs = {"ref": right_on(items, range(40)), "new": right_on(items, range(20, 50))}
    task = summary_of(make_study(), {"quiz": (items, outputs)})["tasks"]["quiz"]
    contrast, _ = pair(task, "new", "ref")
    # 20 harmful, 10 beneficial: (|20 - 10| - 1)^2 / 30 = 2.7 on one degree of freedom
    assert contrast["p_method"] == "mcnemar-yates"
    assert contrast["p_value"] == pytest.approx(2 * (1 - NormalDist().cdf(math.sqrt(2.7))))


def test_holm_runs_within_each_stratum_by_hand(three: dict[str, Any]) -> None:
    strata = three["strata"]["half"]
    assert {value: part["n"] for value, part in strata.items()} == {"even": 20, "odd": 20}
    adjusted = {
        value: {(c["candidate"], c["reference"]): c["p_adjusted"] for c in part["contrasts"]}
        for value, part in strata.items()
    }
    # even: 5 harmful, 2 harmful, 3 beneficial; odd: 5, 3, 2
    assert adjusted == {
        "even": {
            ("new", "ref"): pytest.approx(3 / 16),
            ("old", "ref"): pytest.approx(0.5),
            ("old", "new"): pytest.approx(0.5),
        },
        "odd": {
            ("new", "ref"): pytest.approx(3 / 16),
            ("old", "ref"): pytest.approx(0.5),
            ("old", "new"): pytest.approx(0.5),
        },
    }
    even = strata["even"]["contrasts"][0]
    assert (even["estimate"], even["n"], even["p_value"]) == (-0.25, 20, 1 / 16)
    assert even["id"] == "quiz.accuracy.half=even.new.vs.ref"
    assert even["family"] == "quiz.accuracy.half=even"
    assert strata["even"]["arms"]["old"]["estimate"] == 13 / 20
    assert strata["odd"]["arms"]["old"]["estimate"] == 12 / 20


def test_detectable_difference_by_hand(three: dict[str, Any]) -> None:
    # of the two candidates new is the more variable: ten differences of -1 in forty
    sd = math.sqrt((10 - 40 * 0.25**2) / 39)
    power = three["power"]
    assert power["candidate"] == "new"
    assert power["sd_paired"] == pytest.approx(sd)
    assert (power["n"], power["power"], power["alpha"]) == (40, 0.8, 0.05)
    expected = (Z(0.975) + Z(0.8)) * sd / math.sqrt(40)
    assert power["detectable_difference"] == pytest.approx(expected)


def test_controls_say_nothing_about_power() -> None:
    arms: dict[str, Any] = {
        arm: {"engine": "scripted", "model": arm} for arm in ("ref", "new", "broken")
    }
    items = quiz(40)
    outputs = {
        "ref": right_on(items, range(30)),
        "new": right_on(items, range(29)),
        "broken": right_on(items, range(5)),
    }
    found = summary_of(make_study(arms=list(arms)), {"quiz": (items, outputs)})
    assert found["tasks"]["quiz"]["power"]["candidate"] == "broken"
    arms["broken"]["control"] = "positive"
    found = summary_of(make_study(arms=arms), {"quiz": (items, outputs)})
    assert found["tasks"]["quiz"]["power"]["candidate"] == "new"
    assert found["arms"]["broken"]["control"] == "positive"


def test_items_needed_by_hand() -> None:
    # one flip each way in 20 and a loss of 0: sd^2 = 2 / 19
    items = quiz(20)
    outputs = {"ref": right_on(items, range(10)), "new": right_on(items, range(1, 11))}
    task = summary_of(make_study(), {"quiz": (items, outputs)})["tasks"]["quiz"]
    contrast, test = pair(task, "new", "ref")
    assert (contrast["verdict"], contrast["estimate"]) == ("inconclusive", 0)
    assert test["p_value"] > 0.05
    reach, variance = Z(0.95) + Z(0.8), 2 / 19
    needed = contrast["items_needed"]
    assert needed["non_inferiority"] == math.ceil(reach**2 * variance / 0.05**2)
    # both one-sided tests at once, centred: each has to have 90 % power
    assert needed["equivalence"] == math.ceil((Z(0.95) + Z(0.9)) ** 2 * variance / 0.05**2)
    assert needed["difference"] is None  # nothing can find a difference of 0


def test_items_needed_to_show_a_loss_by_hand() -> None:
    items = quiz(20)
    outputs = {"ref": right_on(items, range(10)), "new": right_on(items, range(2, 11))}
    task = summary_of(make_study(), {"quiz": (items, outputs)})["tasks"]["quiz"]
    contrast, _ = pair(task, "new", "ref")
    variance = (3 - 20 * 0.05**2) / 19
    needed = contrast["items_needed"]
    assert needed["difference"] == math.ceil(((Z(0.975) + Z(0.8)) / 0.05) ** 2 * variance)
    # the loss as seen is the margin itself: no number shows that it is smaller
    assert (needed["equivalence"], needed["non_inferiority"]) == (None, None)


@pytest.fixture(scope="module")
def extraction() -> dict[str, Any]:
    items = sentences([[ADA, ROME], [BO], [], [("Cy", "PER"), ("Oslo", "LOC")]])
    outputs = {
        "ref": [said(ADA, ROME), said(BO), "[]", said(("Cy", "PER"), ("Oslo", "ORG"))],
        "new": [said(ADA), "none", said(("Ghost", "PER")), said(("Cy", "PER"), ("Oslo", "LOC"))],
    }
    found: dict[str, Any] = summary_of(
        make_study(tasks={"names": NAMES}), {"names": (items, outputs)}
    )["tasks"]["names"]
    return found


def test_f1_by_hand_pooled_and_per_item(extraction: dict[str, Any]) -> None:
    # ref: 4 true, 1 false, 1 missed. new: 3 true, 1 false (Ghost), 2 missed (Rome, and Bo in a
    # text that is no array)
    found = {
        name: tuple(endpoint["arms"][arm]["estimate"] for arm in ("ref", "new"))
        for name, endpoint in extraction["endpoints"].items()
    }
    assert found == {
        "micro_f1": pytest.approx((8 / 10, 6 / 9)),
        "macro_f1": pytest.approx(((1 + 1 + 1 + 1 / 2) / 4, (2 / 3 + 0 + 0 + 1) / 4)),
        "precision": pytest.approx((4 / 5, 3 / 4)),
        "recall": pytest.approx((4 / 5, 3 / 5)),
        "parse_rate": pytest.approx((1, 3 / 4)),
        "exact_match": pytest.approx((3 / 4, 1 / 4)),  # the last of ref has one type wrong
    }
    contrast, test = pair(extraction, "new", "ref")
    assert contrast["estimate"] == pytest.approx(6 / 9 - 8 / 10)
    assert test["estimate"] == contrast["estimate"]
    assert extraction["primary"] == "micro_f1"


def test_macro_f1_has_the_sd_of_its_items_by_hand(extraction: dict[str, Any]) -> None:
    changes = np.array([2 / 3 - 1, 0 - 1, 0 - 1, 1 - 1 / 2])
    contrast, _ = pair(extraction, "new", "ref", "macro_f1")
    assert contrast["sd_paired"] == pytest.approx(np.std(changes, ddof=1))


RESAMPLES, TWIN = 10_000, 3_000


def noisy(seed: int, n: int) -> tuple[list[Any], dict[str, list[str]], NDArray[np.float64]]:
    """Make sentences, two arms' answers, and tp, fp, fn by item and arm."""
    rng = np.random.default_rng(seed)
    golds = [[(f"N{i}x{k}", "PER") for k in range(rng.integers(0, 4))] for i in range(n)]
    counts = np.zeros((n, 2, 3))
    outputs: dict[str, list[str]] = {"ref": [], "new": []}
    for a, (arm, kept) in enumerate((("ref", 0.85), ("new", 0.7))):
        for i, gold in enumerate(golds):
            found = [span for span in gold if rng.random() < kept]
            invented = [("Ghost", "PER")] * int(rng.random() < 0.2)
            outputs[arm].append(said(*found, *invented))
            counts[i, a] = len(found), len(invented), len(gold) - len(found)
    return sentences(golds), outputs, counts


def twin(counts: NDArray[np.float64], groups: list[NDArray[np.intp]]) -> NDArray[np.float64]:
    """Resample groups of items the slow and obvious way; return differences of micro-F1."""
    rng = np.random.default_rng(20_26)
    differences = []
    for _ in range(TWIN):
        drawn = rng.integers(0, len(groups), size=len(groups))
        items = np.concatenate([groups[g] for g in drawn])
        tp, fp, fn = counts[items].sum(axis=0).T
        f1 = 2 * tp / (2 * tp + fp + fn)
        differences.append(f1[1] - f1[0])
    return np.array(differences)


def assert_same_distribution(contrast: Any, test: Any, differences: NDArray[np.float64]) -> None:
    """Compare with the twin, five simulation errors apart at most."""
    sd, error = differences.std(), 5 * math.sqrt(1 / TWIN + 1 / RESAMPLES)
    for ends, tail in ((contrast["ci"], 0.025), (test["ci"], 0.05)):
        density = NormalDist().pdf(Z(tail)) / sd
        tolerance = error * math.sqrt(tail * (1 - tail)) / density
        assert ends == pytest.approx(np.quantile(differences, [tail, 1 - tail]), abs=tolerance)
    assert contrast["sd_paired"] == pytest.approx(sd * math.sqrt(contrast["n"]), rel=error)
    estimate, margin = contrast["estimate"], test["margin"]
    centred = differences - estimate
    for p, share in (
        (contrast["p_value"], np.mean(np.abs(centred) >= abs(estimate))),
        (test["p_non_inferior"], np.mean(centred - margin >= estimate)),
        (test["p_value"], max(np.mean(centred - margin >= estimate),
                              np.mean(centred + margin <= estimate))),
    ):  # fmt: skip
        assert p == pytest.approx(share, abs=error * math.sqrt(max(share * (1 - share), 1 / TWIN)))


def test_bootstrap_against_simulation_of_a_slow_twin() -> None:
    items, outputs, counts = noisy(3, 60)
    study = make_study(
        tasks={"names": NAMES}, analysis={"resamples": RESAMPLES}, margin=0.12, seed=99
    )
    task = summary_of(study, {"names": (items, outputs)})["tasks"]["names"]
    contrast, test = pair(task, "new", "ref")
    assert contrast["ci_method"] == "bootstrap-percentile"
    assert contrast["p_method"] == "bootstrap-centred"
    assert_same_distribution(contrast, test, twin(counts, [np.array([i]) for i in range(60)]))


def test_cluster_bootstrap_against_simulation_of_a_slow_twin() -> None:
    items, outputs, counts = noisy(4, 120)
    books = [f"book {i * i % 23}" for i in range(120)]
    items = [replace(item, metadata={"book": b}) for item, b in zip(items, books, strict=True)]
    study = make_study(
        tasks={"names": NAMES | {"cluster": "book"}},
        analysis={"resamples": RESAMPLES},
        margin=0.12,
    )
    task = summary_of(study, {"names": (items, outputs)})["tasks"]["names"]
    contrast, test = pair(task, "new", "ref")
    # an arm's own interval is of these items, clusters or not
    assert task["endpoints"]["micro_f1"]["arms"]["new"]["method"] == "bootstrap-percentile"
    groups = [np.flatnonzero(np.array(books) == book) for book in sorted(set(books))]
    assert contrast["ci_method"] == "cluster-bootstrap-percentile"
    assert test["method"] == "cluster-bootstrap-tost"
    assert_same_distribution(contrast, test, twin(counts, groups))


def clustered(**keys: str) -> dict[str, Any]:
    study = make_study(tasks={"quiz": QUIZ | keys})
    items = quiz(48, subject=[f"s{i % 6}" for i in range(48)])
    outputs = {
        "ref": right_on(items, range(36)),
        # whole subjects lose together
        "new": right_on(items, {i for i in range(36) if i % 6 not in (0, 1)}),
    }
    found: dict[str, Any] = summary_of(study, {"quiz": (items, outputs)})["tasks"]["quiz"]
    return found


def test_clusters_count_for_overall_contrasts_and_not_within_strata() -> None:
    task = clustered(cluster="subject", stratify="subject")
    contrast, test = pair(task, "new", "ref")
    assert contrast["ci_method"] == "cluster-bootstrap-percentile"
    assert test["method"] == "cluster-bootstrap-tost"
    for part in task["strata"]["subject"].values():
        assert {c["ci_method"] for c in part["contrasts"]} == {"bootstrap-percentile"}
        assert {e["method"] for e in part["equivalence"]} == {"bootstrap-tost"}
    # what all of a subject share makes the interval wider than independent items would
    plain, _ = pair(clustered(), "new", "ref")
    assert plain["ci_method"] == "bootstrap-percentile"
    assert contrast["ci"][1] - contrast["ci"][0] > plain["ci"][1] - plain["ci"][0]
    assert contrast["sd_paired"] > plain["sd_paired"]


def test_what_clusters_cannot_carry_is_remarked() -> None:
    remarks = clustered(cluster="subject")["warnings"]
    assert any("6 clusters were resampled" in remark for remark in remarks)
    assert any("McNemar's p takes items as independent" in remark for remark in remarks)
    assert clustered()["warnings"] == []


def test_a_cluster_is_no_stratum() -> None:
    assert clustered(cluster="subject")["strata"] == {}
    assert list(clustered(stratify="subject")["strata"]) == ["subject"]


def test_arms_and_endpoints_share_their_resamples() -> None:
    items, outputs, _ = noisy(5, 30)
    study = make_study(tasks={"names": NAMES})
    panel = scored(study, {"names": (items, outputs)})["names"].panel
    one, other = (
        Classic(panel, seed=seed, label=label, resamples=200, alpha=0.05)
        for seed, label in ((1, "names"), (1, "names"))
    )
    assert one.contrast("ref", "new", "macro_f1") == other.contrast("ref", "new", "macro_f1")
    reverse = one.contrast("new", "ref", "macro_f1")
    forward = one.contrast("ref", "new", "macro_f1")
    assert reverse.interval.low == pytest.approx(-forward.interval.high)
    assert reverse.p_value == forward.p_value
    for seed, label in ((2, "names"), (1, "others")):
        changed = Classic(panel, seed=seed, label=label, resamples=200, alpha=0.05)
        assert changed.contrast("ref", "new", "macro_f1") != forward


def test_level_of_the_study_reaches_every_interval() -> None:
    items, outputs, _ = noisy(6, 40)
    task = summary_of(make_study(tasks={"names": NAMES}, alpha=0.1), {"names": (items, outputs)})[
        "tasks"
    ]["names"]
    for endpoint in task["endpoints"].values():
        assert {c["confidence"] for c in endpoint["contrasts"]} == {0.9}
        assert {e["confidence"] for e in endpoint["equivalence"]} == {0.8}
        assert {a["confidence"] for a in endpoint["arms"].values()} == {0.9}
    assert task["power"]["alpha"] == 0.1


def test_a_fault_of_one_arm_leaves_the_pair_of_the_others_as_it_is() -> None:
    items, outputs, _ = noisy(8, 40)
    study = make_study(tasks={"names": NAMES}, arms=("old", "ref", "new"), reference="ref")
    whole: dict[str, Outputs] = {**outputs, "old": outputs["new"][::-1]}
    gaps: dict[str, Outputs] = {
        **outputs,
        "old": [None if i % 3 else text for i, text in enumerate(outputs["new"])],
    }
    tasks = [
        summary_of(study, {"names": (items, {arm: given[arm] for arm in study.arms})})
        for given in (whole, gaps)
    ]
    for endpoint in ("micro_f1", "macro_f1", "recall"):
        one, other = (pair(task["tasks"]["names"], "new", "ref", endpoint) for task in tasks)
        for key in ("estimate", "ci", "p_value", "sd_paired"):
            assert one[0][key] == other[0][key]
        assert one[1]["p_value"] == other[1]["p_value"]
