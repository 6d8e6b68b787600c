"""One paragraph of Markdown for a pull request: what to ship, and what it rests on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from quantrial.agreement import fixed
from quantrial.decision.words import left_open
from quantrial.reporting.markdown import code, escape
from quantrial.words import (
    VERDICT_WORDS,
    listed,
    memory_noun,
    plural,
    points,
    points_interval,
    ratio,
)

if TYPE_CHECKING:
    from quantrial.study import Study

Document = Mapping[str, Any]

_DOUBTS = 3  # are written out; the report holds all


def paragraph(study: Study, summary: Document, decision: Document) -> str:
    """Write the pick, each other arm on each workload, what is in doubt, and how to check it."""
    given = decision.get("constrained")
    opening = (given or decision["default"])["text"].split(":")[0].split(". ")[0].rstrip(".")
    items = listed(
        [
            f"{plural(part['flow']['analysed_items'], 'item')} of {part['workload']}"
            for part in summary["tasks"].values()
        ]
    )
    arms = " ".join(f"{_arm(summary, decision, arm)}." for arm in decision["costs"])
    check = (
        f"Study {code(summary['study']['name'])} ({code(summary['study']['hash'][:12])}), "
        f"{escape(summary['methods'])} methods; {code('quantrial verify RUN')} derives every "
        "number again."
    )
    said = "".join(f" {one}" for one in _doubts(decision))
    return f"**{escape(opening)}**, after {escape(items)}. {arms}{said} {check}\n"


def _doubts(decision: Document) -> Iterator[str]:
    """Say what puts the trial in doubt; of what rests on a finding the report tells."""
    texts = [one["text"] for one in decision["cautions"] if not one["because"]]
    if texts:
        yield f"**Caution:** {escape(' '.join(texts[:_DOUBTS]))}"
    if len(texts) > _DOUBTS:
        yield f"{plural(len(texts) - _DOUBTS, 'caution')} more in the report."


def _arm(summary: Document, decision: Document, arm: str) -> str:
    if arm == summary["reference"]:
        return f"{code(arm)} is the reference"
    cost = decision["costs"][arm]
    held = memory_noun(decision["picker"].get("memory_source"))
    share = cost["memory_ratio"]
    has = [
        *([f"{fixed(100 * share, 0)} % of the {held}"] if share else []),
        *([f"{ratio(cost['speedup'])} the speed"] if cost["speedup"] else []),
    ]
    costs = f" ({escape(' and '.join(has))})" if has else ""
    said = listed(list(_standings(summary, decision, arm))) or "was not compared"
    return f"{code(arm)}{costs} {said}"


def _standings(summary: Document, decision: Document, arm: str) -> Iterator[str]:
    for task, part in summary["tasks"].items():
        row = decision["picker"]["tasks"][task]["arms"][arm]
        if row["finding"] is None:
            continue
        finding = decision["findings"][row["finding"]]
        word = left_open(row) or VERDICT_WORDS.get(finding["verdict"], finding["verdict"])
        own = "equivalence_" if finding["verdict"] in ("equivalent", "non_inferior") else ""
        level = f"{round(100 * finding[f'{own}confidence'], 1):g} %"
        yield (
            f"is {escape(word)} on {escape(part['workload'])} "
            f"({points(finding['estimate'])}, {level} interval "
            f"{points_interval(finding[f'{own}ci'])})"
        )
