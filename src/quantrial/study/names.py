"""Names of studies, arms and tasks: one rule, which files, pages, tables and ids can rely on.

A name stands in names of files, on any system's disk, between dots in ids, in pages, tables and
LaTeX. What cannot be such a name is refused when the study is read. A workload is words, which
stand in texts alone. Values of strata and clusters come with the items and may be anything.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Annotated

from pydantic import AfterValidator, Field

NAME = r"^[A-Za-z0-9][A-Za-z0-9_-]*$"
LONGEST = 64
LONGEST_WORDS = 200
# Windows keeps these for devices, whatever follows a dot
_DEVICE = re.compile(r"con|prn|aux|nul|com[0-9]|lpt[0-9]", re.IGNORECASE)


def check_name(name: str) -> str:
    """Return a name that can be one on every system.

    Raises:
        ValueError: it cannot; see the message.
    """
    if _is_device(name):
        raise ValueError(
            f"{name!r} is reserved for a device on Windows, so no file can have that name; "
            "take another name"
        )
    return name


def is_name(text: str) -> bool:
    """Whether a text is a name that a study accepts."""
    return bool(re.fullmatch(NAME[:-1], text)) and len(text) <= LONGEST and not _is_device(text)


def name_like(text: str) -> str:
    """Make a name that a study accepts of any text; empty where nothing of it can stand in one."""
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", text).lstrip("-_")[:LONGEST].rstrip("-")
    return f"{name}_" if _is_device(name) else name


def _is_device(name: str) -> bool:
    return _DEVICE.fullmatch(name) is not None


def check_words(text: str) -> str:
    """Return words that can stand in a table, a heading and on a command line: a workload's.

    Raises:
        ValueError: they are none; see the message.
    """
    if not text.strip() or text != text.strip():
        raise ValueError(f"should be words without blanks around them; got {text!r:.60}")
    if not text.isprintable():
        raise ValueError(
            f"should be one line of visible characters; got {text!r:.60}, with a line end or an "
            "invisible character"
        )
    if len(text) > LONGEST_WORDS:
        raise ValueError(f"should have at most {LONGEST_WORDS} characters; got {len(text):,}")
    return text


def check_apart(names: Iterable[str], what: str) -> None:
    """See that every disk can tell names apart.

    Raises:
        ValueError: two differ by case alone.
    """
    seen: dict[str, str] = {}
    for name in names:
        other = seen.setdefault(name.lower(), name)
        if other != name:
            raise ValueError(
                f"{what} {other!r} and {name!r} differ only in capital letters. Files are named "
                "after them, and some disks cannot tell these apart; rename one"
            )


Name = Annotated[str, Field(pattern=NAME, max_length=LONGEST), AfterValidator(check_name)]
Words = Annotated[str, AfterValidator(check_words)]
