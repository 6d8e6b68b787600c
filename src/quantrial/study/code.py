"""What in a study runs code on the machine of whoever runs it: one list, for every command.

A study may be somebody else's. What it names here runs only where the user's own command line says
`--allow-code`; in Python, who calls `run` has said so. An engine of an installed package is not
among it: installing it was the choice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from quantrial.inert import clean
from quantrial.records import canonical_json, sha256_of
from quantrial.study.scoring import ScoredPart, ScorerFile, ScorerPart

if TYPE_CHECKING:
    from quantrial.study.model import Study

# `score` is whatever scores answers: analyze, verify, compare, ...
Command = Literal["plan", "run", "score"]
BeforeCode = Callable[["Study"], None]  # called before any of it is run; raises to refuse it
FLAG = "--allow-code"
SCRIPTED = "scripted"
_LONGEST = 300  # characters of what would run, in a message
_NAMED = 20  # of such in a message
_LINES = 300  # of a file in a message


@dataclass(frozen=True, slots=True)
class Code:
    """Something that runs: the key that names it, what it is, and the hash of all of that.

    `commands` are those that would run it. `plan` is one of them only where it times calls.
    `file` holds the code itself, where it is a file of the study; such code scores answers.
    """

    key: str
    runs: str
    sha256: str
    commands: tuple[Command, ...]
    file: ScorerFile | None = None

    def recorded(self) -> dict[str, Any]:
        """Return it as the manifest holds it."""
        return {"key": self.key, "runs": self.runs, "sha256": self.sha256}


def code_in(study: Study, command: Command | None = None) -> tuple[Code, ...]:
    """List what in a study runs code, in the order of the study.

    Args:
        study: the study.
        command: only what this command would run; everything by default.
    """
    found = (code for finder in _FINDERS for code in finder(study))
    return tuple(code for code in found if command is None or command in code.commands)


def listed(codes: tuple[Code, ...]) -> list[str]:
    """Write each on a line of its own: the key, and what would run."""
    lines = [f"{code.key}: {code.runs}" for code in codes[:_NAMED]]
    more = len(codes) - _NAMED
    return [*lines, f"and {more} more"] if more > 0 else lines


def texts(codes: tuple[Code, ...]) -> list[str]:
    """Write the code itself, where it stands in files of the study: each file once, indented."""
    found = []
    for file in dict.fromkeys(code.file for code in codes if code.file is not None):
        lines = file.text.splitlines()
        more = [f"... and {len(lines) - _LINES:,} more lines"] if len(lines) > _LINES else []
        cut = [line[:_LONGEST] for line in lines[:_LINES]] + more
        found.append("".join(f"\n    {line}" for line in (f"# {file.name}", *cut)))
    return found


def _scripted(study: Study) -> Iterator[Code]:
    """List arms that a script answers: it waits, fails and writes a log as the study says."""
    for name, arm in study.arms.items():
        if arm.engine != SCRIPTED:
            continue
        said = {"engine": arm.engine, "model": arm.model, "options": arm.options}
        options = clean(canonical_json(arm.options).decode())
        cut = options if len(options) <= _LONGEST else f"{options[:_LONGEST]}..."
        yield Code(
            f"arms.{name}.engine",
            f"the engine `scripted`, with the options {cut}",
            sha256_of(said),
            ("plan", "run"),
        )


def _scorers(study: Study) -> Iterator[Code]:
    """List scorers that are functions in files of the study."""
    for key, part in _with_files(study):
        if part.code is not None:
            runs = f"the function {part.function} of {part.runs}"
            yield Code(key, runs, part.code.sha256, ("run", "score"), part.code)


# One entry each: what else comes to run code (the command line of a server) is found here, and
# every command asks for it.
_FINDERS: tuple[Callable[[Study], Iterator[Code]], ...] = (_scripted, _scorers)


def _with_files(study: Study) -> Iterator[tuple[str, ScorerPart]]:
    for name, task in study.tasks.items():
        parts: Sequence[ScorerPart] = task.score if isinstance(task, ScoredPart) else ()
        for number, part in enumerate(parts):
            if part.runs is not None:
                yield f"tasks.{name}.score.{number}", part


def scorer_files(study: Study) -> dict[str, ScorerFile]:
    """Return the files of Python that a study scores by, by the names of their copies in a run."""
    found = (part.code for _, part in _with_files(study))
    return {Path(file.name).name: file for file in found if file is not None}
