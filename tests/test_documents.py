"""The typed documents: exact both ways, and strict."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import numpy as np
import pytest

from decision.test_schema import closed
from quantrial.documents import (
    ChoiceFailures,
    Estimate,
    OtherFailures,
    SpanFailures,
    contrasts,
    load_summary,
    to_dict,
)
from quantrial.errors import RecordError
from summaries import adjusted_p, completed, make, round_trip

ROOT = Path(__file__).parents[1]
DEMO = ROOT / "examples" / "demo" / "summary.json"


@pytest.fixture(scope="module")
def demo() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(DEMO.read_text(encoding="utf-8"))
    return found


def test_the_example_is_written_back_to_the_byte(demo: dict[str, Any]) -> None:
    summary = round_trip(demo)
    assert json.dumps(to_dict(summary), indent=2) == json.dumps(demo, indent=2)


def test_a_contrast_holds_its_equivalence(demo: dict[str, Any]) -> None:
    for name, task in load_summary(demo).tasks.items():
        for key, endpoint in task.endpoints.items():
            written = demo["tasks"][name]["endpoints"][key]["equivalence"]
            held = [one.equivalence for one in endpoint.contrasts if one.equivalence]
            assert [to_dict(one) for one in held] == written
            for contrast in endpoint.contrasts:
                if contrast.equivalence:
                    assert contrast.equivalence.id == f"{contrast.id}.equivalence"


def test_failure_modes_have_the_type_of_the_kind(demo: dict[str, Any]) -> None:
    kinds = {"choice": ChoiceFailures, "spans": SpanFailures}
    tasks = load_summary(demo).tasks.values()
    assert {task.kind for task in tasks} == set(kinds)
    for task in tasks:
        assert {type(one) for one in task.failure_modes.values()} == {kinds[task.kind]}


def test_loading_leaves_the_document_as_it_is(demo: dict[str, Any]) -> None:
    before = copy.deepcopy(demo)
    load_summary(demo)
    assert demo == before


def test_the_p_of_a_claim_is_the_same_by_type_and_by_key(demo: dict[str, Any]) -> None:
    for classic in (False, True):
        for task in load_summary(demo).tasks.values():
            entries = [*task.contrasts(), *task.letter_shifts, *task.heterogeneity]
            if classic:  # whose contrasts keep a family of their own
                entries = [msgspec.structs.replace(one, family="own") for one in task.contrasts()]
            for entry in entries:
                written = to_dict(entry)
                if written.get("p_alarm", 0) is None:
                    del written["p_alarm"]
                assert contrasts.adjusted_p(entry) == adjusted_p(written)


def test_the_published_schema_names_every_key_of_the_example(demo: dict[str, Any]) -> None:
    published = json.loads((ROOT / "docs" / "summary.schema.json").read_text(encoding="utf-8"))
    for schema in (published, closed(published)):
        jsonschema.Draft202012Validator.check_schema(schema)
        found = jsonschema.Draft202012Validator(schema).iter_errors(demo)
        assert [f"{error.json_path}: {error.message:.200}" for error in found] == []
    later = copy.deepcopy(demo)
    _first(later)["more"] = 1
    assert jsonschema.Draft202012Validator(published).is_valid(later)
    assert not jsonschema.Draft202012Validator(closed(published)).is_valid(later)
    del _first(later)["p_adjusted"]
    assert not jsonschema.Draft202012Validator(published).is_valid(later)


CHANGES: Mapping[str, Callable[[dict[str, Any]], Any]] = {
    "unknown field `p_adjust`": lambda d: _first(d).update(p_adjust=1.0),
    "'p_adjusted' is missing": lambda d: _first(d).pop("p_adjusted"),
    "Expected `int | float | null`, got `str`": lambda d: _first(d).update(estimate="much"),
    "is the equivalence of no contrast": lambda d: _first(d).update(id="another"),
    "'tasks' is missing": lambda d: d.pop("tasks"),
    "'flips' is missing": lambda d: d["tasks"]["quiz"].pop("flips"),
    "unknown field `more`": lambda d: d.update(more=1),
    "tasks.quiz.failure_modes.f16": lambda d: d["tasks"]["quiz"]["failure_modes"]["f16"].pop("n"),
    "analyze` writes it again": lambda d: d.update(tasks=[1]),
}


def _first(document: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = document["tasks"]["quiz"]["endpoints"]["accuracy"]["contrasts"][0]
    return found


@pytest.mark.parametrize("message", CHANGES)
def test_what_is_no_summary_is_refused_by_the_key(demo: dict[str, Any], message: str) -> None:
    document = copy.deepcopy(demo)
    CHANGES[message](document)
    with pytest.raises(RecordError, match=message.replace("`", ".")) as caught:
        load_summary(document, path="run/summary.json")
    assert caught.value.path == "run/summary.json"
    assert "quantrial analyze" in str(caught.value)


def test_what_statistics_hand_back_is_written_as_json() -> None:
    nan, low, count = math.nan, np.float32(0.25), np.int64(3)
    ends: Any = (low, nan)
    made = Estimate(estimate=np.float64(0.5), ci=ends, confidence=nan, method="x", n=int(count))
    written = to_dict(made)
    assert json.dumps(written) == json.dumps(
        {"estimate": 0.5, "ci": [0.25, None], "confidence": None, "method": "x", "n": 3}
    )
    assert {type(one) for one in (written["estimate"], written["ci"][0])} == {float}


def test_no_document_holds_nan_or_numpy() -> None:
    values = {
        "nan": math.nan,
        "inf": [math.inf, -math.inf],
        "numpy": (np.float64(0.5), np.int64(3), np.bool_(True), np.float64("nan")),
        "kept": {"text": "nan", "none": None, "flag": False, "count": 2},
    }
    found = to_dict(make(OtherFailures, more=values))
    assert {key: found[key] for key in values} == {
        "nan": None,
        "inf": [None, None],
        "numpy": [0.5, 3, True, None],
        "kept": {"text": "nan", "none": None, "flag": False, "count": 2},
    }
    assert [type(one) for one in found["numpy"]] == [float, int, bool, type(None)]


def test_a_kind_from_outside_keeps_its_own_keys(demo: dict[str, Any]) -> None:
    document = copy.deepcopy(demo)
    task = document["tasks"]["quiz"]
    task["kind"] = "order"
    for arm, modes in task["failure_modes"].items():
        own = {"n": modes["n"], "unparsed": 0, "swapped": 3}
        task["failure_modes"][arm] = own | {"truncated": 0, "texts": modes["texts"]}
    modes = round_trip(document).tasks["quiz"].failure_modes["f16"]
    assert isinstance(modes, OtherFailures)
    assert modes.more == {"unparsed": 0, "swapped": 3}


def test_a_summary_written_in_part_is_completed() -> None:
    part = {"kind": "spans", "primary": "micro_f1", "failure_modes": {"a": {"tp": 3}}}
    task = completed({"reference": "a", "tasks": {"names": part}}).tasks["names"]
    modes = task.failure_modes["a"]
    assert isinstance(modes, SpanFailures)
    assert (modes.tp, modes.fp, task.repeats) == (3, 0, None)


def test_parts_cannot_be_changed(demo: dict[str, Any]) -> None:
    task = load_summary(demo).tasks["quiz"]
    with pytest.raises(AttributeError, match="immutable"):
        task.kind = "spans"  # type: ignore[misc]
