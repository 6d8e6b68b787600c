"""Tables of one's own: CSV, TSV, JSONL, a JSON array, Parquet, Excel; long, wide or a file an arm.

Long is a row for each item and arm; wide a row for each item, and columns for each arm. A column
that is not named is taken by its name where that is plain, and a note says so.
"""

from __future__ import annotations

import hashlib
import io
import itertools
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final

from quantrial import paths
from quantrial.engines.artifact import Artifact
from quantrial.errors import DataError, MissingExtraError, QuantrialError, StudyError
from quantrial.importers.auto import start_of
from quantrial.importers.base import Imported, LogPaths, Recognised
from quantrial.importers.log_rows import (
    P_RIGHT,
    ArmLog,
    LogOptions,
    LogRow,
    as_name,
    digest,
    items_of,
    listed,
    short_text,
)
from quantrial.importers.logs import pair_logs
from quantrial.registry import hint_of
from quantrial.strict_json import parse_json
from quantrial.study.names import name_like
from quantrial.tasks.rows import Where, decode_text
from quantrial.tasks.sources._tables import Records, csv_records, excel_records, parquet_records

KEYS = ("id", "item_id", "item", "key", "doc_id", "sample_id", "example_id", "question_id",
        "test_id", "idx", "index")  # fmt: skip
ARMS = ("arm", "model", "variant", "precision", "quantization", "quant")
SCORES = ("correct", "is_correct", "score", "exact_match", "acc", "accuracy", "passed", "pass",
          "success", "right", "is_right")  # fmt: skip
_TRUE = frozenset({"true", "yes", "y", "t", "correct", "right", "pass", "passed"})
_FALSE = frozenset({"false", "no", "n", "f", "incorrect", "wrong", "fail", "failed"})
_NONE = frozenset({"", "nan", "na", "n/a", "#n/a", "null", "none", "-"})
_COMMA = re.compile(r"-?\d+,\d+")
_ENDINGS = (".csv", ".tsv", ".jsonl", ".ndjson", ".json", ".parquet", ".pq", ".xlsx", ".xlsm")
_ARMS_IN: Final = "the arms"
_OTHER_ARMS = ", or name a file an arm (f16=a.csv q4=b.csv) or a column an arm (--score f16=COLUMN)"
_PEEKED = 100
_WIDE = (b"\xff\xfe", b"\xfe\xff")  # the marks of UTF-16
_MOST_ARMS = 50
_LONGEST_NAME = 200
_LONGEST_NUMBER = 40
_FORMULA: Final = "=+@"


@dataclass(frozen=True, slots=True)
class TableOptions(LogOptions):
    """Which columns hold what.

    Attributes:
        key: the column of the items' ids.
        arm: the column of the arms' names; None where a file is an arm, or columns are.
        scores: columns of scores, the first one primary; `arm=column` where a row holds all arms.
        outputs: the column of the answers' texts, or `arm=column` each.
        gold: the column of the right answers.
        prompt: the column of what the models were asked.
        sample: the column that tells several answers to one item apart.
        sheet: the sheet of an Excel file; the first one by default.
    """

    key: str | None = None
    arm: str | None = None
    scores: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    gold: str | None = None
    prompt: str | None = None
    sample: str | None = None
    sheet: str | None = None


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
    asked = _asked(options)
    files = list(logs.values()) if isinstance(logs, Mapping) else list(logs)
    task = _task(files)
    if isinstance(logs, Mapping) and asked.arm is not None:
        raise StudyError("the files name the arms already: leave one of the two out", key="--arm")

    def of_one(arm: str, path: Path, _: LogOptions) -> ArmLog:
        return _Table([path], asked, task, arm).logs()[arm]

    def inside(found: Sequence[Path], _: LogOptions) -> Mapping[str, ArmLog]:
        return _Table(found, asked, task).logs()

    return pair_logs("table", logs, of_one, asked, inside=inside)


