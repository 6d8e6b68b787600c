"""The commands that read a run: analyze, decide, report, verify."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from quantrial.cli.consent import AllowCode
from quantrial.cli.options import Json, RunFolder
from quantrial.cli.terminal import fail, write_text
from quantrial.cli.terminal import line as put_line
from quantrial.cli.terminal import text as put
from quantrial.errors import DataError, RecordError, RunChangedError, StudyError


def analyze(
    run: RunFolder,
    methods: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="The statistics: calibrated or classic.",
            show_default="the study's",
        ),
    ] = None,
    *,
    everything: Annotated[
        bool, typer.Option("--all", help="Print and draw secondary endpoints too.")
    ] = False,
    allow_code: AllowCode = False,
    as_json: Json = False,
) -> None:
    """Derive summary.json from the responses.

    Computes estimates, differences between arms, equivalence, failure modes and speed.
    """
    from quantrial.cli import show, tell
    from quantrial.commands import results
    from quantrial.documents import load_summary

    summary = results.analyze(run, methods=methods)
    if as_json:
        show.document(summary)
    else:
        tell.summary(load_summary(summary), run, primary_only=not everything)


def decide(  # noqa: PLR0913 - each parameter is an option of the command
    run: RunFolder,
    *,
    max_memory: Annotated[
        str | None,
        typer.Option(
            metavar="SIZE",
            help="Most memory an arm may use, such as 8GB or 500MiB. Compares measured peaks if "
            "every arm has one, else sizes of weights.",
        ),
    ] = None,
    min_speedup: Annotated[
        float | None,
        typer.Option(metavar="RATIO", help="Lowest decoding speed, as a ratio to the reference's."),
    ] = None,
    max_latency: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Longest average time of an answer: 2s or 300ms."),
    ] = None,
    tolerate: Annotated[
        list[str] | None,
        typer.Option(
            metavar="LOSS",
            help="Largest acceptable loss: 2pp, or quiz=2pp for one task or workload.",
        ),
    ] = None,
    workloads: Annotated[
        list[str] | None,
        typer.Option(metavar="NAMES", help="The workloads that matter, separated by commas."),
    ] = None,
    workload: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="One workload that matters; may be repeated."),
    ] = None,
    cost_per_hour: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PRICE", help="What an hour of the machine costs: 2.5, or q4_0=1.2 for one arm."
        ),
    ] = None,
    error_cost: Annotated[
        str | None, typer.Option(metavar="PRICE", help="What one wrong answer costs.")
    ] = None,
    require_pick: Annotated[
        bool, typer.Option("--require-pick", help="Exit 1 when no arm keeps the constraints.")
    ] = False,
    allow_code: AllowCode = False,
    as_json: Json = False,
) -> None:
    """Turn the summary into a decision.

    Under your own constraints, if you give any here or in the study file. Writes decision.json, in
    which every sentence names its findings.
    """
    from quantrial import units
    from quantrial.cli import show, tell
    from quantrial.commands import results
    from quantrial.commands.derived import load_manifest
    from quantrial.decision import Constraints
    from quantrial.documents.decision import load_decision

    common, by_task = units.parse_named(tolerate or (), "--tolerate", units.parse_fraction)
    hour, by_arm = units.parse_named(cost_per_hour or (), "--cost-per-hour", units.parse_price)
    named = [part.strip() for one in workloads or () for part in one.split(",") if part.strip()]
    seconds = None if max_latency is None else units.parse_seconds(max_latency, "--max-latency")
    constraints = Constraints(
        max_memory=None if max_memory is None else units.parse_bytes(max_memory, "--max-memory"),
        min_speedup=min_speedup,
        max_latency=seconds,
        tolerate=common,
        tolerate_by=by_task,
        workloads=tuple(dict.fromkeys([*named, *(workload or ())])),
        cost_per_hour=hour,
        cost_per_hour_by=by_arm,
        error_cost=None if error_cost is None else units.parse_price(error_cost, "--error-cost"),
    )
    before = results.stated_options(run)
    document = results.decide(run, constraints)
    if as_json:
        show.document(document)
    else:
        _, summary, decision = results.load_results(run)
        tell.decision(summary, decision, load_manifest(run))
        tell.constraints(before, results.stated_options(run), run)
    if require_pick and not load_decision(document).has_pick:
        sys.exit(1)


def label(  # noqa: PLR0913 - each parameter is an option of the command
    run: RunFolder,
    out: Annotated[
        Path,
        typer.Option("--out", "-o", help="The sheet to write (CSV); with --read, the run to make."),
    ],
    *,
    arm: Annotated[
        str | None, typer.Option(metavar="NAME", help="Whose answers.", show_default="the only one")
    ] = None,
    most: Annotated[
        int | None,
        typer.Option(min=1, help="How many at most, drawn at random.", show_default="all"),
    ] = None,
    sheet: Annotated[
        Path | None, typer.Option("--read", metavar="FILE", help="A sheet with labels in it.")
    ] = None,
    by: Annotated[
        str | None, typer.Option(metavar="NAME", help="Who gave the labels; needed with --read.")
    ] = None,
    margin: Annotated[
        str, typer.Option(metavar="LOSS", help="Largest loss of preference that is accepted.")
    ] = "1pp",
    allow_code: AllowCode = False,
    as_json: Json = False,
) -> None:
    """Have a person judge the answers that changed, without seeing whose they are.

    Writes a sheet: the prompt, two answers in an order that is drawn, an empty column `better` for
    1, 2 or same. With --read the labels become a run of recorded scores.
    """
    from quantrial.cli import show
    from quantrial.commands import labels

    if sheet is None:
        written = labels.write_sheet(run, out, arm=arm, most=most)
        show.document(written) if as_json else show.sheet(written)
        return
    if by is None:
        raise StudyError("says who gave the labels; give a name", key="--by")
    found = labels.read_sheet(run, sheet, out, by=by, arm=arm, margin=margin)
    show.document(found) if as_json else show.imported(found)


def report(
    run: RunFolder,
    *,
    form: Annotated[
        str | None,
        typer.Option(
            "--format",
            metavar="FORM",
            help="Print the results instead: md, html, json, csv, latex, model-card (a block for "
            "the Hugging Face hub), paragraph (for a pull request) or badge (SVG, for a README); "
            "parquet needs --out.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="With --format: a file to write them to; with parquet also a folder, for all "
            "tables.",
        ),
    ] = None,
    terminal: Annotated[
        bool, typer.Option("--terminal", help="Print the report here instead of writing it.")
    ] = False,
    allow_code: AllowCode = False,
    as_json: Json = False,
) -> None:
    """Write report.md, report.html and plots."""
    from quantrial.cli import show, tell
    from quantrial.commands import results
    from quantrial.commands.derived import load_manifest

    if terminal and not as_json:
        _, summary, decision = results.load_results(run)
        tell.report(summary, decision, load_manifest(run))
        return
    if form == "parquet" and not as_json:
        if out is None:
            raise typer.BadParameter(
                "--format parquet needs --out: a file such as results.parquet, or a folder for "
                "the tables arms, contrasts, items and flips"
            )
        from quantrial.commands.tables import results as results_of

        for path in results_of(run).write_parquet(out):
            put_line(f"{path} written")
        return
    if form is not None:
        text = results.export(run, "json" if as_json else form)
        put(text) if out is None else write_text(out, text)
        return
    if out is not None:
        raise typer.BadParameter("--out needs --format")
    files = results.report(run)
    show.document(files) if as_json else show.report(files, results.stated_options(run))


def compare(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Two run folders or more.")],
    *,
    methods: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="The statistics: calibrated or classic.",
            show_default="the first run's",
        ),
    ] = None,
    allow_code: AllowCode = False,
    as_json: Json = False,
) -> None:
    """Compare runs of one study: another machine, another model.

    Compares each arm with itself across the runs, on the items that they share, by the same
    statistics. Prints the results of all runs in one table.
    """
    import quantrial
    from quantrial.cli import show, tell

    found = quantrial.compare(*runs, methods=methods)
    show.document(found) if as_json else tell.comparison(found)


def verify(
    run: Annotated[
        Path | None, typer.Argument(metavar="RUN", help="A run folder, such as runs/demo.")
    ] = None,
    *,
    document: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE",
            help="Check the marked numbers of a Markdown file instead; may be repeated.",
        ),
    ] = None,
    run_option: Annotated[
        Path | None,
        typer.Option(
            "--run", help="The run that the documents are about.", show_default="the one they name"
        ),
    ] = None,
    write: Annotated[
        bool, typer.Option("--write", help="Correct the marked numbers that differ.")
    ] = False,
    allow_code: AllowCode = False,
    as_json: Json = False,
) -> None:
    """Derive everything again and compare it with what is recorded.

    From the responses to the report. Exit 1 when something differs or is missing; each place is
    named by file and key. Windows line ends and unknown files are only noted. With --document it
    checks the marked numbers of Markdown files instead, and names line and key.
    """
    from quantrial.cli import show
    from quantrial.commands import results, verification

    if document:
        checks = [
            verification.verify_document(path, run=run_option or run, write=write)
            for path in document
        ]
        show.document(checks) if as_json else show.documents(checks)
        if not all(check.ok for check in checks):
            sys.exit(1)
        return
    if run is None or write or run_option is not None:
        needed = (
            "RUN: a run folder is needed" if run is None else "--run and --write need --document"
        )
        raise typer.BadParameter(needed)
    try:
        found = results.verify(run)
    except (RecordError, RunChangedError, StudyError, DataError) as exc:
        fail(exc, 1)  # what is recorded cannot be what was: the thing checked does not hold
    show.document(found) if as_json else show.verification(found)
    if not found.ok:
        sys.exit(1)


def log(
    run: RunFolder,
    to: Annotated[str, typer.Option("--to", metavar="TRACKER", help="mlflow, trackio or wandb.")],
    *,
    project: Annotated[
        str, typer.Option(metavar="NAME", help="The project or experiment there.")
    ] = "quantrial",
    with_report: Annotated[
        bool,
        typer.Option(
            "--with-report", help="Attach report.html too, which holds prompts and answers."
        ),
    ] = False,
    allow_code: AllowCode = False,
    as_json: Json = False,
) -> None:
    """Tell a tracker of experiments the results: numbers, verdicts, the decision.

    By the tracker's own client and its settings, such as MLFLOW_TRACKING_URI and WANDB_MODE.
    Prompts and answers stay here.
    """
    from quantrial.cli import show
    from quantrial.commands import tables

    where = tables.log_results(run, to, project=project, with_report=with_report)
    show.document({"to": to, "project": project, "where": where}) if as_json else put_line(where)


def redact(
    run: RunFolder,
    out: Annotated[Path, typer.Option("--out", "-o", help="The run folder to make.")],
    *,
    key: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="The key of an earlier call, so that equal texts of both runs stay equal.",
            show_default="a new one, in OUT.key",
        ),
    ] = None,
    keep: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FIELD",
            help="A field of the items' metadata to keep, or `error`; may be repeated.",
        ),
    ] = None,
    allow_code: AllowCode = False,
    as_json: Json = False,
) -> None:
    """Write a run folder that may be shown: its results stay, its texts do not.

    Texts, and ids and hashes made of them, become keyed hashes. The key is written beside OUT, in
    OUT.key: keep it to yourself, for with it short texts can be guessed. Names of the study, its
    arms, tasks and workloads stay, and so do types and hashes of weights.
    """
    from quantrial.cli import show
    from quantrial.commands.verification.redacting import redact as redact_run

    made = redact_run(run, out, key=key, keep=keep or ())
    if as_json:
        show.document(made)
        return
    put_line(f"{made.folder}: {made.items:,} items, {made.responses:,} answers, no texts.")
    if made.kept:
        put_line(f"Kept as they are: {', '.join(made.kept)}.")
    put_line(f"Its key is {made.key}. Do not publish it: with it, short texts can be guessed.")
    put_line(f"Next: quantrial verify {made.folder}")
