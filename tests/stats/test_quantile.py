import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from quantrial.stats.resampling import quantiles


def test_quantiles_by_hand() -> None:
    # of 5 values, a quarter of the way is the second, a tenth lies 0.4 of the way to it
    values = np.array([8.0, 1.0, 3.0, 2.0, 5.0])
    assert quantiles(values, [0.0, 0.1, 0.25, 0.5, 1.0]) == [1.0, 1.4, 2.0, 3.0, 8.0]
    assert quantiles(np.array([7.0]), [0.0, 0.3, 1.0]) == [7.0] * 3


@given(
    st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=60),
    st.lists(st.floats(0.0, 1.0), min_size=1, max_size=4),
)
def test_quantiles_against_reference_numpy_to_the_bit(
    sample: list[float], shares: list[float]
) -> None:
    values = np.array(sample)
    assert quantiles(values, shares) == np.quantile(values, shares).tolist()
