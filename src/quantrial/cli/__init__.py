"""The command line: parse, call one public function, print.

Exit codes, set in one place: 0 fine, 1 what was checked does not hold (or an engine failed), 2
wrong use or bad input.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from quantrial import __version__
from quantrial.cli.power import power
from quantrial.errors import (
    EngineError,
    QuantrialError,
    QuantrialWarning,
    RecordError,
    RunChangedError,
)

app = typer.Typer(
    name="quantrial",
    help="Which precision of this model do we ship, for our workload, and how sure are we?",
    no_args_is_help=True,
    add_completion=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
importer = typer.Typer(
    help="Read answers that another program collected.", no_args_is_help=True, rich_markup_mode=None
)
app.add_typer(importer, name="import")

RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder, such as runs/demo.")]
StudyFile = Annotated[Path, typer.Argument(metavar="STUDY", help="A study file, or a run folder.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]


def main() -> None:
    """Run the command line; no traceback reaches a user."""
    import warnings

    warnings.showwarning = _show_warning
    warnings.simplefilter("always", QuantrialWarning)
    try:
        app()
    except EngineError as exc:
        _fail(exc, 1)
    except QuantrialError as exc:
        _fail(exc, 2)
    except BrokenPipeError:
        # whoever read us has gone; keep Python from complaining about it at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except Exception as exc:  # the last line: a defect of ours, told without a wall of code
        if os.environ.get("QUANTRIAL_DEBUG"):
            raise
        what = f"{type(exc).__name__}: {exc}" if str(exc) else type(exc).__name__
        print(
            f"internal error: {what}\nA defect of quantrial; QUANTRIAL_DEBUG=1 shows where.",
            file=sys.stderr,
        )
        sys.exit(1)


@contextlib.contextmanager
def _resumable() -> Iterator[None]:
    """Say on Ctrl-C that nothing is lost."""
    try:
        yield
    except KeyboardInterrupt:
        print("\nstopped; what is recorded is kept, the same command goes on", file=sys.stderr)
        raise typer.Exit(130) from None


def _fail(exc: QuantrialError, code: int) -> NoReturn:
    print(f"error: {exc}", file=sys.stderr)
    sys.exit(code)


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: Any = None,
    line: str | None = None,
) -> None:
    print(f"note: {message}", file=sys.stderr)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"quantrial {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


@app.command()
def init(
    path: Annotated[Path, typer.Argument(help="Where to write it.")] = Path("study.yaml"),
    preset: Annotated[
        str, typer.Option(help="embedded (a small model, no server) or ollama-llama31.")
    ] = "embedded",
    as_json: Json = False,
) -> None:
    """Write a study file to start from."""
    from quantrial import commands

    written = commands.init(path, preset=preset)
    if as_json:
        from quantrial.cli import show

        show.document({"study": written})
    else:
        print(f"{written} written. Next: quantrial plan {written}")


@app.command()
def plan(
    study: StudyFile,
    probe: Annotated[
        bool, typer.Option(help="Load the arms and time a few calls, to say how long it takes.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Say what a study costs and can detect.

    Items, calls, model sizes, memory, time, detectable difference: before anything is spent. Exit 1
    when the arms do not fit in memory.
    """
    from quantrial import commands
    from quantrial.cli import show

    found = commands.plan(study, probe=probe)
    show.document(found) if as_json else show.plan(found)
    if not found.fits:
        sys.exit(1)


app.command()(power)


@app.command()
def run(
    study: StudyFile,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="The run folder.", show_default="runs/<name>")
    ] = None,
    as_json: Json = False,
) -> None:
    """Ask every item of every arm.

    Safe to kill and start again: the same command, or the run folder as its argument, goes on where
    it stopped.
    """
    from quantrial import commands
    from quantrial.cli import show
    from quantrial.cli.progress import listening

    with _resumable(), listening() as listener:
        result = commands.run(study, out=out, listener=listener)
    show.document(result) if as_json else show.run(result)


