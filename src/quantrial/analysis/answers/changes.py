"""Which answers changed: between two arms, by letter, and between two answers of one arm."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from quantrial import documents
from quantrial.analysis.outcomes import labels
from quantrial.documents.codec import ends, number
from quantrial.errors import InsufficientDataError
from quantrial.stats import mcnemar, stuart_maxwell, stuart_maxwell_clusters, wilson

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from quantrial.analysis.alarms import AlarmFamily, Asked
    from quantrial.analysis.outcomes import TaskOutcomes
    from quantrial.analysis.question import Question


Turn = tuple[str, str | None, bool]  # item, how its answer turned, whether it is churn


def right(outcomes: TaskOutcomes, arm: str, index: int) -> bool | None:
    """Whether an arm's answer to an item is wholly right; None without an answer."""
    outcome = outcomes.outcomes[arm][index]
    return None if outcome is None else outcomes.task.is_right(outcome)


def flips(
    outcomes: TaskOutcomes, reference: str, candidate: str, key: str | None = None
) -> documents.Flips:
    """Count the items whose answer turned, between two arms, among those both answered.

    `harmful`: reference wholly right, candidate not; `beneficial`: the reverse; `churn`: the raw
    text changed and every score stayed. With a `key` of the items' metadata, in each of its values
    too.

    Raises:
        DataError: an item has no such key.
    """
    turns = list(_turns(outcomes, reference, candidate))
    strata: dict[str, dict[str, documents.FlipCounts]] = {}
    if key:
        values = labels(outcomes.items, key).tolist() if outcomes.items else []
        by_value: dict[str, list[Turn | None]] = {value: [] for value in sorted(set(values))}
        for value, turn in zip(values, turns, strict=True):
            by_value[value].append(turn)
        strata[key] = {value: _counted(inside) for value, inside in by_value.items()}
    found = _counted(turns)
    return documents.Flips(
        reference=reference,
        candidate=candidate,
        harmful=found.harmful,
        beneficial=found.beneficial,
        churn=found.churn,
        n=found.n,
        items=found.items,
        strata=strata,
    )


def _counted(turns: Sequence[Turn | None]) -> documents.FlipCounts:
    known = [turn for turn in turns if turn is not None]
    harmful, beneficial = (
        tuple(item for item, turned, _ in known if turned == kind)
        for kind in ("harmful", "beneficial")
    )
    return documents.FlipCounts(
        harmful=len(harmful),
        beneficial=len(beneficial),
        churn=sum(churn for _, _, churn in known),
        n=len(known),
        items=documents.FlippedItems(harmful=harmful, beneficial=beneficial),
    )


def _turns(outcomes: TaskOutcomes, reference: str, candidate: str) -> Iterator[Turn | None]:
    """Give, item by item, its id, how its answer turned, and whether it is churn.

    None where one of the arms gave no answer.
    """
    for i, item in enumerate(outcomes.items):
        before, after = outcomes.outcomes[reference][i], outcomes.outcomes[candidate][i]
        old, new = outcomes.responses[reference][i], outcomes.responses[candidate][i]
        if before is None or after is None or old is None or new is None:
            yield None
            continue
        was, now = right(outcomes, reference, i), right(outcomes, candidate, i)
        turned = None if was == now else "harmful" if was else "beneficial"
        yield item.id, turned, old.output != new.output and before.values == after.values


def accuracy_by_letter(outcomes: TaskOutcomes, arm: str) -> dict[str, documents.LetterCount]:
    """Count one arm's right answers by the letter of the right option, on items it answered."""
    seen, correct = Counter[str](), Counter[str]()
    for i, item in enumerate(outcomes.items):
        is_right = right(outcomes, arm, i)
        if is_right is not None:
            seen[str(item.gold)] += 1
            correct[str(item.gold)] += is_right
    return {
        letter: documents.LetterCount(n=seen[letter], correct=correct[letter])
        for letter in sorted(seen)
    }


