"""Engines: what turns a request into a reply. `make_engine` is the door; the rest is behind it.

An engine is an entry point in the group `quantrial.engines` (those of this package stand in
`registry.py`). Its object is called as `factory(model, options, ...)` and returns an `Engine`. Of
`base` (the folder that relative paths start from), `seed`, `key` (where the arm stands in the
study), `weights`, `quantize` and `degrade` it is given those that it takes; an arm that states one
of the last two for an engine that does not take it is refused.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from quantrial.engines.abilities import refuse_unable
from quantrial.engines.artifact import Artifact
from quantrial.engines.base import Engine, Message, Reply, Request, Timing
from quantrial.engines.options import Option, hide_named, read_options, refuse_keys
from quantrial.errors import QuantrialError, StudyError
from quantrial.registry import ENGINES

if TYPE_CHECKING:
    from pathlib import Path

    from quantrial.study import Arm

__all__ = [
    "Artifact",
    "Engine",
    "Message",
    "Option",
    "Reply",
    "Request",
    "Timing",
    "make_engine",
    "read_options",
    "refuse_unable",
]

_IMPORTED = "imported"  # what importers write of arms whose answers were collected elsewhere


def make_engine(name: str, arm: Arm, *, base: Path, seed: int) -> Engine:
    """Make the engine of one arm; nothing is loaded or started.

    Args:
        name: the arm's name in the study, for messages.
        arm: what the study says of it.
        base: the folder that relative paths start from.
        seed: the study's seed.

    Raises:
        StudyError: the engine is unknown, or an option of it is unknown or wrong.
    """
    key = f"arms.{name}"
    if arm.engine == _IMPORTED and _IMPORTED not in ENGINES.names():
        raise StudyError(
            "its answers were imported, so no engine can be asked; `quantrial analyze` reads them, "
            "and `quantrial import` reads more of them into a new folder",
            key=key,
        )
    factory = ENGINES.load(arm.engine, key=f"{key}.engine")
    offered = {"base": base, "seed": seed, "key": key, "weights": arm.weights}
    offered |= {"quantize": arm.quantize, "degrade": arm.degrade}
    taken = _taken(factory, offered)
    for making in ("quantize", "degrade"):
        if offered[making] and making not in taken:
            raise StudyError(
                f"only the engine 'llamacpp' makes model files; the engine here is {arm.engine!r}",
                key=f"{key}.{making}",
            )
    told = "key" in taken  # one that knows its key refuses an option in its own words first
    if not told:
        refuse_keys(arm.options, key=f"{key}.options")
    try:
        engine: Engine = factory(arm.model, arm.options, **taken)
        hide_named(arm.options, owner=engine)
    except QuantrialError as exc:
        if not told:  # its key, if there is one, is below the arm's
            below = exc.key if isinstance(exc, StudyError) else None
            exc.args = (f"{key}{'.' if below else ': '}{exc}",)
            if isinstance(exc, StudyError):
                exc.key = f"{key}.{below}" if below else key
        raise
    except Exception as exc:  # another package's code may raise anything
        raise StudyError(
            f"the engine {arm.engine!r} could not be made ({type(exc).__name__}: {exc})",
            key=f"{key}.engine",
        ) from exc
    if told:
        refuse_keys(arm.options, key=f"{key}.options")
    return engine


def _taken(factory: Any, offered: dict[str, Any]) -> dict[str, Any]:
    """Return what a factory takes of what is offered."""
    parameters = inspect.signature(factory).parameters.values()
    if any(one.kind is one.VAR_KEYWORD for one in parameters):
        # one that hands everything on takes what every engine has always been given
        return {name: offered[name] for name in ("base", "seed")}
    return {one.name: offered[one.name] for one in parameters if one.name in offered}
