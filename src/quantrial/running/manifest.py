"""Provenance: what ran, on what, made of what."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Mapping
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import quantrial
from quantrial.engines.settled import count_of
from quantrial.recordable import recordable
from quantrial.redaction import blot_all
from quantrial.running.checkout import git_state
from quantrial.system import cpu_model, memory_bytes

if TYPE_CHECKING:
    from quantrial.engines.artifact import Artifact

# what an artifact says in a text, and in a whole number; `model` is the study's own
_TEXTS = (
    *("sha256", "quantization", "architecture", "tokenizer_sha256", "template_sha256"),
    *("template_default", "derived_from", "source_sha256", "source_quantization"),
)
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
        "quantrial": quantrial.__version__,
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


def arm_record(engine: str, artifact: Artifact, versions: Mapping[str, str]) -> dict[str, Any]:
    """Write down one arm: its engine, the software that answers, its artifact.

    No key is in it, and it can be written as JSON whatever a server said; what should be a text or
    a count of bytes and is none is as good as not told.
    """
    told = {"versions": dict(versions), **asdict(artifact)}
    record: dict[str, Any] = recordable(blot_all(told))
    for name in _TEXTS:
        record[name] = record[name] if isinstance(record[name], str) else None
    for name in _COUNTS:
        record[name] = count_of(record[name])
    return {"engine": engine, **record}
