"""Agreement with the reference where no gold is, and the mean over several answers to an item.

Each study is decided by the very function that a run is: the verdict on one endpoint of two arms.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from characteristics.cells import Cell, Measured
from quantrial.analysis.outcomes import Panel
from quantrial.analysis.scores import compare_panel
from quantrial.tasks.endpoints import Endpoint

Array = NDArray[np.float64]
SHARE = Endpoint("same", "proportion", {"same": 1.0})
MEAN = Endpoint("score", "mean", {"score": 1.0})
SAMPLES = 5
# how often the reference repeats an item's answer: always the same, or some items hardly ever
REPEATS: dict[str, Callable[[int, np.random.Generator], Array]] = {
    "steady": lambda n, _: np.full(n, 0.97),
    "mixed": lambda n, rng: rng.beta(6.0, 0.8, n),
    "loose": lambda n, rng: rng.beta(2.0, 2.0, n),
}
AGREEMENT = (*REPEATS, "similarity")
DRAWN = ("sure", "spread", "even")
_SKILL = {"sure": (0.4, 0.1), "spread": (1.5, 1.0), "even": (8.0, 4.0)}


def agreement(cell: Cell) -> Measured:
    """Of a candidate that changes exactly the margin more answers than the reference itself."""
    draw = _similarity if cell.kind == "similarity" else _repeats
    return _decided(cell, draw, MEAN if cell.kind == "similarity" else SHARE)


def samples(cell: Cell) -> Measured:
    """Of a candidate whose mean over five answers an item lies exactly the margin below."""
    return _decided(cell, _drawn, MEAN)


def _repeats(cell: Cell, loss: float, rng: np.random.Generator) -> tuple[Array, Array]:
    """Whether the second answer, and the candidate's, says what the first one said."""
    own = REPEATS[cell.kind](cell.n, rng)
    # a candidate that changes more does so where the reference holds fast, in proportion
    other = own * (1.0 - loss / _mean_repeat(cell.kind))
    return _flips(own, rng), _flips(other, rng)


def _mean_repeat(kind: str) -> float:
    return {"steady": 0.97, "mixed": 6.0 / 6.8, "loose": 0.5}[kind]


def _similarity(cell: Cell, loss: float, rng: np.random.Generator) -> tuple[Array, Array]:
    """How similar answers are: one in ten changes, to another text that shares some of it."""
    share = 0.1
    own = np.where(_flips(np.full(cell.n, share), rng) == 1, rng.beta(4.0, 1.0, cell.n), 1.0)
    # each change costs 0.2 on average, so that `loss` is so many more of them
    more = np.full(cell.n, share + loss / 0.2)
    other = np.where(_flips(more, rng) == 1, rng.beta(4.0, 1.0, cell.n), 1.0)
    return own, other


def _drawn(cell: Cell, loss: float, rng: np.random.Generator) -> tuple[Array, Array]:
    a, b = _SKILL[cell.kind]
    skill = rng.beta(a, b, cell.n)
    worse = skill * (1.0 - loss * (a + b) / a)
    right = (rng.binomial(SAMPLES, p) / SAMPLES for p in (skill, worse))
    one, other = right
    return one, other


def _flips(chances: Array, rng: np.random.Generator) -> Array:
    return (rng.random(len(chances)) < chances).astype(np.float64)


def _decided(
    cell: Cell,
    draw: Callable[[Cell, float, np.random.Generator], tuple[Array, Array]],
    endpoint: Endpoint,
) -> Measured:
    rng, passed = cell.rng(), {"error": 0, "power at no loss": 0}
    for what, loss in (("error", cell.margin), ("power at no loss", 0.0)):
        for _ in range(cell.replications):
            scores = np.stack(draw(cell, loss, rng), axis=1)
            passed[what] += _passes(scores, endpoint, cell.margin)
    return Measured(
        {f"non-inferiority {what}": count / cell.replications for what, count in passed.items()}
    )


def _passes(scores: Array, endpoint: Endpoint, margin: float) -> bool:
    shape = (*scores.shape, 1)
    panel = Panel(
        ("reference", "candidate"),
        (endpoint,),
        scores.reshape(shape),
        np.ones(shape),
        np.ones(scores.shape, dtype=np.bool_),
    )
    found = compare_panel(panel, margin=margin, alpha=0.05, seed=1, resamples=200)
    test = found.contrasts[0].equivalence
    return test is not None and test.non_inferior
