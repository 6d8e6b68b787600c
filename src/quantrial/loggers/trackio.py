"""trackio: a run of a project, in a database on this machine unless its settings say otherwise."""

from __future__ import annotations

import importlib
from typing import Any

from quantrial.errors import MissingExtraError
from quantrial.loggers.base import Logged


def log(record: Logged, project: str) -> str:
    """Write a finished run of `project`."""
    try:
        module: Any = importlib.import_module("trackio")
    except ImportError as exc:
        raise MissingExtraError("trackio", package="trackio", extra="trackio") from exc
    run = module.init(
        project=project,
        name=record.name,
        config={**record.params, **record.tags},
        embed=False,
        auto_log_gpu=False,
        auto_log_cpu=False,
    )
    run.log(dict(record.metrics))
    if record.files:
        artifact = module.Artifact(f"quantrial-{run.name}", type="results")
        for path in record.files:
            artifact.add_file(str(path), name=path.name)
        run.log_artifact(artifact)
    module.finish()
    return f"run {run.name} of the project {project}: `trackio show --project {project}`"
