"""Answers that changed, judged by a person who does not see whose they are."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
import yaml

import quantrial
from command import command
from quantrial.commands.labels import read_sheet, write_sheet
from quantrial.errors import DataError
from studies import read_lines

ITEMS = 40
CHANGED = {*range(5, 25)}  # the candidate says something else to these


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("label")
    rows = [json.dumps({"id": f"t{i}", "text": f"Ticket {i}."}) for i in range(ITEMS)]
    (folder / "prompts.jsonl").write_text("\n".join(rows) + "\n", encoding="utf-8")
    arm = {"engine": "scripted", "options": {"replies": ["Sorry for the delay."]}}
    study = {
        "study": "tickets",
        "reference": "f16",
        "arms": {"f16": {**arm, "model": "f16"}, "q4_0": {**arm, "model": "q4"}},
        "tasks": {
            "tickets": {
                "kind": "text",
                "workload": "tickets",
                "source": {"type": "jsonl", "path": "prompts.jsonl"},
                "id": "id",
                "prompt": "Answer this ticket. {{ text }}",
                "gold": "none",
                "score": ["exact"],
            }
        },
    }
    (folder / "study.yaml").write_text(yaml.safe_dump(study), encoding="utf-8")
    done = quantrial.run(folder / "study.yaml", out=folder / "run").folder
    path = done / "responses" / "tickets.q4_0.jsonl"
    answers = read_lines(path)
    for answer in answers:
        if (number := int(answer["item"][1:])) in CHANGED:
            answer["output"] = f"=CHANGED({number})"
    path.write_text("".join(json.dumps(one) + "\n" for one in answers), encoding="utf-8")
    return done


def filled(sheet: Path, better: dict[int, str]) -> None:
    """Fill the sheet in as somebody would: better[i] is `new`, `old` or what to write."""
    with sheet.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        number = int(row["prompt"].rsplit(" ", 1)[1].rstrip("."))
        new = "1" if "CHANGED" in row["answer_1"] else "2"
        old = "2" if new == "1" else "1"
        row["better"] = {"new": new, "old": old}.get(better.get(number, ""), better.get(number, ""))
    with sheet.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)


def test_the_sheet_has_what_changed_and_names_no_arm(run: Path, tmp_path: Path) -> None:
    sheet = write_sheet(run, tmp_path / "labels.csv")
    assert (sheet.rows, sheet.changed, sheet.items) == (len(CHANGED), len(CHANGED), ITEMS)
    text = sheet.path.read_text(encoding="utf-8")
    assert "f16" not in text
    assert "q4_0" not in text
    rows = list(csv.DictReader(text.splitlines()))
    first = ["CHANGED" in row["answer_1"] for row in rows]
    assert 4 <= sum(first) <= 16  # 2 in 1,000 draws of 20 lie outside
    assert all("'=CHANGED" in row["answer_1"] + row["answer_2"] for row in rows)
    order = [int(row["prompt"].rsplit(" ", 1)[1].rstrip(".")) for row in rows]
    assert order != sorted(order)
    some = write_sheet(run, tmp_path / "some.csv", most=3)
    assert some.path.read_text(encoding="utf-8") == "".join(text.splitlines(keepends=True)[:4])


def test_labels_come_back_as_scores_of_whose_answer_they_are(run: Path, tmp_path: Path) -> None:
    sheet = write_sheet(run, tmp_path / "labels.csv").path
    better = dict.fromkeys(range(5, 9), "new") | dict.fromkeys(range(9, 21), "old")
    filled(sheet, better | {21: "same", 22: " Tie "})  # 23 and 24 are not labelled
    found = read_sheet(run, sheet, tmp_path / "labelled", by="Ada")
    quantrial.analyze(found.folder)
    summary = json.loads((found.folder / "summary.json").read_text())
    (contrast,) = summary["tasks"]["tickets"]["endpoints"]["preferred"]["contrasts"]
    assert contrast["n"] == ITEMS - 2
    # 4 are preferred and 12 are not, of 38 items: wins minus losses
    assert contrast["estimate"] == pytest.approx((4 - 12) / (ITEMS - 2))
    manifest = json.loads((found.folder / "manifest.json").read_text())
    assert "Ada" in json.dumps(manifest)
    for step in (quantrial.decide, quantrial.report):
        step(found.folder)
    assert quantrial.verify(found.folder).ok


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("0123456789ab,1\n", "row '0123456789ab' is none of this run"),
        ("{row},3\n", "`better` is '3'; needed is 1, 2 or same"),
        ("{row},1\n{row},1\n", "stands there twice"),
        ("{row},\n", "holds no label"),
    ],
)
def test_what_is_no_label_of_this_run_is_refused(
    run: Path, tmp_path: Path, line: str, says: str
) -> None:
    first = write_sheet(run, tmp_path / "labels.csv").path.read_text().splitlines()[1]
    bad = tmp_path / "bad.csv"
    bad.write_text("row,better\n" + line.format(row=first.split(",")[0]))
    with pytest.raises(DataError, match=says):
        read_sheet(run, bad, tmp_path / "labelled", by="Ada")
    assert not (tmp_path / "labelled").exists()


def test_the_command(run: Path, tmp_path: Path) -> None:
    sheet = tmp_path / "labels.csv"
    said = command("label", run, "-o", sheet)
    assert said.returncode == 0, said.stderr
    assert "20 of 20 answers of q4_0 that changed, of 40 items" in " ".join(said.stdout.split())
    again = command("label", run, "-o", sheet)  # labels may be in it
    assert (again.returncode, "is there already" in again.stderr) == (2, True)
    filled(sheet, dict.fromkeys(range(5, 25), "same"))
    done = command("label", run, "--read", sheet, "-o", tmp_path / "labelled")
    assert (done.returncode, "--by" in done.stderr) == (2, True)
    done = command("label", run, "--read", sheet, "--by", "Ada", "-o", tmp_path / "labelled")
    assert done.returncode == 0, done.stderr
