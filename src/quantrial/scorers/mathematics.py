"""Whether a mathematical expression has the right value: math-verify, in a process with limits."""

from __future__ import annotations

import functools
import importlib.util
import re
from collections.abc import Mapping
from typing import Any, Literal

from quantrial.errors import MissingExtraError, ScoringLimitError
from quantrial.scorers.base import Said, Score, Scorer, ScorerPart
from quantrial.scorers.exact import aliases
from quantrial.scorers.guarded import Guarded, Limits
from quantrial.system import can_limit_memory
from quantrial.tasks.base import Endpoint

# of computing: what people and models write takes at most a few tenths
_LIMITS = Limits(seconds=5.0, cpu=0.9, memory=2**31 if can_limit_memory() else None)
_MOST = 5_000  # characters at the end of an answer that are read
_SHOWN = 200  # characters of the expression that was read
_NUMBER = re.compile(r"-?[0-9]{1,15}(?:\.[0-9]{1,15})?")

MATH = Endpoint(
    "math",
    "proportion",
    {"correct": 1.0},
    label="mathematically right",
    meaning="The share of answers whose mathematical expression has the right value, however it "
    "is written.",
)


class MathPart(ScorerPart):
    r"""The answer's mathematical expression has the right value, however it is written.

    `1/2`, `0.5` and `$\frac{1}{2}$` are the same. The content of `\boxed{}` is read, else the text
    between signs of LaTeX, else the last number. The right answer is LaTeX, with or without `$`.
    Only the last 5,000 characters are read. An answer that takes more than a second to compare
    counts as not readable. Needs the extra `math`.
    """

    scorer: Literal["math"]


class Math(Scorer):
    """Whether answer and gold are mathematically the same."""

    part = MathPart
    endpoints = (MATH,)
    right = MATH.name
    scored_by = (
        "quantrial.scorers.exact",
        "quantrial.scorers.guarded",
        "math_verify.parser",
        "math_verify.grader",
    )

    def check(self, gold: Any) -> None:
        """Refuse what holds no expression."""
        texts = aliases(gold)
        _need()
        for text in texts:
            if not _NUMBER.fullmatch(text) and not _read(text):
                raise ValueError(
                    f"{text!r:.60} cannot be read as mathematics; write it as LaTeX, such as "
                    r"'\frac{1}{2}'"
                )

    def score(self, gold: Any, text: str, said: Said) -> Score:
        """1 for an expression that equals one that is right, else 0."""
        _need()
        request = {"gold": aliases(gold), "text": text[-_MOST:]}
        try:
            found: Mapping[str, Any] = _ask(request)
        except ScoringLimitError:  # as of 9^9^9: no answer that anybody could use
            return self.unread(gold, said)
        return Score({"correct": float(found["right"])}, found["read"], found["answer"])


def _need() -> None:
    if importlib.util.find_spec("math_verify") is None:
        raise MissingExtraError("the scorer `math`", package="math-verify", extra="math")


def _read(text: str) -> bool:
    try:
        return bool(_ask({"gold": [text], "text": None})["read"])
    except ScoringLimitError as exc:
        raise ValueError(f"{text!r:.60}: {exc}") from exc


def _ask(request: Mapping[str, Any]) -> Any:
    asked = {"job": "own", "module": "scorers.mathematics", **request}
    return _process().call(asked, what="the comparison of two expressions")


@functools.cache
def _process() -> Guarded:
    return Guarded(_LIMITS, {"job": "import", "package": "math_verify"})


# what follows runs in the process


def guarded(request: Mapping[str, Any]) -> dict[str, Any]:
    """Hold a text against expressions, or only read them where there is no text."""
    import logging

    from math_verify import parse, verify

    logging.disable()  # it warns of each comparison that has no time limit of its own
    golds = [_parsed(one) for one in request["gold"]]
    if request["text"] is None:
        return {"read": all(map(_is_expression, golds))}
    said = parse(request["text"], parsing_timeout=0)
    right = any(verify(one, said, timeout_seconds=0) for one in golds)
    return {
        "read": right or _is_expression(said),
        "answer": str(said[-1])[:_SHOWN] if said else None,  # as the text has it
        "right": right,
    }


def _is_expression(parsed: list[Any]) -> bool:
    # what could not be parsed comes back as the text alone
    return any(not isinstance(one, str) for one in parsed)


@functools.lru_cache(maxsize=10_000)
def _parsed(gold: str) -> Any:
    from math_verify import parse

    marked = any(mark in gold for mark in ("$", r"\(", r"\[", r"\boxed"))
    return parse(gold if marked else f"${gold}$", parsing_timeout=0)
