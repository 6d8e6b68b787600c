"""Files of answers to items: which arm answered which example, agreed on by all of them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from quantrial.errors import StudyError
from quantrial.importers._reference_rows import AnswerFile, AnswerRow
from quantrial.records import Item, content_hash
from quantrial.study.names import is_name
from quantrial.tasks.answer import read_answer, with_thought
from quantrial.tasks.choice import LETTERS
from quantrial.tasks.spans import gold_spans

if TYPE_CHECKING:
    from quantrial.tasks import Task

ID_LENGTH = 16
SUBJECT = "subject"
_TOLERANCE = 1e-6
_FEWEST_OPTIONS = 4
KINDS = ("choice", "spans")
_FORM = "OLD=name:kind:workload"


@dataclass(frozen=True, slots=True)
class NamedTask:
    """One task of a layout.

    Attributes:
        prefix: what its files begin with: `<prefix>_<arm>.jsonl`.
        name: its name in the study.
        kind: `choice` (a letter answers) or `spans` (an array of entities).
        workload: the class of work that it stands for.
    """

    prefix: str
    name: str
    kind: str
    workload: str


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

    `disagreeing` names the metadata, and the texts of items, that differ between arms: they are
    none of the item's.
    """

    named: NamedTask
    items: Mapping[str, Item]
    files: Mapping[str, AnswerFile]
    disagreeing: tuple[str, ...]

    @property
    def task(self) -> str:
        """Its name in the study."""
        return self.named.name

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
            not _same_gold(self.named.kind, row.gold, file.rows[row.example_id].gold)
            for _, file, row in self.duplicates()
        )

    def score_differences(self, task: Task) -> list[ScoreDifference]:
        """Score every answer and list where the recorded score is another one."""
        score = "f1" if self.named.kind == "spans" else "correct"
        found = []
        for arm, file in self.files.items():
            for row in file.rows.values():
                if not row.answered or row.score is None:
                    continue
                said, finish = row.response, row.response.finish_reason
                answer = read_answer(said.output, finish_reason=finish)
                answer = with_thought(answer, said.thought, finish)
                derived = task.score(self.items[row.example_id], answer).values[score]
                if not math.isclose(row.score, derived, rel_tol=0, abs_tol=_TOLERANCE):
                    found.append(
                        ScoreDifference(self.task, arm, row.example_id, row.score, derived)
                    )
        return found


def align(named: NamedTask, files: Mapping[str, AnswerFile]) -> TaskAnswers:
    """Make the items of a task from the rows of all arms.

    Args:
        named: what it is called, and its kind.
        files: the file of each arm, the reference's first; items stand in the order of first
            appearance in it, then in the others.

    Raises:
        DataError: two arms have another gold, or another subject, for the same example.
    """
    first: dict[str, tuple[str, AnswerRow]] = {}
    metadata: dict[str, dict[str, str]] = {}
    texts: dict[str, dict[str, Any]] = {}
    disagreeing: dict[str, set[str]] = {}
    for arm, file in files.items():
        for key, row in file.rows.items():
            earlier_arm, earlier = first.setdefault(key, (arm, row))
            if not _same_gold(named.kind, row.gold, earlier.gold):
                raise file.error(
                    row,
                    f"example {key!r} has gold {row.gold!r:.60}, but {earlier.gold!r:.60} in "
                    f"{files[earlier_arm].path.name}, line {earlier.line}",
                )
            for name, value in row.texts.items():
                if texts.setdefault(key, {}).setdefault(name, value) != value:
                    disagreeing.setdefault(name, set()).add(key)
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
    letters = _letters([row.gold for _, row in first.values()]) if named.kind == "choice" else []
    items = {}
    for key, (arm, row) in first.items():
        own = texts.get(key, {}).items()
        shown = {n: value for n, value in own if key not in disagreeing.get(n, ())}
        content: dict[str, Any] = {"example_id": key, **shown}
        if letters and not _are_options(content.get("options"), row.gold):
            content["options"] = letters
        digest = content_hash(content, row.gold)
        items[key] = Item(
            task=named.name,
            id=digest[:ID_LENGTH],
            content=content,
            gold=row.gold,
            metadata=kept[key] | {"example_id": key},
            source=f"{files[arm].path.name}:{row.line}",
            content_sha256=digest,
        )
    return TaskAnswers(named, items, files, tuple(sorted(disagreeing)))


def _are_options(value: Any, gold: Any) -> bool:
    """Whether a log's own options can be chosen from: texts, of which the gold names one."""
    texts = isinstance(value, list) and all(isinstance(one, str) for one in value)
    return texts and LETTERS.index(gold) < len(value) <= len(LETTERS)


def _letters(golds: Sequence[Any]) -> list[str]:
    last = max(LETTERS.index(gold) for gold in golds)
    return list(LETTERS[: max(_FEWEST_OPTIONS, last + 1)])


def _same_gold(kind: str, one: Any, other: Any) -> bool:
    if kind == "spans":
        return gold_spans(one) == gold_spans(other)
    return bool(one == other)


def counted(n: int, one: str, many: str) -> str:
    """Put a count before the words that go with it."""
    return f"{n} {one if n == 1 else many}"


