"""The example in the docstring of every public function runs, and shows what it gives."""

from __future__ import annotations

import doctest
import json
import shutil
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import quantrial
import quantrial.stats
from importers.fabricated import answers, write_rows
from studies import write_study


def functions(module: types.ModuleType) -> dict[str, Callable[..., Any]]:
    """Return the public functions of a module by name."""
    values = {name: getattr(module, name) for name in module.__all__}
    return {n: value for n, value in values.items() if isinstance(value, types.FunctionType)}


def run_example(function: Callable[..., Any], **names: object) -> None:
    """Run the example of one function; a difference is printed."""
    where = {**vars(__import__(function.__module__, fromlist=["_"])), **names}
    found = doctest.DocTestFinder(recurse=False).find(function, globs=where)
    assert sum(len(one.examples) for one in found) > 0, f"{function.__name__} shows no example"
    runner = doctest.DocTestRunner(verbose=False)
    for one in found:
        runner.run(one)
    assert runner.summarize(verbose=False).failed == 0


@pytest.mark.parametrize("name", functions(quantrial.stats))
def test_the_example_of_a_statistic_runs(name: str) -> None:
    run_example(functions(quantrial.stats)[name])


def test_an_example_that_shows_something_else_fails() -> None:
    def double(value: int) -> int:
        """Double it.

        >>> double(2)
        5
        """
        return 2 * value

    with pytest.raises(AssertionError):
        run_example(double, double=double)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds what the examples of `quantrial` name: a study, runs, a page."""
    made = tmp_path_factory.mktemp("examples")
    write_study(made)
    for name in ("mine", "other"):
        result = quantrial.run(made / "study.yaml", out=made / "runs" / name)
        quantrial.analyze(result.folder)
        quantrial.decide(result.folder)
    logs = Path(__file__).parent / "data" / "formats" / "lm-eval"
    for arm in ("f16", "q4"):
        of_one_task = shutil.ignore_patterns("samples_toy_[!m]*")
        shutil.copytree(logs / arm, made / "out" / arm, ignore=of_one_task)
    (made / "published").mkdir()
    for name, rows in answers().items():
        write_rows(made / "published" / f"{name}.jsonl", rows)
    for arm, speed in (("a", 1.0), ("b", 2.0)):
        test = {"n_prompt": 0, "n_gen": 128, "samples_ts": [speed * pace for pace in (10, 11, 12)]}
        (made / f"{arm}.json").write_text(json.dumps([test]), encoding="utf-8")
    mark = "<!-- q: tasks.sums.endpoints.accuracy.arms.f16.n | int -->0<!-- /q --> sums\n"
    (made / "README.md").write_text(mark, encoding="utf-8")
    quantrial.verify_document(made / "README.md", run=made / "runs" / "mine", write=True)
    return made


@pytest.mark.parametrize("name", functions(quantrial))
def test_the_example_of_a_function_runs(
    name: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    run_example(functions(quantrial)[name], quantrial=quantrial)
