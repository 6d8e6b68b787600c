"""What commands print: short results for people, JSON for programs."""

from __future__ import annotations

import dataclasses
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from quantrial.cli.speed import ended

if TYPE_CHECKING:
    from quantrial.commands import DemoResult
    from quantrial.design.plan import Plan
    from quantrial.importers import ImportReport
    from quantrial.marking import DocumentCheck
    from quantrial.reporting import ReportFiles
    from quantrial.running.runner import RunResult
    from quantrial.verification import Verification

_WIDTH = 96


def document(value: Any) -> None:
    """Print anything as JSON."""
    print(orjson.dumps(value, default=_plain, option=orjson.OPT_INDENT_2).decode())


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    raise TypeError(type(value).__name__)


def text(written: str) -> None:
    """Print a document as it is; what wrote it made outside text inert."""
    print(written, end="")


def paragraph(text: str, *, indent: str = "") -> None:
    """Print a paragraph, wrapped, its ids and numbers unbroken."""
    print(
        textwrap.fill(
            text,
            _WIDTH,
            initial_indent=indent,
            subsequent_indent=indent,
            break_long_words=False,
            break_on_hyphens=False,
        )
    )


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table, numbers to the right."""
    widths = [max(len(row[i]) for row in (header, *rows)) for i in range(len(header))]
    for row in (header, *rows):
        cells = [
            cell.ljust(w) if i == 0 else cell.rjust(w)
            for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        ]
        print("  " + "  ".join(cells).rstrip())


def size(value: float | None) -> str:
    """Write bytes in MB or GB."""
    if value is None:
        return "unknown"
    return f"{value / 1e9:.1f} GB" if value >= 1e9 else f"{value / 1e6:.0f} MB"


def duration(seconds: float | None) -> str:
    """Write seconds as a person would say them."""
    if seconds is None:
        return "not probed"
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def plan(found: Plan) -> None:
    """Print a plan."""
    print(
        f"{found.study}: {found.calls} calls, {len(found.arms)} arms, reference {found.reference}\n"
    )
    table(
        ("arm", "model type", "size", "context", "loads", "a call", "a load", "in all"),
        [
            (
                arm.name,
                arm.quantization or "unknown",
                size(arm.bytes_on_disk),
                size(arm.kv_bytes),
                f"{arm.loads}",
                "not probed" if arm.seconds_per_call is None else f"{arm.seconds_per_call:.2f} s",
                duration(arm.load_seconds),
                duration(arm.seconds),
            )
            for arm in found.arms
        ],
    )
    for task in found.tasks:
        print(
            f"\n{task.name} ({task.workload}): {task.items} of {task.available} items, "
            f"{task.calls} calls, margin {100 * task.margin:g} pp"
        )
        for one in task.margins:
            print(f"  margin of {one.endpoint}: {100 * one.margin:g} pp, on {one.items} items")
        if task.duplicates:
            print(f"  {task.duplicates} items are copies of another one; they are kept apart")
        table(
            (
                "if the arms disagree on",
                "detectable with 80 % chance",
                "chance to show the margin",
                "items to show it",
            ),
            [
                (
                    f"{100 * one.discordance:g} % of items",
                    "nothing" if one.detectable is None else f"{100 * one.detectable:.1f} pp",
                    f"{100 * one.power_equivalent:.0f} %",
                    "more than can be run"
                    if not one.items_for_margin
                    else f"{one.items_for_margin:,}",
                )
                for one in task.prospects
            ],
        )
        if task.prospects:
            methods = {m for one in task.prospects for m in (one.method, one.items_method)}
            if methods == {"exact"}:
                print("  exact, by enumeration")
            elif "exact" in methods:
                print("  exact, by enumeration; for very many items the normal approximation")
            else:
                print("  normal approximation: too hopeful where fewer than ten items change")
    held = "all arms at once" if found.together else "the largest arm; one is held at a time"
    needed = f"needs {size(found.memory_needed)} for weights and contexts of {held}"
    if found.memory_needed == 0:
        needed = "needs nothing, the servers hold the models"
    print(f"\nMemory: {needed}; {size(found.memory_available)} are free")
    print(f"Disk: {size(found.disk_bytes)} of weights")
    if found.tokens is not None:
        print(
            f"Tokens: about {found.tokens.prompt:,} of prompts (a token for four bytes), at most "
            f"{found.tokens.answer:,} of answers"
        )
    print(f"Time: {duration(found.seconds)}" + ("" if found.seconds else "; --probe times it"))
    if found.speed_seconds is not None:
        print(f"Speed phase: up to {duration(found.speed_seconds)} more")
    for warning in found.warnings:
        print(f"warning: {warning}")
    for check in found.assay:
        if check.status in ("warn", "fail"):
            print(f"warning: {check.text}")
    if not found.fits:
        print(f"This does not fit: {', '.join(found.too_large)}.")


def run(result: RunResult) -> None:
    """Print what a session did."""
    print(
        f"{result.recorded} of {result.planned} calls recorded in {result.folder}, "
        f"{result.asked} of them now"
        + (f", {result.faulted} ended in a fault" if result.faulted else "")
    )
    if result.speed is not None:
        print(ended(result.speed, duration(result.speed.seconds)))
    print(f"Next: quantrial analyze {result.folder}")


def summary(found: Mapping[str, Any], folder: Path) -> None:
    """Print the primary endpoints and their contrasts with the reference."""
    for name, task in found["tasks"].items():
        primary = task["endpoints"][task["primary"]]
        flow = task["flow"]
        print(
            f"{name} ({task['workload']}), {task['primary'].replace('_', '-')}, "
            f"{flow['analysed_items']} items analysed"
        )
        against = {
            c["candidate"]: c for c in primary["contrasts"] if c["reference"] == found["reference"]
        }
        table(
            ("arm", "estimate", "95 % interval" if found["alpha"] == 0.05 else "interval",
             "difference", "interval", "adjusted p", "verdict"),
            list(_summary_rows(primary["arms"], against)),
        )  # fmt: skip
        for line in _open_questions(against.values()):
            paragraph(line, indent="  ")
        print()
    missing = sum(task["flow"]["missing"] for task in found["tasks"].values())
    if missing:
        print(f"Unfinished: {missing} calls are not asked yet; `quantrial run {folder}` goes on.")
    print(f"{found['methods']} methods. Next: quantrial decide {folder}")


def _summary_rows(arms: Mapping[str, Any], against: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    for arm, own in arms.items():
        row = (arm, _percent(own["estimate"]), _interval(own["ci"], sign=False))
        contrast = against.get(arm)
        if contrast is None:
            yield (*row, "reference", "", "", "")
            continue
        p = contrast["p_adjusted"]
        yield (
            *row,
            _points(contrast["estimate"]),
            _interval(contrast["ci"], sign=True),
            "unknown" if p is None else "<0.0001" if p < 0.0001 else f"{p:.4f}",
            ", also ".join(
                one.replace("_", "-") for one in (contrast["verdict"], contrast["also"]) if one
            ),
        )


_TO_SHOW = {
    "equivalence": "equivalence",
    "non_inferiority": "non-inferiority",
    "difference": "a difference",
}


def _open_questions(contrasts: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Say of each inconclusive contrast how many more items would settle it."""
    for one in contrasts:
        settled = one["settled_by"]
        if one["verdict"] != "inconclusive":
            continue
        if settled is None:
            yield f"{one['candidate']}: what was seen does not tell how many items would settle it."
            continue
        further, n = settled["further"], one["n"]
        more = f"{further:,} more items" if further else f"another {n:,} items"
        yield (
            f"{one['candidate']}: {more} would show {_TO_SHOW[settled['question']]} with 80 % "
            "chance, if the truth is as seen."
        )


