"""A bracketed root, because `scipy.optimize` is slow to import."""

import math
from collections.abc import Callable

_MOST_STEPS = 200


def bracketed_root(function: Callable[[float], float], start: float, stop: float) -> float:
    """Find a root of a continuous function whose values at `start` and `stop` differ in sign.

    Inverse quadratic steps where they are safe, halving where not [1]_.

    References:
        .. [1] Chandrupatla, T. R. (1997). A new hybrid quadratic/bisection algorithm for finding
           the zero of a nonlinear function without using derivatives. Advances in Engineering
           Software 28, 145-149.
    """
    a, b = start, stop
    fa, fb = function(a), function(b)
    share = 0.5
    for _ in range(_MOST_STEPS):
        x = a + share * (b - a)
        fx = function(x)
        if (fx > 0.0) == (fa > 0.0):
            c, fc = a, fa
        else:
            c, fc = b, fb
            b, fb = a, fa
        a, fa = x, fx
        best, f_best = (a, fa) if abs(fa) < abs(fb) else (b, fb)
        tolerance = 4.0 * math.ulp(best) + 1e-300
        least = tolerance / max(abs(b - a), tolerance)
        if f_best == 0.0 or least >= 0.5:
            return best
        place = (a - b) / (c - b)
        height = (fa - fb) / (fc - fb)
        share = 0.5
        if height**2 < place and (1.0 - height) ** 2 < 1.0 - place:
            share = fa / (fb - fa) * fc / (fb - fc)
            share += (c - a) / (b - a) * fa / (fc - fa) * fb / (fc - fb)
        share = min(max(share, least), 1.0 - least)
    return best
