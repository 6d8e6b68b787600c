"""Which keys a study sends to other machines: it names both the variable and the server."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from quantrial.engines.keys import is_loopback, key_in
from quantrial.engines.ollama_http import KEY
from quantrial.engines.ollama_server import address_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from quantrial.study import Arm


@dataclass(frozen=True, slots=True)
class KeySent:
    """A key that a study sends away: the variable that holds it, and the server's address."""

    arm: str
    variable: str
    place: str


def keys_sent(arms: Mapping[str, Arm]) -> list[KeySent]:
    """List the keys that arms send to other machines: a study names the variable and the server.

    What an installed engine of others sends is not known here.

    Raises:
        StudyError: an address is none.
    """
    return list(dict.fromkeys(_keys_sent(arms)))


def _keys_sent(arms: Mapping[str, Arm]) -> Iterator[KeySent]:
    for name, arm in arms.items():
        if arm.engine == "ollama":
            variable: Any = KEY
            urls: list[Any] = [address_of(arm.options.get("host"), key=f"arms.{name}.options.host")]
        elif arm.engine == "openai":
            variable = arm.options.get("api_key_env")
            replicas = arm.options.get("replicas")
            urls = [arm.options.get("base_url"), *(replicas if isinstance(replicas, list) else ())]
        else:
            continue
        if not isinstance(variable, str) or not key_in(variable):
            continue
        for url in urls:
            # what is no address is refused where the engine is made, before anything is sent
            if isinstance(url, str) and not is_loopback(url):
                yield KeySent(name, variable, url.rstrip("/"))
