"""Which form of prompts the speed phase measures with: tried out where lengths cannot be held.

An engine that cannot be held to a number of tokens ends its answers where the model ends them, and
rates over a few tokens say little. So a few forms of prompts are tried first: the first one whose
greedy answers reach the limit on every such arm is what all arms are asked. What follows here
follows from the records alone, so that a phase that is killed goes on as it was.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from quantrial.design.speed_blocks import Form, Shape, list_prompt, request_prompt, speed_prompt
from quantrial.engines.base import Message, Request
from quantrial.records import CUT_SHORT, sha256_of

if TYPE_CHECKING:
    from quantrial.records import SpeedRecord
    from quantrial.study import Speed

USUAL: Form = "words"
TRIED: tuple[Form, ...] = ("list", "request")  # in this order; the usual one where none will do


@dataclass(frozen=True, slots=True)
class Prompted:
    """Which prompt it is: the lengths aimed at, its block (below 0: none), its form."""

    shape: Shape
    block: int
    form: str = USUAL


def speed_request(
    what: Prompted, abilities: Sequence[str], *, seed: int, timeout: float
) -> Request:
    """Write what every arm is asked at one length in one block, byte for byte."""
    prompt, output = what.shape
    make = {"list": list_prompt, "request": request_prompt}.get(what.form, speed_prompt)
    text = make(prompt, seed=seed, block=what.block, output=output)
    return Request(
        # a list is gone on with where no template ends the text
        text=text if what.form == "list" else None,
        messages=() if what.form == "list" else (Message("user", text),),
        max_tokens=output,
        exact_length="exact_length" in abilities,
        fresh="fresh" in abilities,
        seed=seed,
        timeout=timeout,
    )


def prompt_hash(request: Request) -> str:
    """Hash what an arm is shown."""
    shown = [{"role": one.role, "content": one.content} for one in request.messages]
    return sha256_of(shown if request.text is None else request.text)


def rehearsed_shapes(spec: Speed) -> list[Shape]:
    """List the lengths that a form is tried at: the shortest and longest prompt, longest answer."""
    longest = max(spec.output_tokens)
    return list(dict.fromkeys((n(spec.prompt_tokens), longest) for n in (min, max)))


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """How the choice of a form stands; `arms` are those that cannot be held to a length."""

    arms: tuple[str, ...]
    shapes: tuple[Shape, ...]
    attempts: int

    def form(self, records: Iterable[SpeedRecord]) -> Form | None:
        """Return the form to measure with; None while that is not settled."""
        known = list(records)
        measured = next((r.form for r in known if r.kind == "measured"), None)
        if measured is not None:
            return measured  # type: ignore[return-value] # checked as it was read
        for form in TRIED if self.arms else ():
            tried = [r for r in known if r.kind == "rehearsal" and r.form == form]
            if any(self._failed(tried, *cell) for cell in self._cells()):
                continue
            return None if list(self._open(tried)) else form
        return USUAL

    def pending(self, records: Iterable[SpeedRecord]) -> tuple[Form, str, Shape, int] | None:
        """Return form, arm, lengths and attempt to try next; None where the form is settled."""
        known = list(records)
        if self.form(known) is not None:
            return None
        for form in TRIED:
            tried = [r for r in known if r.kind == "rehearsal" and r.form == form]
            if not any(self._failed(tried, *cell) for cell in self._cells()):
                for arm, shape in self._open(tried):
                    return (
                        form,
                        arm,
                        shape,
                        1 + sum((r.arm, r.shape) == (arm, shape) for r in tried),
                    )
        return None

    def _cells(self) -> Iterator[tuple[str, Shape]]:
        return ((arm, shape) for arm in self.arms for shape in self.shapes)

    def _open(self, tried: Sequence[SpeedRecord]) -> Iterator[tuple[str, Shape]]:
        """Yield what is still to be tried of a form that has not failed."""
        done = {(r.arm, r.shape) for r in tried if r.status in ("ok", "context_overflow")}
        return (cell for cell in self._cells() if cell not in done)

    def _failed(self, tried: Sequence[SpeedRecord], arm: str, shape: Shape) -> bool:
        """Whether an arm ended an answer early, or cannot be asked in this form."""
        own = [r for r in tried if (r.arm, r.shape) == (arm, shape)]
        answered = [r for r in own if r.status == "ok"]
        if answered:
            return not reached(answered[-1])
        faults = [r for r in own if r.status != "context_overflow"]
        return any(r.final for r in faults) or len(faults) >= self.attempts


def reached(record: SpeedRecord) -> bool:
    """Whether an answer is as long as it was asked to be."""
    if record.completion_tokens is None:
        return record.finish_reason in CUT_SHORT
    return record.completion_tokens >= record.output_length
