"""Other packages on paired right and wrong answers: what their intervals and tests keep.

A result depends on the numbers of gains and losses alone, so every package is asked once for each
outcome that has a chance worth counting, and its error rates are exact (but for what it draws
itself). Packages that are not installed are left out. None of them has corpus micro-F1 as an
endpoint. evalaudit and evalstats have Tango's interval for paired proportions, the second also with
the continuity correction of 1/8 pair of Chang et al. (2024); the others have intervals of a mean.
"""

import importlib.util
import warnings
from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from characteristics.cells import Cell, Measured
from characteristics.proportions import outcomes
from quantrial.stats import mcnemar, score_flips

Array = NDArray[np.float64]
# 95 % interval, lower end of the 90 % interval, p of no difference: candidate minus reference
Answer = tuple[float, float, float, float]
Asked = Callable[[Array, Array], Answer]

RARE = 1e-5  # outcomes rarer than this are not asked about


def _quantrial(reference: Array, candidate: Array) -> Answer:
    harmful = int((reference > candidate).sum())
    beneficial = int((candidate > reference).sum())
    score = score_flips(harmful, beneficial, n=reference.size)
    both, one = score.interval(), score.interval(0.9)
    p = mcnemar(harmful, beneficial, n=reference.size, method="midp").p_value
    return both.low, both.high, one.low, p


def _errorbars(reference: Array, candidate: Array) -> Answer:
    compare = import_module("errorbars.compare").paired_compare
    both, one = (compare(candidate, reference, confidence=level) for level in (0.95, 0.9))
    return both.ci_low, both.ci_high, one.ci_low, both.mcnemar.p_value


def _deltagate(reference: Array, candidate: Array) -> Answer:
    delta = import_module("deltagate.paired").paired_delta
    both, one = (delta(candidate, reference, level=level) for level in (0.95, 0.9))
    return both["lower"], both["upper"], one["lower"], both["p_value"]


def _abeval(reference: Array, candidate: Array) -> Answer:
    compare = import_module("abeval.compare").paired_compare
    arms = (reference.tolist(), candidate.tolist())
    both, one = (compare(*arms, level=level, reps=400) for level in (0.95, 0.9))
    return both.ci_lo, both.ci_hi, one.ci_lo, both.mcnemar["p"]


def _evalaudit(reference: Array, candidate: Array) -> Answer:
    compare = import_module("evalaudit").compare_paired
    both, one = (compare(candidate, reference, confidence=level) for level in (0.95, 0.9))
    return both.ci_low, both.ci_high, one.ci_low, both.p_value


def _evalstats(reference: Array, candidate: Array) -> Answer:
    compare = import_module("evalstats").pairwise_differences
    scores = np.stack([candidate, reference])
    both, one = (compare(scores, 0, 1, method="tango", ci=level) for level in (0.95, 0.9))
    return both.ci_low, both.ci_high, one.ci_low, both.p_value


def _evalstats_corrected(reference: Array, candidate: Array) -> Answer:
    """Its interval with the correction of 1/8 pair, beside the p it gives either way."""
    corrected = import_module("evalstats.core.resampling").tango_scc_paired_ci
    both, one = (corrected(candidate, reference, alpha) for alpha in (0.05, 0.1))
    return (*both, one[0], _evalstats(reference, candidate)[3])


def _statsmodels(reference: Array, candidate: Array) -> Answer:
    stats = import_module("statsmodels.stats.weightstats").DescrStatsW(candidate - reference)
    test = import_module("statsmodels.stats.contingency_tables").mcnemar
    harmful, beneficial = (reference > candidate).sum(), (candidate > reference).sum()
    p = float(test([[0, harmful], [beneficial, 0]], exact=True).pvalue)
    return (*stats.tconfint_mean(0.05), stats.tconfint_mean(0.1)[0], p)


def _scipy(reference: Array, candidate: Array) -> Answer:
    scipy = import_module("scipy.stats")
    test = scipy.ttest_rel(candidate, reference)
    drawn = scipy.bootstrap(
        (candidate - reference,),
        np.mean,
        n_resamples=999,
        method="BCa",
        rng=np.random.default_rng(1),
        vectorized=True,
    )
    ends = [drawn.confidence_interval]
    ends.append(
        scipy.bootstrap(
            (candidate - reference,),
            np.mean,
            n_resamples=0,
            bootstrap_result=drawn,
            method="BCa",
            confidence_level=0.9,
        ).confidence_interval
    )
    return ends[0].low, ends[0].high, ends[1].low, float(test.pvalue)


ASKED: dict[str, Asked] = {
    "quantrial": _quantrial,
    "errorbars": _errorbars,
    "deltagate": _deltagate,
    "abeval": _abeval,
    "evalaudit": _evalaudit,
    "evalstats": _evalstats,
    "evalstats (corrected)": _evalstats_corrected,
    "statsmodels": _statsmodels,
    "scipy": _scipy,
}


def installed() -> list[str]:
    """The packages that are there."""
    return [name for name in ASKED if importlib.util.find_spec(name.split()[0])]


def packages(cell: Cell) -> Measured:
    """Coverage and error at a loss of the margin; the difference test where there is none."""
    harm, gain = (cell.rate - cell.truth) / 2.0, (cell.rate + cell.truth) / 2.0
    up, down, lost = outcomes(harm, gain, cell.n)
    chances = {
        (int(up[i, 0]), int(down[0, j])): float(lost[i, j])
        for i, j in zip(*np.nonzero(lost > RARE), strict=True)
    }
    up, down, same = outcomes(cell.rate / 2, cell.rate / 2, cell.n)
    null = {
        (int(up[i, 0]), int(down[0, j])): float(same[i, j])
        for i, j in zip(*np.nonzero(same > RARE), strict=True)
    }
    figures = {}
    for name in installed():
        known = {pair: _ask(ASKED[name], *pair, cell.n) for pair in chances.keys() | null.keys()}
        covered = claimed = 0.0
        for pair, chance in chances.items():
            low, high, lower, _ = known[pair]
            covered += chance * (low - 1e-12 <= cell.truth <= high + 1e-12)
            claimed += chance * (lower > -cell.margin + 1e-12)
        wrong = sum(chance * (known[pair][3] <= 0.05) for pair, chance in null.items())
        figures[f"{name} coverage"] = covered / sum(chances.values())
        figures[f"{name} non-inferiority error"] = claimed / sum(chances.values())
        figures[f"{name} difference error"] = wrong / sum(null.values())
    return Measured(figures)


def _ask(package: Asked, gains: int, losses: int, n: int) -> Answer:
    rows: Any = [[0.0, 1.0]] * gains + [[1.0, 0.0]] * losses + [[1.0, 1.0]] * (n - gains - losses)
    reference, candidate = np.array(rows).T
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of packages that divide by a spread of zero
        return package(reference.copy(), candidate.copy())
