"""How large a model is that an Ollama server would fetch: read off the registry's manifest."""

from __future__ import annotations

import httpx

from quantrial.engines.ollama_model import DEFAULT_HOST, Name

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
