"""Asking before something is paid or given away: downloads, hours of calls, keys."""

from __future__ import annotations

import contextlib
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import orjson
import typer

from quantrial import paths
from quantrial.cli.terminal import line
from quantrial.engines.cache import cache_dir, replace_atomically
from quantrial.errors import CodeNotAllowedError, ConsentError, QuantrialWarning
from quantrial.inert import harmless
from quantrial.scorers.guarded import asking

if TYPE_CHECKING:
    from quantrial.running.fetch import Fetched, FetchListener, Missing
    from quantrial.running.prepare import OpenStudy
    from quantrial.study import Study
    from quantrial.study.code import BeforeCode, Command

Yes = Annotated[
    bool,
    typer.Option("--yes", "-y", help="Agree to downloads, to runs of hours and to keys sent away."),
]


def _lift(ctx: typer.Context, allowed: bool) -> bool:
    if allowed:
        ctx.with_resource(asking(lambda _: None))
    return allowed


AllowCode = Annotated[
    bool,
    typer.Option(
        "--allow-code",
        callback=_lift,
        help="Let the study run the code that it names; `plan` lists it.",
    ),
]
LIMIT = 3600.0  # seconds that are spent without asking
_FEW = 360  # calls that take less than that at ten seconds each: not worth timing beforehand


def ask(question: str, *, refused: str) -> None:
    """Ask on the terminal; without one, or after a no, leave with exit code 2.

    Raises:
        ConsentError: nobody is there to ask, or the answer was no; `refused` says what came of it.
    """
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise ConsentError(f"{question} There is no terminal to ask on: {refused}. --yes agrees")
    if not typer.confirm(harmless(question), err=True):
        raise ConsentError(refused)


def code_gate(command: Command, *, allowed: bool) -> BeforeCode:
    """Return what is called with a study before this command runs code that the study names.

    It raises CodeNotAllowedError, which lists the code, where there is some and the user's own
    command line did not allow it.
    """

    def gate(study: Study) -> None:
        from quantrial.study.code import FLAG, code_in, listed, texts

        codes = code_in(study, command)
        if not codes or allowed:
            return
        lines = "".join(f"\n  {one}" for one in listed(codes)) + "".join(texts(codes))
        instead = "; --no-probe plans without it" if command == "plan" else ""
        raise CodeNotAllowedError(
            f"the study names code; none of it was run:{lines}\n"
            f"If you trust its author, {FLAG} lets it run{instead}."
        )

    return gate


def agree_to_keys(study: OpenStudy | Path, *, yes: bool) -> None:
    """Ask before a key leaves this machine for a server that it was not sent to before.

    The study names both the variable and the server, and may be somebody else's. What was agreed
    to is remembered in the cache, without the key.

    Raises:
        ConsentError: it was not agreed to.
    """
    from quantrial.commands.derived import open_study
    from quantrial.engines.options import keys_sent

    known = agreed_keys()
    sent = keys_sent(open_study(study).study.arms)
    new = [one for one in sent if (one.variable, one.place) not in known]
    if not new:
        return
    if not yes:
        sent_to = "; ".join(f"{one.arm}: the key in {one.variable} to {one.place}" for one in new)
        ask(
            f"The study sends keys to other machines. {sent_to}. Send them?",
            refused="no key was sent",
        )
    remember_keys(known | {(one.variable, one.place) for one in new})


def fetch_missing(study: OpenStudy | Path, *, yes: bool) -> None:
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
    from quantrial.words import terminal_size

    models = ", ".join(f"{one.model} ({terminal_size(one.bytes)})" for one in missing)
    known = [one.bytes for one in missing if one.bytes is not None]
    total = f", {terminal_size(sum(known))} in all" if len(known) == len(missing) > 1 else ""
    return f"Not on this machine: {models}{total}. Fetch {'them' if len(missing) > 1 else 'it'}?"


def agree_to_hours(
    study: OpenStudy | Path, out: Path | None, *, yes: bool, before_code: BeforeCode | None = None
) -> None:
    """Ask once, before the first answer, where a run is known to take over an hour.

    A few calls are timed where that costs no money and little time; where nothing is known nothing
    is asked, and a run that has begun is not asked about again: what was started unattended is not
    stopped by an estimate.

    Raises:
        ConsentError: it was not agreed to.
    """
    from quantrial.cli.progress import telling
    from quantrial.commands import studies
    from quantrial.commands.derived import open_study

    if yes:
        return
    opened = open_study(study)
    if studies.begun(opened, out) or studies.calls(opened) <= _FEW:
        return
    with warnings.catch_warnings(), telling() as tell:
        warnings.simplefilter("ignore", QuantrialWarning)  # the run itself says them
        found = studies.plan(opened, probe=None, tell=tell, before_code=before_code)
    if found.seconds is None or found.seconds <= LIMIT:
        return
    from quantrial.cli import show

    show.arms_left({arm.name: (found.calls // len(found.arms), arm.seconds) for arm in found.arms})
    ask(
        f"{found.calls:,} calls take about {found.seconds / 3600:.1f} h. Go on?",
        refused="nothing was asked",
    )


_FILE = "agreed-keys.json"


def agreed_keys() -> set[tuple[str, str]]:
    """Return the pairs of variable and address; none where the file is not there or no list."""
    with contextlib.suppress(OSError, ValueError, TypeError):
        known = orjson.loads(paths.read_bytes(cache_dir() / _FILE))
        return {(str(variable), str(place)) for variable, place in known}
    return set()


def remember_keys(pairs: set[tuple[str, str]]) -> None:
    """Write the pairs down; where the cache cannot be written, the question comes again."""
    with contextlib.suppress(OSError):
        replace_atomically(cache_dir() / _FILE, orjson.dumps(sorted(pairs)))
