"""The speed phase after the answers: `running` measures, `analysis` says when it is enough."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from quantrial.analysis import standing
from quantrial.running.speed_phase import measure_speed

if TYPE_CHECKING:
    from quantrial.running.progress import Listener
    from quantrial.running.runner import RunResult
    from quantrial.study import Study
    from quantrial.study.code import BeforeCode


def timed(
    study: Study,
    result: RunResult,
    *,
    base: Path,
    listener: Listener | None,
    before_code: BeforeCode | None = None,
) -> RunResult:
    """Measure speed where the study asks for it, and return the result with what was done.

    Args:
        study: the study.
        result: of the quality phase, which has set the run folder up.
        base: the folder that relative paths in the study start from.
        listener: told of the progress.
        before_code: called with the study before code that it names is run; raises to refuse it.
    """
    if study.speed is None:
        return result
    measured = measure_speed(
        study,
        base=base,
        folder=result.folder,
        judge=lambda records: standing(study, records),
        listener=listener,
        before_code=before_code,
    )
    return replace(result, speed=measured)