def recognises(path: Path) -> Recognised | None:
    """Say whether a path is a table with a column of ids and one of scores."""
    if not paths.is_file(path) or path.suffix.lower() not in _ENDINGS:
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
    columns = _Columns(tuple(dict.fromkeys(name for one in records for name in one)), path)
    try:
        chosen = columns.choose(TableOptions(), alone=not columns.tell_arms())
    except QuantrialError:
        return Recognised(why, general=True)
    arms = tuple(chosen.scores)  # of columns; a file that is an arm has none
    if chosen.arm is not None:
        arms = tuple(dict.fromkeys(str(one.get(chosen.arm)) for one in records))
    return Recognised(f"{why} with {chosen.said}", tuple(filter(None, arms)), general=True)


def _asked(options: LogOptions | None) -> TableOptions:
    if isinstance(options, TableOptions):
        return options
    shared = options or LogOptions()
    return TableOptions(**{one.name: getattr(shared, one.name) for one in fields(shared)})


def _task(files: Sequence[Path]) -> str:
    """Name the task: a file's name without what tells it from the others."""
    words = [re.findall(r"[A-Za-z0-9]+", path.stem) for path in files]
    shared = [word for word in words[0] if all(word in other for other in words)] if words else []
    return name_like("_".join(shared)) or "table"


@dataclass(frozen=True, slots=True)
class _Chosen:
    """The columns of a table. `scores` and `outputs` are by arm, of the arm "" in a long one."""

    key: str
    arm: str | None
    scores: Mapping[str, tuple[str, ...]]
    outputs: Mapping[str, str]
    said: str


class _Columns:
    """Finds columns by what is asked, or by their names."""

    def __init__(self, names: Sequence[str], path: Path) -> None:
        self.names, self.path = names, path
        self.guessed: list[str] = []

    def choose(self, asked: TableOptions, *, alone: bool) -> _Chosen:
        """Choose the columns; in a table `alone`, all rows are of one arm.

        Raises:
            DataError: a column is not there, or it is not plain which one is meant.
        """
        for option in ("gold", "prompt", "sample", "stratify"):
            if (name := getattr(asked, option)) is not None:
                self.there(name, "--group" if option == "stratify" else f"--{option}")
        key = self.one(asked.key, KEYS, "the items' ids", "--key")
        wide = not alone and asked.arm is None and self.is_wide(asked.scores)
        arm = None
        if wide:
            scores = self.by_arm(asked.scores, "--score")
        elif not alone:
            arm = self.one(asked.arm, ARMS, _ARMS_IN, "--arm")
            scores = {}
        if not wide:
            named = [self.there(name, "--score") for name in asked.scores]
            scores = {"": tuple(named or [self.one(None, SCORES, "the scores", "--score")])}
        outputs = {}
        if wide:
            outputs = {name: own[0] for name, own in self.by_arm(asked.outputs, "--output").items()}
        elif asked.outputs:
            outputs[""] = self.there(asked.outputs[0], "--output")
        for name in outputs:
            if name not in scores:
                hint = hint_of(name, tuple(scores), "there is: ")
                raise StudyError(f"there are no scores of {name!r}; {hint}", key="--output")
        return _Chosen(key, arm, scores, outputs, ", ".join(self.guessed))

    def one(self, asked: str | None, usual: Sequence[str], what: str, option: str) -> str:
        if asked is not None:
            return self.there(asked, option)
        plain = {name.casefold(): name for name in reversed(self.names)}
        found = next((plain[name] for name in usual if name in plain), None)
        if found is None:
            way = _OTHER_ARMS if what == _ARMS_IN else ""
            raise self.error(f"say by {option} which column holds {what}{way}; {self.listed()}")
        self.guessed.append(f"{what} in {found!r}")
        return found

    def there(self, name: str, option: str) -> str:
        if name not in self.names:
            hint = hint_of(name, self.names, "columns: ")
            raise self.error(f"there is no column {name!r} ({option}); {hint:.300}")
        return name

    def tell_arms(self) -> bool:
        """Whether a column, or several, seem to name the arms."""
        return self.is_wide(()) or not {name.casefold() for name in self.names}.isdisjoint(ARMS)

    def is_wide(self, scores: Sequence[str]) -> bool:
        """Whether scores are asked for as `arm=column`, or columns look like those of arms."""
        if scores:
            return all("=" in one and one not in self.names for one in scores)
        plain = {name.casefold() for name in self.names}
        return not plain.intersection(ARMS) and len(self.of_arms()) > 1

    def of_arms(self) -> dict[str, tuple[str, ...]]:
        """Return columns such as `correct_f16` and `correct_q4`, or `f16_correct`, by arm."""
        for usual in SCORES:
            for pattern in (rf"{usual}[\W_](.+)", rf"(.+)[\W_]{usual}"):
                found: dict[str, tuple[str, ...]] = {
                    name_like(match[1]): (name,)
                    for name in self.names
                    if (match := re.fullmatch(pattern, name, re.IGNORECASE))
                }
                if len(found) > 1:
                    return found
        return {}

    def by_arm(self, given: Sequence[str], option: str) -> dict[str, tuple[str, ...]]:
        if not given and option == "--score":
            found = self.of_arms()
            self.guessed.append(
                "the scores in " + ", ".join(f"{own[0]!r}" for own in found.values())
            )
            return found
        named: dict[str, tuple[str, ...]] = {}
        for text in given:
            arm, equals, column = text.partition("=")
            if not arm or not equals:
                raise StudyError(
                    f"each arm has a column of its own: {option} f16=COLUMN; got {text!r:.60}",
                    key=option,
                )
            named[arm] = (*named.get(arm, ()), self.there(column, option))
        if len(set(map(len, named.values()))) > 1:
            raise StudyError("every arm needs as many columns as the others", key=option)
        return named

    def listed(self) -> str:
        return f"columns: {', '.join(map(repr, self.names))}"[:300]

    def error(self, message: str) -> DataError:
        return DataError(message, path=self.path, line=1)


