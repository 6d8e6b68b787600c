"""Options of an engine, checked once at the door; keys of servers, which stand in none of them.

Unknown names and wrong values are refused. A key is read out of the environment, hidden from then
on, and refused where it stands in a study.
"""

from __future__ import annotations

import ipaddress
import os
import re
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from quantrial.errors import StudyError
from quantrial.redaction import LEAST, hide, is_stand_in, key_among
from quantrial.registry import ENGINES, hint_of, nearest

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from quantrial.study import Arm

_NOUNS = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "a text",
    list: "a list",
    dict: "a mapping",
}


@dataclass(frozen=True, slots=True)
class Option:
    """One option: the type of its value, what it is when not said, its smallest value, or all."""

    type: type
    default: Any = None
    low: float | None = None
    choices: tuple[str, ...] = ()


def read_options(
    given: Mapping[str, Any], known: Mapping[str, Option], *, key: str
) -> dict[str, Any]:
    """Return every known option with its value, filling in defaults.

    Raises:
        StudyError: an unknown option (naming the nearest known one), or a value of the wrong type,
            below the smallest allowed, or not among those allowed; `key` is where the options stand
            in the study.
    """
    for name in given:
        if name not in known:
            hint = hint_of(str(name), known, "options here: ")
            raise StudyError(f"unknown option; {hint}", key=f"{key}.{name}")
    return {
        name: _checked(given[name], option, key=f"{key}.{name}")
        if given.get(name) is not None
        else option.default
        for name, option in known.items()
    }


def _checked(value: Any, option: Option, *, key: str) -> Any:
    if option.type is str and isinstance(value, date):
        value = value.isoformat()  # YAML makes a day of 2026-11-30
    # bool is an int in Python, and never what a number means in a study file
    numeric = option.type is float and isinstance(value, int)
    fits = isinstance(value, option.type) or numeric
    if not fits or (isinstance(value, bool) and option.type is not bool):
        noun = _NOUNS.get(option.type, f"a {option.type.__name__}")
        raise StudyError(f"expected {noun}, got {value!r:.60}", key=key)
    if option.low is not None and value < option.low:
        raise StudyError(f"should be at least {option.low:g}, got {value!r}", key=key)
    if option.choices and value not in option.choices:
        near = nearest(str(value), option.choices)
        hint = f"; did you mean {near!r}?" if near else ""
        raise StudyError(
            f"expected one of {', '.join(option.choices)}; got {value!r:.60}{hint}", key=key
        )
    return option.type(value) if numeric else value


def is_loopback(url: str) -> bool:
    """Whether a URL leads to this machine: `localhost`, 127.0.0.0/8, ::1."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


_SHOWN = 60  # characters of a wrong address
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def key_in(variable: str) -> str:
    """Return the key that an environment variable holds; empty where it holds none."""
    return (os.environ.get(variable) or "").strip()


def secret_of(variable: str | None, *, owner: object, key: str) -> str | None:
    """Read the key out of an environment variable; None where no variable is named.

    It is hidden from all that is written while `owner` is there.

    Raises:
        StudyError: it is no name of a variable, the variable is not set, or what it holds cannot
            be sent.
    """
    if variable is None:
        return None
    if not _VARIABLE.fullmatch(variable):
        # it may be the key itself, which is not to be repeated
        raise StudyError("expected the name of an environment variable", key=key)
    value = key_in(variable)
    if not value:
        raise StudyError(f"the variable {variable} is not set; export the key in it", key=key)
    return sound_key(value, variable, owner=owner, key=key)


def sound_key(secret: str, variable: str, *, owner: object, key: str | None = None) -> str:
    """Hide a key from all that is written while `owner` is there, and return it.

    Raises:
        StudyError: no header carries it: it holds a line end (two lines of a file, for one) or a
            sign beyond ASCII.
    """
    hide(secret, owner=owner)
    if not all(" " <= sign <= "~" for sign in secret):
        raise StudyError(
            f"the variable {variable} holds a line end or a sign beyond ASCII within the key, and "
            "no header carries that; export the key alone",
            key=key,
        )
    return secret


def hide_named(options: Mapping[str, Any], *, owner: object) -> None:
    """Hide what the variables hold that options name: `api_key_env` and all others in `_env`."""
    for variable in _variables(options):
        hide(key_in(variable), owner=owner)


def _variables(options: Mapping[str, Any]) -> Iterator[str]:
    """Name the variables of the environment that options name."""
    for name, variable in options.items():
        if str(name).lower().endswith("_env") and isinstance(variable, str):
            yield variable


def short_keys(options: Mapping[str, Any]) -> list[str]:
    """Name the variables whose key is too short to be looked for in texts, and no stand-in."""
    named = {variable: key_in(variable) for variable in _variables(options)}
    return [n for n, key in named.items() if 0 < len(key) < LEAST and not is_stand_in(key)]


def refuse_keys(options: Mapping[str, Any], *, key: str) -> None:
    """Refuse options that hold a key: a study is copied into its run folder, and passed on.

    Raises:
        StudyError: naming the option, and not what it says.
    """
    if at := key_among(options, key):
        raise StudyError(
            "a key does not stand in a study, which is copied into the run folder: name a variable "
            "of the environment that holds it (`api_key_env`)",
            key=at,
        )


def shown_url(url: Any) -> str:
    """Show an address in a message, without the name, the password and the query it may hold."""
    text = url if isinstance(url, str) else repr(url)
    bare = re.sub(
        r"[?#].*", "?...", re.sub(r"^(\w*://)?.*@", r"\1...@", text, flags=re.S), flags=re.S
    )
    return repr(bare if len(bare) <= _SHOWN else bare[:_SHOWN] + "…")


@dataclass(frozen=True, slots=True)
class KeySent:
    """A key that a study sends away: the variable that holds it, and the server's address."""

    arm: str
    variable: str
    place: str


def keys_sent(arms: Mapping[str, Arm]) -> list[KeySent]:
    """List the keys that arms send to other machines: a study names the variable and the server.

    An engine says so itself, by a static method `sends_key(options, *, key)` that returns the
    variable and the URLs; `key` is where the options stand in the study.

    Raises:
        StudyError: an address is none.
    """
    return list(dict.fromkeys(_keys_sent(arms)))


def _keys_sent(arms: Mapping[str, Arm]) -> Iterator[KeySent]:
    for name, arm in arms.items():
        engine = ENGINES.load(arm.engine) if arm.engine in ENGINES.names() else None
        if (told := getattr(engine, "sends_key", None)) is None:
            continue
        variable, urls = told(arm.options, key=f"arms.{name}.options")
        if not isinstance(variable, str) or not key_in(variable):
            continue
        for url in urls:
            # what is no address is refused where the engine is made, before anything is sent
            if isinstance(url, str) and not is_loopback(url):
                yield KeySent(name, variable, url.rstrip("/"))
