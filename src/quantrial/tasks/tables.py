"""What tables a report shows of how the arms fail, as a kind of task describes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class FailureColumn:
    """A column of a table of failures: the `key` is one of `failures`, `part.key` one of a part.

    `form` is how its value is written: a `count`, a `share` in percent, the `interval` of a share,
    or another `number`.
    """

    key: str
    head: str
    hint: str = ""
    form: Literal["count", "share", "interval", "number"] = "count"


@dataclass(frozen=True, slots=True)
class FailureTable:
    """A table of how each arm fails, a row an arm; `{task}` in its caption is the task's name."""

    caption: str
    columns: Sequence[FailureColumn]


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
