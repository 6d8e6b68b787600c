"""What each order of calls costs in time, and how much a drifting machine biases speed ratios.

A simulated clock over the orders that `quantrial run` would follow. The case: 800 items (500
questions, 300 sentences), three arms of which one fits in memory at a time, median loads of 10.8,
6.0 and 5.0 s, about 2,000 s of decoding and 1,000 s of reading prompts in all. The machine slows
down by 20 % from the first call to the last.

    python benchmarks/schedules.py            a table, with further shapes of drift
    python benchmarks/schedules.py --json     {"<schedule>": {"total_s", "speed_ratio_bias"}}
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from quantrial.design.orders import Draws
from quantrial.design.schedule import Call, calls_of, decide
from quantrial.study import Design

ITEMS = {"questions": 500, "sentences": 300}
LOADS: dict[str, float | None] = {"f16": 10.8, "q8_0": 6.0, "q4_k_m": 5.0}
REFERENCE = "f16"
DECODING, READING = 2000.0, 1000.0  # seconds, over all calls
# how long a token takes beside the reference's, and what a task's tokens share in the decoding
SECONDS_A_TOKEN = {"f16": 1.0, "q8_0": 0.62, "q4_k_m": 0.45}
SHARE = {"questions": 0.05, "sentences": 0.95}
READING_SHARE = {"questions": 0.6, "sentences": 0.4}
DRIFT = 0.20
SEEDS = 40
PROBES = 4  # calls a task and arm that time an arm before the order is decided, where that is open
SCHEDULES = ("auto", "blocked", "round_robin", "sequential")

Shape = Callable[[float], float]  # 0 to 1 of the run -> how far the drift has come, 0 to 1
SHAPES: dict[str, Shape] = {
    "linear": lambda x: x,
    "early": lambda x: (1 - math.exp(-5 * x)) / (1 - math.exp(-5)),  # heats up, then stays hot
    "wave": lambda x: 0.5 - 0.5 * math.cos(2 * math.pi * x),  # a busy hour in the middle
}


@dataclass(frozen=True, slots=True)
class Work:
    """One call's reading and decoding, in seconds at the machine's usual speed."""

    reading: float
    decoding: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a schedule came to."""

    total: float
    bias: float  # of the speed ratio furthest from the truth, as a fraction of it


def work(seed: int) -> dict[tuple[str, str, str], Work]:
    """Draw how long items are, and scale all calls to the stated seconds."""
    draws = Draws(seed, "lengths")
    found = {}
    for task, count in ITEMS.items():
        lengths = [0.3 + 1.4 * draws.random() for _ in range(count)]
        slow = sum(SECONDS_A_TOKEN.values()) * sum(lengths)
        for item, length in enumerate(lengths):
            for arm, pace in SECONDS_A_TOKEN.items():
                part = length * pace / slow
                found[task, f"{task}{item}", arm] = Work(
                    READING * READING_SHARE[task] * part, DECODING * SHARE[task] * part
                )
    return found


def order(schedule: str, seed: int) -> tuple[Sequence[Call], float]:
    """Return the calls as quantrial orders them, and the seconds that deciding on it took."""
    design = Design.model_validate({"schedule": schedule, "repeat_reference": 0})
    counts = list(ITEMS.values())
    probed = sum(x or 0.0 for x in LOADS.values()) if schedule == "auto" else 0.0
    if schedule == "auto":
        probed += PROBES * len(ITEMS) * len(LOADS) * (DECODING + READING) / (sum(counts) * 3)
    decided = decide(
        design, counts, LOADS, seed=seed, together=False, answer_seconds=DECODING + READING
    )
    items = {task: [f"{task}{i}" for i in range(n)] for task, n in ITEMS.items()}
    return calls_of(decided, items, list(LOADS), reference=REFERENCE, seed=seed), probed


def clock(
    calls: Sequence[Call],
    works: Mapping[tuple[str, str, str], Work],
    slowness: Callable[[float], float],
) -> tuple[float, dict[tuple[str, str], float]]:
    """Run the calls on a clock; return the end, and each task's and arm's decoding seconds."""
    now, loaded = 0.0, ""
    spent: dict[tuple[str, str], float] = {}
    for call in calls:
        if call.arm != loaded:
            now += LOADS[call.arm] or 0.0
            loaded = call.arm
        one, pace = works[call.task, call.item, call.arm], slowness(now)
        now += (one.reading + one.decoding) * pace
        key = (call.task, call.arm)
        spent[key] = spent.get(key, 0.0) + one.decoding * pace
    return now, spent


def simulate(schedule: str, seed: int, shape: Shape) -> Outcome:
    """Follow one schedule while the machine slows down, from -10 % to +10 % of its mean pace."""
    calls, probed = order(schedule, seed)
    works = work(seed)
    total, _ = clock(calls, works, lambda _: 1.0)
    for _ in range(4):  # where the run ends depends on the drift, which depends on where it ends
        end = total

        def slowness(now: float, end: float = end) -> float:
            return 1.0 + DRIFT * (shape(min(now / end, 1.0)) - 0.5)

        total, spent = clock(calls, works, slowness)
    biases = [
        # the same tokens, so the ratio of speeds is the inverse ratio of seconds
        (spent[task, REFERENCE] / spent[task, arm]) * SECONDS_A_TOKEN[arm] - 1.0
        for task in ITEMS
        for arm in LOADS
        if arm != REFERENCE
    ]
    return Outcome(total + probed, max(biases, key=abs))


def worst(schedule: str, shape: Shape) -> Outcome:
    """Return the longest time and the largest bias over many seeds."""
    found = [simulate(schedule, seed, shape) for seed in range(SEEDS)]
    return Outcome(max(one.total for one in found), max((one.bias for one in found), key=abs))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", action="store_true", help="linear drift alone, as JSON")
    as_json = parser.parse_args().json
    linear = {schedule: worst(schedule, SHAPES["linear"]) for schedule in SCHEDULES}
    if as_json:
        print(
            json.dumps(
                {
                    schedule: {"total_s": one.total, "speed_ratio_bias": one.bias}
                    for schedule, one in linear.items()
                },
                indent=2,
            )
        )
        return
    print(f"The longest time and the largest bias over {SEEDS} seeds, all tasks and candidates.\n")
    print("| schedule | total | times `auto` | bias, linear | bias, early | bias, wave |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    for schedule, one in linear.items():
        others = [worst(schedule, SHAPES[name]).bias for name in ("early", "wave")]
        shown = " | ".join(f"{100 * bias:+.2f} %" for bias in (one.bias, *others))
        times = one.total / linear["auto"].total
        print(f"| `{schedule}` | {one.total:,.0f} s | {times:.2f} | {shown} |")


if __name__ == "__main__":
    main()
