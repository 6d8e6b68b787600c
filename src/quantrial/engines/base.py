"""What an engine is: it turns a request into a reply, and knows no task, gold answer or run folder.

A new one is a class with the methods of `Engine`, under the entry point group `quantrial.engines`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from quantrial.engines.artifact import Artifact


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation; `role` is `system`, `user` or `assistant`."""

    role: str
    content: str


@dataclass(frozen=True, slots=True)
class Request:
    """What one arm is asked, once.

    One of `messages` (the model's chat template is applied) and `text` (continued as it is) is
    given; the first `shared` messages, or characters of `text`, stand before other items too, and
    an engine may keep what it read. `grammar` is GBNF, `schema` a JSON schema for the answer,
    `logprobs` asks for that many alternatives a token, `exact_length` for `max_tokens` tokens.
    """

    messages: tuple[Message, ...] = ()
    text: str | None = None
    shared: int = 0
    max_tokens: int = 64
    stop: tuple[str, ...] = ()
    grammar: str | None = None
    schema: Mapping[str, Any] | None = None
    tools: tuple[Mapping[str, Any], ...] = ()  # what a chat may call, in OpenAI's form
    logprobs: int = 0
    exact_length: bool = False
    fresh: bool = False  # read from no cache
    temperature: float = 0.0
    seed: int = 0
    timeout: float = 120.0  # seconds, without a model's load

    def __post_init__(self) -> None:
        if bool(self.messages) == (self.text is not None) or (self.tools and not self.messages):
            raise ValueError("a request has either messages or text, and tools beside messages")


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds, or None; `load` is for the first reply after a (re)start, `wall` is without it.

    `first_token` runs from the call to the first token of the answer, without `load`.
    """

    load: float | None = None
    prompt: float | None = None
    first_token: float | None = None
    decode: float | None = None
    wall: float | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back: the raw text, what came apart from it, counts of tokens, timing."""

    output: str
    finish_reason: str | None = None  # `stop`, `length`, `repeat_limit`, or the server's own word
    prompt_tokens: int | None = None
    cached_tokens: int | None = None  # those of the prompt that were not read anew
    completion_tokens: int | None = None
    decoded_tokens: int | None = None  # those that `timing.decode` covers
    # a token each: {"token", "logprob", "top": [[token, logprob], ...]}
    logprobs: tuple[Mapping[str, Any], ...] | None = None
    timing: Timing = field(default_factory=Timing)
    thought: str | None = None
    tool_calls: tuple[Mapping[str, Any], ...] | None = None
    host: str | None = None  # the machine or replica that answered
    at_limit: bool = False  # filled in for every engine by `settled`, as is what follows
    doubts: tuple[str, ...] = ()  # what was said of the answer, and is not believed
    mended: tuple[str, ...] = ()  # what was done to its texts before they were kept


class Engine(Protocol):
    """One arm's engine; asked by one thread at a time unless `parallel` is among its abilities.

    Life: `describe` may be called before `start`; `start` loads the model (idempotent), `ask`
    answers and starts by itself what is not running, `close` frees everything. `ask` raises only
    `EngineError` and its kin; `retryable` on the error says whether asking again can help.
    """

    name: str  # as a study writes it
    abilities: frozenset[str]  # of grammar, schema, tools, logprobs, exact_length, fresh, parallel

    def describe(self) -> Artifact:
        """Say what would run, without loading it."""
        ...

    def versions(self) -> Mapping[str, str]:
        """Name the versions of the software that answers."""
        ...

    def start(self) -> float:
        """Load the model and return the seconds it took; 0.0 when nothing had to be loaded."""
        ...

    def ask(self, request: Request) -> Reply:
        """Answer one request."""
        ...

    def close(self) -> None:
        """Free everything; safe to call twice."""
        ...
