"""Adjusting p-values for the number of questions asked of one family."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from quantrial.errors import StatisticsError


def _checked_p_values(p_values: ArrayLike) -> NDArray[np.float64]:
    p = np.asarray(p_values, dtype=np.float64)
    if p.ndim != 1:
        raise StatisticsError(f"p_values has shape {p.shape}; one p-value a contrast is needed")
    known = p[~np.isnan(p)]
    if ((known < 0.0) | (known > 1.0)).any():
        raise StatisticsError(
            f"p_values range from {known.min()} to {known.max()}; each must lie in [0, 1] or be NaN"
        )
    return p


def holm(p_values: ArrayLike) -> NDArray[np.float64]:
    """Adjust p-values by Holm's step-down method, which controls the family-wise error rate.

    Args:
        p_values: shape (m,), one a contrast, each in [0, 1] or NaN.

    Returns:
        Shape (m,), in the order given. NaN (a contrast that could not be tested) stays NaN and
        does not count towards the size of the family. An empty family gives an empty array.

    Raises:
        StatisticsError: for a p-value outside [0, 1] or a shape other than (m,).

    Holds under any dependence between the tests [1]_.

    References:
        .. [1] Holm, S. (1979). A simple sequentially rejective multiple test procedure.
           Scandinavian Journal of Statistics 6, 65-70.
    """
    p = _checked_p_values(p_values)
    adjusted = np.full(p.shape, np.nan)
    known = np.flatnonzero(~np.isnan(p))
    order = known[np.argsort(p[known], kind="stable")]
    factors = np.arange(order.size, 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * factors), 1.0)
    return adjusted


def hochberg(p_values: ArrayLike) -> NDArray[np.float64]:
    """Adjust p-values by Hochberg's step-up method, never larger than Holm's.

    Args:
        p_values: shape (m,), one a contrast, each in [0, 1] or NaN.

    Returns:
        Shape (m,), in the order given; NaN stays NaN and does not count.

    Raises:
        StatisticsError: for a p-value outside [0, 1] or a shape other than (m,).

    Controls the family-wise error rate for independent or positively dependent tests [1]_;
    contrasts against one shared reference are, contrasts in a ring of all pairs need not be.

    References:
        .. [1] Hochberg, Y. (1988). A sharper Bonferroni procedure for multiple tests of
           significance. Biometrika 75, 800-802.
    """
    p = _checked_p_values(p_values)
    adjusted = np.full(p.shape, np.nan)
    known = np.flatnonzero(~np.isnan(p))
    order = known[np.argsort(-p[known], kind="stable")]
    factors = np.arange(1, order.size + 1)
    adjusted[order] = np.minimum(np.minimum.accumulate(p[order] * factors), 1.0)
    return adjusted


def fixed_sequence(p_values: ArrayLike) -> NDArray[np.float64]:
    """Adjust p-values of questions asked in a fixed order, each only if all before held.

    Args:
        p_values: shape (m,), in the order of asking ("non-inferior", then "equivalent").

    Returns:
        Shape (m,): the largest p so far. From the first NaN on, NaN: the gate was not passed.

    Raises:
        StatisticsError: for a p-value outside [0, 1] or a shape other than (m,).

    Controls the family-wise error rate under any dependence, without splitting alpha [1]_,
    provided the order was fixed before the data were seen.

    References:
        .. [1] Maurer, W., Hothorn, L. A., Lehmacher, W. (1995). Multiple comparisons in drug
           clinical trials and preclinical assays: a-priori ordered hypotheses. In: Biometrie in
           der chemisch-pharmazeutischen Industrie 6, 3-18. Fischer.
    """
    return np.maximum.accumulate(_checked_p_values(p_values))


def intersection_union(p_values: ArrayLike) -> float:
    """Combine p-values into one for "all of the claims hold" (no task loses the margin).

    Args:
        p_values: shape (m,), at least one, one a claim.

    Returns:
        The largest p-value, which needs no adjustment [1]_; NaN if any claim could not be
        tested.

    Raises:
        StatisticsError: for a p-value outside [0, 1], another shape, or no p-value.

    References:
        .. [1] Berger, R. L. (1982). Multiparameter hypothesis testing and acceptance sampling.
           Technometrics 24, 295-300.
    """
    p = _checked_p_values(p_values)
    if p.size == 0:
        raise StatisticsError("no p-value was given; a claim about all of none says nothing")
    return float(p.max())


def worse_on_any(p_values: ArrayLike) -> float:
    """Combine p-values into one for "at least one of the claims holds" (a loss on some task).

    Args:
        p_values: shape (m,), at least one: for each task the p of its own claim (the candidate
            is worse on it), each in [0, 1] or NaN.

    Returns:
        The adjusted minimum: the smallest p times the number of tasks, at most 1. It is the
        smallest of Holm's adjusted p-values, so whenever it is below alpha, Holm names the
        task. NaN (a task that could not be tested) does not count; NaN where none could.

    Raises:
        StatisticsError: for a p-value outside [0, 1], another shape, or no p-value.

    Controls the error rate under any dependence between the tasks, by Bonferroni's
    inequality [1]_ [2]_. It is the other half of `intersection_union`: "on every task" needs
    every claim and no adjustment, "on some task" needs one claim and pays for having looked at
    all.

    References:
        .. [1] Dunn, O. J. (1961). Multiple comparisons among means. Journal of the American
           Statistical Association 56, 52-64.
        .. [2] Holm, S. (1979). A simple sequentially rejective multiple test procedure.
           Scandinavian Journal of Statistics 6, 65-70.
    """
    p = _checked_p_values(p_values)
    if p.size == 0:
        raise StatisticsError("no p-value was given; a claim about any of none says nothing")
    known = p[~np.isnan(p)]
    return min(1.0, float(known.min()) * known.size) if known.size else float("nan")
