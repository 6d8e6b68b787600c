"""A committed baseline: its answers stand for the reference's, and what does not fit is refused."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import quantrial
from quantrial.errors import QuantrialError, RecordError, RunFolderError, StudyError
from quantrial.testing import assert_gate
from studies import arm
from test_cli import quantrial_
from test_gate import write

LOSS = {"require": [{"non_inferior": "2pp"}], "arms": ["right"]}
FORMATS = Path(__file__).parent / "data" / "formats"
WAYS = pytest.mark.parametrize("way", ["responses", "outcomes"])


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a run and both baselines of it."""
    folder = tmp_path_factory.mktemp("baseline")
    arms = {
        "f16": arm("f16", 400, ["A. By f16."]),
        "right": arm("q8_0", 300, ["A. By right."]),
        "worse": arm("q4_0", 200, ["A. By worse."] * 4 + ["B."]),  # loses every fifth answer
    }
    quantrial.run(write(folder / "study", arms=arms), out=folder / "run")
    quantrial.save_baseline(folder / "run", folder / "responses")
    quantrial.save_baseline(folder / "run", folder / "outcomes", outcomes_only=True)
    return folder


def edited(source: Path, out: Path, change: Callable[[list[dict[str, Any]]], Any]) -> Path:
    """Copy a baseline with other lines, and the hash that fits them."""
    shutil.copytree(source, out)
    rows = [json.loads(line) for line in (out / "sums.jsonl").read_text().splitlines()]
    change(rows)
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (out / "sums.jsonl").write_text(text)
    facts = json.loads((out / "baseline.json").read_text())
    facts["tasks"]["sums"]["file_sha256"] = hashlib.sha256(text.encode()).hexdigest()
    (out / "baseline.json").write_text(json.dumps(facts))
    return out


@WAYS
def test_a_baseline_of_the_run_itself_changes_no_line(home: Path, way: str) -> None:
    gate = {"require": [{"non_inferior": "2pp"}, {"at_least": 0.9}], "must_pass": ["subject=other"]}
    own = quantrial.check_gate(home / "run", gate)
    kept = quantrial.check_gate(home / "run", gate, baseline=home / way)
    assert kept.lines == own.lines
    assert (kept.exit_code, own.exit_code) == (1, 1)
    assert "baseline's" in kept.notes[0]


@WAYS
def test_the_answers_of_the_baseline_count_and_not_the_runs_own(
    home: Path, tmp_path: Path, way: str
) -> None:
    run = shutil.copytree(home / "run", tmp_path / "run")
    (run / "responses" / "sums.f16.jsonl").unlink()
    (run / "summary.json").unlink()
    assert quantrial.check_gate(run, LOSS).exit_code == 4
    for name, code in (("right", 0), ("worse", 1)):
        found = quantrial.check_gate(run, LOSS | {"arms": [name]}, baseline=home / way)
        assert found.exit_code == code
    assert assert_gate(run, LOSS | {"arms": ["right"]}, baseline=home / way).ok
    with pytest.raises(AssertionError, match="violated: worse lost"):
        assert_gate(run, LOSS | {"arms": ["worse"]}, baseline=home / way)

    def wrong(rows: list[dict[str, Any]]) -> None:  # the reference gets 50 of 200 wrong
        for row in rows[:50]:
            if way == "outcomes":
                row["outcome"]["values"]["correct"] = 0.0
            else:
                row["output"] = "B."

    worse = edited(home / way, tmp_path / "worse", wrong)
    (line,) = quantrial.check_gate(run, LOSS, baseline=worse).lines
    assert line.estimate == pytest.approx(50 / 200)


def test_a_baseline_is_small_the_same_each_time_and_holds_no_text_of_outcomes(
    home: Path, tmp_path: Path
) -> None:
    for way in ("responses", "outcomes"):
        quantrial.save_baseline(home / "run", tmp_path / way, outcomes_only=way == "outcomes")
        quantrial.save_baseline(home / "run", tmp_path / way, outcomes_only=way == "outcomes")
        for name in ("baseline.json", "sums.jsonl"):
            assert (tmp_path / way / name).read_bytes() == (home / way / name).read_bytes()
        lines = (home / way / "sums.jsonl").read_text().splitlines()
        ids = [json.loads(line)["item"] for line in lines]
        assert (len(ids), ids) == (200, sorted(ids))
        assert max(map(len, lines)) < 220
        assert ("By f16" in "".join(lines)) == (way == "responses")


