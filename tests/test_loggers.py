"""What trackers of experiments are told: by clients that take the calls of the real ones.

`make soak-loggers` installs the real clients and reads back what they kept.
"""

from __future__ import annotations

import json
import sys
import types
from pathlib import Path
from typing import Any

import pytest

import quantrial
from command import command
from marks import Marks
from quantrial.errors import MissingExtraError, StudyError
from quantrial.loggers.base import logged
from reporting.trials import Trial, run_trial
from studies import write_study


@pytest.fixture(scope="module")
def trial(tmp_path_factory: pytest.TempPathFactory) -> Trial:
    return run_trial(tmp_path_factory.mktemp("logged"))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("logged")
    done = quantrial.run(write_study(folder), out=folder / "run").folder
    quantrial.report(done)
    return done


def test_numbers_are_the_summarys_and_no_text_is_told(trial: Trial) -> None:
    results = trial.results()
    found = logged(results.summary, results.decision, ())
    accuracy = trial.summary["tasks"]["sums"]["endpoints"]["accuracy"]
    assert found.metrics["sums/accuracy/f16/estimate"] == accuracy["arms"]["f16"]["estimate"]
    (one,) = [c for c in accuracy["contrasts"] if c["id"] == "sums.accuracy.q4_0.vs.f16"]
    path = "sums/accuracy/q4_0"
    assert found.metrics[f"{path}/difference"] == one["estimate"]
    assert [found.metrics[f"{path}/difference_{end}"] for end in ("low", "high")] == one["ci"]
    assert found.metrics[f"{path}/p_adjusted"] == one["p_adjusted"]
    assert found.metrics[f"{path}/n"] == accuracy["arms"]["q4_0"]["n"] == 24
    assert found.tags["sums/q4_0/verdict"] == one["verdict"]
    assert found.tags["recommended"] == trial.decision["default"]["arm"]
    assert found.params["sums/margin"] == 0.05
    assert "What is" not in repr(found)


def test_odd_names_become_names_that_each_tracker_takes(trial: Trial) -> None:
    summary = trial.copied()
    summary["arms"]["q8_0"]["quantization"] = "<b>\x1b[31m"
    results = trial.with_summary(summary).results()
    found = logged(results.summary, results.decision, ())
    keys = [*found.params, *found.metrics, *found.tags]
    assert all(part.isascii() and part for key in keys for part in key.split("/"))
    assert "\x1b" not in repr(found.params["q8_0/weights"])


class Calls(list[tuple[str, Any]]):
    """What a client was called with, in order."""

    def take(self, name: str, answer: Any = None) -> Any:
        def called(*values: Any, **named: Any) -> Any:
            self.append((name, (values, named)))
            return answer

        return called

    def of(self, name: str) -> list[Any]:
        return [said for called, said in self if called == name]


def client(calls: Calls, to: str) -> types.ModuleType:
    """Make a stand-in of a client, as far as results are told to it."""
    module: Any = types.ModuleType(to)
    if to == "mlflow":
        info = types.SimpleNamespace(info=types.SimpleNamespace(run_id="r1"))
        names = ("log_param", "log_metric", "log_artifact", "set_terminated")
        own = types.SimpleNamespace(
            get_experiment_by_name=calls.take("get", None),
            create_experiment=calls.take("experiment", "7"),
            create_run=calls.take("run", info),
            **{name: calls.take(name) for name in names},
        )
        module.MlflowClient = lambda: own
        module.get_tracking_uri = lambda: "sqlite:///x.db"
        return module  # type: ignore[no-any-return]
    artifact = types.SimpleNamespace(add_file=calls.take("add_file"))
    made = types.SimpleNamespace(
        id="r1",
        name="small",
        url=None,
        offline=True,
        dir="wandb/offline",
        summary=types.SimpleNamespace(update=calls.take("metrics")),
        log=calls.take("metrics"),
        log_artifact=calls.take("log_artifact"),
        finish=calls.take("finish"),
    )
    module.init, module.finish = calls.take("init", made), calls.take("finish")
    module.Settings = calls.take("settings")
    module.Artifact = lambda *_, **__: artifact
    return module  # type: ignore[no-any-return]


@pytest.mark.parametrize("to", ["mlflow", "wandb", "trackio"])
def test_a_tracker_is_told_numbers_and_the_decision(
    run: Path, to: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = Calls()
    monkeypatch.setitem(sys.modules, to, client(calls, to))
    where = quantrial.log_results(run, to, project="precision")
    assert "precision" in where
    path = "sums/accuracy/q4_0/difference"
    summary = json.loads((run / "summary.json").read_text())
    contrasts = summary["tasks"]["sums"]["endpoints"]["accuracy"]["contrasts"]
    (one,) = [c for c in contrasts if c["id"] == "sums.accuracy.q4_0.vs.f16"]
    if to == "mlflow":
        assert ("r1", path, one["estimate"]) in [said[0] for said in calls.of("log_metric")]
        assert len(calls.of("set_terminated")) == 1
        files = [said[0][1] for said in calls.of("log_artifact")]
    else:
        ((metrics,), _) = calls.of("metrics")[0]
        assert metrics[path] == one["estimate"]
        assert len(calls.of("finish")) == 1
        files = [said[0][0] for said in calls.of("add_file")]
    assert [Path(file).name for file in files] == ["decision.json"]
    assert "What is" not in repr(calls)
    calls.clear()
    quantrial.log_results(run, to, with_report=True)
    assert "report.html" in repr(calls)


def test_what_a_client_raises_is_one_line_without_a_key(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = f"sk-{Marks(3)()}{Marks(4)()}{Marks(5)()}"
    module: Any = types.ModuleType("wandb")

    def init(**_: Any) -> None:
        raise RuntimeError(f"401 for Authorization: Bearer {key}\n\x1b[31mlog in")

    module.init, module.Settings = init, lambda **_: None
    monkeypatch.setitem(sys.modules, "wandb", module)
    with pytest.raises(StudyError, match="wandb did not take the results") as caught:
        quantrial.log_results(run, "wandb")
    assert key not in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "\x1b" not in str(caught.value)


def test_a_client_that_is_not_installed_is_named_with_what_installs_it(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for to in ("mlflow", "wandb", "trackio"):
        monkeypatch.setitem(sys.modules, to, None)
        with pytest.raises(MissingExtraError, match=rf"pip install -e '.\[{to}\]'"):
            quantrial.log_results(run, to)
    done = command("log", str(run), "--to", "wand")
    assert done.returncode == 2
    assert "did you mean 'wandb'?" in done.stderr


LOGGER = """
from pathlib import Path

def log(record, project):
    Path("told.txt").write_text(f"{project} {record.tags['recommended']}")
    return "told.txt"
"""


def test_a_logger_from_outside_is_one_file(run: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    info = site / "outside_diary-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "outside_diary.py").write_text(LOGGER)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: outside-diary\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[quantrial.loggers]\ndiary = outside_diary:log\n")
    words = ("log", str(run), "--to", "diary", "--project", "p")
    done = command(*words, cwd=tmp_path, site=site)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "told.txt\n"
    decided = json.loads((run / "decision.json").read_text())["default"]["arm"]
    assert (tmp_path / "told.txt").read_text() == f"p {decided}"
