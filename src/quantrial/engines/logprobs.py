"""Probabilities of tokens, as servers write them, brought to the one form that a reply has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

Tokens = tuple["Mapping[str, Any]", ...]


def read_logprobs(said: Any) -> Tokens:
    """Read the tokens of an answer: `{"token", "logprob", "top": [[token, logprob], ...]}` each.

    `said` is a list in the form of OpenAI's chat API (and of llama.cpp), an object that holds it
    under `content`, or the parallel lists of the older completion API, whose alternatives may be
    missing. Raises KeyError, TypeError or ValueError for anything else.
    """
    if isinstance(said, list):
        return tuple(
            {
                "token": str(token["token"]),
                "logprob": float(token["logprob"]),
                "top": _sorted((str(t["token"]), float(t["logprob"])) for t in top),
            }
            for token in said
            for top in [token.get("top_logprobs") or ()]
        )
    if isinstance(said.get("content"), list):
        return read_logprobs(said["content"])
    tokens, logprobs = said["tokens"], said["token_logprobs"]
    tops = said.get("top_logprobs") or [None] * len(tokens)
    return tuple(
        {
            "token": str(token),
            "logprob": float(logprob),
            "top": _sorted((str(t), float(p)) for t, p in (top or {}).items()),
        }
        for token, logprob, top in zip(tokens, logprobs, tops, strict=True)
    )


def _sorted(top: Any) -> list[list[Any]]:
    return [list(pair) for pair in sorted(top, key=lambda pair: (-pair[1], pair[0]))]
