"""Scores that another program or a person gave, a row an item and arm: JSONL, or CSV with a header.

Of a row, `id` (the item) and `arm` are needed, and a number in each column that an endpoint is made
of; a row without one of these numbers is no answer. `task`, `output` (what was answered) and
`scored_by` (who gave the scores) may stand beside them. A study file declares the endpoints; where
there is none, every column of numbers is one: of 0 and 1 a share, between them a mean.
"""

from __future__ import annotations

import hashlib
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from quantrial import paths
from quantrial.engines.artifact import Artifact
from quantrial.errors import DataError, StudyError
from quantrial.importers.base import Imported
from quantrial.records import Item, Response, content_hash
from quantrial.registry import hint_of, kind_of
from quantrial.strict_json import parse_json
from quantrial.strict_yaml import write_yaml
from quantrial.study import Study, TaskPart, parse_study, read_study_text
from quantrial.study.names import name_like
from quantrial.tasks.endpoints import Endpoint
from quantrial.tasks.rows import Where, decode_text
from quantrial.tasks.sources._tables import csv_records

_REFERENCES = ("fp16", "f16", "bf16")
_OWN = ("id", "arm", "task", "output", "scored_by")
_SHOWN = 5
_LONGEST_NAME = 200
_HEADER = """\
# Imported by `quantrial import scores` from scores that another program or a person gave. The run
# can be analysed, decided on, reported and verified like one of your own; nothing is asked again.
"""


@dataclass(frozen=True, slots=True)
class ScoreOptions:
    """What the rows do not say.

    Attributes:
        study: a study file that declares arms and endpoints; without it, one is written from the
            rows and the options that follow.
        reference: the arm that the others are compared with; the first of fp16, f16, bf16 by
            default.
        margin: the largest loss that counts as the same.
        scores: the columns that are endpoints, the first one primary; all of numbers by default.
        cluster: the column of the groups that items come in.
        scored_by: who gave the scores, where the rows do not say it.
        workload: the kind of work that the items stand for.
    """

    study: Path | None = None
    reference: str | None = None
    margin: str | float = 0.01
    scores: tuple[str, ...] = ()
    cluster: str | None = None
    scored_by: str | None = None
    workload: str | None = None


@dataclass(frozen=True, slots=True)
class _ScoreRow:
    """One row: who answered what, what it was worth, and where that stands."""

    where: Where
    id: str
    arm: str
    task: str | None
    record: Mapping[str, Any]


@dataclass(slots=True)
class _Table:
    """All rows of a file, in their order."""

    path: Path
    sha256: str
    data: bytes
    rows: list[_ScoreRow] = field(default_factory=list)

    @property
    def arms(self) -> list[str]:
        """The arms, in the order that they come in."""
        return list(dict.fromkeys(row.arm for row in self.rows))


def read_scores(path: Path, *, options: ScoreOptions | None = None, **given: Any) -> Imported:
    """Read scores that are there already.

    Args:
        path: a file of JSONL, or of CSV or TSV with a header.
        options: what the rows do not say.
        given: the same one by one, as texts; `scores` with commas.

    Raises:
        DataError, RecordError: a row is not what it should be; names its line.
        StudyError: an option, the study file or an arm does not fit.
    """
    asked = options or _options(given)
    table = _read(path)
    text = _study_text(table, asked)
    study = parse_study(text, path=asked.study)
    _check_study(study, table, asked)
    items: list[Item] = []
    responses: dict[tuple[str, str], list[Response]] = {}
    notes: list[str] = []
    sources: dict[str, Mapping[str, Any]] = {}
    for task in study.tasks:
        own = [row for row in table.rows if row.task in (None, task)]
        if not own:
            raise DataError(f"holds no row of the task {task!r}", path=path)
        made = _Made(study, task, own, asked)
        items += made.items
        for arm, answers in made.responses.items():
            responses[task, arm] = answers
        notes += made.notes
        sources[task] = {
            "files": {path.name: table.sha256},
            "rows": len(own),
            "duplicates": [],
            **({"scored_by": made.judges} if made.judges else {}),
        }
    return Imported(
        text,
        items,
        responses,
        {arm: Artifact(model=one.model) for arm, one in study.arms.items()},
        path.resolve().name,
        sources=sources,
        notes=tuple(notes),
        origin_files={path.name: table.data},
    )


