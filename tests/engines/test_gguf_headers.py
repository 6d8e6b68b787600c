"""Headers that no writer writes: wrong types, endless nesting, absurd numbers. Each is one line."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from gguf import GGMLQuantizationType, GGUFReader, GGUFWriter

from quantrial.cli import main
from quantrial.engines.gguf_file import encode_header, encode_u32, read_header
from quantrial.engines.model_files import describe_file
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
    with pytest.raises(ModelFileError, match=f"m.gguf: has {said} as {key}, where a whole number"):
        read_header(path)


@pytest.mark.parametrize("number", [-1, 0])
def test_an_alignment_of_nothing_is_named(tmp_path: Path, number: int) -> None:
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
        tmp_path / "m.gguf", field("x.deep", ARRAY, nested(4)), encode_u32("llama.block_count", 3)
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


def test_what_stands_twice_is_named(tmp_path: Path) -> None:
    twice = [encode_u32("llama.block_count", 3), encode_u32("llama.block_count", 4)]
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
