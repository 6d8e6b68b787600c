"""The tables that carry the verdicts: arms, contrasts, equivalence."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial

from quantrial.documents import (
    Contrast,
    EndpointSummary,
    Equivalence,
    Estimate,
    Statement,
    Summary,
    TaskSummary,
    WorstCase,
    to_dict,
)
from quantrial.documents.contrasts import adjusted_p
from quantrial.reporting.blocks import Cell, Column, Group, Row, Section, Table, by_name, tabulate
from quantrial.reporting.contrasts import (
    WITH_ALL,
    approximate,
    by_endpoint,
    declared_note,
    estimate,
    failures_by_endpoint,
    interval,
    judged,
    of_what_was_read,
    open_questions,
    pair,
    units,
)
from quantrial.reporting.glossary import note, section
from quantrial.words import (
    NONE,
    UNKNOWN,
    amount,
    amount_interval,
    count,
    difference,
    difference_interval,
    drawn_in_words,
    listed,
    method,
    p_value,
    percent,
    plural,
    size_of_points,
)
from quantrial.words import endpoint as endpoint_word

DIFFERENCE = Column("difference", hint="candidate minus reference; negative is a loss")
_P = Column("p", hint="two-sided, not adjusted")
_ADJUSTED = Column("adj. p", hint="adjusted by Holm for the number of pairs compared")
_WITH_ALL = Column("adj. p", hint=WITH_ALL)
VERDICT = Column("verdict", numeric=False)
_CONTRAST = Column("contrast", numeric=False, hint="candidate vs reference")


def arms_section(summary: Summary, constrained: Iterable[tuple[str, str]] = ()) -> Section:
    """How good each arm is, on its own.

    `constrained` are pairs of tasks that differ in constrained decoding alone, the free one first.
    """
    groups = [_with_and_without(summary, *two) for two in constrained]
    for task, part, name, results, primary in _endpoints(summary):
        own = results.arms
        table = by_name(
            f"{endpoint_word(part.label(name))} of each arm on {task}",
            Column("arm", numeric=False),
            own,
            (Column(endpoint_word(part.label(name))), partial(_value, results)),
            (Column(level(own.values())), partial(_values, results)),
            (Column("items"), lambda one: count(one.n)),
            (Column("method", numeric=False), lambda one: method(one.method)),
        )
        notes: tuple[str, ...] = ()
        if primary and part.chance is not None:
            notes = (f"Guessing blindly would reach {amount(part.chance, results.unit)}.",)
        if results.direction == "lower":
            notes += ("Lower values are better.",)
        if primary:
            own_drawing = (one for one in part.drawing if one.reference == summary.reference)
            notes += tuple(map(drawn_in_words, own_drawing))
        groups.append(
            _group("Estimates", task, part.label(name), table, primary=primary, notes=notes)
        )
    return section("arms", "Arms", groups)


def _with_and_without(summary: Summary, free: str, held: str) -> Group:
    """Show what constrained decoding makes of each arm: damage may move from form to values."""
    one, other = summary.tasks[free], summary.tasks[held]
    name = endpoint_word(one.label(one.primary))

    def value(part: TaskSummary, arm: str) -> str:
        own = part.main.arms.get(arm)
        return UNKNOWN if own is None else amount(own.estimate, part.main.unit)

    def unread(part: TaskSummary, arm: str) -> str:
        modes = to_dict(part.failure_modes[arm]) if arm in part.failure_modes else {}
        if (rate := modes.get("parse_rate")) is not None:
            return percent(1 - rate)
        rate = modes.get("unparsed_rate")
        return UNKNOWN if rate is None else percent(rate)

    table = tabulate(
        f"{free} without and {held} with constrained decoding",
        summary.arms,
        (Column("arm", numeric=False), str),
        (Column(f"{name}, free"), partial(value, one)),
        (Column("not readable, free"), partial(unread, one)),
        (Column(f"{name}, constrained"), partial(value, other)),
        (Column("not readable, constrained"), partial(unread, other)),
    )
    said = note("constrained", free=free, held=held)
    return Group(f"Constrained decoding: {free} and {held}", notes=(said,), tables=(table,))


def _value(results: EndpointSummary, one: Estimate) -> str:
    return amount(one.estimate, results.unit)


def _values(results: EndpointSummary, one: Estimate) -> str:
    return amount_interval(one.ci, results.unit)


def contrasts_section(summary: Summary) -> Section:
    """Every pair of arms, compared on the items both answered."""
    groups = []
    for task, part, name, contrasts, primary in _compared(summary):
        caption = f"{endpoint_word(part.label(name))} on {task}"
        table = _contrast_table(caption, contrasts, _ADJUSTED if primary else _WITH_ALL)
        notes = (
            f"Finding ids begin with {task}.{name}.",
            *units(contrasts),
            *of_what_was_read(part, [(name, one) for one in contrasts]),
            *_methods_note(contrasts),
            *declared_note(contrasts),
            *approximate(contrasts),
            *open_questions(contrasts),
            *_worst_cases(contrasts),
        )
        groups.append(
            _group("Contrasts", task, part.label(name), table, primary=primary, notes=notes)
        )
    groups += [*_over_all_tasks(summary), *_simultaneous(summary)]
    lower = any(one.direction == "lower" for one in summary.endpoints())
    more = " Where lower values are better, positive is a loss." if lower else ""
    return section("contrasts", "Contrasts", groups, more=more)


def _over_all_tasks(summary: Summary) -> list[Group]:
    statements = summary.statements
    if not statements:
        return []
    table = tabulate(
        f"each arm against {summary.reference}, over all tasks",
        statements,
        (Column("arm", numeric=False), lambda one: one.candidate),
        (
            Column("tasks", hint="those that compare it with the reference"),
            lambda one: _of_tasks(one.tasks, len(summary.tasks)),
        ),
        (
            Column("margin kept on all", numeric=False, hint="a loss of it is ruled out on all"),
            lambda one: _yes(one.margin_kept_on_all.holds),
        ),
        (
            Column("p (kept)", hint="the largest p of non-inferiority over the tasks"),
            lambda one: p_value(one.margin_kept_on_all.p_value),
        ),
        (
            Column("a loss on one or more", numeric=False, hint="some loss is shown on a task"),
            lambda one: _yes(one.loss_on_any.holds),
        ),
        (
            Column("p (loss)", hint="the smallest adjusted p of a loss, times the tasks"),
            lambda one: p_value(one.loss_on_any.p_value),
        ),
    )
    said = note("over_all_tasks", reference=summary.reference)
    return [
        Group("Contrasts over all tasks", notes=(said,), tables=(table,)),
        *_fit_to_ship(statements),
    ]


def _fit_to_ship(statements: Sequence[Statement]) -> Iterator[Group]:
    """Say what "Ship" rests on."""
    chosen = [one for one in statements if one.ship.p_adjusted is not None]
    if not chosen:
        return
    table = tabulate(
        "each candidate, as one of those that may be shipped",
        chosen,
        (Column("arm", numeric=False), lambda one: one.candidate),
        (
            Column("answers missing", hint="its own and the reference's, over all tasks"),
            lambda one: count(one.ship.missing),
        ),
        (Column("p (alone)"), lambda one: p_value(one.ship.p_value)),
        (
            Column("p (ship)", hint="adjusted by Holm for the candidates to choose from"),
            lambda one: p_value(one.ship.p_adjusted),
        ),
        (Column("shown", numeric=False), lambda one: _yes(one.ship.holds)),
    )
    said = note("fit_to_ship", among=plural(chosen[0].ship.among, "candidate"))
    yield Group("Fit to ship", notes=(said,), tables=(table,))


def _worst_cases(contrasts: Sequence[Contrast]) -> Iterator[str]:
    for one in contrasts:
        worst = one.worst_case
        if not worst:
            continue
        here, there = count(worst.missing_reference), count(worst.missing_candidate)
        invented = worst.taken_to_invent
        if worst.bound is None:
            yield (
                f"{pair(one)}: {there} answers are missing there and {here} on {one.reference}; "
                f"what the difference could be with them is not {_why_unknown(one)}."
            )
        elif invented is not None:
            yield (
                f"{pair(one)}: of {plural(worst.n, 'item')}, {there} answers are missing there "
                f"and {here} on {one.reference}. No bound: a missing answer may invent any "
                f"number of entities. Taking each that is missing on {one.candidate} to find "
                f"nothing and to invent {count(invented)} (as many as the longest answer of any "
                f"arm names), and each on {one.reference} to be perfect, the difference would "
                f"be {difference(worst.bound, one.unit)}{_tested(worst, one.unit)}."
            )
        else:
            yield (
                f"{pair(one)}: with every missing answer held against {one.candidate} (of "
                f"{plural(worst.n, 'item')}, {there} missing there "
                f"and {here} on {one.reference}), the difference "
                f"is {difference(worst.bound, one.unit)}{_tested(worst, one.unit)}."
            )


def _why_unknown(one: Contrast) -> str:
    if one.unit is None:
        return "defined (0/0)"
    return "known: nothing limits what a missing answer would have scored"


def _tested(worst: WorstCase, unit: str | None) -> str:
    """Say what the test of the margin on these makes of it, where there is one."""
    if worst.p_non_inferior is None:
        return ""
    kept = "is" if worst.non_inferior else "is not"
    p = p_value(worst.p_non_inferior)
    return (
        f" ({percent(worst.confidence, 0)} interval {difference_interval(worst.ci, unit)}); a loss "
        f"of the margin {kept} ruled out then, p {p}"
    )


def contrast_group_title(task: str, name: str) -> str:
    """Name the heading under which a finding's row stands."""
    return f"Contrasts: {task}, {endpoint_word(name)}"


