"""The methods in words and the checks, against the summary they speak of."""

from __future__ import annotations

import re
from dataclasses import replace

from quantrial.decision import decide_from
from reporting.test_numbers import number
from reporting.trials import Trial, markdown_tables


def used(trial: Trial) -> set[str]:
    names = set()
    for part in trial.summary["tasks"].values():
        for results in part["endpoints"].values():
            names |= {one["method"] for one in results["arms"].values()}
            names |= {one["p_method"] for one in results["contrasts"]}
    return names


def test_each_method_is_described_with_its_reference(
    trial: Trial, documents: dict[str, str]
) -> None:
    text = documents["report.md"].replace("\\", "")
    said = text.split("### Methods used")[1].split("###")[0]
    assert {"wilson", "mcnemar-midp"} <= used(trial)
    for words in ("Wilson score", "McNemar, mid-p", "holm"):
        assert words in said
    section = text.split("### After whom")[1].split("\n## ")[0]
    for author in ("Wilson, E. B. (1927)", "Fagerland", "Holm, S. (1979)", "Tango, T. (1998)"):
        assert section.count(author) == 1
    # what was not used is not cited
    assert "Efron" not in section


def test_missing_answers_are_bounded(trial: Trial) -> None:
    summary = trial.copied()
    one = summary["tasks"]["sums"]["endpoints"]["accuracy"]["contrasts"][0]
    missing = {"n": 24, "missing_candidate": 2, "missing_reference": 1}
    one["worst_case"] = {"bound": -0.0625, "taken_to_invent": None, **missing}
    text = trial.with_summary(summary).render()["report.md"].replace("\\", "")
    (rows,) = markdown_tables(text)["Missing answers"]
    row = next(
        row for row in rows if row["contrast"] == "q8_0 vs f16" and "accuracy" in row["endpoint"]
    )
    assert (row["missing there"], row["missing here"]) == ("2", "1")
    assert (row["against it"], row["assuming"]) == ("−6.2 pp", "nothing")
    assert "What assumes nothing is a bound" not in text  # all of them are


def test_sets_of_methods_that_disagree_are_named(trial: Trial) -> None:
    summary = trial.copied()
    part = summary["tasks"]["sums"]
    told = {
        "id": part["endpoints"]["accuracy"]["contrasts"][0]["id"],
        "endpoint": "accuracy",
        "stratum": None,
        "reference": "f16",
        "candidate": "q8_0",
        "calibrated": "inconclusive",
        "classic": "equivalent",
        "question": "equivalence",
        "p": {"calibrated": 0.054, "classic": 0.02},
    }
    strata = [told | {"id": value, "stratum": value} for value in ("s0", "s2")]
    summary["tasks"]["names"]["disagreements"] = []
    part["disagreements"] = [told, *strata]
    changed = trial.with_summary(summary)
    text = changed.render()["report.md"].replace("\\", "")
    tables = markdown_tables(text)
    (rows,) = tables["Classic against calibrated"]
    (row,) = rows
    assert (row["contrast"], row["endpoint"]) == ("q8_0 vs f16", "sums, accuracy")
    assert row["test"] == "equivalence"
    assert (row["calibrated, p"], row["classic, p"]) == (
        "○ undecided .054",
        "● equivalent .020",
    )
    # strata that part alike are one line
    within = text.split("### Classic against calibrated, within strata")[1].split("\n## ")[0]
    said = "q8_0 vs f16 on sums, 2 strata: s0, s2: ○ undecided by calibrated, ● equivalent by "
    assert said in within.replace("\n", " ")
    assert within.count("vs f16") == 1
    assert "sums, 2 strata: s0, s2" in changed.render()["report.html"]
    for each in summary["tasks"].values():
        each["disagreements"] = []
    text = trial.with_summary(summary).render()["report.md"]
    assert "Both sets of methods come to the same verdict" in text


def test_controls_and_floor_are_told(trial: Trial, documents: dict[str, str]) -> None:
    text = documents["report.md"].replace("\\", "")
    section = text.split("### Positive control and floor")[1].split("###")[0]
    assert "There is no arm damaged on purpose" in section
    assert number(section.split("blind guessing")[1]) == trial.summary["tasks"]["sums"]["chance"]


def test_risk_and_what_would_change_the_answer_are_on_the_first_screen(trial: Trial) -> None:
    decision = decide_from(trial.summary)
    page = replace(trial, decision=decision).render()["report.html"]
    text = re.sub(r"<[^>]+>", "", page)
    assert decision["risk"]
    assert decision["sensitivity"]["changes"]
    for one in (*decision["risk"], *decision["sensitivity"]["changes"]):
        assert re.sub(r"\s+", " ", one["text"]).replace("'", "&#39;") in re.sub(r"\s+", " ", text)


def test_the_citation_names_study_seed_and_version(trial: Trial, documents: dict[str, str]) -> None:
    text = documents["report.md"].replace("\\", "")
    section = text.split("### To cite this report")[1]
    assert f"hash {trial.study.hash[:12]}, seed {trial.study.seed}" in section
    assert trial.manifest.software["quantrial"] in section
