"""What an Ollama server says of one of its models, put into the words of an `Artifact`."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from quantrial.engines.artifact import Artifact
from quantrial.engines.gguf_file import Header, read_header
from quantrial.engines.model_files import kv_cache_bytes
from quantrial.engines.origin import origin_of
from quantrial.engines.settled import count_of
from quantrial.engines.structure import structure_of, structure_told
from quantrial.engines.templates import dates_in
from quantrial.errors import EngineStartError, ModelFileError
from quantrial.redaction import excerpt

# What Ollama takes for the parts of a name that are left out (`types/model/name.go`).
DEFAULT_HOST, _NAMESPACE, _TAG = "registry.ollama.ai", "library", "latest"
_FROM = re.compile(r"^FROM\s+(?P<what>.+?)\s*$", re.MULTILINE)
_BLOB = re.compile(r"sha256[-:](?P<hex>[0-9a-f]{64})")
_LICENSE = re.compile(r'^LICENSE\s+(""".*?"""|".*?"|.*?)\s*$', re.MULTILINE | re.DOTALL)
_TOKENIZER = "tokenizer.ggml."


@dataclass(frozen=True, slots=True)
class Name:
    """A model's name in its parts, as the server fills them in where they are left out."""

    host: str
    namespace: str
    model: str
    tag: str

    @classmethod
    def of(cls, name: str) -> Name:
        """Read `[host/][namespace/]model[:tag]`, also as a URL."""
        path = name.strip().rpartition("://")[2]
        head, _, last = path.rpartition("/")
        model, _, tag = last.partition(":")
        host, _, namespace = head.rpartition("/")
        return cls(host or DEFAULT_HOST, namespace or _NAMESPACE, model, tag or _TAG)

    @property
    def path(self) -> str:
        """Namespace and model: what a registry knows it by."""
        return f"{self.namespace}/{self.model}"


def plain_name(model: str) -> str:
    """Write a name in the one form that all spellings of it share: servers ignore its case."""
    name = Name.of(model)
    return f"{name.host}/{name.path}:{name.tag}".casefold()


def entries(said: Any) -> Mapping[str, Any]:
    """Return an object of the server's; an empty one where it is none."""
    return said if isinstance(said, dict) else {}


def artifact_of(
    model: str,
    shown: Mapping[str, Any],
    listed: Mapping[str, Any],
    *,
    options: Mapping[str, Any],
    facts: Mapping[str, Any],
    alone: bool | None = None,
) -> Artifact:
    """Describe one model.

    Args:
        model: its name as the study writes it.
        shown: what the server's `show` says of it.
        listed: its entry in the server's list.
        options: the arm's options.
        facts: the metadata of its file, arrays included where the server gives them.
        alone: whether the server holds one model at a time; None where it is to be asked.

    Raises:
        EngineStartError: what the server says has another form than documented.
    """
    try:
        return _artifact_of(model, shown, listed, options=options, facts=facts, alone=alone)
    except ModelFileError:  # of a file of its, which is here
        raise
    except (TypeError, ValueError, AttributeError) as exc:
        said = excerpt(f"{type(exc).__name__}: {exc}", 200)
        raise EngineStartError(
            f"the server describes the model {model!r} in an unknown form ({said})"
        ) from exc


def _artifact_of(
    model: str,
    shown: Mapping[str, Any],
    listed: Mapping[str, Any],
    *,
    options: Mapping[str, Any],
    facts: Mapping[str, Any],
    alone: bool | None,
) -> Artifact:
    modelfile = str(shown.get("modelfile") or "")
    digest, blob = weights_of(modelfile)
    details = entries(shown.get("details")) or entries(listed.get("details"))
    context = int(options["num_ctx"])
    template = said if isinstance(said := shown.get("template"), str) else None
    parameters = facts.get("general.parameter_count")
    header = _read(blob)
    return Artifact(
        model=model,
        sha256=digest,
        bytes_on_disk=count_of(listed.get("size")),
        quantization=details.get("quantization_level") or None,
        parameters=parameters if isinstance(parameters, int) else None,
        architecture=facts.get("general.architecture") or details.get("family"),
        context=context,
        tokenizer_sha256=_tokenizer(facts) if header is None else header.tokenizer_sha256,
        quantized_before=origin_of(blob, header, None) if blob and header else None,
        structure=structure_of(blob, header) if blob and header else structure_told(facts),
        template_sha256=None if template is None else _sha256(template),
        template_date=None if template is None else _dated(template),
        options=dict(options),
        kv_bytes=kv_cache_bytes(facts.get, context),
        one_at_a_time=alone,
        details={
            "digest": listed.get("digest"),
            "family": details.get("family"),
            "modelfile": _without_paths(modelfile),
            "parameters": shown.get("parameters"),
            "template": template,
        },
    )


def _dated(template: str) -> dict[str, Any]:
    """Say by which functions a template writes the day's date; no request can tell it another."""
    by = list(dates_in(template))
    return {"by": by, "held": None} if by else {}


def weights_of(modelfile: str) -> tuple[str | None, Path | None]:
    """Return the SHA-256 of the weights that a modelfile names, and their file on the server."""
    found = _FROM.search(modelfile)
    if found is None:
        return None, None
    blob = _BLOB.search(found["what"])
    return (blob["hex"] if blob else None), Path(found["what"].strip('"'))


def _read(blob: Path | None) -> Header | None:
    """Read the model file; None where it is on another machine, or not for this user to read."""
    if blob is None or not blob.is_absolute():
        return None
    try:
        return read_header(blob)
    except ModelFileError:
        return None


def _tokenizer(facts: Mapping[str, Any]) -> str | None:
    """Hash the tokenizer that a server shows.

    The hash differs from that of the same tokenizer in a file: it is compared with its own kind.
    """
    shown = {key: value for key, value in facts.items() if key.startswith(_TOKENIZER)}
    if not isinstance(shown.get(f"{_TOKENIZER}tokens"), list):
        return None
    return "json:" + _sha256(json.dumps(shown, sort_keys=True))


def _without_paths(modelfile: str) -> str:
    """Return a modelfile without its license, its comments and where its files lie."""

    def named(found: re.Match[str]) -> str:
        blob = _BLOB.search(found["what"])
        return f"FROM sha256:{blob['hex']}" if blob else f"FROM {Path(found['what']).name}"

    kept = _FROM.sub(named, _LICENSE.sub("", modelfile))
    lines = (line.rstrip() for line in kept.splitlines())
    return "\n".join(line for line in lines if line and not line.startswith("#"))


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


REGISTRY = "https://registry.ollama.ai"
_LIMIT = 10.0  # seconds
_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"


def registry_bytes(model: str) -> int | None:
    """Add up the parts of a model; None where the registry is out of reach or does not know it.

    `model` is `[host/][namespace/]name[:tag]`; a host of its own is asked instead of Ollama's.
    """
    name = Name.of(model)
    registry = REGISTRY if name.host.casefold() == DEFAULT_HOST else f"https://{name.host}"
    try:
        response = httpx.get(
            f"{registry}/v2/{name.path}/manifests/{name.tag}",
            headers={"Accept": _MANIFEST},
            timeout=_LIMIT,
            follow_redirects=True,
        )
        said = response.raise_for_status().json()
        return sum(int(layer["size"]) for layer in [*said["layers"], said["config"]])
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, KeyError, TypeError):
        return None
