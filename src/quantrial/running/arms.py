"""The engines of a study's arms, made before anything is read and closed after everything."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quantrial.engines import make_engine
from quantrial.errors import EngineError, QuantrialError, StudyError
from quantrial.redaction import blot_error, holds_whole, public
from quantrial.runfolder import LOGS
from quantrial.running.manifest import arm_record
from quantrial.running.stated import with_stated

if TYPE_CHECKING:
    from quantrial.engines import Engine
    from quantrial.runfolder import RunFolder
    from quantrial.study import Arm, Study


@contextlib.contextmanager
def opened_engines(study: Study, *, base: Path) -> Iterator[dict[str, Engine]]:
    """Make the engine of every arm; close them all at the end, whatever happened.

    Until the engines are closed no key of theirs gets into what is said or written; words of the
    study do.

    Raises:
        StudyError: an engine or an option is wrong, or the study holds a key.
    """
    with contextlib.ExitStack() as stack:
        engines: dict[str, Engine] = {}
        for name, arm in study.arms.items():
            own = _with_slots(arm, study.design.slots)
            engines[name] = make_engine(name, own, base=base, seed=study.seed)
            stack.callback(engines[name].close)
        said = list(texts_of(study.canonical()))
        refuse_whole_keys(said)
        stack.enter_context(public(said))
        yield engines


def log_into(run: RunFolder, engines: Mapping[str, Engine]) -> None:
    """Have engines write what a study has them log into the run folder, and nowhere else."""
    for engine in engines.values():
        if (log := getattr(engine, "log_into", None)) is not None:
            log(run.path / LOGS)


def texts_of(value: Any) -> Iterator[str]:
    """Yield every text in a value of JSON, names of its objects too."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for name, one in value.items():
            yield str(name)
            yield from texts_of(one)
    elif isinstance(value, list | tuple):
        for one in value:
            yield from texts_of(one)


def refuse_whole_keys(texts: Iterable[str]) -> None:
    """Refuse a study that holds the key of one of its servers: it is copied into the run folder.

    Raises:
        StudyError: it does; the key is not repeated.
    """
    if any(map(holds_whole, texts)):
        raise StudyError(
            "the study file holds the key of a server, and is copied into the run folder: take it "
            "out, and name the variable of the environment that holds it (`api_key_env`)"
        )


def _with_slots(arm: Arm, slots: int) -> Arm:
    """Give the embedded engine as many slots as the design asks at once, where it says nothing."""
    if slots == 1 or arm.engine != "llamacpp" or "slots" in arm.options:
        return arm
    return arm.model_copy(update={"options": {**arm.options, "slots": slots}})


def arm_records(
    study: Study, engines: Mapping[str, Engine], tell: Callable[[str], None] | None = None
) -> dict[str, dict[str, Any]]:
    """Describe every arm for the manifest, making the files that arms are made of.

    Args:
        study: the study.
        engines: of its arms.
        tell: told in a few words what is done next.

    Raises:
        ModelFileError: a model is unusable; the message names the arm.
        EngineError: a server cannot be reached, or serves another model; likewise.
        StudyError: what the study states of an arm's weights is not what its server says.
    """
    records = {}
    for name, engine in engines.items():
        if tell is not None:
            tell(f"looking at what {name} is")
        with naming(name, engine):
            artifact = with_stated(name, study.arms[name], engine.describe())
            versions = engine.versions()
            records[name] = arm_record(study.arms[name].engine, artifact, versions)
    return records


@contextlib.contextmanager
def naming(arm: str, engine: Engine) -> Iterator[None]:
    """Have every error of an engine name its arm.

    Raises:
        EngineError: in place of whatever an engine of a third party raises that is not of ours.
    """
    said = f"(arm {arm!r})"
    try:
        yield
    except QuantrialError as exc:
        blot_error(exc)
        if said not in str(exc):
            exc.args = (f"{exc} {said}",)
        raise
    except Exception as exc:
        blot_error(exc)
        raise EngineError(
            f"the engine {engine.name!r} raised {type(exc).__name__}: {exc} {said}"
        ) from exc
