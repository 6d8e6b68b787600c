"""How close an arm's probabilities of tokens are to the reference's, beside what it scores.

Answers are compared token by token as far as their texts agree, and at the first token where they
part: up to there both arms continue the same text. A distribution is known by its likeliest tokens
only. Those that both arms list stay apart, all others are taken together, so the divergence is a
lower bound of the whole one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from quantrial import documents
from quantrial.errors import InsufficientDataError
from quantrial.probabilities import known_tokens
from quantrial.stats import cluster_variance
from quantrial.stats._numerics import t_quantile

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from quantrial.analysis.outcomes import TaskOutcomes

Token = Mapping[str, Any]
_LEAST = 1e-12  # of probability, for what was too unlikely to be listed


def fidelity(
    scored: TaskOutcomes, reference: str, candidate: str, *, alpha: float
) -> documents.Fidelity | None:
    """Compare a candidate's probabilities with the reference's; None where there are none.

    Each measure is a mean over the compared tokens, its interval clustered by item (by the task's
    clusters where it has some): `kl`, the divergence from the reference in nats; `top_agreement`,
    how often the likeliest token is the same; `margin`, by how much more the likeliest token is
    ahead of the second, candidate minus reference. Where choices were scored by log-likelihood,
    each item has one distribution, over its choices.
    """
    rows: list[tuple[float, float, float]] = []
    groups: list[int] = []
    clusters = scored.panel.clusters
    codes = None if clusters is None else np.unique(clusters, return_inverse=True)[1]
    items = 0
    pairs = zip(scored.responses[reference], scored.responses[candidate], strict=True)
    for at, (one, other) in enumerate(pairs):
        if one is None or other is None or not one.logprobs or not other.logprobs:
            continue
        items += 1
        for mine, theirs in _shared(one.logprobs, other.logprobs):
            rows.append(
                (_divergence(mine, theirs), _agrees(mine, theirs), _lead(theirs) - _lead(mine))
            )
            groups.append(at if codes is None else int(codes[at]))
    if not rows:
        return None
    values = np.array(rows)
    _, dense = np.unique(groups, return_inverse=True)
    kl, agreement, margin = (_mean(column, dense, alpha) for column in values.T)
    return documents.Fidelity(
        reference=reference,
        candidate=candidate,
        items=items,
        tokens=len(rows),
        kl=kl,
        top_agreement=agreement,
        margin=margin,
        # scores that were recorded elsewhere come with the probabilities of choices
        of="choices" if scored.task.kind == "recorded" else "tokens",
        kl_median=float(np.quantile(values[:, 0], 0.5)),
        kl_p90=float(np.quantile(values[:, 0], 0.9)),
    )


def _mean(values: NDArray[np.float64], groups: Any, alpha: float) -> documents.FidelityMean:
    """Return a mean with its interval by the clusters' variance; no interval for too few."""
    estimate, ci = float(values.mean()), (None, None)
    try:
        found = cluster_variance(values, groups)
    except InsufficientDataError:
        return documents.FidelityMean(estimate=estimate, ci=ci, confidence=1 - alpha)
    if not found.variance > 0:
        return documents.FidelityMean(estimate=estimate, ci=ci, confidence=1 - alpha)
    reach = t_quantile(1 - alpha / 2, found.df) * math.sqrt(found.variance)
    return documents.FidelityMean(
        estimate=estimate, ci=(estimate - reach, estimate + reach), confidence=1 - alpha
    )


def _shared(one: Sequence[Token], other: Sequence[Token]) -> Iterator[tuple[Token, Token]]:
    """Yield the tokens that both arms took after the same text."""
    for mine, theirs in zip(_known(one), _known(other), strict=False):
        if mine is None or theirs is None:
            return
        # alternatives without a probability are missing; where none is left there is nothing to
        # compare, and the texts still go on alike
        if mine["top"] and theirs["top"]:
            yield mine, theirs
        if mine["token"] != theirs["token"]:
            return


def _known(tokens: Sequence[Any]) -> Iterator[Token | None]:
    """Yield tokens with the probabilities that are known; None for what is no token."""
    for token in tokens if isinstance(tokens, Sequence) else ():
        top = token.get("top") if isinstance(token, Mapping) else None
        if top is None or "token" not in token or not all(map(_is_pair, top)):
            yield None
        else:
            yield known_tokens([token])[0]


def _is_pair(one: Any) -> bool:
    return isinstance(one, Sequence) and not isinstance(one, str) and len(one) == 2


def _divergence(mine: Token, theirs: Token) -> float:
    """Compute the Kullback-Leibler divergence of the reference's tokens from the candidate's."""
    p = {str(token): math.exp(logprob) for token, logprob in mine["top"]}
    q = {str(token): math.exp(logprob) for token, logprob in theirs["top"]}
    both = p.keys() & q.keys()
    parts = [(p[token], q[token]) for token in sorted(both)]
    rest = (1 - sum(a for a, _ in parts), 1 - sum(b for _, b in parts))
    parts.append((max(rest[0], 0.0), max(rest[1], _LEAST)))
    return max(sum(a * math.log(a / max(b, _LEAST)) for a, b in parts if a > 0), 0.0)


def _agrees(mine: Token, theirs: Token) -> float:
    return float(mine["top"][0][0] == theirs["top"][0][0])


def _lead(token: Token) -> float:
    first, second = ([math.exp(logprob) for _, logprob in token["top"]] + [0.0])[:2]
    return first - second
