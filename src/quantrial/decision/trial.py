"""The summary, asked the questions that decisions are made of."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from typing import Any

from quantrial.decision.words import Document, ratio

SHOWN = ("equivalent", "non_inferior", "better")  # verdicts that rule out a loss of the margin


class Trial:
    """A summary with its findings by id and its arms by cost.

    Arms that are controls are kept apart: they are never candidates.
    """

    def __init__(self, summary: Document):
        self.summary = summary
        self.reference: str = summary["reference"]
        self.tasks: dict[str, Document] = dict(summary["tasks"])
        self.controls = [a for a, arm in summary["arms"].items() if arm.get("control")]
        arms = [arm for arm in summary["arms"] if arm not in self.controls]
        self.by_cost = sorted(arms, key=self._rank)
        self.candidates = [arm for arm in self.by_cost if arm != self.reference]
        self.cheaper = self.by_cost[: self.by_cost.index(self.reference)]
        self.findings = {finding["id"]: finding for finding in _findings(summary)}

    def _rank(self, arm: str) -> tuple[float, float, float]:
        """Order by memory; where no file was seen, by the bits its type names; then by speed."""
        record = self.summary["arms"][arm]
        memory = record["memory_bytes"]
        bits = re.search(r"\d+", record["quantization"] or arm)
        return (
            math.inf if memory is None else memory,
            float(bits[0]) if bits else math.inf,
            -(self.speedup(arm) or 0.0),
        )

    def cost(self, arm: str) -> dict[str, Any]:
        """Say what an arm costs: bytes, the share of the reference's, the speed-up."""
        memory = self.summary["arms"][arm]["memory_bytes"]
        base = self.summary["arms"][self.reference]["memory_bytes"]
        return {
            "memory_bytes": memory,
            "memory_ratio": memory / base if memory and base else None,
            "speedup": self.speedup(arm),
        }

    def speedup(self, arm: str) -> float | None:
        """Return the ratio of pooled tokens a second to the reference's, over all tasks.

        The geometric mean over tasks, so that no task's number of tokens decides alone.
        """
        ratios = []
        for by_arm in self.summary["speed"].values():
            own = by_arm.get(arm, {}).get("tokens_per_second")
            base = by_arm.get(self.reference, {}).get("tokens_per_second")
            if own and base:
                ratios.append(own / base)
        return math.exp(sum(map(math.log, ratios)) / len(ratios)) if ratios else None

    def saving(self, arm: str) -> str:
        """Say in words what an arm costs beside the reference."""
        cost, parts = self.cost(arm), []
        if cost["memory_ratio"]:
            parts.append(f"{100 * cost['memory_ratio']:.0f} % of the memory")
        if cost["speedup"]:
            parts.append(f"{ratio(cost['speedup'])} the decoding speed")
        return " and ".join(parts) or "a cost that this study did not measure"

    def cheaper_than(self, arm: str) -> list[str]:
        """List the candidates that cost less than an arm, the cheapest first."""
        return [a for a in self.by_cost[: self.by_cost.index(arm)] if a != self.reference]

    def primary(self, task: str, arm: str) -> Document | None:
        """Return the finding of an arm against the reference on a task's primary endpoint."""
        endpoint = self.tasks[task]["primary"]
        return self.findings.get(f"{task}.{endpoint}.{arm}.vs.{self.reference}")

    def secondary(self, task: str, endpoint: str, arm: str) -> Document | None:
        """Return the finding of an arm against the reference on any endpoint."""
        return self.findings.get(f"{task}.{endpoint}.{arm}.vs.{self.reference}")

    def holds(self, task: str, arm: str) -> bool:
        """Whether a loss of the margin is ruled out for an arm on a task."""
        finding = self.primary(task, arm)
        return finding is not None and finding["verdict"] in SHOWN

    def worse(self, arm: str) -> list[str]:
        """List the tasks on which an arm was found worse."""
        return [
            task
            for task in self.tasks
            if (finding := self.primary(task, arm)) and finding["verdict"] == "worse"
        ]

    def undecided(self, arm: str) -> list[str]:
        """List the tasks on which nothing was shown for an arm."""
        return [t for t in self.tasks if not self.holds(t, arm) and t not in self.worse(arm)]

    def workload(self, task: str) -> str:
        """Return the class of work a task stands for."""
        return str(self.tasks[task]["workload"])

    def workloads(self, tasks: Sequence[str]) -> list[str]:
        """Return the classes of work of several tasks."""
        return [self.workload(task) for task in tasks]


def _findings(summary: Document) -> Iterator[dict[str, Any]]:
    """Yield a finding for every contrast, with its test of equivalence beside it."""
    for task, part in summary["tasks"].items():
        for endpoint, results in part["endpoints"].items():
            by_pair = {(e["reference"], e["candidate"]): e for e in results["equivalence"]}
            for contrast in results["contrasts"]:
                test = by_pair[contrast["reference"], contrast["candidate"]]
                yield {
                    "id": contrast["id"],
                    "kind": "primary" if endpoint == part["primary"] else "secondary",
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
