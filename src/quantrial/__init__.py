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

# When numpy is loaded, OpenBLAS starts a thread for every further core and lets it spin, which
# costs a third of an analysis. Told so before, idle threads sleep at once. It changes no number
# and no count of threads; the user's own setting goes before it.
os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "4")

__version__ = "0.1.0"

if TYPE_CHECKING:
    from quantrial.commands import (
        analyze,
        decide,
        demo,
        import_reference,
        init,
        plan,
        report,
        run,
        verify,
    )
    from quantrial.comparison import compare
    from quantrial.decision import Constraints
    from quantrial.errors import QuantrialError, QuantrialWarning
    from quantrial.outputs import export, verify_document
    from quantrial.power_study import Assumptions, power
    from quantrial.study import Study, load_study

__all__ = [
    "Assumptions",
    "Constraints",
    "QuantrialError",
    "QuantrialWarning",
    "Study",
    "__version__",
    "analyze",
    "compare",
    "decide",
    "demo",
    "export",
    "import_reference",
    "init",
    "load_study",
    "plan",
    "power",
    "report",
    "run",
    "verify",
    "verify_document",
]

# Loaded on first use, so that `import quantrial` costs nothing.
_HOMES = {
    "Assumptions": "power_study",
    "Constraints": "decision",
    "QuantrialError": "errors",
    "QuantrialWarning": "errors",
    "Study": "study",
    "load_study": "study",
    "power": "power_study",
    "compare": "comparison",
    "export": "outputs",
    "verify_document": "outputs",
} | dict.fromkeys(
    ("analyze", "decide", "demo", "import_reference", "init", "plan", "report", "run", "verify"),
    "commands",
)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'quantrial' has no attribute {name!r}")
    import importlib

    value = getattr(importlib.import_module(f"quantrial.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
