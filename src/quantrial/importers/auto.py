"""`quantrial import auto`: which format logs are of, and which arms they hold.

A format joins in by a function beside its reader, in the same module:

    def recognises(path: Path) -> Recognised | None

It says why a file or folder looks like the format, or returns None. It reads little (`start_of`,
`files_under`), and raises nothing but OSError. The formats are those of the registry.
"""

from __future__ import annotations

import itertools
import os
import re
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from quantrial import paths
from quantrial.errors import DataError, DataWarning, QuantrialError, StudyError
from quantrial.importers.base import Imported, LogPaths, Recognised
from quantrial.importers.log_rows import LogOptions
from quantrial.registry import IMPORTERS
from quantrial.study.names import name_like

_OWN_NAME = "auto"
_MOST_CHILDREN = 200
_LONGEST = 60  # characters of a path in a sentence
_SPLIT = re.compile(r"[^A-Za-z0-9]+")
_REMEDY = "name it: `quantrial import FORMAT f16=PATH q4=PATH`"


@dataclass(frozen=True, slots=True)
class Guess:
    """What logs look like.

    Attributes:
        form: the name of the importer.
        paths: what it is to read.
        said: what was guessed and why, in sentences.
    """

    form: str
    paths: LogPaths
    said: tuple[str, ...]


def read_auto(logs: LogPaths, *, options: LogOptions | None = None) -> Imported:
    """Read logs of whatever format they look like; the first notes say what was guessed and why.

    Args:
        logs: files and folders, by the names of their arms or without names.
        options: what the logs do not say.

    Raises:
        DataError: no format fits, or several do, or it is not clear what the arms are.
        DataError, StudyError: as the format's own reader.

    Warns:
        DataWarning: what was guessed, where the format's reader fails.
    """
    found = guess(logs)
    try:
        imported: Imported = IMPORTERS.load(found.form)(found.paths, options=options)
    except QuantrialError:
        # what was guessed may be what is wrong
        warnings.warn(" ".join(found.said), DataWarning, stacklevel=2)
        raise
    return replace(imported, notes=(*found.said, *imported.notes))


def guess(logs: LogPaths) -> Guess:
    """Say which format logs are of, and which arms they hold.

    Raises:
        DataError: no format fits, or several do, or it is not clear what the arms are.
    """
    if isinstance(logs, Mapping):
        form, known = _one_format(list(logs.values()))
        return _guess(form, known, dict(logs))
    if not logs:
        raise StudyError("a file or folder is needed", key="PATH")
    if len(logs) > 1:
        form, known = _one_format(logs)
        if all(len(known[path].arms) > 1 for path in logs):
            return _guess(form, known, logs)
        return _guess(form, known, _named(logs, known))
    (path,) = logs
    if paths.is_folder(path):
        whole = _formats(path)
        if len(whole) == 1:
            ((form, one),) = whole.items()
            if len(one.arms) > 1 and len(set(one.arms)) == len(one.arms):
                return _guess(form, {path: one}, logs)  # its parts need not be arms
        children = _children(path)
        if len(children) > 1:
            form, known = _one_format(children)
            return _guess(form, known, _named(children, known))
    form, known = _one_format(logs)
    return _guess(form, known, logs)


def two_arms(reference: Path | str, candidate: Path | str) -> dict[str, Path]:
    """Name two arms: as in `f16=PATH`, else by what tells the paths apart.

    Raises:
        StudyError: both have the same name.
    """
    names, logs = [], []
    for given in (reference, candidate):
        name, equals, path = os.fspath(given).partition("=")
        named = bool(equals) and not paths.is_there(given)
        names.append(name if named else "")
        logs.append(Path(path) if named else Path(given))
    if not all(names):
        usual = ["reference", "candidate"]
        found = _by_parts(logs)
        guessed = found if all(found) and found[0] != found[1] else usual
        names = [name or other for name, other in zip(names, guessed, strict=True)]
    if names[0] == names[1]:
        raise StudyError(f"both arms are named {names[0]!r}", key="ARM=PATH")
    return dict(zip(names, logs, strict=True))


def _guess(form: str, known: Mapping[Path, Recognised], logs: LogPaths) -> Guess:
    first = next(iter(known))
    said = [f"Read as {form}: {_shown(first)} {known[first].why}."]
    if isinstance(logs, Mapping):
        arms = ", ".join(f"{arm} ({_shown(path)})" for arm, path in logs.items())
    else:
        arms = ", ".join(dict.fromkeys(arm for one in known.values() for arm in one.arms))
    return Guess(form, logs, (*said, f"The arms are {arms}.") if arms else tuple(said))


def _shown(path: Path) -> str:
    text = os.fspath(path)
    return text if len(text) <= _LONGEST else ".../" + "/".join(path.parts[-2:])[-_LONGEST:]


