"""Every number of the report is the summary's: read back from the tables, and compared."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
from msgspec import structs

from quantrial.documents import load_summary, to_dict
from quantrial.reporting.glance import Scale, scale, strips, tick_labels
from quantrial.words import VERDICT_WORDS
from reporting.trials import Page, Trial, markdown_tables

pytestmark = pytest.mark.usefixtures("undrawn")

ENDPOINTS = {"micro_f1": "micro-F1", "macro_f1": "macro-F1"}


def number(text: str) -> float:
    """Read a number as the report writes it; percent and points as fractions."""
    match = re.search(r"[+−]?[\d,]*\.?\d+", text)
    assert match, text
    value = float(match[0].replace("−", "-").replace(",", ""))
    return value / 100 if "%" in text or "pp" in text else value


def same(shown: str, value: float | None, digit: float) -> bool:
    """Whether a cell says a value, to within half of its last digit."""
    if value is None:
        return shown in ("unknown", "none")
    if shown == "< .001":
        return value < 0.001
    return abs(number(shown) - value) <= 0.5000001 * digit


def same_interval(shown: str, ci: list[float | None]) -> bool:
    if None in ci:
        return shown == "none"
    low, high = re.split(" to ", shown.removesuffix(" %").removesuffix(" pp"))
    return all(same(f"{one} %", value, 0.001) for one, value in zip((low, high), ci, strict=True))


def by_endpoint(trial: Trial) -> list[tuple[str, dict[str, Any]]]:
    return [
        (f"{task}, {ENDPOINTS.get(name, name.replace('_', ' '))}", results)
        for task, part in trial.summary["tasks"].items()
        for name, results in part["endpoints"].items()
    ]


def test_estimates_are_the_summarys(trial: Trial, documents: dict[str, str]) -> None:
    tables = markdown_tables(documents["report.md"])
    for title, results in by_endpoint(trial):
        (rows,) = tables[f"Estimates: {title}"]
        assert [row["arm"] for row in rows] == list(results["arms"])
        for row, one in zip(rows, results["arms"].values(), strict=True):
            shown = list(row.values())
            assert same(shown[1], one["estimate"], 0.001)
            assert same_interval(row["95 % interval"], one["ci"])
            assert number(row["items"]) == one["n"]


def test_contrasts_are_the_summarys(trial: Trial, documents: dict[str, str]) -> None:
    tables = markdown_tables(documents["report.md"])
    for title, results in by_endpoint(trial):
        (rows,) = tables[f"Contrasts: {title}"]
        for row, one in zip(rows, results["contrasts"], strict=True):
            assert row["contrast"] == f"{one['candidate']} vs {one['reference']}"
            assert same(row["difference"], one["estimate"], 0.001)
            assert same_interval(row["95 % interval"], one["ci"])
            assert same(row["p"], one["p_value"], 0.001)
            assert same(row["adj. p"], one["p_adjusted"], 0.001)
            assert number(row["items"]) == one["n"]
            assert row["verdict"].split()[1] == VERDICT_WORDS[one["verdict"]]


def test_equivalence_is_the_summarys(trial: Trial, documents: dict[str, str]) -> None:
    tables = markdown_tables(documents["report.md"])
    for title, results in by_endpoint(trial):
        both, one_sided = tables[f"Equivalence: {title}"]
        for row, other, test in zip(both, one_sided, results["equivalence"], strict=True):
            assert same_interval(row["90 % interval"], test["ci"])
            assert same(row["p"], test["p_value"], 0.001)
            assert same(row["adj. p"], test["p_adjusted"], 0.001)
            assert (row["equivalent"] == "yes") is test["equivalent"]
            assert same(other["p"], test["p_non_inferior"], 0.001)
            assert same(other["adj. p"], test["p_non_inferior_adjusted"], 0.001)
            assert (other["non-inferior"] == "yes") is test["non_inferior"]


def test_failures_are_the_summarys(trial: Trial, documents: dict[str, str]) -> None:
    tables = markdown_tables(documents["report.md"])
    modes = trial.summary["tasks"]["names"]["failure_modes"]
    found, form, empty = tables["Failures: names"]
    for one, row, shape, rest in zip(modes.values(), found, form, empty, strict=True):
        for head, key in (("found", "tp"), ("invented", "fp"), ("missed", "fn")):
            assert number(row[head]) == one[key]
        assert same(row["precision"], one["precision"], 0.001)
        assert same(row["recall"], one["recall"], 0.001)
        assert number(shape["parsed"]) == one["parsed"]
        assert same(shape["parse rate"], one["parse_rate"], 0.001)
        assert number(rest["left empty"]) == one["entity_free"]["correct"]
        assert same_interval(rest["interval"], one["entity_free"]["ci"])
    unparsed, letters = tables["Failures: sums"]
    modes = trial.summary["tasks"]["sums"]["failure_modes"]
    for row, (arm, one) in zip(unparsed, modes.items(), strict=True):
        assert number(row["unparsed"]) == one["unparsed"]
        assert same(row["unparsed rate"], one["unparsed_rate"], 0.001)
        for line in letters:
            assert number(line[arm]) == one["letters"].get(line["letter"], 0)
            assert number(line["gold"]) == one["gold_letters"].get(line["letter"], 0)


def test_strata_are_the_summarys(trial: Trial, documents: dict[str, str]) -> None:
    tables = markdown_tables(documents["report.md"])
    table = trial.summary["tasks"]["sums"]["strata"]["subject"]
    (rows,) = tables["Strata: sums, by subject, accuracy"]
    found = [(v, arm, one) for v, s in table.items() for arm, one in s["arms"].items()]
    for row, (value, arm, one) in zip(rows, found, strict=True):
        assert (row["subject"], row["arm"]) == (value, arm)
        assert same(row["accuracy"], one["estimate"], 0.001)
        assert same_interval(row["95 % interval"], one["ci"])
    (rows,) = tables["Strata: sums, by subject, against f16"]
    contrasts = [one for s in table.values() for one in s["contrasts"] if one["reference"] == "f16"]
    for row, one in zip(rows, contrasts, strict=True):
        assert same(row["difference"], one["estimate"], 0.001)
        assert same_interval(row["95 % interval"], one["ci"])
        assert same(row["adj. p"], one["p_adjusted"], 0.001)


def test_the_flow_is_the_summarys(trial: Trial) -> None:
    summary = trial.copied()
    keys = ("planned", "answered", "faulted", "missing", "duplicates", "analysed_items")
    for part in summary["tasks"].values():
        part["flow"] |= dict(zip(keys, (3610, 3601, 5, 4, 2, 1200), strict=True))
    tables = markdown_tables(trial.with_summary(summary).render()["report.md"])
    (flow,) = tables["From planned to analysed"]
    assert [row["task"] for row in flow] == list(summary["tasks"])
    for row in flow:
        heads = ("planned", "answered", "faulted", "not asked", "repeated", "items")
        assert [number(row[head]) for head in heads] == [3610, 3601, 5, 4, 2, 1200]


def test_flips_speed_and_power_are_the_summarys(trial: Trial, documents: dict[str, str]) -> None:
    tables = markdown_tables(documents["report.md"])
    for task, part in trial.summary["tasks"].items():
        for line, one in zip(tables[f"Flips: {task}"][0], part["flips"], strict=True):
            keys = ("harmful", "beneficial", "churn", "n")
            assert [number(shown) for shown in list(line.values())[1:]] == [one[k] for k in keys]
        for line, one in zip(
            tables[f"Speed in the answers: {task}"][0],
            trial.summary["speed"][task].values(),
            strict=True,
        ):
            for head, key in (
                ("tokens/s", "tokens_per_second"),
                ("mean of ratios", "mean_tokens_per_second"),
                ("prompt tokens/s", "prompt_tokens_per_second"),
            ):
                assert same(line[head], one[key], 1.0)
    (power,) = tables["Smallest difference seen"]
    known = {task: p for task, part in trial.summary["tasks"].items() if (p := part["power"])}
    assert [row["task"] for row in power] == list(known)
    for row, one in zip(power, known.values(), strict=True):
        assert same(row["detectable"], one["detectable_difference"], 0.001)
        assert same(row["paired sd"], one["sd_paired"], 0.001)


def test_both_documents_hold_the_same_tables(documents: dict[str, str]) -> None:
    markdown = markdown_tables(documents["report.md"])
    at_a_glance = markdown.pop("At a glance")
    assert len(at_a_glance) == 2
    rows = [
        [list(table[0]), *(list(row.values()) for row in table)]
        for tables in markdown.values()
        for table in tables
    ]
    assert Page(documents["report.html"]).tables == rows


def test_the_cards_are_the_summarys(trial: Trial, documents: dict[str, str]) -> None:
    cards = documents["report.html"].split('<article class="card')[1:]
    assert len(cards) == len(trial.summary["arms"])
    for card, (arm, record) in zip(cards, trial.summary["arms"].items(), strict=True):
        text = " ".join(re.sub(r"<[^>]+>", " ", card.split("</article>")[0]).split())
        assert f"{record['memory_bytes']} B" in text
        speedup = trial.decision["costs"][arm]["speedup"]
        shown = re.search(r"Speed ([\d.]+)×", text)
        assert shown
        assert abs(float(shown[1]) - speedup) <= 0.005001
        standings = card.split('<p class="work">')[1:]
        for said, part in zip(standings, trial.summary["tasks"].values(), strict=True):
            results = part["endpoints"][part["primary"]]
            words = re.sub(r"<[^>]+>", " ", said)
            assert same(words.split(part["workload"])[1], results["arms"][arm]["estimate"], 0.001)
            against = [
                one
                for one in results["contrasts"]
                if (one["reference"], one["candidate"]) == ("f16", arm)
            ]
            for one in against:
                found = re.search(r"[●◆▲▼○] ([+−]?[\d.]+ pp)", words)
                assert found
                assert same(found[1], one["estimate"], 0.001)
                ends, confidence = rests_on(one, results["equivalence"])
                said_range = said.split('class="range">')[1].split("</p>")[0]
                plain = " ".join(re.sub(r"<[^>]+>", " ", said_range).split())
                if None not in ends:
                    assert plain.startswith("likely ")
                    assert plain.endswith(f"({100 * confidence:.0f} %)")
                assert same_range(plain.removeprefix("likely ").split(" (")[0], ends)


def rests_on(one: dict[str, Any], tests: list[dict[str, Any]]) -> tuple[list[float | None], float]:
    """Return the interval that cards show: that of the test against the margin."""
    (test,) = [t for t in tests if all(t[side] == one[side] for side in ("reference", "candidate"))]
    return test["ci"], test["confidence"]


def same_range(shown: str, ci: list[float | None]) -> bool:
    """Whether plain words say an interval: `5.8 to 18.6 pp worse`, `3 pp worse to 2 pp better`."""
    if None in ci:
        return shown == "how much is not known"
    ends = [float(one) for one in re.findall(r"[\d.]+", shown)]
    if shown.count("worse") and shown.count("better"):
        low, high = -ends[0], ends[1]
    elif shown.endswith("worse"):
        low, high = -ends[1], -ends[0]
    else:
        low, high = ends
    return all(
        abs(end / 100 - value) <= 0.000501
        for end, value in zip((low, high), ci, strict=True)
        if value is not None
    )


def test_the_ticks_of_the_cards_stand_on_the_one_scale(trial: Trial) -> None:
    summary = load_summary(trial.summary)
    common, drawn = scale(summary), strips(summary)
    places = [re.findall(r'class="tick" x1="([\d.]+)"', svg) for svg in drawn.values()]
    assert len({tuple(one) for one in places}) == 1, "one scale for all tasks and arms"
    labels = common.labels()
    assert "0 pp" in [text for _, text in labels]
    assert 3 <= len(labels) <= 7
    for at, (left, text), one in zip(places[0], labels, common.ticks, strict=True):
        assert common.low <= one <= common.high
        assert abs(float(text.removesuffix(" pp").replace("−", "-")) / 100 - one) < 0.0005
        assert abs(float(at) / 2.4 - float(left.removesuffix("%"))) < 0.1
    page = trial.render()["report.html"]
    for left, text in labels:
        assert f'<span style="left:{left}">{text}</span>' in page


def test_ticks_by_hand() -> None:
    assert Scale(-0.62, 0.09).ticks == pytest.approx((-0.6, -0.4, -0.2, 0.0))
    assert Scale(-0.017, 0.017).ticks == pytest.approx((-0.01, 0.0, 0.01))
    signed, words = (Scale(-0.62, 0.09).labels(signed=one) for one in (True, False))
    assert [text for _, text in signed] == ["−60", "−40", "−20", "0 pp"]
    assert [text for _, text in words] == ["60 worse", "40", "20", "0 pp"]
    assert [place for place, _ in signed] == [place for place, _ in words]
    words = Scale(-0.017, 0.017).labels(signed=False)
    assert [text for _, text in words] == ["1 worse", "0 pp", "1 better"]


def test_ticks_and_drawings_agree_on_a_loss_where_lower_is_better(trial: Trial) -> None:
    summary = load_summary(trial.summary)
    assert not any("worse" in text for _, text in tick_labels(summary))
    tasks = dict(summary.tasks)
    for task, part in summary.tasks.items():
        contrasts = tuple(one.turned("lower") for one in part.main.contrasts)
        main = structs.replace(part.main, direction="lower", contrasts=contrasts)
        tasks[task] = structs.replace(part, endpoints={**part.endpoints, part.primary: main})
    lower = structs.replace(summary, tasks=tasks)
    assert strips(lower) == strips(summary), "a loss stays on the left"
    labels = tick_labels(lower)
    assert labels[0][1].endswith(" worse")
    assert not any("−" in text for _, text in labels)
    page = replace(trial, summary=to_dict(lower)).render()["report.html"]
    for left, text in labels:
        assert f'<span style="left:{left}">{text}</span>' in page


def test_the_drawings_of_the_cards_stand_where_the_intervals_do(trial: Trial) -> None:
    for part in trial.summary["tasks"].values():
        contrasts = [
            one
            for one in part["endpoints"][part["primary"]]["contrasts"]
            if one["reference"] == "f16"
        ]
        drawn = strips(load_summary(trial.summary))
        for one in contrasts:
            svg = drawn[one["id"]]
            band = re.search(r'class="band" x="([\d.]+)" y="0" width="([\d.]+)"', svg)
            zero = re.search(r'class="zero" x1="([\d.]+)"', svg)
            dot = re.search(r'class="dot" x1="([\d.]+)"', svg)
            assert band
            assert zero
            assert dot
            # the band reaches one margin to either side of zero: that is the scale
            unit = float(band[2]) / (2 * part["margin"])
            assert abs(float(band[1]) + part["margin"] * unit - float(zero[1])) < 0.2
            assert abs(float(zero[1]) + one["estimate"] * unit - float(dot[1])) < 0.3
            ends, _ = rests_on(one, part["endpoints"][part["primary"]]["equivalence"])
            if None not in ends:
                span = re.search(r'class="span" x1="([\d.]+)" x2="([\d.]+)"', svg)
                assert span
                for end, value in zip((span[1], span[2]), ends, strict=True):
                    assert abs(float(zero[1]) + value * unit - float(end)) < 0.5
