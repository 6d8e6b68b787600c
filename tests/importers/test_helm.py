"""Runs of HELM: folders as its runner writes them, and what each trap ends in."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import quantrial
from quantrial.errors import DataError
from quantrial.importers import LogOptions
from quantrial.importers.auto import guess
from quantrial.runfolder import RunFolder


def stat(name: str, value: float) -> dict[str, Any]:
    own = {"count": 1, "sum": value, "min": value, "max": value, "mean": value, "variance": 0.0}
    return {"name": {"name": name, "split": "test"}, **own}


def entries(name: str, right: float, **more: Any) -> list[dict[str, Any]]:
    """Make the entries of one instance: each metric of a run spec has its own."""
    base = {"instance_id": name, "train_trial_index": 0, **more}
    scores = [stat("num_references", 4), stat("exact_match", right), stat("f1_score", right)]
    return [
        {**base, "stats": scores},
        {**base, "stats": [stat("num_prompt_tokens", 31), stat("inference_runtime", 0.25)]},
    ]


def state(name: str, letter: str, **more: Any) -> dict[str, Any]:
    """Make a request of `multiple_choice_joint`, whose second choice is right."""
    references = [
        {"output": {"text": text}, "tags": ["correct"] if text == "blue" else []}
        for text in ("red", "blue")
    ]
    question = {"text": f"Colour of {name}?"}
    return {
        "instance": {"id": name, "input": question, "references": references, "split": "test"},
        "train_trial_index": 0,
        "output_mapping": {"A": "red", "B": "blue"},
        "request": {"model": "org/m", "prompt": f"Colour of {name}?\nA. red\nB. blue\nAnswer:"},
        "result": {
            "success": True,
            "cached": False,
            "completions": [{"text": f" {letter}", "logprob": -0.1, "tokens": []}],
            "request_time": 0.25,
        },
    } | more


def run(
    suite: Path,
    letters: Sequence[str],
    *,
    model: str = "org_m",
    task: str = "colour:subject=sky,",
    stats: Sequence[dict[str, Any]] | None = None,
    states: Sequence[dict[str, Any]] | None = None,
) -> Path:
    folder = suite / f"{task}model={model}"
    folder.mkdir(parents=True)
    made = [entry for n, letter in enumerate(letters) for entry in entries(f"id{n}", letter == "B")]
    asked = [state(f"id{n}", letter) for n, letter in enumerate(letters)]
    spec = {"name": folder.name, "adapter_spec": {"model": model.replace("_", "/")}}
    for name, value in (
        ("per_instance_stats", made if stats is None else stats),
        ("scenario_state", {"request_states": asked if states is None else states}),
        ("run_spec", spec),
    ):
        (folder / f"{name}.json").write_text(json.dumps(value, indent=1))
    return suite


def scores(folder: Path, arm: str, task: str = "colour-subject-sky") -> list[dict[str, Any] | None]:
    found = RunFolder(folder).read_responses(task, arm, known=None)
    return [None if one.scores is None else dict(one.scores) for one in found]


def test_exact_matches_of_choices_are_derived_again(tmp_path: Path) -> None:
    arms = {"f16": run(tmp_path / "a", "BBBB"), "q4": run(tmp_path / "b", "BABB")}
    report = quantrial.read_log("helm", arms, tmp_path / "run")
    # what HELM counts and times is no score
    wanted = [{"exact_match": right, "f1_score": right} for right in (1.0, 0.0, 1.0, 1.0)]
    assert scores(report.folder, "q4") == wanted
    notes = "\n".join(report.notes)
    assert "exact_match was scored by HELM of unknown version, 8 of 8 derived again" in notes
    items = RunFolder(report.folder).read_items()["colour-subject-sky"]
    assert [(one.id, one.gold) for one in items] == [(f"id{n}", "blue") for n in range(4)]


def test_models_of_one_suite_are_arms_and_subsets_one_task(tmp_path: Path) -> None:
    for arm in ("f16", "q4"):
        for subject in ("sky", "sea"):
            run(tmp_path / "v1", "BA", model=f"org_{arm}", task=f"colour:subject={subject},")
    found = guess([tmp_path / "v1"])
    assert (found.form, set(found.said[1:])) == ("helm", {"The arms are org_f16, org_q4."})
    options = LogOptions(reference="org_f16")
    report = quantrial.read_log("helm", tmp_path / "v1", tmp_path / "run", options=options)
    assert (report.tasks, report.responses) == (("colour",), 8)


def test_trials_are_samples_and_perturbed_copies_are_left(tmp_path: Path) -> None:
    stats = [*entries("id0", 1.0), *entries("id0", 0.0, train_trial_index=1)]
    stats += entries("id0", 0.0, perturbation={"name": "typos", "robustness": True})
    states = [state("id0", "B"), state("id0", "A", train_trial_index=1)]
    arms = {
        "f16": run(tmp_path / "a", "", stats=stats, states=states),
        "q4": run(tmp_path / "b", "", stats=stats, states=states),
    }
    report = quantrial.read_log("helm", arms, tmp_path / "run")
    assert [one["exact_match"] for one in scores(report.folder, "q4") if one] == [0.5]
    assert any("2 entries of perturbed instances are left out" in note for note in report.notes)


def test_failed_requests_are_faults_and_the_cache_is_counted(tmp_path: Path) -> None:
    bad = [state(f"id{n}", "B") for n in range(3)]
    bad[1]["result"] = {"success": False, "error": "503", "completions": [], "cached": False}
    bad[2]["result"]["cached"] = True
    stats = [entry for n in range(3) for entry in entries(f"id{n}", float(n != 1))]
    arms = {
        "f16": run(tmp_path / "a", "BBB"),
        "q4": run(tmp_path / "b", "", stats=stats, states=bad),
    }
    report = quantrial.read_log("helm", arms, tmp_path / "run")
    found = RunFolder(report.folder).read_responses("colour-subject-sky", "q4", known=None)
    assert [one.status for one in found] == ["ok", "engine_error", "ok"]
    assert any("1 of 3 answers of" in note and "cache" in note for note in report.notes)


def test_without_states_scores_are_read_and_what_was_not_checked_is_said(tmp_path: Path) -> None:
    arms = {"f16": run(tmp_path / "a", "BBB"), "q4": run(tmp_path / "b", "BAB", states=[])}
    with pytest.raises(DataError, match="is another one than in"):
        quantrial.read_log("helm", arms, tmp_path / "x")
    for suite in arms.values():
        next(suite.rglob("scenario_state.json")).unlink()
    report = quantrial.read_log("helm", arms, tmp_path / "run")
    assert sum("could not be checked" in note for note in report.notes) == 2
    items = RunFolder(report.folder).read_items()["colour-subject-sky"]
    assert len({one.content_sha256 for one in items}) == 3  # equal items would be one cluster
    assert [one["exact_match"] for one in scores(report.folder, "q4") if one] == [1, 0, 1]


def test_two_suites_are_two_runs(tmp_path: Path) -> None:
    good = run(tmp_path / "a" / "v1", "BB")
    run(tmp_path / "b" / "v1", "AA")
    run(tmp_path / "b" / "v2", "AB")
    arms = {"f16": good, "q4": tmp_path / "b"}
    with pytest.raises(DataError, match=r"ran colour:subject=sky 2 times \(v1, v2\)"):
        quantrial.read_log("helm", arms, tmp_path / "run")
    report = quantrial.read_log("helm", arms, tmp_path / "run", options=LogOptions(latest=True))
    assert [one["exact_match"] for one in scores(report.folder, "q4") if one] == [0, 1]


@pytest.mark.parametrize(
    ("stats", "message"),
    [
        ([], "holds no instance"),
        ([3], "expected an instance"),
        ([{"instance_id": 3, "stats": []}], "the instance's id is 3"),
        ([{"instance_id": "\x1b[2J", "stats": []}], "the instance's id is"),
        (
            [*entries("id0", 1.0), *entries("id0", 0.0)],
            "exact_match of instance 'id0' stands twice",
        ),
        (entries("id0", float("nan")), "no metric that can be read|no task has a metric"),
    ],
)
def test_what_is_wrong_is_refused(tmp_path: Path, stats: Any, message: str) -> None:
    bad = run(tmp_path / "b", "B", stats=stats)
    with pytest.raises(DataError, match=message):
        quantrial.read_log("helm", {"f16": bad, "q4": bad}, tmp_path / "run")


def test_torn_files_and_other_folders_are_refused(tmp_path: Path) -> None:
    good = run(tmp_path / "a", "B")
    torn = run(tmp_path / "b", "B")
    file = next(torn.rglob("per_instance_stats.json"))
    file.write_text(file.read_text()[:-20])
    (tmp_path / "empty").mkdir()
    for path, message in ((torn, "is no JSON"), (tmp_path / "empty", "no run of HELM")):
        with pytest.raises(DataError, match=message):
            quantrial.read_log("helm", {"f16": good, "q4": path}, tmp_path / "run")