class _Table:
    """The rows of files with the same columns, by arm."""

    def __init__(
        self, files: Sequence[Path], asked: TableOptions, task: str, arm: str | None = None
    ) -> None:
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
            with paths.open_file(path) as file:
                hashes[name] = hashlib.file_digest(file, "sha256").hexdigest()
        made: dict[str, ArmLog] = {}
        for arm, rows in self.rows.items():
            own = self.notes if not made else []  # of a file that holds all arms, said once
            if again := self.again[arm]:
                own = [*own, f"{self.task}: {again:,} rows repeat an item of {arm}; the first "
                       "one counts."]  # fmt: skip
            artifact = Artifact(model=self.raw_arms.get(arm, arm))
            tasks = {self.task: rows}
            made[arm] = ArmLog(self.program, artifact, tasks, files=hashes, notes=list(own))
        return made

    def _read(self, path: Path) -> None:
        records = records_of(path, self.asked.sheet, self.notes)
        peeked = list(itertools.islice(records, _PEEKED))
        if not peeked:
            raise DataError("holds no row", path=path)
        names = tuple(dict.fromkeys(name for _, one in peeked for name in one))
        for name in names:
            if not name.isprintable():
                raise DataError(f"a column is named {name!r:.80}: is it text?", path=path, line=1)
        columns = _Columns(names, path)
        chosen = columns.choose(self.asked, alone=self.arm is not None)
        if chosen.said:
            self.notes.append(f"{path.name}: read {chosen.said}.")
        metrics = _metrics(chosen.scores)
        taken = {*itertools.chain(*chosen.scores.values()), *chosen.outputs.values(), chosen.key,
                 chosen.arm, self.asked.gold, self.asked.prompt}  # fmt: skip
        for where, record in itertools.chain(peeked, records):
            key = self._key(record.get(chosen.key), where, chosen.key)
            rest = {name: value for name, value in record.items() if name not in taken}
            for arm, own in chosen.scores.items():
                values = {
                    metric: score_of(record.get(column), where, column)
                    for metric, column in zip(metrics, own, strict=True)
                }
                name = arm or self.arm or self._arm(record.get(chosen.arm or ""), where, chosen.arm)
                output = record.get(chosen.outputs[arm]) if arm in chosen.outputs else None
                self._add(name, key, where, record, values, output, rest)

    def _add(
        self, arm: str, key: str, where: Where, record: Mapping[str, Any],
        values: Mapping[str, float | None], output: Any, rest: Mapping[str, Any],
    ) -> None:  # fmt: skip
        asked = self.asked
        sample = "" if asked.sample is None else text_of(record.get(asked.sample))
        before = self.first.setdefault((arm, key, sample), where)
        if before is not where:
            if "duplicates" not in asked.allow:
                raise where.error(
                    f"item {key!r} of {arm} stands here again, after {before}; `--sample COLUMN` "
                    "names what tells several answers apart, `--allow duplicates` takes the first "
                    "one"
                )
            self.again[arm] += 1
            return
        prompt = None if asked.prompt is None else text_of(record.get(asked.prompt))
        groups = dict(items_of(rest))
        if asked.stratify is not None:
            groups[asked.stratify] = id_of(record.get(asked.stratify), where, asked.stratify)
        group = groups.get(asked.stratify or "", "")
        content = hashlib.sha256(f"{key}\0{group}".encode("utf-8", "replace")).hexdigest()
        said = text_of(output)
        self.rows.setdefault(arm, []).append(
            LogRow(
                where,
                key,
                "",
                values,
                said,
                digest(said if output is not None else (arm, key, sample)),
                content,
                short_text(prompt or ""),
                "" if asked.gold is None else text_of(record.get(asked.gold)),
                None if prompt is None else digest(prompt).hex(),
                groups,
            )
        )

    def _key(self, value: Any, where: Where, column: str) -> str:
        name = id_of(value, where, column)
        if self.kinds.setdefault(name, type(value)) is not type(value):
            raise where.error(f"{column!r} is {name!r} as a text, and as a number elsewhere")
        return name

    def _arm(self, value: Any, where: Where, column: str | None) -> str:
        said = id_of(value, where, column or "")
        name = name_like(said)
        if not name:
            raise where.error(f"{column!r} is {said!r}; needed is a name with letters or digits")
        if self.raw_arms.setdefault(name, said) != said:
            raise where.error(
                f"the arms {self.raw_arms[name]!r} and {said!r} would both be named {name!r}"
            )
        if len(self.raw_arms) > _MOST_ARMS:
            raise where.error(
                f"{column!r} holds more than {_MOST_ARMS} arms ({listed(list(self.raw_arms))}); "
                "is it the column of the arms?"
            )
        return name


