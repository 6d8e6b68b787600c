"""Coverage, type-I error, power and family-wise error of `quantrial.stats`, cell by cell.

    python benchmarks/operating_characteristics.py --effort 0.1 --out oc.jsonl

Paired proportions are enumerated exactly; the rest is simulated, each cell from its own seed, so
that a run may be stopped and started again (cells already in the file are kept) and gives the
same figures on any number of cores. The table at the end compares each figure with its limit; a
simulated cell fails when it passes the limit by more than three Monte-Carlo standard errors.
"""

import argparse
import contextlib
import json
import math
import multiprocessing
import os
import sys
import warnings
import zlib
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantrial.errors import StatisticsWarning
from quantrial.stats import (
    bootstrap_ratios,
    flip_power,
    holm,
    mcnemar,
    score_flips,
    score_ratios,
    sign_flip,
)
from quantrial.stats._null_variance import cell_variance
from quantrial.stats._outcomes import likely_outcomes

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Cell:
    """One situation: what is simulated, and how often."""

    family: str  # proportions, bootstrap, f1, f1-null, f1-bootstrap, clusters, familywise
    kind: str
    n: int
    rate: float  # discordance, or the share of items that change
    truth: float = 0.0  # proportions: the true difference
    clusters: int = 0
    icc: float = 0.0
    replications: int = 0  # 0: exact

    def key(self) -> str:
        """Name the cell in the results file."""
        return json.dumps(asdict(self), sort_keys=True)

    def rng(self) -> np.random.Generator:
        """Draw from the cell's own seed, whatever ran before."""
        return np.random.default_rng([20_26, zlib.crc32(self.key().encode())])


MIXES = {  # chance of: hit lost, hit gained, span invented, answer malformed, span withdrawn
    "real": (0.45, 0.15, 0.20, 0.12, 0.08),
    "symmetric": (0.35, 0.35, 0.15, 0.00, 0.15),
    "malformed": (0.10, 0.10, 0.10, 0.65, 0.05),
    "spurious": (0.05, 0.05, 0.85, 0.00, 0.05),
    "long": (0.45, 0.15, 0.20, 0.12, 0.08),  # as real, with long-tailed numbers of entities
}
# few malformed answers against many hits gained: no difference, yet nothing like symmetry
BALANCED = (0.0, 0.652, 0.0, 0.348, 0.0)


def draw_f1(kind: str, n: int, share: float, rng: np.random.Generator) -> tuple[Array, Array]:
    """Numerators and denominators of micro-F1 of a reference and a changed candidate."""
    more = rng.negative_binomial(1, 0.3, n) if kind == "long" else rng.poisson(1.2, n)
    gold = np.where(rng.random(n) < 0.22, 0, 1 + more)
    hits = rng.binomial(gold, 0.62)
    invented = np.where(rng.random(n) < 0.3, rng.geometric(0.6, n), 0)
    spurious = np.where(gold == 0, invented, rng.poisson(0.3, n))
    how = np.searchsorted(np.cumsum(MIXES.get(kind, BALANCED)), rng.random(n), side="right")
    how = np.where(rng.random(n) < share, how, -1)
    after = np.clip(hits + (how == 1) - (how == 0), 0, gold)
    extra = np.maximum(spurious + (how == 2) * rng.geometric(0.7, n) - (how == 4), 0)
    after, extra = np.where(how == 3, 0, after), np.where(how == 3, 0, extra)
    top = np.stack([2.0 * hits, 2.0 * after], axis=1)
    bottom = np.stack([hits + spurious + gold, after + extra + gold], axis=1)
    return top.astype(np.float64), bottom.astype(np.float64)


@lru_cache
def f1_sums(kind: str) -> Array:
    """Sums over four million items that all change: numerators, denominators by arm."""
    rng, sums = np.random.default_rng(1), np.zeros((2, 2))
    for _ in range(20):
        top, bottom = draw_f1(kind, 200_000, 1.0, rng)
        sums += np.stack([top.sum(axis=0), bottom.sum(axis=0)])
    return sums


