"""Which items are likely to be alike: equal content, and metadata whose values look like groups.

Items that are alike answer alike, and intervals that take them as independent are too narrow.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from quantrial.records import Item
    from quantrial.study import Task

# values of a key that may be groups: fewer are categories of a design, more are names of items
_FEWEST, _MOST = 5, 200
_SIZE = 2  # items of a group on average, at least


def repeated(items: Sequence[Item]) -> int:
    """Count the items whose content another one has as well, by their content hashes."""
    copies = Counter(item.content_sha256 for item in items)
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
