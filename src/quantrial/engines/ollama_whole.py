"""Whether an Ollama server read a prompt whole.

By itself it leaves out the oldest messages of a chat that is too long, cuts a long text, and counts
what is left (`server/prompt.go`, `NewSequence` in its runners). Since 0.12.4 it refuses such a
prompt instead where `truncate: false` asks for that. An older one passes the word over, and so may
what stands in for one; there the counts of tokens must tell. Where they leave a doubt, the prompt
is asked again with some words more in front, where a server cuts: unless the count changes, they
were not read, and neither was what stands there.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace

from quantrial.engines.base import Message, Request
from quantrial.errors import ContextOverflowError, EngineError, EngineTimeoutError

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


def _bytes(message: Message) -> int:
    return len(message.content.encode(errors="replace"))


def _size(request: Request) -> int:
    said = [*request.messages, Message("user", request.text or "")]
    return sum(map(_bytes, said))


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
