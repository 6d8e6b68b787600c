"""What the repository holds, and what it must not."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LARGEST = 1_000_000  # bytes of one file


def _git(*arguments: str) -> list[str]:
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("not a checkout")
    done = subprocess.run(
        ["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        pytest.skip(f"git does not read this checkout: {done.stderr.strip()}")
    return [name for name in done.stdout.split("\0") if name]


def test_nothing_that_is_to_be_ignored_is_kept() -> None:
    # other people's packages, environments, caches
    assert _git("ls-files", "-z", "--cached", "--ignored", "--exclude-standard") == []


def test_no_file_is_large() -> None:
    kept = [ROOT / name for name in _git("ls-files", "-z")]
    assert [path for path in kept if path.is_file() and path.stat().st_size > LARGEST] == []


def test_no_link_is_kept() -> None:
    # it would lead to a place of one machine, or out of the repository
    assert [one for one in _git("ls-files", "-z", "--stage") if one.startswith("120000")] == []
