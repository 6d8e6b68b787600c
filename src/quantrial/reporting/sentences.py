"""Sentences of the decision, with the findings they name turned into links.

The answer under the user's own constraints comes before the one without them.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from typing import Protocol

from quantrial.documents.decision import (
    Constrained,
    Constraints,
    Decision,
    Default,
    Finding,
    Guard,
    Missing,
    Pace,
    PickWhen,
)
from quantrial.inert import clean
from quantrial.reporting.blocks import Advice, Claim, Part, Sentence
from quantrial.words import (
    VERDICT_SIGNS,
    difference,
    difference_interval,
    endpoint,
    file_size,
    listed,
    p_value,
    plain_number,
    ratio,
    ratio_interval,
    size_of_points,
    verdict_word,
)


class Entry(Protocol):
    """A sentence of the decision, and the ids of the findings that it rests on."""

    @property
    def text(self) -> str:
        """The sentence."""

    @property
    def because(self) -> str | tuple[str, ...] | None:
        """An id, ids, or none."""


class Links:
    """Turns the findings of a decision that its sentences name into links."""

    def __init__(self, decision: Decision) -> None:
        self._workloads = [one.workload for one in decision.picker.tasks.values()]
        self._findings: dict[str, Finding | Pace] = {**decision.findings, **decision.paces}
        # the longest first: an id may be the beginning of another
        ids = "|".join(re.escape(one) for one in sorted(self._findings, key=lambda i: (-len(i), i)))
        # in brackets or plain; without findings, what matches nowhere
        pattern = rf"\[({ids})\]|(?<![\w.])({ids})(?![\w=-]|\.\w)" if ids else r"(?!)"
        self._named = re.compile(pattern)

    def sentence(self, text: str, because: Iterable[str] = ()) -> Sentence:
        """Link the ids in a text, then those of `because` that it does not name."""
        parts = list(self._linked(text))
        named = {part.target for part in parts}
        rest = [one for one in because if one in self._findings and one not in named]
        for one in dict.fromkeys(rest):
            parts += [Part(" "), self._link(one)]
        return tuple(parts)

    def entry(self, entry: Entry) -> Sentence:
        """Link an entry of the decision."""
        return self.sentence(entry.text, _ids(entry))

    def claim(self, entry: Entry) -> Claim:
        """Take an entry apart: each detail that rests on a finding of its own stands beside it."""
        details = [one for one in _details(entry) if f" {one.text}" in entry.text]
        text, apart = entry.text, set[str]()
        for one in details:
            text = text.replace(f" {one.text}", "", 1)
            apart |= set(_ids(one))
        rest = [one for one in _ids(entry) if one not in apart]
        return Claim(self.sentence(text, rest), tuple(map(self.entry, details)))

    def evidence(self, lines: Iterable[str]) -> tuple[Sentence, ...]:
        """Link lines of evidence, each once."""
        return tuple(map(self.sentence, dict.fromkeys(lines)))

    def _linked(self, text: str) -> Iterator[Part]:
        at = 0
        for match in self._named.finditer(text):
            if match.start() > at:
                yield Part(text[at : match.start()])
            yield self._link(match[1] or match[2])
            at = match.end()
        if at < len(text):
            yield Part(text[at:])

    def _link(self, identity: str) -> Part:
        finding = self._findings[identity]
        if isinstance(finding, Pace):
            value = ratio(finding.estimate)
            return Part(
                text=identity,
                target=identity,
                label=f"{finding.candidate} {value}",
                title=f"{identity}: {finding.endpoint} {value}, {ratio_interval(finding.ci)}",
            )
        name = endpoint(finding.named)
        about = finding.workload if finding.kind == "primary" else name
        if self._workloads.count(finding.workload) > 1:
            about += f" ({finding.task})"
        return Part(
            text=identity,
            target=identity,
            label=f"{finding.candidate} {about} {VERDICT_SIGNS[finding.verdict]}".strip(),
            title=(
                f"{identity}: {name} {difference(finding.estimate, finding.unit)}, interval "
                f"{difference_interval(finding.ci, finding.unit)}, adjusted p "
                f"{p_value(finding.p_adjusted)}: {verdict_word(finding.verdict, finding.against)}"
            ),
            tone=finding.verdict,
        )


def _ids(entry: Entry) -> tuple[str, ...]:
    if isinstance(entry.because, str):
        return (entry.because,)
    return entry.because or ()


def _details(entry: Entry) -> tuple[Missing | Guard, ...]:
    if isinstance(entry, Default):
        return (*entry.missing, *(entry.guards or ()))
    return entry.guards if isinstance(entry, (PickWhen, Constrained)) else ()


def shortened(said: Claim, *openings: str) -> Claim:
    """Drop the words a claim opens with, where a heading above it says them already."""
    words = said.words
    for opening in openings:
        words = _without_opening(words, opening)
    return Claim(words, said.details)


def _without_opening(words: Sentence, opening: str) -> Sentence:
    first = words[0].text if words else ""
    match = re.match(rf"{re.escape(opening)}[.:] +", first)
    if match is None or not (rest := first[match.end() :]):
        return words
    return (Part(rest[0].upper() + rest[1:]), *words[1:])


def headline(given: Constrained, reference: str) -> str:
    """Name the arm that keeps the constraints, or say that none does."""
    if given.pick is None:
        return "No arm keeps all your constraints"
    if given.pick == reference:
        return f"Under your constraints: stay with {given.pick}"
    return f"Under your constraints: ship {given.pick}"


def answer(given: Constrained, links: Links) -> Claim:
    """Say what speaks for the arm, or what the nearest miss misses."""
    said = links.claim(given)
    if given.pick is None:
        return shortened(said, "No arm keeps all your constraints")
    return shortened(said, f"Under your constraints, ship {given.pick}")


def constraints_in_words(given: Constrained, decision: Decision) -> tuple[str, ...]:
    """List the constraints that were stated, and say where, and how to change them."""
    source = decision.picker.memory_source
    return (*_constraints(given.constraints, decision.reference, source), _stated(given))


def _stated(given: Constrained) -> str:
    """Say where the constraints come from: what was not the study file's was an option."""
    stated = [
        name for name, value in given.constraints.document().items() if value not in (None, {}, [])
    ]
    of_study = [name for name in stated if name in given.of_study]
    anew = "run it again with other options to change them, with none to drop them"
    if not of_study:
        return f"Stated as options of quantrial decide: {anew}."
    if len(of_study) == len(stated):
        return "Stated in the study file: options of quantrial decide take their place."
    named = listed([name.removesuffix("_by").replace("_", " ") for name in of_study])
    return f"Stated in the study file: {named}. The others are options of quantrial decide: {anew}."


