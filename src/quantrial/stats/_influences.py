"""What each item adds to a difference of two ratios of sums (delta method)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Influences:
    """What each item adds to a difference of two ratios of sums (delta method).

    Attributes:
        difference: of the ratios, second arm minus first.
        parts: shape (items,), how each item pulls the difference away from itself; they sum to 0.
        weights: shape (items,), how much of another true difference an item would carry: its
            denominators, each arm's in proportion to the variance it brings [1]_; their mean is 1.

    References:
        .. [1] Fieller, E. C. (1954). Some problems in interval estimation. Journal of the Royal
           Statistical Society B 16, 175-185.
    """

    difference: float
    parts: Floats
    weights: Floats

    def values(self) -> Floats:
        """Return each item's share in the difference; they average to it."""
        return self.parts + self.difference


def influences(top: Floats, bottom: Floats, empty: float) -> tuple[float, Influences | None]:
    """Return the difference of two ratios of sums, and each item's influence on it.

    The influences are None where an arm's denominator is 0 throughout: `empty` is its value
    then, and nothing is known of its error.
    """
    sums = bottom.sum(axis=0)
    ratios = [
        float(t / b) if b > 0.0 else empty for t, b in zip(top.sum(axis=0), sums, strict=True)
    ]
    difference = ratios[1] - ratios[0]
    if (sums == 0.0).any():
        return difference, None
    means = sums / top.shape[0]
    parts = (top - bottom * np.array(ratios)) / means
    own = (parts * parts).sum(axis=0)
    shares = own / own.sum() if own.sum() > 0.0 else np.array([0.5, 0.5])
    weights = (bottom / means) @ shares
    return difference, Influences(difference, parts[:, 1] - parts[:, 0], weights)
