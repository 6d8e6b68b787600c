"""The answers, for the page's explorer: what was asked, what each arm said, what is wrong.

Everything here is data, never markup: the page shows it as text. It is written as JSON in which no
character can end a script, in chunks, so that a large run fits into a file of its own.
"""

from __future__ import annotations

import functools
import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from quantrial.words import endpoint, error_class

if TYPE_CHECKING:
    from quantrial.analysis import TaskOutcomes
    from quantrial.analysis.answers.reading import Given
    from quantrial.records import Item
    from quantrial.tasks import Outcome
    from quantrial.tasks.span_errors import SpanErrors

Outcomes = Mapping[str, "TaskOutcomes"]

DATA_FILE = "report-data.js"
# beyond so many bytes, answers move out of the page
MOST_INLINE = 2_000_000
# so many characters of answers in all: a browser still reads, holds and searches them. Only where
# there are more, the longest are cut; the responses hold all of them
MOST_TEXT = 150_000_000
_CHUNK = 400

_VALUES = {"tp": "found", "fp": "invented", "fn": "missed", "f1": "F1", "correct": "right"}
_SIGNS = ("unparsed", "unfinished thought", "cut short", "refused", "repeating", "empty")


@dataclass(frozen=True, slots=True)
class Answers:
    """The explorer's data. `about` describes it, `chunks` hold the rows; both JSON.

    `apart`: too much for the page, so the chunks belong into `DATA_FILE`. `digest` ties the two.
    """

    about: str
    chunks: tuple[str, ...]
    digest: str
    apart: bool

    def file(self) -> str:
        """Return the text of `DATA_FILE`: a script, since a page on disk may read nothing else."""
        lines = [f'quantrialAnswers("{self.digest}",{chunk});\n' for chunk in self.chunks]
        return "".join([*lines, f'quantrialAnswers("{self.digest}",null);\n'])


def answers(outcomes: Outcomes, reference: str) -> Answers:
    """Write down every item with every answer.

    Args:
        outcomes: the scored tasks.
        reference: the arm that others are compared with.
    """
    arms = list(dict.fromkeys(arm for scored in outcomes.values() for arm in scored.arms))
    cut = most_of_each(_lengths(outcomes), MOST_TEXT)
    tasks, chunks = list[dict[str, Any]](), list[str]()
    for number, (name, scored) in enumerate(outcomes.items()):
        writer = _Task(scored, arms, cut)
        rows = [writer.row(i) for i in range(len(scored.items))]
        chunks += [
            inert_json([number, rows[at : at + _CHUNK]]) for at in range(0, len(rows), _CHUNK)
        ]
        tasks.append(
            {
                "name": name,
                "kind": scored.task.kind,
                "keys": writer.keys,
                "values": writer.values_by_key(),
                "scores": list(writer.scores),
                "signs": list(writer.signs),
                "items": len(rows),
            }
        )
    digest = hashlib.sha256("\n".join(chunks).encode()).hexdigest()
    about = {"reference": reference, "arms": arms, "tasks": tasks, "digest": digest, "cut": cut}
    size = sum(map(len, chunks))
    return Answers(inert_json(about), tuple(chunks), digest, size > MOST_INLINE)


def most_of_each(lengths: Sequence[int], most: int) -> int | None:
    """Say how much of each text may stay so that all stay below `most`; None where all fit whole.

    Short texts stay whole, the longest are cut to one length: as water fills vessels.
    """
    left = most
    ordered = sorted(lengths)
    for i, length in enumerate(ordered):
        if length * (len(ordered) - i) > left:
            return left // (len(ordered) - i)
        left -= length
    return None


def _lengths(outcomes: Outcomes) -> list[int]:
    return [
        len(response.said)
        for scored in outcomes.values()
        for responses in scored.responses.values()
        for response in responses
        if response is not None
    ]


