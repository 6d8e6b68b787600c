"""The commands that make a run: init, plan, run, demo."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from quantrial.cli.consent import AllowCode, Yes, code_gate
from quantrial.cli.options import Json, StudyFile
from quantrial.cli.terminal import line
from quantrial.paths import is_folder


@contextlib.contextmanager
def _resumable() -> Iterator[None]:
    """Say on Ctrl-C that nothing is lost."""
    try:
        yield
    except KeyboardInterrupt:
        line("\nstopped; what is recorded is kept, the same command goes on", error=True)
        raise typer.Exit(130) from None


def init(
    path: Annotated[Path, typer.Argument(help="Where to write it.")] = Path("study.yaml"),
    preset: Annotated[
        str, typer.Option(help="embedded (a small model, no server) or ollama-llama31.")
    ] = "embedded",
    as_json: Json = False,
) -> None:
    """Write a study file to start from."""
    from quantrial.commands import studies

    written = studies.init(path, preset=preset)
    if as_json:
        from quantrial.cli import show

        show.document({"study": written})
    else:
        line(f"{written} written. Next: quantrial plan {written}")


def plan(
    study: StudyFile,
    probe: Annotated[
        bool | None,
        typer.Option(
            "--probe/--no-probe",
            help="Load the arms and time a few calls.",
            show_default="where all arms are on this machine, and small",
        ),
    ] = None,
    yes: Yes = False,
    allow_code: AllowCode = False,
    as_json: Json = False,
) -> None:
    """Say what a study costs and can detect.

    Items, calls, tokens, loads, model sizes, memory, time (from a few timed calls), detectable
    difference: before anything is spent. Offers to fetch models that are not there. Exit 1 when an
    arm does not fit in memory, or refuses what the study asks.
    """
    from quantrial.cli import show
    from quantrial.cli.consent import agree_to_keys, fetch_missing
    from quantrial.cli.waiting import telling
    from quantrial.commands import studies

    agree_to_keys(study, yes=yes)
    fetch_missing(study, yes=yes)
    gate = code_gate("plan", allowed=allow_code)
    with telling() as tell:
        found = studies.plan(study, probe=probe, tell=tell, before_code=gate)
    show.document(found) if as_json else show.plan(found)
    if not found.fits:
        sys.exit(1)


def run(
    study: StudyFile,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="The run folder.", show_default="runs/<name>")
    ] = None,
    retry_faults: Annotated[
        bool,
        typer.Option("--retry-faults", help="Ask again what ended in a fault, and nothing else."),
    ] = False,
    no_speed: Annotated[
        bool, typer.Option("--no-speed", help="Leave the speed phase for another time.")
    ] = False,
    yes: Yes = False,
    allow_code: AllowCode = False,
    show_scores: Annotated[
        bool,
        typer.Option(
            "--show-scores",
            help="Show interim scores. To stop when they please is to fool oneself.",
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Ask every item of every arm, then measure speed where the study has a speed phase.

    Safe to kill and start again: the same command, or the run folder as its argument, goes on where
    it stopped. Asks before it downloads a model; and once, before the first answer, where a few
    timed calls say that it will take over an hour. Exit 1 where an arm answered nothing.
    """
    from quantrial.cli import consent, show
    from quantrial.cli.progress import listening
    from quantrial.cli.scores import InterimScores
    from quantrial.commands import studies
    from quantrial.study import load_study

    scorer = None
    if show_scores:
        name = study if is_folder(study) else Path("runs") / load_study(study).study
        scorer = InterimScores(out or name)
    gate = code_gate("run", allowed=allow_code)
    if not is_folder(study) and not studies.begun(study, out):
        gate(load_study(study))  # before anything is fetched
    consent.agree_to_keys(study, yes=yes)
    consent.fetch_missing(study, yes=yes)
    consent.agree_to_hours(study, out, yes=yes, before_code=gate)
    with _resumable(), listening(scorer) as listener:
        result = studies.run(
            study,
            out=out,
            retry_faults=retry_faults,
            speed=not no_speed,
            listener=listener,
            before_code=gate,
        )
    if result.unanswered:
        show.unanswered(result)
    show.document(result) if as_json else show.run(result)
    if result.unanswered:
        sys.exit(1)


def demo(
    out: Annotated[Path, typer.Option("--out", "-o", help="The run folder.")] = Path("runs/demo"),
    as_json: Json = False,
) -> None:
    """Run a whole study on a small real model.

    No server, no account; a few minutes.
    """
    from quantrial.cli import show
    from quantrial.cli.progress import listening
    from quantrial.commands import studies

    if not as_json:
        show.demo_opening(out)
    with _resumable(), listening() as listener:
        result = studies.demo(out, listener=listener)
    show.document(result) if as_json else show.demo_closing(result)
