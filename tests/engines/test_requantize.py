"""Made model files: numbers by hand, metadata byte for byte, and their place in the cache."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock
from gguf import GGMLQuantizationType, GGUFReader
from gguf.quants import dequantize
from numpy.typing import NDArray

from quantrial.engines.gguf_file import read_header
from quantrial.engines.requantize import made_file
from quantrial.errors import ModelFileError, QuantrialWarning

WriteGguf = Callable[..., Path]
Array = NDArray[np.float32]


def weights_of(path: Path) -> dict[str, Array]:
    """Read a file's weights with the gguf package's reader."""
    tensors = GGUFReader(path).tensors
    return {t.name: np.array(dequantize(t.data, t.tensor_type), np.float32) for t in tensors}


def types_of(path: Path) -> dict[str, str]:
    return {tensor.name: tensor.type.name for tensor in read_header(path).tensors}


@pytest.fixture
def source(tmp_path: Path, write_gguf: WriteGguf, own_cache: Path) -> Path:
    rng = np.random.default_rng(3)
    return write_gguf(
        tmp_path / "source.gguf",
        {
            "a.weight": rng.normal(size=(5, 64)).astype(np.float32),
            "norm.weight": rng.normal(size=64).astype(np.float32),
            "odd.weight": rng.normal(size=(3, 33)).astype(np.float32),
            "experts.weight": rng.normal(size=(2, 3, 32)).astype(np.float32),
        },
        general__file_type=0,
    )


@pytest.mark.parametrize("target", ["F16", "Q8_0", "Q5_0", "Q4_0"])
def test_every_target_is_stored_where_rows_allow(source: Path, target: str) -> None:
    made = made_file(source, target)
    assert types_of(made) == {
        "a.weight": target,
        "norm.weight": "F32",
        "odd.weight": "F16",
        "experts.weight": target,
    }
    assert read_header(made).quantization == target
    before, after = weights_of(source), weights_of(made)
    assert np.array_equal(before["norm.weight"], after["norm.weight"])
    assert {k: v.shape for k, v in before.items()} == {k: v.shape for k, v in after.items()}
    bits = {"F16": 11, "Q8_0": 7, "Q5_0": 4, "Q4_0": 3}[target]
    for name in ("a.weight", "experts.weight"):
        error = np.abs(before[name] - after[name]).max()
        assert error <= np.abs(before[name]).max() * 2.0**-bits


def test_metadata_is_copied_byte_for_byte_except_the_type(source: Path) -> None:
    before, after = read_header(source).fields, read_header(made_file(source, "Q4_0")).fields
    added = {"general.file_type", "general.quantization_version"}
    assert {k: f.raw for k, f in before.items() if k not in added} == {
        k: f.raw for k, f in after.items() if k not in added
    }
    assert (after["general.file_type"].value, after["general.quantization_version"].value) == (2, 2)
    reader = GGUFReader(made_file(source, "Q4_0"))
    assert reader.fields["tokenizer.ggml.tokens"].contents() == ["<s>", "a", "ü"]
    assert reader.fields["test.levels"].contents() == [1, 2, 3]


def test_q8_0_by_hand(tmp_path: Path, write_gguf: WriteGguf, own_cache: Path) -> None:
    # 127 is the largest magnitude of the block, so its scale is 1 and whole numbers are exact
    row = np.zeros((1, 32), np.float32)
    row[0, :5] = [127, -126, 3, 0.4, -0.6]
    made = made_file(write_gguf(tmp_path / "s.gguf", {"w": row}), "Q8_0")
    assert weights_of(made)["w"][0, :6].tolist() == [127, -126, 3, 0, -1, 0]


def test_q4_0_by_hand(tmp_path: Path, write_gguf: WriteGguf, own_cache: Path) -> None:
    # the weight of largest magnitude is stored as -8: with -8 itself the scale is 1
    row = np.zeros((1, 32), np.float32)
    row[0, :5] = [-8, 7, 3, 1.4, 8]
    made = made_file(write_gguf(tmp_path / "s.gguf", {"w": row}), "Q4_0")
    assert weights_of(made)["w"][0, :6].tolist() == [-8, 7, 3, 1, 7, 0]


def test_rounding_to_3_bits_by_hand(tmp_path: Path, write_gguf: WriteGguf, own_cache: Path) -> None:
    rows = np.zeros((2, 64), np.float32)
    rows[0, :6] = [3, -3, 1.4, 1.6, -0.4, 0.6]  # a scale of 1
    rows[0, 32:35] = [-6, 3.2, 0.9]  # its own block: a scale of 2
    source = write_gguf(tmp_path / "s.gguf", {"w": rows, "norm": rows[0], "odd": rows[:, :33]})
    made = made_file(source, "F16", "round_3bit")
    weights = weights_of(made)
    assert weights["w"][0, :7].tolist() == [3, -3, 1, 2, 0, 1, 0]
    assert weights["w"][0, 32:36].tolist() == [-6, 4, 0, 0]
    assert not weights["w"][1].any()
    assert np.array_equal(weights["norm"], rows[0])
    assert np.allclose(weights["odd"], rows[:, :33], atol=1e-2)
    assert types_of(made)["w"] == "F16"
    assert made != made_file(source, "F16")


def test_q8_0_errors_are_within_half_a_step(source: Path) -> None:
    before, after = weights_of(source)["a.weight"], weights_of(made_file(source, "Q8_0"))
    blocks, stored = before.reshape(-1, 32), after["a.weight"].reshape(-1, 32)
    scale = np.abs(blocks).max(axis=1, keepdims=True) / 127
    # the scale itself is stored in half precision, which moves a weight by up to 2**-11 of it
    assert (np.abs(blocks - stored) <= scale / 2 + np.abs(blocks) * 2.0**-11).all()


def test_a_quantized_source_is_dequantized_first(
    tmp_path: Path, write_gguf: WriteGguf, own_cache: Path
) -> None:
    rng = np.random.default_rng(5)
    weights = {"w": rng.normal(size=(700, 64)).astype(np.float32)}
    for kind in (GGMLQuantizationType.Q4_1, GGMLQuantizationType.BF16):
        source = write_gguf(tmp_path / f"{kind.name}.gguf", weights, kind=kind)
        made = weights_of(made_file(source, "F16"))["w"]
        assert np.allclose(made, weights_of(source)["w"], rtol=2**-10, atol=1e-6)


def test_pieces_give_the_same_bytes_as_the_whole(
    source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = made_file(source, "Q4_0", "round_3bit").read_bytes()
    monkeypatch.setattr("quantrial.engines.requantize._CHUNK", 64)
    monkeypatch.setenv("QUANTRIAL_CACHE", str(source.parent / "other"))
    assert made_file(source, "Q4_0", "round_3bit").read_bytes() == whole


def test_a_made_file_is_found_again(source: Path, own_cache: Path) -> None:
    made = made_file(source, "Q8_0")
    stat = made.stat()
    assert made_file(source, "Q8_0") == made
    assert (made.stat().st_ino, made.stat().st_mtime_ns) == (stat.st_ino, stat.st_mtime_ns)
    digest = hashlib.sha256(made.read_bytes()).hexdigest()
    assert made.with_suffix(".sha256").read_text().strip() == digest
    assert made.name.startswith(hashlib.sha256(source.read_bytes()).hexdigest())
    assert made.parent == own_cache / "models"


@pytest.mark.parametrize("damage", ["flipped", "cut", "no record"])
def test_a_file_that_is_not_what_was_written_is_made_again_with_a_note(
    source: Path, damage: str
) -> None:
    made = made_file(source, "Q8_0")
    good = made.read_bytes()
    if damage == "flipped":
        made.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    elif damage == "cut":
        made.write_bytes(good[:-10])
    else:
        made.with_suffix(".sha256").unlink()
    with pytest.warns(QuantrialWarning, match="made again"):
        made_file(source, "Q8_0")
    assert made.read_bytes() == good


def test_who_comes_second_waits_for_the_lock(source: Path) -> None:
    made = made_file(source, "Q8_0")
    made.unlink()
    with FileLock(made.with_suffix(".lock")):
        second = threading.Thread(target=made_file, args=(source, "Q8_0"))
        second.start()
        second.join(0.2)
        assert second.is_alive()
        assert not made.exists()
    second.join(10)
    assert made.exists()


def test_two_processes_leave_one_whole_file(source: Path, own_cache: Path) -> None:
    code = (
        "import sys; from pathlib import Path\n"
        "from quantrial.engines.requantize import made_file\n"
        "print(made_file(Path(sys.argv[1]), 'Q4_0'))"
    )
    command = [sys.executable, "-W", "error", "-c", code, str(source)]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    printed = {process.communicate(timeout=30)[0].strip() for process in running}
    assert [process.returncode for process in running] == [0, 0]
    (path,) = printed
    left = {entry.suffix for entry in (own_cache / "models").iterdir()}
    assert left <= {".gguf", ".sha256", ".json", ".lock"}
    assert read_header(Path(path)).quantization == "Q4_0"


def test_nothing_is_left_of_an_attempt_that_fails(
    tmp_path: Path, write_gguf: WriteGguf, own_cache: Path
) -> None:
    huge = {"w": np.full((1, 32), 1e6, np.float32)}
    source = write_gguf(tmp_path / "s.gguf", huge)
    with pytest.raises(ModelFileError, match="weights in w too large for F16"):
        made_file(source, "F16")
    assert {entry.suffix for entry in (own_cache / "models").iterdir()} <= {".lock"}


def test_what_a_killed_attempt_left_is_cleared(source: Path) -> None:
    made = made_file(source, "Q8_0")
    good = made.read_bytes()
    made.unlink()
    part = made.with_name(f".{made.name}.part")
    part.write_bytes(b"x" * 2 * len(good))
    assert made_file(source, "Q8_0").read_bytes() == good
    assert not part.exists()


def test_a_cache_that_cannot_be_written_is_named(
    source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QUANTRIAL_CACHE", str(source / "below-a-file"))
    with pytest.raises(ModelFileError, match=r"cannot be written there .*QUANTRIAL_CACHE"):
        made_file(source, "F16")


def test_a_source_that_is_not_there_is_named(tmp_path: Path, own_cache: Path) -> None:
    with pytest.raises(ModelFileError, match="nowhere"):
        made_file(tmp_path / "nowhere.gguf", "F16")
