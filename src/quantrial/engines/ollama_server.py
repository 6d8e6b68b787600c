"""What an Ollama server says of itself and of its models, before any of them is asked."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx

from quantrial.engines.artifact import Artifact
from quantrial.engines.gguf_file import Header, read_header
from quantrial.engines.http import (
    FOREIGN,
    Connection,
    ServerSaidError,
    UnreadableError,
    translated,
)
from quantrial.engines.identity import REMEDY
from quantrial.engines.model_files import kv_cache_bytes
from quantrial.engines.options import is_loopback, key_in, shown_url, sound_key
from quantrial.engines.replies import count_of
from quantrial.engines.templates import dates_in
from quantrial.engines.weights import origin_of, structure_of, structure_told
from quantrial.errors import (
    EngineError,
    EngineStartError,
    ModelChangedError,
    ModelFileError,
    StudyError,
)
from quantrial.redaction import blot, excerpt

if TYPE_CHECKING:
    from collections.abc import Iterator

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
        modelfile = str(shown.get("modelfile") or "")
        digest, blob = weights_of(modelfile)
        details = entries(shown.get("details")) or entries(listed.get("details"))
        context = int(options["num_ctx"])
        template = text if isinstance(text := shown.get("template"), str) else None
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
    except ModelFileError:  # of a file of its, which is here
        raise
    except (TypeError, ValueError, AttributeError) as exc:
        said = excerpt(f"{type(exc).__name__}: {exc}", 200)
        raise EngineStartError(
            f"the server describes the model {model!r} in an unknown form ({said})"
        ) from exc


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


KEY = "OLLAMA_API_KEY"  # what Ollama's own tools read
LOAD_LIMIT = 900.0  # seconds; a large model from a slow disk
_ASK_LIMIT = 30.0  # seconds for what needs no model
_NO_SERVER = "is an Ollama server running there? `ollama serve` starts one; `host` in the options"
_LOGPROBS_SINCE = (0, 12, 11)
_TRUNCATE_SINCE = (0, 12, 4)


class Server:
    """One Ollama server; `where` names it in messages."""

    def __init__(self, address: str, where: str):
        self.address = address
        self.where = where
        self.local = is_loopback(address)
        if key := key_in(KEY):
            sound_key(key, KEY, owner=self)
        self.connection = Connection(address, key=key, redirects=True)
        self._version: tuple[int, ...] | None = None
        self._first: str | None = None  # the version that it had when it was first asked
        self._looked_at = 0  # connections that there were when it was last asked

    def version(self) -> str:
        """Say which one it is."""
        with self.starting():
            try:
                known = self.connection.document("/api/version", within=_ASK_LIMIT)
            except ServerSaidError as exc:
                raise EngineStartError(
                    f"{self.where} answered {exc.status}; is this an Ollama server?"
                ) from exc
        said = str(known.get("version"))
        self._version = tuple(int(part) for part in re.findall(r"\d{1,9}", said)[:3])
        return said

    def same_version(self) -> str:
        """Say which one it is.

        Raises:
            ModelChangedError: it is another one than when it was first asked.
        """
        version = self.version()
        self._first = self._first or version
        if version != self._first:
            raise ModelChangedError(
                f"{self.where} is another server than before: its version was {self._first!r:.40}, "
                f"is {version!r:.40}. {REMEDY}"
            )
        return version

    def reconnected(self) -> bool:
        """Whether there were new connections since this was last asked; they lead to the same one.

        Raises:
            ModelChangedError: its version is another one than before.
        """
        if self.connection.opened == self._looked_at:
            return False
        self.same_version()
        self._looked_at = self.connection.opened
        return True

    @property
    def knows_logprobs(self) -> bool:
        """Whether it reports probabilities of tokens, as far as its version tells."""
        return not self._before(_LOGPROBS_SINCE)

    @property
    def knows_truncate(self) -> bool:
        """Whether it can be told not to cut, as far as its version tells."""
        return not self._before(_TRUNCATE_SINCE)

    def _before(self, since: tuple[int, ...]) -> bool:
        if self._version is None:
            with contextlib.suppress(EngineError):
                self.version()
            self._version = self._version or ()
        return (0, 0, 0) < self._version < since  # 0.0.0 is one that somebody built

    def find(self, path: str, model: str) -> Mapping[str, Any] | None:
        """Find a model by its name in a list of the server's; None where it is not in it.

        The server ignores the case of names; where two differ in it alone, the one as written.
        """
        named = self._listed(path)
        found = [(name, one) for name, one in named if plain_name(name) == plain_name(model)]
        exact = [(name, one) for name, one in found if Name.of(name) == Name.of(model)]
        return next((one for _, one in exact + found), None)

    def names(self) -> list[str]:
        """List the models that it has, by their names there."""
        return [name for name, _ in self._listed("/api/tags")]

    def _listed(self, path: str) -> list[tuple[str, Mapping[str, Any]]]:
        with self.starting():
            said = self.connection.document(path, within=_ASK_LIMIT).get("models") or []
            if not isinstance(said, list) or not all(isinstance(one, dict) for one in said):
                raise UnreadableError(f"`models` of {path} is {excerpt(repr(said), 80)}")
        return [(str(one.get("model") or one.get("name")), one) for one in said]

    def show(self, model: str) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
        """Return what it says of a model, and the metadata of the model's file."""
        with self.starting():
            shown = self.connection.document("/api/show", {"model": model}, within=_ASK_LIMIT)
            facts = entries(shown.get("model_info"))
            with contextlib.suppress(ServerSaidError):  # the tokenizer comes only when asked for
                body = {"model": model, "verbose": True}
                more = self.connection.document("/api/show", body, within=_ASK_LIMIT)
                facts = {**facts, **entries(more.get("model_info"))}
        return shown, facts

    def pull(self, model: str) -> Iterator[tuple[str, int, int]]:
        """Have it fetch a model; yields what it does, bytes done and bytes in all."""
        done: dict[str, tuple[int, int]] = {}
        with self.starting():
            steps = self.connection.lines("/api/pull", {"model": model}, silence=LOAD_LIMIT)
            with closing(steps):
                for step in steps:
                    total = count_of(step.get("total"))
                    if step.get("digest") and total:
                        done[str(step["digest"])] = (count_of(step.get("completed")) or 0, total)
                    sums = [sum(part) for part in zip(*done.values(), strict=True)] or [0, 0]
                    yield blot(str(step.get("status") or "")), sums[0], sums[1]

    def load(self, body: Mapping[str, Any]) -> None:
        """Have a model loaded: `body` is a call's without a prompt."""
        with self.starting():
            self.connection.document("/api/generate", {**body, "stream": False}, within=LOAD_LIMIT)

    def unload(self, model: str) -> None:
        """Have a model unloaded, whatever comes of it."""
        body = {"model": model, "keep_alive": 0, "stream": False}
        with contextlib.suppress(*FOREIGN):
            self.connection.document("/api/generate", body, within=_ASK_LIMIT)

    @contextlib.contextmanager
    def starting(self) -> Iterator[None]:
        """Translate errors of a call that needs no answer of a model."""
        try:
            yield
        except EngineError:  # which is a RuntimeError too
            raise
        except (httpx.ConnectError, httpx.ConnectTimeout) as exc:
            error = EngineStartError(f"nothing answers at {self.address}: {_NO_SERVER}")
            error.retryable = error.gone = True
            raise error from exc
        except (httpx.TimeoutException, TimeoutError) as exc:
            error = EngineStartError(f"{self.where} did not answer in time")
            error.retryable = True
            raise error from exc
        except FOREIGN as exc:
            found = translated(exc, self.where)
            # no answer of a model was asked for: the server itself is about to stop, or to start
            found.gone = found.gone or isinstance(exc, httpx.NetworkError | httpx.ProtocolError)
            raise found from exc


def address_of(host: str | None, *, key: str) -> str:
    """Return the server's address as a URL, the way Ollama's own tools read it."""
    given = (host or os.environ.get("OLLAMA_HOST") or "127.0.0.1:11434").strip()
    url = given if "://" in given else f"http://{given}"
    try:
        parts = urlsplit(url)
        port = parts.port or {"https": 443}.get(parts.scheme, 80 if "://" in given else 11434)
    except ValueError as exc:
        raise StudyError(
            f"{shown_url(given)} is not an address: its host or its port is wrong", key=key
        ) from exc
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise StudyError(
            f"expected host:port or http(s)://host:port, got {shown_url(given)}", key=key
        )
    if parts.username or parts.password:
        raise StudyError("holds a name or password; set OLLAMA_API_KEY instead", key=key)
    if parts.query or parts.fragment:
        raise StudyError(
            "holds a query; an address has none, and a key stands in OLLAMA_API_KEY", key=key
        )
    name = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    name = "127.0.0.1" if name == "0.0.0.0" else name  # where a server listens is no place to call
    return f"{parts.scheme}://{name}:{port}{parts.path.rstrip('/')}"
