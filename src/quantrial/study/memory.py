"""Items in memory, lists of rows and data frames: the source of a study built in code."""

from __future__ import annotations

import datetime
import decimal
import math
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

_DEEPEST = 50  # lists and objects within each other


def json_value(value: Any, depth: int = 0) -> Any:
    """Turn a value of a table into one of JSON: dates as ISO texts, decimals as numbers.

    Bytes are None: a picture, perhaps, and no field that a prompt can show.

    Raises:
        ValueError: JSON has no such value.
    """
    if hasattr(value, "dtype") and hasattr(value, "tolist"):  # of numpy: a number, an array
        value = value.tolist()
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    if depth > _DEEPEST:
        raise ValueError(f"is nested more than {_DEEPEST} deep")
    if isinstance(value, decimal.Decimal):
        whole = value.is_finite() and value == value.to_integral_value()
        return int(value) if whole else float(value)
    if isinstance(value, (datetime.date, datetime.time)):
        return None if value != value else value.isoformat()  # noqa: PLR0124 - NaT of pandas
    if isinstance(value, (uuid.UUID, datetime.timedelta)):
        return str(value)
    if isinstance(value, (bytes, bytearray, memoryview)):
        return None
    if isinstance(value, Mapping):
        return {str(key): json_value(one, depth + 1) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [json_value(one, depth + 1) for one in value]
    raise ValueError(f"is a {type(value).__name__}, and no text, number, list or mapping")


def is_frame(value: Any) -> bool:
    """Whether a value is a data frame, of whatever package."""
    return hasattr(value, "__dataframe__") or hasattr(value, "__arrow_c_stream__")


def rows_of(value: Any) -> list[dict[str, Any]]:
    """Return the rows of a list of mappings or of a data frame, with values of JSON.

    NaN is a missing value, as pandas writes it.

    Raises:
        ValueError: it is neither, or holds what JSON has no value for; says in which row.
    """
    records = _frame(value) if is_frame(value) else value
    if isinstance(records, (str, bytes, Mapping)) or not isinstance(records, Sequence):
        raise ValueError(f"should be a list of rows or a data frame; got {value!r:.60}")
    rows = []
    for number, record in enumerate(records, start=1):
        if not isinstance(record, Mapping):
            raise ValueError(f"row {number}: a row is a mapping of fields; got {record!r:.60}")
        row = {}
        for key, one in record.items():
            try:
                found = json_value(one)
            except ValueError as exc:
                raise ValueError(f"row {number}: the field {key!r:.60} {exc}") from exc
            row[str(key)] = None if _is_nan(found) else found
        if len(row) < len(record):
            raise ValueError(f"row {number}: two fields have one name once they are texts")
        try:
            orjson.dumps(row)
        except TypeError as exc:  # a lone surrogate, a whole number beyond 64 bits
            raise ValueError(f"row {number}: cannot be written as JSON ({exc})") from exc
        rows.append(row)
    return rows


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)


def _frame(value: Any) -> list[dict[str, Any]]:
    import narwhals

    try:
        return list(narwhals.from_native(value, eager_only=True).iter_rows(named=True))
    except (TypeError, narwhals.exceptions.NarwhalsError) as exc:  # of a column that is there twice
        kind = type(value).__name__
        raise ValueError(
            f"is a data frame that cannot be read ({kind}); give a list of its rows"
        ) from exc
