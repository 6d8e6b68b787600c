"""Details of lighteval: `details_TASK|SHOTS_TIME.parquet` beside `results_TIME.json`.

Follows lighteval 0.13: `EvaluationTracker.save` (where files lie) and the dataclasses `Doc`,
`ModelResponse` and `Detail`, whose fields are structs in the columns `doc`, `model_response` and
`metric`. Before 0.9 the columns were those of an older `Detail` (`example`, `predictions`, `gold`,
`metrics`), up to 0.6 each a text as Python prints it; rows had no id, so their order is their key.

A score is what a metric gave an item, of several samples one number. Metrics of the whole corpus
leave an object an item, which is no score. The hashes of tokens in the results are not used: of
multiple choice they are those of the choices, so equal for all models. The outputs are compared.
"""

from __future__ import annotations

import ast
import hashlib
import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from quantrial import paths
from quantrial.engines.artifact import Artifact
from quantrial.errors import DataError
from quantrial.importers.auto import files_under
from quantrial.importers.base import Imported, LogPaths, Recognised
from quantrial.importers.log_rows import (
    P_RIGHT,
    ArmLog,
    LogOptions,
    LogRow,
    as_name,
    as_number,
    digest,
    items_of,
    listed,
    newest,
    parse_log,
    short_text,
    without_duplicates,
)
from quantrial.importers.logs import pair_logs
from quantrial.study.names import name_like
from quantrial.tasks.rows import Where
from quantrial.tasks.sources._tables import parquet_records

_DETAILS = re.compile(r"details_(?P<task>.+)_(?P<time>\d{4}-\d\d-\d\dT[\d.-]+)\.parquet")
_SUBSET = re.compile(r"(?P<head>[^:]+):[^|]+(?P<shots>\|.*)?")
_FIELDS = {  # the tokens of prompts and answers are most of a file, and not needed
    "doc": ("id", "query", "choices", "gold_index", "specific"),
    "metric": None,
    "model_response": (
        "input",
        "text",
        "text_post_processed",
        "logprobs",
        "truncated_tokens_count",
    ),
    **dict.fromkeys(
        ("example", "full_prompt", "predictions", "gold", "choices", "gold_index", "metrics",
         "specifics", "truncated")
    ),
}  # fmt: skip
_NUMPY = re.compile(r"np\.(?:float|int|bool)\w*\(([^()]{0,40})\)")
_NOT_FINITE = re.compile(r"(?<=[\s:\[(,])-?(?:nan|inf)(?=[,}\])])")
_LONGEST_LITERAL = 1_000_000
_LARGEST = 64 * 2**20
_ONLY = "all"  # the filter of every row: lighteval has none


def read_lighteval(logs: LogPaths, *, options: LogOptions | None = None) -> Imported:
    """Read the details of lighteval, made with `--save-details`.

    Args:
        logs: output folders, or parts of them, of one model an arm; or without names folders of
            several models, each an arm.
        options: what the details do not say.

    Raises:
        DataError: a file is not what it should be; names its row.
        MissingExtraError: the extra `tables`, which reads Parquet, is not there.
        StudyError: an option does not fit.
    """
    return pair_logs("lighteval", logs, _read_arm, options or LogOptions(), inside=_read_arms)


def recognises(path: Path) -> Recognised | None:
    """Say whether a path holds details of lighteval, and of which models."""
    found = _models(path)
    if not found:
        return None
    first = next(file for runs in found.values() for own in runs.values() for file in own.values())
    return Recognised(f"holds {first.name}", tuple(name_like(folder.name) for folder in found))


_Runs = dict[str, dict[str, Path]]  # by task and time, the details


def _models(path: Path) -> dict[Path, _Runs]:
    """Return what each model's folder holds."""
    found: dict[Path, _Runs] = {}
    for file in files_under(path, most=100_000):
        if named := _DETAILS.fullmatch(file.name):
            folder = file.parent
            # OUT/details/MODEL/TIME/details_...
            folder = folder.parent if folder.name == named["time"] else folder
            runs = found.setdefault(folder, {}).setdefault(named["task"], {})
            runs[named["time"]] = file
    return found


def _read_arm(arm: str, path: Path, options: LogOptions) -> ArmLog:
    found = _some(path)
    if len(found) > 1:
        names = listed([folder.name for folder in found])
        raise DataError(
            f"holds several models ({names}): name the folder of one, such as "
            f"{arm}={next(iter(found))}, or leave out the arms' names",
            path=path,
        )
    ((folder, runs),) = found.items()
    return _read_model(arm, folder, runs, options)


def _read_arms(logs: Sequence[Path], options: LogOptions) -> dict[str, ArmLog]:
    found = [one for path in logs for one in _some(path).items()]
    names = [name_like(folder.name) or f"arm-{n}" for n, (folder, _) in enumerate(found, 1)]
    if len(set(names)) < len(names):
        raise DataError(
            f"several models are called alike ({listed(names)}): name each, as in f16=PATH q4=PATH",
            path=logs[0],
        )
    return {
        arm: _read_model(arm, folder, runs, options)
        for arm, (folder, runs) in zip(names, found, strict=True)
    }


