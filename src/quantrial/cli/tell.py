"""Results on a terminal: tables, a forest plot, and the decision in sentences."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from quantrial.agreement import fixed
from quantrial.cli.terminal import Interval, forest, heading, line, paragraph, table
from quantrial.decision.disagreements import SETS, parted
from quantrial.decision.words import left_open
from quantrial.documents import Contrast, Estimate, Summary
from quantrial.documents.decision import (
    AvoidFor,
    Caution,
    Constrained,
    Control,
    Decision,
    Default,
    Finding,
    PickWhen,
    StayWhen,
)
from quantrial.findings import adjusted_p
from quantrial.paths import is_file
from quantrial.words import (
    UNKNOWN,
    VERDICT_SIGNS,
    interval_on_terminal,
    memory_noun,
    p_value_on_terminal,
    percent,
    plural,
    points_on_terminal,
    terminal_sizes,
    times,
    verdict_word,
)

_Entry = Default | Constrained | Caution | Control | PickWhen | AvoidFor | StayWhen


def summary(found: Summary, folder: Path, *, primary_only: bool = True) -> None:
    """Print the primary endpoints and their contrasts with the reference, and draw them; or all."""
    _endpoints(found, primary_only=primary_only)
    _forest(found, primary_only=primary_only)
    _parted(found, primary_only=primary_only)
    missing = sum(task.flow.missing for task in found.tasks.values())
    if missing and found.study.imported:
        rows = "row is" if missing == 1 else "rows are"
        paragraph(
            f"Incomplete: {missing:,} {rows} missing in what was imported. Once the files hold "
            "them, `quantrial import` into a new folder."
        )
    elif missing:
        calls = "call is" if missing == 1 else "calls are"
        paragraph(
            f"Unfinished: {missing:,} {calls} not asked yet; `quantrial run {folder}` goes on."
        )
    paragraph(f"{found.methods} methods. Next: quantrial decide {folder}")


def report(summarised: Summary, decided: Decision) -> None:
    """Print the whole report: the decision, then every endpoint of every task."""
    decision(decided)
    line()
    _endpoints(summarised, primary_only=False)
    _forest(summarised, primary_only=False)
    _parted(summarised, primary_only=False)
    paragraph(f"{summarised.methods} methods; `quantrial report` writes it all with plots.")


def _endpoints(found: Summary, *, primary_only: bool) -> None:
    for name, task in found.tasks.items():
        for endpoint, results in task.endpoints.items():
            if primary_only and endpoint != task.primary:
                continue
            heading(
                f"{name} ({task.workload}), {endpoint.replace('_', '-')}, "
                f"{task.flow.analysed_items} items analysed"
            )
            against = {c.candidate: c for c in results.contrasts if c.reference == found.reference}
            table(
                ("arm", "estimate", "95 % interval" if found.alpha == 0.05 else "interval",
                 "difference", "interval", "adjusted p", "verdict"),
                list(_summary_rows(results.arms, against)),
            )  # fmt: skip
            for said in (*_open_questions(list(against.values())), *_missing(against.values())):
                paragraph(said, indent="  ")
            line()


def _forest(found: Summary, *, primary_only: bool) -> None:
    """Draw the contrasts with the reference; what is secondary carries its endpoint's name."""
    rows = []
    for task in found.tasks.values():
        for name, results in task.endpoints.items():
            if primary_only and name != task.primary:
                continue
            after = "" if name == task.primary else f", {name.replace('_', '-')}"
            for one in results.contrasts:
                if one.reference == found.reference and one.equivalence is not None:
                    label = f"{one.candidate}, {task.workload}{after}"
                    rows.append(_interval(label, one, one.equivalence.margin))
    _draw(rows, found.reference)


def _interval(label: str, one: Contrast | Finding, margin: float) -> Interval:
    low, high = one.ci
    sign = VERDICT_SIGNS.get(one.verdict or "", "?")
    return Interval(label, one.estimate, low, high, margin, sign)


def _draw(rows: Sequence[Interval], reference: str) -> None:
    if not rows:
        return
    heading(f"Differences from {reference}: left of zero is a loss, ┊ the margin")
    forest(rows)
    signs = {row.sign for row in rows}
    used = [f"{sign} {verdict_word(name)}" for name, sign in VERDICT_SIGNS.items() if sign in signs]
    if used:
        paragraph(", ".join(used), indent="  ")
    line()


def _parted(found: Summary, *, primary_only: bool) -> None:
    """Say where the other set of methods comes to another verdict: how often, or each of them."""
    differing = parted(found)
    if not differing:
        return
    other = next(name for name in SETS if name != found.methods)
    if primary_only:
        count = sum(len(one.strata) or 1 for one in differing)
        contrasts = plural(count, "contrast")
        paragraph(
            f"The {other} methods come to another verdict on {contrasts}; `--all` and the report "
            "list them."
        )
        return
    heading(f"Where the {other} methods come to another verdict:")
    for one in differing:
        where = f"{one.task}, {', '.join(one.strata) or one.endpoint.replace('_', '-')}"
        verdicts = ", ".join(f"{verdict_word(one.verdicts[by])} by {by}" for by in SETS)
        paragraph(f"{one.pair} on {where}: {verdicts} ({one.why}).", indent="  ")
    line()