def f1_truth(kind: str, share: float) -> float:
    """The true difference; its sums are linear in the share of items that change."""
    sums = f1_sums(kind)
    mixed = (1.0 - share) * sums[:, 0] + share * sums[:, 1]
    return float(mixed[0] / mixed[1] - sums[0, 0] / sums[1, 0])


def draw_clusters(cell: Cell, rng: np.random.Generator) -> tuple[Array, NDArray[np.int64]]:
    """Paired 0/1 scores without a true difference, in clusters that lean one way or the other."""
    weights = 1.0 + np.arange(cell.clusters) % (5 if cell.kind == "unequal" else 1)
    sizes = np.maximum(2, np.round(cell.n * weights / weights.sum())).astype(np.int64)
    labels = np.repeat(np.arange(cell.clusters), sizes)
    lean: Array = np.zeros(cell.clusters)
    if cell.icc > 0.0:
        # Beta on [-1, 1] with variance icc / rate gives the differences this correlation
        shape = (cell.rate / cell.icc - 1.0) / 2.0
        lean = np.asarray(2.0 * rng.beta(shape, shape, cell.clusters) - 1.0, dtype=np.float64)
    flips = rng.random(labels.size) < cell.rate
    gains = rng.random(labels.size) < (1.0 + lean[labels]) / 2.0
    scores = np.ones((labels.size, 2))
    scores[flips & gains, 0] = 0.0
    scores[flips & ~gains, 1] = 0.0
    return scores, labels


def proportions(cell: Cell) -> dict[str, float]:
    """Exact coverage and error rates of the score method and McNemar's mid-p."""
    harm, gain = (cell.rate - cell.truth) / 2.0, (cell.rate + cell.truth) / 2.0
    rates, figures = (harm, gain, cell.n), dict[str, float]()
    if cell.truth < 0.0:
        margin = -cell.truth
        figures["score non-inferiority error"] = flip_power(
            *rates, question="non_inferior", margin=margin
        ).power
        figures["score equivalence error"] = flip_power(
            *rates, question="equivalent", margin=margin
        ).power
    if cell.truth == 0.0:
        figures["mid-p error"] = flip_power(*rates, question="difference").power
    # a true difference is covered unless it is rejected from below or from above
    missed = 0.0
    for low, high, true in ((harm, gain, cell.truth), (gain, harm, -cell.truth)):
        missed += one_sided_rejection(low, high, cell.n, true)
    figures["score coverage"] = 1.0 - missed
    return figures


def one_sided_rejection(harm: float, gain: float, n: int, null: float) -> float:
    """Chance that the score test at 2.5 % finds the difference above `null`, exactly."""
    outcomes = likely_outcomes(harm, gain, n)
    if outcomes is None:
        raise ValueError(f"n = {n} has too many outcomes to enumerate")
    up, down, chances = outcomes
    spread = np.sqrt(n * cell_variance(up, down, n, null))
    return float(chances[up - down - n * null - 0.25 > 1.959963984540054 * spread].sum())


def bootstrap(cell: Cell) -> dict[str, float]:
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
    return {name: count / cell.replications for name, count in tally.items()}


def f1(cell: Cell) -> dict[str, float]:
    """Coverage of micro-F1 and error at a margin equal to the loss, where anything changed."""
    rng, truth = cell.rng(), f1_truth(cell.kind, cell.rate)
    rows = []
    for _ in range(cell.replications):
        score = score_ratios(*draw_f1(cell.kind, cell.n, cell.rate, rng))
        if score.changed:
            above = score.test(truth, "greater").p_value
            below = score.test(truth, "less").p_value
            rows.append((float(score.changed), score.effective, above, below))
    changed, effective, above, below = np.array(rows).T
    return {
        "mean changed": float(changed.mean()),
        "mean effective": float(effective.mean()),
        "score coverage": float(((above >= 0.025) & (below >= 0.025)).mean()),
        "score non-inferiority error": float((above < 0.05).mean()),
    }


