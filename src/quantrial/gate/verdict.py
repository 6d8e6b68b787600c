"""Requirements held against a summary: each is met, violated, undecided or invalid.

All requirements of a gate must hold, so each is tested at the study's alpha (an
intersection-union test: no correction). That some loss is shown is one of several claims, so these
are adjusted by Holm's method.

References:
    .. [1] Berger, R. L. (1982). Multiparameter hypothesis testing and acceptance sampling.
       Technometrics 24, 295-300.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import NormalDist
from typing import TYPE_CHECKING, Literal

from quantrial.decision.evidence import Evidence, MarginTest
from quantrial.decision.margin_tests import (
    POWER,
    fewest_items,
    flips_of,
    items_to_rule_out,
    p_of_more,
)
from quantrial.decision.shipping import p_at
from quantrial.errors import StudyError
from quantrial.registry import hint_of
from quantrial.words import amount, amount_interval, listed, margin, percent, plural, size, times

if TYPE_CHECKING:
    from quantrial.design.plan import TaskPlan
    from quantrial.documents import Estimate
    from quantrial.documents.decision import Finding
    from quantrial.study import GatePart, Requirement

Outcome = Literal["met", "violated", "undecided", "invalid"]
EXIT_CODES: Mapping[Outcome, int] = {"invalid": 4, "violated": 1, "undecided": 3, "met": 0}
_NORMAL = NormalDist()


@dataclass(frozen=True, slots=True)
class Line:
    """One requirement held against one arm, on one task where it is about a task.

    Attributes:
        requirement: what is required, in words.
        text: the result, in a sentence.
        estimate, ci: what was measured: a difference (negative is a loss, whichever values are
            better), a value of the arm, or a ratio; shares are fractions, memory is bytes.
        p_value: of a proof, that the loss is ruled out; of a violated loss, that it is there, by
            Holm's method over all losses of the gate.
        items_needed: items of a new study that would probably (80 %) decide it; None: not known.
        items: ids of items that turned from right to wrong, where the line is not met.
    """

    arm: str
    requirement: str
    outcome: Outcome
    text: str
    task: str | None = None
    endpoint: str | None = None
    estimate: float | None = None
    ci: tuple[float | None, float | None] = (None, None)
    p_value: float | None = None
    n: int | None = None
    items_needed: int | None = None
    items: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class GateResult:
    """What a gate says of a run.

    Attributes:
        outcome: that of the worst line, in the order invalid, violated, undecided, met.
        exit_code: 0 met, 1 violated, 3 undecided, 4 invalid; `inconclusive` may turn 3 into 0.
        invalid: checks of the run that were made and failed, in sentences.
        not_checked: what could not be checked, in sentences; it changes no code.
        notes: what deserves a look and changes no code.
        false_alarms: how often a gate whose requirements all hold is violated, in a sentence.
    """

    study: str
    study_hash: str
    reference: str
    arms: tuple[str, ...]
    lines: tuple[Line, ...]
    outcome: Outcome
    exit_code: int
    inconclusive: str
    invalid: tuple[str, ...]
    not_checked: tuple[str, ...]
    false_alarms: str
    notes: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether a pipeline may go on."""
        return self.exit_code == 0


