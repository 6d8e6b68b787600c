"""Results on a terminal: the report's own blocks, and the differences drawn with characters."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quantrial.agreement import fixed
from quantrial.cli.terminal import Interval, forest, heading, item, line, paragraph, table
from quantrial.paths import is_file
from quantrial.words import (
    VERDICT_SIGNS,
    amount,
    difference,
    difference_interval,
    plural,
    verdict_word,
)

if TYPE_CHECKING:
    from quantrial.documents import Summary
    from quantrial.documents.decision import Decision
    from quantrial.records import Manifest
    from quantrial.reporting.blocks import Claim, Group, Sentence, Table, View


def summary(found: Summary, folder: Path, *, primary_only: bool = True) -> None:
    """Print the report's tables of arms and contrasts, and draw the contrasts; or all of them."""
    from quantrial.decision.cautions import SETS, parted
    from quantrial.reporting.sections.flow import worth_in_words

    _results(found, primary_only=primary_only)
    if primary_only and (differing := parted(found)):
        other = next(name for name in SETS if name != found.methods)
        contrasts = plural(sum(len(one.strata) or 1 for one in differing), "contrast")
        paragraph(
            f"The {other} methods come to another verdict on {contrasts}; --all and the report "
            "list them."
        )
    for said in worth_in_words(found):
        paragraph(said)
    missing = sum(task.flow.missing for task in found.tasks.values())
    if missing and found.study.imported:
        rows = "row is" if missing == 1 else "rows are"
        paragraph(
            f"Incomplete: {missing:,} {rows} missing in what was imported. Once the files hold "
            "them: quantrial import into a new folder."
        )
    elif missing:
        calls = "call is" if missing == 1 else "calls are"
        paragraph(f"Unfinished: {missing:,} {calls} not asked yet. quantrial run {folder} goes on.")
    paragraph(f"{found.methods} methods. Next: quantrial decide {folder}")


def report(summarised: Summary, decided: Decision, manifest: Manifest) -> None:
    """Print the decision, then every endpoint of every task."""
    decision(summarised, decided, manifest)
    line()
    _results(summarised, primary_only=False)
    paragraph(f"{summarised.methods} methods; quantrial report writes it all with plots.")


def _results(found: Summary, *, primary_only: bool) -> None:
    from quantrial.reporting.sections.methodology import disagreements
    from quantrial.reporting.sections.quality import arms_section, contrasts_section

    groups = [*arms_section(found).groups, *contrasts_section(found).groups]
    for group in groups:
        if not (primary_only and group.folded):
            _group(group)
    _forest(found, primary_only=primary_only)
    for group in () if primary_only else disagreements(found):
        _group(group)


def decision(summarised: Summary, decided: Decision, manifest: Manifest) -> None:
    """Print what the report says before its plots."""
    from quantrial.reporting.view import opening

    view = opening(summarised, decided, manifest)
    heading(view.headline)
    for one in view.constraints:
        item(one)
    _claim(view.summary)
    if view.unconstrained:
        paragraph(_said(view.unconstrained))
    for alarm in view.alarms:
        line()
        paragraph(alarm)
    line()
    paragraph(f"{view.subtitle}.")
    line()
    _glance(view)
    _forest(summarised, primary_only=True)
    for advice in (view.rejected, *view.advice):
        if advice is not None:
            heading(advice.title)
            for claim in advice.claims:
                _claim(claim, listed=True)
            line()
    if view.evidence:
        heading("Evidence")
        for sentence in view.evidence:
            item(_said(sentence))
        line()
    if view.serving is not None:
        heading(view.serving.title)
        for command in view.serving.commands:
            line(f"  {command}")  # on one line, however long: to copy
        for note in view.serving.notes:
            item(note)


def _glance(view: View) -> None:
    for block in (view.costs, view.standings):
        _table(block)
        line()
    worst = [(card.arm, card.worst) for card in view.cards if card.worst]
    for arm, said in worst:
        item(f"Worst of {arm}: {said}")
    if worst:
        line()


