"""Which columns of a table hold what: as asked, or by their names where these are plain."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final

from quantrial.errors import DataError, StudyError
from quantrial.importers.log_rows import P_RIGHT, LogOptions, as_name
from quantrial.importers.table_files import ANSWER, KEYS, LINE
from quantrial.registry import hint_of
from quantrial.study.names import name_like

ARMS = ("arm", "model", "variant", "precision", "quantization", "quant")
SCORES = ("correct", "is_correct", "score", "exact_match", "acc", "accuracy", "passed", "pass",
          "success", "right", "is_right")  # fmt: skip
ANSWERS = (ANSWER, "prediction", "pred", "output", "response", "completion", "generated",
           "generation", "model_output", "text")  # fmt: skip
GOLDS = ("gold", "target", "expected", "expected_output", "label", "ground_truth",
         "correct_answer", "reference")  # fmt: skip
MOST_ARMS = 50
ERRORS = ("error", "exception")
_ARMS_IN: Final = "the arms"
_OTHER_ARMS = ", or name a file an arm (f16=a.csv q4=b.csv) or a column an arm (--score f16=COLUMN)"


@dataclass(frozen=True, slots=True)
class TableOptions(LogOptions):
    """Which columns hold what.

    Attributes:
        key: the column of the items' ids.
        arm: the column of the arms' names; None where a file is an arm, or columns are.
        scores: columns of scores, the first one primary; `arm=column` where a row holds all arms.
        outputs: the column of the answers' texts, or `arm=column` each.
        gold: the column of the right answers.
        prompt: the column of what the models were asked.
        sample: the column that tells several answers to one item apart.
        error: the column that says why there is no answer; a row where it is filled in is a fault.
        sheet: the sheet of an Excel file; the first one by default.
        scorer: scores the answers here, where no column holds scores: the name of a scorer of
            studies, or an entry of `score` of one; `exact` where only `gold_file` is given.
        gold_file: holds the right answers by the items' ids; else they are in the column `gold`.
    """

    key: str | None = None
    arm: str | None = None
    scores: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    gold: str | None = None
    prompt: str | None = None
    sample: str | None = None
    error: str | None = None
    sheet: str | None = None
    scorer: str | Mapping[str, Any] | None = None
    gold_file: Path | None = None


def table_options(options: LogOptions | None, **changes: Any) -> TableOptions:
    """Return options of any logs as those of a table, some of them changed."""
    shared = options or LogOptions()
    own = {one.name: getattr(shared, one.name) for one in fields(shared)}
    return TableOptions(**{**own, **changes})


@dataclass(frozen=True, slots=True)
class Chosen:
    """The columns of a table. `scores` and `outputs` are by arm, of the arm "" in a long one.

    Answers that are to be `judged` have no scores.
    """

    key: str
    arm: str | None
    scores: Mapping[str, tuple[str, ...]]
    outputs: Mapping[str, str]
    gold: str | None
    judged: bool
    said: str


class Columns:
    """Finds columns by what is asked, or by their names."""

    def __init__(self, names: Sequence[str], path: Path) -> None:
        self.names, self.path = names, path
        self.guessed: list[str] = []

    def choose(self, asked: TableOptions, *, alone: bool) -> Chosen:
        """Choose the columns; in a table `alone`, all rows are of one arm.

        Raises:
            DataError: a column is not there, or it is not plain which one is meant.
        """
        for option in ("prompt", "sample", "error", "stratify"):
            if (name := getattr(asked, option)) is not None:
                self.there(name, "--group" if option == "stratify" else f"--{option}")
        gold = asked.gold
        if gold is not None and asked.gold_file is None:
            self.there(gold, "--gold")
        key = self.one(asked.key, KEYS, "the items' ids", "--key")
        judged = self.is_judged(asked)
        named = asked.outputs if judged else asked.scores
        wide = not alone and asked.arm is None and self.is_wide(named, judged=judged)
        arm = None
        if not alone and not wide:
            arm = self.one(asked.arm, ARMS, _ARMS_IN, "--arm")
        outputs: dict[str, str] = {}
        if wide:
            outputs = {
                name: own[0] for name, own in self._by_arm(asked.outputs, "--output").items()
            }
        elif judged:
            first = asked.outputs[0] if asked.outputs else None
            outputs[""] = self.one(first, ANSWERS, "the answers", "--output")
        elif asked.outputs:
            outputs[""] = self.there(asked.outputs[0], "--output")
        scores: dict[str, tuple[str, ...]]
        if judged:
            scores = dict.fromkeys(outputs, ())
            if asked.gold_file is None:
                gold = self.one(gold, GOLDS, "the right answers", "--gold")
        elif wide:
            scores = self._by_arm(asked.scores, "--score")
        else:
            listed = [self.there(name, "--score") for name in asked.scores]
            scores = {"": tuple(listed or [self.one(None, SCORES, "the scores", "--score")])}
        for name in outputs:
            if name not in scores:
                hint = hint_of(name, tuple(scores), "there is: ")
                raise StudyError(f"there are no scores of {name!r}; {hint}", key="--output")
        own_gold = None if asked.gold_file is not None else gold
        return Chosen(key, arm, scores, outputs, own_gold, judged, ", ".join(self.guessed))

    def is_judged(self, asked: TableOptions) -> bool:
        """Whether answers are to be scored: as asked, or since there are only right answers."""
        if asked.scorer is not None or asked.gold_file is not None:
            if asked.scores:
                raise StudyError(
                    "answers are scored, or scores are read: leave one of the two out",
                    key="--score",
                )
            return True
        if asked.scores or self.has(SCORES) or self.of_arms():
            return False
        return bool(asked.outputs or self.has(ANSWERS)) and bool(asked.gold or self.has(GOLDS))

    def usual(self, usual: Sequence[str]) -> str | None:
        """Return the first of the usual names that a column has, as it is written."""
        plain = {name.casefold(): name for name in reversed(self.names)}
        return next((plain[name] for name in usual if name in plain), None)

    def has(self, usual: Sequence[str]) -> bool:
        """Whether a column has one of some names."""
        return self.usual(usual) is not None

    def one(self, asked: str | None, usual: Sequence[str], what: str, option: str) -> str:
        """Return the column that is asked for, or the first of the usual names that is there.

        Raises:
            DataError: there is none.
        """
        if asked is not None:
            return self.there(asked, option)
        found = self.usual(usual)
        if found is None:
            way = _OTHER_ARMS if what == _ARMS_IN else ""
            raise self._error(f"say by {option} which column holds {what}{way}; {self._listed()}")
        if found not in (LINE, ANSWER) or LINE not in self.names:
            self.guessed.append(f"{what} in {found!r}")
        return found

    def there(self, name: str, option: str) -> str:
        """Return a column that is asked for.

        Raises:
            DataError: there is none of that name; names the nearest.
        """
        if name not in self.names:
            hint = hint_of(name, self.names, "columns: ")
            raise self._error(f"there is no column {name!r} ({option}); {hint:.300}")
        return name

    def tell_arms(self) -> bool:
        """Whether a column, or several, seem to name the arms."""
        return self.is_wide(()) or self.has(ARMS)

    def is_wide(self, named: Sequence[str], *, judged: bool = False) -> bool:
        """Whether columns are named as `arm=column`, or look like the scores of arms."""
        if named:
            return all("=" in one and one not in self.names for one in named)
        return not judged and not self.has(ARMS) and len(self.of_arms()) > 1

    def of_arms(self) -> dict[str, tuple[str, ...]]:
        """Return columns such as `correct_f16` and `correct_q4`, or `f16_correct`, by arm."""
        for usual in SCORES:
            for pattern in (rf"{usual}[\W_](.+)", rf"(.+)[\W_]{usual}"):
                found: dict[str, tuple[str, ...]] = {
                    name_like(match[1]): (name,)
                    for name in self.names
                    if (match := re.fullmatch(pattern, name, re.IGNORECASE))
                }
                if len(found) > 1:
                    return found
        return {}

    def _by_arm(self, given: Sequence[str], option: str) -> dict[str, tuple[str, ...]]:
        if not given and option == "--score":
            found = self.of_arms()
            if len(found) > MOST_ARMS:
                raise self._error(
                    f"{len(found):,} columns look like scores of arms; name those to compare by "
                    "--score f16=COLUMN"
                )
            self.guessed.append(
                "the scores in " + ", ".join(f"{own[0]!r}" for own in found.values())
            )
            return found
        named: dict[str, tuple[str, ...]] = {}
        for text in given:
            arm, equals, column = text.partition("=")
            if not arm or not equals:
                raise StudyError(
                    f"each arm has a column of its own: {option} f16=COLUMN; got {text!r:.60}",
                    key=option,
                )
            named[arm] = (*named.get(arm, ()), self.there(column, option))
        if len(set(map(len, named.values()))) > 1:
            raise StudyError("every arm needs as many columns as the others", key=option)
        return named

    def _listed(self) -> str:
        return f"columns: {', '.join(map(repr, self.names))}"[:300]

    def _error(self, message: str) -> DataError:
        return DataError(message, path=self.path, line=1)


def metrics_of(scores: Mapping[str, Sequence[str]]) -> list[str]:
    """Name the metrics: a column's name, or what the columns of all arms have in common.

    Raises:
        StudyError: two have the same name.
    """
    named: list[str] = []
    for columns in zip(*scores.values(), strict=True):
        words = [re.findall(r"[A-Za-z0-9]+", column) for column in columns]
        shared = [word for word in words[0] if all(word in other for other in words)]
        name = as_name(columns[0] if len(columns) == 1 else "_".join(shared) or "score")
        named.append(f"{name}_score" if name == P_RIGHT else name)
    if len(set(named)) < len(named):
        raise StudyError(f"two scores would be named alike: {', '.join(named)}", key="--score")
    return named
