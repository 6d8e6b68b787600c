"""What the weights of a file were before: known by its record, or by their values."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from quantrial.engines.artifact import QuantizedBefore
from quantrial.engines.cache import file_sha256
from quantrial.engines.gguf_file import Header, read_header
from quantrial.engines.levels import levels_of
from quantrial.engines.made_record import Made, made_from
from quantrial.precision import bits_of, bits_of_levels, is_quantized, type_before


def origin_of(path: Path, header: Header, made: Made | None) -> QuantizedBefore | None:
    """Say whether the weights of a file were quantized before they were stored in its type.

    A record says so for every type; values only of what lies on few levels, see `levels`. None
    means that nothing shows it, not that it was not so.

    Args:
        path: the file.
        header: what stands before its weights.
        made: the record beside it, if there is one.
    """
    if made is not None and (known := after(made.source_quantization, made.quantized_before)):
        return known
    return levels_of(path, header)


def after(source: str | None, before: QuantizedBefore | None) -> QuantizedBefore | None:
    """Say what is true of a file that is made of one of the type `source`, of which `before` is.

    Of several quantizations one after the other, the one in the fewest bits.
    """
    if not is_quantized(source):
        return before
    if before is not None and (_bits(before) or 0.0) <= (bits_of(source) or 0.0):
        return before
    return QuantizedBefore("record", type=source)


def before_in_words(before: QuantizedBefore | None) -> str | None:
    """Name what weights were before: `Q4_1`, or `4-bit values`."""
    return None if before is None else type_before(asdict(before))


def _bits(before: QuantizedBefore) -> float | None:
    return bits_of_levels(before.levels) if before.levels else bits_of(before.type)


def made_of(source: Path, name: str, *, sha256: str, kind: str, by: str) -> Made:
    """Make the record of a file `name` of type `kind` that was made of `source`."""
    header = read_header(source)
    return Made(
        path=name,
        sha256=sha256,
        quantization=kind,
        by=by,
        source=source.name,
        source_sha256=file_sha256(source),
        source_quantization=header.quantization,
        quantized_before=origin_of(source, header, made_from(source)),
    )
