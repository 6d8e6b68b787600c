"""What a tracker of experiments is told of a run, whichever it is: numbers and names, no text.

A logger is a function that takes a `Logged` and a project, and returns where the record stands, in
words. It uses the tracker's own client, which goes by the tracker's own settings: addresses, keys
and `offline` are read from there, and never seen here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from quantrial.inert import clean

if TYPE_CHECKING:
    from quantrial.documents import Summary
    from quantrial.documents.decision import Decision

_ODD = re.compile(r"[^\w./ -]", re.ASCII)  # what the strictest of the trackers takes in a name
_LONGEST = 250  # characters of a value


@dataclass(frozen=True, slots=True)
class Logged:
    """A run, as a tracker takes it.

    Attributes:
        name: what the record is called: the study's name.
        params: what was fixed beforehand: margin, level, types of weights.
        metrics: what was measured, such as `tickets/exact/q8_0/difference`; shares are fractions.
        tags: verdicts and the decision, in words.
        files: what is attached.
    """

    name: str
    params: Mapping[str, str | float | int]
    metrics: Mapping[str, float]
    tags: Mapping[str, str]
    files: tuple[Path, ...]


Logger = Callable[[Logged, str], str]


def logged(summary: Summary, decision: Decision, files: tuple[Path, ...]) -> Logged:
    """Put a run's results in the form that trackers take.

    Args:
        summary: of the run.
        decision: of the run.
        files: what to attach.
    """
    return Logged(
        name=clean(summary.study.name),
        params=dict(_params(summary, decision)),
        metrics={_key(*path): value for path, value in _metrics(summary, decision)},
        tags=dict(_tags(summary, decision)),
        files=files,
    )


def _params(summary: Summary, decision: Decision) -> Iterator[tuple[str, str | float | int]]:
    yield "study", clean(summary.study.name)
    yield "study_hash", summary.study.hash
    yield "reference", summary.reference
    for task in summary.tasks:
        yield _key(task, "margin"), decision.picker.tasks[task].margin
    for name, arm in summary.arms.items():
        if arm.quantization:
            yield _key(name, "weights"), clean(arm.quantization)
        if arm.artifact_sha256:
            yield _key(name, "sha256"), arm.artifact_sha256


def _metrics(summary: Summary, decision: Decision) -> Iterator[tuple[tuple[str, ...], float]]:
    for task, part in summary.tasks.items():
        for name, results in part.endpoints.items():
            for arm, own in results.arms.items():
                yield from _known((task, name, arm, "estimate"), own.estimate)
                yield from _known((task, name, arm, "n"), own.n)
    for one in decision.findings.values():
        path = (one.task, one.endpoint, one.candidate)
        if one.reference != summary.reference:
            continue
        yield from _known((*path, "difference"), one.estimate)
        for end, value in zip(("low", "high"), one.ci, strict=True):
            yield from _known((*path, f"difference_{end}"), value)
        yield from _known((*path, "p_adjusted"), one.p_adjusted)
        yield from _known((*path, "non_inferiority_p"), one.non_inferiority_p_adjusted)
        yield from _known((*path, "non_inferior"), float(one.non_inferior))
    for arm, cost in decision.costs.items():
        yield from _known((arm, "speedup"), cost.speedup)
        yield from _known((arm, "memory_bytes"), summary.arms[arm].memory_bytes)


def _known(path: tuple[str, ...], value: float | None) -> Iterator[tuple[tuple[str, ...], float]]:
    if value is not None:
        yield path, float(value)


def _tags(summary: Summary, decision: Decision) -> Iterator[tuple[str, str]]:
    yield "decision", _short(decision.default.text)
    yield "recommended", decision.default.arm
    for one in decision.findings.values():
        if one.kind == "primary" and one.reference == summary.reference:
            yield _key(one.task, one.candidate, "verdict"), one.verdict


def _key(*parts: str) -> str:
    return "/".join(_ODD.sub("_", part).replace("/", "_") for part in parts)


def _short(text: str) -> str:
    said = clean(text)
    return said if len(said) <= _LONGEST else f"{said[: _LONGEST - 1]}…"
