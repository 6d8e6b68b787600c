"""The letters that answers of a choice task give: how right each is, and whether they shifted."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from quantrial import documents
from quantrial.analysis.flips import right
from quantrial.analysis.values import number
from quantrial.errors import InsufficientDataError
from quantrial.stats import stuart_maxwell, stuart_maxwell_clusters

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from quantrial.analysis.alarms import Asked
    from quantrial.analysis.outcomes import TaskOutcomes
    from quantrial.study import Study


def accuracy_by_letter(outcomes: TaskOutcomes, arm: str) -> dict[str, dict[str, int]]:
    """Count one arm's right answers by the letter of the right option, on items it answered."""
    table: dict[str, dict[str, int]] = {}
    for i, item in enumerate(outcomes.items):
        is_right = right(outcomes, arm, i)
        if is_right is not None:
            row = table.setdefault(str(item.gold), {"n": 0, "correct": 0})
            row["n"] += 1
            row["correct"] += is_right
    return dict(sorted(table.items()))


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
    study: Study,
    scored: TaskOutcomes,
    pairs: Sequence[tuple[str, str]],
    clusters: NDArray[np.str_] | None,
) -> list[LetterTest]:
    """Test each candidate's shift in letters against the reference's, over clusters if any."""
    return [
        letter_shift(scored, r, c, clusters, alpha=study.alpha, seed=study.seed)
        for r, c in pairs
        if r == study.reference and scored.panel.answered_by(r, c).any()
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
