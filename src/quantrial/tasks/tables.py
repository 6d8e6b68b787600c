"""What tables a report shows of how the arms fail, as a kind of task describes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class FailureColumn:
    """A column of a table of failures: the `key` is one of `failures`, `part.key` one of a part.

    `form` is how its value is written: a `count`, a `share` in percent, the `interval` of a share,
    another `number`, or a `text` as it is.
    """

    key: str
    head: str
    hint: str = ""
    form: Literal["count", "share", "interval", "number", "text"] = "count"


@dataclass(frozen=True, slots=True)
class FailureTable:
    """A table of how each arm fails, a row an arm; `{task}` in its caption is the task's name.

    Where `rows` names a list of `failures`, an arm has a row for each of its entries, whose keys
    the columns name: the first `most` of them are shown.
    """

    caption: str
    columns: Sequence[FailureColumn]
    rows: str | None = None
    most: int = 10


ANSWERS = FailureColumn("n", "answers")
CUT_SHORT = FailureColumn("truncated", "cut short", "answers that ran into the token limit")
UNREAD = FailureTable(
    "answers on {task} that could not be read",
    (
        ANSWERS,
        FailureColumn("unparsed", "unparsed", "no answer could be read; scored wrong"),
        FailureColumn("unparsed_rate", "unparsed rate", form="share"),
        CUT_SHORT,
    ),
)
