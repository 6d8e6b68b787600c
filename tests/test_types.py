"""What flows has types: on a copy, a key renamed where it is written fails the type check."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "quantrial"

# of the packages outside only msgspec is followed: its structs are what is checked
CONFIG = """\
[mypy]
follow_imports = skip
ignore_missing_imports = true
explicit_package_bases = true
disable_error_code = var-annotated
[mypy-msgspec.*]
follow_imports = silent
"""

# file, what stands there, what it is renamed to, and whom the type checker has to name
RENAMED = {
    "the adjusted p of a contrast": (
        "analysis/contrasts.py",
        "p_adjusted=number(p_adjusted)",
        "p_adjust=number(p_adjusted)",
        "analysis/contrasts.py",
    ),
    "the marks of the speed phase": (
        "analysis/speed/phase.py",
        "            marks=(",
        "            remarks=(",
        "analysis/speed/phase.py",
    ),
    "a claim over all tasks": (
        "analysis/statements.py",
        "ship=documents.ShipClaim(",
        "shipped=documents.ShipClaim(",
        "analysis/statements.py",
    ),
    "the verdict of a finding": (
        "decision/evidence.py",
        "        verdict=contrast.verdict,",
        "        said=contrast.verdict,",
        "decision/evidence.py",
    ),
    "a key of a finding, at its readers": (
        "documents/decision.py",
        "    non_inferiority_p: float | None\n",
        "    p_non_inferior: float | None\n",
        "words.py",
    ),
    "a key of the type itself, at its readers": (
        "documents/summary.py",
        "    always_empty: Number | None\n",
        "    floor: Number | None\n",
        "assay.py",
    ),
}


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("types")
    (folder / "mypy.ini").write_text(CONFIG, encoding="utf-8")
    for place in ("documents", "analysis", "decision"):
        shutil.copytree(SOURCE / place, folder / "src" / "quantrial" / place)
    for name in ("assay.py", "prompt_checks.py", "words.py"):
        shutil.copy(SOURCE / name, folder / "src" / "quantrial" / name)
    assert checked(folder) == ""
    return folder


def checked(folder: Path) -> str:
    """Check the copy's types; empty where nothing is wrong."""
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--config-file", "mypy.ini", "src/quantrial"],
        cwd=folder,
        env={"MYPYPATH": "src"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in (0, 1), done.stderr
    return "" if done.returncode == 0 else done.stdout


@pytest.mark.parametrize("what", RENAMED)
def test_a_key_renamed_where_it_is_written_fails_the_type_check(copied: Path, what: str) -> None:
    name, old, new, named = RENAMED[what]
    path = copied / "src" / "quantrial" / name
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1, f"{name} does not hold {old!r} once"
    path.write_text(text.replace(old, new), encoding="utf-8")
    try:
        assert f"quantrial/{named}:" in checked(copied)
    finally:
        path.write_text(text, encoding="utf-8")
