"""Records on disk: strict about their schema, and kind to those of earlier versions."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

import quantrial
from quantrial.engines.artifact import Artifact
from quantrial.errors import RecordError
from quantrial.records import ArmRecord, Manifest, Response, manifest_from_json, response_from_json
from quantrial.running.provenance import arm_record
from studies import QUESTIONS, read_lines, write_study

# as versions with `response/1` wrote it, whatever today's class looks like
OLD: dict[str, Any] = {
    "study": "s",
    "task": "t",
    "arm": "a",
    "item": "0123456789abcdef",
    "replicate": 0,
    "attempt": 1,
    "order": 3,
    "block": 0,
    "status": "ok",
    "error": None,
    "output": "B",
    "finish_reason": "stop",
    "prompt_tokens": 12,
    "completion_tokens": 1,
    "timing": {"load": None, "prompt": 0.1, "first_token": None, "decode": None, "wall": 0.2},
    "started_at": "2026-01-02T03:04:05.000Z",
    "prompt_sha256": "ab" * 32,
    "schema": "quantrial.response/1",
}
NEW = {"thought": None, "tool_calls": None, "scores": None, "scored_by": None, "host": None}


def read(record: dict[str, Any]) -> Response:
    return response_from_json(json.dumps(record).encode(), path="t.a.jsonl", line=4)


@pytest.mark.parametrize(
    "kept",
    [{}, {"final": True, "status": "engine_error"}, {"decoded_tokens": 3, "cached_tokens": 0}],
)
def test_a_response_of_the_first_schema_is_read_as_before(kept: dict[str, Any]) -> None:
    response = read(OLD | kept)
    for name, value in (OLD | kept).items():
        if name != "schema":
            assert getattr(response, name) == value
    assert all(getattr(response, name) is None for name in NEW)
    assert response.at_limit is False


def test_a_response_of_the_first_schema_is_written_in_todays() -> None:
    written = json.loads(read(OLD).to_json())
    assert written == OLD | NEW | {"at_limit": False, "schema": "quantrial.response/2"}
    assert read(written) == read(OLD)


def test_everything_that_comes_with_an_answer_is_kept() -> None:
    said = {
        "thought": "let me see",
        "tool_calls": [{"function": {"name": "look", "arguments": "{}"}}],
        "scores": {"judge": 0.5, "exact": 1, "bleu": None},
        "scored_by": "a judge",
        "host": "http://10.0.0.2:8000/v1",
        "at_limit": True,
        "schema": "quantrial.response/2",
    }
    response = read(OLD | said)
    assert {name: getattr(response, name) for name in said} == said
    assert json.loads(response.to_json()) == OLD | said


def test_a_record_of_the_second_schema_may_leave_out_what_it_does_not_know() -> None:
    assert read(OLD | {"schema": "quantrial.response/2"}) == read(OLD)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"thought": "t"}, "unknown field 'thought'"),  # not of the first schema
        ({"schema": "quantrial.response/3"}, "schema is 'quantrial.response/3'; .*response/2"),
        ({"schema": "quantrial.item/1"}, "schema is 'quantrial.item/1'"),
        ({"schema": ["quantrial.response/2"]}, "schema is \\['quantrial"),
        ({"schema": None}, "schema is None"),
        ({"schema": "quantrial.response/2", "thoughts": ""}, "unknown field 'thoughts'"),
        ({"schema": "quantrial.response/2", "at_limit": 1}, "'at_limit' is 1, expected bool"),
        ({"schema": "quantrial.response/2", "thought": 3}, "'thought' is 3, expected str"),
        ({"schema": "quantrial.response/2", "host": []}, "'host' is \\[\\]"),
        ({"schema": "quantrial.response/2", "tool_calls": {}}, "'tool_calls' is {}"),
        ({"schema": "quantrial.response/2", "scores": {"x": "1"}}, "score 'x' is '1'"),
    ],
)
def test_what_is_of_no_known_schema_is_refused_with_its_line(
    changed: dict[str, Any], said: str
) -> None:
    with pytest.raises(RecordError, match=f"t.a.jsonl, line 4: .*{said}"):
        read(OLD | changed)


def test_a_run_that_began_under_the_first_schema_goes_on_and_gives_the_same_numbers(
    tmp_path: Path,
) -> None:
    study = write_study(tmp_path)
    whole, older = tmp_path / "whole", tmp_path / "older"
    for run in (whole, older):
        quantrial.run(study, out=run)
    added = {*NEW, "at_limit"}
    for path in sorted((older / "responses").glob("*.jsonl")):
        records = [
            {name: value for name, value in line.items() if name not in added}
            | {"schema": "quantrial.response/1"}
            for line in read_lines(path)
        ]
        path.write_text("".join(json.dumps(one) + "\n" for one in records[:-3]))
    assert quantrial.run(study, out=older).asked == 3 * 6
    kinds = [line["schema"] for line in read_lines(older / "responses" / "sums.q4_0.jsonl")]
    assert kinds == ["quantrial.response/1"] * (QUESTIONS - 3) + ["quantrial.response/2"] * 3
    found = [quantrial.analyze(run)["tasks"] for run in (whole, older)]
    assert found[0] == found[1]
    quantrial.decide(older)
    quantrial.report(older)
    assert quantrial.verify(older).ok


def test_the_record_of_an_arm_is_written_as_it_was_read() -> None:
    path = Path(__file__).parents[1] / "examples" / "demo" / "manifest.json"
    manifest = manifest_from_json(path.read_bytes(), path=path)
    assert manifest.to_json() == path.read_bytes()
    arm = manifest.arms["q8_0"]
    assert arm.sha256 == arm["sha256"]
    assert "identity_probe" not in arm
    odd = ArmRecord.from_json({"bytes_on_disk": 5, "of_tomorrow": [1], "engine": "x"})
    changed = replace(odd, engine="y", template_changed=True)
    assert list(changed.items()) == [
        *(("bytes_on_disk", 5), ("of_tomorrow", [1]), ("engine", "y")),
        ("template_changed", True),
    ]


def test_the_record_of_an_arm_has_a_field_for_all_that_an_artifact_says() -> None:
    record = arm_record("llamacpp", Artifact("m"), {})
    assert not record.more
    assert {one.name for one in fields(Artifact)} < set(record)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("options", [1], r"Expected `object`, got `array` - at `arms\.a\.options`"),
        ("stored_as", {"Q4_K": "most"}, r"Expected `float`, got `str` - at `arms\.a\.stored_as"),
        ("resident", "no", r"Expected `bool`, got `str` - at `arms\.a\.resident`"),
        ("model", 5, r"Expected `str \| null`, got `int` - at `arms\.a\.model`"),
    ],
)
def test_an_arm_of_another_type_is_refused_where_the_manifest_is_read(
    name: str, value: Any, said: str
) -> None:
    manifest = Manifest(study={}, arms={}, tasks={}, software={}, host={})
    edited = json.loads(manifest.to_json()) | {"arms": {"a": {"engine": "x", name: value}}}
    with pytest.raises(RecordError, match=said):
        manifest_from_json(json.dumps(edited).encode(), path="manifest.json")