def _summary_rows(
    arms: Mapping[str, Estimate], against: Mapping[str, Contrast]
) -> Iterator[tuple[str, ...]]:
    for arm, own in arms.items():
        row = (arm, percent(own.estimate), interval_on_terminal(own.ci, sign=False))
        contrast = against.get(arm)
        if contrast is None:
            yield (*row, "reference", "", "", "")
            continue
        yield (
            *row,
            points_on_terminal(contrast.estimate),
            interval_on_terminal(contrast.ci, sign=True),
            p_value_on_terminal(adjusted_p(contrast)),
            ", also ".join(verdict_word(one) for one in (contrast.verdict, contrast.also) if one),
        )


def _open_questions(contrasts: Sequence[Contrast]) -> Iterator[str]:
    if any(one.verdict == "inconclusive" for one in contrasts):
        from quantrial.reporting.contrasts import open_questions

        yield from open_questions(contrasts)


def _missing(contrasts: Iterable[Contrast]) -> Iterator[str]:
    """Say of each contrast where answers are missing what becomes of the margin then."""
    for one in contrasts:
        worst = one.worst_case
        if worst is None or worst.non_inferior is None:
            continue
        count = worst.missing_candidate + worst.missing_reference
        yield (
            f"{one.candidate}: {plural(count, 'answer')} missing; held against it, a loss of the "
            f"margin is {'' if worst.non_inferior else 'not '}ruled out."
        )


def decision(found: Decision) -> None:
    """Print a decision: each sentence, and under it the evidence that was not printed before."""
    seen: set[str] = set()
    # where the trial itself is in doubt, that is said beside the recommendation
    doubts = [one for one in found.cautions if one.kind]
    cautions = [one for one in found.cautions if not one.kind]
    if given := found.constrained:
        _sentence(given, seen)
        for arm in given.rejected:
            for broken in arm.breaks:
                paragraph(f"not {arm.arm}: {broken.text}.", indent="  ")
        if given.pick and given.alternative:
            paragraph(given.alternative.text)
        line()
        heading("Without these constraints:")
    _sentence(found.default, seen)
    for caution in doubts:
        line()
        _sentence(caution, seen)
    line()
    _at_a_glance(found)
    apart: tuple[_Entry, ...] = (
        *found.controls,
        *found.pick_when,
        *found.avoid_for,
        *found.stay_when,
    )
    for place, entry in enumerate([*cautions, *apart]):
        if place or not cautions:
            line()
        _sentence(entry, seen)
    for title, texts in (
        ("What would change the answer", [one.text for one in found.sensitivity.changes]),
        ("What a larger study would settle", [one.text for one in found.sensitivity.settle]),
        ("In place of the reference", [one.text for one in found.risk]),
    ):
        if texts:
            line()
            heading(f"{title}:")
        for text in texts:
            paragraph(text, indent="  ")


def constraints(before: str, now: str, run: Path) -> None:
    """Say what became of the constraints of an earlier decision, and that a report is older."""
    if before == now:
        return
    line()
    if before:
        paragraph(
            f"The decision before was made under {before}; this one under "
            f"{now or 'no constraints'}. Each `decide` starts from the study file."
        )
    if is_file(run / "report.md"):
        paragraph(f"The report is still that of the decision before: quantrial report {run}")


def _at_a_glance(found: Decision) -> None:
    """Print what each arm costs and how it stands, and draw the differences."""
    tasks = found.picker.tasks
    rows, drawn = [], []
    weighed = terminal_sizes(*(cost.memory_bytes for cost in found.costs.values()))
    for (arm, cost), weights in zip(found.costs.items(), weighed, strict=True):
        standings = []
        for task in tasks.values():
            row = task.arms[arm]
            if arm == found.reference:
                standings.append("reference")
            elif row.finding is None:
                standings.append("not compared")
            else:
                finding = found.findings[row.finding]
                standings.append(left_open(row) or verdict_word(finding.verdict))
                drawn.append(_interval(f"{arm}, {task.workload}", finding, finding.margin))
        speed = UNKNOWN if cost.speedup is None else times(cost.speedup)
        rows.append((arm, weights, speed, *standings))
    same = len(tasks) > len({task.workload for task in tasks.values()})
    names = [name if same else task.workload for name, task in tasks.items()]
    table(("arm", memory_noun(found.picker.memory_source), "speed", *names), rows)
    line()
    _draw(drawn, found.reference)


def _sentence(entry: _Entry, seen: set[str]) -> None:
    paragraph(entry.text)
    for identity, said in zip(entry.because, entry.evidence, strict=True):
        paragraph(f"[{identity}], see above" if said in seen else said, indent="    ")
        seen.add(said)


def comparison(found: Mapping[str, Any]) -> None:
    """Print every run's primary results in one table, what changed, and what else differs."""
    table(
        ("run", "task", "arm", "estimate", "difference", "interval", "verdict", "speed"),
        [
            (
                row["run"],
                row["task"],
                row["arm"],
                percent(row["estimate"]),
                "" if row["finding"] is None else points_on_terminal(row["difference"]),
                ""
                if row["finding"] is None
                else interval_on_terminal(
                    [row["difference_low"], row["difference_high"]], sign=True
                ),
                "reference" if row["finding"] is None else verdict_word(row["verdict"]),
                "" if row["speedup"] is None else f"{fixed(row['speedup'], 2)}x",
            )
            for row in found["rows"]
            if row["primary"]
        ],
    )
    line()
    heading(f"Each arm with itself, against {found['reference']}:")
    for one in found["changes"]:
        paragraph(one["text"], indent="  ")
    if found["differ"]:
        line()
        heading("What else differs:")
    for said in found["differ"]:
        paragraph(said, indent="  ")
