"""Small studies on the scripted engine, shared by tests."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

QUESTIONS = 24
SENTENCES = 12


def write_study(folder: Path, **changes: Any) -> Path:
    """Write a study of three scripted arms and two tasks with their items; return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "questions.jsonl").write_text(
        "".join(
            json.dumps(
                {
                    "question": f"What is {i} plus {i}?",
                    "options": [str(2 * i), str(2 * i + 1), str(2 * i + 2), str(2 * i + 3)],
                    "answer": 0,
                    "subject": f"s{i % 3}",
                }
            )
            + "\n"
            for i in range(QUESTIONS)
        ),
        encoding="utf-8",
    )
    (folder / "sentences.jsonl").write_text(
        "".join(
            json.dumps(
                {
                    "text": f"Ada met Bo number {i} in Rome." if i % 2 else f"Nobody came at {i}.",
                    "entities": [["Ada", "PER"], ["Bo", "PER"]] if i % 2 else [],
                }
            )
            + "\n"
            for i in range(SENTENCES)
        ),
        encoding="utf-8",
    )
    spans = '[{"text": "Ada", "type": "PER"}]'
    study: dict[str, Any] = {
        "study": "small",
        "seed": 11,
        "reference": "f16",
        "margin": 0.05,
        "arms": {
            "f16": arm("f16", 400, ["A", "A", "A", spans, spans]),
            "q8_0": arm("q8", 200, ["A", "A", "A", spans, spans]),
            "q4_0": arm("q4", 100, ["A", "B", "C", "[]", spans]),
        },
        "tasks": {
            "sums": {
                "kind": "choice",
                "workload": "reasoning",
                "source": {"type": "jsonl", "path": "questions.jsonl"},
                "stratify": "subject",
            },
            "names": {
                "kind": "spans",
                "workload": "extraction",
                "source": {"type": "jsonl", "path": "sentences.jsonl"},
            },
        },
        "design": {"repeat_reference": 0},
        "analysis": {"resamples": 500},
    } | changes
    path = folder / "study.yaml"
    path.write_text(yaml.safe_dump(study, sort_keys=False), encoding="utf-8")
    return path


def arm(model: str, size: int, replies: list[str], **options: Any) -> dict[str, Any]:
    """Describe a scripted arm."""
    return {
        "engine": "scripted",
        "model": model,
        "options": {"replies": replies, "bytes": size, "quantization": model.upper(), **options},
    }


def allowed(arguments: Iterable[object]) -> list[str]:
    """Write a command's words, with the flag that code of a study needs where it would run."""
    words = [*map(str, arguments)]
    return [*words, "--allow-code"] if words and words[0] in ("plan", "run") else words


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Read a JSONL file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def answered(run: Path) -> set[tuple[str, str, str]]:
    """Return the (task, item, arm) of every answer in a run folder."""
    return {
        (r["task"], r["item"], r["arm"])
        for path in (run / "responses").glob("*.jsonl")
        for r in read_lines(path)
        if r["status"] == "ok"
    }
