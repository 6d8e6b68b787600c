"""From the text of a study file to a study, or to what is wrong with it."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from quantrial import paths
from quantrial.errors import StudyError
from quantrial.registry import SOURCES, TASKS
from quantrial.strict_yaml import MOST_BYTES, parse_yaml, too_large
from quantrial.study.constraints import DecisionPart
from quantrial.study.design import Design
from quantrial.study.model import Analysis, Arm, Study, Weights
from quantrial.study.problems import explain_all
from quantrial.study.speed import Speed


def load_study(path: Path | str) -> Study:
    """Read and check a study file.

    Raises:
        StudyError: the file is missing, unreadable, not YAML, or a key or value in it is wrong; the
            message names the key and, for a misspelt one, the nearest valid key.

    Example:
        >>> study = quantrial.load_study("study.yaml")
        >>> study.reference, list(study.arms)
        ('f16', ['f16', 'q8_0', 'q4_0'])
    """
    path = Path(path)
    return parse_study(read_study_text(path), path=path)


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
        (key, message), *others = explain_all(exc.errors(), _valid_keys)
        also = "".join(f"\n  {other}: {said}" for other, said in others)
        raise StudyError(message + also, path=path, key=key or None) from exc


def _valid_keys(location: list[str]) -> list[str]:
    model: Any = None
    match location[:-1]:
        case []:
            model = Study
        case ["design"]:
            model = Design
        case ["analysis"]:
            model = Analysis
        case ["speed"]:
            model = Speed
        case ["decision"]:
            model = DecisionPart
        case ["arms", _]:
            model = Arm
        case ["arms", _, "weights"]:
            model = Weights
        case ["tasks", _, kind]:
            model = TASKS.load(kind).part
        case ["tasks", _, _, "source", of]:
            model = SOURCES.load(of).part
    return list(model.model_fields) if model else []
