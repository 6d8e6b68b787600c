"""Running: prepare a study, ask, record, say what ran and how far it has come."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from quantrial.records import Response


@dataclass(frozen=True, slots=True)
class Progress:
    """A moment of a run.

    `done` and `total` count calls by arm; `rate` is calls a second in this session (None before the
    first); `seconds_left` follows from it. `faults` counts attempts that failed, in this session.
    `last` is the attempt that was recorded just before, raw. `said` is what people should read now,
    once, such as that a server is waited for.
    """

    phase: str
    done: Mapping[str, int]
    total: Mapping[str, int]
    rate: float | None
    seconds_left: float | None
    faults: int
    last: Response | None = None
    said: str | None = None


@dataclass(frozen=True, slots=True)
class SpeedResult:
    """What one session of the speed phase did: calls measured now, blocks in all, seconds in all.

    `status`: `narrow` (every interval is), `time_limit`, `no_length` (no length fits every arm's
    context) or `unfinished`. `widest` is the half-width of the widest interval, relative; None
    where there is none yet.
    """

    asked: int
    blocks: int
    seconds: float
    status: str
    widest: float | None
    precision: float


Listener = Callable[[Progress], None]
