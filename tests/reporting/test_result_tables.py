"""Results as tidy tables, held against the summary, and read back by other programs."""

from __future__ import annotations

import csv
import io
import math
import sys
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import duckdb
import pytest

import quantrial
from command import command
from quantrial.commands.tables import COLUMNS, RunTables, tables_of
from quantrial.documents import load_summary
from quantrial.documents.decision import load_decision
from quantrial.errors import MissingExtraError, StudyError
from reporting.trials import Trial

EXAMPLE = Path(__file__).parents[2] / "examples" / "demo"
PAGE = Path(__file__).parents[2] / "docs" / "results-elsewhere.md"
HOSTILE = "a\ud800 \x1b[31m\x00 <script> 'x' \u202e"


@pytest.fixture(scope="module")
def tables(trial: Trial) -> RunTables:
    return made(trial)


def made(trial: Trial) -> RunTables:
    assert trial.outcomes is not None
    return tables_of(load_summary(trial.summary), load_decision(trial.decision), trial.outcomes)


def test_contrasts_are_the_summarys(tables: RunTables, trial: Trial) -> None:
    found = {
        (row["task"], row["scope"], row["stratum"], row["finding"]) for row in tables.contrasts
    }
    assert len(found) == len(tables.contrasts)  # no row twice
    ids = {row["finding"] for row in tables.contrasts}
    for part in trial.summary["tasks"].values():
        for endpoint in part["endpoints"].values():
            assert {one["id"] for one in endpoint["contrasts"]} <= ids
        assert {one["id"] for one in part["failure_contrasts"]} <= ids
        for strata in part["strata"].values():
            for one in strata.values():
                assert {contrast["id"] for contrast in one["contrasts"]} <= ids
    (row,) = [r for r in tables.contrasts if r["finding"] == "sums.accuracy.q4_0.vs.f16"]
    known = trial.summary["tasks"]["sums"]["endpoints"]["accuracy"]["contrasts"]
    (one,) = [c for c in known if c["id"] == row["finding"]]
    assert (row["estimate"], [row["low"], row["high"]]) == (one["estimate"], one["ci"])
    assert (row["reference"], row["candidate"], row["pairs"]) == ("f16", "q4_0", one["n"])
    assert (row["verdict"], row["primary"], row["scope"]) == (one["verdict"], True, "all items")


def test_means_of_items_are_the_estimates_by_hand(tables: RunTables) -> None:
    sums = defaultdict[tuple[str, str, str], list[float]](lambda: [0.0, 0.0])
    for row in tables.items:
        if row["status"] == "answered":
            of = sums[row["task"], row["endpoint"], row["arm"]]
            of[0] += row["numerator"]
            of[1] += row["denominator"]
    assert len(tables.arms) == len(sums)
    for row in tables.arms:
        top, bottom = sums[row["task"], row["endpoint"], row["arm"]]
        assert math.isclose(row["estimate"], top / bottom), row


def test_flips_are_the_items_that_one_arm_alone_is_right_on_by_hand(tables: RunTables) -> None:
    right = {
        (row["item"], row["arm"]): row["score"] == 1
        for row in tables.items
        if row["endpoint"] == "accuracy"
    }
    turned = {
        (row["item"], row["flip"])
        for row in tables.flips
        if (row["task"], row["reference"], row["candidate"]) == ("sums", "f16", "q4_0")
    }
    items = {item for item, _ in right}
    harmful = {(i, "harmful") for i in items if right[i, "f16"] and not right[i, "q4_0"]}
    beneficial = {(i, "beneficial") for i in items if right[i, "q4_0"] and not right[i, "f16"]}
    assert turned == harmful | beneficial
    assert len(harmful) > 3  # the arm answers B or C to two of three


def test_a_missing_answer_says_why(trial: Trial) -> None:
    assert trial.outcomes is not None
    sums = trial.outcomes["sums"]
    gone, fault = sums.items[0].id, sums.items[1].id
    lost = sums.responses["q4_0"][1]
    assert lost is not None
    answered = sums.panel.answered.copy()
    answered[:2, 2] = False
    other = replace(
        sums,
        responses={**sums.responses, "q4_0": (None, None, *sums.responses["q4_0"][2:])},
        faults={"q4_0": {fault: replace(lost, status="timeout")}},
        panel=replace(sums.panel, answered=answered),
    )
    found = made(replace(trial, outcomes={**trial.outcomes, "sums": other}))
    status = {r["item"]: r for r in found.items if (r["arm"], r["task"]) == ("q4_0", "sums")}
    assert (status[gone]["status"], status[gone]["score"]) == ("missing", None)
    assert (status[fault]["status"], status[fault]["answer"]) == ("timeout", None)
    whole = found.items.to_pandas()  # counts of tokens are not known of these two
    assert whole["score"].isna().sum() >= 2


