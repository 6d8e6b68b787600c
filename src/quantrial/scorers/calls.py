"""Calls of tools: as a server hands them over, or as a model writes them into its text.

A text may hold them in tags (`<tool_call>`, `<function=name>`), behind a mark (`[TOOL_CALLS]`), in
a fenced block or bare; as JSON or as a call of Python. Nothing is run, and time is linear.
"""

from __future__ import annotations

import ast
import json
import math
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from quantrial.strict_json import readable, recordable, whole_number


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One call; `arguments` are None where they cannot be read.

    `untyped`: they are texts, as tags hold them, and what they stand for depends on the tool.
    """

    name: str
    arguments: Mapping[str, Any] | None
    untyped: bool = False


_NAMES = ("name", "tool_name", "function", "tool")
_ARGUMENTS = ("arguments", "parameters", "args", "input")
_LISTS = ("tool_calls", "calls")
_TAGGED = re.compile(
    r"<\|?(?P<tag>tool_?calls?|function_?calls?)(?:_start|_begin)?\|?>(?P<inside>.*?)"
    r"(?:<\|?/?(?P=tag)(?:_end)?\|?>|\Z)"
    r"|(?P<bare><function=.*?)(?:</function>|\Z)",
    re.IGNORECASE | re.DOTALL,
)
# Qwen3-Coder's form, Llama's, and GLM's: each argument in tags of its own, or JSON of them all
_FUNCTION = re.compile(r"\s*<function=([\w.-]{1,200})>(.*?)(?:</function>\s*|\Z)", re.DOTALL)
_PARAMETER = re.compile(r"\s*<parameter=([\w.-]{1,200})>(.*?)</parameter>\s*", re.DOTALL)
_KEYED = re.compile(r"([\w.-]{1,200})\s*(<arg_key>.*)", re.DOTALL)
_PAIR = re.compile(
    r"\s*<arg_key>(.{1,200}?)</arg_key>\s*<arg_value>(.*?)</arg_value>\s*", re.DOTALL
)
_MARK = re.compile(r"\[TOOL_CALLS\]|<\|python_tag\|>|functools(?=\[)")
_FENCED = re.compile(r"```[^\n`]{0,40}\n(.*?)(?:```|\Z)", re.DOTALL)
_BETWEEN = re.compile(r"[\s,;]*")
_LIKE_A_CALL = re.compile(r'"(?:arguments|parameters)"\s{0,9}:')
_MOST = 1000  # calls of an answer, and places where one is looked for
_WORK = 20_000_000  # characters that are looked at from such places
_LONGEST_CODE = 100_000  # characters that are read as Python
_LITERALS = {"true": True, "false": False, "null": None, "none": None}


def call_of(said: Any) -> ToolCall | None:
    """Read one call from JSON: `{"name": ..., "arguments": {...}}`, or OpenAI's `function`.

    Arguments are an object, or JSON of one. None for what names no function and no arguments.
    """
    if not isinstance(said, Mapping):
        return None
    if isinstance(inner := said.get("function"), Mapping):
        said = inner
    name = next((said[key] for key in _NAMES if isinstance(said.get(key), str)), None)
    given = [said[key] for key in _ARGUMENTS if key in said]
    if not name or not given:
        return None
    return ToolCall(readable(name), _arguments(given[0]))


def _arguments(given: Any) -> Mapping[str, Any] | None:
    if isinstance(given, str):
        try:
            given = _DECODER.decode(given) if given.strip() else {}
        except (ValueError, RecursionError):
            return None
    plain = recordable({} if given is None else given)
    return plain if isinstance(plain, dict) else None


def handed_over(calls: Sequence[Any]) -> tuple[ToolCall, ...]:
    """Read the calls that a server handed over apart from the text; none of them is left out."""
    return tuple(call_of(one) or ToolCall(_named(one), None) for one in calls)


def _named(said: Any) -> str:
    inner = said.get("function", said) if isinstance(said, Mapping) else {}
    return readable(str(inner.get("name") or "")) if isinstance(inner, Mapping) else ""


def written(text: str) -> tuple[ToolCall, ...] | None:
    """Read the calls that a text holds; None where it holds something like one that is none."""
    tags = list(_TAGGED.finditer(text))
    if tags:
        found = [_tagged(tag) for tag in tags[:_MOST]]
        return None if None in found else tuple(one for each in found if each for one in each)
    marked = _MARK.split(text)[1:]
    if marked:
        found = [_whole(part) for part in marked[:_MOST] if part.strip()]
        return None if None in found else tuple(one for each in found if each for one in each)
    for part in (*_FENCED.findall(text)[:_MOST], text):
        if (calls := _whole(part)) is not None:
            return calls
    return tuple(_among(text)) or (None if _LIKE_A_CALL.search(text) else ())


def _tagged(tag: re.Match[str]) -> tuple[ToolCall, ...] | None:
    inside = (tag["inside"] if tag["bare"] is None else tag["bare"]).strip()
    if keyed := _KEYED.fullmatch(inside):
        return _untyped(keyed[1], keyed[2], _PAIR)
    if not inside.startswith("<function="):
        return _whole(inside)
    calls, at = list[ToolCall](), 0
    while at < len(inside):
        function = _FUNCTION.match(inside, at)
        found = None if function is None else _untyped(function[1], function[2], _PARAMETER)
        if function is None or found is None:
            return None
        calls += found
        at = function.end()
    return tuple(calls)


def _untyped(name: str, inside: str, pattern: re.Pattern[str]) -> tuple[ToolCall, ...] | None:
    """Read arguments in tags of their own; JSON of them all where it begins so."""
    if not inside.strip() or inside.lstrip().startswith("{"):
        arguments = _arguments(inside)
        return None if arguments is None else (ToolCall(name, arguments),)
    said, at = dict[str, str](), 0
    while at < len(inside):
        if (one := pattern.match(inside, at)) is None:
            return None
        said[readable(one[1])] = readable(one[2].strip("\n"))
        at = one.end()
    return (ToolCall(name, said, untyped=True),)


def typed(text: str) -> tuple[Any, ...]:
    """Return what an untyped argument may stand for: the text, and what it is as JSON."""
    try:
        return text, recordable(_DECODER.decode(text.strip()))
    except (ValueError, RecursionError):
        return (text, _LITERALS[text.lower()]) if text.lower() in _LITERALS else (text,)


def _whole(part: str) -> tuple[ToolCall, ...] | None:
    """Read a part that is calls and nothing else; None where it is not."""
    bare = part.strip(" \n\r\t`'")
    if not bare:
        return None
    return _as_json(bare) or _as_python(bare)


def _as_json(text: str) -> tuple[ToolCall, ...] | None:
    calls, at = list[ToolCall](), 0
    while at < len(text) and len(calls) < _MOST:
        try:
            value, at = _DECODER.raw_decode(text, at)
        except (ValueError, RecursionError):
            return None
        found = _calls_in(value)
        if found is None:
            return None
        calls += found
        between = _BETWEEN.match(text, at)
        at = between.end() if between else at
    return tuple(calls)


def _calls_in(value: Any) -> list[ToolCall] | None:
    if isinstance(value, Mapping):
        listed = next((value[key] for key in _LISTS if isinstance(value.get(key), list)), None)
        value = [value] if listed is None else listed
    if not isinstance(value, list) or not value:
        return None
    calls = [call_of(one) for one in value]
    return None if None in calls else [one for one in calls if one is not None]


def _among(text: str) -> Iterator[ToolCall]:
    """Find calls as JSON among other words."""
    places = min(_MOST, max(20, _WORK // (len(text) + 1)))
    at, found = 0, 0
    for place in re.finditer(r"[{\[]", text):
        if (places := places - 1) < 0 or found >= _MOST:
            return
        if place.start() < at:
            continue
        try:
            value, end = _DECODER.raw_decode(text, place.start())
        except (ValueError, RecursionError):
            continue
        if calls := _calls_in(value):
            at, found = end, found + len(calls)
            yield from calls


def _as_python(text: str) -> tuple[ToolCall, ...] | None:
    """Read `f(a=1)`, several such or a list of them; as Berkeley's leaderboard, by syntax alone."""
    if len(text) > _LONGEST_CODE or "(" not in text:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of escapes in texts
            body = ast.parse(text).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    calls: list[ToolCall] = []
    for statement in body[:_MOST]:
        if not isinstance(statement, ast.Expr):
            return None
        value = statement.value
        for one in value.elts if isinstance(value, (ast.List, ast.Tuple)) else [value]:
            if not isinstance(one, ast.Call) or (name := _dotted(one.func)) is None:
                return None
            if one.args:  # which argument it is, nobody says: this is code, and no call
                return None
            calls.append(ToolCall(name, _keywords(one)))
    return tuple(calls) or None


