"""The block `model-index` of a model card of the Hugging Face hub: results of each arm."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from quantrial.inert import clean
from quantrial.precision import stated_of, weights_in_words
from quantrial.reporting.exports.rows import rows
from quantrial.strict_yaml import write_yaml

if TYPE_CHECKING:
    from quantrial.study import Study

Document = Mapping[str, Any]

# The hub's own names of tasks, by kind of task.
_TASKS = {"choice": "multiple-choice", "spans": "token-classification"}
_METRICS = {"micro_f1": "f1", "accuracy": "accuracy", "precision": "precision", "recall": "recall"}


def model_card(study: Study, summary: Document, decision: Document) -> str:
    """Write the front matter that names every arm but controls, with its results.

    Values are fractions. `args` of a metric say what the hub has no key for: the interval, and the
    paired difference from the reference with its interval, margin and verdict.
    """
    found = [row for row in rows(summary, decision) if not row["control"]]
    index = [
        {
            "name": clean(arm),
            "results": [_result(study, summary, task, arm, found) for task in summary["tasks"]],
        }
        for arm in summary["arms"]
        if any(row["arm"] == arm for row in found)
    ]
    block = write_yaml({"model-index": index}, width=1000)
    return f"---\n{block}---\n"


def _result(
    study: Study, summary: Document, task: str, arm: str, found: list[dict[str, Any]]
) -> dict[str, Any]:
    part = summary["tasks"][task]
    metrics = [
        _metric(row, summary["arms"][arm])
        for row in found
        if (row["arm"], row["task"]) == (arm, task)
    ]
    return {
        "task": {
            "type": _TASKS.get(part["kind"], "text-generation"),
            "name": clean(part["workload"]),
        },
        "dataset": dict(_dataset(study, task)),
        "metrics": [metric for metric in metrics if metric["value"] is not None],
        "source": {
            "name": f"quantrial, study {clean(summary['study']['name'])} "
            f"({summary['study']['hash'][:12]}), {summary['methods']} methods",
            "url": "https://github.com/quantrial/quantrial",
        },
    }


def _dataset(study: Study, task: str) -> Iterator[tuple[str, str]]:
    source = study.tasks[task].source.model_dump(mode="json")
    repo = source.get("repo")
    yield "name", clean(task)
    yield "type", clean(repo) if repo else clean(f"quantrial-{source['type']}")
    for key in ("config", "split", "revision"):
        if source.get(key):
            yield key, clean(str(source[key]))


def _metric(row: Document, record: Document) -> dict[str, Any]:
    args: dict[str, Any] = {"n": row["n"], "interval": [row["low"], row["high"]]}
    args["confidence"] = row["confidence"]
    if record.get("quantized_before") or "type" in stated_of(record):
        args["weights"] = weights_in_words(record)
    if row["finding"] is not None:
        args |= {
            "reference": clean(row["reference"]),
            "difference": row["difference"],
            "difference_interval": [row["difference_low"], row["difference_high"]],
            "margin": row["margin"],
            "verdict": row["verdict"],
        }
    return {
        "type": _METRICS.get(row["endpoint"], row["endpoint"]),
        "name": row["endpoint"],
        "value": row["estimate"],
        "args": args,
    }
