"""The primary endpoint within each stratum, after one test of whether strata differ at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from quantrial.documents import Heterogeneity, StratumSummary, Summary
from quantrial.documents.contrasts import adjusted_p, is_finding
from quantrial.reporting.blocks import Cell, Column, Group, Row, Section, Table, cells, tabulate
from quantrial.reporting.contrasts import WITH_ALL, judged, pair
from quantrial.reporting.glossary import section
from quantrial.reporting.sections.quality import DIFFERENCE, VERDICT, level
from quantrial.words import amount, amount_interval, count, difference, difference_interval, p_value
from quantrial.words import endpoint as endpoint_word

_ADJUSTED = Column("adj. p", hint=WITH_ALL)
_SHRUNKEN = Column("shrunken", hint="drawn towards the mean of all strata")


def strata_section(summary: Summary) -> Section | None:
    """The primary endpoint within each stratum."""
    groups: list[Group] = []
    reference = summary.reference
    for task, part in summary.tasks.items():
        name = endpoint_word(part.label(part.primary))
        for key, table in part.strata.items():
            tests = [one for one in part.heterogeneity if one.key == key]
            if tests:
                groups.append(_heterogeneity(task, key, tests, summary.alpha))
            notes = [
                f"Differences in {name}. Their p is {WITH_ALL}; those of one arm with {reference} "
                "take one share of it together"
                + (f", once its difference is shown to vary over {key}." if tests else ".")
            ]
            varies = any(is_finding(one, summary.alpha) for one in tests)
            if tests and not varies:
                notes.append(
                    f"No difference is shown to vary over {key}: what sets the values apart below "
                    "may be chance."
                )
            groups.append(
                Group(
                    f"Strata: {task}, by {key}, against {reference}",
                    notes=tuple(notes),
                    tables=(_strata_contrasts(task, key, reference, table, tests),),
                    folded=len(table) > 8 or bool(tests and not varies),
                )
            )
            groups.append(
                Group(
                    f"Strata: {task}, by {key}, {name}",
                    tables=(_strata_arms(task, key, name, table),),
                    folded=True,
                )
            )
    return section("strata", "Strata", groups) if groups else None


def _heterogeneity(task: str, key: str, tests: Sequence[Heterogeneity], alpha: float) -> Group:
    table = tabulate(
        f"whether differences on {task} vary over {key}",
        tests,
        (Column("contrast", numeric=False, hint="candidate vs reference"), pair),
        (
            Column("p", hint="of equal differences in all strata, not adjusted"),
            lambda one: p_value(one.p_value),
        ),
        (
            Column("adj. p", hint=WITH_ALL),
            lambda one: p_value(adjusted_p(one)),
        ),
        (Column("items"), lambda one: count(one.n)),
        (
            Column("the difference", numeric=False),
            lambda one: _varies(one, key, alpha),
        ),
    )
    notes = (
        f"One test for each arm, before any value of {key} is looked at. Where it shows nothing, "
        "differences between the strata below may be chance.",
    )
    return Group(f"Strata: {task}, do differences vary over {key}?", notes=notes, tables=(table,))


def _varies(one: Heterogeneity, key: str, alpha: float) -> str:
    if adjusted_p(one) is None:
        return "cannot be told"
    shown = is_finding(one, alpha)
    return f"varies over {key}" if shown else f"is not shown to vary over {key}"


def _unit(table: Mapping[str, StratumSummary]) -> str | None:
    return next((one.unit for one in table.values()), None)


def _strata_arms(task: str, key: str, name: str, table: Mapping[str, StratumSummary]) -> Table:
    unit = _unit(table)
    found = [one for stratum in table.values() for one in stratum.arms.values()]
    return Table(
        f"{name} of each arm on {task}, by {key}",
        (
            Column(key, numeric=False),
            Column("arm", numeric=False),
            Column(name),
            Column(level(found)),
            Column("items"),
        ),
        tuple(
            Row(
                cells(
                    value,
                    arm,
                    amount(one.estimate, unit),
                    amount_interval(one.ci, unit),
                    count(one.n),
                )
            )
            for value, stratum in table.items()
            for arm, one in stratum.arms.items()
        ),
    )


def _strata_contrasts(
    task: str,
    key: str,
    reference: str,
    table: Mapping[str, StratumSummary],
    tests: Sequence[Heterogeneity],
) -> Table:
    unit = _unit(table)
    chosen = [
        (value, one)
        for value, stratum in table.items()
        for one in stratum.contrasts
        if one.reference == reference
    ]
    shrunken = {
        (one.candidate, value): mean for one in tests for value, mean in one.shrunken.items()
    }
    return Table(
        f"differences from {reference} on {task}, by {key}",
        (
            Column(key, numeric=False),
            Column("arm", numeric=False),
            DIFFERENCE,
            *((_SHRUNKEN,) if tests else ()),
            Column(level(one for _, one in chosen)),
            _ADJUSTED,
            VERDICT,
        ),
        tuple(
            Row(
                (
                    Cell(value),
                    Cell(one.candidate, title=one.id),
                    Cell(difference(one.estimate, unit)),
                    *(
                        (Cell(difference(shrunken.get((one.candidate, value)), unit)),)
                        if tests
                        else ()
                    ),
                    Cell(difference_interval(one.ci, unit)),
                    Cell(p_value(adjusted_p(one))),
                    Cell(judged(one), tone=one.verdict or ""),
                ),
                finding=one.id,
            )
            for value, one in chosen
        ),
    )
