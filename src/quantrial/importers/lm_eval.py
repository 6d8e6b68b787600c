"""Logs of lm-evaluation-harness: `samples_*.jsonl` beside `results_*.json` (`--log_samples`).

What a row holds is derived again where that is possible: the hashes of item, prompt and gold;
accuracy from the log-likelihoods; exact match from what the filter gave.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import string
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson

from quantrial import paths
from quantrial.engines.artifact import Artifact
from quantrial.errors import DataError
from quantrial.importers.auto import files_under
from quantrial.importers.base import Imported, LogPaths, Recognised
from quantrial.importers.log_rows import (
    LOG_LIKELIHOODS,
    P_RIGHT,
    ArmLog,
    LogOptions,
    LogRow,
    as_name,
    as_number,
    digest,
    items_of,
    newest,
    parse_log,
    short_text,
    without_duplicates,
)
from quantrial.importers.logs import pair_logs
from quantrial.tasks.rows import Where

_SAMPLES = re.compile(r"samples_(?P<task>.+)_(?P<time>\d{4}-\d\d-\d\dT[\d.-]+)\.jsonl")
_FIXED = (
    "doc_id",
    "doc",
    "target",
    "arguments",
    "resps",
    "filtered_resps",
    "filter",
    "metrics",
    "doc_hash",
    "prompt_hash",
    "target_hash",
)
# a pattern of a foreign log may take hours on a text: only these, of lm-eval's own tasks, are run
_PATTERNS = frozenset({",", r"\$", r"(?s).*#### ", r"\.$", r"\.", " ", r"\n", "\n"})


def read_lm_eval(arms: LogPaths, *, options: LogOptions | None = None) -> Imported:
    """Read the output folders of lm-eval, one an arm.

    Args:
        arms: where each arm's logs are: an `--output_path`, or a folder in it.
        options: what the logs do not say.

    Raises:
        DataError, RecordError: a log is not what it should be; names its line.
        StudyError: an option does not fit.
    """
    return pair_logs("lm-eval", arms, _read_arm, options or LogOptions())


def recognises(path: Path) -> Recognised | None:
    """Say whether a path holds what `--log_samples` writes."""
    for file in files_under(path):
        if _SAMPLES.fullmatch(file.name):
            return Recognised(
                "is named as lm-eval names samples" if file == path else f"holds {file.name}"
            )
    return None


def _read_arm(arm: str, path: Path, options: LogOptions) -> ArmLog:
    runs: dict[str, dict[str, Path]] = {}
    files = [path] if paths.is_file(path) else sorted(path.rglob("samples_*.jsonl"))
    for file in files:
        if named := _SAMPLES.fullmatch(file.name):
            own = runs.setdefault(named["task"], {})
            time = named["time"]
            own[time if time not in own else f"{time} {file.parent.name}"] = file
    if not runs:
        raise DataError(
            "holds no samples_TASK_TIME.jsonl: run lm_eval with `--log_samples --output_path`",
            path=path,
        )
    chosen = {
        task: newest(own, arm, task, latest=options.latest) for task, own in sorted(runs.items())
    }
    headers = {file: _results(file) for file in chosen.values()}
    first = next(iter(headers.values()))
    log = ArmLog(
        f"lm-eval {first.get('lm_eval_version', 'of unknown version')}", _model(arm, first)
    )
    for header in headers.values():
        log.groups |= _groups(header)
        log.lower |= _lower(header)
    log.groups = {
        name: leaves for name in log.groups if (leaves := _leaves(name, log.groups)) and leaves
    }
    wanted = {leaf for name in options.tasks for leaf in log.groups.get(name, [name])}
    asked, whole = 0, 0
    for task, file in chosen.items():
        if not wanted or task in wanted:
            _read_task(log, task, file, headers[file], options)
            counts = _sizes(headers[file], task)
            asked, whole = asked + counts[0], whole + counts[1]
    if asked < whole:
        log.notes.append(
            f"{arm} was asked {asked:,} of the {whole:,} items of its tasks (`--limit` of lm_eval)."
        )
    return log


def _sizes(header: Mapping[str, Any], task: str) -> tuple[int, int]:
    """Return how many items of a task were asked, and how many there are; 0 where unsaid."""
    found = header.get("n-samples")
    own = found.get(task) if isinstance(found, Mapping) else None
    own = own if isinstance(own, dict) else {}
    asked, there = own.get("effective"), own.get("original")
    if isinstance(asked, int) and isinstance(there, int) and 0 < asked <= there < 2**63:
        return asked, there
    return 0, 0


def _results(samples: Path) -> Mapping[str, Any]:
    """Read what the run says of itself: the file with the same time."""
    named = _SAMPLES.fullmatch(samples.name)
    time = named["time"] if named else ""
    found = [file for file in samples.parent.glob("*.json") if file.name.endswith(f"_{time}.json")]
    if not found:
        return {}
    value = parse_log(_bytes(found[0]), Where(found[0], 1))
    if not isinstance(value, dict):
        raise DataError("expected a JSON object", path=found[0])
    return value


def _bytes(path: Path) -> bytes:
    try:
        return paths.read_bytes(path)
    except OSError as exc:
        raise DataError(f"cannot be read ({exc.strerror})", path=path) from exc


def _model(arm: str, header: Mapping[str, Any]) -> Artifact:
    config = header.get("config")
    config = config if isinstance(config, Mapping) else {}
    said = config.get("model_args")
    names = said if isinstance(said, Mapping) else {}
    name = names.get("gguf_file") or header.get("model_name")
    count = config.get("model_num_parameters")
    return Artifact(
        model=short_text(name)[:200] if isinstance(name, str) and name else arm,
        parameters=count if isinstance(count, int) and count > 0 else None,
    )


def _groups(header: Mapping[str, Any]) -> dict[str, list[str]]:
    found = header.get("group_subtasks")
    return {
        str(name): [str(one) for one in own]
        for name, own in (found.items() if isinstance(found, Mapping) else ())
        if isinstance(own, list) and own
    }


def _lower(header: Mapping[str, Any]) -> set[str]:
    """Return the metrics of which a run says that higher is not better."""
    found = header.get("higher_is_better")
    return {
        as_name(str(metric))
        # of a perplexity, fewer is better; a row holds the log-likelihood
        for own in (found.values() if isinstance(found, Mapping) else ())
        if isinstance(own, Mapping)
        for metric, higher in own.items()
        if higher is False and metric not in LOG_LIKELIHOODS
    }


def _leaves(name: str, groups: Mapping[str, list[str]], seen: tuple[str, ...] = ()) -> list[str]:
    """Return the tasks of a group, through groups of groups."""
    if name in seen:
        return []
    if name not in groups:
        return [name]
    found = [leaf for one in groups[name] for leaf in _leaves(one, groups, (*seen, name))]
    return list(dict.fromkeys(found))


def _read_task(
    log: ArmLog, task: str, path: Path, header: Mapping[str, Any], options: LogOptions
) -> None:
    configs = header.get("configs")
    config = configs.get(task) if isinstance(configs, Mapping) else None
    check = _Check(config if isinstance(config, Mapping) else {})
    hashed = hashlib.sha256()
    rows: list[LogRow] = []
    number = 0
    try:
        with paths.open_file(path) as file:
            for number, line in enumerate(file, start=1):
                hashed.update(line)
                if line.strip():
                    rows.append(_row(Where(path, number), line, check))
    except RecursionError as exc:
        raise Where(path, number).error("is nested too deeply") from exc
    except OSError as exc:
        raise DataError(f"cannot be read ({exc.strerror})", path=path) from exc
    log.files[path.name] = hashed.hexdigest()
    log.odd |= check.odd
    hashes = header.get("task_hashes")
    recorded = hashes.get(task) if isinstance(hashes, Mapping) else None
    asked, there = _sizes(header, task)[0], len({row.key for row in rows})
    if isinstance(recorded, str) and check.whole and recorded != check.all.hexdigest():
        cut = f" It holds {there:,} items; {asked:,} were asked." if asked not in (0, there) else ""
        log.notes.append(
            f"{path.name} was cut or edited after the run: its rows do not have the hash that the "
            f"results file has of them.{cut}"
        )
    elif asked not in (0, there):
        log.notes.append(f"{path.name} holds {there:,} items; {asked:,} were asked.")
    if check.unread:
        log.notes.append(
            f"{path.name}: the log-likelihoods of {check.unread:,} of {len(rows):,} rows are no "
            "numbers; nothing is derived from them."
        )
    log.tasks[task], notes = without_duplicates(rows, task, options)
    log.notes += notes
    for name, counts in check.hashes.items():
        if counts[False]:
            log.notes.append(
                f"{path.name}: {name} of {counts[False]:,} of {counts.total():,} rows is not that "
                "of what the row holds."
            )


def _row(where: Where, line: bytes, check: _Check) -> LogRow:
    row = parse_log(line, where)
    if not isinstance(row, dict):
        raise where.error("expected a JSON object")
    doc, number = row.get("doc"), row.get("doc_id")
    if isinstance(number, bool) or not isinstance(number, int):
        raise where.error(f"'doc_id' is {number!r:.40}; needed is a whole number")
    if not isinstance(doc, dict):
        raise where.error(f"'doc' is {doc!r:.40}; needed is an object")
    named = row.get("metrics")
    metrics = named if isinstance(named, list) else [key for key in row if key not in _FIXED]
    scores, ratios = check.metrics(row, [one for one in metrics if isinstance(one, str)])
    calls = _calls(row)
    target = row.get("target")
    gold = target if isinstance(target, str) else json.dumps(target)
    content = check.hash(row, "doc_hash", *_written(doc))
    prompt = check.hash(row, "prompt_hash", calls[0][0] if calls else "")
    check.hash(row, "target_hash", gold)
    check.add(row)
    answers = row.get("filtered_resps")
    answers = answers if isinstance(answers, list) else []
    checked, output, choices = check.scores(scores, calls, answers, gold)
    if output is None:
        responses = row.get("resps")
        output = "\n".join(_texts(responses if isinstance(responses, list) else answers))
    filtered = row.get("filter", "")
    return LogRow(
        where,
        str(number),
        filtered if isinstance(filtered, str) else "",
        scores,
        output,
        digest(row.get("resps")),
        content,
        short_text(calls[0][0] if calls else ""),
        gold,
        prompt,
        dict(items_of(doc)),
        checked=checked,
        ratios=ratios,
        choices=choices,
    )


def _written(doc: Mapping[str, Any]) -> tuple[str | Callable[[], str], ...]:
    """Return a document as lm-eval writes it to hash it; first a quicker form, often the same."""

    def exact() -> str:
        return json.dumps(doc, indent=2, ensure_ascii=False)

    try:
        return orjson.dumps(doc, option=orjson.OPT_INDENT_2).decode(), exact
    except orjson.JSONEncodeError:
        return (exact,)


def _calls(row: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Return context and continuation (or options) of each request."""
    found = row.get("arguments")
    calls = []
    for one in found.values() if isinstance(found, dict) else ():
        if isinstance(one, dict) and isinstance(text := one.get("arg_0"), str):
            calls.append((text, one.get("arg_1")))
    return calls