def equivalence_section(summary: Summary) -> Section:
    """What is shown to be practically the same."""
    groups = []
    for task, part, name, contrasts, primary in _compared(summary):
        tests = [one.equivalence for one in contrasts if one.equivalence]
        if len(tests) < len(contrasts):
            continue  # what is counted has a margin only where the study states one
        unit = contrasts[0].unit if contrasts else None
        tables = _equivalence_tables(f"{endpoint_word(part.label(name))} on {task}", tests, unit)
        margin = listed([size_of_points(test.margin, unit) for test in tests])
        methods = listed([method(test.method) for test in tests])
        notes = [f"Margin {margin or size_of_points(part.margin)}. {_opening(methods)}".strip()]
        notes += approximate(contrasts)
        if _judged_unadjusted(tests, summary.alpha):
            notes.append("Judged by the p that is not adjusted.")
        title = f"Equivalence: {task}, {endpoint_word(part.label(name))}"
        groups.append(
            Group(title, notes=tuple(notes), tables=tables if tests else (), folded=not primary)
        )
    return section("equivalence", "Equivalence", groups)


def _equivalence_tables(
    what: str, tests: Sequence[Equivalence], unit: str | None
) -> tuple[Table, Table]:
    return (
        Table(
            f"equivalence of {what}",
            (
                _CONTRAST,
                Column(level(tests)),
                Column("p", hint="of equivalence, not adjusted"),
                Column("adj. p", hint="of equivalence, adjusted by Holm"),
                Column("equivalent", numeric=False),
            ),
            tuple(
                Row(
                    (
                        Cell(pair(test), title=test.id),
                        Cell(difference_interval(test.ci, unit)),
                        Cell(p_value(test.p_value)),
                        Cell(p_value(test.p_adjusted)),
                        Cell(_yes(test.equivalent)),
                    ),
                    finding=test.id,
                )
                for test in tests
            ),
        ),
        tabulate(
            f"non-inferiority of {what}",
            tests,
            (_CONTRAST, pair),
            (
                Column("p", hint="of non-inferiority, not adjusted"),
                lambda test: p_value(test.p_non_inferior),
            ),
            (
                Column("adj. p", hint="of non-inferiority, adjusted by Holm"),
                lambda test: p_value(test.p_non_inferior_adjusted),
            ),
            (Column("non-inferior", numeric=False), lambda test: _yes(test.non_inferior)),
        ),
    )


