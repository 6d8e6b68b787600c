"""The command line as users meet it: what it prints, exit codes, one line for bad input."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

import quantrial
from command import command
from studies import arm, write_study


def quantrial_(*arguments: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command without drawing plots."""
    return command(*arguments, cwd=cwd, env={**os.environ, "COLUMNS": "100"}, drawn=False)


def ok(*arguments: str | Path, cwd: Path | None = None) -> str:
    done = quantrial_(*arguments, cwd=cwd)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_study_from_plan_to_verify(tmp_path: Path) -> None:
    study = write_study(tmp_path)
    assert "108 calls, 3 arms, reference f16" in ok("plan", study)
    assert "108 of 108 calls recorded" in ok("run", study, "-o", tmp_path / "run")
    run = tmp_path / "run"
    assert "Contrasts: sums, accuracy" in ok("analyze", run)
    said = ok("decide", run)
    assert "f16" in said
    assert "sums.accuracy.q4_0.vs.f16" in said
    assert "report.md" in ok("report", run)
    assert "everything follows from the responses" in ok("verify", run)
    (run / "report.md").unlink()
    drifted = quantrial_("verify", run)
    assert drifted.returncode == 1
    assert "report.md" in drifted.stdout


def test_a_plan_asks_about_groups_and_says_what_copies_count(tmp_path: Path) -> None:
    study = write_study(tmp_path)
    questions = tmp_path / "questions.jsonl"
    rows = [json.loads(line) for line in questions.read_text(encoding="utf-8").splitlines()]
    for i, row in enumerate(rows):
        row["author"] = f"a{i % 6}"
    lines = [json.dumps(row) + "\n" for row in [*rows, *rows]]
    questions.write_text("".join(lines), encoding="utf-8")
    said = " ".join(ok("plan", study).split())
    assert "question: items come in 6 groups by author. State stratify: author" in said
    assert "24 items are copies of another one. Equal items count as one cluster." in said
    assert "by subject" not in said  # declared, and three values
    settings = yaml.safe_load(study.read_text(encoding="utf-8"))
    settings["tasks"]["sums"] |= {"ungrouped": ["author"], "equal_items": "independent"}
    study.write_text(yaml.safe_dump(settings), encoding="utf-8")
    said = " ".join(ok("plan", study).split())
    assert "question:" not in said
    assert "24 items are copies of another one. Each counts by itself." in said


def test_every_command_prints_json(tmp_path: Path) -> None:
    study, run = write_study(tmp_path), tmp_path / "run"
    assert json.loads(ok("plan", study, "--json"))["calls"] == 108
    assert json.loads(ok("run", study, "-o", run, "--json"))["recorded"] == 108
    assert json.loads(ok("analyze", run, "--json"))["schema"] == "quantrial.summary/1"
    assert json.loads(ok("decide", run, "--json"))["schema"] == "quantrial.decision/1"
    assert json.loads(ok("report", run, "--json"))["markdown"].endswith("report.md")
    assert json.loads(ok("verify", run, "--json"))["drifts"] == []


def test_init_writes_each_preset_and_never_over_a_file(tmp_path: Path) -> None:
    for preset in ("embedded", "ollama-llama31"):
        path = tmp_path / f"{preset}.yaml"
        ok("init", path, "--preset", preset)
        study = quantrial.load_study(path)
        assert study.reference in study.arms
    again = quantrial_("init", tmp_path / "embedded.yaml")
    assert again.returncode == 2
    assert "exists already" in again.stderr


def test_the_ollama_preset_says_plainly_that_no_server_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ok("init", tmp_path / "study.yaml", "--preset", "ollama-llama31")
    monkeypatch.setenv("OLLAMA_HOST", "127.0.0.1:9")
    for words in (("plan",), ("run", "-o", tmp_path / "run")):
        done = quantrial_(*words, tmp_path / "study.yaml")
        assert done.returncode == 1
        assert "nothing answers at http://127.0.0.1:9: is an Ollama server" in done.stderr
    assert not (tmp_path / "run").exists()


def test_constraints_on_the_command_line(tmp_path: Path) -> None:
    run = tmp_path / "run"
    ok("run", write_study(tmp_path), "-o", run)
    # extraction is left out: its reference is at the floor, where no loss could show
    limits = ["--max-memory", "250B", "--tolerate", "99pp", "--workload", "reasoning"]
    found = json.loads(ok("decide", run, *limits, "--json"))
    stated = {key: one for key, one in found["constrained"]["constraints"].items() if one}
    assert stated == {"max_memory": 250, "tolerate": 0.99, "workloads": ["reasoning"]}
    assert found["constrained"]["pick"] in {"q8_0", "q4_0"}
    assert "f16 needs 400 bytes for its weights; you allow at most 250 bytes" in ok(
        "decide", run, "--max-memory", "250B"
    )
    more = ["--tolerate", "sums=1.5pp", "--tolerate", "extraction=0.3", "--max-latency", "250ms"]
    more += ["--workloads", "reasoning, extraction", "--cost-per-hour", "2.5"]
    more += ["--cost-per-hour", "q4_0=1.2", "--error-cost", "0.1"]
    found = json.loads(ok("decide", run, *more, "--json"))
    stated = {key: one for key, one in found["constrained"]["constraints"].items() if one}
    assert stated == {
        "workloads": ["reasoning", "extraction"],
        "max_latency": 0.25,
        "tolerate_by": {"sums": 0.015, "extraction": 0.3},
        "cost_per_hour": 2.5,
        "cost_per_hour_by": {"q4_0": 1.2},
        "error_cost": 0.1,
    }


