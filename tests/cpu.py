"""CPU time of this process, which other processes of a busy machine do not take.

It is held against the pace of the machine: a slower one than the one that the limit was set on, or
a core that two processes share, gets as much more.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

LIMIT = 1.0  # seconds of CPU for whatever a stranger's file or text holds
_USUAL = 0.065  # seconds that `_work` takes where nothing else runs


@contextlib.contextmanager
def within_a_second(what: str = "this") -> Iterator[None]:
    """Fail where the body takes more than a second of CPU time."""
    began = time.process_time()
    yield
    took = time.process_time() - began
    assert not too_long(took), f"{what} took {took:.2f} s of CPU"


def too_long(took: float) -> bool:
    """Whether so many seconds of CPU are more than a second at this machine's pace just now."""
    return took > LIMIT and took > LIMIT * slowness()


def slowness() -> float:
    """How many times as long as usual a fixed piece of work takes now; at least 1."""
    began = time.process_time()
    _work()
    return max(1.0, (time.process_time() - began) / _USUAL)


def _work() -> None:
    n = 0
    for i in range(1_000_000):
        n = (n * 31 + i) % 1_000_003
    text = "word " * 200_000
    text.split()
    text.replace("or", "x")
