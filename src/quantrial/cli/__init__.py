"""The command line: parse, call one public function, print.

Exit codes, set in one place: 0 fine, 1 what was checked does not hold (or an engine failed), 2
wrong use or bad input.
"""

from __future__ import annotations

import errno
import os
import sys
from typing import Annotated, Any

import typer

from quantrial._version import __version__
from quantrial.cli import importing, results, studies, terminal
from quantrial.cli.consent import code_gate
from quantrial.cli.gate import audit, baselines, check, gate
from quantrial.cli.options import examples
from quantrial.cli.power import power
from quantrial.cli.terminal import fail, flush_all, survive_broken_pipes
from quantrial.errors import EngineError, QuantrialError, QuantrialWarning
from quantrial.redaction import blot_error
from quantrial.scorers.guarded import asking

app = typer.Typer(
    name="quantrial",
    help="Which precision of this model do we ship, for our workload, and how sure are we?",
    no_args_is_help=True,
    add_completion=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

_FULL = (errno.ENOSPC, errno.EDQUOT)  # where output goes to a file: a disk's state, no defect


def main() -> None:
    """Run the command line; no traceback reaches a user."""
    import warnings

    survive_broken_pipes()
    warnings.showwarning = _show_warning
    warnings.simplefilter("always", QuantrialWarning)
    try:
        try:
            app()
        finally:
            flush_all()
    except EngineError as exc:
        fail(exc, 1)
    except QuantrialError as exc:
        fail(exc, 2)
    except Exception as exc:  # the last line: a defect of ours, told without a wall of code
        if os.environ.get("QUANTRIAL_DEBUG"):
            blot_error(exc)
            raise
        if isinstance(exc, OSError) and exc.errno in _FULL:
            fail(exc, 1)
        what = f"{type(exc).__name__}: {exc}" if str(exc) else type(exc).__name__
        terminal.line(
            f"internal error: {what}\nThis is a bug in quantrial; QUANTRIAL_DEBUG=1 shows where.",
            error=True,
        )
        sys.exit(1)


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: Any = None,
    line: str | None = None,
) -> None:
    terminal.line(f"note: {message}", error=True)


def _version(wanted: bool) -> None:
    if wanted:
        terminal.line(f"quantrial {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    ctx: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    # --allow-code of a command lifts it
    ctx.with_resource(asking(code_gate("score", allowed=False)))


app.command(epilog=examples("init"))(studies.init)
app.command(epilog=examples("plan"))(studies.plan)
app.command(epilog=examples("prompts"))(studies.prompts)
app.command(epilog=examples("power"))(power)
app.command(epilog=examples("run"))(studies.run)
app.command(epilog=examples("analyze"))(results.analyze)
app.command(epilog=examples("decide"))(results.decide)
app.command(epilog=examples("gate"))(gate)
app.add_typer(baselines, name="baseline")
app.command(epilog=examples("check"))(check)
app.command(epilog=examples("audit"))(audit)
for of_run in (results.report, results.label, results.log, results.compare, results.verify):
    app.command(epilog=examples(of_run.__name__))(of_run)
app.command(epilog=examples("redact"))(results.redact)
app.add_typer(importing.importer, name="import")
app.command(epilog=examples("quantize"))(studies.quantize)
app.command(epilog=examples("demo"))(studies.demo)
