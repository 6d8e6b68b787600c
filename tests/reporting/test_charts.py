from __future__ import annotations

import itertools
import re
import struct
from xml.etree import ElementTree

import pytest

from quantrial.reporting import charts
from reporting.trials import Trial


@pytest.fixture(scope="module")
def plots(trial: Trial) -> dict[str, str]:
    return charts.draw(trial.summary)


def texts(svg: str) -> list[str]:
    return [
        one.text or "" for one in ElementTree.fromstring(svg).iter() if one.tag.endswith("text")
    ]


def test_the_same_summary_is_drawn_the_same(trial: Trial, plots: dict[str, str]) -> None:
    assert charts.draw(trial.summary) == plots


def test_there_is_a_panel_for_each_task(plots: dict[str, str]) -> None:
    for svg in plots.values():
        assert {"reasoning", "extraction"} <= set(texts(svg))


def test_verdicts_and_arms_are_written_not_only_coloured(plots: dict[str, str]) -> None:
    assert {"q8_0", "q4_0", "worse", "−41.7 pp"} <= set(texts(plots["forest"]))
    assert {"f16 (reference)", "q8_0", "q4_0"} <= set(texts(plots["pareto"]))


def test_every_verdict_has_a_shape_and_a_colour_of_its_own() -> None:
    assert len(set(charts.SHAPES.values())) == len(charts.SHAPES)
    assert len(set(charts.TONES.values())) == len(charts.TONES) == len(charts.SHAPES)


def test_a_plot_becomes_a_picture_of_a_sane_size(plots: dict[str, str]) -> None:
    for svg in plots.values():
        png = charts.to_png(svg)
        assert png[:8] == b"\x89PNG\r\n\x1a\n"
        width, height = struct.unpack(">II", png[16:24])
        assert 600 < width < 1400
        assert 300 < height < 2000


def test_labels_do_not_overlap(trial: Trial) -> None:
    summary = trial.copied()
    arms = summary["tasks"]["sums"]["endpoints"]["accuracy"]["arms"]
    for one in arms.values():
        one |= {"estimate": 1.0, "ci": [0.9, 1.0]}
    svg = charts.draw(summary)["pareto"]
    panel = svg[: svg.index("extraction")]
    heights = [
        float(re.search(rf'translate\([\d.-]+,([\d.-]+)\)"[^>]*>{re.escape(name)}<', panel)[1])  # type: ignore[index]
        for name in ("f16 (reference)", "q8_0", "q4_0")
    ]
    heights.sort()
    assert heights[0] >= 0
    assert all(b - a >= 28 for a, b in itertools.pairwise(heights))


def test_missing_intervals_and_speeds_break_no_plot(trial: Trial) -> None:
    summary = trial.copied()
    for part in summary["tasks"].values():
        for results in part["endpoints"].values():
            for one in [*results["arms"].values(), *results["contrasts"], *results["equivalence"]]:
                one["ci"] = [None, None]
    for arms in summary["speed"].values():
        for one in arms.values():
            one["tokens_per_second"] = None
    for one in summary["arms"].values():
        one["memory_bytes"] = None
    plots = charts.draw(summary)
    assert "No speed was measured for any arm." in texts(plots["pareto"])
    assert "−41.7 pp, no interval" in texts(plots["forest"])
    assert "NaN" not in plots["forest"]


def test_a_task_without_answers_breaks_no_plot(trial: Trial) -> None:
    summary = trial.copied()
    summary["tasks"]["sums"]["endpoints"]["accuracy"] = {
        "arms": {},
        "contrasts": [],
        "equivalence": [],
    }
    plots = charts.draw(summary)
    assert "No pair of arms answered the same item." in texts(plots["forest"])
