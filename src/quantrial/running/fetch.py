"""Models that are not where they would run: found before anything is read, fetched when asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from quantrial.engines.fetching import Fetching
from quantrial.errors import ModelFileError

if TYPE_CHECKING:
    from quantrial.engines import Engine

FetchListener = Callable[["Fetched"], None]


@dataclass(frozen=True, slots=True)
class Missing:
    """What has to be fetched, and the arms that run on it; bytes None where not known.

    A data set has no arms, and is fetched as it is read.
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


def refuse_missing(missing: tuple[Missing, ...]) -> None:
    """Refuse to go on without them.

    Raises:
        ModelFileError: naming every missing model and what fetches them.
    """
    if missing:
        named = ", ".join(f"{one.model} (arm {', '.join(one.arms)})" for one in missing)
        raise ModelFileError(
            f"not there yet: {named}; `quantrial plan` offers to fetch "
            f"{'them' if len(missing) > 1 else 'it'}"
        )


def fetch(engines: Mapping[str, Engine], listener: FetchListener | None = None) -> None:
    """Fetch every missing model, one after another.

    Raises:
        EngineError, ModelFileError: one could not be fetched.
    """
    for engine in engines.values():
        if isinstance(engine, Fetching) and engine.missing():
            for phase, done, total in engine.pull():
                if listener is not None:
                    listener(Fetched(engine.model, phase, done, total))