def _percent(value: float | None) -> str:
    return "unknown" if value is None else f"{100 * value:.1f} %"


def _points(value: float | None) -> str:
    return "unknown" if value is None else f"{100 * value:+.1f} pp"


def _interval(ends: Sequence[float | None], *, sign: bool) -> str:
    low, high = ends
    if low is None or high is None:
        return "none"
    shown = "+.1f" if sign else ".1f"
    return f"{100 * low:{shown}} to {100 * high:{shown}}"


def decision(found: Mapping[str, Any]) -> None:
    """Print a decision: each sentence, and under it the evidence that was not printed before."""
    seen: set[str] = set()
    if "constrained" in found:
        _sentence(found["constrained"], seen)
        for one in found["constrained"]["rejected"]:
            for reason in one["breaks"]:
                paragraph(f"not {one['arm']}: {reason['text']}.", indent="  ")
        if found["constrained"]["pick"] and found["constrained"]["alternative"]:
            paragraph(found["constrained"]["alternative"]["text"])
        print("\nWithout these constraints:")
    _sentence(found["default"], seen)
    for part in ("cautions", "controls", "pick_when", "avoid_for", "stay_when"):
        for one in found[part]:
            print()
            _sentence(one, seen)
    told = found["sensitivity"]
    for title, entries in (
        ("What would change the answer", told["changes"]),
        ("What more items would settle", told["settle"]),
        ("In place of the reference", found["risk"]),
    ):
        if entries:
            print(f"\n{title}:")
        for one in entries:
            paragraph(one["text"], indent="  ")


