"""The figures of a run as two small SVG plots."""

from pathlib import Path
from typing import Any

import altair as alt
import vl_convert

from characteristics.proportions import LIMIT
from characteristics.tables import Lines, f1_limit

BLUE, GREY = "#1f5a8a", "#9aa3ab"
FLIPS = ["score", "Newcombe", "Bonett-Price", "Agresti-Min", "Wald", "score, uncorrected"]
F1 = [
    "score",
    "score, quarter",
    "score, uncorrected",
    "pseudo-pairs, Hall",
    "jackknife",
    "paired t",
]
BOOTSTRAPS = ["score", "bootstrap-t", "BCa", "percentile", "classic"]


def draw_all(lines: Lines, folder: Path) -> None:
    """Write `oc-error.svg` and `oc-power.svg`."""
    folder.mkdir(parents=True, exist_ok=True)
    _write(_errors(lines), folder / "oc-error.svg")
    _write(_powers(lines), folder / "oc-power.svg")


def _rows(lines: Lines) -> list[dict[str, Any]]:
    """One row a method of a cell: what was asked, its error and its power."""
    rows = []
    for line in lines:
        cell = line["cell"]
        panels = {
            "power": ("proportions, non-inferiority", FLIPS),
            "f1": ("micro-F1, non-inferiority", F1),
            "f1-bootstrap": ("micro-F1, bootstraps", BOOTSTRAPS),
        }
        if cell["family"] not in panels or cell["kind"] in ("equivalent", "difference"):
            continue
        panel, methods = panels[cell["family"]]
        changed = line["figures"].get("mean changed")
        limit = LIMIT if changed is None else f1_limit(changed)
        for method in methods:
            if method in line["methods"]:
                error, power = line["methods"][method]
                rows.append(
                    {
                        "panel": panel,
                        "method": method,
                        "error": error,
                        "power": power,
                        "limit": limit,
                        "lost": line["methods"]["score"][1] - power,
                    }
                )
    return rows


def _summed(rows: list[dict[str, Any]], figure: str) -> list[dict[str, Any]]:
    """Median, the middle 90 % and the extremes of a figure, by panel and method."""
    groups: dict[tuple[str, str], list[float]] = {}
    for row in rows:
        groups.setdefault((row["panel"], row["method"]), []).append(100.0 * row[figure])
    found = []
    for (panel, method), values in groups.items():
        ordered = sorted(values)
        at = [ordered[round(share * (len(ordered) - 1))] for share in (0.0, 0.05, 0.5, 0.95, 1.0)]
        names = ("least", "low", "middle", "high", "most")
        found.append({"panel": panel, "method": method, **dict(zip(names, at, strict=True))})
    return found


def _panels(
    rows: list[dict[str, Any]], title: str, rules: list[float], end: float
) -> alt.VConcatChart:
    """One panel a family, one line a method."""
    charts = []
    for panel, order in (
        ("proportions, non-inferiority", FLIPS),
        ("micro-F1, non-inferiority", F1),
        ("micro-F1, bootstraps", BOOTSTRAPS),
    ):
        data = [row for row in rows if row["panel"] == panel]
        if not data:
            continue
        color = alt.condition(alt.datum.method == "score", alt.value(BLUE), alt.value(GREY))
        y = alt.Y("method:N", sort=order, title=None)
        base = alt.Chart(alt.InlineData(values=data)).encode(y=y, color=color)
        scale = alt.Scale(domain=[min(0.0, *rules, *(r["least"] for r in data)), end], clamp=True)
        x = alt.X("least:Q", scale=scale, title=title)
        marks = [
            base.mark_rule(strokeWidth=1).encode(x=x, x2="most:Q"),
            base.mark_rule(strokeWidth=5).encode(x=alt.X("low:Q", scale=scale), x2="high:Q"),
            base.mark_point(filled=True, size=45, color="black").encode(
                x=alt.X("middle:Q", scale=scale), color=alt.value("black")
            ),
        ]
        limits = alt.InlineData(values=[{"limit": value} for value in rules])
        marks.append(
            alt.Chart(limits).mark_rule(strokeDash=[4, 3], color="#b03a2e").encode(x="limit:Q")
        )
        charts.append(alt.layer(*marks).properties(title=panel, width=430, height=22 * len(order)))
    return alt.vconcat(*charts)


def _errors(lines: Lines) -> alt.VConcatChart:
    title = "error at a loss of exactly the margin, % (nominal 5, clamped at 25)"
    return _panels(_summed(_rows(lines), "error"), title, [5.5], 25.0)


def _powers(lines: Lines) -> alt.VConcatChart:
    rows = [row for row in _rows(lines) if row["error"] <= row["limit"] or row["method"] == "score"]
    title = "power of the score test less that of the method where it is valid, points"
    return _panels(_summed(rows, "lost"), title, [-5.0], 10.0)


def _write(chart: alt.VConcatChart, path: Path) -> None:
    svg = vl_convert.vegalite_to_svg(chart.to_dict())
    path.write_text(svg + "\n", encoding="utf-8")
