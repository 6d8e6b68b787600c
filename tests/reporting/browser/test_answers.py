"""The explorer of answers: what it shows, finds, links to and saves."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from quantrial.reporting import answers
from reporting.browser.conftest import Open
from reporting.browser.folders import HOSTILE, write
from reporting.trials import Trial

csv.field_size_limit(2_000_000)


def control(page: Page, name: str) -> Any:
    return page.locator(f"#answers [data-part={name}]")


def counted(page: Page) -> int:
    """Wait until the list has settled; return how many items were found."""
    expect(control(page, "status")).to_have_text(re.compile(r"^[\d,]+ of"))
    # by the page's own clock: what was typed before is searched before
    page.evaluate("() => new Promise((go) => setTimeout(go, 100))")
    return int(control(page, "status").inner_text().split(" of ")[0].replace(",", ""))


def test_the_numbers_of_turned_answers_are_the_summarys(
    visit: Open, report: Path, trial: Trial
) -> None:
    page = visit(report, at="#answers").page
    for task, part in trial.summary["tasks"].items():
        control(page, "task").select_option(label=task)
        for one in part["flips"]:
            label = f"{one['candidate']} vs {one['reference']}"
            if control(page, "pair").locator("option", has_text=label).count() == 0:
                continue
            control(page, "pair").select_option(label=label)
            for kind in ("harmful", "beneficial", "churn"):
                control(page, "turn").select_option(kind)
                assert counted(page) == one[kind], (task, label, kind)
    assert any(one["harmful"] for p in trial.summary["tasks"].values() for one in p["flips"])


def test_every_filter_finds_what_it_says(visit: Open, report: Path, trial: Trial) -> None:
    seen = visit(report, at="#answers")
    page = seen.page
    assert counted(page) == 24
    control(page, "value").select_option(label="s1")
    assert counted(page) == 8
    control(page, "reset").click()
    assert counted(page) == 24
    control(page, "pair").select_option(label="q4_0 vs f16")
    control(page, "sign").select_option("refused")
    assert trial.outcomes
    said = [one for one in trial.outcomes["sums"].responses["q4_0"] if one]
    assert counted(page) == sum("cannot help" in one.output for one in said) > 0
    control(page, "task").select_option(label="names")
    assert counted(page) == 12
    control(page, "fault").check()
    assert counted(page) == 1
    control(page, "list").locator("a").click()
    expect(control(page, "detail")).to_contain_text("no answer: timeout")
    control(page, "reset").click()
    errors = trial.summary["tasks"]["names"]["failure_modes"]["q4_0"]["errors"]["classes"]
    found = {kind: one["items"] for kind, one in errors.items() if one["items"]}
    assert len(found) > 1
    for kind, items in found.items():
        control(page, "sign").select_option(kind.replace("_", " "))
        assert counted(page) == items
    control(page, "reset").click()
    control(page, "text").fill("number 5 IN")
    assert counted(page) == 1
    control(page, "text").fill("no such words (.*")
    assert counted(page) == 0
    expect(control(page, "list")).to_contain_text("No item fits")
    seen.picture("answers-none")


def test_answers_stand_side_by_side_and_differences_are_marked(visit: Open, report: Path) -> None:
    seen = visit(report, at="#answers")
    page = seen.page
    control(page, "pair").select_option(label="q4_0 vs f16")
    control(page, "turn").select_option("harmful")
    counted(page)
    control(page, "list").locator("a").first.click()
    detail = control(page, "detail")
    expect(detail.locator(".side")).to_have_count(3)
    expect(detail.locator(".side").first).to_contain_text("compared with")
    assert detail.locator(".side mark").count() > 0
    assert detail.locator(".side").first.locator("mark").count() == 0
    assert page.evaluate("location.hash").startswith("#answer/sums/")
    seen.picture("answers")


def test_a_link_leads_to_one_item(visit: Open, report: Path, trial: Trial) -> None:
    assert trial.outcomes
    item = trial.outcomes["names"].items[4]
    page = visit(report, at=f"#answer/names/{item.id}").page
    detail = control(page, "detail")
    expect(detail.locator("h3")).to_contain_text(item.id)
    expect(detail).to_contain_text(item.content["text"])
    expect(detail).to_be_in_viewport()
    assert control(page, "task").input_value() == "1"
    page.evaluate("location.hash = '#answer/names/none'")
    expect(detail).to_contain_text("holds no such item")
    page.go_back()
    expect(detail.locator("h3")).to_contain_text(item.id)


def test_a_finding_leads_to_the_answers_it_was_made_from(
    visit: Open, report: Path, trial: Trial
) -> None:
    seen = visit(report)
    page = seen.page
    row = page.locator("[id='sums.accuracy.q4_0.vs.f16']")
    row.get_by_role("button", name="answers of q4_0 vs f16 on sums").click()
    expect(control(page, "list")).to_be_in_viewport()
    (flips,) = (
        one
        for one in trial.summary["tasks"]["sums"]["flips"]
        if (one["candidate"], one["reference"]) == ("q4_0", "f16")
    )
    assert counted(page) == flips["harmful"] > 0
    first = control(page, "list").locator("a").first
    assert (first.get_attribute("href") or "").split("/")[-1] in flips["items"]["harmful"]
    # nothing turned between these: all answers are shown
    same = [
        one
        for one in trial.summary["tasks"]["names"]["flips"]
        if one["reference"] == "f16" and not one["harmful"]
    ]
    for one in same:
        pair = f"{one['candidate']} vs f16"
        button = page.get_by_role("button", name=f"answers of {pair} on names").first
        button.click()
        assert counted(page) == 12
    seen.picture("answers-of-a-finding")


def saved(page: Page, name: str) -> str:
    with page.expect_download() as download:
        control(page, name).click()
    return Path(download.value.path()).read_text(encoding="utf-8")


def test_what_is_found_can_be_taken_along(visit: Open, report: Path, trial: Trial) -> None:
    page = visit(report, at="#answers").page
    control(page, "value").select_option(label="s2")
    assert counted(page) == 8
    lines = [json.loads(line) for line in saved(page, "jsonl").splitlines()]
    rows = list(csv.DictReader(io.StringIO(saved(page, "csv"))))
    assert len(lines) == len(rows) == 24
    assert trial.outcomes
    scored = trial.outcomes["sums"]
    expected = {
        (item.id, arm): response.output
        for arm, all_of in scored.responses.items()
        for item, response in zip(scored.items, all_of, strict=True)
        if response is not None and item.metadata["subject"] == "s2"
    }
    assert {(one["item"], one["arm"]): one["output"] for one in lines} == expected
    assert {(row["item"], row["arm"]): row["output"] for row in rows} == expected
    assert {row["item.subject"] for row in rows} == {"s2"}
    assert {row["right"] for row in rows} == {"true", "false"}


@pytest.mark.parametrize("where", ["hostile", "hostile_apart"])
def test_hostile_texts_are_shown_and_do_nothing(
    visit: Open, where: str, request: pytest.FixtureRequest
) -> None:
    seen = visit(request.getfixturevalue(where), at="#answers")
    page = seen.page
    assert counted(page) == 24
    tags = page.evaluate(
        "[...new Set([...document.querySelectorAll('#answers *')].map(one => one.localName))]"
    )
    assert not {"img", "iframe", "object", "embed", "base"} & set(tags)
    for task in ("sums", "names"):
        control(page, "task").select_option(label=task)
        counted(page)
        assert (
            page.evaluate(
                """async () => {
              const detail = document.querySelector('#answers [data-part=detail]');
              let found = 0;
              for (const link of document.querySelectorAll('#answers [data-part=list] a')) {
                location.hash = link.hash;
                await new Promise((go) =>
                  addEventListener('hashchange', () => setTimeout(go), {once: true}));
                for (const more of detail.querySelectorAll('button')) more.click();
                found += detail.querySelectorAll('img, script, svg, style').length;
                found += detail.querySelectorAll('.side').length === 3 ? 0 : 100;
              }
              return found;
            }"""
            )
            == 0
        )
    text = page.evaluate("document.body.innerText")
    assert not [c for c in "\x1b\x07\x00\u202e\u2066\u200e\ud800" if c in text]
    control(page, "task").select_option(label="sums")
    control(page, "text").fill("\u202e")
    assert counted(page) > 0
    control(page, "list").locator("a").first.click()
    expect(control(page, "detail")).to_contain_text("\\u202e")
    seen.picture("answers-hostile")


def long_answers(page: Page) -> Any:
    """Open an item with an answer of a million characters; return where that answer stands."""
    control(page, "text").fill("word word word word word")
    assert counted(page) > 0
    control(page, "list").locator("a").first.click()
    return control(page, "detail").locator(".said", has=page.get_by_role("button")).first


def test_a_line_of_a_million_characters_can_be_seen_whole(visit: Open, hostile: Path) -> None:
    page = visit(hostile, at="#answers").page
    said = long_answers(page)
    expect(said.get_by_role("button")).to_have_text("Show all 1,000,000 characters")
    # laid out as one line it would stand still for seconds; the page's own clock, far from both
    taken = said.evaluate(
        "box => { const start = performance.now(); box.querySelector('button').click();"
        " box.offsetHeight; return performance.now() - start }"
    )
    assert taken < 2500
    shown = control(page, "detail").locator(".said:focus")
    assert shown.evaluate("box => box.textContent") == HOSTILE["long line"]
    expect(shown.locator(".block.broken").first).to_be_visible()


def test_what_a_page_cannot_hold_is_cut_and_its_record_named(
    visit: Open, cut: Path, attacked: Trial
) -> None:
    page = visit(cut, at="#answers").page
    expect(control(page, "status")).to_contain_text("the first 20,000 characters are here")
    said = long_answers(page)
    expect(said.get_by_role("button")).to_have_text("Show 20,000 of 1,000,000 characters")
    said.get_by_role("button").click()
    shown = control(page, "detail").locator(".said:focus")
    expect(shown).to_contain_text("the first 20,000 of 1,000,000 characters")
    item = page.evaluate("location.hash").split("/")[-1]
    command = shown.locator("code").inner_text()
    arm = command.removesuffix(".jsonl").split("responses/sums.")[1]
    assert attacked.outcomes
    assert arm in attacked.outcomes["sums"].arms
    assert command == f"""grep -nF -e '"item":"{item}"' responses/sums.{arm}.jsonl"""
    page.wait_for_timeout(100)
    lines = [json.loads(line) for line in saved(page, "jsonl").split("\n") if line]
    long = [line for line in lines if line["output_length"] > 20_000]
    assert long
    for line in lines:
        assert line["output_cut"] is (line in long)
        assert len(line["output"]) == (20_000 if line in long else line["output_length"])
    assert command in [line["record"] for line in long]


def test_the_longest_answers_are_cut_first_by_hand() -> None:
    # 10 characters for 4 texts: the two short ones stay whole, the others get 3 each (by hand)
    assert answers.most_of_each([2, 9, 1, 9], 10) == 3
    assert answers.most_of_each([2, 9, 1, 9], 21) is None
    assert answers.most_of_each([2, 9, 1, 9], 20) == 8
    assert answers.most_of_each([], 10) is None


def test_hostile_texts_do_nothing_in_what_is_saved(visit: Open, hostile: Path) -> None:
    page = visit(hostile, at="#answers").page
    assert counted(page) == 24
    rows = list(csv.DictReader(io.StringIO(saved(page, "csv"), newline="")))
    assert len(rows) == 72
    for row in rows:
        for field in row.values():
            assert not field.lstrip().startswith(("=", "+", "@", "\t", "\r")), field[:40]
    lines = [json.loads(line) for line in saved(page, "jsonl").split("\n") if line]
    # nothing is lost, however long
    assert {line["output"] for line in lines} == set(HOSTILE.values())
    assert not any(line["output_cut"] for line in lines)


@pytest.fixture
def apart(tmp_path: Path, trial: Trial, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write a page whose answers stand in a file beside it."""
    monkeypatch.setattr(answers, "MOST_INLINE", 0)
    return write(trial, tmp_path)


