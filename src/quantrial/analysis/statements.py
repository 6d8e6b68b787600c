"""What holds of candidates over all tasks at once, and which arms cannot be told apart."""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from quantrial import documents
from quantrial.assay import run_otherwise
from quantrial.documents.codec import nan, number
from quantrial.stats import holm, intersection_union, worse_on_any

if TYPE_CHECKING:
    from quantrial.analysis.outcomes import TaskOutcomes
    from quantrial.analysis.question import Question
    from quantrial.records import ArmRecord

Task = documents.TaskSummary


@dataclass(frozen=True, slots=True)
class _Tested:
    """The p-values of a candidate's claims, over `tasks` that it was compared on."""

    candidate: str
    tasks: int
    kept: float
    lost: float
    shipped: float
    missing: int


def statements(
    question: Question, tasks: Mapping[str, Task], *, unpicked: Collection[str] = ()
) -> Iterator[documents.Statement]:
    """Say three things over all tasks about each candidate, on the primary endpoints.

    `margin_kept_on_all`: a loss of the margin is ruled out on every task, tested by the largest of
    their p-values, NaN where a task has none; like the verdicts on the margin `holds` is not
    adjusted for the number of candidates, `p_adjusted` is (Holm; controls, which are never chosen,
    have none).
    `loss_on_any`: a loss, of whatever size, is there on at least one task. Its p is the smallest
    that a task's verdict on a loss rests on (two-sided, adjusted by Holm over the pairs of arms),
    times the number of tasks that have one: over all candidates and tasks together it errs in at
    most alpha of studies, and it holds nowhere that no verdict of a task finds a loss. Both may
    hold of one candidate.
    `ship`: what the sentence "Ship X" rests on. As `margin_kept_on_all`, but with missing answers
    held against the candidate, and `holds` follows `p_adjusted`, Holm over the candidates of which
    one is chosen (`among`): so an arm that loses the margin on some task is shipped in at most
    alpha of studies. One that was not compared on a task counts among them and is never shipped.
    `missing` counts the answers that are not there, of the candidate and of the reference.
    `tasks` counts those that have a contrast of it with the reference; where none has, nothing is
    said.

    Args:
        question: says the arms, the reference, the level.
        tasks: the summaries of the tasks, by name.
        unpicked: arms that are never chosen: nothing tells them from another one, or they were
            shown other prompts than the reference.
    """
    tested = [
        found
        for candidate in question.arms
        if candidate != question.reference
        and (found := _tested(question.reference, candidate, tasks)) is not None
    ]
    # controls are never chosen, and have no adjusted p
    chosen = [one for one in tested if one.candidate not in question.controls]
    kept = dict(zip(chosen, holm([one.kept for one in chosen]).tolist(), strict=True))
    # adjusted for the candidates of which one is chosen; one that was not compared counts
    picked = [one for one in chosen if one.candidate not in unpicked]
    worst = holm([1.0 if math.isnan(one.shipped) else one.shipped for one in picked]).tolist()
    shipped = {
        one: math.nan if math.isnan(one.shipped) else p
        for one, p in zip(picked, worst, strict=True)
    }
    for one in tested:
        p = shipped.get(one, math.nan)
        yield documents.Statement(
            candidate=one.candidate,
            reference=question.reference,
            tasks=one.tasks,
            margin_kept_on_all=documents.Claim(
                p_value=number(one.kept),
                holds=one.kept < question.alpha,
                p_adjusted=number(kept.get(one)),
            ),
            loss_on_any=documents.Claim(p_value=number(one.lost), holds=one.lost < question.alpha),
            ship=documents.ShipClaim(
                p_adjusted=number(p),
                among=len(picked),
                holds=p < question.alpha,
                p_value=number(one.shipped),
                missing=one.missing,
            ),
        )


def _tested(reference: str, candidate: str, tasks: Mapping[str, Task]) -> _Tested | None:
    """Test a candidate over all tasks; None where none has a contrast of it."""
    kept, lost, held, missing = [], [], [], 0
    for task in tasks.values():
        for one in task.main.contrasts:
            if (one.reference, one.candidate) == (reference, candidate) and one.equivalence:
                worst = one.worst_case
                no_loss = nan(one.equivalence.p_non_inferior)
                kept.append(no_loss)
                lost.append(_p_of_a_loss(nan(one.gain.estimate), nan(one.p_adjusted)))
                # missing answers are held against the candidate
                held.append(no_loss if worst is None else nan(worst.p_non_inferior))
                if worst is not None:
                    missing += worst.missing_reference + worst.missing_candidate
    if not lost:
        return None
    # a task without a contrast shows no loss, and rules none out
    margin, shipped = (
        intersection_union(p) if len(p) == len(tasks) else math.nan for p in (kept, held)
    )
    return _Tested(candidate, len(kept), margin, worse_on_any(lost), shipped, missing)


def _p_of_a_loss(estimate: float, p_adjusted: float) -> float:
    """Return the p of the verdict where it is of a loss; a gain says nothing of one."""
    return p_adjusted if estimate < 0 or math.isnan(p_adjusted) else 1.0


def identical_arms(
    arms: Mapping[str, ArmRecord],
    tasks: Mapping[str, Task],
    outcomes: Mapping[str, TaskOutcomes] = MappingProxyType({}),
    *,
    engines: bool = False,
) -> Iterator[documents.IdenticalArms]:
    """Name each pair of arms that is one file asked in one way, or that gave the same answers.

    Args:
        arms: the manifest's record of each arm, the study's order.
        tasks: the tasks of the summary.
        outcomes: their answers: two that are wrong in different words are no flip and no churn.
        engines: whether the study compares engines: two of them that answer alike are no pair.

    Yields:
        `arms`, the two in the study's order; `weights`: `same`, `other`, or `unknown` where the
        engine tells no hash of one of them; `answers`, whether they are the same bytes on every
        item that both answered, on every task, and `items`, how many these are.
    """
    for one, other in itertools.combinations(arms, 2):
        if engines and run_otherwise(arms[one], arms[other]):
            continue
        hashes = [arms[arm].sha256 for arm in (one, other)]
        weights = "unknown" if None in hashes else "same" if hashes[0] == hashes[1] else "other"
        rows = [row for part in tasks.values() for row in part.flips]
        compared = [row for row in rows if {row.reference, row.candidate} == {one, other}]
        items = sum(row.n for row in compared)
        changed = sum(row.harmful + row.beneficial + row.churn for row in compared)
        answers = items > 0 and changed == 0
        answers = answers and not any(_differ(scored, one, other) for scored in outcomes.values())
        # one file asked in two ways (another cache of keys, say) may well be worth comparing
        alike = weights == "same" and arms[one].options == arms[other].options
        if answers or alike:
            yield documents.IdenticalArms(
                arms=(one, other), weights=weights, answers=answers, items=items
            )


def _differ(scored: TaskOutcomes, one: str, other: str) -> bool:
    """Whether two arms may have answered an item differently: text or recorded scores differ.

    Where only scores are recorded, as of a table, nothing says that the texts are the same.
    """
    return any(
        a is not None
        and b is not None
        and (a.said != b.said or a.scores != b.scores or not (a.has_text and b.has_text))
        for a, b in zip(scored.responses[one], scored.responses[other], strict=True)
    )


def unpicked(pairs: Iterable[documents.IdenticalArms]) -> set[str]:
    """Name the arms that nothing tells from another one: files that differ are two models."""
    return {arm for pair in pairs if pair.weights != "other" for arm in pair.arms}
