"""How far the reference strays from itself: the noise that differences between arms are held to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from quantrial import documents
from quantrial.analysis.values import ends, number
from quantrial.stats import mcnemar, wilson

if TYPE_CHECKING:
    from quantrial.analysis.alarms import AlarmFamily, Asked
    from quantrial.analysis.outcomes import TaskOutcomes

_Pairs = Sequence[tuple[bool, bool]]


@dataclass(frozen=True, slots=True)
class _Test:
    """Which of two happens more often: the candidate differs, or the reference strays.

    `p_more`: the candidate differs more often than the reference strays; `p_less`: less often.
    """

    differ: int
    strayed: int
    p_more: float
    p_less: float
    asked: Asked

    def told(self, alpha: float) -> str:
        """Say what is shown once the family is adjusted: `more`, `less`, or `open`."""
        if not self.asked.p_alarm < alpha:
            return "open"
        return "more" if self.p_more < self.p_less else "less"

    def written(self, alpha: float) -> documents.RepeatTest:
        return documents.RepeatTest(
            differ=self.differ,
            strayed=self.strayed,
            p_more=self.p_more,
            p_less=self.p_less,
            told=self.told(alpha),
            p_alarm=number(self.asked.p_alarm),
        )


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A candidate's differences from the reference: of so many, in score and in text."""

    name: str
    n: int
    score_rate: float
    text_rate: float
    both: int
    score: _Test
    text: _Test

    def written(self, alpha: float) -> documents.RepeatCandidate:
        return documents.RepeatCandidate(
            candidate=self.name,
            n=self.n,
            text=self.text_rate,
            score=self.score_rate,
            same_items=documents.SameItems(
                n=self.both, score=self.score.written(alpha), text=self.text.written(alpha)
            ),
        )


@dataclass(frozen=True, slots=True)
class Repeats:
    """The two answers of the reference to the items it was asked twice: (score, text) of each."""

    arm: str
    alpha: float
    own: Mapping[int, tuple[bool, bool]]
    candidates: tuple[_Candidate, ...]

    def written(self) -> documents.Repeats:
        """Write what is shown, once the family that was asked is adjusted."""
        alpha = self.alpha
        return documents.Repeats(
            arm=self.arm,
            n=len(self.own),
            alpha=alpha,
            method="mcnemar-midp",
            text=_rate([text for _, text in self.own.values()], alpha),
            score=_rate([score for score, _ in self.own.values()], alpha),
            candidates=tuple(one.written(alpha) for one in self.candidates),
            strays_more=tuple(
                one.name
                for one in self.candidates
                if "less" in (one.score.told(alpha), one.text.told(alpha))
            ),
        )


def repeats(
    scored: TaskOutcomes, reference: str, *, name: str, family: AlarmFamily
) -> Repeats | None:
    """Compare the two answers of the reference to the items it was asked twice.

    Same weights, same prompt, same seed: whatever differs is noise of the machinery (the shape of
    batches, the order of sums), and differences between arms cannot be told from it below that.
    Whether a candidate differs from the reference more or less often than the reference from itself
    is tested on the items asked twice, paired: McNemar's mid-p, one-sided to either side.

    Args:
        scored: the task.
        reference: the arm that was asked twice.
        name: of the task.
        family: is asked of each test; what is shown follows once it is adjusted.

    Returns:
        None where nothing was answered twice.
    """
    first, again = scored.responses[reference], scored.again.get(reference, {})
    before = scored.outcomes[reference]
    own: dict[int, tuple[bool, bool]] = {}
    for i, (response, outcome) in enumerate(zip(first, before, strict=True)):
        if response is not None and outcome is not None and i in again:
            second, rescored = again[i]
            own[i] = (outcome.values != rescored.values, response.output != second.output)
    if not own:
        return None
    candidates = []
    for arm in scored.arms:
        rows = {} if arm == reference else _rows(scored, reference, arm)
        if rows:
            both = [(rows[i], mine) for i, mine in own.items() if i in rows]
            score, text = (
                _ask(
                    [(differs[at], strays[at]) for differs, strays in both],
                    f"{name}.repeats.{kind}.{arm}",
                    family,
                )
                for at, kind in enumerate(("score", "text"))
            )
            score_rate, text_rate = (
                sum(row[at] for row in rows.values()) / len(rows) for at in (0, 1)
            )
            found = _Candidate(arm, len(rows), score_rate, text_rate, len(both), score, text)
            candidates.append(found)
    return Repeats(reference, family.alpha, own, tuple(candidates))


def _rate(differ: Sequence[bool], alpha: float) -> documents.RepeatRate:
    count = sum(differ)
    found = wilson(count, len(differ), confidence=1.0 - alpha)
    return documents.RepeatRate(
        differ=count,
        rate=number(found.estimate),
        ci=ends(found.interval),
        confidence=found.interval.confidence,
        method=found.interval.method,
    )


def _rows(scored: TaskOutcomes, reference: str, arm: str) -> dict[int, tuple[bool, bool]]:
    """Say on which items a candidate differs from the reference, in score and in text."""
    return {
        i: (was.values != now.values, one.output != other.output)
        for i, (one, other, was, now) in enumerate(
            zip(
                scored.responses[reference],
                scored.responses[arm],
                scored.outcomes[reference],
                scored.outcomes[arm],
                strict=True,
            )
        )
        if one is not None and other is not None and was is not None and now is not None
    }


def _ask(pairs: _Pairs, identity: str, family: AlarmFamily) -> _Test:
    """Ask of pairs (candidate differs, reference strays) which of the two happens more often."""
    more = sum(differs and not strays for differs, strays in pairs)
    less = sum(strays and not differs for differs, strays in pairs)
    p = mcnemar(less, more, n=len(pairs), method="midp").p_value if pairs else 1.0
    half = p / 2.0  # one-sided, towards what was seen
    p_more = half if more > less else 1.0 - half
    p_less = half if less > more else 1.0 - half
    differ = sum(differs for differs, _ in pairs)
    strayed = sum(strays for _, strays in pairs)
    two_sided = min(1.0, 2.0 * min(p_more, p_less))
    asked = family.ask(
        "reference against itself", identity, two_sided, counts=bool(differ or strayed)
    )
    return _Test(differ, strayed, p_more, p_less, asked)
