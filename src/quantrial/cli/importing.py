"""`quantrial import`: answers, scores and logs of other programs, to a run folder."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from quantrial.cli.options import Json, examples

_ANY = "any-format"


class _Importers(TyperGroup):
    """The formats of this package, and those that installed packages add."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Name every format."""
        from quantrial.registry import IMPORTERS

        own = super().list_commands(ctx)
        return [*own, *(name for name in IMPORTERS.names() if name not in own)]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Find the command of a format; one of another package takes what every format takes."""
        from quantrial.registry import IMPORTERS

        if cmd_name in super().list_commands(ctx) or cmd_name not in IMPORTERS.names():
            return super().get_command(ctx, cmd_name)
        command = copy.copy(super().get_command(ctx, _ANY))
        if command is not None:
            command.name, command.hidden = cmd_name, False
        return command


importer = typer.Typer(
    cls=_Importers,
    help="Read answers that another program collected.",
    no_args_is_help=True,
    rich_markup_mode=None,
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


@importer.command("scores", epilog=examples("import scores"))
def import_scores(  # noqa: PLR0913, PLR0917 - each parameter is an option of the command
    path: Annotated[
        Path, typer.Argument(metavar="FILE", help="JSONL or CSV: id, arm and scores, a row each.")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="The run folder to make.")],
    study: Annotated[
        Path | None,
        typer.Option(help="A study file that declares arms and endpoints.", show_default="made"),
    ] = None,
    reference: Annotated[
        str | None,
        typer.Option(help="The reference arm.", show_default="the first of fp16, f16, bf16"),
    ] = None,
    margin: Annotated[
        str, typer.Option(metavar="LOSS", help="Largest loss that counts as the same.")
    ] = "1pp",
    score: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COLUMN",
            help="A column of scores, the first one primary; may be given several times.",
            show_default="every column of numbers",
        ),
    ] = None,
    cluster: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="The groups that items come in.")
    ] = None,
    scored_by: Annotated[
        str | None, typer.Option(metavar="NAME", help="Who gave the scores, if no column says it.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Read scores that another program or a person gave."""
    from quantrial.cli import show
    from quantrial.importers import import_answers
    from quantrial.importers.scores import ScoreOptions

    options = ScoreOptions(
        study, reference, margin, tuple(score or ()), cluster=cluster, scored_by=scored_by
    )
    found = import_answers("scores", path, out, options=options)
    show.document(found) if as_json else show.imported(found)


_LOG_ARMS = Annotated[
    list[str],
    typer.Argument(
        metavar="[ARM=]PATH...",
        help="Each arm's name and its logs; names may be left out where logs tell them.",
    ),
]


@importer.command("auto", epilog=examples("import auto"))
@importer.command("inspect", epilog=examples("import inspect"))
@importer.command("lm-eval", epilog=examples("import lm-eval"))
def import_logs(  # noqa: PLR0913, PLR0917 - each parameter is an option of the command
    ctx: typer.Context,
    arms: _LOG_ARMS,
    out: Annotated[Path, typer.Option("--out", "-o", help="The run folder to make.")],
    reference: Annotated[
        str | None,
        typer.Option(help="The reference arm.", show_default="fp16, f16, bf16, or the first arm"),
    ] = None,
    margin: Annotated[
        str, typer.Option(metavar="LOSS", help="Largest loss that counts as the same.")
    ] = "1pp",
    task: Annotated[
        list[str] | None,
        typer.Option(metavar="TASK", help="A task or group to read; may be given several times."),
    ] = None,
    filters: Annotated[
        list[str] | None,
        typer.Option(
            "--filter", metavar="[TASK=]FILTER", help="Which filter to read, where there are more."
        ),
    ] = None,
    metric: Annotated[
        list[str] | None,
        typer.Option(
            metavar="METRIC",
            help="A metric to read, the first one primary; may be given several times.",
            show_default="every metric from 0 to 1",
        ),
    ] = None,
    stratify: Annotated[
        str | None, typer.Option(metavar="FIELD", help="A field of the items: their groups.")
    ] = None,
    latest: Annotated[
        bool, typer.Option("--latest", help="Of several runs of an arm, read the newest.")
    ] = False,
    allow: Annotated[
        list[str] | None,
        typer.Option(
            metavar="WHAT",
            help="Let through: unpaired, different-prompts, changed-golds or duplicates.",
        ),
    ] = None,
    weights: Annotated[
        list[str] | None,
        typer.Option(metavar="ARM=TYPE:SIZE", help="What an arm's weights are: q4=4bit:4.1GB."),
    ] = None,
    only_import: Annotated[
        bool, typer.Option("--only-import", help="Stop before the analysis.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Read logs of another harness, one an arm, then print the decision.

    Of lm-eval, output folders of `--log_samples`; of Inspect, `.eval` or `.json` files; `auto`
    guesses which it is and says so. Items are paired by task and number, and held against each
    other: what does not fit is refused, with the option that allows it.
    """
    from quantrial.cli import show
    from quantrial.commands import results, studies
    from quantrial.importers import LogOptions

    options = LogOptions(
        reference,
        margin,
        tuple(task or ()),
        tuple(filters or ()),
        tuple(metric or ()),
        stratify,
        latest,
        frozenset(allow or ()),
        _by_arm(weights or (), "--weights"),
    )
    found = studies.read_log(str(ctx.info_name), log_paths(arms), out, options=options)
    if as_json and only_import:
        show.document(found)
        return
    if not as_json:
        show.imported(found, goes_on=not only_import)
    if only_import:
        return
    made = studies.conclude(found.folder)
    if as_json:
        show.document(
            {**dataclasses.asdict(found), "decision": made.decision, "report": made.files}
        )
    else:
        show.conclusion(made.files, found.folder, results.stated_options(found.folder))


def log_paths(given: Sequence[str]) -> Mapping[str, Path] | Sequence[Path]:
    """Read paths with the names of their arms, or without any.

    Raises:
        StudyError: some have names and some do not, or a name stands twice.
    """
    if not any("=" in text and not Path(text).exists() for text in given):
        return list(map(Path, given))
    return {arm: Path(path) for arm, path in _by_arm(given, "ARM=PATH").items()}


def _by_arm(given: Sequence[str], option: str) -> dict[str, str]:
    """Read `f16=out/f16` and the like.

    Raises:
        StudyError: a name or a value is missing, or a name stands twice.
    """
    from quantrial.errors import StudyError

    found: dict[str, str] = {}
    for text in given:
        name, _, value = text.partition("=")
        if not name or not value or name in found:
            raise StudyError(
                f"expected each arm's name once, like f16=out/f16; got {text!r:.60}", key=option
            )
        found[name] = value
    return found


@importer.command(_ANY, hidden=True)
def import_any(
    ctx: typer.Context,
    path: Annotated[Path, typer.Argument(metavar="PATH", help="What the other program wrote.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The run folder to make.")],
    setting: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="A setting of the importer's own."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Read answers by the importer of an installed package."""
    from quantrial.cli import show
    from quantrial.errors import StudyError
    from quantrial.importers import import_answers

    settings = {}
    for text in setting or ():
        name, equals, value = text.partition("=")
        if not equals:
            raise StudyError(f"expected NAME=VALUE, got {text!r:.60}", key="--set")
        settings[name] = value
    found = import_answers(str(ctx.info_name), path, out, **settings)
    show.document(found) if as_json else show.imported(found)
