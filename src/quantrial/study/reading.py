"""From the text of a study file to a study, or to what is wrong with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import ValidationError

from quantrial import paths
from quantrial.errors import StudyError
from quantrial.study.constraints import DecisionPart
from quantrial.study.design import Design
from quantrial.study.model import Analysis, Arm, Study, Weights
from quantrial.study.problems import explain_all
from quantrial.study.sources import Source
from quantrial.study.speed import Speed
from quantrial.study.tasks import ChoiceTask, SpansTask


def load_study(path: Path | str) -> Study:
    """Read and check a study file.

    Raises:
        StudyError: the file is missing, unreadable, not YAML, or a key or value in it is wrong; the
            message names the key and, for a misspelt one, the nearest valid key.
    """
    path = Path(path)
    return parse_study(read_study_text(path), path=path)


def read_study_text(path: Path) -> str:
    """Read a study file as text, explaining why when it cannot be read."""
    try:
        return paths.read_text(path)
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
    try:
        data = yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as exc:
        mark = getattr(exc, "problem_mark", None)
        where = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        problem = getattr(exc, "problem", None) or str(exc).splitlines()[0]
        raise StudyError(f"not valid YAML{where}: {problem}", path=path) from exc
    except ValueError as exc:  # a date such as 2024-13-01
        raise StudyError(f"not valid YAML: {exc}", path=path) from exc
    except RecursionError as exc:
        raise StudyError("not valid YAML: nested too deeply", path=path) from exc
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


class _Loader(yaml.SafeLoader):
    """YAML as it is, but a key that stands twice is an error: the first one would be lost."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value if isinstance(node, yaml.MappingNode) else ():
            if not isinstance(key, yaml.ScalarNode):
                continue
            if key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key.value!r} stands twice", key.start_mark
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep)


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
            model = _KINDS[kind]
        case ["tasks", _, _, "source", of]:
            model = _TYPES[of]
    return list(model.model_fields) if model else []


_KINDS: dict[str, Any] = {"choice": ChoiceTask, "spans": SpansTask}
_TYPES: dict[str, Any] = {
    get_args(source.model_fields["type"].annotation)[0]: source
    for source in get_args(get_args(Source)[0])
}