def _judged_unadjusted(tests: Sequence[Equivalence], alpha: float) -> bool:
    """Whether something is called shown whose adjusted p alone would not have shown it."""
    return any(
        shown and p is not None and p >= alpha
        for test in tests
        for shown, p in (
            (test.equivalent, test.p_adjusted),
            (test.non_inferior, test.p_non_inferior_adjusted),
        )
    )


def _contrast_table(caption: str, contrasts: Sequence[Contrast], adjusted: Column) -> Table:
    return Table(
        f"differences in {caption}",
        (
            _CONTRAST,
            DIFFERENCE,
            Column(level(contrasts)),
            _P,
            adjusted,
            Column("items"),
            VERDICT,
        ),
        tuple(
            Row(
                (
                    Cell(pair(one), title=one.id),
                    Cell(estimate(one)),
                    Cell(interval(one, one.ci), title=method(one.ci_method)),
                    Cell(p_value(one.p_value), title=method(one.p_method)),
                    Cell(p_value(adjusted_p(one))),
                    Cell(count(one.n)),
                    Cell(
                        judged(one),
                        tone=one.verdict or "",
                        target=f"{one.id}.equivalence" if one.equivalence else "",
                    ),
                ),
                finding=one.id,
            )
            for one in contrasts
        ),
    )


