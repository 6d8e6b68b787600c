"""Are the arms one model in several precisions? Checks on what no quantization changes.

What differs between two files of one model for good reasons is no finding: a key that one file
leaves out and whose default the other one states, the output matrix of a model that shares it with
its embedding, tensors that no text passes through (these are not recorded), and everything outside
`<architecture>.`, such as names, types and who made the file.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from quantrial.documents import Status
from quantrial.precision import FULL, bits_of, bits_of_levels, quantized_before
from quantrial.words import listed

if TYPE_CHECKING:
    from quantrial.records import ArmRecord

Structure = Mapping[str, Any]  # of a model: what `engines.Structure` holds, and parts of it
Answer = tuple[Status, str]

_SHOWN = 4  # differences that are named
_LONGEST = 40  # characters of a value that are shown
# Parts of a model that a text does not pass through.
_ELSEWHERE = ("vision.", "audio.")
# What another conversion may say otherwise of the same weights: it deserves a look.
_SAID_OTHERWISE = ("context_length", "vocab_size")
_CLOSE = 1e-6  # relative: single precision, and what was rounded on the way


@dataclass(frozen=True, slots=True)
class _Difference:
    """A key on which two arms differ; `surely` where it is known what each means by it."""

    key: str
    own: str
    base: str
    surely: bool

    def __str__(self) -> str:
        return f"{self.key} ({self.own} against {self.base})"


def metadata_check(arms: Mapping[str, ArmRecord], reference: str) -> Answer:
    """Compare what the files say under `<architecture>.` with what the reference's says."""
    known = {n: arm["metadata"] for n, arm in _structures(arms).items() if arm.get("metadata")}
    found = {
        name: list(_differences(own, known[reference]))
        for name, own in known.items()
        if reference in known and name != reference
    }
    told = "; ".join(
        f"{name} and {reference} in {_listed(map(str, differences))}"
        for name, differences in found.items()
        if differences
    )
    if told:
        if any(one.surely for differences in found.values() for one in differences):
            return "fail", (
                f"The arms differ in the metadata of their model, not in precision alone: {told}."
            )
        return "warn", f"The metadata of the arms' model is not the same everywhere: {told}."
    if rest := [name for name in arms if name not in known or reference not in known]:
        return "unknown", (
            f"The metadata of the model of {listed(rest)} cannot be compared with {reference}'s."
        )
    return "pass", "All files say the same of their model: RoPE settings, heads, widths, layers."


def tensors_check(arms: Mapping[str, ArmRecord], reference: str) -> Answer:
    """Compare names and shapes of tensors with the reference's, and values that all share."""
    known = {n: s for n, s in _structures(arms).items() if s.get("tensors_sha256")}
    wrong: list[str] = []
    odd: list[str] = []
    for name, own in known.items() if reference in known else ():
        base = known[reference]
        if said := _other_tensors(own, base):
            (wrong if own["weights"] != base["weights"] else odd).append(
                f"{name} and {reference} {said}"
            )
        elif _unlike(own["rope_sha256"], base["rope_sha256"]):
            wrong.append(f"{name} and {reference} differ in the values of their RoPE factors")
        elif _unlike(own["norms_sha256"], base["norms_sha256"]):
            odd.append(f"{name} and {reference} differ in the values of their norms")
    if wrong:
        return "fail", f"The arms are not one model in several precisions: {'; '.join(wrong)}."
    if odd:
        return "warn", (
            f"The arms may be two models, or were converted in two ways: {'; '.join(odd)}. "
            "Quantization leaves these as they are."
        )
    if rest := [name for name in arms if name not in known or reference not in known]:
        return "unknown", f"The tensors of {listed(rest)} cannot be compared with {reference}'s."
    return "pass", "All files hold the same tensors, with the same norms."


def origin_check(arms: Mapping[str, ArmRecord], controls: Sequence[str] = ()) -> Answer:
    """Say which arms were made of weights that had been quantized already."""
    own = {name: arm for name, arm in arms.items() if name not in controls}
    found: dict[str, list[str]] = {}
    for name, arm in own.items():
        if before := quantized_before(arm):
            found.setdefault(_origin(before), []).append(name)
    if found:
        said = " ".join(
            f"{listed(names)} {'were' if len(names) > 1 else 'was'} made from {what}."
            for what, names in found.items()
        )
        full = [n for names in found.values() for n in names if _is_full(own[n])]
        those = "are not the published models" if len(full) > 1 else "is not the published model"
        so = f" So {listed(full)} {those}." if full else ""
        return "warn", f"{said}{so} This study does not show what that quantization cost."
    unread = [
        name
        for name, arm in own.items()
        if not (arm.structure or {}).get("tensors_sha256")  # its file was not there to read
    ]
    if unread:
        return "unknown", (
            f"It is not known whether {listed(unread)} {'were' if len(unread) > 1 else 'was'} "
            "made from already quantized weights."
        )
    return "pass", "No arm shows signs of being made from already quantized weights."


