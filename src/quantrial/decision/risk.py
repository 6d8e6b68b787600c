"""Risk in the user's units: wrong answers in 1,000 requests, and money in a million."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from quantrial.agreement import fixed
from quantrial.decision.trial import Trial
from quantrial.decision.unanswered import not_counted
from quantrial.decision.words import Document, entry

# What makes an answer right, by kind of task: a share of items.
_RIGHT: dict[str, str] = {"choice": "accuracy", "spans": "exact_match"}
_MILLION = 1_000_000


def risk(trial: Trial, settings: Document) -> list[dict[str, Any]]:
    """Say what each candidate in place of the reference would cost, workload by workload.

    Each entry has `extra_errors_per_1000` (`estimate`, `low`, `high`: the interval of the
    difference; null where there is none) and, where something has a price, `per_million`:
    `errors` and `net` with their intervals, and `machine`. Positive costs more. The machine's part
    is the mean seconds an answer took here, one request at a time, at the price of its hour; it is
    taken as known, so the interval of `net` is that of the errors alone.
    """
    return list(_entries(trial, settings))


def _entries(trial: Trial, settings: Document) -> Iterator[dict[str, Any]]:
    for task, part in trial.tasks.items():
        for arm in trial.candidates:
            if arm in trial.twins or arm in trial.other_prompts:
                continue
            finding = trial.secondary(task, _RIGHT.get(part["kind"], str(part["primary"])), arm)
            if finding is None or finding["estimate"] is None:
                continue
            extra = _scaled(finding, 1000)
            money = _money(trial, settings, task, arm, finding)
            yield entry(
                " ".join([_errors(trial, task, arm, extra, finding), *_priced(money)]),
                [finding],
                arm=arm,
                task=task,
                workload=trial.workload(task),
                endpoint=finding["endpoint"],
                confidence=finding["confidence"],
                extra_errors_per_1000=extra,
                per_million=money,
            )


def _scaled(finding: Document, factor: float) -> dict[str, float | None]:
    """Turn a difference, where negative is a loss, into so many more errors."""
    low, high = finding["ci"]
    return {
        "estimate": 0.0 - factor * finding["estimate"],
        "low": None if high is None else 0.0 - factor * high,
        "high": None if low is None else 0.0 - factor * low,
    }


def _money(
    trial: Trial, settings: Document, task: str, arm: str, finding: Document
) -> dict[str, Any] | None:
    """Price errors and machine time of a million requests; None where nothing has a price."""
    error = settings.get("error_cost")
    errors = None if error is None else _scaled(finding, _MILLION * error)
    machine = _machine(trial, settings, task, arm)
    if errors is None and machine is None:
        return None
    parts = errors or dict.fromkeys(("estimate", "low", "high"), 0.0)
    net = {key: None if one is None else one + (machine or 0.0) for key, one in parts.items()}
    return {"errors": errors, "machine": machine, "net": net}


def _machine(trial: Trial, settings: Document, task: str, arm: str) -> float | None:
    by_arm, common = settings.get("cost_per_hour_by") or {}, settings.get("cost_per_hour")
    cost: list[float] = []
    for one in (arm, trial.reference):
        hour, seconds = by_arm.get(one, common), trial.latency(task, one)
        if hour is None or seconds is None:
            return None
        cost.append(hour * seconds * _MILLION / 3600.0)
    return cost[0] - cost[1]


def _errors(trial: Trial, task: str, arm: str, extra: Document, finding: Document) -> str:
    fewer = extra["estimate"] < 0
    count = _count(abs(extra["estimate"]))
    said = f"{count} {'fewer' if fewer else 'more'} wrong answers than {trial.reference}"
    if extra["estimate"] == 0:
        said = f"as many wrong answers as {trial.reference}"
    level = f"{round(100 * finding['confidence'], 1):g} %"
    if extra["low"] is None or extra["high"] is None:
        interval = f"no {level} interval: too little differs"
    else:
        interval = f"{level} interval: {_span(extra)}"
    what = "" if finding["kind"] == "primary" else " (not wholly right)"
    expected = f"expect {said}{what} from {arm} ({interval})."
    return f"In 1,000 requests of {trial.named(task)}, {expected}{not_counted(finding)}"


def _span(extra: Document) -> str:
    low, high = extra["low"], extra["high"]
    if low >= 0:
        return f"{_count(low)} to {_count(high)} more"
    if high <= 0:
        return f"{_count(-high)} to {_count(-low)} fewer"
    return f"{_count(-low)} fewer to {_count(high)} more"


def _count(value: float) -> str:
    return fixed(value, 0, ",") if value >= 9.95 or value == 0 else fixed(value, 1)


def _priced(money: Document | None) -> Iterator[str]:
    if money is None:
        return
    parts = []
    if money["errors"] is not None:
        parts.append(f"errors would cost {_more(money['errors']['estimate'])}")
    if money["machine"] is not None:
        parts.append(f"the machine {'' if parts else 'would cost '}{_more(money['machine'])}")
    said, net = f"In a million such requests {' and '.join(parts)}", money["net"]
    if len(parts) == 2:
        said += f", in all {_more(net['estimate'])}"
    if money["errors"] is not None and net["low"] is not None and net["high"] is not None:
        said += f" (interval: {_more(net['low'])} to {_more(net['high'])})"
    yield f"{said}."


def _more(value: float) -> str:
    amount = fixed(abs(value), 0, ",") if abs(value) >= 99.5 else fixed(abs(value), 2, ",")
    return f"{amount} {'less' if value < 0 else 'more'}"
