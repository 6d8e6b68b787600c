"""What a study states of an arm's weights: taken where the engine tells nothing, else compared."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from quantrial.errors import StudyError
from quantrial.precision import bits_of, types_disagree

if TYPE_CHECKING:
    from quantrial.engines.artifact import Artifact
    from quantrial.study import Arm

# A size is stated in two or three figures, and servers count with or without what is no weight.
_CLOSE = 0.05


def with_stated(name: str, arm: Arm, artifact: Artifact) -> Artifact:
    """Add what a study states of an arm's weights, marked as stated, to what its engine tells.

    Args:
        name: the arm's, for messages.
        arm: what the study says of it.
        artifact: what the engine says of it.

    Raises:
        StudyError: the two contradict each other.
    """
    stated = arm.weights
    if stated is None:
        return artifact
    told_type, told_bytes = artifact.quantization, artifact.bytes_on_disk
    key = f"arms.{name}.weights"
    if stated.type and told_type and types_disagree(stated.type, told_type):
        raise _contradiction(f"{key}.type", stated.type, told_type)
    if stated.bytes and told_bytes and abs(stated.bytes / told_bytes - 1) > _CLOSE:
        raise _contradiction(f"{key}.bytes", f"{stated.bytes:,} bytes", f"{told_bytes:,} bytes")
    found: dict[str, Any] = {}
    marks = []
    if stated.type and bits_of(told_type) is None:
        found["quantization"] = stated.type
        marks.append("type")
    if stated.bytes and not told_bytes:
        found["bytes_on_disk"] = stated.bytes
        marks.append("bytes")
    return replace(artifact, **found, weights_stated=tuple(marks))


def _contradiction(key: str, stated: str, told: str) -> StudyError:
    return StudyError(
        f"the study states {stated}, and the server says {told}: correct it, or leave it out, "
        "since the server says it itself",
        key=key,
    )
