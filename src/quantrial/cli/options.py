"""Arguments and options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="A run folder, such as runs/demo.")]
StudyFile = Annotated[Path, typer.Argument(metavar="STUDY", help="A study file, or a run folder.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
