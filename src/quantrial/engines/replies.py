"""What a server says, piece by piece, and what of a reply is believed.

Servers that take a model's thoughts out of its text hand them over in a field of their own, under
one of several names; Mistral's as a part of the content. Probabilities of tokens are brought to the
one form that a reply has, and a text that only repeats itself is ended.

Every engine's replies pass `settled`, a third party's too, before they are recorded: the answer is
believed always, a number only where it can be true. A count that contradicts the answer, or a
number that is not finite, is left out (None). Keys are blotted out of every text, and what comes
apart from the answer is made such that it can be written down; a reply of another form than
documented is a fault of its call.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from numbers import Real
from typing import TYPE_CHECKING, Any

from quantrial import redaction
from quantrial.engines.abilities import refusal
from quantrial.engines.base import Reply, Timing
from quantrial.probabilities import known_logprob, known_tokens, ranked
from quantrial.redaction import excerpt
from quantrial.strict_json import recordable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from quantrial.engines.base import Request

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
_LONGEST_TOKEN = 64  # characters; in the mean of a text they are far fewer
_THINKING = ("think", "reason")  # how the type of a part that is a thought begins


@dataclass(slots=True)
class Message:
    """What came of one message so far, piece by piece."""

    texts: list[str] = field(default_factory=list)
    thoughts: list[str] = field(default_factory=list)
    calls: dict[int, dict[str, Any]] = field(default_factory=dict)
    repeats: Repeats = field(default_factory=Repeats)
    length: int = 0  # characters that have come, of text and of thought

    @property
    def text(self) -> str:
        """The text so far."""
        return "".join(self.texts)

    @property
    def thought(self) -> str | None:
        """What was thought apart from the text so far; None where that is nothing."""
        return "".join(self.thoughts) or None

    @property
    def tool_calls(self) -> tuple[Mapping[str, Any], ...] | None:
        """The calls of tools so far; None where there is none."""
        return tuple(self.calls.values()) or None

    @property
    def place(self) -> str:
        """How far the answer has come, to append to a message; empty where nothing has."""
        return f" after {self.length:,} characters" if self.length else ""

    def could_be_whole(self, max_tokens: int) -> bool:
        """Whether something has come, and no more than an answer of so many tokens has."""
        return 0 < self.length <= _LONGEST_TOKEN * max_tokens

    @property
    def looped(self) -> bool:
        """Whether it ends in so many repeats of one piece that a server may have stopped it."""
        if self.repeats.pieces == 1:  # it came whole, so that its pieces do not show
            return ends_in_repeats(self.text or self.thought or "")
        return self.repeats.reached

    def add(self, said: Mapping[str, Any], *, key: str = "content") -> bool:
        """Take a message, or the next piece of one; say whether any answer or thought was in it.

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
        self.length += len(thought + text)
        return bool(text or thought or said.get("tool_calls") or named)

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


_MOST = 2**53  # beyond it, JSON numbers of some programs are no whole numbers any more
_TIMES = fields(Timing)
_SHOWN = 40  # characters of a count that is no number
_WRONG = (AttributeError, TypeError, ValueError, KeyError, IndexError, OverflowError)
# what was done to the texts of a reply
BLOTTED = "held parts of a key, blotted out as ***"
REPAIRED = "held what cannot be written down, replaced by ? in texts"


def settled(reply: Reply, request: Request) -> Reply:
    """Leave out of a reply what cannot be true, and say how its length stands to the limit.

    A text with a finish reason is an answer whatever was counted. Without one it ended at the limit
    where as many tokens were counted as were allowed. More tokens than allowed, or none for an
    answer that is not empty, is a count nobody can use; so is what is no whole number. `doubts` of
    the reply says what was left out, `mended` what was done to its texts. A reply that is settled
    already stays as it is.

    Raises:
        EngineError: the answer is no text that can be written down, or repeats a key; something
            else of the reply has another type than documented.
    """
    if not isinstance(reply, Reply):
        raise refusal(f"the engine gave no reply but {redaction.excerpt(repr(reply), 80)}")
    try:
        return _believed(_written(reply), request)
    except RecursionError as exc:
        raise refusal("the reply is nested too deeply to be written down") from exc
    except _WRONG as exc:
        said = f"{type(exc).__name__}: {exc}"
        raise refusal(f"the reply has another form than documented ({said})") from exc


def _written(reply: Reply) -> Reply:
    """Return the reply with texts that can be written down, and no key in them."""
    output = _writable(reply.output)
    finish, host = reply.finish_reason, reply.host
    for name, text in (("finish reason", finish), ("host", host)):
        if text is not None and not isinstance(text, str):
            raise refusal(f"the {name} is no text but {redaction.excerpt(repr(text), 80)}")
    thought = str(reply.thought) if reply.thought else None
    calls = _tool_calls(reply.tool_calls)
    if any(map(redaction.holds_whole, (output, thought or "", repr(calls)))):
        raise refusal("the answer repeats the API key, and is not kept")
    came = (output, finish, host, thought, calls, _tokens(reply.logprobs))
    blotted = (*(redaction.blot_all(one) for one in came[:-1]), _without_keys(came[-1]))
    plain = tuple(map(recordable, blotted))
    done = [BLOTTED] * (blotted != came) + [REPAIRED] * (plain != blotted)
    output, finish, host, thought, calls, tokens = plain
    return replace(
        reply,
        output=output,
        finish_reason=finish or None,
        host=host,
        thought=thought,
        tool_calls=None if calls is None else tuple(calls),
        logprobs=None if tokens is None else tuple(tokens),
        doubts=tuple(recordable(redaction.blot_all(list(reply.doubts)))),
        mended=tuple(dict.fromkeys((*reply.mended, *done))),
    )


