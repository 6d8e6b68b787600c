"""Which answers changed: between two arms, by letter, and between two answers of one arm."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from msgspec.structs import replace

from quantrial import documents
from quantrial.analysis.outcomes import labels
from quantrial.analysis.values import ends
from quantrial.documents.codec import nan, number
from quantrial.errors import InsufficientDataError
from quantrial.stats import mcnemar, stuart_maxwell, stuart_maxwell_clusters, wilson

if TYPE_CHECKING:
    from collections.abc import Sequence

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
        yield item.id, turned, old.said != new.said and before.values == after.values


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


def letter_shifts(
    question: Question,
    scored: TaskOutcomes,
    pairs: Sequence[tuple[str, str]],
    clusters: NDArray[np.str_] | None,
) -> list[documents.LetterShift]:
    """Test each candidate's shift in letters against the reference's, over clusters if any."""
    return [
        letter_shift(
            scored,
            r,
            c,
            clusters,
            alpha=question.alpha,
            seed=question.seed,
            declared="letter_shift" in question.declared,
        )
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
    declared: bool = False,
) -> documents.LetterShift:
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
        declared: whether the study named it beforehand.

    Returns:
        The test, its p not adjusted yet.
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
    found = documents.LetterShift(
        reference=reference,
        candidate=candidate,
        statistic=None,
        p_value=None,
        method=None,
        n=counts.total(),
        changed=changed,
        df=0,
        shift=dict(zip(letters, grown, strict=True)),
        declared=declared,
        p_adjusted=None,
        p_alarm=None,
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
        found,
        statistic=number(test.statistic),
        p_value=number(test.p_value),
        method=test.method,
        df=test.df,
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
class _RepeatTest:
    """A test of whether a candidate differs more often than the reference strays, and its question.

    What the test shows (`told`) follows once the family is closed.
    """

    test: documents.RepeatTest
    asked: Asked

    def written(self, alpha: float) -> documents.RepeatTest:
        told, p = "open", number(self.asked.p_alarm)
        if p is not None and p < alpha:
            told = "more" if nan(self.test.p_more) < nan(self.test.p_less) else "less"
        return replace(self.test, told=told, p_alarm=p)


@dataclass(frozen=True, slots=True)
class Repeats:
    """The reference against itself, with the tests of each candidate's scores and of its texts."""

    found: documents.Repeats
    tests: tuple[tuple[_RepeatTest, _RepeatTest], ...]

    def written(self) -> documents.Repeats:
        """Write what is shown, once the family that was asked is adjusted."""
        candidates = []
        for one, tests in zip(self.found.candidates, self.tests, strict=True):
            score, text = (test.written(self.found.alpha) for test in tests)
            same = replace(one.same_items, score=score, text=text)
            candidates.append(replace(one, same_items=same))
        more = tuple(
            one.candidate
            for one in candidates
            if "less" in (one.same_items.score.told, one.same_items.text.told)
        )
        return replace(self.found, candidates=tuple(candidates), strays_more=more)


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
            own[i] = (outcome.values != rescored.values, response.said != second.said)
    if not own:
        return None
    candidates, tests = [], []
    for arm in scored.arms:
        rows = {} if arm == reference else _rows(scored, reference, arm)
        if not rows:
            continue
        both = [(rows[i], mine) for i, mine in own.items() if i in rows]
        score, text = (
            _ask(
                [(differs[at], strays[at]) for differs, strays in both],
                f"{name}.repeats.{kind}.{arm}",
                family,
            )
            for at, kind in enumerate(("score", "text"))
        )
        tests.append((score, text))
        candidates.append(
            documents.RepeatCandidate(
                candidate=arm,
                n=len(rows),
                text=sum(text for _, text in rows.values()) / len(rows),
                score=sum(score for score, _ in rows.values()) / len(rows),
                same_items=documents.SameItems(n=len(both), score=score.test, text=text.test),
            )
        )
    found = documents.Repeats(
        arm=reference,
        n=len(own),
        alpha=family.alpha,
        method="mcnemar-midp",
        text=_rate([text for _, text in own.values()], family.alpha),
        score=_rate([score for score, _ in own.values()], family.alpha),
        candidates=tuple(candidates),
        strays_more=(),
    )
    return Repeats(found, tuple(tests))


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
        i: (was.values != now.values, one.said != other.said)
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


def _ask(pairs: _Pairs, identity: str, family: AlarmFamily) -> _RepeatTest:
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
    test = documents.RepeatTest(
        differ=differ, strayed=strayed, p_more=p_more, p_less=p_less, told="open", p_alarm=None
    )
    return _RepeatTest(test, asked)
