"""`quantrial import`: answers, scores and logs of other programs, to a run folder."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import gc
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from quantrial.cli.options import AllowFaults, Json, examples

if TYPE_CHECKING:
    from quantrial.importers import LogOptions

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
_Out = Annotated[Path, typer.Option("--out", "-o", help="The run folder to make.")]
_Reference = Annotated[
    str | None,
    typer.Option(help="The reference arm.", show_default="fp16, f16, bf16, or the first arm"),
]
_Margin = Annotated[str, typer.Option(metavar="LOSS", help="Largest loss that counts as the same.")]
_Weights = Annotated[
    list[str] | None,
    typer.Option(metavar="ARM=TYPE:SIZE", help="What an arm's weights are: q4=4bit:4.1GB."),
]
_Ranges = Annotated[
    list[str] | None,
    typer.Option(
        "--range",
        metavar="[METRIC=]LOW:HIGH",
        help="The least and the largest value that scores can have.",
        show_default="0:1",
    ),
]
_Beside = Annotated[
    list[str] | None,
    typer.Option(
        metavar="ARM=FILE",
        help="What llama-bench (-o json), vllm bench serve (--save-detailed) or llama-perplexity "
        "measured of an arm: evidence beside the verdict. May be given several times.",
    ),
]
_OnlyImport = Annotated[bool, typer.Option("--only-import", help="Stop before the analysis.")]


@importer.command("auto", epilog=examples("import auto"))
@importer.command("deepeval", epilog=examples("import deepeval"))
@importer.command("helm", epilog=examples("import helm"))
@importer.command("inspect", epilog=examples("import inspect"))
@importer.command("lighteval", epilog=examples("import lighteval"))
@importer.command("lm-eval", epilog=examples("import lm-eval"))
@importer.command("promptfoo", epilog=examples("import promptfoo"))
def import_logs(  # noqa: PLR0913, PLR0917 - each parameter is an option of the command
    ctx: typer.Context,
    arms: _LOG_ARMS,
    out: _Out,
    reference: _Reference = None,
    margin: _Margin = "1pp",
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
    allow: AllowFaults = None,
    weights: _Weights = None,
    ranges: _Ranges = None,
    beside: _Beside = None,
    only_import: _OnlyImport = False,
    as_json: Json = False,
) -> None:
    """Read logs of another harness, one an arm, then print the decision.

    Of lm-eval, output folders of `--log_samples`; of Inspect, `.eval` or `.json` files; of
    promptfoo, `.json` or `.jsonl`, with several providers in one file or one in each; of lighteval,
    output folders of `--save-details`; of HELM, folders with its runs; of DeepEval, test runs in
    JSON; `auto` guesses which it is and says so. Items are paired and held against each other: what
    does not fit is refused, with the option that allows it.
    """
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
        _ranges(ranges or ()),
    )
    form, goes_on = str(ctx.info_name), not only_import
    _read(form, arms, out, options, beside or (), goes_on=goes_on, as_json=as_json)


@importer.command("table", epilog=examples("import table"))
def import_table(  # noqa: PLR0913, PLR0917 - each parameter is an option of the command
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="[ARM=]FILE...",
            help="CSV, TSV, JSONL, JSON, Parquet or Excel; with names, a file an arm.",
        ),
    ],
    out: _Out,
    key: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="The items' ids.", show_default="id, ...")
    ] = None,
    arm: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN",
            help="The arms' names, of a table with a row an item and arm.",
            show_default="arm, model, ...",
        ),
    ] = None,
    score: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[ARM=]COLUMN",
            help="A column of scores, the first one primary; of a table with a row an item, each "
            "arm's own: f16=correct_f16. May be given several times.",
            show_default="correct, score, ...",
        ),
    ] = None,
    output: Annotated[
        list[str] | None,
        typer.Option(metavar="[ARM=]COLUMN", help="What was answered, for the report."),
    ] = None,
    group: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="The groups of the items.")
    ] = None,
    gold: Annotated[str | None, typer.Option(metavar="COLUMN", help="The right answers.")] = None,
    prompt: Annotated[
        str | None, typer.Option(metavar="COLUMN", help="What the models were asked.")
    ] = None,
    sample: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN",
            help="Tells several answers to one item apart; the item's score is their mean.",
        ),
    ] = None,
    error: Annotated[
        str | None,
        typer.Option(metavar="COLUMN", help="Why there is no answer; empty where there is one."),
    ] = None,
    sheet: Annotated[
        str | None, typer.Option(metavar="NAME", help="Of an Excel file.", show_default="the first")
    ] = None,
    scorer: Annotated[
        str | None,
        typer.Option(
            metavar="SCORER",
            help="Score the outputs here: exact, contains, number, ..., or '{exact: {normalize: "
            "squad}}', as a study has it.",
        ),
    ] = None,
    gold_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The right answers by the items' ids, for --scorer."),
    ] = None,
    reference: _Reference = None,
    margin: _Margin = "1pp",
    ranges: _Ranges = None,
    allow: AllowFaults = None,
    weights: _Weights = None,
    beside: _Beside = None,
    only_import: _OnlyImport = False,
    as_json: Json = False,
) -> None:
    """Read a table of scores of your own, then print the decision.

    A row is an item and arm; or an item, with columns for each arm; or each arm has a file. Scores
    are 0 and 1, true and false, or numbers in a range; an empty one is a missing answer.
    """
    from quantrial.importers.table_columns import TableOptions

    options = TableOptions(
        reference=reference,
        margin=margin,
        stratify=group,
        allow=frozenset(allow or ()),
        weights=_by_arm(weights or (), "--weights"),
        ranges=_ranges(ranges or ()),
        key=key,
        arm=arm,
        scores=tuple(score or ()),
        outputs=tuple(output or ()),
        gold=gold,
        prompt=prompt,
        sample=sample,
        error=error,
        sheet=sheet,
        scorer=scorer,
        gold_file=gold_file,
    )
    _read("table", files, out, options, beside or (), goes_on=not only_import, as_json=as_json)


@importer.command("llama-bench", epilog=examples("import llama-bench"))
@importer.command("llama-perplexity", epilog=examples("import llama-perplexity"))
@importer.command("vllm", epilog=examples("import vllm"))
def import_benchmarks(
    ctx: typer.Context,
    files: Annotated[
        list[str], typer.Argument(metavar="ARM=FILE...", help="Each arm's name and its file.")
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="A run that has these arms: the findings go beside its verdict. Or a new folder.",
        ),
    ] = None,
    reference: _Reference = None,
    as_json: Json = False,
) -> None:
    """Read what a benchmark measured of each arm, and compare it with the reference.

    Of llama-bench, `-o json` or `jsonl`; of `vllm bench serve`, `--save-result --save-detailed`; of
    llama-perplexity, what it printed. A benchmark answers no items, so it is evidence and never a
    verdict. With `-o RUN` it stands beside the verdict of that run.
    """
    from quantrial.cli import show
    from quantrial.commands import studies

    found = studies.read_benchmarks(
        str(ctx.info_name), _by_arm(files, "ARM=FILE"), out, reference=reference
    )
    show.document(found) if as_json else show.benchmarks(found)


@contextlib.contextmanager
def _few_collections() -> Iterator[None]:
    """Look for circles of objects rarely: logs make none, and it is a fifth of the time."""
    before = gc.get_threshold()
    gc.set_threshold(10**6)
    try:
        yield
    finally:
        gc.set_threshold(*before)


@_few_collections()
def _read(
    form: str,
    given: Sequence[str],
    out: Path,
    options: LogOptions,
    beside: Sequence[str],
    *,
    goes_on: bool,
    as_json: bool,
) -> None:
    from quantrial.cli import show
    from quantrial.commands import results, studies
    from quantrial.errors import StudyError

    evidence = [(arm, path) for arm, _, path in (one.partition("=") for one in beside)]
    if any(not arm or not path for arm, path in evidence):
        raise StudyError("expected an arm and its file, like q4=bench.json", key="--beside")
    found = studies.read_log(form, log_paths(given), out, options=options, beside=evidence)
    if as_json and not goes_on:
        show.document(found)
        return
    if not as_json:
        show.imported(found, goes_on=goes_on)
    if not goes_on:
        return
    made = studies.conclude(found.folder)
    if as_json:
        show.document(
            {**dataclasses.asdict(found), "decision": made.decision, "report": made.files}
        )
    else:
        show.conclusion(made.files, found.folder, results.stated_options(found.folder))


def _ranges(given: Sequence[str]) -> dict[str, tuple[float, float]]:
    """Read `quality=1:5`, or `1:5` of all metrics.

    Raises:
        StudyError: it is no range.
    """
    from quantrial.errors import StudyError

    found = {}
    for text in given:
        metric, _, bounds = text.rpartition("=")
        low, _, high = bounds.partition(":")
        try:
            ends = float(low), float(high)
        except ValueError:
            ends = math.nan, math.nan
        if not -math.inf < ends[0] < ends[1] < math.inf:
            raise StudyError(f"expected a range like 1:5; got {text!r:.60}", key="--range")
        found[metric] = ends
    return found


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

    settings: dict[str, Any] = {}
    for text in setting or ():
        name, equals, value = text.partition("=")
        if not equals:
            raise StudyError(f"expected NAME=VALUE, got {text!r:.60}", key="--set")
        settings[name] = value
    found = import_answers(str(ctx.info_name), path, out, **settings)
    show.document(found) if as_json else show.imported(found)
