"""Plots drawn once in a whole test run: a plot depends on its panels alone, and is slow to draw.

Tests of the drawing itself call `draw_anew`.
"""

from __future__ import annotations

import functools
import hashlib
import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from quantrial.documents import Summary
from quantrial.reporting import charts
from quantrial.reporting.charts import style
from quantrial.reporting.charts.vega import Spec

FOLDER = "QUANTRIAL_TEST_DRAWINGS"  # tells processes of their own where drawings are shared

EMPTY = {"forest": '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"></svg>'}


def draw_anew(summary: Summary) -> dict[str, str]:
    """Draw every plot, though it was drawn before."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(charts, "to_svg", style.to_svg)
        return charts.draw(summary)


def share_drawings(folder: Path) -> None:
    """Let every report and verification of this process find drawings in a folder, or put them."""

    def to_svg(panels: Sequence[Spec]) -> str:
        key = repr(panels).encode("utf-8", "surrogatepass")  # a test puts halves of characters in
        return _once(folder, key, lambda: style.to_svg(panels).encode()).decode()

    png = charts.to_png

    def to_png(svg: str) -> bytes:
        return _once(folder, svg.encode("utf-8", "surrogatepass"), lambda: png(svg))

    pytest.MonkeyPatch().setattr(charts, "to_svg", functools.wraps(style.to_svg)(to_svg))
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
