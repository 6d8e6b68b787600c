"""What a plan promises of items that come in random clusters."""

from __future__ import annotations

from quantrial.design.clustered import CORRELATIONS, cluster_prospects, cluster_warning


def test_fewer_than_five_clusters_promise_nothing_and_say_so() -> None:
    assert cluster_prospects(250, 3, 0.05, alpha=0.05) == ()
    said = cluster_warning("sums", "subject", 3)
    assert said is not None
    assert "3 clusters (subject), and nothing is claimed over fewer than 5" in said
    few = cluster_warning("sums", "subject", 12)
    assert few is not None
    assert "below 20" in few
    assert cluster_warning("sums", "subject", 20) is None


def test_correlation_within_clusters_costs_power() -> None:
    found = cluster_prospects(250, 10, 0.05, alpha=0.05)
    for share in (0.01, 0.05, 0.15):
        rows = [one for one in found if one.discordance == share]
        assert [one.icc for one in rows] == list(CORRELATIONS)
        powers = [one.power_equivalent for one in rows]
        assert powers == sorted(powers, reverse=True)
        assert [one.items_for_margin for one in rows] == sorted(
            one.items_for_margin or 0 for one in rows
        )
