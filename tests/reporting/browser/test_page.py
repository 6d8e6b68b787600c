"""The page as a whole: reach, keyboard, widths, light and dark, print; it asks for nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from reporting.browser.conftest import Open, missing

AXE = Path(__file__).parents[3] / "node_modules" / "axe-core" / "axe.min.js"


def violations(page: Page) -> list[str]:
    """Name what axe finds serious or critical."""
    if not AXE.is_file():
        missing("axe-core", "make node_modules")
    page.evaluate(AXE.read_text(encoding="utf-8"))
    found = page.evaluate(
        "axe.run(document, {resultTypes: ['violations'],"
        " runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']})"
    )
    return [
        f"{one['id']} ({one['impact']}): {json.dumps([n['html'][:120] for n in one['nodes'][:3]])}"
        for one in found["violations"]
        if one["impact"] in ("serious", "critical")
    ]


@pytest.mark.parametrize(
    ("width", "scheme"),
    [
        (375, "dark"),
        (1600, "light"),
        pytest.param(375, "light", marks=pytest.mark.soak),
        pytest.param(1600, "dark", marks=pytest.mark.soak),
    ],
)
def test_nothing_bars_anyone(visit: Open, report: Path, width: int, scheme: str) -> None:
    seen = visit(report, width=width, scheme=scheme, at="#answers")
    seen.page.locator("#answers [data-part=list] a").first.click()
    expect(seen.page.locator("#answers .side").first).to_be_visible()
    seen.page.evaluate("for (const one of document.querySelectorAll('details')) one.open = true")
    assert violations(seen.page) == []
    for part in ("main", "plots", "answers", "evidence"):
        seen.page.evaluate(f"document.getElementById('{part}').scrollIntoView()")
        seen.picture(f"{part}-{width}-{scheme}")


def test_the_page_is_as_wide_as_the_window(visit: Open, report: Path) -> None:
    page = visit(report, width=320, at="#answers").page
    page.locator("#answers [data-part=list] a").first.click()
    page.evaluate("for (const one of document.querySelectorAll('details')) one.open = true")
    for width in (320, 375, 768, 1600):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("innerWidth") == width
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_the_text_of_plots_can_be_read_on_a_phone(visit: Open, report: Path) -> None:
    page = visit(report, width=375).page
    sizes = page.evaluate(
        """[...document.querySelectorAll('figure svg')].flatMap((svg) => {
          const scale = svg.getBoundingClientRect().width / svg.viewBox.baseVal.width;
          return [...svg.querySelectorAll('text')].map(
            (text) => scale * parseFloat(getComputedStyle(text).fontSize));
        })"""
    )
    assert len(sizes) > 50
    assert min(sizes) >= 10


def test_hostile_texts_do_not_widen_the_page(visit: Open, hostile: Path) -> None:
    page = visit(hostile, width=375, at="#answers").page
    for i in range(18):
        page.locator("#answers [data-part=list] a").nth(i).click()
        assert page.evaluate("document.documentElement.scrollWidth") <= 375


def test_the_recommendation_is_on_the_first_screen(visit: Open, report: Path) -> None:
    for width in (375, 1280):
        page = visit(report, width=width).page
        assert page.locator("h1").bounding_box()["y"] < 300  # type: ignore[index]
        reason = page.locator(".reason").bounding_box()
        assert reason
        assert reason["y"] + reason["height"] < 900


def test_terms_explain_themselves_on_hover_tap_and_key(visit: Open, report: Path) -> None:
    page = visit(report).page
    term = page.locator(".card .term").first
    pop = page.locator(f"#{term.get_attribute('popovertarget')}")
    expect(pop).to_be_hidden()
    term.hover()
    expect(pop).to_be_visible()
    page.mouse.move(0, 0)
    expect(pop).to_be_hidden()
    term.focus()
    page.keyboard.press("Enter")
    expect(pop).to_be_visible()
    page.keyboard.press("Escape")
    expect(pop).to_be_hidden()
    phone = visit(report, width=375).page
    phone.locator(".card .term").first.tap()
    expect(phone.locator(f"#{term.get_attribute('popovertarget')}")).to_be_visible()
    box = phone.locator(":popover-open").bounding_box()
    assert box
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 375


def test_every_claim_leads_to_a_row_that_is_seen(visit: Open, report: Path) -> None:
    page = visit(report).page
    links = page.locator("main > :not(.evidence) a.id")  # those are for paper
    assert links.count() > 3
    for i in range(links.count()):
        target = links.nth(i).get_attribute("href") or ""
        links.nth(i).click()
        row = page.locator(f"[id='{target.removeprefix('#')}']")
        expect(row).to_be_in_viewport()
    # a row in a folded part: the part opens
    folded = page.locator("details:not([open]) tr[id]").first.get_attribute("id")
    page.evaluate(f"location.hash = {json.dumps(folded)}")
    expect(page.locator(f"[id='{folded}']")).to_be_in_viewport()


def reached(page: Page, keys: int) -> list[str]:
    found = []
    for _ in range(keys):
        page.keyboard.press("Tab")
        found.append(
            page.evaluate(
                "(() => { const at = document.activeElement;"
                " const seen = getComputedStyle(at);"
                " return `${at.localName} ${at.dataset.part ?? ''} ${at.textContent.slice(0, 20)}`"
                " + (seen.outlineStyle === 'none' ? ' NO OUTLINE' : ''); })()"
            )
        )
    return found


def test_all_of_it_works_by_keyboard_alone(visit: Open, report: Path) -> None:
    page = visit(report).page
    first = reached(page, 1)[0]
    assert "Skip to the recommen" in first
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    stops = reached(page, 12)
    assert not [stop for stop in stops if "NO OUTLINE" in stop]
    assert any(stop.startswith("button") for stop in stops)
    page.locator("#answers [data-part=task]").focus()
    page.keyboard.press("ArrowDown")
    expect(page.locator("#answers [data-part=status]")).to_have_text("12 of 12 items")
    stops = reached(page, 11)
    parts = [stop.split()[1] for stop in stops if len(stop.split()) > 1]
    assert parts[:6] == ["value", "pair", "turn", "sign", "text", "fault"]
    page.locator("#answers [data-part=list] a").nth(1).focus()
    page.keyboard.press("Enter")
    expect(page.locator("#answers .detail h3")).to_be_focused()


def test_paper_holds_decision_evidence_and_methods_and_names_what_it_leaves_out(
    visit: Open, report: Path, tmp_path: Path
) -> None:
    page = visit(report, at="#answers").page
    page.evaluate("for (const one of document.querySelectorAll('details')) one.open = false")
    findings, left_out = page.locator(".evidence"), page.get_by_text("answers are left out")
    for unseen in (findings, left_out):
        expect(unseen).to_be_hidden()
    page.emulate_media(media="print", color_scheme="dark")
    for gone in (".top", "#answers", "#pick", ".contents", "figcaption details"):
        expect(page.locator(gone).first).to_be_hidden()
    for shown in (findings, left_out):
        expect(shown).to_be_visible()
    # every finding that the decision names has its numbers on paper
    named = set(page.locator("main > :not(.evidence) a.id").all_inner_texts())
    assert named <= set(findings.locator("a.id").all_inner_texts())
    # a folded table is named; one that somebody opened is printed; methods are printed whole
    table = page.locator("#contrasts details.group table").first
    expect(page.locator("#contrasts details.group h4").first).to_be_visible()
    expect(table).to_be_hidden()
    page.evaluate("document.querySelector('#contrasts details.group').open = true")
    expect(table).to_be_visible()
    for whole in ("#methods details.group li", "#provenance details.group dd"):
        expect(page.locator(whole).first).to_be_visible()
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert background == "rgb(255, 255, 255)"
    page.pdf(path=tmp_path / "page.pdf", format="A4", print_background=True)
    assert (tmp_path / "page.pdf").read_bytes().startswith(b"%PDF")


def test_the_page_says_so_without_scripts(browser: Any, report: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(report.as_uri())
    expect(page.locator("h1")).to_be_visible()
    expect(page.locator("#answers")).to_contain_text("needs JavaScript")
    page.locator(".card .term").first.click()
    expect(page.locator(":popover-open")).to_be_visible()
    context.close()


def test_no_script_but_the_pages_own_can_run(visit: Open, report: Path) -> None:
    seen = visit(report)
    page = seen.page
    page.evaluate(
        """() => {
          window.refused = [];
          addEventListener('securitypolicyviolation',
            (one) => refused.push(one.effectiveDirective));
          const script = document.createElement('script');
          script.textContent = 'window.ran = true';
          document.body.append(script);
          const button = document.createElement('button');
          button.setAttribute('onclick', 'window.ran = true');
          document.body.append(button);
          button.click();
        }"""
    )
    asked = page.evaluate("fetch('https://evil.example').then(() => 'answered', () => 'refused')")
    assert asked == "refused"
    assert page.evaluate("window.ran") is None
    assert {"script-src-elem", "script-src-attr", "connect-src"} <= set(page.evaluate("refused"))
    # what was refused stands in the console, as it should
    assert seen.problems
    seen.problems.clear()
