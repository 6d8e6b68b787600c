"""How alike two arms answer: which answers turned, against repeatability, and probabilities."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator

from quantrial.agreement import fixed
from quantrial.documents import (
    FidelityMean,
    FlipCounts,
    Flips,
    RepeatCandidate,
    Summary,
    TaskSummary,
)
from quantrial.inert import clean
from quantrial.reporting.blocks import Cell, Column, Group, Row, Section, Table, cells
from quantrial.reporting.contrasts import pair
from quantrial.reporting.glossary import note, section
from quantrial.words import (
    UNKNOWN,
    count,
    out_of,
    p_value,
    percent,
    percent_interval,
)

_MOST_LISTED = 40
_FLIPS = (
    Column("right to wrong", hint="the reference is right, the candidate wrong"),
    Column("wrong to right", hint="the reference is wrong, the candidate right"),
    Column("other words", hint="the same score, and the raw text changed"),
    Column("items"),
)


_CHANGES = (
    Column("changed", hint="the reference repeats its answer, the candidate gives another"),
    Column("repeated", hint="the candidate repeats it, the reference gives another"),
    *_FLIPS[2:],
)


def _columns(part: TaskSummary) -> tuple[Column, ...]:
    return _FLIPS if part.main.against == "gold" else _CHANGES


def flips_section(summary: Summary) -> Section:
    """Which answers turned."""
    groups = []
    for task, part in summary.tasks.items():
        table = Table(
            f"answers on {task} that turned between two arms",
            (Column("contrast", numeric=False), *_columns(part)),
            tuple(Row(cells(pair(one), *_turned(one))) for one in part.flips),
        )
        groups.append(Group(f"Flips: {task}", tables=(table,)))
        groups += against_itself(task, part)
        groups += _flips_by_stratum(task, part)
        groups += _flipped_items(task, part, summary.reference)
    return section("flips", "Flips", groups)


def _flips_by_stratum(task: str, part: TaskSummary) -> Iterator[Group]:
    for key in _strata_keys(part):
        table = Table(
            f"answers on {task} that turned, by {key}",
            (Column(key, numeric=False), Column("contrast", numeric=False), *_columns(part)),
            tuple(
                Row(cells(value, pair(one), *_turned(counts)))
                for one in part.flips
                for value, counts in _by_value(one, key)
            ),
        )
        yield Group(f"Flips: {task}, by {key}", tables=(table,), folded=True)


def _strata_keys(part: TaskSummary) -> list[str]:
    return list(dict.fromkeys(key for one in part.flips for key in one.strata))


def _by_value(one: Flips, key: str) -> Iterable[tuple[str, FlipCounts]]:
    return one.strata[key].items() if key in one.strata else ()


def _flipped_items(task: str, part: TaskSummary, reference: str) -> Iterator[Group]:
    """Name the items that turned against the reference, and how to read their answers."""
    found, left_out = list[tuple[str, str, str]](), 0
    for one in part.flips:
        if one.reference != reference:
            continue
        harm, gain = (column.head for column in _columns(part)[:2])
        turned = [(one.candidate, harm, item) for item in one.items.harmful]
        turned += [(one.candidate, gain, item) for item in one.items.beneficial]
        found += turned[:_MOST_LISTED]
        left_out += len(turned[_MOST_LISTED:])
    if not found:
        return
    keys = _strata_keys(part)[:1]
    strata = {
        item: value
        for one in part.flips
        for key in keys
        for value, counts in _by_value(one, key)
        for item in (*counts.items.harmful, *counts.items.beneficial)
    }
    by = tuple(Column(key, numeric=False) for key in keys if strata)
    table = Table(
        f"items of {task} that turned against {reference}",
        (
            Column("item", numeric=False),
            Column("arm", numeric=False),
            Column("turned", numeric=False),
            *by,
        ),
        tuple(
            Row(cells(item, arm, turned, *(strata.get(item, "") for _ in by)))
            for arm, turned, item in found
        ),
    )
    notes = [note("items_to_read")]
    if left_out:
        notes.append(
            f"The first {_MOST_LISTED} of each arm; {count(left_out)} more are in summary.json."
        )
    yield Group(
        f"Items that turned: {task}",
        notes=tuple(notes),
        tables=(table,),
        commands=(_search(found[0][2], task),),
        folded=True,
    )


def _search(item: str, task: str) -> str:
    return f"grep -hF -e {shlex.quote(clean(item))} RUN/items.jsonl RUN/responses/{task}.*.jsonl"


def _turned(one: FlipCounts) -> Iterator[str]:
    return map(count, (one.harmful, one.beneficial, one.churn, one.n))


def against_itself(task: str, part: TaskSummary) -> Iterator[Group]:
    """Show how often the reference answered differently when it was asked twice."""
    found = part.repeats
    if not found:
        return
    name = found.arm
    rows = [
        Row(
            cells(
                f"{name}, asked twice",
                out_of(found.score.differ, found.n),
                percent(found.score.rate),
                percent_interval(found.score.ci),
                percent(found.text.rate),
                "",
            )
        )
    ]
    rows += [
        Row(
            cells(
                f"{one.candidate} vs {name}",
                out_of(round(one.score * one.n), one.n),
                percent(one.score),
                "",
                percent(one.text),
                _told_apart(one),
            )
        )
        for one in found.candidates
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
    low, high = (percent(end) for end in found.score.ci)
    counts = {"differ": count(found.score.differ), "n": count(found.n)}
    said = note("itself", **counts, low=low, high=high)
    yield Group(f"The reference against itself: {task}", notes=(said,), tables=(table,))


def _told_apart(one: RepeatCandidate) -> str:
    """Say whether a candidate's differences are more, or fewer, than the noise."""
    tested = one.same_items.score
    counts = f"{tested.differ:,} against {tested.strayed:,} of {one.same_items.n:,}"
    if tested.told == "open":
        return f"{counts}: not told apart from noise"
    return f"{counts}: {tested.told} than noise, adjusted p {p_value(tested.p_alarm)}"


