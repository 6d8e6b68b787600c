"""Whether all arms' tokens are drawn as the study says: greedily, with no penalty for repetition.

Pure. A penalty hides the loops that damaged weights make, and changes answers that do not loop.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal

Status = Literal["pass", "warn", "fail", "unknown"]
Document = Mapping[str, Any]
# what a probe found: a penalty, none, or nothing that tells
SEEN, NONE, UNKNOWN = "seen", "none", "unknown"
PROBED = "sampling_probe"  # where an arm's record holds it


def with_probes(arms: Mapping[str, Document], sessions: Iterable[Document]) -> dict[str, Document]:
    """Add to each arm's record what the sessions of a run found out about its sampling."""
    found: dict[str, Document] = {}
    for session in sessions:
        for name, one in (session.get("sampling") or {}).items():
            worse = found.get(name, {}).get("penalty") == SEEN
            found[name] = found[name] if worse else one
    return {
        name: {**arm, PROBED: found[name]} if name in found else arm for name, arm in arms.items()
    }


def sampling_finding(arms: Mapping[str, Document]) -> tuple[Status, str] | None:
    """Say whether a penalty is in force; None where every engine states all sampling."""
    doubtful = {n: arm for n, arm in arms.items() if arm.get("sampling") or arm.get(PROBED)}
    if not doubtful:
        return None
    held = {name: why for name, arm in doubtful.items() if (why := _penalty(arm)) is not None}
    open_ = [name for name, arm in doubtful.items() if name not in held and not _cleared(arm)]
    if held:
        free = [name for name in arms if name not in held and name not in open_]
        text = "; ".join(_grouped(held))
        if free:
            said = (
                f"repetition is punished in the answers of {_listed(held)} and not in those of "
                f"{_listed(free)}: {text}"
            )
            return "fail", said
        said = f"repetition is punished in the answers of {_listed(held)}, so loops do not show"
        return "warn", f"{said}: {text}"
    if open_:
        names = _listed(open_)
        return "unknown", f"whether repetition is punished in the answers of {names} is not known"
    return "pass", "no answer shows that repetition is punished"


def unstated_parameters(arms: Mapping[str, Document]) -> Iterator[str]:
    """Say which parameters of sampling no call states, by arms that have the same.

    Arms of which a penalty is known are left out: the check says more of them.
    """
    groups: dict[tuple[str, ...], list[str]] = {}
    for name, arm in arms.items():
        told = arm.get("sampling") or {}
        if told.get("unstated") and not told.get("penalty"):
            served, advice = told.get("served_by") or "", told.get("advice") or ""
            groups.setdefault((served, advice, *told["unstated"]), []).append(name)
    for (served, advice, *names), of in groups.items():
        by = f" ({served})" if served else ""
        text = (
            f"the server of {_listed(of)}{by} is not told {_listed(names)}: its own values hold, "
            "and a penalty changes even greedy answers"
        )
        yield f"{text}; {advice}" if advice else text


def penalty_text(sampling: Document) -> str:
    """Say which penalty the software behind an arm keeps, and how the arm is asked rightly."""
    advice = f"; {sampling['advice']}" if sampling.get("advice") else ""
    return f"{sampling['served_by']} keeps {sampling['penalty']} and takes no other{advice}"


def _penalty(arm: Document) -> str | None:
    """Say why a penalty is known to be in force; None where none is."""
    told, probe = arm.get("sampling") or {}, arm.get(PROBED) or {}
    if told.get("penalty"):
        return penalty_text(told)
    return str(probe.get("text")) if probe.get("penalty") == SEEN else None


def _cleared(arm: Document) -> bool:
    unstated = (arm.get("sampling") or {}).get("unstated") or ()
    probed = (arm.get(PROBED) or {}).get("penalty", UNKNOWN)
    return probed == NONE or (bool(unstated) and not any("penalty" in name for name in unstated))


def _grouped(reasons: Mapping[str, str]) -> Iterator[str]:
    """Say each reason once, with the arms it holds for where there are several reasons."""
    texts = list(dict.fromkeys(reasons.values()))
    for text in texts:
        of = [name for name, why in reasons.items() if why == text]
        yield text if len(texts) == 1 else f"{_listed(of)}: {text}"


def _listed(names: Iterable[str]) -> str:
    *rest, last = names
    return f"{', '.join(rest)} and {last}" if rest else last
