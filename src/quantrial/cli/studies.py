"""The commands that make a run or its arms: from init over plan and run to demo."""

from __future__ import annotations

import contextlib
import dataclasses
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from quantrial.cli.consent import AllowCode, Yes, agree_to_keys, code_gate
from quantrial.cli.options import Json, StudyFile
from quantrial.cli.terminal import heading, line, paragraph
from quantrial.errors import StudyError
from quantrial.words import terminal_size

if TYPE_CHECKING:
    from quantrial.commands.prompts import ShownPrompt


@contextlib.contextmanager
def _resumable() -> Iterator[None]:
    """Say on Ctrl-C that nothing is lost."""
    try:
        yield
    except KeyboardInterrupt:
        line("\nstopped. What is recorded is kept; the same command goes on", error=True)
        raise typer.Exit(130) from None


def init(
    path: Annotated[Path, typer.Argument(help="Where to write it.")] = Path("study.yaml"),
    preset: Annotated[
        str, typer.Option(help="embedded (a small model, no server) or ollama-llama31.")
    ] = "embedded",
    workload: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Your own work: routing (labels), extraction (JSON), qa (short answers), math "
            "(numbers), tools (calls) or custom (your own scorer); or with generated items "
            "long-context, instructions, languages, routing, qa, math, extraction or tools.",
        ),
    ] = None,
    items: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Your items: JSONL, CSV, Parquet or Excel.",
            show_default="a few examples, written beside",
        ),
    ] = None,
    gold: Annotated[
        str | None,
        typer.Option(
            metavar="FIELD", help="The field with the right answer.", show_default="by its name"
        ),
    ] = None,
    generate: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            help="Ask N generated items.",
            show_default="300 of long-context, instructions and languages",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Write a study file to start from.

    With --workload, one around your own items. It then prints what the file of items holds: fields,
    labels, lengths, copies, and what `plan` would refuse. With --generate, one around items that
    are made from a seed, for work where low precision is reported to do damage.
    """
    from quantrial.cli import show
    from quantrial.commands import studies
    from quantrial.commands.workloads import is_generated

    if workload is not None and is_generated(workload, items, generate):
        started_with = studies.start_generated(
            path, preset=preset, workload=workload, count=generate
        )
        show.document({"study": started_with}) if as_json else line(
            f"{started_with} written. Next: quantrial plan {started_with}"
        )
        return
    if workload is not None or items is not None or gold is not None:
        started = studies.start_workload(
            path, preset=preset, workload=workload, items=items, gold=gold
        )
        show.document(started) if as_json else show.started(started)
        return
    written = studies.init(path, preset=preset)
    if as_json:
        show.document({"study": written})
    else:
        line(f"{written} written. Next: quantrial plan {written}")


def plan(
    study: StudyFile,
    probe: Annotated[
        bool | None,
        typer.Option(
            "--probe/--no-probe",
            help="Load the arms and time a few calls.",
            show_default="if all arms are small and on this machine",
        ),
    ] = None,
    *,
    gate_file: Annotated[
        Path | None,
        typer.Option(
            "--gate",
            metavar="FILE",
            help="Say whether these requirements of a gate can be met.",
            show_default="`gate` of the study",
        ),
    ] = None,
    yes: Yes = False,
    allow_code: AllowCode = False,
    as_json: Json = False,
) -> None:
    """Say what a study costs and can detect.

    Before anything is spent: items, calls, tokens, model sizes, memory, time (from a few timed
    calls), and how many items a decision needs. Offers to fetch missing models. Exit 1 when an arm
    does not fit in memory, or refuses what the study asks.
    """
    from quantrial.cli import show
    from quantrial.cli.consent import agree_to_keys, fetch_missing
    from quantrial.cli.progress import telling
    from quantrial.commands import studies
    from quantrial.commands.derived import open_study

    opened = open_study(study)
    agree_to_keys(opened, yes=yes)
    fetch_missing(opened, yes=yes)
    gate = code_gate("plan", allowed=allow_code)
    with telling() as tell:
        found = studies.plan(opened, probe=probe, tell=tell, before_code=gate, gate=gate_file)
    show.document(found) if as_json else show.plan(found)
    if not found.fits:
        sys.exit(1)


def run(  # noqa: PLR0913 - each parameter is an option of the command
    study: StudyFile,
    *,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="The run folder.", show_default="runs/<name>")
    ] = None,
    retry_faults: Annotated[
        bool,
        typer.Option("--retry-faults", help="Ask only the calls again that ended in a fault."),
    ] = False,
    no_speed: Annotated[
        bool, typer.Option("--no-speed", help="Skip the speed phase for now.")
    ] = False,
    only_answers: Annotated[
        bool,
        typer.Option("--only-answers", help="Stop once all answers are in, before the analysis."),
    ] = False,
    yes: Yes = False,
    allow_code: AllowCode = False,
    show_scores: Annotated[
        bool,
        typer.Option(
            "--show-scores",
            help="Show interim scores. A run that is stopped because of them proves nothing.",
        ),
    ] = False,
    as_json: Json = False,
) -> None:
    """Ask every item of every arm, then print the decision.

    Measures speed if the study has a speed phase. Once all answers are in, it does what `analyze`,
    `decide` and `report` do. You can stop it at any time: the same command, or `run` with the run
    folder, goes on from there. Asks before it downloads a model, and before a run that will take
    over an hour. Exit 1 when an arm answered nothing.
    """
    from quantrial.cli import consent, show
    from quantrial.cli.progress import InterimScores, listening, telling
    from quantrial.commands import results, studies
    from quantrial.commands.derived import open_study

    opened = open_study(study)
    new = not studies.begun(opened, out)
    scorer = None
    if show_scores:
        scorer = InterimScores(out or opened.folder or Path("runs") / opened.study.study)
    gate = code_gate("run", allowed=allow_code)
    if new:
        gate(opened.study)  # before anything is fetched
    consent.agree_to_keys(opened, yes=yes)
    consent.fetch_missing(opened, yes=yes)
    consent.agree_to_hours(opened, out, yes=yes, before_code=gate)
    for advice in studies.too_small(opened) if new else ():
        line(f"warning: {advice}", error=True)
    with _resumable(), listening(scorer) as listener:
        result = studies.run(
            opened,
            out=out,
            retry_faults=retry_faults,
            speed=not no_speed,
            listener=listener,
            before_code=gate,
        )
    goes_on = not (only_answers or result.unanswered or result.recorded < result.planned)
    if result.unanswered:
        show.unanswered(result)
    if not as_json:
        show.run(result)
    elif not goes_on:
        show.document(result)
    if result.unanswered:
        sys.exit(1)
    if not goes_on:
        if not as_json:
            line(f"Next: quantrial analyze {result.folder}")
        return
    with telling() as tell:
        tell("analysing the answers, deciding, drawing the report")
        found = studies.conclude(result.folder)
    if as_json:
        show.document(
            {**dataclasses.asdict(result), "decision": found.decision, "report": found.files}
        )
    else:
        show.conclusion(found.files, result.folder, results.stated_options(result.folder))
    if bare := studies.without_scores(result.folder):
        said = "no answer has a score, so nothing is decided there; the report says why"
        line(f"error: {', '.join(bare)}: {said}", error=True)
        sys.exit(1)


def demo(
    out: Annotated[Path, typer.Option("--out", "-o", help="The run folder.")] = Path("runs/demo"),
    as_json: Json = False,
) -> None:
    """Run a whole study on a small real model.

    Needs no server and no account; takes a few minutes.
    """
    from quantrial.cli import show
    from quantrial.cli.progress import listening
    from quantrial.commands import studies

    if not as_json:
        show.demo_opening(out)
    with _resumable(), listening() as listener:
        result = studies.demo(out, listener=listener)
    if as_json:
        show.document(result)
    else:
        show.conclusion(result.files, result.run.folder)


def quantize(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="A GGUF file, hf://... or package://...")
    ],
    more: Annotated[
        list[str] | None, typer.Argument(metavar="[TYPE]...", help="Further types.")
    ] = None,
    to: Annotated[
        list[str] | None, typer.Option("--to", help="A type, such as Q8_0 or Q4_K_M.")
    ] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder for the new files.")] = Path(
        "models"
    ),
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Make arms from one model file, so that they differ only in precision.

    Prints the lines for the study file. quantrial itself writes F16, Q8_0 and the types from Q6_K
    down to Q2_K (docs/engines.md lists them). Others need llama-quantize on the PATH, or the extra
    `quantize`.
    """
    from quantrial.cli import show
    from quantrial.cli.consent import fetch_missing_file
    from quantrial.cli.progress import telling
    from quantrial.commands import provision

    types = [*(to or ()), *(more or ())]
    if not types:
        raise StudyError("name at least one type: --to Q8_0 Q4_0")
    fetch_missing_file(model, yes=yes)
    with telling() as tell:
        tell(f"writing {', '.join(types)}")
        made = provision.quantize(model, types, out=out)
    if as_json:
        show.document(made)
        return
    line("arms:")
    for one in made:
        kinds = ", ".join(
            f"{100 * share:.0f} % {kind}" for kind, share in one.stored_as.items() if share >= 0.005
        )
        before = (
            "" if one.quantized_before is None else f"; quantized before: {one.quantized_before}"
        )
        line(
            f"  {one.quantization.lower()}: {{model: {one.path}}}  "
            f"# {terminal_size(one.bytes)}: {kinds}{before}"
        )


