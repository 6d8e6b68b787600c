"""Results in the forms that other places take, read back by what reads them there."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
import subprocess
import unicodedata
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from huggingface_hub.repocard_data import model_index_to_eval_results

import quantrial
from command import command
from quantrial.documents import load_summary
from quantrial.documents.decision import load_decision
from quantrial.errors import StudyError
from quantrial.reporting.exports import COLUMNS, EXPORTS, latex_escape, rows
from reporting.browser.folders import HOSTILE as HOSTILE_TEXTS
from reporting.trials import Trial

EXAMPLE = Path(__file__).parents[2] / "examples" / "demo"
HOSTILE = (
    '=HYPERLINK("http://x") <script>a</script> `b` \\input{/etc/passwd} $%_ \x1b[31m\u202e\ud800'
)


def exported(trial: Trial, form: str) -> str:
    summary, decision = load_summary(trial.summary), load_decision(trial.decision)
    return EXPORTS[form](trial.study, summary, decision, trial.manifest)


def hostile(trial: Trial) -> Trial:
    summary = trial.copied()
    summary["tasks"]["sums"]["workload"] = HOSTILE
    return trial.with_summary(summary)


def test_every_number_of_a_row_is_the_summarys(trial: Trial) -> None:
    found = list(rows(load_summary(trial.summary), load_decision(trial.decision)))
    arms, tasks = len(trial.summary["arms"]), trial.summary["tasks"].values()
    assert len(found) == arms * sum(len(task["endpoints"]) for task in tasks)
    for row in found:
        part = trial.summary["tasks"][row.task]["endpoints"][row.endpoint]
        own = part["arms"][row.arm]
        assert (row.estimate, [row.low, row.high]) == (own["estimate"], own["ci"])
        assert (row.n, row.confidence) == (own["n"], own["confidence"])
        assert (row.finding is None) == (row.arm == "f16")
        if row.finding:
            (one,) = [c for c in part["contrasts"] if c["id"] == row.finding]
            assert (one["candidate"], one["reference"]) == (row.arm, "f16")
            assert row.difference == one["estimate"]
            assert [row.difference_low, row.difference_high] == one["ci"]
            assert (row.p_adjusted, row.verdict) == (one["p_adjusted"], one["verdict"])


def test_json_and_csv_hold_the_same(trial: Trial) -> None:
    objects = json.loads(exported(trial, "json"))
    lines = list(csv.DictReader(io.StringIO(exported(trial, "csv"))))
    assert tuple(lines[0]) == COLUMNS == tuple(objects[0])
    for line, one in zip(lines, objects, strict=True):
        for key, value in one.items():
            shown = "" if value is None else str(value)
            assert line[key] == (shown.lower() if isinstance(value, bool) else shown), key


@pytest.mark.parametrize("start", ["=", "+", "-", "@", " =", "\t="])
def test_a_spreadsheet_runs_no_formula(trial: Trial, start: str) -> None:
    summary = trial.copied()
    summary["tasks"]["sums"]["workload"] = f"{start}1+1"
    text = exported(trial.with_summary(summary), "csv")
    (seen,) = {
        line["workload"] for line in csv.DictReader(io.StringIO(text)) if line["task"] == "sums"
    }
    assert seen.startswith("'")


def test_latex_by_hand(trial: Trial) -> None:
    text = exported(trial, "latex")
    own = trial.summary["tasks"]["sums"]["endpoints"]["accuracy"]["arms"]["q8_0"]
    cells = next(
        line.strip().removesuffix(" \\\\").split(" & ")
        for line in text.splitlines()
        if " & q8\\_0 & " in line
    )
    assert cells[1] == f"{100 * own['estimate']:.1f}"
    assert cells[2] == f"{100 * own['ci'][0]:.1f} to {100 * own['ci'][1]:.1f}"
    assert text.count("\\begin{table}") == text.count("\\end{table}") == 2
    assert "\\label{tab:small-sums}" in text
    # every row of a table has the columns that the table declares
    for line in text.splitlines():
        if line.endswith("\\\\"):
            assert len(re.findall(r"(?<!\\)&", line)) == 6, line


def test_latex_escapes_by_hand() -> None:
    assert latex_escape("a_b & 50% #1 {x} ~^ \\input") == (
        r"a\_b \& 50\% \#1 \{x\} \textasciitilde{}\textasciicircum{} \textbackslash{}input"
    )
    # `\textquotedbl` is not in the default encoding; two hyphens or quotes would become one sign
    assert latex_escape("\"a\" -- ''`") == (
        r"\symbol{34}a\symbol{34} {-}{-} {'}{'}\textasciigrave{}"
    )


def test_latex_of_letters_beyond_ascii_by_hand() -> None:
    assert latex_escape("Größe, naïve, č") == r"Gr\"{o}\ss{}e, na\"{i}ve, \v{c}"
    # pdfLaTeX stops at a letter that it does not know, even where it only stands in a caption
    assert latex_escape("日") == r"\quantrialletter{65E5}{日}"
    assert latex_escape("x\u0351") == "x\\quantrialletter{0351}{\u0351}"


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
def test_latex_of_every_hostile_text_compiles_against_reference(
    trial: Trial, tmp_path: Path
) -> None:
    tables = []
    for text in (*HOSTILE_TEXTS.values(), "Größe č ł", "日本語 русский → ½ 🙂", "-- '' ?` [x]"):
        summary = trial.copied()
        for part in summary["tasks"].values():
            part["workload"] = text[:300]
        tables.append(exported(trial.with_summary(summary), "latex"))
    body = "\n\\clearpage\n".join(tables)
    (tmp_path / "t.tex").write_text(
        f"\\documentclass{{article}}\\usepackage{{booktabs}}\n\\begin{{document}}\n{body}\n"
        "\\end{document}\n",
        encoding="utf-8",
    )
    words = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape", "t.tex"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout.decode(errors="replace")[-2000:]
    assert (tmp_path / "t.pdf").stat().st_size > 10_000


def test_a_model_card_is_what_the_hub_reads_against_reference() -> None:
    text = quantrial.export(EXAMPLE, "model-card")
    assert text.startswith("---\n")
    block = yaml.safe_load(text.split("---\n")[1])
    summary = json.loads((EXAMPLE / "summary.json").read_bytes())
    assert [model["name"] for model in block["model-index"]] == ["f16", "q8_0", "q4_0"]
    for model in block["model-index"]:
        _, results = model_index_to_eval_results([model])
        told = {(r.dataset_name, r.metric_name): r.metric_value for r in results}
        for task, part in summary["tasks"].items():
            for endpoint, found in part["endpoints"].items():
                assert told[task, endpoint] == found["arms"][model["name"]]["estimate"]
        assert {r.task_type for r in results} == {"multiple-choice", "token-classification"}


def test_a_model_card_names_the_users_own_task_and_file_against_reference(trial: Trial) -> None:
    block = yaml.safe_load(exported(trial, "model-card").split("---\n")[1])
    _, results = model_index_to_eval_results(block["model-index"][:1])
    found = {(r.task_name, r.dataset_name, (r.dataset_args or {})["file"]) for r in results}
    assert found == {
        ("reasoning", "sums", "questions.jsonl"),
        ("extraction", "names", "sentences.jsonl"),
    }


def test_a_paragraph_says_pick_arms_and_check() -> None:
    text = quantrial.export(EXAMPLE, "paragraph")
    assert text.count("\n") == 1
    assert text.startswith("**Stay with f16**, after 192 items of reasoning and 120 items of ")
    for arm in ("`q4_0` (", "`q8_0` (", "`f16` is the reference"):
        assert arm in text
    assert "rounded" not in text
    found = json.loads((EXAMPLE / "decision.json").read_bytes())["findings"]
    low, high = found["quiz.accuracy.q8_0.vs.f16"]["equivalence_ci"]
    shown = f"{100 * low:+.1f} to {100 * high:+.1f} pp".replace("-", "−")
    assert f"is equivalent on reasoning (0.0 pp, 90 % interval {shown})" in text


def test_a_paragraph_says_what_is_in_doubt(trial: Trial) -> None:
    def given(*texts: str, because: str | None = None) -> str:
        entry = {"because": [because] if because else [], "evidence": []}
        cautions = [{"text": text, **entry} for text in texts]
        return exported(
            replace(trial, decision={**trial.decision, "cautions": cautions}), "paragraph"
        )

    assert "Caution" not in given()
    assert "Caution" not in given("It rests on a finding.", because="sums.accuracy.q4_0.vs.f16")
    said = given("On w, <ponder> looks like a tag.", "Two.", "Three.", "Four.", "Five.")
    assert "**Caution:** On w, \\<ponder\\> looks like a tag. Two. Three." in said
    assert "2 cautions more in the report." in said
    assert "Four" not in said
    assert "1 caution more in the report." in given("1.", "2.", "3.", "4.")


@pytest.mark.parametrize("form", list(EXPORTS))
def test_outside_text_is_inert(trial: Trial, form: str) -> None:
    text = exported(hostile(trial), form)
    text.encode()  # no lone surrogate
    for character in text:
        assert character == "\n" or unicodedata.category(character)[0] != "C", form
    if form == "latex":
        assert "\\input" not in text
        assert "\\textbackslash{}input" in text
    if form == "paragraph":
        assert not re.search(r"(?<!\\)<script", text)
        assert text.count("\n") == 1
    if form == "model-card":
        assert isinstance(yaml.safe_load(text.split("---\n")[1]), dict)


def test_md_and_html_are_the_reports_own(tmp_path: Path) -> None:
    run = tmp_path / "demo"
    shutil.copytree(EXAMPLE, run)
    assert quantrial.export(run, "md") == (run / "report.md").read_text(encoding="utf-8")
    assert quantrial.export(run, "html").startswith("<!doctype html>")


def test_an_unknown_form_is_refused() -> None:
    with pytest.raises(
        StudyError, match="'docx' is no format; there are md, html, json, csv, latex"
    ):
        quantrial.export(EXAMPLE, "docx")


def cli(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return command(*words)


def test_on_the_command_line(tmp_path: Path) -> None:
    printed = cli("report", EXAMPLE, "--format", "csv")
    assert (printed.returncode, printed.stderr) == (0, "")
    assert printed.stdout == quantrial.export(EXAMPLE, "csv")
    out = tmp_path / "table.tex"
    assert cli("report", EXAMPLE, "--format", "latex", "-o", out).stdout == f"{out} written\n"
    assert out.read_text(encoding="utf-8") == quantrial.export(EXAMPLE, "latex")
    wrong = cli("report", EXAMPLE, "--format", "docx")
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert "'docx' is no format" in wrong.stderr
    nowhere = cli("report", EXAMPLE, "--format", "csv", "-o", tmp_path / "no" / "t.csv")
    assert nowhere.returncode == 2
    assert "cannot be written" in nowhere.stderr


def test_exporting_changes_nothing_in_the_run(tmp_path: Path) -> None:
    before: dict[Path, Any] = {p: p.read_bytes() for p in EXAMPLE.rglob("*") if p.is_file()}
    for form in EXPORTS:
        quantrial.export(EXAMPLE, form)
    assert {p: p.read_bytes() for p in EXAMPLE.rglob("*") if p.is_file()} == before
