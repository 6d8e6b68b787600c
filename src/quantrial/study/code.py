"""What in a study runs code on the machine of whoever runs it: one list, for every command.

A study may be somebody else's. What it names here runs only where the user's own command line says
`--allow-code`; in Python, who calls `run` has said so. An engine of an installed package is not
among it: installing it was the choice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from quantrial.inert import clean
from quantrial.records import canonical_json, sha256_of

if TYPE_CHECKING:
    from quantrial.study.model import Study

Command = Literal["plan", "run", "analyze", "decide", "report", "compare", "verify", "power"]
BeforeCode = Callable[["Study"], None]  # called before any of it is run; raises to refuse it
FLAG = "--allow-code"
SCRIPTED = "scripted"
_LONGEST = 300  # characters of what would run, in a message
_NAMED = 20  # of such in a message


@dataclass(frozen=True, slots=True)
class Code:
    """Something that runs: the key that names it, what it is, and the hash of all of that.

    `commands` are those that would run it. `plan` is one of them only where it times calls.
    """

    key: str
    runs: str
    sha256: str
    commands: tuple[Command, ...]

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


# One entry each: what else comes to run code (a scorer in Python, the command line of a server)
# is found here, and every command asks for it.
_FINDERS: tuple[Callable[[Study], Iterator[Code]], ...] = (_scripted,)
