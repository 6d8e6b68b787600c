"""An answer of an Ollama server, as it comes piece by piece; what has another form is refused."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from quantrial.engines.abilities import refusal
from quantrial.engines.base import Reply
from quantrial.engines.logprobs import read_logprobs
from quantrial.engines.message import Message
from quantrial.engines.ollama_http import UnreadableError
from quantrial.engines.repeat_limit import REPEAT_LIMIT
from quantrial.engines.settled import count_of, seconds_of
from quantrial.recordable import readable
from quantrial.redaction import excerpt

_MOST_TEXT = 16 * 2**20  # characters; no answer within any `max_tokens` is longer
_NOT_ASKED = ("load", "unload")  # how a call without a prompt ends
_LONGEST_TOKEN = 64  # characters; in the mean of a text they are far fewer
_NANO = 1e9


@dataclass(frozen=True, slots=True)
class Ending:
    """What the last piece says; times in seconds, None where it does not say.

    `read` and `counted` are the counts of tokens in prompt and answer as the server has them, which
    need not be any.
    """

    reason: str | None = None
    read: Any = None
    counted: Any = None
    load: float | None = None
    prompt: float | None = None
    decode: float | None = None

    @property
    def prompt_tokens(self) -> int | None:
        """The count of tokens in the prompt; no prompt has none."""
        return count_of(self.read) or None

    @property
    def tokens(self) -> int | None:
        """The count of tokens in the answer; an answer takes one, if only its end."""
        return count_of(self.counted) or None


@dataclass(slots=True)
class Heard:
    """What has come of an answer so far."""

    began: float
    message: Message = field(default_factory=Message)
    logprobs: list[Mapping[str, Any]] = field(default_factory=list)
    model: str | None = None
    first: float | None = None
    length: int = 0
    done: Ending | None = None

    def take(self, part: Mapping[str, Any], *, where: str) -> None:
        """Add a piece; what comes after the last one is passed over.

        Raises:
            UnreadableError: it has another form than documented.
            EngineError: there is no end to it.
        """
        if self.done is not None:
            return
        chat = "message" in part
        begun = len(self.message.texts)
        done = part.get("done") is True
        try:
            self.model = _word(part, "model") or self.model
            said = part["message"] if chat else part
            came = self.message.add(said, key="content" if chat else "response")
            if (came or done) and self.first is None:
                self.first = time.perf_counter() - self.began
            for text in self.message.texts[begun:]:
                text.encode()  # half of a pair, escaped in JSON, is no text
                self.length += len(text)
            self.logprobs += read_logprobs(part.get("logprobs") or [])
            if done:
                self.done = _ending(part)
        except (KeyError, TypeError, ValueError, AttributeError) as exc:
            what = excerpt(repr(part), 80)
            raise UnreadableError(f"{type(exc).__name__}: {exc}: {what}") from exc
        if self.length > _MOST_TEXT:
            raise refusal(f"{where} sends more text than any answer has")

    def partial(self, limit: int) -> Reply | None:
        """Return what has come of an answer that broke off; None where no answer is that."""
        text, thought = readable(self.message.text), self.message.thought
        come = len(text) + len(thought or "")
        if not 0 < come <= _LONGEST_TOKEN * limit:
            return None
        return Reply(text, thought=thought, tool_calls=tuple(self.message.calls.values()) or None)

    @property
    def place(self) -> str:
        """How far the answer has come, for messages."""
        come = len(self.message.text) + len(self.message.thought or "")
        return f"after {come:,} characters" if come else "at its beginning"

    @property
    def reason(self) -> str | None:
        """Why the answer ended, as the server says or shows it; None where nothing tells."""
        if self.done is not None:
            return self.done.reason
        return REPEAT_LIMIT if self.message.looped else None

    @property
    def whole(self) -> bool:
        """Whether this is all there is: the server said that it is done, or shows why not."""
        if self.done is not None:
            return self.done.reason not in _NOT_ASKED
        return self.message.looped


def _ending(part: Mapping[str, Any]) -> Ending:
    return Ending(
        reason=_word(part, "done_reason"),
        read=part.get("prompt_eval_count"),
        counted=part.get("eval_count"),
        load=seconds_of(part.get("load_duration"), per=_NANO),
        prompt=seconds_of(part.get("prompt_eval_duration"), per=_NANO),
        decode=seconds_of(part.get("eval_duration"), per=_NANO),
    )


def _word(part: Mapping[str, Any], name: str) -> str | None:
    word = part.get(name)
    if word is not None and not isinstance(word, str):
        raise TypeError(f"{name} is {excerpt(repr(word), 40)}")
    return word or None