def _sentence(entry: Mapping[str, Any], seen: set[str]) -> None:
    paragraph(entry["text"])
    for identity, line in zip(entry["because"], entry["evidence"], strict=True):
        paragraph(f"[{identity}], see above" if line in seen else line, indent="    ")
        seen.add(line)


def report(files: ReportFiles) -> None:
    """Print where the report is."""
    print(f"Report: {files.markdown}\n        {files.html}\nPlots:  {files.plots}")


def verification(found: Verification) -> None:
    """Print what verification found, a line a drift."""
    for warning in found.warnings:
        print(f"warning: {warning}")
    for drift in found.drifts:
        print(drift)
    count = len(found.drifts)
    if found.ok:
        print(f"{found.folder}: everything follows from the responses")
    else:
        print(f"{found.folder}: {count} place{'s differ' if count > 1 else ' differs'}")


def documents(checks: Sequence[DocumentCheck]) -> None:
    """Print what does not hold in documents with marked numbers, a line a place."""
    for check in checks:
        for problem in check.problems:
            print(f"{check.path}, line {problem.line}: {problem.key}: {problem.message}")
        count = f"{check.marks} marked number{'' if check.marks == 1 else 's'}"
        if check.problems:
            wrong = len(check.problems)
            print(f"{check.path}: {wrong} of {count} {'does' if wrong == 1 else 'do'} not hold")
        elif check.refreshed:
            print(f"{check.path}: {check.refreshed} of {count} refreshed")
        else:
            print(f"{check.path}: {count}, all as the run says")


def comparison(found: Mapping[str, Any]) -> None:
    """Print every run's primary results in one table, what changed, and what else differs."""
    table(
        ("run", "task", "arm", "estimate", "difference", "interval", "verdict"),
        [
            (
                row["run"],
                row["task"],
                row["arm"],
                _percent(row["estimate"]),
                "" if row["finding"] is None else _points(row["difference"]),
                ""
                if row["finding"] is None
                else _interval([row["difference_low"], row["difference_high"]], sign=True),
                "reference" if row["finding"] is None else row["verdict"].replace("_", "-"),
            )
            for row in found["rows"]
            if row["primary"]
        ],
    )
    print(f"\nEach arm with itself, against {found['reference']}:")
    for one in found["changes"]:
        paragraph(one["text"], indent="  ")
    if found["differ"]:
        print("\nWhat else differs:")
    for said in found["differ"]:
        paragraph(said, indent="  ")


def imported(found: ImportReport) -> None:
    """Print what an import read, and what deserves a look."""
    print(
        f"{found.responses} responses of {len(found.arms)} arms ({', '.join(found.arms)}; "
        f"reference {found.reference}) on {', '.join(found.tasks)} read into {found.folder}"
    )
    for note in found.notes:
        print(f"note: {note}")
    print(f"Next: quantrial analyze {found.folder} --methods classic")


def demo_opening(folder: Path) -> None:
    """Say what is about to happen."""
    paragraph(
        "A study of SmolLM2-135M at F16, Q8_0 and Q4_0, with a deliberately damaged arm as "
        f"positive control, on the bundled workload. It is recorded in {folder}; interrupt it "
        "whenever you like, the same command goes on."
    )


def demo_closing(result: DemoResult) -> None:
    """Print the recommendation and where everything is."""
    print()
    decision(result.decision)
    print()
    report(result.files)
    print(f"\nCheck it: quantrial verify {result.run.folder}")
