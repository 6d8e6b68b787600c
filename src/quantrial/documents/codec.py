"""`summary.json` to types and back: with its tests, the only place that knows its keys as text.

Both ways are exact: what is loaded is written back with the same keys in the same order and the
same numbers. Three things differ between the file and the types. The file lists `equivalence`
beside `contrasts`, here it is in each contrast. A disagreement names the verdict of each set of
methods by a key of its own, here they are `verdicts`. Which keys a part lacks goes by what it is
(a test at the margin where no answer is missing), here they are None.
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from quantrial.documents.contrasts import (
    Contrast,
    Disagreement,
    FailureContrast,
    Flips,
    WorstCase,
)
from quantrial.documents.failures import ChoiceFailures, FailureModes, OtherFailures, SpanFailures
from quantrial.documents.speed import SpeedMark, SpeedRatio
from quantrial.documents.summary import EndpointSummary, StratumSummary, Summary, TaskSummary
from quantrial.errors import RecordError

# Raise it by one, and say in CHANGES what changed, whenever the same run folder may give another
# number or another verdict than before: a rule of reading or scoring answers, a test, an interval,
# an adjustment, a rule of the decision. Once is enough between two releases. A run folder that
# another version analysed is then told from one that was edited.
METHODS_VERSION = 3

# what changed with each version, as people read it: "since then ..."
CHANGES: Mapping[int, str] = {
    2: "what of a text counts as its answer is decided in one place, missing answers are tested "
    "against the candidate, and alarms besides the primary endpoints are one family",
    3: "the sign-flip test draws its signs otherwise, what pairing was worth is told, and items "
    "that every arm answers alike are counted",
}

Object = dict[str, Any]
_Part = TypeVar("_Part")

_GAP = re.compile(r"Object missing required field `(?P<key>\w+)`(?: - at `(?P<at>[^`]*)`)?")

_SETS = ("calibrated", "classic")
_REMEDY = (
    "another version of quantrial derived it, or it was edited. `quantrial analyze` writes it again"
)


def methods_version(summary: Mapping[str, Any]) -> int:
    """Return the version of the methods that made a summary; 1 before it was written.

    What is no version counts as this one's, so that it is found where the two are compared.
    """
    found = summary.get("methods_version", 1)
    sound = isinstance(found, int) and not isinstance(found, bool) and found >= 1
    return found if sound else METHODS_VERSION


def changes_since(version: int) -> list[str]:
    """List what changed after a version of the methods."""
    return [said for number, said in sorted(CHANGES.items()) if number > version]


def load_summary(document: Mapping[str, Any], *, path: Path | str | None = None) -> Summary:
    """Turn the JSON of `summary.json` into its type.

    Args:
        document: as it was parsed; it is left as it is.
        path: of the file, for errors.

    Raises:
        RecordError: a key is unknown or missing, or its value is of another type; it names the key.
    """
    try:
        tasks = {name: _load_task(name, part) for name, part in document["tasks"].items()}
        whole = _convert({**document, "tasks": {}}, Summary, "")
        return msgspec.structs.replace(whole, tasks=tasks)
    except KeyError as exc:
        raise RecordError(f"{exc} is missing; {_REMEDY}", path=path) from exc
    except (ValueError, TypeError, AttributeError) as exc:
        raise RecordError(f"{exc}; {_REMEDY}", path=path) from exc


def _convert(value: Any, to: type[_Part], where: str) -> _Part:
    try:
        return msgspec.convert(value, to)
    except msgspec.ValidationError as exc:
        said = str(exc).replace("Object contains unknown", "unknown").replace("`$", f"`{where}")
        if gap := _GAP.fullmatch(said):
            said = ": ".join(part for part in (gap["at"], f"{gap['key']!r} is missing") if part)
        raise ValueError(f"in {where}: {said}" if where and where not in said else said) from exc


def _load_task(name: str, part: Mapping[str, Any]) -> TaskSummary:
    where = f"tasks.{name}"
    modes = {
        arm: load_failures(one, f"{where}.failure_modes.{arm}")
        for arm, one in part["failure_modes"].items()
    }
    rest = {
        **part,
        "failure_modes": {},
        "endpoints": {key: _load_results(one) for key, one in part["endpoints"].items()},
        "strata": {
            key: {value: _load_results(one) for value, one in strata.items()}
            for key, strata in part["strata"].items()
        },
        "disagreements": [_load_disagreement(one) for one in part["disagreements"]],
    }
    return msgspec.structs.replace(_convert(rest, TaskSummary, where), failure_modes=modes)


def load_failures(modes: Mapping[str, Any], where: str = "") -> FailureModes:
    """Turn an arm's failure modes into the type of its kind of task, which their keys show.

    Raises:
        ValueError: a key is missing or of another type; `where` they stand is said.
    """
    for kind, key in ((SpanFailures, "errors"), (ChoiceFailures, "by_letter")):
        if key in modes:
            return _convert(modes, kind, where)
    known = {field.encode_name for field in msgspec.structs.fields(OtherFailures)} - {"more"}
    more = {key: value for key, value in modes.items() if key not in known}
    common = {key: value for key, value in modes.items() if key in known}
    return _convert({**common, "more": more}, OtherFailures, where)


def _load_results(results: Mapping[str, Any]) -> Object:
    """Put the tests of equivalence into their contrasts."""
    tests = {test["id"]: test for test in results["equivalence"]}
    rest = {key: value for key, value in results.items() if key != "equivalence"}
    contrasts = [
        {**one, "equivalence": tests.pop(f"{one['id']}.equivalence", None)}
        for one in results["contrasts"]
    ]
    if tests:
        raise ValueError(f"{next(iter(tests))!r} is the equivalence of no contrast")
    return {**rest, "contrasts": contrasts}


def _load_disagreement(one: Mapping[str, Any]) -> Object:
    rest = {key: value for key, value in one.items() if key not in _SETS}
    return {**rest, "verdicts": {key: value for key, value in one.items() if key in _SETS}}


def to_dict(part: msgspec.Struct) -> Object:
    """Turn a document, or a part of one, into what JSON can say; NaN is null."""
    found: Object = _plain(part)
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, msgspec.Struct):
        found = _keys(value)
        if (first := _FIRST.get(type(value))) is not None:
            found = _ordered(found, dict.fromkeys((*first, *found)))
        finish = _FINISH.get(type(value))
        return found if finish is None else finish(value, found)
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    if type(value).__module__ == "numpy":
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _keys(value: msgspec.Struct) -> Object:
    """Return a part's keys, without those that may be left out and say nothing."""
    found = {}
    for field in _fields(type(value)):
        own = getattr(value, field.name)
        if field.required or not _is_default(own, field):
            found[field.encode_name] = _plain(own)
    return found


