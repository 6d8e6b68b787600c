"""How much the answers that are missing could change a comparison."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from quantrial.errors import InsufficientDataError, StatisticsError


@dataclass(frozen=True, slots=True)
class WorstCase:
    """A mean difference on the complete pairs, and with every missing answer held against it.

    `complete` is candidate minus reference over the pairs both arms answered (NaN without
    one), `bound` the same over all `n` items when each missing candidate answer counts as the
    worst score and each missing reference answer as the best. For 0/1 scores `harmful` and
    `beneficial` are the flips behind `bound`, None otherwise.
    """

    complete: float
    bound: float
    n: int
    complete_pairs: int
    missing_reference: int
    missing_candidate: int
    harmful: int | None
    beneficial: int | None


def _checked_scores(scores: ArrayLike, name: str) -> NDArray[np.float64]:
    array = np.asarray(scores, dtype=np.float64)
    if array.ndim != 1:
        raise StatisticsError(f"{name} has shape {array.shape}; one score an item is needed")
    known = array[~np.isnan(array)]
    if ((known < 0.0) | (known > 1.0)).any():
        raise StatisticsError(
            f"{name} ranges from {known.min()} to {known.max()}; scores must lie in [0, 1], "
            "with NaN for a missing answer"
        )
    return array


def worst_case(reference: ArrayLike, candidate: ArrayLike) -> WorstCase:
    """Bound the mean difference, candidate minus reference, by what is missing [1]_.

    Args:
        reference: shape (items,), scores in [0, 1], NaN where the answer is missing.
        candidate: same shape, the candidate's.

    Returns:
        The difference over complete pairs, and its worst case for the candidate.

    Raises:
        StatisticsError: for scores outside [0, 1], or lengths that differ.
        InsufficientDataError: without an item.

    Nothing is assumed about why answers are missing.

    References:
        .. [1] Horowitz, J. L., Manski, C. F. (2000). Nonparametric analysis of randomized
           experiments with missing covariate and outcome data. Journal of the American
           Statistical Association 95, 77-84.

    Example:
        >>> worst_case([1, 1, 0, 1], [1, float("nan"), 0, 1]).bound  # as if it were wrong
        -0.25
    """
    before, after = _checked_scores(reference, "reference"), _checked_scores(candidate, "candidate")
    if before.shape != after.shape:
        raise StatisticsError(
            f"reference holds {before.size} scores and candidate {after.size}; pair them by item"
        )
    if before.size == 0:
        raise InsufficientDataError("no item was given; a bound needs at least one")
    no_before, no_after = np.isnan(before), np.isnan(after)
    both = ~(no_before | no_after)
    change = np.where(no_after, 0.0, after) - np.where(no_before, 1.0, before)
    binary = bool(np.isin(change, (-1.0, 0.0, 1.0)).all())
    return WorstCase(
        complete=float(change[both].mean()) if both.any() else float("nan"),
        bound=float(change.mean()),
        n=before.size,
        complete_pairs=int(both.sum()),
        missing_reference=int(no_before.sum()),
        missing_candidate=int(no_after.sum()),
        harmful=int((change == -1.0).sum()) if binary else None,
        beneficial=int((change == 1.0).sum()) if binary else None,
    )
