"""Checks on what a run recorded: its items, its prompts from caches, its sampling, its weights.

Pure: everything is read from the manifest and from counts of the answers.

- Items: contradictions and control tokens.
- Caches: what a server kept of an earlier prompt can change its arithmetic, and so an answer:
  answers then depend on the order of calls. The embedded engine restores what it keeps exactly.
- Sampling: whether all tokens are drawn as the study says, greedily. A penalty for repetition hides
  the loops that damaged weights make, and changes answers that do not loop.
- Identity: whether every answer of an arm came of the weights that its run began with, by the looks
  that the run took at servers which do not say what they serve (`quantrial.running`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from quantrial.agreement import fixed
from quantrial.documents import Status
from quantrial.words import listed

if TYPE_CHECKING:
    from quantrial.records import ArmRecord

_LISTED = 20  # places of one kind that a manifest keeps; so many may be more


def data_findings(sources: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    """Say what deserves a look among the rows of each task's source.

    Args:
        sources: the manifest's record of where the items of a task come from, by task. Runs of
            older versions and imports may have nothing in it.

    Yields:
        What names the finding (`task.kind`), and its words.
    """
    for task, source in sources.items():
        of_rows = f"Of the rows that {task} is drawn from"
        if pairs := source.get("contradictions"):
            first = " and ".join(map(str, pairs[0]))
            have = "has" if len(pairs) == 1 else "have"
            yield (
                f"{task}.contradictions",
                f"{of_rows}, {_number(pairs)} {have} another answer than an earlier one that asks "
                f"the same. One of the two is wrong (first: {first}).",
            )
        if places := source.get("control_tokens"):
            yield (
                f"{task}.control_tokens",
                f"{of_rows}, {_number(places)} {_hold(places)} a control token "
                f"(first: {_place(places[0])}). A model reads it as the end of a turn or a change "
                "of speaker, not as text. Take it out, or write it differently.",
            )
        for arm, places in (source.get("control_tokens_of") or {}).items():
            yield (
                f"{task}.control_tokens.{arm}",
                f"Of the items of {task}, {_number(places)} {_hold(places)} what the model of "
                f"{arm} reads as a control token, not as text (first: {_place(places[0])}). Take "
                "it out, or write it differently.",
            )


def _number(places: Sequence[Any]) -> str:
    return f"{len(places)} or more" if len(places) >= _LISTED else str(len(places))


def _hold(places: Sequence[Any]) -> str:
    return "holds" if len(places) == 1 else "hold"


def _place(found: Sequence[Any]) -> str:
    where, token = found
    return f"{where}, {token!r}"


_EXACT = ("llamacpp", "scripted", "imported")  # engines whose cache changes no answer, or unknown


@dataclass(frozen=True, slots=True)
class Caches:
    """How much of its prompts one arm did not read anew.

    Of `answers`, `reused` had some tokens of their prompt from a cache: `cached` of their `tokens`.
    """

    answers: int = 0
    reused: int = 0
    cached: int = 0
    tokens: int = 0

    @classmethod
    def of(cls, counts: Iterable[tuple[int | None, int | None]]) -> Caches:
        """Add up the tokens of prompts, and those of them that came from a cache, answer by answer.

        Some servers count the cached ones apart from the others; then the sum of both is meant.
        """
        known = [(read or 0, cached or 0) for read, cached in counts]
        kept = [(max(read, cached), cached) for read, cached in known if cached]
        return cls(len(known), len(kept), sum(c for _, c in kept), sum(t for t, _ in kept))

    def __add__(self, other: Caches) -> Caches:
        return Caches(
            self.answers + other.answers,
            self.reused + other.reused,
            self.cached + other.cached,
            self.tokens + other.tokens,
        )


def cache_findings(caches: Mapping[str, Caches], arms: Mapping[str, ArmRecord]) -> Iterator[str]:
    """Say in numbers where a server reused what it read of earlier prompts, and nobody asked it to.

    Args:
        caches: what was recorded of each arm.
        arms: the manifest's record of each arm.
    """
    found = []
    for name, one in caches.items():
        arm = arms[name]
        if one.reused and not arm.options.get("prompt_cache") and arm.engine not in _EXACT:
            share = fixed(100 * one.cached / one.tokens, 0)
            found.append(
                f"{name} in {one.reused:,} of {one.answers:,} answers ({one.cached:,} of their "
                f"{one.tokens:,} prompt tokens, {share} %)"
            )
    if found:
        yield (
            f"Servers reused what they had read of earlier prompts: {'; '.join(found)}. Answers "
            "can then depend on the order of calls. Set the option server (vllm, llama.cpp) to "
            "have every prompt read anew. Other servers have a setting of their own."
        )


# what a probe found: a penalty, none, or nothing that tells
SEEN, NONE, UNKNOWN = "seen", "none", "unknown"


def with_probes(
    arms: Mapping[str, ArmRecord], sessions: Iterable[Mapping[str, Any]]
) -> dict[str, ArmRecord]:
    """Add to each arm's record what the sessions of a run found out about its sampling."""
    found: dict[str, Mapping[str, Any]] = {}
    for session in sessions:
        for name, one in (session.get("sampling") or {}).items():
            worse = found.get(name, {}).get("penalty") == SEEN
            found[name] = found[name] if worse else one
    return {
        name: replace(arm, sampling_probe=found.get(name, arm.sampling_probe))
        for name, arm in arms.items()
    }


