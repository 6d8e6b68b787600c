"""Summaries for tests: completed where a test writes down what matters to it alone."""

from __future__ import annotations

import collections.abc
import dataclasses
import functools
import json
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from quantrial import analysis
from quantrial.analysis.tradeoffs import tradeoffs
from quantrial.documents import (
    ChoiceFailures,
    EndpointSummary,
    Equivalence,
    SpanFailures,
    StratumSummary,
    Summary,
    TaskSummary,
    load_summary,
    to_dict,
)
from quantrial.records import ArmRecord

Made = TypeVar("Made", bound=msgspec.Struct)


def round_trip(document: Mapping[str, Any]) -> Summary:
    """Load a summary, and see that it is written back to the byte."""
    summary = load_summary(document)
    assert json.dumps(to_dict(summary)) == json.dumps(document)
    return summary


def arm_records(arms: Mapping[str, Any]) -> dict[str, ArmRecord]:
    """Read the records of arms that a test wrote as a manifest has them."""
    return {name: ArmRecord.from_json(record) for name, record in arms.items()}


def summarise(*args: Any, **options: Any) -> dict[str, Any]:
    """Derive a summary, and return its JSON: what is loaded from it is what was derived."""
    if "arms" in options:
        options["arms"] = arm_records(options["arms"])
    study, *rest = args
    question = analysis.question_of(study)
    if "methods" in options:
        question = dataclasses.replace(question, methods=options.pop("methods"))
    summary = analysis.summarise(question, *rest, **options)
    document = to_dict(summary)
    assert round_trip(document) == summary
    return document


def make(kind: type[Made], **given: Any) -> Made:
    """Make a part of a summary: what is not given is None, 0, False or empty."""
    made: Made = msgspec.structs.replace(_empty(kind), **given)
    return made


@functools.cache
def _empty(kind: type[Made]) -> Made:
    hints = typing.get_type_hints(kind)
    fields = msgspec.structs.fields(kind)
    nothing = {one.encode_name: _nothing(hints[one.name]) for one in fields if one.required}
    return msgspec.convert(nothing, kind)


def adjusted_p(entry: Mapping[str, Any]) -> float | None:
    """Return the p of a claim about an entry of the JSON: `documents.contrasts`, written anew."""
    published = entry.get("family", "alarms") != "alarms"
    key = "p_alarm" if "p_alarm" in entry and (published or "p_adjusted" not in entry) else None
    p: float | None = entry.get(key or "p_adjusted")
    return p


def is_finding(entry: Mapping[str, Any], alpha: float) -> bool:
    """Whether an entry of the JSON is shown."""
    p = adjusted_p(entry)
    return p is not None and p < alpha


def tradeoffs_of(document: Mapping[str, Any]) -> dict[str, Any]:
    """Set quality against costs again, after a change of either in a summary's JSON."""
    summary = load_summary({**document, "tradeoffs": {}})
    found = tradeoffs(summary.arms, summary.tasks, summary.speed, summary.speed_phase)
    written = to_dict(msgspec.structs.replace(summary, tradeoffs=found))["tradeoffs"]
    assert isinstance(written, dict)
    return written


def completed(document: Mapping[str, Any]) -> Summary:
    """Load a summary that a test wrote in part: keys it leaves out are None, 0, False or empty."""
    return load_summary(completed_dict(document))


def completed_dict(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return such a summary as JSON."""
    found: dict[str, Any] = _object(Summary, document)
    return found


def _object(part: type[msgspec.Struct], given: Mapping[str, Any]) -> Any:
    hints, found = typing.get_type_hints(part), dict(given)
    if part in (EndpointSummary, StratumSummary) and "equivalence" in given:
        found["equivalence"] = [_object(Equivalence, one) for one in given["equivalence"]]
    for field in msgspec.structs.fields(part):
        name, hint = field.encode_name, hints[field.name]
        if part is TaskSummary and name == "failure_modes":
            kind = SpanFailures if given.get("kind") == "spans" else ChoiceFailures
            hint = Mapping[str, kind]  # type: ignore[valid-type]
        if name in given:
            found[name] = _value(hint, given[name])
        elif field.required and name not in ("verdicts", "equivalence"):
            found[name] = _nothing(hint)
    if part in (EndpointSummary, StratumSummary):
        found.setdefault("equivalence", [])
        for at, one in enumerate(found["contrasts"]):
            one["id"] = one["id"] or f"c{at}"
        for one, test in zip(found["contrasts"], found["equivalence"], strict=False):
            test["id"] = f"{one['id']}.equivalence"
    return found


def _value(hint: Any, given: Any) -> Any:
    if given is None:
        return None
    origin, inside = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        structs = [one for one in inside if _is_struct(one) or typing.get_origin(one)]
        return _value(structs[0], given) if structs else given
    if origin is collections.abc.Mapping:
        return {key: _value(inside[1], one) for key, one in given.items()}
    if origin is tuple and inside[-1] is ...:
        return [_value(inside[0], one) for one in given]
    return _object(hint, given) if _is_struct(hint) else given


def _nothing(hint: Any) -> Any:
    origin, inside = typing.get_origin(hint), typing.get_args(hint)
    if origin in (types.UnionType, typing.Union):
        return None if types.NoneType in inside else _nothing(inside[0])
    if origin is collections.abc.Mapping:
        return {}
    if origin is tuple:
        return [] if inside[-1] is ... else [_nothing(one) for one in inside]
    if origin is typing.Literal:
        return inside[0]
    return _object(hint, {}) if _is_struct(hint) else hint()


def _is_struct(hint: Any) -> bool:
    return isinstance(hint, type) and issubclass(hint, msgspec.Struct)
