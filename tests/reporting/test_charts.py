from __future__ import annotations

import importlib.resources
import itertools
import json
import re
import struct
from typing import Any
from xml.etree import ElementTree

import jsonschema
import pytest
import vl_convert
from msgspec import structs

from drawings import draw_anew
from quantrial.documents import BlockSpeed, Conditions, PhaseDrift, SpeedPhase, load_summary
from quantrial.reporting import charts
from quantrial.reporting.charts import style
from quantrial.reporting.figures import tradeoff_plot
from quantrial.words import p_value, points
from reporting.trials import Trial
from summaries import completed_dict, tradeoffs_of


def draw(summary: dict[str, Any]) -> dict[str, str]:
    return charts.draw(load_summary(summary))


def panels(summary: Any) -> dict[str, Any]:
    """What the plots of a summary are drawn from, by name: drawing them is slow."""
    summary = load_summary(summary) if isinstance(summary, dict) else summary
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(charts, "to_svg", lambda parts: parts)
        return dict(charts.draw(summary))


def draw_one(summary: Any, name: str) -> str:
    """Draw one plot of a summary and spare the others."""
    return style.to_svg(panels(summary)[name])


@pytest.fixture(scope="module")
def plots(trial: Trial) -> dict[str, str]:
    return draw(trial.summary)


def texts(svg: str) -> list[str]:
    return [
        " ".join(one.itertext())
        for one in ElementTree.fromstring(svg).iter()
        if one.tag.endswith("text")
    ]


def with_tradeoffs(summary: dict[str, Any]) -> None:
    """Set quality against costs again, after a change of either."""
    summary["tradeoffs"] = tradeoffs_of(summary)


def timed(summary: dict[str, Any], speeds: dict[str, tuple[float, float, float]]) -> None:
    """Put speeds of a phase, and peaks of memory, into a summary."""
    arms = {
        arm: {
            "decode": {"estimate": at, "ci": [low, high], "n": 8},
            "call": None,
            "memory_peaks_bytes": [low * 1e6, high * 1e6],
        }
        for arm, (low, at, high) in speeds.items()
    }
    summary["tradeoffs"] = tradeoffs_of(completed_dict({**summary, "speed_phase": {"arms": arms}}))


def test_the_same_summary_is_drawn_the_same(trial: Trial, plots: dict[str, str]) -> None:
    assert draw_anew(load_summary(trial.summary)) == plots


