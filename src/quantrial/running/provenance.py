"""Provenance: what ran, on what, made of what."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quantrial._version import __version__
from quantrial.engines.replies import count_of
from quantrial.records import ArmRecord, value_of_arm
from quantrial.redaction import blot_all
from quantrial.strict_json import recordable
from quantrial.system import cpu_model, memory_bytes

if TYPE_CHECKING:
    from quantrial.engines.artifact import Artifact


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


_COUNTS = ("bytes_on_disk", "parameters", "context", "kv_bytes")
_PACKAGES = ("numpy", "scipy", "pydantic", "orjson", "gguf", "xllamacpp", "datasets")


def software(directory: Path) -> dict[str, Any]:
    """Name the versions that matter, and the state of the git checkout the study lies in."""
    versions = {}
    for package in _PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return {
        "quantrial": __version__,
        "python": platform.python_version(),
        "packages": versions,
        "git": git_state(directory),
    }


def host() -> dict[str, Any]:
    """Describe the machine: system, processor, cores, memory. Neither its name nor its user."""
    return {
        "system": platform.system(),
        "release": platform.release(),
        "machine": platform.machine(),
        "cpu": cpu_model(),
        "cores": os.cpu_count(),
        "memory_bytes": memory_bytes(),
        "python_implementation": sys.implementation.name,
    }


def arm_record(engine: str, artifact: Artifact, versions: Mapping[str, str]) -> ArmRecord:
    """Write down one arm: its engine, the software that answers, its artifact.

    No key is in it, and it can be written as JSON whatever a server said; what is of another type
    than it should be is as good as not told.
    """
    told = {"versions": versions, **asdict(artifact)}
    record: dict[str, Any] = recordable(blot_all(told))
    for name, value in record.items():
        record[name] = count_of(value) if name in _COUNTS else value_of_arm(name, value)
    return ArmRecord.from_json({"engine": engine, **record})
