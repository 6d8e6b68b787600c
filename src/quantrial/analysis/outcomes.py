"""Responses to scored, aligned arrays, and the flow of items from planned to analysed."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from quantrial import documents
from quantrial.analysis.answers.prompt_consistency import (
    leave_out_unlike,
    leave_out_unlike_tokens,
)
from quantrial.analysis.answers.reading import Given, opens_thought, read_all, read_response
from quantrial.design.sampling import content_key, repeated
from quantrial.errors import DataError, ScoringError
from quantrial.tasks.sampling import combined
from quantrial.tasks.sources import texts_of

if TYPE_CHECKING:
    from quantrial.records import Item, Response
    from quantrial.tasks import Endpoint, Outcome, Task
    from quantrial.tasks.answer import Answer


_Value = TypeVar("_Value")
_Found = TypeVar("_Found", bound="Mapping[Any, Any]")


@dataclass(frozen=True, slots=True)
class Panel:
    """Scores of every arm on the same items, ready for statistics.

    `numerators` and `denominators` have shape (items, arms, endpoints): each endpoint is a ratio of
    their sums. `answered` has shape (items, arms); a score where it is false means nothing.
    `clusters` (random groups that items came from) and `strata` (fixed groups that the sample was
    balanced over) have shape (items,), or are None. `unscorable`, of the shape of `answered`, says
    where there is an answer of which what is scored is not known, or that was left out for what its
    arm was shown: no answer is missing there.
    `asked`, of the same shape, says where a missing answer counts as lost (None: everywhere); an
    item that was asked of neither of two arms is no part of their comparison.
    """

    arms: tuple[str, ...]
    endpoints: tuple[Endpoint, ...]
    numerators: NDArray[np.float64]
    denominators: NDArray[np.float64]
    answered: NDArray[np.bool_]
    clusters: NDArray[np.str_] | None = None
    strata: NDArray[np.str_] | None = None
    unscorable: NDArray[np.bool_] | None = None
    by_content: bool = False  # the clusters are items of equal content, whom no key names
    asked: NDArray[np.bool_] | None = None

    def subset(self, mask: NDArray[np.bool_]) -> Panel:
        """Keep the items of a mask."""
        if mask.all():
            return self
        return replace(
            self,
            numerators=self.numerators[mask],
            denominators=self.denominators[mask],
            answered=self.answered[mask],
            clusters=None if self.clusters is None else self.clusters[mask],
            strata=None if self.strata is None else self.strata[mask],
            unscorable=None if self.unscorable is None else self.unscorable[mask],
            asked=None if self.asked is None else self.asked[mask],
        )

    def answered_by(self, *arms: str) -> NDArray[np.bool_]:
        """Say which items all of these arms answered."""
        both = np.ones(len(self.answered), dtype=np.bool_)
        for arm in arms:
            both &= self.answered[:, self.arms.index(arm)]
        return both

    def locate(
        self, arms: tuple[str, ...], endpoint: str
    ) -> tuple[NDArray[np.bool_], list[int], int]:
        """Return the items that all of these arms answered, the arms' columns, the endpoint's."""
        columns = [self.arms.index(arm) for arm in arms]
        names = [known.name for known in self.endpoints]
        return self.answered_by(*arms), columns, names.index(endpoint)

    def scores(
        self, mask: NDArray[np.bool_], arms: Sequence[int], endpoint: int
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return numerators and denominators of some arms on the items of a mask.

        Shape (items, arms), each arm's column in one piece of memory. Nothing else is read: the
        panel of a million items is copied as a whole nowhere.
        """
        rows = slice(None) if mask.all() else mask
        top, bottom = (
            np.stack([sums[:, arm, endpoint][rows] for arm in arms]).T
            for sums in (self.numerators, self.denominators)
        )
        return top, bottom

    def pair(
        self, mask: NDArray[np.bool_], arms: Sequence[int], endpoint: int
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the `scores` of two arms so that second minus first is a gain where positive.

        The arms are reference and candidate; where lower values are better they change places.
        """
        lower = self.endpoints[endpoint].direction == "lower"
        return self.scores(mask, [*arms][::-1] if lower else arms, endpoint)

    def arms_with_answers(self) -> list[str]:
        """Name the arms that answered at least one item."""
        return [arm for arm in self.arms if self.answered_by(arm).any()]

    def unscorable_where(self, unknown: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Say where an answer does not tell something, in a panel of something else it does not."""
        found: NDArray[np.bool_] = self.answered & unknown
        return found if self.unscorable is None else found | self.unscorable

    def of_one(
        self, endpoint: Endpoint, values: NDArray[np.generic], known: NDArray[np.bool_]
    ) -> Panel:
        """Score one other endpoint of the same answers, a mean over those that tell.

        Args:
            endpoint: what is scored.
            values: shape (items, arms).
            known: of the same shape, where there is a value; an answer without one is left out.
        """
        return Panel(
            self.arms,
            (endpoint,),
            values.astype(np.float64)[:, :, None],
            known.astype(np.float64)[:, :, None],
            known,
            self.clusters,
            self.strata,
            self.unscorable_where(~known),
            self.by_content,
            self.asked,
        )

    def without_groups(self) -> Panel:
        """Take items as independent draws from one group."""
        return replace(self, clusters=None, strata=None)


@dataclass(frozen=True, slots=True)
class TaskOutcomes:
    """One task's responses beside what scoring makes of them, by arm and in the order of `items`.

    `responses[arm][i]`, `answers[arm][i]` and `outcomes[arm][i]` are None where the arm gave no
    answer to item i; `faults[arm]` holds the last failed attempt of those that were asked, by item
    id. `again` holds the second answers of arms that were asked twice, and enters no comparison.
    `opened[arm]` is whether the arm's template opens a thought; None where nothing tells.
    `unscored[arm]` says why a scorer failed, by item id: such an answer counts as missing.
    """

    task: Task
    items: tuple[Item, ...]
    responses: Mapping[str, tuple[Response | None, ...]]
    answers: Mapping[str, tuple[Answer | None, ...]]
    outcomes: Mapping[str, tuple[Outcome | None, ...]]
    flow: documents.Flow
    panel: Panel
    again: Mapping[str, Mapping[int, tuple[Response, Outcome]]] = field(default_factory=dict)
    faults: Mapping[str, Mapping[str, Response]] = field(default_factory=dict)
    opened: Mapping[str, bool | None] = field(default_factory=dict)
    unscored: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def given(self, arm: str) -> list[Given | None]:
        """Return each response of an arm with what was read from it; None without an answer."""
        rows = (self.responses[arm], self.answers[arm], self.outcomes[arm])
        return [
            None
            if response is None or answer is None or outcome is None
            else Given(response, answer, outcome.parsed, self.task.limit(item))
            for item, response, answer, outcome in zip(self.items, *rows, strict=True)
        ]

    def by_outcome(self, value: Callable[[Item, Outcome], _Value]) -> list[list[_Value | None]]:
        """Return a value of each outcome, by arm and item; None without an answer."""
        return [
            [
                None if outcome is None else value(item, outcome)
                for item, outcome in zip(self.items, self.outcomes[arm], strict=True)
            ]
            for arm in self.arms
        ]

    @property
    def arms(self) -> tuple[str, ...]:
        """The arms, in the study's order."""
        return self.panel.arms


def score_task(  # noqa: PLR0913 - each keyword is one fact of how the task was asked
    task: Task,
    items: Sequence[Item],
    responses: Mapping[str, Sequence[Response]],
    *,
    cluster: str | None = None,
    stratum: str | None = None,
    equal_items: str = "cluster",
    reference: str | None = None,
    recorded: bool = True,
    opened: Mapping[str, bool | None] | None = None,
) -> TaskOutcomes:
    """Score and align one task.

    Args:
        task: knows how to score.
        items: the planned items.
        responses: every recorded attempt, by arm; the last answer to an item wins.
        cluster: metadata key of the random groups that items came from.
        stratum: metadata key of the fixed groups that the sample was balanced over.
        equal_items: `cluster` takes items of equal content as clusters where `cluster` names no
            other key; `independent` takes each as a draw of its own.
        reference: the arm that counts of tokens are held against; the first by default.
        recorded: whether every call that was made left a record, so that an item without one was
            not asked yet; false of what was imported, where it may as well have been lost.
        opened: whether the template of each arm opens a thought (None: not known); by default what
            its answers to this task tell.
    """
    by_id = {item.id: item for item in items}
    if opened is None:
        opened = {arm: opens_thought(task, by_id, given) for arm, given in responses.items()}
    index = {item.id: i for i, item in enumerate(items)}
    rows: dict[str, list[Response | None]] = {}
    chosen: dict[str, tuple[Response | None, ...]] = {}
    answers: dict[str, tuple[Answer | None, ...]] = {}
    seconds: dict[str, dict[int, Response]] = {}
    further: dict[str, dict[int, list[Response]]] = {}
    faults: dict[str, dict[str, Response]] = {}
    retries = dict.fromkeys(responses, 0)
    duplicates = 0
    for arm, attempts in responses.items():
        given: dict[int, dict[int, Response]] = {}
        failed: dict[str, Response] = {}
        for response in attempts:
            at = index[response.item]
            found = given.setdefault(at, {})
            # a second answer beside the first one is no part of what is planned
            planned_one = task.samples > 1 or not response.replicate
            retries[arm] += planned_one and response.attempt > 1
            if response.status == "ok":
                duplicates += planned_one and response.replicate in found
                found[response.replicate] = response
            elif planned_one:
                failed[response.item] = response
        row: list[Response | None] = [None] * len(items)
        for at, found in given.items():
            if all(k in found for k in range(task.samples)):
                row[at] = found[0]
                more = sorted(k for k in found if k > 0)
                further.setdefault(arm, {})[at] = [found[k] for k in more]
            if task.samples == 1 and 1 in found:
                seconds.setdefault(arm, {})[at] = found[1]
        faults[arm] = {one: last for one, last in failed.items() if row[index[one]] is None}
        rows[arm] = row
    answered = sum(response is not None for row in rows.values() for response in row)
    asked = _asked(items, rows, faults, recorded=recorded)
    unlike, unhashed = leave_out_unlike(rows, seconds)
    base = reference or next(iter(rows), None)
    tokens = leave_out_unlike_tokens(rows, seconds, base, lambda i: lengths_of(items[i]))
    left_out = _left_out(asked.shape, unlike)
    for arm, row in rows.items():
        chosen[arm] = tuple(row)
        answers[arm] = read_all(task, items, row, opened=opened.get(arm))
    asked_again = (
        further
        if task.samples > 1
        else {arm: {at: [one] for at, one in found.items()} for arm, found in seconds.items()}
    )
    more_answers = {
        arm: {
            at: [read_response(task, items[at], one, opened=opened.get(arm)) for one in found]
            for at, found in own.items()
        }
        for arm, own in asked_again.items()
    }
    scored = _sampled if task.samples > 1 else _scored if task.has_gold else _compared
    outcomes, rescored, unscored = scored(task, items, answers, more_answers, base)
    again = {
        arm: {at: (seconds[arm][at], one) for at, one in found.items()}
        for arm, found in rescored.items()
    }
    panel = replace(_panel(task, items, outcomes), asked=asked, unscorable=left_out)
    clusters, by_content = clusters_of(items, cluster, stratum, equal_items)
    panel = replace(panel, clusters=clusters, by_content=by_content)
    if items and stratum is not None:
        panel = replace(panel, strata=labels(items, stratum))
    planned = len(items) * len(responses)
    faulted = sum(map(len, faults.values()))
    flow = documents.Flow(
        planned=planned,
        answered=answered,
        faulted=faulted,
        missing=planned - answered - faulted,
        duplicates=duplicates,
        analysed_items=int(panel.answered.all(axis=1).sum()),
        retries=retries,
        faults={arm: len(lost) for arm, lost in faults.items()},
        unlike_items=len(unlike),
        unhashed_items=unhashed,
        unlike_tokens=len(frozenset[int]().union(*tokens.left_out.values())),
        uncounted_items=tokens.uncounted,
        token_mismatches=tokens.mismatches,
        unsteady=tokens.unsteady,
        ceilings=tokens.ceilings,
    )
    return TaskOutcomes(
        task, tuple(items), chosen, answers, outcomes, flow, panel, again, faults, opened, unscored
    )


def with_outcomes_of(
    scored: TaskOutcomes, arm: str, row: tuple[Outcome | None, ...]
) -> TaskOutcomes:
    """Put other outcomes in place of an arm's, one an item; None where there is no answer."""
    known = [one is not None for one in row]
    outcomes = {**scored.outcomes, arm: row}
    values = _panel(scored.task, scored.items, outcomes)
    panel = replace(
        scored.panel,
        numerators=values.numerators,
        denominators=values.denominators,
        answered=values.answered,
    )
    responses = tuple(r if k else None for r, k in zip(scored.responses[arm], known, strict=True))
    return replace(
        scored, outcomes=outcomes, panel=panel, responses={**scored.responses, arm: responses}
    )


Scores = tuple[
    dict[str, tuple["Outcome | None", ...]],
    dict[str, dict[int, "Outcome"]],
    dict[str, dict[str, str]],
]


def _scored(
    task: Task,
    items: Sequence[Item],
    answers: Mapping[str, Sequence[Answer | None]],
    second: Mapping[str, Mapping[int, Sequence[Answer]]],
    _reference: str | None,
) -> Scores:
    """Score answers by what is right: outcomes, those of second answers, and why scorers failed."""
    outcomes, again, failed = {}, {}, {}
    for arm, row in answers.items():
        why: dict[str, str] = {}
        outcomes[arm] = tuple(
            None if answer is None else _made(task, item, why, answer)
            for item, answer in zip(items, row, strict=True)
        )
        found = {at: _made(task, items[at], {}, a[0]) for at, a in second.get(arm, {}).items()}
        again[arm] = {at: one for at, one in found.items() if one is not None}
        failed[arm] = why
    return outcomes, _filled(again), _filled(failed)


def _compared(
    task: Task,
    items: Sequence[Item],
    answers: Mapping[str, Sequence[Answer | None]],
    second: Mapping[str, Mapping[int, Sequence[Answer]]],
    reference: str | None,
) -> Scores:
    """Hold answers against the reference's first ones; of the reference its second ones."""
    outcomes, failed = {}, {}
    first = answers[reference] if reference is not None else ()
    own = second.get(reference or "", {})
    for arm, row in answers.items():
        why: dict[str, str] = {}
        made: list[Outcome | None] = []
        for at, (item, one, answer) in enumerate(zip(items, first, row, strict=True)):
            held = answer
            if arm == reference:
                held = own[at][0] if at in own else None
            known = one is not None and held is not None and answer is not None
            made.append(_made(task, item, why, one, held, answer) if known else None)
        outcomes[arm], failed[arm] = tuple(made), why
    return outcomes, {}, _filled(failed)


def _sampled(
    task: Task,
    items: Sequence[Item],
    answers: Mapping[str, Sequence[Answer | None]],
    further: Mapping[str, Mapping[int, Sequence[Answer]]],
    _reference: str | None,
) -> Scores:
    """Score all answers to an item and put them together; of an item with one missing, none."""
    outcomes, failed = {}, {}
    for arm, row in answers.items():
        why: dict[str, str] = {}
        own = further.get(arm, {})
        made: list[Outcome | None] = []
        for at, (item, first) in enumerate(zip(items, row, strict=True)):
            each = [] if first is None else [first, *own[at]]
            found = [_made(task, item, why, one) for one in each]
            whole = [one for one in found if one is not None]
            made.append(combined(task, whole) if whole and len(whole) == len(found) else None)
        outcomes[arm], failed[arm] = tuple(made), why
    return outcomes, {}, _filled(failed)


def _filled(found: Mapping[str, _Found]) -> dict[str, _Found]:
    return {arm: own for arm, own in found.items() if own}


def _made(task: Task, item: Item, failed: dict[str, str], *answers: Any) -> Outcome | None:
    """Score one answer, or compare several; where the scorer itself fails, keep why."""
    try:
        return task.compare(item, *answers) if answers[1:] else task.score(item, *answers)
    except ScoringError as exc:
        failed[item.id] = str(exc)
        return None


def lengths_of(item: Item) -> tuple[int, int]:
    """Return the bytes of what an item asks, and of all its texts."""
    match item.content.get("redacted_lengths"):  # of texts that were replaced by hashes
        case [int(first), int(every)]:
            return first, every
    content = {key: value for key, value in item.content.items() if key != "example_id"}
    texts = [len(text.encode("utf-8", "surrogatepass")) for text in texts_of(content)]
    return next(iter(texts), 0), sum(texts)


def _asked(
    items: Sequence[Item],
    rows: Mapping[str, Sequence[Response | None]],
    faults: Mapping[str, Mapping[str, Response]],
    *,
    recorded: bool,
) -> NDArray[np.bool_]:
    """Say by item and arm where a call was made, shape (items, arms); everywhere if not known."""
    if not recorded:
        return np.ones((len(items), len(rows)), dtype=np.bool_)
    made = [
        [
            response is not None or item.id in faults[arm]
            for item, response in zip(items, row, strict=True)
        ]
        for arm, row in rows.items()
    ]
    return np.array(made, dtype=np.bool_).reshape(len(rows), len(items)).T.copy()


def _left_out(shape: tuple[int, ...], unlike: Collection[int]) -> NDArray[np.bool_] | None:
    """Say by item and arm which answers are no arm's loss; None where there is none.

    Of items that were sent as other bytes nobody knows whose were right: they are compared for no
    arm. Where one arm read other tokens, what it would have answered to the right ones is missing,
    and is held against it like any answer that is.
    """
    found = np.zeros(shape, dtype=np.bool_)
    found[list(unlike)] = True
    return found if found.any() else None


def _panel(
    task: Task,
    items: Sequence[Item],
    outcomes: Mapping[str, tuple[Outcome | None, ...]],
) -> Panel:
    arms, endpoints = tuple(outcomes), tuple(task.endpoints)
    shape = (len(items), len(arms), len(endpoints))
    numerators, denominators = np.zeros(shape), np.zeros(shape)
    answered = np.zeros(shape[:2], dtype=np.bool_)
    for a, arm in enumerate(arms):
        row = outcomes[arm]
        answered[:, a] = [outcome is not None for outcome in row]
        used = {name for e in endpoints for name in (*e.numerator, *e.denominator)}
        columns = {
            name: np.array([0.0 if o is None else o.values[name] for o in row], dtype=np.float64)
            for name in used
        }
        for e, endpoint in enumerate(endpoints):
            numerators[:, a, e] = sum(w * columns[name] for name, w in endpoint.numerator.items())
            denominators[:, a, e] = (
                sum(w * columns[name] for name, w in endpoint.denominator.items())
                if endpoint.denominator
                else answered[:, a]
            )
            if not endpoint.denominator:
                _check_values(task, endpoint, numerators[answered[:, a], a, e])
    return Panel(arms, endpoints, numerators, denominators, answered)


def _check_values(task: Task, endpoint: Endpoint, values: NDArray[np.float64]) -> None:
    """Refuse what the endpoint says no item can have: its statistics would be wrong."""
    low, high = (
        math.inf * sign if end is None else end
        for end, sign in ((endpoint.low, -1), (endpoint.high, 1))
    )
    wrong = ~((values >= low) & (values <= high) & np.isfinite(values))
    if endpoint.type == "proportion":
        wrong |= ~np.isin(values, (0.0, 1.0))
    if wrong.any():
        needed = f"{low:g} to {high:g}" if endpoint.type != "proportion" else "0 or 1"
        raise DataError(
            f"an answer to {task.name!r} scores {values[wrong][0]:g} on {endpoint.name!r}, which "
            f"its kind of task ({task.kind}) says is {needed}"
        )


def clusters_of(
    items: Sequence[Item], cluster: str | None, stratum: str | None, equal_items: str
) -> tuple[NDArray[np.str_] | None, bool]:
    """Return the cluster of each item, None where they are independent; and whether by content.

    Arguments as of `score_task`.
    """
    own = cluster is not None and cluster != stratum
    if equal_items == "cluster" and not own and repeated(items):
        return np.array([content_key(item) for item in items], dtype=np.str_), True
    return (labels(items, cluster) if items and cluster is not None else None), False


def labels(items: Sequence[Item], key: str) -> NDArray[np.str_]:
    """Return what each item's metadata says under a key.

    Raises:
        DataError: an item has no such key.
    """
    for item in items:
        if key not in item.metadata:
            known = ", ".join(sorted(item.metadata)) or "none"
            raise DataError(
                f"item {item.id!r} of task {item.task!r} has no {key!r} in its metadata, which the "
                f"study names as stratum or cluster; it has {known}"
            )
    return np.array([item.metadata[key] for item in items], dtype=np.str_)