def prompts(
    study: StudyFile,
    *,
    task: Annotated[
        str | None, typer.Option(metavar="NAME", help="Only this task.", show_default="all")
    ] = None,
    item: Annotated[
        str | None,
        typer.Option(
            metavar="ID",
            help="An item's id, or how it begins.",
            show_default="the first of each task",
        ),
    ] = None,
    arm: Annotated[
        str | None, typer.Option(metavar="NAME", help="Only this arm.", show_default="all")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Print every item.")] = False,
    yes: Yes = False,
    as_json: Json = False,
) -> None:
    """Print the exact prompt of each arm, item by item.

    With the chat template applied if the engine can do that (the embedded one, llama-server); no
    model is loaded. Other engines: the messages that are sent. Arms with the same prompt are listed
    together. Of a run folder, it also prints the tokens that each arm counted.
    """
    from quantrial.cli import show
    from quantrial.commands import prompts as command
    from quantrial.commands.derived import open_study

    opened = open_study(study)
    agree_to_keys(opened, yes=yes)
    found = command.prompts(opened, task=task, item=item, arm=arm, everything=everything)
    show.document(found) if as_json else _print(found)


def _print(found: Sequence[ShownPrompt]) -> None:
    last: tuple[str, str] | None = None
    for one in found:
        if (one.task, one.item) != last:
            heading(f"{one.task}, item {one.item}")
            last = (one.task, one.item)
        _one(one)
        line()


def _one(one: ShownPrompt) -> None:
    """Print one prompt; a bar in front of its lines keeps it apart from what is said of it."""
    if one.text is not None:
        how = "template applied" if one.messages else "plain text to continue, without a template"
        paragraph(f"{', '.join(one.arms)}: {how}", indent="  ")
        _quoted(one.text)
    else:
        paragraph(
            f"{', '.join(one.arms)}: these messages are sent. What the model reads is not known: "
            f"{one.unknown}",
            indent="  ",
        )
        for role, content in one.messages:
            line(f"  {role}:")
            _quoted(content)
    for said in _facts(one):
        paragraph(said, indent="  ")


def _quoted(text: str) -> None:
    for part in text.split("\n"):
        line(f"  │ {part}")


def _facts(one: ShownPrompt) -> list[str]:
    """List what is known of a prompt beside its text."""
    said = list(one.remarks)
    if one.opens_thought is not None:
        said.append(f"The prompt ends in {one.opens_thought}, so the answer begins as a thought.")
    answer = f"The answer has at most {one.max_tokens:,} tokens"
    if one.stop:
        answer += f", ends at {', '.join(map(repr, one.stop))}"
    if one.held_to is not None:
        answer += f", must follow {one.held_to}"
    said.append(f"{answer}.")
    if one.tools:
        said.append(f"It may call {', '.join(one.tools)}.")
    if one.tokens:
        counts = ", ".join(f"{arm} {tokens:,}" for arm, tokens in one.tokens.items())
        said.append(f"Prompt tokens in the run: {counts}.")
    if one.as_asked is False:
        said.append("The run asked other messages: the study's data changed since.")
    return said
