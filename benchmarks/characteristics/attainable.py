"""What any test of paired proportions can reach, by linear programming.

A test is a chance of claiming, for every outcome (gains, losses). That it errs in at most 5.5 % is
linear in these chances at each rate, and so is its power: the best that any test can do, monotone
or not, drawing lots or not, solves a linear program. Chances rounded down are a test that draws no
lots, so the best of those lies between the two.
"""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special

from characteristics.cells import Cell, Measured, proportion_cells
from characteristics.proportions import LIMIT, power

Array = NDArray[np.float64]

# rates of gains (for a difference: of flips) at which the error is held
HELD = (0.0, *np.geomspace(3e-4, 0.44, 48).tolist())
ALMOST = 1e-9  # what lies nearer to 1 is 1


@lru_cache(maxsize=2)
def _outcomes(n: int) -> tuple[Array, Array, Array, NDArray[np.intp]]:
    """Gains, losses, the log of the number of ways, and where the mirror image stands."""
    grid = np.full((n + 1, n + 1), -1)
    up, down = np.nonzero(np.add.outer(np.arange(n + 1), np.arange(n + 1)) <= n)
    grid[up, down] = np.arange(up.size)
    logs = [special.gammaln(k + 1) for k in (n, up, down, n - up - down)]
    ways = np.asarray(logs[0] - logs[1] - logs[2] - logs[3])
    return up.astype(np.float64), down.astype(np.float64), ways, grid[down, up]


def chances(kind: str, n: int, harm: float, gain: float) -> Array:
    """The chance of every outcome; a difference treats both arms alike: mirror images are one."""
    up, down, ways, mirror = _outcomes(n)
    logs = special.xlogy(up, gain) + special.xlogy(down, harm)
    found: Array = np.exp(ways + logs + special.xlogy(n - up - down, 1.0 - harm - gain))
    if kind == "difference":
        found = (found + np.where(up == down, 0.0, found[mirror]))[up <= down]
    return found


def _held(kind: str, n: int, margin: float) -> Array:
    """The chances under every hypothesis that may be rejected in at most 5.5 %."""
    if kind == "difference":
        return np.array([chances(kind, n, rate / 2, rate / 2) for rate in HELD[1:]])
    losses = [(gain + margin, gain) for gain in HELD if 2 * gain + margin <= 1.0]
    both = losses + ([(b, a) for a, b in losses] if kind == "equivalent" else [])
    return np.array([chances(kind, n, harm, gain) for harm, gain in both])


def best_power(held: Array, asked: Array, limit: float = LIMIT) -> tuple[float, float]:
    """The power of the best test at one truth, and of that test when it draws no lots."""
    value, claims = _least(-asked, held, np.full(len(held), limit), [(0.0, 1.0)] * asked.size)
    return -value, float(asked @ np.floor(claims + ALMOST))


def least_loss(held: Array, asked: Array, wanted: Array) -> float:
    """How far below the wanted power any one test must stay in at least one of several truths."""
    cost = np.zeros(asked.shape[1] + 1)
    cost[-1] = 1.0
    rows = np.vstack(
        [np.pad(held, ((0, 0), (0, 1))), np.pad(-asked, ((0, 0), (0, 1)), constant_values=-1.0)]
    )
    bounds = [(0.0, 1.0)] * asked.shape[1] + [(-1.0, 1.0)]
    right = np.concatenate([np.full(len(held), LIMIT), -wanted])
    return _least(cost, rows, right, bounds)[0]


def _least(
    cost: Array, rows: Array, right: Array, bounds: list[tuple[float, float]]
) -> tuple[float, Array]:
    found = optimize.linprog(cost, A_ub=rows, b_ub=right, bounds=bounds)
    if found.fun is None or found.x is None:
        raise RuntimeError(f"no solution: {found.message}")
    return float(found.fun), np.asarray(found.x)


def attainable(cell: Cell) -> Measured:
    """What no test can keep at this n and margin, and what one test for each truth would add."""
    held = _held(cell.kind, cell.n, cell.margin)
    same = (cell.kind, cell.n, cell.margin)
    truths = [c for c in proportion_cells() if (c.kind, c.n, c.margin) == same]
    asked = np.array(
        [
            chances(cell.kind, cell.n, (c.rate - c.truth) / 2.0, (c.rate + c.truth) / 2.0)
            for c in truths
        ]
    )
    ours = "mid-p" if cell.kind == "difference" else "score"
    measured = [power(c) for c in truths]
    own = np.array([one.methods[ours][1] for one in measured])
    single = np.array([best_power(held, row) for row in asked]) - own[:, None]
    figures = {}
    for sense in ("in the cell", "at any rate"):
        name = f"{cell.kind} power lost, valid {sense}"
        wanted = own + np.array([one.figures[name] for one in measured])
        figures[f"{cell.kind}: any test loses, valid {sense}"] = least_loss(held, asked, wanted)
    figures[f"{cell.kind}: a test for one truth adds"] = float(single[:, 0].max())
    figures[f"{cell.kind}: a test for one truth adds, without lots"] = float(single[:, 1].max())
    return Measured(figures)
