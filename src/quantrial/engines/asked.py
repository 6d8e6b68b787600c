"""What an arm on a server asks, where and in which way: written so that one thing is one text."""

from __future__ import annotations

import ipaddress
import json
import re
import socket
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable
from urllib.parse import urlsplit

_PORTS = {"http": 80, "https": 443}
_HERE = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class AskedAs:
    """A model of one or more servers; `ways` are the options that its answers can depend on."""

    places: frozenset[str]
    model: str
    ways: str

    @classmethod
    def of(cls, urls: Iterable[str], model: str, ways: Mapping[str, Any]) -> AskedAs:
        """Write down what is asked; options that say nothing are left out."""
        told = {name: value for name, value in ways.items() if value}
        return cls(
            frozenset(map(plain_url, urls)), model, json.dumps(told, sort_keys=True, default=str)
        )

    def is_also(self, other: AskedAs) -> bool:
        """Whether both ask one model of one server in one way."""
        same = (self.model, self.ways) == (other.model, other.ways)
        return same and bool(self.places & other.places)


@runtime_checkable
class Asking(Protocol):
    """An engine that asks a server."""

    def asked_as(self) -> AskedAs:
        """Say what is asked."""
        ...


def plain_url(url: str) -> str:
    """Write a server's address in one form, whichever way it was spelled.

    Case and a trailing dot of the host, names and addresses of this machine, the scheme's own
    port, trailing slashes and the `/v1` of an API make no other server.
    """
    parts = urlsplit(url.strip())
    host = (parts.hostname or "").rstrip(".")
    port = parts.port or _PORTS.get(parts.scheme, 0)
    path = re.sub("/+", "/", parts.path).rstrip("/")
    return f"{_plain_host(host)}:{port}{path.removesuffix('/v1')}"


def _plain_host(host: str) -> str:
    if host == "localhost" or host.endswith(".localhost"):
        return _HERE
    try:
        # also the short forms that system calls accept, such as 127.1
        packed = host if ":" in host else socket.inet_ntoa(socket.inet_aton(host))
        address = ipaddress.ip_address(packed)
    except (OSError, ValueError):
        return host
    mapped = getattr(address, "ipv4_mapped", None) or address
    here = mapped.is_loopback or mapped.is_unspecified
    return _HERE if here else str(mapped)
