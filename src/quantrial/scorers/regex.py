"""Whether a regular expression matches the text; patterns run in a process with a time limit."""

from __future__ import annotations

import contextlib
import functools
import re
import warnings
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import orjson
from pydantic import Field, field_validator

from quantrial.scorers.base import Said, Score, Scorer, ScorerPart
from quantrial.scorers.exact import aliases
from quantrial.scorers.guarded import Guarded, Limits
from quantrial.study.scoring import LONGEST_PATTERN
from quantrial.system import can_limit_memory
from quantrial.tasks.base import Endpoint

# of computing: a pattern that goes over a text once needs a hundredth of it for a megabyte
_LIMITS = Limits(seconds=20.0, cpu=0.3, memory=2**30 if can_limit_memory() else None)
_GOLD = re.compile(r"\{\{\s*gold\s*\}\}")
_SHOWN = 80  # characters of a pattern in a message

PATTERN_MATCH = Endpoint(
    "pattern_match",
    "proportion",
    {"correct": 1.0},
    meaning="The share of answers that match the pattern.",
    written="pattern[- ]match",
)


def search(
    pattern: str,
    text: str,
    take: Literal["first", "last"] = "first",
    *,
    ignore_case: bool = False,
) -> str | None:
    """Return what a pattern matches in a text: its first group where it has one, else all of it.

    Args:
        pattern: a regular expression of Python.
        text: where it is looked for.
        take: which match counts.
        ignore_case: whether upper and lower case are the same.

    Returns:
        None where nothing matches; an empty text where its first group is no part of the match.

    Raises:
        ScoringError: the search takes too long, as of patterns that try every way to part a text.
    """
    found = _matched(pattern, text, take, ignore_case)
    return None if found is None else found[1] or ""


def _matched(
    pattern: str, text: str, take: str, ignore_case: bool
) -> tuple[str, str | None] | None:
    """Return what matches: all of it, and its first group where the pattern has one."""
    request = {"job": "match", "pattern": pattern, "text": text, "take": take}
    found: tuple[str, str | None] | None = _process().call(
        {**request, "ignore_case": ignore_case}, what=f"the pattern {pattern!r:.{_SHOWN}}"
    )
    return found


@functools.cache
def _process() -> Guarded:
    return Guarded(_LIMITS)


class RegexPart(ScorerPart):
    """The answer matches a regular expression."""

    short: ClassVar[str | None] = "pattern"
    scorer: Literal["regex"]
    pattern: str = Field(max_length=LONGEST_PATTERN)
    """A regular expression of Python. `{{ gold }}` in it matches the right text, or any of
    several."""
    match: Literal["search", "full"] = "search"
    """Whether a match anywhere in the text is enough (`search`), or all of it must match (`full`).
    """
    ignore_case: bool = False
    """Whether upper and lower case are the same."""

    @field_validator("pattern")
    @classmethod
    def _compiles(cls, pattern: str) -> str:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of what a later Python may read otherwise
                re.compile(_GOLD.sub("(?:x)", pattern))
        except (re.error, RecursionError, OverflowError) as exc:
            raise ValueError(f"{pattern!r:.60} is no regular expression: {exc}") from exc
        return pattern


class Regex(Scorer):
    """Whether the answer matches a pattern."""

    part = RegexPart
    endpoints = (PATTERN_MATCH,)
    right = PATTERN_MATCH.name

    def __init__(self, spec: Any):
        super().__init__(spec)
        self.needs_gold = _GOLD.search(spec.pattern) is not None

    def check(self, gold: Any) -> None:
        """Refuse what is no text, where the pattern asks for it."""
        if self.needs_gold:
            aliases(gold)

    def schema(self) -> Mapping[str, Any] | None:
        """Hold decoding to a text that is one match; None where it depends on the item.

        Servers know simple patterns only: one with anchors within it is not offered.
        """
        whole = re.fullmatch(r"\^?((?:[^\\^$]|\\.)*)\$?", self.spec.pattern, re.DOTALL)
        if self.needs_gold or self.spec.ignore_case or whole is None:
            return None
        anchored = self.spec.pattern.startswith("^") or self.spec.pattern.endswith("$")
        if anchored and "|" in whole[1]:
            return None  # an anchor of one side alone
        return {"type": "string", "pattern": f"^({whole[1]})$"}

    def score(self, gold: Any, text: str, said: Said) -> Score:
        """1 for a text that matches, else 0.

        Raises:
            ScoringError: the match takes too long.
        """
        pattern = self.spec.pattern
        if self.needs_gold:
            either = "|".join(map(re.escape, aliases(gold)))
            pattern = _GOLD.sub(lambda _: f"(?:{either})", pattern)
        take = "full" if self.spec.match == "full" else "first"
        found = _matched(pattern, text, take, self.spec.ignore_case)
        if found is None and text.startswith('"'):
            # a JSON string, as constrained decoding writes it
            with contextlib.suppress(orjson.JSONDecodeError):
                text = orjson.loads(text)
                found = _matched(pattern, text, take, self.spec.ignore_case)
        answer = " ".join(text.split())
        return Score({"correct": float(found is not None)}, bool(answer), answer)
