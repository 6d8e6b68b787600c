"""The published schema against every decision that these tests can make."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import jsonschema
import orjson
import pytest
from hypothesis import given

import quantrial
from decision import test_rules
from decision.fabricated import GB, decide_from
from decision.test_constraints import SUMMARY, limits, summaries
from quantrial.decision import Constraints
from quantrial.documents.decision import load_decision, to_dict

ROOT = Path(__file__).parents[2]
PUBLISHED = json.loads((ROOT / "docs" / "decision.schema.json").read_text(encoding="utf-8"))


def closed(schema: Any) -> Any:
    """Return a schema that refuses keys it does not name, so that every key is documented."""
    if isinstance(schema, list):
        return [closed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: closed(value) for key, value in schema.items()}
    if schema.get("type") == "object" and "properties" in schema:
        found["additionalProperties"] = False
    return found


OPEN = jsonschema.Draft202012Validator(PUBLISHED)
CLOSED = jsonschema.Draft202012Validator(closed(PUBLISHED))


def problems(decision: Any, validator: Any = CLOSED) -> list[str]:
    plain = orjson.loads(orjson.dumps(decision))
    if validator is CLOSED and CLOSED.is_valid(plain):
        # byte by byte: the keys' order, whole numbers and others
        assert orjson.dumps(to_dict(load_decision(plain))) == orjson.dumps(plain)
    return [f"{error.json_path}: {error.message:.200}" for error in validator.iter_errors(plain)]


@given(summaries(), limits())
def test_any_decision_property(summary: dict[str, Any], constraints: Constraints) -> None:
    assert problems(decide_from(summary, constraints)) == []


def test_the_committed_example() -> None:
    assert problems(orjson.loads((ROOT / "examples/demo/decision.json").read_bytes())) == []


@pytest.mark.parametrize("methods", ["classic", "calibrated"])
def test_decisions_of_a_real_run(tmp_path: Path, methods: str) -> None:
    run = tmp_path / "demo"
    shutil.copytree(ROOT / "examples" / "demo", run)
    quantrial.analyze(run, methods=methods)
    prices = Constraints(
        tolerate_by={"quiz": 0.03}, cost_per_hour=1.0, error_cost=0.1, max_latency=0.4
    )
    for constraints in (None, prices, Constraints(max_memory=1)):
        assert problems(quantrial.decide(run, constraints)) == []


@pytest.mark.parametrize(
    "summary", [SUMMARY, test_rules.TYPICAL, test_rules.with_control("equivalent")]
)
def test_decisions_written_by_hand(summary: dict[str, Any]) -> None:
    for constraints in (None, Constraints(max_memory=GB), Constraints(error_cost=1.0)):
        assert problems(decide_from(summary, constraints)) == []


@pytest.mark.parametrize("validator", [OPEN, CLOSED])
def test_the_schema_finds_what_is_wrong(validator: Any) -> None:
    decision = decide_from(SUMMARY, Constraints(max_memory=GB))
    assert problems(decision, validator) == []
    for key in ("default", "findings", "picker", "risk"):
        assert problems({k: v for k, v in decision.items() if k != key}, validator)
    assert problems(decision | {"schema": "quantrial.decision/2"}, validator)
    assert problems(decision | {"ordered_by": "taste"}, validator)
    finding = next(iter(decision["findings"].values()))
    assert problems(decision | {"findings": {"x": finding | {"verdict": "fine"}}}, validator)


def test_consumers_may_meet_new_keys() -> None:
    decision = decide_from(SUMMARY) | {"mood": "calm"}
    assert problems(decision, OPEN) == []
    assert problems(decision, CLOSED)
