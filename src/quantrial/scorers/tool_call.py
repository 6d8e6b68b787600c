"""Calls of tools, held by abstract syntax against those that are right.

The rules are those of the Berkeley Function Calling Leaderboard (Patil et al. 2025, `ast_checker`
of bfcl-eval): the right functions in any order, each argument with one of its allowed values,
nothing left out that is required and nothing invented.
"""

from __future__ import annotations

import functools
import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from quantrial.records import canonical_json
from quantrial.scorers.base import Said, Score, Scorer, ScorerPart
from quantrial.scorers.calls import ToolCall, call_of, handed_over, typed, written
from quantrial.tasks.base import Endpoint, FailureMode

if TYPE_CHECKING:
    from quantrial.records import Item
    from quantrial.tasks.base import Outcome

CALLS_RIGHT = Endpoint(
    "calls_right",
    "proportion",
    {"correct": 1.0},
    label="calls right",
    meaning="The share of answers whose calls are all right, and that call nothing where no call "
    "is wanted.",
)
FUNCTIONS_RIGHT = Endpoint(
    "functions_right",
    "proportion",
    {"functions": 1.0},
    label="functions right",
    meaning="The share of answers that call the right functions, whatever the arguments.",
    mitigation="It calls the wrong function on {loss} more of the requests than {reference}. Offer "
    "fewer tools at a time, and describe how they differ.",
)
ARGUMENTS_F1 = Endpoint(
    "arguments_f1",
    "ratio",
    {"tp": 2.0},
    {"tp": 2.0, "fp": 1.0, "fn": 1.0},
    label="arguments F1",
    meaning="F1 over the arguments of all calls: those with an allowed value against those that "
    "are wrong, invented or missing.",
    mitigation="It loses {loss} of F1 over the arguments of its calls against {reference}. Check "
    "values against what the user said before a call has effects.",
)

_MOST_CALLS = 100  # that are right at once
_LONGEST = 100_000  # characters of a value, and of all that is right
_DROPPED = re.compile(r"[ ,./\-_*^]")
# JSON schema's names of types, and those that Berkeley's data have
_TYPES = {
    **{name: name for name in ("string", "integer", "number", "boolean", "array", "object")},
    **{"float": "number", "dict": "object", "tuple": "array", "list": "array", "bool": "boolean"},
}


@dataclass(frozen=True, slots=True)
class Wanted:
    """One call that is right: its function, and the values that each argument may have.

    An empty text among the values says that the argument may be left out.
    """

    name: str
    arguments: Mapping[str, Sequence[Any]]

    def needed(self, offered: Mapping[str, Any]) -> set[str]:
        """Name the arguments that may not be left out; the tool's own schema may require more."""
        own = {name for name, allowed in self.arguments.items() if "" not in allowed}
        required = offered.get("required")
        return own | (set(map(str, required)) if isinstance(required, list) else set())


def wanted_calls(gold: Any) -> list[Wanted]:
    """Read the calls that are right; an empty list where none is.

    Raises:
        ValueError: it has no form of the two that there are.
    """
    listed = [gold] if isinstance(gold, Mapping) else gold
    if not isinstance(listed, (list, tuple)):
        raise ValueError(
            f"{gold!r:.60} is no list of calls; expected one such as "
            '[{"name": "weather", "arguments": {"town": "Riga"}}], empty where no call is wanted'
        )
    if len(listed) > _MOST_CALLS:
        raise ValueError(f"{len(listed)} calls are right at once; there can be {_MOST_CALLS}")
    return [_wanted(one) for one in listed]


def _wanted(said: Any) -> Wanted:
    if (call := call_of(said)) is not None:
        if call.arguments is None:
            raise ValueError(f"the arguments of {call.name!r:.60} are no object")
        plain = {name: [_alternatives(value)] for name, value in call.arguments.items()}
        return Wanted(call.name, plain)
    if not isinstance(said, Mapping) or len(said) != 1:
        raise ValueError(
            f'{said!r:.60} is no call; expected {{"name": "weather", "arguments": {{"town": '
            '"Riga"}}, or with several values that are right {"weather": {"town": ["Riga", '
            '"Riga, Latvia"]}}'
        )
    ((name, arguments),) = said.items()
    if not isinstance(arguments, Mapping):
        raise ValueError(f"the arguments of {name!r:.60} are {arguments!r:.60}; expected an object")
    for argument, allowed in arguments.items():
        if not isinstance(allowed, list) or not allowed:
            raise ValueError(
                f"the argument {argument!r:.60} of {name!r:.60} is {allowed!r:.60}; expected a "
                'list of the values that are right, with "" where it may be left out'
            )
    return Wanted(str(name), arguments)


