"""The engines of a study's arms: made, described, loaded and unloaded, closed after everything."""

from __future__ import annotations

import contextlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quantrial.engines import make_engine
from quantrial.engines.replies import seconds_of
from quantrial.errors import EngineError, QuantrialError, StudyError
from quantrial.precision import bits_of, types_disagree
from quantrial.redaction import blot_error, holds_whole, public
from quantrial.runfolder import LOGS
from quantrial.running.provenance import arm_record

if TYPE_CHECKING:
    from quantrial.engines.artifact import Artifact
    from quantrial.engines.base import Engine
    from quantrial.records import ArmRecord
    from quantrial.runfolder import RunFolder
    from quantrial.study import Arm, Study


# A size is stated in two or three figures, and servers count with or without what is no weight.
_CLOSE = 0.05


def with_stated(name: str, arm: Arm, artifact: Artifact) -> Artifact:
    """Add what a study states of an arm's weights, marked as stated, to what its engine tells.

    Args:
        name: the arm's, for messages.
        arm: what the study says of it.
        artifact: what the engine says of it.

    Raises:
        StudyError: the two contradict each other.
    """
    stated = arm.weights
    if stated is None:
        return artifact
    told_type, told_bytes = artifact.quantization, artifact.bytes_on_disk
    key = f"arms.{name}.weights"
    if stated.type and told_type and types_disagree(stated.type, told_type):
        raise _contradiction(f"{key}.type", stated.type, told_type)
    if stated.bytes and told_bytes and abs(stated.bytes / told_bytes - 1) > _CLOSE:
        raise _contradiction(f"{key}.bytes", f"{stated.bytes:,} bytes", f"{told_bytes:,} bytes")
    found: dict[str, Any] = {}
    marks = []
    if stated.type and bits_of(told_type) is None:
        found["quantization"] = stated.type
        marks.append("type")
    if stated.bytes and not told_bytes:
        found["bytes_on_disk"] = stated.bytes
        marks.append("bytes")
    return replace(artifact, **found, weights_stated=tuple(marks))


def _contradiction(key: str, stated: str, told: str) -> StudyError:
    return StudyError(
        f"the study states {stated}, and the server says {told}: correct it, or leave it out, "
        "since the server says it itself",
        key=key,
    )


class ModelPool:
    """Loads arms before they are asked, and unloads the others where they do not fit together."""

    def __init__(self, engines: Mapping[str, Engine], *, together: bool):
        self._engines = engines
        self._together = together
        self._loaded: set[str] = set()
        self._untold: dict[str, float] = {}
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self.loads: Counter[str] = Counter()

    def ready(self, arm: str) -> None:
        """Have an arm loaded, and where one is held at a time, every other one unloaded first."""
        if arm in self._loaded:
            return  # an arm that died is loaded again by its next call
        if not self._together:
            for other in self._loaded - {arm}:
                self._engines[other].close()
            self._loaded &= {arm}
        with naming(arm, self._engines[arm]):
            seconds = seconds_of(self._engines[arm].start()) or 0.0
        self._loaded.add(arm)
        if seconds > 0:
            self._untold[arm] = seconds
            self._count(arm, seconds)

    def load_before(self, arm: str, seconds: float | None) -> float | None:
        """Return the load that an answer of an arm came after, None where it followed another.

        `seconds` is what the engine itself says: it also loads an arm again that died.
        """
        mine = self._untold.pop(arm, None)
        if mine is None and seconds is not None:
            self._count(arm, seconds)
        return mine if seconds is None else seconds

    def _count(self, arm: str, seconds: float) -> None:
        self.seconds[arm] += seconds
        self.loads[arm] += 1


@contextlib.contextmanager
def open_engines(study: Study, *, base: Path) -> Iterator[dict[str, Engine]]:
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
            "out, and name the environment variable that holds it (`api_key_env`)"
        )


def _with_slots(arm: Arm, slots: int) -> Arm:
    """Give the embedded engine as many slots as the design asks at once, where it says nothing."""
    if slots == 1 or arm.engine != "llamacpp" or "slots" in arm.options:
        return arm
    return arm.model_copy(update={"options": {**arm.options, "slots": slots}})


def arm_records(
    study: Study, engines: Mapping[str, Engine], tell: Callable[[str], None] = lambda _: None
) -> dict[str, ArmRecord]:
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
