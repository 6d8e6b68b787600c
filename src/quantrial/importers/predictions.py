"""Predictions of other programs: answers, scored here against right answers of a file or column."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson
from pydantic import TypeAdapter, ValidationError

from quantrial.errors import DataError, QuantrialError, ScoringError, StudyError
from quantrial.importers.log_rows import listed
from quantrial.importers.table_columns import ANSWERS, GOLDS, Columns, TableOptions
from quantrial.importers.table_files import KEYS, LINE, id_of, records_of, text_of
from quantrial.records import Item
from quantrial.registry import SCORERS
from quantrial.scorers.base import Said
from quantrial.strict_yaml import parse_yaml
from quantrial.study.scoring import ReadStep, ScorerPart, Scoring
from quantrial.tasks.answer import read_answer
from quantrial.tasks.rows import Where
from quantrial.tasks.text import read_step

_CELLS = (".csv", ".tsv", ".xlsx", ".xlsm")  # a list stands in a cell as its text
_MOST_UNANSWERED = 0.01


class Judge:
    """A scorer with what it needs to know: `score` says what an answer is worth.

    Attributes:
        metric: the name of what is measured.
        program: who scores, for the record.

    Raises:
        StudyError: the scorer is none, or cannot score one answer by itself.
        DataError: the right answers cannot be read.
    """

    def __init__(self, asked: TableOptions) -> None:
        part = _part(asked.scorer or "exact")
        self.scorer = SCORERS.load(part.scorer)(part)
        self.endpoint = self.scorer.endpoints[0]
        one = self.endpoint
        if one.denominator or one.unit is not None or (one.low, one.high) != (0.0, 1.0):
            raise StudyError(
                f"{part.scorer} gives no score from 0 to 1 an answer; a study file can use it",
                key="--scorer",
            )
        self.metric, self.program = one.name, f"quantrial's scorer {part.scorer!r}"
        self.path = asked.gold_file
        self.lines = self.path is not None and _is_lines(self.path)
        self.golds = {} if self.path is None else _golds(self.path, asked)
        self.seen: set[str] = set()

    def score(self, key: str, answer: Any, gold: Any, where: Where) -> tuple[float | None, str]:
        """Return what an answer is worth, None of no answer at all, and the right one as a text.

        Raises:
            DataError: there is no right answer, or none that the scorer takes, or it fails.
        """
        if self.path is not None:
            if key not in self.golds:
                raise where.error(f"item {key!r} has no right answer in {self.path.name}")
            where_gold, gold = self.golds[key]
            self.seen.add(key)
        else:
            where_gold = where
        gold = _gold(gold, where_gold)
        try:
            self.scorer.check(gold)
        except ValueError as exc:
            raise where_gold.error(f"the right answer of {key!r}: {exc}") from exc
        if answer is None:
            return None, text_of(gold)
        said = read_answer(text_of(answer))
        about = Said(said, Item("", key, {"id": key}, gold, {}, str(where), ""))
        try:
            text = read_step(ReadStep(step=self.scorer.reads), said.text)
            made = (
                self.scorer.unread(gold, about)
                if text is None
                else self.scorer.score(gold, text, about)
            )
        except ScoringError as exc:
            raise where.error(f"cannot be scored ({exc})") from exc
        weights: Mapping[str, float] = self.endpoint.numerator
        value = sum(weight * made.values[name] for name, weight in weights.items())
        return value if self.endpoint.direction == "higher" else 1.0 - value, text_of(gold)

    def check_file(self, path: Path) -> None:
        """Make sure that lines without ids are paired with as many lines.

        Raises:
            DataError: a line is missing, so that others may be paired wrongly; or one of the two
                files has ids and the other has none.
        """
        if self.path is None:
            return
        lines = _is_lines(path)
        if not lines and not self.lines:
            return
        if lines is not self.lines:
            one, other = (path, self.path) if lines else (self.path, path)
            raise DataError(
                f"holds a line an answer and no ids, but {other.name} has ids: give both as lines, "
                "or both with ids (JSONL or CSV)",
                path=one,
            )
        count = sum(1 for _ in records_of(path, lines=True))
        if count != len(self.golds):
            raise DataError(
                f"holds {count:,} lines, and {self.path.name} {len(self.golds):,}: without ids, "
                "answers can be paired only if no line is missing",
                path=path,
            )

    def unanswered(self, asked: TableOptions) -> list[str]:
        """Say which items no arm answered, once all were read.

        Raises:
            DataError: they are more than 1 %, and that is not allowed.
        """
        left = [key for key in self.golds if key not in self.seen]
        if not left:
            return []
        said = f"{len(left):,} of {len(self.golds):,} items have no prediction of any arm"
        if len(left) > _MOST_UNANSWERED * len(self.golds) and "unpaired" not in asked.allow:
            raise DataError(
                f"{said} ({listed(left)}); `--allow unpaired` leaves them out", path=self.path
            )
        return [f"{said} ({listed(left)}); they are left out."]


def _part(scorer: str | Mapping[str, Any]) -> ScorerPart:
    entry: TypeAdapter[ScorerPart] = TypeAdapter(Scoring)
    asked = scorer
    if isinstance(scorer, str) and scorer.lstrip().startswith("{"):
        asked = parse_yaml(scorer)
    name = asked if isinstance(asked, str) else None
    if isinstance(asked, Mapping):
        name = asked.get("scorer", next(iter(asked), None))
    SCORERS.load(str(name), key="--scorer")
    try:
        part = entry.validate_python(asked)
    except ValidationError as exc:
        first = exc.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise StudyError(f"{place}: {first['msg']}", key="--scorer") from exc
    except QuantrialError as exc:
        raise StudyError(str(exc), key="--scorer") from exc
    if part.runs is not None:
        raise StudyError("a scorer that runs code stands in a study file", key="--scorer")
    return part


def _is_lines(path: Path) -> bool:
    """Whether a file holds answers without ids."""
    return LINE in next(records_of(path, lines=True), (None, {}))[1]


def _golds(path: Path, asked: TableOptions) -> dict[str, tuple[Where, Any]]:
    """Read the right answers by the ids of their items.

    Raises:
        DataError: there are none, or an item has two.
    """
    found: dict[str, tuple[Where, Any]] = {}
    columns: tuple[str, str] | None = None
    for where, record in records_of(path, lines=True):
        if columns is None:
            there = Columns(tuple(record), path)
            key = there.one(asked.key, KEYS, "the items' ids", "--key")
            others = [name for name in record if name != key]
            usual = (
                *GOLDS,
                *ANSWERS,
                *(others[0].casefold() for _ in others[:1] if not others[1:]),
            )
            columns = key, there.one(asked.gold, usual, "the right answers", "--gold-column")
        name = id_of(record.get(columns[0]), where, columns[0])
        before = found.setdefault(name, (where, record.get(columns[1])))[0]
        if before is not where:
            raise where.error(f"item {name!r} has a right answer already, in {before}")
    if not found:
        raise DataError("holds no row", path=path)
    return found


def _gold(value: Any, where: Where) -> Any:
    """Return a right answer; in a cell, a list is written as JSON."""
    if value is None or value == "":
        raise where.error("the right answer is empty")
    in_cell = isinstance(where.path, Path) and where.path.suffix.lower() in _CELLS
    if in_cell and isinstance(value, str) and value.lstrip()[:1] in ("[", "{"):
        try:
            return orjson.loads(value)
        except orjson.JSONDecodeError:
            return value  # a text that begins so
    return value
