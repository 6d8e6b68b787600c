"""`quantrial power` as users meet it, and what `plan` says of a margin out of reach."""

from __future__ import annotations

import dataclasses
import json
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml

from quantrial.cli.power import curve_lines
from quantrial.commands.power_study import Assumptions, PowerStudy, power
from quantrial.design.forecast import Ask, Rates, Spread, forecast
from quantrial.errors import RecordError, RunFolderError, StudyError
from quantrial.stats import items_for_flips
from studies import write_study
from test_cli import ok, quantrial_


def of(**given: Any) -> Assumptions:
    return Assumptions(**given)


def test_rates_of_flips_on_the_command_line() -> None:
    said = ok("power", "--harmful", "0.01", "--beneficial", "0.01", "--n", "500")
    assert "Flips: 1 % harmful, 1 % beneficial (discordance 2 %), true difference 0 pp" in said
    assert "Margin 1 pp, alpha 0.05" in said
    rows = [line.split("  ") for line in said.splitlines()]
    cells = {row[1]: [c.strip() for c in row[2:] if c.strip()] for row in rows if len(row) > 3}
    assert cells["equivalence"] == ["0.8 %", "exact", "1,868", "exact"]
    assert cells["a difference"] == ["4.1 %", "exact", "no number"]
    assert "500 items detect a difference of 1.66 pp with 80 % power (exact)." in said
    assert "There is no difference to find" in said


def test_a_spread_says_that_it_approximates() -> None:
    said = ok("power", "--sd", "0.2", "--difference", "-0.005", "--power", "0.9")
    assert "Paired SD 0.2, true difference -0.5 pp" in said
    assert "items for 90 % power" in said
    assert "approx.: normal approximation, too hopeful where fewer than ten items" in said
    assert "exact" not in said


def test_too_few_items_for_the_margin_are_said() -> None:
    said = ok("power", "--discordance", "0.02", "--n", "120")
    assert "Equivalence within 1 pp cannot be shown with fewer than 298 items" in said
    assert "120 items detect no difference" in said


def test_json_has_every_figure_and_how_it_was_found() -> None:
    found = json.loads(ok("power", "--discordance", "0.02", "--difference", "-0.005", "--json"))
    one = found["scenarios"][0]["forecast"]
    assert one["assumed"] == pytest.approx({"harmful": 0.0125, "beneficial": 0.0075})
    assert one["asked"] == {"n": None, "power": 0.8, "margin": 0.01, "alpha": 0.05}
    expected = items_for_flips(0.0125, 0.0075, question="non_inferior", margin=0.01)
    answer = next(a for a in one["answers"] if a["question"] == "non_inferior")
    assert answer["items"] == expected
    assert answer["items_method"] == "exact"
    assert {"question", "n", "power", "method"} == set(one["curve"][0])


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("power")
    study = write_study(folder)
    ok("run", study, "-o", folder / "run")
    ok("analyze", folder / "run")
    return folder / "run"


def contrast_of(run: Path, task: str, candidate: str) -> tuple[dict[str, Any], dict[str, Any]]:
    summary = json.loads((run / "summary.json").read_text())
    part = summary["tasks"][task]
    contrast = next(
        c
        for c in part["endpoints"][part["primary"]]["contrasts"]
        if (c["reference"], c["candidate"]) == ("f16", candidate)
    )
    flips = next(f for f in part["flips"] if (f["reference"], f["candidate"]) == ("f16", candidate))
    return contrast, flips


def test_an_earlier_run_plans_the_next(run: Path) -> None:
    said = ok("power", "--from", run)
    assert "sums, q4_0 against f16" in said
    assert "names, q4_0 against f16" in said
    assert "One contrast at a time" in said
    alone = ok("power", "--from", run, "--task", "sums", "--candidate", "q4_0")
    assert "names" not in alone
    assert "q8_0" not in alone
    assert "power at 24 items" in alone
    assert "of 24 answers changed" in alone
    assert "  power\n" in alone, "the curve"


