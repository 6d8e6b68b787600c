"""What an `experiment_manifest.json` says of each arm: its model, the size and hash of its file.

Nobody fixed this file's form, so several are read. An arm's own record is looked for under
`arms`, `models`, `artifacts`, `variants`, `quantizations` or `model_variants`: an object by name,
or a list of objects that hold a name under `arm`, `name`, `id`, `label`, `quantization`, `quant`
or `tag`. A name is an arm's when it is the arm's or ends in it ("llama3.1:8b-instruct-q4_K_M"),
without regard to case; an exact one goes first. These may stand at the top or one level down,
under `experiment`, `config`, `study` or `manifest`. A record that is a text is the model's name
(of an absolute path, its last part).
In a record, and in the objects within it:

- the model is under `model`, `model_name`, `model_tag`, `model_id`, `ollama_model`, `ollama_tag`
  or `tag`, or is the record's longer name; failing all that, it is `model`, `model_name`,
  `base_model` or `model_id` of the whole experiment;
- the size is under `bytes_on_disk`, `size_bytes`, `file_size_bytes`, `model_size_bytes`,
  `disk_bytes` or `bytes`, or under `size` when that is at least a million (a whole number, in
  bytes);
- the hash is under `sha256`, `artifact_sha256`, `model_sha256`, `file_sha256`, `gguf_sha256`,
  `digest` or `model_digest` (64 hexadecimal digits, `sha256:` before them or not).

Beside records, these objects give one fact by arm: `model_names`, `model_tags`; `bytes_on_disk`,
`model_sizes`, `size_bytes`, `model_size_bytes`; `sha256`, `digests`, `model_digests`,
`model_sha256`. Anything else is kept in the run's manifest and not interpreted.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, NamedTuple, TypeVar

from quantrial.errors import DataError
from quantrial.importers._reference_rows import parse_json
from quantrial.paths import is_file
from quantrial.tasks.rows import read_text

T = TypeVar("T")

EXPERIMENT_MANIFEST = "experiment_manifest.json"

_INSIDE = ("experiment", "config", "study", "manifest")
_RECORDS = ("arms", "models", "artifacts", "variants", "quantizations", "model_variants")
_NAMES = ("arm", "name", "id", "label", "quantization", "quant", "tag")
_MODEL = ("model", "model_name", "model_tag", "model_id", "ollama_model", "ollama_tag", "tag")
_MODEL_OF_ALL = ("model", "model_name", "base_model", "model_id")
_BYTES = (
    *("bytes_on_disk", "size_bytes", "file_size_bytes", "model_size_bytes", "disk_bytes"),
    "bytes",
)
_SHA256 = (
    *("sha256", "artifact_sha256", "model_sha256", "file_sha256", "gguf_sha256"),
    *("digest", "model_digest"),
)
_MODEL_BY_ARM = ("model_names", "model_tags")
_BYTES_BY_ARM = ("bytes_on_disk", "model_sizes", "size_bytes", "model_size_bytes")
_SHA256_BY_ARM = ("sha256", "digests", "model_digests", "model_sha256")
_LEAST_SIZE = 1_000_000  # a bare `size` below is no count of bytes (8, for 8 billion parameters)
_TOKEN = re.compile(
    r"(?<![a-z0-9])(?:(?P<float>fp32|f32|bf16|fp16|f16)"
    r"|(?P<family>iq|q|int|fp)(?P<bits>[1-8])"
    r"(?:_(?P<suffix>k(?:_(?:xl|l|m|s|xs))?|[01]|nl|xxs|xs|s|m|l))?)(?![a-z0-9])"
)
_FLOATS = {"fp32": "F32", "f32": "F32", "bf16": "BF16", "fp16": "F16", "f16": "F16"}
_FLOAT_BITS = {"F32": 32, "BF16": 16, "F16": 16}
_FAMILIES = ("fp", "q", "int", "iq")
# From large to small within the same number of bits: llama.cpp's bits per weight.
_SUFFIXES = (
    *("1", "k_xl", "k_l", "l", "k_m", "k", "m", "nl", "k_s", "s", "k_xs", "xs", "xxs", "0", ""),
)

Rank = tuple[int, int, int, int, str]
_HEX = re.compile(r"(?:sha256:)?([0-9a-f]{64})")


@dataclass(frozen=True, slots=True)
class ArmFacts:
    """What is known of one arm; None where nothing is said."""

    model: str | None = None
    bytes_on_disk: int | None = None
    sha256: str | None = None


def read_experiment(directory: Path) -> dict[str, Any] | None:
    """Read the experiment's manifest, or None where there is none.

    Raises:
        DataError: it is there, and is no JSON object in UTF-8.
    """
    path = directory / EXPERIMENT_MANIFEST
    if not is_file(path):
        return None
    content, _ = parse_json(read_text(path)[0], path)
    if not isinstance(content, dict):
        raise DataError("expected a JSON object", path=path)
    return content


def facts_of(experiment: Mapping[str, Any], arm: str) -> ArmFacts:
    """Find what the experiment's manifest says of one arm."""
    places = [experiment, *_objects(experiment.get(key) for key in _INSIDE)]
    found = [record for place in places for record in _records(place, arm)]
    found.sort(key=lambda record: not record.exact)
    named = next((r.content for r in found if isinstance(r.content, str) and r.content), None)
    longer = next((r.name for r in found if not r.exact), None)
    parts = [
        part
        for record in _objects(r.content for r in found)
        for part in (record, *_objects(record.values()))
    ]
    return ArmFacts(
        model=_first(_model, parts, _MODEL)
        or _model(named)
        or _model(longer)
        or _first(_model, _by_arm(places, _MODEL_BY_ARM, arm))
        or _first(_model, places, _MODEL_OF_ALL),
        bytes_on_disk=_first(_size, parts, _BYTES)
        or _first(_large, parts, ("size",))
        or _first(_size, _by_arm(places, _BYTES_BY_ARM, arm)),
        sha256=_first(_hash, parts, _SHA256) or _first(_hash, _by_arm(places, _SHA256_BY_ARM, arm)),
    )


