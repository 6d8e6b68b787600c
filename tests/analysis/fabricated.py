"""Small studies with answers written by hand, for the tests of the analysis."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from quantrial.analysis import TaskOutcomes, score_task
from quantrial.records import Item, Response, content_hash
from quantrial.study import Study
from quantrial.tasks import make_task
from summaries import summarise

FAULT = "\0fault"  # instead of an output: the engine failed
Outputs = Sequence[str | None]  # None: not asked yet
Data = Mapping[str, tuple[Sequence[Item], Mapping[str, Outputs]]]

QUIZ = {"kind": "choice", "workload": "reasoning", "source": {"type": "bundled"}}
ADA, ROME, BO = ("Ada", "PER"), ("Rome", "LOC"), ("Bo", "PER")
NAMES = {"kind": "spans", "workload": "extraction", "source": {"type": "bundled"}}


def make_study(
    *,
    tasks: Mapping[str, Any] | None = None,
    arms: Sequence[str] | Mapping[str, Any] = ("ref", "new"),
    **changes: Any,
) -> Study:
    """Make a study whose reference is its first arm."""
    if not isinstance(arms, Mapping):
        arms = {arm: {"engine": "scripted", "model": arm} for arm in arms}
    data: dict[str, Any] = {
        "study": "fabricated",
        "seed": 7,
        "reference": next(iter(arms)),
        "margin": 0.05,
        "arms": arms,
        "tasks": tasks or {"quiz": QUIZ},
        "analysis": {"resamples": 400},
    }
    return Study.model_validate(data | changes)


def make_item(task: str, number: int, content: Mapping[str, Any], gold: Any, **meta: str) -> Item:
    return Item(task, f"i{number}", content, gold, meta, "made:1", content_hash(content, gold))


def quiz(n: int, *, task: str = "quiz", options: int = 4, **keys: Sequence[str]) -> list[Item]:
    """Make n questions, gold A, B, C, D in turn; `keys` are metadata, a value an item."""
    return [
        make_item(
            task,
            i,
            {"question": f"{i}?", "options": [f"{i}.{k}" for k in range(options)]},
            "ABCD"[i % options],
            **{key: values[i] for key, values in keys.items()},
        )
        for i in range(n)
    ]


def sentences(golds: Sequence[Sequence[tuple[str, str]]], *, task: str = "names") -> list[Item]:
    return [
        make_item(task, i, {"text": f"Sentence {i}."}, [list(span) for span in gold])
        for i, gold in enumerate(golds)
    ]


def said(*spans: tuple[str, str]) -> str:
    return json.dumps([{"text": text, "type": label} for text, label in spans])


def right_on(items: Sequence[Item], right: Collection[int]) -> list[str]:
    """Answer these questions rightly and the others with the next letter."""
    return [
        str(item.gold) if i in right else "ABCD"[("ABCD".index(item.gold) + 1) % 4]
        for i, item in enumerate(items)
    ]


def make_response(item: Item, arm: str, output: str, **changes: Any) -> Response:
    failed = output == FAULT
    values: dict[str, Any] = {
        "study": "fabricated",
        "task": item.task,
        "arm": arm,
        "item": item.id,
        "replicate": 0,
        "attempt": 1,
        "order": 0,
        "block": 0,
        "status": "engine_error" if failed else "ok",
        "error": "it broke" if failed else None,
        "output": "" if failed else output,
        "finish_reason": None if failed else "stop",
        "prompt_tokens": 50,
        "completion_tokens": 4,
        "timing": {"load": None, "prompt": 0.5, "decode": 0.1, "wall": 0.6},
        "started_at": "2026-01-01T00:00:00Z",
        "prompt_sha256": f"shown {item.id}",
    }
    return Response(**(values | changes))


def answered(items: Sequence[Item], arm: str, outputs: Outputs) -> list[Response]:
    return [
        make_response(item, arm, output)
        for item, output in zip(items, outputs, strict=True)
        if output is not None
    ]


def scored(study: Study, data: Data) -> dict[str, TaskOutcomes]:
    return {
        task: score_task(
            make_task(task, study.tasks[task]),
            items,
            {arm: answered(items, arm, outputs) for arm, outputs in by_arm.items()},
            cluster=study.tasks[task].cluster,
        )
        for task, (items, by_arm) in data.items()
    }


def quizzed(outputs: Mapping[str, Outputs], **keys: Sequence[str]) -> TaskOutcomes:
    """Score what arms `ref` and `new` answered to as many questions."""
    items = quiz(len(outputs["ref"]), task="quiz", options=4, **keys)
    return scored(make_study(), {"quiz": (items, outputs)})["quiz"]


def named(golds: Sequence[Any], outputs: dict[str, Outputs]) -> TaskOutcomes:
    """Score what arms `ref` and `new` answered to sentences with these entities."""
    study = make_study(tasks={"names": NAMES})
    return scored(study, {"names": (sentences(golds), outputs)})["names"]


def summary_of(study: Study, data: Data) -> dict[str, Any]:
    records = {
        arm: {"bytes_on_disk": 1000, "sha256": "0" * 64, "quantization": arm} for arm in study.arms
    }
    return summarise(study, scored(study, data), arms=records, methods="classic")


def pair(task: Mapping[str, Any], candidate: str, reference: str, endpoint: str = "") -> Any:
    """Return the contrast of two arms and its test of equivalence."""
    found = task["endpoints"][endpoint or task["primary"]]
    both = (
        next(one for one in found[part] if (one["candidate"], one["reference"]) == wanted)
        for part in ("contrasts", "equivalence")
        for wanted in [(candidate, reference)]
    )
    return tuple(both)
