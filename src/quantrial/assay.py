"""Is a study the experiment it claims to be? Checks on its arms, and on what came of it.

Pure: `arm_checks` reads what a manifest says of arms, and can be asked before anything is run;
`outcome_checks` reads a summary. Each check has an id, a status and a sentence. `fail` means that
the comparison is not what it claims to be, `warn` that it deserves a look, `unknown` that nothing
is there to tell.
"""

from __future__ import annotations

import itertools
import operator
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from quantrial.agreement import fixed
from quantrial.assay_model import (
    Answer,
    metadata_check,
    origin_check,
    same_tensors_known,
    tensors_check,
)
from quantrial.documents import Alike, Status, TaskSummary
from quantrial.precision import bits_of, weights_type
from quantrial.prompt_checks import date_finding, template_finding, token_findings
from quantrial.record_checks import data_findings, identity_findings, sampling_finding
from quantrial.words import listed, plural

if TYPE_CHECKING:
    from quantrial.records import ArmRecord

Question = Literal["precision", "engines"]

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


@dataclass(frozen=True, slots=True)
class Check:
    """One answer to whether a study is what it claims to be."""

    id: str
    status: Status
    text: str


def arm_checks(
    arms: Mapping[str, ArmRecord],
    reference: str,
    controls: Sequence[str] = (),
    question: Question = "precision",
) -> tuple[Check, ...]:
    """Check that the arms differ in what the study asks about, and in nothing else.

    Args:
        arms: the manifest's record of each arm.
        reference: the arm that the others are compared with.
        controls: arms that are damaged on purpose; they may have the type of another one.
        question: what the arms are to differ in: the precision of their weights, or the engine
            that runs the same weights.
    """
    return (
        Check("weights", *weights_finding(arms, reference, controls, question)),
        _precision(arms),
        _sizes(arms, controls),
        _source(arms),
        *_model(arms, reference, controls),
        _tokenizer(arms, reference),
        Check("template", *template_finding(arms, reference)),
        Check("date", *date_finding(arms)),
        Check("setup", *setup_finding(arms, reference, question)),
        *_sampling(arms),
        *(Check("identity", *one) for one in identity_findings(arms)),
    )


def outcome_checks(
    tasks: Mapping[str, TaskSummary], reference: str, controls: Sequence[str]
) -> tuple[Check, ...]:
    """Check that the study could see what it looks for.

    Args:
        tasks: the summary's part of that name.
        reference: the arm that the others are compared with.
        controls: arms that are damaged on purpose.
    """
    checks = [_prompts(tasks)]
    for name, part in tasks.items():
        checks += [_floor(name, part, reference), _ceiling(name, part, reference)]
        checks += alike_checks(name, part.alike)
    return (*checks, _control(tasks, reference, controls))


def alike_checks(task: str, alike: Alike | None) -> Iterator[Check]:
    """Check whether items of a task are alike in ways that the study does not declare."""
    if alike is None:
        return
    if alike.repeated_items:
        said = f"{alike.repeated_items:,} items of {task} have the same content as another one."
        if alike.clustered:
            more = "Equal items count as one cluster."
        else:
            more = "Counted as independent, they make intervals too narrow."
        yield Check(f"repeats.{task}", "warn", f"{said} {more}")
    for key, values in alike.undeclared_groups.items():
        said = (
            f"The items of {task} come in {values} groups by their {key}, and the study does not "
            "say how to treat them. If answers within a group are alike, intervals are too narrow. "
            f"State stratify: {key} (exactly these groups), cluster: {key} (groups like these) or "
            f"ungrouped: [{key}] (answers are not alike)."
        )
        yield Check(f"groups.{task}.{key}", "warn", said)


def data_checks(sources: Mapping[str, Mapping[str, Any]]) -> Iterator[Check]:
    """Check the items themselves; nothing odd, no check.

    Args:
        sources: the manifest's record of where the items of each task come from.
    """
    for name, text in data_findings(sources):
        yield Check(f"data.{name}", "warn", text)


