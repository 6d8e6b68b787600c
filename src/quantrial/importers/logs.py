"""Logs of other harnesses, one of each arm: how their rows become pairs, for all formats alike.

A format yields rows; here they are paired by task, item and filter, and held against each other.
What does not fit is refused, with the option that allows it, or counted in a note; nothing is
dropped in silence. Several answers to one item are samples: its score is their mean.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson

from quantrial.design.sampling import MOST, group_sizes
from quantrial.engines.artifact import Artifact
from quantrial.errors import DataError, StudyError
from quantrial.importers.base import Imported, LogPaths
from quantrial.importers.log_rows import (
    LOG_LIKELIHOODS,
    P_RIGHT,
    ArmLog,
    LogOptions,
    LogRow,
    listed,
    short_text,
)
from quantrial.records import Item, Response, content_hash
from quantrial.registry import hint_of
from quantrial.strict_json import readable
from quantrial.strict_yaml import write_yaml
from quantrial.study import parse_study
from quantrial.study.names import name_like
from quantrial.units import parse_bytes, parse_fraction
from quantrial.words import plural

SCORES_FILE = "scores.jsonl"
SUBTASK = "subtask"
_REFERENCES = ("fp16", "f16", "bf16", "fp32", "f32", "reference", "baseline")
_MOST_UNPAIRED = 0.01
_SHOWN = 3  # notes of an error
_FEWEST_IDENTICAL = 5  # answers: as many short ones may well be equal by chance
_HEADER = """\
# Imported by `quantrial import {form}` from logs of another program. The run can be analysed,
# decided on, reported and verified like one of your own; nothing is asked again.
"""


def pair_logs(
    form: str,
    paths: LogPaths,
    read: Callable[[str, Path, LogOptions], ArmLog],
    options: LogOptions,
    *,
    inside: Callable[[Sequence[Path], LogOptions], Mapping[str, ArmLog]] | None = None,
) -> Imported:
    """Read a log of each arm, pair their rows and write down what follows.

    Args:
        form: the name of the importer.
        paths: where each arm's logs are; or files that hold several arms.
        read: reads those of one arm.
        options: what the logs do not say.
        inside: reads files that hold several arms, by the arms' names, where the format has such.

    Raises:
        DataError: rows do not pair; names the option that allows it, where there is one.
        StudyError: an option does not fit.
    """
    logs: Mapping[str, ArmLog] = {}
    if isinstance(paths, Mapping):
        names = list(paths)
    elif inside is not None:
        logs = inside(paths, options)
        names = list(logs)
    else:
        raise StudyError("name each arm, as in f16=out/f16 q4=out/q4", key="ARM=PATH")
    reference = options.reference
    if reference is None:
        reference = usual_reference(names)
    if reference is None or reference not in names or len(names) < 2:
        said = f"the arms are: {', '.join(names) or 'none'}"
        if len(names) < 2:
            raise StudyError(f"two arms are needed, such as f16=out/f16 q4=out/q4; {said}")
        raise StudyError(f"there is no arm {reference!r}; {said}", key="reference")
    for arm in options.weights:
        if arm not in names:
            raise StudyError(
                f"there is no arm {arm!r}; {hint_of(arm, names, 'there is: ')}", key="weights"
            )
    arms = [reference, *(arm for arm in names if arm != reference)]
    if isinstance(paths, Mapping):
        logs = {arm: read(arm, paths[arm], options) for arm in arms}
    return _Pairing(form, {arm: logs[arm] for arm in arms}, options).imported()


def usual_reference(names: Sequence[str]) -> str | None:
    """Return the arm that others are usually compared with: `F16`, `llama-bf16`; else the first."""
    words = {name: re.split(r"[^a-z0-9]+", name.casefold()) for name in names}
    found = (name for word in _REFERENCES for name in names if word in words[name])
    return next(found, next(iter(names), None))


class _Pairing:
    """All arms' rows, task by task; collects items, responses and notes."""

    def __init__(self, form: str, logs: Mapping[str, ArmLog], options: LogOptions) -> None:
        self.form, self.logs, self.options = form, logs, options
        for log in logs.values():  # what a log says of itself, and names of files, may be anything
            log.program = short_text(log.program)
            log.files = {short_text(name): sha256 for name, sha256 in log.files.items()}
        self.arms = list(logs)
        self.items: list[Item] = []
        self.responses: dict[tuple[str, str], list[Response]] = {}
        self.parts: dict[str, dict[str, Any]] = {}
        self.sources: dict[str, Mapping[str, Any]] = {}
        self.lines: list[bytes] = []
        self.found: dict[str, Mapping[str, Mapping[str, list[LogRow]]]] = {}
        self.first_notes: list[str] = []
        self.notes: list[str] = [note for log in logs.values() for note in log.notes]

    def imported(self) -> Imported:
        for name, leaves in self._chosen().items():
            self._add(name, leaves)
        if not self.parts:
            said = ("has no metric", "left out")
            why = " ".join([n for n in self.notes if any(one in n for one in said)][:_SHOWN])
            raise DataError(f"no task has a metric that is one number from 0 to 1 an item. {why}")
        options = self.options
        programs = sorted({log.program for log in self.logs.values()})
        study = {
            "study": name_like("-".join(self.parts)) or self.form,
            "reference": self.arms[0],
            "margin": options.margin,
            "arms": {
                arm: {"engine": "imported", "model": log.artifact.model}
                for arm, log in self.logs.items()
            },
            "tasks": self.parts,
        }
        text = _HEADER.format(form=self.form) + write_yaml(study)
        read = parse_study(text).study
        for task, found in self.found.items():
            self._write(read, task, found)
        data = b"".join(self.lines)
        known = {SCORES_FILE: hashlib.sha256(data).hexdigest()}
        return Imported(
            text,
            self.items,
            self.responses,
            {arm: _artifact(log, options.weights.get(arm)) for arm, log in self.logs.items()},
            " and ".join(programs),
            sources={task: {"files": known, **found} for task, found in self.sources.items()},
            notes=(*map(readable, (*self.first_notes, *self.notes)), _not_in_logs(self.form)),
            origin_files={SCORES_FILE: data},
        )

    def _chosen(self) -> dict[str, list[str]]:
        """Return the tasks to read and the leaves of each: groups as one, then the others."""
        groups: dict[str, list[str]] = {}
        leaves: dict[str, None] = {}
        for log in self.logs.values():
            groups |= log.groups
            leaves |= dict.fromkeys(log.tasks)
        there = (*groups, *leaves)
        if self.options.tasks:
            for name in self.options.tasks:
                if name not in there:
                    raise StudyError(
                        f"no log holds {name!r}; {hint_of(name, there, 'there is: ')}", key="task"
                    )
            return {name: groups.get(name, [name]) for name in self.options.tasks}
        inner = {
            name
            for name, own in groups.items()
            if any(set(own) < set(other) for other in groups.values())
        }
        chosen = {
            name: own
            for name, own in groups.items()
            if name not in inner and all(leaf in leaves for leaf in own)
        }
        grouped = {leaf for own in chosen.values() for leaf in own}
        return chosen | {leaf: [leaf] for leaf in leaves if leaf not in grouped}

    def _add(self, name: str, leaves: Sequence[str]) -> None:
        task = name_like(name) or "task"
        found: dict[str, dict[str, list[LogRow]]] = {arm: {} for arm in self.arms}
        for leaf in leaves:
            lacking = [arm for arm in self.arms if not self.logs[arm].tasks.get(leaf)]
            if lacking:
                self._refuse(
                    "unpaired",
                    f"{', '.join(lacking)} has no row of {leaf}; name the tasks to read by "
                    "`--task`, or leave it out",
                    f"{leaf}: left out, {', '.join(lacking)} has no row of it.",
                )
                continue
            chosen = {arm: self._filtered(leaf, self.logs[arm].tasks[leaf]) for arm in self.arms}
            filters = {arm: rows[0].filter for arm, rows in chosen.items() if rows}
            if len(set(filters.values())) > 1:
                each = ", ".join(f"{arm} by {one!r}" for arm, one in filters.items())
                raise StudyError(
                    f"the answers to {leaf} were read by different filters: {each}; score both "
                    "arms by one, so that they can be compared",
                    key="filter",
                )
            for arm in self.arms:
                for row in chosen[arm]:
                    key = f"{leaf}-{row.key}" if len(leaves) > 1 else row.key
                    if len(leaves) > 1:
                        row.groups = {**row.groups, SUBTASK: leaf}
                    found[arm].setdefault(key, []).append(row)
        rows = [row for own in found.values() for group in own.values() for row in group]
        samples = max((len(group) for own in found.values() for group in own.values()), default=0)
        declared = self._endpoints(name, rows, samples) if rows else {}
        if not declared:
            return
        stratify = self.options.stratify or (SUBTASK if len(leaves) > 1 else None)
        self.parts[task] = {
            "kind": "recorded",
            "workload": task,
            "source": {"type": "imported", "layout": self.form},
            "endpoints": declared,
            **({"stratify": stratify} if stratify else {}),
        }
        first = next(iter(declared))
        if "range" in declared[first]:
            self.parts[task]["margin"] = self._margin(first)
        self._check_pairs(name, found)
        self._check_identical(name, found)
        self.found[task] = found
        self.sources[task] = {
            "rows": len(rows),
            "duplicates": [],
            "scored_by": sorted({log.program for log in self.logs.values()}),
            "logs": {arm: dict(log.files) for arm, log in self.logs.items()},
        }
        self._say_checked(name, rows, tuple(declared))

    def _filtered(self, leaf: str, rows: Sequence[LogRow]) -> Sequence[LogRow]:
        """Return the rows of one filter.

        Raises:
            StudyError: there are several, and none of them is named.
        """
        there = tuple(dict.fromkeys(row.filter for row in rows))
        if len(there) == 1:
            return rows
        named = [one.partition("=") for one in self.options.filters]
        wanted = next((value for task, equals, value in named if equals and task == leaf), None)
        wanted = wanted or next((one for one, equals, _ in named if not equals), None)
        if wanted not in there:
            said = f"; there is no {wanted!r}" if wanted else ""
            raise StudyError(
                f"{leaf} was scored by several filters ({', '.join(there)}){said}: name one by "
                f"`--filter {there[0]}`, or `--filter {leaf}={there[0]}`",
                key="filter",
            )
        return [row for row in rows if row.filter == wanted]

    def _endpoints(
        self, name: str, rows: Sequence[LogRow], samples: int
    ) -> dict[str, dict[str, Any]]:
        """Declare what is tested: each metric with a number in its range, 0 to 1, an item."""
        ratios = {metric: column for row in rows for metric, column in row.ratios.items()}
        columns = set(ratios.values())
        there = tuple(dict.fromkeys(m for row in rows for m in row.scores if m not in columns))
        wanted = self.options.metrics or there
        declared: dict[str, dict[str, Any]] = {}
        for metric in wanted:
            if metric not in there:
                hint = hint_of(metric, there, "there is: ") if there else "there is none"
                self.notes.append(f"{name} has no metric {metric}; {hint}.")
                continue
            values = {v for row in rows if (v := _value(row, metric)) is not None}
            if not values:
                kinds = [log.odd[metric] for log in self.logs.values() if metric in log.odd]
                why = f"of an item it is {kinds[0]}" if kinds else "it is no number an item"
                self.notes.append(
                    f"{name}: {metric} is left out; {why}. Take another metric; or `quantrial "
                    "import table`, whose --scorer scores the texts of answers (docs/logs.md)."
                )
                continue
            answers = [row for row in rows if row.error is None]
            lacking = sum(row.scores.get(metric) is None for row in answers)
            if lacking and declared and metric not in self.options.metrics:
                # an item is scored by all metrics or by none
                self.notes.append(
                    f"{name}: {metric} is left out; {lacking:,} of {len(answers):,} answers have "
                    f"none. `--metric {metric}` reads those that have it."
                )
                continue
            low, high = self._range(metric)
            least, largest = min(values), max(values)
            if (low, high) == (0.0, 1.0) and not 0 <= least <= largest <= 1:
                self.notes.append(
                    f"{name}: {metric} is left out; it goes from {least:g} to {largest:g}. To read "
                    f"it, state its range: `import ... --range {metric}=LOW:HIGH`."
                )
                continue
            if not low <= least <= largest <= high:
                wrong = least if least < low else largest
                odd = next(row for row in rows if _value(row, metric) == wrong)
                raise odd.where.error(
                    f"{metric} is {wrong:g}; its range was stated as {low:g} to {high:g}"
                )
            declared[metric] = {"type": "proportion" if values <= {0.0, 1.0} else "mean"}
            if (low, high) != (0.0, 1.0):
                unit = LOG_LIKELIHOODS.get(metric, "points")
                declared[metric] |= {"type": "mean", "range": [low, high], "unit": unit}
            if metric in LOG_LIKELIHOODS:
                declared[metric]["label"] = f"log-likelihood ({metric})"
            if metric in ratios:
                declared[metric] |= {"type": "ratio", "denominator": ratios[metric]}
            if any(metric in log.lower for log in self.logs.values()):
                declared[metric]["direction"] = "lower"
        if samples > 1:
            for one in declared.values():
                one["type"] = "ratio" if one["type"] == "ratio" else "mean"
        if not declared:
            self.notes.append(f"{name}: left out, it has no metric that can be read.")
        return declared

    def _range(self, metric: str) -> tuple[float, float]:
        ranges = self.options.ranges
        return ranges.get(metric, ranges.get("", (0.0, 1.0)))

    def _margin(self, metric: str) -> float:
        """Return the margin of a metric with a range: in points, or so much of its range."""
        low, high = self._range(metric)
        said = self.options.margin
        if isinstance(said, str) and not said.strip()[-1:].isdigit():
            return parse_fraction(said, "margin") * (high - low)
        return float(said)

    def _check_pairs(self, name: str, found: Mapping[str, Mapping[str, list[LogRow]]]) -> None:
        """Hold the arms' items against each other."""
        keys = dict.fromkeys(key for own in found.values() for key in own)
        unpaired = [key for key in keys if any(key not in own for own in found.values())]
        if unpaired:
            lacking = [arm for arm, own in found.items() if len(own) < len(keys)]
            said = (
                f"{len(unpaired):,} of {len(keys):,} items of {name} are missing in "
                f"{', '.join(lacking)} ({listed(unpaired)})"
            )
            if len(unpaired) > _MOST_UNPAIRED * len(keys):
                self._refuse("unpaired", f"{said}: count them as missing answers", f"{said}.")
            else:
                self.notes.append(f"{said}: they count as missing answers.")
        golds, prompts = [], []
        for key in keys:
            rows = [row for own in found.values() for row in own.get(key, ())]
            first = rows[0]
            for row in rows[1:]:
                if row.content != first.content:
                    raise row.where.error(
                        f"item {key!r} of {name} is another one than in {first.where}: these logs "
                        "are of different data, and cannot be paired"
                    )
                if row.gold != first.gold:
                    golds.append(row)
                if row.prompt != first.prompt:
                    prompts.append(key)
        if golds:
            self._refuse(
                "changed-golds",
                f"{name}: {len(golds):,} items have another right answer in another arm, first "
                f"at {golds[0].where}",
                f"{name}: {len(golds):,} items have another right answer in another arm.",
            )
        if prompts := list(dict.fromkeys(prompts)):
            said = f"{name}: {len(prompts):,} of {len(keys):,} items were asked in other words"
            self._refuse("different-prompts", f"{said} in another arm", f"{said} in another arm.")

    def _check_identical(self, name: str, found: Mapping[str, Mapping[str, list[LogRow]]]) -> None:
        reference, *others = found
        for arm in others:
            pairs = [
                ([row.raw for row in rows], [row.raw for row in found[arm][key]])
                for key, rows in found[reference].items()
                if key in found[arm] and any(row.raw for row in rows)
            ]
            if len(pairs) >= _FEWEST_IDENTICAL and all(one == other for one, other in pairs):
                self.first_notes.append(
                    f"{name}: {reference} and {arm} gave the same outputs to the byte on all "
                    f"{len(pairs):,} items. Are they the same model, or did a shared cache answer "
                    "for both?"
                )

    def _write(
        self, study: str, task: str, found: Mapping[str, Mapping[str, list[LogRow]]]
    ) -> None:
        """Make items, responses and the lines of scores that a run keeps."""
        stratify = self.parts[task].get("stratify")
        declared = self.parts[task]["endpoints"]
        divided = [one["denominator"] for one in declared.values() if "denominator" in one]
        metrics = tuple(dict.fromkeys((*declared, *divided)))
        unscored: Counter[str] = Counter()
        groups = dict[str, Counter[str]]()
        program = {arm: log.program for arm, log in self.logs.items()}
        for block, key in enumerate(dict.fromkeys(key for own in found.values() for key in own)):
            first = next(own[key][0] for own in found.values() if key in own)
            if stratify is not None and stratify not in first.groups:
                hint = (
                    hint_of(stratify, tuple(first.groups), "there is: ")
                    if first.groups
                    else "it has none"
                )
                raise first.where.error(f"item {key!r} has no field {stratify!r}; {hint}")
            if stratify is None:
                for name, value in first.groups.items():
                    if value != first.gold and len(groups.setdefault(name, Counter())) <= MOST:
                        groups[name][value] += 1
            item = _item(task, key, first, stratify)
            self.items.append(item)
            for number, arm in enumerate(self.arms):
                rows = found[arm].get(key, [])
                fault = next((row.error for row in rows if row.error is not None), None)
                scores = _means(rows, metrics) if fault is None else None
                if not rows:
                    continue
                if scores is None and fault is None:
                    unscored[arm] += 1
                    continue
                order = block * len(self.arms) + number
                judge = program[arm]
                made = Response(
                    study=study,
                    task=task,
                    arm=arm,
                    item=item.id,
                    replicate=0,
                    attempt=1,
                    order=order,
                    block=block,
                    status="ok" if fault is None else "engine_error",
                    error=None if fault is None else short_text(fault),
                    output=short_text(rows[0].output),
                    finish_reason=rows[0].finish and short_text(rows[0].finish),
                    prompt_tokens=None,
                    completion_tokens=None,
                    timing=dict.fromkeys(("load", "prompt", "decode", "wall")),
                    started_at="",
                    logprobs=_choices(rows[0].choices),
                    scores=scores,
                    scored_by=judge if scores else None,
                )
                self.responses.setdefault((task, arm), []).append(made)
                if scores is not None:
                    line = {"task": task, "id": item.id, "arm": arm, **scores, "scored_by": judge}
                    self.lines.append(orjson.dumps(line) + b"\n")
        for name, count in group_sizes(groups, len(self.items)).items():
            self.notes.append(
                f"{task}: {name} looks like a group, with {count} values. `--stratify {name}` "
                "shows whether the loss is larger in some of them."
            )
        for arm, count in unscored.items():
            self.notes.append(f"{task}: {arm} has {plural(count, 'answer')} without a score.")

    def _say_checked(self, name: str, rows: Sequence[LogRow], metrics: Sequence[str]) -> None:
        programs = " and ".join(sorted({log.program for log in self.logs.values()}))
        for metric in metrics:
            if metric == P_RIGHT:
                self.notes.append(
                    f"{name}: {metric} is the probability of the right choice among the choices, "
                    "derived from the log-likelihoods."
                )
                continue
            agreeing = [row.checked[metric] for row in rows if metric in row.checked]
            self.notes.append(
                f"{name}: {metric} was scored by {programs}, {sum(agreeing):,} of {len(rows):,} "
                "derived again."
                if agreeing
                else f"{name}: {metric} was scored by {programs}."
                if programs.startswith("quantrial")
                else f"{name}: {metric} stands as recorded by {programs}."
            )
            if agreeing and not all(agreeing):
                self.first_notes.append(
                    f"{name}: {agreeing.count(False):,} scores of {metric} are not those that the "
                    "answers give. Was the log edited?"
                )

    def _refuse(self, name: str, why: str, note: str) -> None:
        if name not in self.options.allow:
            raise DataError(f"{why}; `--allow {name}` goes on all the same")
        self.notes.append(note)


