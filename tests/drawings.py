"""Plots drawn once in a whole test run: what is drawn depends on the summary alone, and is slow.

Tests of the drawing itself call `draw_anew`.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from quantrial.documents import Summary
from quantrial.reporting import charts

FOLDER = "QUANTRIAL_TEST_DRAWINGS"  # tells processes of their own where drawings are shared

EMPTY = {"forest": '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"></svg>'}

draw_anew = charts.draw


def share_drawings(folder: Path) -> None:
    """Let every report and verification of this process find drawings in a folder, or put them."""

    def draw(summary: Summary) -> dict[str, str]:
        key = repr(summary).encode("utf-8", "surrogatepass")  # a test puts halves of characters in
        drawn = _once(folder, key, lambda: json.dumps(draw_anew(summary)).encode())
        return dict(json.loads(drawn))

    png = charts.to_png

    def to_png(svg: str) -> bytes:
        return _once(folder, svg.encode("utf-8", "surrogatepass"), lambda: png(svg))

    charts.draw = functools.wraps(draw_anew)(draw)
    charts.to_png = functools.wraps(png)(to_png)


def draw_nothing(patched: pytest.MonkeyPatch) -> None:
    """Put an empty plot in the place of all plots."""
    patched.setattr(charts, "draw", lambda summary: dict(EMPTY))


def _once(folder: Path, key: bytes, make: Callable[[], bytes]) -> bytes:
    """Read what was made from a key before, or make it; other processes do the same."""
    path = folder / hashlib.sha256(key).hexdigest()
    if path.exists():
        return path.read_bytes()
    made = make()
    number, name = tempfile.mkstemp(dir=folder)
    with os.fdopen(number, "wb") as file:
        file.write(made)
    Path(name).replace(path)
    return made
