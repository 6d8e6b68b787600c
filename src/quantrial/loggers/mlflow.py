"""MLflow: a run of an experiment, where `MLFLOW_TRACKING_URI` says."""

from __future__ import annotations

import importlib
from typing import Any

from quantrial.errors import MissingExtraError
from quantrial.loggers.base import Logged


def log(record: Logged, project: str) -> str:
    """Write a finished run of the experiment `project`."""
    try:
        module: Any = importlib.import_module("mlflow")
    except ImportError as exc:
        raise MissingExtraError("MLflow", package="mlflow-skinny", extra="mlflow") from exc
    client = module.MlflowClient()
    found = client.get_experiment_by_name(project)
    experiment = client.create_experiment(project) if found is None else found.experiment_id
    run = client.create_run(experiment, run_name=record.name, tags=dict(record.tags))
    own = run.info.run_id
    for key, value in record.params.items():
        client.log_param(own, key, value)
    for key, number in record.metrics.items():
        client.log_metric(own, key, number)
    for path in record.files:
        client.log_artifact(own, str(path))
    client.set_terminated(own)
    return f"run {own} of the experiment {project}, at {module.get_tracking_uri()}"
