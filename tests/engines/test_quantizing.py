"""Arms from one source: files, records, and the tools that write what is not written here."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quantrial.assay import arm_checks
from quantrial.cli import main
from quantrial.commands import provision
from quantrial.engines import Request
from quantrial.engines.cache import file_sha256
from quantrial.engines.gguf_file import read_header
from quantrial.engines.llamacpp import LlamaCppEngine
from quantrial.engines.model_files import describe_file, resolve
from quantrial.engines.requantize import made_file
from quantrial.errors import ModelFileError, QuantrialWarning
from summaries import arm_records

WriteGguf = Callable[..., Path]


@pytest.fixture
def source(tmp_path: Path, write_gguf: WriteGguf, own_cache: Path) -> Path:
    rng = np.random.default_rng(3)
    weights = {"w": rng.normal(size=(8, 64)).astype(np.float32)}
    return write_gguf(tmp_path / "tiny.F32.gguf", weights, general__file_type=0)


def test_each_type_is_a_file_that_names_its_source(source: Path, tmp_path: Path) -> None:
    made = provision.quantize(str(source), ["F16", "q8_0", "Q4_0", "F16"], out=tmp_path / "out")
    assert [one.path.name for one in made] == [
        "tiny.F16.gguf",
        "tiny.Q8_0.gguf",
        "tiny.Q4_0.gguf",
    ]
    digest = file_sha256(source)
    for one in made:
        assert read_header(one.path).quantization == one.quantization
        artifact = describe_file(one.path)
        assert artifact.source_sha256 == one.source_sha256 == digest
        assert artifact.derived_from == "tiny.F32.gguf"
        assert artifact.source_quantization == "F32"
    sizes = [one.bytes for one in made]
    assert sizes == sorted(sizes, reverse=True)
    arms = {one.quantization.lower(): vars_of(one.path) for one in made}
    checks = {one.id: one.status for one in arm_checks(arm_records(arms), "f16")}
    assert {checks[name] for name in ("weights", "precision", "sizes", "source")} == {"pass"}


def vars_of(path: Path) -> dict[str, Any]:
    import dataclasses

    return {"engine": "llamacpp", "versions": {}, **dataclasses.asdict(describe_file(path))}


def test_what_is_there_is_taken_and_what_is_another_ones_is_left_alone(
    source: Path, tmp_path: Path
) -> None:
    [one] = provision.quantize(str(source), ["Q8_0"], out=tmp_path)
    before = one.path.stat()
    [again] = provision.quantize(str(source), ["Q8_0"], out=tmp_path)
    assert again == one
    assert again.path.stat().st_mtime_ns == before.st_mtime_ns
    one.path.write_bytes(one.path.read_bytes() + b"\0" * 32)
    assert describe_file(one.path).source_sha256 is None, "the record is of another file"
    with pytest.raises(ModelFileError, match="not made from this source"):
        provision.quantize(str(source), ["Q8_0"], out=tmp_path)


def test_k_quants_without_a_tool_say_what_writes_them(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setitem(sys.modules, "llama_cpp", None)
    with pytest.raises(
        ModelFileError, match=r"IQ4_XS needs `llama-quantize` on the PATH.*\.\[quantize\]"
    ):
        provision.quantize(str(source), ["IQ4_XS"], out=tmp_path / "out")


def tool(folder: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a stand-in for llama-quantize in front of the PATH."""
    path = folder / "llama-quantize"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")


def test_llama_quantize_writes_what_is_not_written_here(
    source: Path, tmp_path: Path, write_gguf: WriteGguf, monkeypatch: pytest.MonkeyPatch
) -> None:
    # 30 is MOSTLY_IQ4_XS in llama.h; tensors fall back where rows do not divide
    weights = {"w": np.zeros((1, 256), np.float32)}
    answer = write_gguf(tmp_path / "answer.gguf", weights, general__file_type=30)
    tool(tmp_path, f'echo "$@" > {tmp_path}/asked; cp {answer} "$3"', monkeypatch)
    with pytest.warns(QuantrialWarning, match="written as IQ4_XS, but its weights are 100 % F32"):
        [one] = provision.quantize(str(source), ["iq4_xs"], out=tmp_path / "out")
    assert one.stored_as == {"F32": 1.0}
    asked = (tmp_path / "asked").read_text().split()
    assert asked[0] == "--allow-requantize"
    assert asked[1] == str(source)
    assert asked[3] == "IQ4_XS"
    record = json.loads((tmp_path / "out" / f"{one.path.name}.json").read_text())
    assert record["by"] == "llama-quantize"
    assert record["source_sha256"] == file_sha256(source)


