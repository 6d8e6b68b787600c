"""The parts `read:` and `score:` of a task of free text: how an answer is read, and scored."""

from __future__ import annotations

import ast
import hashlib
import re
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from quantrial.inert import clean
from quantrial.registry import SCORERS, hint_of
from quantrial.study.names import Name
from quantrial.study.parts import OneOf, Part

NO_GOLD = "none"  # in place of the field that holds what is right
AGREEMENT: Mapping[str, Any] = {"against": "reference"}  # marks measures of a task without gold
LONGEST_PATTERN = 2000  # characters: a range of letters in any case takes long to compile
READS = ("strip", "json", "fenced")


@dataclass(frozen=True, slots=True)
class ScorerFile:
    """A file of Python that a study names: its name as the study writes it, and what it says.

    What is shown, hashed and run is this text: the file is read once.
    """

    name: str
    text: str

    @property
    def sha256(self) -> str:
        """The hash of the text."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    def require(self, function: str) -> None:
        """Make sure that it is Python and names a function so; nothing of it is run.

        Raises:
            ValueError: it is not, or does not.
        """
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # they are for its author
                tree = ast.parse(self.text)
        except (SyntaxError, ValueError, RecursionError, MemoryError) as exc:
            line = f", line {exc.lineno}" if isinstance(exc, SyntaxError) else ""
            said = clean(f"{getattr(exc, 'msg', exc)}")
            raise ValueError(f"{self.name}{line} is no Python: {said}") from exc
        functions = [one.name for one in tree.body if isinstance(one, ast.FunctionDef)]
        others = [one for one in tree.body if not isinstance(one, ast.FunctionDef)]
        # it may come otherwise, as by `score = partial(...)` or an import
        if function not in functions and not any(
            re.search(rf"\b{function}\b|import \*", ast.unparse(one)) for one in others
        ):
            hint = hint_of(function, functions, "it has: ") if functions else "it has none"
            raise ValueError(f"{self.name} has no function {function!r}; {hint}")


class ScorerPart(Part):
    """What every scorer says: its name in the registry, and perhaps one of its own.

    `short` names the key that a plain value in place of the options stands for: `regex: "[0-9]+"`.
    """

    short: ClassVar[str | None] = None
    scorer: str
    """Which scorer it is."""
    name: Name | None = None
    """The name of its endpoints, if a task has two scorers of one sort."""

    @property
    def runs(self) -> str | None:
        """The file of Python that it runs, as the study writes it; None for none."""
        return None

    @property
    def function(self) -> str:
        """The function of that file."""
        return ""

    @property
    def code(self) -> ScorerFile | None:
        """What that file says; None where the study was read without the files that it names."""
        return None

    def whole(self, read: Callable[[str], bytes]) -> Self:
        """Return the same with what its files say: in place of their names, or beside them.

        Args:
            read: reads a file by its name, from the folder of the study.

        Raises:
            ValueError: a file does not hold what it should.
        """
        return self


def _entry(value: Any) -> Any:
    """Write an entry of `score` in full: `exact`, `{number: {abs: 0.1}}`, `{regex: "[0-9]+"}`."""
    if isinstance(value, str):
        return {"scorer": value}
    if not isinstance(value, Mapping) or "scorer" in value or not value:
        return value
    if len(value) > 1:
        if (known := next((key for key in value if key in SCORERS.names()), None)) is None:
            return value
        others = ", ".join(str(key) for key in value if key != known)
        raise ValueError(
            f"{others:.60} must stand within the scorer's options: write "
            f"`{{scorer: {known}, ...}}` and each option by its name"
        )
    ((name, options),) = value.items()
    if options is None:
        return {"scorer": name}
    if isinstance(options, Mapping):
        return {"scorer": name, **options}
    known = name in SCORERS.names()
    short = SCORERS.load(name).part.short if known else None
    if known and short is None:
        raise ValueError(
            f"{name} takes options by name, such as `{name}: {{...}}`; got {options!r:.60}"
        )
    return {"scorer": name, (short or "options"): options}


Scoring = Annotated[ScorerPart, OneOf(SCORERS, "scorer"), BeforeValidator(_entry)]


class ReadStep(Part):
    """One step from an answer to what is scored; one of the keys is given."""

    step: Literal["strip", "json", "fenced"] | None = None
    """`strip`: the text without white space around it. `json`: the first whole JSON value in it.
    `fenced`: the text of the last fenced block of code."""
    regex: str | None = Field(default=None, max_length=LONGEST_PATTERN)
    """Take the match of this pattern's first group, or the whole match if it has no group."""
    take: Literal["first", "last"] = "first"
    """Which match of `regex` counts."""
    after: str | None = None
    """What follows the last mention of this text."""

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        given = [name for name in ("step", "regex", "after") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(
                "needs one of strip, json, fenced, {regex: ...} and {after: ...}; "
                f"got {' and '.join(given) or 'none'}"
            )
        if self.after == "":
            raise ValueError("`after` is empty; needed is a text that stands before the answer")
        if self.regex is not None:
            try:
                re.compile(self.regex)
            except (re.error, RecursionError, OverflowError) as exc:
                raise ValueError(f"regex is no regular expression: {exc}") from exc
        return self


def _step(value: Any) -> Any:
    return {"step": value} if isinstance(value, str) else value


def _steps(value: Any) -> Any:
    return value if isinstance(value, (list, tuple)) else [value]


Reads = Annotated[
    tuple[Annotated[ReadStep, BeforeValidator(_step)], ...],
    BeforeValidator(_steps),
    Field(max_length=8),
]


def measures_of(parts: Iterable[ScorerPart]) -> tuple[Mapping[str, Any], ...]:
    """Write entries of `score` as plain JSON."""
    return tuple(part.model_dump(mode="json", exclude_defaults=True) for part in parts)


class ScoredPart(Part):
    """The key `score`, which comes before margins: these are of its endpoints."""

    score: tuple[Scoring, ...] = Field(min_length=1, max_length=8)
    """How answers are scored, a list; the first is primary: `[exact, token_f1]`,
    `[{number: {abs: 0.01}}]`, `[{python: "my_scorers.py:score"}]`."""

    @model_validator(mode="after")
    def _apart(self) -> Self:
        names = [part.name or part.scorer for part in self.score]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(
                    f"score has two entries named {name!r}: give one of them another `name`"
                )
        return self
