"""Where the two sets of methods come to different verdicts, in words: few lines for many strata."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from quantrial.words import listed, p_value_in_sentence

Document = Mapping[str, Any]

SETS = ("calibrated", "classic")

_ASKED = {
    "equivalence": "equivalence",
    "difference": "a difference",
    "non_inferiority": "non-inferiority",
}


@dataclass(frozen=True, slots=True)
class Parted:
    """A contrast of two verdicts. `strata` names those that part alike; empty: of all items.

    `verdicts` by set; `test` is the one they part on, `p` its p by set, in words; `why` says which
    p lies on which side.
    """

    id: str
    task: str
    workload: str
    endpoint: str
    pair: str
    strata: tuple[str, ...]
    verdicts: Mapping[str, str]
    test: str
    p: Mapping[str, str]
    why: str


def parted(summary: Document) -> list[Parted]:
    """List where the sets part: contrasts of all items first, then strata, alike ones together."""
    found = [one for task, part in summary["tasks"].items() for one in _of(summary, task, part)]
    return sorted(found, key=lambda one: bool(one.strata))


def recorded(part: Document) -> list[Document]:
    """List what a task's part of a summary says; an early version's said too little to be told."""
    return [one for one in part.get("disagreements") or () if "question" in one]


def _of(summary: Document, task: str, part: Document) -> Iterator[Parted]:
    alike: dict[Any, list[Document]] = {}
    for one in recorded(part):
        if one["stratum"] is not None:
            pair, told = (one["candidate"], one["reference"]), (one[name] for name in SETS)
            key = (one["endpoint"], pair, *told, one["question"])
            alike.setdefault(key, []).append(one)
            continue
        yield _told([one], task, part["workload"], (), summary["alpha"])
    for several in alike.values():
        strata = tuple(one["stratum"] for one in several)
        yield _told(several, task, part["workload"], strata, summary["alpha"])


def _told(
    alike: Sequence[Document], task: str, workload: str, strata: tuple[str, ...], alpha: float
) -> Parted:
    one = alike[0]
    return Parted(
        id=one["id"],
        task=task,
        workload=workload,
        endpoint=one["endpoint"],
        pair=f"{one['candidate']} vs {one['reference']}",
        strata=strata,
        verdicts={name: one[name] for name in SETS},
        test=_ASKED[one["question"]].removeprefix("a "),
        p={name: _p(alike, name) for name in SETS},
        why=why(alike, alpha),
    )


def _p(alike: Sequence[Document], name: str) -> str:
    """Write a set's p, from the least to the largest of several."""
    known = [one["p"][name] for one in alike if one["p"][name] is not None]
    if not known:
        return "none"
    return listed(map(p_value_in_sentence, (min(known), max(known))), "to")


def why(alike: Sequence[Document], alpha: float) -> str:
    """Say by which test the sets part, and which p lies on which side of alpha.

    `p of equivalence: .054 by calibrated, not below .05; .020 by classic, below it`. Contrasts that
    part alike are told together, each set's p from the least to the largest.
    """
    level = f"{alpha:g}".removeprefix("0")
    sides = []
    for name, bar in zip(SETS, (level, "it"), strict=True):
        shown = _p(alike, name)
        known = [one["p"][name] for one in alike if one["p"][name] is not None]
        side = f", {'' if known[0] < alpha else 'not '}below {bar}" if known else ""
        sides.append(f"{shown} by {name}{side}")
    return f"p of {_ASKED[alike[0]['question']]}: {'; '.join(sides)}"
