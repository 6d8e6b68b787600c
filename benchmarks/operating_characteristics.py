"""Coverage, type-I error, power and family-wise error of `quantrial.stats`, cell by cell.

    python benchmarks/operating_characteristics.py --effort 0.1 --out oc.jsonl

Paired proportions are enumerated exactly; the rest is simulated, each cell from its own seed, so
that a run may be stopped and started again (cells already in the file are kept) and gives the
same figures on any number of cores. The table at the end compares each figure with its limit; a
simulated cell fails when it passes the limit by more than three Monte-Carlo standard errors.
Packages that are installed beside quantrial (statsmodels, scipy, errorbars, deltagate, abeval,
evalaudit, evalstats) are asked about the same cells. `--only FAMILY --write PAGE` replaces the rows
of that family alone.
"""

import argparse
import contextlib
import json
import multiprocessing
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from characteristics.answers import agreement, samples
from characteristics.attainable import attainable
from characteristics.cells import Cell, Measured, grid
from characteristics.copies import copies
from characteristics.generated import generated
from characteristics.generators import use_gold
from characteristics.groups import clusters, familywise
from characteristics.interaction import interaction, interaction_rare
from characteristics.packages import installed, packages
from characteristics.pooled import (
    f1,
    f1_bootstrap,
    f1_choosing,
    f1_confirming,
    f1_fields,
    f1_null,
    macro_f1,
)
from characteristics.proportions import bootstrap, power, proportions
from characteristics.reports import reports
from characteristics.shipping import missing, ship
from characteristics.strata import strata
from characteristics.tables import report, write_into
from quantrial.errors import StatisticsWarning

WORK: dict[str, Callable[[Cell], Measured]] = {
    work.__name__.replace("_", "-"): work
    for work in (
        proportions,
        power,
        attainable,
        bootstrap,
        f1,
        f1_choosing,
        f1_confirming,
        f1_fields,
        macro_f1,
        f1_null,
        f1_bootstrap,
        clusters,
        familywise,
        interaction,
        interaction_rare,
        strata,
        copies,
        missing,
        ship,
        reports,
        agreement,
        samples,
        generated,
        packages,
    )
}


def measure(cell: Cell) -> dict[str, Any]:
    """One line of the results file."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", StatisticsWarning)
        found = WORK[cell.family](cell)
    figures = {name: float(value) for name, value in found.figures.items()}
    return {"cell": asdict(cell), "figures": figures, "methods": found.methods}


def recorded(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every whole line of an earlier run, by cell; a torn last line is left out."""
    for text in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        with contextlib.suppress(json.JSONDecodeError):
            line = json.loads(text)
            yield Cell(**line["cell"]).key(), line


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--out", type=Path, default=Path("operating_characteristics.jsonl"))
    parser.add_argument("--effort", type=float, default=1.0, help="scales the replications")
    parser.add_argument("--write", type=Path, help="a Markdown page whose table to replace")
    parser.add_argument("--plots", type=Path, help="a folder to draw the figures into, as SVG")
    parser.add_argument("--only", default="", help="one family of cells")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument(
        "--gold", type=Path, help="a file of columns with BIO tags, for one generator more"
    )
    options = parser.parse_args()
    use_gold(options.gold)
    cells = [c for c in grid(options.effort, options.gold) if options.only in ("", c.family)]
    known = dict(recorded(options.out))
    options.out.write_text("".join(json.dumps(line) + "\n" for line in known.values()))
    left = [c for c in cells if c.key() not in known]
    lines = [known[c.key()] for c in cells if c.key() in known]
    print(f"beside quantrial: {', '.join(installed()[1:]) or 'no other package'}", file=sys.stderr)
    with multiprocessing.Pool(options.jobs) as pool, options.out.open("a", encoding="utf-8") as out:
        for number, line in enumerate(pool.imap(measure, left), 1):
            out.write(json.dumps(line) + "\n")
            out.flush()
            lines.append(line)
            if sys.stderr.isatty():
                print(f"\r{number}/{len(left)} cells", end="", file=sys.stderr, flush=True)
    if options.write:
        write_into(options.write, lines)
    if options.plots:
        from characteristics.charts import draw_all  # noqa: PLC0415 - altair is slow to load

        draw_all(lines, options.plots)
    return 0 if report(lines) else 1


if __name__ == "__main__":
    raise SystemExit(main())
