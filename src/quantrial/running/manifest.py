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

import quantrial

if TYPE_CHECKING:
    from quantrial.engines.artifact import Artifact

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
        "quantrial": quantrial.__version__,
        "python": platform.python_version(),
        "packages": versions,
        "git": git_state(directory),
    }


def git_state(directory: Path) -> dict[str, Any] | None:
    """Return the commit and whether the tree differs from it; None outside a checkout."""

    def git(*arguments: str) -> str | None:
        try:
            done = subprocess.run(
                ["git", "-C", str(directory), *arguments],
                capture_output=True,
                text=True,
                timeout=10,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    commit = git("rev-parse", "HEAD")
    if commit is None:
        return None
    return {"commit": commit, "dirty": bool(git("status", "--porcelain"))}


def host() -> dict[str, Any]:
    """Describe the machine: system, processor, cores, memory. Neither its name nor its user."""
    return {
        "system": platform.system(),
        "release": platform.release(),
        "machine": platform.machine(),
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "memory_bytes": memory_bytes(),
        "python_implementation": sys.implementation.name,
    }


def memory_bytes() -> int | None:
    """Return the machine's memory, where the system says."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        return None


def available_memory() -> int | None:
    """Return the bytes of memory that are free for new work, where the system says."""
    try:
        text = Path("/proc/meminfo").read_text(encoding="utf-8")
    except OSError:
        return memory_bytes()
    for line in text.splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    return memory_bytes()


def _cpu_model() -> str | None:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return platform.processor() or None
    for line in text.splitlines():
        if line.lower().startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or None


def arm_record(engine: str, artifact: Artifact, versions: Mapping[str, str]) -> dict[str, Any]:
    """Write down one arm: its engine, the software that answers, its artifact."""
    return {"engine": engine, "versions": dict(versions), **asdict(artifact)}


# What may differ between two arms of one comparison; everything else should be the same.
_WEIGHTS = {
    "model",
    "sha256",
    "bytes_on_disk",
    "quantization",
    "derived_from",
    "source_sha256",
    "source_quantization",
}
_SHOWN = {
    "engine": "engine",
    "versions": "engine version",
    "architecture": "architecture",
    "parameters": "number of parameters",
    "context": "context length",
    "tokenizer_sha256": "tokenizer",
    "template_sha256": "chat template",
    "options": "options",
}


def differences(arms: Mapping[str, Mapping[str, Any]], reference: str) -> list[str]:
    """Say where arms differ in more than their weights, or do not differ at all.

    `arms` is the manifest's part of that name. One sentence a finding; none is good.
    """
    warnings = []
    base = arms[reference]
    for name, arm in arms.items():
        if name == reference:
            continue
        for key, shown in _SHOWN.items():
            if key not in _WEIGHTS and arm.get(key) != base.get(key):
                warnings.append(
                    f"{name} and {reference} differ in more than their weights: {shown} "
                    f"({_short(arm.get(key))} against {_short(base.get(key))})"
                )
    names = list(arms)
    for i, one in enumerate(names):
        for other in names[i + 1 :]:
            digest = arms[one].get("sha256")
            if digest is not None and digest == arms[other].get("sha256"):
                warnings.append(f"{one} and {other} are the same file, byte for byte")
    return warnings


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 40 else text[:12] + "…"
