"""What an OpenAI-compatible server says it serves, for provenance."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quantrial.engines.artifact import Artifact, Sampling
from quantrial.engines.http import FOREIGN, ServerSaidError, UnreadableError, translated
from quantrial.engines.identity import without_folder
from quantrial.engines.names import models_shown
from quantrial.engines.openai_wire import SAMPLING, call_of
from quantrial.engines.options import is_loopback
from quantrial.engines.replies import count_of
from quantrial.engines.templates import SUPPLIED, arguments_for, as_string, dates_in, holds_day
from quantrial.errors import (
    EngineCrashedError,
    EngineError,
    EngineStartError,
    EngineTimeoutError,
    ModelChangedError,
    ModelFileError,
)
from quantrial.redaction import excerpt

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from quantrial.engines.base import Request
    from quantrial.engines.http import Connection
    from quantrial.engines.openai_wire import Dialect

OLLAMA = "Ollama"
OLLAMA_FINGERPRINT = "fp_ollama"
_LM_STUDIO = "LM Studio"
_LITELLM = "LiteLLM"


@dataclass(frozen=True, slots=True)
class Software:
    """What answers; `server` is the option's value for it, where there is one."""

    name: str
    server: str | None = None
    version: str | None = None

    @property
    def shown(self) -> str:
        """Name and version."""
        return f"{self.name} {self.version}" if self.version else self.name


# `owned_by` in the list of models, as the servers' sources have it
_OWNERS = {
    "library": Software(OLLAMA),
    "vllm": Software("vLLM", "vllm"),
    "sglang": Software("SGLang", "sglang"),
    "llamacpp": Software("llama-server", "llama.cpp"),
    "me": Software("llama-cpp-python's server", "llama-cpp-python"),
    "organization_owner": Software(_LM_STUDIO),
    "koboldcpp": Software("KoboldCpp"),
    "tabbyapi": Software("TabbyAPI"),
    "lmdeploy": Software("LMDeploy"),
    "tensorrt_llm": Software("TensorRT-LLM"),
    "docker": Software("Docker Model Runner"),
    "localai": Software("LocalAI"),
}
_OPENAI = "openai"  # LiteLLM says so of whatever it passes on, all made at one moment
_LITELLM_CREATED = 1677610602
_ADVICE = {
    OLLAMA: "the engine ollama asks the same model with all sampling stated",
    _LM_STUDIO: "the option extra_body: {repeat_penalty: 1, top_k: 40, min_p: 0.05} states some",
    _LITELLM: "it passes calls on; the server behind it may be asked itself, and told more",
}
_PENALTY = {OLLAMA: "a repeat_penalty of 1.1"}

# a parameter of sampling and the names that servers have for it
_PARAMETERS: Mapping[str, tuple[str, ...]] = {
    "repeat_penalty": ("repeat_penalty", "repetition_penalty"),
    "presence_penalty": ("presence_penalty",),
    "frequency_penalty": ("frequency_penalty",),
    "top_k": ("top_k",),
    "top_p": ("top_p",),
    "min_p": ("min_p",),
}


def sampling_of(dialect: Dialect, software: Software | None) -> Sampling:
    """Say what the calls of a dialect leave to the server, and what the software is known to do."""
    stated = {**SAMPLING[dialect.server], **dialect.extra_body}
    said = {name for name, value in stated.items() if value is not None}
    unstated = tuple(name for name, names in _PARAMETERS.items() if not said.intersection(names))
    if software is None:
        return Sampling(unstated=unstated)
    penalty, advice = _PENALTY.get(software.name), _ADVICE.get(software.name)
    if software.server is not None and software.server != dialect.server and unstated:
        advice = f"the option server: {software.server} states them in every call"
    return Sampling(software.shown, unstated, penalty, advice)


_LIMIT = 30.0  # seconds for a list of models
_VERSIONED = ("generic", "vllm", "sglang")  # those that may have `/version`


@dataclass(frozen=True, slots=True)
class Served:
    """What a server reports of a model; None where it does not. `file` is on the server."""

    model: str
    quantization: str | None = None
    parameters: int | None = None
    weights_bytes: int | None = None
    vocabulary: int | None = None
    context: int | None = None
    template_sha256: str | None = None
    build: str | None = None
    slots: int | None = None
    owner: str | None = None
    file: str | None = None
    root: str | None = None  # what the name stands for, such as a folder or a name on a hub
    version: str | None = None  # of the software, where it stands beside `/v1`
    dates: tuple[str, ...] | None = None  # by which names its template asks for the day's date
    tools: bool | None = None  # whether its template shows the model what it may call
    chatml: bool = False  # whether that is ChatML, which llama.cpp takes where a file has none
    listed: bool = field(default=True, compare=False)
    created: int | None = field(default=None, compare=False)  # some say the time of asking

    @property
    def names_weights(self) -> bool:
        """Whether it tells more of its weights than the name they are asked by."""
        return self.file is not None or self.root not in (None, self.model)

    @property
    def identity(self) -> dict[str, str]:
        """What tells this server from another one of the same name, as far as it says."""
        said = {
            "root": without_folder(self.root),
            "file": without_folder(self.file),
            "version": self.version,
            "build": self.build,
        }
        return {name: value for name, value in said.items() if value is not None}

    def differences(self, known: Served) -> str:
        """Say in what it is not the one that was known."""
        now, then = asdict(replace(self, created=None)), asdict(replace(known, created=None))
        return ", ".join(
            f"{name} was {excerpt(repr(then[name]), 80)}, is {excerpt(repr(now[name]), 80)}"
            for name in now
            if now[name] != then[name]
        )


