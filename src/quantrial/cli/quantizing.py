"""The command that makes arms from one model file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from quantrial.cli.consent import Yes
from quantrial.cli.options import Json
from quantrial.cli.quantities import size
from quantrial.cli.terminal import line


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
    """Make arms from one model file, so that nothing but precision differs.

    Prints the lines for the study file. F16, Q8_0 and the types from Q6_K down to Q2_K are written
    here (docs/engines.md has the list), others by llama-quantize on the PATH or by the extra
    `quantize`.
    """
    from quantrial.cli import show
    from quantrial.cli.consent import fetch_missing_file
    from quantrial.commands import provision
    from quantrial.errors import StudyError

    types = [*(to or ()), *(more or ())]
    if not types:
        raise StudyError("name at least one type: --to Q8_0 Q4_0")
    fetch_missing_file(model, yes=yes)
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
            f"# {size(one.bytes)}: {kinds}{before}"
        )
