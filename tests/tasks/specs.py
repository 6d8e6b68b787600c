"""Tasks of a study, made in one line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from quantrial.study import ChoiceTask, SpansTask

Write = Callable[[str, str | bytes], Path]


def choice(source: dict[str, Any], **options: Any) -> ChoiceTask:
    data = {"kind": "choice", "workload": "reasoning", "source": source, **options}
    return ChoiceTask.model_validate(data)


def spans(source: dict[str, Any], **options: Any) -> SpansTask:
    data = {"kind": "spans", "workload": "extraction", "source": source, **options}
    return SpansTask.model_validate(data)
