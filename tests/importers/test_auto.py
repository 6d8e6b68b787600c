"""`import auto`: what logs look like is said with its reason, or refused with what fits."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from typer.testing import CliRunner

import quantrial
from quantrial.cli import app
from quantrial.errors import DataError, DataWarning, StudyError
from quantrial.importers import LogOptions
from quantrial.importers.auto import guess
from quantrial.importers.base import Recognised
from quantrial.registry import OWN

FORMATS = Path(__file__).parents[1] / "data" / "formats"
LM_EVAL, INSPECT = FORMATS / "lm-eval", FORMATS / "inspect"


def test_two_folders_of_a_harness_are_arms_by_their_names(tmp_path: Path) -> None:
    report = quantrial.read_log(
        "auto",
        [LM_EVAL / "f16", LM_EVAL / "q4"],
        tmp_path / "run",
        options=LogOptions(tasks=("toy_mc",)),
    )
    assert report.arms == ("f16", "q4")
    first, second = report.notes[:2]
    assert first.startswith("Read as lm-eval: ")
    assert "holds samples_toy_" in first
    assert second.startswith("The arms are f16 (")


def test_a_folder_of_logs_is_read_by_the_models_that_they_name() -> None:
    # the files' names say no model; their headers do
    found = guess([FORMATS / "identical" / "inspect"])
    assert (found.form, list(found.paths)) == ("inspect", ["f16", "q4_k_m"])


@pytest.mark.parametrize("folder", [LM_EVAL, INSPECT])
def test_a_folder_of_folders_has_an_arm_each(folder: Path) -> None:
    found = guess([folder])
    assert isinstance(found.paths, dict)
    assert {name: path.name for name, path in found.paths.items()} == {
        path.name: path.name for path in folder.iterdir()
    }


def test_names_that_are_given_stay() -> None:
    found = guess({"a": INSPECT / "f16", "b": INSPECT / "q4_0"})
    assert (found.form, list(found.paths)) == ("inspect", ["a", "b"])


def test_files_are_named_by_the_part_that_tells_them_apart(tmp_path: Path) -> None:
    made = []
    for arm in ("f16", "q4_0"):
        samples = next((LM_EVAL / "f16").rglob("samples_toy_mc_*.jsonl"))
        made.append(tmp_path / arm / "out" / samples.name)
        made[-1].parent.mkdir(parents=True)
        shutil.copy(samples, made[-1])
    assert list(guess(made).paths) == ["f16", "q4_0"]


@pytest.mark.parametrize(
    ("paths", "message"),
    [
        ([LM_EVAL / "f16", INSPECT / "f16"], "looks like lm-eval, and .*f16 like inspect"),
        ([FORMATS / "expected.json"], "looks like none of .*inspect, .*lm-eval"),
        ([FORMATS / "nothing"], "no such file or folder"),
        ([LM_EVAL / "f16", LM_EVAL / "f16"], "what the arms are called is not clear"),
    ],
)
def test_what_is_unclear_is_refused(paths: list[Path], message: str) -> None:
    with pytest.raises(DataError, match=message):
        guess(paths)


def test_formats_that_both_fit_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "log.json"
    path.write_text("{}")
    for name, general in (("one", False), ("other", False), ("most", True)):
        module: Any = ModuleType(f"format_{name}")
        module.recognises = lambda path, name=name, general=general: Recognised(
            f"has the ending of {name}", ("a", "b"), general
        )
        exec("def read(paths, options=None): ...", module.__dict__)
        monkeypatch.setitem(sys.modules, module.__name__, module)
        monkeypatch.setitem(OWN["quantrial.importers"], name, f"{module.__name__}:read")
    with pytest.raises(
        DataError, match=r"may be one \(has the ending of one\); other \(.*\): name"
    ):
        guess([path])
    monkeypatch.delitem(OWN["quantrial.importers"], "other")
    found = guess([path])  # the general one stands back
    assert (found.form, found.said[1]) == ("one", "The arms are a, b.")


def test_a_guess_is_said_before_what_its_reader_refuses(tmp_path: Path) -> None:
    arms = [INSPECT / "f16", INSPECT / "q4_0-json"]
    with (
        pytest.warns(DataWarning, match=r"Read as inspect: .*The arms are f16"),
        pytest.raises(DataError, match="are missing in q4_0-json"),
    ):
        quantrial.read_log("auto", arms, tmp_path / "run")


def test_the_command_says_it_too(tmp_path: Path) -> None:
    out = str(tmp_path / "run")
    words = ["import", "auto", str(INSPECT / "f16"), str(INSPECT / "q4_0"), "-o", out]
    found = CliRunner().invoke(app, [*words, "--only-import", "--json"])
    assert json.loads(found.output)["notes"][0].startswith("Read as inspect: ")


def test_one_arm_is_not_enough(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="name each arm"):
        quantrial.read_log("lm-eval", [LM_EVAL / "f16"], tmp_path / "run")
    with (
        pytest.warns(DataWarning, match="Read as lm-eval"),
        pytest.raises(StudyError, match="name each arm"),
    ):
        quantrial.read_log("auto", LM_EVAL / "f16", tmp_path / "run")


def test_a_folder_of_tables_has_a_file_an_arm(tmp_path: Path) -> None:
    for arm in ("f16", "q4"):
        (tmp_path / f"mine-{arm}.csv").write_text("id,correct\n1,1\n")
    found = guess([tmp_path])
    assert (found.form, list(found.paths)) == ("table", ["f16", "q4"])
