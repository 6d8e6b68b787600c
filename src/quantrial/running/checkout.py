"""The git checkout that a study lies in: its commit, and whether files differ from it.

The checkout may be somebody else's, and its own settings can name programs that git runs when it
is merely asked how things stand: a monitor of files, filters, hooks, what fetches missing objects.
None of them is run here; the user's own settings stay.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

_SECONDS = 10
_OFF = {"core.fsmonitor": "false", "core.hooksPath": os.devnull}
_FILTER = ("clean", "process", "smudge")
_ENVIRONMENT = {
    "GIT_ALLOW_PROTOCOL": "none",  # nothing is fetched, by whatever helper
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_TERMINAL_PROMPT": "0",
}


def git_state(directory: Path) -> dict[str, Any] | None:
    """Return the commit and whether the tree differs from it; None outside a checkout.

    `dirty` is None where that could not be found out without running what the checkout names.
    """
    commit = _git(directory, "rev-parse", "HEAD", settings=_OFF)
    if commit is None:
        return None
    filters = _own_filters(directory)
    if filters is None:
        return {"commit": commit.strip(), "dirty": None}
    told = ("status", "--porcelain", "--ignore-submodules=dirty")
    changed = _git(directory, *told, settings=_OFF | filters)
    return {"commit": commit.strip(), "dirty": bool(changed)}


def _own_filters(directory: Path) -> dict[str, str] | None:
    """Return what turns off the filters that the checkout itself sets; None where git is too old.

    A filter is a program. It would be given every file that looks changed.
    """
    asked = ("config", "--null", "--show-scope", "--name-only", "--get-regexp", "^filter[.]")
    said = _git(directory, *asked, settings=_OFF, none_is_1=True)
    if said is None:
        return None
    words = said.split("\0")
    found = dict[str, str]()
    for scope, key in zip(words[::2], words[1::2], strict=False):
        if scope in ("system", "global"):
            continue
        name = key.rpartition(".")[0]
        found |= {f"{name}.{what}": "" for what in _FILTER} | {f"{name}.required": "false"}
    return found


def _git(
    directory: Path, *words: str, settings: dict[str, str], none_is_1: bool = False
) -> str | None:
    """Ask git, under settings that go before all others; None where it fails.

    They travel in the environment: in a word `-c`, a key that holds `=` would be another key.
    """
    environment = {**os.environ, **_ENVIRONMENT}
    count = environment.get("GIT_CONFIG_COUNT", "")
    first = int(count) if count.isdecimal() else 0
    for i, (key, value) in enumerate(settings.items(), start=first):
        environment |= {f"GIT_CONFIG_KEY_{i}": key, f"GIT_CONFIG_VALUE_{i}": value}
    environment["GIT_CONFIG_COUNT"] = str(first + len(settings))
    try:
        done = subprocess.run(
            ["git", "-C", str(directory), *words],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=_SECONDS,
            check=False,
            env=environment,
        )
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return None
    fine = done.returncode == 0 or (none_is_1 and done.returncode == 1)
    return done.stdout if fine else None
