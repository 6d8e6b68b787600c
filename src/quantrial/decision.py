"""The decision, `quantrial.decision/1`: computed from the summary by rules, never written by hand.

Every sentence ends in its evidence: the estimate, the interval, the adjusted p and the finding's id.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from quantrial.errors import StudyError

DECISION_SCHEMA = "quantrial.decision/1"

Document = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Constraints:
    """What the user cannot give up.

    `max_memory` in bytes of weights; `min_speedup` as a ratio of pooled tokens a second to the
    reference's; `tolerate` as the largest acceptable loss, a fraction, in place of the margin;
    `workloads` that matter (all by default).
    """

    max_memory: int | None = None
    min_speedup: float | None = None
    tolerate: float | None = None
    workloads: tuple[str, ...] = ()

    @property
    def any(self) -> bool:
        """Whether anything is constrained."""
        return bool(self.workloads) or any(
            value is not None for value in (self.max_memory, self.min_speedup, self.tolerate)
        )


def decide_from(summary: Document, constraints: Constraints | None = None) -> dict[str, Any]:
    """Turn a summary into a decision.

    Raises:
        StudyError: a constraint names a workload that the study does not have, or is out of range.
    """
    constraints = constraints or Constraints()
    trial = _Trial(summary)
    _check(constraints, trial)
    default = _default(trial)
    decision: dict[str, Any] = {
        "schema": DECISION_SCHEMA,
        "study": summary["study"],
        "methods": summary["methods"],
        "reference": trial.reference,
        "default": default,
        "pick_when": [_pick_when(trial, arm) for arm in trial.cheaper_than(default["arm"])],
        "avoid_for": list(_avoid_for(trial)),
        "stay_when": list(_stay_when(trial)),
        "cautions": list(_cautions(trial)),
        "controls": [_control(trial, arm) for arm in trial.controls],
    }
    if constraints.any:
        decision["constrained"] = _constrained(trial, constraints)
    decision["costs"] = {arm: trial.cost(arm) for arm in trial.by_cost}
    decision["findings"] = trial.findings
    return decision


class _Trial:
    """The summary, asked the questions that decisions are made of."""

    def __init__(self, summary: Document):
        self.summary = summary
        self.reference: str = summary["reference"]
        self.tasks: Mapping[str, Document] = summary["tasks"]
        self.controls = [a for a, arm in summary["arms"].items() if arm.get("control")]
        arms = [arm for arm in summary["arms"] if arm not in self.controls]
        self.by_cost = sorted(arms, key=self._rank)
        self.candidates = [arm for arm in self.by_cost if arm != self.reference]
        self.findings = {
            finding["id"]: finding for finding in _findings(summary) if finding is not None
        }

    def _rank(self, arm: str) -> tuple[float, float]:
        memory = self.summary["arms"][arm]["memory_bytes"]
        return (math.inf if memory is None else memory, -(self.speedup(arm) or 0.0))

    def cost(self, arm: str) -> dict[str, Any]:
        """Say what an arm costs: bytes, the share of the reference's, the speed-up."""
        memory = self.summary["arms"][arm]["memory_bytes"]
        base = self.summary["arms"][self.reference]["memory_bytes"]
        return {
            "memory_bytes": memory,
            "memory_ratio": memory / base if memory and base else None,
            "speedup": self.speedup(arm),
        }

    def speedup(self, arm: str, task: str | None = None) -> float | None:
        """Return the ratio of pooled tokens a second to the reference's, over one task or all."""
        ratios = []
        for name, by_arm in self.summary["speed"].items():
            if task is not None and name != task:
                continue
            own = by_arm.get(arm, {}).get("tokens_per_second")
            base = by_arm.get(self.reference, {}).get("tokens_per_second")
            if own and base:
                ratios.append(own / base)
        # several tasks: the geometric mean, so that no task's token counts decide alone
        return math.exp(sum(map(math.log, ratios)) / len(ratios)) if ratios else None

    def cheaper_than(self, arm: str) -> list[str]:
        """List the candidates that cost less than an arm, the cheapest first."""
        return [a for a in self.by_cost[: self.by_cost.index(arm)] if a != self.reference]

    def primary(self, task: str, arm: str) -> Document | None:
        """Return the finding of an arm against the reference on a task's primary endpoint."""
        endpoint = self.tasks[task]["primary"]
        return self.findings.get(f"{task}.{endpoint}.{arm}.vs.{self.reference}")

    def holds(self, task: str, arm: str) -> bool:
        """Whether an arm was shown to lose less than the margin on a task."""
        finding = self.primary(task, arm)
        return finding is not None and (
            finding["verdict"] in ("equivalent", "non_inferior", "better")
        )

    def worse(self, arm: str) -> list[str]:
        """List the tasks on which an arm was found worse."""
        return [
            task
            for task in self.tasks
            if (finding := self.primary(task, arm)) and finding["verdict"] == "worse"
        ]

    def open(self, arm: str) -> list[str]:
        """List the tasks on which nothing was shown for an arm."""
        return [t for t in self.tasks if not self.holds(t, arm) and t not in self.worse(arm)]

    def workload(self, task: str) -> str:
        """Return the class of work a task stands for."""
        return str(self.tasks[task]["workload"])


