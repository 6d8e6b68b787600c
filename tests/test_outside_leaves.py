"""Leaves of other packages: each is one file and an entry point, and goes the whole way."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from scipy import stats

from command import command

# a kind of task with rules, a prompt and a way to fail of its own: an answer is a number
KIND = '''
from typing import Literal

from quantrial.study import TaskPart
from quantrial.tasks import Endpoint, FailureColumn, FailureMode, FailureTable
from quantrial.tasks import Outcome, Prompt, Task
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

    failure_tables = (
        *Task.failure_tables,
        FailureTable("answers on {task} below the sum", (
            FailureColumn("n", "answers"),
            FailureColumn("short", "short of it", "answers below the sum"),
            FailureColumn("short_rate", "share", form="share"),
        )),
    )

    def __init__(self, name, spec, shots=()):
        super().__init__(name, spec, shots)
        self.tolerance = spec.tolerance

    def failures(self, pairs, rate):
        off = sum(outcome.parsed and outcome.answer != item.gold for item, outcome in pairs)
        return super().failures(pairs, rate) | {"short": off, "short_rate": off / len(pairs)}

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
# a kind whose endpoints are no shares: slips, of which fewer are better, and points of 0 to 10
SLIPS = '''
from typing import Literal

from quantrial.study import TaskPart
from quantrial.tasks import Endpoint, Outcome, Prompt, Task
from quantrial.tasks.answer import as_answer


class SlipsPart(TaskPart):
    """A number answers, and counts by how far it is off."""

    kind: Literal["slips"]


class Slips(Task):
    """How far a number is off."""

    kind = "slips"
    part = SlipsPart
    endpoints = (
        Endpoint(
            "slips",
            "mean",
            {"slips": 1.0},
            unit="edits",
            direction="lower",
            high=None,
            label="edit distance",
            meaning="How many edits make an answer right.",
        ),
        Endpoint(
            "points", "mean", {"points": 1.0}, unit="points", high=10.0,
            mitigation="It gives poor answers. Read a sample of them.",
        ),
        Endpoint("misses", "proportion", {"missed": 1.0}, direction="lower"),
    )

    def prompt(self, item):
        return Prompt.continued([f"{item.content['question']}\\nNumber:"], max_tokens=8)

    def score(self, item, answer):
        text = as_answer(answer).text.strip()
        off = abs(int(text) - item.gold) if text.isdigit() else 20
        values = {"slips": float(off), "points": max(0.0, 10.0 - off), "missed": float(off > 0)}
        return Outcome(values, text.isdigit(), text)
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
# a scorer of free text, with a way to fail and a table of its own; its first endpoint is no share
SCORER = '''
from typing import Literal

from quantrial.scorers.base import Score, Scorer, ScorerPart
from quantrial.tasks import Endpoint, FailureColumn, FailureMode, FailureTable


class DistancePart(ScorerPart):
    """By how much a number is off."""

    scorer: Literal["distance"]
    most: int = 20


class Distance(Scorer):
    """By how much a number is off."""

    part = DistancePart
    right = "hits"
    failure_modes = (FailureMode("not_short", lambda task, item, one: one.values["short"] > 0),)
    failure_tables = (FailureTable("numbers on {task}", (
        FailureColumn("answers", "answers"), FailureColumn("short", "too small"),
    )),)

    def __init__(self, spec):
        super().__init__(spec)
        self.endpoints = (
            Endpoint("distance", "mean", {"off": 1.0}, unit="steps", direction="lower",
                     high=float(spec.most), meaning="How far an answer is off."),
            Endpoint("hits", "proportion", {"correct": 1.0}),
        )

    def check(self, gold):
        if not isinstance(gold, int):
            raise ValueError(f"{gold!r} is no whole number")

    def score(self, gold, text, said):
        if not text.lstrip("-").isdigit():
            return self.unread(gold, said)
        off = min(abs(int(text) - gold), self.spec.most)
        values = {"off": float(off), "correct": float(not off), "short": float(int(text) < gold)}
        return Score(values, True, int(text))

    def unread(self, gold, said):
        return Score({"off": float(self.spec.most), "correct": 0.0, "short": 0.0}, False)

    def failures(self, pairs, rate):
        return {"answers": len(pairs), "short": int(sum(one.values["short"] for _, one in pairs))}
'''
ENGINE = '''
import re

from quantrial.engines import Artifact, Reply, read_options, Option


class Adder:
    """Adds; off by one on every `wrong`th sum, and by `times` the number modulo `within`."""

    name = "adder"
    local = True
    abilities = frozenset()

    def __init__(self, model, options, *, base, seed):
        self.model = model
        known = {"wrong": Option(int, 0), "times": Option(int, 0), "within": Option(int, 1)}
        read = read_options(options, known, key="options")
        self.wrong, self.times, self.within = read["wrong"], read["times"], read["within"]

    def describe(self):
        size = {"f16": 300, "q8_0": 200}.get(self.model, 100)
        return Artifact(model=self.model, quantization=self.model.upper(), bytes_on_disk=size)

    def versions(self):
        return {"adder": "1"}

    def start(self):
        return 0.0

    def ask(self, request):
        one, other = map(int, re.findall(r"[0-9]+", request.text)[-2:])
        off = (bool(self.wrong) and one % self.wrong == 0) + self.times * one % self.within
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
    study += ["    source: {type: imported, layout: sheet}}"]
    return Imported("\\n".join(study), items, responses, {}, path.name)
'''
POINTS = {
    "quantrial.tasks": {"number": (KIND, "Number"), "slips": (SLIPS, "Slips")},
    "quantrial.scorers": {"distance": (SCORER, "Distance")},
    "quantrial.sources": {"doubles": (SOURCE, "DOUBLES")},
    "quantrial.engines": {"adder": (ENGINE, "Adder")},
    "quantrial.importers": {"sheet": (IMPORTER, "read")},
}
Quantrial = Callable[..., str]


def installed(folder: Path, *, drawn: bool = False) -> Quantrial:
    """Install packages with these leaves into a folder; return the command line there."""
    site = folder / "site"
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

    def call(*arguments: object, code: int = 0) -> str:
        done = command(*arguments, cwd=folder, allow=False, site=site, drawn=drawn)
        assert done.returncode == code, done.stderr
        return done.stdout + done.stderr

    return call


@pytest.fixture
def quantrial(tmp_path: Path) -> Quantrial:
    """The command line, where packages with these leaves are installed."""
    return installed(tmp_path)


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
    for one in ("analyze", "decide", "report"):
        quantrial(one, "run")
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
    cells = [[one.strip() for one in line.split("|")[1:-1]] for line in report.splitlines()]
    assert ["hasty", "80", "20", "25.0 %"] in cells
    assert "short of it" in report
    assert ["hasty", "80", "0", "0.0 %", "0"] in cells  # the table that every kind has
    assert "hits" in report
    decision = json.loads((tmp_path / "run" / "decision.json").read_text())
    assert decision["default"]["arm"] == "exact"

    # another scorer is told from edited answers, where the run says which it was made with
    scorer = tmp_path / "site" / "outside_number.py"
    scorer.write_text(scorer.read_text().replace("self.tolerance)", "self.tolerance + 1)"))
    assert "the code that scores sums changed since the run" in quantrial("verify", "run", code=1)
    manifest = tmp_path / "run" / "manifest.json"
    record = json.loads(manifest.read_text())
    del record["tasks"]["sums"]["scorer"]
    manifest.write_text(json.dumps(record))
    said = quantrial("verify", "run", code=1)
    assert "does not record the code that scored sums: whether it changed" in " ".join(said.split())


def test_a_scorer_from_outside_goes_the_whole_way(quantrial: Quantrial, tmp_path: Path) -> None:
    rows = [{"one": i, "sum": f"{i} plus {i}", "gold": 2 * i} for i in range(1, 81)]
    (tmp_path / "sums.jsonl").write_text("\n".join(map(json.dumps, rows)))
    study = yaml.safe_load(
        study_of(
            kind="text",
            source={"type": "jsonl", "path": "sums.jsonl"},
            prompt="What is {{ sum }}?\nNumber:",
            prompt_format="completion",
            score=[{"distance": {"most": 10}}, "exact"],
            margin="2 steps",
            margins={"hits": "3pp"},
        )
    )
    study["analysis"]["declared_failure_modes"] = ["not_short"]
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(study, sort_keys=False))
    quantrial("run", "study.yaml", "--out", "run", "--yes")
    assert "everything follows" in quantrial("verify", "run")
    task = json.loads((tmp_path / "run" / "summary.json").read_text())["tasks"]["sums"]
    assert (task["kind"], task["primary"], task["margin"]) == ("text", "distance", 2.0)
    assert task["measures"] == [{"scorer": "distance", "most": 10}, {"scorer": "exact"}]
    # the hasty arm is one too large on every fourth of 80 sums
    values = {
        name: [found["arms"][arm]["estimate"] for arm in ("exact", "hasty")]
        for name, found in task["endpoints"].items()
    }
    assert values == {"distance": [0.0, 0.25], "hits": [1.0, 0.75], "exact_match": [1.0, 0.75]}
    (contrast,) = task["endpoints"]["distance"]["contrasts"]
    assert contrast["estimate"] == 0.25
    assert task["endpoints"]["distance"]["direction"] == "lower"
    report = (tmp_path / "run" / "report.md").read_text()
    assert "too small" in report
    cells = [[one.strip() for one in line.split("|")[1:-1]] for line in report.splitlines()]
    assert ["hasty", "80", "0"] in cells
    assert "0.25 steps" in report

    study["tasks"]["sums"]["score"] = ["distanse"]
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(study, sort_keys=False))
    assert "did you mean 'distance'?" in quantrial("plan", "study.yaml", code=2)
    rows[3]["gold"] = "eight"
    (tmp_path / "sums.jsonl").write_text("\n".join(map(json.dumps, rows)))
    study["tasks"]["sums"]["score"] = ["distance"]
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(study, sort_keys=False))
    said = quantrial("plan", "study.yaml", code=2)
    assert "sums.jsonl, line 4: the field 'gold': 'eight' is no whole number" in said


def test_an_importer_from_outside_goes_the_whole_way(quantrial: Quantrial, tmp_path: Path) -> None:
    lines = ["sum,gold,f16,q4"]
    lines += [f"{i} plus {i},{2 * i},{2 * i},{2 * i + (i % 3 == 0)}" for i in range(90)]
    (tmp_path / "table.csv").write_text("\n".join(lines) + "\n")
    assert "sheet" in quantrial("import", "--help")
    said = quantrial("import", "sheet", "table.csv", "--out", "run", "--set", "reference=f16")
    assert "180 responses of 2 arms (f16, q4; reference f16) on sums" in said
    for one in ("analyze", "decide", "report"):
        quantrial(one, "run")
    assert "everything follows" in quantrial("verify", "run")
    task = json.loads((tmp_path / "run" / "summary.json").read_text())["tasks"]["sums"]
    assert task["endpoints"]["hits"]["arms"]["q4"]["estimate"] == pytest.approx(2 / 3)


# by how far each arm is off on the sum of i and i
OFF: dict[str, Callable[[int], int]] = {
    "exact": lambda i: 7 * i % 3,
    "hasty": lambda i: 5 * i % 4,
    "careful": lambda i: 0,
}


def slips_study(tmp_path: Path, **changes: Any) -> Path:
    arms = {
        "exact": {"engine": "adder", "model": "f16", "options": {"times": 7, "within": 3}},
        "hasty": {"engine": "adder", "model": "q4_0", "options": {"times": 5, "within": 4}},
        "careful": {"engine": "adder", "model": "q8_0"},
    }
    items = [{"question": f"What is {i} plus {i}?", "gold": 2 * i} for i in range(1, 81)]
    (tmp_path / "items.jsonl").write_text("\n".join(map(json.dumps, items)) + "\n")
    task = {
        "kind": "slips",
        "workload": "typing",
        "source": {"type": "jsonl", "path": "items.jsonl"},
        "margin": "0.2 edits",
        "margins": {"points": "0.2 points", "misses": "5pp"},
    }
    study = {"study": "typing", "reference": "exact", "arms": arms}
    path = tmp_path / "study.yaml"
    path.write_text(yaml.safe_dump(study | {"tasks": {"typing": task | changes}}, sort_keys=False))
    return path


@pytest.fixture(scope="module")
def slips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a study and a run of a kind of task whose endpoints are no shares."""
    folder = tmp_path_factory.mktemp("slips")
    quantrial = installed(folder, drawn=True)
    slips_study(folder)
    quantrial("run", "study.yaml", "--out", "run", "--yes")
    for one in ("analyze", "decide", "report"):
        quantrial(one, "run")
    return folder


