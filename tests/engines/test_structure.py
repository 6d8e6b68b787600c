"""What two files of one model have in common, whatever their types, and what tells two models."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from gguf import GGMLQuantizationType as Type
from gguf import GGUFWriter
from gguf.quants import quantize
from numpy.typing import NDArray

from quantrial.assay import Check, arm_checks
from quantrial.cli import main
from quantrial.engines.model_files import describe_file
from quantrial.engines.ollama_server import artifact_of
from quantrial.engines.weights import structure_told
from summaries import arm_records

Array = NDArray[np.float32]
RNG = np.random.default_rng(7)


def drawn(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).normal(0, 0.02, shape).astype(np.float32)


EMBEDDING = drawn(32, 64, seed=1)
TENSORS: dict[str, Array] = {
    "token_embd.weight": EMBEDDING,
    "output_norm.weight": drawn(64, seed=2),
    "blk.0.attn_norm.weight": drawn(64, seed=3),
    "blk.0.attn_q.weight": drawn(64, 64, seed=4),
    "blk.1.attn_norm.weight": drawn(64, seed=5),
    "blk.1.attn_q.weight": drawn(64, 64, seed=6),
}
METADATA: dict[str, Any] = {
    "context_length": 2048,
    "embedding_length": 64,
    "block_count": 2,
    "attention.head_count": 4,
    "attention.head_count_kv": 2,
    "attention.layer_norm_rms_epsilon": 1e-5,
    "rope.freq_base": 500000.0,
}


def write(
    path: Path,
    *,
    metadata: Mapping[str, Any] | None = None,
    tensors: Mapping[str, Array | None] | None = None,
    kind: Type = Type.F16,
    general: Mapping[str, str] | None = None,
) -> Path:
    """Write a file of a small llama; a value of None takes a key or a tensor away."""
    writer = GGUFWriter(path, "llama")
    for key, value in (general or {}).items():
        writer.add_string(key, value)
    for key, value in {**METADATA, **(metadata or {})}.items():
        add: Any = {
            bool: writer.add_bool,
            int: writer.add_uint32,
            float: writer.add_float32,
            str: writer.add_string,
            list: writer.add_array,
        }.get(type(value))
        if add is not None:
            add(f"llama.{key}", value)
    writer.add_uint32("general.file_type", {Type.F16: 1, Type.Q8_0: 7, Type.Q4_0: 2}[kind])
    for name, values in {**TENSORS, **(tensors or {})}.items():
        if values is not None and values.ndim == 1:
            writer.add_tensor(name, values)
        elif values is not None:
            writer.add_tensor(name, quantize(values, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.fixture(autouse=True)
def _cache(own_cache: Path) -> None:
    """Hashes are kept by the test alone."""


def checks(**files: Path) -> dict[str, Check]:
    """Ask whether files are one model; the first is the reference."""
    arms = {
        name: {"engine": "llamacpp", "versions": {}, **dataclasses.asdict(describe_file(path))}
        for name, path in files.items()
    }
    return {check.id: check for check in arm_checks(arm_records(arms), next(iter(files)))}


def compared(tmp_path: Path, **changes: Any) -> dict[str, Check]:
    """Compare an F16 file with a Q4_0 file of the same model, changed in one way."""
    reference = write(tmp_path / "f16.gguf")
    return checks(f16=reference, q4_0=write(tmp_path / "q4_0.gguf", kind=Type.Q4_0, **changes))


def test_two_precisions_of_one_model_pass(tmp_path: Path) -> None:
    found = compared(tmp_path)
    assert {name: found[name].status for name in ("metadata", "tensors", "origin", "setup")} == {
        "metadata": "pass",
        "tensors": "pass",
        "origin": "pass",
        "setup": "pass",
    }


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"rope.freq_base": 10000.0}, "rope.freq_base (10000 against 500000)"),
        ({"rope.freq_base": None}, "rope.freq_base (10000 by default against 500000)"),
        (
            {"rope.scaling.type": "yarn", "rope.scaling.factor": 4.0},
            "rope.scaling.type (yarn against none by default)",
        ),
        ({"rope.scaling.factor": 4.0}, "rope.scaling.factor (4 against 1 by default)"),
        ({"rope.dimension_count": 8}, "rope.dimension_count (8 against 16 by default)"),
        ({"attention.layer_norm_rms_epsilon": 1e-6}, "epsilon (1e-06 against 1e-05)"),
        ({"attention.head_count_kv": 4}, "attention.head_count_kv (4 against 2)"),
        ({"attention.head_count_kv": [2, 4]}, "attention.head_count_kv ([2, 4] against 2)"),
        ({"expert_used_count": 2}, "expert_used_count (2 against 0 by default)"),
        ({"attention.causal": False}, "attention.causal (False against True by default)"),
    ],
)
def test_metadata_that_changes_what_is_computed_fails(
    tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    check = compared(tmp_path, metadata=change)["metadata"]
    assert check.status == "fail"
    assert said in check.text
    assert "q4_0 and f16" in check.text


@pytest.mark.parametrize(
    "change",
    [
        {"context_length": 4096},
        {"attention.sliding_window": 512},
        {"some.new_key": 3},
        {"logit_scale": 0.5},
    ],
)
def test_metadata_of_which_it_is_not_known_what_it_changes_deserves_a_look(
    tmp_path: Path, change: dict[str, Any]
) -> None:
    check = compared(tmp_path, metadata=change)["metadata"]
    assert check.status == "warn"
    assert next(iter(change)) in check.text


@pytest.mark.parametrize(
    "change",
    [
        {"vocab_size": 32},
        {"rope.dimension_count": 16},
        {"attention.key_length": 16, "attention.value_length": 16},
        {"rope.scaling.type": "none"},
        {"rope.scaling.type": "linear", "rope.scaling.factor": 1.0},
        {"rope.scaling.factor": 0.0},
        {"attention.head_count_kv": [2, 2]},
        {"attention.causal": True},
        {"expert_count": 0},
        {"vision.block_count": 27},
    ],
)
def test_what_one_file_states_and_the_other_means_is_no_difference(
    tmp_path: Path, change: dict[str, Any]
) -> None:
    assert compared(tmp_path, metadata=change)["metadata"].status == "pass"


def test_names_and_makers_are_no_difference(tmp_path: Path) -> None:
    general = {"general.name": "other", "quantize.imatrix.file": "i.dat", "general.url": "u"}
    found = compared(tmp_path, general=general)
    assert (found["metadata"].status, found["tensors"].status) == ("pass", "pass")


@pytest.mark.parametrize(
    ("tensors", "said"),
    [
        ({"rope_freqs.weight": drawn(8)}, "rope_freqs.weight is in one alone"),
        ({"blk.1.attn_q.weight": None}, "blk.#.attn_q.weight (1 against 2)"),
        ({"blk.0.attn_q.bias": drawn(64)}, "blk.#.attn_q.bias is in one alone"),
        ({"output.weight": drawn(32, 64, seed=9)}, "output.weight is in one alone"),
        ({"blk.1.attn_q.weight": drawn(32, 64)}, "differ in the shapes of their tensors"),
    ],
)
def test_tensors_that_only_one_has_fail(
    tmp_path: Path, tensors: dict[str, Array | None], said: str
) -> None:
    check = compared(tmp_path, tensors=tensors)["tensors"]
    assert check.status == "fail"
    assert said in check.text


@pytest.mark.parametrize(
    "tensors",
    [
        {"output.weight": EMBEDDING},  # the embedding again
        {"v.blk.0.attn_q.weight": drawn(64, 64)},
        {"mm.0.weight": drawn(64, 64), "v.post_norm.weight": drawn(64)},
        {"blk.2.nextn.eh_proj.weight": drawn(64, 64)},
        {"blk.0.attn_rot_embd.weight": drawn(8)},
    ],
)
def test_tensors_that_no_text_passes_through_or_that_are_copies_are_no_difference(
    tmp_path: Path, tensors: dict[str, Array]
) -> None:
    found = compared(tmp_path, tensors=tensors)
    assert (found["tensors"].status, found["setup"].status) == ("pass", "pass")


def test_a_copy_of_the_embedding_is_known_in_every_type(tmp_path: Path) -> None:
    for kind in (Type.F16, Type.Q8_0, Type.Q4_0):
        own = {"output.weight": EMBEDDING}
        structure = describe_file(write(tmp_path / "m.gguf", kind=kind, tensors=own)).structure
        assert structure is not None
        assert structure.tied_output is True
        other = {"output.weight": drawn(32, 64, seed=8)}
        structure = describe_file(write(tmp_path / "m.gguf", kind=kind, tensors=other)).structure
        assert structure is not None
        assert structure.tied_output is False


def test_tensors_arranged_otherwise_deserve_a_look(tmp_path: Path) -> None:
    """As many weights under other names: another converter, most likely."""
    fused = {
        "blk.0.attn_q.weight": None,
        "blk.1.attn_q.weight": None,
        "blk.0.attn_qkv.weight": TENSORS["blk.0.attn_q.weight"],
        "blk.1.attn_qkv.weight": TENSORS["blk.1.attn_q.weight"],
    }
    assert compared(tmp_path, tensors=fused)["tensors"].status == "warn"


def test_other_rope_factors_fail_and_other_norms_deserve_a_look(tmp_path: Path) -> None:
    own = {"rope_freqs.weight": np.ones(8, np.float32)}
    other = {"rope_freqs.weight": np.full(8, 8, np.float32)}
    one = write(tmp_path / "a.gguf", tensors=own)
    found = checks(f16=one, q8_0=write(tmp_path / "b.gguf", tensors=other, kind=Type.Q8_0))
    assert found["tensors"].status == "fail"
    assert "RoPE factors" in found["tensors"].text
    norms = {"output_norm.weight": drawn(64, seed=99)}
    check = compared(tmp_path, tensors=norms)["tensors"]
    assert check.status == "warn"
    assert "q4_0 and f16 differ in the values of their norms" in check.text


def test_a_server_tells_the_metadata_alone() -> None:
    facts = {
        "general.architecture": "llama",
        "general.name": "x",
        "llama.rope.freq_base": 500000,
        "llama.attention.head_count_kv": [8, 8, 8],
        "llama.feed_forward_length": None,
        "tokenizer.ggml.model": "gpt2",
    }
    structure = structure_told(facts)
    assert structure is not None
    assert structure.metadata == {"rope.freq_base": 500000, "attention.head_count_kv": 8}
    assert structure.tensors_sha256 is None
    assert structure_told({"general.architecture": "llama"}) is None


def test_long_values_are_kept_as_their_hashes() -> None:
    many = list(range(65))
    facts = {"general.architecture": "x", "x.a": many, "x.b": "t" * 201, "x.c": [float("nan"), 1.0]}
    structure = structure_told(facts)
    assert structure is not None
    assert structure.metadata is not None
    assert structure.metadata["a"].startswith("sha256 ")
    assert structure.metadata["a"].endswith(" of 65 values")
    assert len(structure.metadata["b"]) == len("sha256 ") + 16
    assert structure.metadata["c"] == ["nan", 1.0]
    other = structure_told({**facts, "x.a": [*many[:-1], 7]})
    assert other is not None
    assert other.metadata is not None
    assert other.metadata["a"] != structure.metadata["a"]


def study(folder: Path, **arms: dict[str, Any]) -> Path:
    """Write a study over model files; nothing is loaded by `plan --no-probe`."""
    (folder / "q.jsonl").write_text('{"question": "Q?", "options": ["a", "b"], "answer": 0}\n' * 1)
    written = {
        "study": "files",
        "reference": next(iter(arms)),
        "arms": {name: {"engine": "llamacpp", **arm} for name, arm in arms.items()},
        "tasks": {
            "quiz": {
                "kind": "choice",
                "workload": "reasoning",
                "source": {"type": "jsonl", "path": "q.jsonl"},
            }
        },
    }
    path = folder / "study.yaml"
    path.write_text(yaml.safe_dump(written))
    return path


def planned(path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    monkeypatch.setenv("COLUMNS", "300")
    monkeypatch.setattr("sys.argv", ["quantrial", "plan", str(path), "--no-probe"])
    with pytest.raises(SystemExit) as caught:
        main()
    assert not caught.value.code
    return capsys.readouterr().out


def test_plan_says_that_two_files_are_not_one_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "a.gguf")
    write(tmp_path / "b.gguf", kind=Type.Q4_0, metadata={"rope.freq_base": 10000.0})
    path = study(tmp_path, f16={"model": "a.gguf"}, q4_0={"model": "b.gguf"})
    out = planned(path, monkeypatch, capsys)
    assert "warning: The arms differ in the metadata of their model" in out
    assert "rope.freq_base (10000 against 500000)" in out


def test_plan_says_that_a_file_was_made_of_a_quantized_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "q.gguf", kind=Type.Q4_0)
    f16, q8_0 = {"model": "q.gguf", "quantize": "F16"}, {"model": "q.gguf", "quantize": "Q8_0"}
    out = planned(study(tmp_path, f16=f16, q8_0=q8_0), monkeypatch, capsys)
    assert "F16 from Q4_0" in out
    assert (
        "warning: f16 and q8_0 were made from an already quantized file (Q4_0). So f16 is not the "
        "published model"
    ) in out


class _Said(dict[str, Any]):
    """What a server says, by key or by name."""

    __getattr__ = dict.get


def test_of_a_server_on_this_machine_the_file_is_read(tmp_path: Path) -> None:
    blob = write(tmp_path / "blob.gguf", kind=Type.Q4_0)
    shown: Any = _Said(modelfile=f"FROM {blob}\n", template="{{ .Prompt }}")
    listed: Any = _Said(size=9, digest="d")
    options = {"num_ctx": 64, "together": False}
    artifact = artifact_of("m", shown, listed, options=options, facts={})
    assert artifact.structure == describe_file(blob).structure
    assert artifact.structure is not None
    assert artifact.structure.tensors_sha256 is not None
