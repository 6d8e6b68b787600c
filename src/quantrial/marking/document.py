"""A Markdown file with marked numbers, held against a run."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quantrial.errors import DocumentError, FormatError, KeyNotFoundError, QuantrialError
from quantrial.marking.formats import written
from quantrial.marking.keys import find
from quantrial.paths import read_bytes

Documents = Mapping[str, Any]

_COMMENT = re.compile(r"<!--(?P<body>.*?)-->", re.DOTALL)
_OPEN = re.compile(r"\s*q\s*:\s*(?P<key>.+?)\s*(?:\\?\|\s*(?P<form>[^|\s]+)\s*)?", re.DOTALL)
_RUN = re.compile(r"\s*q-run\s*:\s*(?P<run>.+?)\s*", re.DOTALL)
_CLOSE = re.compile(r"\s*/q\s*")
_LIKE = re.compile(r"\s*/?q(?:-run)?\b")  # a comment that is meant for us
_CODE = re.compile(
    r"^(?P<fence>`{3,}|~{3,})[^\n]*\n.*?(?:^(?P=fence)[`~]*\s*$|\Z)|(?P<ticks>`+)(?!`).+?"
    r"(?<!`)(?P=ticks)(?!`)",
    re.DOTALL | re.MULTILINE,
)
EXAMPLE = "<!-- q: tasks.quiz.endpoints.accuracy.arms.q8_0.estimate | % -->58.5<!-- /q -->"


@dataclass(frozen=True, slots=True)
class MarkProblem:
    """One place that does not hold: line, key, what is wrong."""

    line: int
    key: str
    message: str


@dataclass(frozen=True, slots=True)
class DocumentCheck:
    """What was found in a file: how many marks, what does not hold, and how many were refreshed.

    What is meant for a mark and is none counts as one.
    """

    path: Path
    marks: int
    problems: tuple[MarkProblem, ...]
    refreshed: int = 0

    @property
    def ok(self) -> bool:
        """Whether every marked number is the run's."""
        return not self.problems


@dataclass(frozen=True, slots=True)
class _Mark:
    line: int
    key: str
    form: str
    run: str | None
    start: int
    end: int
    shown: str


def check_document(
    path: Path, run: Path | None, read: Callable[[Path], Documents], *, write: bool = False
) -> DocumentCheck:
    """Hold every marked number of a Markdown file against a run.

    Marks within code are left alone. A comment `<!-- q-run: FOLDER -->` names the run of the marks
    that follow, from the folder of the file; `run` goes before it.

    Args:
        path: the file.
        run: the run folder; None to go by the file's own comments.
        read: gives `summary` and, where they are there, `decision` and `manifest` of a run folder.
        write: put the run's numbers in place of those that differ.

    Raises:
        DocumentError: the file cannot be read or written, or holds no mark.
    """
    text = _read(path)
    marks, problems = _marks(text)
    count = len(marks) + len(problems)
    if not marks and not problems:
        raise DocumentError(f"no number is marked; mark one like {EXAMPLE}", path=path)
    known: dict[Path, Documents] = {}
    changes: list[tuple[_Mark, str]] = []
    for mark in marks:
        folder = run if run is not None else None if mark.run is None else path.parent / mark.run
        if folder is None:
            problems.append(
                MarkProblem(mark.line, mark.key, "which run? --run, or <!-- q-run: FOLDER -->")
            )
            continue
        try:
            if folder not in known:
                known[folder] = read(folder)
            right = written(find(known[folder], mark.key), mark.form)
        except (KeyNotFoundError, FormatError) as exc:
            problems.append(
                MarkProblem(mark.line, mark.key, str(exc).removeprefix(f"{mark.key}: "))
            )
            continue
        except QuantrialError as exc:
            problems.append(MarkProblem(mark.line, mark.key, str(exc)))
            continue
        if _plain(mark.shown) != _plain(right):
            changes.append((mark, right))
    if write:
        _write(path, text, changes)
    else:
        problems += [
            MarkProblem(mark.line, mark.key, f"says {mark.shown!r}, the run gives {right!r}")
            for mark, right in changes
        ]
    problems.sort(key=lambda problem: problem.line)
    return DocumentCheck(path, count, tuple(problems), len(changes) if write else 0)


def _plain(text: str) -> str:
    """Bring a number to the form in which it is compared: any minus, any space."""
    return re.sub(r"\s+", " ", text.replace("-", "\N{MINUS SIGN}")).strip()


def _marks(text: str) -> tuple[list[_Mark], list[MarkProblem]]:
    marks: list[_Mark] = []
    problems: list[MarkProblem] = []
    run: str | None = None
    opened: tuple[int, str, str, int] | None = None  # line, key, form, where its number starts
    for at, end, body in _comments(text):
        line = text.count("\n", 0, at) + 1
        if opened is not None and not _CLOSE.fullmatch(body):
            if not _LIKE.match(body):
                continue
            problems.append(MarkProblem(opened[0], opened[1], "is not closed by <!-- /q -->"))
            opened = None
        if said := _RUN.fullmatch(body):
            run = said["run"]
        elif said := _OPEN.fullmatch(body):
            opened = (line, said["key"], said["form"] or "text", end)
        elif _CLOSE.fullmatch(body):
            if opened is None:
                problems.append(MarkProblem(line, "/q", "closes a mark that was not opened"))
                continue
            first, key, form, start = opened
            marks.append(_Mark(first, key, form, run, start, at, text[start:at]))
            opened = None
        elif _LIKE.match(body):
            problems.append(
                MarkProblem(line, body.strip(), f"is no mark; write one like {EXAMPLE}")
            )
    if opened is not None:
        problems.append(MarkProblem(opened[0], opened[1], "is not closed by <!-- /q -->"))
    return marks, problems


def _comments(text: str) -> Iterator[tuple[int, int, str]]:
    """Yield start, end and body of every comment outside code."""
    code = [match.span() for match in _CODE.finditer(text)]
    for match in _COMMENT.finditer(text):
        if not any(start <= match.start() < end for start, end in code):
            yield match.start(), match.end(), match["body"]


def _read(path: Path) -> str:
    try:
        return read_bytes(path).decode("utf-8")
    except UnicodeDecodeError as exc:
        raise DocumentError(f"not UTF-8 (byte {exc.start}): save it as UTF-8", path=path) from exc
    except OSError as exc:
        raise DocumentError(f"cannot be read ({exc.strerror})", path=path) from exc


def _write(path: Path, text: str, changes: list[tuple[_Mark, str]]) -> None:
    """Replace what differs and nothing else: line endings stay as they are."""
    if not changes:
        return
    for mark, right in sorted(changes, key=lambda change: change[0].start, reverse=True):
        text = text[: mark.start] + right + text[mark.end :]
    try:
        path.write_bytes(text.encode("utf-8"))
    except OSError as exc:
        raise DocumentError(f"cannot be written ({exc.strerror})", path=path) from exc