def _metrics(scores: Mapping[str, Sequence[str]]) -> list[str]:
    """Name the metrics: a column's name, or what the columns of all arms have in common.

    Raises:
        StudyError: two have the same name.
    """
    named = []
    for columns in zip(*scores.values(), strict=True):
        words = [re.findall(r"[A-Za-z0-9]+", column) for column in columns]
        shared = [word for word in words[0] if all(word in other for other in words)]
        name = as_name(columns[0] if len(columns) == 1 else "_".join(shared) or "score")
        named.append(f"{name}_score" if name == P_RIGHT else name)
    if len(set(named)) < len(named):
        raise StudyError(f"two scores would be named alike: {', '.join(named)}", key="--score")
    return named


def id_of(value: Any, where: Where, column: str) -> str:
    """Return the name of an item or arm.

    Raises:
        DataError: it is none.
    """
    if value is None or (isinstance(value, str) and not value.strip()):
        raise where.error(f"{column!r} is empty")
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        value = int(value)  # as a sheet, or a column with gaps, holds whole numbers
    name = str(value).strip() if isinstance(value, str | int) else ""
    if isinstance(value, bool) or not name.isprintable() or not 0 < len(name) <= _LONGEST_NAME:
        raise where.error(
            f"{column!r} is {value!r:.60}; needed is a whole number or a text of up to "
            f"{_LONGEST_NAME} characters"
        )
    return name


