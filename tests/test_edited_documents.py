"""A run folder whose documents were edited, or are of another version: one line, no traceback."""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import quantrial
from quantrial.commands.power import Assumptions, power
from quantrial.errors import RecordError, RecordWarning
from studies import write_study

EARLY = Path(__file__).parent / "data" / "released" / "0.1.0"


@pytest.fixture(scope="module")
def derived(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the early run, derived anew by this version."""
    made = shutil.copytree(EARLY, tmp_path_factory.mktemp("early") / "run")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RecordWarning)
        quantrial.analyze(made)
        quantrial.decide(made)
    return Path(made)


@pytest.fixture
def run(derived: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(derived, tmp_path / "run"))


def edit(path: Path, value: object, *keys: str | int) -> None:
    document = json.loads(path.read_text(encoding="utf-8"))
    part = document
    for key in keys[:-1]:
        part = part[key]
    part[keys[-1]] = value
    path.write_text(json.dumps(document), encoding="utf-8")


def plan(run: Path) -> object:
    return power(Assumptions(run=run))


def error_text(command: Callable[[Path], object], run: Path) -> str:
    with pytest.raises(RecordError) as caught:
        command(run)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("keys", "value"),
    [
        (("study", "hash"), 1),
        (("arms", "f16"), 0.5),
        (("arms", "q8_0", "quantization"), [1]),
        (("arms", "q8_0", "bytes_on_disk"), "x"),
        (("arms", "q4_0", "sampling"), "x"),
        (("arms", "q4_0", "structure"), [1]),
        (("arms", "q4_0", "weights_stated"), None),
        (("arms", "q4_0", "quantized_before"), {"of_tomorrow": 1}),
        (("arms", "q4_0", "doubtful_answers"), [[1]]),
        (("tasks", "sums"), True),
        (("tasks", "sums", "source", "files"), "x"),
        (("host", "memory_bytes"), [1]),
        (("software", "packages"), 1),
        (("sessions", 0), None),
        (("sessions", 0, "sampling"), [1]),
        (("code",), [{"key": [1]}]),
    ],
)
def test_a_manifest_with_another_type_names_file_and_key(
    run: Path, keys: tuple[str | int, ...], value: object
) -> None:
    edit(run / "manifest.json", value, *keys)
    said = error_text(quantrial.analyze, run)
    assert "manifest.json: " in said
    place = ".".join(map(str, keys)).replace("sessions.0", "sessions[0]")
    assert place in said


@pytest.mark.parametrize(
    ("keys", "said"),
    [(("arms", "q4_0"), "arm 'q4_0' is missing"), (("study", "hash"), "study.hash is missing")],
)
def test_what_a_manifest_lacks_is_named_before_a_run_goes_on(
    tmp_path: Path, keys: tuple[str, str], said: str
) -> None:
    study = write_study(tmp_path)
    run = quantrial.run(study, out=tmp_path / "run").folder
    document = json.loads((run / "manifest.json").read_text(encoding="utf-8"))
    del document[keys[0]][keys[1]]
    (run / "manifest.json").write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(RecordError, match=rf"manifest\.json: {said}"):
        quantrial.run(study, out=run)


@pytest.mark.parametrize(
    ("command", "keys"),
    [
        (quantrial.decide, ("tasks", "sums", "primary")),
        (quantrial.report, ("tasks", "sums", "primary")),
        (plan, ("tasks", "sums", "primary")),
        (quantrial.decide, ("reference",)),
    ],
)
def test_a_summary_that_names_what_is_not_there_is_told(
    run: Path, command: Callable[[Path], object], keys: tuple[str, ...]
) -> None:
    edit(run / "summary.json", "nowhere", *keys)
    said = error_text(command, run)
    assert "summary.json: 'nowhere' is missing; " in said


@pytest.mark.parametrize(
    ("keys", "value"),
    [
        (("constrained",), [1]),
        (("constrained", "constraints"), None),
        (("constrained", "constraints", "max_memory"), 0.5),
        (("constrained", "constraints", "workloads"), None),
        (("constrained", "constraints", "tolerate_by"), {"sums": "x"}),
        (("constrained", "constraints", "cost_per_hour"), -1),
    ],
)
def test_constraints_that_are_none_name_file_and_key(
    run: Path, keys: tuple[str, ...], value: object
) -> None:
    quantrial.decide(run, quantrial.Constraints(tolerate=0.05))
    edit(run / "decision.json", value, *keys)
    said = error_text(quantrial.report, run)
    assert "decision.json: " in said
    assert all(key in said for key in keys)
    assert quantrial.verify(run).drifts[0].file == "decision.json"


def test_power_plans_from_a_run_of_other_methods(run: Path) -> None:
    planned = plan(run)
    document: dict[str, Any] = json.loads((run / "summary.json").read_text(encoding="utf-8"))
    for key in ("methods_version", "quantrial", "statements"):
        del document[key]
    early = json.dumps(document)
    (run / "summary.json").write_text(early, encoding="utf-8")
    assert plan(run) == planned
    assert (run / "summary.json").read_text(encoding="utf-8") == early
