"""What two published scores can show: every number of changes that could be behind them."""

from __future__ import annotations

import pytest
from scipy import stats

import quantrial
from command import command
from quantrial.errors import StudyError


def midp(harmful: int, beneficial: int) -> float:
    """McNemar's mid-p by the binomial distribution of scipy."""
    changed, least = harmful + beneficial, min(harmful, beneficial)
    if harmful == beneficial:
        return 1.0
    flips = stats.binom(changed, 0.5)
    return float(2 * (flips.cdf(least) - 0.5 * flips.pmf(least)))


@pytest.mark.parametrize(
    ("n", "before", "after"),
    [(500, 292, 284), (40, 30, 30), (100, 60, 72), (50, 50, 41), (9, 0, 9)],
)
def test_p_is_least_with_the_fewest_changes_and_largest_with_the_most(
    n: int, before: int, after: int
) -> None:
    found = quantrial.audit(n, before / n, after / n)
    assert found.right == (before, after)
    tables = [
        (harmful, harmful - (before - after))
        for harmful in range(before + 1)
        if 0 <= harmful - (before - after) <= n - before and harmful <= n - after
    ]
    changed = [harmful + beneficial for harmful, beneficial in tables]
    assert (found.fewest.changed, found.most.changed) == (min(changed), max(changed))
    ps = [midp(*table) for table in tables]
    assert found.fewest.p_value == pytest.approx(ps[0])
    assert found.most.p_value == pytest.approx(ps[-1])
    assert min(ps) == pytest.approx(found.fewest.p_value)
    assert max(ps) == pytest.approx(found.most.p_value)


def test_the_loss_that_is_ruled_out_is_that_of_the_score_test() -> None:
    from quantrial.stats import score_flips

    found = quantrial.audit(500, 0.584, 0.568).fewest
    one = score_flips(8, 0, n=500)
    assert one.test(-found.ruled_out, "greater").p_value == pytest.approx(0.05, abs=1e-4)


def test_it_says_in_words_what_is_not_known() -> None:
    text = quantrial.audit(500, 0.585, 0.569).text
    assert "58.50 % of 500 items are 292.5 answers, taken as 292." in text
    assert "At least 8 answers changed (8 from right to wrong): then p = .004" in text
    assert "this table alone cannot say whether a loss is more than chance" in text
    assert "is shown, whatever changed" in quantrial.audit(5000, 0.6, 0.5).text
    assert "is not shown, whatever changed" in quantrial.audit(50, 0.6, 0.58).text
    assert "The two scores are equal" in quantrial.audit(50, 0.6, 0.6).text


def test_a_share_of_changes_may_be_stated() -> None:
    found = quantrial.audit(500, 0.584, 0.568, discordance=0.1).stated
    assert found is not None
    assert (found.harmful, found.beneficial) == (29, 21)  # 50 changed, 8 more to the worse
    assert found.p_value == pytest.approx(midp(29, 21))
    with pytest.raises(StudyError, match="from 8 to 424 can have changed"):
        quantrial.audit(500, 0.584, 0.568, discordance=0.01)


@pytest.mark.parametrize(
    ("values", "says"),
    [((0, 0.5, 0.5), "from 1 to"), ((9, 58.5, 0.5), "a share from 0 to 1; got 58.5")],
)
def test_what_is_no_share_is_refused(values: tuple[int, float, float], says: str) -> None:
    with pytest.raises(StudyError, match=says):
        quantrial.audit(*values)


def test_the_command() -> None:
    said = command("audit", "--n", 500, "--reference", 0.585, "--candidate", 0.569)
    assert said.returncode == 0, said.stderr
    assert "cannot say whether a loss is more than chance" in " ".join(said.stdout.split())
