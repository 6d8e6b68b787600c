"""Power over clusters by drawn studies."""

import math
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantrial.errors import StatisticsError, StatisticsWarning
from quantrial.stats import PairedScore, cluster_variance, least_items, score_ratios
from quantrial.stats.power.flip_clusters import _tested, flip_studies
from quantrial.stats.power.flips import Question
from repetitions import repetitions

QUESTIONS: tuple[Question, ...] = ("difference", "non_inferior", "equivalent")


def score_of(changes: np.ndarray, labels: np.ndarray) -> PairedScore:
    scores = np.stack([1.0 - (changes > 0), 1.0 - (changes < 0)], axis=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", StatisticsWarning)
        return score_ratios(scores, np.ones_like(scores), clusters=labels, support=1.0)


def shown(score: PairedScore, margin: float) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", StatisticsWarning)
        test = score.equivalence(margin)
    return np.array([score.test().p_value < 0.05, test.non_inferior, test.equivalent])


@pytest.mark.parametrize("groups", [5, 12, 50])
def test_flip_studies_by_hand_without_flips_show_the_margin_from_the_least_items_on(
    groups: int,
) -> None:
    least = least_items(0.01, clusters=groups)
    size = math.ceil(least / groups)
    enough = flip_studies(0.0, 0.0, 0.1, [size] * groups)
    fewer = flip_studies(0.0, 0.0, 0.1, [size - 1] * groups)
    for question in ("non_inferior", "equivalent"):
        assert enough.share(question, 0.01, alpha=0.05) == 1.0
        assert fewer.share(question, 0.01, alpha=0.05) == 0.0
    assert enough.share("difference", alpha=0.05) == 0.0


def test_flip_studies_by_hand_rare_losses_of_independent_items() -> None:
    # 50 clusters of 10 and a margin of .01, t of 49 at 5 % 1.677; at a loss of the margin one seen
    # loss has the variance .0099 an item, so 5 - 1 - .15 = 3.85 > 1.677 sqrt(500 * .0099) = 3.73;
    # two are nearer by one and scatter no less: the chance is that of none or one
    found = flip_studies(0.001, 0.0, 0.0, [10] * 50).share("non_inferior", 0.01, alpha=0.05)
    expected = 0.999**500 + 500 * 0.001 * 0.999**499
    assert found == pytest.approx(expected, abs=0.02)


# rates, correlation, clusters, items of each, margin; expected flips of 1 to 20 and more
SITUATIONS = [
    (0.0005, 0.0, 0.1, 50, 10, 0.01),
    *repetitions((0.002, 0.0, 0.1, 50, 10, 0.01)),
    (0.002, 0.002, 0.1, 20, 50, 0.01),
    *repetitions((0.005, 0.005, 0.1, 20, 25, 0.02), (0.01, 0.005, 0.1, 20, 50, 0.03)),
    (0.10, 0.02, 0.1, 12, 20, 0.15),
]


@pytest.mark.parametrize(("harm", "gain", "icc", "groups", "size", "margin"), SITUATIONS)
def test_flip_studies_against_simulation_of_studies_tested_item_by_item(
    harm: float, gain: float, icc: float, groups: int, size: int, margin: float
) -> None:
    generator, draws = np.random.default_rng(11), 300
    weight = 1.0 / icc - 1.0
    labels = np.repeat(np.arange(groups), size)
    shapes = [max(weight * share, 1e-300) for share in (harm, gain, 1.0 - harm - gain)]
    found = np.zeros(3)
    for _ in range(draws):
        rates = generator.dirichlet(shapes, groups)[labels]
        fate = generator.random(labels.size)
        lost, gained = fate < rates[:, 0], fate > 1.0 - rates[:, 1]
        found += shown(score_of(gained.astype(float) - lost, labels), margin) / draws
    drawn = flip_studies(harm, gain, icc, [size] * groups)
    for share, question in zip(found, QUESTIONS, strict=True):
        power = drawn.share(question, None if question == "difference" else margin, alpha=0.05)
        assert power == pytest.approx(share, abs=0.08), question


def test_flip_studies_against_simulation_correlate_as_stated() -> None:
    # the variance of a mean of independent items is the spread over n; of items in clusters that
    # times 1 + 19 icc, and so the share of losses less gains of a study scatters
    for icc in (0.0, 0.02, 0.1, 0.4):
        drawn = flip_studies(0.06, 0.02, icc, [20] * 40)
        net = (drawn.gains - drawn.losses) / 800
        effect = np.var(net) * 800 / (0.08 - 0.04**2)
        assert effect == pytest.approx(1 + 19 * icc, rel=0.12)
        assert net.mean() == pytest.approx(-0.04, abs=0.002)


@given(
    st.lists(st.lists(st.integers(-1, 1), min_size=1, max_size=9), min_size=5, max_size=9),
    st.floats(0.01, 0.5),
)
def test_flip_studies_property_the_test_is_that_of_the_items(
    fates: list[list[int]], margin: float
) -> None:
    labels = np.repeat(np.arange(len(fates)), [len(one) for one in fates])
    changes = np.concatenate([np.array(one, dtype=float) for one in fates])
    gains = np.array([[one.count(1)] for one in fates])
    losses = np.array([[one.count(-1)] for one in fates])
    sizes = np.array([float(len(one)) for one in fates])
    drawn = _tested(gains, losses, sizes)
    robust = cluster_variance(changes, labels)
    raised = robust.variance / robust.item_level if robust.item_level > 0.0 else 1.0
    assert drawn.widening[0] == pytest.approx(max(1.0, raised), rel=1e-9)
    assert drawn.df == pytest.approx(robust.df)
    by_items = shown(score_of(changes, labels), margin)
    for yes, question in zip(by_items, QUESTIONS, strict=True):
        asked = None if question == "difference" else margin
        assert drawn.share(question, asked, alpha=0.05) == float(yes)


def test_flip_studies_are_always_the_same_and_refuse_wrong_use() -> None:
    one, other = (flip_studies(0.02, 0.01, 0.1, [10] * 20) for _ in range(2))
    assert np.array_equal(one.gains, other.gains)
    assert np.array_equal(one.widening, other.widening)
    for wrong in ((-0.1, 0.0, 0.1), (0.6, 0.6, 0.1), (0.1, 0.1, 1.0), (math.nan, 0.1, 0.1)):
        with pytest.raises(StatisticsError, match="are needed"):
            flip_studies(*wrong, [10] * 20)
    with pytest.raises(StatisticsError, match="at least 5 whole ones"):
        flip_studies(0.1, 0.1, 0.1, [10] * 4)
    with pytest.raises(StatisticsError, match="at least 5 whole ones"):
        flip_studies(0.1, 0.1, 0.1, [10.5] * 9)
    with pytest.raises(StatisticsError):
        one.share("equivalent", alpha=0.05)
