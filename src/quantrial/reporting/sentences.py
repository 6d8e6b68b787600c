"""Sentences of the decision, with the findings they name turned into links.

The answer under the user's own constraints comes before the one without them.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from quantrial.findings import adjusted_p
from quantrial.inert import clean
from quantrial.reporting.blocks import Advice, Claim, Part, Sentence
from quantrial.words import (
    VERDICT_SIGNS,
    VERDICT_WORDS,
    endpoint,
    file_size,
    listed,
    p_value,
    plain_number,
    points,
    points_interval,
    ratio,
    ratio_interval,
    size_of_points,
)

Document = Mapping[str, Any]


def sentence(entry: Document, findings: Document) -> Sentence:
    """Link an entry of the decision: the ids in its text, then those only in its `because`."""
    parts = list(_linked(str(entry["text"]), findings))
    named = {part.target for part in parts}
    rest = [one for one in _ids(entry.get("because")) if one in findings and one not in named]
    for one in dict.fromkeys(rest):
        parts += [Part(" "), _link(one, findings)]
    return tuple(parts)


def claim(entry: Document, findings: Document) -> Claim:
    """Take an entry apart: each detail that rests on a finding of its own stands beside it."""
    details = [
        one
        for one in (*(entry.get("missing") or ()), *(entry.get("guards") or ()))
        if f" {one['text']}" in str(entry["text"])
    ]
    text, apart = str(entry["text"]), set[str]()
    for one in details:
        text = text.replace(f" {one['text']}", "", 1)
        apart |= set(_ids(one["because"]))
    rest = [one for one in _ids(entry.get("because")) if one not in apart]
    return Claim(
        sentence({"text": text, "because": rest}, findings),
        tuple(sentence(one, findings) for one in details),
    )


def shortened(said: Claim, opening: str) -> Claim:
    """Drop the words a claim opens with, where a heading above it says them already."""
    return Claim(without_opening(said.words, opening), said.details)


def evidence(entries: Iterable[Document], findings: Document) -> tuple[Sentence, ...]:
    """List the lines of evidence of all entries, each once."""
    lines = [str(line) for entry in entries for line in entry.get("evidence") or ()]
    return tuple(tuple(_linked(line, findings)) for line in dict.fromkeys(lines))


def without_opening(words: Sentence, opening: str) -> Sentence:
    """Drop the words a sentence opens with, where a heading above it says them already."""
    first = words[0].text if words else ""
    match = re.match(rf"{re.escape(opening)}[.:] +", first)
    if match is None or not (rest := first[match.end() :]):
        return words
    return (Part(rest[0].upper() + rest[1:]), *words[1:])


def _linked(text: str, findings: Document) -> Iterator[Part]:
    at = 0
    for match in _named(findings).finditer(text) if findings else ():
        if match.start() > at:
            yield Part(text[at : match.start()])
        yield _link(match[1] or match[2], findings)
        at = match.end()
    if at < len(text):
        yield Part(text[at:])


def _named(findings: Collection[str]) -> re.Pattern[str]:
    """Match the id of any finding, in brackets or plain."""
    # the longest first: an id may be the beginning of another
    ids = "|".join(re.escape(one) for one in sorted(findings, key=lambda i: (-len(i), i)))
    return re.compile(rf"\[({ids})\]|(?<![\w.])({ids})(?![\w=-]|\.\w)")


def _link(one: str, findings: Document) -> Part:
    finding = findings[one]
    if finding["kind"] == "speed":
        value = ratio(finding["estimate"])
        return Part(
            text=one,
            target=one,
            label=f"{finding['candidate']} {value}",
            title=f"{one}: {finding['endpoint']} {value}, {ratio_interval(finding['ci'])}",
        )
    said = finding["verdict"]
    name = endpoint(finding["endpoint"])
    about = finding["workload"] if finding["kind"] == "primary" else name
    return Part(
        text=one,
        target=one,
        label=f"{finding['candidate']} {about} {VERDICT_SIGNS.get(said, '')}".strip(),
        title=(
            f"{one}: {name} {points(finding['estimate'])}, interval "
            f"{points_interval(finding['ci'])}, adjusted p {p_value(adjusted_p(finding))}: "
            f"{VERDICT_WORDS.get(said, said)}"
        ),
        tone=said,
    )


def _ids(because: Any) -> list[str]:
    if because is None:
        return []
    return [because] if isinstance(because, str) else [str(one) for one in because]


def headline(given: Document, reference: str) -> str:
    """Name the arm that keeps the constraints, or say that none does."""
    pick = given["pick"]
    if pick is None:
        return "No arm keeps all your constraints"
    if pick == reference:
        return f"Under your constraints: stay with {pick}"
    return f"Under your constraints: ship {pick}"


def answer(given: Document, findings: Document) -> Claim:
    """Say what speaks for the arm, or what the nearest miss misses."""
    said = claim(given, findings)
    pick = given["pick"]
    if pick is None:
        return shortened(said, "No arm keeps all your constraints")
    return shortened(said, f"Under your constraints, ship {pick}")


def in_words(decision: Document) -> tuple[str, ...]:
    """List the constraints that were stated, and say where, and how to change them."""
    given, source = decision["constrained"], decision["picker"].get("memory_source")
    return (*_words(given["constraints"], decision["reference"], source), _stated(given))


def _stated(given: Document) -> str:
    """Say where the constraints come from: what was not the study file's was an option."""
    stated = [name for name, value in given["constraints"].items() if value not in (None, {}, [])]
    of_study = [name for name in stated if name in given.get("of_study", ())]
    anew = "run it again with other options to change them, with none to drop them"
    if not of_study:
        return f"Stated as options of `quantrial decide`: {anew}."
    if len(of_study) == len(stated):
        return "Stated in the study file: options of `quantrial decide` take their place."
    named = listed([name.removesuffix("_by").replace("_", " ") for name in of_study])
    return (
        f"Stated in the study file: {named}. The others are options of `quantrial decide`: {anew}."
    )


