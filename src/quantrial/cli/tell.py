"""Results on a terminal: tables, a forest plot, and the decision in sentences."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from quantrial.agreement import fixed
from quantrial.cli.quantities import sizes
from quantrial.cli.terminal import Interval, forest, heading, line, paragraph, table
from quantrial.decision.disagreements import SETS, parted
from quantrial.decision.words import left_open
from quantrial.documents import load_summary
from quantrial.findings import adjusted_p
from quantrial.paths import is_file
from quantrial.words import (
    VERDICT_SIGNS,
    interval_on_terminal,
    memory_noun,
    p_value_on_terminal,
    percent,
    plural,
    points_on_terminal,
    times,
    verdict_word,
)


def summary(found: Mapping[str, Any], folder: Path, *, primary_only: bool = True) -> None:
    """Print the primary endpoints and their contrasts with the reference, and draw them; or all."""
    _endpoints(found, primary_only=primary_only)
    _forest(found, primary_only=primary_only)
    _parted(found, primary_only=primary_only)
    missing = sum(task["flow"]["missing"] for task in found["tasks"].values())
    if missing:
        if found["study"].get("imported"):
            rows = "row is" if missing == 1 else "rows are"
            said = (
                f"Incomplete: {missing:,} {rows} missing in what was imported. Once the files hold "
                "them, `quantrial import` into a new folder."
            )
        else:
            calls = "call is" if missing == 1 else "calls are"
            said = (
                f"Unfinished: {missing:,} {calls} not asked yet; `quantrial run {folder}` goes on."
            )
        paragraph(said)
    paragraph(f"{found['methods']} methods. Next: quantrial decide {folder}")


def report(summarised: Mapping[str, Any], decided: Mapping[str, Any]) -> None:
    """Print the whole report: the decision, then every endpoint of every task."""
    decision(decided)
    line()
    _endpoints(summarised, primary_only=False)
    _forest(summarised, primary_only=False)
    _parted(summarised, primary_only=False)
    paragraph(f"{summarised['methods']} methods; `quantrial report` writes it all with plots.")


def _endpoints(found: Mapping[str, Any], *, primary_only: bool) -> None:
    for name, task in found["tasks"].items():
        for endpoint, results in task["endpoints"].items():
            if primary_only and endpoint != task["primary"]:
                continue
            heading(
                f"{name} ({task['workload']}), {endpoint.replace('_', '-')}, "
                f"{task['flow']['analysed_items']} items analysed"
            )
            against = {
                c["candidate"]: c
                for c in results["contrasts"]
                if c["reference"] == found["reference"]
            }
            table(
                ("arm", "estimate", "95 % interval" if found["alpha"] == 0.05 else "interval",
                 "difference", "interval", "adjusted p", "verdict"),
                list(_summary_rows(results["arms"], against)),
            )  # fmt: skip
            for said in (*_open_questions(found, name, endpoint), *_missing(against.values())):
                paragraph(said, indent="  ")
            line()


def _forest(found: Mapping[str, Any], *, primary_only: bool) -> None:
    """Draw the contrasts with the reference; what is secondary carries its endpoint's name."""
    rows: list[Interval] = []
    for task in found["tasks"].values():
        for name, results in task["endpoints"].items():
            if name == task["primary"]:
                rows += _contrasts(found, task, results, "")
            elif not primary_only:
                rows += _contrasts(found, task, results, f", {name.replace('_', '-')}")
    _draw(rows, found["reference"])


def _contrasts(
    found: Mapping[str, Any], task: Mapping[str, Any], results: Mapping[str, Any], after: str
) -> Iterator[Interval]:
    margins = {(e["reference"], e["candidate"]): e["margin"] for e in results["equivalence"]}
    for one in results["contrasts"]:
        if one["reference"] == found["reference"]:
            margin = margins[one["reference"], one["candidate"]]
            yield _drawn(f"{one['candidate']}, {task['workload']}{after}", one, margin)


def _drawn(label: str, one: Mapping[str, Any], margin: float) -> Interval:
    low, high = one["ci"]
    return Interval(
        label, one["estimate"], low, high, margin, VERDICT_SIGNS.get(one["verdict"], "?")
    )


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


def _parted(found: Mapping[str, Any], *, primary_only: bool) -> None:
    """Say where the other set of methods comes to another verdict: how often, or each of them."""
    told = parted(load_summary(found))
    if not told:
        return
    other = next(name for name in SETS if name != found["methods"])
    if primary_only:
        count = sum(len(one.strata) or 1 for one in told)
        contrasts = plural(count, "contrast")
        paragraph(
            f"The {other} methods come to another verdict on {contrasts}; `--all` and the report "
            "list them."
        )
        return
    heading(f"Where the {other} methods come to another verdict:")
    for one in told:
        where = f"{one.task}, {', '.join(one.strata) or one.endpoint.replace('_', '-')}"
        verdicts = ", ".join(f"{verdict_word(one.verdicts[by])} by {by}" for by in SETS)
        paragraph(f"{one.pair} on {where}: {verdicts} ({one.why}).", indent="  ")
    line()