@functools.cache
def _fields(kind: type[msgspec.Struct]) -> tuple[msgspec.structs.FieldInfo, ...]:
    # msgspec evaluates every annotation anew each time that it is asked
    return msgspec.structs.fields(kind)


def _is_default(value: Any, field: msgspec.structs.FieldInfo) -> bool:
    if field.default_factory is not msgspec.NODEFAULT:
        return not value
    return value is None if field.default is None else bool(value == field.default)


def _ordered(found: Object, names: Iterable[str], **more: Any) -> Object:
    """Return keys in the order of the file: `names` where they are there, or are among `more`."""
    return {
        key: found[key] if key in found else more[key] for key in names if key in {**found, **more}
    }


def _worst_case(part: WorstCase, found: Object) -> Object:
    # a test has no p where the data carry none: that is null, and no key left out
    return found if part.margin is None else _every_key(part)


def _every_key(part: msgspec.Struct) -> Object:
    return {field.encode_name: _plain(getattr(part, field.name)) for field in _fields(type(part))}


_MEASURE = ("unit", "direction", "label", "against")
_COMMON = tuple(field.encode_name for field in msgspec.structs.fields(Contrast) if field.required)


def _contrast(part: Contrast, found: Object) -> Object:
    return _ordered(
        found,
        (*_COMMON, "lower_bounds", "equivalence", "p_alarm", "simultaneous", *_MEASURE),
        p_alarm=None,
        simultaneous=None,
    )


def _failure_contrast(part: FailureContrast, found: Object) -> Object:
    undirected = {} if part.endpoint != "output_length" else {"shown": part.shown}
    tail = (
        "endpoint",
        "declared",
        "unit",
        "equivalence",
        "p_alarm",
        "shown",
        "simultaneous",
        "label",
    )
    found.pop("shown", None)
    return _ordered(
        found, (*_COMMON, *tail), equivalence=None, p_alarm=None, simultaneous=None, **undirected
    )