def f1_null(cell: Cell) -> dict[str, float]:
    """Difference tests where neither arm is better: labels swapped at random, or `balanced`."""
    rng, flip, score = cell.rng(), 0, 0
    for _ in range(cell.replications):
        top, bottom = draw_f1(cell.kind, cell.n, cell.rate, rng)
        if cell.kind in MIXES:
            swap = rng.random((cell.n, 1)) < 0.5
            top, bottom = (np.where(swap, a[:, ::-1], a) for a in (top, bottom))
        flip += sign_flip(top, bottom, rng=rng, resamples=499).p_value <= 0.05
        score += score_ratios(top, bottom).test().p_value <= 0.05
    return {"sign-flip error": flip / cell.replications, "score error": score / cell.replications}


def f1_bootstrap(cell: Cell) -> dict[str, float]:
    """The classic interval and the score interval of micro-F1 on the same data; power of both."""
    rng, truth = cell.rng(), f1_truth(cell.kind, cell.rate)
    names, wide = ("bootstrap", "score"), 3.0 * abs(truth)
    tally = {f"{name} {what}": 0 for name in names for what in ("coverage", "error", "power")}
    for _ in range(cell.replications):
        top, bottom = draw_f1(cell.kind, cell.n, cell.rate, rng)
        drawn = bootstrap_ratios(top, bottom, rng=rng, resamples=1000)
        classic = drawn.difference(candidate=1, reference=0)
        score = score_ratios(top, bottom)
        for name, one in zip(names, (classic.interval(), score.interval()), strict=True):
            tally[f"{name} coverage"] += one.low <= truth <= one.high
        tally["bootstrap error"] += classic.tost(-truth).non_inferior
        tally["score error"] += score.equivalence(-truth).non_inferior
        tally["bootstrap power"] += classic.tost(wide).non_inferior
        tally["score power"] += score.equivalence(wide).non_inferior
    return {name: count / cell.replications for name, count in tally.items()}


def clusters(cell: Cell) -> dict[str, float]:
    """Cluster-robust score interval of paired proportions."""
    rng, covered, wrong = cell.rng(), 0, 0
    for _ in range(cell.replications):
        scores, labels = draw_clusters(cell, rng)
        score = score_ratios(scores, np.ones_like(scores), clusters=labels, support=1)
        p = score.test().p_value
        covered += p >= 0.05
        wrong += score.test(0.0, "greater").p_value < 0.05
    return {
        "cluster coverage": covered / cell.replications,
        "cluster one-sided error": wrong / cell.replications,
    }


def familywise(cell: Cell) -> dict[str, float]:
    """Three arms that are equally good, all pairs, Holm on mid-p."""
    rng, wrong = cell.rng(), 0
    for _ in range(cell.replications):
        right = rng.random(cell.n) < 0.6
        arms = [right ^ (rng.random(cell.n) < cell.rate) for _ in range(3)]
        p = []
        for i, j in ((0, 1), (0, 2), (1, 2)):
            harm, gain = int((arms[i] & ~arms[j]).sum()), int((arms[j] & ~arms[i]).sum())
            p.append(mcnemar(harm, gain, n=cell.n, method="midp").p_value)
        wrong += bool(holm(p).min() <= 0.05)
    return {"family-wise error": wrong / cell.replications}


WORK: dict[str, Callable[[Cell], dict[str, float]]] = {
    work.__name__.replace("_", "-"): work
    for work in (proportions, bootstrap, f1, f1_null, f1_bootstrap, clusters, familywise)
}


