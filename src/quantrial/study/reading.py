"""From the text of a study file to a study, or to what is wrong with it."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from quantrial import paths
from quantrial.errors import StudyError
from quantrial.inert import clean
from quantrial.registry import SCORERS, SOURCES, TASKS, Registry, hint_of, nearest
from quantrial.runfolder import MANIFEST
from quantrial.runfolder import SCORERS as COPIES
from quantrial.strict_yaml import MOST_BYTES, parse_yaml, too_large
from quantrial.study.model import Analysis, Arm, Study, Weights
from quantrial.study.parts import DecisionPart, Design, GatePart, Requirement, Speed
from quantrial.study.scoring import ScoredPart

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

_MOST_TOLD = 20
_MOST_INPUT = 65_536  # bytes of a file that comes into the study as a run keeps it
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


def load_study(path: Path | str) -> Study:
    """Read and check a study file.

    Raises:
        StudyError: the file is missing, unreadable, not YAML, or a key or value in it is wrong; the
            message names the key and, for a misspelt one, the nearest valid key. Or a file of
            Python that it scores by is missing.

    Example:
        >>> study = quantrial.load_study("study.yaml")
        >>> study.reference, list(study.arms)
        ('f16', ['f16', 'q8_0', 'q4_0'])
    """
    path = Path(path)
    return with_inputs(parse_study(read_study_text(path), path=path), path.parent)


def with_inputs(study: Study, folder: Path) -> Study:
    """Return a study that knows what its scorers' files say; the same where they name none.

    Args:
        study: the study.
        folder: where its file lies. In a run folder files of Python are the copies in `scorers/`,
            whatever lies elsewhere by now: a run is whole without the study's own folder.

    Raises:
        StudyError: a file cannot be read, or does not hold what it should, or two files of Python
            have one name; the key names the scorer.
    """
    tasks: dict[str, Any] = {}
    copies: dict[str, str] = {}
    for name, task in study.tasks.items():
        if not isinstance(task, ScoredPart):
            continue
        parts = []
        for number, part in enumerate(task.score):
            key = f"tasks.{name}.score.{number}"
            if part.runs and copies.setdefault(Path(part.runs).name, part.runs) != part.runs:
                raise StudyError(
                    f"{copies[Path(part.runs).name]} and {part.runs} have one name, and a run "
                    "keeps a copy of each: rename one of them",
                    key=key,
                )
            try:
                parts.append(part.whole(lambda file, key=key: _input(file, folder, key)))
            except ValueError as exc:
                raise exc if isinstance(exc, StudyError) else StudyError(str(exc), key=key) from exc
        if any(new is not old for new, old in zip(parts, task.score, strict=True)):
            tasks[name] = task.model_copy(update={"score": tuple(parts)})
    return study.model_copy(update={"tasks": {**study.tasks, **tasks}}) if tasks else study


def _input(file: str, folder: Path, key: str) -> bytes:
    if file.endswith(".py") and paths.is_file(folder / MANIFEST):
        path = folder / COPIES / Path(file).name
    else:
        path = paths.expanded(file, folder)
    try:
        with paths.open_file(path) as opened:
            data = opened.read(_MOST_INPUT + 1)
    except OSError as exc:
        raise StudyError(f"{path} cannot be read ({exc.strerror})", key=key) from exc
    if len(data) > _MOST_INPUT:
        raise StudyError(f"{path} is larger than {_MOST_INPUT:,} bytes", key=key)
    return data


def read_study_text(path: Path) -> str:
    """Read a study file as text, explaining why when it cannot be read."""
    try:
        with paths.open_file(path) as file:
            data = file.read(MOST_BYTES + 1)
        if len(data) > MOST_BYTES:
            raise StudyError(too_large(f"more than {MOST_BYTES:,} bytes"), path=path)
        return io.StringIO(data.decode("utf-8"), newline=None).read()
    except FileNotFoundError as exc:
        raise StudyError(
            "no such study file; `quantrial init` writes one to start from", path=path
        ) from exc
    except UnicodeDecodeError as exc:
        raise StudyError(f"not UTF-8 (byte {exc.start}): save it as UTF-8", path=path) from exc
    except OSError as exc:
        raise StudyError(f"cannot be read ({exc.strerror})", path=path) from exc


def parse_study(text: str, *, path: Path | str | None = None) -> Study:
    """Check the text of a study file; `path` is for messages only."""
    data = parse_yaml(text, path=path)
    if not isinstance(data, dict):
        raise StudyError(
            "expected a mapping of keys such as `study:`, `arms:`, `tasks:`", path=path
        )
    try:
        return Study.model_validate(data)
    except ValidationError as exc:
        raise _refusal(exc.errors(), path) from exc


def _refusal(errors: Sequence[ErrorDetails], path: Path | str | None) -> StudyError:
    (key, message), *others = explain_all(errors, _valid_keys)
    also = "".join(f"\n  {other}: {said}" for other, said in others)
    return StudyError(message + also, path=path, key=key or None)


def parse_gate(data: object, *, path: Path | str | None = None) -> GatePart:
    """Check what a gate requires: the part `gate` of a study, with that key or without it.

    Raises:
        StudyError: a key or value in it is wrong; the message names the key.
    """
    own = data["gate"] if isinstance(data, dict) and data.keys() == {"gate"} else data
    try:
        return GatePart.model_validate(own)
    except ValidationError as exc:
        found = exc.errors()
        for one in found:
            one["loc"] = ("gate", *one["loc"])
        raise _refusal(found, path) from exc


def read_gate(path: Path | str) -> GatePart:
    """Read a file of what a gate requires; raises as `parse_gate`."""
    return parse_gate(parse_yaml(read_study_text(Path(path)), path=path), path=path)


def _valid_keys(location: list[str]) -> list[str]:
    model: Any = None
    match location[:-1]:
        case []:
            model = Study
        case ["design"]:
            model = Design
        case ["analysis"]:
            model = Analysis
        case ["speed"]:
            model = Speed
        case ["decision"]:
            model = DecisionPart
        case ["gate"]:
            model = GatePart
        case ["gate", "require", _]:
            model = Requirement
        case ["arms", _]:
            model = Arm
        case ["arms", _, "weights"]:
            model = Weights
        case ["tasks", _, kind]:
            model = TASKS.load(kind).part
        case ["tasks", _, _, "source", of]:
            model = SOURCES.load(of).part
        case ["tasks", _, _, "score", _, of]:
            model = SCORERS.load(of).part
    return list(model.model_fields) if model else []
