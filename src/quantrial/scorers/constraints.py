"""Instructions that a program can check, each named in the item: lines, words, what must occur."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Literal

from quantrial.registry import hint_of
from quantrial.scorers.base import Said, Score, Scorer, ScorerPart
from quantrial.tasks.base import Endpoint

ALL_KEPT = Endpoint(
    "all_constraints",
    "proportion",
    {"correct": 1.0},
    meaning="The share of answers that keep every constraint of their item.",
)
SHARE_KEPT = Endpoint(
    "constraints_kept",
    "mean",
    {"kept": 1.0},
    meaning="Mean over answers of the share of constraints that they keep.",
    mitigation="It keeps {loss} fewer of the constraints than {reference}. Check them in code, and "
    "ask again where one is broken.",
)
_LAST = re.compile(r"[^\W_]+(?=[\W_]*\Z)")


def _lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.strip()]


def _last_word(text: str) -> str:
    found = _LAST.search(text[-1000:])
    return found[0].casefold() if found else ""


# what a value has to be, and whether a text keeps it
_CHECKS: Mapping[str, tuple[type, Callable[[str, Any], bool]]] = {
    "lines": (int, lambda text, n: len(_lines(text)) == n),
    "words_at_least": (int, lambda text, n: len(text.split()) >= n),
    "words_at_most": (int, lambda text, n: len(text.split()) <= n),
    "contains": (str, lambda text, word: word.casefold() in text.casefold()),
    "without": (str, lambda text, part: part.casefold() not in text.casefold()),
    "starts_with": (str, lambda text, part: text.casefold().startswith(part.casefold())),
    "ends_with": (str, lambda text, word: _last_word(text) == _last_word(word)),
    "lines_begin_with": (
        str,
        lambda text, part: all(line.lstrip().startswith(part) for line in _lines(text)),
    ),
    "lower_case": (bool, lambda text, wanted: (text == text.lower()) is wanted),
    "upper_case": (bool, lambda text, wanted: (text == text.upper()) is wanted),
}


class ConstraintsPart(ScorerPart):
    """The answer keeps the constraints that its item names.

    What is right is an object, such as `{"lines": 3, "without": ",", "ends_with": "harbour"}`:
    `lines` (blank ones do not count), `words_at_least`, `words_at_most`, `contains`, `without`,
    `starts_with`, `ends_with` (the last word), `lines_begin_with`, `lower_case`, `upper_case`.
    """

    scorer: Literal["constraints"]


class Constraints(Scorer):
    """Whether an answer does as it was told."""

    part = ConstraintsPart
    endpoints = (ALL_KEPT, SHARE_KEPT)
    right = ALL_KEPT.name

    def check(self, gold: Any) -> None:
        """Refuse what names no constraint, or one that there is not."""
        if not isinstance(gold, Mapping) or not gold:
            raise ValueError(f'{gold!r:.60} names no constraints; expected one as {{"lines": 3}}')
        for name, value in gold.items():
            if name not in _CHECKS:
                hint = hint_of(str(name), tuple(_CHECKS), "there are: ")
                raise ValueError(f"there is no constraint {str(name)!r:.40}; {hint}")
            kind, _ = _CHECKS[name]
            if type(value) is not kind or value == "":
                noun = {int: "a whole number", str: "a text", bool: "true or false"}[kind]
                raise ValueError(f"{name} is {value!r:.40}; expected {noun}")

    def example(self, gold: Any) -> str:
        """Nothing tells how a text that keeps them reads."""
        raise ValueError("constraints have no example of an answer; leave `shots` out")

    def score(self, gold: Any, text: str, said: Said) -> Score:
        """Count the constraints that are kept; an empty answer keeps none."""
        kept = {name: bool(text) and _CHECKS[name][1](text, value) for name, value in gold.items()}
        share = sum(kept.values()) / len(kept)
        values = {"kept": share, "correct": float(all(kept.values()))}
        return Score(values, bool(text), sorted(name for name, is_kept in kept.items() if is_kept))
