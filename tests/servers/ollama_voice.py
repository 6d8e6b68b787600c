"""What an Ollama server holds in memory: llama.cpp in the embedded engine's worker, or no model.

`Words` takes a word for a token and says what it is told to: enough for the rules of prompts and
answers, and done in no time.
"""

from __future__ import annotations

import atexit
import re
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import httpx

from quantrial.engines.llamacpp_process import Worker
from servers.ollama_rules import Said

_BEYOND = 1024  # tokens an answer may have after its window is full
_WINDOW = 2048  # the least that is loaded
_KEPT = 2  # workers
_LOAD = 0.11  # seconds: a shorter load is taken for none
_idle: list[tuple[tuple[Path, int, int], Worker]] = []


@atexit.register
def _end_idle() -> None:
    for _, worker in _idle:
        worker.end()


class Voice(Protocol):
    """A model in memory."""

    def close(self) -> None: ...

    def tokens(self, text: str) -> list[int]: ...

    def say(
        self, prompt: Sequence[int], options: Mapping[str, Any], limit: int, **how: Any
    ) -> tuple[Said, Mapping[str, float]]:
        """Answer; `how` may hold `schema` and `logprobs`. Returns also the seconds it took."""
        ...


class Words:
    """Says `says` of a prompt, a word a token; nothing is loaded."""

    def __init__(self, says: Callable[[str], str] = lambda _: "Well."):
        self._says = says
        self._known: dict[str, int] = {}

    def close(self) -> None:
        pass

    def tokens(self, text: str) -> list[int]:
        return [self._known.setdefault(one, len(self._known)) for one in words_of(text)]

    def say(
        self, prompt: Sequence[int], options: Mapping[str, Any], limit: int, **how: Any
    ) -> tuple[Said, Mapping[str, float]]:
        words = list(self._known)
        said = self._says("".join(words[token] for token in prompt))
        pieces = tuple(words_of(said))
        stops = len(pieces) < limit
        reason = "stop" if stops else "length"
        counted = len(pieces) + 1 if stops else limit
        return Said(pieces[:limit], reason, counted), {"prompt": 0.0, "predicted": 0.0}


def words_of(text: str) -> list[str]:
    """Cut a text into what `Words` takes for tokens."""
    return re.findall(r"<\|\w+\|>|\s?\w+|\s|[^\w\s]", text)


class Weights:
    """Has a model file in memory; close it.

    The worker of one that was closed is kept for the next one of that file, whose window is told
    by the rules and not by llama.cpp.
    """

    def __init__(self, path: Path, window: int):
        self._most = max(window, _WINDOW) + _BEYOND
        self._key = (path, path.stat().st_mtime_ns, self._most)
        found = next((one for one in _idle if one[0] == self._key), None)
        if found is not None:
            _idle.remove(found)
            self._worker = found[1]
            time.sleep(_LOAD)
        else:
            self._worker = Worker(
                {
                    **{"path": str(path), "context": self._most, "threads": 1, "slots": 1},
                    **{"batch": 512, "gpu_layers": 0, "states": tempfile.gettempdir()},
                }
            )
        self._client = httpx.Client(
            base_url=self._worker.address,
            headers={"Authorization": f"Bearer {self._worker.token}"},
            trust_env=False,
            timeout=120,
            limits=httpx.Limits(max_keepalive_connections=0),
        )

    def close(self) -> None:
        self._client.close()
        _idle.append((self._key, self._worker))
        if len(_idle) > _KEPT:
            _idle.pop(0)[1].end()

    def tokens(self, text: str) -> list[int]:
        asked = {"content": text, "add_special": True, "parse_special": True}
        found: list[int] = self._ask("/tokenize", asked)["tokens"]
        return found

    def say(
        self, prompt: Sequence[int], options: Mapping[str, Any], limit: int, **how: Any
    ) -> tuple[Said, Mapping[str, float]]:
        limit = min(limit, self._most - len(prompt) - 1)
        names = ("temperature", "top_k", "top_p", "min_p", "typical_p", "repeat_last_n")
        penalties = ("repeat_penalty", "presence_penalty", "frequency_penalty")
        body = {
            "prompt": list(prompt),
            "n_predict": limit,
            "n_probs": max(how.get("logprobs", 0), 1),
            "cache_prompt": False,
            "seed": options["seed"] % 2**32,
            "stop": list(options["stop"]),
            **{name: options[name] for name in (*names, *penalties)},
        }
        if how.get("schema"):
            body["json_schema"] = how["schema"]
        said = self._ask("/completion", body)
        found = list(_pieces(said["content"], said.get("completion_probabilities", ())))
        timings = said["timings"]
        seconds = {name: timings[f"{name}_ms"] / 1000 for name in ("prompt", "predicted")}
        return Said(
            tuple(piece for piece, _ in found),
            "length" if said["stop_type"] == "limit" else "stop",
            said["tokens_predicted"],
            tuple(_probabilities(one, how.get("logprobs", 0)) for _, one in found if one),
        ), seconds

    def _ask(self, path: str, body: Mapping[str, Any]) -> Any:
        response = self._client.post(path, json=body)
        assert response.status_code == 200, response.text
        return response.json()


def _pieces(
    text: str, tokens: Sequence[Mapping[str, Any]]
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield what comes out of each token; one that ends within a character waits for the next."""
    left, pending = text, b""
    for token in tokens:
        pending += bytes(token["bytes"])
        try:
            piece = pending.decode()[: len(left)]
        except UnicodeDecodeError:
            continue
        pending = b""
        if piece:  # an end has none, and a stop text is cut off
            left = left[len(piece) :]
            yield piece, token
    if left:  # what stands before a stop text in a token
        yield left, {}


def _probabilities(token: Mapping[str, Any], top: int) -> Mapping[str, Any]:
    def one(said: Mapping[str, Any]) -> dict[str, Any]:
        return {name: said[name] for name in ("token", "logprob", "bytes")}

    found = one(token)
    return found | {"top_logprobs": [one(t) for t in token["top_logprobs"]]} if top else found
