"""The same run folder on other kinds of processors: other linear algebra, no vector units."""

from __future__ import annotations

import importlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import quantrial
from repetitions import mostly_repetitions

EXAMPLE = Path(__file__).parents[1] / "examples" / "demo"

numpy_core = importlib.import_module("numpy._core._multiarray_umath")
FEATURES = numpy_core.__cpu_features__
_VECTORS = " ".join(one for one in numpy_core.__cpu_dispatch__ if FEATURES.get(one))

MACHINES = {
    "Nehalem": {"OPENBLAS_CORETYPE": "Nehalem"},
    "Haswell": {"OPENBLAS_CORETYPE": "Haswell"},
    "SkylakeX": {"OPENBLAS_CORETYPE": "SkylakeX"},
    "no vector units": {"OPENBLAS_CORETYPE": "Nehalem", "NPY_DISABLE_CPU_FEATURES": _VECTORS},
}


def supported(machine: str) -> bool:
    """Whether this processor has the instructions of another."""
    needed = {"Haswell": "AVX2", "SkylakeX": "AVX512F"}
    return machine not in needed or bool(FEATURES.get(needed[machine]))


def on(machine: str, code: str, *arguments: object) -> str:
    if not supported(machine):
        pytest.skip(f"this processor lacks the instructions of {machine}")
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        env=os.environ | MACHINES[machine],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


VERIFY = """
import sys, quantrial
for folder in sys.argv[1:]:
    for drift in quantrial.verify(folder).drifts:
        print(drift)
"""
DERIVE = """
import sys, warnings, quantrial
warnings.simplefilter("ignore")
for folder in sys.argv[1:]:
    quantrial.analyze(folder)
    quantrial.decide(folder)
quantrial.report(sys.argv[1])  # the other's documents are compared, which its report follows from
"""


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The committed example, as this version derives it here from its answers alone."""
    run = tmp_path_factory.mktemp("example") / "demo"
    shutil.copytree(EXAMPLE, run)
    without_results(run)
    quantrial.report(run)
    return run


def without_results(run: Path) -> None:
    """Leave of a run folder what was recorded."""
    for name in ("summary.json", "decision.json", "report.md", "report.html"):
        (run / name).unlink()
    shutil.rmtree(run / "plots")


@pytest.fixture(scope="module")
def derived_elsewhere(example: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """On another processor: `demo`, derived from its answers, and `again`, with results before."""
    folder = tmp_path_factory.mktemp("elsewhere")
    shutil.copytree(example, folder / "demo")
    without_results(folder / "demo")
    shutil.copytree(example, folder / "again")
    on("Nehalem", DERIVE, folder / "demo", folder / "again")
    return folder


@pytest.fixture
def elsewhere(derived_elsewhere: Path) -> Path:
    return derived_elsewhere / "demo"


@pytest.mark.parametrize("machine", mostly_repetitions(MACHINES, ["no vector units"]))
def test_it_holds_on_other_processors_and_a_change_in_the_ninth_digit_does_not(
    machine: str, tmp_path: Path
) -> None:
    shutil.copytree(EXAMPLE, tmp_path / "run")
    path = tmp_path / "run" / "summary.json"
    summary = json.loads(path.read_text(encoding="utf-8"))
    one = summary["tasks"]["people"]["endpoints"]["recall"]["contrasts"][0]
    one["ci"][0] *= 1 + 2e-9
    path.write_text(json.dumps(summary), encoding="utf-8")
    # all else of the committed example holds
    (said,) = on(machine, VERIFY, tmp_path / "run").splitlines()
    assert said.startswith("summary.json: tasks.people.endpoints.recall.contrasts[0].ci[0]: ")


def everything(run: Path) -> dict[str, bytes]:
    return {
        path.relative_to(run).as_posix(): path.read_bytes()
        for path in sorted(run.rglob("*"))
        if path.is_file()
    }


def test_analysed_again_on_another_processor_it_is_the_same_to_the_byte(
    example: Path, derived_elsewhere: Path
) -> None:
    assert everything(derived_elsewhere / "again") == everything(example)


def test_derived_anew_on_another_processor_report_and_plots_are_the_same_to_the_byte(
    example: Path, elsewhere: Path
) -> None:
    there, here = everything(elsewhere), everything(example)
    assert there.keys() == here.keys()
    # documents hold every digit; what people read is rounded where it is written
    different = {name for name in here if there[name] != here[name]}
    assert different <= {"summary.json", "decision.json"}
    assert quantrial.verify(elsewhere).drifts == ()


def test_runs_analysed_on_two_processors_are_compared(example: Path, elsewhere: Path) -> None:
    found = quantrial.compare(example, elsewhere)
    assert found["differ"] == []
    assert [one["text"] for one in found["changes"] if one["kind"] == "verdict"] == []
