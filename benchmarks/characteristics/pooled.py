"""Corpus micro-F1, simulated: the score method and the sign-flip test, and the alternatives."""

import dataclasses
import math
from collections.abc import Iterator
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from characteristics.cells import Cell, Measured
from characteristics.generators import draw, true_difference
from quantrial.stats import PairedScore, score_ratios, sign_flip
from quantrial.stats._null_variance import Null

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]

Z_ONE, Z_TWO = 1.6448536269514722, 1.959963984540054
TELLING = 2.486  # standard deviations from the margin: 80 % power, were the difference normal
BLOCK = 400_000  # items drawn at a time
RESAMPLES = 999
FEW = 10.0  # effective changes under the null, below which a claim is called approximate
CLEAN = "score claims not called approximate"


def studies(cell: Cell, rng: np.random.Generator) -> Iterator[tuple[Array, Array]]:
    """Blocks of simulated studies in which something changed, shape (studies, n, 2)."""
    left, step = cell.replications, max(1, BLOCK // cell.n)
    while left > 0:
        count = min(step, left)
        top, bottom = draw(cell.kind, count * cell.n, cell.rate, rng)
        yield top.reshape(count, cell.n, 2), bottom.reshape(count, cell.n, 2)
        left -= count


def shares(top: Array, bottom: Array) -> tuple[Array, Array]:
    """Difference of micro-F1 and influences, by study: the plain formulas, many at a time."""
    sums = bottom.sum(axis=1)
    ratios = top.sum(axis=1) / sums
    difference = ratios[:, 1] - ratios[:, 0]
    parts = (top - bottom * ratios[:, None, :]) / (sums / top.shape[1])[:, None, :]
    return difference, parts[:, :, 1] - parts[:, :, 0] + difference[:, None]


def hall(values: Array, null: float) -> Flags:
    """Linearisation with a pseudo-pair of the largest change, Hall's correction, t(n - 1)."""
    n, largest = values.shape[1] + 2, np.abs(values).max(axis=1)
    mean = values.sum(axis=1) / n  # the pseudo-pair sums to 0
    centred = values - mean[:, None]
    squares = centred * centred
    square = squares.sum(axis=1) + 2.0 * (largest**2 + mean**2)
    # of the pair: (L - m)^3 + (-L - m)^3
    cube = (squares * centred).sum(axis=1) - 6.0 * largest**2 * mean - 2.0 * mean**3
    sd = np.sqrt(square / n)
    skewness = cube / n / sd**3 / math.sqrt(n)
    t = (mean - null) / (sd / math.sqrt(n - 1))
    corrected = t + skewness * t**2 / 3.0 + skewness**2 * t**3 / 27.0 + skewness / 6.0
    return np.asarray(corrected > stats.t.ppf(0.95, n - 1))


def jackknife(top: Array, bottom: Array, null: float) -> Flags:
    """The delete-one jackknife on t(n - 1)."""
    n = top.shape[1]
    tops, bottoms = top.sum(axis=1, keepdims=True) - top, bottom.sum(axis=1, keepdims=True) - bottom
    ratios = tops / np.maximum(bottoms, 1.0)
    left_out = ratios[:, :, 1] - ratios[:, :, 0]
    error = np.sqrt((n - 1) * left_out.var(axis=1))
    whole, _ = shares(top, bottom)
    return np.asarray(whole - null > stats.t.ppf(0.95, n - 1) * error)


def nulls(scores: list[PairedScore], null: float) -> list[Null]:
    """Of every study, how its difference would scatter if `null` were true."""
    return [one._null(null) if one._null else Null(math.nan) for one in scores]


def deviates(
    scores: list[PairedScore], known: list[Null], null: float, corrections: Array
) -> Array:
    """Of every study, how far above `null` it lies, its correction taken off."""
    rows = []
    for one, at, off in zip(scores, known, corrections.tolist(), strict=True):
        gap = one.estimate - null - off
        rows.append((gap / math.sqrt(at.variance), at.skewness))
    distance, skewness = np.array(rows).T
    a = skewness / 6.0  # `Null.beyond`, many at a time
    return np.asarray(distance - a * distance**2 + a * a * distance**3 / 3.0 + a)


def own(scores: list[PairedScore]) -> Array:
    """The correction of each study's score test itself."""
    return np.array([one._correction for one in scores])


def claims(
    scores: list[PairedScore], known: list[Null], top: Array, bottom: Array, null: float
) -> dict[str, Flags]:
    """Where each method finds the difference above `null` at 5 %."""
    n = top.shape[1]
    difference, values = shares(top, bottom)
    error = values.std(axis=1, ddof=1) / math.sqrt(n)
    largest = np.abs(values).max(axis=1) / n
    return {
        "score": deviates(scores, known, null, own(scores)) > Z_ONE,
        "score, quarter": deviates(scores, known, null, 0.25 * largest) > Z_ONE,
        "score, uncorrected": deviates(scores, known, null, 0.0 * largest) > Z_ONE,
        "paired t": np.asarray(difference - null > stats.t.ppf(0.95, n - 1) * error),
        "jackknife": jackknife(top, bottom, null),
        "pseudo-pairs, Hall": hall(values, null),
    }


def _per_item(top: Array, bottom: Array) -> tuple[Array, Array]:
    """F1 of each item, 1 where there was nothing to find and nothing found; over 1."""
    scores = np.divide(top, bottom, out=np.ones_like(top), where=bottom > 0.0)
    return scores, np.ones_like(top)


@lru_cache
def _mean_change(kind: str) -> float:
    """The mean difference of per-item F1 where every item changes."""
    rng = np.random.default_rng(1)
    blocks = (_per_item(*draw(kind, 200_000, 1.0, rng))[0] for _ in range(20))
    return float(np.mean([float((scores[:, 1] - scores[:, 0]).mean()) for scores in blocks]))


def f1(cell: Cell) -> Measured:
    """Coverage, error at a margin equal to the loss, and power at a margin well beyond it."""
    return _measure(cell, true_difference(cell.kind, cell.rate), None)


def f1_choosing(cell: Cell) -> Measured:
    """The same on generators that the recipe was chosen on after the first ones."""
    return f1(cell)


def f1_confirming(cell: Cell) -> Measured:
    """The same on generators that nothing was chosen on."""
    return f1(cell)


def f1_fields(cell: Cell) -> Measured:
    """Coverage and error of micro-F1 over the fields of JSON objects."""
    return Measured(f1(cell).figures)


def macro_f1(cell: Cell) -> Measured:
    """The same of a mean: F1 by item, in [0, 1]."""
    return _measure(cell, cell.rate * _mean_change(cell.kind), 1.0)


def _measure(cell: Cell, truth: float, support: float | None) -> Measured:
    rng = cell.rng()
    rows: list[Array] = []
    errors: dict[str, list[Flags]] = {}
    powers: dict[str, list[Flags]] = {}
    beyond = math.nan
    for sums in studies(cell, rng):
        tops, bottoms = sums if support is None else _per_item(*sums)
        known = [
            score_ratios(top, bottom, support=support)
            for top, bottom in zip(tops, bottoms, strict=True)
        ]
        # a study in which nothing changed, or an arm has no denominator, claims nothing
        usable = [one._null is not None and one.changed > 0 for one in known]
        scores = [one for one, use in zip(known, usable, strict=True) if use]
        if not scores:
            continue
        top, bottom = tops[usable], bottoms[usable]
        at = nulls(scores, truth)
        # from below and from above
        mirrored = [dataclasses.replace(one, estimate=-one.estimate) for one in scores]
        above = deviates(scores, at, truth, own(scores)) > Z_TWO
        below = deviates(mirrored, [one.mirrored() for one in at], -truth, own(scores)) > Z_TWO
        covered = ~(above | below)
        # the same as asking each: which the first of every block is
        assert covered[0] == (scores[0].test(truth).p_value >= 0.05)
        rough = np.array([one.effective < FEW for one in at])
        rows.append(
            np.stack([[one.changed for one in scores], [one.effective for one in scores], rough])
        )
        if math.isnan(beyond):
            beyond = truth - TELLING * float(np.std([one.estimate for one in scores]))
        far = nulls(scores, beyond)
        for null, asked, tally in ((truth, at, errors), (beyond, far, powers)):
            for name, yes in claims(scores, asked, top, bottom, null).items():
                tally.setdefault(name, []).append(yes)
            clean = np.array([one.effective >= FEW for one in asked])
            tally.setdefault(CLEAN, []).append(tally["score"][-1] & clean)
        errors.setdefault("covered", []).append(covered)
    means = {name: float(np.concatenate(found).mean()) for name, found in errors.items()}
    strong = {name: float(np.concatenate(found).mean()) for name, found in powers.items()}
    changed, effective, warned = np.concatenate(rows, axis=1).mean(axis=1).tolist()
    figures = {
        "mean changed": changed,
        "mean effective": effective,
        "warned": warned,
        "score coverage": means.pop("covered"),
        "score non-inferiority error": means["score"],
        f"{CLEAN}, error": means.pop(CLEAN),
        f"{CLEAN}, power": strong.pop(CLEAN),
    }
    return Measured(figures, {name: (error, strong[name]) for name, error in means.items()})


def _difference_tests(top: Array, bottom: Array, rng: np.random.Generator) -> dict[str, bool]:
    n = top.shape[0]
    difference, values = (part[0] for part in shares(top[None], bottom[None]))
    error = float(values.std(ddof=1)) / math.sqrt(n)
    return {
        "sign-flip": sign_flip(top, bottom, rng=rng, resamples=499).p_value <= 0.05,
        "score": score_ratios(top, bottom).test().p_value <= 0.05,
        "paired t": bool(abs(difference) > stats.t.ppf(0.975, n - 1) * error),
    }


def f1_null(cell: Cell) -> Measured:
    """Difference tests where neither arm is better, and their power where one is.

    The null: labels swapped at random within items; or `balanced`, few large losses against
    many small gains.
    """
    rng = cell.rng()
    wrong, right = dict[str, int](), dict[str, int]()
    swapped = cell.kind != "balanced"
    for tops, bottoms in studies(cell, rng):
        for top, bottom in zip(tops, bottoms, strict=True):
            swap = rng.random((cell.n, 1)) < (0.5 if swapped else 0.0)
            one, other = (np.where(swap, a[:, ::-1], a) for a in (top, bottom))
            for name, yes in _difference_tests(one, other, rng).items():
                wrong[name] = wrong.get(name, 0) + yes
            if swapped:
                for name, yes in _difference_tests(top, bottom, rng).items():
                    right[name] = right.get(name, 0) + yes
    draws = cell.replications
    figures = {
        f"{name} error": count / draws for name, count in wrong.items() if name != "paired t"
    }
    # without a better arm there is no power to compare, but an error that others are judged by
    powers = {name: right[name] / draws if swapped else math.nan for name in wrong}
    return Measured(figures, {name: (count / draws, powers[name]) for name, count in wrong.items()})


def _bootstrap_claims(
    top: Array, bottom: Array, nulls: tuple[float, ...], rng: np.random.Generator
) -> dict[str, list[float]]:
    """The p of "above each null" by four bootstraps from one set of resamples."""
    n = top.shape[0]
    columns, counts = np.unique(np.concatenate([top, bottom], 1), axis=0, return_counts=True)
    products = np.stack([columns[:, i] * columns[:, j] for i in range(4) for j in range(i, 4)], 1)
    weights = rng.multinomial(n, counts / n, size=RESAMPLES).astype(np.float64)
    sums = np.maximum(weights @ columns, 1e-9)
    moments = weights @ products
    whole = (counts @ columns)[None]
    observed, error = _with_error(whole, (counts @ products)[None], n)
    drawn, errors = _with_error(sums, moments, n)
    d = float(observed[0])
    t = (drawn - d) / np.maximum(errors, 1e-12)
    totals = whole - columns
    left = totals[:, 1] / totals[:, 3] - totals[:, 0] / totals[:, 2]
    pulls = float(counts @ left) / n - left
    skew = float(counts @ pulls**3) / (6.0 * max(float(counts @ pulls**2), 1e-100) ** 1.5)
    bias = stats.norm.ppf(np.clip(((drawn < d).mean() + (drawn <= d).mean()) / 2, 1e-3, 1 - 1e-3))
    found: dict[str, list[float]] = {"classic": [], "percentile": [], "BCa": [], "bootstrap-t": []}
    for null in nulls:
        found["classic"].append(float((drawn - d >= d - null - 1e-12).mean()))
        share = float((drawn <= null + 1e-12).mean())
        found["percentile"].append(share)
        z = stats.norm.ppf(np.clip(share, 0.5 / RESAMPLES, 1 - 0.5 / RESAMPLES)) - bias
        found["BCa"].append(float(stats.norm.cdf(z / (1.0 + skew * z) - bias)))
        found["bootstrap-t"].append(float((t >= (d - null) / max(float(error[0]), 1e-12)).mean()))
    return found


def _with_error(sums: Array, moments: Array, n: int) -> tuple[Array, Array]:
    """Differences of two ratios and their standard errors, from sums and sums of products."""
    a, b, c, e = sums.T  # numerators of both arms, denominators of both arms
    ratio = (a / c, b / e)
    # an influence is a weighted sum of the four columns
    w = np.stack([-n / c, n / e, n * ratio[0] / c, -n * ratio[1] / e], axis=1)
    pairs = [(i, j) for i in range(4) for j in range(i, 4)]
    square = sum(
        (1.0 if i == j else 2.0) * w[:, i] * w[:, j] * moments[:, k]
        for k, (i, j) in enumerate(pairs)
    )
    return ratio[1] - ratio[0], np.sqrt(np.maximum(square / n, 0.0) / n)


def f1_bootstrap(cell: Cell) -> Measured:
    """Bootstraps of micro-F1 beside the score interval, on the same data."""
    rng, truth = cell.rng(), true_difference(cell.kind, cell.rate)
    pilot = [shares(t, b)[0] for t, b in studies(cell, rng)]
    beyond = truth - TELLING * float(np.concatenate(pilot).std())
    rows: dict[str, list[tuple[bool, bool, bool]]] = {}
    for tops, bottoms in studies(cell, rng):
        for top, bottom in zip(tops, bottoms, strict=True):
            score = score_ratios(top, bottom)
            if score._null is None:
                continue  # nothing changed: no method has an interval
            found = _bootstrap_claims(top, bottom, (truth, beyond), rng)
            found["score"] = [score.test(null, "greater").p_value for null in (truth, beyond)]
            for name, (p, far) in found.items():
                rows.setdefault(name, []).append((0.025 <= p <= 0.975, p < 0.05, far < 0.05))
    means = {name: np.mean(found, axis=0).tolist() for name, found in rows.items()}
    figures: dict[str, float] = {}
    for name, (covered, error, strength) in means.items():
        figures |= {f"{name} coverage": covered, f"{name} error": error, f"{name} power": strength}
    return Measured(figures, {name: (m[1], m[2]) for name, m in means.items()})
