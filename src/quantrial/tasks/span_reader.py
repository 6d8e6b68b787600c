"""Finds the array of spans in a model's text, whatever stands around it.

`read_spans` reads the first whole JSON array of the right shape. A pass over the text follows the
grammar of JSON from a `[` on, without recursion; where it fails, the next one begins behind. So a
million brackets, deep nesting and numbers of any length take a time that is linear in the text.
"""

from __future__ import annotations

import functools
import json
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

Span = tuple[str, str]

_TEXT_KEYS = ("text", "entity", "span", "name", "word")
_TYPE_KEYS = ("type", "label", "tag", "entity_group")
_UNSEEN = dict.fromkeys(map(ord, "\u00ad\u200b\u200e\u200f\u2060\ufeff"))
_LONG = 10_000  # characters: beyond that a text is not remembered

_INDENT = 100  # characters of white space between a key's colon and its value
_SPACE = re.compile(r"[ \t\n\r]*+")
_STRING = re.compile(r'"[^"\\\x00-\x1f]*+(?:\\(?:["\\/bfnrt]|u[0-9A-Fa-f]{4})[^"\\\x00-\x1f]*+)*+"')
_BROKEN_OFF = re.compile(r'"[ \t\n\r]{0,99}:[ \t\n\r]{0,99}\[[ \t\n\r]{0,99}\{')  # if none is whole
_ATOM = re.compile(
    r"-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?(?:[eE][+-]?[0-9]++)?|true|false|null|NaN|-?Infinity"
)

# what may come next; the first value or key of a bracket may also be its end
_VALUES = ("value", "first value")
_STRINGS = (*_VALUES, "key", "first key")
_ENDS = ("comma", "first value", "first key")


def _number(said: str) -> float:
    """Stand for a number, none of which matters: one of 100,000 digits is no reason to fail."""
    return 0.0


_DECODER = json.JSONDecoder(parse_int=_number, parse_float=_number)


def compared(text: str, label: str) -> Span:
    """Bring a span to its compared form: NFC, white space collapsed; lower text, upper TYPE.

    Signs that nobody sees (zero-width space, soft hyphen, byte order mark, marks of direction) are
    left out; joiners stay, for they change what is written.
    """
    return _plain(text.lower()), _plain(label.upper())


def _plain(text: str) -> str:
    return " ".join(composed(text).split())


def composed(text: str) -> str:
    """Bring a text to NFC, without the signs that nobody sees."""
    return unicodedata.normalize("NFC", text if text.isascii() else text.translate(_UNSEEN))


def read_spans(text: str) -> frozenset[Span] | None:
    """Read the set of spans from a text; None where it holds no whole array of the right shape.

    The first such array counts, and what stands around it does not. Its elements are objects that
    name a text (`text`, `entity`, `span`, `name` or `word`) and a type (`type`, `label`, `tag` or
    `entity_group`; `entity` beside another text); an element that does not spoils the array. What
    stands within another array, whole or broken off, is no array of its own. Of an object with
    several arrays an empty one counts only where no other names anything.
    """
    return _remembered(text) if len(text) <= _LONG else _read(text)


@functools.lru_cache(maxsize=4096)  # arms say the same, and more than one table asks for it
def _remembered(text: str) -> frozenset[Span] | None:
    return _read(text)


def _read(text: str) -> frozenset[Span] | None:
    empty, last = False, 0  # whether an empty array was the value of a key; where the last ended
    for start, end in _arrays(text):
        if empty and ("}" in text[last:start] or not _is_of_key(text, start)):
            break  # it stands in no other place of the same object
        last = end
        elements = _decoded(text[start:end])
        if elements is None:
            continue
        found = [_span(one) for one in elements]
        if None in found:
            continue
        if found or not _is_of_key(text, start):
            return frozenset(span for span in found if span is not None)
        empty = True
    else:
        closes = text.find("}", last) if empty else -1
        if empty and _BROKEN_OFF.search(text, last, closes if closes >= 0 else len(text)):
            return None
    return frozenset() if empty else None


def _decoded(array: str) -> list[Any] | None:
    """Decode an array that may hold objects; None for any other, and for nesting without end."""
    if array[1:].lstrip(" \t\n\r")[:1] not in ("{", "]"):
        return None
    try:
        found = _DECODER.decode(array)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, list) else None


def _span(element: Any) -> Span | None:
    if not isinstance(element, dict):
        return None
    texts = [key for key in _TEXT_KEYS if key in element]
    types = [key for key in _TYPE_KEYS if key in element]
    if not types and len(texts) > 1 and "entity" in texts:
        texts.remove("entity")  # beside another text it is the type, as taggers write it
        types = ["entity"]
    if not texts or not types:
        return None
    text, label = element[texts[0]], element[types[0]]
    if not isinstance(text, str) or not isinstance(label, str):
        return None
    span = compared(text, label)
    return span if all(span) else None


@dataclass(frozen=True, slots=True)
class _Pass:
    """How far JSON goes from a bracket on: whether it closes, and where it ends or fails.

    `objects`: it held a whole object before. `again`: where another bracket may stand; within the
    last string if it seems to be none, since a quotation mark of the prose opened it.
    """

    whole: bool
    end: int
    objects: bool
    again: int


def _arrays(text: str) -> Iterator[tuple[int, int]]:
    """Yield begin and end of each whole array that stands in no other one."""
    start, broken = text.find("["), False
    while start >= 0:
        followed = _follow(text, start)
        # behind an array of objects that is no JSON, the value of a key is part of its rest
        if followed.whole and not (broken and _is_of_key(text, start)):
            yield start, followed.end
        broken = broken or (followed.objects and not followed.whole)
        start = text.find("[", followed.again)


def _is_of_key(text: str, start: int) -> bool:
    before = text[max(start - _INDENT, 0) : start].rstrip()
    return before.endswith(":") and before[:-1].rstrip().endswith('"')


def _follow(text: str, start: int) -> _Pass:
    """Follow the grammar of JSON from a bracket on."""
    place, size = start, len(text)
    open_: list[str] = []  # what closes each bracket that is open
    expected, braces, objects = "value", False, False
    again = start + 1
    while place < size:
        sign = text[place]
        if sign in " \t\n\r":
            place = _end(_SPACE.match(text, place))
            continue
        if sign == '"' and expected in _STRINGS:
            end = _end(_STRING.match(text, place))
            expected = "colon" if "key" in expected else "comma"
        elif sign in "]}" and expected in _ENDS and open_[-1] == sign:
            end, expected = place + 1, "comma"
            objects = objects or (sign == "}" and len(open_) == 2)
            open_.pop()
        elif sign == "," and expected == "comma":
            end, expected = place + 1, "value" if open_[-1] == "]" else "key"
        elif sign == ":" and expected == "colon":
            end, expected = place + 1, "value"
        elif sign in "[{" and expected in _VALUES:
            end, expected = place + 1, "first value" if sign == "[" else "first key"
            open_.append("]" if sign == "[" else "}")
            braces = braces or sign == "{"
        elif expected in _VALUES:
            end, expected = _end(_ATOM.match(text, place)), "comma"
        else:
            end = -1
        if end < 0:
            return _Pass(False, place, objects, max(again, start + 1))
        # what lies behind was read; but a string may be none where no object began before it
        again = place + 1 if sign == '"' and not braces else end
        place = end
        if not open_:
            return _Pass(True, place, objects, place)
    return _Pass(False, size, objects, size)


def _end(match: re.Match[str] | None) -> int:
    return -1 if match is None else match.end()