def test_require_pick_exits_1_where_nothing_satisfies(tmp_path: Path) -> None:
    run = tmp_path / "run"
    ok("run", write_study(tmp_path), "-o", run)
    assert quantrial_("decide", run, "--max-memory", "1B").returncode == 0
    none = quantrial_("decide", run, "--max-memory", "1B", "--require-pick")
    assert none.returncode == 1
    assert "No arm keeps all your constraints" in none.stdout
    # without constraints: the reference for want of evidence is no pick
    assert quantrial_("decide", run, "--require-pick").returncode == 1
    assert quantrial_("decide", run, "--min-speedup", "0.1", "--require-pick").returncode == 0


def test_constraints_of_the_study_file_hold_and_an_option_takes_their_place(
    tmp_path: Path,
) -> None:
    stated = {"max_memory": "250B", "tolerate": "99pp", "workloads": ["reasoning"]}
    ok("run", write_study(tmp_path, decision=stated), "-o", tmp_path / "run")
    ok("report", tmp_path / "run")
    first = json.loads((tmp_path / "run" / "decision.json").read_text())["constrained"]
    assert (first["constraints"]["max_memory"], first["constraints"]["tolerate"]) == (250, 0.99)
    found = json.loads(ok("decide", tmp_path / "run", "--max-memory", "1kB", "--json"))
    limits = found["constrained"]["constraints"]
    assert (limits["max_memory"], limits["workloads"]) == (1000, ["reasoning"])
    ok("report", tmp_path / "run")
    ok("verify", tmp_path / "run")


def test_help_names_every_command() -> None:
    said = ok("--help")
    commands = (
        "init",
        "plan",
        "power",
        "run",
        "analyze",
        "decide",
        "report",
        "compare",
        "verify",
        "import",
        "demo",
    )
    for name in commands:
        assert f"\n  {name} " in said


def _missing(folder: Path) -> list[str | Path]:
    return ["plan", folder / "nothing.yaml"]


def _not_utf8(folder: Path) -> list[str | Path]:
    (folder / "latin.yaml").write_bytes("study: ä".encode("latin-1"))
    return ["plan", folder / "latin.yaml"]


def _misspelt(folder: Path) -> list[str | Path]:
    return ["plan", write_study(folder, sead=3)]


def _no_reference(folder: Path) -> list[str | Path]:
    return ["plan", write_study(folder, reference="bf16")]


def _margin(folder: Path) -> list[str | Path]:
    return ["plan", write_study(folder, margin=1.5)]


def _alpha(folder: Path) -> list[str | Path]:
    return ["plan", write_study(folder, alpha=0.7)]


def _task(folder: Path, **changes: object) -> list[str | Path]:
    study = write_study(folder)
    data = yaml.safe_load(study.read_text())
    data["tasks"]["sums"] |= changes
    study.write_text(yaml.safe_dump(data))
    return ["plan", study]


def _sample(folder: Path) -> list[str | Path]:
    return _task(folder, sample=240)


def _empty(folder: Path) -> list[str | Path]:
    (folder / "empty.jsonl").write_text("")
    return _task(folder, source={"type": "jsonl", "path": "empty.jsonl"})


def _bad_line(folder: Path) -> list[str | Path]:
    (folder / "bad.jsonl").write_text(
        '{"question": "Q?", "options": ["a", "b"], "answer": 0}\n{"question": \n'
    )
    return _task(folder, source={"type": "jsonl", "path": "bad.jsonl"}, stratify=None)


def _bytes(folder: Path) -> list[str | Path]:
    (folder / "bytes.jsonl").write_bytes(b'{"question": "\xff\xfe"}\n')
    return _task(folder, source={"type": "jsonl", "path": "bytes.jsonl"}, stratify=None)


def _model(folder: Path, content: bytes | None) -> list[str | Path]:
    if content is not None:
        (folder / "model.gguf").write_bytes(content)
    model = {"engine": "llamacpp", "model": "model.gguf"}
    return ["plan", write_study(folder, arms={"f16": model, "q8_0": arm("q8", 1, ["A"])})]


def _no_model(folder: Path) -> list[str | Path]:
    return _model(folder, None)


def _no_gguf(folder: Path) -> list[str | Path]:
    return _model(folder, b"PK\x03\x04 this is a zip file, not a model" * 10)


def _no_run(folder: Path) -> list[str | Path]:
    return ["analyze", folder / "nowhere"]


def _not_a_run(folder: Path) -> list[str | Path]:
    (folder / "notes").mkdir()
    return ["verify", folder / "notes"]


def _bad_memory(folder: Path) -> list[str | Path]:
    return ["decide", folder, "--max-memory", "lots"]


