"""`quantrial power` as users meet it, and what `plan` says of a margin out of reach."""

from __future__ import annotations

import dataclasses
import json
import shutil
import struct
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import yaml

from quantrial.cli.power import curve_lines, show_power
from quantrial.commands.power import Assumptions, PowerStudy, _seen_correlation, power
from quantrial.design.forecast import Clusters, Forecast, PowerQuery, Rates, Spread, forecast
from quantrial.errors import RecordError, RunFolderError, StatisticsWarning, StudyError
from quantrial.stats import intraclass, items_for_flips
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
    assert "The assumed difference is 0" in said


def test_a_spread_says_that_it_approximates() -> None:
    said = ok("power", "--sd", "0.2", "--difference", "-0.005", "--power", "0.9")
    assert "Paired SD 0.2, true difference -0.5 pp" in said
    assert "items for 90 % power" in said
    assert "approx.: normal approximation, too optimistic if fewer than ten items" in said
    assert "exact" not in said


def test_too_few_items_for_the_margin_are_said() -> None:
    said = ok("power", "--discordance", "0.02", "--n", "120")
    assert "Showing equivalence within 1 pp takes at least 298 items" in said
    assert "120 items cannot detect a difference" in said


def test_json_has_every_figure_and_how_it_was_found() -> None:
    found = json.loads(ok("power", "--discordance", "0.02", "--difference", "-0.005", "--json"))
    one = found["scenarios"][0]["forecast"]
    assert one["assumed"] == pytest.approx({"harmful": 0.0125, "beneficial": 0.0075})
    shares = {"unit": None, "lower": False}
    assert one["asked"] == {"n": None, "power": 0.8, "margin": 0.01, "alpha": 0.05, **shares}
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
    assert sums.forecast.asked == PowerQuery(24, 0.8, 0.05, 0.05), (
        "the run's margin and number of items"
    )
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
    assert silent.notes[0].startswith("0 of 24 answers changed. A discordance from 0.0 to 14.2 %")
    with pytest.raises(StudyError, match="the scores do not differ"):
        power(of(run=copy, task="names", candidate="q8_0"))


def test_a_difference_without_a_value_is_not_called_none(run: Path, tmp_path: Path) -> None:
    def empty(summary: dict[str, Any]) -> None:
        contrast = summary["tasks"]["names"]["endpoints"]["micro_f1"]["contrasts"][0]
        contrast |= {"sd_paired": None, "estimate": None}

    found = power(edited(run, tmp_path, empty))
    reason = "the run has no value of this difference (a ratio of nothing); state --sd"
    assert found.notes == (f"names, q8_0: {reason}",)


def test_clusters_of_one_mean_are_planned_as_not_alike() -> None:
    shares, labels = np.array([1.0, -1.0, 0.0, 0.0] * 6), np.repeat(list("abcdef"), 4)
    icc, said = _seen_correlation(shares, labels)
    assert icc == 0.0
    assert "within its 6 clusters: -0.333; planned with 0; values vary within" in said
    assert "nan" not in said


def test_controls_are_planned_for_only_when_asked(run: Path, tmp_path: Path) -> None:
    copy = edited(run, tmp_path, lambda s: s["arms"]["q4_0"].update(control="positive"))
    assert {s.candidate for s in power(copy).scenarios} == {"q8_0"}
    asked = power(of(run=copy, candidate="q4_0"))
    assert {s.candidate for s in asked.scenarios} == {"q4_0"}


def test_a_summary_that_is_none_is_named(run: Path, tmp_path: Path) -> None:
    copy = edited(run, tmp_path, lambda s: s["tasks"]["sums"].pop("flips"))
    with pytest.raises(RecordError, match=r"summary.json: in tasks.sums: 'flips' is missing"):
        power(copy)
    (copy / "summary.json").unlink()
    with pytest.raises(RunFolderError, match="quantrial analyze"):
        power(copy)


