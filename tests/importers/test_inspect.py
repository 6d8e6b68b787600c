"""Logs of Inspect: real ones against counts by another program, and hostile archives."""

from __future__ import annotations

import json
import tracemalloc
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import quantrial
from quantrial.errors import DataError
from quantrial.importers import LogOptions
from quantrial.runfolder import RunFolder

FORMATS = Path(__file__).parents[1] / "data" / "formats"
LOGS = FORMATS / "inspect"
EXPECTED: Mapping[str, Any] = json.loads((FORMATS / "expected.json").read_text())["inspect"]
SCORERS = {"toy_match": "match", "toy_includes": "includes", "toy_choice": "choice"}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    arms = {"f16": LOGS / "f16", "q4_0": LOGS / "q4_0"}
    folder = tmp_path_factory.mktemp("inspect") / "run"
    return quantrial.read_log("inspect", arms, folder).folder


@pytest.mark.parametrize("task", SCORERS)
def test_real_logs_have_the_counts_of_another_program(run: Path, task: str) -> None:
    wanted = EXPECTED[task]
    for arm, right in wanted["right_rows"].items():
        found = RunFolder(run).read_responses(task, arm, known=None)
        values = [(one.scores or {})[SCORERS[task]] or 0.0 for one in found]
        assert len(values) == wanted["n_samples"]
        # epochs are samples: the score of an item is their mean
        assert sum(values) * wanted["epochs"] == right


def test_a_json_log_is_read_and_an_item_of_one_arm_is_refused(tmp_path: Path) -> None:
    arms = {"f16": LOGS / "f16", "q4_0": LOGS / "q4_0-json"}
    with pytest.raises(DataError, match="9 of 10 items of toy_choice are missing in q4_0"):
        quantrial.read_log(
            "inspect", arms, tmp_path / "run", options=LogOptions(tasks=("toy_choice",))
        )


def test_equal_outputs_are_said_first(tmp_path: Path) -> None:
    one, other = sorted((FORMATS / "identical" / "inspect").iterdir())
    report = quantrial.read_log("inspect", {"a": one, "b": other}, tmp_path / "run")
    assert any("the same outputs" in note for note in report.notes[:1])


def sample(name: object, **more: Any) -> dict[str, Any]:
    return {"id": name, "epoch": 1, "input": "?", "target": "1", **more}


def archive(path: Path, samples: list[dict[str, Any]], **more: Any) -> Path:
    header = {"eval": {"task": "toy", "model": "m"}, **more}
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("header.json", json.dumps(header))
        file.writestr("../evil.json", "{}")
        for number, one in enumerate(samples):
            name = one["id"] if isinstance(one["id"], str) else number
            file.writestr(f"samples/{name}_epoch_1.json", json.dumps(one))
    return path


def test_errors_are_faults_and_nan_is_no_score(tmp_path: Path) -> None:
    right = {"scores": {"match": {"value": "C"}}}
    good = archive(tmp_path / "a.eval", [sample(i, **right) for i in range(4)])
    bad = archive(
        tmp_path / "b.eval",
        [
            sample(0, **right),
            sample(1, **right, error={"message": "no \ud800 server"}),
            sample(2, scores={"match": {"value": float("nan")}}),
            sample(3, scores={"match": {"value": "I"}}),
        ],
    )
    report = quantrial.read_log("inspect", {"a": good, "b": bad}, tmp_path / "run")
    found = list(RunFolder(report.folder).read_responses("toy", "b", known=None))
    assert [(one.item, one.status, one.scores) for one in found] == [
        ("0", "ok", {"match": 1.0}),
        ("1", "engine_error", None),
        ("3", "ok", {"match": 0.0}),
    ]
    assert any("b has 1 answer without a score" in note for note in report.notes)
    assert not (tmp_path.parent / "evil.json").exists()


def test_edited_and_invalid_scores_and_runs_that_failed_are_said(tmp_path: Path) -> None:
    right = {"scores": {"match": {"value": "C"}}}
    edited = {"scores": {"match": {"value": "C", "history": [{"value": "I"}]}}}
    good = archive(tmp_path / "a.eval", [sample(i, **right) for i in ("x/0", "x/1")])
    bad = archive(
        tmp_path / "b.eval",
        [sample("x/0", **edited), sample("x/1", **right, invalidation={"author": "me"})],
        status="error",
    )
    report = quantrial.read_log("inspect", {"a": good, "b": bad}, tmp_path / "run")
    notes = "\n".join(report.notes)
    assert "1 of 2 samples in b.eval have a score that was edited after the run" in notes
    assert "1 of 2 samples in b.eval were declared invalid; they are unscored" in notes
    assert "toy: the run in b.eval ended as 'error'" in notes
    assert "toy: b has 1 answer without a score" in notes
    # ids with a slash stand in folders of the archive
    assert report.responses == 3