def _alternatives(value: Any) -> Any:
    """Write one value with the alternatives that values of objects have in Berkeley's form."""
    if isinstance(value, Mapping):
        return {key: [_alternatives(one)] for key, one in value.items()}
    return [_alternatives(one) for one in value] if isinstance(value, list) else value


def offered_tools(tools: Any) -> dict[str, Mapping[str, Any]]:
    """Return the schema of each tool's arguments by the tool's name."""
    found = {}
    for tool in tools if isinstance(tools, (list, tuple)) else ():
        inner = tool.get("function", tool) if isinstance(tool, Mapping) else {}
        if isinstance(inner, Mapping) and isinstance(inner.get("name"), str):
            schema = inner.get("parameters")
            found[plain_name(inner["name"])] = schema if isinstance(schema, Mapping) else {}
    return found


def plain_name(name: str) -> str:
    """Write a function's name as servers take it, that refuse a dot in it."""
    return name.strip().replace(".", "_")


@functools.lru_cache(maxsize=256)
def plain_text(text: str) -> str:
    """Bring a text to the form that is compared: no case, blanks and most punctuation."""
    return _DROPPED.sub("", text).lower().replace("'", '"')


def _kind(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return "null" if value is None else "boolean"
    kinds = {int: "integer", float: "number", str: "string", list: "array"}
    return kinds.get(type(value), "object")


def _fits(value: Any, right: Any) -> bool:
    """Whether a value is another one; of an object, each value may be one of several."""
    if isinstance(value, bool) or isinstance(right, bool):
        return value is right
    if isinstance(value, str) and isinstance(right, str):
        return len(value) <= _LONGEST and plain_text(value) == plain_text(right)
    if isinstance(value, list) and isinstance(right, list):
        return len(value) == len(right) and all(map(_fits, value, right))
    if isinstance(value, dict) and isinstance(right, dict):
        return _object_fits(value, right) or (
            value.keys() == right.keys() and all(_fits(value[key], right[key]) for key in right)
        )
    return bool(value == right)


def _object_fits(value: Mapping[str, Any], right: Mapping[str, Any]) -> bool:
    if not value.keys() <= right.keys() or not all(isinstance(o, list) for o in right.values()):
        return False
    given = all(any(_fits(value[key], one) for one in right[key]) for key in value)
    return given and all(key in value or "" in right[key] for key in right)


def allowed_value(value: Any, allowed: Sequence[Any], schema: Any) -> bool:
    """Whether an argument has a value that is right, of the type that the tool declares.

    A whole number is a number, 5.0 is no integer, and true is no 1. A text is compared without
    case, blanks and most punctuation; where the tool declares another type than text, as it is.

    Args:
        value: the argument's.
        allowed: the values that are right; "" stands for leaving it out.
        schema: the tool's schema of the argument, where it is known.
    """
    told = schema if isinstance(schema, Mapping) else {}
    declared = _TYPES.get(str(told.get("type")))
    kind, first = _kind(value), next((_kind(one) for one in allowed if one != ""), None)
    if declared == "number" and kind == "integer":
        kind = "number"
    if declared is not None and kind not in (declared, first):
        return False
    if kind == "string" and declared not in (None, "string"):
        return value in allowed  # a variable in place of a value
    items = told.get("items")
    inner = _TYPES.get(str(items.get("type"))) if isinstance(items, Mapping) else None
    for right in allowed:
        if inner and isinstance(value, list) and isinstance(right, list):
            kinds = {inner, *map(_kind, right[:1])}
            kinds |= {"integer"} if "number" in kinds else set()
            if any(_kind(one) not in kinds for one in value):
                continue
        if _fits(value, right):
            return True
    return False


def _first(allowed: Sequence[Any]) -> Any:
    """Return the first value that is allowed, in full."""
    return _plain(next((one for one in allowed if one != ""), ""))


def _plain(value: Any) -> Any:
    """Take the first of the values that an object's values may have."""
    if isinstance(value, list):
        return [_plain(one) for one in value]
    if isinstance(value, Mapping) and all(isinstance(one, list) for one in value.values()):
        return {key: _first(one) for key, one in value.items() if one != [""]}
    return value


@dataclass(frozen=True, slots=True)
class _Held:
    """One call held against one that is right: arguments that are right, wrong and missing."""

    tp: int
    fp: int
    fn: int

    @property
    def right(self) -> bool:
        return not (self.fp or self.fn)


class ToolCallPart(ScorerPart):
    """The answer calls the right tools with the right arguments, in any order.

    The right answer is a list of `{name: weather, arguments: {town: Riga}}`; or, with several
    right values, of `{weather: {town: [Riga, "Riga, Latvia"]}}`, where an empty text says that
    the argument may be left out. An empty list says that no call is wanted. Calls are those that a
    server hands over, or else those written in the text: as JSON, in tags, or as `f(a=1)`. Types
    are those of the task's `tools`, or of the items' field `tools`. Texts are compared without
    case, blanks and most punctuation, as Berkeley's leaderboard does.
    """

    scorer: Literal["tool_call"]


def _called_though_not_wanted(_task: Any, _item: Item, outcome: Outcome) -> bool:
    return outcome.values["correct"] == 0.0


def _wrong(_task: Any, _item: Item, outcome: Outcome) -> bool:
    return outcome.parsed and outcome.values["correct"] == 0.0


class ToolCalls(Scorer):
    """Whether the calls of an answer are right: those handed over apart, else those in its text."""

    part = ToolCallPart
    compares = True
    scored_by = ("quantrial.scorers.calls",)
    endpoints = (CALLS_RIGHT, FUNCTIONS_RIGHT, ARGUMENTS_F1)
    right = CALLS_RIGHT.name
    failure_modes = (
        FailureMode(
            "abstains",
            _called_though_not_wanted,
            lambda item: not item.gold,
            label="abstains",
            meaning="The share of requests that need no tool on which none is called.",
            mitigation="It calls a tool on {loss} more of the requests that need none than "
            "{reference}. Ask before a call has effects.",
        ),
        FailureMode(
            "no_wrong_call",
            _wrong,
            lambda item: bool(item.gold),
            label="no wrong call",
            meaning="The share of requests that need a tool without a call that can be read and "
            "is wrong.",
            mitigation="It makes calls that can be read and are wrong on {loss} more of the "
            "requests than {reference}. Checking their form does not find these.",
        ),
        FailureMode(
            "well_formed_calls",
            lambda _task, _item, outcome: outcome.answer == MALFORMED,
            label="well-formed calls",
            meaning="The share of answers without a call that is begun and cannot be read.",
            mitigation="It writes calls that cannot be read on {loss} more of the requests than "
            "{reference}. Hold them to the tool's schema, or ask again.",
        ),
    )

    def check(self, gold: Any) -> None:
        """Refuse what is no list of calls, or too long or deep to be held against any."""
        try:
            length = len(json.dumps(gold, allow_nan=False))
            wanted_calls(gold)
        except (TypeError, RecursionError) as exc:
            raise ValueError(f"the calls are no JSON that can be compared: {exc}") from exc
        if length > _LONGEST:
            raise ValueError(f"the calls take {length:,} characters; there can be {_LONGEST:,}")

    def chance(self, golds: Sequence[Any]) -> float | None:
        """Share of answers that are right without any call; None where a call is always wanted."""
        unwanted = sum(not wanted_calls(gold) for gold in golds)
        return unwanted / len(golds) if unwanted else None

    def example(self, gold: Any) -> str:
        """Write the calls as JSON, each argument with the first of its values."""
        calls = [
            {
                "name": one.name,
                "arguments": {k: _first(v) for k, v in one.arguments.items() if v != [""]},
            }
            for one in wanted_calls(gold)
        ]
        if not calls:
            return "No function fits."
        return json.dumps(calls if calls[1:] else calls[0], ensure_ascii=False)

    def as_gold(self, text: str, said: Said) -> Any:
        """Return the calls of an answer; an empty list where it makes none."""
        handed = said.answer.calls
        calls = handed_over(handed) if handed else written(text)
        if calls is None or any(call.arguments is None for call in calls):
            raise ValueError("it holds a call that cannot be read")
        gold = [{"name": call.name, "arguments": call.arguments} for call in calls]
        self.check(gold)
        return gold

    def score(self, gold: Any, text: str, said: Said) -> Score:
        """Match the calls of the answer with those that are right."""
        wanted = wanted_calls(gold)
        handed = said.answer.calls
        calls = handed_over(handed) if handed else written(text)
        if not calls or all(call.arguments is None for call in calls):
            malformed = calls is None or bool(calls)
            return self._without(wanted, called=bool(calls), malformed=malformed)
        offered = offered_tools(said.tools or said.item.content.get("tools"))
        values = _matched(wanted, calls, offered)
        plain = [{"name": c.name, "arguments": c.arguments} for c in calls]
        return Score(values, answer=sorted(plain, key=canonical_json))

    def unread(self, gold: Any, said: Said) -> Score:
        """Score an answer in whose text nothing was found; its calls may stand apart."""
        return self.score(gold, "", said)

    def _without(self, wanted: Sequence[Wanted], *, called: bool, malformed: bool) -> Score:
        """Score an answer without a call that can be read: right where none is wanted."""
        right = float(not wanted and not called)
        missing = sum(len(one.needed({})) for one in wanted)
        values = {"correct": right, "functions": right, "tp": 0.0, "fp": 0.0, "fn": float(missing)}
        return Score(values, parsed=not wanted, answer=MALFORMED if malformed else [])


MALFORMED = "a call that cannot be read"


def _matched(
    wanted: Sequence[Wanted], calls: Sequence[ToolCall], offered: Mapping[str, Mapping[str, Any]]
) -> dict[str, float]:
    """Count what is right of the calls, each held against the one that it fits best."""
    names = Counter(plain_name(call.name) for call in calls)
    functions = names == Counter(plain_name(one.name) for one in wanted)
    pairs = {
        (at, place): _held(one, call, offered)
        for at, one in enumerate(wanted)
        for place, call in enumerate(calls[:_MOST_CALLS])
        if plain_name(one.name) == plain_name(call.name)
    }
    correct = len(calls) == len(wanted) == _most_right(len(wanted), pairs)
    tp = fp = fn = 0
    ones, places = set(range(len(wanted))), set(range(len(calls)))
    for (at, place), held in sorted(pairs.items(), key=lambda one: (-one[1].tp, one[1].fp)):
        if at in ones and place in places:
            tp, fp, fn = tp + held.tp, fp + held.fp, fn + held.fn
            ones.remove(at)
            places.remove(place)
    fp += sum(len(calls[place].arguments or ()) for place in places)
    fn += sum(len(wanted[at].needed({})) for at in ones)
    if correct:  # a right match may lie beside the one that was taken
        fp = fn = 0
        tp = sum(len(call.arguments or ()) for call in calls)
    counts = {"tp": float(tp), "fp": float(fp), "fn": float(fn)}
    return {"correct": float(correct), "functions": float(functions), **counts}


def _held(wanted: Wanted, call: ToolCall, offered: Mapping[str, Mapping[str, Any]]) -> _Held:
    schema = offered.get(plain_name(wanted.name), {})
    needed = wanted.needed(schema)
    if call.arguments is None:
        return _Held(0, 0, max(len(needed), 1))
    properties = schema.get("properties")
    told = properties if isinstance(properties, Mapping) else {}
    given = call.arguments
    right = {
        name
        for name, allowed in wanted.arguments.items()
        if name in given
        and any(
            allowed_value(value, allowed, told.get(name))
            for value in (typed(given[name]) if call.untyped else (given[name],))
        )
    }
    return _Held(len(right), len(given) - len(right), len(needed - right))


def _most_right(count: int, pairs: Mapping[tuple[int, int], _Held]) -> int:
    """Return how many of the calls that are right can be matched, each with a call of its own."""
    fitting: dict[int, list[int]] = {}
    for (at, place), held in pairs.items():
        if held.right:
            fitting.setdefault(at, []).append(place)
    taken: dict[int, int] = {}

    def match(at: int, seen: set[int]) -> bool:
        for place in fitting.get(at, ()):
            if place not in seen:
                seen.add(place)
                if place not in taken or match(taken[place], seen):
                    taken[place] = at
                    return True
        return False

    return sum(match(at, set()) for at in range(count))
