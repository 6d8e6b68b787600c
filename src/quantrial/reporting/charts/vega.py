"""Specifications of Vega-Lite as plain dictionaries: marks over rows, layers of marks, panels.

Their names and values are Vega-Lite's (https://vega.github.io/vega-lite/docs/), which a test checks
against its schema. They are written as they are, without a library: one that builds them takes
longer than all the drawing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Spec = dict[str, Any]

_TYPES = {"Q": "quantitative", "N": "nominal"}


def marks(
    kind: str,
    rows: Sequence[Mapping[str, Any]],
    style: Mapping[str, Any],
    /,
    **channels: str | Spec,
) -> Spec:
    """Draw a mark for each row, or one line through all of them.

    Args:
        kind: `rule`, `text`, `point`, `rect`, `bar` or `line`.
        rows: what is drawn, by field.
        style: properties of the mark.
        channels: the encoding; a text stands for the `field` of that name.
    """
    encoding = {
        name: field(one) if isinstance(one, str) else dict(one)
        for name, one in sorted(channels.items())
    }
    for end in ("x2", "y2"):  # of the same type as its x or y
        encoding.get(end, {}).pop("type", None)
    return {"data": {"values": rows}, "mark": {"type": kind, **style}, "encoding": encoding}


def field(name: str, **options: Any) -> Spec:
    """Encode a field of the rows: `name:Q` where it is a number, `name:N` where it is a name."""
    named, _, kind = name.rpartition(":")
    return {"field": named, "type": _TYPES[kind], **options}


def value(at: float) -> Spec:
    """Encode a place in pixels, the same for each row."""
    return {"value": at}


def unscaled(name: str) -> Spec:
    """Encode a field that holds the colour or the shape itself."""
    return field(name, scale=None)


def layer(*parts: Spec, **options: Any) -> Spec:
    """Draw parts over each other; options are width, height and title."""
    return {"layer": [*parts], **options}


def heading(text: str, **options: Any) -> Spec:
    """Write a title; its subtitle is a text, or several lines."""
    return {"text": text, **options}
