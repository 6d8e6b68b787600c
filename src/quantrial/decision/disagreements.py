"""Where the two sets of methods come to different verdicts, in words: few lines for many strata."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from quantrial.documents import Disagreement, Summary, TaskSummary
from quantrial.words import listed, p_value_in_sentence

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


def parted(summary: Summary) -> list[Parted]:
    """List where the sets part: contrasts of all items first, then strata, alike ones together."""
    found = [one for task, part in summary.tasks.items() for one in _of(summary.alpha, task, part)]
    return sorted(found, key=lambda one: bool(one.strata))


def _of(alpha: float, task: str, part: TaskSummary) -> Iterator[Parted]:
    alike: dict[tuple[str, ...], list[Disagreement]] = {}
    for one in part.disagreements:
        if one.stratum is not None:
            told = (one.verdicts[name] for name in SETS)
            key = (one.endpoint, one.candidate, one.reference, *told, one.question)
            alike.setdefault(key, []).append(one)
            continue
        yield _told([one], task, part.workload, (), alpha)
    for several in alike.values():
        strata = tuple(one.stratum for one in several if one.stratum is not None)
        yield _told(several, task, part.workload, strata, alpha)


def _told(
    alike: Sequence[Disagreement], task: str, workload: str, strata: tuple[str, ...], alpha: float
) -> Parted:
    one = alike[0]
    return Parted(
        id=one.id,
        task=task,
        workload=workload,
        endpoint=one.endpoint,
        pair=f"{one.candidate} vs {one.reference}",
        strata=strata,
        verdicts={name: one.verdicts[name] for name in SETS},
        test=_ASKED[one.question].removeprefix("a "),
        p={name: _p(alike, name) for name in SETS},
        why=why(alike, alpha),
    )


def _p(alike: Sequence[Disagreement], name: str) -> str:
    """Write a set's p, from the least to the largest of several."""
    known = _known(alike, name)
    if not known:
        return "none"
    return listed(map(p_value_in_sentence, (min(known), max(known))), "to")


def _known(alike: Sequence[Disagreement], name: str) -> list[float]:
    return [p for one in alike if (p := one.p[name]) is not None]


def why(alike: Sequence[Disagreement], alpha: float) -> str:
    """Say by which test the sets part, and which p lies on which side of alpha.

    `p of equivalence: .054 by calibrated, not below .05; .020 by classic, below it`. Contrasts that
    part alike are told together, each set's p from the least to the largest.
    """
    level = f"{alpha:g}".removeprefix("0")
    sides = []
    for name, bar in zip(SETS, (level, "it"), strict=True):
        shown = _p(alike, name)
        known = _known(alike, name)
        side = f", {'' if known[0] < alpha else 'not '}below {bar}" if known else ""
        sides.append(f"{shown} by {name}{side}")
    return f"p of {_ASKED[alike[0].question]}: {'; '.join(sides)}"