def _findings(summary: Document) -> Iterator[dict[str, Any] | None]:
    for task, part in summary["tasks"].items():
        for endpoint, results in part["endpoints"].items():
            by_pair = {(e["reference"], e["candidate"]): e for e in results["equivalence"]}
            for contrast in results["contrasts"]:
                test = by_pair[contrast["reference"], contrast["candidate"]]
                yield {
                    "id": contrast["id"],
                    "kind": "verdict" if endpoint == part["primary"] else "secondary",
                    "task": task,
                    "workload": part["workload"],
                    "endpoint": endpoint,
                    "reference": contrast["reference"],
                    "candidate": contrast["candidate"],
                    "estimate": contrast["estimate"],
                    "ci": contrast["ci"],
                    "confidence": contrast["confidence"],
                    "p_value": contrast["p_value"],
                    "p_adjusted": contrast["p_adjusted"],
                    "p_method": contrast["p_method"],
                    "margin": test["margin"],
                    "equivalence_ci": test["ci"],
                    "equivalence_confidence": test["confidence"],
                    "equivalence_p": test["p_value"],
                    "equivalence_p_adjusted": test["p_adjusted"],
                    "non_inferiority_p": test["p_non_inferior"],
                    "non_inferiority_p_adjusted": test["p_non_inferior_adjusted"],
                    "n": contrast["n"],
                    "verdict": contrast["verdict"],
                    "items_needed": contrast["items_needed"],
                }


# --- words -------------------------------------------------------------------------------------


def _pp(value: float | None) -> str:
    """Write a difference of fractions in percentage points, with its sign."""
    return "unknown" if value is None else f"{100 * value:+.1f}".replace("-", "−") + " pp"


def _p(value: float | None) -> str:
    if value is None:
        return "p unknown"
    return "p < .001" if value < 0.001 else f"p = {value:.3f}".replace("0.", ".")


def evidence(finding: Document) -> str:
    """Write a finding as the end of a sentence: estimate, interval, adjusted p, id."""
    low, high = finding["ci"]
    level = round(100 * finding["confidence"])
    interval = (
        f"{level} % interval {_pp(low)} to {_pp(high)}"
        if low is not None
        else f"no {level} % interval: the arms hardly differ on these items"
    )
    tests = f"adjusted {_p(finding['p_adjusted'])} for a difference"
    if finding["verdict"] == "equivalent":
        tests += f", adjusted {_p(finding['equivalence_p_adjusted'])} for equivalence"
    elif finding["verdict"] in ("non_inferior", "inconclusive"):
        tests += f", adjusted {_p(finding['non_inferiority_p_adjusted'])} for non-inferiority"
    name = finding["endpoint"].replace("_", "-")
    return f"{name} {_pp(finding['estimate'])}, {interval}, {tests} [{finding['id']}]"


def _listed(words: Iterable[str]) -> str:
    unique = list(dict.fromkeys(words))
    return unique[0] if len(unique) == 1 else ", ".join(unique[:-1]) + " and " + unique[-1]


def _saving(trial: _Trial, arm: str, *, other: str | None = None) -> str:
    """Say what an arm saves against another one (the reference)."""
    other = other or trial.reference
    own, base = trial.cost(arm), trial.cost(other)
    parts = []
    if own["memory_bytes"] and base["memory_bytes"]:
        share = own["memory_bytes"] / base["memory_bytes"]
        parts.append(f"{100 * share:.0f} % of the memory")
    if own["speedup"] and base["speedup"]:
        parts.append(f"{own['speedup'] / base['speedup']:.2f} times the decoding speed")
    return " and ".join(parts) or "a cost this study did not measure"


