"""Plots drawn once in a process: the same summary gives the same drawing, and drawing is slow."""

from __future__ import annotations

import msgspec
import pytest

from quantrial.documents import Summary
from quantrial.reporting import charts
from quantrial.reporting.charts import draw

_DRAWN: dict[bytes, dict[str, str]] = {}


def draw_once(patched: pytest.MonkeyPatch) -> None:
    """Let every report and verification of one summary share its drawings."""

    def remembered(summary: Summary) -> dict[str, str]:
        key = msgspec.json.encode(summary)
        if key not in _DRAWN:
            _DRAWN[key] = draw(summary)
        return dict(_DRAWN[key])

    patched.setattr(charts, "draw", remembered)
