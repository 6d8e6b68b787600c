"""Pairs of arms that cannot be told apart: one file, or the same answers to the byte."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from quantrial.assay_setup import run_otherwise

Document = Mapping[str, Any]


def twins(
    arms: Mapping[str, Document], tasks: Mapping[str, Document], *, engines: bool = False
) -> Iterator[dict[str, Any]]:
    """Name each pair of arms that is one file asked in one way, or that gave the same answers.

    Args:
        arms: the manifest's record of each arm, the study's order.
        tasks: the tasks of the summary.
        engines: whether the study compares engines: two of them that answer alike are no pair.

    Yields:
        `arms`, the two in the study's order; `weights`: `same`, `other`, or `unknown` where the
        engine tells no hash of one of them; `answers`, whether they are the same bytes on every
        item that both answered, on every task, and `items`, how many these are.
    """
    for one, other in itertools.combinations(arms, 2):
        if engines and run_otherwise(arms[one], arms[other]):
            continue
        hashes = [arms[arm].get("sha256") for arm in (one, other)]
        weights = "unknown" if None in hashes else "same" if hashes[0] == hashes[1] else "other"
        rows = [row for part in tasks.values() for row in part["flips"]]
        told = [row for row in rows if {row["reference"], row["candidate"]} == {one, other}]
        items = sum(row["n"] for row in told)
        changed = sum(row[kind] for row in told for kind in ("harmful", "beneficial", "churn"))
        answers = items > 0 and changed == 0
        # one file asked in two ways (another cache of keys, say) may well be worth comparing
        alike = weights == "same" and arms[one].get("options") == arms[other].get("options")
        if answers or alike:
            yield {"arms": [one, other], "weights": weights, "answers": answers, "items": items}


def unpicked(pairs: Iterable[Document]) -> set[str]:
    """Name the arms that nothing tells from another one: files that differ are two models."""
    return {arm for pair in pairs if pair["weights"] != "other" for arm in pair["arms"]}
