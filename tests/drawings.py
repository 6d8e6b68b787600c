"""Plots drawn once in a process: the same summary gives the same drawing, and drawing is slow."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from typing import Any

import pytest

from quantrial.reporting import charts
from quantrial.reporting.charts import draw


@functools.cache
def _drawn(summary: str) -> dict[str, str]:
    return draw(json.loads(summary))


def draw_once(patched: pytest.MonkeyPatch) -> None:
    """Let every report and verification of one summary share its drawings."""

    def remembered(summary: Mapping[str, Any]) -> dict[str, str]:
        return dict(_drawn(json.dumps(summary)))

    patched.setattr(charts, "draw", remembered)
