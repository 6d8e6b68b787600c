"""Limits of every figure, which cells pass them, and the table of a page."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from characteristics.proportions import LIMIT

Lines = list[dict[str, Any]]

MARKS = ("<!-- oc -->\n", "<!-- /oc -->")
LOST = 0.05  # of power, to a method that is valid
NOMINAL = 0.05
WIDELY, PROMISE = "valid everywhere", "valid everywhere at 5 %"
F1 = ("f1", "f1-choosing", "f1-confirming", "macro-f1")
OURS = dict.fromkeys(F1, "score") | {"f1-null": "sign-flip"}
MOST_SHOWN = 12  # cells beyond a limit, of one figure


def slack(limit: float, draws: int) -> float:
    """Three Monte-Carlo standard errors at a limit."""
    return 3 * math.sqrt(limit * (1 - limit) / draws) if draws else 0.0


def f1_limit(changed: float) -> float:
    """The largest error rate of a claim about F1 where so many items changed on average."""
    return 0.06 if changed >= 10 else 0.075


def limits(cell: dict[str, Any], name: str, changed: float) -> tuple[float, float] | None:
    """The range a figure of the calibrated set must lie in, or None where it is only shown."""
    family, n = cell["family"], cell["n"]
    if "power lost" in name:
        return (-1.0, LOST)
    if family == "proportions" and name == "score coverage":
        return (0.935, 0.975 if n * cell["rate"] >= 10 else 1.0)
    if family in F1:
        return _f1_limits(n, name, changed)
    if family == "clusters":
        return _cluster_limits(cell, name) if cell["icc"] <= 0.02 else None
    if family == "strata" and name.endswith("coverage"):
        return (0.935, 1.0)
    if family == "strata":
        most = f1_limit(changed) if name.startswith("F1") else LIMIT
        return None if name.endswith("width") else (0.0, most)
    if family in OWN:
        return OWN[family](cell, name)
    shown = family in ("packages", "attainable", "f1-bootstrap") or name.startswith("bootstrap")
    shown |= name == "interaction untested"
    return None if shown else (0.0, LIMIT)


def _copies_limits(cell: dict[str, Any], name: str) -> tuple[float, float] | None:
    if name.startswith("taken as independent"):
        return None
    # copies of some contents only: few large changes carry the claim, as in micro-F1
    most = f1_limit(0.0) if cell["kind"] == "some" else LIMIT
    return (0.935, 1.0) if name.endswith("coverage") else (0.0, most)


def _ship_limits(cell: dict[str, Any], name: str) -> tuple[float, float] | None:
    del cell
    promised = name in (
        "Holm: ships an arm that loses the margin",
        "ships an arm that loses the margin",
    )
    return (0.0, LIMIT) if promised else None


def _report_limits(cell: dict[str, Any], name: str) -> tuple[float, float] | None:
    del cell
    return None if name.endswith("alone") else (0.0, NOMINAL)


def _field_limits(cell: dict[str, Any], name: str) -> tuple[float, float] | None:
    if name == "score coverage":
        return (0.925 if cell["n"] < 100 else 0.935, 1.0)
    return (0.0, LIMIT) if name == "score non-inferiority error" else None


def _generated_limits(cell: dict[str, Any], name: str) -> tuple[float, float] | None:
    del cell
    return (0.8, 1.0) if name.startswith("control") else (0.0, 0.05)


def _answer_limits(cell: dict[str, Any], name: str) -> tuple[float, float] | None:
    del cell
    return (0.0, LIMIT) if name.endswith("error") else None


# families with limits of their own
OWN: dict[str, Callable[[dict[str, Any], str], tuple[float, float] | None]] = {
    "agreement": _answer_limits,
    "copies": _copies_limits,
    "f1-fields": _field_limits,
    "generated": _generated_limits,
    "missing": _ship_limits,
    "reports": _report_limits,
    "samples": _answer_limits,
    "ship": _ship_limits,
}


def _cluster_limits(cell: dict[str, Any], name: str) -> tuple[float, float] | None:
    if name.startswith("cluster") and name.endswith("difference error"):
        return (0.0, LIMIT)
    covers = name.startswith("cluster") and name.endswith("coverage") and cell["clusters"] >= 10
    return (0.935, 1.0) if covers else None


def _f1_limits(n: int, name: str, changed: float) -> tuple[float, float] | None:
    if name == "score coverage":
        return (0.925 if n < 100 else 0.935, 0.98 if changed >= 10 else 1.0)
    if name.endswith("approximate, error"):
        return (0.0, 0.06)
    return None if name.endswith("approximate, power") else (0.0, f1_limit(changed))


def power_lost(lines: Lines) -> Iterator[tuple[dict[str, Any], dict[str, float]]]:
    """For every cell with powers, what the best valid method would add, by four readings.

    In the cell; there with every generator (proportions: every rate of gains), as which one the
    data come from is what an analyst does not know; in every cell of the family, at the limit
    that is promised, and at the nominal 5 %. `lines` may hold other families too.
    """
    known = [line for line in lines if line["methods"] and _ours(line["cell"])]
    readings: dict[str, dict[tuple[object, ...], bool]] = {}
    for line in known:
        for name, (error, _) in line["methods"].items():
            for reading, limit in (
                ("every", _ceiling(line)),
                (WIDELY, _ceiling(line)),
                (PROMISE, NOMINAL + slack(NOMINAL, line["cell"]["replications"])),
            ):
                key = (*_scope(reading, line["cell"]), name)
                valid = readings.setdefault(reading, {})
                valid[key] = valid.get(key, True) and error <= limit
    for line in known:
        cell, methods = line["cell"], line["methods"]
        ours = _ours(cell)
        own = methods[ours][1] if ours in methods else math.nan
        if math.isnan(own):
            continue  # no arm is better there: an error, and no power
        figure = f"{cell['kind'] if cell['family'] == 'power' else ours} power lost"
        lost = dict[str, float]()
        if cell["family"] != "power":  # there it was measured with the cell
            here = [power for error, power in methods.values() if error <= _ceiling(line)]
            lost[f"{figure}, valid in the cell"] = max(here, default=own)
            kept = readings["every"]
            powers = [p for m, (_, p) in methods.items() if kept[(*_scope("every", cell), m)]]
            lost[f"{figure}, valid on every generator"] = max(powers, default=own)
        for reading in (WIDELY, PROMISE):
            kept = readings[reading]
            powers = [p for m, (_, p) in methods.items() if kept[(*_scope(reading, cell), m)]]
            lost[f"{figure}, {reading}"] = max(powers, default=own)
        yield line, {name: max(best, own) - own for name, best in lost.items()}


def _ours(cell: dict[str, Any]) -> str | None:
    """The method of the calibrated set, in families that compare powers."""
    if cell["family"] == "power":
        return "mid-p" if cell["kind"] == "difference" else "score"
    return OURS.get(cell["family"])


def _scope(reading: str, cell: dict[str, Any]) -> tuple[object, ...]:
    """The cells in all of which a method must be valid."""
    family = cell["family"]
    if reading == "every":
        return family, cell["n"], cell["rate"]
    if family == "power":
        return family, cell["kind"]
    return ("f1",) if family.startswith("f1-c") else (family,)


def _ceiling(line: dict[str, Any]) -> float:
    changed = line["figures"].get("mean changed")
    limit = LIMIT if changed is None else f1_limit(changed)
    return limit + slack(limit, line["cell"]["replications"])


def promised(name: str) -> bool:
    """Whether a limit of this figure is kept as a promise: of power, one reading of four is."""
    return "power lost" not in name or name.endswith(PROMISE)


def verdicts(lines: Lines) -> Iterator[tuple[str, str, float, bool | None, str]]:
    """(family, figure, value, holds, where) for every figure of every cell."""
    lost = {id(line): figures for line, figures in power_lost(lines)}
    for line in lines:
        cell, figures = line["cell"], {**line["figures"], **lost.get(id(line), {})}
        changed = figures.pop("mean changed", 0.0)
        effective = figures.pop("mean effective", 0.0)
        warned = figures.pop("warned", 0.0)
        where = " ".join(f"{k}={v:.4g}" for k, v in cell.items() if v and not isinstance(v, str))
        if changed:
            where += f" changed={changed:.1f} effective={effective:.1f} warned={warned:.0%}"
        for name, value in figures.items():
            bounds, draws = limits(cell, name, changed), cell["replications"]
            holds = None
            if bounds is not None and "power lost" in name:
                # a difference of two shares of the same draws
                holds = value <= LOST + (3 * math.sqrt(LOST / draws) if draws else 1e-12)
            elif bounds is not None:
                low, high = (slack(b, draws) if 0.0 < b < 1.0 else 0.0 for b in bounds)
                holds = bounds[0] - low <= value <= bounds[1] + high
            yield cell["family"], name, value, holds, f"{cell['kind']} {where}".strip()


@dataclass(frozen=True)
class Line:
    """One figure of one family: how many cells, its range, how many keep their limit."""

    family: str
    figure: str
    cells: int
    lowest: float
    highest: float
    holds: str


def summed_up(lines: Lines) -> tuple[list[Line], list[str]]:
    """Range of every figure, and the cells beyond their limit."""
    groups: dict[tuple[str, str], list[tuple[float, bool | None]]] = {}
    beyond: dict[str, list[tuple[float, str]]] = {}
    for family, name, value, holds, where in verdicts(lines):
        groups.setdefault((family, name), []).append((value, holds))
        if holds is False and promised(name):
            beyond.setdefault(f"{family}: {name}", []).append((value, where))
    table = []
    for (family, name), rows in groups.items():
        values, known = [v for v, _ in rows], [h for _, h in rows if h is not None]
        kept = f"{sum(known)}/{len(known)}" if known else "shown only"
        if known and not promised(name):
            kept += ", shown only"
        table.append(Line(family, name, len(rows), min(values), max(values), kept))
    failures = []
    for name, found in beyond.items():
        ordered = sorted(found, reverse=True)
        failures += [f"{name} {value:.4f} at {where}" for value, where in ordered[:MOST_SHOWN]]
        if len(ordered) > MOST_SHOWN:
            failures.append(
                f"{name}: {len(ordered) - MOST_SHOWN} more, none above {ordered[MOST_SHOWN][0]:.4f}"
            )
    return table, failures


def report(lines: Lines) -> bool:
    """Print ranges and failures; true when everything promised holds."""
    table, failures = summed_up(lines)
    print(f"{'family':13} {'figure':48} {'cells':>5} {'lowest':>7} {'highest':>7}  holds")
    for one in table:
        figures = f"{one.cells:5} {one.lowest:7.4f} {one.highest:7.4f}"
        print(f"{one.family:13} {one.figure:48} {figures}  {one.holds}")
    print("\ncells beyond their limit:" if failures else "\nevery promised limit holds")
    print("\n".join(f"  {failure}" for failure in failures))
    return not failures


def write_into(path: Path, lines: Lines) -> None:
    """Put this run's figures into the table between the marks of a Markdown page.

    Rows and failures of families that were not measured now are kept; new families come last.
    """
    before, rest = path.read_text(encoding="utf-8").split(MARKS[0])
    between, after = rest.split(MARKS[1])
    table, failures = summed_up(lines)
    rows = dict[str, list[str]]()
    for one in table:
        figures = f"{one.cells} | {one.lowest:.4f} | {one.highest:.4f}"
        row = f"| {one.family} | {one.figure} | {figures} | {one.holds} |"
        rows.setdefault(one.family, []).append(row)
    beyond = {family: [f for f in failures if f.startswith(f"{family}: ")] for family in rows}
    kept, missed = dict[str, list[str]](), dict[str, list[str]]()
    for line in between.splitlines():
        if line.startswith("| ") and not line.startswith(("| family |", "| --- |")):
            kept.setdefault(line.split(" | ")[0].removeprefix("| "), []).append(line)
        elif line.startswith("- `"):
            failure = line.removeprefix("- `").removesuffix("`")
            missed.setdefault(failure.split(": ")[0], []).append(failure)
    kept |= rows
    missed |= beyond
    found = [f"- `{failure}`" for failures in missed.values() for failure in failures]
    body = [
        "| family | figure | cells | lowest | highest | within its limit |",
        "| --- | --- | ---: | ---: | ---: | --- |",
        *(row for family in kept.values() for row in family),
        "",
        "Cells beyond their limit:" if found else "Every promised limit holds.",
        *(["", *found] if found else []),
    ]
    text = "\n".join(body).rstrip() + "\n"
    path.write_text(f"{before}{MARKS[0]}{text}{MARKS[1]}{after}", encoding="utf-8")
