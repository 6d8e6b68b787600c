"""What `verify` finds: places where what is recorded is not what follows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from quantrial.agreement import ABSENT, differences

_SHOWN = 80  # characters of a value
_BEFORE = 20  # characters of a line before the place that differs
REPORT_AGAIN = "`quantrial report` makes it"


@dataclass(frozen=True, slots=True)
class Drift:
    """One place where what is recorded is not what follows: file, key within it, both values.

    `remedy` says what to run, where that is known.
    """

    file: str
    key: str
    recorded: Any
    derived: Any
    remedy: str = ""

    def __str__(self) -> str:
        said = f"{self.file}: {self.key}: recorded {short(self.recorded)}, {short(self.derived)}"
        return f"{said}; {self.remedy}" if self.remedy else said


def missing(file: str, remedy: str = REPORT_AGAIN) -> Drift:
    """Say that a file is not there."""
    return Drift(file, "file", "missing", remedy)


def document_drifts(file: str, recorded: Any, derived: Any) -> list[Drift]:
    """Compare a recorded document with the derived one, key by key."""
    return [
        Drift(
            file,
            one.key,
            "nothing" if one.recorded is ABSENT else one.recorded,
            f"derived {short(one.derived)}",
        )
        for one in differences(recorded, derived)
    ]


def text_drift(file: str, recorded: bytes, derived: str) -> Drift | None:
    """Compare a file of text with what it should be, byte by byte.

    Line ends that a checkout changed (a carriage return before each line feed) are no difference.
    """
    want = derived.encode("utf-8", "surrogatepass")
    if recorded == want:
        return None
    have = recorded.replace(b"\r\n", b"\n")
    if have == want.replace(b"\r\n", b"\n"):
        return None
    try:
        text = have.decode("utf-8")
    except UnicodeDecodeError as exc:
        line = have.count(b"\n", 0, exc.start) + 1
        found = f"byte 0x{have[exc.start]:02x}"
        return Drift(file, f"line {line}", found, "is not UTF-8: summary and decision give a text")
    line, at, is_now, should_be = _first_difference(text, derived)
    place = f"line {line}, character {at + 1}" if at else f"line {line}"
    return Drift(file, place, is_now, f"summary and decision give {should_be}")


def _first_difference(have: str, want: str) -> tuple[int, int, str, str]:
    """Return line and place of the first difference, and both lines from a little before it."""
    # line feeds alone end a line here: what else a reader may take for one is what to look for
    have_lines, want_lines = have.split("\n"), want.replace("\r\n", "\n").split("\n")
    pairs = zip(have_lines, want_lines, strict=False)
    number = next(
        (i for i, (one, other) in enumerate(pairs) if one != other),
        min(len(have_lines), len(want_lines)),
    )
    end = "the end of the file"
    is_now = have_lines[number] if number < len(have_lines) else end
    should_be = want_lines[number] if number < len(want_lines) else end
    letters = zip(is_now, should_be, strict=False)
    at = next((i for i, (a, b) in enumerate(letters) if a != b), min(len(is_now), len(should_be)))
    start = max(0, at - _BEFORE)
    if max(len(is_now), len(should_be)) <= _SHOWN:
        start = 0
    before = "..." if start else ""
    shown = [short(before + one[start:]) for one in (is_now, should_be)]
    return number + 1, at, shown[0], shown[1]


def short(value: Any) -> str:
    """Write a value on one short line."""
    if isinstance(value, str):
        text = value
    else:
        try:
            text = repr(value)
        except RecursionError:
            text = f"a {type(value).__name__}, nested deeply"
    return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."


def line_end_notes(changed: Sequence[str]) -> Iterator[str]:
    """Say which files have line ends of Windows, and why that is no edit."""
    if not changed:
        return
    names = ", ".join(changed[:3])
    more = f" and {len(changed) - 3} more" if len(changed) > 3 else ""
    files = "1 file has" if len(changed) == 1 else f"{len(changed)} files have"
    yield (
        f"{files} line ends of Windows ({names}{more}): a checkout changed them, nobody "
        "edited a line; `* -text` in .gitattributes keeps git from it"
    )