@pytest.fixture
def typed(slips: Path) -> dict[str, Any]:
    """Read the task from the summary of that run."""
    task: dict[str, Any] = json.loads((slips / "run" / "summary.json").read_text())["tasks"]
    typing: dict[str, Any] = task["typing"]
    return typing


def off_by() -> dict[str, np.ndarray[Any, np.dtype[np.float64]]]:
    return {arm: np.array([of(i) for i in range(1, 81)], np.float64) for arm, of in OFF.items()}


def against_exact(task: dict[str, Any], endpoint: str) -> dict[str, Any]:
    found = task["endpoints"][endpoint]["contrasts"]
    return {one["candidate"]: one for one in found if one["reference"] == "exact"}


def test_a_unit_of_which_less_is_better_by_hand_and_against_scipy(typed: dict[str, Any]) -> None:
    # by hand
    task, off = typed, off_by()
    slips = task["endpoints"]["slips"]
    assert (slips["unit"], slips["direction"], slips["high"]) == ("edits", "lower", None)
    for arm, values in off.items():
        assert slips["arms"][arm]["estimate"] == pytest.approx(values.mean(), abs=1e-12)
    found = against_exact(task, "slips")
    change = off["hasty"] - off["exact"]
    hasty, careful = found["hasty"], found["careful"]
    assert hasty["estimate"] == pytest.approx(change.mean(), abs=1e-12)
    assert hasty["estimate"] > 0
    assert (hasty["verdict"], careful["verdict"]) == ("worse", "better")
    assert hasty["sd_paired"] == pytest.approx(change.std(ddof=1))

    # against scipy: the interval and both tests
    low, high = stats.t.interval(0.95, 79, change.mean(), stats.sem(change))
    assert hasty["ci"] == pytest.approx([low, high], abs=0.03)
    test = stats.permutation_test(
        (change,), np.mean, permutation_type="samples", n_resamples=50_000, rng=3
    )
    assert hasty["p_value"] == pytest.approx(test.pvalue, rel=0.5)
    margin = next(one for one in slips["equivalence"] if one["id"].startswith(hasty["id"]))
    less = stats.ttest_1samp(change, 0.2, alternative="less")  # "fewer than 0.2 edits more"
    assert margin["p_non_inferior"] == pytest.approx(less.pvalue, abs=0.02)
    assert (margin["margin"], margin["non_inferior"]) == (0.2, False)
    same = next(one for one in slips["equivalence"] if one["id"].startswith(careful["id"]))
    assert same["non_inferior"]
    assert same["ci"][1] < 0

    # higher is better in 0 to 10, and a share of which less is better
    points = against_exact(task, "points")
    assert points["hasty"]["estimate"] == pytest.approx(-change.mean())
    assert points["hasty"]["verdict"] == "worse"
    misses = against_exact(task, "misses")
    shares = {arm: (values > 0).mean() for arm, values in off.items()}
    assert misses["careful"]["estimate"] == pytest.approx(-shares["exact"])
    assert misses["careful"]["verdict"] == "better"
    assert misses["hasty"]["estimate"] == pytest.approx(shares["hasty"] - shares["exact"])


