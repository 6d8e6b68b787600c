"""Numbers in a Markdown file that are marked by comments: checked against a run, and refreshed.

<!-- q: KEY | FORMAT -->number<!-- /q --> ── parse ──▶ key in the run's documents ──▶ number

A key, like `tasks.quiz.endpoints.accuracy.contrasts[q8_0].estimate`, starts in `summary.json`, or
with `decision.` or `manifest.` in those. A list is entered by place (`[0]`) or by what its entry is
about: its arm, or its candidate (against the reference unless `[q4_0 vs q8_0]` says otherwise). A
name with odd characters stands in double quotes. The format says how the number is written: `pp`,
`%`, `int`, `p`, ... and with how many digits: `pp.2`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quantrial.agreement import fixed
from quantrial.errors import DocumentError, FormatError, KeyNotFoundError, QuantrialError
from quantrial.inert import clean
from quantrial.paths import read_bytes
from quantrial.registry import nearest
from quantrial.words import VERDICT_WORDS, p_value_in_sentence

_SEGMENT = re.compile(
    r'\.?"(?P<quoted>(?:[^"\\]|\\.)*)"|\.?(?P<name>[^.\[\]"]+)|\[(?P<selector>[^\]]*)\]'
)
_DOCUMENTS = ("decision", "manifest")


def find(documents: Mapping[str, Any], key: str) -> Any:
    """Return what stands at a key.

    Args:
        documents: `summary`, and where they are there `decision` and `manifest`.
        key: as above.

    Raises:
        KeyNotFoundError: there is no such key; the message names the nearest valid one.
    """
    segments = _segments(key)
    reference = documents["summary"].get("reference")
    if segments[0] in _DOCUMENTS:
        here, so_far = documents.get(segments[0]), segments[0]
        if here is None:
            raise KeyNotFoundError(f"{key}: the run holds no {segments[0]}.json")
        rest = segments[1:]
    else:
        here, so_far, rest = documents["summary"], "", segments
    for place, segment in enumerate(rest):
        choices = _choices(here, reference)
        if segment not in choices:
            raise KeyNotFoundError(_no_such_key(key, so_far, segment, choices, rest[place + 1 :]))
        so_far = f"{so_far}{segment}" if segment.startswith("[") else f"{so_far}.{_quoted(segment)}"
        here = choices[segment]
    return here


def _segments(key: str) -> list[str]:
    found, at = [], 0
    while at < len(key):
        match = _SEGMENT.match(key, at)
        if match is None:
            break
        if match["selector"] is not None:
            found.append(f"[{match['selector'].strip()}]")
        elif match["quoted"] is not None:
            found.append(re.sub(r"\\(.)", r"\1", match["quoted"]))
        else:
            found.append(match["name"].strip())
        at = match.end()
    if at < len(key) or not found or found[0].startswith("["):
        raise KeyNotFoundError(f"{key!r} is no key; write one like tasks.quiz.flow.planned")
    return found


def _quoted(name: str) -> str:
    return name if re.fullmatch(r"[\w-]+", name) else '"' + re.sub(r'(["\\])', r"\\\1", name) + '"'


def _choices(here: Any, reference: str | None) -> dict[str, Any]:
    """Return what can be entered from here, by how it is written, the best way first."""
    if isinstance(here, Mapping):
        return {str(name): value for name, value in here.items()}
    if not isinstance(here, Sequence) or isinstance(here, str):
        return {}
    named: dict[str, Any] = {}
    for entry in here:
        if not isinstance(entry, Mapping):
            continue
        arm, base = entry.get("candidate", entry.get("arm")), entry.get("reference")
        if arm is not None and base in (None, reference):
            named.setdefault(f"[{arm}]", entry)
        elif arm is not None:
            named.setdefault(f"[{arm} vs {base}]", entry)
    # an arm may be called by a number: it goes before the place
    return named | {f"[{at}]": e for at, e in enumerate(here) if f"[{at}]" not in named}


def _no_such_key(
    key: str, so_far: str, segment: str, choices: Mapping[str, Any], rest: Sequence[str]
) -> str:
    where = f"in {so_far.lstrip('.')}" if so_far else "in the summary"
    if not choices:
        return f"{key}: {so_far.lstrip('.')} is a value and holds no {segment!r}"
    best = nearest(segment, choices, cutoff=0.0) or next(iter(choices))
    whole = f"{so_far}{best}" if best.startswith("[") else f"{so_far}.{_quoted(best)}"
    for more in rest:
        whole += more if more.startswith("[") else f".{_quoted(more)}"
    return f"{key}: there is no {segment!r} {where}; the nearest is {whole.lstrip('.')}"


_MINUS = "\N{MINUS SIGN}"

FORMATS = {
    "pp": "a difference in percentage points, signed: +1.6",
    "loss": "the size of a difference in percentage points: 1.6",
    "%": "a fraction in percent: 58.5",
    "x": "a number: 1.27",
    "int": "a whole number: 1,405",
    "p": "a p-value: .013, < .001",
    "MB": "bytes in millions: 145",
    "GB": "bytes in billions: 8.5",
    "verdict": "a verdict, as people read it: undecided",
    "text": "a text, as it stands",
}
_DIGITS = {"pp": 1, "loss": 1, "%": 1, "x": 2, "MB": 0, "GB": 1}
_NAMED = re.compile(r"(?P<name>pp|loss|%|x|int|p|MB|GB|verdict|text)(?:\.(?P<digits>\d))?")


def written(value: Any, form: str) -> str:
    """Write a value of a run's documents; a pair of numbers as an interval: `−2.6 to +2.6`.

    Raises:
        FormatError: there is no such format, or it does not fit the value.
    """
    match = _NAMED.fullmatch(form)
    if match is None or (match["digits"] and match["name"] not in _DIGITS):
        raise FormatError(f"{form!r} is no format; there are {', '.join(FORMATS)}")
    name = match["name"]
    digits = int(match["digits"]) if match["digits"] else _DIGITS.get(name, 0)
    if value is None:
        return "unknown"
    if name == "verdict":
        if value in VERDICT_WORDS:
            return VERDICT_WORDS[value]
        known = ", ".join(VERDICT_WORDS)
        raise FormatError(f"verdict needs one of {known}; {value!r:.60} is none")
    if name == "text":
        if isinstance(value, (str, bool)):
            return clean(str(value)).replace("<", "\\<")
        raise FormatError(f"text needs a text; {value!r:.60} is none")
    if isinstance(value, Sequence) and not isinstance(value, str) and len(value) == 2:
        return " to ".join(written(end, form) for end in value)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise FormatError(f"{form} needs a number; {value!r:.60} is none")
    return _number(float(value), name, digits)


def _number(value: float, name: str, digits: int) -> str:
    if name == "p":
        return p_value_in_sentence(value)
    scale = {"pp": 100.0, "loss": 100.0, "%": 100.0, "MB": 1e-6, "GB": 1e-9}.get(name, 1.0)
    shown = fixed((abs(value) if name == "loss" else value) * scale, digits, "+,")
    zero = not re.search(r"[1-9]", shown)
    if zero or (name != "pp" and shown.startswith("+")):
        shown = shown[1:]
    return shown.replace("-", _MINUS)


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