@dataclass(frozen=True, slots=True)
class MustPass:
    """Items of a task that may not turn from right to wrong, and which an arm did not answer."""

    task: str
    items: frozenset[str]
    unanswered: Mapping[str, frozenset[str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Loss:
    """A loss that is asked about, with the line that it becomes."""

    line: Line
    finding: Finding
    loss: float
    proof: bool


def judge(evidence: Evidence, gate: GatePart, must_pass: Sequence[MustPass] = ()) -> GateResult:
    """Hold a run against the requirements of a gate.

    Args:
        evidence: the run's summary.
        gate: what is required.
        must_pass: the items that `gate.must_pass` names, by task.

    Raises:
        StudyError: it names an arm, a task or an endpoint that the run does not have.
    """
    arms = _arms(evidence, gate)
    lines: list[Line | _Loss] = []
    for arm in arms:
        for number, one in enumerate(gate.require):
            lines += _of_requirement(evidence, gate, arm, one, f"gate.require.{number}")
        lines += [_of_items(evidence, arm, one) for one in must_pass]
    judged = _losses_judged(evidence, lines)
    checks = evidence.summary.assay
    failed = tuple(c.text for c in checks if c.status == "fail" and not c.id.startswith("floor."))
    outcomes = {line.outcome for line in judged} | ({"invalid"} if failed else set())
    worst: Outcome = next((one for one in EXIT_CODES if one in outcomes), "invalid")
    code = EXIT_CODES[worst]
    summary = evidence.summary
    return GateResult(
        study=summary.study.name,
        study_hash=summary.study.hash,
        reference=evidence.reference,
        arms=arms,
        lines=judged,
        outcome=worst,
        exit_code=0 if worst == "undecided" and gate.inconclusive != "fail" else code,
        inconclusive=gate.inconclusive,
        invalid=failed,
        not_checked=tuple(c.text for c in checks if c.status == "unknown"),
        false_alarms=_false_alarms(evidence, lines),
    )


def _arms(evidence: Evidence, gate: GatePart) -> tuple[str, ...]:
    for arm in gate.arms:
        if arm not in evidence.candidates:
            why = "is the reference" if arm == evidence.reference else "is no arm to be shipped"
            hint = hint_of(arm, evidence.candidates, "there are ")
            raise StudyError(f"{arm!r} {why}; {hint}", key="gate.arms")
    arms = gate.arms or tuple(evidence.candidates)
    if not arms:
        raise StudyError("the run has no arm but the reference and controls", key="gate.arms")
    return tuple(dict.fromkeys(arms))


def _of_requirement(
    evidence: Evidence, gate: GatePart, arm: str, one: Requirement, key: str
) -> Iterator[Line | _Loss]:
    if one.memory_at_most is not None:
        yield _of_memory(evidence, arm, one.memory_at_most)
        return
    if one.ratio_at_least is not None:
        yield _of_speed(evidence, arm, one.speed, one.ratio_at_least)
        return
    if one.task is not None and one.task not in evidence.tasks:
        hint = hint_of(one.task, evidence.tasks, "there are ")
        raise StudyError(f"the run has no task {one.task!r}; {hint}", key=f"{key}.task")
    for task in evidence.tasks if one.task is None else (one.task,):
        part = evidence.tasks[task]
        name = one.endpoint or part.primary
        known = {*part.endpoints, *(mode.endpoint for mode in part.failure_contrasts)}
        if name not in known:
            hint = hint_of(name, sorted(known), "there are ")
            raise StudyError(f"{task} has no endpoint {name!r}; {hint}", key=f"{key}.endpoint")
        if one.at_least is not None or one.at_most is not None:
            yield _of_value(evidence, gate, arm, task, name, one)
        else:
            yield _of_loss(evidence, gate, arm, task, name, one)


def _why_no_evidence(evidence: Evidence, gate: GatePart, arm: str, finding: Finding | None) -> str:
    """Say why answers of an arm say nothing: a sentence; empty where they do."""
    if why := evidence.why_other_prompts(arm):
        return why
    if arm in evidence.identical:
        return f"{arm} looks identical to {evidence.identical[arm]}: it may not be quantized."
    if finding is None or finding.n == 0 or finding.estimate is None:
        return f"No item was answered by both {arm} and {evidence.reference}."
    worst = finding.worst_case
    unlike = evidence.tasks[finding.task].flow.unlike_items
    total = (finding.n if worst is None else worst.n) + unlike
    missing = total - finding.n
    if missing > gate.max_missing * total:
        return (
            f"{missing:,} of {plural(total, 'item')} of {finding.task} have no answer to compare, "
            f"more than the {percent(gate.max_missing, 0)} that may be missing."
        )
    return ""


def _of_loss(
    evidence: Evidence, gate: GatePart, arm: str, task: str, name: str, one: Requirement
) -> Line | _Loss:
    proof = one.non_inferior is not None
    loss = one.non_inferior if one.non_inferior is not None else one.no_worse_than
    assert loss is not None
    finding = evidence.of_endpoint(task, name, arm)
    if finding is not None and finding.unit is not None:
        raise StudyError(f"{name} is counted in {finding.unit}; a gate takes losses of shares only")
    loses, lose = ("changes", "change") if finding and finding.again else ("loses", "lose")
    what = f"{loses} less than {margin(loss)}" if proof else f"not shown to {lose} {margin(loss)}"
    requirement = f"{name} of {arm} on {task}: {what}"
    line = Line(arm, requirement, "invalid", "", task=task, endpoint=name)
    why = _why_no_evidence(evidence, gate, arm, finding) or evidence.no_loss_can_show(task)
    if why or finding is None:
        return replace(line, text=f"{why.removesuffix('.')}.")
    seen = finding.gain
    line = replace(line, estimate=seen.estimate, ci=seen.equivalence_ci, n=seen.n)
    return _Loss(line, finding, loss, proof)


def _losses_judged(evidence: Evidence, lines: Iterable[Line | _Loss]) -> tuple[Line, ...]:
    asked = list(lines)
    losses = [one for one in asked if isinstance(one, _Loss)]
    shown = [p_of_more(evidence, one.finding, one.loss) for one in losses]
    adjusted = iter(_holm([1.0 if p is None else p for p in shown]))
    return tuple(
        _with_turned(evidence, _judged(evidence, one, next(adjusted)))
        if isinstance(one, _Loss)
        else one
        for one in asked
    )


def _with_turned(evidence: Evidence, line: Line) -> Line:
    """Name the items that turned from right to wrong, of what is not met on a primary endpoint."""
    part = evidence.tasks[line.task or ""]
    if line.outcome == "met" or line.endpoint != part.primary:
        return line
    pair = (evidence.reference, line.arm)
    rows = (row for row in part.flips if (row.reference, row.candidate) == pair)
    return replace(line, items=tuple(sorted(item for row in rows for item in row.items.harmful)))


def _holm(values: Sequence[float]) -> list[float]:
    adjusted, largest = [1.0] * len(values), 0.0
    for place, at in enumerate(sorted(range(len(values)), key=values.__getitem__)):
        largest = max(largest, min(1.0, values[at] * (len(values) - place)))
        adjusted[at] = largest
    return adjusted


def _judged(evidence: Evidence, one: _Loss, p_more: float) -> Line:
    line, finding, loss = one.line, one.finding, one.loss
    limit, seen = margin(loss), _seen(line, finding.again)
    what = "a further change" if finding.again else "a loss"
    if p_more < evidence.alpha:
        text = f"{seen}: {what} of more than {limit} is shown."
        return replace(line, outcome="violated", text=text, p_value=p_more)
    if not one.proof:
        text = f"{seen}: {what} of more than {limit} is not shown."
        return replace(line, outcome="met", text=text)
    test, p = MarginTest.of(finding), p_at(evidence, finding, loss)
    line = replace(line, p_value=p)
    if test.missing:
        line = replace(line, estimate=test.estimate, ci=test.ci)
        held = plural(test.missing, "missing answer")
        seen = f"{_seen(line, finding.again)}, {held} held against it"
    if flips_of(evidence, finding) and finding.n < (least := fewest_items(loss, evidence.alpha)):
        items = items_to_rule_out(evidence, finding, loss)
        items = None if items is None else max(items, least)
        text = (
            f"{plural(finding.n, 'item')} cannot rule out {what} of {limit}: even an arm that "
            f"changes no answer needs {least:,}. {_more(items)}"
        )
        return replace(line, outcome="undecided", text=text.rstrip(), items_needed=items)
    if p is not None and p < evidence.alpha:
        text = f"{seen}: {what} of {limit} is ruled out."
        return replace(line, outcome="met", text=text)
    items = items_to_rule_out(evidence, finding, loss)
    text = f"{seen}: {what} of {limit} is neither ruled out nor shown."
    if (finding.gain.estimate or 0.0) <= -loss:
        lost = "changed" if finding.again else "lost"
        text += f" It {lost} at least the limit, so more items would not rule it out."
    return replace(
        line, outcome="undecided", text=f"{text} {_more(items)}".rstrip(), items_needed=items
    )


def _seen(line: Line, again: str | None) -> str:
    estimate, (low, high) = line.estimate, line.ci
    interval = "" if low is None or high is None else f" ({_points(low)} to {_points(high)} pp)"
    if estimate is None:
        return f"{line.arm} has no known difference on {line.task}"
    if again is not None:
        many = f"{size(estimate)} {'more' if estimate < 0 else 'fewer'}" if estimate else "as many"
        than = "as" if not estimate else "than"
        return f"{line.arm} changed {many} answers on {line.task} {than} {again} itself{interval}"
    change = f"lost {size(estimate)}" if estimate < 0 else f"gained {size(estimate)}"
    return f"{line.arm} {change if estimate else 'lost nothing'} on {line.task}{interval}"


def _points(value: float) -> str:
    return f"{100 * value:+.1f}".replace("-", "\N{MINUS SIGN}")


def _more(items: int | None) -> str:
    if items is None:
        return ""
    return f"A new study of about {plural(items, 'item')} would probably (80 %) rule it out."


def _of_value(
    evidence: Evidence, gate: GatePart, arm: str, task: str, name: str, one: Requirement
) -> Line:
    """Judge a bound on the arm's own value; its missing answers count as the worst there is."""
    part = evidence.tasks[task]
    endpoint = part.endpoints.get(name)
    own = None if endpoint is None else endpoint.arms.get(arm)
    lowest = one.at_least is not None
    bound = one.at_least if one.at_least is not None else one.at_most or 0.0
    unit = None if endpoint is None else endpoint.unit
    side = "at least" if lowest else "at most"
    requirement = f"{name} of {arm} on {task}: {side} {amount(bound, unit)}"
    line = Line(arm, requirement, "invalid", "", task=task, endpoint=name)
    finding = evidence.of_endpoint(task, name, arm)
    if why := _why_no_evidence(evidence, gate, arm, finding):
        return replace(line, text=why)
    if endpoint is None or own is None or own.estimate is None or None in own.ci:
        return replace(line, text=f"There is no interval of {name} of {arm} on {task}.")
    worst_case = None if finding is None else finding.worst_case
    missing = 0 if worst_case is None else worst_case.missing_candidate
    worst = endpoint.high if endpoint.direction == "lower" else endpoint.low
    low, high = own.ci
    if missing and worst is not None and low is not None and high is not None:
        share = missing / (own.n + missing)
        at_worst = [(1 - share) * end + share * worst for end in (low, high)]
        low, high = min(low, at_worst[0]), max(high, at_worst[1])
    line = replace(line, estimate=own.estimate, ci=(low, high), n=own.n)
    unbounded = bool(missing) and worst is None
    value = f"{name} of {arm} on {task} is {amount(own.estimate, unit)}"
    seen = f"{value} ({amount_interval((low, high), unit)})"
    return _by_interval(line, bound, seen, lowest=lowest, open_=unbounded, own=own)


def _by_interval(
    line: Line, bound: float, seen: str, *, lowest: bool, open_: bool, own: Estimate | None
) -> Line:
    low, high = line.ci
    if low is None or high is None:
        return replace(line, outcome="invalid")
    if (low >= bound if lowest else high <= bound) and not open_:
        return replace(line, outcome="met", text=f"{seen}: it keeps the limit.")
    if high < bound if lowest else low > bound:
        return replace(line, outcome="violated", text=f"{seen}: it breaks the limit.")
    items, estimate = None, line.estimate or 0.0
    inside = estimate > bound if lowest else estimate < bound
    if inside and own is not None and own.confidence is not None:
        reach = _NORMAL.inv_cdf((1.0 + own.confidence) / 2.0)
        half = (estimate - low if lowest else high - estimate) / reach
        items = math.ceil(
            own.n * ((reach + _NORMAL.inv_cdf(POWER)) * half / abs(estimate - bound)) ** 2
        )
    more = f" About {plural(items, 'item')} would probably (80 %) decide it." if items else ""
    text = f"{seen}: the limit lies within the interval.{more}"
    return replace(line, outcome="undecided", text=text, items_needed=items)


def _of_speed(evidence: Evidence, arm: str, measure: str, ratio: float) -> Line:
    phase = evidence.summary.speed_phase
    noun = "writes answers" if measure == "decode" else "reads prompts"
    line = Line(arm, f"{arm} {noun} at least {times(ratio)} as fast", "invalid", "")
    found = next(
        (
            one
            for one in (phase.ratios if phase else ())
            if (one.measure, one.candidate, one.reference) == (measure, arm, evidence.reference)
        ),
        None,
    )
    if found is None or found.estimate is None or None in found.ci:
        return replace(line, text=f"The speed of {arm} was not measured in a speed phase.")
    line = replace(line, estimate=found.estimate, ci=found.ci, n=found.n)
    low, high = found.ci
    ends = f"{low:.2f} to {high:.2f}"
    seen = f"{arm} {noun} {times(found.estimate)} as fast as {evidence.reference} ({ends})"
    return _by_interval(line, ratio, seen, lowest=True, open_=False, own=None)


def _of_memory(evidence: Evidence, arm: str, limit: int) -> Line:
    line = Line(arm, f"{arm} takes at most {limit / 1e9:.3g} GB of memory", "invalid", "")
    held = evidence.memory(arm)
    if held is None:
        return replace(line, text=f"The memory of {arm} is not known.")
    what = {"peak": "its measured peak", "stated": "as stated"}.get(
        evidence.memory_source or "", "the size of its weights"
    )
    return replace(
        line,
        outcome="met" if held <= limit else "violated",
        estimate=held,
        text=f"{arm} takes {held / 1e9:.3g} GB of memory ({what}).",
    )


def _of_items(evidence: Evidence, arm: str, one: MustPass) -> Line:
    line = Line(arm, f"{plural(len(one.items), 'item')} of {one.task} that {arm} must pass", "met",
                f"{arm} loses none of the items of {one.task} that must pass.",
                task=one.task, n=len(one.items))  # fmt: skip
    pair = (evidence.reference, arm)
    rows = [row for row in evidence.tasks[one.task].flips if (row.reference, row.candidate) == pair]
    lost = sorted({item for row in rows for item in row.items.harmful} & one.items)
    unanswered = sorted(one.unanswered.get(arm, frozenset()))
    if lost:
        text = f"{arm} gets {plural(len(lost), 'item')} wrong that must pass: {_some(lost)}."
        return replace(line, outcome="violated", text=text, items=tuple(lost))
    if unanswered or not rows:
        left = unanswered or sorted(one.items)
        text = f"{plural(len(left), 'item')} that must pass cannot be compared: {_some(left)}."
        return replace(line, outcome="undecided", text=text, items=tuple(left))
    return line


def _some(ids: Sequence[str]) -> str:
    more = len(ids) - 20
    return listed(ids) if more <= 0 else f"{', '.join(ids[:20])} and {more:,} more"


def _false_alarms(evidence: Evidence, lines: Sequence[Line | _Loss]) -> str:
    """Say how often a gate is violated whose limits are all kept, on every run."""
    losses = any(isinstance(one, _Loss) for one in lines)
    bounds = sum(
        isinstance(one, Line) and one.ci != (None, None) for one in lines
    )  # one side of a two-sided interval each
    chance = evidence.alpha * (losses + bounds / 2)
    return (
        f"If every limit is just kept, at most {percent(min(1.0, chance), 1)} of runs are violated "
        "by chance; each new run has this chance again."
    )


_CHANGED = 0.02  # share of answers that differ, half of them for the better: usual for 8 bits


def prospects(gate: GatePart, tasks: Sequence[TaskPlan], alpha: float) -> Iterator[str]:
    """Yield a sentence for each proof of a gate and each task: what it takes, and what is there.

    Raises:
        StudyError: a requirement is about a task that the study does not have.
    """
    from quantrial.stats import items_for_flips

    by_name = {task.name: task for task in tasks}
    for number, one in enumerate(gate.require):
        if one.task is not None and one.task not in by_name:
            raise StudyError(
                f"the study has no task {one.task!r}; {hint_of(one.task, by_name, 'there are ')}",
                key=f"gate.require.{number}.task",
            )
        loss = one.non_inferior
        if loss is None:
            continue
        for task in tasks if one.task is None else (by_name[one.task],):
            about = f"{task.name}: to rule out a loss of {margin(loss)}"
            if task.least_items is None or task.clusters is not None or one.endpoint is not None:
                yield f"{about}, the number of items is not known beforehand."
                continue
            least = fewest_items(loss, alpha)
            rate = _CHANGED / 2
            usual = items_for_flips(
                rate, rate, question="non_inferior", margin=loss, power=POWER, alpha=alpha
            )
            if task.items < least:
                end = "this gate cannot pass"
            elif usual is None or task.items < usual:
                end = "this gate may well end undecided"
            else:
                end = "enough"
            typical = "" if usual is None else f" and about {usual:,} if 2 % change"
            yield (
                f"{about} takes {plural(least, 'item')} if no answer changes{typical}; you have "
                f"{task.items:,}: {end}."
            )
