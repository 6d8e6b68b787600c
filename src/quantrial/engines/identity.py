"""What tells one server and its weights from another: read again at every new connection.

A server that is started anew with other weights under the same name goes on answering. Where it
tells what it runs on, that is compared; where it tells nothing, a run asks a fixed prompt now and
then (`quantrial.running.watch`).
"""

from __future__ import annotations

import hashlib
import ipaddress
import json
import re
import socket
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable
from urllib.parse import urlsplit

from quantrial.errors import ModelChangedError

if TYPE_CHECKING:
    from collections.abc import Sequence

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


# what to do once another model answers
REMEDY = (
    "Answers of both would be mixed. Start the server with what it served before, and the same "
    "command goes on; or name another folder for a new run (--out)"
)


_LONGEST, _MOST = 100, 20  # characters of a fingerprint, and how many of them, are kept


@runtime_checkable
class Watchable(Protocol):
    """An engine whose server may serve other weights without saying so."""

    def names_weights(self) -> bool:
        """Whether the server tells which weights stand behind the model's name; asks nobody."""
        ...

    def fingerprints(self) -> tuple[str, ...]:
        """Return each fingerprint that answers had, in the order in which they came first."""
        ...

    def remember(self, fingerprints: Sequence[str]) -> None:
        """Take what `fingerprints` said in an earlier session as what was known first."""
        ...


class Fingerprints:
    """The fingerprints that answers of one arm had; several threads may check at once.

    Args of the constructor: `pinned` is the one that the study names, `held` says whether another
    one than the first is an error.
    """

    def __init__(self, pinned: str | None, *, held: bool):
        self._held = held
        self._first = pinned
        self._seen: dict[str, None] = {}
        self._lock = threading.Lock()

    def seen(self) -> tuple[str, ...]:
        """Return each of them, in the order in which they came first."""
        return tuple(self._seen)

    def remember(self, earlier: Sequence[str]) -> None:
        """Take those of an earlier session as what was known first."""
        with self._lock:
            self._seen = dict.fromkeys([*earlier, *self._seen])
            self._first = self._first or next(iter(self._seen), None)

    def check(self, fingerprint: str | None, url: str) -> None:
        """Take note of an answer's.

        Raises:
            ModelChangedError: it is another one than the first, where that is held to.
        """
        if fingerprint is None:
            return
        fingerprint = fingerprint.encode("utf-8", "replace").decode()  # halves of pairs
        with self._lock:
            known = self._first = self._first or fingerprint
            if len(self._seen) < _MOST:
                self._seen.setdefault(fingerprint[:_LONGEST])
        if self._held and fingerprint[:_LONGEST] != known[:_LONGEST]:
            raise ModelChangedError(
                f"{url} answers with the fingerprint {fingerprint!r:.100}, where it was {known!r}: "
                f"other software or another model answers. {REMEDY}"
            )


def differences(then: Mapping[str, object], now: Mapping[str, object]) -> str:
    """Say in what an identity is not the one that was known; empty where it is the same.

    What was not known then is no difference: an earlier version may not have asked.
    """
    return ", ".join(
        f"its {name} was {then[name]!r:.80}, is {now.get(name)!r:.80}"
        for name in then
        if then[name] is not None and then[name] != now.get(name)
    )


def without_folder(path: str | None) -> str | None:
    """Return a path as its last part and a hash of what stands before: no folder is recorded.

    What is no path from the root, such as a name on a hub, stays as it is.
    """
    for kind in (PurePosixPath, PureWindowsPath):
        if path and kind(path).is_absolute():
            folder = hashlib.sha256(str(kind(path).parent).encode("utf-8", "replace"))
            return f"{kind(path).name} (folder {folder.hexdigest()[:8]})"
    return path
