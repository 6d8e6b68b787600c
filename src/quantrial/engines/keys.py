"""Keys of servers: read out of the environment, hidden from then on, refused in a study."""

from __future__ import annotations

import ipaddress
import os
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from quantrial.errors import StudyError
from quantrial.redaction import LEAST, hide, is_stand_in, key_among

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


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
    """Return the key that a variable of the environment holds; empty where it holds none."""
    return (os.environ.get(variable) or "").strip()


def secret_of(variable: str | None, *, owner: object, key: str) -> str | None:
    """Read the key out of a variable of the environment; None where no variable is named.

    It is hidden from all that is written while `owner` is there.

    Raises:
        StudyError: it is no name of a variable, the variable is not set, or what it holds cannot
            be sent.
    """
    if variable is None:
        return None
    if not _VARIABLE.fullmatch(variable):
        # it may be the key itself, which is not to be repeated
        raise StudyError("expected the name of a variable of the environment", key=key)
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