# --- rules -------------------------------------------------------------------------------------


def _default(trial: _Trial) -> dict[str, Any]:
    for arm in trial.candidates:
        if trial.by_cost.index(arm) > trial.by_cost.index(trial.reference):
            continue
        if trial.tasks and all(trial.holds(task, arm) for task in trial.tasks):
            found = [f for task in trial.tasks if (f := trial.primary(task, arm))]
            shown = _listed(f["verdict"].replace("_", "-") for f in found)
            text = (
                f"Ship {arm}. It needs {_saving(trial, arm)} of {trial.reference}, and on "
                f"{_listed(map(trial.workload, trial.tasks))} it is shown to be {shown}: "
                f"{'; '.join(map(evidence, found))}."
            )
            return {"arm": arm, "because": [f["id"] for f in found], "text": text, "missing": []}
    missing = [
        _missing(trial, task, arm)
        for arm in trial.candidates
        for task in trial.tasks
        if not trial.holds(task, arm)
    ]
    because = [one["because"] for one in missing if one["because"]]
    text = (
        f"Stay with {trial.reference}. No cheaper arm is shown to lose less than the margin on every "
        "task: " + " ".join(one["text"] for one in missing)
    )
    return {"arm": trial.reference, "because": because, "text": text, "missing": missing}


def _missing(trial: _Trial, task: str, arm: str) -> dict[str, Any]:
    finding = trial.primary(task, arm)
    workload = trial.workload(task)
    if finding is None:
        text = f"{arm} and {trial.reference} share no answered item on {workload}."
        return {"arm": arm, "task": task, "because": None, "items_needed": None, "text": text}
    if finding["verdict"] == "worse":
        text = f"{arm} is worse on {workload} ({evidence(finding)})."
        return {
            "arm": arm, "task": task, "because": finding["id"], "items_needed": None, "text": text
        }  # fmt: skip
    needed = finding["items_needed"] or {}
    counts = [count for count in needed.values() if count]
    if counts and (most := max(min(counts) - finding["n"], 0)):
        settle = (
            f"about {most:,} more items would settle it with 80 % chance if the truth is as seen"
        )
    elif counts:
        settle = "a repetition of this size has an 80 % chance to settle it if the truth is as seen"
    elif finding["estimate"] <= -finding["margin"]:
        settle = "the loss seen is itself beyond the margin, so more items will hardly show less"
    else:
        settle = "how many items would settle it cannot be told from so few changed answers"
    text = f"{arm} is undecided on {workload} ({evidence(finding)}); {settle}."
    return {
        "arm": arm,
        "task": task,
        "because": finding["id"],
        "items_needed": min(counts) if counts else None,
        "text": text,
    }


def _pick_when(trial: _Trial, arm: str) -> dict[str, Any]:
    worse, unsettled = trial.worse(arm), trial.open(arm)
    guards = [guard for task in trial.tasks for guard in _guards(trial, task, arm)]
    conditions = []
    if worse:
        conditions.append(
            f"the work is not {_listed(map(trial.workload, worse))}, where it is worse ("
            + "; ".join(evidence(f) for t in worse if (f := trial.primary(t, arm)))
            + ")"
        )
    if unsettled:
        parts = []
        for task in unsettled:
            finding = trial.primary(task, arm)
            floor = finding["equivalence_ci"][0] if finding else None
            most = f"a loss of up to {_pp(floor).lstrip('−')}" if floor is not None else "a loss"
            said = f" ({evidence(finding)})" if finding else ""
            parts.append(f"{most} on {trial.workload(task)}{said}")
        conditions.append(f"you accept what is not ruled out: {_listed(parts)}")
    text = (
        f"Pick {arm} only when memory or speed binds ({_saving(trial, arm)} of {trial.reference})"
    )
    text += "".join(f", and {condition}" for condition in conditions) + "."
    text += "".join(f" {guard['text']}" for guard in guards)
    because = [f["id"] for t in trial.tasks if (f := trial.primary(t, arm))]
    because += [guard["because"] for guard in guards if guard["because"] not in because]
    return {
        "arm": arm,
        "worse_on": sorted({trial.workload(t) for t in worse}),
        "undecided_on": sorted({trial.workload(t) for t in unsettled}),
        "because": because,
        "guards": guards,
        "text": text,
    }


