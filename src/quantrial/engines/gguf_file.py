"""The GGUF format: reading a header fast, and writing the same header over other weights.

The reader of the `gguf` package makes an object of every token (2.5 s for a vocabulary of 49,000);
this one steps over arrays and keeps the metadata as the bytes it is, so that it is read in a
fiftieth of the time, can be hashed as it stands, and is copied into a made file without a change.
Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

import hashlib
import math
import mmap
import os
import struct
import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from gguf.constants import (
    GGML_QUANT_SIZES,
    GGUF_DEFAULT_ALIGNMENT,
    GGMLQuantizationType,
    GGUFValueType,
    LlamaFileType,
    TokenType,
)
from gguf.quants import dequantize

from quantrial.engines.cache import SETTLED
from quantrial.errors import ModelFileError
from quantrial.paths import open_file

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

_WHOLE = ("UINT8", "INT8", "UINT16", "INT16", "UINT32", "INT32", "UINT64", "INT64")
STRING, ARRAY = int(GGUFValueType.STRING), int(GGUFValueType.ARRAY)
SCALARS = {
    int(GGUFValueType[name]): struct.Struct(f"<{code}")
    for name, code in zip((*_WHOLE, "FLOAT32", "FLOAT64", "BOOL"), "BbHhIiQqfd?", strict=True)
}
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
        return math.prod(self.shape)


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


def weights_of(raw: NDArray[np.uint8], kind: GGMLQuantizationType) -> NDArray[np.float32]:
    """Read weights as numbers, which need not be finite.

    Args:
        raw: as stored, shape (rows, bytes a row).
        kind: the type they are stored in.

    Raises:
        NotImplementedError: the gguf package cannot dequantize that type.
    """
    with np.errstate(invalid="ignore", over="ignore"):
        return np.asarray(dequantize(raw, kind), dtype=np.float32)


def control_tokens(tokens: Sequence[Any] | None, kinds: Sequence[Any] | None) -> frozenset[str]:
    """Return the tokens of a vocabulary whose kind is that of a control token."""
    vocabulary = zip(tokens or (), kinds or (), strict=False)
    control = int(TokenType.CONTROL)
    return frozenset(
        token for token, kind in vocabulary if kind == control and isinstance(token, str)
    )


_DEEPEST = 8  # arrays within arrays; llama.cpp reads none
_DIMENSIONS = 4  # of a tensor, as ggml has
# The largest models have some 60 fields, a million tokens and merges, and 50,000 tensors. Beyond
# these limits, which keep a header to a second and its memory to some times its size, is no model.
_MOST = {"field": 2**16, "tensor": 2**17, "array": 2**21, "string": 2**21}
_LARGEST = 2**28  # bytes of a header
_LONGEST = 2**24  # bytes of a text
_COARSEST = 2**20  # alignment
_LEAST = {"field": 13, "tensor": 24}  # bytes in the file
_KEPT = 8  # headers, of some megabytes each
_READ: dict[tuple[Path, tuple[int, ...]], Header] = {}


def read_header(path: Path) -> Header:
    """Read a GGUF header and check that all its tensors are within the file.

    A study asks for the headers of its few files some twenty times, so those read last are kept
    for as long as their files stay the same. Callers share them and change nothing in them.

    Raises:
        ModelFileError: no such file, not readable, not GGUF, of another version, or cut short.
    """
    try:
        with open_file(path) as file:
            stat = os.fstat(file.fileno())
            stamp = (stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)
            if (path, stamp) in _READ:
                return _READ[path, stamp]
            if file.read(4) != b"GGUF":
                raise ModelFileError("is not a GGUF file (it does not begin with GGUF)", path=path)
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                header, size = _Scan(data).header(), len(data)
    except FileNotFoundError as exc:
        raise ModelFileError("no such model file", path=path) from exc
    except IsADirectoryError as exc:
        raise ModelFileError("is a folder; name the .gguf file in it", path=path) from exc
    except OSError as exc:
        raise ModelFileError(f"cannot be read ({exc.strerror or exc})", path=path) from exc
    except (struct.error, IndexError, OverflowError) as exc:
        raise ModelFileError("is cut short within its header; fetch it again", path=path) from exc
    except UnicodeDecodeError as exc:
        raise ModelFileError(f"holds a text that is not UTF-8 ({exc})", path=path) from exc
    except _NoModelError as exc:
        raise ModelFileError(str(exc), path=path) from exc
    end = max((tensor.start + tensor.size for tensor in header.tensors), default=0)
    if end > size:
        raise ModelFileError(
            f"is cut short: {size:,} bytes, and its weights end at {end:,}; fetch it again",
            path=path,
        )
    if time.time() - max(stat.st_mtime, stat.st_ctime) > SETTLED:
        while len(_READ) >= _KEPT:
            _READ.pop(next(iter(_READ)), None)
        _READ[path, stamp] = header
    return header


class _NoModelError(Exception):
    """What is wrong with a header; the file's name goes before it."""


