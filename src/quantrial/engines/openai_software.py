"""Which software answers behind an OpenAI-compatible address, and how it wants to be asked.

Nothing in OpenAI's API says so. Servers differ in what they call the owner of a model, and some
have an address of their own beside `/v1`. What is not recognized stays unknown.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from quantrial.engines.openai_wire import SAMPLING
from quantrial.engines.sampling import Sampling

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

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
    OLLAMA: "the engine `ollama` asks the same model with all sampling stated",
    _LM_STUDIO: "the option `extra_body: {repeat_penalty: 1, top_k: 40, min_p: 0.05}` states some",
    _LITELLM: "it passes calls on; the server behind it may be asked itself, and told more",
}
_PENALTY = {OLLAMA: "a `repeat_penalty` of 1.1"}

# a parameter of sampling and the names that servers have for it
_PARAMETERS: Mapping[str, tuple[str, ...]] = {
    "repeat_penalty": ("repeat_penalty", "repetition_penalty"),
    "presence_penalty": ("presence_penalty",),
    "frequency_penalty": ("frequency_penalty",),
    "top_k": ("top_k",),
    "top_p": ("top_p",),
    "min_p": ("min_p",),
}


def recognize(
    owner: str | None,
    created: int | None,
    url: str,
    get: Callable[[str], Mapping[str, Any] | None],
) -> Software | None:
    """Say which software serves a model; None where it does not tell.

    Args:
        owner: of the model, in the list of models.
        created: when it was made, there.
        url: the base URL.
        get: asks for the JSON at an address; None where there is none.
    """
    owner = (owner or "").lower()
    if owner == _OPENAI and created == _LITELLM_CREATED and "openai.com" not in url:
        return Software(_LITELLM)
    known = _OWNERS.get(owner)
    if known is not None and known.name != OLLAMA:
        return known
    # a model of a user's own on Ollama has the user as its owner, and this address all the same
    version = (get(f"{url.removesuffix('/v1')}/api/version") or {}).get("version")
    if isinstance(version, str) and version:
        return Software(OLLAMA, version=version[:40])
    return known


def sampling_of(dialect: Dialect, software: Software | None) -> Sampling:
    """Say what the calls of a dialect leave to the server, and what the software is known to do."""
    stated = {**SAMPLING[dialect.server], **dialect.extra_body}
    said = {name for name, value in stated.items() if value is not None}
    unstated = tuple(name for name, names in _PARAMETERS.items() if not said.intersection(names))
    if software is None:
        return Sampling(unstated=unstated)
    penalty, advice = _PENALTY.get(software.name), _ADVICE.get(software.name)
    if software.server is not None and software.server != dialect.server and unstated:
        advice = f"the option `server: {software.server}` states them in every call"
    return Sampling(software.shown, unstated, penalty, advice)