def _texts(value: Any, depth: int = 0) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list) and depth < 4:
        for one in value:
            yield from _texts(one, depth + 1)


def _kind(value: Any) -> str:
    if isinstance(value, list) and len(value) == 2:
        return "a pair, such as right and given answer, of which only a corpus has a score"
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    return "a text" if isinstance(value, str) else "not finite"


def _logprobs(values: Sequence[float]) -> list[float]:
    """Return the logarithms of the choices' shares of the probability of all choices."""
    most = max(values)
    total = most + math.log(math.fsum(math.exp(value - most) for value in values))
    return [min(value - total, 0.0) for value in values]


class _Check:
    """Derives again what a row claims, and counts what agrees."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        self.hashes: dict[str, Counter[bool]] = {}
        self.all, self.whole = hashlib.sha256(), True
        self.odd: dict[str, str] = {}
        self.unread = 0
        self.choices = config.get("output_type") == "multiple_choice"
        delimiter = config.get("target_delimiter")
        self.delimiter = delimiter if isinstance(delimiter, str) else " "
        listed = config.get("metric_list")
        self.exact = next(
            (
                one
                for one in (listed if isinstance(listed, list) else ())
                if isinstance(one, dict) and one.get("metric") == "exact_match"
            ),
            None,
        )
        patterns = (self.exact or {}).get("regexes_to_ignore") or []
        self.patterns = [one for one in patterns if isinstance(one, str)]
        if len(self.patterns) < len(patterns) or not _PATTERNS.issuperset(self.patterns):
            self.exact = None

    def hash(self, row: Mapping[str, Any], name: str, *texts: str | Callable[[], str]) -> str:
        """Return the hash of a text, of several forms the one that is recorded, else the last."""
        recorded, made = row.get(name), ""
        for text in texts:
            form = text if isinstance(text, str) else text()
            made = hashlib.sha256(form.encode("utf-8", "replace")).hexdigest()
            if made == recorded:
                break
        if isinstance(recorded, str):
            self.hashes.setdefault(name, Counter())[recorded == made] += 1
        return made

    def add(self, row: Mapping[str, Any]) -> None:
        """Go on with the hash of all rows, as lm-eval makes it: of the hashes of each."""
        for name in ("doc_hash", "prompt_hash", "target_hash"):
            recorded = row.get(name)
            self.whole = self.whole and isinstance(recorded, str)
            self.all.update(str(recorded).encode("utf-8", "replace"))

    def metrics(
        self, row: Mapping[str, Any], names: Sequence[str]
    ) -> tuple[dict[str, float | None], dict[str, str]]:
        """Return the scores of a row, and by what those that are ratios of sums are divided."""
        scores: dict[str, float | None] = {}
        ratios: dict[str, str] = {}
        for name in names:
            value, metric = row.get(name), as_name(name)
            scores[metric] = as_number(value)
            listed = value if isinstance(value, list) else []
            parts = [as_number(one) for one in listed]
            if parts and all(isinstance(one, bool) for one in listed):
                whole: float | None = float(len(parts))
                part: float | None = float(sum(listed))
            elif metric in LOG_LIKELIHOODS and len(parts) == 2:
                part, whole = parts
            else:
                if value is not None and scores[metric] is None:
                    self.odd[metric] = _kind(value)
                continue
            if part is not None and whole is not None and whole > 0:
                ratios[metric] = f"{metric[:62]}_n"
                scores[metric], scores[ratios[metric]] = part, whole
        return scores, ratios

    def scores(
        self,
        scores: dict[str, float | None],
        calls: Sequence[tuple[str, Any]],
        answers: Sequence[Any],
        gold: str,
    ) -> tuple[dict[str, bool], str | None, Sequence[float]]:
        """Hold the scores of a row against its answers.

        Returns what agrees, the choice that was made, and the logarithms of the choices'
        probabilities, of which a log-likelihood of minus infinity is one of 0.
        """
        if not self.choices:
            return self._exact_match(scores, answers, gold), None, ()
        try:
            values = [float(one[0]) for one in answers]
        except (TypeError, ValueError, IndexError, KeyError):
            values = []
        texts = [text for _, text in calls if isinstance(text, str)]
        finite = bool(values) and math.isfinite(max(values))
        if len(texts) != len(values) or not finite or any(map(math.isnan, values)):
            self.unread += 1
            return {}, None, ()
        best = values.index(max(values))
        if not re.fullmatch(r"[0-9]{1,4}", gold) or int(gold) >= len(values):
            return {}, texts[best], _logprobs(values)
        right, checked = int(gold), {}
        if scores.get("acc") is not None:
            checked["acc"] = scores["acc"] == float(best == right)
        lengths = [len(text.removeprefix(self.delimiter)) for text in texts]
        if scores.get("acc_norm") is not None and all(lengths):
            norms = [value / length for value, length in zip(values, lengths, strict=True)]
            checked["acc_norm"] = scores["acc_norm"] == float(norms.index(max(norms)) == right)
        # of the probability that the model gave these choices, the share of the right one
        logprobs = _logprobs(values)
        scores[P_RIGHT] = math.exp(logprobs[right])
        return checked, texts[best], logprobs

    def _exact_match(
        self, scores: Mapping[str, float | None], answers: Sequence[Any], gold: str
    ) -> dict[str, bool]:
        recorded, given = scores.get("exact_match"), answers[0] if answers else None
        if self.exact is None or recorded is None or not isinstance(given, str):
            return {}
        return {"exact_match": recorded == float(self._plain(given) == self._plain(gold))}

    def _plain(self, text: str) -> str:
        """Leave out what the task's exact match ignores, in lm-eval's order."""
        rules = self.exact or {}
        for pattern in self.patterns:
            text = re.sub(pattern, "", text)
        if rules.get("ignore_case"):
            text = text.lower()
        if rules.get("ignore_punctuation"):
            text = text.translate(str.maketrans("", "", string.punctuation))
        if rules.get("ignore_numbers"):
            text = text.translate(str.maketrans("", "", string.digits))
        return text
