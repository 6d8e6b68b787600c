"""Two tasks that differ in constrained decoding alone stand side by side in the report."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from command import command
from quantrial.study import load_study

LABELS = ["billing", "login", "other"]


def write(folder: Path) -> Path:
    rows = [{"text": f"ticket {i}", "gold": LABELS[i % 3]} for i in range(30)]
    (folder / "tickets.jsonl").write_text("\n".join(map(json.dumps, rows)))
    task: dict[str, Any] = {
        "kind": "text",
        "workload": "routing",
        "source": {"type": "jsonl", "path": "tickets.jsonl"},
        "prompt": "Route: {{ text }}",
        "score": [{"label": LABELS}],
    }
    arms = {
        name: {
            "engine": "scripted",
            "model": name,
            "options": {"takes_schema": True, "replies": [reply]},
        }
        for name, reply in (("a", "billing"), ("b", "no idea"))
    }
    tasks = {"free": task, "held": task | {"constrained": True}, "short": task | {"max_tokens": 9}}
    study = {"study": "two", "reference": "a", "arms": arms, "tasks": tasks}
    path = folder / "study.yaml"
    path.write_text(yaml.safe_dump(study, sort_keys=False))
    return path


def test_the_report_shows_both(tmp_path: Path) -> None:
    study = write(tmp_path)
    assert load_study(study).constrained_pairs == (("free", "held"),)
    done = command("run", study, "--out", tmp_path / "run", "--yes", cwd=tmp_path, drawn=False)
    assert done.returncode == 0, done.stderr
    report = (tmp_path / "run" / "report.md").read_text()
    assert "Constrained decoding: free and held" in report
    assert "Constrained decoding: short" not in report
    cells = [[one.strip() for one in line.split("|")[1:-1]] for line in report.splitlines()]
    # one label of three is right of arm a, and nothing can be read from arm b
    assert ["a", "33.3 %", "0.0 %", "33.3 %", "0.0 %"] in cells
    assert ["b", "0.0 %", "100.0 %", "0.0 %", "100.0 %"] in cells
