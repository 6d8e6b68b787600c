"""A study whose names are odd, and can all be."""

from __future__ import annotations

import json
from pathlib import Path

import yaml

from studies import arm, write_study

SPANS = '[{"text": "Ada", "type": "PER"}]'
ODD_SPANS = '[{"text": "Ada", "type": "constructor"}, {"text": "Bo", "type": "__proto__"}]'
GOOD = ["A", "A", "A", SPANS, SPANS]
BAD = ["A", "B", "I cannot", ODD_SPANS, "[]"]
# names that objects, disks, formats and readers of YAML have a meaning for, and prefixes of others
ARMS = ("constructor", "q4", "q4_0", "1", "true")
WORKLOADS = ("__proto__", "a|b`c`#%&_{}$\\ <script>alert(1)</script>", "valueOf")
GROUPS = (
    *(
        "__proto__",
        "constructor",
        "toString",
        "null",
        "a.b",
        "a/b/../..",
        "<script>alert(1)</script>",
    ),
    *("a|b`c`#%&_{}$\\", "=1+1", "e\u0301", "\u00e9", "\u202eabc", "x" * 300, "q4", "Q4", "  "),
)


def odd_study(folder: Path) -> Path:
    """Write a study whose names, workloads and groups are odd, and can all be."""
    arms = {name: arm(f"m{i}", 400 - 10 * i, GOOD if i < 2 else BAD) for i, name in enumerate(ARMS)}
    path = write_study(folder, arms=arms, reference="constructor")
    study = yaml.safe_load(path.read_text())
    sums, names = study["tasks"]["sums"], study["tasks"]["names"]
    study["tasks"] = {
        "constructor": {**sums, "workload": WORKLOADS[0], "stratify": "group"},
        "max_memory": {**sums, "workload": WORKLOADS[1], "stratify": None, "cluster": "group"},
        "null": {**names, "workload": WORKLOADS[2]},
    }
    path.write_text(yaml.safe_dump(study, sort_keys=False, allow_unicode=True), encoding="utf-8")
    questions = folder / "questions.jsonl"
    rows = [json.loads(line) for line in questions.read_text().splitlines()]
    for i, row in enumerate(rows):
        row["group"] = GROUPS[i % len(GROUPS)]
        row["__proto__"] = GROUPS[-1 - i % 4]
    questions.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path
