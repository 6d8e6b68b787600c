"""Weights & Biases: a run of a project; `WANDB_MODE=offline` keeps it on this machine."""

from __future__ import annotations

import importlib
from typing import Any

from quantrial.errors import MissingExtraError
from quantrial.loggers.base import Logged


def log(record: Logged, project: str) -> str:
    """Write a finished run of `project`."""
    try:
        module: Any = importlib.import_module("wandb")
    except ImportError as exc:
        raise MissingExtraError("Weights & Biases", package="wandb", extra="wandb") from exc
    run = module.init(
        project=project,
        name=record.name,
        config={**record.params, **record.tags},
        job_type="quantrial",
        # no look at the machine, its console or the code around it
        settings=module.Settings(console="off", save_code=False, disable_git=True, quiet=True),
    )
    run.summary.update(dict(record.metrics))
    if record.files:
        artifact = module.Artifact(f"quantrial-{run.id}", type="results")
        for path in record.files:
            artifact.add_file(str(path), name=path.name)
        run.log_artifact(artifact)
    run.finish()
    kept = f"kept in {run.dir}" if run.offline else run.url
    return f"run {run.id} of the project {project}, {kept}"