def test_frames_and_parquet_hold_the_same(tables: RunTables, tmp_path: Path) -> None:
    written = tables.write_parquet(tmp_path / "it's a *?[folder]")
    assert [path.name for path in written] == [
        *("arms.parquet", "contrasts.parquet", "items.parquet", "flips.parquet")
    ]
    for table, path in zip(tables, written, strict=True):
        names = [one.name for one in table.columns]
        back = duckdb.from_parquet(path.rename(tmp_path / path.name).as_posix())
        assert back.columns == names
        assert tuple(back.fetchall()) == table.rows
        arrow = table.to_arrow()
        assert arrow.column_names == names
        assert arrow.to_pylist() == list(table)
        frame = table.to_pandas()
        assert (list(frame.columns), len(frame)) == (names, len(table))


def test_arms_are_the_rows_of_csv() -> None:
    lines = list(csv.DictReader(io.StringIO(quantrial.export(EXAMPLE, "csv"))))
    arms = quantrial.results(EXAMPLE).arms
    assert len(arms) == len(lines)
    for row, line in zip(arms, lines, strict=True):
        shown = {k: "" if v is None else str(v) for k, v in row.items()}
        assert {k: line[k].lower() for k in row} == {k: v.lower() for k, v in shown.items()}


def test_outside_text_is_inert(trial: Trial, tmp_path: Path) -> None:
    assert trial.outcomes is not None
    sums = trial.outcomes["sums"]
    first = sums.responses["f16"][0]
    assert first is not None
    said = (replace(first, output=HOSTILE), *sums.responses["f16"][1:])
    other = replace(sums, responses={**sums.responses, "f16": said})
    summary = trial.copied()
    summary["tasks"]["sums"]["workload"] = HOSTILE
    found = made(replace(trial.with_summary(summary), outcomes={"sums": other}))
    shown = found._repr_html_()
    for sign in ("<script", "\x1b", "\u202e", "\ud800"):
        assert sign not in shown
    (answer,) = {r["answer"] for r in found.items if r["answer"] and r["answer"].startswith("a")}
    assert answer == HOSTILE.replace("\ud800", "\\ud800")
    found.write_parquet(tmp_path)
    seen = duckdb.from_parquet((tmp_path / "items.parquet").as_posix()).project("answer")
    assert (answer,) in seen.fetchall()


def test_what_is_not_installed_is_named(
    tables: RunTables, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "duckdb", None)
    with pytest.raises(MissingExtraError, match=r"\[tables\]"):
        tables.write_parquet(tmp_path / "t.parquet")
    monkeypatch.setitem(sys.modules, "polars", None)
    with pytest.raises(ModuleNotFoundError, match="polars"):
        tables.arms.to_polars()


def test_on_the_command_line(tmp_path: Path) -> None:
    out = tmp_path / "r.parquet"
    done = command("report", EXAMPLE, "--format", "parquet", "-o", out)
    assert (done.returncode, done.stdout) == (0, f"{out} written\n")
    assert duckdb.from_parquet(out.as_posix()).columns == [one.name for one in COLUMNS["arms"]]
    nowhere = command("report", EXAMPLE, "--format", "parquet")
    assert nowhere.returncode == 2
    assert "needs --out" in nowhere.stderr


def test_what_cannot_be_written_is_refused(tables: RunTables, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(StudyError, match=r"is a file; name one that ends in \.parquet"):
        tables.write_parquet(tmp_path / "file")
    with pytest.raises(StudyError, match="cannot be written"):
        tables.write_parquet(tmp_path / "no" / "t.parquet")
    with pytest.raises(StudyError, match="write_parquet"):
        quantrial.export(EXAMPLE, "parquet")


def test_every_column_is_documented(tables: RunTables) -> None:
    page = PAGE.read_text(encoding="utf-8")
    for table in tables:
        for one in table.columns:
            assert f"| `{one.name}` |" in page
            assert f"| {one.meaning} |" in page