def sampling_finding(arms: Mapping[str, ArmRecord]) -> tuple[Status, str] | None:
    """Say whether a penalty is in force; None where every engine states all sampling."""
    doubtful = {n: arm for n, arm in arms.items() if arm.sampling or arm.sampling_probe}
    if not doubtful:
        return None
    held = {name: why for name, arm in doubtful.items() if (why := _penalty(arm)) is not None}
    open_ = [name for name, arm in doubtful.items() if name not in held and not _cleared(arm)]
    if held:
        free = [name for name in arms if name not in held and name not in open_]
        text = "; ".join(_grouped(held))
        if free:
            finding = (
                f"Repetition is punished in the answers of {listed(held)} and not in those of "
                f"{listed(free)}: {text}."
            )
            return "fail", finding
        finding = f"Repetition is punished in the answers of {listed(held)}, so loops do not show"
        return "warn", f"{finding}: {text}."
    if open_:
        names = listed(open_)
        return (
            "unknown",
            f"It is not known whether repetition is punished in the answers of {names}.",
        )
    return "pass", "No answer shows that repetition is punished."


def unstated_parameters(arms: Mapping[str, ArmRecord]) -> Iterator[str]:
    """Say which parameters of sampling no call states, by arms that have the same.

    Arms of which a penalty is known are left out: the check says more of them.
    """
    groups: dict[tuple[str, ...], list[str]] = {}
    for name, arm in arms.items():
        sampling = arm.sampling or {}
        if sampling.get("unstated") and not sampling.get("penalty"):
            served, advice = sampling.get("served_by") or "", sampling.get("advice") or ""
            groups.setdefault((served, advice, *sampling["unstated"]), []).append(name)
    for (served, advice, *names), of in groups.items():
        by = f" ({served})" if served else ""
        text = (
            f"the study sets no {listed(names, 'or')} for {listed(of)}. The server{by} uses its "
            "own values, and a penalty changes even greedy answers"
        )
        yield f"{text}; {advice}" if advice else f"{text}."


def penalty_text(sampling: Mapping[str, Any]) -> str:
    """Say which penalty the software behind an arm keeps, and how the arm is asked rightly."""
    advice = f"; {sampling['advice']}" if sampling.get("advice") else ""
    return f"{sampling['served_by']} keeps {sampling['penalty']} and takes no other{advice}"


def _penalty(arm: ArmRecord) -> str | None:
    """Say why a penalty is known to be in force; None where none is."""
    sampling, probe = arm.sampling or {}, arm.sampling_probe or {}
    if sampling.get("penalty"):
        return penalty_text(sampling)
    return str(probe.get("text")) if probe.get("penalty") == SEEN else None


def _cleared(arm: ArmRecord) -> bool:
    unstated = (arm.sampling or {}).get("unstated") or ()
    probed = (arm.sampling_probe or {}).get("penalty", UNKNOWN)
    return probed == NONE or (bool(unstated) and not any("penalty" in name for name in unstated))


def _grouped(reasons: Mapping[str, str]) -> Iterator[str]:
    """Say each reason once, with the arms it holds for where there are several reasons."""
    texts = list(dict.fromkeys(reasons.values()))
    for text in texts:
        of = [name for name, why in reasons.items() if why == text]
        yield text if len(texts) == 1 else f"{listed(of)}: {text}"


def identity_findings(arms: Mapping[str, ArmRecord]) -> Iterator[tuple[Status, str]]:
    """Say of each arm where its answers may be of two models, or vary with their company."""
    for name, arm in arms.items():
        probe = arm.identity_probe or {}
        if count := len(arm.doubtful_answers or ()):
            many = count > 1
            yield (
                "fail",
                f"{count:,} answer{'s' if many else ''} of {name} may be another model's. After "
                f"{'them' if many else 'it'} its server answered a fixed prompt otherwise than "
                f"before. Repeat quantrial run to ask {'them' if many else 'it'} again.",
            )
        if varied := probe.get("varied"):
            yield (
                "warn",
                f"The server of {name} answered a fixed prompt otherwise in {varied:,} of "
                f"{probe['checked']:,} looks, and as before when it was asked again. Its answers "
                "vary by themselves, or with what else it is asked at the time.",
            )
        seen = probe.get("fingerprints") or ()
        if len(seen) > 1:
            shown = ", ".join(map(str, seen[:3])) + (" and others" if len(seen) > 3 else "")
            yield (
                "warn",
                f"The fingerprint of {name}'s server changed during the run ({shown}). Its "
                "software or settings changed, and this may change answers.",
            )