def _precision(arms: Mapping[str, ArmRecord]) -> Check:
    wrong, unknown = [], []
    for name, arm in arms.items():
        kind = arm.quantization
        claimed, found = bits_of(name), bits_of(kind)
        if kind is None:
            unknown.append(name)
        elif claimed is not None and found is not None and claimed != found:
            runs = "is stated to have weights" if "type" in arm.weights_stated else "runs a file"
            wrong.append(f"{name} {runs} of type {kind}")
        elif stored := arm.stored_mostly:
            wrong.append(f"{name} runs a file of type {kind} whose weights are {stored}")
    if wrong:
        return Check("precision", "warn", f"A name and its file disagree: {'; '.join(wrong)}.")
    if unknown:
        said = f"The engine does not tell the type of the weights of {listed(unknown)}."
        return Check("precision", "unknown", said)
    kinds = ", ".join(f"{name} {weights_type(arm)}" for name, arm in arms.items())
    return Check("precision", "pass", f"The types of the files fit the names of the arms: {kinds}.")


def _sizes(arms: Mapping[str, ArmRecord], controls: Sequence[str]) -> Check:
    known = {
        name: (bits, arm.bytes_on_disk)
        for name, arm in arms.items()
        if name not in controls
        and (bits := bits_of(arm.quantization) or bits_of(name)) is not None
        and arm.bytes_on_disk
    }
    if len(known) < len(arms.keys() - set(controls)):
        return Check("sizes", "unknown", "The type or the size of an arm is not known.")
    wrong = [
        f"{fewer} is not smaller than {more}"
        for fewer, more in itertools.permutations(known, 2)
        if known[fewer][0] < known[more][0] and known[fewer][1] >= known[more][1]
    ]
    if wrong:
        return Check("sizes", "warn", f"Fewer bits should take less room, but {listed(wrong)}.")
    return Check("sizes", "pass", "Files with fewer bits a weight are smaller.")


def _source(arms: Mapping[str, ArmRecord]) -> Check:
    # an arm that was made says of what; one that was not may be what others were made of
    made = {arm.source_sha256 for arm in arms.values()} - {None}
    told = {arm.source_sha256 or arm.sha256 for arm in arms.values()}
    if not made:
        return Check("source", "unknown", "The arms do not name the file that they were made from.")
    if len(told) == 1:
        return Check("source", "pass", "All arms were made from one file.")
    return Check("source", "warn", "The arms were made from different files.")


def _model(
    arms: Mapping[str, ArmRecord], reference: str, controls: Sequence[str]
) -> Iterator[Check]:
    """Check that the arms are one model; what older versions did not record is not asked."""
    recorded = any("structure" in arm for arm in arms.values())
    for identity, (status, text) in (
        ("origin", origin_check(arms, controls)),
        ("metadata", metadata_check(arms, reference)),
        ("tensors", tensors_check(arms, reference)),
    ):
        if recorded or status != "unknown":
            yield Check(identity, status, text)


def _tokenizer(arms: Mapping[str, ArmRecord], reference: str) -> Check:
    """Compare a hash with the reference's; hashes of two kinds cannot be compared."""
    base = arms[reference]
    kind = _tokenizer_kind(base)
    comparable = {
        name: arm
        for name, arm in arms.items()
        if _tokenizer_kind(arm) == kind and arm.tokenizer_sha256
    }
    other = [
        name for name, arm in comparable.items() if arm.tokenizer_sha256 != base.tokenizer_sha256
    ]
    if base.tokenizer_sha256 and other:
        arms_apart = listed([*other, reference])
        said = f"{arms_apart} have different tokenizers, so they read different tokens."
        return Check("tokenizer", "fail", said)
    rest = [name for name in arms if name not in comparable]
    if not base.tokenizer_sha256 or rest:
        said = f"The tokenizer of {listed(rest or arms)} cannot be compared with {reference}'s."
        return Check("tokenizer", "unknown", said)
    return Check("tokenizer", "pass", "All arms have the same tokenizer.")