def look_up(server: Connection, dialect: Dialect, known: Served | None) -> Served:
    """Ask a server what it serves under the model's name; `known` is what it did before.

    Raises:
        EngineStartError: it cannot be reached, or serves no such model.
        ModelChangedError: it served the model before, and does not any more.
    """
    listed = ask_beside(server, "/models")
    try:
        models = [m for m in (listed or {}).get("data") or () if isinstance(m.get("id"), str)]
        names = {dialect.model, dialect.served_as}
        entry = next((m for m in models if names & {m["id"], *(m.get("aliases") or ())}), None)
        if entry is None and models:
            there = models_shown(dialect.model, [m["id"] for m in models])
            kind = EngineStartError if known is None else ModelChangedError
            now = "" if known is None else " any more"
            raise kind(f"{server.address} does not serve {dialect.model!r}{now}; it has {there}")
        if entry is None and known is not None and known.listed:
            error = EngineStartError(f"{server.address} lists no model, where it listed one before")
            error.retryable = error.gone = True
            raise error
        return _served(entry or {}, server, dialect, known)
    except (AttributeError, TypeError, KeyError, ValueError) as exc:
        raise EngineStartError(
            f"{server.address}/models lists models in an unknown form ({type(exc).__name__}: {exc})"
        ) from exc


def _served(
    entry: dict[str, Any], server: Connection, dialect: Dialect, known: Served | None
) -> Served:
    meta = entry.get("meta") or {}
    props: dict[str, Any] = {}
    owner, first = _text(entry.get("owned_by")), known is None
    if dialect.server == "llama.cpp":
        # stands beside /v1, and not every installation shows it
        props = ask_beside(server, _beside(server, "/props")) or {}
    elif owner == "llamacpp":  # the rest is for those who say what answers
        tells = known is None or known.file is not None or known.build is not None
        found = _told_beside(server, "/props", first=first) if tells else {}
        props = {key: found[key] for key in ("model_path", "build_info") if key in found}
    version = None
    # vLLM says it beside `/v1`, and so do some others; one that did not is not asked again
    if dialect.server in _VERSIONED and (known is None or known.version is not None):
        version = _text(_told_beside(server, "/version", first=first).get("version"))
    template = props.get("chat_template")
    settings = props.get("default_generation_settings") or {}
    caps = props.get("chat_template_caps") or {}
    return Served(
        model=dialect.model,
        quantization=_text(meta.get("ftype") or props.get("model_ftype")),
        parameters=_number(meta.get("n_params")),
        weights_bytes=_number(meta.get("size")),
        vocabulary=_number(meta.get("n_vocab")),
        context=_number(settings.get("n_ctx") or meta.get("n_ctx") or entry.get("max_model_len")),
        template_sha256=hashlib.sha256(template.encode()).hexdigest() if template else None,
        build=_text(props.get("build_info")),
        slots=_number(props.get("total_slots")),
        owner=owner,
        created=_number(entry.get("created")),
        listed=bool(entry),
        file=_text(props.get("model_path")),
        root=_text(entry.get("root")),
        version=version,
        dates=None if not template else tuple(n for n in dates_in(template) if n in SUPPLIED),
        tools=able if isinstance(able := caps.get("supports_tools"), bool) else None,
        chatml="<|im_start|>" in (template or ""),
    )


def _beside(server: Connection, path: str) -> str:
    """Return an address beside the API."""
    return f"{server.address.removesuffix('/v1')}{path}"


def _told_beside(server: Connection, path: str, *, first: bool) -> dict[str, Any]:
    """Return what stands beside the API; empty where there is nothing, or `first` fails.

    What was there before and fails now is an error: it would look like another server.
    """
    try:
        return ask_beside(server, _beside(server, path)) or {}
    except EngineError:
        if not first:
            raise
        return {}  # most have no such address, and need none


