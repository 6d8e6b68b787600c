"""Headers that no writer writes: wrong types, endless nesting, absurd numbers. Each is one line."""

from __future__ import annotations

import os
import re
import struct
import tracemalloc
from pathlib import Path

import pytest
from gguf import GGMLQuantizationType, GGUFReader, GGUFWriter

from cpu import within_a_second
from quantrial.cli import main
from quantrial.engines.gguf_file import encode_field, encode_header, read_header
from quantrial.engines.model_files import describe_file, kv_cache_bytes
from quantrial.engines.requantize import write_requantized
from quantrial.engines.weights import levels_of, structure_of
from quantrial.errors import ModelFileError

U8, I32, F32, BOOL, STRING, ARRAY, F64 = 0, 5, 6, 7, 8, 9, 12
F32_TENSOR = GGMLQuantizationType.F32


def text(value: str) -> bytes:
    return struct.pack("<Q", len(value)) + value.encode()


def field(key: str, kind: int, value: bytes) -> bytes:
    return text(key) + struct.pack("<I", kind) + value


def nested(depth: int) -> bytes:
    """An array in an array in an array ..., the innermost of one byte."""
    return struct.pack("<IQ", ARRAY, 1) * (depth - 1) + struct.pack("<IQB", U8, 1, 7)


def write(path: Path, *fields: bytes, names: tuple[str, ...] = ("w",)) -> Path:
    header = encode_header(fields, [(name, (8,), F32_TENSOR) for name in names])
    path.write_bytes(header + bytes(64 * len(names)))
    return path


STRAY = [
    (STRING, text("2"), r"'2'"),
    (F32, struct.pack("<f", 2.0), r"2\.0"),
    (F64, struct.pack("<d", float("nan")), "nan"),
    (BOOL, b"\1", "True"),
    (ARRAY, struct.pack("<IQI", 4, 1, 2), "a list"),
]


@pytest.mark.parametrize("key", ["split.count", "general.alignment"])
@pytest.mark.parametrize(("kind", "value", "said"), STRAY)
def test_a_number_of_another_type_is_named(
    tmp_path: Path, key: str, kind: int, value: bytes, said: str
) -> None:
    path = write(tmp_path / "m.gguf", field(key, kind, value))
    with pytest.raises(ModelFileError, match=f"m.gguf: has {said} as {key}; expected a whole"):
        read_header(path)


@pytest.mark.parametrize("number", [-1, 0, 3, 33, 2**21, 2**31 - 1])
def test_an_alignment_that_is_none_is_named(tmp_path: Path, number: int) -> None:
    path = write(tmp_path / "m.gguf", field("general.alignment", I32, struct.pack("<i", number)))
    with pytest.raises(ModelFileError, match=f"has an alignment of {number}"):
        read_header(path)


@pytest.mark.parametrize("depth", [9, 5_000, 200_000])
def test_arrays_nested_without_end_are_named(tmp_path: Path, depth: int) -> None:
    path = write(tmp_path / "m.gguf", field("x.deep", ARRAY, nested(depth)))
    with pytest.raises(ModelFileError, match="holds arrays within arrays, more than 8 deep"):
        read_header(path)


def test_a_few_arrays_within_arrays_are_stepped_over(tmp_path: Path) -> None:
    path = write(
        tmp_path / "m.gguf", field("x.deep", ARRAY, nested(4)), encode_field("llama.block_count", 3)
    )
    header = read_header(path)
    assert header.value("llama.block_count") == 3
    assert header.fields["x.deep"].elements is None


@pytest.mark.parametrize(
    "value",
    [
        struct.pack("<IQQ", STRING, 2, 2**64 - 1) + bytes(64),
        struct.pack("<IQQ", STRING, 2, 2**62) + bytes(64),
        struct.pack("<IQ", U8, 2**63),
        struct.pack("<IQ", ARRAY, 2**64 - 1),
    ],
)
def test_lengths_beyond_the_file_are_a_header_cut_short(tmp_path: Path, value: bytes) -> None:
    path = write(tmp_path / "m.gguf", field("x.list", ARRAY, value))
    with pytest.raises(ModelFileError, match=r"cut short within its header|unknown type"):
        read_header(path)