def test_flips_of_a_proportion_and_the_spread_of_another_score(run: Path) -> None:
    contrast, flips = contrast_of(run, "sums", "q4_0")
    sums = power(of(run=run, task="sums", candidate="q4_0")).scenarios[0]
    assert sums.forecast.assumed == Rates(flips["harmful"] / 24, flips["beneficial"] / 24)
    assert sums.forecast.difference == pytest.approx(contrast["estimate"])
    assert sums.forecast.asked == Ask(24, 0.8, 0.05, 0.05), "the run's margin and number of items"
    contrast, _ = contrast_of(run, "names", "q4_0")
    names = power(of(run=run, task="names", candidate="q4_0")).scenarios[0]
    assert names.forecast.assumed == Spread(contrast["sd_paired"], contrast["estimate"])
    assert names.endpoint == "micro_f1"


def test_a_stated_difference_replaces_the_observed_one(run: Path) -> None:
    _, flips = contrast_of(run, "sums", "q4_0")
    found = power(of(run=run, task="sums", candidate="q4_0", difference=0.0), n=500, margin=0.02)
    one = found.scenarios[0].forecast
    half = (flips["harmful"] + flips["beneficial"]) / 48
    assert one.assumed == Rates(half, half)
    assert (one.asked.n, one.asked.margin) == (500, 0.02)


