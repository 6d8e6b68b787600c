"""One situation of the grid, and the grid."""

import json
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from characteristics.fields import FIELDS
from characteristics.fresh import CHOOSING, CONFIRMING
from characteristics.generators import FRESH, MIXES
from quantrial.registry import OWN

SIZES = (50, 100, 300, 499, 1000, 5000)
RATES = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3)
MARGINS = (0.01, 0.02, 0.03, 0.05, 0.1)
FEW_TO_MANY = (4, 8, 16, 32, 64)  # items that are expected to change
STRATA = ((2, 25), (2, 50), (5, 10), (5, 20), (10, 10), (10, 50), (20, 50), (50, 4), (57, 9))
# which part of the strata (at least one), their chance of a loss, the others', a gain's anywhere
LOSSES = (
    (1.0, 0.02, 0.0, 0.0),
    (1.0, 0.1, 0.0, 0.05),
    (0.1, 0.7, 0.0, 0.0),
    (0.1, 0.9, 0.01, 0.0),
    (0.1, 0.97, 0.005, 0.02),
    (0.5, 0.3, 0.0, 0.05),
    (0.5, 1.0, 0.02, 0.0),
)
SHARES = ((1.0, 0.1, 0.0), (0.2, 0.64, 0.05))  # of strata, of their items that change, of others'
# right or wrong, clusters that lean either way; a few bad ones; micro-F1; one arm's micro-F1
CLUSTERED = tuple(
    f"{kind}{sizes}" for kind in ("", "bad-", "f1-", "arm-") for sizes in ("equal", "unequal")
)
LEAST = 20  # replications; fewer show nothing


@dataclass(frozen=True)
class Cell:
    """One situation: what is simulated, and how often."""

    family: str
    kind: str
    n: int
    rate: float  # discordance, or the share of items that change
    truth: float = 0.0  # proportions: the true difference
    clusters: int = 0
    icc: float = 0.0
    replications: int = 0  # 0: exact
    margin: float = 0.0

    def key(self) -> str:
        """Name the cell in the results file."""
        return json.dumps(asdict(self), sort_keys=True)

    def rng(self) -> np.random.Generator:
        """Draw from the cell's own seed, whatever ran before."""
        return np.random.default_rng([20_26, zlib.crc32(self.key().encode())])


@dataclass(frozen=True)
class Measured:
    """Figures of a cell; for power, what every method did: its error rate and its power."""

    figures: dict[str, float]
    methods: dict[str, tuple[float, float]] = field(default_factory=dict)


def grid(effort: float, gold: Path | None = None) -> Iterator[Cell]:
    """Every cell; `effort` scales the replications."""
    most, many, some, few = (max(LEAST, round(effort * k)) for k in (20_000, 4_000, 2_000, 1_000))
    yield from proportion_cells()
    for n in (50, 100):  # as many outcomes as a linear program takes in its stride
        yield Cell("attainable", "difference", n, 0.0)
        for kind in ("non-inferior", "equivalent"):
            for margin in MARGINS:
                yield Cell("attainable", kind, n, 0.0, margin=margin)
    for n, rate in ((300, 0.02), (499, 0.012), (499, 0.03), (1000, 0.02)):
        yield Cell("bootstrap", "", n, rate, -0.01, replications=some)
    yield from _pooled(most, many, some, few, gold)
    for groups in (5, 6, 8, 10, 20, 57):
        for icc in (0.0, 0.02, 0.1):
            for kind in CLUSTERED:
                for rate in (0.15,) if kind.startswith(("f1", "arm")) else (0.05, 0.15):
                    if icc < rate:
                        yield Cell("clusters", kind, 499, rate, 0.0, groups, icc, replications=many)
    for n in (100, 499, 1000):
        for rate in (0.01, 0.05, 0.15):
            yield Cell("familywise", "", n, rate, replications=most)
            yield Cell("familywise", "one-worse", n, rate, replications=most)
    yield from _interactions(many)
    yield from _strata(many)
    for n, rate, margin in COPIED:
        for kind in ("twice", "thrice", "some"):
            yield Cell("copies", kind, n, rate, -margin, margin=margin, replications=many)
    yield from _decisions(many)
    for kind in REPORTS:
        yield Cell("reports", kind, 200, 0.1, replications=some)
    for n, rate, margin in PACKAGED:
        yield Cell("packages", "", n, rate, -margin, margin=margin)