def scores_in(path: Path, task: str, spec: TaskPart) -> dict[tuple[str, str], dict[str, float]]:
    """Return the scores of a task in a file, by item and arm; rows that lack one are left out.

    Raises:
        DataError: a row is not what it should be.
    """
    found = {}
    for row in _read(path).rows:
        values = {name: _score(row, name) for name in kind_of(spec).columns()}
        known = {name: value for name, value in values.items() if value is not None}
        if row.task in (None, task) and len(known) == len(values):
            found[row.id, row.arm] = known
    return found


def _options(given: Mapping[str, Any]) -> ScoreOptions:
    known = tuple(ScoreOptions.__dataclass_fields__)
    for name in given:
        if name not in known:
            raise StudyError(f"there is no setting {name!r}; {hint_of(name, known, 'there is: ')}")
    values = dict(given)
    if isinstance(scores := values.get("scores"), str):
        values["scores"] = tuple(one.strip() for one in scores.split(",") if one.strip())
    if (study := values.get("study")) is not None:
        values["study"] = Path(study)
    return ScoreOptions(**values)


def _read(path: Path) -> _Table:
    try:
        data = paths.read_bytes(path)
    except FileNotFoundError as exc:
        raise DataError("no such file", path=path) from exc
    except OSError as exc:
        raise DataError(f"cannot be read ({exc.strerror})", path=path) from exc
    text = decode_text(data, path)
    table = _Table(path, hashlib.sha256(data).hexdigest(), data)
    seen: dict[tuple[str | None, str, str], Where] = {}
    for where, record in _records(text, path):
        row = _ScoreRow(
            where,
            _name(record, "id", where),
            _name(record, "arm", where),
            None if record.get("task") is None else _name(record, "task", where),
            record,
        )
        first = seen.setdefault((row.task, row.id, row.arm), where)
        if first is not where:
            raise where.error(f"scores item {row.id!r} of {row.arm!r} again; line {first.line} did")
        table.rows.append(row)
    return table


def _records(text: str, path: Path) -> Iterator[tuple[Where, dict[str, Any]]]:
    if path.suffix.lower() in (".csv", ".tsv"):
        delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
        yield from csv_records(io.StringIO(text, newline=""), delimiter, path)
        return
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            where = Where(path, number)
            record = parse_json(line.encode(), path=path, line=number)
            if not isinstance(record, dict):
                raise where.error(f"expected a JSON object, got {line.strip()!r:.40}")
            yield where, record


def _name(record: Mapping[str, Any], key: str, where: Where) -> str:
    value = record.get(key)
    if value is None:
        raise where.error(f"{key!r} is missing; there is {', '.join(record)!s:.200}")
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        raise where.error(f"{key!r} is {value!r:.40}; needed is a text or a whole number")
    name = str(value)
    if not name.isprintable() or not 0 < len(name.strip()) <= _LONGEST_NAME:
        raise where.error(f"{key!r} is {name!r:.60}; needed are 1 to {_LONGEST_NAME} letters")
    return name


def _number(record: Mapping[str, Any], column: str) -> float | None:
    """Return a score; None where there is none.

    Raises:
        ValueError: it is no number.
    """
    value = record.get(column)
    if value is None:
        return None
    try:
        if isinstance(value, (bool, int, float, str)):
            return float(value)
    except OverflowError:  # a whole number beyond every float
        pass
    raise ValueError(f"{column!r} is {value!r:.40}, and no number")


def _score(row: _ScoreRow, column: str) -> float | None:
    try:
        return _number(row.record, column)
    except ValueError as exc:
        raise row.where.error(str(exc)) from exc


def _columns(table: _Table, asked: ScoreOptions) -> dict[str, list[float]]:
    """Return the columns of numbers with their values, in the order that they come in."""
    names = dict.fromkeys(name for row in table.rows for name in row.record)
    found = {}
    for name in asked.scores or names:
        if name not in names:
            hint = hint_of(name, tuple(names), "there is: ")
            raise StudyError(f"no row has {name!r}; {hint}", key="scores")
        if name in _OWN or name == asked.cluster:
            continue
        values = _values(name, table.rows, wanted=bool(asked.scores))
        if values:
            found[name] = values
    if not found:
        there = ", ".join(names)
        raise DataError(f"no column holds scores; there is {there:.200}", path=table.path)
    return found