class _Scan:
    """One pass over the bytes of a header."""

    def __init__(self, data: mmap.mmap):
        self.data = data
        self.at = 4
        self.strings = 0

    def header(self) -> Header:
        version = self._number(U32)
        if version not in (2, 3):
            order = " (or big-endian)" if not version & 0xFFFF else ""
            raise _NoModelError(f"has GGUF version {version}{order}; versions 2 and 3 can be read")
        tensor_count = self._count("tensor")
        field_count = self._count("field")
        fields: dict[str, Field] = {}
        for _ in range(field_count):
            field = self._field()
            if field.key in fields:
                raise _NoModelError(f"holds the key {field.key!r:.80} twice")
            fields[field.key] = field
        if (parts := self._whole(fields, "split.count", default=1)) > 1:
            raise _NoModelError(
                f"is one of {parts} parts; join them first (llama-gguf-split --merge)"
            )
        infos = [self._tensor() for _ in range(tensor_count)]
        names = Counter(name for name, *_ in infos)
        if twice := [name for name, count in names.items() if count > 1]:
            raise _NoModelError(f"holds the tensor {twice[0]!r:.80} twice")
        alignment = self._whole(fields, "general.alignment", default=GGUF_DEFAULT_ALIGNMENT)
        if not 1 <= alignment <= _COARSEST or alignment & (alignment - 1):
            raise _NoModelError(
                f"has an alignment of {alignment}; expected a power of two up to {_COARSEST:,}"
            )
        for name, _, _, offset in infos:
            if offset % alignment:
                raise _NoModelError(
                    f"has the weights of {name!r:.80} at {offset:,}; expected a multiple of the "
                    f"alignment, {alignment}"
                )
        start = self.at + -self.at % alignment
        return Header(
            fields,
            tuple(
                Tensor(name, shape, kind, start + offset, _size(shape, kind))
                for name, shape, kind, offset in infos
            ),
        )

    def _whole(self, fields: Mapping[str, Field], key: str, *, default: int) -> int:
        """Return a whole number that the header is read by."""
        if key not in fields:
            return default
        value = fields[key].value
        if type(value) is not int:
            found = "a list" if value is None else f"{value!r:.40}"
            raise _NoModelError(f"has {found} as {key}; expected a whole number")
        return value

    def _count(self, what: str) -> int:
        """Read how many fields or tensors there are, if the file has room for so many."""
        count = self._number(U64)
        if count > _MOST[what]:
            raise _NoModelError(
                f"claims to hold {count:,} {what}s; at most {_MOST[what]:,} are read"
            )
        if count * _LEAST[what] > len(self.data):
            raise IndexError
        return count

    def _number(self, form: struct.Struct) -> int:
        value: int = form.unpack_from(self.data, self.at)[0]
        self.at += form.size
        return value

    def _text(self) -> str:
        length = self._number(U64)
        end = self.at + length
        if end > len(self.data):
            raise IndexError
        if length > _LONGEST:
            raise _NoModelError(f"holds a text of {length:,} bytes; at most {_LONGEST:,} are read")
        text = self.data[self.at : end].decode("utf-8")
        self.at = end
        return text

    def _field(self) -> Field:
        start = self.at
        key = self._text()
        value = self._value(self._number(U32))
        if self.at > _LARGEST:
            raise _NoModelError(f"has a header of more than {_LARGEST:,} bytes; no model has")
        return Field(key, value, self.data[start : self.at])

    def _value(self, kind: int, *, depth: int = 0) -> Any:
        if kind == STRING:
            return self._text()
        if kind == ARRAY:
            if depth >= _DEEPEST:
                raise _NoModelError(f"holds arrays within arrays, more than {_DEEPEST} deep")
            self._step_over_array(depth + 1)
            return None
        form = SCALARS.get(kind)
        if form is None:
            raise _NoModelError(f"holds metadata of an unknown type {kind}")
        return self._number(form)

    def _step_over_array(self, depth: int) -> None:
        kind, count = self._number(U32), self._number(U64)
        if count > len(self.data):  # an element takes a byte
            raise IndexError
        self.strings += count if kind not in SCALARS else 0
        if count > _MOST["array"] or self.strings > _MOST["string"]:
            raise _NoModelError(
                f"holds an array of {count:,} elements; at most {_MOST['array']:,} are read, and "
                f"{_MOST['string']:,} texts in all"
            )
        if (form := SCALARS.get(kind)) is not None:
            self.at += form.size * count
        elif kind == STRING:
            at, data, unpack = self.at, self.data, U64.unpack_from
            for _ in range(count):
                at += 8 + unpack(data, at)[0]
            self.at = at
        else:
            for _ in range(count):
                self._value(kind, depth=depth)
        if self.at > len(self.data):
            raise IndexError

    def _tensor(self) -> tuple[str, tuple[int, ...], GGMLQuantizationType, int]:
        name = self._text()
        dimensions = self._number(U32)
        if dimensions > _DIMENSIONS:
            raise _NoModelError(f"holds {name!r:.80}, a tensor of {dimensions:,} dimensions")
        shape = tuple(self._number(U64) for _ in range(dimensions))
        number = self._number(U32)
        try:
            kind = GGMLQuantizationType(number)
        except ValueError as exc:
            raise _NoModelError(
                f"stores {name!r:.80} in type {number}; the installed gguf package does not know it"
            ) from exc
        if shape and shape[0] % (block := GGML_QUANT_SIZES[kind][0]):
            raise _NoModelError(
                f"stores {name!r:.80} as {kind.name} in rows of {shape[0]:,} weights; expected a "
                f"multiple of {block}"
            )
        return name, shape, kind, self._number(U64)


