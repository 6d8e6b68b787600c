"""Arguments and options that several commands share, and the examples of their help."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder, such as runs/demo.")]
StudyFile = Annotated[Path, typer.Argument(metavar="STUDY", help="A study file, or a run folder.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]

AllowFaults = Annotated[
    list[str] | None,
    typer.Option(
        "--allow",
        metavar="WHAT",
        help="Let through: unpaired, different-prompts, changed-golds or duplicates.",
    ),
]

# a test parses each of them
EXAMPLES: Mapping[str, tuple[str, ...]] = {
    "init": (
        "quantrial init study.yaml",
        "quantrial init --workload routing --items tickets.jsonl",
    ),
    "plan": ("quantrial plan study.yaml", "quantrial plan study.yaml --probe"),
    "prompts": (
        "quantrial prompts study.yaml",
        "quantrial prompts runs/demo --task quiz --arm f16",
    ),
    "power": (
        "quantrial power --discordance 0.02 --margin 0.01 --n 500",
        "quantrial power --from runs/demo --task quiz",
    ),
    "run": ("quantrial run study.yaml", "quantrial run runs/demo --retry-faults"),
    "analyze": ("quantrial analyze runs/demo", "quantrial analyze runs/demo --methods classic"),
    "decide": (
        "quantrial decide runs/demo --max-memory 8GB --tolerate 2pp",
        "quantrial decide runs/demo --tolerate quiz=1pp --workloads reasoning",
        "quantrial decide runs/demo --cost-per-hour 2.5 --error-cost 0.1",
        "quantrial decide runs/demo --min-speedup 1.2 --require-pick --json",
    ),
    "gate": (
        "quantrial gate runs/demo --arm q8_0 --non-inferior 2pp",
        "quantrial gate runs/demo --gate gate.yaml --junit gate.xml",
    ),
    "baseline save": ("quantrial baseline save runs/demo -o baseline --outcomes-only",),
    "label": (
        "quantrial label runs/tickets -o labels.csv --most 50",
        "quantrial label runs/tickets --read labels.csv --by Ada -o runs/tickets-labelled",
    ),
    "audit": ("quantrial audit --n 500 --reference 0.585 --candidate 0.569",),
    "check": (
        "quantrial check out/f16 out/q4 --margin 2pp",
        "quantrial check f16.csv q4.csv --score correct --margin 2pp",
        "quantrial check f16.txt q4.txt --gold gold.txt --margin 2pp",
    ),
    "report": (
        "quantrial report runs/demo",
        "quantrial report runs/demo --terminal",
        "quantrial report runs/demo --format latex -o results.tex",
    ),
    "compare": ("quantrial compare runs/laptop runs/server",),
    "verify": (
        "quantrial verify runs/demo",
        "quantrial verify --document README.md --run runs/demo --write",
    ),
    "log": (
        "quantrial log runs/demo --to mlflow",
        "quantrial log runs/demo --to wandb --project precision",
    ),
    "redact": (
        "quantrial redact runs/tickets -o runs/tickets-shown",
        "quantrial redact runs/newer -o runs/newer-shown --key runs/tickets-shown.key --keep group",
    ),
    "quantize": ("quantrial quantize models/mine.F16.gguf --to Q8_0 Q4_0 -o models",),
    "demo": ("quantrial demo", "quantrial demo -o runs/first"),
    "import scores": (
        "quantrial import scores ratings.csv -o runs/ratings --margin 5pp --scored-by Ann",
        "quantrial import scores ratings.jsonl -o runs/ratings --study study.yaml",
    ),
    "import auto": ("quantrial import auto out/f16 out/q4 -o runs/x --margin 2pp",),
    "import deepeval": ("quantrial import deepeval f16=a.json q4=b.json -o runs/x",),
    "import helm": ("quantrial import helm f16=runs_f16/v1 q4=runs_q4/v1 -o runs/x",),
    "import inspect": ("quantrial import inspect f16=logs/f16 q4=logs/q4 -o runs/x",),
    "import lighteval": (
        "quantrial import lighteval f16=out/details/org/f16 q4=out/details/org/q4 -o runs/x",
    ),
    "import llama-bench": (
        "quantrial import llama-bench f16=bench-f16.json q4=bench-q4.json",
        "quantrial import llama-bench f16=bench-f16.json q4=bench-q4.json -o runs/x",
    ),
    "import llama-perplexity": ("quantrial import llama-perplexity q4=kld-q4.txt -o runs/x",),
    "import lm-eval": (
        "quantrial import lm-eval f16=out/f16 q4=out/q4 -o runs/x --margin 2pp",
        "quantrial import lm-eval f16=out/f16 q4=out/q4 -o runs/x --filter strict-match",
    ),
    "import promptfoo": (
        "quantrial import promptfoo out.json -o runs/x --reference f16",
        "quantrial import promptfoo f16=a.json q4=b.jsonl -o runs/x --margin 2pp",
    ),
    "import table": (
        "quantrial import table results.csv --key id --arm model --score correct -o runs/x",
        "quantrial import table wide.xlsx --score f16=ok_f16 --score q4=ok_q4 -o runs/x",
        "quantrial import table f16=a.csv q4=b.csv --score rating --range 1:5 -o runs/x",
    ),
    "import vllm": ("quantrial import vllm f16=served-f16.json q4=served-q4.json -o runs/x",),
    "import reference": (
        "quantrial import reference DIR -o runs/published",
        "quantrial import reference DIR -o runs/mine --name-task tickets=routing:choice:support",
    ),
}


def examples(command: str) -> str | None:
    """Return what stands under the options in a command's help."""
    known = EXAMPLES.get(command, ())
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in known) if known else None