def test_other_items_prompts_weights_and_references_are_refused(home: Path, tmp_path: Path) -> None:
    def refused(baseline: Path, words: str, run: Path = home / "run") -> None:
        with pytest.raises(RecordError, match=words):
            quantrial.check_gate(run, LOSS, baseline=baseline)

    def prompts(rows: list[dict[str, Any]]) -> None:
        rows[7]["prompt_sha256"] = "0" * 64

    other = edited(home / "outcomes", tmp_path / "prompts", prompts)
    refused(other, "1 of 200 prompts of sums differ from the baseline's")
    for at, (key, value, words) in enumerate(
        [
            (("reference",), "q9", "its reference is 'q9', the run's is 'f16'"),
            (("tasks", "sums", "items_sha256"), "0" * 64, "other items of sums"),
            (("tasks", "sums", "scoring_sha256"), "0" * 64, "scored otherwise now"),
            (("arm", "sha256"), "0" * 64, "f16 has other weights than in the baseline"),
            (("tasks", "more"), None, "Expected `object`"),
            (("schema",), "quantrial.baseline/9", "which this version reads"),
        ]
    ):
        other = shutil.copytree(home / "outcomes", tmp_path / str(at))
        facts = json.loads((other / "baseline.json").read_text())
        inner = facts
        for name in key[:-1]:
            inner = inner[name]
        inner[key[-1]] = value
        (other / "baseline.json").write_text(json.dumps(facts))
        if key == ("arm", "sha256"):
            run = shutil.copytree(home / "run", tmp_path / "run")
            manifest = json.loads((run / "manifest.json").read_text())
            manifest["arms"]["f16"]["sha256"] = "1" * 64
            (run / "manifest.json").write_text(json.dumps(manifest))
            refused(other, words, run)
        else:
            refused(other, words)


def test_another_version_of_the_engine_is_said_and_changes_no_code(
    home: Path, tmp_path: Path
) -> None:
    other = shutil.copytree(home / "outcomes", tmp_path / "other")
    facts = json.loads((other / "baseline.json").read_text())
    facts["arm"]["versions"] = {"llama.cpp": "b1"}
    (other / "baseline.json").write_text(json.dumps(facts))
    found = quantrial.check_gate(home / "run", LOSS, baseline=other)
    assert found.exit_code == 0
    assert any("another engine: llama.cpp b1 then" in note for note in found.notes)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda rows: rows.append(rows[3]), "line 201: item .* occurs twice"),
        (lambda rows: rows[1].update(item="zz"), "line 2: holds item 'zz'"),
        (lambda rows: rows[1].update(more=1), "line 2: unknown field 'more'"),
        (lambda rows: rows[1].update(item=5), "line 2: expected an object with `item`"),
        (lambda rows: rows[1].update(outcome=5), "line 2: `outcome` needs"),
        (lambda rows: rows[1]["outcome"]["values"].update(correct="1"), "line 2: .*'1'; a number"),
        (lambda rows: rows[1]["outcome"]["values"].update(correct=7), "7"),
        (lambda rows: rows[1].update(status="fine"), "line 2: .*status"),
    ],
)
def test_a_strangers_baseline_is_checked_line_by_line(
    home: Path, tmp_path: Path, change: Callable[[list[dict[str, Any]]], Any], words: str
) -> None:
    other = edited(home / "outcomes", tmp_path / "other", change)
    with pytest.raises(QuantrialError, match=words):
        quantrial.check_gate(home / "run", LOSS, baseline=other)


def test_an_edited_file_none_and_a_folder_of_something_else(home: Path, tmp_path: Path) -> None:
    other = shutil.copytree(home / "responses", tmp_path / "other")
    text = (other / "sums.jsonl").read_text()
    (other / "sums.jsonl").write_text(text.replace("A. By f16.", "B. By f16.", 1))
    with pytest.raises(RecordError, match="it was edited"):
        quantrial.check_gate(home / "run", LOSS, baseline=other)
    with pytest.raises(RunFolderError, match="no baseline"):
        quantrial.check_gate(home / "run", LOSS, baseline=tmp_path / "none")
    with pytest.raises(RunFolderError, match="holds other files"):
        quantrial.save_baseline(home / "run", home / "study")
    gate = {"require": [{"endpoint": "truncated", "at_most": 0.1}]}
    with pytest.raises(StudyError, match="the baseline keeps outcomes alone"):
        quantrial.check_gate(home / "run", gate, baseline=home / "outcomes")


def test_the_commands_save_and_compare_imported_runs_too(home: Path, tmp_path: Path) -> None:
    logs = [f"{name}={FORMATS / 'lm-eval' / name}" for name in ("f16", "q4")]
    done = quantrial_("import", "lm-eval", *logs, "-o", tmp_path / "x", "--task", "toy_mc")
    assert done.returncode == 0, done.stderr
    for extra in ([], ["--outcomes-only"]):
        done = quantrial_("baseline", "save", tmp_path / "x", "-o", tmp_path / "b", *extra)
        assert done.returncode == 0, done.stderr
        gate: list[str | Path] = ["gate", tmp_path / "x", "--no-worse-than", "2pp"]
        codes = [quantrial_(*gate, *more) for more in ([], ["--baseline", str(tmp_path / "b")])]
        assert codes[0].returncode == codes[1].returncode, codes[1].stderr
        assert codes[0].stdout.splitlines()[0] == codes[1].stdout.splitlines()[0]
    done = quantrial_("gate", home / "run", "--non-inferior", "2pp", "--baseline", tmp_path / "b")
    assert done.returncode == 2
    assert "is in only one of baseline and run" in done.stderr
