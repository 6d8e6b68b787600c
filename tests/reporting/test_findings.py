"""Only what survives the adjustment of its family is marked; the rest is an estimate."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from analysis.test_alarms import asked, trial
from quantrial.decision import decide_from
from quantrial.documents import load_summary
from quantrial.documents.decision import load_decision
from quantrial.reporting.blocks import Cell, Section, Table
from quantrial.reporting.sections.failures import failures_section
from quantrial.reporting.sections.methodology import checks_section, methods_section
from quantrial.reporting.sections.quality import contrasts_section
from quantrial.reporting.sections.strata import strata_section
from summaries import is_finding

pytestmark = pytest.mark.usefixtures("undrawn")


@pytest.fixture(scope="module", params=[7, 40])
def summary(request: pytest.FixtureRequest) -> dict[str, Any]:
    return trial(int(request.param), again=True)


def tables(*sections: Section | None) -> Iterator[Table]:
    for section in sections:
        for group in section.groups if section else ():
            yield from group.tables


def test_no_mark_of_a_difference_that_is_no_finding(summary: dict[str, Any]) -> None:
    beyond = asked(summary)
    shown = {one["id"] for one in summary["alarms"]["findings"]}
    marked = 0
    whole = load_summary(summary)
    for table in tables(contrasts_section(whole), failures_section(whole), strata_section(whole)):
        for row in table.rows:
            cells: list[Cell] = list(row.cells)
            named = {row.finding, *(cell.target for cell in cells)} - {""}
            of = {one.removesuffix(".equivalence") for one in named if one} & beyond.keys()
            tones = {cell.tone for cell in cells} & {"worse", "better"}
            said = {cell.text for cell in cells} & {"longer", "shorter"}
            if of and (tones or said):
                marked += 1
                assert of <= shown, of
    assert (marked > 0) == bool({one for one in shown if one in beyond})


def test_shifts_of_letters_are_marked_where_they_are_shown(summary: dict[str, Any]) -> None:
    (table,) = (
        one
        for one in tables(failures_section(load_summary(summary)))
        if one.caption.startswith("shift of")
    )
    shifts = summary["tasks"]["quiz"]["letter_shifts"]
    said = [row.cells[-1].text for row in table.rows]
    assert said == ["shifted" if is_finding(one, 0.05) else "not shown to shift" for one in shifts]


def test_the_report_lists_what_is_shown_and_among_how_many(summary: dict[str, Any]) -> None:
    alarms = summary["alarms"]
    section = checks_section(load_summary(summary), load_decision(decide_from(summary)))
    (group,) = (one for one in section.groups if one.title.startswith("Shown beyond"))
    count = f"{alarms['questions']:,} questions"
    assert count in group.notes[0]
    rows = [row.cells[1].text for table in group.tables for row in table.rows]
    assert rows == [one["id"] for one in alarms["findings"]]
    text = " ".join(
        item for one in methods_section(load_summary(summary)).groups for item in one.items
    )
    assert f"{count}, adjusted together" in text


def test_a_narrowed_interval_states_no_confidence(summary: dict[str, Any]) -> None:
    found = [
        one
        for table in tables(contrasts_section(load_summary(summary)))
        if table.caption.startswith("simultaneous")
        for one in table.rows
    ]
    stated = [row.cells[-1].text for row in found]
    narrowed = [
        one["simultaneous"]["confidence"] is None
        for part in summary["tasks"].values()
        for results in part["endpoints"].values()
        for one in results["contrasts"]
    ]
    assert stated.count("none") >= sum(narrowed)
    assert all(one == "none" or one.endswith("%") for one in stated)
