"""One label of a closed set, or several of them."""

from __future__ import annotations

import contextlib
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

import orjson
from pydantic import BeforeValidator, Field, model_validator

from quantrial.registry import hint_of
from quantrial.scorers.base import Said, Score, Scorer, ScorerPart, plain_names
from quantrial.study.names import Words
from quantrial.tasks.base import Endpoint, Outcome, Rate
from quantrial.tasks.tables import FailureColumn, FailureTable

if TYPE_CHECKING:
    from quantrial.records import Item

ACCURACY = Endpoint(
    "accuracy",
    "proportion",
    {"correct": 1.0},
    meaning="The share of items that got the right label.",
)
LABELS_F1 = Endpoint(
    "micro_f1",
    "ratio",
    {"tp": 2.0},
    {"tp": 2.0, "fp": 1.0, "fn": 1.0},
    hub_metric="f1",
    meaning="One score for giving each item its labels, from 0 to 100 %. It is high only when the "
    "arm misses few labels and adds few wrong ones. All items count together.",
    written="micro-[fF]1",
)
ALL_LABELS = Endpoint(
    "all_labels",
    "proportion",
    {"correct": 1.0},
    meaning="The share of items that got all their labels, and no other.",
    mitigation="It gets at least one label wrong on {loss} more of the items than {reference}. "
    "Check a sample by hand.",
)

_MOST_RECALLS = 25  # labels of which each is an endpoint; of more, none is
_MOST_PAIRS = 400  # pairs of labels that are counted one by one
_APART = re.compile(r"(?<=[^\W_])[-_]+(?=[^\W_])")  # between words it is another way to write a gap
# characters of scripts without spaces between words stand for themselves, and so do signs
_ALONE = "\u0e00-\u0e7f\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_WORD = re.compile(rf"[{_ALONE}]|[^\W_{_ALONE}]+|[^\w\s]|_")
_EMPTY = {"none", "[ ]", "no label", "no labels"}

CONFUSIONS = FailureTable(
    "labels on {task} that were taken for another",
    (
        FailureColumn("gold", "right label", form="text"),
        FailureColumn("answered", "answered label", form="text"),
        FailureColumn("n", "answers"),
    ),
    rows="confusions",
)
LABEL_ERRORS = FailureTable(
    "labels on {task} that were missed, or given wrongly",
    (
        FailureColumn("label", "label", form="text"),
        FailureColumn("gold", "items", "items whose right labels hold it"),
        FailureColumn("missed", "missed"),
        FailureColumn("added", "given wrongly"),
    ),
    rows="label_errors",
)


def _words(text: str) -> tuple[str, ...]:
    """Divide a text into what labels are compared by: words in any case, and signs."""
    return tuple(_WORD.findall(_APART.sub(" ", unicodedata.normalize("NFC", text).casefold())))


def _as_text(value: Any) -> Any:
    whole = isinstance(value, int) and not isinstance(value, bool)
    return str(value) if whole else value


class LabelPart(ScorerPart):
    """The answer names one label of a closed set, or several with `many`.

    The answer is a label; or it names one label and no other; or a label is the last thing that it
    says. Upper and lower case, white space, and `-` or `_` between words make no difference.
    """

    short: ClassVar[str | None] = "labels"
    scorer: Literal["label"]
    labels: tuple[Annotated[Words, BeforeValidator(_as_text)], ...] = Field(
        min_length=2, max_length=1000
    )
    """All labels that there are. With at most 25, the recall of each is an endpoint."""
    many: bool = False
    """Whether an item may have several labels, or none. The right ones are then a list, and every
    label that an answer names counts."""

    @model_validator(mode="after")
    def _are_apart(self) -> Self:
        seen: dict[tuple[str, ...], str] = {}
        for label in self.labels:
            words = _words(label)
            if not words:
                raise ValueError(f"the label {label!r:.60} is empty")
            if words in seen:
                raise ValueError(
                    f"the labels {seen[words]!r:.60} and {label!r:.60} are read as the same one; "
                    "upper and lower case, white space, `-` and `_` make no difference"
                )
            seen[words] = label
        return self


