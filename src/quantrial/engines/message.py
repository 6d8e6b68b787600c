"""What one message of a server says: its text, and what comes apart from it, piece by piece.

Servers that take a model's thoughts out of its text hand them over in a field of their own, under
one of several names; Mistral's as a part of the content. Probabilities of tokens are brought to the
one form that a reply has, and a text that only repeats itself is ended.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from quantrial.probabilities import known_logprob, ranked
from quantrial.redaction import excerpt

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Tokens = tuple["Mapping[str, Any]", ...]


def read_logprobs(said: Any) -> Tokens:
    """Read the tokens of an answer: `{"token", "logprob", "top": [[token, logprob], ...]}` each.

    `said` is a list in the form of OpenAI's chat API (and of llama.cpp), an object that holds it
    under `content`, or the parallel lists of the older completion API, whose alternatives may be
    missing. A logarithm that is null or not finite is None; an alternative with such a one is left
    out. Raises KeyError, TypeError or ValueError for anything else.
    """
    if isinstance(said, list):
        return tuple(
            _token(
                token["token"],
                token.get("logprob"),
                [(t["token"], t.get("logprob")) for t in token.get("top_logprobs") or ()],
            )
            for token in said
        )
    if isinstance(said.get("content"), list):
        return read_logprobs(said["content"])
    tokens, logprobs = said["tokens"], said["token_logprobs"]
    tops = said.get("top_logprobs") or [None] * len(tokens)
    return tuple(
        _token(token, logprob, (top or {}).items())
        for token, logprob, top in zip(tokens, logprobs, tops, strict=True)
    )


def _token(token: Any, logprob: Any, top: Iterable[tuple[Any, Any]]) -> Mapping[str, Any]:
    return {
        "token": str(token),
        "logprob": known_logprob(_number(logprob)),
        "top": ranked([(str(other), _number(value)) for other, value in top]),
    }


def _number(value: Any) -> float | None:
    try:
        return None if value is None else float(value)
    except OverflowError:  # a whole number of more than 308 digits
        return None


REPEAT_LIMIT = "repeat_limit"  # the finish reason of such an answer
# Equal pieces in a row. A piece and its 30 repeats are 31; white space at the very start of an
# answer counts as a repeat of nothing, so that there 30 are all that comes.
_LEAST = 30
_LONGEST = 256  # characters of a piece, without white space; no token is longer


@dataclass(slots=True)
class Repeats:
    """Counts, over the pieces of a stream, how often the last one came in a row."""

    pieces: int = 0  # that had any text
    _last: str = ""
    _count: int = 0

    def add(self, piece: str) -> None:
        """Take the next piece; one without any text is no piece."""
        if not piece:
            return
        self.pieces += 1
        bare = piece.strip()
        self._count = self._count + 1 if self._count and bare == self._last else 1
        self._last = bare

    @property
    def reached(self) -> bool:
        """Whether the stream ends in as many repeats as end an answer."""
        return self._count >= _LEAST


def ends_in_repeats(text: str) -> bool:
    """Whether a whole text ends in as many repeats of one piece as end an answer.

    White space is left out, since pieces are compared without it; a text that ends in nothing but
    white space repeats that.
    """
    if len(text) - len(text.rstrip()) >= _LEAST:
        return True
    bare = "".join(text.split())
    longest = min(len(bare) // _LEAST, _LONGEST)
    return any(bare.endswith(bare[-size:] * _LEAST) for size in range(1, longest + 1))


# by how common they are; vLLM says the same under two of them
_THOUGHTS = (
    *("reasoning_content", "reasoning", "thinking", "reasoning_text", "thinking_content"),
    *("thought", "thoughts", "reasoning_details"),
)
_TEXTS = ("text", "content", "summary", "thinking", "reasoning")  # of a part of a list
_THINKING = ("think", "reason")  # how the type of a part that is a thought begins


@dataclass(slots=True)
class Message:
    """What came of one message so far, piece by piece."""

    texts: list[str] = field(default_factory=list)
    thoughts: list[str] = field(default_factory=list)
    calls: dict[int, dict[str, Any]] = field(default_factory=dict)
    repeats: Repeats = field(default_factory=Repeats)

    @property
    def text(self) -> str:
        """The text so far."""
        return "".join(self.texts)

    @property
    def thought(self) -> str | None:
        """What was thought apart from the text so far; None where that is nothing."""
        return "".join(self.thoughts) or None

    @property
    def looped(self) -> bool:
        """Whether it ends in so many repeats of one piece that a server may have stopped it."""
        if self.repeats.pieces == 1:  # it came whole, so that its pieces do not show
            return ends_in_repeats(self.text or self.thought or "")
        return self.repeats.reached

    def add(self, said: Mapping[str, Any], *, key: str = "content") -> bool:
        """Take a message, or the next piece of one; say whether any text or thought was in it.

        `key` is where the text stands. Raises TypeError or ValueError for what is of no form there
        is; the text so far is kept.
        """
        text, thought = _content(said.get(key))
        # a model of OpenAI's that declines says so apart
        text = text or _flat(said.get("refusal"))
        thought = next((one for name in _THOUGHTS if (one := _flat(said.get(name)))), thought)
        if thought:
            self.thoughts.append(thought)
        for call in said.get("tool_calls") or ():
            self._call(call)
        if named := said.get("function_call"):  # as it was called before
            self._call({"index": 0, "type": "function", "function": named})
        if text:
            self.texts.append(text)
        self.repeats.add(thought + text)
        return bool(text or thought)

    def _call(self, piece: Mapping[str, Any]) -> None:
        """Take a call, or the next piece of one: its arguments come bit by bit."""
        at = piece.get("index")
        call = self.calls.setdefault(len(self.calls) if at is None else int(at), {})
        for name, value in piece.items():
            if name == "function":
                whole = call.setdefault("function", {})
                for part, said in value.items():
                    joined = part == "arguments" and isinstance(said, str)
                    whole[part] = whole.get(part, "") + said if joined else said
            elif name != "index" and value is not None:
                call[name] = value


def _content(content: Any) -> tuple[str, str]:
    """Return text and thought of a message's content: a text, a list of parts, or nothing."""
    if content is None or isinstance(content, str):
        return content or "", ""
    if not isinstance(content, list):
        raise TypeError(f"content is {excerpt(repr(content), 80)}")
    texts: list[str] = []
    thoughts: list[str] = []
    for part in content:
        thinks = isinstance(part, Mapping) and str(part.get("type")).startswith(_THINKING)
        (thoughts if thinks else texts).append(_flat(part))
    return "".join(texts), "".join(thoughts)


def _flat(value: Any) -> str:
    """Return the text of a field that is a text, a list of parts or a part; empty for others."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "".join(map(_flat, value))
    if isinstance(value, Mapping):
        return next((text for name in _TEXTS if (text := _flat(value.get(name)))), "")
    return ""