def test_many_answers_stand_beside_the_page_and_are_read_when_looked_at(
    visit: Open, apart: Path, trial: Trial
) -> None:
    data = apart.parent / "report-data.js"
    assert "What is 3 plus 3" not in apart.read_text(encoding="utf-8")
    seen = visit(apart)
    assert not [url for url in seen.asked if url.endswith(data.name)]
    seen.page.evaluate("document.getElementById('answers').scrollIntoView()")
    expect(control(seen.page, "status")).to_have_text("24 of 24 items")
    control(seen.page, "text").fill("What is 3 plus 3")
    assert counted(seen.page) == 1
    assert trial.outcomes
    item = trial.outcomes["names"].items[2].id
    linked = visit(apart, at=f"#answer/names/{item}").page
    expect(control(linked, "detail").locator("h3")).to_contain_text(item)


def test_a_file_that_is_missing_or_of_another_report_is_named(visit: Open, apart: Path) -> None:
    data = apart.parent / "report-data.js"
    text = data.read_text(encoding="utf-8")
    digest = text.split('"')[1]
    data.write_text(text.replace(digest, "0" * 64), encoding="utf-8")
    page = visit(apart, at="#answers").page
    expect(control(page, "status")).to_contain_text("report-data.js, which belongs to another")
    data.unlink()
    seen = visit(apart, at="#answers")
    expect(control(seen.page, "status")).to_contain_text("report-data.js, which is not beside")
    # the browser says that it found no file
    assert any("ERR_FILE_NOT_FOUND" in one for one in seen.problems)
    seen.problems.clear()


def test_a_smaller_report_takes_the_file_away(
    apart: Path, trial: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (apart.parent / "report-data.js").is_file()
    monkeypatch.undo()
    write(trial, apart.parent)
    assert not (apart.parent / "report-data.js").exists()