def edited(run: Path, folder: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """Copy a run, its summary changed."""
    copy = folder / "copy"
    shutil.copytree(run, copy)
    summary = json.loads((copy / "summary.json").read_text())
    change(summary)
    (copy / "summary.json").write_text(json.dumps(summary))
    return copy


def test_scores_that_never_differ_cannot_be_planned_from(run: Path, tmp_path: Path) -> None:
    def silence(summary: dict[str, Any]) -> None:
        flips = summary["tasks"]["sums"]["flips"][0]
        flips |= {"harmful": 0, "beneficial": 0}
        contrast = summary["tasks"]["names"]["endpoints"]["micro_f1"]["contrasts"][0]
        contrast |= {"sd_paired": 0.0, "estimate": 0.0}

    copy = edited(run, tmp_path, silence)
    found = power(copy)
    planned = {(s.task, s.candidate) for s in found.scenarios}
    assert planned == {("sums", "q8_0"), ("sums", "q4_0"), ("names", "q4_0")}
    reason = "the scores do not differ, so their spread is not known; state --sd"
    assert found.notes == (f"names, q8_0: {reason}",)
    assert f"not planned: names, q8_0: {reason}" in ok("power", "--from", copy)
    silent = next(s for s in found.scenarios if s.candidate == "q8_0")
    assert silent.notes[0].startswith("0 of 24 answers changed; a discordance from 0.0 to 14.2 %")
    with pytest.raises(StudyError, match="the scores do not differ"):
        power(of(run=copy, task="names", candidate="q8_0"))


def test_controls_are_planned_for_only_when_asked(run: Path, tmp_path: Path) -> None:
    copy = edited(run, tmp_path, lambda s: s["arms"]["q4_0"].update(control="positive"))
    assert {s.candidate for s in power(copy).scenarios} == {"q8_0"}
    asked = power(of(run=copy, candidate="q4_0"))
    assert {s.candidate for s in asked.scenarios} == {"q4_0"}


def test_a_summary_that_is_none_is_named(run: Path, tmp_path: Path) -> None:
    copy = edited(run, tmp_path, lambda s: s["tasks"]["sums"].pop("flips"))
    with pytest.raises(RecordError, match=r"summary.json: not a summary .*KeyError: 'flips'"):
        power(copy)
    (copy / "summary.json").unlink()
    with pytest.raises(RunFolderError, match="quantrial analyze"):
        power(copy)


def test_a_run_of_random_clusters_says_what_is_neglected(run: Path, tmp_path: Path) -> None:
    def cluster(summary: dict[str, Any]) -> None:
        for contrast in summary["tasks"]["sums"]["endpoints"]["accuracy"]["contrasts"]:
            contrast["ci_method"] = "score-clusters"

    copy = edited(run, tmp_path, cluster)
    found = power(of(run=copy, task="sums", candidate="q4_0")).scenarios[0]
    assert "observed design effect" in found.notes[0]
    # planned from the spread between clusters, not from flips of independent items
    assert not hasattr(found.forecast.assumed, "harmful")
    assert {a.items_method for a in found.forecast.answers} <= {"normal-approximation", None}

    def refuse(summary: dict[str, Any]) -> None:
        for contrast in summary["tasks"]["sums"]["endpoints"]["accuracy"]["contrasts"]:
            contrast["ci_method"] = "refused"

    with pytest.raises(StudyError, match="clusters are too few"):
        power(of(run=edited(run, tmp_path / "few", refuse), task="sums", candidate="q4_0"))


@pytest.mark.parametrize("name", ["curve.svg", "curve.PNG"])
def test_the_plot(tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    said = ok("power", "--harmful", "0.02", "--beneficial", "0.01", "--n", "700", "--plot", file)
    assert f"Plot: {file}" in said
    if name.endswith("svg"):
        words = "".join(ElementTree.fromstring(file.read_bytes()).itertext())
        for shown in ("equivalence", "non-inferiority", "a difference", "700 items", "80 %"):
            assert shown in words
    else:
        data = file.read_bytes()
        assert data.startswith(b"\x89PNG")
        width, _ = struct.unpack(">II", data[16:24])
        assert width > 600


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "nothing to plan from"),
        (["--harmful", "0.01"], "beneficial: missing beside harmful"),
        (["--beneficial", "0.01"], "harmful: missing beside beneficial"),
        (["--harmful", "0.7", "--beneficial", "0.4"], "add up to more than 1"),
        (["--harmful", "2", "--beneficial", "0"], "harmful: 2 is no share of items"),
        (["--harmful", "0", "--beneficial", "nan"], "beneficial: nan is no share of items"),
        (["--discordance", "0.02", "--sd", "0.2"], "discordance and sd contradict each other"),
        (["--discordance", "-0.02"], "discordance: -0.02 is no share of items"),
        (["--discordance", "0.02", "--difference", "-0.03"], "at most every flip goes one way"),
        (["--discordance", "0.02", "--difference", "-3"], "difference: -3 is no difference"),
        (
            ["--harmful", "0.01", "--beneficial", "0.01", "--difference", "0"],
            "difference: follows from harmful and beneficial",
        ),
        (["--sd", "0"], "sd: 0 is no spread"),
        (["--sd", "nan"], "sd: nan is no spread"),
        (["--sd", "0.2", "--task", "quiz"], "task: chooses from an earlier run"),
        (["--sd", "0.2", "--candidate", "q4"], "candidate: chooses from an earlier run"),
        (["--sd", "0.2", "--n", "1"], "n: 1 is no study"),
        (["--sd", "0.2", "--power", "1"], "power: 1 is out of range"),
        (["--sd", "0.2", "--margin", "0"], "margin: 0 is out of range"),
        (["--sd", "0.2", "--alpha", "0.5"], "alpha: 0.5 is out of range"),
        (["--sd", "0.2", "--plot", "curve.pdf"], "plot: 'curve.pdf' is neither an .svg nor a .png"),
        (["--sd", "0.2", "--plot", "no/such/folder.svg"], "no/such/folder.svg: cannot be written"),
        (["--from", "nowhere"], "nowhere: no such run folder"),
        (["--from", "nowhere", "--sd", "0.2"], "sd and from (a run) contradict each other"),
    ],
)
def test_bad_input_gets_one_clear_line_and_exit_2(
    tmp_path: Path, words: list[str], said: str
) -> None:
    done = quantrial_("power", *words, cwd=tmp_path)
    assert done.returncode == 2, done.stdout + done.stderr
    assert said in done.stderr
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1, "one line"
    assert done.stdout == ""
    assert list(tmp_path.iterdir()) == []


def test_a_task_or_arm_that_the_run_has_not(run: Path) -> None:
    with pytest.raises(StudyError, match=r"task: the run has no 'quiz'; it has sums, names"):
        power(of(run=run, task="quiz"))
    with pytest.raises(StudyError, match=r"candidate: the run has no 'f16'; it has q8_0, q4_0"):
        power(of(run=run, candidate="f16"))


