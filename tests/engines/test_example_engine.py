"""The example of a third party's engine: small, found as installed, and fit for a whole study."""

from __future__ import annotations

import ast
import shutil
import stat
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import quantrial
from quantrial.engines import Request, make_engine
from quantrial.errors import EngineCrashedError, EngineError, EngineStartError, StudyError
from quantrial.study import Arm


def test_an_engine_is_a_class_of_less_than_80_lines(command_package: Path) -> None:
    tree = ast.parse((command_package / "quantrial_command.py").read_text(encoding="utf-8"))
    (engine,) = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    assert engine.end_lineno is not None
    assert engine.end_lineno - engine.lineno + 1 < 80
    project = tomllib.loads((command_package / "pyproject.toml").read_text(encoding="utf-8"))
    (point,) = project["project"]["entry-points"]["quantrial.engines"].values()
    assert point == f"quantrial_command:{engine.name}"


def test_its_study_runs_from_items_to_a_verdict(command_package: Path, tmp_path: Path) -> None:
    folder = tmp_path / "example"
    shutil.copytree(command_package, folder)
    result = quantrial.run(folder / "study.yaml", out=tmp_path / "run")
    assert (result.recorded, result.faulted) == (result.planned, 0)
    summary = quantrial.analyze(tmp_path / "run")
    arms = summary["tasks"]["sums"]["endpoints"]["accuracy"]["arms"]
    # of the sums of 1 to 12, the hasty program gets 3, 7 and 11 wrong
    assert (arms["careful"]["estimate"], arms["hasty"]["estimate"]) == (1.0, 0.75)
    assert summary["arms"]["hasty"]["quantization"] == "Q4_0"


@pytest.mark.parametrize(
    ("program", "kind", "message"),
    [
        ("#!/bin/sh\necho no >&2; exit 3\n", EngineCrashedError, "ended with 3: no"),
        ("#!/bin/sh\necho hello\n", EngineError, "no JSON object"),
        ("#!/nowhere/at/all\n", EngineStartError, "cannot be run"),
    ],
)
def test_what_its_program_does_wrong_is_a_fault(
    command_package: Path, tmp_path: Path, program: str, kind: type, message: str
) -> None:
    (tmp_path / "p.sh").write_text(program)
    (tmp_path / "p.sh").chmod(stat.S_IRWXU)
    engine = make_engine("a", Arm(engine="command", model="p.sh"), base=tmp_path, seed=0)
    with pytest.raises(EngineError, match=message) as caught:
        engine.ask(Request(text="x"))
    assert type(caught.value) is kind


def raising(what: Exception) -> Callable[..., Any]:
    def fail(*_: Any, **__: Any) -> Any:
        raise what

    return fail


@pytest.mark.parametrize(
    ("raised", "kind", "message"),
    [
        (
            ZeroDivisionError("by zero"),
            StudyError,
            r"^arms\.b\.engine: the engine 'command' could not be made \(ZeroDivisionError: by",
        ),
        (StudyError("odd", key="options.x"), StudyError, r"^arms\.b\.options\.x: odd$"),
        (StudyError("no program"), StudyError, r"^arms\.b: no program$"),
        (EngineStartError("no licence"), EngineStartError, r"^arms\.b: no licence$"),
    ],
)
def test_what_a_factory_raises_names_the_arm(
    command_package: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    raised: Exception,
    kind: type[Exception],
    message: str,
) -> None:
    monkeypatch.setattr("quantrial_command.CommandEngine.__init__", raising(raised))
    with pytest.raises(kind, match=message):
        make_engine("b", Arm(engine="command", model="x"), base=tmp_path, seed=0)


@pytest.mark.parametrize("method", ["describe", "versions", "start"])
def test_what_its_other_methods_raise_names_the_arm_and_is_no_defect_of_ours(
    command_package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    folder = tmp_path / "example"
    shutil.copytree(command_package, folder)
    monkeypatch.setattr(f"quantrial_command.CommandEngine.{method}", raising(KeyError("size")))
    with pytest.raises(
        EngineError, match=r"^the engine 'command' raised KeyError: 'size' \(arm 'careful'\)$"
    ):
        quantrial.run(folder / "study.yaml", out=tmp_path / "run")


def test_what_a_study_gets_wrong_is_named(command_package: Path, tmp_path: Path) -> None:
    arm = Arm(engine="command", model="x", options={"argument": []})
    with pytest.raises(
        StudyError, match=r"^arms\.a\.options\.argument: unknown .*did you mean 'arguments'"
    ) as caught:
        make_engine("a", arm, base=tmp_path, seed=0)
    assert caught.value.key == "arms.a.options.argument"
    engine = make_engine("a", Arm(engine="command", model="x"), base=tmp_path, seed=0)
    with pytest.raises(EngineStartError, match="x is no program"):
        engine.start()
