"""The standard normal from the standard library, because importing scipy costs 0.15 s.

The incomplete beta function and its kin come from `scipy.special`, loaded on first use.
"""

import functools
import math
from importlib import import_module
from statistics import NormalDist
from typing import Any

_STANDARD = NormalDist()


@functools.lru_cache(maxsize=256)  # a search asks for the same few levels over and over
def normal_quantile(probability: float) -> float:
    """Return the z with P(Z <= z) = probability, for 0 < probability < 1."""
    return _STANDARD.inv_cdf(probability)


def normal_cdf(z: float) -> float:
    """Return P(Z <= z), accurate far into the lower tail."""
    return 0.5 * math.erfc(-z / math.sqrt(2.0))


def special() -> Any:
    """Import `scipy.special` on first use."""
    return import_module("scipy.special")
