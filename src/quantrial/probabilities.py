"""Which logarithms of probabilities of tokens are any: the rule of engines and of what is read."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

# Sums of rounded exponentials end a little above 0; what is further above is no logarithm.
_SLACK = 0.01


def known_tokens(tokens: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Leave out of an answer's tokens what is no probability; the tokens stay.

    Each is `{"token", "logprob", "top": [[token, logprob], ...]}`, likeliest first. A program that
    means a probability of 0 writes -Infinity, NaN or null: such an alternative is left out, and the
    logarithm of the token itself is None then.
    """
    return [
        {
            **token,
            "logprob": known_logprob(token.get("logprob")),
            "top": ranked(token.get("top") or ()),
        }
        for token in tokens
    ]


def ranked(top: Iterable[Any]) -> list[list[Any]]:
    """Return the alternatives whose logarithm is known, the likeliest first."""
    pairs = [list(pair) for pair in top if known_logprob(pair[1]) is not None]
    return sorted(pairs, key=lambda pair: (-pair[1], pair[0]))


def known_logprob(value: Any) -> float | None:
    """Return the logarithm of a probability; None where it is none (null, not finite, above 0)."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if -math.inf < value <= _SLACK else None
