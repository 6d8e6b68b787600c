"""The words of plots, measured in the fonts that people have."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser

from quantrial.documents import load_summary
from quantrial.reporting import charts
from reporting.test_charts import LONG
from reporting.trials import Trial

EXAMPLE = Path(__file__).parents[3] / "examples" / "demo" / "plots"
_MEASURE = """() => [...document.querySelectorAll('svg')].map((svg) => {
  const frame = svg.getBoundingClientRect();
  const texts = [...svg.querySelectorAll('text')].filter((one) => one.textContent.trim());
  return texts.flatMap((one) => one.querySelector('tspan') ? [...one.children] : [one])
    .map((one) => [one.textContent, one.getBoundingClientRect()])
    .map(([said, box]) => [said, box.left - frame.left, frame.right - box.right, box.width]);
})"""


@pytest.fixture(scope="module")
def drawings(trial: Trial) -> list[str]:
    """Return the example's plots, and those of arms with long names."""
    named = re.sub(r'"(f16|q8_0|q4_0)"', lambda one: f'"{LONG[one[1]]}"', json.dumps(trial.summary))
    drawn = charts.draw(load_summary(json.loads(named)))
    return [path.read_text("utf-8") for path in sorted(EXAMPLE.glob("*.svg"))] + list(
        drawn.values()
    )


@pytest.fixture(scope="module")
def expected(browser: Browser, drawings: list[str]) -> Any:
    """Measure the words of the plots in the font that they were laid out in."""
    page = browser.new_page()
    page.set_content("".join(drawings))
    found = page.evaluate(_MEASURE)
    page.close()
    return found


@pytest.mark.parametrize("font", ["Liberation Sans", "DejaVu Sans", "Inter"])
def test_labels_stay_within_their_plot_in_every_font(
    browser: Browser, drawings: list[str], expected: Any, font: str
) -> None:
    page = browser.new_page()
    page.set_content("".join(drawings).replace("Liberation Sans, Arial, Helvetica", font))
    found = page.evaluate(_MEASURE)
    assert len(found) == len(drawings)
    for plot, before in zip(found, expected, strict=True):
        assert len(plot) > 3
        for (said, left, right, width), (_, _, _, planned) in zip(plot, before, strict=True):
            assert min(left, right) >= 0, said
            assert width <= planned + 2, f"{said} is wider in {font} than it was laid out"
    page.close()
