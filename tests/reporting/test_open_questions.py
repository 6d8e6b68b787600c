"""What a report says of contrasts that are open, counted, declared, and of items that turned."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import structs

from quantrial.cli import tell
from quantrial.documents import Contrast, FailureContrast, SettledBy, load_summary
from quantrial.reporting.contrasts import approximate, judged, open_questions
from reporting.trials import Trial, markdown_tables

pytestmark = pytest.mark.usefixtures("undrawn")

SETTLED = SettledBy(question="non_inferiority", items=700, further=200)
OPEN = Contrast(
    id="quiz.accuracy.new.vs.ref",
    candidate="new",
    reference="ref",
    estimate=-0.01,
    ci=(-0.03, 0.01),
    confidence=0.95,
    ci_method="score",
    p_value=0.3,
    p_method="score",
    p_adjusted=0.3,
    family="pairs",
    n=500,
    sd_paired=0.2,
    verdict="inconclusive",
    also=None,
    worst_case=None,
    items_needed=None,
    settled_by=SETTLED,
)
LENGTH = FailureContrast(
    **{**structs.asdict(OPEN), "verdict": None}, endpoint="output_length", declared=False
)


def test_an_open_contrast_says_how_large_a_new_study_settles_it() -> None:
    assert list(open_questions([OPEN])) == [
        "new vs ref is undecided. A new study of 700 items would show non-inferiority with an "
        "80 % chance, if the true difference is the one seen here."
    ]
    (said,) = open_questions([structs.replace(OPEN, sd_paired=0.0)])
    assert said.endswith("if one answer in 500 turns; none did here.")
    again = SettledBy(question="difference", items=480, further=0)
    (said,) = open_questions([structs.replace(OPEN, settled_by=again)])
    assert "A new study of 500 items would show a difference" in said
    (said,) = open_questions([structs.replace(OPEN, settled_by=None)])
    assert "does not say how many items" in said
    assert list(open_questions([structs.replace(OPEN, verdict="worse")])) == []


def test_claims_over_clusters_are_called_approximate() -> None:
    settled = structs.replace(SETTLED, clusters=7, further_clusters=2)
    clustered = structs.replace(OPEN, ci_method="score-clusters", settled_by=settled)
    (said,) = approximate([OPEN, clustered])
    assert "claims of non-inferiority and equivalence are approximate" in said
    assert approximate([OPEN]) == ()
    (said,) = open_questions([clustered])
    assert "A new study of 700 items in 7 clusters like these would show" in said
    enough = structs.replace(settled, items=500, clusters=5)
    (said,) = open_questions([structs.replace(clustered, settled_by=enough)])
    assert "A new study of 500 items in 5 clusters like these would show" in said


def test_a_small_yet_certain_loss_is_told_as_both() -> None:
    assert judged(structs.replace(OPEN, verdict="equivalent", also="worse")).endswith("and worse")
    assert judged(structs.replace(LENGTH, shown="longer")) == "longer"
    assert judged(LENGTH) == "not shown"


def test_every_inconclusive_contrast_of_the_report_says_it(
    trial: Trial, documents: dict[str, str]
) -> None:
    text = documents["report.md"].replace("\\", "")
    found = [
        one
        for part in load_summary(trial.summary).tasks.values()
        for results in part.endpoints.values()
        for one in results.contrasts
    ]
    assert any(one.verdict == "inconclusive" for one in found)
    for said in open_questions(found):
        assert said in text


def test_counts_stand_in_their_own_unit(documents: dict[str, str], trial: Trial) -> None:
    tables = markdown_tables(documents["report.md"])
    (rows,) = tables["Contrasts: names, spurious per sentence"]
    counted = [
        one
        for one in trial.summary["tasks"]["names"]["failure_contrasts"]
        if one["endpoint"] == "spurious_per_sentence"
    ]
    assert [row["difference"].replace("−", "-") for row in rows] == [
        f"{one['estimate']:+.2f}".replace("+0.00", "0.00") for one in counted
    ]
    assert all("pp" not in row["difference"] for row in rows)
    # what has no margin is in no table of equivalence
    assert not [title for title in tables if title.startswith("Equivalence: names, spurious")]


def test_simultaneous_intervals_say_their_own_confidence(documents: dict[str, str]) -> None:
    (rows,) = markdown_tables(documents["report.md"])["Simultaneous intervals: sums"]
    assert {row["contrast"] for row in rows} == {"q8_0 vs f16", "q4_0 vs f16", "q4_0 vs q8_0"}
    assert all(row["its own confidence"].endswith("%") for row in rows)


def test_the_items_that_turned_are_named(trial: Trial, documents: dict[str, str]) -> None:
    (rows,) = markdown_tables(documents["report.md"])["Items that turned: sums"]
    flips = {one["candidate"]: one for one in trial.summary["tasks"]["sums"]["flips"]
             if one["reference"] == "f16"}  # fmt: skip
    for arm, one in flips.items():
        named = [row["item"] for row in rows if row["arm"] == arm]
        assert named == [*one["items"]["harmful"], *one["items"]["beneficial"]]
    strata = trial.summary["tasks"]["sums"]["flips"][0]["strata"]["subject"]
    by_item = {row["item"]: row["subject"] for row in rows if row["arm"] == "q8_0"}
    for value, one in strata.items():
        for item in (*one["items"]["harmful"], *one["items"]["beneficial"]):
            assert by_item[item] == value
    assert "RUN/responses/sums.*.jsonl" in documents["report.md"]


def test_analyze_prints_what_would_settle_it(
    trial: Trial, capsys: pytest.CaptureFixture[str], tmp_path: Any
) -> None:
    summary = trial.copied()
    part = summary["tasks"]["sums"]
    contrast = part["endpoints"]["accuracy"]["contrasts"][0]
    settled = {"question": "non_inferiority", "items": 700, "further": 200}
    contrast |= {"verdict": "inconclusive", "also": None, "n": 500, "sd_paired": 0.2}
    contrast["settled_by"] = settled
    tell.summary(load_summary(summary), tmp_path)
    said = capsys.readouterr().out
    assert "q8_0 vs f16 is undecided. A new study of 700 items would show" in " ".join(said.split())
    contrast |= {"verdict": "equivalent", "also": "worse"}
    tell.summary(load_summary(summary), tmp_path)
    assert "equivalent, and worse" in capsys.readouterr().out
