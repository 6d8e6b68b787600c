"""YAML of a study file, read strictly: bounded in size, and no value that readers differ on.

What a scalar stands for comes first, then the limits: a file of aliases of aliases is counted as
what it stands for, before it is built.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Never

import yaml

from quantrial.errors import StudyError
from quantrial.inert import clean

PREFIX = "tag:yaml.org,2002:"
_LONGEST_SHOWN = 40
_INT_BITS = 63
_NULL = {"", "~", "null", "Null", "NULL"}


class ValueNotReadError(Exception):
    """A scalar stands for no value that is read; the message says why, without a place."""


def _in_any_case(words: dict[str, bool]) -> dict[str, bool]:
    return {
        form: value
        for word, value in words.items()
        for form in (word, word.capitalize(), word.upper())
    }


_BOOL = _in_any_case({"true": True, "false": False})
_BOOL_1_1 = _in_any_case({"yes": True, "no": False, "on": True, "off": False})
_DECIMAL = re.compile(r"[-+]?[0-9]+")
_OCTAL = re.compile(r"0o[0-7]+")
_HEXADECIMAL = re.compile(r"0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
# A number of YAML 1.2 that YAML 1.1 may take for a text.
NUMBER_1_2 = re.compile(f"(?:{_FLOAT.pattern}|{_OCTAL.pattern})$")
_LONE = re.compile("[\ud800-\udfff]")


def plain_value(text: str) -> Any:
    """Resolve a scalar without quotes.

    Raises:
        ValueNotReadError: two versions of YAML differ on it, or it is no finite number, or no
            integer of 64 bits.
    """
    if text in _NULL:
        return None
    if text in _BOOL:
        return _BOOL[text]
    if _NOT_FINITE.fullmatch(text):
        raise ValueNotReadError(f"is {text}; a finite number is needed")
    check_alike(text)
    if _DECIMAL.fullmatch(text):
        return _integer(text, 10)
    if _HEXADECIMAL.fullmatch(text):
        return _integer(text, 16)
    if _FLOAT.fullmatch(text):
        value = float(text)
        if not math.isfinite(value):
            raise ValueNotReadError(f"is {shown(text)}, too large for a number")
        return value
    return whole_text(text)


def tagged_value(text: str, name: str) -> Any:
    """Resolve a scalar whose tag says what it is: `int`, `float`, `bool`, `null` or `str`.

    Raises:
        ValueNotReadError: it is not that.
    """
    if name == "str":
        return whole_text(text)
    value = plain_value(text)
    if name == "float" and type(value) is int:
        return float(value)
    if type(value) is not {"int": int, "float": float, "bool": bool, "null": type(None)}[name]:
        raise ValueNotReadError(f"is {shown(text)}, which is no !!{name}")
    return value


def whole_text(text: str) -> str:
    """Return a text that can be written as UTF-8 and handed to any program.

    Raises:
        ValueNotReadError: it holds a NUL, or half of a character.
    """
    if "\0" in text:
        raise ValueNotReadError("holds a NUL character, which no text here may")
    if _LONE.search(text):
        # JSON writes a character beyond the first 65,536 as two escapes
        text = text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
        if lone := _LONE.search(text):
            code = f"\\u{ord(lone[0]):04x}"
            raise ValueNotReadError(f"holds {code}, half of a character; write it whole")
    return text


def check_alike(text: str, *, as_key: bool = False) -> None:
    """Refuse what YAML 1.1 and 1.2 read as different values, with what to write instead.

    Args:
        text: a scalar without quotes.
        as_key: it is a key, so that no number or boolean can be meant.

    Raises:
        ValueNotReadError: they differ.
    """
    readings = _readings(text)
    if readings is None:
        return
    old, new = (one or "a text" for one in readings)
    ways = [f"'{shown(text)}' in quotes"]
    if not as_key:
        ways.append(" or ".join(dict.fromkeys(one for one in readings if one)))
    raise ValueNotReadError(
        f"{shown(text)} is {old} in YAML 1.1 and {new} in YAML 1.2; write {', or '.join(ways)}"
    )


def shown(text: str) -> str:
    """Cut a text to what a message has room for."""
    text = clean(text[: _LONGEST_SHOWN + 1])
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}..."


def _integer(text: str, base: int) -> int:
    digits = text.removeprefix("0x").lstrip("+-0")
    # longer ones are not even converted: that takes a time of its own
    value = int(text, base) if len(digits) <= _INT_BITS else None
    if value is None or not -(2**_INT_BITS) <= value < 2**_INT_BITS:
        raise ValueNotReadError(f"is {shown(text)}, which does not fit into 64 bits")
    return value


def _readings(text: str) -> tuple[str | None, str | None] | None:
    """Say what a plain scalar is in YAML 1.1 and in 1.2, None for a text; None where they agree."""
    if text in _BOOL_1_1:
        return str(_BOOL_1_1[text]).lower(), None
    if _OCTAL.fullmatch(text):
        return None, _number(text, 8)
    new = _number(text, 10) if _DECIMAL.fullmatch(text) else None
    if new is None and (_FLOAT.fullmatch(text) or _HEXADECIMAL.fullmatch(text)):
        return None  # YAML 1.1 takes 1e3 for a text, and nobody means one
    old = _number_1_1(text)
    return None if old == new else (old, new)


def _number(text: str, base: int) -> str:
    """Write a whole number as decimal digits, or say that it is one where it is long."""
    return "a number" if len(text) > _LONGEST_SHOWN else str(int(text, base))


def _number_1_1(text: str) -> str | None:
    """Write what YAML 1.1 takes for a number, as PyYAML reads it; None where it is none."""
    tag = _RESOLVER.resolve(yaml.ScalarNode, text, (True, False))
    if tag not in (PREFIX + "int", PREFIX + "float"):
        return None
    if len(text) > _LONGEST_SHOWN:
        return "a number"
    node = yaml.ScalarNode(tag, text)
    try:
        if tag == PREFIX + "int":
            return str(_CONSTRUCTOR.construct_yaml_int(node))
        return repr(_CONSTRUCTOR.construct_yaml_float(node))
    except ValueError:  # `0x_` is a number without digits
        return "a number"


_RESOLVER: Any = yaml.resolver.Resolver()
_CONSTRUCTOR = yaml.constructor.SafeConstructor()


MOST_BYTES = 2**18
# After aliases are expanded. A study of a hundred arms and tasks has some three thousand nodes.
_MOST_NODES = 10_000
_MOST_CHARACTERS = 2**20
_DEEPEST = 32

_BREAK_1_1 = re.compile("[\x85\u2028\u2029]")
_SCALARS = tuple(PREFIX + name for name in ("str", "int", "float", "bool", "null"))


def parse_yaml(text: str, *, path: Path | str | None = None) -> Any:
    """Parse one YAML document into texts, numbers, booleans, null, lists and dicts of text keys.

    Merge keys (`<<`) are read. An integer fits into 64 bits, a number is finite, a text can be
    written as UTF-8 and holds no NUL.

    Args:
        text: the document.
        path: the file it stands in, for errors.

    Raises:
        StudyError: it is no YAML, too large, too deep, or a value in it is not read, with its line
            and its key.
    """
    if len(text) > MOST_BYTES:
        raise StudyError(too_large(f"{len(text):,} characters"), path=path)
    if found := _BREAK_1_1.search(text):
        # it could end a comment, and what follows would be read by some and seen by few
        code = f"{ord(found[0]):04X}"
        raise StudyError(
            f"not valid YAML at line {text.count(chr(10), 0, found.start()) + 1}: U+{code} ends a "
            f'line in YAML 1.1 and none in YAML 1.2; write it as "\\u{code}", in double quotes',
            path=path,
        )
    loader: Any = None
    try:
        loader = yaml.SafeLoader(text)
        return _Builder(path, iter(loader.get_event, None)).document()
    except yaml.YAMLError as exc:
        mark = getattr(exc, "problem_mark", None)
        where = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        problem = getattr(exc, "problem", None) or str(exc).splitlines()[0]
        raise StudyError(f"not valid YAML{where}: {clean(problem):.200}", path=path) from exc
    except (ValueError, OverflowError) as exc:
        if isinstance(exc, StudyError):
            raise
        where = f" at line {loader.get_mark().line + 1}" if loader else ""
        problem = 'a number is out of range, of an escape such as "\\U0001f600" or of a version'
        raise StudyError(f"not valid YAML{where}: {problem}", path=path) from exc


def too_large(size: str) -> str:
    """Say that a study file is too large to be read."""
    return (
        f"the study file has {size}; at most {MOST_BYTES:,} are read. Items and long texts belong "
        "into files of their own"
    )


def write_yaml(value: Any, *, width: int = 80, flow: bool = False) -> str:
    """Write YAML that versions 1.1 and 1.2 read as the same values, keys as given.

    `flow` writes lists and mappings between brackets, and no document's end.
    """
    how: Any = {"sort_keys": False, "allow_unicode": True, "width": width}
    text: str = yaml.dump(value, Dumper=_Dumper, default_flow_style=flow, **how)
    return text.removesuffix("\n").removesuffix("\n...") if flow else text


class _Dumper(yaml.SafeDumper):
    """Quotes what either version takes for something else than a text; writes no aliases."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _represent_text(dumper: _Dumper, text: str) -> yaml.Node:
    style = '"' if _BREAK_1_1.search(text) else None  # between other quotes it would be folded
    return dumper.represent_scalar(PREFIX + "str", text, style=style)


