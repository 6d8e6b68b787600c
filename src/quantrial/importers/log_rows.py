"""What a log of another harness yields: the rows of one arm, and the options of reading them."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from quantrial.engines.artifact import Artifact
from quantrial.errors import DataError, StudyError
from quantrial.registry import hint_of
from quantrial.strict_json import readable, whole_number
from quantrial.tasks.rows import Where

ALLOWANCES = ("unpaired", "different-prompts", "changed-golds", "duplicates")
P_RIGHT = "p_right"  # the probability of the right choice, of log-likelihoods
LOG_LIKELIHOODS = {  # lm-eval names them by the perplexity that is made of all of them
    "perplexity": "nats",
    "word_perplexity": "nats a word",
    "byte_perplexity": "nats a byte",
    "bits_per_byte": "nats a byte",
}
_LONGEST_TEXT = 2_000
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class LogOptions:
    """What logs do not say.

    Attributes:
        reference: the arm that the others are compared with; by default one with fp16, f16, bf16,
            fp32, reference or baseline in its name, or the first one.
        margin: the largest loss that counts as the same.
        tasks: tasks or groups to read; all by default.
        filters: the filter to read, `name` or `task=name`, where a log holds several.
        metrics: the metrics to read, the first one primary; all by default.
        stratify: a field of the items whose values are groups.
        latest: of several runs of an arm, read the newest.
        allow: what is let through: `unpaired`, `different-prompts`, `changed-golds`, `duplicates`.
        weights: by arm, what its weights are stated to be: `4bit:4.1GB`.
        ranges: by metric, the least and the largest value it can have; by "" that of all metrics.
            It is 0 to 1 by default.
    """

    reference: str | None = None
    margin: str | float = 0.01
    tasks: tuple[str, ...] = ()
    filters: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    stratify: str | None = None
    latest: bool = False
    allow: frozenset[str] = frozenset()
    weights: Mapping[str, str] = field(default_factory=dict)
    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse allowances that do not exist."""
        for name in self.allow:
            if name not in ALLOWANCES:
                raise StudyError(
                    f"there is no {name!r}; {hint_of(name, ALLOWANCES, 'there is: ')}", key="allow"
                )


@dataclass(slots=True)
class LogRow:
    """One answer as a log holds it.

    Attributes:
        where: file and line.
        key: the item in its task.
        filter: what read the answer; empty where the format has none.
        scores: by metric; None where a metric gave none.
        output: what was answered, shortened.
        raw: a hash of all that was answered; empty where that is not recorded.
        content: a hash of the item.
        text: what was asked, shortened.
        gold: the right answer.
        prompt: the hash of what the model saw; None where it is not known.
        groups: fields of the item that may be groups.
        error: why there is no answer.
        finish: why the answer ended.
        checked: by metric, whether the answer gives the same score again; only where it can be.
        ratios: by metric that is a ratio of sums, the score that it is divided by.
        choices: the logarithms of the probabilities that the model gave each choice.
    """

    where: Where
    key: str
    filter: str
    scores: Mapping[str, float | None]
    output: str
    raw: bytes
    content: str
    text: str
    gold: str
    prompt: str | None = None
    groups: Mapping[str, str] = field(default_factory=dict)
    error: str | None = None
    finish: str | None = None
    checked: Mapping[str, bool] = field(default_factory=dict)
    ratios: Mapping[str, str] = field(default_factory=dict)
    choices: Sequence[float] = ()


@dataclass(slots=True)
class ArmLog:
    """What one arm's logs hold.

    Attributes:
        program: what made them, with its version.
        artifact: what they say of the model.
        tasks: the rows of each task.
        groups: names of several tasks that belong together.
        files: the hash of each file that was read.
        notes: what deserves a look.
        lower: the metrics of which the program says that fewer is better.
        odd: by metric that is no number an item, what it is.
    """

    program: str
    artifact: Artifact
    tasks: dict[str, list[LogRow]] = field(default_factory=dict)
    groups: dict[str, list[str]] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    lower: set[str] = field(default_factory=set)
    odd: dict[str, str] = field(default_factory=dict)


def short_text(text: str) -> str:
    """Return the start of a text, as it can be written down."""
    return readable(text[:_LONGEST_TEXT])


