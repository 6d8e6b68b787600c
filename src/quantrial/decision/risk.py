"""Risk in the user's units: wrong answers in 1,000 requests, and money in a million.

Beside it, failure modes that are shown for an arm, and what catches each in production.
"""

from __future__ import annotations

from collections.abc import Iterator

from quantrial.agreement import fixed
from quantrial.decision.evidence import Evidence, cited
from quantrial.decision.open_questions import not_counted
from quantrial.documents.decision import Amount, Constraints, Finding, Guard, Money, Risk
from quantrial.registry import kind_of
from quantrial.words import endpoint, level, listed, size

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
            kind = kind_of(part)
            right = kind.right or part.primary
            shares = {one.name for one in kind.endpoints if one.type == "proportion"}
            if kind.samples > 1 and part.main.unit is None:  # what one answer of several is
                right, shares = part.primary, {part.primary}
            finding = evidence.of_endpoint(task, right, arm)
            if finding is None or finding.estimate is None or right not in shares:
                continue  # what is no share of answers counts no wrong ones
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
    error = settings.error_cost if finding.again is None else None
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
    low, high, at = extra.low, extra.high, level(finding.confidence)
    if finding.again is not None:
        return _changes(evidence, task, arm, extra, finding)
    wrong = "wrong" if finding.kind == "primary" else "partly or wholly wrong"
    than, fewer = evidence.reference, extra.estimate < 0
    many = f"{_count(abs(extra.estimate))} {'fewer' if fewer else 'more'}"
    seen = f"gets about {many} {wrong} than {than}"
    if extra.estimate == 0:
        seen = f"gets as many {wrong} as {than}"
    if low is None or high is None:
        said = f"{seen}. Too little differs for an interval"
    elif low < 0 < high:
        least, most = _count(-low), _count(high)
        span = f"{most} more or fewer" if least == most else f"{most} more or {least} fewer"
        said = f"may get up to {span} {wrong} than {than} ({at} interval)"
    else:
        ends = (
            f"{_count(low)} to {_count(high)} more"
            if low >= 0
            else f"{_count(-high)} to {_count(-low)} fewer"
        )
        said = f"{seen} ({at} interval: {ends})"
    return f"Of 1,000 requests of {evidence.named(task)}, {arm} {said}.{not_counted(finding)}"


def _changes(evidence: Evidence, task: str, arm: str, extra: Amount, finding: Finding) -> str:
    """Say how many more answers change than the reference's own do when it is asked again."""
    low, high, itself = extra.low, extra.high, f"{evidence.reference} itself"
    many = f"{_count(abs(extra.estimate))} {'fewer' if extra.estimate < 0 else 'more'}"
    said = f"changes about {many} answers than {itself}"
    if extra.estimate == 0:
        said = f"changes as many answers as {itself}"
    if low is None or high is None:
        said += ". Too little differs for an interval"
    else:
        ends = listed(f"{_count(abs(end))} {'fewer' if end < 0 else 'more'}" for end in (low, high))
        said += f" ({level(finding.confidence)} interval: {ends.replace(' and ', ' to ')})"
    return f"Of 1,000 requests of {evidence.named(task)}, {arm} {said}.{not_counted(finding)}"


def _count(value: float) -> str:
    return fixed(value, 0, ",") if value >= 9.95 or value == 0 else fixed(value, 1)


def _priced(money: Money | None) -> Iterator[str]:
    if money is None:
        return
    errors, net = money.errors, money.net
    parts = {
        "for wrong answers": None if errors is None else errors.estimate,
        "for the machine": money.machine,
    }
    known = [f"{_more(value)} {what}" for what, value in parts.items() if value is not None]
    both = len(known) == 2
    said = f"A million such requests cost {f'{_more(net.estimate)} in all' if both else known[0]}"
    if errors is not None and net.low is not None and net.high is not None:
        said += f" (interval: {_more(net.low)} to {_more(net.high)})"
    yield f"{said}: {' and '.join(known)}." if both else f"{said}."


def _more(value: float) -> str:
    amount = fixed(abs(value), 0, ",") if abs(value) >= 99.5 else fixed(abs(value), 2, ",")
    return f"{amount} {'less' if value < 0 else 'more'}"


def mitigations(evidence: Evidence, arm: str) -> tuple[Guard, ...]:
    """Name the failure modes that are shown for an arm, each with what guards against it."""
    found = []
    for task, part in evidence.tasks.items():
        for name, words in kind_of(part).mitigations().items():
            finding = evidence.of_endpoint(task, name, arm)
            if not finding or finding.estimate is None:
                continue
            if finding.verdict == "worse" and evidence.is_shown(finding):
                text = f"On {evidence.named(task)}, {_fails(finding, words)}"
                found.append(Guard(task=task, endpoint=name, because=finding.id, text=text))
    return tuple(found)


def _fails(finding: Finding, words: str) -> str:
    """Say how an arm fails, with the size of it, and what guards against that."""
    loss = size(finding.estimate or 0.0, finding.unit)
    hint = "" if finding.declared else " (exploratory: not planned before the run)"
    if "{loss}" not in words:  # they say what it means, and not how much it is
        turned = "rises" if finding.direction == "lower" else "falls"
        name = endpoint(finding.named)
        return f"the {name} of {finding.candidate} {turned} by {loss}{hint}. {words}"
    words = words.replace("{loss}", loss).replace("{reference}", finding.reference)
    means, _, remedy = words.removeprefix("It ").partition(". ")
    return f"{finding.candidate} {means}{hint}. {remedy}"