def _some(path: Path) -> dict[Path, _Runs]:
    if not paths.is_there(path):
        raise DataError("no such file or folder", path=path)
    found = _models(path)
    if not found:
        raise DataError(
            "holds no details_TASK_TIME.parquet: run lighteval with `--save-details`", path=path
        )
    return found


def _read_model(arm: str, folder: Path, runs: _Runs, options: LogOptions) -> ArmLog:
    chosen = {
        task: newest(own, arm, task, latest=options.latest) for task, own in sorted(runs.items())
    }
    headers = {file: _results(file, folder) for file in chosen.values()}
    config = next((part for one in headers.values() if (part := _part(one, "config_general"))), {})
    version, model = config.get("lighteval_sha"), config.get("model_name")
    known = isinstance(version, str) and version.strip("?")
    log = ArmLog(
        f"lighteval {short_text(str(version))[:12] if known else 'of unknown version'}",
        Artifact(
            model=short_text(model)[:200] if isinstance(model, str) and model else folder.name
        ),
    )
    for one in headers.values():
        log.lower |= _lower(one)
    log.groups = _groups(chosen)
    wanted = {leaf for name in options.tasks for leaf in log.groups.get(name, [name])}
    for task, file in chosen.items():
        if not wanted or task in wanted:
            _read_task(log, task, file, options)
    return log


def _results(details: Path, model: Path) -> Mapping[str, Any]:
    """Read what the run says of itself: OUT/results/MODEL/results_TIME.json; empty without it."""
    named = _DETAILS.fullmatch(details.name)
    name = f"results_{named['time']}.json" if named else ""
    folders = [details.parent, model]
    parts = model.parts
    if "details" in parts:
        at = len(parts) - 1 - parts[::-1].index("details")
        folders.append(Path(*parts[:at], "results", *parts[at + 1 :]))
    for folder in folders:
        file = folder / name
        if not paths.is_file(file):
            continue
        try:
            with paths.open_file(file) as opened:
                data = opened.read(_LARGEST + 1)
        except OSError as exc:
            raise DataError(f"cannot be read ({exc.strerror or exc})", path=file) from exc
        if len(data) > _LARGEST:
            raise DataError(f"is larger than {_LARGEST // 2**20} MB", path=file)
        value = parse_log(data, Where(file, 1))
        if not isinstance(value, dict):
            raise DataError("expected a JSON object", path=file)
        return value
    return {}