def software_of(server: Connection, served: Served) -> Software | None:
    """Say which software answers, where it tells itself; asks at most one thing more."""
    owner = (served.owner or "").lower()
    proxied = owner == _OPENAI and served.created == _LITELLM_CREATED
    if proxied and "openai.com" not in server.address:
        return Software(_LITELLM)
    known = _OWNERS.get(owner)
    if known is not None and known.name != OLLAMA:
        return known
    # a model of a user's own on Ollama has the user as its owner, and this address all the same
    said = _told_beside(server, "/api/version", first=True).get("version")
    return Software(OLLAMA, version=said[:40]) if isinstance(said, str) and said else known


def artifact_of(served: Served, model: str, *, url: str) -> Artifact:
    """Describe what is served; a file that lies on this machine is hashed."""
    told = Artifact(
        model,
        quantization=served.quantization,
        bytes_on_disk=served.weights_bytes,
        parameters=served.parameters,
    )
    of_file = _file_facts(Path(served.file), served) if served.file and is_loopback(url) else None
    named = asdict(served)
    details = {name: named[name] for name in ("owner", "slots", "vocabulary", "weights_bytes")}
    facts = of_file or told
    own = facts.template_sha256
    return replace(
        facts,
        model=model,
        context=served.context,
        template_sha256=served.template_sha256 or own,
        template_default="chatml" if of_file and served.chatml and not own else None,
        derived_from=None,  # who serves it says nothing of that
        source_sha256=None,
        source_quantization=None,
        resident=True,
        details={name: value for name, value in details.items() if value is not None},
        identity=served.identity,
    )


def _file_facts(path: Path, served: Served) -> Artifact | None:
    """Read a model file, if it is there and is the one that is served."""
    from quantrial.engines.model_files import describe_file

    cells = (served.context or 0) * (served.slots or 1) or None
    with contextlib.suppress(ModelFileError):
        facts = describe_file(path, cells=cells)
        if facts.parameters == served.parameters:
            return facts
    return None


def ask_beside(
    server: Connection, path: str, body: Mapping[str, Any] | None = None
) -> dict[str, Any] | None:
    """Ask something about the model and not of it; None where no such thing is there."""
    try:
        return server.document(path, body, within=_LIMIT)
    except EngineError:
        raise
    except FOREIGN as exc:
        if isinstance(exc, ServerSaidError) and exc.status in (403, 404, 405, 501):
            return None
        found = translated(exc, server.address, seconds=_LIMIT)
        error = EngineStartError(str(found))
        error.retryable = found.retryable and not isinstance(exc, UnreadableError)
        error.retry_after = found.retry_after
        # who does not even say what it serves is about to stop, or to start
        error.gone = found.gone or isinstance(found, EngineCrashedError | EngineTimeoutError)
        raise error from exc


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _number(value: Any) -> int | None:
    return count_of(value) or None if isinstance(value, int) else None


_ARGUMENTS = "chat_template_kwargs"


def told_day(dialect: Dialect, served: Served | None, day: date) -> Dialect:
    """Return the dialect that tells the server's template a day, where it asks for one by name.

    What the study's `extra_body` tells the template goes before it.
    """
    ours = arguments_for(served.dates or (), day) if served is not None else {}
    said = dialect.extra_body.get(_ARGUMENTS)
    if not ours or not (said is None or isinstance(said, dict)):
        return dialect
    return replace(dialect, extra_body={**dialect.extra_body, _ARGUMENTS: ours | (said or {})})


def render(server: Connection, dialect: Dialect, requests: Sequence[Request]) -> list[str]:
    """Return what the server's template makes of each request; a text stays as it is.

    Raises:
        EngineError: it refuses the messages, cannot be reached, or is too old to say.
    """
    return [
        _applied(server, call_of(request, dialect)[1]) if request.text is None else request.text
        for request in requests
    ]


def date_record(
    server: Connection, dialect: Dialect, served: Served, day: date
) -> dict[str, Any] | None:
    """Say by which names the template asks for the date, and which day it is told.

    Args:
        server: that serves it.
        dialect: with what the template is told, see `told_day`.
        served: what the server said of its template.
        day: that it should be told.

    Returns:
        As `Artifact.template_date`: `held` is None where today is written all the same.
    """
    if not served.dates:
        return None if served.dates is None else {}
    told = dialect.extra_body.get(_ARGUMENTS) or {}
    known = [str(told[name]) for name in served.dates if name in told]
    held: str | None = None
    if known:
        held = day.isoformat() if told.get("date_string") == as_string(day) else known[0]
        body = {"messages": [{"role": "user", "content": "x"}], _ARGUMENTS: dict(told)}
        try:
            if holds_day(_applied(server, body), datetime.now(UTC).astimezone().date()):
                held = None
        except EngineError:
            held = None
    return {"by": list(served.dates), "held": held}


def _applied(server: Connection, body: Mapping[str, Any]) -> str:
    said = ask_beside(server, _beside(server, "/apply-template"), body)
    if said is None or not isinstance(said.get("prompt"), str):
        raise EngineError(f"{server.address} does not say what its chat template makes of messages")
    return str(said["prompt"])