def notes_of(answers: TaskAnswers, compared: Sequence[ScoreDifference]) -> Iterator[str]:
    """Say in sentences what a reader of the imported run should know about one task."""
    for arm, file in answers.files.items():
        different = sum(one.arm == arm for one in compared)
        for sentence in _file_notes(file, len(answers.items), different):
            yield f"{file.path.name}: {sentence}"
    if changed := answers.regolded():
        rows = counted(changed, "replaced row has", "replaced rows have")
        yield (
            f"{answers.task}: {rows} another gold than the row that counts, so "
            f"{'its' if changed == 1 else 'their'} example_id may stand for two examples."
        )
    if answers.disagreeing:
        yield (
            f"{answers.task}: these differ between arms and are not kept as facts of the item: "
            f"{', '.join(answers.disagreeing)}."
        )


def _file_notes(file: AnswerFile, examples: int, different: int) -> Iterator[str]:
    if absent := examples - len(file.rows):
        yield f"{absent} of {examples} examples {'has' if absent == 1 else 'have'} no row."
    yield from _fault_notes([row for row in file.rows.values() if not row.answered])
    if file.ignored:
        yield f"these keys are not kept: {', '.join(sorted(file.ignored))}."
    if file.not_finite:
        rows = counted(len(file.not_finite), "row", "rows")
        yield f"NaN or Infinity is read as null in {rows}, first in line {file.not_finite[0]}."
    if unscored := sum(row.answered and row.score is None for row in file.rows.values()):
        rows = counted(unscored, "answer has", "answers have")
        yield f"{rows} no recorded score to compare with."
    if different:
        scores = counted(different, "recorded score differs", "recorded scores differ")
        yield f"{scores} from the re-derived ones."
    if file.superseded:
        rows = counted(len(file.superseded), "row repeats", "rows repeat")
        yield f"{rows} an example; the last one counts."


def _fault_notes(faults: Sequence[AnswerRow]) -> Iterator[str]:
    # an error's own message may differ from row to row; the status before it says enough
    statuses = [str(row.response.error).partition(": ")[0] for row in faults]
    for status, n in sorted(Counter(statuses).items()):
        own = [row for row, said in zip(faults, statuses, strict=True) if said == status]
        held = sum(bool(row.response.output) for row in own)
        single = n == 1
        said = (
            f"{counted(n, 'answer has', 'answers have')} status {status!r} and "
            f"{'counts as a fault' if single else 'count as faults'}, not as wrong"
        )
        if held:
            said += ", though its text is there" if single else f", though {held} hold text"
        yield f"{said}."


# what the layout was published with; somebody's own tasks are named by whoever imports them
PUBLISHED = (
    NamedTask("mmlu", "mmlu", "choice", "reasoning"),
    NamedTask("extraction", "extraction", "spans", "extraction"),
)


def parse_named_task(text: str) -> NamedTask:
    """Read `OLD=name:kind:workload`, such as `tickets=routing:choice:support`.

    Raises:
        StudyError: the text is of another form, or there is no such kind.
    """
    prefix, _, rest = text.partition("=")
    parts = rest.split(":")
    if not prefix or len(parts) != 3 or not all(parts):
        raise StudyError(
            f"{text!r:.80} is not of the form {_FORM}, such as tickets=routing:choice:support",
            key="name-task",
        )
    name, kind, workload = parts
    if kind not in KINDS:
        raise StudyError(
            f"{kind!r:.40} in {text!r:.80} is no kind of task; there are {', '.join(KINDS)}",
            key="name-task",
        )
    if not is_name(name):
        raise StudyError(
            f"{name!r:.80} is no name of a task: letters, digits, `_` and `-`, 64 at most, and no "
            "device of Windows (`con`, `nul`)",
            key="name-task",
        )
    return NamedTask(prefix, name, kind, workload)


def chosen_tasks(named: Sequence[NamedTask], selected: Sequence[str]) -> tuple[NamedTask, ...]:
    """Return the tasks to read: those named, and those published; of them the selected alone.

    A task is selected by its name or by the prefix of its files.

    Raises:
        StudyError: two tasks of one name or prefix, or a selection that is none of them.
    """
    own = {one.prefix for one in named}
    tasks = (*named, *(one for one in PUBLISHED if one.prefix not in own))
    for key in ("prefix", "name"):
        seen = [getattr(one, key) for one in tasks]
        if twice := sorted({one for one in seen if seen.count(one) > 1}):
            said = f"two tasks have the {key} {twice[0]!r}; name another"
            raise StudyError(said, key="name-task")
    for wanted in selected:
        if all(wanted not in (one.name, one.prefix) for one in tasks):
            known = ", ".join(one.name for one in tasks)
            raise StudyError(
                f"there is no task {wanted!r:.60}; there are {known}. `--name-task {_FORM}` names "
                "files of another task",
                key="task",
            )
    if not selected:
        return tasks
    return tuple(one for one in tasks if one.name in selected or one.prefix in selected)


def task_of_file(stem: str, tasks: Sequence[NamedTask]) -> tuple[NamedTask, str] | None:
    """Return the task and the arm that a file's name says; None where it says none.

    The longest prefix counts: `mmlu_pro_q4` is of `mmlu_pro` where there is such a task.
    """
    for task in sorted(tasks, key=lambda one: -len(one.prefix)):
        if stem.startswith(f"{task.prefix}_") and len(stem) > len(task.prefix) + 1:
            return task, stem[len(task.prefix) + 1 :]
    return None
