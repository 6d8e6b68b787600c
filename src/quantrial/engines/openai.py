"""Any OpenAI-compatible server: llama-server, vLLM, SGLang, LM Studio, TGI, a hosted one.

    arms:
      q4:
        engine: openai
        model: llama-3.1-8b-q4_k_m
        options: {base_url: "http://127.0.0.1:8080/v1", server: llama.cpp, api_key_env: MY_KEY}

Keys come from the environment, and go nowhere but to the server. An answer is streamed, bounded in
bytes and time, and refused where it is another model's, is not whole, or is counted wrongly.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from importlib import metadata
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from quantrial import redaction
from quantrial.engines.abilities import refuse_unable, refuse_unheld
from quantrial.engines.base import Reply, Request
from quantrial.engines.http import FOREIGN, Connection, translated
from quantrial.engines.identity import REMEDY, AskedAs, Fingerprints
from quantrial.engines.openai_served import (
    OLLAMA,
    OLLAMA_FINGERPRINT,
    Served,
    Software,
    artifact_of,
    date_record,
    look_up,
    render,
    sampling_of,
    software_of,
    told_day,
)
from quantrial.engines.openai_wire import (
    SERVERS,
    Dialect,
    Gathered,
    call_of,
    salted,
    urls_of,
)
from quantrial.engines.options import Option, is_loopback, read_options, secret_of
from quantrial.engines.templates import day_option
from quantrial.errors import (
    EngineCrashedError,
    EngineError,
    EngineStartError,
    EngineTimeoutError,
    ModelChangedError,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from quantrial.engines.artifact import Artifact, Sampling

_OPTIONS = {
    "base_url": Option(str),  # such as http://127.0.0.1:8080/v1
    "replicas": Option(list, []),  # further base URLs that serve the same model
    "api_key_env": Option(str),  # the environment variable that holds the key
    "server": Option(str, "generic", choices=tuple(SERVERS)),
    "stream": Option(bool, True),  # needed for the time to the first token
    "prompt_cache": Option(bool, False),  # llama.cpp only: elsewhere the server decides
    "limit_key": Option(str, "max_tokens", choices=("max_tokens", "max_completion_tokens")),
    "served_as": Option(str),  # the model's name in answers, where it is not the one asked for
    "fingerprint": Option(str),  # an answer with another one is a fault
    "extra_body": Option(dict, {}),  # further keys of every request; null leaves one out
    "date": Option(str),  # llama.cpp only: the day that a template writes which writes the date
}
# where a server stands is no part of what it is
_PLACES = ("base_url", "replicas", "api_key_env")
# A server that says quickly what it serves is asked after every new connection; one that takes
# longer for it (seconds; it may search a disk) every so many times as long: it starts as slowly.
_QUICK, _SPARING = 0.05, 10
_AVOIDED = 30.0  # seconds for which a replica that failed is asked only if no other is there


@dataclass
class _Replica:
    server: Connection
    host: str | None = None  # as answers name it, where there are several
    in_flight: int = 0
    last: int = 0  # number of the call it got last
    avoided_until: float = 0.0
    known: Served | None = None  # what it was found to serve
    served: Served | None = None  # the same, unless it failed since
    connections: int = 0  # how many there were when it was last looked at
    looked_at: float = 0.0
    look: float = math.inf  # the seconds that the quickest look took


class OpenAIEngine:
    """One model on one or more OpenAI-compatible servers; several threads may ask at once."""

    name = "openai"

    def __init__(self, model: str, options: Mapping[str, Any] | None = None, *, key: str = "arm"):
        """Check the options and find the key; nothing is asked of a server yet.

        Args:
            model: the model's name, as the server lists it.
            options: `base_url` and others; see the top of this file and docs/engines.md.
            key: where the arm stands in the study, for messages.

        Raises:
            StudyError: an option is unknown or wrong, or the variable that should hold the key is
                not set.
        """
        said = read_options(options or {}, _OPTIONS, key=f"{key}.options")
        self._secret = secret_of(said["api_key_env"], owner=self, key=f"{key}.options.api_key_env")
        urls = urls_of(said, key=f"{key}.options")
        self._said = {name: value for name, value in said.items() if name not in _PLACES and value}
        self._day = day_option(said, key=f"{key}.options")
        places = {*_PLACES, "date"}
        self._dialect = Dialect(model, **{k: v for k, v in said.items() if k not in places})
        self.abilities = SERVERS[said["server"]]
        self._replicas = [
            _Replica(
                # over TLS a new connection costs much; elsewhere each call has its own
                Connection(url, key=self._secret, reuse=url.startswith("https:")),
                urlsplit(url).netloc if urls[1:] else None,
            )
            for url in urls
        ]
        self._lock = threading.Lock()
        self._calls = 0
        self._served: Served | None = None  # what was found first; nothing else is accepted later
        # a hosted model's changes from call to call
        held = said["server"] != "generic" or bool(said["fingerprint"])
        self._fingerprints = Fingerprints(said["fingerprint"], held=held)
        self._software: Software | None = None  # what answers, where it tells itself
        self._ready = False

    @property
    def local(self) -> bool:
        """Whether all its servers are on this machine."""
        return all(is_loopback(replica.server.address) for replica in self._replicas)

    @staticmethod
    def sends_key(options: Mapping[str, Any], *, key: str) -> tuple[Any, list[Any]]:
        """Say which variable's key goes to which addresses; as written, whatever stands there."""
        replicas = options.get("replicas")
        urls = [options.get("base_url"), *(replicas if isinstance(replicas, list) else ())]
        return options.get("api_key_env"), urls

    def asked_as(self) -> AskedAs:
        """Say what is asked, where and in which way: two arms of one of it are one arm."""
        ways = {name: self._said.get(name) for name in ("extra_body", "date")}
        return AskedAs.of([one.server.address for one in self._replicas], self._dialect.model, ways)

    def describe(self) -> Artifact:
        """Say what the server reports of the model; nothing is loaded for it.

        Raises:
            EngineStartError: the server cannot be reached, or does not serve the model.
        """
        replica = self._replicas[0]
        served = self._look_up(replica)
        if self._software is None:
            self._software = software_of(replica.server, served)
        if self._is_vllm():
            self.abilities |= {"fresh"}
        artifact = artifact_of(served, self._dialect.model, url=replica.server.address)
        told = self.sampling()
        own = told if told.unstated or told.penalty else None
        return replace(artifact, options=self._said, sampling=own, **self.template_facts())

    def template_facts(self) -> dict[str, Any]:
        """Say which day the server's template is told, where it asks for one."""
        replica = self._replicas[0]
        served = replica.served or self._look_up(replica)
        told = told_day(self._dialect, served, self._day)
        dated = date_record(replica.server, told, served, self._day)
        return {"template_date": dated}

    def render(self, requests: Sequence[Request]) -> list[str] | None:
        """Return what the server's template makes of each request; None where it does not say.

        Raises:
            EngineError: the template refuses the messages, or the server cannot be reached.
        """
        if self._dialect.server != "llama.cpp":
            return None
        replica = self._replicas[0]
        served = replica.served or self._look_up(replica)
        told = told_day(self._dialect, served, self._day)
        return render(replica.server, told, requests)

    def sampling(self) -> Sampling:
        """Say what the server decides of sampling, as far as is known by now."""
        return sampling_of(self._dialect, self._software)

    def versions(self) -> Mapping[str, str]:
        """Name the versions of the client, and of the server where it says so."""
        versions = {"httpx": metadata.version("httpx")}
        if self._served is not None and (said := self._served.build or self._served.version):
            versions["server"] = said
        return versions

    def _is_vllm(self) -> bool:
        """Whether the study says that the server is vLLM's, or a `generic` one does so itself."""
        known = self._software.server if self._software is not None else None
        return "vllm" in (self._dialect.server, known if self._dialect.server == "generic" else "")

    def names_weights(self) -> bool:
        """Whether the server tells which weights stand behind the model's name."""
        return self._served is not None and self._served.names_weights

    def fingerprints(self) -> tuple[str, ...]:
        """Return each fingerprint that answers had, in the order in which they came first."""
        return self._fingerprints.seen()

    def remember(self, fingerprints: Sequence[str]) -> None:
        """Hold answers to the fingerprint of an earlier session, where they are held to any."""
        self._fingerprints.remember(fingerprints)

    def start(self) -> float:
        """See that every replica serves the same model as ever; 0.0, since it loads nothing.

        Raises:
            EngineStartError: one cannot be reached, or does not serve the model.
            ModelChangedError: one serves another model than before.
        """
        with self._lock:
            if self._ready:
                return 0.0
        for replica in self._replicas:
            self._look_up(replica)
        with self._lock:
            self._ready = True
        return 0.0

    def ask(self, request: Request) -> Reply:
        """Answer one request by the replica that has least to do."""
        refuse_unable(request, self)
        replica = self._take()
        try:
            if replica.served is None:
                self._look_up(replica)
            reply = self._ask(replica, request)
        except EngineError as exc:
            absent = isinstance(exc, EngineTimeoutError | EngineCrashedError | EngineStartError)
            if absent or exc.gone:
                # it may come back as another: it is looked at again before it is asked again
                replica.served = None
                replica.avoided_until = time.monotonic() + _AVOIDED
            redaction.blot_error(exc)
            raise
        finally:
            with self._lock:
                replica.in_flight -= 1
        return replace(reply, host=replica.host)

    def close(self) -> None:
        """Close all connections."""
        with self._lock:
            self._ready = False
            for replica in self._replicas:
                replica.served = None
        for replica in self._replicas:
            replica.server.close()

    def _take(self) -> _Replica:
        with self._lock:
            now = time.monotonic()
            replica = min(
                self._replicas, key=lambda r: (r.avoided_until > now, r.in_flight, r.last)
            )
            self._calls += 1
            replica.last = self._calls
            replica.in_flight += 1
            return replica

    def _look_up(self, replica: _Replica) -> Served:
        """Find what a replica serves; refuse anything but what was found first."""
        began = time.monotonic()
        try:
            served = look_up(replica.server, self._dialect, replica.known)
        except EngineError as exc:
            redaction.blot_error(exc)
            raise
        with self._lock:
            known = self._served = self._served or served
            if served != known:
                raise ModelChangedError(
                    f"{replica.server.address} serves another {self._dialect.model!r} than before: "
                    f"{served.differences(known)}. {REMEDY}"
                )
            if served.tools is False:
                self.abilities -= {"tools"}
            replica.known = replica.served = served
            replica.connections = replica.server.opened
            replica.looked_at = time.monotonic()
            replica.look = min(replica.look, replica.looked_at - began)
        return served

    def _look_again(self, replica: _Replica) -> None:
        """See that an answer came of what is known: its server may have been started anew."""
        same = replica.server.opened == replica.connections
        spared = 0.0 if replica.look <= _QUICK else _SPARING * replica.look
        if not same and time.monotonic() - replica.looked_at > spared:
            self._look_up(replica)

    def _ask(self, replica: _Replica, request: Request) -> Reply:
        path, body = call_of(request, told_day(self._dialect, self._served, self._day))
        body = salted(body, request, self._dialect, vllm=self._is_vllm())
        gathered = Gathered(request, self._dialect)
        # an event of a token takes 300 bytes, and each alternative to it 120
        size = 2**20 + request.max_tokens * (2**11 + 2**8 * request.logprobs)
        ask = replica.server.events if self._dialect.stream else replica.server.whole
        started = time.perf_counter()
        try:
            with closing(ask(path, body, within=request.timeout, size=size)) as events:
                for event in events:
                    gathered.add(event, time.perf_counter() - started)
            reply = gathered.reply(time.perf_counter() - started)
        except EngineError as exc:
            exc.partial = gathered.partial(time.perf_counter() - started)
            raise
        except FOREIGN as exc:
            where, limit = replica.server.address, request.timeout
            error = translated(exc, where, seconds=limit, place=gathered.message.place)
            error.partial = gathered.partial(time.perf_counter() - started)
            raise error from exc
        finally:
            if gathered.fingerprint == OLLAMA_FINGERPRINT and self._software is None:
                self._software = Software(OLLAMA)
        try:
            self._fingerprints.check(gathered.fingerprint, replica.server.address)
        except ModelChangedError:
            replica.served = None
            raise
        self._look_again(replica)
        refuse_unheld(request, reply.output, reply.finish_reason)
        return reply
