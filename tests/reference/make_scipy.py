"""Write scipy.json: values the tests of `quantrial.stats` are compared with.

Run from the repository root: .venv/bin/python tests/reference/make_scipy.py

- sign_flip: `permutation_test` of paired samples, every swap of every item. It is given the items'
  places, so that numerators and denominators of the two arms are swapped together, and Johnson's t
  (1978) about zero as the statistic. `maize` is Darwin's, in eighths of an inch (Fisher 1935).
- bca: `bootstrap(method="BCa", paired=True)` of a difference of two ratios of sums.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import scipy
from numpy.typing import NDArray
from scipy import stats

Array = NDArray[np.float64]
RESAMPLES = 100_000
MAIZE = [49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48]


def f1_columns(seed: int, n: int) -> tuple[Array, Array]:
    generator = np.random.default_rng(seed)
    gold = generator.poisson(1.5, n)
    found = [generator.binomial(gold, share) for share in (0.7, 0.5)]
    spurious = [generator.poisson(0.2, n) for _ in range(2)]
    top = np.stack([2.0 * tp for tp in found], axis=1)
    bottom = np.stack([tp + fp + gold for tp, fp in zip(found, spurious, strict=True)], axis=1)
    return top, bottom.astype(np.float64)


def sign_flip(name: str, top: Array, bottom: Array) -> dict[str, Any]:
    n = len(top)
    tops, bottoms = top.T.ravel(), bottom.T.ravel()  # place i is the reference's, n + i the other's
    common = tops.sum() / bottoms.sum()

    def distance(candidate: NDArray[np.int_], reference: NDArray[np.int_], axis: int) -> Array:
        change = tops[candidate] - tops[reference]
        change -= common * (bottoms[candidate] - bottoms[reference])
        square = (change**2).sum(axis)
        t = change.sum(axis) / np.sqrt(square)
        distance = np.abs(t + (change**3).sum(axis) / square**1.5 * (1 + 2 * t**2) / 6)
        rounded: Array = np.round(distance, 9)  # equal distances are equal
        return rounded

    found = stats.permutation_test(
        (np.arange(n, 2 * n), np.arange(n)),
        distance,
        permutation_type="samples",
        alternative="greater",
        vectorized=True,
        n_resamples=2**n,
    )
    return {"name": name, "top": top.tolist(), "bottom": bottom.tolist(), "p": float(found.pvalue)}


def bca(name: str, top: Array, bottom: Array) -> dict[str, Any]:
    def contrast(a: Array, b: Array, c: Array, d: Array, axis: int) -> Array:
        difference: Array = a.sum(axis) / b.sum(axis) - c.sum(axis) / d.sum(axis)
        return difference

    interval = stats.bootstrap(
        (top[:, 1], bottom[:, 1], top[:, 0], bottom[:, 0]),
        contrast,
        paired=True,
        method="BCa",
        n_resamples=RESAMPLES,
        batch=1000,
        rng=np.random.default_rng(1),
    ).confidence_interval
    ends = [float(interval.low), float(interval.high)]
    return {"name": name, "top": top.tolist(), "bottom": bottom.tolist(), "bca": ends}


def main() -> None:
    maize = np.stack([np.zeros(15), np.array(MAIZE, dtype=np.float64)], axis=1)
    losses = np.concatenate([-np.random.default_rng(1).exponential(1.0, 8), np.zeros(92)])
    rare = np.stack([np.zeros(100), losses], axis=1)
    document = {
        "made_with": {"scipy": scipy.__version__, "numpy": np.__version__},
        "sign_flip": [
            *(sign_flip(f"micro-F1 of {n}", *f1_columns(seed, n)) for seed, n in ((1, 8), (2, 13))),
            sign_flip("maize", maize, np.ones((15, 2))),
        ],
        "bca": [
            *(bca(f"micro-F1 of {n}", *f1_columns(seed, n)) for seed, n in ((4, 120), (5, 30))),
            bca("eight large losses in 100", rare, np.ones((100, 2))),
        ],
    }
    path = Path(__file__).with_name("scipy.json")
    path.write_text(json.dumps(document) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