def _results(part: EndpointSummary, found: Object) -> Object:
    """Take the tests of equivalence out of their contrasts, into a list beside them."""
    tests = [test for one in found["contrasts"] if (test := one.pop("equivalence", None))]
    measure = ("unit", "direction", "low", "high", "label", "against")
    return _ordered(
        {**found, "equivalence": tests}, ("n", "arms", "contrasts", "equivalence", *measure)
    )


def _stratum(part: StratumSummary, found: Object) -> Object:
    for one in found["contrasts"]:
        one.pop("simultaneous")
    return _results(part, found)


def endpoints_to_dict(endpoints: Mapping[str, EndpointSummary], primary: str) -> Object:
    """Turn a task's endpoints into what JSON can say; the primary one is a family of its own."""
    return _without_alarms(_plain(endpoints), primary)


def _without_alarms(endpoints: Object, primary: str) -> Object:
    for one in endpoints[primary]["contrasts"]:
        one.pop("p_alarm")
    return endpoints


def _task(part: TaskSummary, found: Object) -> Object:
    _without_alarms(found["endpoints"], part.primary)
    return found


def _disagreement(part: Disagreement, found: Object) -> Object:
    verdicts = found.pop("verdicts")
    at = ("id", "endpoint", "stratum", "reference", "candidate", *verdicts, "question", "p")
    return _ordered({**found, **verdicts}, at)


def _other(part: OtherFailures, found: Object) -> Object:
    more = found.pop("more")
    return {"n": found.pop("n"), **more, **found}


def _ratio(part: SpeedRatio, found: Object) -> Object:
    common = ("id", "measure", "reference", "candidate", "estimate", "ci")
    if part.measure == "memory":
        return _ordered(found, (*common, "method", "confidence", "n"))
    tested = {} if part.measure == "load" else {"p_value": None}
    return _ordered(found, (*found, *tested, "p_alarm"), **tested)


# which keys a mark of the speed phase has
_MARKS = {
    "busy": ("others_share", "calls"),
    "swap": ("pages",),
    "throttled": ("events",),
    "battery": ("calls",),
    "drift": ("arm", "change"),
    "time_limit": ("widest",),
    "no_length": ("widest",),
    "unfinished": ("widest",),
}


def _mark(part: SpeedMark, found: Object) -> Object:
    names = _MARKS.get(part.mark)
    return found if names is None else _ordered(_every_key(part), ("mark", *names))


def _summary(part: Summary, found: Object) -> Object:
    for name, axis in part.tradeoffs.items():
        if name != "memory":  # whose figures have a range, and no interval
            for task, one in axis.tasks.items():
                found["tradeoffs"][name]["tasks"][task]["arms"] = {
                    arm: _every_key(value) for arm, value in one.arms.items()
                }
    for one in found["statements"]:
        if not part.arms[one["candidate"]].control:
            one["margin_kept_on_all"].setdefault("p_adjusted", None)
    return found


# keys that come before the others, where what a part inherits does not
_FIRST: Mapping[type, tuple[str, ...]] = {
    Flips: ("reference", "candidate"),
    ChoiceFailures: ("n", "unparsed", "unparsed_rate", "letters", "gold_letters"),
    SpanFailures: (
        *("n", "tp", "fp", "fn", "precision", "recall", "parsed", "parse_rate", "entity_free"),
    ),
}

_FINISH: Mapping[type, Callable[[Any, Object], Object]] = {
    WorstCase: _worst_case,
    Contrast: _contrast,
    FailureContrast: _failure_contrast,
    EndpointSummary: _results,
    StratumSummary: _stratum,
    TaskSummary: _task,
    Disagreement: _disagreement,
    OtherFailures: _other,
    SpeedRatio: _ratio,
    SpeedMark: _mark,
    Summary: _summary,
}


def number(value: float | None) -> float | None:
    """Return a number, None where it is NaN."""
    return None if value is None or math.isnan(value) else value


def nan(value: float | None) -> float:
    """Return a number, NaN where it is None: as statistics take what is not known."""
    return math.nan if value is None else value
