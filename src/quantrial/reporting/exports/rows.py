"""Results as rows: one for each arm on each endpoint, beside its contrast with the reference."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import orjson

from quantrial.findings import adjusted_p
from quantrial.inert import clean

if TYPE_CHECKING:
    from quantrial.study import Study

Document = Mapping[str, Any]

# What each row holds; fractions, and null where something is not known or does not apply.
COLUMNS = (
    *("study", "task", "workload", "endpoint", "primary", "arm", "reference", "control"),
    *("n", "estimate", "low", "high", "confidence"),
    *("difference", "difference_low", "difference_high", "difference_confidence", "pairs"),
    *("p_value", "p_adjusted", "margin", "equivalence_low", "equivalence_high", "verdict"),
    *("memory_bytes", "speedup", "finding"),
)


def rows(summary: Document, decision: Document) -> Iterator[dict[str, Any]]:
    """Yield the rows of a summary: tasks, endpoints and arms in their order; texts are inert."""
    reference = summary["reference"]
    for task, part in summary["tasks"].items():
        for endpoint, results in part["endpoints"].items():
            against = _against(results["contrasts"], reference)
            tests = _against(results["equivalence"], reference)
            for arm, own in results["arms"].items():
                row: dict[str, Any] = dict.fromkeys(COLUMNS)
                cost = decision["costs"].get(arm, {})
                row |= {
                    "study": summary["study"]["name"],
                    "task": task,
                    "workload": clean(part["workload"]),
                    "endpoint": endpoint,
                    "primary": endpoint == part["primary"],
                    "arm": arm,
                    "reference": reference,
                    "control": bool(summary["arms"][arm].get("control")),
                    "n": own["n"],
                    "estimate": own["estimate"],
                    "low": own["ci"][0],
                    "high": own["ci"][1],
                    "confidence": own["confidence"],
                    "memory_bytes": summary["arms"][arm]["memory_bytes"],
                    "speedup": cost.get("speedup"),
                }
                if arm in against:
                    row |= _contrast(against[arm], tests[arm])
                yield row


def _against(contrasts: list[Document], reference: str) -> dict[str, Document]:
    return {one["candidate"]: one for one in contrasts if one["reference"] == reference}


def _contrast(one: Document, test: Document) -> dict[str, Any]:
    return {
        "difference": one["estimate"],
        "difference_low": one["ci"][0],
        "difference_high": one["ci"][1],
        "difference_confidence": one["confidence"],
        "pairs": one["n"],
        "p_value": one["p_value"],
        "p_adjusted": adjusted_p(one),
        "margin": test["margin"],
        "equivalence_low": test["ci"][0],
        "equivalence_high": test["ci"][1],
        "verdict": one["verdict"],
        "finding": one["id"],
    }


def as_json(study: Study, summary: Document, decision: Document) -> str:
    """Write the rows as a JSON array of objects."""
    found = list(rows(summary, decision))
    return orjson.dumps(found, option=orjson.OPT_INDENT_2).decode() + "\n"


def as_csv(study: Study, summary: Document, decision: Document) -> str:
    """Write the rows as CSV; a text that a spreadsheet would run as a formula is quoted off."""
    written = io.StringIO()
    writer = csv.DictWriter(written, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for row in rows(summary, decision):
        writer.writerow({key: _cell(value) for key, value in row.items()})
    return written.getvalue()


def _cell(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, str):
        return value
    return f"'{value}" if value.lstrip()[:1] in ("=", "+", "-", "@") else value
