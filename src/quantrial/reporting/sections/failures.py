"""How each arm fails: what its answers look like, and which errors they hold."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from quantrial.documents import (
    ChoiceFailures,
    Contrast,
    ErrorLoss,
    FailureContrast,
    FailureModes,
    LetterCount,
    Sign,
    SpanFailures,
    Summary,
    TaskSummary,
    to_dict,
)
from quantrial.documents.contrasts import adjusted_p, is_finding
from quantrial.registry import kind_of
from quantrial.reporting.blocks import (
    Cell,
    Column,
    Group,
    Row,
    Section,
    Table,
    by_name,
    cells,
    tabulate,
)
from quantrial.reporting.contrasts import (
    WITH_ALL,
    declared_note,
    estimate,
    failures_by_endpoint,
    interval,
    judged,
    of_what_was_read,
    pair,
)
from quantrial.reporting.glossary import note, section
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

if TYPE_CHECKING:
    from quantrial.tasks import FailureColumn

_ARM = Column("arm", numeric=False)
_CLASS = Column("class", numeric=False)
_FORMS: Mapping[str, Callable[[Any], str]] = {
    "count": count,
    "share": partial(percent, none=NONE),
    "interval": percent_interval,
    "number": decimal,
    "text": str,
}
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


def failures_section(summary: Summary) -> Section:
    """How each arm fails."""
    groups = []
    for task, part in summary.tasks.items():
        modes = part.failure_modes
        spans = {arm: one for arm, one in modes.items() if isinstance(one, SpanFailures)}
        choice = {arm: one for arm, one in modes.items() if isinstance(one, ChoiceFailures)}
        tables = (*_of_kind(task, part), *_letters(task, choice))
        groups.append(Group(f"Failures: {task}", tables=tables))
        groups += _tested(summary, task)
        groups += [*_errors(task, part, spans), *_confusions(task, spans)]
        groups += [*_by_letter(task, choice), *_letter_shifts(task, part, summary.alpha)]
        groups += _texts(task, modes)
    return section("failures", "Failure modes", groups)


def _errors(task: str, part: TaskSummary, modes: Mapping[str, SpanFailures]) -> Iterator[Group]:
    """Show how often each class of error was made, and what it costs in the primary endpoint."""
    losses = part.error_loss
    tables = []
    if modes:
        tables.append(
            Table(
                f"errors on {task} by class",
                (_CLASS, *map(Column, modes)),
                tuple(
                    Row(
                        cells(
                            error_class(kind),
                            *(count(one.errors.count_of(kind)) for one in modes.values()),
                        )
                    )
                    for kind in dict.fromkeys(
                        kind for one in modes.values() for kind in one.errors.classes
                    )
                ),
            )
        )
    if losses:
        tables.append(_error_loss(task, part, losses))
    if tables:
        notes = tuple(map(note, ["error_classes", *(["error_loss"] if losses else [])]))
        yield Group(
            f"Classes of errors: {task}", notes=notes, tables=tuple(tables), folded=not losses
        )


def _error_loss(task: str, part: TaskSummary, losses: Sequence[ErrorLoss]) -> Table:
    found = part.endpoints.get("micro_f1")
    whole = {(one.reference, one.candidate): one for one in (found.contrasts if found else ())}
    rows = [
        Row(cells(error_class(kind), *(points(one.classes.get(kind)) for one in losses)))
        for kind in dict.fromkeys(kind for one in losses for kind in one.classes)
    ]
    totals = (whole.get((one.reference, one.candidate)) for one in losses)
    return Table(
        f"change in micro-F1 on {task} that each class of error carries",
        (_CLASS, *(Column(pair(one)) for one in losses)),
        (*rows, Row((Cell("all together"), *map(_difference, totals)))),
    )


def _difference(contrast: Contrast | None) -> Cell:
    if contrast is None:
        return Cell(UNKNOWN)
    return Cell(points(contrast.estimate), target=contrast.id)


def _confusions(task: str, modes: Mapping[str, SpanFailures]) -> Iterator[Group]:
    rows = [
        Row(cells(arm, one.gold, one.found, count(one.n)))
        for arm, mode in modes.items()
        for one in mode.errors.confusions
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


def _by_letter(task: str, modes: Mapping[str, ChoiceFailures]) -> Iterator[Group]:
    counts = {arm: one.by_letter for arm, one in modes.items() if one.by_letter}
    letters = sorted({letter for one in counts.values() for letter in one})
    if letters:
        table = Table(
            f"right answers on {task}, by the letter of the gold answer",
            (Column("gold letter", numeric=False), *(Column(arm) for arm in counts)),
            tuple(
                Row(cells(letter, *(_share(one.get(letter)) for one in counts.values())))
                for letter in letters
            ),
        )
        yield Group(f"Right by gold letter: {task}", tables=(table,), folded=True)


def _share(one: LetterCount | None) -> str:
    return NONE if one is None else out_of(one.correct, one.n)


def _letter_shifts(task: str, part: TaskSummary, alpha: float) -> Iterator[Group]:
    shifts = part.letter_shifts
    if not shifts:
        return
    table = tabulate(
        f"shift of the letters answered on {task}",
        shifts,
        (Column("contrast", numeric=False, hint="candidate vs reference"), pair),
        (Column("items", hint="a letter could be read from both"), lambda one: count(one.n)),
        (
            Column("changed", hint="items answered with another letter"),
            lambda one: count(one.changed),
        ),
        (
            Column("shift", numeric=False, hint="by how many each letter is answered more often"),
            lambda one: ", ".join(f"{x} {signed_count(by)}" for x, by in one.shift.items()) or NONE,
        ),
        (Column("p", hint="of no shift, not adjusted"), lambda one: p_value(one.p_value)),
        (Column("adj. p", hint=WITH_ALL), lambda one: p_value(adjusted_p(one))),
        (
            Column("letters", numeric=False),
            lambda one: "shifted" if is_finding(one, alpha) else "not shown to shift",
        ),
    )
    notes = (
        note("letters"),
        *declared_note(shifts),
    )
    yield Group(f"Shift of letters: {task}", notes=notes, tables=(table,))


def _texts(task: str, modes: Mapping[str, FailureModes]) -> Iterator[Group]:
    texts = {arm: one.texts for arm, one in modes.items()}
    if not texts:
        return
    lengths = by_name(
        f"length of the answers on {task}",
        _ARM,
        texts,
        (Column("texts"), lambda one: count(one.n)),
        (Column("characters", hint="mean"), lambda one: rate(one.characters.mean)),
        (Column("median characters"), lambda one: rate(one.characters.median)),
        (Column("tokens", hint="mean"), lambda one: rate(one.completion_tokens.mean)),
        (Column("median tokens"), lambda one: rate(one.completion_tokens.median)),
    )
    signs = by_name(
        f"answers on {task} that show signs of trouble",
        _ARM,
        texts,
        (
            Column("cut short", hint="the limit of tokens ended the text"),
            lambda one: _sign(one.truncated),
        ),
        (
            Column("refused", hint="opens by declining, in English"),
            lambda one: _sign(one.refused),
        ),
        (Column("repeating", hint="caught in a loop"), lambda one: _sign(one.repeating)),
        (Column("empty", hint="nothing but white space"), lambda one: _sign(one.empty)),
    )
    yield Group(f"Texts: {task}", tables=(lengths, signs), folded=True)


def _sign(one: Sign) -> str:
    """Write how often a sign is seen; unknown where the engine tells it of no text."""
    return UNKNOWN if one.n == 0 else out_of(one.count, one.n)


def _of_kind(task: str, part: TaskSummary) -> Iterator[Table]:
    """Show the tables that the kind of task describes."""
    rows = {arm: to_dict(one) for arm, one in part.failure_modes.items()}
    for table in kind_of(part).failure_tables:
        heads = [
            Column(one.head, hint=one.hint, numeric=one.form != "text") for one in table.columns
        ]
        entries = [
            (arm, entry)
            for arm, found in rows.items()
            for entry in (
                [found] if table.rows is None else found.get(table.rows, ())[: table.most]
            )
        ]
        if entries or table.rows is None:
            yield Table(
                table.caption.replace("{task}", task),
                (_ARM, *heads),
                tuple(
                    Row(cells(arm, *(_value(one, entry) for one in table.columns)))
                    for arm, entry in entries
                ),
            )


def _value(column: FailureColumn, failures: Mapping[str, Any]) -> str:
    value: Any = failures
    for key in column.key.split("."):
        if key not in value:
            return UNKNOWN
        value = value[key]
    return _FORMS[column.form](value)


def _letters(task: str, modes: Mapping[str, ChoiceFailures]) -> Iterator[Table]:
    letters = sorted({x for one in modes.values() for x in (*one.letters, *one.gold_letters)})
    if not letters:
        return
    golds = [one.gold_letters for one in modes.values()]
    shared = all(gold == golds[0] for gold in golds)
    heads: list[str] = ["gold"] if shared else []
    columns: list[Mapping[str, int]] = [golds[0]] if shared else []
    for arm, one in modes.items():
        heads += [arm] if shared else [arm, f"gold of {arm}"]
        columns += [one.letters] if shared else [one.letters, one.gold_letters]
    yield Table(
        f"letters answered on {task}, beside the letters of the gold answers",
        (Column("letter", numeric=False), *(Column(head) for head in heads)),
        tuple(
            Row(cells(letter, *(count(column.get(letter, 0)) for column in columns)))
            for letter in letters
        ),
    )


def _tested(summary: Summary, task: str) -> Iterator[Group]:
    """Yield the contrasts of a task's failure modes with the reference; nothing where none is."""
    part, reference = summary.tasks[task], summary.reference
    modes = failures_by_endpoint(part)
    tested: dict[str, Sequence[Contrast]] = {
        name: part.endpoints[name].contrasts
        for name in _TELLING
        if name in part.endpoints and name != part.primary
    }
    contrasts = [
        (name, one)
        for name, found in (*tested.items(), *modes.items())
        for one in found
        if one.reference == reference
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


def _cells(name: str, one: Contrast) -> tuple[Cell, ...]:
    return (
        Cell(endpoint(one.label or name), target=one.id),
        Cell(one.candidate),
        Cell(estimate(one)),
        Cell(interval(one, one.ci)),
        Cell(p_value(adjusted_p(one))),
        Cell(judged(one), tone=one.verdict or "", target=one.id),
    )


def _declared(modes: Mapping[str, Sequence[FailureContrast]]) -> str:
    named = [
        endpoint(found[0].label or name)
        for name, found in modes.items()
        if any(one.declared for one in found)
    ]
    if not named:
        return "The study named no failure mode beforehand: read them as hints."
    return f"The study named {listed(named)} beforehand; read the other failure modes as hints."