def _believed(reply: Reply, request: Request) -> Reply:
    """Leave out what cannot be true."""
    output = reply.output
    limit, counted = request.max_tokens, count_of(reply.completion_tokens)
    finish = reply.finish_reason
    if finish is None and counted is not None and counted >= limit:
        finish = "length"
    spoken = bool(output.strip() or reply.thought or reply.tool_calls)
    if counted is not None and (counted > limit or (spoken and not counted)):
        counted = None
    read = count_of(reply.prompt_tokens) or None  # no prompt has none
    decoded = count_of(reply.decoded_tokens)
    doubts = list(reply.doubts)
    if counted is None and reply.completion_tokens is not None:
        decoded = None  # of the same count
        doubts.append(
            f"{_shown(reply.completion_tokens)} tokens were counted in an answer of "
            f"{len(output):,} characters, where at most {limit:,} were allowed"
        )
    if read is None and reply.prompt_tokens is not None:
        doubts.append(f"{_shown(reply.prompt_tokens)} tokens were counted in a prompt")
    return replace(
        reply,
        finish_reason=finish,
        prompt_tokens=read,
        cached_tokens=count_of(reply.cached_tokens),
        completion_tokens=counted,
        decoded_tokens=None if decoded is None or decoded > limit else decoded,
        timing=Timing(**{one.name: seconds_of(getattr(reply.timing, one.name)) for one in _TIMES}),
        at_limit=finish == "stop" and counted == limit,
        doubts=tuple(doubts),
    )


def count_of(value: Any) -> int | None:
    """Return a count of tokens as a whole number of at least 0; None where it is none."""
    if isinstance(value, bool):
        return None
    if isinstance(value, float):
        value = int(value) if value.is_integer() else None
    try:
        count = operator.index(value)
    except TypeError:
        return None
    return count if 0 <= count < _MOST else None


def seconds_of(value: Any, *, per: float = 1.0) -> float | None:
    """Return a time in seconds, finite and at least 0; None where it is none.

    Args:
        value: in units of which `per` make a second.
        per: 1,000 where `value` is in milliseconds.
    """
    if isinstance(value, bool) or not isinstance(value, Real):
        return None
    try:
        seconds = float(value) / per
    except OverflowError:  # a whole number of more than 308 digits
        return None
    return seconds if 0 <= seconds < math.inf else None


def _writable(output: Any) -> str:
    if not isinstance(output, str):
        raise refusal(f"the answer is no text but {output!r:.80}")
    try:
        output.encode()
    except UnicodeEncodeError as exc:  # half of a pair, escaped in JSON
        raise refusal(f"the answer is no text that can be written down: {exc}") from exc
    return output


def _tool_calls(calls: Any) -> list[Any] | None:
    """Return calls as objects of JSON."""
    if not calls:
        return None
    plain = list(calls) if isinstance(calls, list | tuple) else [calls]
    return [one if isinstance(one, dict) else {"call": one} for one in plain]


def _tokens(tokens: Any) -> list[dict[str, Any]] | None:
    """Return tokens of the documented form: texts, and what is known of their probabilities."""
    if tokens is None:
        return None
    known = known_tokens(tokens)
    for token in known:
        if not all(isinstance(one, str) for one in (token["token"], *(t[0] for t in token["top"]))):
            raise TypeError(f"a token is {redaction.excerpt(repr(token), 80)}")
    return known


def _without_keys(tokens: Any) -> Any:
    """Blot keys out of tokens: they are pieces of one text, and so are the alternatives to them."""
    if not tokens or not redaction.knows_any():
        return tokens
    names = redaction.blot_parts([token["token"] for token in tokens])
    tops = [[list(one) for one in token["top"]] for token in tokens]
    for place in range(max(map(len, tops))):
        column = [top[place] for top in tops if place < len(top)]
        for one, name in zip(column, redaction.blot_parts([one[0] for one in column]), strict=True):
            one[0] = name
    for token, name, top in zip(tokens, names, tops, strict=True):
        for one in top:
            if name != token["token"] == one[0]:  # the token itself is among its alternatives
                one[0] = name
    return [
        {**redaction.blot_all(token), "token": name, "top": top}
        for token, name, top in zip(tokens, names, tops, strict=True)
    ]


def _shown(value: Any) -> str:
    return redaction.excerpt(f"{value:,}" if isinstance(value, int) else repr(value), _SHOWN)
