"""From the text of a study file to a study, or to what is wrong with it."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from quantrial import paths
from quantrial.errors import StudyError
from quantrial.runfolder import MANIFEST
from quantrial.runfolder import SCORERS as COPIES
from quantrial.strict_yaml import MOST_BYTES, parse_yaml, too_large
from quantrial.study.explaining import refusal
from quantrial.study.model import Study
from quantrial.study.parts import GatePart
from quantrial.study.scoring import ScoredPart

_MOST_INPUT = 65_536  # bytes of a file that comes into the study as a run keeps it


def load_study(path: Path | str) -> Study:
    """Read and check a study file.

    Raises:
        StudyError: the file is missing, unreadable, not YAML, or a key or value in it is wrong; the
            message names the key and, for a misspelt one, the nearest valid key. Or a file of
            Python that it scores by is missing.

    Example:
        >>> study = quantrial.load_study("study.yaml")
        >>> study.reference, list(study.arms)
        ('f16', ['f16', 'q8_0', 'q4_0'])
    """
    path = Path(path)
    return with_inputs(parse_study(read_study_text(path), path=path), path.parent)


def with_inputs(study: Study, folder: Path) -> Study:
    """Return a study that knows what its scorers' files say; the same where they name none.

    Args:
        study: the study.
        folder: where its file lies. In a run folder files of Python are the copies in `scorers/`,
            whatever lies elsewhere by now: a run is whole without the study's own folder.

    Raises:
        StudyError: a file cannot be read, or does not hold what it should, or two files of Python
            have one name; the key names the scorer.
    """
    tasks: dict[str, Any] = {}
    copies: dict[str, str] = {}
    for name, task in study.tasks.items():
        if not isinstance(task, ScoredPart):
            continue
        parts = []
        for number, part in enumerate(task.score):
            key = f"tasks.{name}.score.{number}"
            if part.runs and copies.setdefault(Path(part.runs).name, part.runs) != part.runs:
                raise StudyError(
                    f"{copies[Path(part.runs).name]} and {part.runs} have one name, and a run "
                    "keeps a copy of each: rename one of them",
                    key=key,
                )
            try:
                parts.append(part.whole(lambda file, key=key: _input(file, folder, key)))
            except ValueError as exc:
                raise exc if isinstance(exc, StudyError) else StudyError(str(exc), key=key) from exc
        if any(new is not old for new, old in zip(parts, task.score, strict=True)):
            tasks[name] = task.model_copy(update={"score": tuple(parts)})
    return study.model_copy(update={"tasks": {**study.tasks, **tasks}}) if tasks else study


def _input(file: str, folder: Path, key: str) -> bytes:
    if file.endswith(".py") and paths.is_file(folder / MANIFEST):
        path = folder / COPIES / Path(file).name
    else:
        path = paths.expanded(file, folder)
    try:
        with paths.open_file(path) as opened:
            data = opened.read(_MOST_INPUT + 1)
    except OSError as exc:
        raise StudyError(f"{path} cannot be read ({exc.strerror})", key=key) from exc
    if len(data) > _MOST_INPUT:
        raise StudyError(f"{path} is larger than {_MOST_INPUT:,} bytes", key=key)
    return data


def read_study_text(path: Path) -> str:
    """Read a study file as text, explaining why when it cannot be read."""
    try:
        with paths.open_file(path) as file:
            data = file.read(MOST_BYTES + 1)
        if len(data) > MOST_BYTES:
            raise StudyError(too_large(f"more than {MOST_BYTES:,} bytes"), path=path)
        return io.StringIO(data.decode("utf-8"), newline=None).read()
    except FileNotFoundError as exc:
        raise StudyError(
            "no such study file; `quantrial init` writes one to start from", path=path
        ) from exc
    except UnicodeDecodeError as exc:
        raise StudyError(f"not UTF-8 (byte {exc.start}): save it as UTF-8", path=path) from exc
    except OSError as exc:
        raise StudyError(f"cannot be read ({exc.strerror})", path=path) from exc


def parse_study(text: str, *, path: Path | str | None = None) -> Study:
    """Check the text of a study file; `path` is for messages only."""
    data = parse_yaml(text, path=path)
    if not isinstance(data, dict):
        raise StudyError(
            "expected a mapping of keys such as `study:`, `arms:`, `tasks:`", path=path
        )
    try:
        return Study.model_validate(data)
    except ValidationError as exc:
        raise refusal(exc.errors(), Study, path) from exc


def parse_gate(data: object, *, path: Path | str | None = None) -> GatePart:
    """Check what a gate requires: the part `gate` of a study, with that key or without it.

    Raises:
        StudyError: a key or value in it is wrong; the message names the key.
    """
    own = data["gate"] if isinstance(data, dict) and data.keys() == {"gate"} else data
    try:
        return GatePart.model_validate(own)
    except ValidationError as exc:
        found = exc.errors()
        for one in found:
            one["loc"] = ("gate", *one["loc"])
        raise refusal(found, Study, path) from exc


def read_gate(path: Path | str) -> GatePart:
    """Read a file of what a gate requires; raises as `parse_gate`."""
    return parse_gate(parse_yaml(read_study_text(Path(path)), path=path), path=path)