def grid_f1(many: int, some: int, few: int) -> Iterator[Cell]:
    """The cells of corpus F1."""
    for kind in MIXES:
        for n in (50, 100, 300, 1000):
            for expected in (4, 8, 16, 32, 64):
                if expected <= 0.64 * n:
                    cell = Cell("f1", kind, n, expected / n, replications=many)
                    yield cell
                    if n in (100, 300) and expected in (8, 32):
                        yield replace(cell, family="f1-null", replications=some)
                        if kind != "symmetric":
                            yield replace(cell, family="f1-bootstrap", replications=few)
    for n, expected in ((100, 25), (300, 12), (300, 25), (300, 60), (1000, 25), (1000, 150)):
        yield Cell("f1-null", "balanced", n, expected / n, replications=many)


def grid(effort: float) -> Iterator[Cell]:
    """Every cell; `effort` scales the replications (1: about a quarter of an hour on one core)."""
    for n in (50, 100, 300, 499, 1000, 5000):
        for rate in (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3):
            truths = {0.0, -rate / 2, -rate, rate / 2, rate, -0.01, -0.02, 0.01, 0.02, -0.04}
            yield from (
                Cell("proportions", "", n, rate, t) for t in sorted(truths) if abs(t) <= rate
            )
    many, some, few = (max(20, round(effort * k)) for k in (10_000, 4_000, 1_000))
    for n, rate in ((300, 0.02), (499, 0.012), (499, 0.03), (1000, 0.02)):
        yield Cell("bootstrap", "", n, rate, -0.01, replications=2 * few)
    yield from grid_f1(many, some, few)
    for groups in (5, 10, 20, 57):
        for icc in (0.0, 0.02, 0.1):
            for kind in ("equal", "unequal"):
                for rate in (0.05, 0.15):
                    if icc < rate:
                        yield Cell("clusters", kind, 499, rate, 0.0, groups, icc, replications=some)
    for n in (100, 499, 1000):
        for rate in (0.01, 0.05, 0.15):
            yield Cell("familywise", "", n, rate, replications=some)


