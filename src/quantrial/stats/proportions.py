"""One proportion, and tests of paired ones: McNemar's of two, Stuart and Maxwell's of more."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, SupportsIndex, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from quantrial.errors import InsufficientDataError, StatisticsError
from quantrial.stats._checks import checked_count, checked_draws, checked_level, checked_n
from quantrial.stats._numerics import half_tail, normal_quantile, special
from quantrial.stats.results import Estimate, Interval, TestResult

McNemarMethod = Literal["auto", "exact", "yates", "asymptotic", "midp"]

_EXACT_UP_TO = 25  # discordant pairs; the threshold published studies use
_BIG_INTEGER_UP_TO = 1000  # trials; above, exact integers cost more than they are worth


def checked_successes(successes: SupportsIndex, n: int) -> int:
    """Return a whole number from 0 to n."""
    count = checked_count(successes, "successes")
    if count > n:
        raise StatisticsError(f"successes is {count} of n = {n}; it cannot exceed n")
    return count


def wilson(successes: SupportsIndex, n: SupportsIndex, *, confidence: float = 0.95) -> Estimate:
    """Estimate a proportion with the Wilson score interval.

    Args:
        successes: items answered correctly, 0..n.
        n: items, at least 1.
        confidence: level of the interval, in (0, 1).

    Returns:
        The share of successes; the interval lies in [0, 1] and never has zero width.

    Raises:
        StatisticsError: for counts that are not whole, negative, or above n.
        InsufficientDataError: for n = 0.

    Items are taken as independent. Without a single success (or failure) the interval still has
    the width the score test gives it [1]_.

    References:
        .. [1] Wilson, E. B. (1927). Probable inference, the law of succession, and statistical
           inference. Journal of the American Statistical Association 22, 209-212.

    Example:
        >>> found = wilson(8, 10).interval
        >>> round(found.low, 3), round(found.high, 3)
        (0.49, 0.943)
    """
    level = checked_level(confidence, "confidence")
    total = checked_n(n, 1, "a proportion")
    count = checked_successes(successes, total)
    z = normal_quantile(0.5 + level / 2.0)
    share = count / total
    shrink = 1.0 + z * z / total
    centre = (share + z * z / (2.0 * total)) / shrink
    half = z * math.sqrt(share * (1.0 - share) / total + z * z / (4.0 * total * total)) / shrink
    low = 0.0 if count == 0 else max(0.0, centre - half)
    high = 1.0 if count == total else min(1.0, centre + half)
    return Estimate(share, Interval(low, high, level, "wilson"), total)


def clopper_pearson(
    successes: SupportsIndex, n: SupportsIndex, *, confidence: float = 0.95
) -> Estimate:
    """Estimate a proportion with the exact (Clopper-Pearson) interval.

    Args:
        successes: items answered correctly, 0..n.
        n: items, at least 1.
        confidence: level of the interval, in (0, 1).

    Returns:
        The share of successes with an interval that covers at least as often as it says, and
        usually more often [1]_.

    Raises:
        StatisticsError: for counts that are not whole, negative, or above n.
        InsufficientDataError: for n = 0.

    References:
        .. [1] Clopper, C. J., Pearson, E. S. (1934). The use of confidence or fiducial limits
           illustrated in the case of the binomial. Biometrika 26, 404-413.

    Example:
        >>> round(clopper_pearson(0, 10).interval.high, 4)  # 1 - 0.025 ** (1 / 10)
        0.3085
    """
    level = checked_level(confidence, "confidence")
    total = checked_n(n, 1, "a proportion")
    count = checked_successes(successes, total)
    quantile, tail = special().betaincinv, (1.0 - level) / 2.0
    low = 0.0 if count == 0 else float(quantile(count, total - count + 1, tail))
    high = 1.0 if count == total else float(quantile(count + 1, total - count, 1.0 - tail))
    return Estimate(count / total, Interval(low, high, level, "clopper-pearson"), total)


def _half_tail(successes: int, trials: int) -> tuple[float, float]:
    """Return P(X <= successes) and P(X = successes) for X binomial with probability 1/2.

    No more than half of the trials may be successes.
    """
    if trials <= _BIG_INTEGER_UP_TO:
        term, tail = 1, 1
        for k in range(successes):
            term = term * (trials - k) // (k + 1)
            tail += term
        return tail / 2**trials, term / 2**trials
    return half_tail(successes, trials)


def mcnemar(
    harmful: SupportsIndex,
    beneficial: SupportsIndex,
    *,
    n: SupportsIndex,
    method: McNemarMethod = "auto",
) -> TestResult:
    """Test whether harmful and beneficial flips are equally likely (McNemar, two-sided).

    Args:
        harmful: pairs where the reference is right and the candidate wrong.
        beneficial: pairs where the reference is wrong and the candidate right.
        n: all pairs, discordant or not, at least 1.
        method: `exact` binomial (conservative) [1]_, `midp` (exact less half the probability of
            what was observed) [2]_, `asymptotic` chi-square, `yates` (chi-square with continuity
            correction), or `auto`: exact up to 25 discordant pairs, yates above.

    Returns:
        The p-value; the statistic is the smaller count for `exact` and `midp`, else the
        chi-square on one degree of freedom. `method` names the one that was used. Without a
        discordant pair p is 1 and the statistic 0: nothing speaks for a difference.

    Raises:
        StatisticsError: for counts that are not whole, negative, or sum above n; for an unknown
            method.
        InsufficientDataError: for n = 0.

    Pairs are taken as independent. p does not depend on the number of concordant pairs.

    References:
        .. [1] McNemar, Q. (1947). Note on the sampling error of the difference between
           correlated proportions or percentages. Psychometrika 12, 153-157.
        .. [2] Fagerland, M. W., Lydersen, S., Laake, P. (2013). The McNemar test for binary
           matched-pairs data: mid-p and asymptotic are better than exact conditional. BMC
           Medical Research Methodology 13, 91.

    Example:
        >>> mcnemar(8, 0, n=100, method="exact").p_value  # 2 / 2**8
        0.0078125
    """
    if method not in get_args(McNemarMethod):
        choices = ", ".join(get_args(McNemarMethod))
        raise StatisticsError(f"method is {method!r}; choose one of {choices}")
    total = checked_n(n, 1, "a paired test")
    losses = checked_count(harmful, "harmful")
    gains = checked_count(beneficial, "beneficial")
    discordant = losses + gains
    if discordant > total:
        raise StatisticsError(
            f"harmful + beneficial is {discordant}, more than n = {total}; n counts all pairs"
        )
    used = method
    if method == "auto":
        used = "exact" if discordant <= _EXACT_UP_TO else "yates"
    label = f"mcnemar-{used}"
    if discordant == 0:
        return TestResult(1.0, 0.0, "two-sided", label, total)
    if used in ("exact", "midp"):
        smaller = min(losses, gains)
        tail, term = _half_tail(smaller, discordant)
        p = 2.0 * tail if used == "exact" else 2.0 * tail - term
        return TestResult(min(p, 1.0), float(smaller), "two-sided", label, total)
    gap = float(abs(losses - gains))
    if used == "yates":
        gap = max(gap - 1.0, 0.0)
    chi_square = gap * gap / discordant
    p = math.erfc(math.sqrt(chi_square / 2.0))
    return TestResult(p, chi_square, "two-sided", label, total)


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
    shifts = tuple(int(by) for by in shift)
    if changed == 0:
        return HomogeneityResult(1.0, 0.0, 0, "stuart-maxwell-exact", n, 0, shifts)
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
    return HomogeneityResult(p, statistic, df, method, n, changed, shifts)


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