# What a shift in a secondary endpoint means, and what catches it in production.
_GUARDS = {
    "precision": "It invents entities: schema validation will not see that; check that every text it "
    "returns stands in the input, and sample inputs without entities",
    "recall": "It misses entities: no validator sees what is absent; audit a sample against gold",
    "parse_rate": "It breaks the output format: validate the JSON and retry, or constrain decoding",
}


def _guards(trial: _Trial, task: str, arm: str) -> Iterator[dict[str, Any]]:
    for endpoint, words in _GUARDS.items():
        finding = trial.findings.get(f"{task}.{endpoint}.{arm}.vs.{trial.reference}")
        if finding is not None and finding["verdict"] == "worse":
            yield {
                "task": task,
                "endpoint": endpoint,
                "because": finding["id"],
                "text": f"{words} ({evidence(finding)}).",
            }


def _avoid_for(trial: _Trial) -> Iterator[dict[str, Any]]:
    for arm in trial.candidates:
        for task in trial.worse(arm):
            finding = trial.primary(task, arm)
            if finding is None:
                continue
            guards = [guard["text"] for guard in _guards(trial, task, arm)]
            yield {
                "arm": arm,
                "workload": trial.workload(task),
                "task": task,
                "because": finding["id"],
                "text": " ".join(
                    [f"Avoid {arm} for {trial.workload(task)}: {evidence(finding)}.", *guards]
                ),
            }


def _stay_when(trial: _Trial) -> Iterator[dict[str, Any]]:
    for arm in trial.candidates:
        short = [
            finding
            for task in trial.tasks
            if (finding := trial.primary(task, arm)) and finding["verdict"] != "equivalent"
        ]
        if short:
            yield {
                "arm": trial.reference,
                "instead_of": arm,
                "because": [finding["id"] for finding in short],
                "text": f"Stay with {trial.reference} instead of {arm} when accuracy binds: not shown "
                f"equivalent on {_listed(f['workload'] for f in short)} "
                f"({'; '.join(map(evidence, short))}).",
            }
        speedup = trial.speedup(arm)
        if speedup is not None and speedup <= 1.0:
            yield {
                "arm": trial.reference,
                "instead_of": arm,
                "because": [],
                "text": f"Stay with {trial.reference} instead of {arm} when only speed matters: {arm} "
                f"decodes at {speedup:.2f} times the reference's speed here.",
            }


def _control(trial: _Trial, arm: str) -> dict[str, Any]:
    worse = trial.worse(arm)
    found = [f for task in trial.tasks if (f := trial.primary(task, arm))]
    if worse:
        shown = [f for f in found if f["verdict"] == "worse"]
        text = (
            f"The trial can see harm: the positive control {arm} is found worse on "
            f"{_listed(map(trial.workload, worse))} ({'; '.join(map(evidence, shown))})."
        )
    else:
        text = (
            f"Caution: the positive control {arm} is damaged on purpose and was not found worse on any "
            "task, so this trial could have missed real harm. Use more or harder items before acting."
        )
    return {
        "arm": arm,
        "found_worse": bool(worse),
        "because": [f["id"] for f in found],
        "text": text,
    }


def _cautions(trial: _Trial) -> Iterator[dict[str, Any]]:
    for task, part in trial.tasks.items():
        own = part["endpoints"][part["primary"]]["arms"].get(trial.reference)
        if own is None:
            yield {"task": task, "text": f"{trial.reference} answered nothing on {task}."}
            continue
        floor, low = part.get("chance") or 0.0, own["ci"][0]
        if low is not None and low <= floor:
            yield {
                "task": task,
                "text": f"On {task} the reference itself is not above its floor ({100 * floor:.0f} %): "
                "a loss could not show there.",
            }
        flow = part["flow"]
        if flow["missing"]:
            yield {
                "task": task,
                "text": f"{flow['missing']} of {flow['planned']} planned calls on {task} are not asked "
                "yet: this is a look at an unfinished run.",
            }
        if flow["faulted"]:
            yield {
                "task": task,
                "text": f"{flow['faulted']} of {flow['planned']} calls on {task} ended in a fault and "
                "are left out, with their pairs.",
            }