_CHOICES = (
    "From the log-likelihoods of each item's choices. 0 nats: both arms spread their belief alike; "
    "0.1 nats is a change from 50 % to about 72 % for one of two choices. It decides nothing: "
    "probabilities can move without changing an answer."
)


def fidelity_section(summary: Summary) -> Section | None:
    """Show divergence, agreement and margin by task; None where no probabilities were recorded."""
    groups = []
    for task, part in summary.tasks.items():
        rows = tuple(
            Row(
                (
                    Cell(pair(one)),
                    Cell(_fidelity(one.kl, 4)),
                    Cell(UNKNOWN if one.kl_median is None else fixed(one.kl_median, 4)),
                    Cell(UNKNOWN if one.kl_p90 is None else fixed(one.kl_p90, 4)),
                    Cell(_fidelity(one.top_agreement, 3)),
                    Cell(_fidelity(one.margin, 3, "+")),
                    Cell(count(one.tokens)),
                )
            )
            for one in part.fidelity
        )
        if rows:
            choices = any(one.of == "choices" for one in part.fidelity)
            what, least = ("choice", "") if choices else ("token", ", a lower bound")
            unit = "an item" if choices else "a token"
            columns = (
                Column("arms", numeric=False),
                Column("KL", hint=f"mean divergence from the reference in nats {unit}{least}"),
                Column("median", hint="half of the divergences are not larger"),
                Column("p90", hint="nine in ten of the divergences are not larger"),
                Column("same top", hint=f"how often the likeliest {what} is the same"),
                Column("margin", hint=f"lead of the likeliest {what}, candidate minus reference"),
                Column("items" if choices else "tokens"),
            )
            notes = (_CHOICES,) if choices else ()
            table = Table(f"fidelity on {task}", columns, rows)
            groups.append(Group(task, notes=notes, tables=(table,)))
    if not groups:
        return None
    return section("fidelity", "Fidelity of probabilities", groups)


def _fidelity(one: FidelityMean, digits: int, form: str = "") -> str:
    low, high = (None if end is None else fixed(end, digits, form) for end in one.ci)
    interval = "" if low is None else f" ({low} to {high})"
    return UNKNOWN if one.estimate is None else fixed(one.estimate, digits, form) + interval