@dataclass(frozen=True, slots=True)
class LetterTest:
    """A test of whether two arms give each letter equally often, on items read from both.

    Statistic, p and method are None where no letter changed; where too few clusters changed one,
    the method is `refused`. `shift` is by how many the number of each letter grew.
    """

    reference: str
    candidate: str
    n: int
    changed: int
    shift: Mapping[str, int]
    statistic: float | None = None
    p_value: float | None = None
    method: str | None = None
    df: int = 0

    def written(self, *, declared: bool, asked: Asked) -> documents.LetterShift:
        """Write the shift, once its p is adjusted."""
        return documents.LetterShift(
            reference=self.reference,
            candidate=self.candidate,
            statistic=number(self.statistic),
            p_value=number(self.p_value),
            method=self.method,
            n=self.n,
            changed=self.changed,
            df=self.df,
            shift=self.shift,
            declared=declared,
            p_adjusted=number(asked.p_alarm),
            p_alarm=number(asked.p_alarm),
        )


def letter_shifts(
    question: Question,
    scored: TaskOutcomes,
    pairs: Sequence[tuple[str, str]],
    clusters: NDArray[np.str_] | None,
) -> list[LetterTest]:
    """Test each candidate's shift in letters against the reference's, over clusters if any."""
    return [
        letter_shift(scored, r, c, clusters, alpha=question.alpha, seed=question.seed)
        for r, c in pairs
        if r == question.reference and scored.panel.answered_by(r, c).any()
    ]


def letter_shift(
    outcomes: TaskOutcomes,
    reference: str,
    candidate: str,
    clusters: NDArray[np.str_] | None = None,
    *,
    alpha: float = 0.05,
    seed: int = 0,
) -> LetterTest:
    """Test whether a candidate prefers other letters than the reference (position bias).

    The question is whether both arms give each letter equally often, on the items where a letter
    could be read from both; an arm that stops giving letters shows in `unparsed_rate` instead.

    Args:
        outcomes: of a choice task.
        reference: an arm.
        candidate: an arm.
        clusters: shape (items,), where the items come in random groups.
        alpha: the level at which a test over clusters must be able to reject.
        seed: of the signs that are drawn where clusters are too many to count.
    """
    both = zip(outcomes.outcomes[reference], outcomes.outcomes[candidate], strict=True)
    pairs = [
        None
        if before is None or after is None or before.answer is None or after.answer is None
        else (str(before.answer), str(after.answer))
        for before, after in both
    ]
    counts = Counter(pair for pair in pairs if pair is not None)
    letters = sorted({letter for pair in counts for letter in pair})
    table = np.array([[counts[one, other] for other in letters] for one in letters])
    changed = sum(count for (one, other), count in counts.items() if one != other)
    grown = (table.sum(axis=0) - table.sum(axis=1)).tolist() if letters else []
    found = LetterTest(
        reference, candidate, counts.total(), changed, dict(zip(letters, grown, strict=True))
    )
    if not changed:
        return found
    try:
        if clusters is None:
            test = stuart_maxwell(table)
        else:
            test = stuart_maxwell_clusters(
                _tables(pairs, letters, clusters), rng=np.random.default_rng(seed), alpha=alpha
            )
    except InsufficientDataError:
        return replace(found, method="refused")
    return replace(
        found, statistic=test.statistic, p_value=test.p_value, method=test.method, df=test.df
    )


def _tables(
    pairs: Sequence[tuple[str, str] | None], letters: Sequence[str], clusters: NDArray[np.str_]
) -> NDArray[np.int64]:
    """Count, cluster by cluster, which letter of the reference met which of the candidate."""
    at = {letter: i for i, letter in enumerate(letters)}
    codes = np.unique(clusters, return_inverse=True)[1]
    tables = np.zeros((int(codes.max()) + 1, len(letters), len(letters)), dtype=np.int64)
    for code, pair in zip(codes.tolist(), pairs, strict=True):
        if pair is not None:
            tables[code, at[pair[0]], at[pair[1]]] += 1
    return tables


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
