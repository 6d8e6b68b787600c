"""What stands before the weights of a GGUF file: its fields, and where its tensors lie."""

from __future__ import annotations

import hashlib
import struct
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gguf.constants import GGMLQuantizationType, GGUFValueType, LlamaFileType, TokenType

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_FORMATS = {
    GGUFValueType.UINT8: "<B",
    GGUFValueType.INT8: "<b",
    GGUFValueType.UINT16: "<H",
    GGUFValueType.INT16: "<h",
    GGUFValueType.UINT32: "<I",
    GGUFValueType.INT32: "<i",
    GGUFValueType.FLOAT32: "<f",
    GGUFValueType.BOOL: "<?",
    GGUFValueType.UINT64: "<Q",
    GGUFValueType.INT64: "<q",
    GGUFValueType.FLOAT64: "<d",
}
STRING, ARRAY = int(GGUFValueType.STRING), int(GGUFValueType.ARRAY)
SCALARS = {int(kind): struct.Struct(fmt) for kind, fmt in _FORMATS.items()}
U32, U64 = struct.Struct("<I"), struct.Struct("<Q")
_GUESSED = 1024  # llama.cpp sets this bit on a file type it inferred
# A K-quant whose rows do not divide into 256 weights is stored as this type by llama.cpp.
_NARROW = {"Q4_0": ("Q2_K", "Q3_K"), "Q5_0": ("Q4_K",), "Q5_1": ("Q5_K",), "Q8_0": ("Q6_K",)}


@dataclass(frozen=True, slots=True)
class Field:
    """One key of the metadata: its bytes, and its value unless that is an array."""

    key: str
    value: Any
    raw: bytes  # key, type and value, as in the file

    @property
    def elements(self) -> list[Any] | None:
        """Decode a flat array; None where it is none, or one of arrays."""
        at = 8 + len(self.key.encode())
        if U32.unpack_from(self.raw, at)[0] != ARRAY:
            return None
        kind, count = struct.unpack_from("<IQ", self.raw, at + 4)
        at += 16
        if (form := SCALARS.get(kind)) is not None:
            return [value for (value,) in form.iter_unpack(self.raw[at : at + form.size * count])]
        if kind != STRING:
            return None
        texts = []
        for _ in range(count):
            end = at + 8 + U64.unpack_from(self.raw, at)[0]
            texts.append(self.raw[at + 8 : end].decode("utf-8", "replace"))
            at = end
        return texts


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor: its dimensions with the row length first, its type, and where its data stands."""

    name: str
    shape: tuple[int, ...]
    type: GGMLQuantizationType
    start: int  # from the beginning of the file
    size: int  # bytes

    @property
    def elements(self) -> int:
        """How many weights it holds."""
        count = 1
        for n in self.shape:
            count *= n
        return count


@dataclass(frozen=True, slots=True)
class Header:
    """What stands before the weights."""

    fields: Mapping[str, Field]
    tensors: tuple[Tensor, ...]

    def value(self, key: str) -> Any:
        """Return the value of a key; None where there is none, or where it is an array."""
        field = self.fields.get(key)
        return None if field is None else field.value

    @property
    def architecture(self) -> str | None:
        """The model family, such as `llama`."""
        value = self.value("general.architecture")
        return value if isinstance(value, str) else None

    @property
    def context_length(self) -> int | None:
        """The longest text the model was made for, in tokens."""
        value = self.value(f"{self.architecture}.context_length")
        return value if type(value) is int and 0 < value < 2**31 else None

    @property
    def parameters(self) -> int:
        """How many weights there are."""
        return sum(tensor.elements for tensor in self.tensors)

    @property
    def stored_as(self) -> dict[str, float]:
        """The share of all weights that each type of tensor holds, the largest first."""
        weights: Counter[str] = Counter()
        for tensor in self.tensors:
            weights[tensor.type.name] += tensor.elements
        total = max(self.parameters, 1)
        return {kind: round(n / total, 4) for kind, n in weights.most_common()}

    @property
    def dominant_type(self) -> str:
        """The type that most weights are stored in."""
        return next(iter(self.stored_as), "none")

    @property
    def quantization(self) -> str:
        """The type the file declares (`Q4_K_M`); the dominant one where no tensor bears it out."""
        declared = self.value("general.file_type")
        if type(declared) is int:
            try:
                name = LlamaFileType(declared & ~_GUESSED).name
            except ValueError:
                return self.dominant_type
            name = name.removeprefix("MOSTLY_").removeprefix("ALL_")
            held = {tensor.type.name for tensor in self.tensors}
            if any(name.startswith((kind, *_NARROW.get(kind, ()))) for kind in held):
                return name
        return self.dominant_type

    @property
    def tokenizer_sha256(self) -> str | None:
        """Hash what decides how text becomes tokens: vocabulary, merges, types, special ids."""
        keys = sorted(key for key in self.fields if key.startswith("tokenizer.ggml."))
        if not keys:
            return None
        digest = hashlib.sha256()
        for key in keys:
            digest.update(self.fields[key].raw)
        return digest.hexdigest()

    @property
    def control_tokens(self) -> frozenset[str]:
        """The texts that the vocabulary has as control tokens; empty where it does not say."""
        listed = (self.fields.get(f"tokenizer.ggml.{key}") for key in ("tokens", "token_type"))
        tokens, kinds = (field.elements if field else None for field in listed)
        return control_tokens(tokens, kinds)

    @property
    def template_sha256(self) -> str | None:
        """Hash the chat template's text."""
        template = self.value("tokenizer.chat_template")
        if not isinstance(template, str):
            return None
        return hashlib.sha256(template.encode()).hexdigest()


def control_tokens(tokens: Sequence[Any] | None, kinds: Sequence[Any] | None) -> frozenset[str]:
    """Return the tokens of a vocabulary whose kind is that of a control token."""
    told = zip(tokens or (), kinds or (), strict=False)
    control = int(TokenType.CONTROL)
    return frozenset(token for token, kind in told if kind == control and isinstance(token, str))
