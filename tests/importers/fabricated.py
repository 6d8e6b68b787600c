"""A small published study, made so that every number of it can be counted by hand.

mmlu: 40 questions, subject i % 4, gold ABCD in turn; a wrong answer is the letter after the gold.
    fp16 wrong on 0-9; q8_0 wrong on 0-8 and 20; q4_K_M wrong on 0-17, and 39 is a fault.
extraction: 30 sentences, the first 6 without entities, the others with a PER and a LOC.
    fp16: 29 is no array, 10 stands in a code fence; q8_0: no LOC on 6-8, one entity too many on 0;
    q4_K_M: ORG for PER on 20-24, 15 is missing, 16 is a timeout.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from quantrial.analysis import TaskOutcomes, score_task
from quantrial.importers import import_answers
from quantrial.runfolder import RunFolder
from quantrial.study import load_study
from quantrial.tasks import make_task

Rows = list[dict[str, Any]]

import_reference = functools.partial(import_answers, "reference")

WRONG = {
    "fp16": set(range(10)),
    "q8_0": {*range(9), 20},
    "q4_K_M": set(range(18)),
}


def mmlu_row(arm: str, i: int) -> dict[str, Any]:
    gold = "ABCD"[i % 4]
    wrong = i in WRONG[arm]
    said = "ABCD"[(i + 1) % 4] if wrong else gold
    tokens, seconds = (10, 1.0) if i % 2 == 0 else (30, 0.5)
    return {
        "example_id": f"q{i}",
        "arm": arm,
        "task": "mmlu",
        "score": 0.0 if wrong else 1.0,
        "output": f"({said})",
        "gold": gold,
        "status": "ok",
        "metadata": {"subject": f"s{i % 4}", "difficulty": i},
        "timing": {
            "eval_count": tokens,
            "eval_duration_ns": int(seconds * 1e9),
            "total_duration_ns": 2_000_000_000,
            "load_duration_ns": 500_000_000,
            "prompt_eval_count": 100,
            "prompt_eval_duration_ns": 250_000_000,
            "tokens_per_second": tokens / seconds,
        },
    }


def gold_of(i: int) -> list[list[str]]:
    return [] if i < 6 else [[f"Name {i}", "PER"], [f"City {i}", "LOC"]]


def extraction_row(arm: str, i: int) -> dict[str, Any]:
    found = [{"text": text, "type": label} for text, label in gold_of(i)]
    score = 1.0
    if arm == "q8_0" and 6 <= i <= 8:
        found, score = found[:1], 2 / 3
    if arm == "q8_0" and i == 0:
        found, score = [{"text": "Monday", "type": "MISC"}], 0.0
    if arm == "q4_K_M" and 20 <= i <= 24:
        found[0]["type"], score = "ORG", 0.5
    output = json.dumps(found)
    if arm == "fp16" and i == 10:
        output = f"```json\n{output}\n```"
    if arm == "fp16" and i == 29:
        output, score = "There are two entities.", 0.0
    return {"example_id": i, "score": score, "output": output, "gold": gold_of(i)}


def write_rows(path: Path, rows: Iterable[Any]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def read_rows(path: Path) -> Rows:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def answers() -> dict[str, Rows]:
    files: dict[str, Rows] = {}
    for arm in WRONG:
        files[f"mmlu_{arm}"] = [mmlu_row(arm, i) for i in range(40)]
        files[f"extraction_{arm}"] = [extraction_row(arm, i) for i in range(30)]
    fault = files["mmlu_q4_K_M"][39]
    fault |= {"status": "HTTP 500", "output": None, "score": 1.0, "error": "server went away"}
    late = files["extraction_q4_K_M"][16]
    late |= {"status": "timeout", "output": "", "score": None}
    del files["extraction_q4_K_M"][15]
    # recorded scores that are not what scoring gives
    files["mmlu_fp16"][12]["score"] = 0
    files["mmlu_q8_0"][3]["score"] = True
    files["extraction_q8_0"][6]["score"] = 0.66667
    # q5 of q8_0 stands twice, first right, then wrong: lines 1 and 7
    files["mmlu_q8_0"].insert(0, mmlu_row("q8_0", 5) | {"output": "B", "score": 1.0})
    return files


def outcomes(run: RunFolder, task: str) -> TaskOutcomes:
    """Score one task of a run folder the way `analyze` does."""
    study = load_study(run.study_path)
    spec = study.tasks[task]
    responses = {arm: run.read_responses(task, arm) for arm in study.arms}
    items = run.read_items()[task]
    return score_task(make_task(task, spec), items, responses, cluster=spec.cluster)
