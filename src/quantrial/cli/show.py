"""What commands print: short results for people, JSON for programs."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from quantrial.cli import tell
from quantrial.cli.terminal import item, line, paragraph, table, text
from quantrial.inert import in_json
from quantrial.words import (
    difference,
    difference_interval,
    duration,
    margin,
    plural,
    terminal_size,
    terminal_sizes,
)

if TYPE_CHECKING:
    from quantrial.commands.gate import CheckResult
    from quantrial.commands.labels import Sheet
    from quantrial.commands.verification import Verification
    from quantrial.commands.workloads import Started
    from quantrial.design.plan import ArmPlan, Plan, Prospect, TaskPlan
    from quantrial.gate import GateResult
    from quantrial.importers import ImportReport
    from quantrial.importers.beside import BenchmarkReport
    from quantrial.marking import DocumentCheck
    from quantrial.reporting import ReportFiles
    from quantrial.running import SpeedResult
    from quantrial.running.runner import RunResult


_PLACES = 12  # of one file that are shown


def document(value: Any) -> None:
    """Print anything as JSON."""
    written = orjson.dumps(value, default=_plain, option=orjson.OPT_INDENT_2).decode()
    text(in_json(written) + "\n")


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    raise TypeError(type(value).__name__)


def plan(found: Plan) -> None:
    """Print a plan."""
    line(
        f"{found.study}: {found.calls} calls, {len(found.arms)} arms, reference {found.reference}\n"
    )
    sizes = terminal_sizes(*(n for arm in found.arms for n in (arm.bytes_on_disk, arm.kv_bytes)))
    table(
        ("arm", "model type", "size", "context", "loads", "a call", "a load", "in all"),
        [
            (
                arm.name,
                arm.weights,
                f"{weights} (stated)" if "bytes" in arm.stated else weights,
                context,
                f"{arm.loads}",
                "not probed" if arm.seconds_per_call is None else f"{arm.seconds_per_call:.2f} s",
                _load(arm),
                duration(arm.seconds),
            )
            for arm, weights, context in zip(found.arms, sizes[::2], sizes[1::2], strict=True)
        ],
    )
    gains = [(arm.name, arm.slots_gain) for arm in found.arms if arm.slots_gain is not None]
    if gains:
        faster = ", ".join(f"{name} is {gain:.1f} times as fast" for name, gain in gains)
        line(f"With {found.slots} calls at once, {faster}. The times above include this.")
    for task in found.tasks:
        line(
            f"\n{task.name} ({task.workload}): {task.items} of {task.available} items, "
            f"{task.calls} calls, margin {margin(task.margin, task.unit)}"
        )
        for other in task.margins:
            bound = margin(other.margin, other.unit)
            line(f"  margin of {other.endpoint}: {bound}, on {other.items} items")
        if task.duplicates:
            how = "Equal items count as one cluster" if task.by_content else "Each counts by itself"
            line(f"  {task.duplicates} items are copies of another one. {how}.")
        for key, values in task.undeclared_groups.items():
            paragraph(
                f"question: items come in {values} groups by {key}. State stratify: {key} if you "
                f"ask about exactly these groups, cluster: {key} if you ask about groups like "
                f"these, or ungrouped: [{key}] if answers within a group are not alike.",
                indent="  ",
            )
        _prospects(task)
    line(f"\n{_memory(found)}")
    line(f"Disk: {terminal_size(found.disk_bytes)} of weights")
    if found.order is not None and found.fits:
        items = sum(task.items for task in found.tasks)
        single = found.order.blocks == items
        blocks = "blocks of one item" if single else f"{found.order.blocks:,} blocks"
        line(f"Order: {found.order.schedule.replace('_', ' ')}, {blocks} ({found.order.because})")
    if found.tokens is not None:
        line(
            f"Tokens: about {found.tokens.prompt:,} in prompts (4 bytes per token), at most "
            f"{found.tokens.answer:,} in answers"
        )
    line(f"Time: {duration(found.seconds)}" + ("" if found.seconds else "; --probe times it"))
    if found.speed_seconds is not None:
        line(f"Speed phase: up to {duration(found.speed_seconds)} more")
    _code(found)
    for warning in found.warnings:
        line(f"warning: {warning}")
    for check in found.assay:
        if check.status in ("warn", "fail"):
            line(f"warning: {check.text}")
    for sentence in found.gate:
        line(f"gate: {sentence}")
    if not found.fits:
        line(f"This does not fit: {', '.join(found.too_large)}.")
    advices = [task.advice for task in found.tasks if task.advice is not None]
    if advices:
        line()
    for advice in advices:
        paragraph(advice)


def started(found: Started) -> None:
    """Print what a file of items holds, and what was written around it."""
    items = found.items
    line(f"{items.path.name}: {items.rows:,} row{'s' if items.rows > 1 else ''}\n")
    table(
        ("field", "holds", "rows with it", "different", "characters"),
        [
            (
                field.name,
                field.holds,
                f"{field.filled:,}",
                f"{field.values:,}",
                f"{field.shortest:,} to {field.longest:,}",
            )
            for field in items.fields
        ],
    )
    line()
    if items.gold is not None:
        item(f"Right answer: {items.gold}. --gold names another field.")
    if found.labels:
        counts = ", ".join(f"{name} {n:,}" for name, n in found.labels.items())
        item(f"{plural(len(found.labels), 'label')}, with their numbers of rows: {counts}")
    item(
        f"Shown to the model: {' and '.join(items.shown)}, at most about "
        f"{plural(items.longest_tokens, 'token')}. The `prompt` in {found.study.name} says how."
    )
    if items.id is not None:
        item(f"Name of an item: {items.id}.")
    if items.groups:
        groups = ", ".join(f"{name} ({n} values)" for name, n in items.groups.items())
        item(f"Possible groups of items: {groups}. See `stratify` and `cluster` in the study file.")
    for warning in items.warnings:
        item(warning)
    if found.refusal is not None:
        line()
        paragraph(f"warning: `plan` refuses these items: {found.refusal}")
    line(f"\n{', '.join(map(str, found.written))} written.")
    line(f"Next: quantrial plan {found.study}")


def _code(found: Plan) -> None:
    """Say what a run would run because the study names it."""
    if not found.code:
        return
    from quantrial.study.code import FLAG, listed

    line(f"Code that the study names. It runs only with {FLAG}:")
    for description in listed(found.code):
        paragraph(description, indent="  ")


def _load(arm: ArmPlan) -> str:
    """Say how long an arm takes to load, or why nothing was loaded."""
    if arm.was_loaded:
        return "already loaded"
    return "none" if arm.seconds and not arm.load_seconds else duration(arm.load_seconds)


def _memory(found: Plan) -> str:
    """Say what weights and contexts take, beside what is free."""
    if found.memory_needed == 0:
        return "Memory: none is needed here; the servers hold the models"
    needed, free = terminal_sizes(found.memory_needed, found.memory_available)
    of = "all arms at once" if found.together else "the largest arm (one is held at a time)"
    return f"Memory: needs {needed} for weights and contexts of {of}; {free} are free"


_OVER_CLUSTERS = {
    "simulation": "by simulated studies (where few flips are expected)",
    "noncentral-t": "by the noncentral t",
}


def _prospects(task: TaskPlan) -> None:
    """Print what a task can show, where that is known."""
    if not task.prospects:
        return
    table(
        (
            "if the arms disagree on",
            "detectable with an 80 % chance",
            "chance to show the loss is below the margin",
            "items for an 80 % chance",
        ),
        [
            (
                f"{100 * one.discordance:g} % of items"
                + ("" if one.icc is None else f", ICC {one.icc:g}"),
                "nothing" if one.detectable is None else f"{100 * one.detectable:.1f} pp",
                f"{100 * one.power_non_inferior:.0f} %",
                _to_show(one),
            )
            for one in task.prospects
        ],
    )
    methods = {m for one in task.prospects for m in (one.method, one.items_method)}
    if task.clusters is not None:
        how = " or ".join(_OVER_CLUSTERS[method] for method in sorted(methods, reverse=True))
        paragraph(
            f"Over {task.clusters:,} clusters, {how}. ICC says how alike differences within a "
            "cluster are. 0 means that items are independent. The task's key icc states another.",
            indent="  ",
        )
    elif methods == {"exact"}:
        line("  Exact: every outcome is enumerated.")
    elif "exact" in methods:
        line("  Exact: every outcome is enumerated. Very many items: normal approximation.")
    else:
        line("  Normal approximation: too optimistic if fewer than ten items change.")


def _to_show(one: Prospect) -> str:
    if not one.items_for_no_loss:
        return "more than can be run"
    groups = one.clusters_for_no_loss
    return f"{one.items_for_no_loss:,}" + ("" if groups is None else f" in {groups:,} clusters")


def arms_left(arms: Mapping[str, tuple[int, float | None]]) -> None:
    """Print what a run will take, by arm: calls, seconds in all."""
    table(
        ("arm", "calls", "a call", "in all"),
        [
            (
                arm,
                f"{calls:,}",
                "unknown" if seconds is None else f"{seconds / max(1, calls):.2f} s",
                duration(seconds),
            )
            for arm, (calls, seconds) in arms.items()
        ],
    )


def run(result: RunResult) -> None:
    """Print what a session did."""
    line(
        f"{result.recorded} of {result.planned} calls recorded in {result.folder}, "
        f"{result.asked} of them now"
    )
    if result.faults:
        arms = ", ".join(f"{arm} {count:,}" for arm, count in result.faults.items())
        paragraph(
            f"{result.faulted:,} of them ended in a fault ({arms}). They have no answer and are "
            f"not asked again. To ask them again: quantrial run {result.folder} --retry-faults"
        )
    if result.speed is not None:
        line(_ended(result.speed, duration(result.speed.seconds)))


_ENDINGS = {
    "narrow": "every ratio is known within ±{aim:g} %",
    "time_limit": "time was up before every ratio was known within ±{aim:g} %",
    "no_length": "no length of prompt and answer fits the context of every arm",
    "unfinished": "not finished",
}


def _ended(result: SpeedResult, took: str) -> str:
    """Say how the phase ended; `took` is its time in words."""
    ending = _ENDINGS[result.status].format(aim=100 * result.precision)
    at = "" if result.widest is None else f"; the widest is ±{100 * result.widest:.1f} %"
    if result.widest is not None and result.widest >= 1:
        # beyond ±100 % a width says nothing
        at = f"; {result.blocks} are too few to measure a ratio"
    blocks = f"{result.blocks} block{'' if result.blocks == 1 else 's'}"
    return f"Speed: {blocks} measured in {took}: {ending}{at}"


def unanswered(result: RunResult) -> None:
    """Say on standard error which arms answered nothing, and why."""
    whole = sum(result.faults.values()) == result.planned
    first = "; ".join(f"{arm}: {why}" for arm, why in result.unanswered.items())
    what = "no call has an answer" if whole else f"{', '.join(result.unanswered)} answered nothing"
    line(f"error: {what}. First fault: {first}", error=True)


def report(files: ReportFiles, constraints: str = "") -> None:
    """Print where the report is, and under which constraints its decision was made."""
    line(f"Report: {files.markdown}\n        {files.html}\nPlots:  {files.plots}")
    if constraints:
        line(f"Under:  {constraints} (change this with quantrial decide)")


def verification(found: Verification) -> None:
    """Print what verification found, a line a drift; of a file with very many, the first ones."""
    for warning in found.warnings:
        line(f"warning: {warning}")
    for note in found.notes:
        paragraph(f"note: {note}")
    by_file: dict[str, list[str]] = {}
    for description, drift in {str(drift): drift for drift in found.drifts}.items():
        by_file.setdefault(drift.file, []).append(description)
    for file, places in by_file.items():
        for place in places[:_PLACES]:
            line(place)
        if len(places) > _PLACES:
            line(f"{file}: and {len(places) - _PLACES:,} more; --json names all")
    if found.ok:
        line(
            f"{found.folder}: everything follows from the responses"
            if found.derived
            else f"{found.folder}: the recorded answers are unchanged. The results come from other "
            "methods and were not compared"
        )
        return
    count = sum(map(len, by_file.values()))
    line(f"{found.folder}: {count:,} place{'s differ' if count > 1 else ' differs'}")
    # a drift that names its own remedy came of commands in another order, not of an edit
    if all(map(_derived, by_file)) and not all(drift.remedy for drift in found.drifts):
        paragraph(
            "The recorded answers are unchanged, but results were edited. To derive them again: "
            f"quantrial analyze, decide and report {found.folder}"
        )


def _derived(file: str) -> bool:
    return file.startswith(("summary.json", "decision.json", "report", "plots/"))


def gate(result: GateResult) -> None:
    """Print a gate: its lines, what could not be checked, how it ended."""
    from quantrial.gate.output import headline

    for one in result.lines:
        item(f"{one.outcome}: {one.text}")
    for text_ in result.invalid:
        item(f"invalid: {text_}")
    for text_ in result.not_checked:
        item(f"not checked: {text_}")
    for text_ in result.notes:
        item(f"note: {text_}")
    line(result.false_alarms)
    line(f"{result.study}: {headline(result)}")


def checked(result: CheckResult) -> None:
    """Print the verdict of a check first, then each task's line and what deserves a look."""
    found = result.gate
    if len(found.lines) == 1 and not found.invalid:
        paragraph(f"{result.verdict}: {found.lines[0].text}")
    else:
        line(f"{result.verdict}: {', '.join(found.arms)} compared with {found.reference}")
        for one in found.lines:
            item(f"{one.task}, {one.outcome}: {one.text}")
        for text_ in found.invalid:
            item(f"invalid: {text_}")
    for one in found.lines:
        if one.n is not None and one.estimate is not None and None not in one.ci:
            line(
                f"{one.task}: {one.n:,} items, difference {difference(one.estimate, None)} "
                f"({difference_interval(one.ci, None)})"
            )
    for note in result.notes:
        line(f"note: {note}")
    if count := len(found.not_checked):
        line(f"not checked: {plural(count, 'thing')} that the files do not tell; --json lists them")
    if result.run is not None:
        line(f"Kept in {result.run}. Next: quantrial report {result.run}")


