"""The record beside a model file that quantrial made: of what, by whom, and both hashes."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import orjson

from quantrial.engines.artifact import QuantizedBefore
from quantrial.engines.cache import file_sha256, replace_atomically
from quantrial.paths import read_bytes

SCHEMA = "quantrial.made/1"


@dataclass(frozen=True, slots=True)
class Made:
    """A file made from another one: its type, what made it, and the hashes of both.

    `quantized_before` is of the source's weights, by the source's own record or by its values.
    """

    path: str  # the file's own name, beside this record
    sha256: str
    quantization: str
    by: str
    source: str  # the file's name
    source_sha256: str
    source_quantization: str
    quantized_before: QuantizedBefore | None = None


def made_from(path: Path) -> Made | None:
    """Read the record beside a file; None where there is none, or the file is another one now."""
    try:
        said = orjson.loads(read_bytes(record_path(path)))
        if said.pop("schema") != SCHEMA:
            return None
        if (before := said.pop("quantized_before", None)) is not None:
            said["quantized_before"] = QuantizedBefore(**before)
        made = Made(**said)
        return made if made.sha256 == file_sha256(path) else None
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def write_record(path: Path, made: Made) -> None:
    """Write beside a file what it was made of."""
    replace_atomically(record_path(path), orjson.dumps({"schema": SCHEMA, **asdict(made)}))


def record_path(path: Path) -> Path:
    """Say where the record of a file stands."""
    return path.with_name(f"{path.name}.json")
