"""Tables of one's own: CSV, TSV, JSONL, a JSON array, Parquet, Excel; long, wide or a file an arm.

Long is a row for each item and arm; wide a row for each item, and columns for each arm. A column
that is not named is taken by its name where that is plain, and a note says so.
"""

from __future__ import annotations

import hashlib
import itertools
import re
from collections import Counter
from collections.abc import Container, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from quantrial import paths
from quantrial.engines.artifact import Artifact
from quantrial.errors import DataError, MissingExtraError, QuantrialError, StudyError
from quantrial.importers.base import Imported, LogPaths, Recognised
from quantrial.importers.log_rows import (
    ArmLog,
    LogOptions,
    LogRow,
    digest,
    items_of,
    listed,
    short_text,
)
from quantrial.importers.logs import pair_logs
from quantrial.importers.predictions import Judge
from quantrial.importers.table_columns import (
    ARMS,
    ERRORS,
    MOST_ARMS,
    Chosen,
    Columns,
    TableOptions,
    metrics_of,
    table_options,
)
from quantrial.importers.table_files import (
    ENDINGS,
    id_of,
    only_text,
    records_of,
    score_of,
    text_of,
)
from quantrial.study.names import LONGEST, name_like
from quantrial.tasks.rows import Where
from quantrial.words import plural

_PEEKED = 100


def read_table(logs: LogPaths, *, options: LogOptions | None = None) -> Imported:
    """Read tables of scores.

    Args:
        logs: a file an arm by the arms' names, or files whose rows or columns name the arms.
        options: a `TableOptions`, or what it shares with other logs.

    Raises:
        DataError, RecordError: a row is not what it should be; names its line and column.
        StudyError: an option does not fit.
        MissingExtraError: what reads the file is not installed.
    """
    asked = table_options(options)
    files = list(logs.values()) if isinstance(logs, Mapping) else list(logs)
    task = _task(files)
    if isinstance(logs, Mapping) and asked.arm is not None:
        raise StudyError("the files name the arms already: leave one of the two out", key="--arm")

    if isinstance(logs, Mapping) and len({path.resolve() for path in files}) < len(files):
        raise StudyError(f"two arms are read from one file: {', '.join(logs)}", key="ARM=PATH")
    judge = Judge(asked) if asked.scorer is not None or asked.gold_file is not None else None

    def of_one(arm: str, path: Path, _: LogOptions) -> ArmLog:
        return _Table([path], asked, task, judge, arm).logs()[arm]

    def inside(found: Sequence[Path], _: LogOptions) -> Mapping[str, ArmLog]:
        return _Table(found, asked, task, judge).logs()

    made = pair_logs("table", logs, of_one, asked, inside=inside)
    unanswered = [] if judge is None else judge.unanswered(asked)
    return replace(made, notes=(*_same_bytes(logs), *made.notes, *unanswered))


def _same_bytes(logs: LogPaths) -> list[str]:
    """Say which arms were read from files with the same content."""
    arms: dict[str, list[str]] = {}
    for arm, path in logs.items() if isinstance(logs, Mapping) else ():
        arms.setdefault(_hash_of(path), []).append(arm)
    return [
        f"{' and '.join(same)} were read from files with the same content. Is one a copy?"
        for same in arms.values()
        if len(same) > 1
    ]