def _summary_rows(arms: Mapping[str, Any], against: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    for arm, own in arms.items():
        row = (arm, percent(own["estimate"]), interval_on_terminal(own["ci"], sign=False))
        contrast = against.get(arm)
        if contrast is None:
            yield (*row, "reference", "", "", "")
            continue
        yield (
            *row,
            points_on_terminal(contrast["estimate"]),
            interval_on_terminal(contrast["ci"], sign=True),
            p_value_on_terminal(adjusted_p(contrast)),
            ", also ".join(
                verdict_word(one) for one in (contrast["verdict"], contrast["also"]) if one
            ),
        )


def _open_questions(found: Mapping[str, Any], task: str, endpoint: str) -> Iterator[str]:
    from quantrial.reporting.contrasts import open_questions

    contrasts = load_summary(found).tasks[task].endpoints[endpoint].contrasts
    yield from open_questions([one for one in contrasts if one.reference == found["reference"]])


def _missing(contrasts: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Say of each contrast where answers are missing what becomes of the margin then."""
    for one in contrasts:
        worst = one.get("worst_case")
        if not worst or "non_inferior" not in worst:
            continue
        count = worst["missing_candidate"] + worst["missing_reference"]
        yield (
            f"{one['candidate']}: {plural(count, 'answer')} missing; held "
            f"against it, a loss of the margin is {'' if worst['non_inferior'] else 'not '}ruled "
            "out."
        )


def decision(found: Mapping[str, Any]) -> None:
    """Print a decision: each sentence, and under it the evidence that was not printed before."""
    seen: set[str] = set()
    # where the trial itself is in doubt, that is said beside the recommendation
    doubts = [one for one in found["cautions"] if one.get("kind")]
    if "constrained" in found:
        _sentence(found["constrained"], seen)
        for one in found["constrained"]["rejected"]:
            for reason in one["breaks"]:
                paragraph(f"not {one['arm']}: {reason['text']}.", indent="  ")
        if found["constrained"]["pick"] and found["constrained"]["alternative"]:
            paragraph(found["constrained"]["alternative"]["text"])
        line()
        heading("Without these constraints:")
    _sentence(found["default"], seen)
    for one in doubts:
        line()
        _sentence(one, seen)
    line()
    _at_a_glance(found)
    for part in ("cautions", "controls", "pick_when", "avoid_for", "stay_when"):
        for place, one in enumerate(one for one in found[part] if one not in doubts):
            if place or part != "cautions":
                line()
            _sentence(one, seen)
    told = found["sensitivity"]
    for title, entries in (
        ("What would change the answer", told["changes"]),
        ("What a larger study would settle", told["settle"]),
        ("In place of the reference", found["risk"]),
    ):
        if entries:
            line()
            heading(f"{title}:")
        for one in entries:
            paragraph(one["text"], indent="  ")


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


def _at_a_glance(found: Mapping[str, Any]) -> None:
    """Print what each arm costs and how it stands, and draw the differences."""
    tasks, findings = found["picker"]["tasks"], found["findings"]
    rows, drawn = [], []
    weighed = sizes(*(cost["memory_bytes"] for cost in found["costs"].values()))
    for (arm, cost), weights in zip(found["costs"].items(), weighed, strict=True):
        standings = []
        for task in tasks.values():
            row = task["arms"][arm]
            if arm == found["reference"]:
                standings.append("reference")
            elif row["finding"] is None:
                standings.append("not compared")
            else:
                finding = findings[row["finding"]]
                standings.append(left_open(row) or verdict_word(finding["verdict"]))
                label = f"{arm}, {task['workload']}"
                drawn.append(_drawn(label, finding, finding["margin"]))
        speedup = cost["speedup"]
        rows.append(
            (
                arm,
                weights,
                "unknown" if speedup is None else times(speedup),
                *standings,
            )
        )
    names = [
        name if len(tasks) > len({t["workload"] for t in tasks.values()}) else task["workload"]
        for name, task in tasks.items()
    ]
    memory = memory_noun(found["picker"].get("memory_source"))
    table(("arm", memory, "speed", *names), rows)
    line()
    _draw(drawn, found["reference"])


def _sentence(entry: Mapping[str, Any], seen: set[str]) -> None:
    paragraph(entry["text"])
    for identity, said in zip(entry["because"], entry["evidence"], strict=True):
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
