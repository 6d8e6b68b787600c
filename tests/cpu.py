"""CPU time of this process, which other processes of a busy machine do not take."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

LIMIT = 1.0  # seconds of CPU for whatever a stranger's file or text holds


@contextlib.contextmanager
def within_a_second(what: str = "this") -> Iterator[None]:
    """Fail where the body takes more than a second of CPU time."""
    began = time.process_time()
    yield
    took = time.process_time() - began
    assert took < LIMIT, f"{what} took {took:.2f} s of CPU"
