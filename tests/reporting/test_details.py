"""What the report says beside the verdicts: statements, heterogeneity, classes, letters, texts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from msgspec import structs

from quantrial.documents import OtherFailures, load_summary
from quantrial.errors import RecordError
from quantrial.registry import TASKS
from quantrial.reporting.rendering import anchor
from quantrial.reporting.sections.failures import failures_section
from quantrial.tasks import FailureColumn, FailureTable
from quantrial.words import points
from reporting.test_numbers import number, same
from reporting.trials import Trial, markdown_tables

pytestmark = pytest.mark.usefixtures("undrawn")


def told(summary: dict[str, Any]) -> dict[str, Any]:
    """Add what the small trial has none of."""
    names = summary["tasks"]["names"]
    names["failure_contrasts"][0]["declared"] = True
    for one in names["failure_contrasts"][1:]:
        one["declared"] = one["endpoint"] == names["failure_contrasts"][0]["endpoint"]
    contrast = summary["tasks"]["sums"]["endpoints"]["accuracy"]["contrasts"][0]
    contrast |= {
        "verdict": "equivalent",
        "also": "worse",
        "worst_case": {
            "bound": -0.0625,
            "taken_to_invent": None,
            "n": 24,
            "missing_reference": 1,
            "missing_candidate": 2,
        },
    }
    names["failure_modes"]["q8_0"]["errors"]["confusions"] = [{"gold": "a", "found": "b", "n": 3}]
    return summary


def test_statements_over_all_tasks_are_the_summarys(
    trial: Trial, documents: dict[str, str]
) -> None:
    (rows,) = markdown_tables(documents["report.md"])["Contrasts over all tasks"]
    assert rows
    for row, one in zip(rows, trial.summary["statements"], strict=True):
        assert (row["arm"], number(row["tasks"])) == (one["candidate"], one["tasks"])
        for title, mark, key in (
            ("margin kept on all", "kept", "margin_kept_on_all"),
            ("a loss on one or more", "loss", "loss_on_any"),
        ):
            assert (row[title] == "yes") is one[key]["holds"]
            assert same(row[f"p ({mark})"], one[key]["p_value"], 0.001)


def test_a_statement_over_some_of_the_tasks_says_so(trial: Trial) -> None:
    summary = trial.copied()
    one = summary["statements"][0]
    one["tasks"] = 1
    one["margin_kept_on_all"] |= {"p_value": None, "holds": False, "p_adjusted": None}
    one["loss_on_any"] = {"p_value": 0.01, "holds": True}
    assert len(summary["tasks"]) > 1
    text = trial.with_summary(summary).render()["report.md"]
    (rows,) = markdown_tables(text)["Contrasts over all tasks"]
    assert rows[0]["tasks"] == f"1 of {len(summary['tasks'])}"
    assert (rows[0]["margin kept on all"], rows[0]["p (kept)"]) == ("no", "unknown")
    assert rows[0]["a loss on one or more"] == "yes"
    assert "of" not in rows[1]["tasks"]


@pytest.mark.parametrize(
    ("p", "words"),
    [
        (0.01, "varies over subject"),
        (0.5, "is not shown to vary over subject"),
        (None, "cannot be told"),
    ],
)
def test_heterogeneity_is_said_before_the_strata(trial: Trial, p: float | None, words: str) -> None:
    summary = trial.copied()
    tests = summary["tasks"]["sums"]["heterogeneity"]
    tests[0]["p_adjusted"] = p
    text = trial.with_summary(summary).render()["report.md"]
    tables = markdown_tables(text)
    title = "Strata: sums, do differences vary over subject?"
    (rows,) = tables[title]
    assert rows[0]["the difference"] == words
    for row, one in zip(rows, tests, strict=True):
        assert same(row["p"], one["p_value"], 0.001)
        assert same(row["adj. p"], one["p_adjusted"], 0.001)
    assert text.index(title) < text.index("### Strata: sums, by subject, against f16")
    shrunken = {one["candidate"]: one["shrunken"] for one in tests}
    (rows,) = tables["Strata: sums, by subject, against f16"]
    for row in rows:
        assert row["shrunken"] == points(shrunken[row["arm"]][row["subject"]])


def test_every_failure_mode_is_told_with_its_test_where_failures_are_read(trial: Trial) -> None:
    text = trial.with_summary(told(trial.copied())).render()
    tables = markdown_tables(text["report.md"])
    for task, part in trial.summary["tasks"].items():
        (rows,) = tables[f"Failures tested: {task}"]
        expected = [
            (name, one)
            for name in ("precision", "recall", "parse_rate")
            for one in part["endpoints"].get(name, {"contrasts": []})["contrasts"]
        ] + [(one["endpoint"], one) for one in part["failure_contrasts"]]
        expected = [(name, one) for name, one in expected if one["reference"] == "f16"]
        assert len(rows) == len(expected)
        for row, (name, one) in zip(rows, expected, strict=True):
            assert (row["what"], row["arm"]) == (name.replace("_", " "), one["candidate"])
            assert same(row["adj. p"], one["p_adjusted"], 0.001)
            # it leads to its row, and is not that row itself
            assert text["report.html"].count(f'id="{anchor(one["id"])}"') == 1
            assert text["report.html"].count(f'href="#{anchor(one["id"])}"') >= 2
    named = trial.summary["tasks"]["names"]["failure_contrasts"][0]["endpoint"].replace("_", " ")
    assert f"The study named {named} beforehand" in text["report.md"]


def test_classes_of_errors_are_the_summarys(trial: Trial, documents: dict[str, str]) -> None:
    part = trial.summary["tasks"]["names"]
    errors, losses = markdown_tables(documents["report.md"])["Classes of errors: names"]
    for row in errors:
        kind = row["class"].replace(" ", "_")
        for arm, one in part["failure_modes"].items():
            assert number(row[arm]) == one["errors"]["classes"][kind]["errors"]
    for one in part["error_loss"]:
        head = f"{one['candidate']} vs {one['reference']}"
        for row in losses[:-1]:
            assert row[head] == points(one["classes"][row["class"].replace(" ", "_")])
        (whole,) = (
            contrast["estimate"]
            for contrast in part["endpoints"]["micro_f1"]["contrasts"]
            if (contrast["candidate"], contrast["reference"])
            == (one["candidate"], one["reference"])
        )
        assert losses[-1][head] == points(whole)
        # the parts make up the whole
        assert sum(one["classes"].values()) == pytest.approx(whole)


def test_letters_are_the_summarys(trial: Trial, documents: dict[str, str]) -> None:
    tables, part = markdown_tables(documents["report.md"]), trial.summary["tasks"]["sums"]
    (rows,) = tables["Shift of letters: sums"]
    for row, one in zip(rows, part["letter_shifts"], strict=True):
        assert (number(row["items"]), number(row["changed"])) == (one["n"], one["changed"])
        assert same(row["adj. p"], one["p_adjusted"], 0.001)
    assert rows[1]["shift"] == "A −7, B +4, C +3"
    (rows,) = tables["Right by gold letter: sums"]
    for row in rows:
        for arm, one in part["failure_modes"].items():
            counted = one["by_letter"][row["gold letter"]]
            assert row[arm] == f"{counted['correct']} of {counted['n']}"


def test_texts_are_the_summarys(trial: Trial, documents: dict[str, str]) -> None:
    for task, part in trial.summary["tasks"].items():
        lengths, signs = markdown_tables(documents["report.md"])[f"Texts: {task}"]
        modes = part["failure_modes"].values()
        for row, sign, texts in zip(lengths, signs, (one["texts"] for one in modes), strict=True):
            assert number(row["texts"]) == texts["n"]
            assert same(row["characters"], texts["characters"]["mean"], 0.1)
            assert same(row["median tokens"], texts["completion_tokens"]["median"], 0.1)
            assert sign["cut short"] == f"{texts['truncated']['count']} of {texts['n']}"
            assert sign["empty"] == f"{texts['empty']['count']} of {texts['n']}"


def test_flips_by_stratum_are_the_summarys(trial: Trial, documents: dict[str, str]) -> None:
    (rows,) = markdown_tables(documents["report.md"])["Flips: sums, by subject"]
    found = [
        (value, one)
        for flips in trial.summary["tasks"]["sums"]["flips"]
        for value, one in flips["strata"]["subject"].items()
    ]
    for row, (value, one) in zip(rows, found, strict=True):
        assert row["subject"] == value
        assert [number(shown) for shown in list(row.values())[2:]] == [
            one[key] for key in ("harmful", "beneficial", "churn", "n")
        ]


def test_what_holds_beside_a_verdict_is_said(trial: Trial) -> None:
    text = trial.with_summary(told(trial.copied())).render()["report.md"].replace("\\", "")
    rows = markdown_tables(text)["Contrasts: sums, accuracy"][0]
    assert rows[0]["verdict"] == "● equivalent, and worse"
    assert (
        "q8_0 vs f16: with every missing answer held against q8_0 (of 24 items, 2 missing there "
        "and 1 on f16), the difference is −6.2 pp."
    ) in text
    assert markdown_tables(text)["Types taken for another: names"] == [
        [{"arm": "q8_0", "gold type": "a", "answered type": "b", "errors": "3"}]
    ]


def test_what_has_no_bound_is_not_called_one(trial: Trial) -> None:
    summary = trial.copied()
    contrast = summary["tasks"]["names"]["endpoints"]["micro_f1"]["contrasts"][0]
    contrast["worst_case"] = {
        "bound": -0.0625,
        "taken_to_invent": 3,
        "n": 24,
        "missing_reference": 1,
        "missing_candidate": 2,
    }
    text = trial.with_summary(summary).render()["report.md"].replace("\\", "")
    assert (
        "q8_0 vs f16: of 24 items, 2 answers are missing there and 1 on f16. No bound: a missing "
        "answer may invent any number of entities. Taking each that is missing on q8_0 to find "
        "nothing and to invent 3 (as many as the longest answer of any arm names), and each on "
        "f16 to be perfect, the difference would be −6.2 pp."
    ) in text
    (rows,) = markdown_tables(text)["Missing answers"]
    assert (rows[0]["against it"], rows[0]["assuming"]) == ("−6.2 pp", "3 invented")
    assert "Micro-F1 and precision have no bound where the candidate's answers are missing" in text


def test_what_is_invented_is_said_to_be_of_what_was_read(documents: dict[str, str]) -> None:
    # 2 of 12 answers of either arm could be read
    text = documents["report.md"].replace("\\", "")
    said = (
        "Invented entities are compared only on texts where both answers could be read: q8_0 vs "
        "f16 on 2 of 12. An arm that often cannot be read may look better there than it is.\n"
    )
    for title in ("### Contrasts: names, no spurious\n", "### Failures tested: names\n"):
        assert said in text.split(title)[1].split("###")[0]
    assert said not in text.split("### Contrasts: names, micro-F1\n")[1].split("###")[0]


def test_failure_modes_are_declared_or_exploratory(trial: Trial) -> None:
    summary = told(trial.copied())
    first = summary["tasks"]["names"]["failure_contrasts"][0]["endpoint"].replace("_", " ")
    text = trial.with_summary(summary).render()["report.md"]
    section = text.split(f"### Contrasts: names, {first}\n")[1].split("###")[0]
    assert "Declared: " in section
    assert "Exploratory: " not in section
    assert "Exploratory: " in trial.render()["report.md"]


def test_the_words_explain_what_may_disagree(documents: dict[str, str]) -> None:
    for text in documents.values():
        assert "Intervals are not adjusted for the number of pairs" in text
        assert "comes from a test of its own" in text
        assert "floor" in text


@pytest.mark.parametrize("key", ["statements", "heterogeneity", "failure_contrasts", "texts"])
def test_a_summary_that_lacks_what_is_reported_says_what_writes_it_again(
    trial: Trial, key: str
) -> None:
    def without(value: Any) -> Any:
        if isinstance(value, list):
            return [without(one) for one in value]
        if isinstance(value, dict):
            return {name: without(one) for name, one in value.items() if name != key}
        return value

    with pytest.raises(RecordError, match=f"{key}.*quantrial analyze"):
        replace(trial, summary=without(trial.copied())).render()


def test_the_tables_of_failures_of_a_kind_name_what_the_summary_holds(trial: Trial) -> None:
    for part in trial.summary["tasks"].values():
        for table in TASKS.load(part["kind"]).failure_tables:
            for column in table.columns:
                for modes in part["failure_modes"].values():
                    found = modes
                    for key in column.key.split("."):
                        assert key in found, column
                        found = found[key]


def test_what_a_kind_from_outside_could_not_read_is_told(trial: Trial) -> None:
    summary = load_summary(trial.summary)
    part = summary.tasks["sums"]
    modes = {
        arm: OtherFailures(
            n=24, truncated=1, texts=one.texts, more={"unparsed": 6, "unparsed_rate": 0.25}
        )
        for arm, one in part.failure_modes.items()
    }
    other = structs.replace(part, failure_modes=modes)
    section = failures_section(structs.replace(summary, tasks={"sums": other}))
    (table,) = section.groups[0].tables
    assert [cell.text for cell in table.rows[0].cells] == ["f16", "24", "6", "25.0 %", "1"]


def test_a_table_of_a_list_has_a_row_an_entry(trial: Trial, monkeypatch: Any) -> None:
    columns = (FailureColumn("gold", "right label", form="text"), FailureColumn("n", "answers"))
    tables = (FailureTable("confused on {task}", columns, rows="confusions", most=2),)
    monkeypatch.setattr(TASKS.load("choice"), "failure_tables", tables)
    summary = load_summary(trial.summary)
    part = next(one for one in summary.tasks.values() if one.kind == "choice")
    wrong = [{"gold": "a | b", "n": 3}, {"gold": "c", "n": 2}, {"gold": "d", "n": 1}]
    texts = next(iter(part.failure_modes.values())).texts
    found = {"f16": [], "q8_0": wrong}
    modes = {
        arm: OtherFailures(n=9, truncated=0, texts=texts, more={"confusions": one})
        for arm, one in found.items()
    }
    other = structs.replace(part, failure_modes=modes)
    section = failures_section(structs.replace(summary, tasks={"sums": other}))
    table = next(one for one in section.groups[0].tables if one.caption == "confused on sums")
    assert [one.numeric for one in table.columns] == [False, False, True]
    assert [[cell.text for cell in row.cells] for row in table.rows] == [
        ["q8_0", "a | b", "3"],
        ["q8_0", "c", "2"],
    ]
