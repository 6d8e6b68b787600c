"""Models and data sets that are not there: found before anything is read, fetched when asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from quantrial.engines.abilities import Fetching
from quantrial.errors import DataError, ModelFileError
from quantrial.registry import SOURCES

if TYPE_CHECKING:
    from pathlib import Path

    from quantrial.engines import Engine
    from quantrial.study import Study

FetchListener = Callable[["Fetched"], None]


@dataclass(frozen=True, slots=True)
class Missing:
    """What has to be fetched, and the arms that run on it; of a data set the tasks made of it.

    `bytes` is None where that is not known.
    """

    model: str
    arms: tuple[str, ...]
    bytes: int | None


@dataclass(frozen=True, slots=True)
class Fetched:
    """How far the fetching of a model has come; `total` is 0 while it is not known."""

    model: str
    phase: str
    done: int
    total: int


def missing_models(engines: Mapping[str, Engine], *, sizes: bool = False) -> tuple[Missing, ...]:
    """List the models that would have to be fetched; nothing is.

    Args:
        engines: by arm.
        sizes: find out how large they are; that asks where they would come from.

    Raises:
        EngineStartError: a server that would say so does not answer.
    """
    arms: dict[str, list[str]] = {}
    first: dict[str, Fetching] = {}
    for name, engine in engines.items():
        if isinstance(engine, Fetching) and engine.missing():
            arms.setdefault(engine.model, []).append(name)
            first.setdefault(engine.model, engine)
    return tuple(
        Missing(model, tuple(arms[model]), engine.fetch_bytes() if sizes else None)
        for model, engine in first.items()
    )


def missing_data(study: Study, base: Path, *, sizes: bool = False) -> tuple[Missing, ...]:
    """List the data sets that would have to be downloaded, each with the tasks made of it.

    `sizes` finds out how large they are, as for models.
    """
    tasks: dict[str, list[str]] = {}
    size: dict[str, int | None] = {}
    for name, task in study.tasks.items():
        fetching = SOURCES.load(task.source.type).fetching
        if fetching is None or fetching.is_there(task.source, base):
            continue
        called = fetching.name(task.source)
        tasks.setdefault(called, []).append(name)
        if called not in size:
            size[called] = fetching.fetch_bytes(task.source, base) if sizes else None
    return tuple(Missing(called, tuple(of), size[called]) for called, of in tasks.items())


def refuse_missing(study: Study, engines: Mapping[str, Engine], base: Path) -> None:
    """Refuse to go on without the models and data sets that are not there: nothing is fetched.

    Raises:
        ModelFileError: naming everything that is missing, a model among it, and what fetches it.
        DataError: the same, where data sets alone are missing.
    """
    models, data = missing_models(engines), missing_data(study, base)
    named = [f"{one.model} (arm {', '.join(one.arms)})" for one in models]
    named += [f"the data set {one.model} (task {', '.join(one.arms)})" for one in data]
    if named:
        them = "them" if len(named) > 1 else "it"
        said = (
            f"not there yet: {', '.join(named)}; `quantrial plan` offers to fetch {them}, and in "
            f"Python `quantrial.fetch` fetches {them}"
        )
        raise ModelFileError(said) if models else DataError(said)


def fetch_models(engines: Mapping[str, Engine], listener: FetchListener | None = None) -> None:
    """Fetch every missing model, one after another.

    Raises:
        EngineError, ModelFileError: one could not be fetched.
    """
    for engine in engines.values():
        if isinstance(engine, Fetching) and engine.missing():
            for phase, done, total in engine.pull():
                if listener is not None:
                    listener(Fetched(engine.model, phase, done, total))


def fetch_data(study: Study, base: Path, listener: FetchListener | None = None) -> None:
    """Fetch every missing data set by reading it once, as the study does.

    Raises:
        DataError: one could not be fetched.
    """
    import warnings

    from quantrial.tasks.sources import load_items

    for one in missing_data(study, base):
        if listener is not None:
            listener(Fetched(f"the data set {one.model}", "reading", 0, 0))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what is to be said of its items is said with the plan
            for name in one.arms:
                load_items(name, study.tasks[name], base=base)