# --- constraints -------------------------------------------------------------------------------


def _check(constraints: Constraints, trial: _Trial) -> None:
    known = sorted({trial.workload(task) for task in trial.tasks})
    for workload in constraints.workloads:
        if workload not in known:
            raise StudyError(
                f"no task of this study stands for {workload!r}; its workloads are {', '.join(known)}",
                key="workload",
            )
    if constraints.tolerate is not None and not 0 < constraints.tolerate < 1:
        raise StudyError("must lie between 0 and 1 (or 0pp and 100pp)", key="tolerate")
    if constraints.max_memory is not None and constraints.max_memory <= 0:
        raise StudyError("must be above 0 bytes", key="max_memory")
    if constraints.min_speedup is not None and constraints.min_speedup <= 0:
        raise StudyError("must be above 0", key="min_speedup")


def _constrained(trial: _Trial, constraints: Constraints) -> dict[str, Any]:
    """Pick the cheapest arm that breaks no constraint, or name the nearest miss."""
    tasks = [
        task
        for task in trial.tasks
        if not constraints.workloads or trial.workload(task) in constraints.workloads
    ]
    broken = {arm: _broken(trial, arm, tasks, constraints) for arm in trial.by_cost}
    pick = next((arm for arm in trial.by_cost if not broken[arm]), None)
    nearest = min(broken, key=lambda arm: (len(broken[arm]), trial.by_cost.index(arm)))
    if pick is not None:
        found = [] if pick == trial.reference else [trial.primary(task, pick) for task in tasks]
        said = "; ".join(evidence(f) for f in found if f)
        text = f"Under these constraints: {pick}" + (f" ({said})." if said else ".")
        because = [f["id"] for f in found if f]
    else:
        text = (
            f"No arm satisfies these constraints. The nearest is {nearest}; it breaks: "
            + "; ".join(one["text"] for one in broken[nearest])
            + "."
        )
        because = [one["because"] for one in broken[nearest] if one["because"]]
    return {
        "constraints": asdict(constraints),
        "pick": pick,
        "nearest": nearest,
        "because": because,
        "rejected": [{"arm": arm, "breaks": reasons} for arm, reasons in broken.items() if reasons],
        "text": text,
    }


def _broken(
    trial: _Trial, arm: str, tasks: Sequence[str], constraints: Constraints
) -> list[dict[str, Any]]:
    reasons: list[dict[str, Any]] = []

    def breaks(constraint: str, text: str, because: str | None = None) -> None:
        reasons.append({"constraint": constraint, "text": text, "because": because})

    cost = trial.cost(arm)
    if constraints.max_memory is not None:
        memory = cost["memory_bytes"]
        if memory is None:
            breaks("max_memory", f"the memory of {arm} is not known")
        elif memory > constraints.max_memory:
            breaks(
                "max_memory", f"{arm} needs {memory:,} bytes of {constraints.max_memory:,} allowed"
            )
    if constraints.min_speedup is not None:
        speedup = cost["speedup"]
        if speedup is None:
            breaks("min_speedup", f"the speed of {arm} is not known")
        elif speedup < constraints.min_speedup:
            breaks(
                "min_speedup",
                f"{arm} decodes at {speedup:.2f} times the reference's speed, "
                f"{constraints.min_speedup:.2f} asked",
            )
    if arm == trial.reference:
        return reasons
    for task in tasks:
        finding = trial.primary(task, arm)
        if constraints.tolerate is None:
            if not trial.holds(task, arm):
                said = evidence(finding) if finding else "no shared item"
                breaks(
                    "quality",
                    f"{arm} is not shown to keep the margin on {trial.workload(task)} ({said})",
                    finding["id"] if finding else None,
                )
            continue
        floor = finding["equivalence_ci"][0] if finding else None
        if finding is None or floor is None or floor < -constraints.tolerate:
            said = evidence(finding) if finding else "no shared item"
            breaks(
                "tolerate",
                f"{arm} may lose more than {100 * constraints.tolerate:.1f} pp on "
                f"{trial.workload(task)} ({said})",
                finding["id"] if finding else None,
            )
    return reasons
