"""Results told to MLflow, Weights & Biases and trackio, behind `make soak-loggers`.

Each client is installed into an environment of its own and told a run offline; what it kept is read
back with the client's own reader.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

import quantrial
from servers.installed import UnavailableError, installed
from studies import write_study

pytestmark = pytest.mark.soak_loggers

SOURCE = Path(quantrial.__file__).parents[1]
PACKAGES = {
    "mlflow": ("mlflow-skinny", "sqlalchemy", "alembic"),
    "wandb": ("wandb",),
    "trackio": ("trackio",),
}
READ = {
    "mlflow": """
import mlflow
client = mlflow.MlflowClient()
(run,) = client.search_runs([client.get_experiment_by_name("soak").experiment_id])
print(run.data.metrics["sums/accuracy/q4_0/difference"], run.data.tags["recommended"])
print([one.path for one in client.list_artifacts(run.info.run_id)])
""",
    # the client has no reader: a file is a log of LevelDB (blocks of 32 KiB, records of a checksum,
    # a length and a type) behind a head of seven bytes
    "wandb": """
import glob, json
from wandb.proto import wandb_internal_pb2
(file,) = glob.glob("wandb/offline-run-*/run-*.wandb")
data, at, whole, records = open(file, "rb").read(), 7, b"", []
while at + 7 <= len(data):
    if 32768 - at % 32768 < 7:
        at += 32768 - at % 32768
        continue
    size, kind = int.from_bytes(data[at + 4 : at + 6], "little"), data[at + 6]
    whole += data[at + 7 : at + 7 + size]
    at += 7 + size
    if kind in (1, 4):
        records.append(wandb_internal_pb2.Record.FromString(whole))
        whole = b""
found, config, artifacts = {}, {}, []
for record in records:
    for one in record.summary.update:
        found["/".join(one.nested_key) or one.key] = json.loads(one.value_json)
    for one in record.run.config.update:
        config[one.key] = json.loads(one.value_json)
    artifacts += [entry.path for entry in record.artifact.manifest.contents]
    artifacts += [e.path for e in record.request.log_artifact.artifact.manifest.contents]
print(found["sums/accuracy/q4_0/difference"], config["recommended"])
print(sorted({*artifacts}))
""",
    "trackio": """
import glob
import trackio
(run,) = list(trackio.Api().runs("soak"))
(row,) = trackio.SQLiteStorage.get_logs("soak", run.name)
print(row["sums/accuracy/q4_0/difference"], run.config["recommended"])
kept = [open(one, "rb").read() for one in glob.glob("hf/trackio/artifacts/soak/blobs/*/*/*")]
print([name for name in ("decision.json",) if open(f"run/{name}", "rb").read() in kept])
""",
}


@pytest.mark.parametrize("to", PACKAGES)
def test_what_a_tracker_kept_is_what_it_was_told(to: str, tmp_path: Path) -> None:
    run = quantrial.run(write_study(tmp_path / "study"), out=tmp_path / "run").folder
    quantrial.decide(run)
    needs = ("numpy", "scipy", "pydantic", "msgspec", "orjson", "typer", "rich", "jinja2", "httpx")
    more = ("gguf", "pyyaml", "filelock", "narwhals", "rapidfuzz", "jsonschema", "referencing")
    own = ("vl-convert-python", "jsonschema-specifications", "backports.zstd", "xllamacpp")
    try:
        made = installed(tmp_path, to, (*PACKAGES[to], *needs, *more, *own))
    except UnavailableError as exc:
        pytest.skip(f"{to} {exc}")
    versions = made.versions(PACKAGES[to][0])
    home = {"HOME": str(tmp_path), "HF_HOME": str(tmp_path / "hf"), "WANDB_MODE": "offline"}
    env = {**os.environ, **home, "PYTHONPATH": str(SOURCE), "HF_HUB_OFFLINE": "1"}
    env["MLFLOW_TRACKING_URI"] = f"sqlite:///{tmp_path}/m.db"

    def python(*words: str) -> str:
        done = subprocess.run(
            [str(made.bin / "python"), *words],
            cwd=tmp_path,
            env=env,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout

    words = ("log", str(run), "--to", to, "--project", "soak")
    python("-m", "quantrial", *words)
    *_, numbers, files = python("-c", READ[to]).splitlines()
    contrasts = quantrial.analyze(run)["tasks"]["sums"]["endpoints"]["accuracy"]["contrasts"]
    (one,) = [c for c in contrasts if c["id"] == "sums.accuracy.q4_0.vs.f16"]
    value, arm = numbers.split()
    assert float(value) == pytest.approx(one["estimate"], abs=1e-12)
    assert arm == quantrial.decide(run)["default"]["arm"]
    assert files == "['decision.json']", versions
