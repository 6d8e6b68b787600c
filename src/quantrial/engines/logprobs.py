"""Probabilities of tokens, as servers write them, brought to the one form that a reply has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from quantrial.probabilities import known_logprob, ranked

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