# contents, discordance, margin of items that stand several times in a sample
COPIED = ((100, 0.1, 0.05), (200, 0.05, 0.03), (300, 0.06, 0.02), (500, 0.15, 0.03))
# whole reports: how many candidates, on which tasks
REPORTS = ("1 choice", "2 choice", "1 spans", "2 spans", "1 choice spans", "2 choice spans")
# items, discordance, margin of what other packages are asked about
PACKAGED = ((100, 0.04, 0.04), (300, 0.02, 0.01), (300, 0.02, 0.02), (499, 0.01, 0.01))


# items, discordance, margin of whole decisions
DECIDED = ((300, 0.08, 0.05), (500, 0.05, 0.03), (1000, 0.06, 0.02))
LOSING = ("all", "everywhere", "cheapest", "dearest")
SOUND = ("equal", "declining", "declining, last lost", "dearest")


def _decisions(replications: int) -> Iterator[Cell]:
    """Which arm is shipped: of 1 to 5 candidates over 1 to 3 tasks; where answers are missing."""
    for n, rate, margin in DECIDED:
        base = Cell("ship", "", n, rate, margin=margin, replications=replications)
        for candidates in range(1, 6):
            for tasks in (1, 2, 3):
                for what in dict.fromkeys((*LOSING, *SOUND)):
                    yield replace(base, kind=f"{what} {candidates}x{tasks}")
        for candidates in (1, 3):
            for share in (0.05, 0.1, 0.2):
                for why in ("random", "hard", "own", "both"):
                    kind = f"{why} {share} {candidates}"
                    yield replace(base, family="missing", kind=kind)
            for share in (0.002, 0.01):
                yield replace(base, family="missing", kind=f"sound {share} {candidates}")


def proportion_cells() -> Iterator[Cell]:
    """The cells of paired proportions, enumerated exactly."""
    for n in SIZES:
        for rate in RATES:
            truths = {0.0, -rate / 2, -rate, rate / 2, rate, -0.01, -0.02, 0.01, 0.02, -0.04}
            for truth in sorted(truths):
                if abs(truth) <= rate:
                    yield Cell("proportions", "", n, rate, truth)
            for truth in (rate / 2, rate):
                yield Cell("power", "difference", n, rate, -truth)
            for margin in MARGINS:
                yield Cell("power", "equivalent", n, rate, 0.0, margin=margin)
                for truth in (0.0, -margin / 2):
                    if -truth <= rate:
                        yield Cell("power", "non-inferior", n, rate, truth, margin=margin)


