"""Generators that were made after the ones the score test was first tuned on, in two sets.

On `CHOOSING` and on what is in `generators`, the correction of the score test was chosen. On
`CONFIRMING` nothing was: it was written before, and looked at once, afterwards. Those that start
with `gold-` take sentences from a file of columns with BIO tags.
"""

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Numbers = NDArray[np.number[Any]]
Counts = NDArray[np.int64]
# gold, then hits and spurious of the reference, then of the candidate
Answers = tuple[Numbers, Numbers, Numbers, Numbers, Numbers]
Maker = Callable[[int, NDArray[np.bool_], np.random.Generator], Answers]

# chance that a changed answer gets an entity of a type wrong, and that the reference misses it
BY_TYPE = {
    "person": (0.10, 0.25),
    "location": (0.20, 0.30),
    "group": (0.35, 0.45),
    "corporation": (0.40, 0.40),
    "product": (0.50, 0.55),
    "creative-work": (0.60, 0.60),
    "other": (0.30, 0.40),
}
_GOLD: list[Path] = []


def use_sentences(path: Path | None) -> None:
    """Take sentences from a file of columns with BIO tags, a blank line a sentence."""
    _GOLD[:] = [] if path is None else [path]
    sentences.cache_clear()


@lru_cache
def sentences() -> Counts:
    """Count entities, shape (sentences, types of `BY_TYPE`)."""
    rows, last = [], len(BY_TYPE) - 1
    place = {f"B-{name}": column for column, name in enumerate(BY_TYPE)}
    for sentence in _GOLD[0].read_text(encoding="utf-8").strip().split("\n\n"):
        tags = [line.split()[-1] for line in sentence.splitlines() if line.split()]
        begun = [place.get(tag, last) for tag in tags if tag.startswith("B-")]
        rows.append(np.bincount(begun, minlength=len(BY_TYPE)).tolist())
    return np.array(rows)


def _inventions(gold: Numbers, rng: np.random.Generator) -> Numbers:
    n = gold.size
    return np.where(gold == 0, (rng.random(n) < 0.25) * (1 + rng.poisson(0.5, n)), 0)


def _heavy(n: int, moves: NDArray[np.bool_], rng: np.random.Generator) -> Answers:
    """Documents with a Pareto tail of entities; a changed one loses any share of its hits."""
    gold = np.minimum(np.floor(rng.pareto(1.5, n) + 1.0).astype(np.int64), 80)
    hits = rng.binomial(gold, 0.7)
    spurious = rng.poisson(0.1 * gold)
    lost = rng.binomial(hits, rng.beta(0.6, 1.4, n))
    gained = rng.binomial(gold - hits, rng.beta(0.6, 1.4, n))
    after = np.where(rng.random(n) < 0.7, hits - lost, hits + gained)
    return gold, hits, spurious, np.where(moves, after, hits), spurious


def _seesaw(n: int, moves: NDArray[np.bool_], rng: np.random.Generator) -> Answers:
    """Nine small gains to one answer that loses everything and runs on."""
    gold = np.where(rng.random(n) < 0.2, 0, 1 + rng.poisson(1.5, n))
    hits = rng.binomial(gold, 0.6)
    spurious = rng.poisson(0.4, n)
    broken = rng.random(n) < 0.1
    better = np.minimum(hits + 1, gold)
    after = np.where(broken, 0, better)
    extra = np.where(broken, spurious + rng.poisson(4.0, n), spurious - (better == hits))
    extra = np.maximum(extra, 0)
    return gold, hits, spurious, np.where(moves, after, hits), np.where(moves, extra, spurious)


def _sparse(n: int, moves: NDArray[np.bool_], rng: np.random.Generator) -> Answers:
    """Three of four items hold nothing; what changes is mostly what is invented."""
    gold = np.where(rng.random(n) < 0.75, 0, 1 + rng.poisson(0.8, n))
    hits = rng.binomial(gold, 0.6)
    spurious = _inventions(gold, rng)
    after = hits - rng.binomial(hits, 0.3)
    extra = np.where(rng.random(n) < 0.65, spurious + rng.geometric(0.5, n), 0)
    return gold, hits, spurious, np.where(moves, after, hits), np.where(moves, extra, spurious)


def _unparsed(n: int, moves: NDArray[np.bool_], rng: np.random.Generator) -> Answers:
    """Every change is an answer that cannot be read: four times the candidate's, once the other."""
    gold = np.where(rng.random(n) < 0.3, 0, 1 + rng.negative_binomial(2, 0.5, n))
    hits = rng.binomial(gold, rng.beta(3.0, 1.5, n))
    spurious = np.where(gold == 0, _inventions(gold, rng), rng.poisson(0.3, n))
    broken = rng.random(n) < 0.8
    # the reference fails on as large a share whether or not the item changes
    once = rng.random(n) < 0.2
    before, known = np.where(once, 0, hits), np.where(once, 0, spurious)
    after = np.where(broken, 0, hits)
    extra = np.where(broken, 0, spurious)
    return gold, before, known, np.where(moves, after, before), np.where(moves, extra, known)