def _bad_loss(folder: Path) -> list[str | Path]:
    return ["decide", folder, "--tolerate", "2kg"]


def _all_of_it(folder: Path) -> list[str | Path]:
    return ["decide", folder, "--tolerate", "5"]


def _bad_time(folder: Path) -> list[str | Path]:
    return ["decide", folder, "--max-latency", "2pp"]


def _bad_price(folder: Path) -> list[str | Path]:
    return ["decide", folder, "--cost-per-hour", "q4_0=2GB"]


def _bad_wish(folder: Path) -> list[str | Path]:
    return ["plan", write_study(folder, decision={"max_memory": "lots"})]


def _misspelt_wish(folder: Path) -> list[str | Path]:
    return ["plan", write_study(folder, decision={"max_memry": "8GB"})]


def _wish_below_zero(folder: Path) -> list[str | Path]:
    return ["plan", write_study(folder, decision={"tolerate_by": {"sums": -1}})]


def _study_for_run(folder: Path) -> list[str | Path]:
    return ["decide", write_study(folder)]


def _folder_as_study(folder: Path) -> list[str | Path]:
    return ["plan", folder]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (_missing, "nothing.yaml: no such study file; `quantrial init` writes one"),
        (_not_utf8, "latin.yaml: not UTF-8 (byte 7)"),
        (_misspelt, "sead: unknown key; did you mean 'seed'?"),
        (_no_reference, "reference is 'bf16', which is not among the arms: f16, q8_0, q4_0"),
        (_margin, "margin: '1.5' is a loss of everything; did you mean 1.5pp?"),
        (_alpha, "alpha: should be less than 0.5"),
        (_sample, "240"),
        (_empty, "empty.jsonl"),
        (_bad_line, "bad.jsonl, line 2"),
        (_bytes, "bytes.jsonl"),
        (_no_model, "model.gguf"),
        (_no_gguf, "model.gguf"),
        (_no_run, "nowhere: no such run folder"),
        (_not_a_run, "notes: not a run folder: study.yaml, items.jsonl, manifest.json missing"),
        (_bad_memory, "'lots' is no amount of memory; write it like 8GB or 500MiB"),
        (_bad_time, "--max-latency: '2pp' is no time; write it like 2s or 300ms"),
        (_bad_price, "--cost-per-hour: '2GB' is no price; write a bare number, like 2.50"),
        (_bad_wish, "decision.max_memory: 'lots' is no amount of memory"),
        (_misspelt_wish, "decision.max_memry: unknown key; did you mean 'max_memory'?"),
        (_wish_below_zero, "decision.tolerate_by.sums: should be greater than 0; got -1"),
        (_all_of_it, "'5' is a loss of everything; did you mean 5pp?"),
        (_study_for_run, "study.yaml: is a file; a run folder is needed, such as runs/NAME"),
        (_bad_loss, "'2kg' is no loss; write it like 2pp or 0.02"),
        (_folder_as_study, "not a run folder"),
    ],
)
def test_bad_input_gets_one_clear_line_and_exit_2(
    tmp_path: Path, arguments: Callable[[Path], list[str | Path]], said: str
) -> None:
    words = arguments(tmp_path)
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    done = quantrial_(*words)
    assert done.returncode == 2, done.stdout + done.stderr
    assert said in done.stderr
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1, "one line"
    assert done.stdout == ""
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before


def test_a_read_only_folder_is_said(tmp_path: Path) -> None:
    (tmp_path / "a-file").write_text("")
    done = quantrial_("run", write_study(tmp_path), "-o", tmp_path / "a-file" / "run")
    assert done.returncode == 2
    assert "cannot be written" in done.stderr


def test_a_run_goes_on_to_the_decision(tmp_path: Path) -> None:
    run = tmp_path / "run"
    done = quantrial_("run", write_study(tmp_path), "-o", run, "--only-answers")
    assert done.stderr.splitlines() == [
        "warning: sums: plan for 162 items if 5 % of answers flip; you have 24: this study "
        "cannot show that the loss is less than 5 pp.",
        "warning: names: plan for 124 items if 5 % of answers flip; you have 12: this study "
        "cannot show that the loss is less than 5 pp.",
    ]
    assert done.stdout.splitlines() == [
        f"108 of 108 calls recorded in {run}, 108 of them now",
        f"Next: quantrial analyze {run}",
    ]
    assert not (run / "summary.json").exists()
    # the same command goes on, with no more warnings; constraints of a decision are kept
    ok("decide", run, "--max-memory", "250B")
    done = quantrial_("run", tmp_path / "study.yaml", "-o", run)
    assert "warning" not in done.stderr
    default = json.loads((run / "decision.json").read_text())["default"]["text"]
    words = " ".join(done.stdout.split())
    assert " ".join(default.split()) in words
    assert "Under: --max-memory 250B" in words
    assert done.stdout.splitlines()[-1] == f"Check it: quantrial verify {run}"
    assert "everything follows from the responses" in ok("verify", run)
    found = json.loads(ok("run", run, "--json"))
    assert (found["recorded"], found["asked"]) == (108, 0)
    assert found["decision"]["default"]["text"] == default
