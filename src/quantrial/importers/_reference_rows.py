"""The rows of the reference layout, checked: one answer of one arm to one example each."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from quantrial.errors import DataError
from quantrial.records import STATUSES, Response, sha256_of
from quantrial.tasks.choice import LETTERS
from quantrial.tasks.rows import read_text

# what a row may hold of the item itself, and of what the arm was shown
ITEM_TEXTS = ("question", "text", "sentence", "input", "context", "options", "choices")
SHOWN = ("prompt", "messages")

# what the model thought apart from its answer, under the names that servers have for it
_THOUGHTS = ("thought", "thinking", "reasoning_content", "reasoning", "thoughts")

_KEPT = {
    *ITEM_TEXTS,
    *SHOWN,
    *("example_id", "arm", "task", "score", "output", "gold", "status", "error", "metadata"),
    *("timing", "timestamp", "started_at", "finish_reason", "done_reason"),
}
_FINE = {"", "ok", "success", "completed"}
# The model answered, and badly: its own failure, which scoring finds again; no fault of an engine.
_ANSWERED_BADLY = {"parse_error", "parse_failed", "unparsed", "malformed", "invalid_json"}
_NANOSECONDS = 1e9
_MOST_TOKENS = 2**53  # beyond it, JSON numbers of some programs are no whole numbers any more


@dataclass(frozen=True, slots=True)
class AnswerRow:
    """One row; `gold` is a letter, or pairs of text and type.

    `texts` is what it holds of the item, and the prompt that the arm was given. `response` is its
    answer, of no study, item and place in an order yet.
    """

    line: int
    example_id: str
    gold: str | list[list[str]]
    score: float | None
    metadata: Mapping[str, str]
    texts: Mapping[str, Any]
    response: Response

    @property
    def answered(self) -> bool:
        """Whether the model answered, well or badly."""
        return self.response.status == "ok"


@dataclass(frozen=True, slots=True)
class AnswerFile:
    """One file: for each example its last row, in the order in which examples first appear.

    `superseded` are the earlier rows of repeated examples; `ignored` the keys that have no place in
    a run folder; `not_finite` the lines where a NaN or an infinity is read as null.
    """

    path: Path
    task: str
    arm: str
    sha256: str
    rows: Mapping[str, AnswerRow]
    superseded: tuple[AnswerRow, ...]
    ignored: frozenset[str]
    not_finite: tuple[int, ...]

    def error(self, row: AnswerRow, message: str) -> DataError:
        """Make the error that names a row of this file."""
        return DataError(message, path=self.path, line=row.line)


def parse_json(text: str, path: Path, line: int | None = None) -> tuple[Any, bool]:
    """Parse one JSON text; NaN and Infinity, which Python writes, are read as null and reported.

    Raises:
        DataError: it is no JSON that can be written again.
    """
    try:
        return orjson.loads(text), False
    except orjson.JSONDecodeError as exc:
        value, found = _parse_not_finite(text)
        if not found:
            where = f"column {exc.colno}" if line is not None else f"line {exc.lineno}"
            message = f"not valid JSON ({exc.msg}, {where})"
            raise DataError(message, path=path, line=line) from exc
        return value, True


def _parse_not_finite(text: str) -> tuple[Any, bool]:
    found: list[str] = []
    try:
        value = json.loads(text, parse_constant=found.append)  # append returns None
        orjson.dumps(value)
    except (ValueError, TypeError, RecursionError):
        return None, False
    return value, bool(found)


def read_answers(path: Path, task: str, arm: str, kind: str) -> AnswerFile:
    """Read one `<task>_<arm>.jsonl`, whose answers are of a kind: `choice` or `spans`.

    Raises:
        DataError: the file or a row of it is not what it should be, with its line.
    """
    text, digest = read_text(path)
    rows: dict[str, AnswerRow] = {}
    superseded: list[AnswerRow] = []
    ignored: set[str] = set()
    not_finite: list[int] = []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        record, mended = parse_json(line, path, number)
        if not isinstance(record, dict):
            raise DataError("expected a JSON object", path=path, line=number)
        if mended:
            not_finite.append(number)
        ignored |= record.keys() - _KEPT - _thoughts(record).keys()
        row = _Reader(record, path, number).row(task, arm, kind)
        if row.example_id in rows:
            superseded.append(rows[row.example_id])
        rows[row.example_id] = row
    return AnswerFile(
        path=path,
        task=task,
        arm=arm,
        sha256=digest,
        rows=rows,
        superseded=tuple(superseded),
        ignored=frozenset(ignored),
        not_finite=tuple(not_finite),
    )


class _Reader:
    """Takes the fields out of one record, each checked."""

    def __init__(self, record: dict[str, Any], path: Path, line: int):
        self.record = record
        self.path = path
        self.line = line

    def fail(self, message: str) -> DataError:
        return DataError(message, path=self.path, line=self.line)

    def row(self, task: str, arm: str, kind: str) -> AnswerRow:
        example_id = self._example_id()
        self._agrees("task", task)
        self._agrees("arm", arm)
        status, error = self._status()
        answered = status == "ok"
        timing = self._mapping("timing")
        shown = next((self.record[key] for key in SHOWN if self.record.get(key)), None)
        texts = {key: self.record[key] for key in ITEM_TEXTS if self.record.get(key)}
        return AnswerRow(
            line=self.line,
            example_id=example_id,
            gold=self._letter() if kind == "choice" else self._pairs(),
            score=self._score(required=answered),
            metadata=_scalars(self._mapping("metadata")),
            texts=texts if shown is None else {**texts, "prompt": shown},
            response=Response(
                study="",
                task=task,
                arm=arm,
                item="",
                replicate=0,
                attempt=1,
                order=0,
                block=0,
                status=status,
                error=error,
                output=self._output(required=answered),
                finish_reason=self._text("finish_reason") or self._text("done_reason"),
                prompt_tokens=self._count(timing, "prompt_eval_count"),
                completion_tokens=self._count(timing, "eval_count"),
                timing=self._seconds(timing),
                started_at=self._text("timestamp") or self._text("started_at") or "",
                prompt_sha256=None if shown is None else sha256_of(shown),
                thought=next(filter(None, _thoughts(self.record).values()), None),
            ),
        )

    def _required(self, key: str) -> Any:
        if key not in self.record:
            raise self.fail(f"field {key!r} is missing")
        return self.record[key]

    def _known(self, key: str, wanted: Any, what: str) -> Any:
        """Return a field of a type; None where it is null or not there."""
        value = self.record.get(key)
        if value is not None and not isinstance(value, wanted):
            raise self.fail(f"{key} is {value!r:.60}; expected {what}")
        return value

    def _example_id(self) -> str:
        value = self._required("example_id")
        if isinstance(value, bool) or not isinstance(value, (str, int)) or value == "":
            raise self.fail(f"example_id is {value!r:.60}; expected a text or a whole number")
        return str(value)

    def _agrees(self, key: str, expected: str) -> None:
        value = self.record.get(key)
        if value is None:
            return
        if not isinstance(value, str) or value.casefold() != expected.casefold():
            raise self.fail(f"{key} is {value!r:.60}, but the file's name says {expected!r}")

    def _status(self) -> tuple[str, str | None]:
        value, error = self._text("status"), self._text("error")
        plain = (value or "").strip().lower()
        if plain in _FINE | _ANSWERED_BADLY:
            return "ok", None
        status = plain if plain in STATUSES else "engine_error"
        return status, f"{value}: {error}" if error else value

    def _letter(self) -> str:
        value = self._required("gold")
        letter = value.strip().upper() if isinstance(value, str) else ""
        if len(letter) != 1 or letter not in LETTERS:
            raise self.fail(f"gold is {value!r:.60}; expected a letter from A to {LETTERS[-1]}")
        return letter

    def _pairs(self) -> list[list[str]]:
        value = self._required("gold")
        if not isinstance(value, list) or not all(_is_pair(pair) for pair in value):
            raise self.fail(f"gold is {value!r:.60}; expected a list of pairs [text, TYPE]")
        return [list(pair) for pair in value]

    def _text(self, key: str) -> str | None:
        value: str | None = self._known(key, str, "a text")
        return value

    def _output(self, *, required: bool) -> str:
        if required and self._required("output") is None:
            raise self.fail("output is None; expected the raw text")
        return self._known("output", str, "the raw text") or ""

    def _score(self, *, required: bool) -> float | None:
        if required:
            self._required("score")
        value = self._known("score", (bool, int, float), "a number")
        return None if value is None else float(value)

    def _mapping(self, key: str) -> dict[str, Any]:
        return self._known(key, dict, "an object") or {}

    def _number(self, timing: Mapping[str, Any], key: str) -> float | None:
        value = timing.get(key)
        if value is None:
            return None
        # bool is an int in Python, and never what a duration means
        good = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not good or value < 0 or not math.isfinite(value):
            raise self.fail(f"timing.{key} is {value!r:.60}; expected a number from 0 up")
        return float(value)

    def _count(self, timing: Mapping[str, Any], key: str) -> int | None:
        value = self._number(timing, key)
        if value is not None and value != int(value):
            raise self.fail(f"timing.{key} is {value!r}; expected a whole number")
        if value is not None and value >= _MOST_TOKENS:
            raise self.fail(f"timing.{key} is {value!r}; no text has so many tokens")
        return None if value is None else int(value)

    def _seconds(self, timing: Mapping[str, Any]) -> dict[str, float | None]:
        def seconds(key: str) -> float | None:
            value = self._number(timing, key)
            return None if value is None else value / _NANOSECONDS

        load, wall = seconds("load_duration_ns"), seconds("total_duration_ns")
        decode = seconds("eval_duration_ns")
        rate, tokens = self._number(timing, "tokens_per_second"), self._count(timing, "eval_count")
        if decode is None and rate and tokens:
            decode = tokens / rate
        if wall is not None and load is not None:
            # the recorded total counts the load; `wall` in a run folder is the call alone
            wall = max(wall - load, 0.0)
        return {
            "load": load,
            "prompt": seconds("prompt_eval_duration_ns"),
            "decode": decode,
            "wall": wall,
        }


def _thoughts(record: Mapping[str, Any]) -> dict[str, str]:
    """Return the texts of thoughts by their keys; a setting may have one of these names, too."""
    return {key: record[key] for key in _THOUGHTS if isinstance(record.get(key), str)}


def _is_pair(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(isinstance(v, str) for v in value)


_AS_TEXT: dict[type, Callable[[Any], str]] = {
    str: str,
    int: str,
    float: repr,
    bool: lambda value: "true" if value else "false",
}


def _scalars(metadata: Mapping[str, Any]) -> dict[str, str]:
    return {
        key: text(value)
        for key, value in metadata.items()
        if (text := _AS_TEXT.get(type(value))) is not None
    }