def _claim(claim: Claim, *, listed: bool = False) -> None:
    (item if listed else paragraph)(_said(claim.words))
    for detail in claim.details:
        item(_said(detail), indent="  " if listed else "")


def _said(sentence: Sentence) -> str:
    return "".join(f"[{part.text}]" if part.target else part.text for part in sentence)


def _group(group: Group) -> None:
    heading(group.title)
    for note in group.notes:
        paragraph(note, indent="  ")
    for block in group.tables:
        _table(block)
    for one in group.items:
        item(one)
    line()


def _table(block: Table) -> None:
    rows = [[cell.text for cell in row.cells] for row in block.rows]
    # a column that is empty in every row says nothing here
    kept = [i for i in range(len(block.columns)) if any(row[i] for row in rows)]
    table([block.columns[i].head for i in kept], [[row[i] for i in kept] for row in rows])


def _forest(found: Summary, *, primary_only: bool) -> None:
    """Draw the contrasts with the reference; what is secondary carries its endpoint's name."""
    rows = []
    for name, task in found.tasks.items():
        for endpoint, results in task.endpoints.items():
            if primary_only and endpoint != task.primary:
                continue
            after = "" if endpoint == task.primary else f", {endpoint.replace('_', '-')}"
            where = found.named(name)
            for one in results.contrasts:
                if one.reference == found.reference and one.equivalence is not None:
                    sign = VERDICT_SIGNS.get(one.verdict or "", "?")
                    label, margin = f"{one.candidate}, {where}{after}", one.equivalence.margin
                    gain, lower = one.gain, one.direction == "lower"
                    row = Interval(label, gain.estimate, *gain.ci, margin, sign, one.unit, lower)
                    rows.append(row)
    if not rows:
        return
    heading(f"Differences from {found.reference}: left of zero is a loss, ┊ the margin")
    # what is measured otherwise has an axis of its own
    for kind in dict.fromkeys((row.unit, row.lower) for row in rows):
        forest([row for row in rows if (row.unit, row.lower) == kind])
    signs = {row.sign for row in rows}
    used = [f"{sign} {verdict_word(name)}" for name, sign in VERDICT_SIGNS.items() if sign in signs]
    paragraph(", ".join(used), indent="  ")
    line()


def constraints(before: str, now: str, run: Path) -> None:
    """Say what became of the constraints of an earlier decision, and that a report is older."""
    if before == now:
        return
    line()
    if before:
        paragraph(
            f"The decision before was made under {before}; this one under "
            f"{now or 'no constraints'}. Each quantrial decide starts from the study file."
        )
    if is_file(run / "report.md"):
        paragraph(f"The report is still that of the decision before: quantrial report {run}")


def comparison(found: Mapping[str, Any]) -> None:
    """Print every run's primary results in one table, what changed, and what else differs."""
    table(
        ("run", "task", "arm", "estimate", "difference", "interval", "verdict", "speed"),
        [
            (
                row["run"],
                row["task"],
                row["arm"],
                amount(row["estimate"], row["unit"]),
                *_against_reference(row),
                "" if row["speedup"] is None else f"{fixed(row['speedup'], 2)}x",
            )
            for row in found["rows"]
            if row["primary"]
        ],
    )
    line()
    _listed(
        f"Each arm with itself, against {found['reference']}", (c["text"] for c in found["changes"])
    )
    if found["differ"]:
        line()
        _listed("What else differs", found["differ"])


def _against_reference(row: Mapping[str, Any]) -> tuple[str, str, str]:
    if row["finding"] is None:
        return "", "", "reference"
    ends, unit = (row["difference_low"], row["difference_high"]), row["unit"]
    shown = difference(row["difference"], unit), difference_interval(ends, unit)
    return (*shown, verdict_word(row["verdict"]))


def _listed(title: str, texts: Iterable[str]) -> None:
    heading(f"{title}:")
    for text in texts:
        paragraph(text, indent="  ")
