"""A run's results as tidy tables: a row for each thing measured, a column for each fact."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import orjson

from quantrial.commands.derived import score_run
from quantrial.commands.results import load_results, report
from quantrial.documents.contrasts import adjusted_p
from quantrial.errors import MissingExtraError, QuantrialError, StudyError
from quantrial.inert import clean
from quantrial.paths import expanded, is_folder, is_there
from quantrial.redaction import without_keys
from quantrial.registry import LOGGERS
from quantrial.reporting.exports import rows
from quantrial.runfolder import DECISION

if TYPE_CHECKING:
    from quantrial.analysis import TaskOutcomes
    from quantrial.documents import Contrast, Summary
    from quantrial.documents.decision import Decision
    from quantrial.records import Response

Kind = Literal["text", "number", "whole", "flag"]
_SAID = 400  # characters of what a client raised
_SHOWN_ROWS, _SHOWN_CHARACTERS = 20, 200  # of a table in a notebook
_SQL: Mapping[Kind, str] = {
    "text": "VARCHAR",
    "number": "DOUBLE",
    "whole": "BIGINT",
    "flag": "BOOLEAN",
}


@dataclass(frozen=True, slots=True)
class ColumnInfo:
    """A column: its name, what its values are, and what they mean (unit and direction)."""

    name: str
    kind: Kind
    meaning: str


@dataclass(frozen=True, slots=True, repr=False)
class ResultTable:
    """A table: iterates over its rows as dicts; a value that is not known is None.

    `rows` holds them as tuples, in the order of `columns`.
    """

    name: str
    columns: tuple[ColumnInfo, ...]
    rows: tuple[tuple[Any, ...], ...]

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        names = [column.name for column in self.columns]
        return (dict(zip(names, row, strict=True)) for row in self.rows)

    def __repr__(self) -> str:
        names = ", ".join(column.name for column in self.columns)
        return f"<{self.name}: {len(self):,} rows of {names}>"

    def column(self, name: str) -> list[Any]:
        """Return the values of one column.

        Raises:
            KeyError: there is no such column.
        """
        names = [column.name for column in self.columns]
        if name not in names:
            raise KeyError(name)
        at = names.index(name)
        return [row[at] for row in self.rows]

    def to_pandas(self) -> Any:
        """Return it as a data frame of pandas.

        Raises:
            ModuleNotFoundError: pandas is not installed.
        """
        return self._frame("pandas")

    def to_polars(self) -> Any:
        """Return it as a data frame of polars.

        Raises:
            ModuleNotFoundError: polars is not installed.
        """
        return self._frame("polars")

    def to_arrow(self) -> Any:
        """Return it as a table of pyarrow.

        Raises:
            ModuleNotFoundError: pyarrow is not installed.
        """
        return self._frame("pyarrow")

    def _frame(self, backend: Literal["pandas", "polars", "pyarrow"]) -> Any:
        import narwhals

        values = {column.name: self.column(column.name) for column in self.columns}
        types: dict[Kind, Any] = {
            "text": narwhals.String(),
            "number": narwhals.Float64(),
            "whole": narwhals.Int64(),
            "flag": narwhals.Boolean(),
        }
        schema = {column.name: types[column.kind] for column in self.columns}
        if backend == "pandas":  # whose whole numbers and flags know no missing value
            for column in self.columns:
                if column.kind == "whole" and None in values[column.name]:
                    schema[column.name] = types["number"]
        return narwhals.from_dict(values, schema, backend=backend).to_native()

    def _repr_html_(self) -> str:
        head = "".join(
            f'<th title="{escape(column.meaning)}">{escape(column.name)}</th>'
            for column in self.columns
        )
        body = "".join(
            f"<tr>{''.join(f'<td>{_cell(value)}</td>' for value in row)}</tr>"
            for row in self.rows[:_SHOWN_ROWS]
        )
        more = f", the first {_SHOWN_ROWS} of them" if len(self) > _SHOWN_ROWS else ""
        return (
            f"<p><b>{escape(self.name)}</b>: {len(self):,} rows{more}</p>"
            f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
        )


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.6g}"
    text = str(value)
    cut = "…" if len(text) > _SHOWN_CHARACTERS else ""
    return escape(clean(text[:_SHOWN_CHARACTERS])) + cut


def _columns(kind: Kind, **meanings: str) -> dict[str, ColumnInfo]:
    return {name: ColumnInfo(name, kind, meaning) for name, meaning in meanings.items()}


_ALL = {
    **_columns(
        "text",
        study="name of the study",
        task="name of the task",
        workload="what the task stands for",
        endpoint="what is measured",
        arm="name of the arm",
        reference="the arm that the other one is compared with",
        candidate="the arm that is compared with the reference",
        scope="`all items`, `failure mode`, or the key of the metadata that makes strata",
        stratum="the value of that key; empty outside strata",
        verdict="what the contrast shows at the margin",
        method="the method of the interval",
        finding="id of the contrast, as the decision cites it",
        unit="of values, differences and margins; empty: shares, as fractions from 0 to 1",
        better="which values are better, `higher` or `lower`",
        item="id of the item",
        status="`answered`, `left out` of comparisons, `unscored`, a fault such as `timeout`, or "
        "`missing`",
        answer="the text of the answer, as recorded",
        gold="the right answer; JSON unless it is a text",
        metadata="the item's metadata, as JSON",
        flip="`harmful`: the reference right, the candidate not; `beneficial`: the reverse",
        reference_answer="the text of the reference's answer",
        candidate_answer="the text of the candidate's answer",
    ),
    **_columns(
        "flag",
        primary="whether it is the task's primary endpoint",
        control="whether an arm in it is damaged on purpose",
        equivalent="whether a loss and a gain of the margin are ruled out",
        non_inferior="whether a loss of the margin is ruled out",
    ),
    **_columns(
        "whole",
        n="items (answers, entities) that the estimate is from",
        pairs="items that both arms answered",
        memory_bytes="size of the weights, in bytes",
        prompt_tokens="tokens of the prompt, as the engine counted them",
        completion_tokens="tokens of the answer, as the engine counted them",
    ),
    **_columns(
        "number",
        estimate="the arm's value; of contrasts candidate minus reference",
        low="lower end of the interval of `estimate`",
        high="upper end of the interval of `estimate`",
        confidence="of that interval, a fraction",
        difference="candidate minus reference: negative is a loss where higher values are better",
        difference_low="lower end of its interval",
        difference_high="upper end of its interval",
        difference_confidence="of that interval, a fraction",
        p_value="two-sided, of no difference, by itself",
        p_adjusted="the same, adjusted for all that was asked",
        p_non_inferior="one-sided, of a loss of the margin or more, by itself",
        margin="the largest loss that counts as the same",
        equivalence_low="lower end of the interval of the test at the margin",
        equivalence_high="upper end of the interval of the test at the margin",
        speedup="decoding speed as a ratio to the reference's; above 1 is faster",
        score="of one answer: numerator / denominator; empty where that is 0/0",
        numerator="what the endpoint sums over items",
        denominator="what that sum is divided by",
        seconds="from the request to the end of the answer",
    ),
}
_NAMES = {
    "arms": "study task workload endpoint primary arm reference control n estimate low high "
    "confidence difference difference_low difference_high difference_confidence pairs p_value "
    "p_adjusted margin equivalence_low equivalence_high verdict memory_bytes speedup finding unit "
    "better",
    "contrasts": "study task workload scope stratum endpoint primary reference candidate control "
    "pairs estimate low high confidence method p_value p_adjusted margin equivalence_low "
    "equivalence_high p_non_inferior equivalent non_inferior verdict unit better finding",
    "items": "study task workload item arm endpoint primary control status score numerator "
    "denominator unit better answer gold metadata prompt_tokens completion_tokens seconds",
    "flips": "study task workload reference candidate control item flip gold reference_answer "
    "candidate_answer metadata",
}
COLUMNS = {name: tuple(_ALL[one] for one in names.split()) for name, names in _NAMES.items()}
"""The columns of each table, in their order."""


@dataclass(frozen=True, slots=True, repr=False)
class RunTables:
    """The results of a run.

    `arms` has a row for each arm on each endpoint, as `report --format csv`; `contrasts` for each
    pair of arms on each endpoint, failure mode and stratum; `items` for each answer on each
    endpoint; `flips` for each item of which one of two arms alone was right.
    """

    arms: ResultTable
    contrasts: ResultTable
    items: ResultTable
    flips: ResultTable

    def __iter__(self) -> Iterator[ResultTable]:
        return iter((self.arms, self.contrasts, self.items, self.flips))

    def __repr__(self) -> str:
        return "\n".join(map(repr, self))

    def _repr_html_(self) -> str:
        return "".join(table._repr_html_() for table in self)

    def write_parquet(self, path: Path | str) -> list[Path]:
        """Write them as Parquet; returns what was written.

        Args:
            path: a file ending in `.parquet`, for the table of arms alone; else a folder, for a
                file of each table.

        Raises:
            MissingExtraError: duckdb is not installed.
            StudyError: it cannot be written.
        """
        out = expanded(path)
        if out.suffix.lower() == ".parquet" and not is_folder(out):
            _write_parquet(self.arms, out)
            return [out]
        if is_there(out) and not is_folder(out):
            raise StudyError(
                "is a file; name one that ends in .parquet, or a folder for all tables", path=out
            )
        try:
            out.mkdir(parents=True, exist_ok=True)
        except OSError as exc:
            raise StudyError(f"cannot be made ({exc.strerror})", path=out) from exc
        written = [out / f"{table.name}.parquet" for table in self]
        for table, file in zip(self, written, strict=True):
            _write_parquet(table, file)
        return written


def _write_parquet(table: ResultTable, path: Path) -> None:
    try:
        import duckdb
    except ImportError as exc:
        raise MissingExtraError("--format parquet", package="duckdb", extra="tables") from exc
    if is_there(path) and not path.is_file():
        raise StudyError("is no file that can be written over", path=path)
    columns = ", ".join(f"unnest(?::{_SQL[one.kind]}[]) AS {one.name}" for one in table.columns)
    values = [table.column(one.name) for one in table.columns]
    quoted = str(path).replace("'", "''")
    try:
        with duckdb.connect(":memory:") as connection:
            connection.execute(
                "SET autoinstall_known_extensions = false; SET autoload_known_extensions = false"
            )
            connection.execute(f"CREATE TABLE found AS SELECT {columns}", values)
            connection.execute(f"COPY found TO '{quoted}' (FORMAT parquet, COMPRESSION zstd)")
    except duckdb.Error as exc:
        raise StudyError(f"cannot be written ({clean(str(exc))[:200]})", path=path) from exc


def log_results(
    run: Path | str, to: str, *, project: str = "quantrial", with_report: bool = False
) -> str:
    """Tell a tracker of experiments a run's results: numbers, verdicts and the decision.

    By the tracker's own client and its settings, such as `MLFLOW_TRACKING_URI` and `WANDB_MODE`.
    Prompts and answers are never told, unless the report is attached.

    Args:
        run: the run folder; analysed and decided on first, where that is not done or out of date.
        to: `mlflow`, `trackio`, `wandb`, or the name of an installed package's logger.
        project: the project or experiment.
        with_report: attach `report.html` too, which holds prompts and answers.

    Returns:
        Where the record stands, in words.

    Raises:
        StudyError: there is no such tracker, or it did not take the results.
        MissingExtraError: its client is not installed.

    Example:
        >>> quantrial.log_results("runs/mine", "mlfow")
        Traceback (most recent call last):
        quantrial.errors.StudyError: --to: unknown tracker 'mlfow'; did you mean 'mlflow'?
    """
    from quantrial.loggers.base import logged

    log = LOGGERS.load(to, key="--to")
    folder = Path(run)
    _, summary, decision = load_results(folder)
    report(folder)
    files = [folder / DECISION, *([folder / "report.html"] if with_report else [])]
    record = logged(summary, decision, tuple(files))
    try:
        return str(log(record, project))
    except QuantrialError:
        raise
    except Exception as exc:  # a client may raise anything; its message may hold a key
        said = without_keys(clean(f"{type(exc).__name__}: {exc}"))[:_SAID]
        raise StudyError(f"{to} did not take the results ({said})", key="--to") from exc


def results(run: Path | str) -> RunTables:
    """Return a run's results as tidy tables: arms, contrasts, items, flips.

    Each is a list of rows with names (`for row in tables.flips`), and becomes a data frame by
    `to_pandas()`, `to_polars()` or `to_arrow()`. `docs/results-elsewhere.md` lists the columns.

    Args:
        run: the run folder; analysed and decided on first, where that is not done or out of date.

    Example:
        >>> tables = quantrial.results("runs/mine")
        >>> sorted({row["better"] for row in tables.contrasts})
        ['higher']
    """
    _, summary, decision = load_results(Path(run))
    return tables_of(summary, decision, score_run(Path(run)))


def tables_of(
    summary: Summary, decision: Decision, outcomes: Mapping[str, TaskOutcomes]
) -> RunTables:
    """Make the tables of a run from its summary, its decision and its scored answers."""
    return RunTables(
        arms=_table("arms", (asdict(row) for row in rows(summary, decision))),
        contrasts=_table("contrasts", _contrasts(summary)),
        items=_table("items", _items(summary, outcomes)),
        flips=_table("flips", _flips(summary, outcomes)),
    )


def _table(name: str, found: Iterable[Mapping[str, Any]]) -> ResultTable:
    columns = COLUMNS[name]
    lines = tuple(tuple(_plain(row[one.name]) for one in columns) for row in found)
    return ResultTable(name, columns, lines)


def _plain(value: Any) -> Any:
    """Return a value that every table can hold: half a character of UTF-16 is written out."""
    if not isinstance(value, str) or value.isascii():
        return value
    return value.encode("utf-8", "backslashreplace").decode()


def _of_task(summary: Summary, task: str) -> dict[str, Any]:
    part = summary.tasks[task]
    return {"study": summary.study.name, "task": task, "workload": clean(part.workload)}


def _contrasts(summary: Summary) -> Iterator[dict[str, Any]]:
    controls = {name for name, arm in summary.arms.items() if arm.control}
    for task, part in summary.tasks.items():
        about = _of_task(summary, task)
        found: list[tuple[str, str | None, str, Sequence[Contrast]]] = [
            ("all items", None, name, one.contrasts) for name, one in part.endpoints.items()
        ]
        found += [("failure mode", None, one.endpoint, (one,)) for one in part.failure_contrasts]
        found += [
            (clean(key), clean(value), part.primary, one.contrasts)
            for key, strata in part.strata.items()
            for value, one in strata.items()
        ]
        for scope, stratum, endpoint, contrasts in found:
            for one in contrasts:
                test = one.equivalence
                yield {
                    **about,
                    "scope": scope,
                    "stratum": stratum,
                    "endpoint": endpoint,
                    "primary": endpoint == part.primary,
                    "reference": one.reference,
                    "candidate": one.candidate,
                    "control": not controls.isdisjoint((one.reference, one.candidate)),
                    "pairs": one.n,
                    "estimate": one.estimate,
                    "low": one.ci[0],
                    "high": one.ci[1],
                    "confidence": one.confidence,
                    "method": one.ci_method,
                    "p_value": one.p_value,
                    "p_adjusted": adjusted_p(one),
                    "margin": test and test.margin,
                    "equivalence_low": test and test.ci[0],
                    "equivalence_high": test and test.ci[1],
                    "p_non_inferior": test and test.p_non_inferior,
                    "equivalent": test and test.equivalent,
                    "non_inferior": test and test.non_inferior,
                    "verdict": one.verdict,
                    "unit": one.unit,
                    "better": one.direction,
                    "finding": one.id,
                }


def _items(summary: Summary, outcomes: Mapping[str, TaskOutcomes]) -> Iterator[dict[str, Any]]:
    for task, scored in outcomes.items():
        if task not in summary.tasks:
            continue
        about, primary = _of_task(summary, task), summary.tasks[task].primary
        panel = scored.panel
        for column, arm in enumerate(scored.arms):
            control = bool(summary.arms[arm].control)
            for at, item in enumerate(scored.items):
                response = scored.responses[arm][at]
                answered = bool(panel.answered[at, column])
                own = {
                    "item": item.id,
                    "arm": arm,
                    "control": control,
                    "status": "answered" if answered else _why_not(scored, arm, at),
                    "answer": _said(response),
                    "gold": _gold(item.gold),
                    "metadata": orjson.dumps(dict(item.metadata)).decode(),
                    "prompt_tokens": response and response.prompt_tokens,
                    "completion_tokens": response and response.completion_tokens,
                    "seconds": response and response.timing.get("wall"),
                }
                for place, endpoint in enumerate(panel.endpoints):
                    top = float(panel.numerators[at, column, place])
                    bottom = float(panel.denominators[at, column, place])
                    known = answered and bottom > 0
                    yield {
                        **about,
                        **own,
                        "endpoint": endpoint.name,
                        "primary": endpoint.name == primary,
                        "score": top / bottom if known else None,
                        "numerator": top if answered else None,
                        "denominator": bottom if answered else None,
                        "unit": endpoint.unit,
                        "better": endpoint.direction,
                    }


def _why_not(scored: TaskOutcomes, arm: str, at: int) -> str:
    """Say why an arm has no score on an item."""
    item = scored.items[at].id
    if item in scored.unscored.get(arm, {}):
        return "unscored"
    fault = scored.faults.get(arm, {}).get(item)
    if fault is not None:
        return fault.status
    unlike, column = scored.panel.unscorable, scored.arms.index(arm)
    return "left out" if unlike is not None and unlike[at, column] else "missing"


def _flips(summary: Summary, outcomes: Mapping[str, TaskOutcomes]) -> Iterator[dict[str, Any]]:
    controls = {name for name, arm in summary.arms.items() if arm.control}
    for task, part in summary.tasks.items():
        scored = outcomes.get(task)
        if scored is None:
            continue
        places = {item.id: at for at, item in enumerate(scored.items)}
        for one in part.flips:
            turned = [(item, "harmful") for item in one.items.harmful]
            turned += [(item, "beneficial") for item in one.items.beneficial]
            for item, flip in turned:
                at = places[item]
                yield {
                    **_of_task(summary, task),
                    "reference": one.reference,
                    "candidate": one.candidate,
                    "control": not controls.isdisjoint((one.reference, one.candidate)),
                    "item": item,
                    "flip": flip,
                    "gold": _gold(scored.items[at].gold),
                    "reference_answer": _said(scored.responses[one.reference][at]),
                    "candidate_answer": _said(scored.responses[one.candidate][at]),
                    "metadata": orjson.dumps(dict(scored.items[at].metadata)).decode(),
                }


def _said(response: Response | None) -> str | None:
    return response.said if response is not None and response.has_text else None


def _gold(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return orjson.dumps(value).decode()