def clustered_study(folder: Path, clusters: int) -> Path:
    """The small study, 24 questions in so many books and 12 sentences in six pages."""
    study = write_study(folder)
    for name, key, count in (("questions", "book", clusters), ("sentences", "page", 6)):
        lines = (folder / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
        items = [json.loads(line) | {key: f"{key}{i % count}"} for i, line in enumerate(lines)]
        (folder / f"{name}.jsonl").write_text(
            "".join(json.dumps(item) + "\n" for item in items), encoding="utf-8"
        )
    text = yaml.safe_load(study.read_text(encoding="utf-8"))
    text["tasks"]["sums"] |= {"cluster": "book", "stratify": None}
    text["tasks"]["names"]["cluster"] = "page"
    study.write_text(yaml.safe_dump(text), encoding="utf-8")
    return study


@pytest.fixture(scope="module")
def over_clusters(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clusters")
    ok("run", clustered_study(folder, 8), "-o", folder / "run")
    ok("analyze", folder / "run")
    return folder / "run"


def changes_of(run: Path, task: str, candidate: str) -> tuple[list[float], list[str]]:
    """Differences of the answers to each question, and its book, read off the run's files."""
    items = {}
    for line in (run / "items.jsonl").read_text(encoding="utf-8").splitlines():
        item = json.loads(line)
        if item["task"] == task:
            items[item["id"]] = item["metadata"]["book"]
    right: dict[str, dict[str, bool]] = {}
    for arm in ("f16", candidate):
        text = (run / "responses" / f"{task}.{arm}.jsonl").read_text(encoding="utf-8")
        answers = map(json.loads, text.splitlines())
        right[arm] = {one["item"]: one["output"] == "A" for one in answers}
    changes = [float(right[candidate][i]) - float(right["f16"][i]) for i in items]
    return changes, list(items.values())


def test_a_run_over_clusters_tells_how_alike_they_are(over_clusters: Path) -> None:
    found = power(of(run=over_clusters, task="sums", candidate="q4_0"))
    one = found.scenarios[0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", StatisticsWarning)
        seen = intraclass(*changes_of(over_clusters, "sums", "q4_0"))
    assert f"within its 8 clusters: {seen.estimate:.3f}" in one.notes[0]
    assert f"{seen.interval.low:.3f} to {seen.interval.high:.3f}" in one.notes[0]
    assert one.forecast.clusters is not None
    assert one.forecast.clusters.icc == pytest.approx(max(0.0, seen.estimate))
    assert one.forecast.clusters.size == 3.0
    methods = {"simulation", "noncentral-t", None}
    assert {a.items_method for a in one.forecast.answers} <= methods
    for answer in one.forecast.answers:
        if answer.items is not None:
            assert answer.clusters is not None
            assert answer.items == 3 * answer.clusters
    said = ok("power", "--from", over_clusters, "--task", "sums", "--candidate", "q4_0")
    assert "24 items in 8 clusters of 3 items" in said
    assert "simulated: where few flips are expected, studies in clusters are drawn" in said
    said = ok("power", "--sd", "0.3", "--icc", "0.1", "--cluster-size", "10", "--n", "400")
    assert "noncentral t: an approximation. It counts whole clusters" in said


def test_what_is_stated_of_clusters_goes_before_what_a_run_shows(over_clusters: Path) -> None:
    asked = of(run=over_clusters, task="sums", candidate="q4_0", icc=0.3, cluster_size=10)
    stated = power(asked, n=600).scenarios[0]
    assert stated.notes == ()
    assert stated.forecast.clusters == Clusters(10.0, 0.3, 10.0)
    changes, _ = changes_of(over_clusters, "sums", "q4_0")
    harmful, beneficial = changes.count(-1.0) / 24, changes.count(1.0) / 24
    plain = of(harmful=harmful, beneficial=beneficial, icc=0.3, cluster_size=10)
    same = power(plain, n=600, margin=stated.forecast.asked.margin).scenarios[0].forecast
    assert same.answers == stated.forecast.answers
    # twelve clusters like the run's
    twelve = power(of(run=over_clusters, task="sums", candidate="q4_0", clusters=12))
    assert twelve.scenarios[0].forecast.asked.n == 36


def test_other_scores_are_planned_over_clusters_too(over_clusters: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        names = power(of(run=over_clusters, task="names", candidate="q4_0"))
    one = names.scenarios[0]
    assert "(scores of" in one.title
    assert one.forecast.clusters is not None
    assert one.forecast.clusters.size == 2.0
    wanted = power(of(run=over_clusters, task="names", candidate="q4_0", difference=0.0))
    assert wanted.scenarios[0].forecast.difference == 0.0
    assert wanted.scenarios[0].forecast.sd == pytest.approx(one.forecast.sd)


def test_where_a_run_cannot_tell_how_alike_clusters_are(
    over_clusters: Path, tmp_path: Path
) -> None:
    copy = edited(over_clusters, tmp_path, lambda summary: None)
    same = (copy / "responses" / "sums.f16.jsonl").read_text(encoding="utf-8")
    (copy / "responses" / "sums.q8_0.jsonl").write_text(
        same.replace('"arm":"f16"', '"arm":"q8_0"'), encoding="utf-8"
    )
    with pytest.raises(StudyError, match=r"no score changed.*state --icc"):
        power(of(run=copy, task="sums", candidate="q8_0"))
    assert power(of(run=copy, task="sums", candidate="q8_0", icc=0.02)).scenarios
    ok("run", clustered_study(tmp_path, 4), "-o", tmp_path / "run")
    ok("analyze", tmp_path / "run")
    with pytest.raises(StudyError, match=r"4 cluster.* or state --icc"):
        power(of(run=tmp_path / "run", task="sums", candidate="q4_0"))
    planned = power(of(run=tmp_path / "run", task="sums", candidate="q4_0", icc=0.02))
    assert planned.scenarios[0].forecast.clusters == Clusters(6.0, 0.02, 6.0)


def test_clusters_are_stated_by_any_two_of_three(run: Path) -> None:
    def asked(n: int | None, **given: Any) -> Forecast:
        return (
            power(of(discordance=0.05, icc=0.02, **given), n=n, margin=0.03).scenarios[0].forecast
        )

    by_size = asked(500, cluster_size=20)
    assert by_size == asked(None, cluster_size=20, clusters=25) == asked(500, clusters=25)
    assert by_size.clusters == Clusters(20.0, 0.02, 20.0)
    assert by_size.clusters.effect == pytest.approx(1.38)
    assert asked(None, cluster_size=20).answers[1].clusters == by_size.answers[1].clusters
    # a run without clusters, planned over some
    found = power(of(run=run, task="sums", candidate="q4_0", icc=0.1, clusters=6)).scenarios[0]
    assert found.forecast.clusters == Clusters(4.0, 0.1, 4.0)
    assert power(of(run=run, task="names", candidate="q4_0", icc=0.1, cluster_size=2)).scenarios[
        0
    ].forecast.clusters == Clusters(2.0, 0.1, 2.0)


def test_a_correlation_costs_items_and_none_costs_few() -> None:
    def needed(**given: Any) -> int:
        found = power(of(discordance=0.05, **given), margin=0.03).scenarios[0].forecast
        items = next(a.items for a in found.answers if a.question == "equivalent")
        assert items is not None
        return items

    plain, none, some = (
        needed(),
        needed(icc=0.0, cluster_size=20),
        needed(icc=0.05, cluster_size=20),
    )
    assert plain <= none <= 1.15 * plain
    assert some == pytest.approx((1 + 19 * 0.05) * plain, rel=0.15)


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


def test_where_nothing_is_known_a_typical_discordance_is_taken(
    capsys: pytest.CaptureFixture[str],
) -> None:
    found = power(Assumptions(), n=60, margin=0.02)
    stated = power(Assumptions(discordance=0.05), n=60, margin=0.02)
    assert found.scenarios[0].forecast == stated.scenarios[0].forecast
    (note,) = found.scenarios[0].notes
    assert "so 5 % is assumed" in note
    assert stated.scenarios[0].notes == ()
    show_power(found)
    assert " ".join(capsys.readouterr().out.split()).endswith(
        "Plan for 830 items if 5 % of answers flip; you have 60: this study cannot show that the "
        "loss is less than 2 pp."
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--harmful", "0.01"], "beneficial: needed with harmful"),
        (["--beneficial", "0.01"], "harmful: needed with beneficial"),
        (["--harmful", "0.7", "--beneficial", "0.4"], "add up to more than 1"),
        (["--harmful", "2", "--beneficial", "0"], "harmful: 2 is out of range; a share"),
        (
            ["--harmful", "0", "--beneficial", "nan"],
            "beneficial: nan is out of range; a share",
        ),
        (["--discordance", "0.02", "--sd", "0.2"], "discordance and sd contradict each other"),
        (["--discordance", "-0.02"], "discordance: -0.02 is out of range; a share"),
        (["--discordance", "0.02", "--difference", "-0.03"], "at most every flip goes one way"),
        (
            ["--discordance", "0.02", "--difference", "-3"],
            "difference: -3 is out of range; a difference",
        ),
        (
            ["--harmful", "0.01", "--beneficial", "0.01", "--difference", "0"],
            "difference: follows from harmful and beneficial",
        ),
        (["--sd", "0"], "sd: 0 is out of range"),
        (["--sd", "nan"], "sd: nan is out of range"),
        (["--sd", "0.2", "--task", "quiz"], "task: needs an earlier run"),
        (["--sd", "0.2", "--candidate", "q4"], "candidate: needs an earlier run"),
        (["--sd", "0.2", "--n", "1"], "n: 1 is too few"),
        (["--sd", "0.2", "--power", "1"], "power: 1 is out of range"),
        (["--sd", "0.2", "--margin", "0"], "margin: 0 is out of range"),
        (["--sd", "0.2", "--alpha", "0.5"], "alpha: 0.5 is out of range"),
        (["--sd", "0.2", "--plot", "curve.pdf"], "plot: 'curve.pdf' is neither an .svg nor a .png"),
        (["--sd", "0.2", "--plot", "no/such/folder.svg"], "no/such/folder.svg: cannot be written"),
        (["--sd", "0.2", "--clusters", "30"], "icc: needed with clusters"),
        (["--sd", "0.2", "--cluster-size", "9"], "icc: needed with cluster_size"),
        (["--sd", "0.2", "--icc", "0.1"], "cluster_size: needed with icc"),
        (["--sd", "0.2", "--icc", "1"], "icc: 1 is out of range; an intraclass correlation"),
        (["--sd", "0.2", "--icc", "nan", "--cluster-size", "9"], "icc: nan is out of range"),
        (["--sd", "0.2", "--icc", "0", "--clusters", "4"], "a claim needs at least 5"),
        (["--sd", "0.2", "--icc", "0", "--cluster-size", "0.5"], "at least 1 item"),
        (["--sd", "0.2", "--icc", "0", "--clusters", "9", "--n", "8"], "more than there are items"),
        (
            ["--sd", "0.2", "--icc", "0", "--clusters", "9", "--n", "90", "--cluster-size", "10"],
            "one follows from the other two",
        ),
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
    found = forecast(assumed, PowerQuery(n, 0.8, 0.01, 0.05))
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
    found = forecast(Spread(0.2, -0.02), PowerQuery(None, 0.8, 0.01, 0.05))
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
        "sums: equivalence within 2 pp takes at least 148 items, even if no answer changes. "
        "You have 24."
    )
    assert said.count(warning) == 1
    assert f"warning: {warning}\n" in said
    found = json.loads(ok("plan", study, "--json"))
    assert warning in found["warnings"]
    sums, names = found["tasks"]
    assert (sums["least_items"], names["least_items"]) == (148, None)
    assert sums["prospects"][0]["method"] == "exact"
    assert names["prospects"][0]["method"] == "normal-approximation"


def test_plan_takes_how_alike_clusters_are_from_the_study(tmp_path: Path) -> None:
    study = clustered_study(tmp_path, 8)
    said = ok("plan", study)
    assert "ICC 0.02" in said
    assert "ICC 0.1" in said
    text = yaml.safe_load(study.read_text(encoding="utf-8"))
    text["tasks"]["sums"]["icc"] = 0.07
    study.write_text(yaml.safe_dump(text), encoding="utf-8")
    tasks = json.loads(ok("plan", study, "--json"))["tasks"]
    sums = next(task for task in tasks if task["name"] == "sums")
    assert {one["icc"] for one in sums["prospects"]} == {0.07}
    for one in sums["prospects"]:
        assert one["items_for_margin"] == 3 * one["clusters_for_margin"]
    assert f" in {sums['prospects'][0]['clusters_for_margin']:,} clusters" in ok("plan", study)


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
        warning = f"warning: names, {name}: equivalence within 20 pp takes"
        assert f"{warning} at least 13 items" in said
    assert "margin of recall: 1 pp" in said
    assert "names, recall" not in said


def test_rare_flips_are_told_with_digits_enough_and_the_teeth_of_power_are_named() -> None:
    said = ok("power", "--harmful", "0.0007", "--beneficial", "0", "--margin", "0.01", "--n", "298")
    assert "Flips: 0.07 % harmful, 0 % beneficial (discordance 0.07 %)" in said
    assert "true difference -0.07 pp" in said
    assert "From the number of items given on, it stays at the target" in " ".join(said.split())
