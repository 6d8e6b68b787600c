"""Sizes and times as the terminal shows them."""

from __future__ import annotations


def size(value: float | None) -> str:
    """Write bytes in MB or GB."""
    if value is None:
        return "unknown"
    return f"{value / 1e9:.1f} GB" if value >= 1e9 else f"{value / 1e6:.0f} MB"


def sizes(*values: float | None) -> list[str]:
    """Write sizes that are read beside each other, all in the largest one's unit."""
    if max((value for value in values if value is not None), default=0) < 1e9:
        return [size(value) for value in values]
    return ["unknown" if value is None else f"{value / 1e9:.2f} GB" for value in values]


def duration(seconds: float | None) -> str:
    """Write seconds as a person would say them."""
    if seconds is None:
        return "not probed"
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
