"""How a run shows on a terminal: one live table; elsewhere, nothing."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from quantrial.running.progress import Listener, Progress


@contextlib.contextmanager
def listening() -> Iterator[Listener | None]:
    """Yield a listener that draws on standard error; None where that is no terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
    from rich.progress import Progress as Bars

    bars = Bars(
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TextColumn("{task.fields[note]}"),
        console=Console(stderr=True),
        transient=True,
    )
    rows: dict[str, object] = {}
    last = 0.0

    def listen(progress: Progress) -> None:
        nonlocal last
        now = time.monotonic()
        finished = sum(progress.done.values()) == sum(progress.total.values())
        if rows and now - last < 0.1 and not finished and progress.phase == "asking":
            return
        last = now
        for arm, total in progress.total.items():
            if arm not in rows:
                rows[arm] = bars.add_task(arm, total=total, note="")
            done = progress.done[arm]
            bars.update(rows[arm], completed=done, total=total, note="")  # type: ignore[arg-type]
        first = next(iter(rows.values()))
        bars.update(first, note=_note(progress))  # type: ignore[arg-type]

    with bars:
        yield listen


def _note(progress: Progress) -> str:
    if progress.seconds_left is None:
        return progress.phase
    minutes, seconds = divmod(round(progress.seconds_left), 60)
    faults = f", {progress.faults} faults" if progress.faults else ""
    pace = progress.phase if progress.rate is None else f"{progress.rate:.1f} calls/s"
    return f"{pace}, {minutes}:{seconds:02d} left{faults}"
