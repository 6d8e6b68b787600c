"""The one family of a report: what belongs to it, how it is adjusted, and who follows it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, cast

import pytest

from analysis.fabricated import (
    ADA,
    BO,
    NAMES,
    QUIZ,
    answered,
    make_response,
    make_study,
    quiz,
    right_on,
    said,
    scored,
    sentences,
)
from quantrial.analysis import score_task
from quantrial.analysis.alarms import AlarmFamily
from quantrial.decision import decide_from
from quantrial.documents import Contrast, Part, RepeatTest, contrasts
from quantrial.records import Response
from quantrial.stats import FamilyUnit, holm, holm_in_units
from quantrial.tasks import make_task
from summaries import is_finding, make, summarise


def summary_of(study: Any, data: Any, *, methods: str = "calibrated") -> dict[str, Any]:
    records = {
        arm: {"bytes_on_disk": 1000 - 100 * i, "sha256": arm, "quantization": arm}
        for i, arm in enumerate(study.arms)
    }
    return summarise(study, scored(study, data), arms=records, methods=methods)


# --- the family itself ---------------------------------------------------------------------------


def test_the_family_by_hand() -> None:
    family = AlarmFamily(0.05, "ref")
    a = family.ask("mode", "a", 0.01)
    b = family.ask("mode", "b", 0.001)
    c = family.ask("mode", "c", None)  # not tested
    d = family.ask("mode", "d", 1.0, counts=False)  # nothing changed
    block = family.close()
    assert [a.p_alarm, b.p_alarm, d.p_alarm] == pytest.approx([0.01, 0.002, 1.0])
    assert b.family == 2
    assert math.isnan(c.p_alarm)
    assert (block.size, block.questions, block.alpha) == (2, 2, 0.05)
    assert [one.id for one in block.findings] == ["b", "a"]
    # another p in the place of one that was asked
    assert family.instead({"b": 0.03}) == pytest.approx(
        {"a": 0.02, "b": 0.03, "c": math.nan, "d": 1.0}, nan_ok=True
    )


def test_strata_take_one_share_behind_their_gate_by_hand() -> None:
    family = AlarmFamily(0.05, "ref")
    gate = family.gate("interaction", "g", 0.004, unit="u")
    strata = [family.ask("stratum", f"s{i}", p, unit="u") for i, p in enumerate((0.002, 0.3))]
    other = family.ask("mode", "other", 0.02)
    block = family.close()
    # two units; of two strata the first counts twice and no less than the gate: 2 * .004. At .04
    # the other unit has fallen, and leaves the second stratum all of alpha
    asked = [gate, *strata, other]
    assert [one.p_alarm for one in asked] == pytest.approx([0.008, 0.008, 0.3, 0.04])
    # two units, two strata in this one: the first step's alpha / 4
    assert [one.family for one in strata] == [4, 4]
    assert (block.size, block.questions) == (2, 4)


def test_the_predicate_follows_the_family_an_entry_is_of() -> None:
    def contrast(p: float | None, family: str, alarm: float | None = None) -> Contrast:
        return make(Contrast, p_adjusted=p, family=family, p_alarm=alarm)

    def found(entry: Part) -> float | None:
        assert contrasts.is_finding(entry, 0.05) == ((contrasts.adjusted_p(entry) or 1.0) < 0.05)
        return contrasts.adjusted_p(entry)

    assert found(contrast(0.2, "quiz.accuracy")) == 0.2  # primary
    assert found(contrast(0.2, "alarms", 0.2)) == 0.2
    assert found(contrast(0.01, "names.recall", 0.4)) == 0.4  # classic
    assert found(make(RepeatTest, p_alarm=0.3, p_less=0.01)) == 0.3
    assert found(make(RepeatTest)) is None
    assert contrasts.is_finding(contrast(0.049, "quiz.accuracy"), 0.05)
    assert not contrasts.is_finding(contrast(0.05, "quiz.accuracy"), 0.05)


# --- whole summaries -----------------------------------------------------------------------------


def asked(summary: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """List everything in a summary that could raise an alarm and is no primary endpoint."""
    found: dict[str, Mapping[str, Any]] = {}
    for name, part in summary["tasks"].items():
        for endpoint, results in part["endpoints"].items():
            if endpoint != part["primary"]:
                found |= {one["id"]: one for one in results["contrasts"]}
        found |= {one["id"]: one for one in part["failure_contrasts"]}
        for table in part["strata"].values():
            for stratum in table.values():
                found |= {one["id"]: one for one in stratum["contrasts"]}
        for kind in ("letter_shifts", "heterogeneity"):
            found |= {f"{name}.{kind}.{one['candidate']}": one for one in part[kind]}
        for one in (part["repeats"] or {"candidates": ()})["candidates"]:
            for kind in ("score", "text"):
                found[f"{name}.repeats.{kind}.{one['candidate']}"] = one["same_items"][kind]
    return found


def trial(lost: int, *, methods: str = "calibrated", again: bool = False) -> dict[str, Any]:
    """Two candidates on questions by subject and on sentences; `new` loses so many answers."""
    study = make_study(
        tasks={"quiz": QUIZ | {"stratify": "subject"}, "names": NAMES},
        arms=("ref", "new", "old"),
        analysis={"resamples": 500},
    )
    items = quiz(160, subject=[f"s{i % 4}" for i in range(160)])
    texts = sentences([[ADA, BO], [ADA], [], [BO]] * 20)
    right = [str(item.gold) for item in items]
    unread = [*(["no letter here"] * lost), *right[lost:]]
    found = [said(ADA, BO) if i % 4 == 0 else said(ADA) if i % 4 == 1 else "[]" for i in range(80)]
    named = [
        said(("Zed", "PER")) if i < lost and i % 4 == 2 else one for i, one in enumerate(found)
    ]
    answers: Mapping[str, tuple[Any, Mapping[str, Sequence[str]]]] = {
        "quiz": (items, {"ref": right, "new": unread, "old": right_on(items, range(2, 160))}),
        "names": (texts, {"ref": found, "new": named, "old": found}),
    }
    outcomes = {}
    for name, (own, by_arm) in answers.items():
        responses: dict[str, list[Response]] = {
            arm: answered(own, arm, outputs) for arm, outputs in by_arm.items()
        }
        if again:
            responses["ref"] += [
                make_response(item, "ref", by_arm["ref"][i], replicate=1)
                for i, item in enumerate(own[:40])
            ]
        outcomes[name] = score_task(
            make_task(name, study.tasks[name]), own, responses, stratum=study.tasks[name].stratify
        )
    records = {
        arm: {"bytes_on_disk": 1000 - 100 * i, "sha256": arm, "quantization": arm}
        for i, arm in enumerate(study.arms)
    }
    return summarise(study, outcomes, arms=records, methods=methods)


@pytest.mark.parametrize("methods", ["calibrated", "classic"])
def test_everything_but_the_primary_endpoints_is_one_family(methods: str) -> None:
    summary = trial(40, methods=methods, again=True)
    alarms = summary["alarms"]
    entries = asked(summary)
    assert all("p_alarm" in one for one in entries.values())
    for part in summary["tasks"].values():
        for one in part["endpoints"][part["primary"]]["contrasts"]:
            assert "p_alarm" not in one
            assert one["family"].endswith(part["primary"])
    known = [one for one in entries.values() if one["p_alarm"] is not None]
    assert alarms["size"] <= alarms["questions"] <= len(known)
    shown = {one["id"] for one in alarms["findings"]}
    for identity, one in entries.items():
        if "id" in one:
            assert (identity in shown) == is_finding(one, 0.05)
            # the verdict of a difference follows it, and nothing else
            found = {one["verdict"], one["also"], one.get("shown")}
            differs = bool(found & {"worse", "better", "longer", "shorter"})
            assert differs == is_finding(one, 0.05), identity
            published = methods == "classic"
            assert (one["family"] == "alarms") != published
            assert published or one["p_adjusted"] == one["p_alarm"]
        elif "told" in one:
            assert (one["told"] != "open") == is_finding(one, 0.05)
    if methods == "calibrated":
        assert "quiz.parse_rate.new.vs.ref" in shown


def test_singles_are_adjusted_by_holm_over_tasks_and_candidates() -> None:
    # no strata: every question is on its own
    study = make_study(
        tasks={"quiz": QUIZ, "names": NAMES}, arms=("ref", "new"), analysis={"resamples": 500}
    )
    items, texts = quiz(60), sentences([[ADA], [BO], []] * 20)
    right = [str(item.gold) for item in items]
    good = [said(*span) for span in [[ADA], [BO], []] * 20]
    data = {
        "quiz": (items, {"ref": right, "new": [*(["?"] * 9), *right[9:]]}),
        "names": (texts, {"ref": good, "new": [*(["?"] * 7), *good[7:]]}),
    }
    summary = summary_of(study, data)
    entries = [one for one in asked(summary).values() if one["p_value"] is not None]
    moved = [one for one in entries if one.get("sd_paired", 1.0) != 0.0]
    expected = holm([one["p_value"] for one in moved])
    assert [one["p_alarm"] for one in moved] == pytest.approx(expected.tolist())
    assert summary["alarms"]["size"] == len(moved) > 5
    # mid-p of nine answers that could not be read and none the other way: .5 ** 9
    unread = asked(summary)["quiz.parse_rate.new.vs.ref"]
    assert unread["p_value"] == pytest.approx(0.5**9)
    assert unread["p_alarm"] >= unread["p_value"] * 5


def test_what_does_not_survive_is_neither_cited_nor_called_a_finding() -> None:
    # seven answers that could not be read: .5 ** 7 = .008 alone, and in its old family of three
    # pairs .023; among all that this report asks it is an estimate with its interval
    summary = trial(7)
    one = asked(summary)["quiz.parse_rate.new.vs.ref"]
    assert one["p_value"] == pytest.approx(0.5**7)
    assert one["verdict"] == "inconclusive"
    assert one["ci"][0] < one["estimate"] < one["ci"][1]
    assert one["estimate"] == pytest.approx(-7 / 160)
    decision = decide_from(summary)
    assert not [guard for entry in decision["pick_when"] for guard in entry["guards"]]
    # forty are a finding, and are cited with what guards against them
    found = trial(40)
    decision = decide_from(found)
    cited = {guard["because"] for entry in decision["pick_when"] for guard in entry["guards"]}
    assert "quiz.parse_rate.new.vs.ref" in cited
    assert cited <= {one["id"] for one in found["alarms"]["findings"]}


def test_a_guard_needs_a_finding_and_not_only_a_verdict() -> None:
    found = trial(40)
    for one in asked(found).values():
        cast("dict[str, Any]", one).update(p_alarm=0.2, p_adjusted=0.2)
    decision = decide_from(found)
    assert not [guard for entry in decision["pick_when"] for guard in entry["guards"]]


def test_an_open_contrast_is_planned_at_the_share_of_the_family() -> None:
    # a difference of what is no primary endpoint is planned at alpha over the whole family's size
    summary = trial(7)
    one = asked(summary)["quiz.parse_rate.new.vs.ref"]
    primary = next(
        c
        for c in summary["tasks"]["quiz"]["endpoints"]["accuracy"]["contrasts"]
        if c["id"] == "quiz.accuracy.new.vs.ref"
    )
    assert summary["alarms"]["size"] > 3
    assert one["estimate"] == primary["estimate"]  # the same seven answers
    assert one["items_needed"]["difference"] > 160


def test_strata_are_named_only_where_they_are_shown_to_differ() -> None:
    # one subject loses everything: the gate opens, and that subject alone is named
    study = make_study(tasks={"quiz": QUIZ | {"stratify": "subject"}}, arms=("ref", "new"))
    items = quiz(200, subject=[f"s{i % 4}" for i in range(200)])
    gone = {i for i in range(200) if i % 4 == 0}
    data = {"ref": right_on(items, range(200)), "new": right_on(items, set(range(200)) - gone)}
    part = summary_of(study, {"quiz": (items, data)})["tasks"]["quiz"]
    assert is_finding(part["heterogeneity"][0], 0.05)
    verdicts = {
        value: stratum["contrasts"][0]["verdict"]
        for value, stratum in part["strata"]["subject"].items()
    }
    assert verdicts["s0"] == "worse"
    assert set(verdicts.values()) - {"worse"} <= {"inconclusive", "non_inferior", "equivalent"}
    # all subjects lose alike: the loss is the primary endpoint's, and no subject is singled out
    gone = set(range(0, 200, 2)) | set(range(1, 200, 4))
    data["new"] = right_on(items, set(range(200)) - {i for i in range(200) if i % 8 < 4})
    part = summary_of(study, {"quiz": (items, data)})["tasks"]["quiz"]
    assert part["endpoints"]["accuracy"]["contrasts"][0]["verdict"] == "worse"
    assert not is_finding(part["heterogeneity"][0], 0.05)
    for stratum in part["strata"]["subject"].values():
        assert stratum["contrasts"][0]["p_value"] < 0.001
        assert stratum["contrasts"][0]["verdict"] != "worse"


def test_contrasts_between_candidates_take_one_share_of_a_task() -> None:
    study = make_study(tasks={"names": NAMES}, arms=("ref", "new", "old"))
    texts = sentences([[ADA], [BO], []] * 20)
    good = [said(*span) for span in [[ADA], [BO], []] * 20]
    data = {
        "names": (
            texts,
            {"ref": good, "new": [*(["?"] * 9), *good[9:]], "old": [*good[:57], *(["?"] * 3)]},
        )
    }
    summary = summary_of(study, data)
    moved = [one for one in asked(summary).values() if one["sd_paired"] != 0.0]
    known = [one for one in moved if one["p_value"] is not None]
    between = [one for one in known if one["reference"] != "ref"]
    alone = [one for one in known if one["reference"] == "ref"]
    assert len(between) > 4
    assert len(alone) > 8
    units = [FamilyUnit((one["p_value"],)) for one in alone]
    together = FamilyUnit(tuple(one["p_value"] for one in between))
    *singles, last = holm_in_units([*units, together])
    expected = [*(float(one.p_values[0]) for one in singles), *last.p_values.tolist()]
    assert [one["p_alarm"] for one in (*alone, *between)] == pytest.approx(expected)
    assert summary["alarms"]["size"] == len(alone) + 1
    assert summary["alarms"]["questions"] == len(known)