def _values(name: str, rows: Sequence[_ScoreRow], *, wanted: bool) -> list[float]:
    """Return the numbers of a column; none where it holds something else.

    Raises:
        DataError: it was asked for and is not of numbers, or most of it is and one is not.
    """
    values, strange = [], None
    for row in rows:
        try:
            value = _number(row.record, name)
        except ValueError:
            strange = strange or row
            continue
        if value is not None:
            values.append(value)
            if not math.isfinite(value):
                raise row.where.error(f"{name!r} is {value:g}; leave it empty where it is none")
    if strange is None:
        return values
    if wanted or 2 * len(values) > len(rows):
        raise strange.where.error(f"{name!r} is {strange.record[name]!r:.40}, and no number")
    return []


def _study_text(table: _Table, asked: ScoreOptions) -> str:
    """Return the text of the study file: the one that was named, or one made of the rows."""
    if asked.study is not None:
        given = {"reference": asked.reference, "score": asked.scores, "cluster": asked.cluster}
        for name, value in given.items():
            if value:
                raise StudyError("stands in the study file already; leave it out", key=name)
        return read_study_text(asked.study)
    tasks = list(dict.fromkeys(row.task for row in table.rows))
    if None in tasks and len(tasks) > 1:
        first = next(row for row in table.rows if row.task is None)
        raise first.where.error("'task' is missing, which other rows have")
    declared = {name: _measure(name, values) for name, values in _columns(table, asked).items()}
    part = {
        "kind": "recorded",
        "source": {"type": "imported", "layout": "scores"},
        "endpoints": declared,
        **({"cluster": asked.cluster} if asked.cluster else {}),
    }
    name = name_like(table.path.stem) or "scores"
    reference = asked.reference
    if reference is None:
        reference = next((one for one in _REFERENCES if one in table.arms), None)
    if reference is None or reference not in table.arms:
        said = f"there is no arm {reference!r}" if reference else "say which arm is the reference"
        raise StudyError(f"{said}; the arms are: {', '.join(table.arms)}", key="reference")
    arms = [reference, *(arm for arm in table.arms if arm != reference)]
    study = {
        "study": name,
        "reference": reference,
        "margin": asked.margin,
        "arms": {arm: {"engine": "imported", "model": arm} for arm in arms},
        "tasks": {
            task or name: {**part, "workload": asked.workload or task or name} for task in tasks
        },
    }
    return _HEADER + write_yaml(study)


def _measure(name: str, values: Sequence[float]) -> dict[str, Any]:
    if set(values) <= {0.0, 1.0}:
        return {"type": "proportion"}
    if all(0.0 <= value <= 1.0 for value in values):
        return {"type": "mean"}
    raise StudyError(
        f"{name!r} goes from {min(values):g} to {max(values):g}: declare its range and unit in a "
        "study file (`--study`), or leave it out by naming the others (`--score`)",
        key="endpoints",
    )


def _check_study(study: Study, table: _Table, asked: ScoreOptions) -> None:
    for name, spec in study.tasks.items():
        if spec.kind != "recorded":
            raise StudyError(
                f"is of kind {spec.kind!r}; scores are read for the kind `recorded`",
                path=asked.study,
                key=f"tasks.{name}.kind",
            )
    for row in table.rows:
        if row.arm not in study.arms:
            hint = hint_of(row.arm, tuple(study.arms), "the study has: ")
            raise row.where.error(f"the study has no arm {row.arm!r}; {hint}")
        if row.task is None and len(study.tasks) > 1:
            raise row.where.error(f"'task' is missing; the study has {', '.join(study.tasks)}")
        if row.task is not None and row.task not in study.tasks:
            hint = hint_of(row.task, tuple(study.tasks), "the study has: ")
            raise row.where.error(f"the study has no task {row.task!r}; {hint}")


