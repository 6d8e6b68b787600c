"""What reading the shared beginning of prompts once saves, and that answers do not depend on it.

The embedded engine on the demo's tasks, with and without `prompt_cache`, the same items in turn, so
that whatever else the machine does hits both. Each item is asked twice with the cache, the second
time in another order and of a worker that was started anew: answers and their probabilities must be
equal to the last bit.

    python benchmarks/prompt_cache.py [--items 20] [--json]
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import random
import time
from collections.abc import Sequence
from pathlib import Path

import yaml

from quantrial.commands.studies import preset_text
from quantrial.engines import Engine, Reply, Request, make_engine
from quantrial.running.asking import request_for
from quantrial.running.prepare import prepare
from quantrial.study import Study, parse_study

ARM = "q4_0"


def requests_of(study: Study, task: str, items: int) -> list[Request]:
    """Return what the demo asks for the first items of a task, with probabilities."""
    prepared = prepare(study, base=Path())
    return [
        dataclasses.replace(request_for(prepared.tasks[task].prompt(item), study, task), logprobs=1)
        for item in prepared.items[task][:items]
    ]


def timed(engine: Engine, request: Request) -> tuple[Reply, float]:
    """Ask, and take the time."""
    clock = time.perf_counter()
    return engine.ask(request), time.perf_counter() - clock


def measured(study: Study, task: str, items: int) -> dict[str, float]:
    """Ask one task's items with the cache and without, in turn, and once more in another order."""
    requests = requests_of(study, task, items)
    arm = study.arms[ARM]
    off = arm.model_copy(update={"options": {**arm.options, "prompt_cache": False}})
    cached = make_engine(ARM, arm, base=Path(), seed=study.seed)
    whole = make_engine(ARM, off, base=Path(), seed=study.seed)
    try:
        cached.start(), whole.start()
        one, two = list[Reply](), list[Reply]()
        seconds = {"on": 0.0, "off": 0.0}
        for number, request in enumerate(requests):
            for which in ("on", "off") if number % 2 else ("off", "on"):
                reply, took = timed(cached if which == "on" else whole, request)
                seconds[which] += took
                (one if which == "on" else two).append(reply)
        cached.close()
        order = random.Random(1).sample(range(len(requests)), len(requests))
        again = {at: cached.ask(requests[at]) for at in order}
    finally:
        cached.close()
        whole.close()
    return {
        "calls": len(requests),
        "cached_s": seconds["on"],
        "whole_s": seconds["off"],
        "speedup": seconds["off"] / seconds["on"],
        "cached_share": _tokens(one, "cached_tokens") / _tokens(one, "prompt_tokens"),
        "changed_by_order": sum(_said(again[at]) != _said(one[at]) for at in order),
        "texts_other_than_whole": sum(a.output != b.output for a, b in zip(one, two, strict=True)),
    }


def _tokens(replies: Sequence[Reply], name: str) -> int:
    return sum(getattr(reply, name) or 0 for reply in replies)


def _said(reply: Reply) -> tuple[str, object]:
    return reply.output, reply.logprobs


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--items", type=int, default=20)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    study = parse_study(yaml.safe_dump(yaml.safe_load(preset_text("embedded"))))
    found = {task: measured(study, task, options.items) for task in study.tasks}
    if options.json:
        print(json.dumps(found, indent=2))
        return
    for task, one in found.items():
        print(
            f"{task}: {one['calls']} calls of {ARM}: {one['whole_s']:.1f} s with whole prompts, "
            f"{one['cached_s']:.1f} s with their beginning restored, {one['speedup']:.2f} times as "
            f"fast; {one['cached_share']:.0%} of the tokens of prompts restored; "
            f"{one['changed_by_order']} answers changed by another order and a new start, "
            f"{one['texts_other_than_whole']} other than those of whole prompts"
        )


if __name__ == "__main__":
    main()