def _dotted(node: ast.expr) -> str | None:
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return ".".join((node.id, *reversed(parts))) if isinstance(node, ast.Name) else None


def _keywords(call: ast.Call) -> Mapping[str, Any] | None:
    try:
        named = {str(one.arg): _literal(one.value) for one in call.keywords if one.arg}
    except (ValueError, RecursionError):
        return None
    return _arguments(named) if len(named) == len(call.keywords) else None


def _literal(node: ast.expr) -> Any:
    """Return the value of a literal; of a bare name its text, as Berkeley's leaderboard does."""
    if isinstance(node, ast.Constant) and (
        node.value is None or isinstance(node.value, (str, bool, int, float))
    ):
        return node.value
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.UAdd)):
        value = _literal(node.operand)
        if isinstance(value, (int, float)):
            return -value if isinstance(node.op, ast.USub) else +value
    if isinstance(node, (ast.List, ast.Tuple)):
        return [_literal(one) for one in node.elts]
    if isinstance(node, ast.Dict) and None not in node.keys:
        keys = [_literal(key) for key in node.keys if key is not None]
        return dict(zip(map(str, keys), map(_literal, node.values), strict=True))
    if isinstance(node, ast.Name):
        return _LITERALS.get(node.id, node.id)
    raise ValueError(f"{type(node).__name__} is no literal")


def _real(number: str) -> float:
    value = float(number)
    if not math.isfinite(value):
        raise ValueError(f"{number:.20} is no finite number")
    return value


def _no_number(name: str) -> Any:
    raise ValueError(f"{name} is no number of JSON")


_DECODER = json.JSONDecoder(
    parse_int=whole_number, parse_float=_real, parse_constant=_no_number, strict=False
)
