"""Keys into a run's documents: `tasks.quiz.endpoints.accuracy.contrasts[q8_0].estimate`.

A key starts in `summary.json`, or with `decision.` or `manifest.` in those. A list is entered by
place (`[0]`) or by what its entry is about: its arm, or its candidate (against the reference unless
`[q4_0 vs q8_0]` says otherwise). A name with odd characters stands in double quotes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from quantrial.errors import KeyNotFoundError
from quantrial.registry import nearest

_SEGMENT = re.compile(
    r'\.?"(?P<quoted>(?:[^"\\]|\\.)*)"|\.?(?P<name>[^.\[\]"]+)|\[(?P<selector>[^\]]*)\]'
)
_DOCUMENTS = ("decision", "manifest")


def find(documents: Mapping[str, Any], key: str) -> Any:
    """Return what stands at a key.

    Args:
        documents: `summary`, and where they are there `decision` and `manifest`.
        key: see above.

    Raises:
        KeyNotFoundError: there is no such key; the message names the nearest valid one.
    """
    segments = _segments(key)
    reference = documents["summary"].get("reference")
    if segments[0] in _DOCUMENTS:
        here, so_far = documents.get(segments[0]), segments[0]
        if here is None:
            raise KeyNotFoundError(f"{key}: the run holds no {segments[0]}.json")
        rest = segments[1:]
    else:
        here, so_far, rest = documents["summary"], "", segments
    for place, segment in enumerate(rest):
        choices = _choices(here, reference)
        if segment not in choices:
            raise KeyNotFoundError(_said(key, so_far, segment, choices, rest[place + 1 :]))
        so_far = f"{so_far}{segment}" if segment.startswith("[") else f"{so_far}.{_quoted(segment)}"
        here = choices[segment]
    return here


def _segments(key: str) -> list[str]:
    found, at = [], 0
    while at < len(key):
        match = _SEGMENT.match(key, at)
        if match is None:
            break
        if match["selector"] is not None:
            found.append(f"[{match['selector'].strip()}]")
        elif match["quoted"] is not None:
            found.append(re.sub(r"\\(.)", r"\1", match["quoted"]))
        else:
            found.append(match["name"].strip())
        at = match.end()
    if at < len(key) or not found or found[0].startswith("["):
        raise KeyNotFoundError(f"{key!r} is no key; write one like tasks.quiz.flow.planned")
    return found


def _quoted(name: str) -> str:
    return name if re.fullmatch(r"[\w-]+", name) else '"' + re.sub(r'(["\\])', r"\\\1", name) + '"'


def _choices(here: Any, reference: str | None) -> dict[str, Any]:
    """Return what can be entered from here, by how it is written, the best way first."""
    if isinstance(here, Mapping):
        return {str(name): value for name, value in here.items()}
    if not isinstance(here, Sequence) or isinstance(here, str):
        return {}
    named: dict[str, Any] = {}
    for entry in here:
        if not isinstance(entry, Mapping):
            continue
        arm, base = entry.get("candidate", entry.get("arm")), entry.get("reference")
        if arm is not None and base in (None, reference):
            named.setdefault(f"[{arm}]", entry)
        elif arm is not None:
            named.setdefault(f"[{arm} vs {base}]", entry)
    # an arm may be called by a number: it goes before the place
    return named | {f"[{at}]": e for at, e in enumerate(here) if f"[{at}]" not in named}


def _said(
    key: str, so_far: str, segment: str, choices: Mapping[str, Any], rest: Sequence[str]
) -> str:
    where = f"in {so_far.lstrip('.')}" if so_far else "in the summary"
    if not choices:
        return f"{key}: {so_far.lstrip('.')} is a value and holds no {segment!r}"
    best = nearest(segment, choices, cutoff=0.0) or next(iter(choices))
    whole = f"{so_far}{best}" if best.startswith("[") else f"{so_far}.{_quoted(best)}"
    for more in rest:
        whole += more if more.startswith("[") else f".{_quoted(more)}"
    return f"{key}: there is no {segment!r} {where}; the nearest is {whole.lstrip('.')}"