_HELD = {"peak": "a measured peak", "stated": "weights (as the study states)"}


def _constraints(stated: Constraints, reference: str, source: str | None) -> Iterator[str]:
    if stated.max_memory is not None:
        what = _HELD.get(source or "", "weights")
        yield f"Memory: {what} of at most {file_size(stated.max_memory)}."
    if stated.min_speedup is not None:
        yield f"Speed: decoding at least {ratio(stated.min_speedup)} as fast as {reference}."
    if stated.max_latency is not None:
        yield f"Latency: at most {plain_number(stated.max_latency)} s an answer on average."
    if stated.tolerate is not None:
        lost = size_of_points(stated.tolerate)
        yield f"Quality: you accept a loss of up to {lost}, in place of the margin."
    for where, loss in stated.tolerate_by.items():
        yield f"Quality on {where}: you accept a loss of up to {size_of_points(loss)}."
    if stated.workloads:
        yield f"Workloads that matter: {listed(stated.workloads)}."
    if stated.cost_per_hour is not None:
        yield f"Price of a machine hour: {plain_number(stated.cost_per_hour)}."
    for arm, price in stated.cost_per_hour_by.items():
        yield f"Price of a machine hour for {arm}: {plain_number(price)}."
    if stated.error_cost is not None:
        yield f"Price of a wrong answer: {plain_number(stated.error_cost)}."


def rejected(given: Constrained, links: Links) -> Advice | None:
    """Say of each arm that breaks a constraint which one, and by how much."""
    found = tuple(
        Claim((Part(f"Not {one.arm}: "), *links.entry(broken)))
        for one in given.rejected
        for broken in one.breaks
    )
    return Advice("constrained", "What breaks your constraints", found) if found else None


def unconstrained(default: Default, links: Links) -> Sentence:
    """Say what is recommended where nothing is constrained."""
    return (Part("Without these constraints: "), *links.entry(default))


def flags(stated: Constraints | None) -> str:
    """Write the options of `quantrial decide` that state the constraints again."""
    if stated is None:
        return ""
    written = [
        *_option("--max-memory", stated.max_memory, unit="B"),
        *_option("--min-speedup", stated.min_speedup),
        *_option("--max-latency", stated.max_latency, unit="s"),
        *_option("--tolerate", stated.tolerate),
        *_options("--tolerate", stated.tolerate_by),
        *_option("--cost-per-hour", stated.cost_per_hour),
        *_options("--cost-per-hour", stated.cost_per_hour_by),
        *_option("--error-cost", stated.error_cost),
        *(f"--workload {shlex.quote(clean(one))}" for one in stated.workloads),
    ]
    return "".join(f" {one}" for one in written)


def _option(name: str, value: float | None, unit: str = "") -> Iterator[str]:
    if value is not None:
        yield f"{name} {plain_number(value)}{unit}"


def _options(name: str, by: Mapping[str, float]) -> Iterator[str]:
    for key, value in by.items():
        yield f"{name} {shlex.quote(f'{clean(key)}={plain_number(value)}')}"
