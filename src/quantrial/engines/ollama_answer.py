"""An answer of an Ollama server, as it comes piece by piece; what has another form is refused."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from quantrial.engines.abilities import refusal
from quantrial.engines.base import Message as Turn
from quantrial.engines.base import Reply, Request
from quantrial.engines.http import UnreadableError
from quantrial.engines.replies import REPEAT_LIMIT, Message, count_of, read_logprobs, seconds_of
from quantrial.errors import ContextOverflowError, EngineError, EngineTimeoutError
from quantrial.redaction import excerpt
from quantrial.strict_json import readable

_MOST_TEXT = 16 * 2**20  # characters; no answer within any `max_tokens` is longer
_NOT_ASKED = ("load", "unload")  # how a call without a prompt ends
_NANO = 1e9


@dataclass(slots=True)
class Heard:
    """What has come of an answer so far; `done` is its last piece, once that is there."""

    began: float
    message: Message = field(default_factory=Message)
    logprobs: list[Mapping[str, Any]] = field(default_factory=list)
    model: str | None = None
    first: float | None = None
    done: Mapping[str, Any] | None = None
    ended: str | None = None  # why, as the last piece says

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
            self.logprobs += read_logprobs(part.get("logprobs") or [])
            if done:
                self.done, self.ended = part, _word(part, "done_reason")
        except (KeyError, TypeError, ValueError, AttributeError) as exc:
            what = excerpt(repr(part), 80)
            raise UnreadableError(f"{type(exc).__name__}: {exc}: {what}") from exc
        if self.message.length > _MOST_TEXT:
            raise refusal(f"{where} sends more text than any answer has")

    def partial(self, limit: int) -> Reply | None:
        """Return what has come of an answer that broke off; None where no answer is that."""
        if not self.message.could_be_whole(limit):
            return None
        text, calls = readable(self.message.text), self.message.tool_calls
        return Reply(text, thought=self.message.thought, tool_calls=calls)

    @property
    def reason(self) -> str | None:
        """Why the answer ended, as the server says or shows it; None where nothing tells."""
        if self.done is not None:
            return self.ended
        return REPEAT_LIMIT if self.message.looped else None

    @property
    def whole(self) -> bool:
        """Whether this is all there is: the server said that it is done, or shows why not."""
        if self.done is not None:
            return self.ended not in _NOT_ASKED
        return self.message.looped

    def count(self, name: str) -> int | None:
        """Return a count of tokens that the last piece has; no prompt and no answer has none."""
        return count_of((self.done or {}).get(name)) or None

    def seconds(self, name: str) -> float | None:
        """Return a time that the last piece has."""
        return seconds_of((self.done or {}).get(name), per=_NANO)


def _word(part: Mapping[str, Any], name: str) -> str | None:
    word = part.get(name)
    if word is not None and not isinstance(word, str):
        raise TypeError(f"{name} is {excerpt(repr(word), 40)}")
    return word or None


Count = Callable[[Request], int | None]  # asks for one token, and returns the prompt's count

# Versions up to 0.3, and again those from 0.30 on where a prompt may be cut, keep 4 or 5 tokens at
# the start and the last half of the rest; what they kept of the prompt before may be off the count.
_AROUND = 8
_MORE = " ".join(str(number) for number in range(1, 25)) + " "  # at least a token each
# Bytes of a prompt for each token: English prose has 4 to 5.
_MOST_BYTES = 8
# A prompt this much longer that has no more tokens is doubted; so is a count that so many lengths
# have in common.
_LONGER, _LENGTHS = 1.15, 4
_TURN = 16  # tokens that a template writes around a message, at most
_REMEMBERED = 512


class Whole:
    """What is known of one server: whether it refuses what is too long, and what it counted."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._refuses: bool | None = None
        self._honest = 0  # counts below it are at no limit
        self._seen: dict[tuple[int, int], None] = {}  # bytes of a prompt and its count

    @property
    def refuses(self) -> bool:
        """Whether the server was seen to refuse a prompt that is too long."""
        return self._refuses is True

    def told(self, *, refuses: bool) -> None:
        """Take note of what a call, or the server's version, said of it."""
        with self._lock:
            if self._refuses is None or refuses:
                self._refuses = refuses

    def missing(self, request: Request, count: int, *, window: int, ask: Count) -> str | None:
        """Say what shows that a prompt was cut; None where it was read whole.

        Args:
            request: what was asked.
            count: the server's count of tokens of its prompt.
            window: tokens of prompt and answer together.
            ask: puts a further request to the server.

        Raises:
            EngineError: there is a doubt, and asking failed.
        """
        if count >= window:
            return f"it counts {count} tokens in a window of {window}"
        with self._lock:
            size = _size(request)
            doubted = self._doubted(request, size, count, window)
            if len(self._seen) < _REMEMBERED:
                self._seen[size, count] = None
            if self._refuses or not doubted:
                return None
            if self._refuses is None:
                self._refuses = _refused(_too_long(window), ask)
                if self._refuses:
                    return None
            try:
                longer = ask(_lengthened(request))
            except ContextOverflowError:  # so it refuses what is too long
                self._refuses = True
                return None
            if longer is not None and abs(longer - count) <= _AROUND:
                return f"it counts {count} tokens, and no more where words are added in front"
            self._honest = max(self._honest, longer or 0)
            return None

    def _doubted(self, request: Request, size: int, count: int, window: int) -> bool:
        if self._refuses is False and not self._honest:
            return True  # the first call of a server that says nothing
        if abs(count - (window // 2 + 2)) <= _AROUND:
            return True
        # the oldest messages are left out, one by one, until the rest fits
        left_out = [_bytes(m) for m in request.messages[:-1] if m.role != "system"]
        if left_out and count + max(left_out) + _TURN > window:
            return True
        return count >= self._honest and (
            size > _MOST_BYTES * count + 16 * _MOST_BYTES or self._stays(size, count)
        )

    def _stays(self, size: int, count: int) -> bool:
        """Whether the count is that of shorter prompts, or of longer ones."""
        other = {known for known, counted in self._seen if counted == count and known != size}
        apart = any(max(size, known) > _LONGER * min(size, known) + 16 for known in other)
        less = any(size > _LONGER * known + 16 and count < counted for known, counted in self._seen)
        return apart or less or len(other) >= _LENGTHS - 1


def _bytes(message: Turn) -> int:
    return len(message.content.encode(errors="replace"))


def _size(request: Request) -> int:
    said = [*request.messages, Turn("user", request.text or "")]
    return sum(map(_bytes, said)) + (len(json.dumps(request.tools)) if request.tools else 0)


def _too_long(window: int) -> Request:
    words = " ".join(str(number) for number in range(2 * window))
    return Request(text=words, max_tokens=1)


def _refused(request: Request, ask: Count) -> bool | None:
    """Whether a request is refused; None where it fails in a way that does not tell."""
    try:
        ask(request)
    except ContextOverflowError:
        return True
    except EngineTimeoutError:
        return False  # it is reading what it should refuse
    except EngineError as exc:
        return None if exc.retryable else True
    return False


def _lengthened(request: Request) -> Request:
    """Put words in front of what is left out first: the oldest message, or the start of a text."""
    asked = replace(request, max_tokens=1, logprobs=0)
    if request.text is not None:
        return replace(asked, text=_MORE + request.text)
    turns = list(request.messages)
    first = next((i for i, turn in enumerate(turns[:-1]) if turn.role != "system"), 0)
    turns[first] = replace(turns[first], content=_MORE + turns[first].content)
    return replace(asked, messages=tuple(turns))
