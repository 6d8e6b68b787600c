"""Which items are asked, and which of them are likely to be alike.

Items are drawn from the study's seed alone: the order of draw is that of SHA-256 over seed and item
id. It needs no generator of random numbers, so it is the same under any version of any library, in
any order of the source's rows.

Items that are alike answer alike, and intervals that take them as independent are too narrow. Two
signs are looked for: equal content, and metadata whose values look like groups.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from quantrial.errors import DataError
from quantrial.records import content_hash

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


# values of a key that may be groups: fewer are categories of a design, more are names of items
_FEWEST, MOST = 5, 200
_SIZE = 2  # items of a group on average, at least


_EXAMPLE = "example_id"  # a log's own name of an item, among the content of what was imported
_NO_TEXT = {"options", "choices"}  # several questions may have the same


def content_key(item: Item) -> str:
    """Return what items of equal content have in common: a hash of their content.

    The name that a log gives an item tells two copies of it apart, and is left out where the log
    holds what was asked.
    """
    if _EXAMPLE not in item.content:
        return item.content_sha256
    own = {key: value for key, value in item.content.items() if key != _EXAMPLE}
    return item.content_sha256 if own.keys() <= _NO_TEXT else content_hash(own, item.gold)


def repeated(items: Sequence[Item]) -> int:
    """Count the items whose content another one has as well, by their content hashes."""
    copies = Counter(map(content_key, items))
    return sum(count for count in copies.values() if count > 1)


def undeclared_groups(items: Sequence[Item], declared: Collection[str | None]) -> Mapping[str, int]:
    """Return metadata keys that look like groups and are not among those that the study declares.

    A key that half of the items have or more, with 5 to 200 values, of two items each on average or
    more.

    Returns:
        How many values each has, in the order in which items first have them.
    """
    counts = dict[str, Counter[str]]()
    for item in items:
        for key, value in item.metadata.items():
            if key not in declared:
                counts.setdefault(key, Counter())[value] += 1
    return group_sizes(counts, len(items))


def group_sizes(counts: Mapping[str, Counter[str]], items: int) -> Mapping[str, int]:
    """Return the keys whose values look like groups, as above, with how many values each has."""
    return {
        key: len(values)
        for key, values in counts.items()
        if _FEWEST <= len(values) <= MOST
        and len(values) * _SIZE <= values.total()
        and 2 * values.total() >= items
    }
