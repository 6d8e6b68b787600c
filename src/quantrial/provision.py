"""Models that a study needs and does not find where they would run: their sizes, their fetching."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from quantrial.commands import opened

if TYPE_CHECKING:
    from quantrial.running.fetch import FetchListener, Missing
    from quantrial.study import Study


def missing(study: Study | Path | str, *, base: Path | str = ".") -> tuple[Missing, ...]:
    """List the models that a study needs and that are not where they would run, with their sizes.

    Nothing is fetched; `fetch` does that.
    """
    from quantrial.running.arms import opened_engines
    from quantrial.running.fetch import missing_models

    study, _, where = opened(study, Path(base))
    with opened_engines(study, base=where) as engines:
        return missing_models(engines, sizes=True)


def fetch(
    study: Study | Path | str,
    *,
    base: Path | str = ".",
    listener: FetchListener | None = None,
) -> None:
    """Fetch every model that a study needs and that is not where it would run.

    Raises:
        EngineError, ModelFileError: one could not be fetched.
    """
    from quantrial.running.arms import opened_engines
    from quantrial.running.fetch import fetch as fetch_models

    study, _, where = opened(study, Path(base))
    with opened_engines(study, base=where) as engines:
        fetch_models(engines, listener)