def documents(checks: Sequence[DocumentCheck]) -> None:
    """Print what does not hold in documents with marked numbers, a line a place."""
    for check in checks:
        for problem in check.problems:
            line(f"{check.path}, line {problem.line}: {problem.key}: {problem.message}")
        count = f"{check.marks} marked number{'' if check.marks == 1 else 's'}"
        if check.problems:
            wrong = len(check.problems)
            rest = f"; {check.refreshed} refreshed" if check.refreshed else ""
            line(f"{check.path}: {wrong} of {count} {'is' if wrong == 1 else 'are'} wrong{rest}")
        elif check.refreshed:
            line(f"{check.path}: {check.refreshed} of {count} refreshed")
        else:
            line(f"{check.path}: {count}, all match the run")


def imported(found: ImportReport, *, goes_on: bool = False) -> None:
    """Print what an import read, and what deserves a look."""
    line(
        f"{found.folder} holds {found.responses} responses of {len(found.arms)} arms "
        f"({', '.join(found.arms)}; reference {found.reference}) on {', '.join(found.tasks)}"
    )
    for note in found.notes:
        line(f"note: {note}")
    if not goes_on:
        line(f"Next: quantrial analyze {found.folder}")


def benchmarks(found: BenchmarkReport) -> None:
    """Print what a benchmark says of arms, and where it stands now."""
    for finding in found.findings:
        line(finding)
    if found.in_run:
        line(f"This stands in the notes of {found.folder} now, beside its verdict.")
        return
    line(
        "This is no verdict: a benchmark answers no items. To put it beside one, name a run with "
        "these arms: -o RUN."
    )
    if found.folder is not None:
        line(f"{found.folder} holds benchmarks.md and benchmarks.json")


def sheet(found: Sheet) -> None:
    """Print what a sheet to label holds, and what to do with it."""
    line(
        f"{found.path} holds {found.rows} of {found.changed} answers of {found.arm} that changed, "
        f"of {found.items} items. Write 1, 2 or same under `better`: which answer is better."
    )


def demo_opening(folder: Path) -> None:
    """Say what is about to happen."""
    paragraph(
        "This study compares SmolLM2-135M at F16, Q8_0 and Q4_0 on the bundled workload. A fourth "
        "arm is damaged on purpose, to show that the study can find harm. Answers are recorded in "
        f"{folder}. You can interrupt it at any time; the same command goes on."
    )


def conclusion(files: ReportFiles, folder: Path, constraints: str = "") -> None:
    """Print the recommendation, its constraints, and where everything is."""
    from quantrial.commands.derived import load_manifest
    from quantrial.commands.results import load_results

    line()
    _, summary, decision = load_results(folder)
    tell.decision(summary, decision, load_manifest(folder))
    line()
    report(files, constraints)
    line(f"\nCheck it: quantrial verify {folder}")
