"""Checks at the door of every public statistic: what came, what is needed, what to do."""

import math
import operator
from typing import SupportsIndex

import numpy as np
from numpy.typing import ArrayLike, NDArray

from quantrial.errors import InsufficientDataError, StatisticsError


def checked_count(value: SupportsIndex, name: str) -> int:
    """Return a whole number >= 0."""
    try:
        count = operator.index(value)
    except TypeError as exc:
        raise StatisticsError(
            f"{name} is {value!r}; a whole number of items is needed; pass a count, not a rate"
        ) from exc
    if count < 0:
        raise StatisticsError(f"{name} is {count}; a count cannot be negative")
    return count


def checked_n(value: SupportsIndex, least: int, purpose: str) -> int:
    """Return a number of items that is at least `least`."""
    n = checked_count(value, "n")
    if n < least:
        raise InsufficientDataError(
            f"{purpose} was given {n} item(s) and needs at least {least}; analyse more items"
        )
    return n


def checked_float(value: object, name: str) -> float:
    """Return one number."""
    try:
        return float(value)  # type: ignore[arg-type]  # what is no number is refused here
    except (TypeError, ValueError) as exc:
        raise StatisticsError(f"{name} is {value!r}; one number is needed") from exc


def checked_level(value: float, name: str) -> float:
    """Return a probability strictly between 0 and 1, such as a confidence level or alpha."""
    level = checked_float(value, name)
    if not 0.0 < level < 1.0:
        raise StatisticsError(f"{name} is {value!r}; it must lie strictly between 0 and 1")
    return level


def checked_alpha(value: float) -> float:
    """Return a one-sided level: above 0 and below 0.5, so that 1 - 2 alpha is a confidence."""
    alpha = checked_float(value, "alpha")
    if not 0.0 < alpha < 0.5:
        raise StatisticsError(
            f"alpha is {value!r}; a one-sided level must lie strictly between 0 and 0.5"
        )
    return alpha


def checked_margin(value: float) -> float:
    """Return a finite margin above 0, in the unit of the difference."""
    margin = checked_float(value, "the margin")
    if not (math.isfinite(margin) and margin > 0.0):
        raise StatisticsError(
            f"the margin is {value!r}; give the largest loss that still counts as the same, "
            "as a fraction above 0 (1 percentage point is 0.01)"
        )
    return margin


def checked_vector(values: ArrayLike, name: str) -> NDArray[np.float64]:
    """Return a finite one-dimensional float array."""
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1:
        raise StatisticsError(f"{name} has shape {array.shape}; one value an item is needed")
    if not np.isfinite(array).all():
        raise StatisticsError(
            f"{name} holds {int((~np.isfinite(array)).sum())} value(s) that are not finite; "
            "leave out unanswered items pairwise before the analysis"
        )
    return array


def checked_codes(labels: ArrayLike, n: int, name: str) -> NDArray[np.intp]:
    """Turn labels (strata or clusters) into codes 0..k-1 in sorted order of the labels."""
    array = np.asarray(labels)
    if array.shape != (n,):
        raise StatisticsError(f"{name} has shape {array.shape}; one label an item ({n}) is needed")
    try:
        codes = np.unique(array, return_inverse=True)[1]
    except TypeError as exc:  # None beside a name has no order
        raise StatisticsError(
            f"{name} mix labels of different kinds; give every item a label, all of one kind"
        ) from exc
    return codes.astype(np.intp, copy=False)


def checked_sums(
    numerators: ArrayLike, denominators: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return numerators and denominators of ratios of sums, shape (items, columns)."""
    top = np.asarray(numerators, dtype=np.float64)
    bottom = np.asarray(denominators, dtype=np.float64)
    if top.ndim != 2 or top.shape != bottom.shape or top.shape[1] == 0:
        raise StatisticsError(
            f"numerators have shape {top.shape} and denominators {bottom.shape}; both need the "
            "same shape (items, columns) with at least one column"
        )
    if top.shape[0] == 0:
        raise InsufficientDataError("no item was given; analyse at least two")
    if not (np.isfinite(top).all() and np.isfinite(bottom).all()):
        raise StatisticsError(
            "numerators or denominators hold values that are not finite; leave out unanswered "
            "items pairwise before the analysis"
        )
    if (bottom < 0.0).any() or (top[bottom == 0.0] != 0.0).any():
        raise StatisticsError(
            "a denominator is negative, or 0 under a numerator that is not; a ratio of sums needs "
            "denominators of at least 0, and numerators of 0 where the denominator is 0"
        )
    return top, bottom


def checked_pair(
    numerators: ArrayLike, denominators: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return numerators and denominators of two arms, shape (items, 2): reference, candidate."""
    top, bottom = checked_sums(numerators, denominators)
    if top.shape[1] != 2:
        raise StatisticsError(
            f"numerators have shape {top.shape}; two columns are needed: reference, candidate"
        )
    return top, bottom


def checked_draws(resamples: SupportsIndex) -> int:
    """Return a number of draws of at least 1."""
    draws = checked_count(resamples, "resamples")
    if draws == 0:
        raise StatisticsError("resamples is 0; at least 1 is needed, 10,000 are usual")
    return draws
