"""Where the servers of an arm stand: read from options once."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from quantrial.engines.keys import refuse_keys, shown_url
from quantrial.errors import StudyError

if TYPE_CHECKING:
    from collections.abc import Mapping


def urls_of(said: Mapping[str, Any], *, key: str) -> list[str]:
    """Return the base URLs that the options name, and see that the rest of them can be sent.

    Raises:
        StudyError: one is missing, no URL, stands twice or holds a key.
    """
    if said["base_url"] is None:
        raise StudyError(
            "missing: the server's address, such as http://127.0.0.1:8080/v1", key=f"{key}.base_url"
        )
    urls = [said["base_url"], *said["replicas"]]
    for i, url in enumerate(urls):
        where = f"{key}.base_url" if i == 0 else f"{key}.replicas.{i - 1}"
        parts = None
        try:
            parts = urlsplit(url) if isinstance(url, str) else None
            sound = parts is not None and parts.scheme in ("http", "https") and parts.hostname
            _ = parts.port if parts is not None else None
        except ValueError:
            sound = None
        if parts is None or not sound:
            raise StudyError(
                f"expected a URL such as http://127.0.0.1:8080/v1, got {shown_url(url)}",
                key=where,
            )
        if parts.username or parts.password or parts.query or parts.fragment:
            raise StudyError(
                "a key does not stand in a URL; the option `api_key_env` names a variable of the "
                "environment that holds it",
                key=where,
            )
    if len(set(urls)) < len(urls):
        raise StudyError("the same URL stands twice", key=f"{key}.replicas")
    refuse_keys(said["extra_body"], key=f"{key}.extra_body")
    try:
        json.dumps(said["extra_body"])
    except (TypeError, ValueError) as exc:
        raise StudyError(f"cannot be sent as JSON: {exc}", key=f"{key}.extra_body") from exc
    return [url.rstrip("/") for url in urls]
