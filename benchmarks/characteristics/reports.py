"""Whole reports of equal arms: how often one shows something that is not there.

Answers are made up, and everything after them is the product's own: scoring, the summary, the
decision. Arms are equal: each gives an item's answer, or with a small chance another draw from the
same distribution, independently; so does the reference when it is asked a second time.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from characteristics.cells import Cell, Measured
from quantrial.analysis import question_of, score_task, summarise
from quantrial.decision import decide_from
from quantrial.documents import to_dict
from quantrial.documents.contrasts import is_finding
from quantrial.records import ArmRecord, Item, Response, content_hash
from quantrial.study import Study
from quantrial.tasks import make_task

LETTERS = "ABCD"
SUBJECTS, GENRES = 6, 4
TWICE = 0.2  # of the items, the reference is asked a second time
DIFFERENT = ("better", "worse", "longer", "shorter")
_REFUSAL = "I'm sorry, but I cannot help with that."
_LOOP = "the answer is the answer is " * 8


@dataclass(frozen=True)
class Said:
    """One answer: its text, its length in tokens, whether the limit cut it off."""

    output: str
    tokens: int
    truncated: bool = False


def reports(cell: Cell) -> Measured:
    """How often a report of equal arms shows anything: beyond the primary endpoints, and on them.

    `kind` names the number of candidates and the tasks: `2 choice spans`. An alarm is what a reader
    is told to be so: a verdict of a difference, a shift of letters, strata that differ, noise, a
    mitigation in the decision.
    """
    rng = cell.rng()
    candidates, *tasks = cell.kind.split()
    study = _study(int(candidates), tasks)
    beyond, primary = 0, dict.fromkeys(tasks, 0)
    by_classic = 0
    for _ in range(cell.replications):
        summary = _summary(study, cell, rng)
        decision = decide_from(summary)
        beyond += any(alarms(summary, decision))
        by_classic += any(other_alarms(summary))
        for task in tasks:
            primary[task] += any(primary_alarms(summary, task))
    figures = {"report alarm beyond the primary endpoints": beyond / cell.replications}
    figures["report alarm by the other set of methods alone"] = by_classic / cell.replications
    for task, count in primary.items():
        figures[f"report alarm on the primary endpoint of {task}"] = count / cell.replications
    return Measured(figures)


def alarms(summary: Mapping[str, Any], decision: Mapping[str, Any]) -> Iterator[str]:
    """Name everything that a report shows beyond the primary endpoints."""
    alpha = summary["alpha"]
    for name, part in summary["tasks"].items():
        contrasts = [
            one
            for endpoint, results in part["endpoints"].items()
            for one in results["contrasts"]
            if endpoint != part["primary"]
        ]
        contrasts += part["failure_contrasts"]
        contrasts += [
            one
            for table in part["strata"].values()
            for stratum in table.values()
            for one in stratum["contrasts"]
        ]
        for one in contrasts:
            if {one["verdict"], one["also"], one.get("shown")} & set(DIFFERENT):
                yield one["id"]
        for kind in ("letter_shifts", "heterogeneity"):
            yield from (f"{name}.{kind}" for one in part[kind] if is_finding(one, alpha))
        for one in (part["repeats"] or {"candidates": ()})["candidates"]:
            told = {one["same_items"][kind]["told"] for kind in ("score", "text")}
            yield from (f"{name}.repeats" for _ in told - {"open"})
    for entry in (decision["default"], *decision["pick_when"]):
        yield from (guard["because"] for guard in entry.get("guards", ()))
    yield from (one["text"] for one in decision["cautions"] if one.get("kind") == "noise")
    yield from (one["id"] for one in summary["alarms"]["findings"])


def other_alarms(summary: Mapping[str, Any]) -> Iterator[str]:
    """Name what only the other set of methods would show, where the report says that they part."""
    for part in summary["tasks"].values():
        for one in part["disagreements"]:
            beyond = one["stratum"] is not None or one["endpoint"] != part["primary"]
            if beyond and one["classic"] in DIFFERENT:
                yield one["id"]


def primary_alarms(summary: Mapping[str, Any], task: str) -> Iterator[str]:
    """Name the contrasts on a task's primary endpoint that are found to differ."""
    part = summary["tasks"][task]
    for one in part["endpoints"][part["primary"]]["contrasts"]:
        if {one["verdict"], one["also"]} & set(DIFFERENT):
            yield one["id"]


def _study(candidates: int, tasks: Sequence[str]) -> Study:
    arms = {name: {"engine": "scripted", "model": name} for name in _arms(candidates)}
    made = {
        "choice": {"kind": "choice", "workload": "reasoning", "stratify": "subject"},
        "spans": {"kind": "spans", "workload": "extraction", "stratify": "genre"},
    }
    return Study.model_validate(
        {
            "study": "equal-arms",
            "reference": "f16",
            "margin": 0.02,
            "arms": arms,
            "tasks": {name: made[name] | {"source": {"type": "bundled"}} for name in tasks},
        }
    )


def _arms(candidates: int) -> list[str]:
    return ["f16", *(f"q{bits}_0" for bits in (8, 4, 2)[:candidates])]


