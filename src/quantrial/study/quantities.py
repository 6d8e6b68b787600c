"""Quantities in a study file, which may be written as text: `3pp`, `8GB`, `300ms`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from quantrial.units import parse_bytes, parse_fraction, parse_price, parse_seconds


def _written(parse: Callable[[str, str], float]) -> Callable[[Any], Any]:
    """Read a quantity written as text; numbers stay as they are."""
    return lambda value: parse(value, "") if isinstance(value, str) else value


def _quantity(parse: Callable[[str, str], float], kind: Any = float) -> BeforeValidator:
    return BeforeValidator(_written(parse), json_schema_input_type=kind | str)


def _loss(value: Any) -> Any:
    """Read a loss; a number of 1 or more was meant in points, and is read as nothing else."""
    if isinstance(value, int | float) and not isinstance(value, bool) and value >= 1:
        return parse_fraction(str(value), "")
    return _written(parse_fraction)(value)


Loss = Annotated[
    float, BeforeValidator(_loss, json_schema_input_type=float | str), Field(gt=0, lt=1)
]
Price = Annotated[float, _quantity(parse_price), Field(ge=0)]
Memory = Annotated[int, _quantity(parse_bytes, int), Field(gt=0, lt=2**63)]
Time = Annotated[float, _quantity(parse_seconds), Field(gt=0)]