def same_tensors_known(arm: ArmRecord, base: ArmRecord) -> bool:
    """Whether the tensors of two arms are known and compared: then their number is no news."""
    return all((one.structure or {}).get("tensors_sha256") for one in (arm, base))


def _unlike(own: str | None, base: str | None) -> bool:
    """Whether two hashes differ; one that is not known differs from none."""
    return None not in (own, base) and own != base


def _structures(arms: Mapping[str, ArmRecord]) -> dict[str, Structure]:
    return {name: arm.structure for name, arm in arms.items() if arm.structure}


def _origin(before: Structure) -> str:
    if before.get("type"):
        return f"an already quantized file ({before['type']})"
    evenly = "equally spaced " if before.get("even", True) else ""
    return (
        f"already quantized weights (at most {before['levels']} {evenly}levels in blocks of "
        f"{before['block']}, as of {bits_of_levels(before['levels'])}-bit types)"
    )


def _is_full(arm: ArmRecord) -> bool:
    bits = bits_of(arm.quantization)
    return bits is not None and bits >= FULL


def _other_tensors(own: Structure, base: Structure) -> str:
    """Say how the tensors of two arms differ; empty where they do not."""
    if own["tensors_sha256"] == base["tensors_sha256"]:
        return ""
    ours, theirs = own["tensors"], base["tensors"]
    only = [f"{name} is in one alone" for name in sorted(ours.keys() ^ theirs.keys())]
    more = [
        f"{name} ({ours[name]} against {theirs[name]})"
        for name in sorted(ours.keys() & theirs.keys())
        if ours[name] != theirs[name]
    ]
    return (
        f"differ in their tensors: {_listed(only + more)}"
        if only or more
        else ("differ in the shapes of their tensors")
    )


def _differences(own: Structure, base: Structure) -> Iterator[_Difference]:
    keys = sorted(own.keys() | base.keys(), key=lambda key: (not key.startswith("rope."), key))
    for key in keys:
        if key.startswith(_ELSEWHERE):
            continue
        ours, theirs = _meant(own, key), _meant(base, key)
        known = ours is not None and theirs is not None
        if _alike(ours, theirs) or (key in _SAID_OTHERWISE and not known):
            continue
        surely = known and key not in _SAID_OTHERWISE
        yield _Difference(key, _shown(own, key), _shown(base, key), surely)


def _meant(metadata: Structure, key: str) -> Any:
    """Return a value, or what llama.cpp takes where a file leaves it out; None: not known.

    Defaults: `load_hparams` in https://github.com/ggml-org/llama.cpp/blob/master/src/llama-model.cpp
    """
    value = metadata.get(key)
    if key in ("rope.scaling.factor", "rope.scale_linear"):
        factors = (metadata.get("rope.scaling.factor"), metadata.get("rope.scale_linear"))
        return next((factor for factor in factors if factor), 1.0)
    if key == "rope.scaling.type":
        factor = _meant(metadata, "rope.scaling.factor")
        return "none" if value in (None, "none", "linear") and factor == 1.0 else value or "linear"
    if value is not None:
        return value
    heads, width = metadata.get("attention.head_count"), metadata.get("embedding_length")
    by_head = (
        width // heads if isinstance(width, int) and isinstance(heads, int) and heads else None
    )
    defaults: dict[str, Any] = {
        "rope.freq_base": 10_000.0,
        "rope.scaling.attn_factor": 1.0,
        "rope.scaling.finetuned": False,
        "rope.scaling.original_context_length": metadata.get("context_length"),
        "rope.dimension_count": metadata.get("attention.key_length", by_head),
        "attention.head_count_kv": heads,
        "attention.key_length": by_head,
        "attention.value_length": by_head,
        "attention.causal": True,
        "expert_count": 0,
        "expert_used_count": 0,
    }
    return defaults.get(key)


def _alike(one: Any, other: Any) -> bool:
    numbers = all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in (one, other))
    return math.isclose(one, other, rel_tol=_CLOSE) if numbers else bool(one == other)


def _listed(parts: Any) -> str:
    found = list(parts)
    more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    return ", ".join(found[:_SHOWN]) + more


def _shown(metadata: Structure, key: str) -> str:
    """Write the value of a key; what is meant where the file leaves it out."""
    value, meant = metadata.get(key), _meant(metadata, key)
    if value is None and meant is None:
        return "not said"
    told = meant if value is None else value
    text = f"{told:.7g}" if isinstance(told, float) else str(told)
    short = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
    return short if value is not None else f"{short} by default"