def _tokenizer_kind(arm: ArmRecord) -> str:
    digest = arm.tokenizer_sha256 or ""
    return digest.rpartition(":")[0]  # how it was hashed, where that is not the usual way


def _sampling(arms: Mapping[str, ArmRecord]) -> Iterator[Check]:
    """Check that no server punishes repetition unasked, where one has sampling of its own."""
    found = sampling_finding(arms)
    if found is not None:
        yield Check("sampling", *found)


def _prompts(tasks: Mapping[str, TaskSummary]) -> Check:
    found: list[tuple[Status, str]] = []
    unlike = {n: part.flow.unlike_items for n, part in tasks.items()}
    if any(unlike.values()):
        said = listed(f"{plural(n, 'item')} of {name}" for name, n in unlike.items() if n)
        text = f"On {said}, arms were shown different bytes. These items are left out."
        found.append(("fail", text))
    if (read := token_findings(tasks)) is not None:
        found.append(read)
    if any(part.flow.unhashed_items for part in tasks.values()):
        found.append(("unknown", "It was not recorded what every arm was shown."))
    elif uncounted := [n for n, part in tasks.items() if part.flow.uncounted_items]:
        what = f"How many tokens each arm read is not known for some items of {listed(uncounted)}."
        found.append(("unknown", f"All arms were sent the same bytes. {what}"))
    if not found:
        said = "On every item all arms were sent the same bytes and read as many tokens."
        return Check("prompts", "pass", said)
    worst = next(status for status in ("fail", "warn", "unknown") if (status in dict(found)))
    said = " ".join(text for status, text in found if status != "unknown" or worst == "unknown")
    return Check("prompts", worst, said)


def _floor(task: str, part: TaskSummary, reference: str) -> Check:
    identity = f"floor.{task}"
    own, guess = part.main.arms.get(reference), part.chance
    if own is None or own.limit(0) is None:
        said = f"{reference} has no estimate on {task} to compare with guessing."
        return Check(identity, "unknown", said)
    if part.at_floor(reference):
        least = "guessing" if guess else "an arm that answers nothing"
        said = f"On {task}, {reference} does no better than {least}, so no loss can show."
        return Check(identity, "fail", said)
    empty, by_item = part.always_empty, part.endpoints.get("macro_f1")
    by_item_own = None if by_item is None else by_item.arms.get(reference)
    means = None if by_item_own is None else by_item_own.limit(0)
    if empty and means is not None and means <= empty:
        return Check(
            identity,
            "warn",
            f"On {task}, the macro-F1 of {reference} may be no better than that of always "
            f"answering with nothing ({fixed(100 * empty, 0)} %).",
        )
    said = f"guessing ({fixed(100 * guess, 0)} %)" if guess else "answering with nothing"
    return Check(identity, "pass", f"On {task}, {reference} does better than {said}.")


def _ceiling(task: str, part: TaskSummary, reference: str) -> Check:
    identity = f"ceiling.{task}"
    own = part.main.arms.get(reference)
    lower, best = part.main.direction == "lower", part.main.best
    if part.main.against == "reference":
        said = f"On {task}, answers are held against those of {reference}, so none is too good."
        return Check(identity, "pass", said)
    most = None if own is None else own.limit(0 if lower else 1)
    if best is None:
        said = f"On {task} there is no best value, so no arm can be too good to show more."
        return Check(identity, "pass", said)
    if most is None:
        said = f"{reference} has no estimate on {task} to compare with a perfect one."
        return Check(identity, "unknown", said)
    if (most < best + part.margin) if lower else (most > best - part.margin):
        said = (
            f"On {task}, {reference} may be within a margin of perfect. The task may be too easy "
            "to show what harder work would."
        )
        return Check(identity, "warn", said)
    return Check(identity, "pass", f"On {task}, {reference} is at least a margin from perfect.")