def score_of(value: Any, where: Where, column: str) -> float | None:
    """Read a score: a number, or right or wrong in words; None where there is none.

    Raises:
        DataError: it is something else.
    """
    if isinstance(value, str):
        text = value.strip()
        word = text.casefold()
        if word in _NONE:
            return None
        if word in _TRUE or word in _FALSE:
            return float(word in _TRUE)
        try:
            number = float(text) if len(text) <= _LONGEST_NUMBER and "_" not in text else None
        except ValueError:
            number = None
        if number is None:
            if text[:1] in _FORMULA:
                hint = "a formula is not computed; save its values"
            elif _COMMA.fullmatch(text):
                hint = "write a decimal point"
            elif text.endswith("%"):
                hint = "write 85% as 0.85"
            else:
                hint = "needed is a number, true or false, or nothing"
            raise where.error(f"{column!r} is {text!r:.60}; {hint}")
        value = number
    if value is None:
        return None
    if not isinstance(value, bool | int | float):
        raise where.error(f"{column!r} is {value!r:.60}; needed is a number, true or false")
    try:
        number = float(value)
    except OverflowError:
        number = float("inf")
    if math.isnan(number):
        return None
    if math.isinf(number):
        raise where.error(f"{column!r} is no finite number; leave it empty where there is none")
    return number


def text_of(value: Any) -> str:
    """Return what a cell says as a text that can be kept."""
    if value is None:
        return ""
    return short_text(value if isinstance(value, str) else str(value))


def records_of(path: Path, sheet: str | None = None, notes: list[str] | None = None) -> Records:
    """Yield the rows of a table by the names of their columns, one after the other.

    Args:
        path: CSV, TSV, JSONL, a JSON array, Parquet or Excel: what it is, its content says.
        sheet: of an Excel file.
        notes: takes what deserves a look.

    Raises:
        DataError, RecordError: it cannot be read, or a row is wrong.
        MissingExtraError: what reads it is not installed.
    """
    try:
        start = start_of(path)
        if not start:
            if not paths.is_there(path):
                raise DataError("no such file", path=path)
            raise DataError("is empty" if paths.is_file(path) else "is no file", path=path)
        yield from _records(path, start, sheet, notes)
    except UnicodeDecodeError:
        decode_text(paths.read_bytes(path), path)  # says where
        raise
    except OSError as exc:
        raise DataError(f"cannot be read ({exc.strerror or exc})", path=path) from exc


def _records(path: Path, start: bytes, sheet: str | None, notes: list[str] | None) -> Records:
    if start.startswith(b"PAR1"):
        return parquet_records(path)
    if start.startswith(b"PK\x03\x04"):
        return excel_records(paths.read_bytes(path), sheet, path, notes)
    for mark, what in (
        (b"\xd0\xcf\x11\xe0", "is an old Excel file (.xls): save it as .xlsx"),
        (b"\x1f\x8b", "is packed by gzip: unpack it"),
        (b"\x28\xb5\x2f\xfd", "is packed by zstd: unpack it"),
        (b"SQLite format 3\0", "is a database: export the table as CSV"),
    ):
        if start.startswith(mark):
            raise DataError(what, path=path)
    if b"\0" in start and start[:2] not in _WIDE:
        raise DataError("holds NUL bytes, as UTF-16 does: save it as UTF-8", path=path)
    encoding = "utf-16" if start[:2] in _WIDE else "utf-8-sig"
    head = start.decode(encoding, "replace").lstrip()
    if not head:
        raise DataError("is empty", path=path)
    return _text_records(path, encoding, head)


def _text_records(path: Path, encoding: str, head: str) -> Records:
    with io.TextIOWrapper(paths.open_file(path), encoding=encoding, newline="") as text:
        if path.suffix.lower() in (".csv", ".tsv") or head[0] not in "[{":
            first = head.split("\n", 1)[0]
            # ties go to the comma
            delimiter = max(",;\t|", key=first.count)
            yield from csv_records(text, delimiter, path, unnamed="index")
        elif head[0] == "[":
            whole = parse_json(text.read().encode(), path=path, nulls=True)
            for number, one in enumerate(whole, start=1):
                yield _object(one, Where(path, number))
        else:
            for number, line in enumerate(text, start=1):
                if line.strip():
                    found = parse_json(line.encode(), path=path, line=number, nulls=True)
                    yield _object(found, Where(path, number))


def _object(value: Any, where: Where) -> tuple[Where, dict[str, Any]]:
    if not isinstance(value, dict):
        raise where.error(f"expected an object of JSON, got {value!r:.40}")
    return where, value
