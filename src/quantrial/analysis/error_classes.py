"""How often an arm errs in which way on spans, and which kind of error costs it its F1."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from quantrial import documents
from quantrial.errors import DataError
from quantrial.tasks.span_errors import ERROR_CLASSES, SpanErrors

if TYPE_CHECKING:
    from quantrial.analysis.outcomes import TaskOutcomes

_EXAMPLES = 5


def span_errors(outcomes: TaskOutcomes, arm: str) -> list[SpanErrors | None]:
    """Class the errors of each answer, in the order of the items; None without an answer.

    Raises:
        DataError: the errors of this kind of task have no classes.
    """
    task: Any = outcomes.task
    if not task.error_classes:
        raise DataError(
            f"task {task.name!r} is of kind {task.kind!r}; only spans have classes of errors"
        )
    return [
        None if outcome is None else task.errors(item, outcome)
        for item, outcome in zip(outcomes.items, outcomes.outcomes[arm], strict=True)
    ]


def spurious_counts(outcomes: TaskOutcomes, arm: str) -> list[int | None]:
    """Count the spans each answer invents, in the order of the items.

    None without an answer, and for one that could not be read: it names nothing, which is no merit.

    Raises:
        DataError: the errors of this kind of task have no classes.
    """
    found = span_errors(outcomes, arm)
    return [
        None if errors is None or outcome is None or not outcome.parsed else errors.fp("spurious")
        for errors, outcome in zip(found, outcomes.outcomes[arm], strict=True)
    ]


def error_table(outcomes: TaskOutcomes, arm: str) -> documents.SpanErrors:
    """Count one arm's errors by class, on the items it answered.

    fp and fn sum to those of the arm. `confusions` are of `wrong_type` and `both` pairs.

    Raises:
        DataError: the errors of this kind of task have no classes.
    """
    answered = [
        (item, errors)
        for item, errors in zip(outcomes.items, span_errors(outcomes, arm), strict=True)
        if errors is not None
    ]
    rows = [(item, found) for item, found in answered if found.errors]
    counts = _counts(found for _, found in rows)
    classes = {}
    for kind in ERROR_CLASSES:
        ids = [item.id for item, found in rows if any(e.kind == kind for e in found.errors)]
        fp, fn = counts[kind]
        classes[kind] = documents.ErrorClass(
            errors=sum(e.kind == kind for _, found in rows for e in found.errors),
            fp=fp,
            fn=fn,
            items=len(ids),
            examples=tuple(ids[:_EXAMPLES]),
        )
    taken = Counter(
        (e.gold[1], e.found[1])
        for _, found in rows
        for e in found.errors
        if e.gold and e.found and e.gold[1] != e.found[1]
    )
    return documents.SpanErrors(
        n=len(answered),
        fp=sum(fp for fp, _ in counts.values()),
        fn=sum(fn for _, fn in counts.values()),
        classes=classes,
        confusions=tuple(
            documents.Confusion(gold=gold, found=found, n=n)
            for (gold, found), n in sorted(taken.items(), key=lambda one: (-one[1], one[0]))
        ),
    )


def _counts(rows: Iterable[SpanErrors]) -> dict[str, tuple[int, int]]:
    fp, fn = Counter[str](), Counter[str]()
    for row in rows:
        if not row.errors:
            continue
        fp.update(e.kind for e in row.errors if e.found is not None)
        fn.update(e.kind for e in row.errors if e.gold is not None)
    return {kind: (fp[kind], fn[kind]) for kind in ERROR_CLASSES}


def f1_loss(outcomes: TaskOutcomes, reference: str, candidate: str) -> dict[str, float]:
    """Split the change in corpus micro-F1 over the classes of errors, on items both answered.

    The parts sum to candidate minus reference; negative is a loss. F1 is N / D with N = 2 tp and
    D = 2 tp + fp + fn, and any two such ratios differ by (dN - M dD) / E, where d is a change, M
    the mean of the two F1 and E the mean of the two D. dN and dD are sums over classes, for tp is
    the gold that is not among the fn. So a class whose fp and fn grew by p and n carries
    -(M p + (2 - M) n) / E: exact, without an order in which classes would be exchanged, and with
    the arms swapped only the sign changes. (Shapley values are not defined here: with some classes
    from either arm, more gold can be missed than there is.)

    Returns:
        A number for each of `ERROR_CLASSES`; all NaN where an arm's F1 is 0/0: no gold, and
        nothing found.

    Raises:
        DataError: the task is none of spans.
    """
    pairs = [
        (item, before, after)
        for item, before, after in zip(
            outcomes.items,
            span_errors(outcomes, reference),
            span_errors(outcomes, candidate),
            strict=True,
        )
        if before is not None and after is not None
    ]
    task: Any = outcomes.task
    gold = sum(len(task.gold(item)) for item, _, _ in pairs)
    old = _counts(before for _, before, _ in pairs)
    new = _counts(after for _, _, after in pairs)
    (old_f1, old_size), (new_f1, new_size) = _f1(gold, old), _f1(gold, new)
    if old_size == 0 or new_size == 0:
        return dict.fromkeys(ERROR_CLASSES, math.nan)
    middle, size = (old_f1 + new_f1) / 2, (old_size + new_size) / 2
    parts = {}
    for kind in ERROR_CLASSES:
        p, n = (after - before for before, after in zip(old[kind], new[kind], strict=True))
        # + 0.0: a class that did not change carries 0, not -0
        parts[kind] = -(middle * p + (2 - middle) * n) / size + 0.0
    return parts


def _f1(gold: int, counts: Mapping[str, tuple[int, int]]) -> tuple[float, int]:
    """Return micro-F1 and its denominator."""
    fp, fn = (sum(column) for column in zip(*counts.values(), strict=True))
    tp = gold - fn
    size = 2 * tp + fp + fn
    return (2 * tp / size if size else math.nan), size
