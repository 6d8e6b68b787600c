"""What takes a while, and for how long it has: one line that is kept up to date on a terminal.

Elsewhere a line is printed of what takes over three seconds, and again whenever that doubles, so
that a log shows that something is under way and does not fill up.
"""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from quantrial.cli.terminal import coloured, line
from quantrial.inert import clean

if TYPE_CHECKING:
    from rich.status import Status

FIRST = 3.0  # seconds after which something is worth a line
MOST = 60.0  # seconds between two lines
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