def _summary(study: Study, cell: Cell, rng: np.random.Generator) -> dict[str, Any]:
    make = {"choice": _choice, "spans": _spans}
    outcomes = {}
    for name, spec in study.tasks.items():
        items, said, other = make[name](cell.n, rng)
        responses: dict[str, list[Response]] = {}
        for arm in study.arms:
            chosen = _drawn(said, other, cell.rate, rng)
            responses[arm] = _responses(items, arm, chosen)
        twice = rng.permutation(cell.n)[: round(TWICE * cell.n)]
        again = _drawn(said, other, cell.rate, rng)
        responses[study.reference] += [
            _response(items[i], study.reference, again[i], replicate=1) for i in twice.tolist()
        ]
        outcomes[name] = score_task(make_task(name, spec), items, responses, stratum=spec.stratify)
    records = {
        arm: ArmRecord(bytes_on_disk=size, sha256=arm, quantization=arm)
        for size, arm in zip((4000, 2000, 1000), study.arms, strict=False)
    }
    return to_dict(summarise(question_of(study), outcomes, arms=records))


Draw = list[Said]


def _drawn(
    said: Sequence[Said], other: Sequence[Draw], rate: float, rng: np.random.Generator
) -> Draw:
    """Give each item's answer, or another draw of it where the arm strays."""
    strays = rng.random(len(said)) < rate
    place = rng.integers(0, len(other), len(said))
    return [
        other[place[i]][i] if strays[i] else said[i]  # a list of whole draws, one an item
        for i in range(len(said))
    ]


def _choice(n: int, rng: np.random.Generator) -> tuple[list[Item], Draw, list[Draw]]:
    """Make questions of six subjects, and answers by how hard each question is."""
    hardness = rng.beta(1.2, 1.0, n)
    gold = rng.integers(0, 4, n)
    favourite = rng.integers(0, 4, n)  # the wrong letter that an item draws
    items = [
        _item("choice", i, {"question": f"{i}?", "options": list("wxyz")}, LETTERS[gold[i]],
              subject=f"s{i % SUBJECTS}")
        for i in range(n)
    ]  # fmt: skip

    def draw() -> Draw:
        right = rng.random(n) < hardness
        letter = np.where(
            right, gold, np.where(rng.random(n) < 0.7, favourite, rng.integers(0, 4, n))
        )
        return [
            _worded(f"The answer is {LETTERS[x]}." if u < 0.4 else LETTERS[x], rng)
            for x, u in zip(letter.tolist(), rng.random(n).tolist(), strict=True)
        ]

    return items, draw(), [draw() for _ in range(4)]


def _spans(n: int, rng: np.random.Generator) -> tuple[list[Item], Draw, list[Draw]]:
    """Make sentences of four genres, a quarter without an entity, and what is found in them."""
    counts = np.where(rng.random(n) < 0.25, 0, 1 + rng.poisson(1.2, n))
    items = [
        _item("spans", i, {"text": " ".join(f"Name{k} goes." for k in range(6))},
              [[f"Name{k}", "PER"] for k in range(min(count, 6))], genre=f"g{i % GENRES}")
        for i, count in enumerate(counts.tolist())
    ]  # fmt: skip
    ease = rng.beta(3.0, 1.2, n)

    def draw() -> Draw:
        found = []
        for item, chance in zip(items, ease.tolist(), strict=True):
            hits = [text for text, _ in item.gold if rng.random() < chance]
            extra = [f"goes{k}" for k in range(rng.poisson(0.25))]
            text = json.dumps([{"text": one, "type": "PER"} for one in (*hits, *extra)])
            found.append(_worded("no list" if rng.random() < 0.02 else text, rng))
        return found

    return items, draw(), [draw() for _ in range(4)]


def _worded(text: str, rng: np.random.Generator) -> Said:
    """Let an answer fail now and then: refused, empty, caught in a loop, cut off; lengths vary."""
    u = rng.random()
    tokens = int(4 + len(text) // 4 + rng.poisson(6))
    if u < 0.01:
        return Said(_REFUSAL, 12)
    if u < 0.02:
        return Said("", 0)
    if u < 0.035:
        return Said(text + _LOOP, 96, truncated=True)
    if u < 0.06:
        return Said(text[: len(text) // 2], 96, truncated=True)
    return Said(text, tokens)


def _item(task: str, number: int, content: Mapping[str, Any], gold: Any, **keys: str) -> Item:
    own = {**content, "number": number}
    return Item(task, f"i{number}", content, gold, keys, "made:1", content_hash(own, gold))


def _responses(items: Sequence[Item], arm: str, said: Draw) -> list[Response]:
    return [_response(item, arm, one) for item, one in zip(items, said, strict=True)]


def _response(item: Item, arm: str, said: Said, *, replicate: int = 0) -> Response:
    return Response(
        study="equal-arms",
        task=item.task,
        arm=arm,
        item=item.id,
        replicate=replicate,
        attempt=1,
        order=int(item.id[1:]),
        block=int(item.id[1:]),
        status="ok",
        error=None,
        output=said.output,
        finish_reason="length" if said.truncated else "stop",
        prompt_tokens=50,
        completion_tokens=said.tokens,
        timing={"load": None, "prompt": 0.1, "decode": 0.02 * said.tokens, "wall": 1.0},
        started_at="2026-01-01T00:00:00Z",
        prompt_sha256=f"shown {item.id}",
    )
