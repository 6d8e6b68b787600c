"""Paired proportions, by enumeration of every outcome: ours, and the alternatives."""

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from characteristics.cells import Cell, Measured
from quantrial.stats import Question, bootstrap_ratios, flip_power, mcnemar, score_flips
from quantrial.stats._null_variance import cell_variance
from quantrial.stats._numerics import likely_outcomes
from quantrial.stats.score import CORRECTION

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]
Ends = Callable[[Array, Array, int, float], tuple[Array, Array]]

Z_ONE, Z_TWO = 1.6448536269514722, 1.959963984540054
LIMIT = 0.055
RIGHT = 0.6  # of the unchanged answers; only Newcombe's interval looks at them
GAINS = (0.0, 0.001, 0.003, 0.01, 0.03, 0.1)  # rates that "valid at any rate" is judged by


def outcomes(harm: float, gain: float, n: int) -> tuple[Array, Array, Array]:
    """Gains, losses, and the chance of both; refused where there are too many."""
    found = likely_outcomes(harm, gain, n)
    if found is None:
        raise ValueError(f"n = {n} has too many outcomes to enumerate")
    return found


def score_above(up: Array, down: Array, n: int, null: float, critical: float, off: float) -> Flags:
    """Where the score test finds the difference above `null`, correcting by `off` pairs."""
    spread = np.sqrt(n * cell_variance(up, down, n, null))
    return np.asarray(up - down - n * null - off > critical * spread)


def proportions(cell: Cell) -> Measured:
    """Coverage and error rates of the score method and McNemar's mid-p."""
    harm, gain = (cell.rate - cell.truth) / 2.0, (cell.rate + cell.truth) / 2.0
    figures = dict[str, float]()
    if cell.truth < 0.0:
        questions: dict[str, Question] = {
            "non-inferiority": "non_inferior",
            "equivalence": "equivalent",
        }
        for name, question in questions.items():
            figures[f"score {name} error"] = flip_power(
                harm, gain, cell.n, question=question, margin=-cell.truth
            ).power
    if cell.truth == 0.0:
        figures["mid-p error"] = flip_power(harm, gain, cell.n, question="difference").power
    # a true difference is covered unless it is rejected from below or from above
    missed = 0.0
    for low, high, true in ((harm, gain, cell.truth), (gain, harm, -cell.truth)):
        up, down, chances = outcomes(low, high, cell.n)
        missed += float(chances[score_above(up, down, cell.n, true, Z_TWO, CORRECTION)].sum())
    figures["score coverage"] = 1.0 - missed
    return Measured(figures)


def _wald(extra: float, more: int, continuity: float = 0.0) -> Ends:
    """Wald's interval after adding `extra` pairs to both kinds of flips, `more` pairs in all."""

    def ends(up: Array, down: Array, n: int, z: float) -> tuple[Array, Array]:
        pairs = n + more
        d = (up - down) / pairs
        reach = z * np.sqrt(np.maximum((up + down + 2 * extra) / pairs - d * d, 0.0) / pairs)
        return d - reach - continuity / n, d + reach + continuity / n

    return ends


def newcombe(up: Array, down: Array, n: int, z: float, right: float = RIGHT) -> tuple[Array, Array]:
    """Newcombe's square-and-add interval with the corrected phi (method 10 of his paper)."""
    same = np.maximum(n - up - down, 0.0)
    both, none = right * same, (1.0 - right) * same
    p_new, p_old = (both + up) / n, (both + down) / n

    def wilson(p: Array) -> tuple[Array, Array]:
        shrink, centre = 1.0 + z * z / n, p + z * z / (2.0 * n)
        half = z * np.sqrt(p * (1.0 - p) / n + z * z / (4.0 * n * n))
        return (centre - half) / shrink, (centre + half) / shrink

    (low_new, high_new), (low_old, high_old) = wilson(p_new), wilson(p_old)
    product = both * none - up * down
    product = np.where(product > n / 2, product - n / 2, np.minimum(product, 0.0))
    sizes = (both + up) * (down + none) * (both + down) * (up + none)
    phi = np.divide(product, np.sqrt(sizes), out=np.zeros_like(product), where=sizes > 0)
    d = p_new - p_old
    a, b, c, e = p_new - low_new, high_old - p_old, high_new - p_new, p_old - low_old
    low = d - np.sqrt(np.maximum(a * a - 2 * phi * a * b + b * b, 0.0))
    high = d + np.sqrt(np.maximum(c * c - 2 * phi * c * e + e * e, 0.0))
    return low, high


ENDS: dict[str, Ends] = {
    "Wald": _wald(0.0, 0),
    "Wald, continuity": _wald(0.0, 0, 1.0),
    "Agresti-Min": _wald(0.5, 2),
    "Bonett-Price": _wald(1.0, 2),
    "Newcombe": newcombe,
}


def _above(up: Array, down: Array, n: int, margin: float) -> dict[str, Flags]:
    """Where each method claims non-inferiority at a nominal 5 %."""
    found = {
        "score": score_above(up, down, n, -margin, Z_ONE, CORRECTION),
        "score, quarter": score_above(up, down, n, -margin, Z_ONE, 0.25),
        "score, uncorrected": score_above(up, down, n, -margin, Z_ONE, 0.0),
    }
    return found | {name: ends(up, down, n, Z_ONE)[0] > -margin for name, ends in ENDS.items()}