def _control(tasks: Mapping[str, TaskSummary], reference: str, controls: Sequence[str]) -> Check:
    if not controls:
        said = "No arm is damaged on purpose, so nothing shows that this study would find harm."
        return Check("control", "unknown", said)
    found = {
        contrast.candidate
        for part in tasks.values()
        for contrast in part.main.contrasts
        if contrast.reference == reference and contrast.verdict == "worse"
    }
    unseen = [name for name in controls if name not in found]
    were = "was" if len(unseen or controls) == 1 else "were"
    if len(unseen) == len(controls):
        said = f"{listed(unseen)}, damaged on purpose, {were} not found worse on any task."
        return Check("control", "fail", said)
    if unseen:
        said = f"Of the arms damaged on purpose, {listed(unseen)} {were} not found worse."
        return Check("control", "warn", said)
    return Check("control", "pass", f"{listed(controls)}, damaged on purpose, {were} found worse.")


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
        and _cache(arms[one]) == _cache(arms[other])
    ]
    if alike:
        pairs = " ".join(f"{pair} are the same file, byte for byte." for pair in alike)
        return "fail", f"{pairs} There is nothing to compare."
    told = {name: digest for name, digest in hashes.items() if name not in controls}
    if question == "engines":
        if other := [
            n
            for n, one in told.items()
            if None not in (one, hashes[reference]) and one != hashes[reference]
        ]:
            return "warn", (
                f"The study compares engines, but {listed([*other, reference])} have different "
                "weights, by their hashes. A difference may come from either."
            )
        if None in told.values():
            hidden = listed(name for name, digest in told.items() if digest is None)
            return "unknown", (
                f"The engine does not tell the hash of the weights of {hidden}. Whether all arms "
                "run the same weights is not known."
            )
        return "pass", "All arms run the same weights, by their hashes. The study compares engines."
    if None in hashes.values():
        hidden = listed(name for name, digest in hashes.items() if digest is None)
        return "unknown", f"The engine does not tell the hash of the weights of {hidden}."
    said = "Every arm has weights of its own, by their hashes."
    if cached := [name for name in arms if cache_alone(arms[name], arms[reference])]:
        said = (
            f"{listed(cached)} and {reference} share their weights, and differ in the type of the "
            "cache of keys and values. Every other arm has weights of its own, by their hashes."
        )
    return "pass", said


_CACHE = ("cache_type_k", "cache_type_v")


def _cache(arm: ArmRecord) -> list[Any]:
    return [arm.options.get(key) for key in _CACHE]


def cache_alone(arm: ArmRecord, base: ArmRecord) -> bool:
    """Whether an arm has the weights of another, and keeps its keys and values in another type."""
    return arm.sha256 is not None and arm.sha256 == base.sha256 and _cache(arm) != _cache(base)


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
            "The study compares engines, but all arms run in one engine of one version with the "
            "same options. There is nothing to compare."
        )
    if engines and not asked:
        engines += ". A difference between them may come from the engine as well as the weights."
    if asked:
        engines = f"The study compares engines: {'; '.join(filter(None, (engines, *ways)))}."
    if differing:
        what = "in more than their engines" if asked else "in more than their weights"
        said = f"Arms differ {what}: {'; '.join(differing)}."
        return "warn", f"{engines} {said}" if engines else said
    if engines:
        return "pass" if asked else "warn", engines
    cached = [name for name, arm in arms.items() if cache_alone(arm, base)]
    but = f", but for the type of the cache of {listed(cached)}" if cached else ""
    return "pass", f"Engine, version, architecture and options are the same{but}."


def _engines(arms: Mapping[str, ArmRecord], apart: Sequence[str], reference: str) -> Iterator[str]:
    """Say of each engine that is not the reference's which arms it runs."""
    by_engine: dict[str, list[str]] = {}
    for name in apart:
        by_engine.setdefault(_engine(arms[name]), []).append(name)
    for engine, names in by_engine.items():
        runs = "runs" if len(names) == 1 else "run"
        yield f"{listed(names)} {runs} in {engine}, {reference} in {_engine(arms[reference])}"


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
    # the type of the cache is what such arms are compared for
    told = set(_CACHE) if cache_alone(arm, base) else set()
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
