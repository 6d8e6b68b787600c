"""CoNLL columns: a token and its tag a line, a blank line between sentences."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from quantrial.errors import DataError
from quantrial.study import ConllSource
from quantrial.tasks.rows import Asked, Reading, Row, Source, Where, read_text
from quantrial.tasks.spans import check_tag, check_token, tagged_row

_WIDTHS = (2, 3, 4)


def read_conll(source: ConllSource, asked: Asked) -> Reading:
    """Read a file of sentences, and one of examples where the study names it."""
    path, dev = asked.path(source.path), source.dev and asked.path(source.dev)
    files: dict[str, str] = {}
    rows = _file(path, files)
    return Reading(source.path.name, rows, _file(dev, files) if dev else (), files)


CONLL = Source(ConllSource, read_conll, kind="spans", shots_key="dev")


def _file(path: Path, files: dict[str, str]) -> list[Row]:
    text, digest = read_text(path)
    files[path.name if path.name not in files else f"{path.parent.name}/{path.name}"] = digest
    rows = list(conll_rows(text, path))
    if not rows:
        raise DataError("holds no sentence", path=path)
    if all(map(_is_numbered, rows)) and any(" " in row.content["text"] for row in rows):
        raise rows[0].where.error(
            "the first column numbers the tokens (1, 2, 3, ...) in every sentence; put the token "
            "first and its tag last"
        )
    return rows


def _is_numbered(row: Row) -> bool:
    """Whether the tokens of a sentence are the numbers from 0 or 1 on."""
    tokens = row.content["text"].split(" ")
    return any(tokens == [str(n + first) for n in range(len(tokens))] for first in (0, 1))


def conll_rows(text: str, path: Path) -> Iterator[Row]:
    """Parse one file's text, a row for every sentence."""
    tokens: list[str] = []
    tags: list[str] = []
    start, width = 0, 0
    for line, raw in enumerate(text.split("\n"), start=1):
        cells = _cells(raw)
        if not cells or cells[0] == "-DOCSTART-":
            if tokens:
                yield tagged_row(tokens, tags, {}, Where(path, start))
            tokens, tags = [], []
            continue
        where = Where(path, line)
        if len(cells) not in _WIDTHS:
            raise where.error(
                f"{len(cells)} column{'s' if len(cells) != 1 else ''}; expected 2 (token, tag), or "
                "3 or 4 with the token first and the tag last"
            )
        width = width or len(cells)
        if len(cells) != width:
            raise where.error(f"{len(cells)} columns; the lines before have {width}")
        check_tag(cells[-1], where)
        check_token(cells[0], where)
        if not tokens:
            start = line
        tokens.append(cells[0])
        tags.append(cells[-1])
    if tokens:
        yield tagged_row(tokens, tags, {}, Where(path, start))


def _cells(raw: str) -> list[str]:
    # Only tab and space part columns: tokens of real text hold no-break spaces and stranger things.
    line = raw.removesuffix("\r")
    if not line.strip(" \t"):
        return []
    if "\t" in line:
        return [cell.strip(" ") for cell in line.split("\t")]
    return re.split(" +", line.strip(" "))
