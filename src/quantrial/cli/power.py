"""`quantrial power`: parse what to plan from, forecast, print a table and a curve."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from quantrial.cli.consent import AllowCode
from quantrial.cli.terminal import line, paragraph, table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from quantrial.commands.power import PowerStudy, Scenario
    from quantrial.design.forecast import Clusters, CurvePoint, Forecast, QuestionResult

_QUESTIONS = {
    "difference": "a difference",
    "non_inferior": "non-inferiority",
    "equivalent": "equivalence",
}
_MARKS = {"difference": "D", "non_inferior": "N", "equivalent": "E"}
_METHODS = {
    "exact": "exact",
    "simulation": "simulated",
    "normal-approximation": "approx.",
    "noncentral-t": "noncentral t",
}
_METHOD_NOTES = {
    "exact": "exact: computed over every possible outcome of the test.",
    "noncentral-t": "noncentral t: an approximation. It counts whole clusters, estimates the "
    "variance between them from that many, and shows nothing over fewer than five.",
    "simulation": "simulated: where few flips are expected, studies in clusters are drawn and "
    "tested; the power is accurate to about 2 points.",
    "normal-approximation": "approx.: normal approximation.",
}
_SMALL = 0.01  # below, a rate is written with digits of its own
_MANY = 10**9  # more items than anyone can run
_LEVELS = 10  # rows of the curve above its axis
_COLUMNS = 66
_LEFT = 8
_ROUNDING = 1.001  # larger by less is not larger in what is shown


def power(  # noqa: PLR0913 - each parameter is an option of the command
    *,
    harmful: Annotated[
        float | None, typer.Option(help="Share of items that only the reference gets right.")
    ] = None,
    beneficial: Annotated[
        float | None, typer.Option(help="Share of items that only the candidate gets right.")
    ] = None,
    discordance: Annotated[
        float | None, typer.Option(help="Share of items on which one of the two is right.")
    ] = None,
    difference: Annotated[
        float | None,
        typer.Option(
            help="Assumed difference, candidate minus reference: -0.005 loses half a point.",
            show_default="0, or as observed",
        ),
    ] = None,
    sd: Annotated[
        float | None, typer.Option(help="Standard deviation of the paired differences of a score.")
    ] = None,
    run: Annotated[
        Path | None, typer.Option("--from", metavar="RUN", help="Plan from an earlier run folder.")
    ] = None,
    task: Annotated[
        str | None, typer.Option(help="A task of that run.", show_default="all")
    ] = None,
    candidate: Annotated[
        str | None, typer.Option(help="An arm of that run.", show_default="all but controls")
    ] = None,
    icc: Annotated[
        float | None,
        typer.Option(
            help="How alike differences within a random cluster are (intraclass correlation).",
            show_default="the run's, or items are independent",
        ),
    ] = None,
    cluster_size: Annotated[
        float | None, typer.Option(help="Items per cluster.", show_default="the run's")
    ] = None,
    clusters: Annotated[
        int | None,
        typer.Option(help="Number of clusters, in place of --n or --cluster-size."),
    ] = None,
    n: Annotated[
        int | None,
        typer.Option("--n", help="Number of items.", show_default="the run's"),
    ] = None,
    power: Annotated[
        float, typer.Option(help="Power to aim for: the chance that the study shows it.")
    ] = 0.8,
    margin: Annotated[
        str | None,
        typer.Option(
            metavar="LOSS",
            help="Largest loss that counts as the same, such as 1pp.",
            show_default="the run's, or 1pp",
        ),
    ] = None,
    alpha: Annotated[
        float | None, typer.Option(help="Level of the tests.", show_default="the run's, or 0.05")
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(help="Draw power against items: FILE.svg or FILE.png.")
    ] = None,
    allow_code: AllowCode = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")] = False,
) -> None:
    """Say how many items a study needs.

    Also says what a number of items can show. Give the rates of flips (--harmful with --beneficial,
    or --discordance), the spread of a score (--sd), or an earlier run (--from); otherwise a typical
    discordance is assumed. If items come in random clusters, give --icc and --cluster-size too; an
    earlier run over clusters brings its own.
    """
    from quantrial.cli import show
    from quantrial.commands import power as command
    from quantrial.reporting.charts.power import check_plot, write_power_chart
    from quantrial.units import parse_fraction

    if plot is not None:
        check_plot(plot)
    assumed = command.Assumptions(
        harmful,
        beneficial,
        discordance,
        difference,
        sd,
        run,
        task,
        candidate,
        icc,
        clusters,
        cluster_size,
    )
    loss = None if margin is None else parse_fraction(margin, "margin")
    found = command.power(assumed, n=n, power=power, margin=loss, alpha=alpha)
    if plot is not None:
        write_power_chart(found, plot)
    if as_json:
        show.document(found)
        return
    show_power(found)
    if plot is not None:
        line(f"\nPlot: {plot}")


def show_power(found: PowerStudy) -> None:
    """Print every scenario; its curve where there is only one."""
    alone = len(found.scenarios) == 1
    for i, one in enumerate(found.scenarios):
        if i:
            line()
        _scenario(one)
        if alone:
            line()
            for drawn in curve_lines(one.forecast.curve, one.forecast.asked.power):
                line(drawn)
            line()
        paragraph(_advice(one))
    for note in found.notes:
        paragraph(f"not planned: {note}")
    if not alone:
        line("\nOne contrast at a time; --task and --candidate choose one and draw its curve.")


def _scenario(one: Scenario) -> None:
    found, asked = one.forecast, one.forecast.asked
    if one.title:
        paragraph(one.title)
    line(_assumed(found))
    if found.clusters is not None:
        paragraph(_clusters(found.clusters, asked.n))
    line(f"Margin {_points(asked.margin, asked.unit)}, alpha {asked.alpha:g}\n")
    power = f"for {_percent(asked.power)} power"
    if asked.n is None:
        table(
            ("to show", f"items {power}", "figure"),
            [(_QUESTIONS[a.question], _items(a), _method(a.items_method)) for a in found.answers],
        )
    else:
        table(
            (
                "to show",
                f"power at {asked.n:,} items",
                "figure",
                f"items {power}",
                "figure",
            ),
            [
                (
                    _QUESTIONS[a.question],
                    _percent(a.power),
                    _method(a.power_method),
                    _items(a),
                    _method(a.items_method),
                )
                for a in found.answers
            ],
        )
    line()
    for remark in _remarks(found):
        paragraph(remark)
    for note in one.notes:
        paragraph(f"note: {note}")


def _advice(one: Scenario) -> str:
    """Say in a sentence how many items a decision takes."""
    from quantrial.design.plan import advice

    found = one.forecast
    needed = next(a for a in found.answers if a.question == "non_inferior")
    return advice(
        "" if one.task is None else f"{one.task}, {one.candidate}",
        items=found.asked.n,
        needed=needed.items,
        clusters=needed.clusters,
        margin=found.asked.margin,
        assumed=_truth(found),
        unit=found.asked.unit,
    )


def _truth(found: Forecast) -> str:
    """Say what is taken as true, as a clause."""
    from quantrial.design.forecast import Rates

    unit = found.asked.unit
    size = f"{100 * abs(found.difference):.2g} pp"
    if unit is not None:
        size = f"{abs(found.difference):.2g} {unit}"
    lost = f" and {size} are lost" if found.difference < 0 else ""
    gained = f" and {size} are gained" if found.difference > 0 else ""
    if isinstance(found.assumed, Rates):
        rate = _rate(found.assumed.harmful + found.assumed.beneficial)
        return f"{rate} of answers flip{lost or gained}"
    return f"scores differ with an SD of {found.sd:.3g}{lost or gained}"


def _assumed(found: Forecast) -> str:
    from quantrial.design.forecast import Rates

    asked = found.asked
    shown = 0.0 - found.difference if asked.lower else found.difference
    true = f"true difference {_points(shown, asked.unit, sign=True)}"
    if not isinstance(found.assumed, Rates):
        return f"Paired SD {found.sd:.4g}, {true}"
    harmful, beneficial = found.assumed.harmful, found.assumed.beneficial
    return (
        f"Flips: {_rate(harmful)} harmful, {_rate(beneficial)} beneficial "
        f"(discordance {_rate(harmful + beneficial)}), {true}"
    )


def _remarks(found: Forecast) -> list[str]:
    """Say what the table cannot: the detectable difference, and how sure its figures are."""
    asked, lines, clustered = found.asked, [], found.clusters is not None
    if asked.n is not None:
        lines.append(_detects(found, asked.n))
    if found.least_items is not None and asked.n is not None and asked.n < found.least_items:
        lines.append(
            f"Showing equivalence within {_points(asked.margin, asked.unit)} takes at least "
            f"{found.least_items:,} items, even if no answer changes."
        )
    if not clustered and found.least_items is not None:
        lines.append(
            "Power does not rise evenly: a few items more can lower it a little. From the number "
            "of items given on, it stays at the target or above."
        )
    if not clustered:
        lines.append(
            "Items count as independent. Items in random clusters are worth less: see --icc and "
            "--cluster-size."
        )
    if found.difference == 0.0:
        lines.append("The assumed difference is 0: the power to find one is the false alarm rate.")
    if clustered:
        lines.append(
            "Every cluster is taken to lose a little. If a few clusters carry most of a loss, "
            "equivalence is shown less often than the table says."
        )
    methods = {point.method for point in found.curve} | {a.items_method for a in found.answers}
    if not clustered:
        methods.discard("simulation")  # a note of its scenario tells of it
    lines += [words for method, words in _METHOD_NOTES.items() if method in methods]
    if "normal-approximation" in methods and not found.least_items:
        # of flips it is used only where too many change to enumerate them
        lines[-1] = "approx.: normal approximation, too optimistic if fewer than ten items change."
    return lines


def _clusters(within: Clusters, n: int | None) -> str:
    groups = "Clusters" if n is None else f"{n:,} items in {n / within.size:.4g} clusters"
    unequal = f" ({within.typical:.4g} in that of a typical item)"
    return (
        f"{groups} of {within.size:.4g} items"
        + (unequal if within.typical > within.size * _ROUNDING else "")
        + f", intraclass correlation {within.icc:.3g}: {within.effect:.3g} items are worth one "
        "independent item"
    )


def _detects(found: Forecast, n: int) -> str:
    """Say what difference n items detect."""
    from quantrial.stats.clusters import FEWEST_CLUSTERS

    power = f"with {_percent(found.asked.power)} power"
    if found.detectable is not None:
        return (
            f"{n:,} items detect a difference of {_detected(found)} {power} "
            f"({_method(found.detectable_method)})."
        )
    if found.clusters is not None and n / found.clusters.size < FEWEST_CLUSTERS:
        return f"{n:,} items are too few: a claim needs at least {FEWEST_CLUSTERS} clusters."
    return (
        f"{n:,} items cannot detect a difference {power} at this discordance, even if every flip "
        "goes one way."
    )


def curve_lines(curve: Sequence[CurvePoint], target: float) -> list[str]:
    """Draw power against items (logarithmic) in plain characters, at most 80 wide."""
    sizes = sorted({point.n for point in curve})
    low, high = math.log(sizes[0]), math.log(sizes[-1])

    def column(n: float) -> int:
        return round((math.log(n) - low) / (high - low) * (_COLUMNS - 1))

    rows = [[" "] * _COLUMNS for _ in range(_LEVELS + 1)]
    rows[round(target * _LEVELS)] = list("." * _COLUMNS)
    for question, mark in _MARKS.items():
        points = [(column(p.n), p.power) for p in curve if p.question == question]
        for x, height in _filled(points):
            cells = rows[round(min(height, 1.0) * _LEVELS)]
            cells[x] = mark if cells[x] in " ." else "*"
    lines = ["  power"]
    for level in range(_LEVELS, -1, -1):
        label = f"{100 * level / _LEVELS:.0f} %" if level % 2 == 0 else ""
        lines.append(f"{label:>{_LEFT - 2}} |" + "".join(rows[level]).rstrip())
    axis, names = ["-"] * _COLUMNS, [" "] * (_COLUMNS + 5)
    free = 0
    for n in _ticks(sizes[0], sizes[-1]):
        x, name = column(n), f"{n:,}"
        start = max(0, x - len(name) // 2)
        if start < free or start + len(name) > len(names):
            continue
        axis[x] = "+"
        names[start : start + len(name)] = name
        free = start + len(name) + 2
    lines.append(" " * (_LEFT - 2) + " +" + "".join(axis))
    lines.append(" " * _LEFT + "".join(names).rstrip())
    lines.append(
        f"  items.  D {_QUESTIONS['difference']}   N {_QUESTIONS['non_inferior']}   "
        f"E {_QUESTIONS['equivalent']}   * several"
    )
    return lines


def _filled(points: Sequence[tuple[int, float]]) -> list[tuple[int, float]]:
    """Join the points of a curve by straight lines, a height for every column."""
    filled = []
    for (a, left), (b, right) in itertools.pairwise(points):
        for x in range(a, b):
            filled.append((x, left + (right - left) * (x - a) / (b - a)))
    return [*filled, points[-1]]


def _ticks(low: int, high: int) -> list[int]:
    """Return round numbers of items within the range: 100, 200, 500, 1000 ..."""
    decades = range(int(math.log10(low)), int(math.log10(high)) + 1)
    return [m * 10**d for d in decades for m in (1, 2, 5) if low <= m * 10**d <= high]


def _items(answer: QuestionResult) -> str:
    if answer.items is None:
        return "no number"
    if answer.items > _MANY:
        return "over a billion"
    return f"{answer.items:,}" + (
        "" if answer.clusters is None else f" in {answer.clusters:,} clusters"
    )


def _method(name: str | None) -> str:
    return "" if name is None else _METHODS[name]


def _rate(value: float) -> str:
    return f"{100 * value:.3g} %" if 0.0 < value < _SMALL else _percent(value)


def _percent(value: float | None) -> str:
    if value is None:
        return ""
    text = f"{100 * value:.1f}".removesuffix(".0")
    # what is rare is not never, what is likely is not sure
    if text == "0" and value > 0.0:
        return "< 0.1 %"
    return "> 99.9 %" if text == "100" and value < 1.0 else f"{text} %"


def _detected(found: Forecast) -> str:
    value, unit = found.detectable or 0.0, found.asked.unit
    return f"{100 * value:.2f} pp" if unit is None else f"{value:.3g} {unit}"


def _points(value: float, unit: str | None, *, sign: bool = False) -> str:
    if unit is not None:
        return f"{value:+.4g} {unit}" if sign and value else f"{value:.4g} {unit}"
    return f"{100 * value:+.4g} pp" if sign and value else f"{100 * value:.4g} pp"