class _Made:
    """The items and responses of one task, and what deserves a look."""

    def __init__(self, study: Study, task: str, rows: Sequence[_ScoreRow], asked: ScoreOptions):
        self.study, self.task, self.asked = study, task, asked
        self.endpoints: Sequence[Endpoint] = kind_of(study.tasks[task]).endpoints
        self.columns: Sequence[str] = kind_of(study.tasks[task]).columns()
        by_item: dict[str, list[_ScoreRow]] = {}
        for row in rows:
            by_item.setdefault(row.id, []).append(row)
        self.items = [self._item(name, own) for name, own in by_item.items()]
        self.responses: dict[str, list[Response]] = {}
        self.notes: list[str] = []
        self.judges: list[str] = []
        unscored = 0
        for block, own in enumerate(by_item.values()):
            for row in own:
                response = self._response(row, block)
                if response is None:
                    unscored += 1
                    continue
                self.responses.setdefault(row.arm, []).append(response)
                if response.scored_by and response.scored_by not in self.judges:
                    self.judges.append(response.scored_by)
        self.notes += self._lacking(by_item, unscored)

    def _item(self, name: str, rows: Sequence[_ScoreRow]) -> Item:
        """Make an item; what all its rows say alike is its metadata."""
        own = {*_OWN, *self.columns}
        first, *others = (row.record for row in rows)
        shared = {
            key: value if isinstance(value, str) else f"{value}"
            for key, value in first.items()
            if key not in own
            and isinstance(value, (str, int, float))
            and all(other.get(key) == value for other in others)
        }
        spec = self.study.tasks[self.task]
        for group in (spec.cluster, spec.stratify):
            if group is not None and group not in shared:
                lack = next((row for row in rows if row.record.get(group) is None), rows[-1])
                raise lack.where.error(
                    f"item {name!r} has no {group!r} that all its rows agree on; the study takes "
                    "it as a group"
                )
        content = {"id": name}
        return Item(
            task=self.task,
            id=name,
            content=content,
            gold="",
            metadata=shared,
            source=str(rows[0].where),
            content_sha256=content_hash(content, ""),
        )

    def _response(self, row: _ScoreRow, block: int) -> Response | None:
        """Make the response of a row; None where a score is missing that an endpoint needs."""
        scores = {}
        for column in self.columns:
            value = _score(row, column)
            if value is None:
                return None
            if not math.isfinite(value):
                raise row.where.error(f"{column!r} is {value:g}; leave it empty where it is none")
            scores[column] = value
        self._check_range(row, scores)
        output, judge = row.record.get("output"), row.record.get("scored_by", self.asked.scored_by)
        for key, text in (("output", output), ("scored_by", judge)):
            if text is not None and not isinstance(text, str):
                raise row.where.error(f"{key!r} is {text!r:.40}; needed is a text")
        arms = list(self.study.arms)
        return Response(
            study=self.study.study,
            task=self.task,
            arm=row.arm,
            item=row.id,
            replicate=0,
            attempt=1,
            order=block * len(arms) + arms.index(row.arm),
            block=block,
            status="ok",
            error=None,
            output=output or "",
            finish_reason=None,
            prompt_tokens=None,
            completion_tokens=None,
            timing=dict.fromkeys(("load", "prompt", "decode", "wall")),
            started_at="",
            scores=scores,
            scored_by=judge,
        )

    def _check_range(self, row: _ScoreRow, scores: Mapping[str, float]) -> None:
        for one in self.endpoints:
            if one.denominator:
                continue
            value = sum(weight * scores[name] for name, weight in one.numerator.items())
            inside = (one.low is None or value >= one.low) and (
                one.high is None or value <= one.high
            )
            if one.type == "proportion" and value not in (0.0, 1.0):
                raise row.where.error(f"{one.name!r} is {value:g}; a share is made of 0 and 1")
            if not inside:
                raise row.where.error(
                    f"{one.name!r} is {value:g}; the study says {one.low:g} to {one.high:g}"
                    if one.low is not None and one.high is not None
                    else f"{one.name!r} is {value:g}, out of the range that the study says"
                )

    def _lacking(self, by_item: Mapping[str, Sequence[_ScoreRow]], unscored: int) -> Iterator[str]:
        if unscored:
            one = unscored == 1
            said = (
                "row has no score and counts as a missing answer"
                if one
                else ("rows have no score and count as missing answers")
            )
            yield f"{self.task}: {unscored:,} {said}."
        for arm in self.study.arms:
            lacking = [name for name, own in by_item.items() if arm not in {r.arm for r in own}]
            if lacking:
                shown = ", ".join(lacking[:_SHOWN]) + (", ..." if len(lacking) > _SHOWN else "")
                yield f"{self.task}: {arm} has no row of {len(lacking):,} items: {shown}."