def measure(cell: Cell) -> dict[str, Any]:
    """One line of the results file."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", StatisticsWarning)
        figures = {name: float(value) for name, value in WORK[cell.family](cell).items()}
    return {"cell": asdict(cell), "figures": figures}


def limits(cell: dict[str, Any], name: str, changed: float) -> tuple[float, float] | None:
    """The range a figure of the calibrated set must lie in, or None where it is only shown."""
    family, n, ten = cell["family"], cell["n"], changed >= 10
    if family == "proportions" and name == "score coverage":
        return (0.935, 0.975 if n * cell["rate"] >= 10 else 1.0)
    if family == "f1" and name == "score coverage":
        return (0.925 if n < 100 else 0.935, 0.98 if ten else 1.0)
    if family == "f1":
        return (0.0, 0.06 if ten else 0.075)
    if family == "clusters":
        promised = name == "cluster coverage" and cell["clusters"] >= 10 and cell["icc"] <= 0.02
        return (0.935, 1.0) if promised else None
    if family.endswith("bootstrap") and name != "score equivalence error":
        return None
    return (0.0, 0.055)


def verdicts(lines: list[dict[str, Any]]) -> Iterator[tuple[str, str, float, bool | None, str]]:
    """(family, figure, value, holds, where) for every figure of every cell."""
    for line in lines:
        cell, figures = line["cell"], dict(line["figures"])
        changed = figures.pop("mean changed", 0.0)
        effective = figures.pop("mean effective", 0.0)
        where = " ".join(f"{k}={v:.4g}" for k, v in cell.items() if v and not isinstance(v, str))
        if changed:
            where += f" changed={changed:.1f} effective={effective:.1f}"
        for name, value in figures.items():
            bounds, draws = limits(cell, name, changed), cell["replications"]
            holds = None
            if bounds is not None:
                low, high = (3 * math.sqrt(b * (1 - b) / draws) if draws else 0.0 for b in bounds)
                holds = bounds[0] - low <= value <= bounds[1] + high
            yield cell["family"], name, value, holds, f"{cell['kind']} {where}"


@dataclass(frozen=True)
class Line:
    """One figure of one family: how many cells, its range, how many keep their limit."""

    family: str
    figure: str
    cells: int
    lowest: float
    highest: float
    holds: str


def summed_up(lines: list[dict[str, Any]]) -> tuple[list[Line], list[str]]:
    """Range of every figure, and the cells beyond their limit."""
    groups: dict[tuple[str, str], list[tuple[float, bool | None]]] = {}
    failures = []
    for family, name, value, holds, where in verdicts(lines):
        groups.setdefault((family, name), []).append((value, holds))
        if holds is False:
            failures.append(f"{family}: {name} {value:.4f} at {where}")
    table = []
    for (family, name), rows in groups.items():
        values, known = [v for v, _ in rows], [h for _, h in rows if h is not None]
        kept = f"{sum(known)}/{len(known)}" if known else "shown only"
        table.append(Line(family, name, len(rows), min(values), max(values), kept))
    return table, failures


def report(lines: list[dict[str, Any]]) -> bool:
    """Print ranges and failures; true when everything promised holds."""
    table, failures = summed_up(lines)
    print(f"{'family':13} {'figure':30} {'cells':>5} {'lowest':>7} {'highest':>7}  holds")
    for one in table:
        figures = f"{one.cells:5} {one.lowest:7.4f} {one.highest:7.4f}"
        print(f"{one.family:13} {one.figure:30} {figures}  {one.holds}")
    print("\ncells beyond their limit:" if failures else "\nevery promised limit holds")
    print("\n".join(f"  {failure}" for failure in failures))
    return not failures


MARKS = ("<!-- oc -->\n", "<!-- /oc -->")


def write_into(path: Path, lines: list[dict[str, Any]]) -> None:
    """Replace what stands between the marks of a Markdown page by the table of this run."""
    table, failures = summed_up(lines)
    rows = ["| family | figure | cells | lowest | highest | within its limit |"]
    rows += ["| --- | --- | ---: | ---: | ---: | --- |"]
    rows += [
        f"| {o.family} | {o.figure} | {o.cells} | {o.lowest:.4f} | {o.highest:.4f} | {o.holds} |"
        for o in table
    ]
    rows += ["", "Cells beyond their limit:" if failures else "Every promised limit holds.", ""]
    rows += [f"- `{failure}`" for failure in failures]
    text = path.read_text(encoding="utf-8")
    before, rest = text.split(MARKS[0])
    after = rest.split(MARKS[1])[1]
    body = "\n".join(rows).rstrip() + "\n"
    path.write_text(f"{before}{MARKS[0]}{body}{MARKS[1]}{after}", encoding="utf-8")


def recorded(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every whole line of an earlier run, by cell; a torn last line is left out."""
    for text in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        with contextlib.suppress(json.JSONDecodeError):
            line = json.loads(text)
            yield Cell(**line["cell"]).key(), line


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--out", type=Path, default=Path("operating_characteristics.jsonl"))
    parser.add_argument("--effort", type=float, default=1.0, help="scales the replications")
    parser.add_argument("--write", type=Path, help="a Markdown page whose table to replace")
    parser.add_argument("--only", default="", help="one family of cells")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    cells = [c for c in grid(options.effort) if options.only in ("", c.family)]
    known = dict(recorded(options.out))
    options.out.write_text("".join(json.dumps(line) + "\n" for line in known.values()))
    left = [c for c in cells if c.key() not in known]
    lines = [known[c.key()] for c in cells if c.key() in known]
    with multiprocessing.Pool(options.jobs) as pool, options.out.open("a", encoding="utf-8") as out:
        for number, line in enumerate(pool.imap(measure, left), 1):
            out.write(json.dumps(line) + "\n")
            out.flush()
            lines.append(line)
            if sys.stderr.isatty():
                print(f"\r{number}/{len(left)} cells", end="", file=sys.stderr, flush=True)
    if options.write:
        write_into(options.write, lines)
    return 0 if report(lines) else 1


if __name__ == "__main__":
    raise SystemExit(main())
