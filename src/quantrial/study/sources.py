"""The part `source:` of a task: where its items come from."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BeforeValidator,
    Field,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)

from quantrial.records import canonical_json
from quantrial.registry import SOURCES
from quantrial.study.memory import is_frame, rows_of
from quantrial.study.parts import OneOf, Part

_MOST_WRITTEN, _MOST_VALUES = 32_768, 1000  # bytes and values of rows that a study file holds


class SourcePart(Part):
    """What every source says: its type."""

    type: str

    @property
    def all_recorded(self) -> bool:
        """Whether every call that was made left a record; of what was imported it may not have."""
        return True


class BundledSource(SourcePart):
    """The items that come with quantrial; needs no files and no network."""

    type: Literal["bundled"]


class MmluSource(SourcePart):
    """A folder of MMLU CSV files, `<subject>_<split>.csv`.

    With a header and the answer's index, or without one and the answer's letter.
    """

    type: Literal["mmlu_csv"]
    path: Path
    """Folder that holds the files (directly, or in `test/` and `dev/`)."""
    subjects: tuple[str, ...] | None = None
    """Which subjects; all of the folder by default."""
    split: str = "test"
    """The split whose items are asked."""


class ConllSource(SourcePart):
    """A file of CoNLL columns: a token and its tag a line, a blank line between sentences.

    Tags are IOB1, BIO, BIOES, BILOU or BMES.
    """

    type: Literal["conll"]
    path: Path
    """The file. Two to four columns, token first, tag last; `-DOCSTART-` lines are skipped."""
    dev: Path | None = None
    """A file of the same form that the examples of `shots` are taken from."""


class JsonlSource(SourcePart):
    """Your own items, one JSON object per line.

    choice: `question`, `options` (2 to 10 texts), `answer` (index from 0, or letter); or labelled
    as in ARC: `choices` (`{text: [...], label: [...]}`), `answerKey`. spans: `text`, `entities`
    (pairs of text and type). Any other key with a text or number is metadata: a stratum or cluster.
    """

    type: Literal["jsonl"]
    path: Path
    """The file."""
    dev: Path | None = None
    """A file of the same form that the examples of `shots` are taken from."""


class RowsSource(SourcePart):
    """Items that stand in the study itself, with the keys of `jsonl`.

    In Python the list of rows or a data frame may stand for the whole source. What is too much for
    a study file stands in that of the run by its hash; the run folder holds the items in any case.
    """

    type: Literal["rows"]
    rows: tuple[dict[str, Any], ...] = ()
    """The items, an object each; from Python a data frame, too."""
    dev: tuple[dict[str, Any], ...] = ()
    """Rows that the examples of `shots` are taken from."""
    sha256: str | None = None
    """Hash of rows that a program had in memory, in place of them."""

    @field_validator("rows", "dev", mode="before")
    @classmethod
    def _as_json(cls, rows: Any) -> Any:
        """Take a data frame as its rows; refuse what a study file could not hold."""
        return tuple(rows_of(rows))

    @model_validator(mode="after")
    def _has_rows(self) -> Self:
        if not self.rows and self.sha256 is None:
            raise ValueError("should hold at least one row")
        return self

    @model_serializer(mode="wrap")
    def _by_hash(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        if not self.rows:
            return dict(serialize(self))
        written = canonical_json([self.rows, self.dev])
        values = sum(map(len, (*self.rows, *self.dev)))
        if len(written) < _MOST_WRITTEN and values < _MOST_VALUES and b"\\u0000" not in written:
            return dict(serialize(self))
        return {"type": self.type, "sha256": hashlib.sha256(written).hexdigest()}


class GeneratedSource(SourcePart):
    """Items that are made from a seed, in groups under `group`; needs no files."""

    type: Literal["generated"]
    items: str
    """Which: `long-context`, `math`, `extraction`, `tools`, `instructions` or `languages`."""
    count: int = Field(default=300, ge=1, le=100_000)
    """How many."""
    seed: int = Field(default=0, ge=0, lt=2**63)
    """What they follow from."""


class HubSource(SourcePart):
    """A data set of the Hugging Face hub, or a local folder in its layout; the extra `hub`.

    choice: columns `question`, `choices` or `options`, `answer` or `answerKey`, as in JSONL. spans:
    `tokens`, `ner_tags` or `tags` (texts or named ids; -1 and -100 name none, which is an error).
    """

    type: Literal["hub"]
    repo: str
    """`cais/mmlu`, a CoNLL-2003 in parquet form, or a local folder."""
    revision: str | None = None
    """The commit to read; pin it. Without one, the newest is resolved and recorded."""
    config: str | None = None
    """The configuration, such as `all`."""
    split: str = "test"
    """The split whose items are asked."""
    dev_split: str | None = None
    """The split that the examples of `shots` are taken from."""


class ImportedSource(SourcePart):
    """Answers that another program collected, read by `quantrial import`; nothing is asked."""

    type: Literal["imported"]
    layout: str = "reference"
    """The importer that read the answers; `redacted` for a run whose texts were replaced."""

    @property
    def all_recorded(self) -> bool:
        """Whether every call that was made left a record; of a redacted run it did."""
        return self.layout == "redacted"


def _of_rows(value: Any) -> Any:
    return {"type": "rows", "rows": value} if isinstance(value, list) or is_frame(value) else value


Source = Annotated[SourcePart, OneOf(SOURCES, "type"), BeforeValidator(_of_rows)]
