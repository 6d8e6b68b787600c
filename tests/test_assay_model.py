"""Arms that are not one model, or were quantized before: said where the decision is read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

import quantrial
from quantrial import assay
from quantrial.cli import main
from quantrial.precision import weights_in_words
from quantrial.records import ArmRecord
from studies import write_study
from summaries import arm_records

pytestmark = pytest.mark.usefixtures("undrawn")

METADATA = {"rope.freq_base": 500000.0, "attention.head_count": 32, "embedding_length": 4096}
STRUCTURE: dict[str, Any] = {
    "metadata": METADATA,
    "metadata_sha256": "m",
    "tensors": {"blk.#.attn_q.weight": 32, "token_embd.weight": 1},
    "tensors_sha256": "t",
    "weights": 100,
    "tied_output": None,
    "rope_sha256": None,
    "norms_sha256": "n",
}


def arms(**changes: Any) -> dict[str, Any]:
    """Two arms, of which the second one's structure is changed."""
    own = {"engine": "llamacpp", "structure": STRUCTURE}
    return {
        "f16": {**own, "quantization": "F16", "sha256": "a", "quantized_before": None},
        "q4": {
            **own,
            "quantization": "Q4_0",
            "sha256": "b",
            "quantized_before": None,
            "structure": {**STRUCTURE, **changes},
        },
    }


def arm_checks(arms: Mapping[str, Any], *args: Any) -> tuple[assay.Check, ...]:
    return assay.arm_checks(arm_records(arms), *args)


def status(records: dict[str, Any], identity: str, controls: tuple[str, ...] = ()) -> str:
    return next(c.status for c in arm_checks(records, "f16", controls) if c.id == identity)


def text(records: dict[str, Any], identity: str, controls: tuple[str, ...] = ()) -> str:
    return next(c.text for c in arm_checks(records, "f16", controls) if c.id == identity)


def test_arms_of_one_model_pass() -> None:
    found = {check.id: check.status for check in arm_checks(arms(), "f16")}
    assert (found["metadata"], found["tensors"], found["origin"]) == ("pass",) * 3


def test_what_an_engine_does_not_tell_is_unknown() -> None:
    found = arms(metadata=None, tensors_sha256=None)
    assert (status(found, "metadata"), status(found, "tensors")) == ("unknown", "unknown")
    assert "of q4 cannot be compared with f16's" in text(found, "metadata")
    assert status(found, "origin") == "unknown"
    assert "whether q4 was made from already quantized weights" in text(found, "origin")
    assert status(arms(norms_sha256=None), "tensors") == "pass"
    hidden = {name: {**arm, "structure": None} for name, arm in arms().items()}
    for identity in ("metadata", "tensors", "origin"):
        assert status(hidden, identity) == "unknown"


def test_of_runs_that_recorded_nothing_of_it_nothing_is_said() -> None:
    old = {"engine": "llamacpp", "quantization": "F16", "sha256": "a"}
    found = {check.id for check in arm_checks({"f16": old, "q4": {**old, "sha256": "b"}}, "f16")}
    assert not found & {"metadata", "tensors", "origin"}


def test_many_differences_are_counted_and_rope_comes_first() -> None:
    other = {f"x{i}": i for i in range(6)} | METADATA | {"rope.freq_base": 10000.0}
    said = text(arms(metadata=other), "metadata")
    assert "rope.freq_base (10000 against 500000), x0 (0 against not said)" in said
    assert "and 3 more" in said


def test_an_unlike_third_arm_is_named_alone() -> None:
    alike = {**STRUCTURE, "rope_sha256": "s"}
    found = {name: {**arm, "structure": alike} for name, arm in arms().items()}
    found["q8"] = {**found["q4"], "sha256": "c", "structure": {**alike, "rope_sha256": "r"}}
    assert status(found, "tensors") == "fail"
    assert "q8 and f16 differ in the values of their RoPE factors" in text(found, "tensors")
    assert "q4" not in text(found, "tensors")


RECORD = {"known_by": "record", "type": "Q4_1", "levels": None, "block": None, "even": True}
VALUES = {"known_by": "values", "type": None, "levels": 16, "block": 32, "even": True}


@pytest.mark.parametrize(
    ("before", "said"),
    [
        (
            RECORD,
            "f16 was made from an already quantized file (Q4_1). So f16 is not the published",
        ),
        (
            VALUES,
            "f16 was made from already quantized weights (at most 16 equally spaced levels in "
            "blocks of 32, as of 4-bit types). So f16 is not the published model",
        ),
        (
            {**VALUES, "levels": 255, "even": False},
            "weights (at most 255 levels in blocks of 32, as of 8-bit types)",
        ),
    ],
)
def test_a_reference_of_quantized_weights_is_said_to_be_one(
    before: dict[str, Any], said: str
) -> None:
    found = arms()
    found["f16"]["quantized_before"] = before
    assert status(found, "origin") == "warn"
    assert said in text(found, "origin")


