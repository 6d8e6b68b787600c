"""How a run shows on a terminal: one live table; elsewhere, a line now and then.

A row an arm: calls done, seconds an answer and tokens a second in this session, and, where they
were asked for, interim scores. Those are hidden by default: who looks at scores while a run goes on
is tempted to stop it when they please.

What else takes a while is one line that is kept up to date on a terminal (`telling`). Elsewhere a
line is printed of what takes over three seconds, and again whenever that doubles, so that a log
shows that something is under way and does not fill up.
"""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quantrial.cli.terminal import coloured, line
from quantrial.errors import QuantrialError
from quantrial.inert import clean

if TYPE_CHECKING:
    from rich.status import Status

    from quantrial.records import Item, Response
    from quantrial.running import Listener, Progress
    from quantrial.tasks import Task

MOST = 30.0  # seconds between two lines where there is no terminal
Scorer = Callable[["Response"], "dict[str, str]"]


@contextlib.contextmanager
def listening(scorer: Scorer | None = None) -> Iterator[Listener | None]:
    """Yield a listener that draws on standard error.

    Where that is no terminal it prints what is to be read once, and every half minute a line that
    says how far the run has come.

    Args:
        scorer: says of each new answer how its arm stands; None to show no scores.
    """
    if not sys.stderr.isatty():
        lines = _Lines()
        with lines.ticking():
            yield lines.listen
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


class _Lines:
    """Plain lines: what is said once, and how far a run has come, whether or not it moves."""

    def __init__(self, clock: Callable[[], float] = time.monotonic):
        self._clock = clock
        self._lock = threading.Lock()
        self._last: Progress | None = None
        self._printed = clock()

    @contextlib.contextmanager
    def ticking(self) -> Iterator[None]:
        """Print what is due, even while nothing is heard, until the run is over."""
        ended = threading.Event()

        def tick() -> None:
            while not ended.wait(1.0):
                self.tick()

        ticker = threading.Thread(target=tick, daemon=True)
        ticker.start()
        try:
            yield
        finally:
            ended.set()
            ticker.join()

    def listen(self, progress: Progress) -> None:
        """Take in what just happened."""
        with self._lock:
            self._last = progress
        if progress.said is not None:
            line(progress.said, error=True)

    def tick(self) -> None:
        """Print a line where that is due."""
        with self._lock:
            now = self._clock()
            if now - self._printed < MOST:
                return
            self._printed = now
            last = self._last
        if last is None:
            line("starting", error=True)
            return
        done, total = sum(last.done.values()), sum(last.total.values())
        line(f"{done:,} of {total:,} calls; {overall(last)}", error=True)


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


FIRST = 3.0  # seconds after which something is worth a line
_TICK = 0.25


@contextlib.contextmanager
def telling() -> Iterator[Callable[[str], None]]:
    """Yield what is told in a few words what is done next, on standard error."""
    shown = _Waiting(interactive=sys.stderr.isatty())
    ended = threading.Event()

    def tick() -> None:
        while not ended.wait(_TICK):
            shown.tick()

    ticker = threading.Thread(target=tick, daemon=True)
    ticker.start()
    try:
        yield shown.tell
    finally:
        ended.set()
        ticker.join()
        shown.close()


class _Waiting:
    """What is under way, since when, and when it is said again."""

    def __init__(self, *, interactive: bool, clock: Callable[[], float] = time.monotonic):
        self._interactive = interactive
        self._clock = clock
        self._lock = threading.Lock()
        self._said: str | None = None
        self._since = 0.0
        self._next = FIRST
        self._status: Status | None = None

    def tell(self, said: str) -> None:
        """Take note of what is done from now on."""
        with self._lock:
            self._said, self._since, self._next = said, self._clock(), FIRST
        self.tick()

    def tick(self) -> None:
        """Say how long it has taken, where that is due."""
        with self._lock:
            if self._said is None:
                return
            seconds = self._clock() - self._since
            text = f"{self._said} ({seconds:.0f} s)"
            if self._interactive:
                self._draw(text if seconds >= 1 else self._said)
            elif seconds >= self._next:
                self._next = min(2 * self._next, self._next + MOST)
                line(text, error=True)

    def close(self) -> None:
        """Take the line away."""
        with self._lock:
            self._said = None
            if self._status is not None:
                self._status.stop()

    def _draw(self, text: str) -> None:
        from rich.console import Console
        from rich.text import Text

        shown = Text(clean(text), no_wrap=True, overflow="ellipsis")
        if self._status is None:
            console = Console(stderr=True, no_color=not coloured(sys.stderr))
            self._status = console.status(shown)
            self._status.start()
        self._status.update(shown)


class InterimScores:
    """Scores every answer of a run as it comes; what earlier sessions recorded counts too."""

    def __init__(self, folder: Path):
        self._folder = folder
        self._tasks: dict[str, Task] = {}
        self._items: dict[tuple[str, str], Item] = {}
        self._sums: dict[tuple[str, str], list[float]] = {}
        self._counted: set[tuple[str, str, str, int]] = set()

    def __call__(self, response: Response) -> dict[str, str]:
        """Score one answer; say how its arm stands on each task's primary endpoint so far."""
        if not self._tasks:
            self._open()
        self._count(response)
        arm = response.arm
        told = [
            f"{task} {100 * top / bottom:.0f} %"
            for (task, name), (top, bottom) in self._sums.items()
            if name == arm and bottom
        ]
        return {arm: ", ".join(told)}

    def _open(self) -> None:
        from quantrial.runfolder import RunFolder
        from quantrial.scorers.guarded import before_scoring
        from quantrial.study import load_study
        from quantrial.tasks import make_task

        folder = RunFolder(self._folder)
        study = load_study(folder.study_path)
        before_scoring(study)
        items = folder.read_items()
        self._tasks = {name: make_task(name, spec) for name, spec in study.tasks.items()}
        self._items = {(task, one.id): one for task, found in items.items() for one in found}
        for task, found in items.items():
            known = {one.id for one in found}
            for arm in study.arms:
                for response in folder.read_responses(task, arm, known=known):
                    if response.status == "ok":
                        self._count(response)

    def _count(self, response: Response) -> None:
        from quantrial.analysis.answers.reading import read_response
        from quantrial.errors import ScoringError

        task = self._tasks[response.task]
        key = (response.task, response.item, response.arm, response.replicate)
        again = response.replicate and task.samples == 1
        if again or not task.has_gold or key in self._counted:
            return
        self._counted.add(key)
        endpoint = task.endpoints[0]
        item = self._items[response.task, response.item]
        # what other answers tell of the template is known only in the end
        try:
            values = task.score(item, read_response(task, item, response, opened=None)).values
        except ScoringError:  # said by the analysis; the answer itself is recorded
            return
        sums = self._sums.setdefault((response.task, response.arm), [0.0, 0.0])
        sums[0] += sum(weight * values[name] for name, weight in endpoint.numerator.items())
        sums[1] += (
            sum(weight * values[name] for name, weight in endpoint.denominator.items())
            if endpoint.denominator
            else 1.0
        )
