from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from characteristics.comparators import hochberg
from quantrial.errors import StatisticsError
from quantrial.stats import (
    FamilyUnit,
    fixed_sequence,
    holm,
    holm_in_units,
    intersection_union,
    worse_on_any,
)

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


def units_of(*made: tuple[float | None, tuple[float, ...]]) -> list[FamilyUnit]:
    return [FamilyUnit(p_values, gate) for gate, p_values in made]


def test_holm_in_units_by_hand() -> None:
    # three units: .001 alone, a gate of .01 before two strata, .04 alone. The first is tested at a
    # third of alpha; then two are left. Of the strata .004 counts twice among themselves and no
    # less than their gate; .03 once, as the last of the unit: and only then is the third alone
    alone, strata, last = holm_in_units(
        units_of((None, (0.001,)), (0.01, (0.004, 0.03)), (None, (0.04,)))
    )
    np.testing.assert_allclose(alone.p_values, [0.003])
    assert strata.gate == pytest.approx(2 * 0.01)
    np.testing.assert_allclose(strata.p_values, [2 * 0.01, 2 * 0.03])
    np.testing.assert_allclose(last.p_values, [max(2 * 0.03, 0.04)])


def test_holm_in_units_by_hand_a_gate_that_holds_shuts_its_unit() -> None:
    # strata far beyond doubt, whose gate is not passed; what they do not use nobody gets
    shut, other = holm_in_units(units_of((0.3, (1e-9, 1e-9)), (None, (0.02,))))
    np.testing.assert_allclose(shut.p_values, [0.3, 0.3])  # the other has fallen before: 1 x .3
    np.testing.assert_allclose(other.p_values, [0.04])


def test_holm_in_units_by_hand_what_could_not_be_tested_does_not_count() -> None:
    nan = float("nan")
    open_gate, empty, one = holm_in_units(
        units_of((nan, (0.01, nan)), (None, (nan,)), (None, (0.02,)))
    )
    np.testing.assert_allclose(open_gate.p_values, [0.02, nan])
    assert np.isnan(open_gate.gate)
    assert np.isnan(empty.p_values).all()
    np.testing.assert_allclose(one.p_values, [0.02])
    assert holm_in_units([]) == []
    with pytest.raises(StatisticsError, match="p_values"):
        holm_in_units(units_of((1.2, (0.5,))))


def test_holm_in_units_against_reference(statsmodels_values: dict[str, Any]) -> None:
    # units of one question are Holm's family
    for family in statsmodels_values["families"]:
        found = holm_in_units([FamilyUnit((p,)) for p in family["p"]])
        ours = [float(one.p_values[0]) for one in found]
        np.testing.assert_allclose(ours, family["holm"], rtol=1e-12)


def rejected_at(alpha: float, units: list[FamilyUnit]) -> set[tuple[int, int]]:
    """Run the procedure as it is told, step by step; the gate is question -1 of its unit."""
    questions = {u: dict(enumerate(one.p_values)) for u, one in enumerate(units)}
    gates = {u: one.gate for u, one in enumerate(units) if one.gate is not None}
    left = {u: set(inside) | ({-1} if u in gates else set()) for u, inside in questions.items()}
    done: set[tuple[int, int]] = set()
    while True:
        share = alpha / max(1, sum(bool(one) for one in left.values()))
        step = [(u, -1) for u in gates if -1 in left[u] and gates[u] < share]
        for u, inside in left.items():
            if -1 not in inside:
                step += [(u, k) for k in inside if questions[u][k] < share / len(inside)]
        if not step:
            return done
        done |= {step[0]}
        left[step[0][0]] -= {step[0][1]}


@given(
    st.lists(
        st.tuples(
            st.none() | st.integers(1, 400),
            st.lists(st.integers(1, 400), min_size=1, max_size=3),
        ),
        min_size=1,
        max_size=5,
    ),
    st.sampled_from([0.0103, 0.0504, 0.2007]),
)
def test_holm_in_units_property_adjusted_p_tell_what_the_steps_reject(
    made: list[tuple[int | None, list[int]]], alpha: float
) -> None:
    units = [
        FamilyUnit(tuple(p / 1000 for p in inside), None if gate is None else gate / 1000)
        for gate, inside in made
    ]
    found = {
        (u, k)
        for u, one in enumerate(holm_in_units(units))
        for k, p in enumerate(one.p_values.tolist())
        if p < alpha
    }
    gates = {(u, -1) for u, one in enumerate(holm_in_units(units)) if one.gate < alpha}
    assert found | gates == rejected_at(alpha, units)


def test_holm_in_units_against_simulation_keeps_the_family_wise_error() -> None:
    # a true gate before false strata, a false gate before true ones, and true ones on their own
    rng, wrong, studies = np.random.default_rng(8), 0, 4000
    for p in rng.random((studies, 6)):
        true_gate, false_gate, alone, *rest = holm_in_units(
            units_of((p[0], (1e-6, 1e-6)), (1e-6, (p[1], p[2], p[3])), (None, (p[4],)),
                     (None, (1e-7,)))
        )  # fmt: skip
        wrong += min(true_gate.gate, false_gate.p_values.min(), alone.p_values[0]) < 0.05
        assert rest[0].p_values[0] < 1e-5
    assert wrong / studies <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / studies)
    assert wrong / studies > 0.03


def test_hochberg_by_hand() -> None:
    # largest 0.04 x 1, then 0.03 x 2 lowered to the one before, then 0.01 x 3
    np.testing.assert_allclose(hochberg([0.01, 0.04, 0.03]), [0.03, 0.04, 0.04])
    np.testing.assert_allclose(hochberg([np.nan, 0.04, 0.03]), [np.nan, 0.04, 0.04])
    assert hochberg([]).size == 0


