"""Does a paired answer fall on each category equally often? Stuart and Maxwell's test."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from quantrial.errors import InsufficientDataError, StatisticsError
from quantrial.stats._checks import checked_draws, checked_level

Floats = NDArray[np.float64]

# p is exact up to so many distinct outcomes and changed items; beyond, chi-squared is
_COUNT_UP_TO = 20_000
_CHANGED_UP_TO = 1_000
_SIGN_UP_TO = 14  # clusters; 2^14 sets of signs cost less than a second
_TIE = 1e-9  # of the statistic: outcomes as far as the one observed count, whatever rounding did


@dataclass(frozen=True, slots=True)
class HomogeneityResult:
    """A test of whether two paired answers fall on each category equally often.

    `shift` says by how many items each category grew, candidate minus reference; `changed` items
    of `n` went from one category to another.
    """

    p_value: float
    statistic: float
    df: int
    method: str
    n: int
    changed: int
    shift: tuple[int, ...]
    clusters: int | None = None


def stuart_maxwell(table: ArrayLike) -> HomogeneityResult:
    """Test whether reference and candidate give each category equally often (Stuart, Maxwell).

    The statistic is the quadratic form of the shifts in their covariance [1]_ [2]_. Given how
    often two categories were exchanged, each direction is a fair coin if the two do not differ:
    p is the exact share of outcomes at least as far from no shift where up to 20,000 distinct
    ones can be counted, else that of the chi-squared distribution. With two categories the exact
    test is McNemar's.

    Args:
        table: shape (categories, categories), counts of items: the reference's answer by row,
            the candidate's by column.

    Returns:
        The two-sided p, on `df` degrees of freedom: the rank of the covariance, which categories
        exchanged only among themselves lower. The method is `stuart-maxwell-exact` or
        `stuart-maxwell`. Where no item changed, p is 1 on 0 degrees of freedom.

    Raises:
        StatisticsError: the table is not square, or holds what is no count.
        InsufficientDataError: the table is empty.

    Items are taken as independent; for items in random groups use `stuart_maxwell_clusters`.

    References:
        .. [1] Stuart, A. (1955). A test for homogeneity of the marginal distributions in a two-way
           classification. Biometrika 42, 412-416.
        .. [2] Maxwell, A. E. (1970). Comparing the classification of subjects by two independent
           judges. British Journal of Psychiatry 116, 651-655.

    Example:
        >>> found = stuart_maxwell([[20, 5], [15, 60]])
        >>> round(found.p_value, 4), found.shift
        (0.0414, (10, -10))
    """
    counts = _checked_tables(table, 2, "(categories, categories)")
    n, moved = int(counts.sum()), counts - np.diag(np.diag(counts))
    changed = int(moved.sum())
    shift = _shifts(moved)
    told = tuple(int(by) for by in shift)
    if changed == 0:
        return HomogeneityResult(1.0, 0.0, 0, "stuart-maxwell-exact", n, 0, told)
    used = (moved + moved.T).any(axis=0)
    moved, shift = moved[used][:, used], shift[used]
    both = moved + moved.T
    covariance = np.diag(both.sum(axis=0)) - both
    # categories exchanged among themselves only have a sum that cannot shift: hence the rank
    inverse = np.linalg.pinv(covariance, hermitian=True)
    df = int(np.linalg.matrix_rank(covariance, hermitian=True))
    statistic = float(shift @ inverse @ shift)
    pairs = zip(*np.triu_indices(len(shift), 1), strict=True)
    exchanged = {(int(i), int(j)): int(both[i, j]) for i, j in pairs if both[i, j]}
    outcomes = _all_shifts(exchanged, len(shift))
    if outcomes is None:
        p, method = _chi_squared_tail(statistic, df), "stuart-maxwell"
    else:
        every, chances = outcomes
        p = min(float(chances[_as_far(every, inverse, statistic)].sum()), 1.0)
        method = "stuart-maxwell-exact"
    return HomogeneityResult(p, statistic, df, method, n, changed, told)


def stuart_maxwell_clusters(
    tables: ArrayLike,
    *,
    rng: np.random.Generator,
    alpha: float = 0.05,
    resamples: int = 10_000,
) -> HomogeneityResult:
    """Test `stuart_maxwell`'s question where items come in random groups ("groups like these").

    The labels of reference and candidate are swapped within whole clusters [1]_. The statistic has
    the clusters' covariance in place of the items'; it is a sum over clusters that each keep or
    change their sign if the two do not differ, and p is the share of signs at least as far from no
    shift.

    Args:
        tables: shape (clusters, categories, categories), a table of `stuart_maxwell` a cluster.
        rng: the only source of randomness; not used where all signs can be counted.
        alpha: the level at which the test must be able to reject.
        resamples: signs to draw, at least 1; the observed ones count as one more [2]_.

    Returns:
        As `stuart_maxwell`. The method is `stuart-maxwell-clusters-exact` where the signs of up to
        14 clusters were counted, else `stuart-maxwell-clusters`: p is (k + 1) / (resamples + 1).
        Clusters whose items shifted nothing in sum play no part.

    Raises:
        StatisticsError: the shape is another one, or something in it is no count.
        InsufficientDataError: an empty table, or so few clusters shifted anything (G of them) that
            no p, at least 2 / 2^G, could lie below alpha.

    References:
        .. [1] Good, P. (2005). Permutation, Parametric and Bootstrap Tests of Hypotheses, 3rd
           edition, section 3.6. Springer.
        .. [2] Phipson, B., Smyth, G. K. (2010). Permutation p-values should never be zero.
           Statistical Applications in Genetics and Molecular Biology 9, article 39.

    Example:
        >>> tables = [[[4, 1], [0, 3]]] * 20
        >>> found = stuart_maxwell_clusters(tables, rng=np.random.default_rng(1))
        >>> found.p_value < 0.05, found.shift
        (True, (-20, 20))
    """
    counts = _checked_tables(tables, 3, "(clusters, categories, categories)")
    level, draws = checked_level(alpha, "alpha"), checked_draws(resamples)
    sums = _shifts(counts)
    total = sums.sum(axis=0)
    sums = sums[np.abs(sums).any(axis=1)]
    groups = len(sums)
    if 2.0 / 2.0**groups >= level:
        raise InsufficientDataError(
            f"{groups} cluster(s) shifted an answer; below an alpha of {level:g} no p is possible "
            "with so few; analyse items of more clusters"
        )
    covariance = sums.T @ sums
    inverse = np.linalg.pinv(covariance, hermitian=True)
    statistic = float(total @ inverse @ total)
    exact = groups <= _SIGN_UP_TO
    if exact:
        signs = 1.0 - 2.0 * ((np.arange(2**groups)[:, None] >> np.arange(groups)) & 1)
    else:
        signs = 2.0 * rng.integers(0, 2, size=(draws, groups)) - 1.0
    far = _as_far(signs @ sums, inverse, statistic)
    return HomogeneityResult(
        p_value=float(far.mean()) if exact else float((far.sum() + 1) / (draws + 1)),
        statistic=statistic,
        df=int(np.linalg.matrix_rank(covariance, hermitian=True)),
        method=f"stuart-maxwell-clusters{'-exact' if exact else ''}",
        n=int(counts.sum()),
        changed=int(counts.sum() - np.trace(counts, axis1=1, axis2=2).sum()),
        shift=tuple(int(by) for by in total),
        clusters=len(counts),
    )


def _checked_tables(tables: ArrayLike, dimensions: int, shape: str) -> Floats:
    counts = np.asarray(tables, dtype=np.float64)
    if counts.ndim != dimensions or counts.shape[-1] != counts.shape[-2]:
        raise StatisticsError(f"the table has shape {counts.shape}; {shape} is needed")
    if not np.isfinite(counts).all() or (counts < 0.0).any() or (counts % 1.0 != 0.0).any():
        raise StatisticsError(
            "the table holds what is no count; whole numbers of items, at least 0, are needed"
        )
    if not counts.any():
        raise InsufficientDataError("the table holds no item; analyse at least one")
    return counts


def _shifts(counts: Floats) -> Floats:
    """Return by how much each category grew, of one table or of each."""
    grown: Floats = counts.sum(axis=-2) - counts.sum(axis=-1)
    return grown


def _as_far(
    shifts: Floats, inverse: NDArray[np.floating[Any]], statistic: float
) -> NDArray[np.bool_]:
    distances = np.einsum("si,ij,sj->s", shifts, inverse, shifts)
    far: NDArray[np.bool_] = distances >= statistic * (1.0 - _TIE) - _TIE
    return far


def _chi_squared_tail(value: float, df: int) -> float:
    # Q(a + 1, x) = Q(a, x) + x^a e^-x / Gamma(a + 1), from a = 1/2 or 1: SciPy's is slow to import
    x, a = value / 2, 0.5 if df % 2 else 1.0
    tail = math.erfc(math.sqrt(x)) if df % 2 else math.exp(-x)
    while 2 * a < df:
        tail += math.exp(a * math.log(x) - x - math.lgamma(a + 1)) if x > 0 else 0.0
        a += 1
    return tail


def _all_shifts(
    exchanged: Mapping[tuple[int, int], int], categories: int
) -> tuple[Floats, Floats] | None:
    """Every distinct shift with its chance, were directions fair coins; None where too many."""
    total = sum(exchanged.values())
    # a shift as one number, a digit from -total to total a category; the last one's follows
    base = 2 * total + 1
    if total > _CHANGED_UP_TO or base ** (categories - 1) > np.iinfo(np.int64).max:
        return None
    places = np.array([*(base**i for i in range(categories - 1)), 0], dtype=np.int64)
    codes: NDArray[np.int64] = np.zeros(1, dtype=np.int64)
    chances: Floats = np.ones(1)
    for (i, j), count in sorted(exchanged.items()):
        if len(chances) * (count + 1) > _COUNT_UP_TO:
            return None
        heads = np.arange(count + 1)
        coins = np.array([math.comb(count, k) / 2**count for k in range(count + 1)])
        steps = (2 * heads - count) * (places[i] - places[j])
        codes, where = np.unique((codes[:, None] + steps).ravel(), return_inverse=True)
        weights = (chances[:, None] * coins).ravel()
        chances = np.bincount(where, weights=weights).astype(np.float64)
    shifts = np.zeros((len(codes), categories))
    for i in range(categories - 1):
        digit = (codes + total) % base - total
        shifts[:, i] = digit
        codes = (codes - digit) // base
    shifts[:, -1] = -shifts.sum(axis=1)
    return shifts, chances
