"""The command that prints what arms are shown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from quantrial.cli.consent import Yes, agree_to_keys
from quantrial.cli.options import Json, StudyFile
from quantrial.cli.terminal import heading, line, paragraph

if TYPE_CHECKING:
    from quantrial.commands.prompts import ShownPrompt


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
    """Print what an arm is really shown, item by item.

    The chat template is applied where that can be known (the embedded engine, llama-server); no
    model is loaded for it. Elsewhere the messages are printed. Arms that are shown the same stand
    together. In a run folder the tokens that each arm counted stand beside.
    """
    from quantrial.cli import show
    from quantrial.commands import prompts as command

    agree_to_keys(study, yes=yes)
    found = command.prompts(study, task=task, item=item, arm=arm, everything=everything)
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
        how = "template applied" if one.messages else "a text to be continued, without a template"
        paragraph(f"{', '.join(one.arms)}: {how}", indent="  ")
        _quoted(one.text)
    else:
        paragraph(
            f"{', '.join(one.arms)}: these messages are sent. What the model reads of them is not "
            f"known: {one.unknown}",
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
        said.append(f"It ends in {one.opens_thought}: the answer begins inside a thought.")
    answer = f"The answer has at most {one.max_tokens:,} tokens"
    if one.stop:
        answer += f", ends at {', '.join(map(repr, one.stop))}"
    if one.held_to is not None:
        answer += f", is held to {one.held_to}"
    said.append(f"{answer}.")
    if one.tokens:
        counts = ", ".join(f"{arm} {tokens:,}" for arm, tokens in one.tokens.items())
        said.append(f"Tokens counted when it was asked: {counts}.")
    if one.as_asked is False:
        said.append("When it was asked the messages were others: the study's data have changed.")
    return said