def test_a_unit_of_which_less_is_better_goes_the_whole_way(
    tmp_path: Path, slips: Path, typed: dict[str, Any]
) -> None:
    quantrial = installed(tmp_path, drawn=True)
    shutil.copytree(slips / "run", tmp_path / "run")
    slips_study(tmp_path)
    assert typed["margin"] == 0.2
    planned = " ".join(quantrial("plan", "study.yaml").split())
    assert "margin 0.2 edits" in planned
    assert "quantrial power --from RUN tells" in planned
    assert " pp" not in planned.replace("5 pp", "")  # of the share alone
    assert "everything follows" in quantrial("verify", "run")
    powered = quantrial("power", "--from", "run", "--candidate", "hasty")
    assert "Margin 0.2 edits" in powered
    assert "true difference +0.4875 edits" in powered
    # the decision
    decision = json.loads((tmp_path / "run" / "decision.json").read_text())
    assert decision["default"]["arm"] == "careful"
    assert [one["arm"] for one in decision["avoid_for"]] == ["hasty"]
    assert "it loses 0.487 edits there (estimated)." in decision["avoid_for"][0]["text"]
    assert decision["risk"] == []  # what is no share counts no wrong answers
    rows = decision["picker"]["tasks"]["typing"]
    assert (rows["unit"], rows["arms"]["hasty"]["worse"]) == ("edits", True)
    assert rows["arms"]["hasty"]["estimate"] == pytest.approx(-0.4875)

    # what people read
    report = (tmp_path / "run" / "report.md").read_text()
    assert "+0.487 edits" in report
    assert "Lower values are better: a positive difference is a loss." in report
    assert "edit distance" in report
    assert "How many edits make an answer right." in report
    assert "Margin 0.2 edits." in report
    assert "poor answers" in report
    page = (tmp_path / "run" / "report.html").read_text()
    assert "difference, edits" in page
    shown = quantrial("analyze", "run")
    assert "+0.487 edits" in shown
    csv = quantrial("report", "run", "--format", "csv")
    assert "edits,lower" in csv
    latex = quantrial("report", "run", "--format", "latex")
    assert "but of edit distance and misses positive is" in latex
    said = " ".join(quantrial("decide", "run", "--tolerate", "typing=2pp", code=2).split())
    assert "what is tolerated is a share, and typing is measured in edits" in said


