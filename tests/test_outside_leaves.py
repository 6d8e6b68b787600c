"""Leaves of other packages: each is one file and an entry point, and goes the whole way."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

# a kind of task with rules, a prompt and a way to fail of its own: an answer is a number
KIND = '''
from typing import Literal

from quantrial.study import TaskPart
from quantrial.tasks import Endpoint, FailureMode, Outcome, Prompt, Task
from quantrial.tasks.answer import as_answer


class NumberPart(TaskPart):
    """A number answers."""

    kind: Literal["number"]
    tolerance: int = 0


class Number(Task):
    """One whole number."""

    kind = "number"
    part = NumberPart
    endpoints = (
        Endpoint("hits", "proportion", {"correct": 1.0}),
        Endpoint("near_hits", "proportion", {"near": 1.0}),
    )
    right = "hits"
    failure_modes = (
        *Task.failure_modes,
        FailureMode("not_negative", lambda task, item, outcome: (outcome.answer or 0) < 0),
    )

    def __init__(self, name, spec, shots=()):
        super().__init__(name, spec, shots)
        self.tolerance = spec.tolerance

    def prompt(self, item):
        return Prompt.continued([f"{item.content['question']}\\nNumber:"], max_tokens=8)

    def score(self, item, answer):
        text = as_answer(answer).text.strip()
        if not text.lstrip("-").isdigit():
            return Outcome({"correct": 0.0, "near": 0.0}, False)
        off = abs(int(text) - item.gold)
        values = {"correct": float(off <= self.tolerance), "near": float(off <= self.tolerance + 1)}
        return Outcome(values, True, int(text))
'''
SOURCE = '''
from typing import Literal

from quantrial.study import SourcePart
from quantrial.tasks.rows import Reading, Row, Source, Where


class DoublesPart(SourcePart):
    """So many sums of a number with itself."""

    type: Literal["doubles"]
    count: int = 10


def read(part, asked):
    rows = [
        Row({"question": f"What is {i} plus {i}?"}, 2 * i, {"parity": str(i % 2)}, Where("sums", i))
        for i in range(1, part.count + 1)
    ]
    return Reading("doubles", rows)


DOUBLES = Source(DoublesPart, read, kind="number")
'''
ENGINE = '''
import re

from quantrial.engines import Artifact, Reply, read_options, Option


class Adder:
    """Adds, and is off by one on every `wrong`th sum."""

    name = "adder"
    local = True
    abilities = frozenset()

    def __init__(self, model, options, *, base, seed):
        self.model = model
        self.wrong = read_options(options, {"wrong": Option(int, 0)}, key="options")["wrong"]

    def describe(self):
        return Artifact(model=self.model, quantization=self.model.upper(), bytes_on_disk=100)

    def versions(self):
        return {"adder": "1"}

    def start(self):
        return 0.0

    def ask(self, request):
        one, other = map(int, re.findall(r"[0-9]+", request.text)[-2:])
        off = bool(self.wrong) and one % self.wrong == 0
        return Reply(f" {one + other + off}", "stop", 10, completion_tokens=2)

    def close(self):
        pass
'''
IMPORTER = '''
import csv

from quantrial.importers import Imported
from quantrial.records import Item, Response, content_hash


def read(path, *, reference):
    """Read a table: a sum a line, and a column an arm."""
    rows = list(csv.DictReader(path.open(encoding="utf-8")))
    arms = [reference, *(name for name in rows[0] if name not in ("sum", "gold", reference))]
    items, responses = [], {}
    for at, row in enumerate(rows):
        content, gold = {"question": row["sum"]}, int(row["gold"])
        digest = content_hash(content, gold)
        items.append(Item("sums", digest[:16], content, gold, {}, f"table:{at + 1}", digest))
        for place, arm in enumerate(arms):
            one = Response(
                study="table", task="sums", arm=arm, item=digest[:16], replicate=0, attempt=1,
                order=at * len(arms) + place, block=at, status="ok", error=None, output=row[arm],
                finish_reason=None, prompt_tokens=None, completion_tokens=None, timing={},
                started_at="", prompt_sha256=None, thought=None,
            )
            responses.setdefault(("sums", arm), []).append(one)
    study = [f"study: table\\nreference: {reference}\\nmargin: 0.05\\narms:"]
    study += [f"  {arm}: {{engine: imported, model: {arm}}}" for arm in arms]
    study += ["tasks:", "  sums: {kind: number, workload: sums,"]
    study += ["    source: {type: imported, layout: table}}"]
    return Imported("\\n".join(study), items, responses, {}, path.name)
'''
POINTS = {
    "quantrial.tasks": {"number": (KIND, "Number")},
    "quantrial.sources": {"doubles": (SOURCE, "DOUBLES")},
    "quantrial.engines": {"adder": (ENGINE, "Adder")},
    "quantrial.importers": {"table": (IMPORTER, "read")},
}
Quantrial = Callable[..., str]


@pytest.fixture
def quantrial(tmp_path: Path) -> Quantrial:
    """The command line, where packages with these leaves are installed."""
    site = tmp_path / "site"
    for group, leaves in POINTS.items():
        for name, (code, attribute) in leaves.items():
            info = site / f"outside_{name}-1.0.dist-info"
            info.mkdir(parents=True)
            (site / f"outside_{name}.py").write_text(code.lstrip())
            (info / "METADATA").write_text(
                f"Metadata-Version: 2.1\nName: outside-{name}\nVersion: 1.0\n"
            )
            (info / "entry_points.txt").write_text(
                f"[{group}]\n{name} = outside_{name}:{attribute}\n"
            )
    paths = [str(site), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))}

    def call(*arguments: object, code: int = 0) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "quantrial", *map(str, arguments)],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env=environment,
            check=False,
        )
        assert done.returncode == code, done.stderr
        return done.stdout + done.stderr

    return call


def study_of(**changes: Any) -> str:
    arms = {
        "exact": {"engine": "adder", "model": "f16"},
        "hasty": {"engine": "adder", "model": "q4_0", "options": {"wrong": 4}},
    }
    sums = {
        "kind": "number",
        "workload": "sums",
        "source": {"type": "doubles", "count": 80},
        "margins": {"near_hits": "3pp"},
    }
    study = {"study": "sums", "reference": "exact", "arms": arms, "tasks": {"sums": sums | changes}}
    analysis = {"declared_failure_modes": ["not_negative"], "resamples": 200}
    return yaml.safe_dump(study | {"analysis": analysis}, sort_keys=False)


def test_a_kind_a_source_and_an_engine_from_outside_go_the_whole_way(
    quantrial: Quantrial, tmp_path: Path
) -> None:
    (tmp_path / "study.yaml").write_text(study_of())
    quantrial("run", "study.yaml", "--out", "run", "--yes")
    for command in ("analyze", "decide", "report"):
        quantrial(command, "run")
    assert "everything follows" in quantrial("verify", "run")
    task = json.loads((tmp_path / "run" / "summary.json").read_text())["tasks"]["sums"]
    assert (task["kind"], task["primary"]) == ("number", "hits")
    hits, near = (task["endpoints"][name]["arms"] for name in ("hits", "near_hits"))
    assert [hits[arm]["estimate"] for arm in ("exact", "hasty")] == [1.0, 0.75]
    assert near["hasty"]["estimate"] == 1.0
    assert task["chance"] is task["always_empty"] is None
    modes = task["failure_modes"]["hasty"]
    assert (modes["n"], modes["unparsed"], modes["unparsed_rate"]) == (80, 0, 0.0)
    assert task["letter_shifts"] == task["error_loss"] == []
    report = (tmp_path / "run" / "report.md").read_text()
    assert "letters answered" not in report
    assert "hits" in report
    decision = json.loads((tmp_path / "run" / "decision.json").read_text())
    assert decision["default"]["arm"] == "exact"


def test_an_importer_from_outside_goes_the_whole_way(quantrial: Quantrial, tmp_path: Path) -> None:
    lines = ["sum,gold,f16,q4"]
    lines += [f"{i} plus {i},{2 * i},{2 * i},{2 * i + (i % 3 == 0)}" for i in range(90)]
    (tmp_path / "table.csv").write_text("\n".join(lines) + "\n")
    assert "table" in quantrial("import", "--help")
    said = quantrial("import", "table", "table.csv", "--out", "run", "--set", "reference=f16")
    assert "180 responses of 2 arms (f16, q4; reference f16) on sums" in said
    for command in ("analyze", "decide", "report"):
        quantrial(command, "run")
    assert "everything follows" in quantrial("verify", "run")
    task = json.loads((tmp_path / "run" / "summary.json").read_text())["tasks"]["sums"]
    assert task["endpoints"]["hits"]["arms"]["q4"]["estimate"] == pytest.approx(2 / 3)


def test_what_a_study_says_of_outside_leaves_is_checked(
    quantrial: Quantrial, tmp_path: Path
) -> None:
    for wrong, said in (
        (study_of(tolerence=1), "tasks.sums.tolerence: unknown key; did you mean 'tolerance'?"),
        (study_of(kind="numbr"), "is 'numbr'; expected one of 'choice', 'spans', 'number'"),
        (study_of(margins={"zzz": 0.1}), "a number task has no endpoint 'zzz'; there are hits, "),
        (study_of(kind="choice", margins={}), "holds items of kind 'number', but the task is 'ch"),
    ):
        (tmp_path / "study.yaml").write_text(wrong)
        assert said in " ".join(quantrial("plan", "study.yaml", code=2).split())


def test_a_package_that_is_broken_stops_only_who_names_it(
    quantrial: Quantrial, tmp_path: Path
) -> None:
    (tmp_path / "site" / "outside_number.py").write_text("import no_such_module\n")
    (tmp_path / "study.yaml").write_text(study_of())
    said = " ".join(quantrial("plan", "study.yaml", code=2).split())
    assert "tasks.sums.kind: the kind of task 'number' could not be made" in said
    assert "no_such_module" in said
    quantrial("init", "--help")