def test_against_reference_specifications_hold_to_vega_lites_schema(
    trial: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    specs: list[dict[str, Any]] = []

    def keep(spec: dict[str, Any]) -> str:
        specs.append(spec)
        return ""

    monkeypatch.setattr(vl_convert, "vegalite_to_svg", keep)
    drawn = draw_anew(load_summary(trial.summary))
    package = importlib.resources.files("altair.vegalite.v6.schema")
    schema = json.loads((package / "vega-lite-schema.json").read_text(encoding="utf-8"))
    holds = jsonschema.Draft7Validator(schema).is_valid
    assert len(specs) == len(drawn) > 5
    assert all(holds(spec) for spec in specs)
    specs[0]["vconcat"][0]["layer"][1]["mark"]["strokeWidht"] = 1
    assert not holds(specs[0])


def test_there_is_a_panel_for_each_task(plots: dict[str, str]) -> None:
    for name in ("pareto", "pareto-memory", "forest", "equivalence", "flips", "flow"):
        assert {"reasoning", "extraction"} <= set(texts(plots[name]))
    assert "reasoning" in texts(plots["strata"])
    assert "extraction" in texts(plots["errors"])


def test_verdicts_and_arms_are_written_not_only_coloured(plots: dict[str, str]) -> None:
    assert {"q8_0", "q4_0", "worse", "−41.7 pp"} <= set(texts(plots["forest"]))
    assert {"f16 (reference)", "q8_0", "q4_0"} <= set(texts(plots["pareto"]))


def test_every_verdict_has_a_shape_and_a_colour_of_its_own() -> None:
    assert len(set(style.SHAPES.values())) == len(style.SHAPES)
    assert len(set(style.TONES.values())) == len(style.TONES) == len(style.SHAPES)


def test_a_plot_becomes_a_picture_of_a_sane_size(plots: dict[str, str]) -> None:
    for svg in plots.values():
        png = charts.to_png(svg)
        assert png[:8] == b"\x89PNG\r\n\x1a\n"
        width, height = struct.unpack(">II", png[16:24])
        assert 500 < width < 1400
        assert 200 < height < 2000


def test_labels_do_not_overlap(trial: Trial) -> None:
    summary = trial.copied()
    arms = summary["tasks"]["sums"]["endpoints"]["accuracy"]["arms"]
    for one in arms.values():
        one |= {"estimate": 1.0, "ci": [0.9, 1.0]}
    with_tradeoffs(summary)
    svg = draw_one(summary, "pareto")
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
    with_tradeoffs(summary)
    plots = panels(summary)
    assert not {"pareto", "pareto-memory"} & set(plots), "nothing was measured: no plot"
    drawn = {name: style.to_svg(plots[name]) for name in ("forest", "equivalence")}
    assert "−41.7 pp, no interval" in texts(drawn["forest"])
    assert "NaN" not in drawn["forest"]


def test_a_task_without_answers_breaks_no_plot(trial: Trial) -> None:
    summary = trial.copied()
    summary["tasks"]["sums"]["endpoints"]["accuracy"] = {
        "arms": {},
        "contrasts": [],
        "equivalence": [],
    }
    with_tradeoffs(summary)
    for name in ("forest", "equivalence"):
        drawn = texts(draw_one(summary, name))
        assert "extraction" in drawn
        assert "reasoning" not in drawn, "no pair answered the same item"


def test_a_plot_of_nothing_is_left_out_with_its_heading(trial: Trial) -> None:
    summary = trial.copied()
    for one in summary["tasks"]["names"]["failure_modes"].values():
        for found in one["errors"]["classes"].values():
            found["errors"] = 0
    for part in summary["tasks"].values():
        part["flips"] = []
    quiet = trial.with_summary(summary)
    assert not {"errors", "flips"} & set(draw(summary))
    for text in quiet.render().values():
        assert "Which errors" not in text
        assert "What turned" not in text
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(charts, "draw", lambda summary: {})
        bare = quiet.render()
    assert "## Plots" not in bare["report.md"]
    assert 'href="#plots"' not in bare["report.html"]


def labels(svg: str) -> list[str]:
    """Return what the marks say of themselves."""
    return [label for one in ElementTree.fromstring(svg).iter() if (label := one.get("aria-label"))]


def test_every_turned_answer_is_counted_in_its_cell(trial: Trial, plots: dict[str, str]) -> None:
    said = labels(plots["flips"])
    for part in trial.summary["tasks"].values():
        for one in part["flips"]:
            before, after = one["reference"], one["candidate"]
            assert f"{one['harmful']} of {one['n']} items: {before} right, {after} wrong" in said
            assert f"{one['beneficial']} of {one['n']} items: {after} right, {before} wrong" in said


def test_the_heat_map_shows_strata_and_the_test_over_them(
    trial: Trial, plots: dict[str, str]
) -> None:
    part = trial.summary["tasks"]["sums"]
    shown = texts(plots["strata"])
    for value, stratum in part["strata"]["subject"].items():
        assert value in shown
        for one in stratum["contrasts"]:
            if one["reference"] == "f16":
                text = points(one["estimate"])
                assert text.removesuffix(" pp") in shown
                assert f"{one['candidate']}, {value}: {text}, interval" in " ".join(
                    labels(plots["strata"])
                )
    for test in part["heterogeneity"]:
        known = test["p_adjusted"] is not None
        p = p_value(test["p_adjusted"]) if known else f"{test['candidate']} cannot be told"
        assert any("vary over subject?" in one and p in one for one in shown)


def test_errors_are_counted_by_class_and_arm(trial: Trial, plots: dict[str, str]) -> None:
    modes = trial.summary["tasks"]["names"]["failure_modes"]
    said = labels(plots["errors"])
    for arm, one in modes.items():
        for kind, found in one["errors"]["classes"].items():
            assert f"{arm}: {found['errors']} {kind.replace('_', ' ')}" in said


def test_equivalence_is_told_with_its_p(trial: Trial, plots: dict[str, str]) -> None:
    said = " ".join(labels(plots["equivalence"]))
    for part in trial.summary["tasks"].values():
        for test in part["endpoints"][part["primary"]]["equivalence"]:
            if test["reference"] == "f16":
                word = (
                    "the same"
                    if test["equivalent"]
                    else "no loss of it"
                    if test["non_inferior"]
                    else "not shown"
                )
                assert f"{test['candidate']}: " in said
                assert f"; {word}, p" in said


def test_the_timeline_holds_every_window_and_the_loads(trial: Trial) -> None:
    summary = trial.copied()
    windows = summary["timeline"]["windows"]
    said = [one for one in labels(draw_one(summary, "timeline")) if "its mean speed" in one]
    assert len(said) == sum(one["pace"] is not None for one in windows) > 50
    windows[0] |= {"loads": 3, "load_seconds": 12.5}
    svg = draw_one(summary, "timeline")
    assert any("3 loads, 12.50 s in all" in one for one in labels(svg))
    assert any("ticks: models loaded" in one for one in texts(svg))


def test_what_a_study_does_not_have_is_not_drawn(trial: Trial) -> None:
    summary = trial.copied()
    del summary["tasks"]["names"], summary["speed"]["names"]
    summary["timeline"] = {"calls": 0, "windows": []}
    summary["tasks"]["sums"]["strata"] = {}
    drawn = panels(summary)
    assert set(drawn) == {"pareto", "pareto-memory", "forest", "equivalence", "flips", "flow"}


SPEEDS = {"f16": (80.0, 85.0, 90.0), "q8_0": (100.0, 110.0, 120.0), "q4_0": (90.0, 100.0, 130.0)}


def test_costs_stand_with_intervals_and_the_frontier(trial: Trial) -> None:
    summary = trial.copied()
    timed(summary, SPEEDS)
    said = labels(draw_one(summary, "pareto"))
    fast, _ = (one for one in said if one.startswith("q8_0: "))  # one a task
    assert "110.0 tokens/s, 100.0 to 120.0 tokens/s; on the frontier" in fast
    slow, _ = (one for one in said if one.startswith("f16: "))
    assert "frontier" not in slow
    memory = " ".join(labels(draw_one(summary, "pareto-memory")))
    assert "90.0 MB, 80.0 to 90.0 MB; on the frontier" in memory


def test_the_frontier_is_a_stair_through_the_arms_on_it(trial: Trial) -> None:
    summary = trial.copied()
    timed(summary, SPEEDS | {"q4_0": (150.0, 160.0, 170.0)})
    [dots, more] = [
        draw_one(summary, name).count('stroke-dasharray="5,3"')
        for name in ("pareto", "pareto-memory")
    ]
    assert dots == more == 2  # one a task


def test_what_is_dominated_is_said_in_words(trial: Trial) -> None:
    summary = trial.copied()
    timed(summary, SPEEDS)
    plot = tradeoff_plot(load_summary(summary), "throughput")
    assert "q8_0 alone is on the frontier, of 3 arms." in plot.alternative
    # on 24 questions answered alike a loss of 5 pp is not ruled out
    assert "By the estimates alone q8_0 dominates f16" in plot.alternative
    assert plot.table is not None
    [row] = [row for row in plot.table.rows if [c.text for c in row.cells[:2]] == ["f16", "sums"]]
    assert [cell.text for cell in row.cells[4:]] == [
        "85.0",
        "80.0 to 90.0",
        "beaten by q8_0",
    ]
    assert "speed phase" in plot.caption
    timed(summary, {})
    assert (
        "speeds are read off their answers"
        in tradeoff_plot(load_summary(summary), "throughput").caption
    )
    assert "the size of an arm's file" in tradeoff_plot(load_summary(summary), "memory").caption


LONG = {
    "f16": "a-long-family-name-fp16",
    "q8_0": "a-long-family-name-q8_0",
    "q4_0": "a-long-name-q4",
}


def test_long_names_stand_slanted_and_whole(trial: Trial, plots: dict[str, str]) -> None:
    summary = json.loads(
        re.sub(r'"(f16|q8_0|q4_0)"', lambda one: f'"{LONG[one[1]]}"', json.dumps(trial.summary))
    )
    drawn = {name: draw_one(summary, name) for name in ("flips", "strata", "flow")}
    for name in ("flips", "strata"):
        assert "rotate(325)" in drawn[name]
        assert "rotate(325)" not in plots[name]
        assert LONG["q4_0"] in texts(drawn[name])
    # boxes of the flow are as wide as what stands in them
    assert "f16" in texts(plots["flow"])
    assert LONG["q8_0"] in texts(drawn["flow"])


def test_the_timeline_follows_the_blocks_of_the_speed_phase(trial: Trial) -> None:
    blocks = tuple(
        BlockSpeed(
            arm=arm,
            block=block,
            started_at=f"2026-01-01T00:0{block}:00.000Z",
            pace=1.0 + block / 10,
            load_seconds=2.5 if block == 0 else 0.0,
            paused_seconds=30.0 if (arm, block) == ("f16", 1) else 0.0,
        )
        for block in (0, 1, 3)
        for arm in ("f16", "q8_0")
    )
    phase = SpeedPhase(
        status="narrow",
        precision=0.05,
        time_limit=600,
        seconds=10.0,
        blocks=3,
        calls=6,
        widest=0.01,
        reference="f16",
        measures={},
        arms={},
        ratios=(),
        lengths=(),
        too_long=(),
        drift=PhaseDrift(measure="decode", arms={}, ratios={}),
        blocks_in_turn=blocks,
        conditions=Conditions(
            calls=6,
            others_share=None,
            others_share_by_arm={},
            others_share_before=None,
            busy_calls=0,
            swapped_pages=None,
            throttled=None,
            battery_calls=None,
            paused_seconds=30.0,
        ),
        marks=(),
    )
    summary = structs.replace(load_summary(trial.summary), speed_phase=phase)
    svg = draw_one(summary, "timeline")
    said = labels(svg)
    assert "q8_0, block 4: 1.30× its mean speed" in said
    assert (
        "f16, block 2: 1.10× its mean speed, after 30.00 s of waiting for a quiet machine" in said
    )
    assert "q8_0, block 1: loaded in 2.50 s" in said
    assert sum("loaded in" in one for one in said) == 2
    assert "4 blocks from 2026-01-01 00:00:00 UTC; ticks: models loaded" in texts(svg)
