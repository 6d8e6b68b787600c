"""What would you pick? The page's rule is held against Python's; the controls against the rule."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any, get_args

import pytest
from playwright.sync_api import Page, expect

from decision.fabricated import ARMS, make_arm, make_summary, make_task
from decision.fabricated import decide_from as fabricated_decision
from decision.tables import choose
from quantrial.decision import Constraints, decide_from
from quantrial.documents.decision import ConstraintName
from quantrial.units import parse_bytes, parse_fraction, parse_seconds
from reporting.browser.conftest import Open
from reporting.browser.folders import write
from reporting.trials import Trial

EXAMPLE = Path(__file__).parents[3] / "examples" / "demo" / "decision.json"
WORKLOADS = ("reasoning", "extraction", "constructor")


def random_table(rng: Random) -> dict[str, Any]:
    """Make a table of any shape, with what may be unknown unknown."""
    arms = [f"a{i}" for i in range(rng.randint(1, 5))]
    reference = rng.choice(arms)
    names = arms + (["broken"] if rng.random() < 0.4 else [])

    def maybe(value: Any, chance: float = 0.1) -> Any:
        return None if rng.random() < chance else value

    def level(bound: float | None, *, holds: bool) -> dict[str, Any]:
        lower = None if bound is None else maybe(bound - rng.uniform(0.0, 0.02))
        return {"bound": lower, "holds": holds and rng.random() < 0.7}

    def row(arm: str, margin: float) -> dict[str, Any]:
        found = {
            "finding": None if arm == reference else maybe(f"{arm}.vs.{reference}"),
            "estimate": maybe(rng.uniform(-0.2, 0.1)),
            "bound": maybe(rng.uniform(-0.2, 0.02)),
            "margin": margin,
            "holds": arm == reference or rng.random() < 0.4,
            "worse": rng.random() < 0.2,
            "latency": maybe(rng.choice([0.5, 1.0, rng.uniform(0.1, 3.0)])),
        }
        if rng.random() < 0.3:
            found |= {"missing": rng.randint(1, 9)}
            found["answered"] = level(found["bound"], holds=True)
        last = found
        if rng.random() < 0.8:  # a decision of an earlier version has none
            found["among"] = []
            for _ in arms[2:]:
                last = level(last["bound"], holds=last["holds"])
                found["among"].append(last)
        return found

    tasks = {}
    for i in range(rng.randint(1, 4)):
        margin = rng.choice([0.01, 0.03, 0.05])
        tasks[f"t{i}"] = {
            "workload": rng.choice(WORKLOADS),
            "margin": margin,
            "at_floor": rng.random() < 0.1,
            "arms": {arm: row(arm, margin) for arm in names},
        }
    return {
        "reference": reference,
        "insensitive": rng.random() < 0.1,
        "arms": {
            arm: {
                "rank": rank,
                "control": arm == "broken",
                "memory": maybe(rng.choice([10**9, rng.randint(1, 10**9)])),
                "speedup": maybe(rng.uniform(0.5, 3.0)),
                "twin": reference if arm != reference and rng.random() < 0.1 else None,
            }
            for rank, arm in enumerate(names)
        },
        "tasks": tasks,
    }


def random_settings(rng: Random, table: dict[str, Any]) -> dict[str, Any]:
    """Make constraints with every key now there, now null, now missing, now just at a bound."""
    arms = list(table["arms"].values())
    rows = [row for task in table["tasks"].values() for row in task["arms"].values()]
    bounds = [-row["bound"] for row in rows if row["bound"] is not None and row["bound"] < 0]
    tolerances = [0.01, 0.03, 0.05, rng.uniform(0.001, 0.3), *bounds[:3]]
    made: dict[str, Any] = {
        "max_memory": rng.choice([None, rng.randint(1, 10**9), *(one["memory"] for one in arms)]),
        "min_speedup": rng.choice([None, rng.uniform(0.5, 3.0), *(one["speedup"] for one in arms)]),
        "max_latency": rng.choice([None, None, 1.0, rng.uniform(0.1, 3.0), rows[0]["latency"]]),
        "tolerate": rng.choice([None, *tolerances]),
        "tolerate_by": {
            name: rng.choice(tolerances)
            for name in (*table["tasks"], *WORKLOADS)
            if rng.random() < 0.3
        },
        "workloads": [w for w in WORKLOADS if rng.random() < 0.3],
        "cost_per_hour": rng.choice([None, None, 0.0, rng.uniform(0.1, 5)]),
        "cost_per_hour_by": {arm: rng.uniform(0, 5) for arm in table["arms"] if rng.random() < 0.3},
    }
    return {key: value for key, value in made.items() if rng.random() < 0.8}


def test_the_page_picks_as_python_does_over_a_thousand_settings(visit: Open, report: Path) -> None:
    rng = Random(20261124)
    example = json.loads(EXAMPLE.read_text(encoding="utf-8"))["picker"]
    tables = [example if i % 4 == 0 else random_table(rng) for i in range(1000)]
    cases = [(table, random_settings(rng, table)) for table in tables]
    page = visit(report).page
    # texts, not objects: an object's order of keys is part of what is compared
    found = page.evaluate(
        "cases => JSON.parse(cases).map(([table, given]) => JSON.stringify(choose(table, given)))",
        json.dumps(cases),
    )
    expected = [choose(table, settings) for table, settings in cases]
    for (table, settings), there, here in zip(cases, found, expected, strict=True):
        assert json.loads(there) == here, (table, settings)
    picks = [one["pick"] for one in expected]
    assert 100 < sum(pick is None for pick in picks) < 900
    assert len({one["alternative"] for one in expected}) > 4
    kinds = {b["constraint"] for one in expected for list_ in one["breaks"].values() for b in list_}
    assert kinds == set(get_args(ConstraintName))


def moved(page: Page, name: str, to: int) -> None:
    slider = page.get_by_role("slider", name=name)
    slider.fill(str(to))


def told(page: Page) -> dict[str, Any]:
    settings: dict[str, Any] = page.evaluate("document.getElementById('pick').picker.settings()")
    return settings


def test_every_control_is_a_setting_and_the_answer_follows(
    visit: Open, report: Path, trial: Trial
) -> None:
    seen = visit(report, at="#pick")
    page = seen.page
    table = json.loads(page.locator("#picker-table").text_content() or "")
    # the small study cannot see harm in extraction, so that workload is left out first
    assert told(page) == {"tolerate_by": {}, "cost_per_hour_by": {}, "workloads": []}
    page.get_by_role("checkbox", name="extraction").uncheck()
    assert told(page)["workloads"] == ["reasoning"]
    expect(page.get_by_role("checkbox", name="reasoning")).to_be_disabled()
    answer = page.locator("#pick [data-part=answer]")
    rng, picks, orders = Random(7), set[str | None](), set[tuple[str, ...]]()
    page.locator("#pick summary").click()
    for _ in range(10):  # another test compares a thousand settings without the controls
        moved(page, "Memory for the weights", rng.randint(0, 200))
        moved(page, "Least speed", rng.choice([0, 0, rng.randint(0, 200)]))
        moved(page, "Loss you accept on reasoning", rng.randint(1, 700))
        moved(page, "Time an answer may take", rng.choice([200, 200, rng.randint(0, 200)]))
        page.get_by_label("all arms").fill(rng.choice(["", "2.5", "0"]))
        page.get_by_label("q4_0", exact=True).fill(rng.choice(["", "400"]))
        settings = told(page)
        expected = choose(table, settings)
        picks.add(expected["pick"])
        orders.add(tuple(expected["order"]))
        says = (
            f"Pick {expected['pick']}" if expected["pick"] else "No arm keeps all your constraints"
        )
        expect(answer.locator(".pick")).to_have_text(says)
        other = expected["alternative"]
        nearest = "Nearest alternative" if expected["pick"] else "Nearest miss"
        expect(answer).to_contain_text(f"{nearest}: {other}" if other else "no other arm")
    assert len(picks) > 2
    assert len(orders) > 1  # prices count
    seen.picture("pick")
    page.get_by_role("button", name="Back to the study's own terms").click()
    assert told(page) == {"tolerate_by": {}, "cost_per_hour_by": {}, "workloads": []}
    default = trial.decision["default"]["arm"]
    expect(answer.locator(".pick")).to_have_text(f"Pick {default}")


def test_what_an_answer_rests_on_is_linked_and_can_be_had_again(visit: Open, report: Path) -> None:
    page = visit(report, at="#pick").page
    page.get_by_role("checkbox", name="extraction").uncheck()
    moved(page, "Loss you accept on reasoning", 640)
    answer = page.locator("#pick [data-part=answer]")
    link = answer.get_by_role("link").first
    target = (link.get_attribute("href") or "").removeprefix("#")
    link.click()
    expect(page.locator(f"[id='{target}']")).to_be_in_viewport()
    moved(page, "Memory for the weights", 100)
    command = page.locator("#pick [data-part=command]").inner_text()
    settings = told(page)
    assert parse_bytes(command.split("--max-memory ")[1].split()[0], "") == settings["max_memory"]
    tolerated = command.split("--tolerate sums=")[1].split()[0]
    assert parse_fraction(tolerated, "") == pytest.approx(settings["tolerate_by"]["sums"])
    assert "--workloads reasoning" in command
    page.locator("#pick summary").click()
    moved(page, "Time an answer may take", 100)
    page.get_by_label("all arms").fill("2.5")
    page.get_by_label("q8_0", exact=True).fill("0.75")
    page.keyboard.press("Enter")  # a form that would be sent, were it not kept
    command = page.locator("#pick [data-part=command]").inner_text()
    settings = told(page)
    given = shlex.split(command)
    prices = [given[i + 1] for i, option in enumerate(given) if option == "--cost-per-hour"]
    assert prices == ["2.5", "q8_0=0.75"]
    assert (settings["cost_per_hour"], settings["cost_per_hour_by"]) == (2.5, {"q8_0": 0.75})
    latency = given[given.index("--max-latency") + 1]
    assert parse_seconds(latency, "") == settings["max_latency"]


def test_the_controls_start_where_the_study_stands(
    visit: Open, trial: Trial, tmp_path: Path
) -> None:
    limits = Constraints(
        max_memory=123,
        min_speedup=0.777,
        max_latency=12.3456,
        tolerate=0.0777,
        workloads=("reasoning",),
        cost_per_hour=2.5,
        cost_per_hour_by={"q4_0": 0.1},
    )
    decision = decide_from(trial.summary, limits)
    page = visit(write(replace(trial, decision=decision), tmp_path), at="#pick").page
    start = told(page)
    stated = {"max_memory": 123, "min_speedup": 0.777, "max_latency": 12.3456}
    assert {key: start[key] for key in stated} == stated
    assert start["tolerate_by"] == {"sums": 0.0777, "names": 0.0777}
    assert start["workloads"] == ["reasoning"]
    assert (start["cost_per_hour"], start["cost_per_hour_by"]) == (2.5, {"q4_0": 0.1})
    assert choose(decision["picker"], start)["pick"] == decision["constrained"]["pick"]
    expect(page.get_by_label("all arms")).to_be_visible()
    moved(page, "Memory for the weights", 0)
    page.get_by_label("all arms").fill("3")
    assert told(page) != start
    page.get_by_role("button", name="Back to the study's own terms").click()
    assert told(page) == start


def test_controls_work_by_keyboard_and_say_their_value(visit: Open, report: Path) -> None:
    page = visit(report, at="#pick").page
    slider = page.get_by_role("slider", name="Least speed")
    slider.focus()
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    assert slider.input_value() == "3"
    assert "f16" in (slider.get_attribute("aria-valuetext") or "")
    assert told(page)["min_speedup"] > 0


def said_by_python() -> Iterator[tuple[dict[str, Any], dict[str, Any], list[dict[str, Any]]]]:
    """Yield tables, settings and what Python says of each broken limit, of every kind there is."""
    close = {"test_p_non_inferior": 0.03, "lower_bounds": [-0.006, -0.0124]}
    worst = {
        "bound": -0.08, "n": 500, "missing_reference": 0, "missing_candidate": 40,
        "taken_to_invent": None, "p_non_inferior": 0.9, "non_inferior": False,
        "ci": [-0.12, 0.01], "confidence": 0.9,
    }  # fmt: skip
    lacks = ("equivalent", {"worst_case": worst})
    verdicts: dict[str, list[Any]] = {
        "q8_0": ["inconclusive", ("equivalent", close), "worse", lacks],
        "q4_K_M": [
            "worse",
            ("equivalent", close),
            ("inconclusive", {"estimate": -0.0101}),
            "worse",
        ],
    }
    limits = {
        "max_memory": 4_000_000_001, "min_speedup": 1.7, "max_latency": 0.8, "tolerate": 0.02,
    }  # fmt: skip
    for both in zip(*verdicts.values(), strict=True):
        task = make_task("mmlu", dict(zip(verdicts, both, strict=True)))
        arms = {**ARMS, "q8_0": make_arm(8.5000001, "Q8_0")}  # bytes are rounded up
        summary = make_summary({"mmlu": task}, arms=arms)
        for given in ({"min_speedup": 0.1}, limits):
            yield picked(summary, given)
    guessing = make_task("mmlu", {"q8_0": "equivalent"}, chance=0.25)
    guessing["endpoints"]["accuracy"]["arms"]["fp16"] |= {"estimate": 0.26, "ci": [0.22, 0.3]}
    yield picked(make_summary({"mmlu": guessing}, speeds={}), limits)
    nothing = make_task("mmlu", {"q8_0": "equivalent"}, chance=None)
    nothing["endpoints"]["accuracy"]["arms"]["fp16"] |= {"estimate": 0.0, "ci": [0.0, 0.01]}
    yield picked(make_summary({"mmlu": nothing}, speeds={}), limits)
    arms = {**ARMS, "broken": make_arm(1, "Q2_K", "positive"), "nothing": make_arm(None)}
    kept = make_task("mmlu", {"q8_0": "equivalent", "broken": "equivalent", "q4_K_M": "worse"})
    blind = make_summary({"mmlu": kept}, arms=arms)
    blind["arms"]["q4_K_M"] = {**arms["q4_K_M"], "other_template": True}
    blind["twins"] = [{"arms": ["fp16", "q8_0"], "weights": "same", "answers": True, "items": 500}]
    yield picked(blind, limits)


def picked(
    summary: dict[str, Any], given: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, Any], list[dict[str, Any]]]:
    decision = fabricated_decision(summary, Constraints(**given))
    return decision["picker"], given, decision["constrained"]["rejected"]


def test_the_page_says_what_python_says_of_every_kind_of_broken_limit(
    visit: Open, report: Path
) -> None:
    page = visit(report, at="#pick").page
    kinds, shapes = set[str](), set[str]()
    for table, given, rejected in said_by_python():
        found = page.evaluate(
            """([table, given]) => {
                const words = JSON.parse(document.getElementById("picker-words").textContent);
                const says = new Says(words, table), { breaks } = choose(table, given);
                const inWords = ([arm, all]) => [arm, all.map((one) => says.broken(arm, one))];
                return Object.entries(breaks).map(inWords);
            }""",
            [table, given],
        )
        there = {arm: texts for arm, texts in found if texts}
        assert {one["arm"] for one in rejected} == there.keys()
        for one in rejected:
            arm = one["arm"]
            for broken, text in zip(one["breaks"], there[arm], strict=True):
                python = broken["text"]
                if broken["constraint"] != "evidence":
                    # Python adds p values and whose answers, and the limit: the page has a slider
                    python = re.sub(r" \([^)]*\)", "", python)
                python = re.sub(rf"The (\w+) of {arm}\b", r"its \1", python)
                assert text.lower() in python.lower(), broken["constraint"]
                kinds.add(broken["constraint"])
                shapes.add(re.sub(r"[\d.,]+", "#", text.replace(arm, "ARM")))
    assert kinds == set(get_args(ConstraintName))
    assert len(shapes) > 12, sorted(shapes)
