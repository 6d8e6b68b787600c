"""Tango's score statistic as his paper writes it (1998, Statistics in Medicine 17, 891-908)."""

import math


def z_of(losses: int, gains: int, n: int, difference: float, correction: float = 0.0) -> float:
    """Return z of gains less losses against a difference of their chances.

    The correction is taken from the distance, in pairs.
    """
    a = 2.0 * n
    b = -gains - losses + (2.0 * n - gains + losses) * difference
    c = -losses * difference * (1.0 - difference)
    chance = (math.sqrt(max(0.0, b * b - 4.0 * a * c)) - b) / (2.0 * a)
    variance = n * (2.0 * chance + difference * (1.0 - difference))
    distance = gains - losses - n * difference
    distance = math.copysign(max(0.0, abs(distance) - correction), distance)
    return distance / math.sqrt(variance) if variance > 0.0 else 0.0
