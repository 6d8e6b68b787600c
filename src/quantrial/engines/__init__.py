"""Engines: what turns a request into a reply. `make_engine` is the door; the rest is behind it.

A third party adds an engine by an entry point in the group `quantrial.engines`, whose object is
called as `factory(model, options, base=Path, seed=int)` and returns an `Engine`.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

from quantrial.engines.abilities import refuse_unable
from quantrial.engines.artifact import Artifact
from quantrial.engines.base import Engine, Message, Reply, Request, Timing
from quantrial.engines.keys import hide_named, refuse_keys
from quantrial.engines.options import Option, read_options
from quantrial.errors import QuantrialError, StudyError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoints
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

GROUP = "quantrial.engines"
_IMPORTED = "imported"  # what importers write of arms whose answers were collected elsewhere
_BUILT_IN = ("llamacpp", "ollama", "openai", "scripted")


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
    if arm.engine == "llamacpp":
        if arm.weights is not None:
            raise StudyError(
                "the engine 'llamacpp' reads type and size off the file itself: leave it out",
                key=f"{key}.weights",
            )
        from quantrial.engines.llamacpp import LlamaCppEngine

        return LlamaCppEngine(
            arm.model,
            arm.options,
            base=base,
            quantize=arm.quantize,
            degrade=arm.degrade,
            key=key,
        )
    if arm.engine == "openai":
        _refuse_making(arm, key)
        from quantrial.engines.openai import OpenAIEngine

        return OpenAIEngine(arm.model, arm.options, key=key)
    if arm.engine == "ollama":
        _refuse_making(arm, key)
        from quantrial.engines.ollama import OllamaEngine

        return OllamaEngine(arm.model, arm.options, key=key)
    if arm.engine == "scripted":
        _refuse_making(arm, key)
        from quantrial.engines.scripted import scripted_from_options

        return scripted_from_options(arm.model, arm.options, seed=seed, key=key)
    return _third_party(arm, base=base, seed=seed, key=key)


def _refuse_making(arm: Arm, key: str) -> None:
    if arm.quantize or arm.degrade:
        what = "quantize" if arm.quantize else "degrade"
        raise StudyError(
            f"only the engine 'llamacpp' makes model files; the engine here is {arm.engine!r}",
            key=f"{key}.{what}",
        )


def _third_party(arm: Arm, *, base: Path, seed: int, key: str) -> Engine:
    found = _entry_points()
    if arm.engine in found.names:
        _refuse_making(arm, key)
        refuse_keys(arm.options, key=f"{key}.options")
        try:
            factory = found[arm.engine].load()
            engine: Engine = factory(arm.model, arm.options, base=base, seed=seed)
            hide_named(arm.options, owner=engine)
        except StudyError as exc:
            # its key, if there is one, is below the arm's, whose name the factory is not told
            exc.args = (f"{key}{'.' if exc.key else ': '}{exc}",)
            exc.key = f"{key}.{exc.key}" if exc.key else key
            raise
        except QuantrialError as exc:
            exc.args = (f"{key}: {exc}",)
            raise
        except Exception as exc:  # a third party's code may raise anything
            raise StudyError(
                f"the engine {arm.engine!r} could not be made ({type(exc).__name__}: {exc})",
                key=f"{key}.engine",
            ) from exc
        return engine
    if arm.engine == _IMPORTED:
        raise StudyError(
            "its answers were imported, so nobody is there to ask; `quantrial analyze` reads them, "
            "and `quantrial import` reads more of them into a new folder",
            key=key,
        )
    names = sorted({*_BUILT_IN, *found.names})
    there = ", ".join(names)
    near = difflib.get_close_matches(arm.engine, names, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"there is: {there}"
    raise StudyError(f"unknown engine {arm.engine!r}; {hint}", key=f"{key}.engine")


def _entry_points() -> EntryPoints:
    from importlib.metadata import entry_points

    return entry_points(group=GROUP)
