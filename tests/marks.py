"""Texts that stand nowhere else, and a search for them in every file of a folder."""

from __future__ import annotations

import base64
import hashlib
import itertools
import json
import random
import string
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

_LETTERS = string.ascii_letters + string.digits


class Marks:
    """Marks of 12 characters, as many as are asked for, always the same ones."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self.all: list[str] = []

    def __call__(self) -> str:
        self.all.append("".join(self._random.choices(_LETTERS, k=12)))
        return self.all[-1]

    def number(self) -> str:
        """Return one that is a number, too."""
        self.all.append(
            self._random.choice("123456789") + "".join(self._random.choices("0123456789", k=11))
        )
        return self.all[-1]

    def missing(self, folder: Path) -> list[str]:
        """Return those that are in no file of a folder."""
        there = b"".join(files(folder).values())
        return [mark for mark in self.all if mark.encode() not in there]

    def found(self, folder: Path) -> list[tuple[str, str]]:
        """Return those that are in a file or its name, in whatever form, with the file."""
        held = files(folder)
        text = b"\0".join([*held.values(), *map(str.encode, held)])
        return [
            (mark, next((name for name, data in held.items() if form in data), "a name"))
            for mark in self.all
            for form in set(_forms(mark))
            if form in text
        ]


def _forms(text: str) -> Iterator[bytes]:
    data = text.encode()
    yield data
    yield data.hex().encode()
    yield hashlib.sha256(data).hexdigest()[:16].encode()
    for before in range(3):  # wherever it begins in what is encoded
        encoded = base64.b64encode(bytes(before) + data + bytes(3))
        yield encoded[4 if before else 0 :][:12]


def files(folder: Path) -> Mapping[str, bytes]:
    """Read every file of a folder."""
    found = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def _numbers(value: Any) -> Any:
    """Return the numbers of a document, without the names beside them."""
    if isinstance(value, Mapping):
        return [one for one in map(_numbers, value.values()) if one is not None]
    if isinstance(value, list):
        return [_numbers(one) for one in value]
    if isinstance(value, float):
        return round(value, 9)
    return value if isinstance(value, int) else None


def contrasts(run: Path) -> list[Any]:
    """Return the numbers of every contrast, whatever its endpoint and stratum are called."""
    summary = json.loads((run / "summary.json").read_text())
    found: list[Any] = []
    for name, task in summary["tasks"].items():
        groups: Iterable[Any] = itertools.chain.from_iterable(
            [task["endpoints"].values(), *(s.values() for s in task["strata"].values())]
        )
        for endpoint in groups:
            found += [(name, _numbers(one)) for one in endpoint["contrasts"]]
            found += [(name, arm, _numbers(one)) for arm, one in endpoint["arms"].items()]
        found += [(name, _numbers(one)) for one in task["failure_contrasts"]]
        found += [(name, _numbers(task["flow"]), task["chance"], task["margin"])]
        flips = [[one[k] for k in ("harmful", "beneficial", "churn", "n")] for one in task["flips"]]
        found += [(name, flips)]
    return sorted(found, key=repr)
