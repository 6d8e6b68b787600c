"""Risk in the user's units: wrong answers in 1,000 requests, and money in a million.

Beside it, failure modes that are shown for an arm, and what catches each in production.
"""

from __future__ import annotations

from collections.abc import Iterator

from quantrial.agreement import fixed
from quantrial.decision.evidence import Evidence
from quantrial.decision.open_questions import not_counted
from quantrial.decision.words import cited
from quantrial.documents.decision import Amount, Constraints, Finding, Guard, Money, Risk
from quantrial.registry import TASKS
from quantrial.words import level, size

_MILLION = 1_000_000


def risks(evidence: Evidence, settings: Constraints) -> Iterator[Risk]:
    """Say what each candidate in place of the reference would cost, workload by workload.

    Positive costs more. The machine's part is the mean seconds an answer took here, one request at
    a time, at the price of its hour; it is taken as known, so the interval of `net` is that of the
    errors alone.
    """
    for task, part in evidence.tasks.items():
        for arm in evidence.candidates:
            if arm in evidence.identical or arm in evidence.other_prompts:
                continue
            endpoint = TASKS.load(part.kind).right or part.primary
            finding = evidence.of_endpoint(task, endpoint, arm)
            if finding is None or finding.estimate is None or finding.unit is not None:
                continue  # what is no share counts no wrong answers
            extra = _more_errors(finding, 1000)
            money = _money(evidence, settings, task, arm, finding)
            text = " ".join([_errors(evidence, task, arm, extra, finding), *_priced(money)])
            yield Risk(
                arm=arm,
                task=task,
                workload=evidence.tasks[task].workload,
                endpoint=finding.endpoint,
                confidence=finding.confidence,
                extra_errors_per_1000=extra,
                per_million=money,
                **cited(text, [finding]),
            )


def _more_errors(finding: Finding, factor: float) -> Amount:
    """Turn a difference into so many more errors."""
    finding = finding.gain
    low, high = finding.ci
    return Amount(
        estimate=0.0 - factor * (finding.estimate or 0.0),
        low=None if high is None else 0.0 - factor * high,
        high=None if low is None else 0.0 - factor * low,
    )


def _money(
    evidence: Evidence, settings: Constraints, task: str, arm: str, finding: Finding
) -> Money | None:
    """Price errors and machine time of a million requests; None where nothing has a price."""
    error = settings.error_cost
    errors = None if error is None else _more_errors(finding, _MILLION * error)
    machine = _machine(evidence, settings, task, arm)
    if errors is None and machine is None:
        return None
    parts, more = errors or Amount(estimate=0.0, low=0.0, high=0.0), machine or 0.0
    net = Amount(
        estimate=parts.estimate + more,
        low=None if parts.low is None else parts.low + more,
        high=None if parts.high is None else parts.high + more,
    )
    return Money(errors=errors, machine=machine, net=net)


def _machine(evidence: Evidence, settings: Constraints, task: str, arm: str) -> float | None:
    cost: list[float] = []
    for one in (arm, evidence.reference):
        hour = settings.cost_per_hour_by.get(one, settings.cost_per_hour)
        seconds = evidence.latency(task, one)
        if hour is None or seconds is None:
            return None
        cost.append(hour * seconds * _MILLION / 3600.0)
    return cost[0] - cost[1]


def _errors(evidence: Evidence, task: str, arm: str, extra: Amount, finding: Finding) -> str:
    fewer = extra.estimate < 0
    count = _count(abs(extra.estimate))
    said = f"{count} {'fewer' if fewer else 'more'} wrong answers than {evidence.reference}"
    if extra.estimate == 0:
        said = f"as many wrong answers as {evidence.reference}"
    at = level(finding.confidence)
    if extra.low is None or extra.high is None:
        interval = f"no {at} interval: too little differs"
    else:
        interval = f"{at} interval: {_span(extra.low, extra.high)}"
    what = "" if finding.kind == "primary" else " (not wholly right)"
    expected = f"expect {said}{what} from {arm} ({interval})."
    return f"In 1,000 requests of {evidence.named(task)}, {expected}{not_counted(finding)}"


def _span(low: float, high: float) -> str:
    if low >= 0:
        return f"{_count(low)} to {_count(high)} more"
    if high <= 0:
        return f"{_count(-high)} to {_count(-low)} fewer"
    return f"{_count(-low)} fewer to {_count(high)} more"


def _count(value: float) -> str:
    return fixed(value, 0, ",") if value >= 9.95 or value == 0 else fixed(value, 1)


def _priced(money: Money | None) -> Iterator[str]:
    if money is None:
        return
    parts = []
    if money.errors is not None:
        parts.append(f"errors would cost {_more(money.errors.estimate)}")
    if money.machine is not None:
        parts.append(f"the machine {'' if parts else 'would cost '}{_more(money.machine)}")
    said, net = f"In a million such requests {' and '.join(parts)}", money.net
    if len(parts) == 2:
        said += f", in all {_more(net.estimate)}"
    if money.errors is not None and net.low is not None and net.high is not None:
        said += f" (interval: {_more(net.low)} to {_more(net.high)})"
    yield f"{said}."


def _more(value: float) -> str:
    amount = fixed(abs(value), 0, ",") if abs(value) >= 99.5 else fixed(abs(value), 2, ",")
    return f"{amount} {'less' if value < 0 else 'more'}"


def mitigations(evidence: Evidence, arm: str) -> tuple[Guard, ...]:
    """Name the failure modes that are shown for an arm, each with what guards against it."""
    found = []
    for task, part in evidence.tasks.items():
        for endpoint, words in TASKS.load(part.kind).mitigations().items():
            finding = evidence.of_endpoint(task, endpoint, arm)
            if not finding or finding.estimate is None:
                continue
            if finding.verdict == "worse" and evidence.is_shown(finding):
                name = finding.named.replace("_", "-")
                turned = "rises" if finding.direction == "lower" else "falls"
                hint = "" if finding.declared else " (exploratory: not declared beforehand)"
                text = (
                    f"On {evidence.named(task)}, {name} {turned} by an estimated "
                    f"{size(finding.estimate, finding.unit)}{hint}: {words[0].lower()}{words[1:]}"
                )
                found.append(Guard(task=task, endpoint=endpoint, because=finding.id, text=text))
    return tuple(found)
