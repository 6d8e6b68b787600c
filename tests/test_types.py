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

# file, what stands there, what it is renamed to, whom the type checker has to name, and with what
WRITTEN = {
    "the adjusted p of a contrast": (
        "analysis/contrasts.py",
        "p_adjusted=number(p_adjusted)",
        "p_adjust=number(p_adjusted)",
        "analysis/contrasts.py",
        '"p_adjust"',
    ),
    "the marks of the speed phase": (
        "analysis/speed/phase.py",
        "            marks=(",
        "            remarks=(",
        "analysis/speed/phase.py",
        '"remarks"',
    ),
    "a claim over all tasks": (
        "analysis/statements.py",
        "ship=documents.ShipClaim(",
        "shipped=documents.ShipClaim(",
        "analysis/statements.py",
        '"shipped"',
    ),
    "the verdict of a finding": (
        "decision/evidence.py",
        "        verdict=contrast.verdict,",
        "        said=contrast.verdict,",
        "decision/evidence.py",
        '"said"',
    ),
}
READ = {
    "a key of a finding, at its readers": (
        "documents/decision.py",
        "    non_inferiority_p: float | None\n",
        "    p_non_inferior: float | None\n",
        "words.py",
        '"non_inferiority_p"',
    ),
    "a key of the type itself, at its readers": (
        "documents/summary.py",
        "    always_empty: Number | None\n",
        "    floor: Number | None\n",
        "assay.py",
        '"always_empty"',
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


@pytest.mark.parametrize("renamed", [WRITTEN, READ], ids=["where written", "at its readers"])
def test_a_renamed_key_fails_the_type_check(
    copied: Path, tmp_path: Path, renamed: dict[str, tuple[str, str, str, str, str]]
) -> None:
    shutil.copytree(copied, tmp_path / "copy")
    for name, old, new, _, _ in renamed.values():
        path = tmp_path / "copy" / "src" / "quantrial" / name
        text = path.read_text(encoding="utf-8")
        assert text.count(old) == 1, f"{name} does not hold {old!r} once"
        path.write_text(text.replace(old, new), encoding="utf-8")
    lines = checked(tmp_path / "copy").splitlines()
    for what, (_, _, _, named, key) in renamed.items():
        assert any(f"quantrial/{named}:" in line and key in line for line in lines), what
