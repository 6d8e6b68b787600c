"""Time and memory of `quantrial import lm-eval` on two logs as long as MMLU.

Two logs of multiple choice are fabricated by a seeded generator: 14,042 rows of about 2 KB an arm,
hashes included, one task or a group of leaves. Then the command runs in a Python of its own, with
the analysis, the decision and the report that follow the import. The package's modules are compiled
to bytecode before, as they are where it was installed.

    python benchmarks/import_lm_eval.py [--items N] [--row-bytes B] [--leaves L] [--profile]
"""

from __future__ import annotations

import argparse
import compileall
import hashlib
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import quantrial

SEED = 20250101
TIME = "2026-11-30T08-06-42.461867"
ARMS = {"f16": 0.0, "q4": 0.5}  # how much noise an arm's log-likelihoods have beside f16's
LIMIT_SECONDS, LIMIT_BYTES = 10.0, 10**9
LETTERS = "ABCD"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--items", type=int, default=14_042)
    parser.add_argument("--row-bytes", type=int, default=2_000)
    parser.add_argument("--leaves", type=int, default=57, help="tasks of the group; 1 for no group")
    parser.add_argument("--rounds", type=int, default=1, help="the fastest one counts")
    parser.add_argument("--profile", action="store_true", help="print where the time goes")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    package = Path(quantrial.__file__).parent
    compileall.compile_dir(package, quiet=1)
    with tempfile.TemporaryDirectory() as folder:
        logs = Path(folder)
        for arm, noise in ARMS.items():
            write_log(logs / arm, options.items, options.row_bytes, options.leaves, noise)
        size = sum(path.stat().st_size for path in (logs / "f16").glob("samples_*"))
        rounds = [
            _import(logs, logs / f"run{number}", package.parent, profile=options.profile)
            for number in range(options.rounds)
        ]
    found = min(rounds, key=lambda one: one["wall_seconds"])
    found |= {"items": options.items, "leaves": options.leaves, "log_bytes": size}
    if options.json:
        print(json.dumps(found))
    else:
        print(
            f"{options.items:,} rows of {size / options.items:,.0f} bytes an arm, "
            f"{options.leaves} tasks: {found['wall_seconds']:.2f} s wall, "
            f"{found['user_seconds']:.2f} s user, {found['peak_bytes'] / 1e6:.0f} MB"
        )
    slow = found["wall_seconds"] > LIMIT_SECONDS or found["peak_bytes"] > LIMIT_BYTES
    return 1 if slow and not options.profile else 0


def _import(logs: Path, out: Path, source: Path, *, profile: bool) -> dict[str, Any]:
    """Run the command; return its time and peak memory."""
    how = ["-m", "cProfile", "-s", "tottime"] if profile else []
    words = [sys.executable, *how, "-m", "quantrial", "import", "lm-eval"]
    words += [f"{arm}={logs / arm}" for arm in ARMS]
    words += ["-o", str(out)]
    start = time.perf_counter()
    process = subprocess.Popen(
        words,
        env={**os.environ, "PYTHONPATH": str(source)},
        stdout=None if profile else subprocess.DEVNULL,
    )
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"the import ended with {process.returncode}")
    unit = 1 if sys.platform == "darwin" else 1024
    return {
        "wall_seconds": wall,
        "user_seconds": usage.ru_utime,
        "peak_bytes": usage.ru_maxrss * unit,
    }


def write_log(folder: Path, items: int, row_bytes: int, leaves: int, noise: float) -> None:
    """Write one arm's output folder as lm-eval does; the items are the same for every arm."""
    folder.mkdir()
    names = [f"toy_{number}" for number in range(leaves)] if leaves > 1 else ["toy"]
    draws = random.Random(SEED)
    own = random.Random(f"{SEED} {noise}")
    files = [
        (folder / f"samples_{name}_{TIME}.jsonl").open("w", encoding="utf-8") for name in names
    ]
    for number in range(items):
        row = _row(number // leaves, draws, own, row_bytes, noise)
        files[number % leaves].write(json.dumps(row, ensure_ascii=False) + "\n")
    for file in files:
        file.close()
    config = {"output_type": "multiple_choice", "target_delimiter": " "}
    said = {
        "group_subtasks": {"toy": names} if leaves > 1 else {},
        "configs": dict.fromkeys(names, config),
        "model_name": folder.name,
        "lm_eval_version": "0.4.13",
    }
    (folder / f"results_{TIME}.json").write_text(json.dumps(said))


def _row(
    number: int, draws: random.Random, own: random.Random, row_bytes: int, noise: float
) -> dict[str, Any]:
    # beside five times the question a row has about 1,100 bytes of keys, hashes and numbers
    words = " ".join(f"w{draws.randrange(10**6)}" for _ in range(max(row_bytes - 1_080, 50) // 36))
    gold = draws.randrange(4)
    doc = {"question": words, "choices": list(LETTERS), "answer": gold, "subject": "toy"}
    base = [draws.gauss(1.0 if choice == gold else 0.0, 1.0) - 3.0 for choice in range(4)]
    values = [value + own.gauss(0.0, noise) for value in base]
    prompt = f"{words}\nAnswer:"
    pairs = [[str(value), str(value == max(values))] for value in values]
    right = float(values.index(max(values)) == gold)
    texts = (json.dumps(doc, indent=2, ensure_ascii=False), prompt, str(gold))
    hashes = [hashlib.sha256(text.encode()).hexdigest() for text in texts]
    return {
        "doc_id": number,
        "doc": doc,
        "target": str(gold),
        "arguments": {
            f"gen_args_{at}": {"arg_0": prompt, "arg_1": f" {letter}"}
            for at, letter in enumerate(LETTERS)
        },
        "resps": [[pair] for pair in pairs],
        "filtered_resps": pairs,
        "filter": "none",
        "metrics": ["acc", "acc_norm"],
        **dict(zip(("doc_hash", "prompt_hash", "target_hash"), hashes, strict=True)),
        "acc": right,
        "acc_norm": right,
    }


if __name__ == "__main__":
    sys.exit(main())