@pytest.mark.parametrize("assumed", [Rates(0.02, 0.01), Rates(0.0, 0.0), Spread(1e-4), Spread(9.0)])
@pytest.mark.parametrize("n", [None, 2, 10**7])
def test_the_curve_is_plain_and_fits_80_columns(assumed: Rates | Spread, n: int | None) -> None:
    found = forecast(assumed, Ask(n, 0.8, 0.01, 0.05))
    lines = curve_lines(found.curve, 0.8)
    assert all(len(line) <= 80 for line in lines)
    assert all(line.isascii() for line in lines)
    assert lines[1].startswith(" 100 % |")
    assert lines[3].startswith("  80 % |")
    assert "." in lines[3], "the target"
    assert "*" in "".join(lines) or "E" in "".join(lines)
    names = [int(name.replace(",", "")) for name in lines[-2].split()]
    assert names == sorted(set(names))
    assert all(str(name).rstrip("0") in {"1", "2", "5"} for name in names), "none overlap"
    assert lines[-3].count("+") == len(names) + 1


def test_by_hand_the_curve_crosses_its_target_at_the_items() -> None:
    found = forecast(Spread(0.2, -0.02), Ask(None, 0.8, 0.01, 0.05))
    items = next(a.items for a in found.answers if a.question == "difference")
    assert items is not None
    lines = curve_lines(found.curve, 0.8)
    crossing = [i for i, c in enumerate(lines[3]) if c == "D"]
    sizes = sorted({p.n for p in found.curve})
    near = [sizes[0] * (sizes[-1] / sizes[0]) ** ((i - 8) / 65) for i in crossing]
    assert min(near) * 0.95 <= items <= max(near) * 1.05


def test_the_result_is_plain_data() -> None:
    found = power(of(sd=0.2), n=100)
    assert isinstance(found, PowerStudy)
    assert dataclasses.asdict(found)["scenarios"][0]["forecast"]["asked"]["n"] == 100


def test_plan_warns_of_a_margin_out_of_reach_before_anything_is_spent(tmp_path: Path) -> None:
    study = write_study(tmp_path, margin=0.02)
    said = ok("plan", study)
    warning = (
        "sums: equivalence within a margin of 2 pp cannot be shown with fewer than 148 items, "
        "whatever they answer; this task has 24"
    )
    assert said.count(warning) == 1
    assert f"warning: {warning}\n" in said
    found = json.loads(ok("plan", study, "--json"))
    assert warning in found["warnings"]
    sums, names = found["tasks"]
    assert (sums["least_items"], names["least_items"]) == (148, None)
    assert sums["prospects"][0]["method"] == "exact"
    assert names["prospects"][0]["method"] == "normal-approximation"


def test_plan_warns_of_an_endpoints_own_margin_too(tmp_path: Path) -> None:
    study = write_study(tmp_path)
    margins = {"parse_rate": 0.2, "entity_free_correct": 0.2, "recall": 0.01}
    text = yaml.safe_load(study.read_text(encoding="utf-8"))
    text["tasks"]["names"]["margins"] = margins
    study.write_text(yaml.safe_dump(text), encoding="utf-8")
    said = ok("plan", study)
    # by hand: 14 pairs are the fewest, 14 * .2 - .25 > 1.645 sqrt(14 * .16); 6 of the 12 sentences
    # are entity-free; of recall, a ratio, nothing is known before
    for name, items in (("parse_rate", 12), ("entity_free_correct", 6)):
        assert f"  margin of {name}: 20 pp, on {items} items\n" in said
        warning = f"warning: names, {name}: equivalence within a margin of 20 pp cannot be shown"
        assert f"{warning} with fewer than 13 items" in said
    assert "margin of recall: 1 pp" in said
    assert "names, recall" not in said


def test_rare_flips_are_told_with_digits_enough_and_the_teeth_of_power_are_said() -> None:
    said = ok("power", "--harmful", "0.0007", "--beneficial", "0", "--margin", "0.01", "--n", "298")
    assert "Flips: 0.07 % harmful, 0 % beneficial (discordance 0.07 %)" in said
    assert "true difference -0.07 pp" in said
    assert "From the items given on it stays at or above what is asked" in " ".join(said.split())
