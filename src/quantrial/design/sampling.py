"""Which items are asked: drawn from the study's seed alone.

The order of draw is that of SHA-256 over seed and item id. It needs no generator of random numbers,
so it is the same under any version of any library, in any order of the source's rows.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING

from quantrial.errors import DataError

if TYPE_CHECKING:
    from quantrial.records import Item


def draw(
    items: Sequence[Item], *, seed: int, size: int | None, stratify: str | None
) -> tuple[Item, ...]:
    """Draw `size` items (all where it is None), in equal counts from every value of `stratify`.

    Where the count does not divide, some strata give one more; which ones is drawn too. The result
    is in order of draw, strata taking turns: a smaller sample is the beginning of a larger one.

    Raises:
        DataError: no items; fewer items, in all or in a stratum, than asked for; a `stratify` key
            that items lack.
    """
    if not items:
        raise DataError("there are no items to draw from")
    if size is not None and size < 1:
        raise DataError(f"a sample of {size} was asked for; at least 1 is needed")
    strata = _strata(items, stratify)
    if size is not None and size > len(items):
        raise DataError(f"a sample of {size} was asked for, but there are {len(items)} items")
    ranked = sorted(strata, key=lambda value: (_hash(seed, "stratum", value), value))
    if size is not None:
        _check_shares(strata, ranked, size, stratify)
    turns: list[tuple[int, int, Item]] = []
    for rank, value in enumerate(ranked):
        drawn = sorted(strata[value], key=lambda item: (_hash(seed, "item", item.id), item.id))
        turns += [(turn, rank, item) for turn, item in enumerate(drawn)]
    turns.sort(key=lambda entry: entry[:2])
    return tuple(item for _, _, item in turns[:size])


def _strata(items: Sequence[Item], stratify: str | None) -> dict[str, list[Item]]:
    strata: dict[str, list[Item]] = defaultdict(list)
    if stratify is None:
        strata[""] = list(items)
        return strata
    for item in items:
        if stratify in item.metadata:
            strata[item.metadata[stratify]].append(item)
    missing = len(items) - sum(map(len, strata.values()))
    if missing:
        keys = sorted({key for item in items for key in item.metadata})
        said = f"keys there: {', '.join(keys)}" if keys else "they have no metadata at all"
        who = "the items have" if missing == len(items) else f"{missing} of {len(items)} items have"
        raise DataError(f"cannot stratify: {who} no {stratify!r}; {said}")
    return strata


def _check_shares(
    strata: dict[str, list[Item]], ranked: Sequence[str], size: int, stratify: str | None
) -> None:
    share, remainder = divmod(size, len(ranked))
    for rank, value in enumerate(ranked):
        wanted = share + (rank < remainder)
        if wanted > len(strata[value]):
            counts = Counter({name: len(members) for name, members in strata.items()})
            there = ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))
            raise DataError(
                f"a sample of {size} takes {wanted} from {stratify} {value!r}, but there are "
                f"{len(strata[value])}; items by {stratify}: {there}"
            )


def _hash(seed: int, what: str, name: str) -> bytes:
    return hashlib.sha256(f"{seed}\n{what}\n{name}".encode()).digest()