def test_arms_of_one_source_are_named_together_and_controls_left_out() -> None:
    found = arms()
    for record in found.values():
        record["quantized_before"] = RECORD
    found["bad"] = {**found["f16"], "sha256": "c"}
    said = text(found, "origin", ("bad",))
    assert said.startswith(
        "f16 and q4 were made from an already quantized file (Q4_1). So f16 is not"
    )
    assert "bad" not in said


def test_a_candidate_quantized_twice_is_said_to_be_one() -> None:
    found = arms()
    found["q4"]["quantized_before"] = {**RECORD, "type": "Q8_0"}
    said = text(found, "origin")
    assert said.startswith(
        "q4 was made from an already quantized file (Q8_0). This study does not show what"
    )


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        ({"source_quantization": "Q4_1"}, "F16 from Q4_1"),  # as earlier versions recorded it
        ({"source_quantization": "BF16"}, "F16"),
        ({"source_quantization": "F32"}, "F16"),
        ({"source_quantization": "Q6_K"}, "F16 from Q6_K"),
        ({"source_quantization": None}, "F16"),
        ({"quantized_before": VALUES}, "F16 from 4-bit values"),
        ({"quantized_before": {**VALUES, "levels": 32}}, "F16 from 5-bit values"),
        ({"quantized_before": {**VALUES, "levels": 255}}, "F16 from 8-bit values"),
        ({"quantized_before": RECORD, "source_quantization": "F16"}, "F16 from Q4_1"),
    ],
)
def test_the_type_of_an_arm_in_words(record: dict[str, Any], expected: str) -> None:
    assert weights_in_words(ArmRecord.from_json({"quantization": "F16", **record})) == expected


def run_with(tmp_path: Path, **changed: dict[str, Any]) -> Path:
    """Run a small scripted study whose arms have the structure of model files."""
    run = tmp_path / "run"
    quantrial.run(write_study(tmp_path), out=run)
    manifest = json.loads((run / "manifest.json").read_text())
    manifest["arms"] = {
        name: {**record, "structure": STRUCTURE, **changed.get(name, {})}
        for name, record in manifest["arms"].items()
    }
    (run / "manifest.json").write_text(json.dumps(manifest))
    return run


def command(capsys: pytest.CaptureFixture[str], monkeypatch: Any, *words: str) -> str:
    monkeypatch.setenv("COLUMNS", "400")
    monkeypatch.setattr("sys.argv", ["quantrial", *words])
    with pytest.raises(SystemExit) as caught:
        main()
    assert not caught.value.code
    return capsys.readouterr().out


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (
            {"metadata": {**METADATA, "rope.freq_base": 10000.0}},
            "rope.freq_base (10000 against 500000).",
        ),
        ({"metadata": {**METADATA, "logit_scale": 2}}, "logit_scale (2 against not said)."),
        (
            {"tensors": {**STRUCTURE["tensors"], "rope_freqs.weight": 1}, "tensors_sha256": "u",
             "weights": 164},
            "rope_freqs.weight is in one alone.",
        ),
        ({"norms_sha256": "o"}, "q4_0 and f16 differ in the values of their norms"),
    ],
)  # fmt: skip
def test_arms_that_are_not_one_model_are_a_caution_of_the_decision(
    tmp_path: Path,
    changed: dict[str, Any],
    said: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = run_with(tmp_path, q4_0={"structure": {**STRUCTURE, **changed}})
    command(capsys, monkeypatch, "analyze", str(run))
    assert said in command(capsys, monkeypatch, "decide", str(run))
    cautions = [one["text"] for one in json.loads((run / "decision.json").read_text())["cautions"]]
    assert sum(said in one for one in cautions) == 1
    quantrial.report(run)
    report = (run / "report.md").read_text(encoding="utf-8")
    assert said.rstrip(".").replace("#", "\\#") in report.replace("\\_", "_").replace("\\.", ".")


def test_a_reference_made_of_a_quantized_file_is_said_first_and_on_its_card(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {"quantized_before": RECORD}
    run = run_with(tmp_path, f16=before, q8_0=before, q4_0=before)
    command(capsys, monkeypatch, "analyze", str(run))
    out = command(capsys, monkeypatch, "decide", str(run))
    said = "were made from an already quantized file (Q4_1). So f16 is not the published model."
    assert out.index("with f16") < out.index(said) < out.index("speed")  # beside what to do
    quantrial.report(run)
    page = (run / "report.html").read_text(encoding="utf-8")
    first, _, rest = page.partition('<p class="eyebrow">Recommendation</p>')
    assert said in first
    cards = rest[rest.index('class="cards"') : rest.index('id="plots"')]
    assert "F16 from Q4_1" in cards
    report = (run / "report.md").read_text(encoding="utf-8").replace("\\_", "_")
    opening, _, after = report.partition("\n## ")  # of what is recommended
    assert "f16 is not the published model" in opening
    assert "F16 from Q4_1" in after.split("## Plots")[0]
    head, _, _ = quantrial.export(run, "model-card").removeprefix("---\n").partition("\n---\n")
    card = yaml.safe_load(head)
    weights = {
        metric["args"]["weights"]
        for one in card["model-index"]
        if one["name"] == "f16"
        for result in one["results"]
        for metric in result["metrics"]
    }
    assert weights == {"F16 from Q4_1"}
