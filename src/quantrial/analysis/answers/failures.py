"""How an arm fails, not just whether: described by kind of task, and tested as contrasts."""

from __future__ import annotations

import functools
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from quantrial import documents
from quantrial.analysis.answers.text_signs import is_truncated, panel_without, sign_panels
from quantrial.analysis.outcomes import Panel
from quantrial.errors import DataError
from quantrial.stats import wilson
from quantrial.tasks import Endpoint
from quantrial.tasks.span_errors import ERROR_CLASSES, SpanErrors

if TYPE_CHECKING:
    from quantrial.analysis.alarms import AlarmFamily, Asked
    from quantrial.analysis.bounds import Bounds
    from quantrial.analysis.comparison import TaskComparison
    from quantrial.analysis.contrasts import Draft
    from quantrial.analysis.outcomes import TaskOutcomes
    from quantrial.tasks import FailureMode


def failure_modes(outcomes: TaskOutcomes, arm: str, *, alpha: float) -> dict[str, Any]:
    """Describe one arm's failures on one task, on the items it answered."""

    def rate(successes: int, n: int) -> dict[str, Any]:
        if not n:
            return {"rate": None, "ci": None}
        found = wilson(successes, n, confidence=1.0 - alpha)
        return {"rate": found.estimate, "ci": [found.interval.low, found.interval.high]}

    pairs = [
        (item, outcome)
        for item, outcome in zip(outcomes.items, outcomes.outcomes[arm], strict=True)
        if outcome is not None
    ]
    cut = sum(one is not None and bool(is_truncated(one)) for one in outcomes.given(arm))
    return outcomes.task.failures(pairs, rate) | {"truncated": cut}


def failure_panels(outcomes: TaskOutcomes) -> list[Panel]:
    """Score the failure modes that are no endpoint of the task, one panel of one endpoint each.

    Those of the kind of task, then the signs of `sign_panels` on all items, and `answered`: the
    share of calls without a fault. Every endpoint is a share of items that are well, so that
    negative is a loss; one that nothing can be said of is left out, and so is an item whose answer
    does not tell. Panels keep the clusters and strata of the task.
    """
    panels = [_mode(outcomes, mode) for mode in outcomes.task.failure_modes]
    panels += [*sign_panels(outcomes), _answered(outcomes)]
    return [panel for panel in panels if panel is not None]


def _answered(outcomes: TaskOutcomes) -> Panel | None:
    """Score the share of calls that were answered, of those that were made and recorded.

    None where no call ended in a fault.
    """
    if not any(outcomes.faults.values()):
        return None
    lost = [
        [
            False if response is not None else True if item.id in outcomes.faults[arm] else None
            for item, response in zip(outcomes.items, outcomes.responses[arm], strict=True)
        ]
        for arm in outcomes.arms
    ]
    panel = panel_without(outcomes, "answered", lost)
    # no outcome is missing here: where no call was made, or none is known, there is nothing to tell
    return None if panel is None else replace(panel, unscorable=~panel.answered)


def _mode(outcomes: TaskOutcomes, mode: FailureMode) -> Panel | None:
    """Score one failure mode of the kind of task."""
    endpoint = Endpoint(mode.name, "proportion", {"correct": 1.0}, label=mode.label)
    shown = outcomes.by_outcome(lambda item, outcome: mode.shows(outcomes.task, item, outcome))
    if mode.applies is None:
        found = panel_without(outcomes, mode.name, shown)
        return None if found is None else replace(found, endpoints=(endpoint,))
    mask = np.array([mode.applies(item) for item in outcomes.items], dtype=np.bool_)
    if not mask.any():
        return None
    panel = outcomes.panel.subset(mask)
    rows = [[row[i] is False for row in shown] for i in np.flatnonzero(mask)]
    return replace(
        panel,
        endpoints=(endpoint,),
        numerators=np.array(rows, dtype=np.float64)[:, :, None],
        denominators=panel.answered.astype(np.float64)[:, :, None],
    )


SPURIOUS, LENGTH = "spurious_per_sentence", "output_length"


def spurious_per_sentence(outcomes: TaskOutcomes, arm: str) -> documents.Spurious:
    """Count the entities an arm invents (they overlap no gold), in answers that could be read."""
    counts = [count for count in spurious_counts(outcomes, arm) if count is not None]
    n, total = len(counts), sum(counts)
    return documents.Spurious(n=n, spurious=total, per_sentence=total / n if n else None)


def unread(outcomes: TaskOutcomes) -> Iterator[tuple[str, str]]:
    """Say of each arm with answers that could not be read that what these invent is not known."""
    if not outcomes.task.error_classes:
        return
    for arm in outcomes.arms:
        given = [one for one in outcomes.outcomes[arm] if one is not None]
        lost = sum(not one.parsed for one in given)
        if lost:
            yield (
                arm,
                f"{lost} of {len(given)} answers could not be read. What they invent is not known, "
                f"so no_spurious and {SPURIOUS} compare the other items only",
            )


