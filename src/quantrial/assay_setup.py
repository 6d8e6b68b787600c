"""Do the arms differ in what the study asks about, and run alike otherwise?

A study asks about the precision of weights that one engine runs, or about the engines that run the
same weights (`question: engines`).
"""

from __future__ import annotations

import itertools
import operator
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from quantrial.assay_model import same_tensors_known
from quantrial.documents import Status

if TYPE_CHECKING:
    from quantrial.records import ArmRecord

Question = Literal["precision", "engines"]
Answer = tuple[Status, str]

# What makes up an engine as it was used.
_OF_ENGINE = ("engine", "versions", "options")
# What should be the same in all arms, beside weights, tokenizer and template.
_SHARED = {
    "versions": "engine version",
    "architecture": "architecture",
    "parameters": "number of parameters",
    "context": "context length",
    "options": "option",
}
_LONGEST = 40  # characters of a value that are shown


def weights_finding(
    arms: Mapping[str, ArmRecord], reference: str, controls: Sequence[str], question: Question
) -> Answer:
    """Say whether every arm has weights of its own; or, where engines are compared, the same."""
    hashes = {name: arm.sha256 for name, arm in arms.items()}
    alike = [
        f"{one} and {other}"
        for one, other in itertools.combinations(arms, 2)
        if hashes[one] is not None
        and hashes[one] == hashes[other]
        and not (question == "engines" and run_otherwise(arms[one], arms[other]))
    ]
    if alike:
        said = f"{'; '.join(alike)} are the same file, byte for byte: there is nothing to compare"
        return "fail", said
    told = {name: digest for name, digest in hashes.items() if name not in controls}
    if question == "engines":
        if other := [
            n
            for n, one in told.items()
            if None not in (one, hashes[reference]) and one != hashes[reference]
        ]:
            return "warn", (
                f"the study compares engines, and {', '.join(other)} and {reference} have other "
                "weights by their hashes: a difference may come of either"
            )
        if None in told.values():
            hidden = ", ".join(name for name, digest in told.items() if digest is None)
            return "unknown", (
                f"the engine tells no hash of the weights of {hidden}: whether all arms run the "
                "same weights is not known"
            )
        return "pass", "all arms run the same weights, by their hashes: engines are compared"
    if None in hashes.values():
        hidden = ", ".join(name for name, digest in hashes.items() if digest is None)
        return "unknown", f"the engine tells no hash of the weights of {hidden}"
    return "pass", "every arm has weights of its own, by their hashes"


def run_otherwise(one: ArmRecord, other: ArmRecord) -> bool:
    """Whether two arms are run by other engines, or by one of another version or other options."""
    return any((getattr(one, key) or None) != (getattr(other, key) or None) for key in _OF_ENGINE)


def setup_finding(arms: Mapping[str, ArmRecord], reference: str, question: Question) -> Answer:
    """Say how arms run otherwise than the reference.

    Of two engines no option is compared: they share none, and that they are two says it all.
    """
    base = arms[reference]
    asked = question == "engines"
    apart = [name for name, arm in arms.items() if arm.engine != base.engine]
    engines = "; ".join(_engines(arms, apart, reference))
    differing = [
        f"{name} and {reference} differ in their {' and '.join(unlike)}"
        for name, arm in arms.items()
        if (unlike := list(_unlike(arm, base, engine=name not in apart and not asked)))
    ]
    ways = [
        f"{name} and {reference} differ in their {' and '.join(unlike)}"
        for name, arm in arms.items()
        if asked and name not in apart and (unlike := list(_ways(arm, base)))
    ]
    if asked and not (engines or ways):
        return "warn", (
            "the study compares engines, and all arms run in one engine of one version with the "
            "same options: there is nothing to compare"
        )
    if engines and not asked:
        engines += ": a difference between them may come of the engine as well as of the weights"
    if asked:
        engines = f"the study compares engines: {'; '.join(filter(None, (engines, *ways)))}"
    if differing:
        what = "in more than their engines" if asked else "in more than their weights"
        said = f"arms differ {what}: {'; '.join(differing)}"
        return "warn", f"{engines}; {said}" if engines else said
    if engines:
        return "pass" if asked else "warn", engines
    return "pass", "engine, version, architecture and options are the same"


def _engines(arms: Mapping[str, ArmRecord], apart: Sequence[str], reference: str) -> Iterator[str]:
    """Say of each engine that is not the reference's which arms it runs."""
    by_engine: dict[str, list[str]] = {}
    for name in apart:
        by_engine.setdefault(_engine(arms[name]), []).append(name)
    for engine, names in by_engine.items():
        runs = "runs" if len(names) == 1 else "run"
        yield f"{' and '.join(names)} {runs} in {engine}, {reference} in {_engine(arms[reference])}"


def _engine(arm: ArmRecord) -> str:
    """Name an engine with the versions that it tells: `ollama 0.22.1`."""
    name = arm.engine or "an unknown engine"
    versions = {str(k): _cut(v, "") for k, v in arm.versions.items()}
    own = versions.pop(name, None)
    more = ", ".join(f"{key} {value}" for key, value in versions.items())
    return (f"{name} {own}" if own else name) + (f" ({more})" if more else "")


def _ways(arm: ArmRecord, base: ArmRecord) -> Iterator[str]:
    for key in ("versions", "options"):
        yield from _parts(key, getattr(arm, key), getattr(base, key), ())


def _unlike(arm: ArmRecord, base: ArmRecord, *, engine: bool) -> Iterator[str]:
    """Name what two arms should share and do not, with both values; of many in one, those alone.

    What an option sets and the engine then tells (the context) is named once. `engine`: whether
    its version and options are to be shared too.
    """
    told = set()
    for key, shown in _SHARED.items():
        one, other = getattr(arm, key) or None, getattr(base, key) or None
        skipped = not engine and key in _OF_ENGINE
        if one == other or skipped or (key == "parameters" and same_tensors_known(arm, base)):
            continue
        told.add(key)
        if isinstance(one or other, Mapping):
            yield from _parts(key, one or {}, other or {}, told)
        else:
            yield f"{shown} ({_cut(one, other)} against {_cut(other, one)})"


def _parts(
    key: str, ours: Mapping[str, Any], theirs: Mapping[str, Any], told: Any
) -> Iterator[str]:
    for part in sorted((ours.keys() | theirs.keys()) - set(told)):
        one, other = ours.get(part, "not set"), theirs.get(part, "not set")
        if one != other:
            yield f"{_SHARED[key]} {part} ({_cut(one, other)} against {_cut(other, one)})"


def _cut(value: Any, other: Any) -> str:
    """Write a value, a long one from where it begins to differ from the other."""
    text, beside = str(value), str(other)
    if len(text) <= _LONGEST:
        return text
    same = sum(1 for _ in itertools.takewhile(bool, map(operator.eq, text, beside)))
    start = max(0, min(same - 8, len(text) - _LONGEST))
    end = start + _LONGEST
    return ("…" if start else "") + text[start:end] + ("…" if end < len(text) else "")
