"""CoNLL columns: a token and its tag a line, a blank line between sentences."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from quantrial.errors import DataError
from quantrial.study import ConllSource
from quantrial.tasks.sources._rows import Reading, Row, Where, read_text
from quantrial.tasks.spans import spans_from_tags

TAG = re.compile(r"O|[BI]-\S+")


def read_conll(source: ConllSource, path: Path, dev: Path | None) -> Reading:
    """Read a file of sentences, and one of examples where the study names it."""
    files: dict[str, str] = {}
    rows = _file(path, files)
    return Reading(source.path.name, rows, _file(dev, files) if dev else (), files)


def _file(path: Path, files: dict[str, str]) -> list[Row]:
    text, digest = read_text(path)
    files[path.name if path.name not in files else f"{path.parent.name}/{path.name}"] = digest
    rows = list(conll_rows(text, path))
    if not rows:
        raise DataError("holds no sentence", path=path)
    return rows


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
        if len(cells) not in (2, 4):
            raise where.error(
                f"{len(cells)} column{'s' if len(cells) != 1 else ''}; 2 (token, tag) or 4 "
                "(CoNLL-2003) are needed"
            )
        width = width or len(cells)
        if len(cells) != width:
            raise where.error(f"{len(cells)} columns, where the lines before have {width}")
        check_tag(cells[-1], where)
        if not cells[0]:
            raise where.error("the token is empty")
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


def check_tag(tag: str, where: Where) -> None:
    """Refuse a tag that is neither O nor B-TYPE or I-TYPE."""
    if not TAG.fullmatch(tag):
        raise where.error(f"the tag is {tag!r:.40}; expected O, B-TYPE or I-TYPE")


def tagged_row(
    tokens: Sequence[str], tags: Sequence[str], metadata: dict[str, str], where: Where
) -> Row:
    """Make the row of one tagged sentence: tokens joined by one space, spans likewise."""
    gold = [[surface, label] for surface, label in spans_from_tags(tokens, tags)]
    return Row({"text": " ".join(tokens)}, gold, metadata, where)
