"""Ways in which a server shows or answers something else than it seems to, over `faulty.py`.

A way says what is sent for a question: the letter that is meant, in which words, how it ends, what
is counted. The model behind it is the same: what it means is decided by the test.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from servers.faulty import Answer, Call, FaultyServer, Say, openai_answer

LIMIT = 16  # tokens, as the task of the test asks


@dataclasses.dataclass(frozen=True)
class Sent:
    """What a server sends for one question."""

    text: str
    finish: str | None = "stop"
    completion_tokens: int | None = 2
    prompt_tokens: int = 50
    thought: str | None = None
    broken: bool = False  # the stream ends in the middle: no finish, no count, no end
    fails: bool = False  # status 500
    logprob: Any = -0.25  # of each token, where probabilities are asked for


Way = Callable[[int, str], Sent]  # the question's number, and the letter that is meant


def third(number: int) -> bool:
    return number % 3 == 0


def well(number: int, letter: str) -> Sent:
    return Sent(letter)


def thought_cut(number: int, letter: str) -> Sent:
    if third(number):
        return Sent(f"<think>\nIt may be {letter}, since", "length", LIMIT)
    return Sent(f"<think>\nClear.\n</think>\n\n{letter}")


def thought_cut_in_brackets(number: int, letter: str) -> Sent:
    if third(number):
        return Sent(f"[THINK]The answer is {letter}. But wait", "length", LIMIT)
    return Sent(letter)


def channel_cut(number: int, letter: str) -> Sent:
    if third(number):
        return Sent(f"<|channel|>analysis<|message|>The answer is {letter}.", "length", LIMIT)
    return Sent(f"<|channel|>analysis<|message|>Hm.<|end|><|channel|>final<|message|>{letter}")


def opened_by_the_template(number: int, letter: str) -> Sent:
    if third(number):
        return Sent(f"Okay, so the answer is {letter}. But let me", "length", LIMIT)
    return Sent(f"Okay, clear.\n</think>\n\n{letter}")


def maybe_a_thought(number: int, letter: str) -> Sent:
    if third(number):
        return Sent(f"Okay, so the answer is {letter}. But let me", "length", LIMIT)
    return Sent(letter)


def unknown_tag(number: int, letter: str) -> Sent:
    wrong = "ABCD"[("ABCD".index(letter) + 1) % 4]
    return Sent(f"<ponder>Is it {wrong}?</ponder>\n{letter}")


def thought_apart(number: int, letter: str) -> Sent:
    if third(number):
        return Sent("", "length", LIMIT, thought=f"It may be {letter}, since")
    return Sent(letter, thought="Clear.")


def empty_though_counted(number: int, letter: str) -> Sent:
    return Sent("", "length", LIMIT)


def loops(number: int, letter: str) -> Sent:
    if third(number):
        return Sent("so " * 31, None, 0)
    return Sent(letter)


def breaks_at_one_place(number: int, letter: str) -> Sent:
    if third(number):
        return Sent("The answer to this question is surely", None, None, broken=True)
    return Sent(letter)


def one_too_many(number: int, letter: str) -> Sent:
    return Sent(letter, completion_tokens=LIMIT + 1)


def no_tokens(number: int, letter: str) -> Sent:
    return Sent(letter, completion_tokens=0)


def at_the_limit(number: int, letter: str) -> Sent:
    return Sent(f"The answer is {letter}", completion_tokens=LIMIT)


def no_reason(number: int, letter: str) -> Sent:
    return Sent(letter, None)


def impossible_logprobs(number: int, letter: str) -> Sent:
    return Sent(letter, logprob=(None, float("-inf"), float("nan"))[number % 3])


def other_template(number: int, letter: str) -> Sent:
    return Sent(letter, prompt_tokens=279)


def smaller_window(number: int, letter: str) -> Sent:
    return Sent(letter, prompt_tokens=40)


def fails_where_wrong(number: int, letter: str) -> Sent:
    return Sent(letter, fails=number % 10 == 1)


def corrects_itself(number: int, letter: str) -> Sent:
    wrong = "ABCD"[("ABCD".index(letter) + 1) % 4]
    return Sent(f"ANSWER: {wrong}\nWait, that is not right.\nANSWER: {letter}")


def german(number: int, letter: str) -> Sent:
    return Sent(f"Die richtige Antwort ist {letter}.")


WAYS: dict[str, Way] = {
    way.__name__: way
    for way in (
        *(thought_cut, thought_cut_in_brackets, channel_cut, opened_by_the_template),
        *(maybe_a_thought, unknown_tag, thought_apart, empty_though_counted, loops),
        *(breaks_at_one_place, one_too_many, no_tokens, at_the_limit, no_reason),
        *(impossible_logprobs, other_template, smaller_window, fails_where_wrong),
        *(corrects_itself, german),
    )
}


@dataclasses.dataclass
class Model:
    """What stands behind a server: which letter it means, and the way in which it is sent.

    `means` is told the number of a question and returns the letter. `tells` are further paths that
    the server answers, by their path.
    """

    means: Callable[[int], str]
    way: Way
    tells: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def sent(self, call: Call) -> Sent:
        """What is sent for the question of a call, the last one in it."""
        asked = " ".join(str(one["content"]) for one in call.body.get("messages", ()))
        found = re.findall(r"What is (\d+) plus", asked)
        number = int(found[-1]) if found else 0
        return self.way(number, self.means(number))

    def __call__(self, call: Call, say: Say) -> Answer:
        for path, told in self.tells.items():
            if call.path.endswith(path):
                return Answer("application/json", (json.dumps(told).encode(),))
        if not call.body:
            return openai_answer(call, say)
        sent = self.sent(call)
        usage = {"prompt_tokens": sent.prompt_tokens, "completion_tokens": sent.completion_tokens}
        made = dataclasses.replace(say, text=sent.text, finish=sent.finish, usage=usage)
        asked_too = bool(call.body.get("logprobs"))
        return _changed(openai_answer(call, made), sent, logprobs=asked_too)


def _changed(answer: Answer, sent: Sent, *, logprobs: bool) -> Answer:
    """Put what the form of a sound answer has no place for into its stream."""
    pieces = list(answer.pieces)
    if sent.thought is not None:
        pieces.insert(1, _event({"delta": {"reasoning_content": sent.thought}}))
    if logprobs:
        token = {"token": "x", "bytes": None, "logprob": sent.logprob}
        content = [{**token, "top_logprobs": [{**token, "token": "y"}]}]
        pieces.insert(1, _event({"delta": {"content": ""}, "logprobs": {"content": content}}))
    if sent.broken:
        pieces = pieces[:-3]
    return Answer(answer.content_type, tuple(pieces))


class MisbehavingServer(FaultyServer):
    """A server of a model; what fails there is answered with status 500 at every attempt."""

    def __init__(self, model: Model):
        super().__init__(answer=model)
        self.behind = model

    def next_fault(self, call: Call) -> str | None:
        """Fail where the model's way says so."""
        super().next_fault(call)
        return "500" if call.body and self.behind.sent(call).fails else None


def _event(choice: Mapping[str, Any]) -> bytes:
    head = {"id": "x", "created": 1, "model": "m", "system_fingerprint": "fp_1"}
    event = {**head, "choices": [{"index": 0, **choice}]}
    return b"data: " + json.dumps(event).encode() + b"\n\n"
