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
from quantrial.tasks.base import Endpoint, FailureMode, Outcome, Rate
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

_MOST_RECALLS = 25  # labels whose recall is tested each; of more, of none
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
BY_LABEL = FailureTable(
    "right answers on {task}, by label",
    (
        FailureColumn("label", "label", form="text"),
        FailureColumn("n", "items", "answered items whose right label it is"),
        FailureColumn("right", "right"),
        FailureColumn("rate", "recall", "share of these items that got the label", form="share"),
        FailureColumn("ci", "interval", form="interval"),
        FailureColumn("added", "given wrongly", "given to an item of another label"),
    ),
    rows="labels",
    most=25,
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
    """All labels that there are. With at most 25, the recall of each is tested as a failure mode,
    such as `recall_billing`."""
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
    compares = True

    def __init__(self, spec: LabelPart):
        super().__init__(spec)
        self._labels = {_words(label): label for label in spec.labels}
        self._places = {label: place for place, label in enumerate(spec.labels)}
        self._lengths: dict[str, list[int]] = {}  # of the labels that a word begins, longest first
        for word, length in sorted({(one[0], len(one)) for one in self._labels}, reverse=True):
            self._lengths.setdefault(word, []).append(length)
        self.endpoints = (LABELS_F1, ALL_LABELS) if spec.many else (ACCURACY,)
        self.right = self.endpoints[-1].name
        self.failure_tables = (BY_LABEL,) if spec.many else (BY_LABEL, CONFUSIONS)
        tested = spec.labels if len(spec.labels) <= _MOST_RECALLS else ()
        self.failure_modes = [self._recall(*named) for named in plain_names(tested).items()]

    def check(self, gold: Any) -> None:
        """Refuse what is none of the labels."""
        self._gold(gold)

    def chance(self, golds: Sequence[Any]) -> float | None:
        """Accuracy of naming any one label blindly; None of several labels."""
        return None if self.spec.many else 1 / len(self.spec.labels)

    def example(self, gold: Any) -> str:
        """Name each right label; `none` where there is none."""
        return ", ".join(self._gold(gold)) or "none"

    def schema(self) -> Mapping[str, Any]:
        """Hold decoding to one label in quotes, or to a list of them."""
        one = {"type": "string", "enum": list(self.spec.labels)}
        if not self.spec.many:
            return one
        # llama.cpp knows no `uniqueItems`, and would hold the answer to nothing at all
        return {"type": "array", "items": one, "maxItems": len(self.spec.labels)}

    def as_gold(self, text: str, said: Said) -> Any:
        """Return the labels that an answer names."""
        if (found := self._read(text)) is None:
            raise ValueError("it names no label")
        return found if self.spec.many else found[0]

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
        """Count the right answers by label, and which label was taken for which; worst first."""
        there, right, added = Counter[str](), Counter[str](), Counter[str]()
        taken = Counter[tuple[str, str]]()
        for item, one in pairs:
            gold, named = self._gold(item.gold), _named(one.answer)
            there.update(gold)
            right.update(label for label in gold if label in named)
            added.update(label for label in named if label not in gold)
            if not self.spec.many:
                taken.update((gold[0], label) for label in named if label != gold[0])
        labels = sorted(
            self.spec.labels, key=lambda label: right[label] - there[label] - added[label]
        )
        place = self._places
        confusions = sorted(taken, key=lambda pair: (-taken[pair], *map(place.__getitem__, pair)))
        return {
            "labels": [
                {
                    "label": label,
                    "n": there[label],
                    "right": right[label],
                    **rate(right[label], there[label]),
                    "added": added[label],
                }
                for label in labels
                if there[label] or added[label]
            ],
            "confusions": [
                {"gold": pair[0], "answered": pair[1], "n": taken[pair]}
                for pair in confusions[:_MOST_PAIRS]
            ],
        }

    def _recall(self, label: str, name: str) -> FailureMode:
        # a mitigation is divided at the end of its first sentence
        said = f"the label {label}" if re.fullmatch(r"[\w -]+", label) else "one label"
        return FailureMode(
            f"recall_{name}",
            lambda _task, _item, outcome: label not in _named(outcome.answer),
            lambda item: label in self._gold(item.gold),
            label=f"recall of {label}",
            meaning=f"Of the items whose right label is {label}, the share that got it.",
            mitigation=f"It misses {{loss}} more of the items of {said} than {{reference}}. "
            "Send doubtful ones to {reference}, or have a person check them.",
        )


def _named(answer: object) -> Sequence[str]:
    """Return the labels of what an answer was understood as."""
    return answer if isinstance(answer, list) else [] if answer is None else [str(answer)]
