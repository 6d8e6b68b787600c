"""The page of a run whose arms, tasks and groups are called as parts of every object are."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import pytest
from playwright.sync_api import expect

import quantrial
from decision.tables import choose
from odd_names import ARMS, GROUPS, WORKLOADS, odd_study
from reporting.browser.conftest import Open


@pytest.fixture(scope="module")
def odd_page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("odd")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        quantrial.run(odd_study(folder), out=folder / "run")
        quantrial.analyze(folder / "run")
        quantrial.decide(folder / "run")
        return quantrial.report(folder / "run").html


def test_odd_names_pick_as_others_do(visit: Open, odd_page: Path) -> None:
    seen = visit(odd_page, at="#pick")
    page = seen.page
    table = json.loads(page.locator("#picker-table").text_content() or "")
    assert next(iter(table["arms"])) == min(table["arms"], key=lambda a: table["arms"][a]["rank"])
    page.locator("#pick summary").click()
    sliders = page.locator("#pick label.slider input")
    for at in range(sliders.count()):
        sliders.nth(at).fill("40")
    settings = page.evaluate("document.getElementById('pick').picker.settings()")
    # a task called as a limit is called takes nothing from the limit
    assert set(settings["tolerate_by"]) == {"constructor", "max_memory", "null"}
    assert isinstance(settings.get("max_memory"), int | float)
    answer = page.locator("#pick [data-part=answer]")
    expected = choose(table, settings)["pick"]
    expect(answer.locator(".pick")).to_have_text(
        f"Pick {expected}" if expected else "No arm keeps all your constraints"
    )
    boxes = page.locator("#pick label.check input")
    assert {boxes.nth(at).input_value() for at in range(boxes.count())} == set(WORKLOADS)
    for at in range(boxes.count()):
        boxes.nth(at).uncheck()
        told = page.evaluate("document.getElementById('pick').picker.settings()")
        pick = page.evaluate("document.getElementById('pick').picker.found.pick")
        assert pick == choose(table, told)["pick"]
        boxes.nth(at).check()
    prices = page.locator("#pick fieldset.prices label span").all_text_contents()
    assert prices == ["all arms", *sorted(ARMS, key=lambda arm: table["arms"][arm]["rank"])]


def test_answers_of_odd_groups_are_found(visit: Open, odd_page: Path) -> None:
    page = visit(odd_page, at="#answers").page
    for group in ("__proto__", "constructor", "a|b`c`#%&_{}$\\", "=1+1"):
        assert group in GROUPS
        options = page.locator("#answers [data-part=value] optgroup[label=group] option")
        (value,) = [
            one
            for at in range(options.count())
            if json.loads(one := options.nth(at).get_attribute("value") or "[]")[1] == group
        ]
        page.locator("#answers [data-part=value]").select_option(value=value)
        page.wait_for_timeout(300)
        links = page.locator("#answers [data-part=list] a")
        assert 1 <= links.count() <= 2
        links.first.click()
        expect(page.locator("#answers .side").first).to_be_visible()
        assert page.locator("#answers .side").count() == len(ARMS)