def _size(shape: tuple[int, ...], kind: GGMLQuantizationType) -> int:
    block, size = GGML_QUANT_SIZES[kind]
    return int(math.prod(shape) // block * size)


def encode_header(
    fields: Iterable[bytes],
    tensors: Iterable[tuple[str, tuple[int, ...], GGMLQuantizationType]],
    *,
    alignment: int = GGUF_DEFAULT_ALIGNMENT,
) -> bytes:
    """Encode a header: raw fields, and tensors whose data follows in their order, each aligned."""
    raw = list(fields)
    infos, offset = [], 0
    for name, shape, kind in tensors:
        where = struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, int(kind), offset)
        infos.append(_encoded_text(name) + where)
        size = _size(shape, kind)
        offset += size + -size % alignment
    head = b"GGUF" + struct.pack("<IQQ", 3, len(infos), len(raw)) + b"".join([*raw, *infos])
    return head + bytes(-len(head) % alignment)


def encode_field(key: str, value: float | str) -> bytes:
    """Encode one metadata field: a whole number (32 bits), another number (32 bits), or a text."""
    if isinstance(value, str):
        return _encoded_text(key) + U32.pack(STRING) + _encoded_text(value)
    kind = GGUFValueType.UINT32 if isinstance(value, int) else GGUFValueType.FLOAT32
    return _encoded_text(key) + U32.pack(int(kind)) + SCALARS[int(kind)].pack(value)


def _encoded_text(text: str) -> bytes:
    encoded = text.encode()
    return U64.pack(len(encoded)) + encoded
