"""Items that stand in the study itself: in its file, or as objects or a data frame of Python."""

from __future__ import annotations

import hashlib

import orjson

from quantrial.errors import StudyError
from quantrial.study import RowsSource
from quantrial.tasks.rows import Asked, Reading, Row, Source, Where

_PLACE = "rows of the study"


def read_rows(source: RowsSource, asked: Asked) -> Reading:
    """Read the rows, and those that solved examples are taken from."""
    if not source.rows:
        raise StudyError(
            "the items were in the memory of a program, and it alone can ask more; `analyze`, "
            "`decide`, `report` and `verify` work on such a run",
            key=asked.key,
        )
    return Reading(
        "rows",
        _parsed(source.rows, asked, _PLACE),
        _parsed(source.dev, asked, f"{_PLACE}, dev"),
        {"rows": hashlib.sha256(orjson.dumps([source.rows, source.dev])).hexdigest()},
    )


def _parsed(rows: tuple[dict[str, object], ...], asked: Asked, place: str) -> list[Row]:
    return [asked.row(dict(row), Where(place, at)) for at, row in enumerate(rows, start=1)]


ROWS = Source(RowsSource, read_rows, shots_key="dev")
