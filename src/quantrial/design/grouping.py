"""Which items are likely to be alike: equal content, and metadata whose values look like groups.

Items that are alike answer alike, and intervals that take them as independent are too narrow.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from quantrial.records import content_hash

if TYPE_CHECKING:
    from quantrial.records import Item
    from quantrial.study import Task

# values of a key that may be groups: fewer are categories of a design, more are names of items
_FEWEST, _MOST = 5, 200
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


def undeclared_groups(items: Sequence[Item], spec: Task) -> Mapping[str, int]:
    """Return metadata keys that look like groups and of which the study says nothing.

    A key that half of the items have or more, with 5 to 200 values, of two items each on average or
    more.

    Returns:
        How many values each has, in the order in which items first have them.
    """
    said = {spec.stratify, spec.cluster, *spec.ungrouped}
    counts = dict[str, Counter[str]]()
    for item in items:
        for key, value in item.metadata.items():
            if key not in said:
                counts.setdefault(key, Counter())[value] += 1
    return {
        key: len(values)
        for key, values in counts.items()
        if _FEWEST <= len(values) <= _MOST
        and len(values) * _SIZE <= values.total()
        and 2 * values.total() >= len(items)
    }
