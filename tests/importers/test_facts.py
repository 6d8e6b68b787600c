from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from importers.fabricated import import_reference
from quantrial.errors import DataError
from quantrial.importers._reference_manifest import ArmFacts, facts_of, quantization_of, size_rank
from quantrial.runfolder import RunFolder
from quantrial.study import load_study

SHA = "0123456789abcdef" * 4


@pytest.mark.parametrize(
    "experiment",
    [
        {"arms": {"Q8_0": {"model": "llama:q8", "size_bytes": 8_000, "sha256": SHA}}},
        {"models": [{"name": "other"}, {"arm": "q8_0", "tag": "llama:q8", "bytes": 8_000,
                                        "digest": f"sha256:{SHA.upper()}"}]},
        {"experiment": {"artifacts": {"q8_0": {"model": "llama:q8", "file": {
            "bytes_on_disk": 8_000, "artifact_sha256": SHA}}}}},
        {"arms": {"q8_0": "llama:q8"}, "model_sizes": {"q8_0": 8_000}, "digests": {"q8_0": SHA}},
        {"model_names": {"q8_0": "llama:q8"}, "config": {"bytes_on_disk": {"q8_0": 8_000},
                                                        "sha256": {"q8_0": SHA}}},
    ],
)  # fmt: skip
def test_facts_in_every_place(experiment: dict[str, Any]) -> None:
    assert facts_of(experiment, "q8_0") == ArmFacts("llama:q8", 8_000, SHA)
    assert facts_of(experiment, "q4_K_M") == ArmFacts()


def test_longer_name_is_the_model_and_an_exact_one_goes_first() -> None:
    listed = [
        {"name": "llama3.1:8b-instruct-iq4_0", "size": 3_000_000},
        {"name": "llama3.1:8b-instruct-q4_0", "size": 4_000_000, "digest": SHA},
    ]
    expected = ArmFacts("llama3.1:8b-instruct-q4_0", 4_000_000, SHA)
    assert facts_of({"models": listed}, "q4_0") == expected
    exact = {"models": [*listed, {"name": "q4_0", "model": "mine", "size": 5_000_000}]}
    assert facts_of(exact, "q4_0") == ArmFacts("mine", 5_000_000, SHA)


@pytest.mark.parametrize(
    ("record", "facts"),
    [
        ({"size": 8, "sha256": "abc", "model": " "}, ArmFacts()),
        ({"bytes_on_disk": "big", "sha256": 5, "model": ["x"]}, ArmFacts()),
        ({"bytes_on_disk": True}, ArmFacts()),
        ({"model": "/home/someone/models/m.gguf"}, ArmFacts("m.gguf")),
        ({"model": "C:\\models\\m.gguf"}, ArmFacts("m.gguf")),
        ({"model": "org/m.gguf"}, ArmFacts("org/m.gguf")),
        (None, ArmFacts()),
    ],
)
def test_what_is_no_fact(record: Any, facts: ArmFacts) -> None:
    assert facts_of({"arms": {"fp16": record}}, "fp16") == facts


def test_model_of_the_whole_experiment() -> None:
    assert facts_of({"base_model": "llama"}, "fp16").model == "llama"


def test_manifest_is_kept_whole(published: Path, tmp_path: Path) -> None:
    experiment = {
        "seed": 42,
        "weights": "/home/someone",
        "arms": {"fp16": {"model": "llama:fp16", "size_bytes": 16_000, "sha256": SHA}},
        "model": "llama",
    }
    (published / "experiment_manifest.json").write_text(json.dumps(experiment, indent=1))
    run = RunFolder(import_reference(published, tmp_path / "run").folder)
    manifest = run.read_manifest()
    assert manifest.study["imported"] == experiment
    assert manifest.arms["fp16"]["bytes_on_disk"] == 16_000
    assert manifest.arms["fp16"]["sha256"] == SHA
    models = {name: arm.model for name, arm in load_study(run.study_path).arms.items()}
    assert models == {"fp16": "llama:fp16", "q8_0": "llama", "q4_K_M": "llama"}
    assert {name: arm["model"] for name, arm in manifest.arms.items()} == models


@pytest.mark.parametrize(
    "settings",
    [
        {"api_key": "abcdef-123"},
        {"model_args": "model=m,api_key=abcdef-123,num_concurrent=2"},
        {"headers": {"Authorization": "Bearer abcdef-123"}},
        {"env": ["OPENAI_API_KEY=abcdef-123", "PATH=/bin"]},
        {"endpoint": "https://me:abcdef-123@host/v1"},
        {"note": "asked with sk-proj-abcdef-123456789012"},
        {"hub": "hf_abcdefabcdef123456"},
    ],
)
def test_keys_in_the_settings_of_an_import_are_blotted_and_said(
    published: Path,
    tmp_path: Path,
    edit: Callable[[str, int, dict[str, Any]], Path],
    settings: dict[str, Any],
) -> None:
    edit("mmlu_q8_0", 0, {"status": "error", "error": f"401: {json.dumps(settings)}"})
    experiment = {
        "seed": 42,
        "config": {**settings, "max_tokens": 16},
        "model": "org/hf-internal-m",
    }
    (published / "experiment_manifest.json").write_text(json.dumps(experiment))
    report = import_reference(published, tmp_path / "run")
    assert any("Keys in experiment_manifest.json are blotted out" in note for note in report.notes)
    kept = RunFolder(report.folder).read_manifest().study["imported"]
    assert kept["config"]["max_tokens"] == 16
    assert kept["model"] == "org/hf-internal-m"
    for path in report.folder.rglob("*"):
        if path.is_file():
            assert "abcdef" not in path.read_text(), path


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{\n  'a': 1}", "not valid JSON ("),
        (b"[]", "expected a JSON object"),
        (b"", "the file is empty"),
        (b'{"a": "\xff"}', "not UTF-8 (byte 7 is 0xff): save it as UTF-8"),
    ],
)
def test_malformed_manifest(published: Path, tmp_path: Path, content: bytes, message: str) -> None:
    path = published / "experiment_manifest.json"
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        import_reference(published, tmp_path / "run")
    assert str(path) in str(caught.value)
    assert message in str(caught.value)


def test_arms_from_large_to_small() -> None:
    arms = [
        *("fp32", "bf16", "fp16", "q8_0", "int8", "q6_K", "q5_1", "q5_K_M", "q5_K_S", "q5_0"),
        *("q4_K_M", "q4_K_S", "q4_0", "q4", "iq4_NL", "iq4_XS", "q3_K_L", "q3_K_M", "q3_K_S"),
        *("iq3_M", "iq3_XXS", "q2_K", "iq2_XS", "iq1_S", "awq", "gptq"),
    ]
    assert sorted(set(arms), key=size_rank) == arms


@pytest.mark.parametrize(
    ("arm", "quantization"),
    [
        ("fp16", "F16"),
        ("FP16", "F16"),
        ("f16", "F16"),
        ("bf16", "BF16"),
        ("fp32", "F32"),
        ("q8_0", "Q8_0"),
        ("q4_K_M", "Q4_K_M"),
        ("q4-k-m", "Q4_K_M"),
        ("iq3_xxs", "IQ3_XXS"),
        ("llama-8b-q4_K_M", "Q4_K_M"),
        ("llama_q8_0_v2", "Q8_0"),
        ("awq", "AWQ"),
    ],
)
def test_quantization_of(arm: str, quantization: str) -> None:
    assert quantization_of(arm) == quantization
