"""How each arm fails: what its answers look like, and which errors they hold."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from quantrial.findings import adjusted_p, is_finding
from quantrial.reporting.blocks import (
    Cell,
    Column,
    Group,
    Row,
    Section,
    Shown,
    Table,
    by_name,
    cells,
    tabulate,
)
from quantrial.reporting.contrasts import (
    WITH_ALL,
    declared_note,
    estimate,
    failure_endpoints,
    interval,
    judged,
    of_what_was_read,
    pair,
)
from quantrial.words import (
    NONE,
    UNKNOWN,
    count,
    decimal,
    endpoint,
    error_class,
    listed,
    out_of,
    p_value,
    percent,
    percent_interval,
    points,
    rate,
    signed_count,
)

Document = Mapping[str, Any]

_ARM = Column("arm", numeric=False)
_CLASS = Column("class", numeric=False)
_ANSWERS: Shown = (Column("answers"), lambda one: count(one["n"]))
_CUT_SHORT: Shown = (
    Column("cut short", hint="answers that ran into the token limit"),
    lambda one: count(one["truncated"]),
)
# endpoints that tell how an arm fails, beside the failure modes
_TELLING = ("precision", "recall", "parse_rate")


_TESTS = (
    Column("what", numeric=False),
    Column("arm", numeric=False),
    Column("difference", hint="arm minus reference; negative is a loss"),
    Column("interval"),
    Column("adj. p", hint=f"of a difference, {WITH_ALL}"),
    Column("verdict", numeric=False),
)


def failures_section(summary: Document) -> Section:
    """How each arm fails."""
    groups = []
    for task, part in summary["tasks"].items():
        modes = part["failure_modes"]
        found = all("entity_free" in one for one in modes.values())
        tables = _spans(task, modes) if found else _unread(task, modes)
        groups.append(Group(f"Failures: {task}", tables=tuple(tables)))
        groups += _tested(summary, task)
        groups += [*_errors(task, part), *_confusions(task, modes), *_by_letter(task, modes)]
        groups += [*_letter_shifts(task, part, summary["alpha"]), *_texts(task, modes)]
    return Section(
        "failures",
        "Failure modes",
        "How each arm fails, not just whether: what is counted, then what is tested.",
        tuple(groups),
    )


def _spans(task: str, modes: Document) -> Iterator[Table]:
    yield by_name(
        f"entities found and missed on {task}",
        _ARM,
        modes,
        (
            Column("found", hint="true positives: text and type both right"),
            lambda one: count(one["tp"]),
        ),
        (
            Column("invented", hint="false positives: returned, not in the gold"),
            lambda one: count(one["fp"]),
        ),
        (
            Column("missed", hint="false negatives: in the gold, not returned"),
            lambda one: count(one["fn"]),
        ),
        (
            Column("precision", hint="share of the returned entities that are right"),
            lambda one: percent(one["precision"], none=NONE),
        ),
        (
            Column("recall", hint="share of the gold entities that are returned"),
            lambda one: percent(one["recall"], none=NONE),
        ),
        (
            Column(
                "spurious a sentence", hint="returned entities that overlap nothing in the gold"
            ),
            lambda one: decimal((one.get("spurious") or {}).get("per_sentence")),
        ),
    )
    yield by_name(
        f"form of the answers on {task}",
        _ARM,
        modes,
        _ANSWERS,
        (Column("parsed", hint="answers that are a JSON array"), lambda one: count(one["parsed"])),
        (Column("parse rate"), lambda one: percent(one["parse_rate"])),
        _CUT_SHORT,
    )
    yield by_name(
        f"items of {task} that hold no entity",
        _ARM,
        {arm: one["entity_free"] for arm, one in modes.items()},
        (
            Column("without entity", hint="items whose gold holds no entity"),
            lambda one: count(one["n"]),
        ),
        (
            Column("left empty", hint="answered with an empty array, as is right"),
            lambda one: count(one["correct"]),
        ),
        (Column("rate"), lambda one: percent(one["rate"], none=NONE)),
        (Column("interval"), lambda one: percent_interval(one["ci"])),
    )


def _errors(task: str, part: Document) -> Iterator[Group]:
    """Show how often each class of error was made, and what it costs in the primary endpoint."""
    told = {arm: one["errors"] for arm, one in part["failure_modes"].items() if one.get("errors")}
    losses = part.get("error_loss") or ()
    tables = []
    if told:
        kinds = list(dict.fromkeys(kind for one in told.values() for kind in one["classes"]))
        tables.append(
            Table(
                f"errors on {task} by class",
                (_CLASS, *(Column(arm) for arm in told)),
                tuple(
                    Row(
                        cells(
                            error_class(kind),
                            *(count(_errors_of(one, kind)) for one in told.values()),
                        )
                    )
                    for kind in kinds
                ),
            )
        )
    if losses:
        tables.append(_error_loss(task, part, losses))
    if tables:
        notes: tuple[str, ...] = (
            "Spurious: overlaps nothing in the gold. Missed: gold that no answer overlaps. Wrong "
            "type: the same text, another type. Wrong boundary: texts that overlap, the same type. "
            "Both: texts that overlap, another type. Malformed: gold of an answer that could not "
            "be read. A wrong answer and the gold it is paired with are one error.",
        )
        if losses:
            notes += (
                "First how many errors each arm makes, then how much of the difference in micro-F1 "
                "each class carries: the parts sum to the difference, negative is a loss.",
            )
        yield Group(
            f"Classes of errors: {task}", notes=notes, tables=tuple(tables), folded=not losses
        )


def _errors_of(one: Document, kind: str) -> int:
    counted = one["classes"].get(kind)
    return counted["errors"] if counted else 0


def _error_loss(task: str, part: Document, losses: Sequence[Document]) -> Table:
    found = part["endpoints"].get("micro_f1", {"contrasts": ()})["contrasts"]
    whole = {(one["reference"], one["candidate"]): one for one in found}
    kinds = list(dict.fromkeys(kind for one in losses for kind in one["classes"]))
    rows = [
        Row(
            cells(error_class(kind), *(points(one["classes"].get(kind)) for one in losses)),
        )
        for kind in kinds
    ]
    totals = (whole.get((one["reference"], one["candidate"])) for one in losses)
    return Table(
        f"change in micro-F1 on {task} that each class of error carries",
        (_CLASS, *(Column(pair(one)) for one in losses)),
        (*rows, Row((Cell("all together"), *map(_difference, totals)))),
    )


def _difference(contrast: Document | None) -> Cell:
    if contrast is None:
        return Cell(UNKNOWN)
    return Cell(points(contrast["estimate"]), target=contrast["id"])


def _confusions(task: str, modes: Document) -> Iterator[Group]:
    rows = [
        Row(cells(arm, str(one["gold"]), str(one["found"]), count(one["n"])))
        for arm, mode in modes.items()
        for one in (mode.get("errors") or {}).get("confusions", ())
    ]
    if rows:
        table = Table(
            f"types on {task} that were taken for another",
            (
                _ARM,
                Column("gold type", numeric=False),
                Column("answered type", numeric=False),
                Column("errors"),
            ),
            tuple(rows),
        )
        yield Group(f"Types taken for another: {task}", tables=(table,), folded=True)


def _by_letter(task: str, modes: Document) -> Iterator[Group]:
    told = {arm: one["by_letter"] for arm, one in modes.items() if one.get("by_letter")}
    letters = sorted({letter for one in told.values() for letter in one})
    if letters:
        table = Table(
            f"right answers on {task}, by the letter of the gold answer",
            (Column("gold letter", numeric=False), *(Column(arm) for arm in told)),
            tuple(
                Row(cells(letter, *(_share(one.get(letter)) for one in told.values())))
                for letter in letters
            ),
        )
        yield Group(f"Right by gold letter: {task}", tables=(table,), folded=True)


def _share(one: Document | None) -> str:
    return NONE if one is None else out_of(one["correct"], one["n"])


def _letter_shifts(task: str, part: Document, alpha: float) -> Iterator[Group]:
    shifts = part.get("letter_shifts") or ()
    if not shifts:
        return
    table = tabulate(
        f"shift of the letters answered on {task}",
        shifts,
        (Column("contrast", numeric=False, hint="candidate vs reference"), pair),
        (Column("items", hint="a letter could be read from both"), lambda one: count(one["n"])),
        (
            Column("changed", hint="items answered with another letter"),
            lambda one: count(one["changed"]),
        ),
        (
            Column("shift", numeric=False, hint="by how many each letter is answered more often"),
            lambda one: (
                ", ".join(f"{x} {signed_count(by)}" for x, by in one["shift"].items()) or NONE
            ),
        ),
        (Column("p", hint="of no shift, not adjusted"), lambda one: p_value(one["p_value"])),
        (Column("adj. p", hint=WITH_ALL), lambda one: p_value(adjusted_p(one))),
        (
            Column("letters", numeric=False),
            lambda one: "shifted" if is_finding(one, alpha) else "not shown to shift",
        ),
    )
    notes = (
        "Whether an arm prefers other letters than the reference. p is unknown where no letter "
        "changed.",
        *declared_note(shifts[0].get("declared")),
    )
    yield Group(f"Shift of letters: {task}", notes=notes, tables=(table,))


_SIGNS = (
    ("truncated", "cut short", "the limit of tokens ended the text"),
    ("refused", "refused", "opens by declining, in English"),
    ("repeating", "repeating", "caught in a loop"),
    ("empty", "empty", "nothing but white space"),
)


def _texts(task: str, modes: Document) -> Iterator[Group]:
    told = {arm: one["texts"] for arm, one in modes.items() if one.get("texts")}
    if not told:
        return
    lengths = by_name(
        f"length of the answers on {task}",
        _ARM,
        told,
        (Column("texts"), lambda one: count(one["n"])),
        (Column("characters", hint="mean"), lambda one: rate(one["characters"]["mean"])),
        (Column("median characters"), lambda one: rate(one["characters"]["median"])),
        (Column("tokens", hint="mean"), lambda one: rate(one["completion_tokens"]["mean"])),
        (Column("median tokens"), lambda one: rate(one["completion_tokens"]["median"])),
    )
    signs = Table(
        f"answers on {task} that show signs of trouble",
        (_ARM, *(Column(head, hint=hint) for _, head, hint in _SIGNS)),
        tuple(
            Row(cells(arm, *(_sign(one.get(name)) for name, _, _ in _SIGNS)))
            for arm, one in told.items()
        ),
    )
    yield Group(f"Texts: {task}", tables=(lengths, signs), folded=True)


def _sign(one: Document | None) -> str:
    """Write how often a sign is seen; unknown where the engine tells it of no text."""
    return UNKNOWN if one is None or one["n"] == 0 else out_of(one["count"], one["n"])


def _unread(task: str, modes: Document) -> Iterator[Table]:
    yield by_name(
        f"answers on {task} that could not be read",
        _ARM,
        modes,
        _ANSWERS,
        (
            Column("unparsed", hint="no answer could be read; scored wrong"),
            lambda one: count(one["unparsed"]),
        ),
        (Column("unparsed rate"), lambda one: percent(one["unparsed_rate"])),
        _CUT_SHORT,
    )
    counts = [one.get(key, ()) for one in modes.values() for key in ("letters", "gold_letters")]
    letters = sorted({letter for count in counts for letter in count})
    if letters:
        yield _letters(task, modes, letters)


def _letters(task: str, modes: Document, letters: list[str]) -> Table:
    golds = [one["gold_letters"] for one in modes.values()]
    shared = all(gold == golds[0] for gold in golds)
    heads: list[str] = ["gold"] if shared else []
    columns: list[Document] = [golds[0]] if shared else []
    for arm, one in modes.items():
        heads += [arm] if shared else [arm, f"gold of {arm}"]
        columns += [one["letters"]] if shared else [one["letters"], one["gold_letters"]]
    return Table(
        f"letters answered on {task}, beside the letters of the gold answers",
        (Column("letter", numeric=False), *(Column(head) for head in heads)),
        tuple(
            Row(cells(letter, *(count(column.get(letter, 0)) for column in columns)))
            for letter in letters
        ),
    )


def _tested(summary: Document, task: str) -> Iterator[Group]:
    """Yield the contrasts of a task's failure modes with the reference; nothing where none is."""
    part, reference = summary["tasks"][task], summary["reference"]
    modes = failure_endpoints(part)
    telling = {name: part["endpoints"][name] for name in _TELLING if name in part["endpoints"]}
    told = {name: one for name, one in telling.items() if name != part["primary"]} | dict(modes)
    contrasts = [
        (name, one)
        for name, results in told.items()
        for one in results["contrasts"]
        if one["reference"] == reference
    ]
    if not contrasts:
        return
    rows = tuple(Row(_cells(name, one)) for name, one in contrasts)
    table = Table(f"failure modes of {task}, tested against {reference}", _TESTS, rows)
    yield Group(
        f"Failures tested: {task}",
        notes=(
            "Each row leads to its contrast, with methods, the other pairs and the items that "
            f"would settle it. {_declared(modes)}",
            *of_what_was_read(part, contrasts),
        ),
        tables=(table,),
    )


def _cells(name: str, one: Document) -> tuple[Cell, ...]:
    return (
        Cell(endpoint(name), target=one["id"]),
        Cell(one["candidate"]),
        Cell(estimate(one)),
        Cell(interval(one, one["ci"])),
        Cell(p_value(adjusted_p(one))),
        Cell(judged(one), tone=one["verdict"] or "", target=one["id"]),
    )


def _declared(modes: Mapping[str, Document]) -> str:
    named = [
        endpoint(name)
        for name, one in modes.items()
        if any(c["declared"] for c in one["contrasts"])
    ]
    if not named:
        return "The study named no failure mode beforehand: read them as hints."
    return f"The study named {listed(named)} beforehand; read the other failure modes as hints."
