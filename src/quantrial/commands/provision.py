"""Models that a study needs and does not find where they would run: their sizes, their fetching."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from quantrial.commands.derived import open_study
from quantrial.errors import QuantrialWarning
from quantrial.precision import fallen_back

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from quantrial.running.fetch import FetchListener, Missing
    from quantrial.running.prepare import OpenStudy
    from quantrial.study import Study


def missing(
    study: Study | OpenStudy | Path | str, *, base: Path | str = "."
) -> tuple[Missing, ...]:
    """List the models and data sets that a study needs and that are not there, with their sizes.

    Nothing is fetched: `fetch` does that.
    """
    from quantrial.running.arms import open_engines
    from quantrial.running.fetch import missing_models

    opened = open_study(study, base)
    with open_engines(opened.study, base=opened.base) as engines:
        return (*missing_models(engines, sizes=True), *_missing_data(opened.study, opened.base))


def _missing_data(study: Study, base: Path) -> Iterator[Missing]:
    from quantrial.running.fetch import Missing, missing_data

    for one in missing_data(study, base, sizes=True):
        yield Missing(f"the data set {one.model}", (), one.bytes)


def fetch(
    study: Study | OpenStudy | Path | str,
    *,
    base: Path | str = ".",
    listener: FetchListener | None = None,
) -> None:
    """Fetch every model and data set that a study needs and that is not there.

    Args:
        study: a study, or the path of its file.
        base: for a `Study` object: the folder that its relative paths start from.
        listener: told how far the fetching has come.

    Raises:
        EngineError, ModelFileError, DataError: one could not be fetched.

    Example:
        >>> quantrial.fetch("study.yaml")  # all that it names is here
    """
    from quantrial.running.arms import open_engines
    from quantrial.running.fetch import fetch_data, fetch_models

    opened = open_study(study, base)
    with open_engines(opened.study, base=opened.base) as engines:
        fetch_models(engines, listener)
    fetch_data(opened.study, opened.base, listener)


def missing_file(model: str) -> tuple[Missing, ...]:
    """List the model file that a reference names, if it would have to be fetched."""
    from quantrial.engines.model_files import PREFIX, HubFile
    from quantrial.running.fetch import Missing

    if not model.startswith(PREFIX) or (file := HubFile.named(model)).cached() is not None:
        return ()
    return (Missing(model, (), file.bytes()),)


def fetch_file(model: str, *, listener: FetchListener | None = None) -> None:
    """Fetch the model file that a reference of the hub names.

    Raises:
        ModelFileError: the download failed.
    """
    from quantrial.engines.model_files import HubFile
    from quantrial.running.fetch import Fetched

    for phase, done, total in HubFile.named(model).fetch():
        if listener is not None:
            listener(Fetched(model, phase, done, total))


@dataclass(frozen=True, slots=True)
class Quantized:
    """A model file in a type, made from another one.

    `stored_as` is the share of the weights that each type of tensor holds, the largest first;
    `quantized_before` what the weights were before, where they had been quantized: `Q4_1`, or
    `4-bit values`.
    """

    path: Path
    quantization: str
    bytes: int
    sha256: str
    source_sha256: str
    stored_as: Mapping[str, float]
    quantized_before: str | None = None


def quantize(
    model: str, types: Sequence[str], *, out: Path | str = "models", base: Path | str = "."
) -> tuple[Quantized, ...]:
    """Make a file of each type from one model file.

    Args:
        model: a path, `hf://org/repo/file.gguf` or `package://package/file.gguf`.
        types: such as `Q8_0` and `Q4_K_M`; the model's own type is the file itself, copied nowhere.
        out: the folder for the new files.
        base: the folder that a relative path starts from.

    Raises:
        ModelFileError: the source is unusable or not fetched yet, or nothing is there that writes a
            type.
    """
    from quantrial.engines.cache import file_sha256
    from quantrial.engines.gguf_file import read_header
    from quantrial.engines.model_files import resolve
    from quantrial.engines.requantize import quantize_model
    from quantrial.engines.weights import after, before_in_words, made_from, origin_of

    source = resolve(model, Path(base))
    header = read_header(source)
    before = before_in_words(
        after(header.quantization, origin_of(source, header, made_from(source)))
    )
    if before is not None:
        warnings.warn(
            f"{source.name} holds weights that were quantized before ({before}). No file made of "
            "it equals the published model. A comparison of such files does not show what that "
            "first step lost",
            QuantrialWarning,
            stacklevel=2,
        )
    digest, made = file_sha256(source), []
    for kind in dict.fromkeys(one.upper() for one in types):
        path = quantize_model(source, kind, Path(out))
        stored_as = read_header(path).stored_as
        if stored := fallen_back(kind, stored_as):
            warnings.warn(
                f"{path.name} was written as {kind}, but its weights are {stored}: a tensor gets "
                f"another type where its rows do not divide into the blocks of {kind}",
                QuantrialWarning,
                stacklevel=2,
            )
        made.append(
            Quantized(path, kind, path.stat().st_size, file_sha256(path), digest, stored_as, before)
        )
    return tuple(made)
