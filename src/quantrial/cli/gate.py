"""The command that a pipeline runs: gate."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from quantrial.cli import terminal
from quantrial.cli.consent import AllowCode
from quantrial.cli.options import AllowFaults, Json, RunFolder, examples
from quantrial.errors import StudyError


def gate(  # noqa: PLR0913 - each parameter is an option of the command
    run: RunFolder,
    *,
    gate_file: Annotated[
        Path | None,
        typer.Option(
            "--gate",
            metavar="FILE",
            help="A YAML file of requirements.",
            show_default="`gate` of the study",
        ),
    ] = None,
    arm: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="An arm that must pass; may be repeated."),
    ] = None,
    non_inferior: Annotated[
        str | None,
        typer.Option(
            metavar="LOSS", help="Pass only if a loss of this size is ruled out, such as 2pp."
        ),
    ] = None,
    no_worse_than: Annotated[
        str | None,
        typer.Option(metavar="LOSS", help="Fail only if a loss beyond this is shown."),
    ] = None,
    baseline: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Compare with the answers of a committed baseline."),
    ] = None,
    junit: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write JUnit XML into this file.")
    ] = None,
    summary: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Append Markdown to this file: $GITHUB_STEP_SUMMARY."),
    ] = None,
    allow_code: AllowCode = False,
    as_json: Json = False,
) -> None:
    """Hold a run against what a pipeline requires.

    Exit 0: all met. 1: a requirement is violated. 3: undecided. 4: the run shows nothing, since a
    validity check failed or answers are missing. 2: wrong use.
    """
    from quantrial.cli import show
    from quantrial.commands import gate as command

    required: Any = gate_file
    losses = {"non_inferior": non_inferior, "no_worse_than": no_worse_than}
    stated = [{name: loss} for name, loss in losses.items() if loss is not None]
    if stated or arm:
        if gate_file is not None:
            raise StudyError("gives requirements too; use one of the two", key="--gate")
        if not stated:
            raise StudyError("needs --non-inferior or --no-worse-than", key="--arm")
        required = {"arms": arm or [], "require": stated}
    result = command.check_gate(run, required, baseline=baseline)
    command.write_outputs(result, junit=junit, summary=summary)
    if as_json:
        show.document(result)
    else:
        show.gate(result)
    terminal.flush_all()
    sys.exit(result.exit_code)


baselines = typer.Typer(
    help="Keep the reference's answers for a gate.", no_args_is_help=True, rich_markup_mode=None
)


@baselines.callback()
def _baselines() -> None:
    # with one command alone, typer would leave out its name
    pass


@baselines.command("save", epilog=examples("baseline save"))
def save_baseline(
    run: RunFolder,
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="DIR", help="The folder to write and commit.")
    ],
    *,
    outcomes_only: Annotated[
        bool, typer.Option("--outcomes-only", help="Keep scores and no text, for private data.")
    ] = False,
    allow_code: AllowCode = False,
) -> None:
    """Keep the reference's answers as small files, for `quantrial gate --baseline DIR`."""
    from quantrial.commands import gate as command

    files = command.save_baseline(run, out, outcomes_only=outcomes_only)
    terminal.line(f"Wrote {', '.join(path.name for path in files)} in {out}. Commit them.")


def check(  # noqa: PLR0913 - each parameter is an option of the command
    reference: Annotated[
        str, typer.Argument(metavar="REFERENCE", help="A log, table or file of predictions.")
    ],
    candidate: Annotated[str, typer.Argument(metavar="CANDIDATE", help="That of the other arm.")],
    *,
    margin: Annotated[
        str, typer.Option(metavar="LOSS", help="The loss that has to be ruled out, such as 2pp.")
    ],
    gold: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Right answers of predictions, a line each or by id."),
    ] = None,
    scorer: Annotated[
        str | None,
        typer.Option(
            metavar="SCORER",
            help="What scores predictions: exact, contains, number, ..., or '{exact: {normalize: "
            "squad}}'.",
            show_default="exact",
        ),
    ] = None,
    key: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="The items' ids.", show_default="id, ...")
    ] = None,
    score: Annotated[
        str | None,
        typer.Option(metavar="COLUMN", help="The scores.", show_default="correct, score, ..."),
    ] = None,
    answer: Annotated[
        str | None,
        typer.Option(metavar="COLUMN", help="The predictions.", show_default="answer, output, ..."),
    ] = None,
    task: Annotated[
        list[str] | None,
        typer.Option(metavar="TASK", help="A task of logs; may be given several times."),
    ] = None,
    filters: Annotated[
        list[str] | None,
        typer.Option("--filter", metavar="[TASK=]FILTER", help="A filter of logs."),
    ] = None,
    metric: Annotated[str | None, typer.Option(metavar="METRIC", help="A metric of logs.")] = None,
    allow: AllowFaults = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="A run folder to keep.", show_default="nothing is kept"),
    ] = None,
    as_json: Json = False,
) -> None:
    """Say PASS or FAIL of two logs, tables or predictions.

    Of two logs of a harness, two tables of scores, or two files of predictions. Exit 0, PASS: a
    loss of the margin is ruled out. 1, FAIL: it is shown. 3, UNDECIDED: neither. 4, INVALID: the
    files show nothing. 2: wrong use.
    """
    from quantrial.cli import show
    from quantrial.commands import gate as command
    from quantrial.importers import TableOptions

    options = TableOptions(
        tasks=tuple(task or ()),
        filters=tuple(filters or ()),
        metrics=(metric,) if metric else (),
        allow=frozenset(allow or ()),
        key=key,
        scores=(score,) if score else (),
        outputs=(answer,) if answer else (),
        scorer=scorer,
    )
    result = command.check(reference, candidate, margin=margin, gold=gold, out=out, options=options)
    if as_json:
        show.document(result)
    else:
        show.checked(result)
    terminal.flush_all()
    sys.exit(result.exit_code)


def audit(
    n: Annotated[int, typer.Option("--n", min=1, help="The items that both were scored on.")],
    reference: Annotated[
        float, typer.Option(help="The reference's share of right answers, such as 0.585.")
    ],
    candidate: Annotated[float, typer.Option(help="The candidate's.")],
    discordance: Annotated[
        float | None,
        typer.Option(help="The share of items on which the two differ, if you know or guess it."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Say what a published pair of scores can and cannot show.

    The same two scores come from a few changed answers or from hundreds that cancel out: it prints
    the range of p, and of the smallest loss that is ruled out.
    """
    from quantrial.cli import show
    from quantrial.gate.audit import audit as of

    found = of(n, reference, candidate, discordance=discordance)
    show.document(found) if as_json else terminal.paragraph(found.text)
