"""The demo's path on the real embedded engine, on a few items; and the committed example."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

import quantrial
from quantrial.commands.derived import derive_summary
from quantrial.commands.studies import preset_text
from studies import read_lines

EXAMPLE = Path(__file__).parents[1] / "examples" / "demo"


@pytest.mark.model
def test_the_demo_path_on_a_few_items(tmp_path: Path) -> None:
    data = yaml.safe_load(preset_text("embedded"))
    data["tasks"]["quiz"] |= {"sample": 1}
    data["tasks"]["people"] |= {"sample": 1}
    short = {"prompt_tokens": [16], "output_tokens": [8], "blocks": 2, "precision": 0.99}
    data["speed"] |= short | {"pause": 0}
    study = tmp_path / "study.yaml"
    study.write_text(yaml.safe_dump(data, sort_keys=False))
    plan = quantrial.plan(study)
    # four arms on two items, both of which the reference answers twice
    assert (plan.calls, plan.fits) == (10, True)
    # F16 keeps every weight at two bytes, Q8_0 at 34 bytes for 32, Q4_0 at 18 for 32
    sizes = {arm.name: arm.bytes_on_disk or 0 for arm in plan.arms}
    assert sizes["q8_0"] / sizes["f16"] == pytest.approx(34 / 64, abs=0.01)
    assert sizes["q4_0"] / sizes["f16"] == pytest.approx(18 / 64, abs=0.01)
    # one item can show nothing within 3 points; the arms differ in their weights alone
    assert [w.partition(":")[0] for w in plan.warnings] == ["quiz"]

    result = quantrial.run(study, out=tmp_path / "run")
    assert (result.recorded, result.faulted) == (10, 0)
    quiz = read_lines(tmp_path / "run" / "responses" / "quiz.f16.jsonl")
    assert all(r["timing"]["prompt"] > 0 and r["prompt_tokens"] > 0 for r in quiz)
    summary = quantrial.analyze(result.folder)
    # the phase's own calls: whole prompts, and 8 tokens whatever the model would say
    timed = [r for r in read_lines(tmp_path / "run" / "speed.jsonl") if r["kind"] == "measured"]
    assert {r["arm"] for r in timed} == {"f16", "q8_0", "q4_0"}
    assert {(r["status"], r["completion_tokens"]) for r in timed} == {("ok", 8)}
    assert all(0 < r["timing"]["first_token"] < r["timing"]["wall"] for r in timed)
    assert summary["speed_phase"]["arms"]["f16"]["memory_peak_bytes"] > sizes["f16"]
    assert summary["tasks"]["quiz"]["failure_modes"]["f16"]["unparsed"] == 0
    # one call at a time, only what prompts share is restored: the same weights give the same answer
    again = summary["tasks"]["quiz"]["repeats"]
    assert (again["n"], again["text"]["differ"], again["score"]["differ"]) == (1, 0, 0)
    quantrial.decide(result.folder)
    files = quantrial.report(result.folder)
    assert "dequantized Q4_1" in files.markdown.read_text(encoding="utf-8")
    assert quantrial.verify(result.folder).ok

    # the same weights, prompts and seed again, beside other arms or not: the same answers
    data["arms"] = {name: data["arms"][name] for name in ("f16", "q4_0")}
    study.write_text(yaml.safe_dump(data, sort_keys=False))
    second = quantrial.run(study, out=tmp_path / "again", speed=False)
    paths = sorted((second.folder / "responses").glob("*.jsonl"))
    assert len(paths) == 4
    for path in paths:
        outputs = [
            {
                (r["item"], r["replicate"]): r["output"]
                for r in read_lines(folder / "responses" / path.name)
            }
            for folder in (result.folder, second.folder)
        ]
        assert outputs[0] == outputs[1]


def test_the_committed_example_verifies() -> None:
    found = quantrial.verify(EXAMPLE)
    assert [str(drift) for drift in found.drifts] == []


def test_the_committed_example_is_the_demo() -> None:
    # comments may be worded anew
    example = yaml.safe_load((EXAMPLE / "study.yaml").read_text(encoding="utf-8"))
    assert example == yaml.safe_load(preset_text("embedded"))


def test_the_assay_of_the_example_is_sensitive() -> None:
    summary = derive_summary(EXAMPLE)
    quiz = summary["tasks"]["quiz"]
    assert quiz["endpoints"]["accuracy"]["arms"]["f16"]["ci"][0] > quiz["chance"] == 0.25
    verdicts = {
        (name, contrast["candidate"]): contrast["verdict"]
        for name, task in summary["tasks"].items()
        for contrast in task["endpoints"][task["primary"]]["contrasts"]
        if contrast["reference"] == "f16"
    }
    assert "worse" in {verdicts["quiz", "rounded"], verdicts["people", "rounded"]}
    assert verdicts["quiz", "q8_0"] != "worse"
    assert verdicts["people", "q8_0"] != "worse"