class Label(Scorer):
    """Whether the answer names the right label, or labels."""

    part = LabelPart

    def __init__(self, spec: LabelPart):
        super().__init__(spec)
        self._labels = {_words(label): label for label in spec.labels}
        self._places = {label: place for place, label in enumerate(spec.labels)}
        self._lengths: dict[str, list[int]] = {}  # of the labels that a word begins, longest first
        for word, length in sorted({(one[0], len(one)) for one in self._labels}, reverse=True):
            self._lengths.setdefault(word, []).append(length)
        counted = spec.labels if len(spec.labels) <= _MOST_RECALLS else ()
        self._names = plain_names(counted)
        first = (LABELS_F1, ALL_LABELS) if spec.many else (ACCURACY,)
        self.endpoints = (*first, *(_recall(label, name) for label, name in self._names.items()))
        self.right = first[-1].name
        self.failure_tables = (LABEL_ERRORS if spec.many else CONFUSIONS,)

    def check(self, gold: Any) -> None:
        """Refuse what is none of the labels."""
        self._gold(gold)

    def chance(self, golds: Sequence[Any]) -> float | None:
        """Accuracy of naming any one label blindly; None of several labels."""
        return None if self.spec.many else 1 / len(self.spec.labels)

    def schema(self) -> Mapping[str, Any]:
        """Hold decoding to one label in quotes, or to a list of them."""
        one = {"type": "string", "enum": list(self.spec.labels)}
        if not self.spec.many:
            return one
        return {"type": "array", "items": one, "uniqueItems": True}

    def score(self, gold: Any, text: str, said: Said) -> Score:
        """Compare the labels that are named with the right ones."""
        return self._scored(self._gold(gold), self._read(text))

    def unread(self, gold: Any, said: Said) -> Score:
        """Every right label is missed."""
        return self._scored(self._gold(gold), None)

    def _scored(self, gold: Sequence[str], found: Sequence[str] | None) -> Score:
        named, right = set(found or ()), set(gold)
        values = {"correct": float(found is not None and named == right)}
        if self.spec.many:
            values["tp"] = float(len(named & right))
            values["fp"], values["fn"] = float(len(named - right)), float(len(right - named))
        for label, name in self._names.items():
            values[f"gold_{name}"] = float(label in right)
            values[f"hit_{name}"] = float(label in right and label in named)
        if found is None:
            return Score(values, parsed=False)
        return Score(values, answer=list(found) if self.spec.many else found[0])

    def _gold(self, gold: Any) -> list[str]:
        """Return the right labels as the study writes them, in its order.

        Raises:
            ValueError: there is none, or several where one is right, or it is no label.
        """
        if self.spec.many != isinstance(gold, (list, tuple)):
            wanted = "a list of labels" if self.spec.many else "one label (`many` admits several)"
            raise ValueError(f"{gold!r:.60} is not {wanted}")
        found = set()
        for one in gold if self.spec.many else [gold]:
            text = _as_text(one)
            label = self._labels.get(_words(text)) if isinstance(text, str) else None
            if label is None:
                hint = hint_of(f"{one!s:.60}", self.spec.labels[:50], "labels are: ")
                raise ValueError(f"{one!r:.60} is none of the labels; {hint}")
            found.add(label)
        return sorted(found, key=self._places.__getitem__)

    def _read(self, text: str) -> list[str] | None:
        """Return the labels that a text names, in the study's order; None where it names none."""
        if text.lstrip().startswith('"'):  # a JSON string, as constrained decoding writes it
            with contextlib.suppress(orjson.JSONDecodeError):
                text = orjson.loads(text)
        words = _words(text)
        if (whole := self._labels.get(words)) is not None:
            return [whole]
        stop = next((n for n in range(len(words), 0, -1) if words[n - 1].isalnum()), 0)
        named, last = set[str](), None
        for label, end in self._mentions(words):
            named.add(label)
            last = label if end >= stop else None
        if self.spec.many:
            empty = not named and " ".join(words).strip(" .") in _EMPTY
            return sorted(named, key=self._places.__getitem__) if named or empty else None
        return list(named) if len(named) == 1 else [last] if last else None

    def _mentions(self, words: tuple[str, ...]) -> Iterator[tuple[str, int]]:
        """Name each label in a text and where it ends; of those that begin at a place the longest.

        Time is linear in the words, for a label has at most so many.
        """
        free = 0
        for place, word in enumerate(words):
            if place < free or word not in self._lengths:
                continue
            for length in self._lengths[word]:
                label = self._labels.get(words[place : place + length])
                if label is not None:
                    free = place + length
                    yield label, free
                    break

    def failures(self, pairs: Sequence[tuple[Item, Outcome]], rate: Rate) -> Mapping[str, Any]:
        """Count which labels were taken for which others, or missed and added; most first."""
        if self.spec.many:
            return {"label_errors": self._label_errors(pairs)}
        taken = Counter(
            (self._gold(item.gold)[0], str(one.answer))
            for item, one in pairs
            if one.answer is not None
        )
        wrong = [(gold, said, n) for (gold, said), n in taken.items() if gold != said]
        wrong.sort(key=lambda one: (-one[2], self._places[one[0]], self._places[one[1]]))
        return {
            "confusions": [
                {"gold": gold, "answered": said, "n": n} for gold, said, n in wrong[:_MOST_PAIRS]
            ]
        }

    def _label_errors(self, pairs: Sequence[tuple[Item, Outcome]]) -> list[dict[str, Any]]:
        counts: dict[str, Counter[str]] = {label: Counter() for label in self.spec.labels}
        for item, one in pairs:
            right, named = set(self._gold(item.gold)), one.answer
            named = set(named) if isinstance(named, list) else set()
            for key, labels in (
                ("gold", right),
                ("missed", right - named),
                ("added", named - right),
            ):
                for label in labels:
                    counts[label][key] += 1
        rows = [
            {"label": label, "gold": n["gold"], "missed": n["missed"], "added": n["added"]}
            for label, n in counts.items()
            if n["missed"] or n["added"]
        ]
        return sorted(rows, key=lambda row: -row["missed"] - row["added"])


def _recall(label: str, name: str) -> Endpoint:
    # a mitigation is divided at the end of its first sentence
    said = f"the label {label}" if re.fullmatch(r"[\w -]+", label) else "one label"
    return Endpoint(
        f"recall_{name}",
        "ratio",
        {f"hit_{name}": 1.0},
        {f"gold_{name}": 1.0},
        label=f"recall of {label}",
        meaning=f"Of the items whose right label is {label}, the share that got it.",
        mitigation=f"It misses {{loss}} more of the items of {said} than {{reference}}. "
        "Send doubtful ones to {reference}, or have a person check them.",
    )
