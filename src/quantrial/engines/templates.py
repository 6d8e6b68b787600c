"""Chat templates: what an arm is really shown, and the day's date in what it is shown.

Jinja templates (in GGUF files, on llama-server) and Go templates (Ollama's) are read as text: which
ask for the date, and how one is told another day. An engine that can say what its template makes of
messages does so by a method `render(requests) -> list[str]`, and by `render_key(request)` where the
same key always means the same text.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

import orjson

from quantrial.engines.cache import cache_dir, replace_atomically
from quantrial.errors import StudyError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from quantrial.engines.base import Engine, Request

# The day that templates of Llama 3.1 and later write where nobody tells them another. That it is
# the same for every run is what matters; an arm's option `date` says another.
PINNED = "2024-07-26"
# What llama.cpp hands to every template: the day as text, and a function that writes it.
SUPPLIED = ("date_string", "datetime", "strftime_now")

_DAY = frozenset(
    {"date", "datetime", "day", "now", "strftime", "time"}
    | {"today", "todays", "tomorrow", "yesterday"}
)
_NO_DAY = frozenset({"cutoff", "knowledge", "training"})
_MONTHS = (
    *("January", "February", "March", "April", "May", "June", "July"),
    *("August", "September", "October", "November", "December"),
)
_WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_TAG = re.compile(r"\{\{(?P<shown>.*?)\}\}|\{%(?P<done>.*?)%\}", re.DOTALL)
_COMMENT = re.compile(r"\{#.*?#\}|\{\{-?\s*/\*.*?\*/\s*-?\}\}", re.DOTALL)
_LITERAL = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"|`[^`]*`", re.DOTALL)
_NAME = re.compile(r"(?<![\w.$])[A-Za-z_]\w*")
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")


def dates_in(template: str) -> tuple[str, ...]:
    """Name what a template asks for the day's date: functions and variables that it is handed.

    What it only sets itself, to a fixed day, is none.
    """
    return tuple(name for name in sorted(_asked_for(template)) if _names_a_day(name))


def shows_tools(template: str) -> bool:
    """Whether a Jinja template asks for the tools that a model may call."""
    return "tools" in _asked_for(template)


def _asked_for(template: str) -> set[str]:
    """Return the names that a template reads and does not define first."""
    import jinja2
    from jinja2 import meta

    environment = jinja2.Environment(extensions=["jinja2.ext.loopcontrols"])  # parsed, never run
    try:
        return set(meta.find_undeclared_variables(environment.parse(template)))
    except (jinja2.TemplateError, RecursionError):
        pass  # Go, or tags that only one server knows: every name in it then
    bare = _COMMENT.sub("", template)
    tags = (found["shown"] or found["done"] or "" for found in _TAG.finditer(bare))
    return {name for tag in tags for name in _NAME.findall(_LITERAL.sub(" ", tag))}


def _names_a_day(name: str) -> bool:
    words = {word.lower() for word in _WORD.findall(name)}
    return bool(words & _DAY) and not words & _NO_DAY


def day_option(options: Mapping[str, Any], *, key: str) -> date:
    """Return the day that templates are told: the option `date`, by default `PINNED`.

    Raises:
        StudyError: the option is no day; `key` is where the options stand in the study.
    """
    given = options.get("date") or PINNED
    try:
        return date.fromisoformat(given)
    except ValueError:
        raise StudyError(
            f"expected a day such as {PINNED}, got {given!r:.40}", key=f"{key}.date"
        ) from None


def with_day(template: str, day: date) -> str:
    """Return a Jinja template that writes this day whenever it writes the day's date.

    What llama.cpp would hand to it is defined in front; nothing is printed there, and the space
    that the template itself begins with stays.
    """
    written = "".join(f' | replace("{code}", "{text}")' for code, text in _codes(day).items())
    return (
        f"{{%- macro strftime_now(format) -%}}{{{{- format{written} -}}}}{{%- endmacro -%}}"
        f'{{%- set date_string = "{as_string(day)}" -%}}'
        f'{{%- set datetime = "{_as_datetime(day)}" -%}}'
        f'{{{{- "" }}}}{template}'
    )


def as_string(day: date) -> str:
    """Write a day as `date_string` holds it: `26 Jul 2024`."""
    return f"{day.day:02d} {_MONTHS[day.month - 1][:3]} {day.year}"


def _as_datetime(day: date) -> str:
    return f"{_MONTHS[day.month - 1][:3]} {day.day:02d} {day.year}"  # as llama.cpp writes it


def arguments_for(names: tuple[str, ...], day: date) -> dict[str, str]:
    """Return `chat_template_kwargs` that hold the day of a template that asks for it by name."""
    known = {"date_string": as_string(day), "datetime": _as_datetime(day)}
    return {name: text for name, text in known.items() if name in names}


def holds_day(text: str, day: date) -> bool:
    """Whether a day is written in a text, in one of the usual ways."""
    return any(
        re.search(rf"(?<!\d){re.escape(written)}(?!\d)", text, re.IGNORECASE) is not None
        for written in _written(day)
    )


def _codes(day: date) -> Mapping[str, str]:
    """Return what each code of `strftime` stands for on a day, at its beginning, in English."""
    year, month, weekday = f"{day.year:04d}", _MONTHS[day.month - 1], _WEEKDAYS[day.weekday()]
    slashed = f"{day.month:02d}/{day.day:02d}/{year[-2:]}"
    return {
        **{"%F": day.isoformat(), "%D": slashed, "%x": slashed, "%Y": year, "%y": year[-2:]},
        **{"%B": month, "%b": month[:3], "%h": month[:3], "%A": weekday, "%a": weekday[:3]},
        **{"%m": f"{day.month:02d}", "%-m": f"{day.month}", "%j": f"{day.timetuple().tm_yday:03d}"},
        **{"%d": f"{day.day:02d}", "%-d": f"{day.day}", "%e": f"{day.day:2d}"},
        **{"%u": f"{day.isoweekday()}", "%w": f"{day.isoweekday() % 7}"},
        **{"%T": "00:00:00", "%X": "00:00:00", "%R": "00:00", "%H": "00", "%I": "12", "%M": "00"},
        **{"%S": "00", "%p": "AM", "%Z": "UTC", "%z": "+0000"},
    }


def _written(day: date) -> tuple[str, ...]:
    year, month, number = day.year, day.month, day.day
    first, last = [f"{month:02d}", f"{number:02d}"], [f"{number:02d}", f"{month:02d}"]
    forms = ("{d} {m} {y}", "{d}. {m} {y}", "{d}-{m}-{y}", "{m} {d}, {y}", "{m} {d} {y}")
    names = (_MONTHS[month - 1], _MONTHS[month - 1][:3])
    return (
        *(apart.join((f"{year}", *first)) for apart in ("-", "/", ".", "")),
        *(apart.join((*first, f"{year}")) for apart in ("/", "-")),
        *(apart.join((*last, f"{year}")) for apart in ("/", ".", "-")),
        f"{number}.{month}.{year}",
        *(
            form.format(d=count, m=name, y=year)
            for name in names
            for count in (f"{number:02d}", f"{number}")
            for form in forms
        ),
        f"{year}年{month}月{number}日",
        f"{year}年{month:02d}月{number:02d}日",
    )


@dataclass(frozen=True, slots=True)
class Rendered:
    """What a template makes of one request: its hash, and how it ends.

    `ending` is what stands behind the last message: where a template opens a thought, it ends in
    that tag. `day_written` says whether the day that the template is told, or today, stands in the
    text and not in the messages.
    """

    sha256: str
    ending: str
    day_written: bool


def render(engine: Engine, requests: Sequence[Request]) -> list[str] | None:
    """Return the text that a model reads of each request; None where the engine cannot tell.

    Raises:
        EngineError: it can, and failed.
    """
    if all(request.text is not None for request in requests):
        return [request.text or "" for request in requests]  # no template stands around a text
    how = getattr(engine, "render", None)
    if how is None:
        return None
    texts: list[str] | None = how(requests)
    return texts


def rendered(engine: Engine, request: Request, *, held: str | None) -> Rendered | None:
    """Say what a template makes of a request; None where the engine cannot tell.

    What an engine has a key of is remembered without its text: that is the user's.

    Args:
        engine: the arm's.
        request: what is asked.
        held: the day that the template is told; today where nobody tells it one.

    Raises:
        EngineError: the template could not be applied.
    """
    key_of = getattr(engine, "render_key", None)
    key = None if key_of is None else key_of(request)
    record = cache_dir() / "templates" / f"{key}.json"
    if key is not None:
        with contextlib.suppress(OSError, ValueError, TypeError):
            return Rendered(**orjson.loads(record.read_bytes()))
    texts = render(engine, [request])
    if texts is None:
        return None
    own = "\n".join(message.content for message in request.messages)
    own += json.dumps(request.tools, ensure_ascii=False)
    last = request.messages[-1].content.strip() if request.messages else ""
    _, found_last, behind = texts[0].rpartition(last) if last else ("", "", "")
    found = Rendered(
        hashlib.sha256(texts[0].encode("utf-8", "surrogatepass")).hexdigest(),
        (behind if found_last else texts[0]) if request.messages else "",
        _holds(texts[0], held) and not _holds(own, held),
    )
    if key is not None and found_last:  # else the ending would hold what is the user's
        with contextlib.suppress(OSError):
            replace_atomically(record, orjson.dumps(asdict(found)))
    return found


def _holds(text: str, held: str | None) -> bool:
    """Whether a text holds the day that a template is told, or today where it is told none."""
    if held is None:
        return holds_day(text, datetime.now(UTC).astimezone().date())
    try:
        return holds_day(text, date.fromisoformat(held))
    except ValueError:  # a user's own words for it
        return held in text