_HELD = {"peak": "a measured peak", "stated": "weights (as the study states)"}


def _words(stated: Document, reference: str, source: str | None) -> Iterator[str]:
    if (most := stated.get("max_memory")) is not None:
        what = _HELD.get(source or "", "weights")
        yield f"Memory: {what} of at most {file_size(most)}."
    if stated.get("min_speedup") is not None:
        yield f"Speed: decoding at least {ratio(stated['min_speedup'])} as fast as {reference}."
    if stated.get("max_latency") is not None:
        yield f"Latency: at most {plain_number(stated['max_latency'])} s an answer on average."
    if stated.get("tolerate") is not None:
        lost = size_of_points(stated["tolerate"])
        yield f"Quality: a loss of up to {lost} is tolerated, in place of the margin."
    for where, loss in (stated.get("tolerate_by") or {}).items():
        yield f"Quality on {where}: a loss of up to {size_of_points(loss)} is tolerated."
    if stated.get("workloads"):
        yield f"Workloads that matter: {listed(list(stated['workloads']))}."
    if stated.get("cost_per_hour") is not None:
        yield f"Price of a machine hour: {plain_number(stated['cost_per_hour'])}."
    for arm, price in (stated.get("cost_per_hour_by") or {}).items():
        yield f"Price of a machine hour for {arm}: {plain_number(price)}."
    if stated.get("error_cost") is not None:
        yield f"Price of a wrong answer: {plain_number(stated['error_cost'])}."


def rejected(given: Document, findings: Document) -> Advice | None:
    """Say of each arm that breaks a constraint which one, and by how much."""
    found = tuple(
        Claim((Part(f"Not {one['arm']}: "), *sentence(broken, findings)))
        for one in given.get("rejected", ())
        for broken in one["breaks"]
    )
    return Advice("constrained", "What breaks your constraints", found) if found else None


def unconstrained(default: Document, findings: Document) -> Sentence:
    """Say what is recommended where nothing is constrained."""
    return (Part("Without these constraints: "), *sentence(default, findings))


# The constraints that are numbers, with the unit that their option takes.
_OPTIONS = {
    "max_memory": "B",
    "min_speedup": "",
    "max_latency": "s",
    "tolerate": "",
    "cost_per_hour": "",
    "error_cost": "",
}


def flags(given: Document | None) -> str:
    """Write the options of `quantrial decide` that state the constraints again."""
    stated = given["constraints"] if given else {}
    written = []
    for key, unit in _OPTIONS.items():
        option = "--" + key.replace("_", "-")
        if stated.get(key) is not None:
            written.append(f"{option} {plain_number(stated[key])}{unit}")
        for name, value in (stated.get(f"{key}_by") or {}).items():
            written.append(f"{option} {shlex.quote(f'{clean(name)}={plain_number(value)}')}")
    for workload in stated.get("workloads") or ():
        written.append(f"--workload {shlex.quote(clean(workload))}")
    return "".join(f" {one}" for one in written)