def test_attachments_limits_and_values_of_every_kind_are_read(tmp_path: Path) -> None:
    long = "a long question"
    values = {
        "letter": "P",
        "flag": True,
        "parts": {"a": 0.25, "b": "C"},
        "list": [1, 0],
        "no": None,
    }
    scored = {"scores": {name: {"value": value} for name, value in values.items()}}
    said = {"completion": "attachment://h2", "choices": [{"stop_reason": "stop"}]}
    attached = {"h1": long, "h2": "an answer"}
    ask = [{"role": "user", "content": "attachment://h1", "id": "of-one-run"}]
    a = archive(
        tmp_path / "a.eval",
        [sample(1, **scored) | {"input": "attachment://h1", "messages": ask, "output": said,
                                "attachments": attached, "limit": {"type": "token"}}],
    )  # fmt: skip
    # the other run kept its texts in place
    told = [{"role": "user", "content": long, "id": "of-another"}]
    b = archive(
        tmp_path / "b.eval",
        [sample(1, **scored) | {"input": long, "messages": told, "output": {"completion": "x"}}],
    )
    report = quantrial.read_log("inspect", {"a": a, "b": b}, tmp_path / "run")
    (one,) = RunFolder(report.folder).read_responses("toy", "a", known=None)
    assert (one.output, one.finish_reason) == ("an answer", "length")
    assert one.scores == {"letter": 0.5, "flag": 1.0, "parts_a": 0.25, "parts_b": 1.0}
    notes = "\n".join(report.notes)
    assert "list is left out; it is no number an item" in notes
    assert "no is left out; it is no number an item" in notes


def test_logs_without_samples_are_named(tmp_path: Path) -> None:
    good = archive(tmp_path / "a.eval", [sample(1)])
    none = archive(tmp_path / "b.eval", [])
    with pytest.raises(DataError, match=r"b\.eval: holds no sample of toy.*--no-log-samples"):
        quantrial.read_log("inspect", {"a": good, "b": none}, tmp_path / "run")


def test_a_sample_of_100_megabytes_is_streamed(tmp_path: Path) -> None:
    big = sample("1", scores={"match": {"value": "C"}}, output={"completion": "yes"})
    events = '"events": [{"data": "' + "A" * 100_000_000 + '"}], "store": {"a": [1, {"b": 2}]}, '
    with zipfile.ZipFile(tmp_path / "a.eval", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file:
        file.writestr("header.json", json.dumps({"eval": {"task": "toy", "model": "m"}}))
        file.writestr("samples/1_epoch_1.json", "{" + events + json.dumps(big)[1:])
    other = archive(tmp_path / "b.eval", [big])
    tracemalloc.start()
    try:
        report = quantrial.read_log(
            "inspect", {"a": tmp_path / "a.eval", "b": other}, tmp_path / "r"
        )
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 30_000_000
    found = list(RunFolder(report.folder).read_responses("toy", "a", known=None))
    assert [(one.output, one.scores) for one in found] == [("yes", {"match": 1.0})]


def test_torn_and_hostile_members_are_refused(tmp_path: Path) -> None:
    good = archive(tmp_path / "a.eval", [sample(1, note="x" * 5000)])
    data = bytearray(good.read_bytes())
    at = data.index(b"xxx")
    data[at : at + 4] = b"yyyy"  # the checksum no longer fits
    (tmp_path / "torn.eval").write_bytes(data)
    # so that of zstd does not, either
    real = next((LOGS / "f16").glob("*.eval")).read_bytes()
    at = real.index(b"\x28\xb5\x2f\xfd", real.index(b"samples/"))
    (tmp_path / "zstd.eval").write_bytes(real[: at + 6] + bytes(20) + real[at + 26 :])
    with zipfile.ZipFile(tmp_path / "deep.eval", "w") as file:
        file.writestr("header.json", json.dumps({"eval": {"task": "toy", "model": "m"}}))
        deep = "[" * 1010 + "]" * 1010
        file.writestr("samples/1_epoch_1.json", f'{{"id": 1, "epoch": 1, "target": {deep}}}')
    whole = {"eval": {"task": "toy"}, "samples": [3]}
    (tmp_path / "three.json").write_text(json.dumps(whole))
    (tmp_path / "half.json").write_text(json.dumps(whole)[:-3])
    for name, said in (
        ("torn.eval", "no whole archive"),
        ("zstd.eval", "no whole archive"),
        ("deep.eval", "nested too deeply"),
        ("three.json", "expected a sample"),
        ("half.json", r"is no JSON|expected a sample"),
    ):
        with pytest.raises(DataError, match=said):
            quantrial.read_log("inspect", {"a": good, "b": tmp_path / name}, tmp_path / "run")


def test_halves_of_pairs_are_written_as_question_marks(tmp_path: Path) -> None:
    said = {"completion": "\ud800", "choices": [{"stop_reason": "\ud800"}]}
    right = {"scores": {"\ud800": {"value": "C"}}, "target": "\ud800", "output": said}
    about = {"task": "toy\ud800", "model": "\ud800", "packages": {"inspect_ai": "\ud800"}}
    log = archive(tmp_path / "a.eval", [sample(1, **right)], eval=about, status="error")
    report = quantrial.read_log("inspect", {"a": log, "b": log}, tmp_path / "run")
    (one,) = RunFolder(report.folder).read_responses("toy", "a", known=None)
    assert (one.output, one.finish_reason, one.scored_by) == ("?", "?", "Inspect ?")
    "".join(report.notes).encode()


def test_what_is_no_log_is_refused(tmp_path: Path) -> None:
    good = archive(tmp_path / "a.eval", [sample(1)])
    clash = archive(tmp_path / "b.eval", [sample(1), sample("1")])
    torn = tmp_path / "c.eval"
    torn.write_bytes(good.read_bytes()[:100])
    odd = archive(tmp_path / "e.eval", [sample(1) | {"epoch": [1]}])
    empty = tmp_path / "d.eval"
    with zipfile.ZipFile(empty, "w") as file:
        file.writestr("_journal/start.json", "{}")
    for bad, said in (
        (odd, "'epoch' is"),
        (clash, "as a text and as a number"),
        (torn, "no whole"),
        (empty, "recover"),
    ):
        with pytest.raises(DataError, match=said):
            quantrial.read_log("inspect", {"a": good, "b": bad}, tmp_path / "run")