def test_a_tensor_of_a_billion_dimensions_is_named(tmp_path: Path) -> None:
    good = write(tmp_path / "m.gguf").read_bytes()
    shape = struct.pack("<IQ", 1, 8)
    assert good.count(shape) == 1
    (tmp_path / "m.gguf").write_bytes(good.replace(shape, struct.pack("<IQ", 10**9, 8)))
    with pytest.raises(ModelFileError, match=r"'w', a tensor of 1,000,000,000 dimensions"):
        read_header(tmp_path / "m.gguf")


@pytest.mark.parametrize("dimensions", [5, 8, 100_000])
def test_a_tensor_of_more_dimensions_than_ggml_has_is_named(
    tmp_path: Path, dimensions: int
) -> None:
    shape = (8,) + (1,) * (dimensions - 1)
    path = tmp_path / "m.gguf"
    path.write_bytes(encode_header([], [("w", shape, F32_TENSOR)]) + bytes(64))
    with within_a_second(), pytest.raises(ModelFileError, match=f"a tensor of {dimensions:,} dim"):
        read_header(path)


def array(kind: int, count: int, content: bytes = b"", key: str = "x.list") -> bytes:
    return field(key, ARRAY, struct.pack("<IQ", kind, count) + content)


def claims(fields: int = 0, tensors: int = 0) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", 3, tensors, fields)


