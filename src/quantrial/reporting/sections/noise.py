"""What the machinery adds: the reference against itself, and what had to be asked again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from quantrial.inert import clean
from quantrial.reporting.blocks import Column, Group, Row, Table, cells
from quantrial.words import UNKNOWN, count, out_of, p_value, percent, percent_interval

Document = Mapping[str, Any]


def alarms(decision: Document) -> tuple[str, ...]:
    """List what must be known before anything else is read: the trial itself is in doubt."""
    return tuple(clean(one["text"]) for one in decision.get("cautions") or () if one.get("kind"))


def against_itself(task: str, part: Document) -> Iterator[Group]:
    """Show how often the reference answered differently when it was asked twice."""
    found = part.get("repeats")
    if not found:
        return
    name = found["arm"]
    rows = [
        Row(
            cells(
                f"{name}, asked twice",
                out_of(found["score"]["differ"], found["n"]),
                percent(found["score"]["rate"]),
                percent_interval(found["score"]["ci"]),
                percent(found["text"]["rate"]),
                "",
            )
        )
    ]
    rows += [
        Row(
            cells(
                f"{one['candidate']} vs {name}",
                out_of(round(one["score"] * one["n"]), one["n"]),
                percent(one["score"]),
                "",
                percent(one["text"]),
                _told_apart(one),
            )
        )
        for one in found["candidates"]
    ]
    table = Table(
        f"how often two answers on {task} differ: the reference and itself, the others and it",
        (
            Column("answers", numeric=False),
            Column("score differs"),
            Column("share"),
            Column("interval"),
            Column("text differs", hint="any other text, whether the score changed or not"),
            Column(
                "score differs, items asked twice",
                numeric=False,
                hint="the candidate from the reference, against the reference from itself",
            ),
        ),
        tuple(rows),
    )
    own = found["score"]
    low, high = (percent(end) for end in own["ci"])
    note = (
        "Same weights, same prompt, same seed: what differs in the first row is noise of the "
        "machinery, and the other rows are to be read against it. "
        f"{own['differ']:,} of {found['n']:,} scores changed, so the share that changes by itself "
        f"may be anything from {low} to {high}. Whether a candidate differs more than that is "
        "tested on the items asked twice (McNemar's mid-p, adjusted with all else in this report "
        "that is no primary endpoint)."
    )
    yield Group(f"The reference against itself: {task}", notes=(note,), tables=(table,))


def _told_apart(one: Document) -> str:
    """Say whether a candidate's differences are more, or fewer, than the noise."""
    if "same_items" not in one:  # a summary from before it was asked
        return UNKNOWN
    tested = one["same_items"]["score"]
    counts = f"{tested['differ']:,} against {tested['strayed']:,} of {one['same_items']['n']:,}"
    if tested["told"] == "open":
        return f"{counts}: not told apart from noise"
    p = p_value(tested.get("p_alarm", tested[f"p_{tested['told']}"]))
    return f"{counts}: {tested['told']} than noise, adjusted p {p}"


def drift(task: str, arms: Document) -> Iterator[Group]:
    """Show how far a drift of the machine could bias the ratios of speeds of a task."""
    rows = [
        Row(
            cells(
                arm,
                _bias(found["bias_linear"]),
                _bias(found["bias_linear_bound"]),
                _bias(found["bias_blocks"]),
            )
        )
        for arm, one in arms.items()
        if (found := one.get("drift")) and found["bias_linear"] is not None
    ]
    if not rows:
        return
    found = next(one["drift"] for one in arms.values() if one.get("drift"))
    line = found["linear"]
    direction = "less" if line["change"] < 0 else "longer"
    note = (
        f"A token took {percent(abs(line['change']))} {direction} at the last answer than at the "
        f"first (change {percent_interval(line['ci'])}); the slowest of {found['stretches']} "
        f"stretches of the run was {percent(found['stretch_range'])} slower than the fastest. What "
        "that does to a ratio of speeds depends on when each arm was asked."
    )
    table = Table(
        f"bias of the ratio of decoding speeds on {task} from a drift of the machine",
        (
            Column("arm", numeric=False),
            Column("by a line", hint="negative: the ratio to the reference is that much too low"),
            Column("at most", hint="at the far end of the interval of the line"),
            Column("by stretches", hint="from the pace of each stretch, whatever its course"),
        ),
        tuple(rows),
    )
    yield Group(f"Drift: {task}", notes=(note,), tables=(table,), folded=True)


def _bias(value: float | None) -> str:
    return percent(None if value is None else round(value, 4) + 0.0, 2)


def asked_again(summary: Document) -> Iterator[Group]:
    """Show the faults of each arm, where there were any."""
    flows = {task: part["flow"] for task, part in summary["tasks"].items()}
    rows = [
        Row(cells(task, arm, count(retries), count((flow.get("faults") or {}).get(arm))))
        for task, flow in flows.items()
        for arm, retries in (flow.get("retries") or {}).items()
    ]
    if not any(
        n for flow in flows.values() for kind in ("retries", "faults")
        for n in (flow.get(kind) or {}).values()
    ):  # fmt: skip
        return
    table = Table(
        "calls that failed, by arm",
        (
            Column("task", numeric=False),
            Column("arm", numeric=False),
            Column("asked again", hint="how often a call was repeated after a fault"),
            Column("never answered"),
        ),
        tuple(rows),
    )
    yield Group("Faults of the machinery", tables=(table,))