def test_hochberg_against_reference(statsmodels_values: dict[str, Any]) -> None:
    for family in statsmodels_values["families"]:
        np.testing.assert_allclose(hochberg(family["p"]), family["hochberg"], rtol=1e-12)


@given(P_VALUES)
def test_hochberg_property_never_above_holm(values: list[float]) -> None:
    step_up, step_down = hochberg(values), holm(values)
    known = ~np.isnan(step_up)
    assert (step_up[known] <= step_down[known] + 1e-15).all()
    assert (step_up[known] >= np.array(values)[known]).all()


def test_hochberg_against_simulation_keeps_the_family_wise_error() -> None:
    p = np.random.default_rng(6).random((4000, 4))
    wrong = np.mean([hochberg(row).min() <= 0.05 for row in p])
    assert wrong < 0.05 + 3 * np.sqrt(0.05 * 0.95 / 4000)


def test_fixed_sequence_by_hand_stops_at_the_first_gate_not_passed() -> None:
    np.testing.assert_allclose(fixed_sequence([0.01, 0.2, 0.03]), [0.01, 0.2, 0.2])
    np.testing.assert_allclose(fixed_sequence([0.01, np.nan, 0.03]), [0.01, np.nan, np.nan])


def test_fixed_sequence_against_simulation_keeps_the_family_wise_error() -> None:
    p = np.random.default_rng(7).random((4000, 3))
    wrong = np.mean([fixed_sequence(row).min() <= 0.05 for row in p])
    assert wrong < 0.05 + 3 * np.sqrt(0.05 * 0.95 / 4000)


@given(P_VALUES.filter(lambda values: len(values) > 0))
def test_intersection_union_property_is_the_end_of_every_sequence(values: list[float]) -> None:
    np.testing.assert_array_equal(intersection_union(values), fixed_sequence(values)[-1])


def test_intersection_union_by_hand() -> None:
    assert intersection_union([0.01, 0.04]) == 0.04
    assert np.isnan(intersection_union([0.01, np.nan]))
    with pytest.raises(StatisticsError, match="all of none"):
        intersection_union([])


def test_worse_on_any_by_hand() -> None:
    assert worse_on_any([0.2, 0.01, 0.9]) == pytest.approx(0.03)
    assert worse_on_any([0.6, 0.7]) == 1.0
    assert worse_on_any([0.02, np.nan, 0.9]) == pytest.approx(0.04)
    assert np.isnan(worse_on_any([np.nan]))
    with pytest.raises(StatisticsError, match="any of none"):
        worse_on_any([])


def test_worse_on_any_against_reference(statsmodels_values: dict[str, Any]) -> None:
    for family in statsmodels_values["families"]:
        assert worse_on_any(family["p"]) == pytest.approx(min(family["holm"]), rel=1e-12)


@given(P_VALUES.filter(lambda values: not np.isnan(values).all()))
def test_worse_on_any_property_is_the_smallest_of_holm(values: list[float]) -> None:
    assert worse_on_any(values) == pytest.approx(np.nanmin(holm(values)), rel=1e-12)


def test_worse_on_any_against_simulation_keeps_its_level() -> None:
    p = np.random.default_rng(8).random((4000, 5))
    wrong = np.mean([worse_on_any(row) <= 0.05 for row in p])
    assert wrong == pytest.approx(0.05, abs=3 * np.sqrt(0.05 * 0.95 / 4000))


@pytest.mark.parametrize("bad", [[0.2, 1.1], [-0.1], [[0.1, 0.2]]])
def test_holm_refuses_what_is_no_family(bad: list[float]) -> None:
    for adjust in (holm, hochberg, fixed_sequence, intersection_union, worse_on_any):
        with pytest.raises(StatisticsError, match="p_values"):
            adjust(bad)


def test_intersection_union_against_reference_statsmodels_tost() -> None:
    from statsmodels.stats.weightstats import DescrStatsW

    values = np.random.default_rng(4).normal(0.1, 1.0, size=60)
    both, above, below = DescrStatsW(values).ttost_mean(-0.5, 0.5)
    assert intersection_union([float(above[1]), float(below[1])]) == float(both)


def test_intersection_union_against_simulation_errs_at_most_alpha() -> None:
    # one of three claims is false at its boundary, the others hold without doubt
    p = np.random.default_rng(5).random((20_000, 3)) * [1.0, 0.01, 0.01]
    wrong = np.mean([intersection_union(row) <= 0.05 for row in p])
    assert wrong == pytest.approx(0.05, abs=3 * np.sqrt(0.05 * 0.95 / 20_000))


def test_fixed_sequence_against_reference_of_its_decisions() -> None:
    # Maurer, Hothorn and Lehmacher: test each at alpha in order, stop at the first not rejected
    rng = np.random.default_rng(6)
    for row in rng.random((200, 4)) ** 3:
        for alpha in (0.01, 0.05, 0.2):
            decided, going = [], True
            for p in row:
                going = going and bool(p <= alpha)
                decided.append(going)
            assert (fixed_sequence(row) <= alpha).tolist() == decided


@given(P_VALUES)
def test_fixed_sequence_property_is_the_largest_so_far(values: list[float]) -> None:
    # what could not be tested lets nothing after it through
    slow = [np.max(values[: i + 1]) for i in range(len(values))]
    np.testing.assert_array_equal(fixed_sequence(values), slow)
