"""The one place that prints: outside text is made inert, widths and encodings are honoured.

Colours are used on an interactive terminal only, and never where NO_COLOR is set; nothing is said
by colour alone. A table that is too wide for the terminal is printed row by row.

Output whose reader has gone (`quantrial plan study.yaml | head -1`), or never was, is no failure: a
command goes on as if somebody read it. A run is not stopped because a pager was closed, and the
exit code says what the command found.
"""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TextIO, cast

from quantrial.agreement import fixed
from quantrial.errors import StudyError
from quantrial.inert import clean, harmless
from quantrial.redaction import blot
from quantrial.words import difference

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

_PLAIN_WIDTH = 96  # where there is no terminal to ask
_NARROW = 20
_UNBOUNDED = 10_000
# what a terminal that knows no Unicode shows in place of our signs
_PLAIN_SIGNS = {
    "\N{MINUS SIGN}": "-",
    "\N{MULTIPLICATION SIGN}": "x",
    "●": "*",
    "◆": "*",
    "▲": "^",
    "▼": "v",
    "○": "o",
    "─": "-",
    "├": "[",
    "┤": "]",
    "│": "|",
    "┊": ":",
}
_STYLES = {
    "equivalent": "green",
    "non-inferior": "green",
    "better": "cyan",
    "worse": "red",
    "undecided": "yellow",
}


def width() -> int:
    """Return how many columns there are: COLUMNS, else the terminal's, else a page's."""
    if "COLUMNS" not in os.environ and not sys.stdout.isatty():
        return _PLAIN_WIDTH
    return max(_NARROW, shutil.get_terminal_size((_PLAIN_WIDTH, 24)).columns)


def coloured(stream: TextIO) -> bool:
    """Whether colours may be used: an interactive terminal, and nobody asked for none."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def unicode(stream: TextIO) -> bool:
    """Whether a stream can show every sign."""
    return (stream.encoding or "").lower().replace("-", "") in ("utf8", "utf16", "utf32")


def line(text: str = "", *, error: bool = False) -> None:
    """Print a line, or several; escape sequences and the like in it are written out."""
    _put(harmless(text), sys.stderr if error else sys.stdout)


def heading(text: str) -> None:
    """Print a line that opens a part."""
    for part in textwrap.wrap(clean(text), width()):
        _put(_painted(part, "bold"), sys.stdout)


def paragraph(text: str, *, indent: str = "", first: str | None = None) -> None:
    """Print a paragraph, wrapped, ids and numbers unbroken; `first` indents its first line."""
    line(
        textwrap.fill(
            clean(text),
            width(),
            initial_indent=indent if first is None else first,
            subsequent_indent=indent,
            break_long_words=False,
            break_on_hyphens=False,
        )
    )


def item(text: str, *, indent: str = "") -> None:
    """Print an entry of a list, wrapped like a paragraph."""
    paragraph(text, indent=f"{indent}  ", first=f"{indent}- ")


def text(written: str) -> None:
    """Print a document whose writer made outside text inert, byte for byte."""
    _put(written, sys.stdout, end="")


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table, numbers to the right; where it is too wide, a row at a time.

    Before that its heads are broken into lines. On a terminal no word is cut.
    """
    heads = [clean(cell) for cell in header]
    cells = [[clean(cell) for cell in row] for row in rows]
    console, most = _console(), width()
    unbounded = console.options.update_width(_UNBOUNDED)
    shown = _table(heads, cells)
    if console.measure(shown, options=unbounded).maximum > most:
        shown = _table(_folded(heads, cells), cells)
    needed = console.measure(shown, options=unbounded)
    if (needed.maximum if sys.stdout.isatty() else needed.minimum) > most:
        _stacked(heads, cells)
        return
    with console.capture() as captured:
        console.print(shown)
    interactive = shown.box is not None
    for text in captured.get().splitlines():
        _put(text if interactive else f" {text.rstrip()}", sys.stdout)


def _table(heads: Sequence[str], cells: Sequence[Sequence[str]]) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    interactive = coloured(sys.stdout) and unicode(sys.stdout)
    shown = Table(box=box.SIMPLE_HEAD if interactive else None, padding=(0, 1), header_style="bold")
    for at, head in enumerate(heads):
        numbers = at > 0 and any(_numeric(row[at]) for row in cells)
        shown.add_column(
            Text(head), justify="right" if numbers else "left", no_wrap=True, vertical="bottom"
        )
    for row in cells:
        shown.add_row(*(Text(cell, style=_style(cell) or "") for cell in row))
    return shown


