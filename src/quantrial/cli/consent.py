"""Asking before something is paid: a download, or more than an hour of calls."""

from __future__ import annotations

import sys
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from quantrial.cli.terminal import line
from quantrial.errors import ConsentError
from quantrial.inert import harmless

if TYPE_CHECKING:
    from quantrial.running.fetch import Fetched, FetchListener, Missing
    from quantrial.running.progress import Listener, Progress

Yes = Annotated[
    bool, typer.Option("--yes", "-y", help="Agree to downloads, and to more than an hour of calls.")
]
LIMIT = 3600.0  # seconds that are spent without asking
_SETTLED = 60.0  # seconds after which the time that is left is known well enough


def ask(question: str, *, refused: str) -> None:
    """Ask on the terminal; without one, or after a no, leave with exit code 2.

    Raises:
        ConsentError: nobody is there to ask, or the answer was no; `refused` says what came of it.
    """
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise ConsentError(f"{question} There is no terminal to ask on: {refused}. --yes agrees")
    if not typer.confirm(harmless(question), err=True):
        raise ConsentError(refused)


def fetch_missing(study: Path, *, yes: bool) -> None:
    """Offer to fetch the models and data sets that are not there yet, with their sizes.

    Raises:
        ConsentError: it was not agreed to.
    """
    from quantrial.commands import provision

    if missing := provision.missing(study):
        _agree(missing, yes=yes)
        provision.fetch(study, listener=_telling())


def fetch_missing_file(model: str, *, yes: bool) -> None:
    """Offer to fetch one model file, where it is not there yet, with its size.

    Raises:
        ConsentError: it was not agreed to.
    """
    from quantrial.commands import provision

    if missing := provision.missing_file(model):
        _agree(missing, yes=yes)
        provision.fetch_file(model, listener=_telling())


def _agree(missing: Sequence[Missing], *, yes: bool) -> None:
    if not yes:
        ask(_offer(missing), refused="nothing was fetched")


def _telling() -> FetchListener:
    """Print how far the fetching has come, each thing once."""
    shown = ""

    def tell(step: Fetched) -> None:
        nonlocal shown
        share = f" {100 * step.done / step.total:.0f} %" if step.total else ""
        said = f"{step.model}: {step.phase}{share}"
        if said != shown:
            line(said, error=True)
        shown = said

    return tell


def _offer(missing: Sequence[Missing]) -> str:
    from quantrial.cli.quantities import size

    models = ", ".join(f"{one.model} ({size(one.bytes)})" for one in missing)
    known = [one.bytes for one in missing if one.bytes is not None]
    total = f", {size(sum(known))} in all" if len(known) == len(missing) > 1 else ""
    return f"Not there yet: {models}{total}. Fetch {'them' if len(missing) > 1 else 'it'}?"


def impatient(listener: Listener | None) -> Listener:
    """Stop a run that turns out to take over an hour; what is recorded by then is kept."""
    began = time.monotonic()
    answering = defaultdict[str, float](float)  # seconds by arm; several at once count each
    answers: Counter[str] = Counter()
    seen: object = None

    def by_arm(progress: Progress, spent: float) -> dict[str, tuple[int, float]]:
        """Say what is left by arm; the time that was spent is shared out as their answers took."""
        whole = sum(answering.values())
        return {
            arm: (total - progress.done[arm], spent * answering[arm] / whole / answers[arm])
            for arm, total in progress.total.items()
            if answers[arm] and whole
        }

    def listen(progress: Progress) -> None:
        nonlocal seen
        if listener is not None:
            listener(progress)
        if progress.last is not None and progress.last is not seen:
            seen = last = progress.last
            answers[last.arm] += 1
            answering[last.arm] += (last.timing.get("wall") or 0) + (last.timing.get("load") or 0)
        spent = time.monotonic() - began
        if spent < _SETTLED or progress.seconds_left is None:
            return
        if spent + progress.seconds_left > LIMIT:
            left = sum(progress.total.values()) - sum(progress.done.values())
            error = ConsentError(
                f"{left:,} calls are left, which take about {progress.seconds_left / 3600:.1f} h."
            )
            error.left = by_arm(progress, spent)
            raise error

    return listen
