from __future__ import annotations

import random
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantrial.design import draw
from quantrial.errors import DataError
from quantrial.records import Item
from strategies import make_item, strata

SEEDS = st.integers(0, 2**63 - 1)


def items_of(**sizes: int) -> list[Item]:
    return [
        make_item(
            "quiz", {"question": f"{name} {i}", "options": ["x", "y"]}, "A", {"subject": name}
        )
        for name, size in sizes.items()
        for i in range(size)
    ]


def ids(items: Iterable[Item]) -> set[str]:
    return {item.id for item in items}


def counts(items: tuple[Item, ...]) -> Counter[str]:
    return Counter(item.metadata["subject"] for item in items)


def test_by_hand_the_same_items_for_ever() -> None:
    # frozen: a version that draws other items breaks every study that was ever run
    drawn = draw(items_of(law=5, math=5), seed=7, size=4, stratify="subject")
    assert [item.content["question"] for item in drawn] == ["law 4", "math 3", "law 2", "math 0"]
    drawn = draw(items_of(law=5, math=5), seed=7, size=3, stratify=None)
    assert [item.content["question"] for item in drawn] == ["math 3", "law 4", "law 2"]


def test_needs_no_generator_of_random_numbers() -> None:
    code = (
        "import sys; import quantrial.design.sampling as s; "
        "sys.exit(bool({'random', 'numpy'} & set(vars(s)) or 'numpy' in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_all_items_without_a_size() -> None:
    items = items_of(law=2, math=7)
    for key in (None, "subject"):
        drawn = draw(items, seed=1, size=None, stratify=key)
        assert len(drawn) == len(items)
        assert ids(drawn) == ids(items)


@pytest.mark.parametrize(("size", "shares"), [(6, [2, 2, 2]), (7, [2, 2, 3]), (8, [2, 3, 3])])
def test_by_hand_shares_are_equal_and_the_remainder_is_spread(size: int, shares: list[int]) -> None:
    drawn = draw(items_of(a=9, b=4, c=3), seed=0, size=size, stratify="subject")
    assert sorted(counts(drawn).values()) == shares


def test_against_simulation_the_remainder_falls_on_every_stratum_alike() -> None:
    items = items_of(a=2, b=2, c=2, d=2)
    more = Counter(
        name
        for seed in range(800)
        for name, count in counts(draw(items, seed=seed, size=5, stratify="subject")).items()
        if count == 2
    )
    # 200 each are expected; five standard errors of a binomial (800, 1/4) are 61
    assert all(abs(more[name] - 200) < 61 for name in "abcd")


def test_against_simulation_every_item_has_the_same_chance() -> None:
    items = items_of(a=10)
    seen = Counter(
        item.id for seed in range(1000) for item in draw(items, seed=seed, size=3, stratify=None)
    )
    assert len(seen) == 10
    # 300 each; five standard errors of a binomial (1000, 0.3) are 72
    assert all(abs(count - 300) < 72 for count in seen.values())


@given(strata(min_size=3), SEEDS, st.randoms(use_true_random=False), st.booleans())
def test_property_the_order_of_the_source_does_not_matter(
    items: list[Item], seed: int, rng: random.Random, stratified: bool
) -> None:
    shuffled = list(items)
    rng.shuffle(shuffled)
    key = "subject" if stratified else None
    first = draw(items, seed=seed, size=3, stratify=key)
    assert draw(shuffled, seed=seed, size=3, stratify=key) == first


@given(strata(min_size=4), SEEDS, st.data())
def test_property_a_smaller_sample_begins_a_larger_one(
    items: list[Item], seed: int, data: st.DataObject
) -> None:
    most = 4 * len({item.metadata["subject"] for item in items})
    large = data.draw(st.integers(1, most))
    small = data.draw(st.integers(1, large))
    for key in (None, "subject"):
        more = draw(items, seed=seed, size=large, stratify=key)
        assert draw(items, seed=seed, size=small, stratify=key) == more[:small]


@given(strata(min_size=4), SEEDS, st.data())
def test_property_shares_differ_by_one_at_most(
    items: list[Item], seed: int, data: st.DataObject
) -> None:
    names = {item.metadata["subject"] for item in items}
    size = data.draw(st.integers(1, 4 * len(names)))
    drawn = draw(items, seed=seed, size=size, stratify="subject")
    shares = [counts(drawn)[name] for name in names]
    assert sum(shares) == len(ids(drawn)) == size
    assert max(shares) - min(shares) <= 1
    assert ids(drawn) <= ids(items)


def test_another_seed_draws_others() -> None:
    items = items_of(a=50)
    assert draw(items, seed=1, size=10, stratify=None) != draw(
        items, seed=2, size=10, stratify=None
    )


@pytest.mark.parametrize(
    ("items", "size", "stratify", "message"),
    [
        ([], 3, None, "there are no items to draw from"),
        (items_of(a=2), 0, None, "a sample of 0 was asked for; at least 1 is needed"),
        (items_of(a=2), 3, None, "a sample of 3 was asked for, but there are 2 items"),
        (items_of(a=2, b=1), 4, "subject", "a sample of 4 was asked for, but there are 3 items"),
        (
            items_of(law=9, math=1, art=5),
            6,
            "subject",
            "a sample of 6 takes 2 from subject 'math', but there are 1; "
            "items by subject: art 5, law 9, math 1",
        ),
        (
            items_of(law=2),
            None,
            "topic",
            "cannot stratify: the items have no 'topic'; keys there: subject",
        ),
        (
            [*items_of(law=2), make_item("quiz", {"question": "?"}, "A", {"genre": "news"})],
            1,
            "subject",
            "cannot stratify: 1 of 3 items have no 'subject'; keys there: genre, subject",
        ),
        (
            [make_item("quiz", {"question": "?"}, "A", {})],
            1,
            "subject",
            "cannot stratify: the items have no 'subject'; they have no metadata at all",
        ),
    ],
)
def test_what_cannot_be_drawn_says_what_is_there(
    items: list[Item], size: int | None, stratify: str | None, message: str
) -> None:
    with pytest.raises(DataError, match=re.escape(message)):
        draw(items, seed=0, size=size, stratify=stratify)