def _folded(heads: Sequence[str], cells: Sequence[Sequence[str]]) -> list[str]:
    """Break heads that are wider than their column into lines of about half their length."""
    columns = [max((len(row[at]) for row in cells), default=0) for at in range(len(heads))]
    return [
        "\n".join(textwrap.wrap(head, max(column, len(head) // 2 + 2), break_long_words=False))
        for head, column in zip(heads, columns, strict=True)
    ]


def _console() -> Console:
    """Return a console of `rich` that lays out for our width, and colours where that is fine."""
    from rich.console import Console

    return Console(
        file=sys.stdout,
        width=_UNBOUNDED if not sys.stdout.isatty() else width(),
        force_terminal=coloured(sys.stdout),
        no_color=not coloured(sys.stdout),
        highlight=False,
        markup=False,
        emoji=False,
    )


def _stacked(heads: list[str], cells: list[list[str]]) -> None:
    for row in cells:
        _put(_painted(f"  {row[0]}", "bold"), sys.stdout)
        for head, cell in list(zip(heads, row, strict=True))[1:]:
            if cell:
                paragraph(f"{head}: {cell}", indent="    ")


def _numeric(cell: str) -> bool:
    return cell[:1].isdigit() or cell[:1] in ("+", "-", "\N{MINUS SIGN}", "<", ".")


def _style(cell: str) -> str | None:
    return _STYLES.get(cell.strip().lstrip("●◆▲▼○ "))


def _painted(text: str, style: str | None) -> str:
    """Colour a text that holds no escape sequence of its own."""
    if style is None or not coloured(sys.stdout):
        return text
    from rich.style import Style

    return Style.parse(style).render(text)


def _put(text: str, stream: TextIO, end: str = "\n") -> None:
    text = blot(text)
    if not unicode(stream):
        text = "".join(_PLAIN_SIGNS.get(character, character) for character in text)
        text = text.encode(stream.encoding or "ascii", "backslashreplace").decode(
            stream.encoding or "ascii"
        )
    print(text, file=stream, end=end)


@dataclass(frozen=True, slots=True)
class Interval:
    """A row of a forest plot; `low` and `high` are None where there is no interval.

    Negative is a loss; where `lower` values are better the axis names these differences with the
    other sign, as they are. Without a `unit` they are fractions.
    """

    label: str
    estimate: float | None
    low: float | None
    high: float | None
    margin: float
    sign: str
    unit: str | None = None
    lower: bool = False


def forest(rows: Sequence[Interval]) -> None:
    """Draw differences as intervals over one axis: zero, the margins, signs for the verdicts."""
    for text in forest_lines(rows, width()):
        _put(text, sys.stdout)


def forest_lines(rows: Sequence[Interval], columns: int) -> Iterator[str]:
    """Yield the lines of a forest plot of at most so many columns."""
    known = [row for row in rows if row.estimate is not None]
    if not known:
        return
    longest = max(len(clean(row.label)) for row in known)
    left = min(longest, max(8, columns // 3))
    room = columns - left - 4
    ends = [
        value
        for row in known
        for value in (row.low, row.high, row.estimate, -1.2 * row.margin, 1.2 * row.margin)
        if value is not None
    ]
    low, high = min(ends), max(ends)

    def place(value: float) -> int:
        return min(room - 1, max(0, round((value - low) / (high - low) * (room - 1))))

    for row in known:
        cells = [" "] * room
        for value, sign in ((-row.margin, "┊"), (row.margin, "┊"), (0.0, "│")):
            cells[place(value)] = sign
        if row.low is not None and row.high is not None:
            for at in range(place(row.low), place(row.high) + 1):
                # zero and margins stay to be seen where the bar crosses them
                cells[at] = cells[at].replace(" ", "─")
            cells[place(row.low)], cells[place(row.high)] = "├", "┤"
        cells[place(row.estimate or 0.0)] = row.sign
        label = clean(row.label)
        label = label if len(label) <= left else label[: left - 1] + "~"
        yield f"  {label.ljust(left)}  {''.join(cells).rstrip()}"
    yield _axis(known[0], (low, high), room, place(0.0), left)


def _axis(row: Interval, ends: tuple[float, float], room: int, zero: int, left: int) -> str:
    """Write the ends and zero under the axis, in percentage points or the unit of the rows."""
    cells = [" "] * room
    if row.unit is None:
        first, last = (fixed((-100 if row.lower else 100) * end, 0, "+") for end in ends)
    else:
        first, last = (
            difference(-end if row.lower else end, row.unit).removesuffix(f" {row.unit}")
            for end in ends
        )
    last = f"{last} {row.unit or 'pp'}"
    marks = [(0, first), (room - len(last), last), (zero, "0")]
    for at, text in marks:
        taken = cells[max(0, at - 1) : at + len(text) + 1]
        if at >= 0 and not "".join(taken).strip():
            cells[at : at + len(text)] = text
    text = "".join(cells).rstrip().replace("-", "\N{MINUS SIGN}")
    return f"  {' ' * left}  {text}"


def write_text(path: Path, text: str) -> None:
    """Write what was asked for into a file, and say so."""
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as exc:
        raise StudyError(f"cannot be written ({exc.strerror})", path=path) from exc
    line(f"{path} written")


def fail(exc: Exception, code: int) -> NoReturn:
    """Print an error as one line and leave: 1, what was checked does not hold; 2, bad input."""
    line(f"error: {exc}", error=True)
    sys.exit(code)


class _Unread:
    """A text stream that goes on when its reader has gone; all else is the stream's own."""

    def __init__(self, stream: TextIO):
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write; where nobody reads any more, into nothing."""
        try:
            return self._stream.write(text)
        except BrokenPipeError:
            self._into_nothing()
            return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write several texts."""
        for text in lines:
            self.write(text)

    def flush(self) -> None:
        """Write what is buffered."""
        try:
            self._stream.flush()
        except BrokenPipeError:
            self._into_nothing()

    def _into_nothing(self) -> None:
        # what is still buffered goes there too, so that Python has nothing to complain of at exit
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._stream.fileno())
        os.close(nowhere)


def survive_broken_pipes() -> None:
    """Let standard output and standard error outlive their readers, or never have had one."""
    sys.stdout = cast("TextIO", _Unread(sys.stdout or _nowhere()))
    sys.stderr = cast("TextIO", _Unread(sys.stderr or _nowhere()))


def _nowhere() -> TextIO:
    """Open what takes the place of a stream that was closed before the command began (`>&-`)."""
    return Path(os.devnull).open("w", encoding="utf-8")


def flush_all() -> None:
    """Write what is buffered while somebody may still find fault with it quietly."""
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
