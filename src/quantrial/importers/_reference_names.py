"""What the files of the reference layout are called, and what their tasks are called here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from quantrial.errors import StudyError
from quantrial.study.names import is_name

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