def _pooled(most: int, many: int, some: int, few: int, gold: Path | None) -> Iterator[Cell]:
    for kind in (*MIXES, *FRESH, *(() if gold is None else ("gold",))):
        for n in SIZES:
            for changes in {50: (4, 16, 32), 100: FEW_TO_MANY, 300: FEW_TO_MANY}.get(n, (16, 64)):
                share = min(changes / n, 0.64)
                draws = most if n < 1000 else many if n < 5000 else some
                cell = Cell("f1", kind, n, share, replications=draws)
                yield cell
                if n in (100, 300) and changes in (8, 32):
                    yield replace(cell, family="f1-null", replications=many)
                    if kind != "symmetric":
                        yield replace(cell, family="f1-bootstrap", replications=few)
    yield from _fresh(most // 2, gold)
    for kind in FIELDS:
        for n, changes in ((40, 12), (100, 16), (100, 32), (300, 16), (300, 64), (1000, 64)):
            yield Cell("f1-fields", kind, n, changes / n, replications=many)
    for kind in OWN["quantrial.generators"]:
        yield Cell("generated", kind, 300, 0.06, replications=max(LEAST, few // 5))
    for n, margin in ((60, 0.1), (300, 0.05), (1000, 0.02)):
        for kind in ("steady", "mixed", "loose", "similarity"):
            yield Cell("agreement", kind, n, 0.0, margin=margin, replications=many)
        for kind in ("sure", "spread", "even"):
            yield Cell("samples", kind, n, 0.0, margin=margin, replications=many)
    for kind in (
        "real",
        "long",
        "malformed",
        "demo-q4_0",
        "seesaw",
        "heavy",
        "documents",
        "bursts",
    ):
        for n, changes in ((50, 16), (100, 8), (100, 32), (300, 16), (300, 64)):
            yield Cell("macro-f1", kind, n, changes / n, replications=many)
    for n, changes in ((100, 25), (300, 12), (300, 25), (300, 60), (1000, 25), (1000, 150)):
        yield Cell("f1-null", "balanced", n, changes / n, replications=many)


# sizes of strata, and the share of items that change in each: some change more often
UNEVEN = (
    ((40, 560), (0.3, 0.05)),
    ((40, 560), (0.5, 0.05)),
    ((60, 540), (0.3, 0.02)),
    ((60, 540), (0.4, 0.04)),
    ((100, 900), (0.4, 0.06)),
    ((80, 80, 80, 80, 80), (0.15, 0.15, 0.15, 0.15, 0.4)),
)


def _interactions(replications: int) -> Iterator[Cell]:
    """Strata of items; then clusters that lie within strata or across them (`kind`: how many).

    Last, ratios whose losses are rare and large, in strata of which some change more often.
    """
    base = Cell("interaction", "", 600, 0.15, replications=replications)
    for strata in (2, 5, 10):
        for n, rate in ((100, 0.15), (600, 0.05), (600, 0.15)):
            yield replace(base, kind=f"{strata} of items", n=n, rate=rate)
    for groups in (10, 20, 57):
        for kind in ("2 within unequal", "2 across equal", "5 within equal", "5 across unequal"):
            for icc, rate in ((0.0, 0.05), (0.0, 0.15), (0.02, 0.05), (0.02, 0.15), (0.1, 0.15)):
                yield replace(base, kind=kind, rate=rate, clusters=groups, icc=icc)
    for lengths in ("equal", "varied"):
        for gains in (4, 9, 19):
            for which, (sizes, rates) in enumerate(UNEVEN):
                rare = replace(base, family="interaction-rare", n=sum(sizes))
                rare = replace(rare, kind=f"{lengths} {gains} {which}")
                rare = replace(rare, rate=float(np.average(rates, weights=sizes)))
                yield rare
                yield replace(rare, clusters=20)


def by_stratum(strata: int, part: float, first: float, others: float) -> NDArray[np.float64]:
    """One chance for a part of the strata (at least one of them), another for the others."""
    found = np.full(strata, others)
    found[: max(1, round(part * strata))] = first
    return found


def _strata(replications: int) -> Iterator[Cell]:
    """Proportions on every shape, micro-F1 on three; `kind` holds the chances."""
    asked = [(*shape, "", *chances) for shape in STRATA for chances in LOSSES]
    asked += [
        (*shape, mix, *shares, 0.0)
        for shape in ((5, 100), (10, 10), (57, 9))
        for mix in ("real", "malformed", "long")
        for shares in SHARES
    ]
    for strata, size, mix, *chances in asked:
        rate = float(by_stratum(strata, *chances[:3]).mean())
        kind = " ".join([mix, *map(str, chances)]).strip()
        yield Cell("strata", kind, strata * size, rate, 0.0, strata, replications=replications)


def _fresh(draws: int, gold: Path | None) -> Iterator[Cell]:
    """Generators that came after the first: some to choose on, the others to confirm."""
    situations = ((50, 16), (50, 32), (100, 8), (100, 16), (100, 64), (300, 16), (300, 64))
    for family, kinds in (("f1-choosing", CHOOSING), ("f1-confirming", CONFIRMING)):
        for kind in kinds:
            if gold is None and kind.startswith("gold-"):
                continue
            for n, changes in (*situations, (1000, 32)):
                yield Cell(family, kind, n, min(changes / n, 0.64), replications=max(LEAST, draws))
