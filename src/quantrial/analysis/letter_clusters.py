"""Whether answer letters shifted, where items come in random clusters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from quantrial.analysis.failure_modes import letter_shift

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from quantrial.analysis.outcomes import TaskOutcomes
    from quantrial.study import Study

_COUNT_UP_TO = 14  # clusters; 2^14 sets of signs cost less than a second
_DRAWS = 10_000
_TIE = 1e-9  # of the statistic: rounding must not break ties


def letter_shifts(
    study: Study,
    scored: TaskOutcomes,
    pairs: Sequence[tuple[str, str]],
    clusters: NDArray[np.str_] | None,
) -> list[dict[str, Any]]:
    """Test each candidate's shift in letters against the reference's, over clusters if any."""
    found = [
        letter_shift(scored, r, c)
        for r, c in pairs
        if r == study.reference and scored.panel.answered_by(r, c).any()
    ]
    if clusters is None:
        return found
    return [
        over_clusters(scored, one, clusters, alpha=study.alpha, seed=study.seed) for one in found
    ]


def over_clusters(
    outcomes: TaskOutcomes,
    found: Mapping[str, Any],
    clusters: NDArray[np.str_],
    *,
    alpha: float,
    seed: int,
) -> dict[str, Any]:
    """Test a `letter_shift` over clusters in place of items; what it counts stays."""
    if not found["changed"]:
        return dict(found)
    letters = {letter: i for i, letter in enumerate(found["shift"])}
    steps = np.zeros((len(outcomes.items), len(letters)))
    both = (outcomes.outcomes[found[arm]] for arm in ("reference", "candidate"))
    for i, (before, after) in enumerate(zip(*both, strict=True)):
        if before and after and before.answer is not None and after.answer is not None:
            steps[i, letters[str(after.answer)]] += 1.0
            steps[i, letters[str(before.answer)]] -= 1.0
    return {**found, **shift_over_clusters(steps, clusters, alpha=alpha, seed=seed)}


def shift_over_clusters(
    steps: NDArray[np.float64], clusters: NDArray[np.str_], *, alpha: float, seed: int
) -> dict[str, Any]:
    """Test letters over clusters: the arms' labels are swapped within whole clusters.

    The statistic is Stuart and Maxwell's with the clusters' covariance in place of the items'. It
    is a sum over clusters that each keep or change their sign if the arms do not differ, and p is
    the share of signs at least as far from no shift [1]_.

    Args:
        steps: shape (items, letters): 1 for the letter an item's answer came to, -1 for the one it
            left, 0 throughout where it stayed.
        clusters: shape (items,).
        alpha: the level at which the test must be able to reject.
        seed: of the signs that are drawn where they are too many to count.

    Returns:
        `statistic`, `p_value`, `method`, `df`. Where so few clusters changed a letter that no p
        could lie below alpha (2 / 2^G for G of them), statistic and p are None and the method is
        `refused`.

    References:
        .. [1] Good, P. (2005). Permutation, Parametric and Bootstrap Tests of Hypotheses, 3rd
           edition, section 3.6. Springer.
    """
    codes = np.unique(clusters, return_inverse=True)[1]
    sums = np.zeros((int(codes.max()) + 1, steps.shape[1]))
    np.add.at(sums, codes, steps)
    sums = sums[np.abs(sums).any(axis=1)]
    groups = len(sums)
    if 2.0 / 2.0**groups >= alpha:
        return {"statistic": None, "p_value": None, "method": "refused", "df": 0}
    covariance = sums.T @ sums
    inverse = np.linalg.pinv(covariance, hermitian=True)
    total = sums.sum(axis=0)
    statistic = float(total @ inverse @ total)
    if groups <= _COUNT_UP_TO:
        signs = 1.0 - 2.0 * ((np.arange(2**groups)[:, None] >> np.arange(groups)) & 1)
    else:
        signs = 2.0 * np.random.default_rng(seed).integers(0, 2, size=(_DRAWS, groups)) - 1.0
    shifts = signs @ sums
    far = np.einsum("si,ij,sj->s", shifts, inverse, shifts) >= statistic * (1.0 - _TIE) - _TIE
    exact = groups <= _COUNT_UP_TO
    return {
        "statistic": statistic,
        "p_value": float(far.mean()) if exact else float((far.sum() + 1) / (_DRAWS + 1)),
        "method": f"stuart-maxwell-clusters{'-exact' if exact else ''}",
        "df": int(np.linalg.matrix_rank(covariance, hermitian=True)),
    }