def test_margins_are_in_the_unit_of_their_endpoint(quantrial: Quantrial, tmp_path: Path) -> None:
    for margin, said in (
        ("2pp", "slips: '2pp' is a share, and this is counted in edits: `2 edits`"),
        ("2 %", "slips: '2 %' is a share"),
        ("2 points", "slips: '2 points' is no amount of edits: 'points' is another unit"),
        ("many", "slips: 'many' is no amount of edits; write it like `2 edits`"),
        (-1, "should be greater than 0"),
        (None, "slips is counted in edits, so the study's margin, a share, does not hold for it"),
    ):
        slips_study(tmp_path, margin=margin)
        assert said in " ".join(quantrial("plan", "study.yaml", code=2).split())
    slips_study(tmp_path, margins={"points": "1 edit"})
    assert "points: '1 edit' is no amount of points" in quantrial("plan", "study.yaml", code=2)
    slips_study(tmp_path, margin=2, margins={"misses": "120pp"})
    assert "is a loss of everything" in quantrial("plan", "study.yaml", code=2)


def test_what_a_study_says_of_outside_leaves_is_checked(
    quantrial: Quantrial, tmp_path: Path
) -> None:
    for wrong, said in (
        (study_of(tolerence=1), "tasks.sums.tolerence: unknown key; did you mean 'tolerance'?"),
        (
            study_of(kind="numbr"),
            "is 'numbr'; expected one of 'choice', 'spans', 'text', 'recorded', 'redacted', "
            "'number'",
        ),
        (study_of(kind="numbr"), "did you mean 'number'?"),
        (study_of(source={"type": "double"}), "did you mean 'doubles'?"),
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
    assert "`pip install 'no_such_module'` installs what it lacks" in said
    quantrial("init", "--help")
    # an entry point may name the extra of its package that it needs
    points = tmp_path / "site" / "outside_number-1.0.dist-info" / "entry_points.txt"
    points.write_text(points.read_text().replace(":Number", ":Number [sums]"))
    said = " ".join(quantrial("plan", "study.yaml", code=2).split())
    assert "`pip install 'outside-number[sums]'` installs what it lacks" in said
