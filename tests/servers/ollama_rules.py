"""What an Ollama server does with a prompt and with an answer, as rules over tokens and pieces.

They are told in tests/data/ollama/README.md, beside what a server of version 0.22.1 answered, and
stand in Ollama's source: `server/prompt.go`, `NewSequence` and `processBatch` of its runners,
`Completion` in `llm/server.go`, `DefaultOptions` in `api/types.go`, `openai/openai.go`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

TOO_LONG = "the input length exceeds the context length"
KEEP = 4  # tokens at the start of a prompt that are never cut (`num_keep`)
# What holds where neither a request nor a modelfile says otherwise; `num_ctx` is the machine's.
DEFAULTS: Mapping[str, Any] = {
    "num_ctx": 4096,
    "num_predict": -1,
    "temperature": 0.8,
    "top_k": 40,
    "top_p": 0.9,
    "min_p": 0.0,
    "typical_p": 1.0,
    "repeat_last_n": 64,
    "repeat_penalty": 1.1,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
    "seed": -1,
}
_REPEATS = 30
Count = Callable[[str], int]  # of tokens


@dataclass(frozen=True)
class Age:
    """What a version knows."""

    version: str

    @property
    def _numbers(self) -> tuple[int, ...]:
        return tuple(int(part) for part in re.findall(r"\d+", self.version)[:3])

    @property
    def refuses(self) -> bool:
        """Whether it knows `truncate` and `shift`."""
        return self._numbers >= (0, 12, 4)

    @property
    def logprobs(self) -> bool:
        return self._numbers >= (0, 12, 11)

    @property
    def tells_window(self) -> bool:
        """Whether `/api/ps` says how long the window is."""
        return self._numbers >= (0, 9, 7)

    @property
    def halves(self) -> bool:
        """Whether a prompt that is too long loses all but half of the window, and not the excess:
        so did the runner in C++, which 0.4 replaced."""
        return self._numbers < (0, 4, 0)


@dataclass(frozen=True)
class Said:
    """What a model said: its pieces, why it stopped, and the tokens that took, its end included."""

    pieces: tuple[str, ...]
    reason: str
    tokens: int
    logprobs: tuple[Mapping[str, Any], ...] = ()  # of each piece, where it was asked for


def rendered(turns: Sequence[Mapping[str, Any]]) -> str:
    """Apply the template of the test model's modelfile, which is ChatML and adds nothing."""
    said = "".join(f"<|im_start|>{t['role']}\n{t['content']}<|im_end|>\n" for t in turns)
    return f"{said}<|im_start|>assistant\n"


def fitting(
    turns: Sequence[Mapping[str, Any]], window: int, count: Count
) -> Sequence[Mapping[str, Any]]:
    """Leave out the oldest messages, one by one, until the rest fits; never the last one, nor the
    system's."""
    for first in range(len(turns)):
        system = [turn for turn in turns[:first] if turn["role"] == "system"]
        kept = [*system, *turns[first:]]
        if count(rendered(kept)) <= window or first == len(turns) - 1:
            return kept
    return turns


