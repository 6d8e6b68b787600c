"""What an arm runs on: the artifact whose precision is compared."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

from quantrial.precision import ModelFacts

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Sampling:
    """What is known of a server's own sampling.

    `served_by` is the software that answers, where it tells itself. `unstated` names the parameters
    that no call states, so that the server's own values hold. `penalty` is one for repetition that
    the software keeps whatever it is told. `advice` says how the arm is asked rightly.
    """

    served_by: str | None = None
    unstated: tuple[str, ...] = ()
    penalty: str | None = None
    advice: str | None = None

    @property
    def doubtful(self) -> bool:
        """Whether a penalty may be in force of which nothing is known."""
        return self.penalty is None and any("penalty" in name for name in self.unstated)


@runtime_checkable
class SamplingTold(Protocol):
    """An engine whose server has sampling of its own."""

    def sampling(self) -> Sampling:
        """Say what is known of it by now; asks nobody."""
        ...


@dataclass(frozen=True, slots=True)
class QuantizedBefore:
    """That weights were quantized before they were stored as they are.

    By a `record` of what the file was made of, `type` is that file's; by the `values` themselves
    they lie on at most so many `levels` in each block, equally spaced where `even`.
    """

    known_by: Literal["record", "values"]
    type: str | None = None
    levels: int | None = None
    block: int | None = None
    even: bool = True


@dataclass(frozen=True, slots=True)
class Structure:
    """What of a model is the same in all its precisions; None where the engine does not tell.

    `metadata` is what the file says under `<architecture>.`, that prefix off: a list of one value
    throughout as that value, a long one as its hash. `tensors` counts those that a text passes
    through by name, the number of the block as `#`; their hash is of all names and shapes, and
    `weights` how many numbers they hold. `tied_output` says whether the output matrix is the
    embedding written again (it is not counted then); None where there is none. `rope_sha256` and
    `norms_sha256` are of the values of weights that no quantization touches.
    """

    metadata: Mapping[str, Any] | None = None
    metadata_sha256: str | None = None
    tensors: Mapping[str, int] | None = None
    tensors_sha256: str | None = None
    weights: int | None = None
    tied_output: bool | None = None
    rope_sha256: str | None = None
    norms_sha256: str | None = None


@dataclass(frozen=True, slots=True)
class Artifact(ModelFacts):
    """What an engine tells of the model that an arm runs on."""

    model: str
    quantized_before: QuantizedBefore | None = None
    structure: Structure | None = None
    weights_stated: tuple[str, ...] = ()
    sampling: Sampling | None = None