def count_panels(outcomes: TaskOutcomes) -> Iterator[Panel]:
    """Score what answers of this kind of task have too much of, each counted as -1.

    Negative is then a loss: at -0.5 a candidate invents one entity more than the reference in every
    second sentence. An answer that does not tell (a malformed one) is left out. There is none of
    what no arm shows.
    """
    for mode in outcomes.task.counts:
        counts = outcomes.by_outcome(functools.partial(mode.of, outcomes.task))
        if any(any(row) for row in counts):
            yield _panel(outcomes, mode.name, counts, mode.unit, sign=-1.0)


def length_panel(outcomes: TaskOutcomes) -> Panel | None:
    """Score the length of each answer; a longer one is neither better nor worse.

    In tokens where the engines tell them of every answer, else in characters. None where nothing
    was answered.
    """
    if not outcomes.panel.answered.any():
        return None
    tokens = [
        [None if r is None else r.completion_tokens for r in outcomes.responses[arm]]
        for arm in outcomes.arms
    ]
    known = np.array([[count is not None for count in row] for row in tokens]).T
    if (known == outcomes.panel.answered).all():
        return _panel(outcomes, LENGTH, tokens, "tokens an answer")
    characters = [
        [None if r is None else r.characters for r in outcomes.responses[arm]]
        for arm in outcomes.arms
    ]
    if all(one is None for row in characters for one in row):
        return None
    return _panel(outcomes, LENGTH, characters, "characters an answer")


def _panel(
    outcomes: TaskOutcomes,
    name: str,
    counts: Sequence[Sequence[int | None]],
    unit: str,
    *,
    sign: float = 1.0,
) -> Panel:
    """Take counts by arm and item as a mean over items; items of None are left out."""
    answered = np.array([[count is not None for count in row] for row in counts]).T
    values = np.array([[float(count or 0) for count in row] for row in counts]).T
    # no count is known to be the largest
    endpoint = Endpoint(name, "mean", {name: 1.0}, unit=unit, low=None, high=None)
    return outcomes.panel.of_one(endpoint, sign * values, answered)


_KIND = "failure mode"
_LENGTH_DRAWS = 2_000  # at first: lengths take many values, and each draw deals with all of them


@dataclass(frozen=True, slots=True)
class FailureDrafts:
    """The contrasts of one failure mode and what was asked of each.

    `declared`: the study named it beforehand; `directed`: one side of it is better.
    """

    name: str
    drafts: list[Draft]
    asked: list[Asked]
    declared: bool

    @property
    def directed(self) -> bool:
        """Whether one side is better; else what is shown stands in place of a verdict."""
        return self.name != LENGTH

    def written(
        self, contrast: documents.Contrast, asked: Asked, alpha: float
    ) -> documents.FailureContrast:
        """Say of a contrast which failure mode it is of."""
        shown = None
        if not self.directed and asked.p_alarm < alpha:
            shown = "longer" if (contrast.estimate or 0.0) > 0 else "shorter"
        return documents.FailureContrast(
            **msgspec.structs.asdict(contrast),
            endpoint=self.name,
            declared=self.declared,
            shown=shown,
        )


def failure_contrasts(
    compared: TaskComparison, bounds: Bounds, family: AlarmFamily
) -> Iterator[FailureDrafts]:
    """Test the failure modes that are no endpoint of the task.

    Args:
        compared: the task, by a set of methods that knows failure modes.
        bounds: of the task's items; panels of some are shares, whose bound needs no gold.
        family: is asked of each.
    """
    declared = compared.question.declared
    for panel in map(compared.grouped, failure_panels(compared.scored)):
        name = panel.endpoints[0].name
        label = f"{compared.name}.{name}"
        measured = compared.measure(compared.bound(panel, label), name, label)
        drafts = compared.drafts(measured, label, bounds=bounds)
        asked = family.ask_contrasts(_KIND, drafts, task=compared.name)
        yield FailureDrafts(name, drafts, asked, name in declared)
    # what is counted: for a difference only, in its own unit, with no margin
    counts = [(panel, compared.question.resamples) for panel in count_panels(compared.scored)]
    if (length := length_panel(compared.scored)) is not None:
        counts.append((length, _LENGTH_DRAWS))
    for panel, draws in counts:
        name = panel.endpoints[0].name
        label = f"{compared.name}.{name}"
        methods = compared.bound(compared.grouped(panel), label, most=draws)
        drafts = compared.drafts(compared.measure(methods, name, label, margin=None), label)
        asked = family.ask_contrasts(_KIND, drafts, task=compared.name)
        yield FailureDrafts(name, drafts, asked, name in declared)


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