HUGE = {
    "a key of 2 GB": (claims(fields=1) + struct.pack("<Q", 2**31), "a text of 2,147,483,648 bytes"),
    "a tensor's name of 2 GB": (claims(tensors=1) + struct.pack("<Q", 2**31), "a text of 2,147,"),
    "a text of 1 GB": (
        claims(fields=1) + text("k") + struct.pack("<IQ", STRING, 2**30),
        "a text of 1,073,741,824 bytes; at most 16,777,216 are read",
    ),
    "an array of a billion bytes": (claims(fields=1) + array(U8, 10**9), "array of 1,000,000,000"),
    "an array of a billion texts": (claims(fields=1) + array(STRING, 10**9), "1,000,000,000 elem"),
    "an array of a billion arrays": (claims(fields=1) + array(ARRAY, 10**9), "1,000,000,000 elem"),
    "a million texts, thrice": (
        claims(fields=3) + b"".join(array(STRING, 2**20, bytes(2**23), key) for key in "abc"),
        "2,097,152 texts in all",
    ),
    "a million fields": (claims(fields=10**6), "claims to hold 1,000,000 fields; at most"),
    "2^63 fields": (claims(fields=2**63), "claims to hold 9,223,372,036,854,775,808 fields"),
    "a million tensors": (claims(tensors=10**6), "claims to hold 1,000,000 tensors; at most"),
    "a length of 2^64-9": (claims(fields=1) + struct.pack("<Q", 2**64 - 9), "cut short within its"),
    "an array of 2^64-9": (claims(fields=1) + array(U8, 2**64 - 9), "cut short within its header"),
    "a text of 2^64-9": (
        claims(fields=1) + text("k") + struct.pack("<IQ", STRING, 2**64 - 9), "cut short within",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", HUGE)
def test_what_a_large_file_claims_is_refused_within_a_second(tmp_path: Path, what: str) -> None:
    data, message = HUGE[what]
    path = tmp_path / "m.gguf"
    with path.open("wb") as file:
        file.write(data)
        file.truncate(2**32)  # a hole that is read as zeros
    with within_a_second(what), pytest.raises(ModelFileError, match=re.escape(message)):
        read_header(path)
    tracemalloc.start()  # apart: it takes a time of its own
    try:
        with pytest.raises(ModelFileError):
            read_header(path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2e8


def test_counts_are_held_against_the_size_of_the_file(tmp_path: Path) -> None:
    for data in (claims(fields=65_536), claims(tensors=65_536), claims(fields=20)):
        (tmp_path / "m.gguf").write_bytes(data + bytes(200))
        with pytest.raises(ModelFileError, match="cut short within its header"):
            read_header(tmp_path / "m.gguf")


@pytest.mark.parametrize(
    ("shape", "kind", "message"),
    [
        (
            (33,),
            GGMLQuantizationType.Q8_0,
            "'w' as Q8_0 in rows of 33 weights; expected",
        ),
        ((32, 4), GGMLQuantizationType.Q4_K, "expected a multiple of 256"),
        ((2**63, 2**63), F32_TENSOR, "is cut short"),
        ((2**40, 2**40, 2**40, 2**40), F32_TENSOR, "is cut short"),
    ],
)
def test_shapes_that_no_file_holds_are_named(
    tmp_path: Path, shape: tuple[int, ...], kind: GGMLQuantizationType, message: str
) -> None:
    (tmp_path / "m.gguf").write_bytes(encode_header([], [("w", shape, kind)]) + bytes(64))
    with pytest.raises(ModelFileError, match=message):
        read_header(tmp_path / "m.gguf")


@pytest.mark.parametrize("offset", [1, 8, 2**64 - 9])
def test_weights_off_their_alignment_are_named(tmp_path: Path, offset: int) -> None:
    good = encode_header([], [("w", (8,), F32_TENSOR)])
    shape = struct.pack("<IQ", 1, 8)
    before, _, rest = good.partition(shape)
    path = tmp_path / "m.gguf"
    path.write_bytes(before + shape + struct.pack("<IQ", 0, offset) + rest[12:] + bytes(64))
    with pytest.raises(ModelFileError, match=f"at {offset:,}; expected a multiple of the"):
        read_header(path)


@pytest.mark.parametrize("shape", [(), (0,), (32, 0), (0, 0, 0, 0)])
def test_a_tensor_of_nothing_is_read_as_one(
    tmp_path: Path, own_cache: Path, shape: tuple[int, ...]
) -> None:
    names = ("output.weight", "token_embd.weight", "rope_freqs.weight", "blk.0.attn_norm.weight")
    path = tmp_path / "m.gguf"
    path.write_bytes(encode_header([], [(name, shape, F32_TENSOR) for name in names]) + bytes(256))
    assert describe_file(path, cells=8).parameters == (0 if shape else 4)
    assert len(write_requantized(path, tmp_path / "made", "F16", None)) == 64


@pytest.mark.parametrize("kind", [F32_TENSOR, GGMLQuantizationType.F16, GGMLQuantizationType.Q8_0])
def test_weights_that_are_no_numbers_are_named_and_warn_of_nothing(
    tmp_path: Path, own_cache: Path, kind: GGMLQuantizationType
) -> None:
    tensors = [("token_embd.weight", (32, 64), kind), ("blk.0.attn_norm.weight", (32,), kind)]
    path = tmp_path / "m.gguf"
    path.write_bytes(encode_header([], tensors) + b"\xff\x7f" * 10_000)  # NaN in each type
    header = read_header(path)
    assert structure_of(path, header).weights == 65 * 32
    assert levels_of(path, header) is None
    with pytest.raises(ModelFileError, match=r"'token_embd\.weight' that are not finite"):
        write_requantized(path, tmp_path / "made", "Q8_0", None)


SHAPE = {
    "general.architecture": "llama",
    "llama.block_count": 32,
    "llama.attention.head_count": 32,
    "llama.embedding_length": 4096,
}


@pytest.mark.parametrize("key", [key for key in SHAPE if key.startswith("llama.")])
@pytest.mark.parametrize("value", [0, -1, 2**40, 2**64 - 1, 1.5, True, "8", [], [0, -1, 2**63]])
def test_a_shape_that_no_model_has_takes_no_known_memory(key: str, value: object) -> None:
    assert kv_cache_bytes(SHAPE.get, 128) == 2 * 32 * 4096 * 2 * 128
    assert kv_cache_bytes((SHAPE | {key: value}).get, 128) is None
    most = dict.fromkeys(SHAPE, 2**32 - 1) | {"general.architecture": "llama"}
    assert kv_cache_bytes(most.get, 2**30) is None


def test_a_context_that_no_model_has_is_none(tmp_path: Path) -> None:
    name = field("general.architecture", STRING, text("llama"))
    for kind, form, value in ((4, "<I", 2**32 - 1), (5, "<i", -5), (10, "<Q", 2**64 - 1)):
        length = field("llama.context_length", kind, struct.pack(form, value))
        assert read_header(write(tmp_path / "m.gguf", name, length)).context_length is None


def test_what_stands_twice_is_named(tmp_path: Path) -> None:
    twice = [encode_field("llama.block_count", 3), encode_field("llama.block_count", 4)]
    with pytest.raises(ModelFileError, match=r"holds the key 'llama\.block_count' twice"):
        read_header(write(tmp_path / "m.gguf", *twice))
    with pytest.raises(ModelFileError, match="holds the tensor 'w' twice"):
        read_header(write(tmp_path / "n.gguf", names=("w", "w")))


@pytest.mark.parametrize("kind_and_value", [(s, v) for s, v, _ in STRAY])
def test_a_shape_of_another_type_is_no_shape(
    tmp_path: Path, own_cache: Path, kind_and_value: tuple[int, bytes]
) -> None:
    """What says nothing of memory or context is as good as not there."""
    kind, value = kind_and_value
    keys = ("block_count", "attention.head_count", "embedding_length", "context_length")
    path = write(
        tmp_path / "m.gguf",
        field("general.architecture", STRING, text("llama")),
        field("general.file_type", kind, value),
        *(field(f"llama.{key}", kind, value) for key in keys),
    )
    artifact = describe_file(path, cells=128)
    assert (artifact.context, artifact.kv_bytes, artifact.quantization) == (None, None, "F32")


def test_arrays_are_decoded_as_the_package_does(tmp_path: Path) -> None:
    writer = GGUFWriter(tmp_path / "m.gguf", "llama")
    writer.add_array("x.numbers", [3, 1, 2])
    writer.add_array("x.fractions", [0.5, 2.0])
    writer.add_array("x.flags", [True, False])
    writer.add_array("x.texts", ["", "ü", "<|im_end|>"])
    writer.add_uint32("x.scalar", 3)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    fields, reader = read_header(tmp_path / "m.gguf").fields, GGUFReader(tmp_path / "m.gguf")
    for key in ("x.numbers", "x.fractions", "x.flags", "x.texts"):
        assert fields[key].elements == reader.fields[key].contents()
    assert fields["x.scalar"].elements is None
    assert fields["general.architecture"].elements is None


def test_the_command_says_it_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path / "m.gguf", field("x.deep", ARRAY, nested(5_000)))
    monkeypatch.setattr("sys.argv", ["quantrial", "quantize", str(path), "--to", "F16"])
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 2
    said = capsys.readouterr().err
    assert "holds arrays within arrays" in said
    assert "internal error" not in said


def test_a_header_is_kept_until_its_file_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("quantrial.engines.gguf_file.SETTLED", -1.0)  # every file is old enough
    path = write(tmp_path / "m.gguf", encode_field("llama.block_count", 3))
    stat, header = path.stat(), read_header(path)
    assert read_header(path) is header
    data = path.read_bytes()
    changed = data.replace(
        encode_field("llama.block_count", 3), encode_field("llama.block_count", 4)
    )
    assert len(changed) == len(data)
    assert changed != data
    path.write_bytes(changed)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))  # as a copy that keeps times does
    assert header.value("llama.block_count") == 3
    assert read_header(path).value("llama.block_count") == 4
