"""Where the two sets of methods part: which contrasts, on which test, by which p."""

from __future__ import annotations

import itertools
import math
import random
from typing import Any

import pytest

from analysis.fabricated import NAMES, QUIZ, make_study, quiz, right_on, said, scored, sentences
from quantrial.analysis.methods.disagreements import surely_open
from quantrial.decision import decide_from
from quantrial.decision.cautions import parted
from quantrial.documents import load_summary
from quantrial.study import Study
from summaries import adjusted_p, completed, summarise

SETS = ("calibrated", "classic")


def summaries(study: Study, data: Any) -> dict[str, dict[str, Any]]:
    """Summarise by each set of methods."""
    outcomes = scored(study, data)
    arms = {
        arm: {"bytes_on_disk": 300 - i, "sha256": arm, "quantization": arm}
        for i, arm in enumerate(study.arms)
    }
    return {name: summarise(study, outcomes, arms=arms, methods=name) for name in SETS}


def tango(gained: int, lost: int, n: int, margin: float) -> float:
    """Return the p of a gain below the margin: Tango (1998), less 0.15 pairs; written anew here."""
    a, c = 2 * n, -lost * margin * (1 - margin)
    b = -gained - lost + (2 * n - gained + lost) * margin
    q = (math.sqrt(b * b - 4 * a * c) - b) / (2 * a)
    distance = abs(gained - lost - n * margin) - 0.15
    z = distance / math.sqrt(n * (2 * q + margin * (1 - margin)))
    return 0.5 * math.erfc(z / math.sqrt(2))


def test_three_of_499_by_hand() -> None:
    # Two gained, one lost, at a margin of a point. Resampled, the difference less what was seen is
    # at most 1 - .01 * 499 = -3.99 answers where gains less losses are at most -2.99: as both
    # counts are nearly Poisson, P(Skellam(2, 1) <= -3) = .0171.
    items = quiz(499)
    answers = {"ref": right_on(items, range(300)), "new": right_on(items, range(1, 302))}
    found = summaries(
        make_study(margin=0.01, analysis={"resamples": 10_000}), {"quiz": (items, answers)}
    )
    for name, summary in found.items():
        (one,) = summary["tasks"]["quiz"]["disagreements"]
        assert one["id"] == "quiz.accuracy.new.vs.ref", name
        assert (one["endpoint"], one["stratum"]) == ("accuracy", None)
        assert (one["calibrated"], one["classic"]) == ("non_inferior", "equivalent")
        assert one["question"] == "equivalence"
        # within four standard errors of 10,000 resamples
        assert one["p"]["classic"] == pytest.approx(0.0171, abs=0.0052)
        assert one["p"]["calibrated"] == pytest.approx(tango(2, 1, 499, 0.01))  # .0607
        (caution,) = [
            each["text"] for each in decide_from(summary)["cautions"] if "classic" in each["text"]
        ]
        assert caution.startswith(
            "On reasoning, the two sets of methods disagree about new: calibrated says "
            "non-inferior, classic says equivalent (p of equivalence: ."
        )
        assert " by calibrated, not below .05; ." in caution
        assert caution.endswith(" by classic, below it).")


def random_data(seed: int) -> tuple[Study, Any]:
    """Answer questions in six groups and sentences at random, three arms of near precision."""
    rng = random.Random(seed)
    items = quiz(240, subject=[f"s{rng.randrange(6)}" for _ in range(240)])
    golds = [[(f"A{i}.{k}", "PER") for k in range(rng.randrange(4))] for i in range(90)]
    texts = sentences(golds)
    hard = [rng.random() < 0.3 for _ in items]
    quizzed, named = {}, {}
    for arm, loss in {"ref": 0.0, "new": 0.02, "old": 0.06}.items():
        right = [i for i in range(240) if (rng.random() < 0.2) == hard[i] or rng.random() > loss]
        quizzed[arm] = right_on(items, right)
        named[arm] = [
            said(
                *(span for span in gold if rng.random() > 3 * loss), *[("x", "LOC")] * (i % 9 == 0)
            )
            for i, gold in enumerate(golds)
        ]
    study = make_study(
        tasks={"quiz": QUIZ | {"stratify": "subject"}, "names": NAMES},
        arms=("ref", "new", "old"),
        analysis={"resamples": 500},
    )
    return study, {"quiz": (items, quizzed), "names": (texts, named)}


def compared(part: Any) -> dict[str, tuple[Any, Any, bool]]:
    """List every contrast of a task by its id: itself, its test, whether it is of a stratum."""
    found = {}
    for results in part["endpoints"].values():
        for one, test in zip(results["contrasts"], results["equivalence"], strict=True):
            found[one["id"]] = (one, test, False)
    for strata in part["strata"].values():
        for results in strata.values():
            for one, test in zip(results["contrasts"], results["equivalence"], strict=True):
                found[one["id"]] = (one, test, True)
    return found


def asked_with_all(task: str, identity: str, *, within: bool) -> bool:
    """Whether a difference is adjusted with all else in the report: what is not primary."""
    primary = {"quiz": "accuracy", "names": "micro_f1"}[task]
    return within or identity.split(".")[1] != primary