_Dumper.add_representer(str, _represent_text)
# the resolver of PyYAML knows 1.1
_Dumper.add_implicit_resolver(PREFIX + "float", NUMBER_1_2, list("-+.0123456789"))


@dataclass(frozen=True, slots=True)
class _Node:
    """A value with what it costs once aliases are expanded."""

    value: Any
    nodes: int = 1
    characters: int = 0
    height: int = 0


_Keys = tuple[str, ...]
_Event = Any  # PyYAML's events: each kind has other attributes


class _Builder:
    """Builds values from PyYAML's events, and stops at the first that goes beyond a limit."""

    def __init__(self, path: Path | str | None, events: Iterator[_Event]):
        self._path = path
        self._events = events
        self._anchors: dict[str, _Node | None] = {}  # None while it is being read
        self._nodes = self._characters = 0

    def document(self) -> Any:
        """Build the one document of the stream; None where it is empty."""
        value = None
        seen = False
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                if seen:
                    self._malformed(event, "a second document begins; a study file holds one")
                seen = True
                value = self._node(next(self._events), (), 0).value
        return value

    def _node(self, event: _Event, keys: _Keys, depth: int) -> _Node:
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event, keys, depth)
        self._count(event, keys, 1, 0)
        if event.anchor is not None:
            self._anchors[event.anchor] = None
        if isinstance(event, yaml.ScalarEvent):
            node = self._scalar(event, keys)
        else:
            self._check_depth(event, depth + 1)
            if isinstance(event, yaml.MappingStartEvent):
                node = self._mapping(event, keys, depth + 1)
            else:
                node = self._sequence(event, keys, depth + 1)
        if event.anchor is not None:
            self._anchors[event.anchor] = node
        return node

    def _alias(self, event: _Event, keys: _Keys, depth: int) -> _Node:
        name = shown(event.anchor)
        if event.anchor not in self._anchors:
            self._malformed(event, f"found undefined alias {name!r}")
        node = self._anchors[event.anchor]
        if node is None:
            self._malformed(event, f"the alias {name!r} stands within itself")
        self._count(event, keys, node.nodes, node.characters)
        self._check_depth(event, depth + node.height)
        return node

    def _sequence(self, event: _Event, keys: _Keys, depth: int) -> _Node:
        self._check_tag(event, (PREFIX + "seq",))
        parts: list[_Node] = []
        while not isinstance(inner := next(self._events), yaml.SequenceEndEvent):
            parts.append(self._node(inner, (*keys, str(len(parts))), depth))
        return _whole([part.value for part in parts], parts)

    def _mapping(self, event: _Event, keys: _Keys, depth: int) -> _Node:
        self._check_tag(event, (PREFIX + "map",))
        parts: list[_Node] = []
        own: dict[str, Any] = {}
        merged: list[dict[str, Any]] = []
        seen = set[str]()
        while not isinstance(inner := next(self._events), yaml.MappingEndEvent):
            merges = isinstance(inner, yaml.ScalarEvent) and _is_plain(inner, "<<")
            key = self._key(inner, keys, depth)
            name: str = key.value
            if name in seen:
                self._malformed(inner, f"the key {shown(name)!r} occurs twice")
            seen.add(name)
            event_of_value = next(self._events)
            value = self._node(event_of_value, (*keys, name), depth)
            parts += (key, value)
            if merges:
                merged = self._merged(event_of_value, value.value, (*keys, name))
            else:
                own[name] = value.value
        whole: dict[str, Any] = {}
        for mapping in reversed(merged):
            whole |= mapping
        return _whole(whole | own, parts)

    def _merged(self, event: _Event, value: Any, keys: _Keys) -> list[dict[str, Any]]:
        mappings = value if isinstance(value, list) else [value]
        if not all(isinstance(mapping, dict) for mapping in mappings):
            self._refuse(event, keys, "takes a mapping, or a list of mappings, to merge")
        return mappings

    def _key(self, event: _Event, keys: _Keys, depth: int) -> _Node:
        if isinstance(event, (yaml.MappingStartEvent, yaml.SequenceStartEvent)):
            self._malformed(event, "a key is a text, not a list or a mapping")
        own = event.value if isinstance(event, yaml.ScalarEvent) else f"*{event.anchor}"
        if isinstance(event, yaml.ScalarEvent) and _is_plain(event):
            try:
                check_alike(event.value, as_key=True)
            except ValueNotReadError as exc:
                self._refuse(event, (*keys, own), str(exc))
        node = self._node(event, (*keys, own), depth)
        if not isinstance(node.value, str):
            got = shown(own) or "null"
            self._refuse(event, (*keys, own), f"should be a text; put it in quotes; got {got}")
        return node

    def _scalar(self, event: _Event, keys: _Keys) -> _Node:
        self._check_tag(event, _SCALARS)
        self._count(event, keys, 0, len(event.value))
        try:
            if _is_plain(event):
                value = plain_value(event.value)
            elif event.tag in _SCALARS:
                value = tagged_value(event.value, event.tag.removeprefix(PREFIX))
            else:
                value = whole_text(event.value)
        except ValueNotReadError as exc:
            self._refuse(event, keys, str(exc))
        return _Node(value, 1, len(event.value))

    def _check_tag(self, event: _Event, known: tuple[str, ...]) -> None:
        if event.tag not in (None, "!", *known):
            tag = shown(event.tag.replace(PREFIX, "!!"))
            names = ", ".join(name.replace(PREFIX, "!!") for name in known)
            self._malformed(event, f"the tag {tag!r} is not read here; what is: {names}")

    def _check_depth(self, event: _Event, depth: int) -> None:
        if depth > _DEEPEST:
            self._malformed(event, f"nested too deeply; at most {_DEEPEST} levels are read")

    def _count(self, event: _Event, keys: _Keys, nodes: int, characters: int) -> None:
        self._nodes += nodes
        self._characters += characters
        if self._nodes > _MOST_NODES:
            much = f"more than {_MOST_NODES:,} values, each alias counted as what it stands for"
        elif self._characters > _MOST_CHARACTERS:
            much = f"more than {_MOST_CHARACTERS:,} characters once its aliases are expanded"
        else:
            return
        self._refuse(event, keys, f"the study file holds {much}")

    def _malformed(self, event: _Event, problem: str) -> Never:
        raise yaml.MarkedYAMLError(problem=problem, problem_mark=event.start_mark)

    def _refuse(self, event: _Event, keys: _Keys, problem: str) -> Never:
        key = ".".join(clean(part[:64]) for part in keys)
        line = event.start_mark.line + 1
        raise StudyError(f"{problem} (line {line})", path=self._path, key=key or None)


def _whole(value: Any, parts: list[_Node]) -> _Node:
    return _Node(
        value,
        1 + sum(part.nodes for part in parts),
        sum(part.characters for part in parts),
        1 + max((part.height for part in parts), default=0),
    )


def _is_plain(event: _Event, text: str | None = None) -> bool:
    """Whether a scalar stands without quotes and tag, and is this text."""
    plain: bool = event.tag is None and event.implicit[0]
    return plain and text in (None, event.value)
