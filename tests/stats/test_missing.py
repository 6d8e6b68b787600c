import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantrial.errors import InsufficientDataError, StatisticsError
from quantrial.stats import WorstCase, worst_case

NAN = math.nan
SCORES = st.lists(
    st.tuples(st.sampled_from([0.0, 1.0, NAN]), st.sampled_from([0.0, 1.0, NAN])),
    min_size=1,
    max_size=6,
)


def test_worst_case_by_hand() -> None:
    reference, candidate = [1, 1, 0, NAN, NAN, 1], [1, NAN, 1, 1, NAN, 0]
    # changes: 0, -1 (missing candidate), +1, 0 (missing reference), -1 (both missing), -1
    assert worst_case(reference, candidate) == WorstCase(
        complete=0.0,
        bound=-2 / 6,
        n=6,
        complete_pairs=3,
        missing_reference=2,
        missing_candidate=2,
        harmful=3,
        beneficial=1,
    )


def test_worst_case_by_hand_of_graded_scores_counts_no_flips() -> None:
    result = worst_case([0.5, 0.25], [0.75, NAN])
    assert result.bound == pytest.approx((0.25 - 0.25) / 2)
    assert result.harmful is None
    assert result.beneficial is None


def test_worst_case_property_is_the_least_of_every_completion() -> None:
    reference, candidate = np.array([1, NAN, 0, 1]), np.array([NAN, 1, NAN, 0])
    completions = []
    for bits in np.ndindex(2, 2, 2):
        before = np.array([1, bits[0], 0, 1])
        after = np.array([bits[1], 1, bits[2], 0])
        completions.append((after - before).mean())
    assert worst_case(reference, candidate).bound == min(completions)


def test_worst_case_against_reference_horowitz_and_manski() -> None:
    # Horowitz and Manski (2000): a mean of scores in [0, 1] is at least P(seen) E(score | seen) and
    # at most P(missing) more; the difference at least one arm's lower less the other's upper bound
    generator = np.random.default_rng(7)
    scores = generator.random((300, 2))
    scores[generator.random((300, 2)) < [0.2, 0.3]] = NAN
    seen = ~np.isnan(scores)
    shares = seen.mean(axis=0)
    least = shares * [scores[seen[:, arm], arm].mean() for arm in (0, 1)]
    most = least + 1 - shares
    result = worst_case(scores[:, 0], scores[:, 1])
    assert result.bound == pytest.approx(least[1] - most[0])
    assert result.missing_candidate == (~seen[:, 1]).sum()


@given(SCORES)
def test_worst_case_property_bounds_any_truth(pairs: list[tuple[float, float]]) -> None:
    reference, candidate = (np.array(side) for side in zip(*pairs, strict=True))
    result = worst_case(reference, candidate)
    for fill in (0.0, 1.0):
        full = np.nan_to_num(candidate, nan=fill) - np.nan_to_num(reference, nan=fill)
        assert result.bound <= full.mean() + 1e-12
    assert result.bound == pytest.approx(
        ((result.beneficial or 0) - (result.harmful or 0)) / len(pairs)
    )
    if result.complete_pairs == len(pairs):
        assert result.complete == pytest.approx(result.bound)


def test_worst_case_against_simulation_holds_when_failures_are_lost() -> None:
    generator = np.random.default_rng(1)
    reference = (generator.random(500) < 0.8).astype(float)
    candidate = (generator.random(500) < 0.7).astype(float)
    seen = np.where((candidate == 0) & (generator.random(500) < 0.5), NAN, candidate)
    truth = float((candidate - reference).mean())
    result = worst_case(reference, seen)
    assert result.bound <= truth < result.complete


def test_worst_case_without_a_complete_pair_is_nan() -> None:
    result = worst_case([NAN, 1.0], [1.0, NAN])
    assert math.isnan(result.complete)
    assert result.bound == pytest.approx(-0.5)


def test_worst_case_refuses_what_it_cannot_answer() -> None:
    with pytest.raises(InsufficientDataError, match="no item"):
        worst_case([], [])
    with pytest.raises(StatisticsError, match="pair them by item"):
        worst_case([1.0], [1.0, 0.0])
    with pytest.raises(StatisticsError, match=r"scores must lie in \[0, 1\]"):
        worst_case([2.0], [1.0])
    with pytest.raises(StatisticsError, match="shape"):
        worst_case([[1.0]], [1.0])
