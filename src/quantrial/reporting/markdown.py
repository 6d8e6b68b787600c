"""Markdown that holds outside text: escaped, one line, and tables aligned in plain text too."""

from __future__ import annotations

import functools
import re
import unicodedata

from quantrial.inert import clean
from quantrial.reporting.blocks import Cell, Column, Table


class Markdown(str):
    """Text that is Markdown already and is not escaped again."""

    __slots__ = ()


@functools.lru_cache(maxsize=4096)  # tables say the same words over and over
def escape(text: str) -> Markdown:
    """Make text show as it is, on one line, wherever it stands."""
    line = clean(text).replace("\\", "\\\\")
    line = re.sub(r"([`*\[\]>|~#$]|<(?! )|&(?=[#\w]))", r"\\\1", line)
    # an underscore within a word is no emphasis, and micro_f1 should stay readable
    line = re.sub(r"(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])", r"\\_", line)
    # a bare address would become a link
    line = re.sub(r"(https?|ftp)://", r"\1:\\/\\/", line, flags=re.IGNORECASE)
    line = re.sub(r"\b(www)\.", r"\1\\.", line, flags=re.IGNORECASE)
    line = line.replace("@", "\\@")
    # at its start: a list, a rule, a heading underlined
    line = re.sub(r"^( *)([-+=])(?=[-+= ]|$)", r"\1\\\2", line)
    return Markdown(re.sub(r"^( *\d+)([.)])(?= |$)", r"\1\\\2", line))


def code(text: str) -> Markdown:
    """Show text as code; in a table too, where a bar would end the cell."""
    line = clean(text).strip()
    if not line:
        return Markdown("")
    if "|" in line:
        return escape(line)
    longest = max((len(run) for run in re.findall(r"`+", line)), default=0)
    fence = "`" * (longest + 1)
    pad = " " if line.startswith("`") or line.endswith("`") else ""
    return Markdown(f"{fence}{pad}{line}{pad}{fence}")


def slug(heading: str) -> str:
    """Return the anchor that GitHub gives a heading."""
    kept = re.sub(r"[^\w\- ]", "", clean(heading).lower())
    return kept.replace(" ", "-")


def table(block: Table) -> Markdown:
    """Write a table whose columns line up in plain text."""
    heads: list[str] = [escape(column.head) for column in block.columns]
    rows = [[_cell(cell) for cell in row.cells] for row in block.rows]
    widths = [
        max(3, *(_width(line[i]) for line in [heads, *rows])) for i in range(len(block.columns))
    ]
    lines = [_line(heads, widths, block.columns), _rule(widths, block.columns)]
    lines += [_line(row, widths, block.columns) for row in rows]
    return Markdown("\n".join(lines))


def _cell(cell: Cell) -> str:
    return code(cell.text) if cell.code else escape(cell.text).strip()


def _line(texts: list[str], widths: list[int], columns: tuple[Column, ...]) -> str:
    fields = [
        _pad(text, width, right=column.numeric)
        for text, width, column in zip(texts, widths, columns, strict=True)
    ]
    return "| " + " | ".join(fields) + " |"


def _rule(widths: list[int], columns: tuple[Column, ...]) -> str:
    marks = [
        "-" * (width - 1) + (":" if column.numeric else "-")
        for width, column in zip(widths, columns, strict=True)
    ]
    return "| " + " | ".join(marks) + " |"


def _pad(text: str, width: int, *, right: bool) -> str:
    space = " " * (width - _width(text))
    return space + text if right else text + space


def _width(text: str) -> int:
    """Columns that a text takes in a terminal."""
    if text.isascii():
        return len(text)
    wide = sum(unicodedata.east_asian_width(c) in "WF" for c in text)
    marks = sum(unicodedata.combining(c) != 0 for c in text)
    return len(text) + wide - marks
