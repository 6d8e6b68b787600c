"""quantrial: which precision of this model do we ship, for our workload, and how sure are we?

A study file describes arms (one model at several precisions) and tasks. `run` asks every item of
every arm, `analyze` turns the responses into paired statistics, `decide` into a recommendation,
`report` into something to read, and `verify` derives all of it again:

    import quantrial

    result = quantrial.run("study.yaml")
    quantrial.analyze(result.folder)
    print(quantrial.decide(result.folder)["default"]["text"])
    quantrial.report(result.folder)
    assert quantrial.verify(result.folder).ok
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from quantrial._version import __version__

# When numpy is loaded, OpenBLAS starts a thread for every further core and lets it spin, which
# costs a third of an analysis. Told so before, idle threads sleep at once. It changes no number
# and no count of threads; the user's own setting goes before it.
os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "4")

if TYPE_CHECKING:
    from quantrial.commands.comparison import compare
    from quantrial.commands.gate import check, check_gate, save_baseline
    from quantrial.commands.power import Assumptions, power
    from quantrial.commands.prompts import prompts
    from quantrial.commands.provision import fetch
    from quantrial.commands.results import analyze, decide, export, report, verify
    from quantrial.commands.scores import compare_scores
    from quantrial.commands.studies import (
        demo,
        import_reference,
        init,
        plan,
        read_benchmarks,
        read_log,
        run,
    )
    from quantrial.commands.tables import log_results, results
    from quantrial.commands.trial import trial
    from quantrial.commands.verification import verify_document
    from quantrial.commands.verification.redacting import redact
    from quantrial.decision import Constraints
    from quantrial.errors import QuantrialError, QuantrialWarning
    from quantrial.gate.audit import audit
    from quantrial.study import Study, load_study

__all__ = [
    "Assumptions",
    "Constraints",
    "QuantrialError",
    "QuantrialWarning",
    "Study",
    "__version__",
    "analyze",
    "audit",
    "check",
    "check_gate",
    "compare",
    "compare_scores",
    "decide",
    "demo",
    "export",
    "fetch",
    "import_reference",
    "init",
    "load_study",
    "log_results",
    "plan",
    "power",
    "prompts",
    "read_benchmarks",
    "read_log",
    "redact",
    "report",
    "results",
    "run",
    "save_baseline",
    "trial",
    "verify",
    "verify_document",
]

# Loaded on first use, so that `import quantrial` costs nothing.
_HOMES: dict[str, tuple[str, ...]] = {
    "commands.comparison": ("compare",),
    "commands.gate": ("check", "check_gate", "save_baseline"),
    "commands.power": ("Assumptions", "power"),
    "commands.prompts": ("prompts",),
    "commands.provision": ("fetch",),
    "commands.results": ("analyze", "decide", "export", "report", "verify"),
    "commands.verification": ("verify_document",),
    "commands.verification.redacting": ("redact",),
    "commands.scores": ("compare_scores",),
    "commands.tables": ("log_results", "results"),
    "commands.studies": (
        *("demo", "import_reference", "init", "plan"),
        *("read_benchmarks", "read_log", "run"),
    ),
    "commands.trial": ("trial",),
    "decision": ("Constraints",),
    "gate.audit": ("audit",),
    "errors": ("QuantrialError", "QuantrialWarning"),
    "study": ("Study", "load_study"),
}


def __getattr__(name: str) -> Any:
    home = next((home for home, names in _HOMES.items() if name in names), None)
    if home is None:
        raise AttributeError(f"module 'quantrial' has no attribute {name!r}")
    import importlib

    value = getattr(importlib.import_module(f"quantrial.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