def _endpoints(
    summary: Summary,
) -> Iterator[tuple[str, TaskSummary, str, EndpointSummary, bool]]:
    """Walk over tasks and endpoints: the primary ones of all tasks first."""
    for primary in (True, False):
        for task, part in summary.tasks.items():
            for name, results in part.endpoints.items():
                if (name == part.primary) is primary:
                    yield task, part, name, results, primary


def _compared(
    summary: Summary,
) -> Iterator[tuple[str, TaskSummary, str, Sequence[Contrast], bool]]:
    """Walk over the contrasts of endpoints, then of the failure modes tested beside them."""
    for task, part, endpoint, results, primary in _endpoints(summary):
        yield task, part, endpoint, results.contrasts, primary
    for task, part in summary.tasks.items():
        for endpoint, contrasts in failures_by_endpoint(part).items():
            yield task, part, endpoint, contrasts, False


def _group(
    what: str, task: str, name: str, table: Table, *, primary: bool, notes: tuple[str, ...] = ()
) -> Group:
    title = f"{what}: {task}, {endpoint_word(name)}"
    if not table.rows:
        return Group(title, notes=("Nothing to compare: no item was answered by both arms.",))
    return Group(title, notes=notes, tables=(table,), folded=not primary)


def _methods_note(contrasts: Sequence[Contrast]) -> tuple[str, ...]:
    if not contrasts:
        return ()
    intervals = listed([method(one.ci_method) for one in contrasts])
    tests = listed([method(one.p_method) for one in contrasts])
    return (f"Intervals: {intervals}. p: {tests}.",)


def _opening(words: str) -> str:
    return f"{words[0].upper()}{words[1:]}." if words else ""


def level(results: Iterable[Estimate | Contrast | Equivalence]) -> str:
    """Head a column of intervals with their level."""
    levels = listed([percent(one.confidence, 0) for one in results])
    return f"{levels} interval" if levels else "interval"


def _of_tasks(compared: int, total: int) -> str:
    return count(compared) if compared == total else f"{count(compared)} of {count(total)}"


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def _simultaneous(summary: Summary) -> Iterator[Group]:
    """Show, for each task, the intervals that match the adjusted decisions."""
    for task, part in summary.tasks.items():
        rows = [
            Row(
                (
                    Cell(endpoint_word(part.label(name))),
                    Cell(pair(one), target=one.id),
                    Cell(interval(one, one.simultaneous.ci)),
                    Cell(_level(one.simultaneous.confidence)),
                )
            )
            for name, contrasts in by_endpoint(part)
            for one in contrasts
            if one.simultaneous
        ]
        if rows:
            table = Table(
                f"simultaneous intervals of the differences on {task}",
                (
                    Column("endpoint", numeric=False),
                    Column("contrast", numeric=False),
                    Column("simultaneous interval"),
                    Column("its own confidence", hint="none where it was narrowed to leave out 0"),
                ),
                tuple(rows),
            )
            yield Group(
                f"Simultaneous intervals: {task}", (note("simultaneous"),), (table,), folded=True
            )


def _level(confidence: float | None) -> str:
    return NONE if confidence is None else percent(confidence, 2)
