"""How long analysis and the report's data take on 3 arms x 800 items, imports included.

Each repeat is a fresh Python that times itself from its first line on: `quantrial.analyze` (which
reads, scores, compares and writes `summary.json`), then everything that `quantrial report` computes
before it draws a plot or renders a template: the decision, the answers scored again, every sentence
and table of the page, and the answers to look through. Our modules are compiled to bytecode before,
as they are where the package was installed; `OPENBLAS_*` is as the caller set it.

The limit that `quantrial` promises is 1 s of wall time on a quiet machine, and 0.6 s of CPU time;
where others share the machine, CPU time is what tells. Both sets of methods are measured in turn
(`calibrated` runs `classic` too, to name where they disagree). `--against FOLDER` measures another
checkout in the same turns and adds the ratio, which noise leaves alone.

    python benchmarks/analyze.py [--methods calibrated|classic] [--repeats 5] [--json] [--profile]
                                 [--against FOLDER]
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from quantrial.records import ArmRecord, Item, Manifest, Response, content_hash
from quantrial.runfolder import ITEMS, MANIFEST, RESPONSES
from quantrial.study import parse_study

LIMIT_SECONDS, LIMIT_CPU_SECONDS = 1.0, 0.6
SETS = ("calibrated", "classic")
ARMS = {"f16": 0.0, "q8_0": 0.02, "q4_0": 0.08}  # how often an arm gets wrong what f16 gets right
QUESTIONS, SUBJECTS, SENTENCES = 500, 10, 300

_WORK = """
import sys
from pathlib import Path
from quantrial.commands import derived, results
from quantrial.reporting import answers, view
from quantrial.runfolder import RunFolder
run = Path(sys.argv[1])
results.analyze(run, methods=sys.argv[2])
analysed = time.process_time()
study, summary, decision = results.load_results(run)
view.build_view(study, summary, decision, RunFolder(run).read_manifest())
answers.answers(derived.score_run(run), summary.reference)
"""
_CHILD = f"""
import time
wall, cpu = time.perf_counter(), time.process_time()
{_WORK}
import json
took = time.perf_counter() - wall, time.process_time() - cpu, analysed - cpu
print(json.dumps(took))
"""
_PROFILED = f"""
import cProfile, pstats, time
profile = cProfile.Profile(time.process_time)
profile.enable()
{_WORK}
profile.disable()
pstats.Stats(profile).sort_stats("cumulative").print_stats(60)
"""
_TIMES = ("wall_seconds", "cpu_seconds", "analyze_cpu_seconds")
_HERE = Path(__file__).parents[1]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--methods", choices=(*SETS, "both"), default="both")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--profile", action="store_true", help="show where the time goes instead")
    parser.add_argument("--against", type=Path, help="another checkout, measured in the same turns")
    options = parser.parse_args()
    sets = SETS if options.methods == "both" else (options.methods,)
    checkouts = [_HERE] + ([options.against] if options.against else [])
    with tempfile.TemporaryDirectory() as name:
        run, compiled = Path(name) / "bench", Path(name) / "bytecode"
        make_run(run)
        if options.profile:
            for methods in sets:
                print(_python(_PROFILED, _HERE, compiled, run, methods))
            return 0
        # in turn, so that a busy minute of the machine strikes all alike; the first compiles
        turns = [
            [
                [json.loads(_python(_CHILD, checkout, compiled, run, m)) for m in sets]
                for checkout in checkouts
            ]
            for _ in range(options.repeats + 1)
        ][1:]
    found = {m: _figures([turn[0][i] for turn in turns]) for i, m in enumerate(sets)}
    for i, m in enumerate(sets) if options.against else ():
        before = _figures([turn[1][i] for turn in turns])["median_cpu_seconds"]
        found[m]["cpu_ratio"] = found[m]["median_cpu_seconds"] / before
    if options.json:
        size = {"arms": len(ARMS), "items": QUESTIONS + SENTENCES, "repeats": options.repeats}
        limits = {"limit_wall_seconds": LIMIT_SECONDS, "limit_cpu_seconds": LIMIT_CPU_SECONDS}
        print(json.dumps({**size, **limits, "methods": found}, indent=2))
        return 0
    print(f"{len(ARMS)} arms x {QUESTIONS + SENTENCES} items, {options.repeats} repeats")
    for methods, figures in found.items():
        ratio = f", {figures['cpu_ratio']:.2f} of the other's" if options.against else ""
        print(
            f"{methods:>10}: median {figures['median_wall_seconds']:.2f} s wall "
            f"(limit {LIMIT_SECONDS:g}), {figures['median_cpu_seconds']:.2f} s CPU "
            f"(limit {LIMIT_CPU_SECONDS:g}{ratio}), of which "
            f"{figures['median_analyze_cpu_seconds']:.2f} for analyze"
        )
    return 0


def _figures(times: list[tuple[float, ...]]) -> dict[str, Any]:
    columns = dict(zip(_TIMES, map(list, zip(*times, strict=True)), strict=True))
    return columns | {
        f"median_{name}": statistics.median(column) for name, column in columns.items()
    }


def _python(code: str, checkout: Path, compiled: Path, run: Path, methods: str) -> str:
    command = [sys.executable, "-c", code, str(run), methods]
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"} | {
        "PYTHONPATH": str(checkout / "src"),
        "PYTHONPYCACHEPREFIX": str(compiled),
    }
    return subprocess.run(
        command, check=True, capture_output=True, text=True, env=environment
    ).stdout


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
        arms={
            arm: ArmRecord.from_json({"bytes_on_disk": 10**9, "sha256": None, "quantization": arm})
            for arm in ARMS
        },
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