@pytest.mark.parametrize("seed", range(4))
def test_property_what_is_named_is_what_two_analyses_differ_in(seed: int) -> None:
    by_set = summaries(*random_data(seed))
    named = 0
    for task, (own, other) in itertools.product(("quiz", "names"), itertools.permutations(SETS)):
        all_of = {name: compared(by_set[name]["tasks"][task]) for name in SETS}
        found = {one["id"]: one for one in by_set[own]["tasks"][task]["disagreements"]}
        for identity, (one, _, within) in all_of[own].items():
            theirs, test, _ = all_of[other][identity]
            alone = not asked_with_all(task, identity, within=within)
            if identity not in found:
                assert not alone or one["verdict"] == theirs["verdict"]
                continue
            named, said_of = named + 1, found[identity]
            assert said_of[own] == one["verdict"] != said_of[other]
            # of a primary endpoint it is what the other analysis says; of the rest the other set's
            # own tests of the margin, and a difference among all that this report asks
            if alone or test["equivalent"]:
                assert said_of[other] == theirs["verdict"]
            for name in SETS:
                contrast, margin, _ = all_of[name][identity]
                after = "_adjusted" if within and name == "calibrated" else ""
                p = {
                    "equivalence": margin["p_adjusted" if after else "p_value"],
                    "difference": adjusted_p(contrast),
                    "non_inferiority": margin[f"p_non_inferior{after}"],
                }[said_of["question"]]
                if alone or name == own or said_of["question"] != "difference":
                    assert said_of["p"][name] == p
                elif said_of["p"][name] is not None:
                    assert said_of["p"][name] >= contrast["p_value"]
            # the two p lie on two sides of alpha: that is why
            sides = {p is not None and p < 0.05 for p in said_of["p"].values()}
            assert sides == {True, False}
    assert named  # else nothing was tested


def test_property_strata_that_are_left_out_could_not_have_parted() -> None:
    skipped = 0
    for n, harmful, beneficial in itertools.product((5, 30, 120, 400), range(5), range(4)):
        if harmful + beneficial >= n:
            continue
        items = quiz(n)
        right = {"ref": range(n - beneficial), "new": range(harmful, n)}
        answers = {arm: right_on(items, among) for arm, among in right.items()}
        study = make_study(margin=0.01, analysis={"resamples": 2000})
        by_set = summaries(study, {"quiz": (items, answers)})
        own = load_summary(by_set["calibrated"]).tasks["quiz"].main.contrasts
        if surely_open(own, 0.05):
            skipped += 1
            (other,) = by_set["classic"]["tasks"]["quiz"]["endpoints"]["accuracy"]["contrasts"]
            assert other["verdict"] == "inconclusive", (n, harmful, beneficial)
    assert skipped >= 20


@pytest.mark.parametrize(("alpha", "named"), [(0.2, 2), (0.05, 0)])
def test_by_hand_at_a_wide_level_one_standard_error_rules_a_loss_out(
    alpha: float, named: int
) -> None:
    # 18 lost and 14 gained of 300: -.0133, standard error sqrt((32/300 - .0133^2) / 300) = .01884;
    # a loss of .0319 is .986 of it away, p .16: below .2, and below no level of a tenth or less;
    # a gain of it is 2.4 away
    n = 300
    items = quiz(2 * n, subject=["law"] * n + ["art"] * n)
    new = [at + i for at in (0, n) for i in [*range(18, 200), *range(200, 214)]]
    answers = {
        "ref": right_on(items, [at + i for at in (0, n) for i in range(200)]),
        "new": right_on(items, new),
    }
    study = make_study(
        margin=0.0319,
        tasks={"quiz": QUIZ | {"stratify": "subject"}},
        alpha=alpha,
        analysis={"resamples": 2000},
    )
    found = summaries(study, {"quiz": (items, answers)})
    for name, summary in found.items():
        parted_on = [
            one
            for one in summary["tasks"]["quiz"]["disagreements"]
            if one["stratum"] is not None and one["endpoint"] == "accuracy"
        ]
        assert len(parted_on) == named, name
        for one in parted_on:
            assert (one["calibrated"], one["classic"]) == ("inconclusive", "equivalent")


def test_what_is_told_by_hand() -> None:
    def row(identity: str, stratum: str | None, p: tuple[float | None, float | None]) -> Any:
        return {
            "id": identity,
            "endpoint": "accuracy",
            "stratum": stratum,
            "reference": "ref",
            "candidate": "new",
            "calibrated": "inconclusive",
            "classic": "equivalent",
            "question": "equivalence",
            "p": dict(zip(SETS, p, strict=True)),
        }

    rows = [
        row("all", None, (0.054, 0.02)),
        row("law", "law", (0.3, 0.0004)),
        row("math", "math", (0.06, 0.041)),
        row("art", "art", (None, 0.01)) | {"calibrated": "worse"},
    ]
    part = {"workload": "reasoning", "disagreements": rows}
    found = parted(completed({"alpha": 0.05, "tasks": {"quiz": part}}))
    # strata come last, those that part alike in one line
    assert [(one.id, one.strata) for one in found] == [
        ("all", ()),
        ("law", ("law", "math")),
        ("art", ("art",)),
    ]
    assert found[0].why == (
        "p of equivalence: .054 by calibrated, not below .05; .020 by classic, below it"
    )
    assert found[1].why == (
        "p of equivalence: .060 to .300 by calibrated, not below .05; < .001 to .041 by classic, "
        "below it"
    )
    assert found[2].why == "p of equivalence: none by calibrated; .010 by classic, below it"


def test_cautions_are_of_what_the_decision_rests_on() -> None:
    study, data = random_data(0)
    summary = summaries(study, data)["calibrated"]
    told = {
        identity
        for one in decide_from(summary)["cautions"]
        if "classic says" in one["text"]
        for identity in one["because"]
    }
    rested_on = {
        one["id"]
        for task in summary["tasks"].values()
        for one in task["disagreements"]
        if one["endpoint"] == task["primary"]
        and one["stratum"] is None
        and one["reference"] == "ref"
    }
    cited = {
        guard["because"] for one in decide_from(summary)["pick_when"] for guard in one["guards"]
    }
    everything = {one["id"] for task in summary["tasks"].values() for one in task["disagreements"]}
    assert told == rested_on | (cited & everything)
    assert told < everything
