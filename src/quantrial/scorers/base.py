"""What a scorer is: it holds what an answer says against what is right, and names its endpoints.

Pure, like a task: a scorer sees no engine and no file of a run. A new one is a class derived from
`Scorer` in a file of its own, named in an entry point of the group `quantrial.scorers`; `exact.py`
is the example.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import orjson

from quantrial.study.scoring import ScorerPart
from quantrial.tasks.base import Endpoint, FailureMode, Outcome, Rate
from quantrial.tasks.tables import FailureTable

if TYPE_CHECKING:
    from quantrial.records import Item
    from quantrial.tasks.answer import Answer

__all__ = ["Said", "Score", "Scorer", "ScorerPart", "plain_names"]


@dataclass(frozen=True, slots=True)
class Said:
    """What a scorer may look at beside the text that was read.

    The whole answer, the item, and the tools that it might call, in OpenAI's form.
    """

    answer: Answer
    item: Item
    tools: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True, slots=True)
class Score:
    """What a scorer makes of one answer.

    Attributes:
        values: a number for each column that its endpoints are built from.
        parsed: whether the text could be understood at all; where not, the values are those of an
            answer that is wholly wrong.
        answer: what was understood, as plain JSON in a form that two equal answers share.
    """

    values: Mapping[str, float]
    parsed: bool = True
    answer: object = None


class Scorer:
    """One way to score text, made from its entry in the `score:` of a study.

    `endpoints[0]` is the primary one. Where they depend on the study (fields, labels), `__init__`
    sets them: they follow from the study alone, never from items. `failure_modes` and
    `failure_tables` are used of a task's first scorer. A column `correct` (0 or 1) says whether an
    answer is wholly right, `right` names the endpoint that is its share.
    """

    part: ClassVar[type[ScorerPart]]
    reads: ClassVar[str] = "strip"  # the reading step where the task names none
    scored_by: ClassVar[Sequence[str]] = ()  # modules that `score` needs beside its own
    endpoints: Sequence[Endpoint]
    right: str | None = None
    failure_modes: Sequence[FailureMode] = ()
    failure_tables: Sequence[FailureTable] = ()
    needs_gold: bool = True  # whether a row without the field `gold` is an error
    compares: bool = False  # whether what one answer says can be the gold of another
    source: str = ""  # code that scores and stands in no module

    def __init__(self, spec: Any):
        self.spec = spec

    def check(self, gold: Any) -> None:
        """Refuse a gold value that no answer could be held against.

        Raises:
            ValueError: says what came, and what would be right.
        """

    def chance(self, golds: Sequence[Any]) -> float | None:
        """Primary endpoint of guessing blindly, over the items' golds; None where none guesses."""
        return None

    def example(self, gold: Any) -> str:
        """Write what is right as an answer would: a text, the first of several, else as JSON."""
        first = gold[0] if isinstance(gold, list) and gold else gold
        return first if isinstance(first, str) else orjson.dumps(first).decode()

    def schema(self) -> Mapping[str, Any] | None:
        """Return the JSON schema that `constrained` holds decoding to; None where none fits."""
        return None

    def score(self, gold: Any, text: str, said: Said) -> Score:
        """Score a text that was read from an answer.

        Raises:
            ScoringError: the scorer itself fails, so that nothing is known of the answer.
        """
        raise NotImplementedError

    def unread(self, gold: Any, said: Said) -> Score:
        """Score an answer in which the reading step found nothing: wholly wrong.

        Zero in each column; a scorer with other columns (misses, a distance) says its own.
        """
        columns = {name for one in self.endpoints for name in (*one.numerator, *one.denominator)}
        return Score(dict.fromkeys(sorted(columns | {"correct"}), 0.0), parsed=False)

    def as_gold(self, text: str, said: Said) -> Any:
        """Return what an answer says as the gold that others are held against.

        Raises:
            ValueError: it says nothing that can be read.
        """
        self.check(text)
        return text

    def alike(self, *, same: bool) -> Mapping[str, float]:
        """Return the values of an answer beside one that cannot be read: the same text, or not.

        One thing is shared, or each has one of its own (`fp` and `fn`).
        """
        columns = {name for one in self.endpoints for name in (*one.numerator, *one.denominator)}
        apart = {"fp", "fn"}
        return {name: float(same != (name in apart)) for name in sorted(columns | {"correct"})}

    def failures(self, pairs: Sequence[tuple[Item, Outcome]], rate: Rate) -> Mapping[str, Any]:
        """Describe how one arm failed, beyond what every task says; keys of `failure_tables`.

        Args:
            pairs: each item that was answered, with what `score` made of it.
            rate: turns a count and a total into a `rate` with its `ci`.
        """
        return {}


def plain_names(labels: Sequence[str]) -> dict[str, str]:
    """Give each of some different texts a name that an endpoint can have."""
    names: dict[str, str] = {}
    for label in labels:
        plain = re.sub(r"[^A-Za-z0-9]+", "_", label).strip("_").lower()[:40] or "other"
        name, taken = plain, set(names.values())
        for number in itertools.count(2):
            if name not in taken:
                break
            name = f"{plain}_{number}"
        names[label] = name
    return names