def _types(n: int, moves: NDArray[np.bool_], rng: np.random.Generator) -> Answers:
    """Labels are wrong by type: what was a hit is missed, and another is invented."""
    known = sentences()
    by_type = known[rng.integers(0, len(known), n)]
    wrong, missed = np.array(list(BY_TYPE.values())).T
    found = rng.binomial(by_type, 1.0 - missed)
    gold, hits = by_type.sum(axis=1), found.sum(axis=1)
    spurious = _inventions(gold, rng) + rng.binomial(gold - hits, 0.3)
    lost = rng.binomial(found, wrong).sum(axis=1)
    gained = rng.binomial(by_type - found, wrong / 3.0).sum(axis=1)
    after, extra = hits - lost + gained, np.maximum(spurious + lost - gained, 0)
    return gold, hits, spurious, np.where(moves, after, hits), np.where(moves, extra, spurious)


def _bounds(n: int, moves: NDArray[np.bool_], rng: np.random.Generator) -> Answers:
    """Boundaries shift together within a sentence; one sentence in six is mended instead."""
    known = sentences().sum(axis=1)
    gold = known[rng.integers(0, known.size, n)]
    hits = rng.binomial(gold, rng.beta(2.0, 1.0, n))
    spurious = _inventions(gold, rng) + rng.binomial(gold - hits, 0.5)
    shifted = rng.binomial(hits, rng.beta(0.5, 1.0, n))
    mended = rng.binomial(np.minimum(spurious, gold - hits), 0.8)
    turn = np.where(rng.random(n) < 1 / 6, mended, -shifted)
    # a sentence without entities has no boundary: an invented one more
    extra = np.where(gold == 0, spurious + 1, spurious - turn)
    after = np.where(gold == 0, 0, hits + turn)
    return gold, hits, spurious, np.where(moves, after, hits), np.where(moves, extra, spurious)


def _mixed(n: int, moves: NDArray[np.bool_], rng: np.random.Generator) -> Answers:
    """Small gains and small losses as often, and one answer in fifteen that is cut off."""
    known = sentences().sum(axis=1)
    gold = known[rng.integers(0, known.size, n)]
    hits = rng.binomial(gold, 0.6)
    spurious = _inventions(gold, rng) + rng.poisson(0.2, n)
    how = rng.random(n)
    step = np.where(how < 0.5, 1, -1)
    after = np.where(how > 14 / 15, 0, np.clip(hits + step, 0, gold))
    other = (after == hits) & (how <= 14 / 15)  # nothing to gain or lose: an invention less or more
    extra = np.maximum(spurious - other * step, 0)
    return gold, hits, spurious, np.where(moves, after, hits), np.where(moves, extra, spurious)


def _documents(n: int, moves: NDArray[np.bool_], rng: np.random.Generator) -> Answers:
    """Log-normal lengths; the tail of a document is cut off from a place anywhere in it."""
    gold = np.minimum(np.round(rng.lognormal(0.7, 1.0, n)).astype(np.int64), 60)
    hits = rng.binomial(gold, rng.beta(4.0, 2.0, n))
    spurious = rng.poisson(0.15 * gold + 0.1)
    rest = np.where(rng.random(n) < 0.4, rng.random(n), 1.0)
    kept, left = rng.binomial(hits, rest), rng.binomial(spurious, rest)
    after = np.where(rest < 1.0, kept, np.clip(hits + rng.integers(-1, 2, n), 0, gold))
    return gold, hits, spurious, np.where(moves, after, hits), np.where(moves, left, spurious)


def _bursts(n: int, moves: NDArray[np.bool_], rng: np.random.Generator) -> Answers:
    """One change in twelve repeats itself without end; the others withdraw an invention or two."""
    gold = np.where(rng.random(n) < 0.4, 0, 1 + rng.poisson(1.0, n))
    hits = rng.binomial(gold, 0.65)
    spurious = rng.poisson(0.9, n)
    runs = rng.random(n) < 1 / 12
    burst = np.minimum(np.floor(2.0 + 3.0 * rng.pareto(1.2, n)), 40).astype(np.int64)
    extra = np.where(runs, spurious + burst, np.maximum(spurious - rng.integers(1, 3, n), 0))
    return gold, hits, spurious, hits, np.where(moves, extra, spurious)


CHOOSING: dict[str, Maker] = {
    "heavy": _heavy,
    "seesaw": _seesaw,
    "sparse": _sparse,
    "unparsed": _unparsed,
}
CONFIRMING: dict[str, Maker] = {
    "gold-types": _types,
    "gold-bounds": _bounds,
    "gold-mixed": _mixed,
    "documents": _documents,
    "bursts": _bursts,
}