def test_a_tool_that_fails_or_writes_something_else_leaves_nothing(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool(tmp_path, "echo no such type >&2; exit 1", monkeypatch)
    with pytest.raises(ModelFileError, match="could not write Q9_X: no such type"):
        provision.quantize(str(source), ["Q9_X"], out=tmp_path / "out")
    tool(tmp_path, f'cp {source} "$3"', monkeypatch)
    with pytest.raises(ModelFileError, match="llama-quantize wrote F32 instead of IQ4_XS"):
        provision.quantize(str(source), ["IQ4_XS"], out=tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


PACKAGE = """
import ctypes, os, shutil, sys
LLAMA_FTYPE_MOSTLY_IQ4_XS = 30
class _Params(ctypes.Structure):
    _fields_ = [("ftype", ctypes.c_int), ("allow_requantize", ctypes.c_bool)]
llama_model_quantize_default_params = _Params
def llama_model_quantize(source, target, params):
    params = params._obj
    assert (params.ftype, params.allow_requantize) == (30, True)
    os.write(2, b"llama_model_loader: " * 999)  # native code does not go through Python
    if b"aborts" in source:
        os.abort()
    shutil.copy(ANSWER, target.decode())
    return 0
"""


@pytest.fixture
def package(tmp_path: Path, write_gguf: WriteGguf, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in for llama-cpp-python, and no llama-quantize."""
    weights = {"w": np.zeros((1, 256), np.float32)}
    answer = write_gguf(tmp_path / "answer.gguf", weights, general__file_type=30)
    folder = tmp_path / "packages"
    folder.mkdir()
    (folder / "llama_cpp.py").write_text(PACKAGE.replace("ANSWER", repr(str(answer))))
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setenv("PYTHONPATH", str(folder), prepend=os.pathsep)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delitem(sys.modules, "llama_cpp", raising=False)


@pytest.mark.usefixtures("package")
def test_the_package_writes_in_a_process_of_its_own_and_its_chatter_is_kept_back(
    source: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.warns(QuantrialWarning, match="100 % F32"):
        [one] = provision.quantize(str(source), ["IQ4_XS"], out=tmp_path / "out")
    record = json.loads((tmp_path / "out" / f"{one.path.name}.json").read_text())
    assert record["by"] == "llama-cpp-python"
    assert capfd.readouterr().err == ""
    assert "llama_cpp" not in sys.modules
    with pytest.raises(ModelFileError, match="could not write Q9_X: it knows no type Q9_X"):
        provision.quantize(str(source), ["Q9_X"], out=tmp_path / "out")
    doomed = source.rename(source.with_name("aborts.gguf"))
    with pytest.raises(ModelFileError, match=r"could not write IQ4_XS \(signal 6\): .*loader"):
        provision.quantize(str(doomed), ["IQ4_XS"], out=tmp_path / "out")
    assert {p.name for p in (tmp_path / "out").iterdir()} == {
        one.path.name,
        f"{one.path.name}.json",
    }


def test_by_hand_a_file_says_what_its_weights_are_stored_as(
    tmp_path: Path, write_gguf: WriteGguf
) -> None:
    """Of 1,000 weights 640 are F16 and 360 F32."""
    weights = {"a": np.zeros((10, 64), np.float16), "b": np.zeros((36, 10), np.float32)}
    path = write_gguf(tmp_path / "m.gguf", weights, general__file_type=1)
    assert describe_file(path).stored_as == {"F16": 0.64, "F32": 0.36}


# Rows of 576 weights do not divide by 256, so most tensors of this model fall back. The counts of
# Q4_K_M are those of the file that Ollama 0.22.1 makes of the same weights, bit for bit.
@pytest.mark.parametrize(
    ("kind", "counts", "mostly"),
    [
        ("Q4_K_M", {"Q5_0": 166, "F32": 61, "Q4_K": 16, "Q8_0": 15, "Q6_K": 14}, "58 % Q5_0"),
        # by hand: queries, keys and two of the way up; values and outputs; the way down
        (
            "Q3_K_M",
            {"Q4_0": 120, "F32": 61, "Q5_0": 58, "Q4_K": 29, "Q5_1": 2, "Q8_0": 1, "Q5_K": 1},
            "49 % Q4_0",
        ),
    ],
)
def test_k_quants_answer_and_say_what_they_are_stored_as(
    demo: str, tmp_path: Path, kind: str, counts: dict[str, int], mostly: str
) -> None:
    f16 = made_file(resolve(demo, Path()), "F16", None)
    with pytest.warns(QuantrialWarning) as caught:
        [one] = provision.quantize(str(f16), [kind], out=tmp_path)
    origin, stored = (str(warning.message) for warning in caught)
    assert "quantized before (Q4_1)" in origin
    assert f"written as {kind}, but its weights are {mostly}" in stored
    made = read_header(one.path)
    assert made.quantization == one.quantization == kind
    assert Counter(tensor.type.name for tensor in made.tensors) == counts
    artifact = describe_file(one.path)
    assert artifact.source_sha256 == file_sha256(f16)
    # an arm of the study makes the same bytes
    assert file_sha256(made_file(f16, kind)) == artifact.sha256
    with contextlib.closing(
        LlamaCppEngine(str(one.path), {"threads": 1, "context": 256})
    ) as engine:
        reply = engine.ask(Request(text="The capital of France is", max_tokens=8))
        assert "Paris" in reply.output


def test_the_command_prints_lines_for_the_study(
    source: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "out"
    words = ["quantrial", "quantize", str(source), "--to", "Q8_0", "Q4_0", "--out", str(out)]
    monkeypatch.setattr("sys.argv", words)
    with pytest.raises(SystemExit) as caught:
        main()
    assert not caught.value.code
    import yaml

    arms = yaml.safe_load(capsys.readouterr().out)["arms"]
    assert arms == {
        "q8_0": {"model": f"{out}/tiny.Q8_0.gguf"},
        "q4_0": {"model": f"{out}/tiny.Q4_0.gguf"},
    }
