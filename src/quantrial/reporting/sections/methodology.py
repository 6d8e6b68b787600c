"""How the numbers came about, after whom, and whether the study can be trusted."""

from __future__ import annotations

from collections.abc import Iterator

from quantrial.decision.cautions import SETS, Parted, parted
from quantrial.documents import Summary, TaskSummary
from quantrial.documents.decision import Decision
from quantrial.inert import clean
from quantrial.reporting.blocks import Cell, Column, Group, Row, Section, Table, cells
from quantrial.reporting.contrasts import pair
from quantrial.reporting.glossary import note, prose, section
from quantrial.words import (
    VERDICT_WORDS,
    amount,
    count,
    difference,
    endpoint,
    method,
    p_value,
    percent,
    plural,
    verdict,
)

_STATUS = {
    "fail": "✗ Does not hold",
    "warn": "! Deserves a look",
    "unknown": "? Cannot be told",
    "pass": "✓ Holds",
}


def methods_section(summary: Summary) -> Section:
    """Say in words how the numbers of this report were computed, and after whom."""
    methods = prose("methods")
    used = [name for name in dict.fromkeys((*_used(summary), "holm")) if name in methods]
    described = tuple(f"{method(name).removesuffix(' tost')}: {methods[name][0]}" for name in used)
    references = tuple(sorted({prose("after")[methods[name][1]] for name in used}))
    family = summary.alarms
    questions, alarm = plural(family.questions, "question"), percent(family.alpha, 0)
    compared = (
        note("pairing"),
        note("verdicts", alpha=percent(summary.alpha, 0)),
        note("adjustment", questions=questions, alpha=alarm),
    )
    groups = (
        Group("How arms are compared", items=compared),
        Group("Methods used", items=described),
        Group("After whom", items=references, folded=True),
    )
    return section("methods", "Methods", groups, methods=summary.methods)


def _used(summary: Summary) -> Iterator[str]:
    for part in summary.tasks.values():
        for results in part.endpoints.values():
            yield from (own.method for own in results.arms.values())
            yield from (one.equivalence.method for one in results.contrasts if one.equivalence)
            for one in results.contrasts:
                yield from (one.ci_method, one.p_method)
        for one in part.failure_contrasts:
            yield from (one.ci_method, one.p_method)
        yield from (test.method for test in part.heterogeneity)
        yield from (test.method for test in part.letter_shifts if test.method)


def assay_section(summary: Summary) -> Section:
    """List the checks by what they found, those that do not hold first."""
    groups = []
    for status, title in _STATUS.items():
        checks = tuple(
            f"{clean(one.id)}: {clean(one.text)}" for one in summary.assay if one.status == status
        )
        if checks:
            groups.append(Group(title, items=checks, folded=status == "pass"))
    return section("assay", "Validity checks", groups)


def checks_section(summary: Summary, decision: Decision) -> Section:
    """Put together what speaks for and against trusting this study."""
    groups = [
        _controls(summary, decision),
        *_shown(summary),
        _missing(summary),
        *disagreements(summary),
    ]
    return section("checks", "Checks", groups)


def _controls(summary: Summary, decision: Decision) -> Group:
    controls = [clean(one.text) for one in decision.controls]
    if not controls:
        controls = [note("no_control")]
    floors = [
        f"{part.workload}: the reference reaches "
        f"{amount(_own(part, summary.reference), part.main.unit)}, blind guessing "
        f"{amount(part.chance, part.main.unit)}."
        for part in summary.tasks.values()
        if part.chance is not None
    ]
    return Group("Positive control and floor", items=(*controls, *map(clean, floors)))


def _shown(summary: Summary) -> Iterator[Group]:
    """List what is shown beyond the primary endpoints; all else there is an estimate."""
    family = summary.alarms
    title = "Shown beyond the primary endpoints"
    if not family.findings:
        words = note("nothing_beyond", questions=plural(family.questions, "question"))
        yield Group(title, notes=(words,))
        return
    table = Table(
        "findings that are no primary endpoint",
        (Column("what", numeric=False), Column("id", numeric=False), Column("adj. p")),
        tuple(Row(cells(one.kind, clean(one.id), p_value(one.p_alarm))) for one in family.findings),
    )
    said = note("shown_beyond", questions=plural(family.questions, "question"))
    yield Group(title, notes=(said,), tables=(table,), folded=True)


