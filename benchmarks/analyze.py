"""How long `quantrial.commands.analyze` takes on 3 arms x 800 items, imports included.

Each repeat is a fresh Python that times itself from its first line on: wall and CPU seconds. The
limit that `quantrial` promises is 1 s of wall time on a quiet machine, and 0.6 s of CPU time; where
others share the machine, the CPU time is what tells. Both sets of methods are measured in turn
(`calibrated` runs `classic` too, to name where they disagree).

    python benchmarks/analyze.py [--methods calibrated|classic] [--repeats 5] [--json] [--profile]
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from quantrial.records import Item, Manifest, Response, content_hash
from quantrial.running.store import ITEMS, MANIFEST, RESPONSES
from quantrial.study import parse_study

LIMIT_SECONDS, LIMIT_CPU_SECONDS = 1.0, 0.6
SETS = ("calibrated", "classic")
ARMS = {"f16": 0.0, "q8_0": 0.02, "q4_0": 0.08}  # how often an arm gets wrong what f16 gets right
QUESTIONS, SUBJECTS, SENTENCES = 500, 10, 300

_CHILD = """
import time
wall, cpu = time.perf_counter(), time.process_time()
import json, sys
from quantrial.commands import analyze
analyze(sys.argv[1], methods=sys.argv[2])
print(json.dumps([time.perf_counter() - wall, time.process_time() - cpu]))
"""
_PROFILED = """
import cProfile, pstats, sys, time
profile = cProfile.Profile(time.process_time)
profile.enable()
from quantrial.commands import analyze
analyze(sys.argv[1], methods=sys.argv[2])
profile.disable()
pstats.Stats(profile).sort_stats("cumulative").print_stats(45)
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--methods", choices=(*SETS, "both"), default="both")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--profile", action="store_true", help="show where the time goes instead")
    options = parser.parse_args()
    sets = SETS if options.methods == "both" else (options.methods,)
    with tempfile.TemporaryDirectory() as name:
        run = Path(name) / "bench"
        make_run(run)
        if options.profile:
            for methods in sets:
                print(_python(_PROFILED, run, methods))
            return 0
        # in turn, so that a busy minute of the machine strikes all alike
        times = [
            [json.loads(_python(_CHILD, run, m)) for m in sets] for _ in range(options.repeats)
        ]
    found = {m: _figures([turn[i] for turn in times]) for i, m in enumerate(sets)}
    if options.json:
        size = {"arms": len(ARMS), "items": QUESTIONS + SENTENCES, "repeats": options.repeats}
        limits = {"limit_wall_seconds": LIMIT_SECONDS, "limit_cpu_seconds": LIMIT_CPU_SECONDS}
        print(json.dumps({**size, **limits, "methods": found}, indent=2))
        return 0
    print(f"analyze, {len(ARMS)} arms x {QUESTIONS + SENTENCES} items, {options.repeats} repeats")
    for methods, figures in found.items():
        print(
            f"{methods:>10}: median {figures['median_wall_seconds']:.2f} s wall "
            f"(limit {LIMIT_SECONDS:g}), {figures['median_cpu_seconds']:.2f} s CPU "
            f"(limit {LIMIT_CPU_SECONDS:g})"
        )
    return 0


def _figures(times: list[tuple[float, float]]) -> dict[str, Any]:
    walls, cpus = [wall for wall, _ in times], [cpu for _, cpu in times]
    return {
        "wall_seconds": walls,
        "cpu_seconds": cpus,
        "median_wall_seconds": statistics.median(walls),
        "median_cpu_seconds": statistics.median(cpus),
    }


def _python(code: str, run: Path, methods: str) -> str:
    command = [sys.executable, "-c", code, str(run), methods]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def make_run(folder: Path) -> None:
    """Write a run folder with fabricated answers."""
    text = yaml.safe_dump(
        {
            "study": "bench",
            "reference": "f16",
            "arms": {arm: {"engine": "scripted", "model": arm} for arm in ARMS},
            "tasks": {
                "quiz": {
                    "kind": "choice",
                    "workload": "reasoning",
                    "source": {"type": "bundled"},
                    "stratify": "subject",
                },
                "names": {
                    "kind": "spans",
                    "workload": "extraction",
                    "source": {"type": "bundled"},
                },
            },
        }
    )
    study = parse_study(text)
    items = [*_questions(), *_sentences()]
    (folder / RESPONSES).mkdir(parents=True)
    (folder / "study.yaml").write_text(text, encoding="utf-8")
    (folder / ITEMS).write_bytes(b"".join(item.to_json() + b"\n" for item in items))
    for arm, loss in ARMS.items():
        rng = random.Random(arm)
        for task in study.tasks:
            lines = [_answer(item, arm, loss, rng).to_json() for item in items if item.task == task]
            path = folder / RESPONSES / f"{task}.{arm}.jsonl"
            path.write_bytes(b"\n".join(lines) + b"\n")
    manifest = Manifest(
        study={"name": study.study, "hash": study.hash, "seed": study.seed, "base": "."},
        arms={arm: {"bytes_on_disk": 10**9, "sha256": None, "quantization": arm} for arm in ARMS},
        tasks={},
        software={},
        host={},
    )
    (folder / MANIFEST).write_bytes(manifest.to_json())


def _item(task: str, content: Mapping[str, Any], gold: Any, metadata: Mapping[str, str]) -> Item:
    digest = content_hash(content, gold)
    return Item(task, digest[:16], content, gold, metadata, "bench:1", digest)


def _questions() -> Iterator[Item]:
    for i in range(QUESTIONS):
        content = {"question": f"Question {i}?", "options": [f"{i}.{k}" for k in range(4)]}
        yield _item("quiz", content, "ABCD"[i % 4], {"subject": f"subject {i % SUBJECTS}"})


def _sentences() -> Iterator[Item]:
    for i in range(SENTENCES):
        spans = [[f"Name{i}x{k}", ("PER", "LOC", "ORG")[k % 3]] for k in range(i % 5)]
        text = " and ".join(span[0] for span in spans) or "nobody"
        yield _item("names", {"text": f"Here came {text}, number {i}."}, spans, {})


def _answer(item: Item, arm: str, loss: float, rng: random.Random) -> Response:
    hard = random.Random(item.id).random() < 0.3  # what no arm gets right
    wrong = hard or rng.random() < loss
    if item.task == "quiz":
        output = "ABCD"[("ABCD".index(item.gold) + wrong) % 4]
    else:
        kept = [[t, label] for k, (t, label) in enumerate(item.gold) if not (wrong and k % 2)]
        kept += [["number", "MISC"]] if wrong and not item.gold else []
        output = json.dumps([{"text": t, "type": label} for t, label in kept])
    tokens = 1 + len(output) // 4
    return Response(
        study="bench",
        task=item.task,
        arm=arm,
        item=item.id,
        replicate=0,
        attempt=1,
        order=0,
        block=0,
        status="ok",
        error=None,
        output=output,
        finish_reason="stop",
        prompt_tokens=60,
        completion_tokens=tokens,
        timing={"load": None, "prompt": 0.1, "decode": tokens / 40, "wall": 0.1 + tokens / 40},
        started_at="2026-01-01T00:00:00Z",
    )


if __name__ == "__main__":
    sys.exit(main())
