"""What an arm runs on: the artifact whose precision is compared."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

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
class Artifact:
    """What an arm runs on; None where the engine cannot tell. `context`: prompt and answer.

    `stored_as` is the share of the weights in each type of tensor, the largest first: a file of one
    type holds tensors of several. `weights_stated` names what of the weights the study states and
    the engine does not tell: `type`, `bytes`. `kv_bytes` is what the keys and values of a full
    context take in memory, over all slots. `one_at_a_time` says that the engine holds one such
    model in memory: asking another arm of it unloads this one (None: its server is to be asked once
    all were loaded); `resident` that the model is in memory already, or on another machine, and
    takes none of what is free here. `details` is what else the engine reports of its model; no
    path, no secret. `identity` is what tells its server from another one of the same name.
    `template_default` names the template that stands in for one that the model file does not have.
    `template_date` says by which names (`by`) the template asks for the day's date and which day it
    is told (`held`; None: each day another); empty where it asks for none, None where the template
    is not known.
    """

    model: str
    sha256: str | None = None
    bytes_on_disk: int | None = None
    quantization: str | None = None
    parameters: int | None = None
    architecture: str | None = None
    context: int | None = None
    tokenizer_sha256: str | None = None
    template_sha256: str | None = None
    template_default: str | None = None
    template_date: Mapping[str, Any] | None = None
    derived_from: str | None = None
    source_sha256: str | None = None
    source_quantization: str | None = None
    quantized_before: QuantizedBefore | None = None
    structure: Structure | None = None
    stored_as: Mapping[str, float] = field(default_factory=dict)
    weights_stated: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    kv_bytes: int | None = None
    one_at_a_time: bool | None = False
    resident: bool = False
    details: Mapping[str, Any] = field(default_factory=dict)
    identity: Mapping[str, str] = field(default_factory=dict)
    sampling: Sampling | None = None
