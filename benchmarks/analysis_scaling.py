"""How time and memory of the analysis grow with the number of items.

Scores of 3 arms are fabricated by a seeded generator that looks like real trials: arms agree on
most items, a quarter of the sentences hold no entity, losses come in a few sentences. Every arm and
every contrast then goes through the functions that `quantrial analyze` uses: both sets of methods,
every endpoint of the task, Holm, verdicts, items needed. Each size runs in a Python of its own, so
that its peak memory is its own; the clock starts when the scores are there.

    python benchmarks/analysis_scaling.py [--items N] [--kind binary|f1|both] [--large] [--json]
"""

from __future__ import annotations

import argparse
import json
import math
import os
import resource
import subprocess
import sys
import time
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from quantrial.analysis import Panel, pairs_of, verdict
from quantrial.analysis.methods.calibrated import Calibrated
from quantrial.analysis.methods.classic import Classic
from quantrial.errors import StatisticsWarning
from quantrial.stats import holm
from quantrial.tasks.choice import Choice
from quantrial.tasks.spans import Spans

if TYPE_CHECKING:
    from collections.abc import Sequence

    from quantrial.analysis import Methods
    from quantrial.tasks import Endpoint

ARMS = {"f16": 0.0, "q8_0": 0.02, "q4_0": 0.08}  # how often an arm's answer is not that of f16
LADDER = (10**3, 10**4, 10**5, 10**6)
LARGE = 10**7  # binary only
ENTITY_FREE = 0.25
MOST_ENTITIES = 6
MARGIN, ALPHA, SEED = 0.01, 0.05, 20250101
LIMIT_ITEMS, LIMIT_SECONDS, LIMIT_BYTES = 10**6, 30.0, 2 * 10**9
SETS: dict[str, type[Calibrated] | type[Classic]] = {"calibrated": Calibrated, "classic": Classic}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--items", type=int, help="run this size only")
    parser.add_argument("--kind", choices=("binary", "f1", "both"), default="both")
    parser.add_argument("--methods", choices=(*SETS, "both"), default="both")
    parser.add_argument("--resamples", type=int, default=10_000)
    parser.add_argument("--large", action="store_true", help="binary scores of 10^7 items, too")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    kinds = ("binary", "f1") if options.kind == "both" else (options.kind,)
    sets = tuple(SETS) if options.methods == "both" else (options.methods,)
    if options.here:
        print(json.dumps(measure(options.items, kinds[0], sets, options.resamples)))
        return 0
    sizes = LADDER if options.items is None else (options.items,)
    found: list[dict[str, Any]] = []
    for kind in kinds:
        more = (LARGE,) if options.large and kind == "binary" and options.items is None else ()
        rows: list[dict[str, Any]] = []
        for items in (*sizes, *more):
            rows.append(_apart(items, kind, options))
            rows[-1]["growth"] = _growth(rows)
            if not options.json:
                print(_line(rows[-1]), flush=True)
        found += rows
    limits = _limits(found)
    if options.json:
        print(json.dumps({"cores": os.cpu_count(), "sizes": found, "limits": limits}, indent=2))
    elif limits:
        print(
            f"{LIMIT_ITEMS} items, {' and '.join(kinds)}: {limits['seconds']:.1f} s of "
            f"{LIMIT_SECONDS:g}, {limits['peak_bytes'] / 1e6:.0f} MB of {LIMIT_BYTES / 1e6:.0f}"
        )
    return 0


def measure(items: int, kind: str, sets: Sequence[str], resamples: int) -> dict[str, Any]:
    """Analyse fabricated scores of one size; seconds by set of methods, peak memory of all."""
    panel = (binary_panel if kind == "binary" else f1_panel)(items)
    loaded = _peak_bytes()
    found: dict[str, Any] = {"kind": kind, "items": items, "arms": len(ARMS)}
    found |= {"resamples": resamples, "scores_bytes": loaded, "methods": {}}
    for name in sets:
        wall, cpu = time.perf_counter(), time.process_time()
        verdicts = analyse(SETS[name], panel, kind, resamples)
        found["methods"][name] = {
            "seconds": time.perf_counter() - wall,
            "cpu_seconds": time.process_time() - cpu,
            "verdicts": verdicts,
        }
    for total in ("seconds", "cpu_seconds"):
        found[total] = sum(part[total] for part in found["methods"].values())
    return found | {"peak_bytes": _peak_bytes()}


def analyse(
    make: type[Calibrated] | type[Classic], panel: Panel, label: str, resamples: int
) -> dict[str, list[str]]:
    """Ask what `analysis.summary` asks; the verdicts by endpoint."""
    methods: Methods = make(panel, seed=SEED, label=label, resamples=resamples, alpha=ALPHA)
    found = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", StatisticsWarning)
        for endpoint in panel.endpoints:
            found[endpoint.name] = _endpoint(methods, endpoint)
    return found