def _recognisers() -> Iterator[tuple[str, Callable[[Path], Recognised | None]]]:
    """Yield the formats that can be recognised; one that cannot be loaded is none."""
    for name in IMPORTERS.names():
        try:
            reader = IMPORTERS.load(name)
        except QuantrialError:
            continue
        module = sys.modules.get(getattr(reader, "__module__", ""))
        found = getattr(module, "recognises", None)
        if name != _OWN_NAME and callable(found):
            yield name, found


def _formats(path: Path) -> dict[str, Recognised]:
    """Return the formats that fit; general ones only where no other does."""
    if not paths.is_there(path):
        raise DataError("no such file or folder", path=path)
    found = {}
    for name, recognises in _recognisers():
        try:
            one = recognises(path)
        except OSError as exc:
            raise DataError(f"cannot be read ({exc.strerror or exc})", path=path) from exc
        if one is not None:
            found[name] = one
    special = {name: one for name, one in found.items() if not one.general}
    return special or found


def _one_format(logs: Sequence[Path]) -> tuple[str, dict[Path, Recognised]]:
    by_path = {path: _formats(path) for path in logs}
    there = [name for name, _ in _recognisers()]
    for path, found in by_path.items():
        if not found:
            raise DataError(
                f"looks like none of {', '.join(there)}; if it is one of them, {_REMEDY}", path=path
            )
    fitting = [name for name in there if all(name in found for found in by_path.values())]
    if len(fitting) != 1:
        first, second = logs[0], logs[-1]
        if fitting:
            each = "; ".join(f"{name} ({by_path[first][name].why})" for name in fitting)
            raise DataError(f"may be {each}: {_REMEDY}", path=first)
        raise DataError(
            f"looks like {', '.join(by_path[first])}, and {_shown(second)} like "
            f"{', '.join(by_path[second])}: logs of one format can be paired",
            path=first,
        )
    return fitting[0], {path: found[fitting[0]] for path, found in by_path.items()}


def _children(folder: Path) -> list[Path]:
    """Return what of a folder may each be an arm: its subfolders, else its files."""
    found = sorted(itertools.islice(folder.iterdir(), _MOST_CHILDREN))
    found = [path for path in found if not path.name.startswith(".")]
    inside = [path for path in found if paths.is_folder(path) and _formats(path)]
    if inside:
        return inside
    files = [(path, _formats(path)) for path in found if paths.is_file(path)]
    # several files of one arm are no arms: each has to name another one, or to be a plain table
    return [path for path, known in files if any(one.arms or one.general for one in known.values())]


def _named(logs: Sequence[Path], known: Mapping[Path, Recognised]) -> dict[str, Path]:
    """Name each arm by what its log says, else by what tells the paths apart.

    Raises:
        DataError: nothing does.
    """
    inside = [known[path].arms for path in logs]
    ways = (_by_parts(logs), [name_like(arms[0]) if len(arms) == 1 else "" for arms in inside])
    files = all(map(paths.is_file, logs))
    for names in reversed(ways) if files else ways:
        if all(names) and len(set(names)) == len(logs):
            return dict(zip(names, logs, strict=True))
    raise DataError(
        "what the arms are called is not clear; name each one, as in f16=PATH q4=PATH",
        path=logs[0],
    )


def _by_parts(logs: Sequence[Path]) -> list[str]:
    """Return what tells paths apart: a folder's name, or the part of a file's name that differs."""
    parts = [(*path.resolve().parts[:-1], path.resolve().name) for path in logs]
    if len({len(one) for one in parts}) > 1:
        return ["" for _ in logs]
    differing = [names for names in zip(*parts, strict=True) if len(set(names)) > 1]
    names = next((one for one in differing if len(set(one)) == len(logs)), None)
    if names is None:
        return ["" for _ in logs]
    words = [_SPLIT.split(Path(name).stem if paths.is_file(path) else name)
             for name, path in zip(names, logs, strict=True)]  # fmt: skip
    if not all(map(paths.is_file, logs)):
        return [name_like(name) for name in names]
    while all(len(own) > 1 for own in words) and len({own[0].casefold() for own in words}) == 1:
        words = [own[1:] for own in words]
    while all(len(own) > 1 for own in words) and len({own[-1].casefold() for own in words}) == 1:
        words = [own[:-1] for own in words]
    return [name_like("_".join(own)) for own in words]


def start_of(path: Path, most: int = 65_536) -> bytes:
    """Return the first bytes of a file; none of what is no file.

    Raises:
        OSError: it cannot be read.
    """
    if not paths.is_file(path):
        return b""
    with paths.open_file(path) as file:
        return file.read(most)


def files_under(path: Path, most: int = 2_000) -> Iterator[Path]:
    """Yield a file itself, or the first files of a folder and of those in it, in their order."""
    if not paths.is_folder(path):
        yield path
        return
    seen = 0
    for folder, inner, names in os.walk(path):
        inner.sort()
        for name in sorted(names):
            seen += 1
            if seen > most:
                return
            yield Path(folder, name)
