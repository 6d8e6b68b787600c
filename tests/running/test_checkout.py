"""A study may lie in a checkout of somebody else: looking at it runs none of its programs."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

import quantrial
from quantrial.runfolder import RunFolder
from quantrial.running.provenance import git_state
from studies import write_study

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="there is no git")


def git(folder: Path, *words: str) -> str:
    names = {"GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@b", "GIT_CONFIG_NOSYSTEM": "1"}
    others = {"GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@b"}
    return subprocess.run(
        ["git", "-C", str(folder), *words],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, **names, **others},
    ).stdout


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    folder = tmp_path / "checkout"
    write_study(folder)
    git(folder, "init", "-q")
    (folder / ".gitattributes").write_text("questions.jsonl filter=evil\n* filter=a=b\n")
    git(folder, "add", ".")
    git(folder, "commit", "-q", "-m", "x")
    return folder


@pytest.fixture
def left(tmp_path: Path, checkout: Path) -> Path:
    """Have the checkout name programs in every way; say where each would leave a file."""
    mark = tmp_path / "was-here"
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\ntouch '{mark}'\ncat\n")
    program.chmod(0o755)
    git(checkout, "config", "core.fsmonitor", str(program))
    (tmp_path / "more").write_text(
        f'[filter "a=b"]\n\tclean = {program}\n\tprocess = {program}\n\trequired = true\n'
    )
    git(checkout, "config", "include.path", str(tmp_path / "more"))
    git(checkout, "config", "filter.evil.clean", str(program))
    git(checkout, "config", "filter.evil.required", "true")
    git(checkout, "config", "core.hooksPath", str(tmp_path / "hooks"))
    (tmp_path / "hooks").mkdir()
    for hook in ("post-index-change", "fsmonitor-watchman"):
        shutil.copy(program, tmp_path / "hooks" / hook)
    # a file that looks changed and is not: git has to read it to know
    time.sleep(0.01)
    for name in ("questions.jsonl", "sentences.jsonl"):
        os.utime(checkout / name, (1, 1))
    return mark


def test_nothing_that_a_checkout_names_is_run(checkout: Path, left: Path) -> None:
    assert git_state(checkout) == {
        "commit": git(checkout, "rev-parse", "HEAD").strip(),
        "dirty": False,
    }
    assert not left.exists()
    with contextlib.suppress(subprocess.CalledProcessError):
        git(checkout, "status")
    assert left.exists(), "the test shows nothing: git itself runs none of them"


def test_a_change_is_seen_all_the_same(checkout: Path, left: Path) -> None:
    (checkout / "new").write_text("")
    found = git_state(checkout)
    assert found is not None
    assert found["dirty"] is True
    assert not left.exists()


def test_a_run_in_such_a_checkout_runs_none_of_it(
    tmp_path: Path, checkout: Path, left: Path
) -> None:
    run = RunFolder(quantrial.run(checkout / "study.yaml", out=tmp_path / "run").folder)
    assert run.read_manifest().software["git"]["dirty"] is False
    assert not left.exists()


def test_settings_of_the_user_in_the_environment_stay(
    checkout: Path, left: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "status.showUntrackedFiles")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "no")
    (checkout / "new").write_text("")
    found = git_state(checkout)
    assert found is not None
    assert found["dirty"] is False
    assert not left.exists()


def test_outside_a_checkout_there_is_nothing_to_say(tmp_path: Path) -> None:
    assert git_state(tmp_path / "nowhere") is None
    assert git_state(Path("a\0b")) is None