def _part(value: Any, name: str) -> Mapping[str, Any]:
    found = value.get(name) if isinstance(value, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def _lower(header: Mapping[str, Any]) -> set[str]:
    """Return the metrics of which a run says that higher is not better."""
    lower = set()
    for task in _part(header, "config_tasks").values():
        stated = task.get("metrics", task.get("metric")) if isinstance(task, Mapping) else None
        for one in stated if isinstance(stated, list) else ():
            name = one.get("metric_name") if isinstance(one, Mapping) else None
            if isinstance(name, str) and one.get("higher_is_better") is False:
                lower.add(as_name(name))
            higher = _part(one, "higher_is_better")
            lower |= {as_name(str(metric)) for metric, is_so in higher.items() if is_so is False}
    return lower


def _groups(tasks: Mapping[str, Path]) -> dict[str, list[str]]:
    """Return what lighteval averages: the subsets of a task, `mmlu:anatomy|5` of `mmlu|5`."""
    found: dict[str, list[str]] = {}
    for task in tasks:
        if named := _SUBSET.fullmatch(task):
            found.setdefault(named["head"] + (named["shots"] or ""), []).append(task)
    return {name: own for name, own in found.items() if len(own) > 1 and name not in tasks}


def _read_task(log: ArmLog, task: str, path: Path, options: LogOptions) -> None:
    rows, cut = [], 0
    for where, record in parquet_records(path, fields=_FIELDS):
        if "metric" in record and "doc" in record:
            row, truncated = _row(where, record), _part(record, "model_response")
            cut += bool(as_number(truncated.get("truncated_tokens_count")))
        elif "metrics" in record:
            row = _old_row(where, record)
        else:
            raise where.error(
                f"has the columns {listed(list(record)) or 'of something else'}; needed are doc, "
                "metric and model_response, or metrics"
            )
        rows.append(row)
    if not rows:
        raise DataError("holds no row", path=path)
    if not all(row.key for row in rows):
        for number, row in enumerate(rows):
            row.key = str(number)
    if cut:
        log.notes.append(
            f"{task}: {cut:,} of {len(rows):,} prompts were longer than the context of "
            f"{log.artifact.model}, which saw a part of each."
        )
    with paths.open_file(path) as file:
        log.files[path.name] = hashlib.file_digest(file, "sha256").hexdigest()
    log.tasks[task], notes = without_duplicates(rows, task, options)
    log.notes += notes


def _row(where: Where, record: Mapping[str, Any]) -> LogRow:
    doc, response = _part(record, "doc"), _part(record, "model_response")
    choices = doc.get("choices")
    choices = choices if isinstance(choices, list) else []
    right = doc.get("gold_index")
    golds = [one for one in (right if isinstance(right, list) else [right]) if type(one) is int]
    texts = response.get("text_post_processed") or response.get("text")
    texts = [one for one in texts if isinstance(one, str)] if isinstance(texts, list) else []
    logprobs = response.get("logprobs")
    scores = _scores(_part(record, "metric"))
    checked, choice = _checked(scores, choices, golds, logprobs)
    asked = response.get("input")
    query = doc.get("query")
    return _logged(
        where,
        doc.get("id"),
        scores,
        "\n".join(texts) if texts or choice is None else choice,
        (response.get("text"), logprobs) if response.get("text") or logprobs else None,
        [query, choices if logprobs and len(choices) > 1 else None],
        query,
        _gold(choices, golds) if choices else right,
        prompt=asked,
        groups=_part(doc, "specific"),
        checked=checked,
    )


def _gold(choices: Sequence[Any], golds: Sequence[int]) -> Any:
    found = [choices[one] for one in golds if 0 <= one < len(choices)]
    return found[0] if len(found) == 1 else found


def _old_row(where: Where, record: Mapping[str, Any]) -> LogRow:
    values = {name: _literal(value) for name, value in record.items()}
    metrics = values["metrics"]
    if not isinstance(metrics, Mapping):
        raise where.error(f"'metrics' is {metrics!r:.60}; needed is an object")
    said = values.get("predictions")
    texts = [one for one in said if isinstance(one, str)] if isinstance(said, list) else []
    asked = record.get("example") or record.get("full_prompt")
    specifics = values.get("specifics")
    return _logged(
        where,
        "",
        _scores(metrics),
        "\n".join(texts) or _text(said),
        record.get("predictions"),
        [record.get("example"), record.get("choices")],
        asked,
        values.get("gold"),
        prompt=record.get("full_prompt"),
        groups=specifics if isinstance(specifics, Mapping) else {},
        checked={},
    )


def _logged(  # noqa: PLR0913 - the parts of a row, of two layouts
    where: Where,
    name: Any,
    scores: Mapping[str, float | None],
    output: str,
    raw: object,
    content: Any,
    text: Any,
    gold: Any,
    *,
    prompt: Any,
    groups: Mapping[str, Any],
    checked: Mapping[str, bool],
) -> LogRow:
    key = str(name) if isinstance(name, str | int) else ""
    if not key.isprintable() or len(key) > 200:
        raise where.error(f"'id' is {key!r:.40}; needed is a short text")
    return LogRow(
        where,
        key,
        _ONLY,
        scores,
        output,
        digest(raw),
        _sha256(content),
        short_text(_text(text)),
        _text(gold),
        None if prompt is None else _sha256(prompt),
        dict(items_of({str(field): one for field, one in groups.items()})),
        checked=checked,
    )


def _text(value: Any) -> str:
    try:
        return value if isinstance(value, str) else json.dumps(value, default=str)
    except (TypeError, ValueError):  # keys that JSON has not, of a literal of Python
        return repr(value)


def _sha256(value: Any) -> str:
    return hashlib.sha256(_text(value).encode("utf-8", "surrogatepass")).hexdigest()


def _scores(metrics: Mapping[str, Any]) -> dict[str, float | None]:
    scores: dict[str, float | None] = {}
    for metric, value in metrics.items():
        name = as_name(str(metric))
        # names with all their parameters are long, and may begin alike
        at = 2
        while name in scores:
            name, at = f"{as_name(str(metric))[:60]}_{at}", at + 1
        scores[name] = as_number(value)
    return scores


def _checked(
    scores: dict[str, float | None], choices: Sequence[Any], golds: Sequence[int], logprobs: Any
) -> tuple[dict[str, bool], str | None]:
    """Hold the accuracy of a choice against its log-likelihoods; return the choice made, too."""
    if not isinstance(logprobs, list) or len(choices) < 2 or len(logprobs) < len(choices):
        return {}, None
    values = [as_number(one) for one in logprobs[: len(choices)]]
    known = [one for one in values if one is not None]
    if len(known) < len(values):
        return {}, None
    best = known.index(max(known))
    choice = choices[best] if isinstance(choices[best], str) else None
    if not golds or not all(0 <= one < len(choices) for one in golds):
        return {}, choice
    if len(golds) == 1:
        shares = [math.exp(one - known[best]) for one in known]
        scores[P_RIGHT] = shares[golds[0]] / math.fsum(shares)
    acc = scores.get("acc")
    return {} if acc is None else {"acc": acc == float(best in golds)}, choice


def _literal(value: Any) -> Any:
    """Read a value as Python prints it; a text that is none stays one."""
    if not isinstance(value, str) or len(value) > _LONGEST_LITERAL:
        return value
    for text in (value, _NOT_FINITE.sub("None", _NUMPY.sub(r"\1", value))):
        try:
            return ast.literal_eval(text)
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            continue
    return value
