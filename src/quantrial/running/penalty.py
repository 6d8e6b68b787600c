"""A probe of a server's own sampling: does it punish repetition though nobody asked it to?

A text that says one sentence again and again is continued with that sentence at temperature 0,
unless a penalty for repetition makes the model take less likely tokens. Where the server tells the
probabilities of tokens, that is seen directly, and in an ordinary text too; else by the text, which
stops repeating. Tried on a model of 135 million parameters in F16, Q8_0 and Q4_0: without a penalty
no probe shows one; a `repeat_penalty` of 1.1 is shown by every continued text.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

from quantrial.engines.artifact import SamplingTold
from quantrial.engines.base import Message, Reply, Request
from quantrial.errors import EngineError
from quantrial.record_checks import NONE, SEEN, UNKNOWN, penalty_text
from quantrial.running.asking import answer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from quantrial.engines.base import Engine

_SENTENCES = ("The cat sat on the mat. ", "One red boat came home. ")
_STORY = "Once upon a time a fox and a crow lived in a wood. The fox said to the crow that the"
_TIMES = 8  # of a sentence in a prompt
_TURNS = 3  # of a chat that shows what is wanted
_TOKENS = 48
_TIMEOUT = 60.0  # seconds
_LEAST_WORDS = 6  # of an answer that says anything of repetition
_TIE = 0.02  # nats between tokens that rounding may exchange
_FEW = 8  # tokens; too few to say that all were the likeliest


@dataclass(frozen=True, slots=True)
class Finding:
    """What a probe found: `penalty` is `seen`, `none` or `unknown`; `text` says why."""

    penalty: str
    text: str


def probe_sampling(engines: Mapping[str, Engine]) -> dict[str, Finding]:
    """Probe every arm of which it is not known whether a penalty is in force."""
    found = {}
    for name, engine in engines.items():
        if isinstance(engine, SamplingTold) and engine.sampling().doubtful:
            found[name] = find_penalty(engine)
            if engine.sampling().penalty:  # its answers tell which software it is
                found[name] = Finding(SEEN, penalty_text(asdict(engine.sampling())))
    return found


def find_penalty(engine: Engine) -> Finding:
    """Ask for a repetition and see what comes; a server that fails says nothing."""
    asked = _continued(_SENTENCES[0])
    first = _answer(engine, asked)
    if first is None:  # some servers have chats alone
        asked = _chat(_SENTENCES[0])
        first = _answer(engine, asked)
    if first is None:
        return Finding(UNKNOWN, "the server did not answer the probe")
    if (told := _of_tokens(first)) is not None:
        if told.penalty == SEEN:
            return told
        return _of_story(engine, chat=bool(asked.messages)) or told
    if (told := _of_text(first, _SENTENCES[0])) is not None:
        return told
    if asked.messages or len(first.output.split()) < _LEAST_WORDS:
        return Finding(UNKNOWN, "the answer to a prompt that repeats does not tell")
    second = _answer(engine, _continued(_SENTENCES[1]))
    # one that says the same to everything does not go by the prompt
    if second is None or second.output == first.output or _of_text(second, _SENTENCES[1]):
        return Finding(UNKNOWN, "the answers to two prompts that repeat do not tell")
    return Finding(SEEN, "greedy answers to texts that repeat one sentence do not repeat it")


def _continued(sentence: str) -> Request:
    return Request(text=sentence * _TIMES, max_tokens=_TOKENS, timeout=_TIMEOUT)


def _chat(sentence: str) -> Request:
    turns = (Message("user", "Again."), Message("assistant", (sentence * _TIMES).strip())) * _TURNS
    messages = (*turns, Message("user", "Again."))
    return Request(messages=messages, max_tokens=_TOKENS, timeout=_TIMEOUT)


def _answer(engine: Engine, request: Request) -> Reply | None:
    """Ask with the probabilities of tokens, and without where that is refused."""
    logprobs = 2 if "logprobs" in engine.abilities else 0
    for asked in dict.fromkeys((logprobs, 0)):
        try:
            return answer(engine, replace(request, logprobs=asked))
        except EngineError as exc:
            if exc.partial is not None:  # such as an answer without the probabilities asked for
                return exc.partial
            if exc.retryable:
                return None
    return None


def _of_story(engine: Engine, *, chat: bool) -> Finding | None:
    """Say what the tokens of an ordinary text tell, of which many are nearly as likely."""
    request = Request(text=_STORY, max_tokens=_TOKENS, timeout=_TIMEOUT)
    if chat:
        request = replace(request, text=None, messages=(Message("user", f"Go on: {_STORY}"),))
    reply = _answer(engine, request)
    return None if reply is None else _of_tokens(reply)


def _of_tokens(reply: Reply) -> Finding | None:
    """Say what the probabilities of the answer's tokens tell; None where there are too few."""
    known = [
        (token["logprob"], token["top"][0][1])
        for token in reply.logprobs or ()
        if token["top"] and token["logprob"] is not None
    ]
    astray = sum(best - own > _TIE for own, best in known)
    if astray:
        return Finding(
            SEEN,
            f"at temperature 0 the server took a less likely token {astray} times in {len(known)}: "
            "it punishes repetition, or it draws",
        )
    if len(known) < _FEW:
        return None
    return Finding(NONE, f"all {len(known)} tokens of an answer are the likeliest")


def _of_text(reply: Reply, sentence: str) -> Finding | None:
    """Say what an answer that begins with the sentence tells; None for any other."""
    words, wanted = reply.output.split(), sentence.split()
    same = 0
    while same < len(words) and words[same] == wanted[same % len(wanted)]:
        same += 1
    whole, left = same // len(wanted), len(words) - same
    if whole < 1:
        return None
    if reply.finish_reason == "stop":
        return Finding(UNKNOWN, "an answer that may repeat a sentence ends by itself")
    if left <= 1:  # the limit may cut a word
        return Finding(NONE, f"an answer that may repeat a sentence repeats it {whole} times")
    return Finding(
        SEEN, f"a greedy answer repeats a sentence {whole} times and then departs from it"
    )