class _Task:
    """Turns the items of one task into rows; what repeats is written once and numbered.

    `cut`: so many characters of an answer are kept; None for all.
    """

    def __init__(self, scored: TaskOutcomes, arms: Sequence[str], cut: int | None):
        self.scored, self.arms, self.cut = scored, arms, cut
        self.keys = sorted({key for item in scored.items for key in item.metadata})
        self.scores: dict[str, int] = {}
        self.signs: dict[str, int] = {}
        self._errors = _errors(scored)
        self._given = {arm: scored.given(arm) for arm in scored.arms}

    def values_by_key(self) -> list[list[str]]:
        """List the values that each key of the metadata takes."""
        return [
            sorted({item.metadata[key] for item in self.scored.items if key in item.metadata})
            for key in self.keys
        ]

    def row(self, i: int) -> list[Any]:
        """Write one item: id, text, gold, metadata, and an answer an arm."""
        item = self.scored.items[i]
        return [
            item.id,
            _question(item),
            _gold(item),
            [item.metadata.get(key, "") for key in self.keys],
            [self._answer(arm, i) for arm in self.arms],
        ]

    def _answer(self, arm: str, i: int) -> list[Any] | None:
        from quantrial.analysis.answers.changes import right

        response, outcome = self.scored.responses[arm][i], self.scored.outcomes[arm][i]
        given = self._given[arm][i]
        if response is None or outcome is None or given is None:
            fault = self.scored.faults.get(arm, {}).get(self.scored.items[i].id)
            return None if fault is None else [fault.status, fault.error or ""]
        errors = self._errors[arm][i] if self._errors else None
        kinds = [error.kind for error in errors.errors] if errors else []
        signs = [*_signs(given, outcome), *dict.fromkeys(map(error_class, kinds))]
        wall = response.timing.get("wall")
        return [
            response.said[: self.cut],
            self._whole(response.said),
            int(right(self.scored, arm, i) or False),
            self.scores.setdefault(_score(outcome), len(self.scores)),
            [self.signs.setdefault(sign, len(self.signs)) for sign in signs],
            [_error(error) for error in errors.errors] if errors else [],
            None if wall is None else round(wall, 4),
            response.completion_tokens,
        ]

    def _whole(self, text: str) -> list[Any] | None:
        """Tell two texts apart that are cut alike: length and hash; None for a text that is whole.

        The length is counted as a browser does.
        """
        if self.cut is None or len(text) <= self.cut:
            return None
        digest = hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()
        return [len(text) + sum(sign > "\uffff" for sign in text), digest[:16]]


def _score(outcome: Outcome) -> str:
    """Write an outcome's values; equal scores are equal texts."""
    return _written(tuple(outcome.values.items()))


@functools.lru_cache(maxsize=1024)  # thousands of answers have a few scores
def _written(values: tuple[tuple[str, float], ...]) -> str:
    return ", ".join(f"{_VALUES.get(name, endpoint(name))} {value:.3g}" for name, value in values)


def _errors(scored: TaskOutcomes) -> dict[str, list[SpanErrors | None]] | None:
    from quantrial.analysis.answers.failures import span_errors

    if not scored.task.error_classes:
        return None
    return {arm: span_errors(scored, arm) for arm in scored.arms}


def _error(error: Any) -> list[str]:
    found, gold = (
        "" if span is None else f"{span[0]} ({span[1]})" for span in (error.found, error.gold)
    )
    return [error_class(error.kind), found, gold]


def _signs(given: Given, outcome: Outcome) -> Iterator[str]:
    from quantrial.analysis.answers.text_signs import (
        is_empty,
        is_refused,
        is_repeating,
        is_truncated,
    )

    shown = (
        not outcome.parsed,
        given.answer.unfinished,
        is_truncated(given),
        is_refused(given),
        is_repeating(given),
        is_empty(given),
    )
    return (sign for sign, seen in zip(_SIGNS, shown, strict=True) if seen)


def _question(item: Item) -> str:
    """Write what was asked; the options of a choice under their letters."""
    content = item.content
    if "question" in content and isinstance(content.get("options"), Sequence):
        options = [f"{chr(65 + i)}. {one}" for i, one in enumerate(content["options"])]
        return "\n".join([str(content["question"]), *options])
    if len(content) == 1:
        return str(next(iter(content.values())))
    return "\n".join(
        f"{key}: {one if isinstance(one, str) else json.dumps(one, ensure_ascii=False)}"
        for key, one in content.items()
    )


def _gold(item: Item) -> str:
    gold, options = item.gold, item.content.get("options")
    if isinstance(gold, list):
        if all(isinstance(one, list) and len(one) == 2 for one in gold):
            return "; ".join(f"{one[0]} ({one[1]})" for one in gold) or "nothing to find"
        if all(isinstance(one, str) for one in gold):
            return "; ".join(gold)
    if gold is None or isinstance(gold, (list, dict)):
        return "" if gold is None else json.dumps(gold, ensure_ascii=False)
    at = ord(gold) - 65 if isinstance(gold, str) and len(gold) == 1 else -1
    if isinstance(options, Sequence) and 0 <= at < len(options):
        return f"{gold}. {options[at]}"
    return str(gold)


# what ends a script or a line of one, turns the direction of writing, or cannot be UTF-8
_UNSAFE = re.compile(
    "[<>&\\x7f-\\x9f\\u061c\\u200b-\\u200f\\u2028-\\u202e\\u2060-\\u206f\\ufeff\\ufff9-\\ufffb\\ud800-\\udfff]"
)


def inert_json(value: Any) -> str:
    """Write JSON that may stand in a script element: no character of it can end one."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return _UNSAFE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)
