"""How a run shows on a terminal: one live table; elsewhere, nothing.

A row an arm: calls done, seconds an answer and tokens a second in this session, and, where they
were asked for, interim scores. Those are hidden by default: who looks at scores while a run goes on
is tempted to stop it when they please.
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from quantrial.cli.terminal import coloured, line
from quantrial.errors import QuantrialError
from quantrial.inert import clean

if TYPE_CHECKING:
    from quantrial.records import Response
    from quantrial.running.progress import Listener, Progress

Scorer = Callable[["Response"], "dict[str, str]"]


@contextlib.contextmanager
def listening(scorer: Scorer | None = None) -> Iterator[Listener | None]:
    """Yield a listener that draws on standard error.

    Where that is no terminal it prints what is to be read once, and nothing else.

    Args:
        scorer: says of each new answer how its arm stands; None to show no scores.
    """
    if not sys.stderr.isatty():
        yield _say
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
    from rich.progress import Progress as Bars

    bars = Bars(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=20),
        MofNCompleteColumn(),
        TextColumn("{task.fields[note]}", markup=False),
        console=Console(stderr=True, no_color=not coloured(sys.stderr)),
        transient=True,
    )
    table = _Table(bars, scorer)
    with bars:
        yield table.listen


def _say(progress: Progress) -> None:
    if progress.said is not None:
        line(progress.said, error=True)


@dataclass(slots=True)
class Rate:
    """How fast an arm answered in this session."""

    answers: int = 0
    seconds: float = 0.0
    tokens: int = 0
    decoding: float = 0.0

    def count(self, response: Response) -> None:
        """Count one answer."""
        self.answers += 1
        self.seconds += response.timing.get("wall") or 0.0
        decoded = response.decoded_tokens
        tokens = response.completion_tokens if decoded is None else decoded
        decoding = response.timing.get("decode")
        if tokens and decoding:
            self.tokens += tokens
            self.decoding += decoding

    def __str__(self) -> str:
        if not self.answers:
            return ""
        shown = f"{self.seconds / self.answers:.2f} s an answer"
        return f"{shown}, {self.tokens / self.decoding:.0f} tokens/s" if self.decoding else shown


class _Table:
    """The rows of the live table; fed after every call."""

    def __init__(self, bars: Any, scorer: Scorer | None):
        self._bars = bars
        self._scorer = scorer
        self._rows: dict[str, Any] = {}
        self._rates: dict[str, Rate] = {}
        self._scores: dict[str, str] = {}
        self._seen: object = None
        self._drawn = 0.0

    def listen(self, progress: Progress) -> None:
        """Take in what just happened, and draw it, ten times a second at most."""
        if progress.last is not None and progress.last is not self._seen:
            self._seen = progress.last
            if progress.last.status == "ok":
                self._rates.setdefault(progress.last.arm, Rate()).count(progress.last)
                if self._scorer is not None:
                    # a file that cannot be read ends the command later; it does not end a run
                    with contextlib.suppress(QuantrialError):
                        self._scores |= self._scorer(progress.last)
        if progress.said is not None:
            self._bars.console.print(clean(progress.said), markup=False, highlight=False)
        now = time.monotonic()
        finished = sum(progress.done.values()) == sum(progress.total.values())
        if self._rows and now - self._drawn < 0.1 and not finished and progress.phase == "asking":
            return
        self._drawn = now
        for arm, total in progress.total.items():
            if arm not in self._rows:
                self._rows[arm] = self._bars.add_task(clean(arm), total=total, note="")
            self._bars.update(
                self._rows[arm],
                completed=progress.done[arm],
                total=total,
                note=self._note(arm),
            )
        if "" not in self._rows:
            self._rows[""] = self._bars.add_task("all", total=sum(progress.total.values()), note="")
        self._bars.update(
            self._rows[""],
            completed=sum(progress.done.values()),
            total=sum(progress.total.values()),
            note=overall(progress),
        )

    def _note(self, arm: str) -> str:
        parts = [str(self._rates.get(arm, "")), self._scores.get(arm, "")]
        return ", ".join(part for part in parts if part)


def overall(progress: Progress) -> str:
    """Say how fast a run goes, and how long it will take."""
    if progress.seconds_left is None:
        return clean(progress.phase)
    minutes, seconds = divmod(round(progress.seconds_left), 60)
    hours, minutes = divmod(minutes, 60)
    left = f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
    faults = f", {progress.faults} faults" if progress.faults else ""
    pace = clean(progress.phase) if progress.rate is None else f"{progress.rate:.1f} calls/s"
    return f"{pace}, {left} left{faults}"
