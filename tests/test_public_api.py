from __future__ import annotations

import os
import subprocess
import sys
import types
from pathlib import Path

import pytest

import quantrial
import quantrial.stats

README = Path(__file__).parents[1] / "README.md"

PUBLIC = [
    "Assumptions",
    "Constraints",
    "QuantrialError",
    "QuantrialWarning",
    "Study",
    "__version__",
    "analyze",
    "audit",
    "check",
    "check_gate",
    "compare",
    "compare_scores",
    "decide",
    "demo",
    "export",
    "fetch",
    "import_reference",
    "init",
    "load_study",
    "log_results",
    "plan",
    "power",
    "prompts",
    "read_benchmarks",
    "read_log",
    "redact",
    "report",
    "results",
    "run",
    "save_baseline",
    "trial",
    "verify",
    "verify_document",
]


def test_the_public_names_are_these_and_sorted() -> None:
    assert quantrial.__all__ == PUBLIC
    assert dir(quantrial) == sorted(PUBLIC)


@pytest.mark.parametrize("name", [n for n in PUBLIC if n != "__version__"])
def test_every_public_name_is_there_and_documented(name: str) -> None:
    assert getattr(quantrial, name).__doc__


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'analyse'"):
        _ = quantrial.analyse


def test_stats_export_what_they_say_sorted_and_documented() -> None:
    names = quantrial.stats.__all__
    assert names == sorted(names)
    exported = {
        name
        for name, value in vars(quantrial.stats).items()
        if not name.startswith("_") and not isinstance(value, types.ModuleType)
    }
    assert exported == set(names)
    for name in names:
        if isinstance(getattr(quantrial.stats, name), (type, types.FunctionType)):
            assert getattr(quantrial.stats, name).__doc__, name


@pytest.mark.parametrize("command", ["import quantrial", "import quantrial.cli"])
def test_importing_stays_light(command: str) -> None:
    heavy = "numpy scipy pydantic altair vl_convert jinja2 xllamacpp gguf httpx datasets yaml"
    program = f"{command}; import sys; print(*[m for m in {heavy.split()} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == []


def test_idle_threads_of_numpy_sleep_unless_the_user_says_otherwise() -> None:
    code = "import os, quantrial; print(os.environ['OPENBLAS_THREAD_TIMEOUT'])"
    clean = {k: v for k, v in os.environ.items() if k != "OPENBLAS_THREAD_TIMEOUT"}
    for own, told in (({}, "4"), ({"OPENBLAS_THREAD_TIMEOUT": "20"}, "20")):
        said = subprocess.check_output(
            [sys.executable, "-c", code], env={**clean, **own}, text=True
        )
        assert said.strip() == told