def digest(value: object) -> bytes:
    """Return a short hash of what was answered, to find equal answers by; none of None."""
    if value is None:
        return b""
    return hashlib.blake2b(repr(value).encode("utf-8", "replace"), digest_size=16).digest()


def newest(runs: Mapping[str, Path], arm: str, task: str, *, latest: bool) -> Path:
    """Return the run of a task to read, of those of one arm by their times.

    Raises:
        DataError: there are several.
    """
    if len(runs) > 1 and not latest:
        shown = ", ".join(sorted(runs)[:_SHOWN])
        raise DataError(
            f"arm {arm} ran {task} {len(runs)} times ({shown}): name one folder of one run, or "
            "read the newest with `--latest`"
        )
    return runs[max(runs)]


def without_duplicates(
    rows: Sequence[LogRow], task: str, options: LogOptions
) -> tuple[list[LogRow], list[str]]:
    """Return the first row of each item and filter, and a note of the others.

    Raises:
        DataError: there are others, and they are not allowed.
    """
    first: dict[tuple[str, str], LogRow] = {}
    again = [row for row in rows if first.setdefault((row.key, row.filter), row) is not row]
    if not again:
        return list(rows), []
    row = again[0]
    if not row.filter:
        raise row.where.error(
            f"item {row.key!r} of {task} stands twice, and nothing says which filter scored it: "
            "logs without the field `filter` cannot be told apart"
        )
    if "duplicates" not in options.allow:
        before = first[row.key, row.filter].where
        raise row.where.error(
            f"item {row.key!r} of {task} stands here again, after {before}; `--allow duplicates` "
            "takes the first one"
        )
    return list(first.values()), [
        f"{task}: {len(again):,} rows repeat an item ({listed([one.key for one in again])}); the "
        "first one counts."
    ]


def number_keys(rows: Sequence[LogRow]) -> None:
    """Tell items apart that are the same but for what is right: the second is `key-2`."""
    golds: dict[str, list[str]] = {}
    for row in rows:
        own = golds.setdefault(row.content, [])
        if row.gold not in own:
            own.append(row.gold)
        row.key += f"-{at + 1}" if (at := own.index(row.gold)) else ""


def repeats(rows: Sequence[LogRow], task: str, arm: str, why: str) -> list[str]:
    """Return a note of the items that stand several times, as samples."""
    counts = [count for count in Counter(row.key for row in rows).values() if count > 1]
    if not counts:
        return []
    times = " or ".join(str(one) for one in sorted(set(counts)))
    return [
        f"{task}: {len(counts):,} items of {arm} stand {times} times ({why}); the score of an item "
        "is their mean."
    ]


def listed(names: Sequence[str]) -> str:
    """Name the first few."""
    return ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")


def as_name(metric: str) -> str:
    """Return a metric's name as an endpoint can bear it: `pass@1` is `pass_1`."""
    name = re.sub(r"[^A-Za-z0-9_]+", "_", metric)[:64]
    return name if name[:1].isalpha() else f"m_{name}"[:64]


def as_number(value: Any) -> float | None:
    """Return a finite number, or a bool as 0 or 1; None of anything else."""
    if isinstance(value, bool | int | float):
        try:
            number = float(value)
        except OverflowError:
            return None
        return number if math.isfinite(number) else None
    return None


def items_of(value: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the fields of an item that may be groups: short texts and whole numbers."""
    for name, one in value.items():
        if isinstance(one, str | int) and not isinstance(one, bool):
            text = f"{one}" if isinstance(one, str) or abs(one) < 2**63 else ""
            if text.isprintable() and 0 < len(text) <= 100:
                yield name, text


def parse_log(line: bytes, where: Where) -> Any:
    """Read one text of JSON; a number that is not finite is null."""
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError:
        pass
    try:
        return json.loads(line, parse_constant=_finite, parse_float=_finite, parse_int=whole_number)
    except (ValueError, RecursionError) as exc:
        raise where.error(f"is no JSON ({str(exc)[:80]})") from exc


def _finite(number: str) -> float | None:
    value = float(number)
    return value if math.isfinite(value) else None
