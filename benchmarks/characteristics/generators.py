"""Paired items with a known true difference: micro-F1 of a reference and a changed candidate.

The five `MIXES` are those that the score test's correction was chosen on. `FRESH` were made
afterwards and nothing was chosen on them: the answers of three arms in `examples/demo`, of which
items are drawn with replacement, those that changed and those that did not apart, so that the
share that changes can be set while every change is a real one; and `gold`, where the numbers of
entities come from a file of columns and a changed answer is a sentence answered anew.
"""

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from characteristics.fields import FIELDS
from characteristics.fresh import CHOOSING, CONFIRMING, sentences, use_sentences
from quantrial.tasks.spans import gold_spans, parse_spans

Array = NDArray[np.float64]
Numbers = NDArray[np.number[Any]]

DEMO = Path(__file__).parents[2] / "examples" / "demo"
MIXES = {  # chance of: hit lost, hit gained, span invented, answer malformed, span withdrawn
    "real": (0.45, 0.15, 0.20, 0.12, 0.08),
    "symmetric": (0.35, 0.35, 0.15, 0.00, 0.15),
    "malformed": (0.10, 0.10, 0.10, 0.65, 0.05),
    "spurious": (0.05, 0.05, 0.85, 0.00, 0.05),
    "long": (0.45, 0.15, 0.20, 0.12, 0.08),  # as real, with long-tailed numbers of entities
}
FRESH = ("demo-q8_0", "demo-q4_0", "demo-rounded")
# few malformed answers against many hits gained: no difference, yet nothing like symmetry
BALANCED = (0.0, 0.652, 0.0, 0.348, 0.0)


def draw(kind: str, n: int, share: float, rng: np.random.Generator) -> tuple[Array, Array]:
    """Numerators and denominators of micro-F1, shape (n, 2): reference, candidate."""
    if kind.startswith("demo-"):
        return _draw_demo(kind, n, share, rng)
    made = (CHOOSING | CONFIRMING | FIELDS).get(kind)
    if made is not None:
        return _columns(*made(n, rng.random(n) < share, rng))
    if kind == "gold":
        return _draw_anew(n, share, rng)
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
    return _columns(gold, hits, spurious, after, extra)


def _columns(
    gold: Numbers, hits: Numbers, spurious: Numbers, after: Numbers, extra: Numbers
) -> tuple[Array, Array]:
    top = np.stack([2.0 * hits, 2.0 * after], axis=1)
    bottom = np.stack([hits + spurious + gold, after + extra + gold], axis=1)
    return top.astype(np.float64), bottom.astype(np.float64)


@lru_cache
def demo_answers(arm: str) -> tuple[Array, Array]:
    """Score the committed answers of the reference and of one arm of the example."""
    items = map(json.loads, (DEMO / "items.jsonl").read_text(encoding="utf-8").splitlines())
    gold = {item["id"]: gold_spans(item["gold"]) for item in items if item["task"] == "people"}
    sums = []
    for name in ("f16", arm):
        text = (DEMO / "responses" / f"people.{name}.jsonl").read_text(encoding="utf-8")
        scored = {}
        for answer in map(json.loads, text.splitlines()):
            truth = gold[answer["item"]]
            found = parse_spans(answer["output"] or "") or frozenset()
            hits = len(found & truth)
            scored[answer["item"]] = (2.0 * hits, float(len(found) + len(truth)))
        sums.append(np.array([scored[item] for item in sorted(gold)]))
    both = np.stack(sums, axis=2)  # items, (numerator, denominator), arms
    return both[:, 0], both[:, 1]


def _draw_demo(kind: str, n: int, share: float, rng: np.random.Generator) -> tuple[Array, Array]:
    top, bottom = demo_answers(kind.removeprefix("demo-"))
    changed = np.flatnonzero((top[:, 0] != top[:, 1]) | (bottom[:, 0] != bottom[:, 1]))
    moves = rng.random(n) < share
    rows = np.where(moves, changed[rng.integers(0, changed.size, n)], rng.integers(0, len(top), n))
    # an item that keeps its answer has the reference's score twice
    top, bottom = (
        np.where(moves[:, None], sums[rows], sums[rows][:, :1]) for sums in (top, bottom)
    )
    return top, bottom


def use_gold(path: Path | None) -> None:
    """Take numbers of entities from a file of columns with BIO tags, a blank line a sentence."""
    use_sentences(path)
    _sums.cache_clear()


def _draw_anew(n: int, share: float, rng: np.random.Generator) -> tuple[Array, Array]:
    """Answer anew (half), miss a boundary, run on, or return nothing usable."""
    counts = sentences().sum(axis=1)
    gold = counts[rng.integers(0, counts.size, n)]
    hits = rng.binomial(gold, rng.beta(2.0, 1.2, n))
    invented = np.where(rng.random(n) < 0.25, 1 + rng.poisson(0.4, n), 0)
    spurious = np.where(gold == 0, invented, rng.poisson(0.25, n))
    how = np.searchsorted([0.5, 0.7, 0.85], rng.random(n), side="right")
    how = np.where(rng.random(n) < share, how, -1)
    anew = hits - rng.binomial(hits, 0.3) + rng.binomial(gold - hits, 0.1)
    fresh = spurious - rng.binomial(spurious, 0.4) + rng.poisson(0.3, n)
    boundary = (how == 1) & (hits > 0)
    after = np.select([how == 0, boundary, how == 3], [anew, hits - 1, 0], hits)
    runaway = spurious + 1 + rng.negative_binomial(1, 0.25, n)
    extra = np.select(
        [how == 0, boundary, how == 2, how == 3], [fresh, spurious + 1, runaway, 0], spurious
    )
    return _columns(gold, hits, spurious, after, extra)


BLOCKS = 20  # of 200,000 items each


@lru_cache
def _sums(kind: str) -> Array:
    """Sums over items that all keep their answer, and that all change it."""
    if kind.startswith("demo-"):
        top, bottom = demo_answers(kind.removeprefix("demo-"))
        moved = (top[:, 0] != top[:, 1]) | (bottom[:, 0] != bottom[:, 1])
        kept, gone = (
            [s.mean(axis=0) for s in (a, b)]
            for a, b in ((top, bottom), (top[moved], bottom[moved]))
        )
        return np.array(
            [[kept[0][0], kept[1][0]], [gone[0][0], gone[1][0]], [gone[0][1], gone[1][1]]]
        )
    rng, sums = np.random.default_rng(1), np.zeros((2, 2))
    for _ in range(BLOCKS):
        top, bottom = draw(kind, 200_000, 1.0, rng)
        sums += np.stack([top.sum(axis=0), bottom.sum(axis=0)])
    return np.array([sums[:, 0], sums[:, 0], sums[:, 1]])


def true_difference(kind: str, share: float) -> float:
    """The true difference; its sums are linear in the share of items that change."""
    kept, before, after = _sums(kind)
    reference = (1.0 - share) * kept + share * before
    candidate = (1.0 - share) * kept + share * after
    return float(candidate[0] / candidate[1] - reference[0] / reference[1])
