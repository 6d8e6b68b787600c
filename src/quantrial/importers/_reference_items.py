"""Files of answers to items: which arm answered which example, agreed on by all of them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from quantrial.importers._reference_rows import KINDS, AnswerFile, AnswerRow
from quantrial.records import Item, content_hash
from quantrial.tasks.choice import LETTERS
from quantrial.tasks.spans import gold_spans

if TYPE_CHECKING:
    from quantrial.tasks import Task

ID_LENGTH = 16
SUBJECT = "subject"
_TOLERANCE = 1e-6
_FEWEST_OPTIONS = 4


@dataclass(frozen=True, slots=True)
class ScoreDifference:
    """A recorded score that is not what scoring the recorded output gives."""

    task: str
    arm: str
    example_id: str
    recorded: float
    derived: float

    def __str__(self) -> str:
        return (
            f"{self.task}.{self.arm}: example {self.example_id}: recorded {self.recorded:g}, "
            f"derived {self.derived:g}"
        )


@dataclass(frozen=True, slots=True)
class TaskAnswers:
    """One task: its items by example id, in order, and the file of each arm that has one.

    `disagreeing` names the metadata that differs between arms, which is none of the item's.
    """

    task: str
    items: Mapping[str, Item]
    files: Mapping[str, AnswerFile]
    disagreeing: tuple[str, ...]

    @property
    def rows(self) -> Iterator[AnswerRow]:
        """Every row that counts."""
        return (row for file in self.files.values() for row in file.rows.values())

    @property
    def without_subject(self) -> int:
        """How many of the rows name no subject."""
        return sum(not row.metadata.get(SUBJECT) for row in self.rows)

    def duplicates(self) -> list[tuple[str, AnswerFile, AnswerRow]]:
        """List the rows that a later one of the same example replaces: arm, file, row."""
        return [(arm, file, row) for arm, file in self.files.items() for row in file.superseded]

    def regolded(self) -> int:
        """Count the replaced rows that had another gold than the row that counts."""
        return sum(
            not _same_gold(self.task, row.gold, file.rows[row.example_id].gold)
            for _, file, row in self.duplicates()
        )

    def score_differences(self, task: Task) -> list[ScoreDifference]:
        """Score every answer and list where the recorded score is another one."""
        score = "f1" if KINDS[self.task] == "spans" else "correct"
        found = []
        for arm, file in self.files.items():
            for row in file.rows.values():
                if row.status != "ok" or row.score is None:
                    continue
                derived = task.score(self.items[row.example_id], row.output).values[score]
                if not math.isclose(row.score, derived, rel_tol=0, abs_tol=_TOLERANCE):
                    found.append(
                        ScoreDifference(self.task, arm, row.example_id, row.score, derived)
                    )
        return found


def align(task: str, files: Mapping[str, AnswerFile]) -> TaskAnswers:
    """Make the items of a task from the rows of all arms.

    Args:
        task: its name.
        files: the file of each arm, the reference's first; items stand in the order of first
            appearance in it, then in the others.

    Raises:
        DataError: two arms have another gold, or another subject, for the same example.
    """
    first: dict[str, tuple[str, AnswerRow]] = {}
    metadata: dict[str, dict[str, str]] = {}
    disagreeing: dict[str, set[str]] = {}
    for arm, file in files.items():
        for key, row in file.rows.items():
            earlier_arm, earlier = first.setdefault(key, (arm, row))
            if not _same_gold(task, row.gold, earlier.gold):
                raise file.error(
                    row,
                    f"example {key!r} has gold {row.gold!r:.60}, but {earlier.gold!r:.60} in "
                    f"{files[earlier_arm].path.name}, line {earlier.line}",
                )
            known = metadata.setdefault(key, {})
            for name, value in row.metadata.items():
                if known.setdefault(name, value) == value:
                    continue
                if name == SUBJECT:
                    raise file.error(
                        row,
                        f"example {key!r} has subject {value!r:.60}, but {known[name]!r:.60} in "
                        "another arm's file",
                    )
                disagreeing.setdefault(name, set()).add(key)
    # what differs between arms for one example is no fact about any example
    kept = {
        key: {name: value for name, value in known.items() if name not in disagreeing}
        for key, known in metadata.items()
    }
    letters = _letters([row.gold for _, row in first.values()]) if KINDS[task] == "choice" else []
    items = {
        key: _item(task, row, files[arm], letters, kept[key]) for key, (arm, row) in first.items()
    }
    return TaskAnswers(task, items, files, tuple(sorted(disagreeing)))


def _item(
    task: str, row: AnswerRow, file: AnswerFile, letters: Sequence[str], metadata: dict[str, str]
) -> Item:
    content: dict[str, Any] = {"example_id": row.example_id}
    if KINDS[task] == "choice":
        content["options"] = list(letters)
    digest = content_hash(content, row.gold)
    return Item(
        task=task,
        id=digest[:ID_LENGTH],
        content=content,
        gold=row.gold,
        metadata=metadata | {"example_id": row.example_id},
        source=f"{file.path.name}:{row.line}",
        content_sha256=digest,
    )


def _letters(golds: Sequence[Any]) -> list[str]:
    last = max(LETTERS.index(gold) for gold in golds)
    return list(LETTERS[: max(_FEWEST_OPTIONS, last + 1)])


def _same_gold(task: str, one: Any, other: Any) -> bool:
    if KINDS[task] == "spans":
        return gold_spans(one) == gold_spans(other)
    return bool(one == other)


def notes_of(answers: TaskAnswers, compared: Sequence[ScoreDifference]) -> Iterator[str]:
    """Say in sentences what a reader of the imported run should know about one task."""
    task = answers.task
    for arm, file in answers.files.items():
        name = file.path.name
        if absent := len(answers.items) - len(file.rows):
            yield f"{name}: {absent} of {len(answers.items)} examples have no row."
        faults = [row for row in file.rows.values() if row.status != "ok"]
        for status, n in sorted(Counter(str(row.error) for row in faults).items()):
            held = sum(bool(row.output) for row in faults if row.error == status)
            yield (
                f"{name}: {n} answers have status {status!r} and count as faults, not as wrong"
                + (f"; {held} of them hold text." if held else ".")
            )
        if file.ignored:
            yield f"{name}: these keys are not kept: {', '.join(sorted(file.ignored))}."
        if file.not_finite:
            yield (
                f"{name}: NaN or Infinity is read as null in {len(file.not_finite)} rows, "
                f"first in line {file.not_finite[0]}."
            )
        unscored = sum(row.status == "ok" and row.score is None for row in file.rows.values())
        if unscored:
            yield f"{name}: {unscored} answers have no recorded score to compare with."
        if differing := sum(one.arm == arm for one in compared):
            yield f"{name}: {differing} recorded scores differ from the re-derived ones."
        if file.superseded:
            yield f"{name}: {len(file.superseded)} rows repeat an example; the last one counts."
    if changed := answers.regolded():
        yield (
            f"{task}: {changed} of the replaced rows have another gold than the row that counts: "
            "their example_id may stand for two examples."
        )
    if answers.disagreeing:
        yield (
            f"{task}: this metadata differs between arms and is not kept: "
            f"{', '.join(answers.disagreeing)}."
        )