def _hash_of(path: Path) -> str:
    with paths.open_file(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def recognises(path: Path) -> Recognised | None:
    """Say whether a path is a table with a column of ids and one of scores."""
    if not paths.is_file(path) or path.suffix.lower() not in ENDINGS:
        return None
    why = f"is a table ({path.suffix.lower()})"
    records = []
    try:
        for _, record in itertools.islice(records_of(path), 10 * _PEEKED):
            records.append(record)
    except MissingExtraError:
        return Recognised(why, general=True)  # its reader says what installs it
    except QuantrialError:
        if not records:  # any JSON may be something else
            return None if "json" in path.suffix.lower() else Recognised(why, general=True)
    columns = Columns(tuple(dict.fromkeys(name for one in records for name in one)), path)
    try:
        chosen = columns.choose(TableOptions(), alone=not columns.tell_arms())
    except QuantrialError:
        return Recognised(why, general=True)
    arms = tuple(chosen.scores)  # of columns; a file that is an arm has none
    if chosen.arm is not None:
        arms = tuple(dict.fromkeys(str(one.get(chosen.arm)) for one in records))
    return Recognised(why, tuple(filter(None, arms)), general=True)


def _task(files: Sequence[Path]) -> str:
    """Name the task: a file's name without what tells it from the others."""
    words = [re.findall(r"[A-Za-z0-9]+", path.stem) for path in files]
    shared = [word for word in words[0] if all(word in other for other in words)] if words else []
    return name_like("_".join(shared)) or "table"


class _Table:
    """The rows of files with the same columns, by arm."""

    def __init__(
        self,
        files: Sequence[Path],
        asked: TableOptions,
        task: str,
        judge: Judge | None,
        arm: str | None = None,
    ) -> None:
        self.judge, self.of_arms = judge, ""
        self.files, self.asked, self.task, self.arm = files, asked, task, arm
        self.rows: dict[str, list[LogRow]] = {} if arm is None else {arm: []}
        self.first: dict[tuple[str, str, str], Where] = {}
        self.kinds: dict[str, type] = {}
        self.raw_arms: dict[str, str] = {}
        self.again: Counter[str] = Counter()
        self.notes: list[str] = []
        self.program = f"a table ({', '.join(sorted({path.name for path in files}))})"

    def logs(self) -> dict[str, ArmLog]:
        """Read everything; return the log of each arm, in the order that they come in."""
        hashes: dict[str, str] = {}
        for path in self.files:
            self._read(path)
            name = path.name if path.name not in hashes else f"{path.parent.name}/{path.name}"
            hashes[name] = _hash_of(path)
        made: dict[str, ArmLog] = {}
        program = self.program if self.judge is None else self.judge.program
        for arm, rows in self.rows.items():
            own = self.notes if not made else []  # of a file that holds all arms, said once
            if again := self.again[arm]:
                repeated = plural(again, "row repeats", "rows repeat")
                own = [
                    *own,
                    f"{self.task}: {repeated} an item of {arm}; the first one counts.",
                ]
            artifact = Artifact(model=self.raw_arms.get(arm, arm))
            tasks = {self.task: rows}
            made[arm] = ArmLog(program, artifact, tasks, files=hashes, notes=list(own))
        return made

    def _read(self, path: Path) -> None:
        lines = self.judge is not None
        if self.judge is not None:
            self.judge.check_file(path)
        records = records_of(path, self.asked.sheet, self.notes, lines=lines)
        peeked = list(itertools.islice(records, _PEEKED))
        if not peeked:
            raise DataError("holds no row", path=path)
        names = tuple(dict.fromkeys(name for _, one in peeked for name in one))
        for name in names:
            if not name.isprintable():
                raise DataError(f"a column is named {name!r:.80}: is it text?", path=path, line=1)
        found = Columns(names, path)
        chosen = found.choose(self.asked, alone=self.arm is not None)
        if self.arm is not None and (column := found.usual(ARMS)) is not None:
            self.of_arms = f"if {column!r} holds several arms, leave the names before files out; "
        unused = found.usual(ERRORS) if self.asked.error is None else None
        filled = 0
        if chosen.said:
            self.notes.append(f"{path.name}: read {chosen.said}.")
        if chosen.judged and self.judge is None:
            self.judge = Judge(self.asked)
            self.notes.append(
                f"{path.name}: no column holds scores; {self.judge.program} gave them."
            )
        metrics = metrics_of(chosen.scores)
        taken = {*itertools.chain(*chosen.scores.values()), *chosen.outputs.values(), chosen.key,
                 chosen.arm, chosen.gold, self.asked.prompt}  # fmt: skip
        for where, record in itertools.chain(peeked, records):
            key = self._key(record.get(chosen.key), where, chosen.key)
            groups = self._groups(record, taken, where)
            filled += unused is not None and bool(text_of(record.get(unused)).strip())
            for arm, own in chosen.scores.items():
                name = arm or self.arm or self._arm(record.get(chosen.arm or ""), where, chosen.arm)
                if self._is_new(name, key, where, record):
                    columns = dict(zip(metrics, own, strict=True))
                    row = self._row(key, where, record, chosen, columns, arm)
                    row.groups = groups
                    row.content = _hash(key, groups.get(self.asked.stratify or "", ""))
                    self.rows.setdefault(name, []).append(row)
        if filled:
            self.notes.append(
                f"{path.name}: {unused!r} is filled in on {plural(filled, 'row')}; "
                f"`--error {unused}` makes these answers missing."
            )

    def _is_new(self, arm: str, key: str, where: Where, record: Mapping[str, Any]) -> bool:
        sample = "" if self.asked.sample is None else text_of(record.get(self.asked.sample))
        before = self.first.setdefault((arm, key, sample), where)
        if before is where:
            return True
        if "duplicates" not in self.asked.allow:
            raise where.error(
                f"item {key!r} of {arm} stands here again, after {before}; {self.of_arms}`--sample "
                "COLUMN` names what tells several answers apart, `--allow duplicates` takes the "
                "first one"
            )
        self.again[arm] += 1
        return False

    def _row(
        self,
        key: str,
        where: Where,
        record: Mapping[str, Any],
        chosen: Chosen,
        columns: Mapping[str, str],
        arm: str,
    ) -> LogRow:
        output = only_text(record.get(chosen.outputs[arm])) if arm in chosen.outputs else None
        said = text_of(output)
        gold = "" if chosen.gold is None else text_of(record.get(chosen.gold))
        error = "" if self.asked.error is None else text_of(record.get(self.asked.error)).strip()
        scores = {
            metric: None if error else score_of(record.get(column), where, column)
            for metric, column in columns.items()
        }
        if error:
            chosen = replace(chosen, judged=False)
        if chosen.judged and self.judge is not None:
            own = None if chosen.gold is None else record.get(chosen.gold)
            # an empty cell is an empty answer, null in JSON is none
            answer = said if output is None and _is_cell(where) else output
            scores[self.judge.metric], gold = self.judge.score(key, answer, own, where)
        prompt = None if self.asked.prompt is None else text_of(record.get(self.asked.prompt))
        return LogRow(
            where,
            key,
            "",
            scores,
            short_text(said),
            digest(said if output is not None else (arm, self.arm, str(where))),
            "",
            short_text(prompt or ""),
            gold,
            None if prompt is None else digest(prompt).hex(),
            error=error or None,
        )

    def _groups(
        self, record: Mapping[str, Any], taken: Container[object], where: Where
    ) -> dict[str, str]:
        rest = {name: value for name, value in record.items() if name not in taken}
        groups = dict(items_of(rest))
        if (name := self.asked.stratify) is not None:
            groups[name] = id_of(record.get(name), where, name)
        return groups

    def _key(self, value: Any, where: Where, column: str) -> str:
        name = id_of(value, where, column)
        kind = str if isinstance(value, str) else int  # 1.0 is 1
        if self.kinds.setdefault(name, kind) is not kind:
            raise where.error(f"{column!r} is {name!r} as a text, and as a number elsewhere")
        return name

    def _arm(self, value: Any, where: Where, column: str | None) -> str:
        said = id_of(value, where, column or "")
        name = name_like(said[-LONGEST:])  # of a long path, the end tells models apart
        if not name:
            raise where.error(f"{column!r} is {said!r}; needed is a name with letters or digits")
        if self.raw_arms.setdefault(name, said) != said:
            raise where.error(
                f"the arms {self.raw_arms[name]!r} and {said!r} would both be named {name!r}"
            )
        if len(self.raw_arms) > MOST_ARMS:
            raise where.error(
                f"{column!r} holds more than {MOST_ARMS} arms ({listed(list(self.raw_arms))}); "
                "is it the column of the arms?"
            )
        return name


def _hash(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode("utf-8", "replace")).hexdigest()


def _is_cell(where: Where) -> bool:
    """Whether a place is in a file of cells, of which an empty one may be an empty text."""
    return Path(where.path).suffix.lower() in (".csv", ".tsv", ".txt", ".xlsx", ".xlsm")
