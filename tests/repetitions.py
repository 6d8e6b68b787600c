"""Which cases of a test run in `make test`, and which only repeat them, in `make soak`."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from _pytest.mark import ParameterSet


def repetitions(*cases: object) -> list[ParameterSet]:
    """Mark cases that repeat others on the same ground; a tuple is a case of several values."""
    each = (case if isinstance(case, tuple) else (case,) for case in cases)
    return [pytest.param(*case, marks=pytest.mark.soak) for case in each]


def mostly_repetitions(cases: Iterable[object], kept: Iterable[object]) -> list[object]:
    """Return all cases in their order, those that are not kept for `make test` marked."""
    stay = [*kept]
    return [case if case in stay else repetitions(case)[0] for case in cases]
