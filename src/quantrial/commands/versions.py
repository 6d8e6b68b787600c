"""Run folders that another version analysed: what this one derives otherwise, in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from quantrial._version import __version__
from quantrial.agreement import Difference, differences
from quantrial.documents.codec import METHODS_VERSION, changes_since, methods_version
from quantrial.words import listed, verdict_word

Document = Mapping[str, Any]

_PARTS = 8
_VERDICTS = 6
# they are about the analysis, not of it
_APART = ("inputs", "quantrial", "methods_version")


def made_by_other_methods(run: Path, recorded: Document, derived: Document) -> str:
    """Say who made a summary, what this version derives otherwise, and what was not compared."""
    by = _maker(recorded)
    parts = changed_parts(recorded, derived)
    here = f"quantrial {__version__} here goes by version {METHODS_VERSION}"
    if methods_version(recorded) < METHODS_VERSION:
        since = "; ".join(changes_since(methods_version(recorded)))
        here += f" (since then: {since})"
    other = f"It derives other numbers in {parts}" if parts else "It derives the same numbers"
    return (
        f"summary.json was made by {by}; {here}. {other}. Summary, decision and report were not "
        f"compared; `quantrial analyze {run}` derives them anew and says what changes"
    )


def derived_anew(before: Document, after: Document) -> str:
    """Say what changed where a folder that other methods analysed is analysed anew."""
    parts = changed_parts(before, after)
    said = [
        f"summary.json was made by {_maker(before)} and was derived anew by version "
        f"{METHODS_VERSION}",
        f"numbers changed in {parts}" if parts else "no number changed",
    ]
    verdicts = list(_verdicts(before, after))
    if verdicts:
        more = len(verdicts) - _VERDICTS
        said.append(
            "verdicts: "
            + ", ".join(verdicts[:_VERDICTS])
            + (f" and {more} more" if more > 0 else "")
        )
    elif parts:
        said.append("no verdict changed")
    return "; ".join(said)


def changed_parts(before: Document, after: Document) -> str:
    """Name the parts of a summary that differ, with how many places in each."""
    found = differences(
        *({k: v for k, v in one.items() if k not in _APART} for one in (before, after))
    )
    counts = Counter(map(_part, found))
    named = [f"{part} ({count:,})" for part, count in counts.items()]
    more = len(named) - _PARTS
    return listed([*named[:_PARTS], *([f"{more} more parts"] if more > 0 else [])])


def only_words(recorded: Document, derived: Document) -> bool:
    """Whether two documents differ in sentences alone, and in no number and no verdict."""
    return all(
        isinstance(one, str) and " " in one
        for found in differences(recorded, derived)
        for one in (found.recorded, found.derived)
    )


def _maker(summary: Document) -> str:
    """Name what made a summary: the version of the methods, and of quantrial where it is told."""
    version, by = methods_version(summary), summary.get("quantrial")
    if isinstance(by, str):
        return f"version {version} of the methods (quantrial {by})"
    return f"version {version} of the methods (an early quantrial, which did not write its version)"


def _part(found: Difference) -> str:
    """Name the part that a place is in: `tasks.quiz.endpoints`, `statements`."""
    deep = 3 if found.path[0] == "tasks" else 1
    return ".".join(str(step) for step in found.path[:deep])


def _verdicts(before: Document, after: Document) -> Iterator[str]:
    """Yield what became of each contrast that has another verdict now."""
    then = dict(_contrasts(before))
    for name, now in _contrasts(after):
        if name in then and then[name] != now:
            yield f"{name} was {verdict_word(then[name])} and is {verdict_word(now)}"


def _contrasts(summary: Document) -> Iterator[tuple[str, Any]]:
    tasks = summary.get("tasks")
    for part in _mappings(tasks.values() if isinstance(tasks, Mapping) else ()):
        endpoints = part.get("endpoints")
        for endpoint in _mappings(endpoints.values() if isinstance(endpoints, Mapping) else ()):
            contrasts = endpoint.get("contrasts")
            for one in _mappings(contrasts if isinstance(contrasts, list) else ()):
                yield str(one.get("id")), one.get("verdict")


def _mappings(values: Iterable[Any]) -> Iterator[Document]:
    return (value for value in values if isinstance(value, Mapping))