def _item(task: str, key: str, row: LogRow, stratify: str | None) -> Item:
    content = {"text": row.text, "sha256": row.content}
    gold = short_text(row.gold)
    return Item(
        task=task,
        id=key,
        content=content,
        gold=gold,
        metadata={stratify: row.groups[stratify]} if stratify else {},
        source=short_text(str(row.where)),
        content_sha256=content_hash(content, gold),
    )


def _value(row: LogRow, metric: str) -> float | None:
    """Return the metric of an item by itself; of a ratio of sums, the item's own ratio."""
    value = row.scores.get(metric)
    if value is None or metric not in row.ratios:
        return value
    whole = row.scores.get(row.ratios[metric])
    return value / whole if whole else None


def _choices(logprobs: Sequence[float]) -> list[dict[str, Any]] | None:
    """Return probabilities of choices as those of one token; a choice is named by its number."""
    if not logprobs:
        return None
    ranked = sorted((-value, str(number)) for number, value in enumerate(logprobs))
    top = [[number, -value] for value, number in ranked if value < math.inf]
    return [{"token": "", "logprob": None, "top": top}]


def _means(rows: Sequence[LogRow], metrics: Sequence[str]) -> dict[str, float] | None:
    """Return the mean of each metric over the samples of an item; None where one is missing."""
    means = {}
    for metric in metrics:
        values = [value for row in rows if (value := row.scores.get(metric)) is not None]
        if not values or len(values) < len(rows):
            return None
        means[metric] = math.fsum(values) / len(values)
    return means


def _artifact(log: ArmLog, stated: str | None) -> Artifact:
    """Return what is known of an arm's model, and what of it is only stated."""
    if stated is None:
        return log.artifact
    kind, _, size = stated.partition(":")
    stated_facts: dict[str, Any] = {
        **({"quantization": kind} if kind else {}),
        **({"bytes_on_disk": parse_bytes(size, "weights")} if size else {}),
    }
    names = [name for name, there in (("type", kind), ("bytes", size)) if there]
    return replace(log.artifact, **stated_facts, weights_stated=tuple(names))


def _not_in_logs(form: str) -> str:
    return (
        f"{'Tables' if form == 'table' else f'Logs of {form}'} do not say in which order or on "
        "which machine the arms ran, nor the hash of their weights: drift and speed are not "
        "compared."
    )
