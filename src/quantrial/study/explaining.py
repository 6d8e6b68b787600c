"""What is wrong with a study, in words: keys as the file has them, and the nearest valid ones."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from pydantic import BaseModel

from quantrial.errors import StudyError
from quantrial.inert import clean
from quantrial.registry import SCORERS, SOURCES, TASKS, Registry, hint_of, nearest
from quantrial.study.parts import Requirement

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

_MOST_TOLD = 20
_LONGEST = 300  # characters of a problem, and of a key
# pydantic's words for what a YAML file calls otherwise
_SHOULD_BE = {
    "dict_type": "should be a mapping of keys",
    "model_type": "should be a mapping of keys",
    "model_attributes_type": "should be a mapping of keys",
    "string_type": "should be a text; put it in quotes",
    "tuple_type": "should be a list",
    "too_short": "should have at least one entry",
    "string_pattern_mismatch": "should be of letters, digits, - and _, a letter or digit first",
}


def refusal(
    errors: Sequence[ErrorDetails], study: type[BaseModel], path: Path | str | None = None
) -> StudyError:
    """Return the error that says all that is wrong, the first problem by its key.

    Args:
        errors: as pydantic reports them.
        study: the model of a study.
        path: the study file, for the message.
    """
    (key, message), *others = explain_all(errors, functools.partial(_valid_keys, study))
    also = "".join(f"\n  {other}: {said}" for other, said in others)
    return StudyError(message + also, path=path, key=key or None)


def explain_all(
    errors: Sequence[ErrorDetails], valid_keys: Callable[[list[str]], list[str]]
) -> list[tuple[str, str]]:
    """Turn all validation errors into keys and what is wrong with them.

    A misspelt key is two errors where it is needed: "unknown", which comes first, explains that the
    key it was meant to be is "missing".
    """
    unknown = [error for error in errors if error["type"] == "extra_forbidden"]
    meant = {
        (*location[:-1], nearest(location[-1], valid_keys(location)))
        for location in map(_location, unknown[:_MOST_TOLD])
    }
    others = [
        error
        for error in errors
        if error["type"] != "extra_forbidden"
        and not (error["type"] == "missing" and tuple(_location(error)) in meant)
        and not (error["type"] == "too_short" and _holds_another(error, errors))
    ]
    problems = [*unknown, *others]
    told = [_short(*explain(error, valid_keys)) for error in problems[:_MOST_TOLD]]
    if more := len(problems) - len(told):
        told.append(("and", f"{more:,} more problems"))
    return told


def _holds_another(error: ErrorDetails, errors: Sequence[ErrorDetails]) -> bool:
    """Whether a list is short only because entries in it are wrong, which is told of them."""
    here = error["loc"]
    return any(other["loc"][: len(here)] == here != other["loc"] for other in errors)


def _short(key: str, message: str) -> tuple[str, str]:
    """Cut what a stranger's file made long."""
    key, message = (
        text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..." for text in (key, message)
    )
    return key, message


def explain(error: ErrorDetails, valid_keys: Callable[[list[str]], list[str]]) -> tuple[str, str]:
    """Turn a validation error into the key it is about and what is wrong with it.

    Args:
        error: as pydantic reports it.
        valid_keys: names the keys that may stand where the last part of a location stands.
    """
    location = _location(error)
    kind, given = error["type"], error.get("input")
    # a discriminated union puts its tag into the location; the file has no such key
    shown = [part for i, part in enumerate(location) if not _is_tag(location, i)]
    key = ".".join(shown)
    context = error.get("ctx", {})
    if kind == "extra_forbidden":
        hint = hint_of(location[-1], valid_keys(location), "valid keys here: ")
        return key, f"unknown key; {hint}"
    if kind == "missing":
        return key, "is missing"
    if kind == "value_error":
        wrong = context.get("error", error["msg"])
        if isinstance(wrong, StudyError) and wrong.key:  # what it is about follows from another key
            return wrong.key, str(wrong).removeprefix(f"{wrong.key}: ")
        return key, str(wrong)
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        tag = str(context.get("discriminator", "kind")).strip("'")
        leaves = {"kind": TASKS, "scorer": SCORERS}.get(tag, SOURCES)
        expected = context.get("expected_tags") or ", ".join(map(repr, leaves.names()))
        got = context.get("tag")
        if got in leaves.names():  # a package that is broken
            return f"{key}.{tag}", _why_broken(leaves, str(got))
        said = f"is {got!r}" if got else "is missing"
        near = nearest(str(got), leaves.names()) if got else None
        meant = f"; did you mean {near!r}?" if near else ""
        return f"{key}.{tag}", f"{said}; expected one of {expected}{meant}"
    message = _SHOULD_BE.get(kind) or error["msg"].replace("Input should", "should", 1)
    return key, f"{message}; got {given!r:.60}"


def _location(error: ErrorDetails) -> list[str]:
    # a key is as the file has it, of several lines perhaps; a problem is told in one
    return [clean(str(part)) for part in error["loc"] if part != "[key]"]


def _why_broken(leaves: Registry, name: str) -> str:
    try:
        leaves.load(name)
    except StudyError as exc:
        return str(exc)
    return f"the {leaves.noun} {name!r} says by no `part` what stands in a study"


def _is_tag(location: list[str], index: int) -> bool:
    if index == 2 and location[0] == "tasks":
        return True
    if index == 5 and location[3] == "score":
        return True
    return index > 2 and location[index - 1] == "source"


def _valid_keys(study: type[BaseModel], location: list[str]) -> list[str]:
    """Name the keys that may stand where the last part of a location stands."""
    model: Any = None
    match location[:-1]:
        case []:
            model = study
        case ["design" | "analysis" | "speed" | "decision" | "gate" as part]:
            model = _model_of(study, part)
        case ["gate", "require", _]:
            model = Requirement
        case ["arms", _]:
            model = _model_of(study, "arms")
        case ["arms", _, "weights"]:
            model = _model_of(_model_of(study, "arms"), "weights")
        case ["tasks", _, kind]:
            model = TASKS.load(kind).part
        case ["tasks", _, _, "source", of]:
            model = SOURCES.load(of).part
        case ["tasks", _, _, "score", _, of]:
            model = SCORERS.load(of).part
    return list(model.model_fields) if model else []


def _model_of(model: type[BaseModel], field: str) -> Any:
    """Return the model of a field: its own, of its values, or beside None."""
    found = [model.model_fields[field].annotation]
    while not (isinstance(found[0], type) and issubclass(found[0], BaseModel)):
        found = [*get_args(found[0]), *found[1:]]
    return found[0]