class _Record(NamedTuple):
    """What stands beside a name that is the arm's, or (not `exact`) ends in it."""

    name: str
    exact: bool
    content: Any


def _records(place: Mapping[str, Any], arm: str) -> Iterator[_Record]:
    for key in _RECORDS:
        found = place.get(key)
        if isinstance(found, Mapping):
            pairs = list(found.items())
        elif isinstance(found, list):
            named = ((entry.get(key), entry) for entry in _objects(found) for key in _NAMES)
            pairs = [(name, entry) for name, entry in named if isinstance(name, str)]
        else:
            continue
        for name, content in pairs:
            exact = name.casefold() == arm.casefold()
            if exact or name.casefold().endswith(tuple(m + arm.casefold() for m in ":-_./")):
                yield _Record(name, exact, content)


def _objects(values: Iterable[Any]) -> list[Mapping[str, Any]]:
    return [value for value in values if isinstance(value, Mapping)]


def _by_arm(
    places: Sequence[Mapping[str, Any]], keys: Sequence[str], arm: str
) -> list[Mapping[str, Any]]:
    """Turn objects that hold a fact by arm into objects that hold it under the empty key."""
    return [
        {"": value}
        for place in places
        for mapping in _objects(place.get(key) for key in keys)
        for name, value in mapping.items()
        if name.casefold() == arm.casefold()
    ]


def _first(
    read: Callable[[Any], T | None],
    objects: Iterable[Mapping[str, Any]],
    keys: Sequence[str] = ("",),
) -> T | None:
    found = (read(part.get(key)) for part in objects for key in keys)
    return next((value for value in found if value is not None), None)


def _model(value: Any) -> str | None:
    if not isinstance(value, str) or not value.strip():
        return None
    # of a path on somebody's machine, only the file's name says anything here
    absolute = PurePosixPath(value).is_absolute() or PureWindowsPath(value).is_absolute()
    return PureWindowsPath(value).name or None if absolute else value


def _size(value: Any) -> int | None:
    # bool is an int in Python, and never a size
    return value if type(value) is int and value > 0 else None


def _large(value: Any) -> int | None:
    size = _size(value)
    return size if size is not None and size >= _LEAST_SIZE else None


def _hash(value: Any) -> str | None:
    found = _HEX.fullmatch(value.strip().lower()) if isinstance(value, str) else None
    return found[1] if found else None


def quantization_of(arm: str) -> str:
    """Name an arm's quantization as llama.cpp writes it: F16, Q8_0, Q4_K_M.

    The first part of the name that is a quantization counts ("llama-q4_K_M" is Q4_K_M); a name
    without one is taken whole, upper-cased.
    """
    found = _TOKEN.search(_plain_name(arm))
    if found is None:
        return arm.upper()
    return _FLOATS.get(found[0], found[0].upper())


def size_rank(arm: str) -> Rank:
    """Return a key that sorts arms from the largest to the smallest, unknown names last by name."""
    found = _TOKEN.search(_plain_name(arm))
    if found is None:
        return (1, 0, 0, 0, arm)
    if found["float"]:
        return (0, -_FLOAT_BITS[_FLOATS[found[0]]], 0, 0, arm)
    family = _FAMILIES.index(found["family"])
    return (0, -int(found["bits"]), family, _SUFFIXES.index(found["suffix"] or ""), arm)


def _plain_name(arm: str) -> str:
    return arm.lower().replace("-", "_")
