"""The answer under the user's own constraints, which comes before the one without them."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from quantrial.inert import clean
from quantrial.reporting.blocks import Advice, Claim, Part, Sentence
from quantrial.reporting.sentences import claim, sentence, shortened
from quantrial.words import file_size, listed, plain_number, ratio, size_of_points

Document = Mapping[str, Any]


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