def cut(tokens: Sequence[int], window: int, *, halves: bool) -> list[int]:
    """Cut a prompt that is too long: some tokens at its start are kept, then those at its end."""
    keep = min(KEEP, window - 1)
    if halves:
        if len(tokens) < window:
            return list(tokens)
        return [*tokens[:keep], *tokens[len(tokens) - (window - keep) // 2 :]]
    if len(tokens) <= window:
        return list(tokens)
    return [*tokens[:keep], *tokens[len(tokens) - (window - keep) :]]


def room(window: int, prompt: int, *, shift: bool, limit: int) -> int:
    """How many tokens an answer may take; one that fills the window has a last one beyond it."""
    most = limit if limit > 0 else 10 * window
    return most if shift else min(most, window - prompt + 1)


def ended(said: Said) -> tuple[int, bool]:
    """How many pieces come out, and whether the server says that it is done.

    A piece that equals the one before, white space around it aside, is a repeat. The 31st in a row
    does not come out, and nothing after it.
    """
    last, repeats = "", 0
    for at, piece in enumerate((*said.pieces, "")):  # the last event has no text
        repeats = repeats + 1 if piece.strip() == last else 0
        last = piece.strip()
        if repeats > _REPEATS:
            return min(at, len(said.pieces)), False
    return len(said.pieces), True


def caught(_: str, said: Said, limit: int) -> Said:
    """Have a model repeat a word for ever once it has said two pieces in turn, twice.

    Badly quantized weights do so; sound ones, which would end the list some day, do not.
    """
    for at in range(4, len(said.pieces) + 1):
        one, other, again, back = said.pieces[at - 4 : at]
        word = other if any(map(str.isalpha, other)) else one
        if (one, other) == (again, back) and one != other and any(map(str.isalpha, word)):
            begun = said.pieces[:at]
            return Said((*begun, *[word] * (limit - at)), "length", limit)
    return said


def thinking(pieces: Sequence[str], tags: tuple[str, str]) -> Iterator[tuple[str, str]]:
    """Tell what is thought from what is said: a thought and a text for each piece."""
    inside = False
    for piece in pieces:
        if piece.strip() in tags:
            inside = piece.strip() == tags[0]
        elif inside:
            yield piece, ""
        else:
            yield "", piece


def native(body: Mapping[str, Any]) -> dict[str, Any]:
    """Turn a request of OpenAI's form into the one it is for the server itself.

    `num_ctx`, `repeat_penalty` and the like have no name there: they stay what they are.
    """
    options = {
        "temperature": body.get("temperature", 1.0),
        "top_p": body.get("top_p", 1.0),
    }
    for theirs, ours in (("max_tokens", "num_predict"), ("seed", "seed")):
        if body.get(theirs) is not None:
            options[ours] = body[theirs]
    for name in ("frequency_penalty", "presence_penalty"):
        if body.get(name) is not None:
            options[name] = body[name]
    if body.get("stop"):
        options["stop"] = [body["stop"]] if isinstance(body["stop"], str) else body["stop"]
    asked: dict[str, Any] = {
        "model": body["model"],
        "options": options,
        "stream": body.get("stream", False),
        "logprobs": bool(body.get("logprobs")),
        "top_logprobs": body.get("top_logprobs") or 0,
    }
    held = (body.get("response_format") or {}).get("json_schema")
    if held:
        asked["format"] = held["schema"]
    if "messages" in body:
        return asked | {"messages": body["messages"]}
    return asked | {"prompt": body["prompt"]}


def foreign(number: int, created: int, reply: Mapping[str, Any], *, chunk: bool) -> dict[str, Any]:
    """Turn the server's own reply, or a piece of one, into OpenAI's form."""
    chat = "message" in reply
    choice: dict[str, Any] = {"index": 0, "finish_reason": reply.get("done_reason")}
    if chat:
        choice["delta" if chunk else "message"] = reply["message"]
    else:
        choice["text"] = reply["response"]
    if reply.get("logprobs"):
        choice["logprobs"] = {"content": reply["logprobs"]}
    kind = "chat.completion" if chat else "text_completion"
    said = {
        "id": f"{'chatcmpl' if chat else 'cmpl'}-{number}",
        "object": f"{kind}.chunk" if chunk and chat else kind,
        "created": created,
        "model": reply["model"],
        "system_fingerprint": "fp_ollama",
        "choices": [choice],
    }
    return said if chunk else said | {"usage": usage(reply)}


def usage(reply: Mapping[str, Any]) -> dict[str, int]:
    prompt, answer = reply.get("prompt_eval_count", 0), reply.get("eval_count", 0)
    return {"prompt_tokens": prompt, "completion_tokens": answer, "total_tokens": prompt + answer}


def events(
    number: int, created: int, replies: Sequence[Mapping[str, Any]], *, count: bool
) -> bytes:
    """Turn a stream of the server's own into OpenAI's; one without an end has none there either."""
    said = []
    for reply in replies:
        one = foreign(number, created, reply, chunk=True)
        said.append(json.dumps(one))
        if reply["done"] and count:
            said.append(json.dumps(one | {"choices": [], "usage": usage(reply)}))
        if reply["done"]:
            said.append("[DONE]")
    return "".join(f"data: {one}\n\n" for one in said).encode()