@app.command()
def analyze(
    run: RunFolder,
    methods: Annotated[
        str | None, typer.Option(help="The set of statistics.", show_default="the study's")
    ] = None,
    as_json: Json = False,
) -> None:
    """Derive summary.json from the responses.

    Estimates, contrasts, equivalence, failure modes, speed.
    """
    from quantrial import commands
    from quantrial.cli import show

    summary = commands.analyze(run, methods=methods)
    show.document(summary) if as_json else show.summary(summary, run)


@app.command()
def decide(
    run: RunFolder,
    max_memory: Annotated[
        str | None, typer.Option(help="Most memory the weights may take, such as 8GB or 500MiB.")
    ] = None,
    min_speedup: Annotated[
        float | None, typer.Option(help="Least decoding speed, as a ratio to the reference's.")
    ] = None,
    tolerate: Annotated[
        str | None, typer.Option(help="Largest acceptable loss, such as 2pp or 0.02.")
    ] = None,
    workload: Annotated[
        list[str] | None, typer.Option(help="A workload that matters; may be repeated.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Turn the summary into a decision.

    Under your own constraints, if you state any. Writes decision.json; every sentence names its
    findings.
    """
    from quantrial import commands
    from quantrial.cli import show
    from quantrial.cli.units import parse_bytes, parse_fraction
    from quantrial.decision import Constraints

    constraints = Constraints(
        max_memory=None if max_memory is None else parse_bytes(max_memory, "--max-memory"),
        min_speedup=min_speedup,
        tolerate=None if tolerate is None else parse_fraction(tolerate, "--tolerate"),
        workloads=tuple(workload or ()),
    )
    decision = commands.decide(run, constraints)
    show.document(decision) if as_json else show.decision(decision)


@app.command()
def report(run: RunFolder, as_json: Json = False) -> None:
    """Write report.md, report.html and plots."""
    from quantrial import commands
    from quantrial.cli import show

    files = commands.report(run)
    show.document(files) if as_json else show.report(files)


@app.command()
def verify(run: RunFolder, as_json: Json = False) -> None:
    """Derive everything again and compare.

    From the responses to the report; exit 1 names the file and key of each drift.
    """
    from quantrial import commands
    from quantrial.cli import show

    try:
        found = commands.verify(run)
    except (RecordError, RunChangedError) as exc:
        _fail(exc, 1)  # what is recorded cannot be what was: the thing checked does not hold
    show.document(found) if as_json else show.verification(found)
    if not found.ok:
        sys.exit(1)


@importer.command("reference")
def import_reference(
    directory: Annotated[
        Path, typer.Argument(metavar="DIR", help="Holds <task>_<arm>.jsonl files.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="The run folder to make.")],
    reference: Annotated[
        str | None,
        typer.Option(help="The reference arm.", show_default="the first of fp16, f16, bf16"),
    ] = None,
    margin: Annotated[float, typer.Option(help="The margin, a fraction.")] = 0.01,
    seed: Annotated[int, typer.Option(help="The seed of the bootstrap.")] = 0,
    scoring: Annotated[
        str, typer.Option(help="How letters are read: first_letter or answer_letter.")
    ] = "first_letter",
    as_json: Json = False,
) -> None:
    """Read the layout of published studies: one JSONL file a task and arm."""
    from quantrial import commands
    from quantrial.cli import show
    from quantrial.importers import ImportOptions

    found = commands.import_reference(
        directory,
        out,
        reference=reference,
        options=ImportOptions(margin=margin, seed=seed, scoring=scoring),
    )
    show.document(found) if as_json else show.imported(found)


@app.command()
def demo(
    out: Annotated[Path, typer.Option("--out", "-o", help="The run folder.")] = Path("runs/demo"),
    as_json: Json = False,
) -> None:
    """Run a whole study on a small real model.

    No server, no account; a few minutes.
    """
    from quantrial import commands
    from quantrial.cli import show
    from quantrial.cli.progress import listening

    if not as_json:
        show.demo_opening(out)
    with _resumable(), listening() as listener:
        result = commands.demo(out, listener=listener)
    show.document(result) if as_json else show.demo_closing(result)
