"""An answer of an Ollama server, as it comes piece by piece."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import ollama

from quantrial.engines.abilities import refusal
from quantrial.engines.logprobs import read_logprobs

_MOST_TEXT = 16 * 2**20  # characters; no answer within any `max_tokens` is longer


@dataclass(slots=True)
class Heard:
    """What has come of an answer so far."""

    deadline: float
    began: float
    texts: list[str] = field(default_factory=list)
    logprobs: list[Mapping[str, Any]] = field(default_factory=list)
    first: float | None = None
    length: int = 0
    last: ollama.GenerateResponse | ollama.ChatResponse | None = None

    def take(self, part: ollama.GenerateResponse | ollama.ChatResponse, *, where: str) -> None:
        """Add a piece.

        Raises:
            TimeoutError: the time is up and the answer not done.
            EngineError: there is no end to it.
        """
        now = time.perf_counter()
        if isinstance(part, ollama.ChatResponse):
            text = part.message.content or ""
        else:
            text = part.response or ""
        if (text or part.done) and self.first is None:
            self.first = now - self.began
        self.texts.append(text)
        self.length += len(text)
        self.logprobs += read_logprobs([one.model_dump() for one in part.logprobs or ()])
        if part.done:
            self.last = part
        elif now > self.deadline:
            raise TimeoutError
        if self.length > _MOST_TEXT:
            raise refusal(f"{where} sends more text than any answer has")


def seconds(nanoseconds: int | None) -> float | None:
    """Turn the server's nanoseconds into seconds."""
    return None if nanoseconds is None else nanoseconds / 1e9