def _endpoint(methods: Methods, endpoint: Endpoint) -> list[str]:
    arms = methods.panel.arms_with_answers()
    for arm in arms:
        methods.arm(arm, endpoint.name)
    pairs = pairs_of(arms, arms[0])
    contrasts = [methods.contrast(r, c, endpoint.name) for r, c in pairs]
    tests = [methods.equivalence(r, c, endpoint.name, MARGIN) for r, c in pairs]
    adjusted = holm([one.p_value for one in contrasts])
    methods.simultaneous(contrasts, endpoint.name)
    verdicts: list[str] = []
    for one, test, p in zip(contrasts, tests, adjusted.tolist(), strict=True):
        verdicts.append(verdict(one.estimate, p, test, alpha=ALPHA))
        if verdicts[-1] == "inconclusive":
            methods.items_needed(one, endpoint.name, MARGIN, family=len(pairs))
    return verdicts


def binary_panel(items: int) -> Panel:
    """Right or wrong: f16 gets 7 in 10 right, of the changed answers 6 in 10 were right before."""
    rng = np.random.default_rng([SEED, 0, items])
    endpoints = tuple(Choice.endpoints)
    right = rng.random(items, dtype=np.float32) < 0.7
    numerators = np.empty((items, len(ARMS), 1))
    for a, change in enumerate(ARMS.values()):
        lost = rng.random(items, dtype=np.float32) < change * np.where(right, 0.6 / 0.7, 0.4 / 0.3)
        numerators[:, a, 0] = right ^ lost
    answered = np.ones((items, len(ARMS)), dtype=np.bool_)
    return Panel(tuple(ARMS), endpoints, numerators, np.ones_like(numerators), answered)


def f1_panel(items: int) -> Panel:
    """Spans found, missed and invented, and all endpoints that follow from them."""
    rng = np.random.default_rng([SEED, 1, items])
    endpoints = tuple(Spans.endpoints)
    gold = np.minimum(1 + rng.poisson(1.2, items), MOST_ENTITIES)
    gold[rng.random(items, dtype=np.float32) < ENTITY_FREE] = 0
    shape = (items, len(ARMS), len(endpoints))
    numerators, denominators = np.zeros(shape), np.ones(shape)
    first: tuple[Any, Any, Any] | None = None
    for a, change in enumerate(ARMS.values()):
        tp = rng.binomial(gold, 0.8 - change)
        fp = rng.poisson(0.3 + 4.0 * change, items)  # a cheap arm invents more
        parsed = rng.random(items, dtype=np.float32) > change / 4.0
        if first is not None:
            same = rng.random(items, dtype=np.float32) >= change
            tp, fp, parsed = (np.where(same, *p) for p in zip(first, (tp, fp, parsed), strict=True))
        tp, fp = tp * parsed, fp * parsed
        first = first or (tp, fp, parsed)
        values = _values(gold, tp, fp, parsed)
        for e, endpoint in enumerate(endpoints):
            numerators[:, a, e] = _weighed(values, endpoint.numerator)
            if endpoint.denominator:
                denominators[:, a, e] = _weighed(values, endpoint.denominator)
    answered = np.ones(shape[:2], dtype=np.bool_)
    return Panel(tuple(ARMS), endpoints, numerators, denominators, answered)


def _values(gold: Any, tp: Any, fp: Any, parsed: Any) -> dict[str, Any]:
    bottom = gold + tp + fp  # 2 tp + fp + fn
    f1 = np.where(bottom > 0, 2.0 * tp / np.maximum(bottom, 1), 1.0) * parsed
    exact = ((tp == gold) & (fp == 0) & parsed).astype(float)
    return {"tp": tp, "fp": fp, "fn": gold - tp, "f1": f1, "parsed": parsed, "exact": exact}


def _weighed(values: dict[str, Any], weights: Any) -> Any:
    return sum(weight * values[name] for name, weight in weights.items())


def _apart(items: int, kind: str, options: argparse.Namespace) -> dict[str, Any]:
    """Measure in a Python of its own."""
    command = [sys.executable, __file__, "--here", "--items", str(items), "--kind", kind]
    command += ["--methods", options.methods, "--resamples", str(options.resamples)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _growth(rows: Sequence[dict[str, Any]]) -> float | None:
    """Return b where CPU time grew like items^b since the size before."""
    if len(rows) < 2:
        return None
    before, after = rows[-2:]
    cpu = math.log(after["cpu_seconds"] / before["cpu_seconds"])
    return cpu / math.log(after["items"] / before["items"])


def _limits(found: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Set the size that a limit stands for beside it: seconds of all kinds, the largest memory."""
    rows = [row for row in found if row["items"] == LIMIT_ITEMS]
    if not rows:
        return {}
    return {
        "items": LIMIT_ITEMS,
        "seconds": sum(row["seconds"] for row in rows),
        "limit_seconds": LIMIT_SECONDS,
        "peak_bytes": max(row["peak_bytes"] for row in rows),
        "limit_bytes": LIMIT_BYTES,
    }


def _line(row: dict[str, Any]) -> str:
    parts = ", ".join(f"{name} {part['seconds']:.2f} s" for name, part in row["methods"].items())
    growth = "" if row["growth"] is None else f"  items^{row['growth']:.2f}"
    return (
        f"{row['kind']:>6} {row['items']:>9} items: {row['seconds']:6.2f} s wall ({parts}), "
        f"{row['cpu_seconds']:6.2f} s CPU, {row['peak_bytes'] / 1e6:5.0f} MB "
        f"({row['scores_bytes'] / 1e6:.0f} MB with the scores alone){growth}"
    )


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    sys.exit(main())
