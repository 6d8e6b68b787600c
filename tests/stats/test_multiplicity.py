from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantrial.errors import StatisticsError
from quantrial.stats import holm

P_VALUES = st.lists(st.floats(0, 1) | st.just(float("nan")), max_size=8)


def test_holm_by_hand() -> None:
    # smallest 0.01 x 3, then 0.03 x 2, then 0.04 x 1 raised to the one before
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03]), [0.03, 0.06, 0.06])


def test_holm_by_hand_leaves_out_what_could_not_be_tested() -> None:
    np.testing.assert_allclose(holm([0.01, np.nan, 0.04]), [0.02, np.nan, 0.04])
    assert holm([]).size == 0
    assert np.isnan(holm([np.nan])).all()


def test_holm_against_reference(statsmodels_values: dict[str, Any]) -> None:
    for family in statsmodels_values["families"]:
        np.testing.assert_allclose(holm(family["p"]), family["holm"], rtol=1e-12)


@given(P_VALUES)
def test_holm_property_equals_its_definition(values: list[float]) -> None:
    known = sorted((p, i) for i, p in enumerate(values) if not np.isnan(p))
    slow = [float("nan")] * len(values)
    running = 0.0
    for rank, (p, i) in enumerate(known):
        running = max(running, min(1.0, p * (len(known) - rank)))
        slow[i] = running
    np.testing.assert_allclose(holm(values), slow)


def test_holm_against_simulation_keeps_the_family_wise_error() -> None:
    rng = np.random.default_rng(5)
    p = rng.random((4000, 5))
    wrong = np.mean([holm(row).min() <= 0.05 for row in p])
    assert wrong < 0.05 + 3 * np.sqrt(0.05 * 0.95 / 4000)


@pytest.mark.parametrize("bad", [[0.2, 1.1], [-0.1], [[0.1, 0.2]]])
def test_holm_refuses_what_is_no_family(bad: list[float]) -> None:
    with pytest.raises(StatisticsError, match="p_values"):
        holm(bad)