def _own(part: TaskSummary, arm: str) -> float | None:
    found = part.main.arms.get(arm)
    return found.estimate if found else None


def _missing(summary: Summary) -> Group:
    found = [
        (f"{task}, {endpoint(part.label(name))}", one, one.worst_case)
        for task, part in summary.tasks.items()
        for name, results in part.endpoints.items()
        for one in results.contrasts
        if one.worst_case
    ]
    if not found:
        flows = [part.flow for part in summary.tasks.values()]
        lost = sum(flow.faulted + flow.missing for flow in flows)
        words = (
            "No answer is missing: nothing to bound."
            if not lost
            else f"{plural(lost, 'answer')} missing; no bound can be given for these endpoints."
        )
        return Group("Missing answers", notes=(words,))
    table = Table(
        "differences with every missing answer held against the candidate",
        (
            Column("contrast", numeric=False),
            Column("endpoint", numeric=False),
            Column("missing there", hint="items that the candidate gave no answer to"),
            Column("missing here", hint="items that the reference gave no answer to"),
            Column("difference"),
            Column("against it", hint="every missing answer counted against the candidate"),
            Column("p (kept)", hint="of “loses less than the margin”"),
            Column("assuming", numeric=False, hint="entities that each missing answer invents"),
        ),
        tuple(
            Row(
                (
                    Cell(pair(one), target=one.id),
                    *cells(
                        where,
                        count(worst.missing_candidate),
                        count(worst.missing_reference),
                        difference(one.estimate, one.unit),
                        difference(worst.bound, one.unit),
                        p_value(worst.p_non_inferior),
                        _invented(worst.taken_to_invent),
                    ),
                )
            )
            for where, one, worst in found
        ),
    )
    assumed = any(worst.taken_to_invent is not None for _, _, worst in found)
    return Group("Missing answers", notes=(note("no_bound"),) if assumed else (), tables=(table,))


def _invented(entities: int | None) -> str:
    return "nothing" if entities is None else f"{count(entities)} invented"


def disagreements(summary: Summary) -> Iterator[Group]:
    """Show where the other set of methods comes to another verdict."""
    title, found = "Classic against calibrated", parted(summary)
    if not found:
        yield Group(title, notes=(note("same_verdicts"),))
    rows = [_parted(one) for one in found if not one.strata]
    if rows:
        table = Table(
            "contrasts where the two sets of methods come to different verdicts",
            (
                Column("contrast", numeric=False),
                Column("endpoint", numeric=False),
                Column("test", numeric=False, hint="the test that they part on"),
                *(Column(f"{name}, p", numeric=False) for name in SETS),
            ),
            tuple(rows),
        )
        yield Group(title, tables=(table,))
    inside = tuple(_within(one) for one in found if one.strata)
    if inside:
        yield Group(
            f"{title}, within strata", notes=(note("within_strata"),), items=inside, folded=True
        )


def _parted(one: Parted) -> Row:
    return Row(
        (
            Cell(one.pair, target=one.id),
            Cell(f"{one.task}, {endpoint(one.endpoint)}"),
            Cell(one.test),
            *(Cell(f"{_verdict(one.verdicts[name])} {one.p[name]}") for name in SETS),
        )
    )


def _within(one: Parted) -> str:
    many = f"{plural(len(one.strata), 'stratum', 'strata')}: " if len(one.strata) > 1 else ""
    verdicts = ", ".join(f"{_verdict(one.verdicts[name])} by {name}" for name in SETS)
    where = clean(f"{one.pair} on {one.task}, {many}{', '.join(one.strata)}")
    return f"{where}: {verdicts} ({one.why})."


def _verdict(name: str) -> str:
    return verdict(name) if name in VERDICT_WORDS else name
