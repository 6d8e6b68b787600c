"""The commands that read what other programs collected."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from quantrial.cli.examples import examples
from quantrial.cli.options import Json

importer = typer.Typer(
    help="Read answers that another program collected.", no_args_is_help=True, rich_markup_mode=None
)


@importer.command("reference", epilog=examples("import reference"))
def import_reference(  # noqa: PLR0913, PLR0917 - each parameter is an option of the command
    directory: Annotated[
        Path, typer.Argument(metavar="DIR", help="Holds <task>_<arm>.jsonl files.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="The run folder to make.")],
    reference: Annotated[
        str | None,
        typer.Option(help="The reference arm.", show_default="the first of fp16, f16, bf16"),
    ] = None,
    margin: Annotated[
        str, typer.Option(metavar="LOSS", help="Largest loss that counts as the same.")
    ] = "1pp",
    seed: Annotated[int, typer.Option(help="The seed of the bootstrap.")] = 0,
    scoring: Annotated[
        str, typer.Option(help="How letters are read: first_letter or answer_letter.")
    ] = "first_letter",
    task: Annotated[
        list[str] | None,
        typer.Option(metavar="TASK", help="Read this task only; may be given several times."),
    ] = None,
    name_task: Annotated[
        list[str] | None,
        typer.Option(
            metavar="OLD=NAME:KIND:WORKLOAD",
            help="Files OLD_<arm>.jsonl hold the task NAME, of kind choice or spans, that stands "
            "for WORKLOAD; may be given several times.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Read the layout of published studies: one JSONL file a task and arm."""
    from quantrial.cli import show
    from quantrial.commands import studies
    from quantrial.importers import ImportOptions, parse_named_task
    from quantrial.units import parse_fraction

    found = studies.import_reference(
        directory,
        out,
        reference=reference,
        options=ImportOptions(
            margin=parse_fraction(margin, "margin"),
            seed=seed,
            scoring=scoring,
            tasks=tuple(task or ()),
            named=tuple(map(parse_named_task, name_task or ())),
        ),
    )
    show.document(found) if as_json else show.imported(found)