def _claims(kind: str, up: Array, down: Array, n: int, margin: float) -> dict[str, Flags]:
    if kind == "difference":
        return _differences(up, down, n)
    found = _above(up, down, n, margin)
    if kind == "equivalent":
        other = _above(down, up, n, margin)
        found = {name: yes & other[name] for name, yes in found.items()}
    return found


def _differences(up: Array, down: Array, n: int) -> dict[str, Flags]:
    gap, flips = np.abs(up - down), np.maximum(up + down, 1.0)
    low = np.minimum(up, down)
    first, last = int((up + down).min()), int((up + down).max())
    critical = {
        method: np.array([_most_fewer(k, method) for k in range(first, last + 1)])
        for method in ("midp", "exact")
    }
    at = (up + down).astype(np.intp) - first
    spread = np.sqrt(np.maximum(flips / n - (gap / n) ** 2, 0.0) / n)
    return {
        "mid-p": low <= critical["midp"][at],
        "exact": low <= critical["exact"][at],
        "asymptotic": gap > Z_TWO * np.sqrt(flips),
        "Yates": gap - 1.0 > Z_TWO * np.sqrt(flips),
        "score": gap - CORRECTION > Z_TWO * np.sqrt(flips),
        "Wald": gap / n > Z_TWO * spread,
    }


@lru_cache(maxsize=100_000)
def _most_fewer(flips: int, method: str) -> int:
    """The largest smaller count that McNemar's test rejects, or -1."""
    low, high = -1, flips // 2 + 1
    while high - low > 1:
        middle = (low + high) // 2
        p = mcnemar(middle, flips - middle, n=max(flips, 1), method=method).p_value  # type: ignore[arg-type]
        low, high = (middle, high) if p <= 0.05 else (low, middle)
    return low


def _rates(kind: str, harm: float, gain: float, n: int, margin: float) -> dict[str, float]:
    up, down, chances = outcomes(harm, gain, n)
    return {
        name: float(chances[yes].sum()) for name, yes in _claims(kind, up, down, n, margin).items()
    }


@lru_cache(maxsize=512)
def _worst(kind: str, n: int, margin: float) -> dict[str, float]:
    """The largest error rate of each method at this n and margin, whatever the rate of gains."""
    if kind == "difference":
        errors = [_rates(kind, r / 2, r / 2, n, 0.0) for r in (0.005, 0.02, 0.05, 0.1, 0.2, 0.3)]
    else:
        errors = [_rates(kind, gain + margin, gain, n, margin) for gain in GAINS]
    return {name: max(one[name] for one in errors) for name in errors[0]}


def power(cell: Cell) -> Measured:
    """Power, and how much of it a method that is valid would add.

    Valid in the cell: an error rate within the limit with the same rate of gains, and losses
    up to the margin (a difference: with as many flips, none of them one-sided). Valid at any
    rate: within it at this n and margin for every rate of gains, as no analyst knows the true one.
    """
    harm, gain = (cell.rate - cell.truth) / 2.0, (cell.rate + cell.truth) / 2.0
    found = _rates(cell.kind, harm, gain, cell.n, cell.margin)
    if cell.kind == "difference":
        null, ours = (cell.rate / 2, cell.rate / 2), "mid-p"
    else:
        null, ours = (gain + cell.margin, gain), "score"
    errors = _rates(cell.kind, *null, cell.n, cell.margin)
    worst = _worst(cell.kind, cell.n, cell.margin)
    name = f"{cell.kind} power lost"
    here = max((found[m] for m in found if errors[m] <= LIMIT), default=0.0)
    always = max((found[m] for m in found if max(errors[m], worst[m]) <= LIMIT), default=0.0)
    figures = {
        f"{name}, valid in the cell": here - found[ours],
        f"{name}, valid at any rate": always - found[ours],
    }
    return Measured(figures, {m: (errors[m], found[m]) for m in found})


def bootstrap(cell: Cell) -> Measured:
    """The classic set on paired proportions, with the score method on the same data."""
    names = ("bootstrap coverage", "bootstrap equivalence error", "score equivalence error")
    rng, tally = cell.rng(), dict.fromkeys(names, 0)
    chances = [(cell.rate - cell.truth) / 2, (cell.rate + cell.truth) / 2, 1 - cell.rate]
    for _ in range(cell.replications):
        losses, gains, same = rng.multinomial(cell.n, chances).tolist()
        scores = np.repeat([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]], [losses, gains, same], axis=0)
        drawn = bootstrap_ratios(scores, np.ones_like(scores), rng=rng, resamples=1000)
        difference = drawn.difference(candidate=1, reference=0)
        interval = difference.interval()
        tally["bootstrap coverage"] += interval.low <= cell.truth <= interval.high
        margin = -cell.truth
        tally["bootstrap equivalence error"] += difference.tost(margin).equivalent
        score = score_flips(losses, gains, n=cell.n)
        tally["score equivalence error"] += score.equivalence(margin).equivalent
    return Measured({name: count / cell.replications for name, count in tally.items()})
