from __future__ import annotations

from collections import Counter

import pytest

from quantrial.design.speed_blocks import speed_block, speed_prompt

ARMS = ("a", "b", "c", "d")
SHAPES = ((10, 2), (50, 2), (50, 9))


@pytest.mark.parametrize("together", [True, False])
def test_every_arm_answers_every_length_once_a_block(together: bool) -> None:
    for block in range(6):
        calls = speed_block(ARMS, SHAPES, block, seed=4, together=together)
        assert Counter((call.arm, call.shape) for call in calls) == Counter(
            (arm, shape) for arm in ARMS for shape in SHAPES
        )
        assert [call.position for call in calls] == list(range(len(calls)))


def test_arms_take_turns_at_each_length_or_stay_for_all_lengths() -> None:
    turns = speed_block(ARMS, SHAPES, 0, seed=4, together=True)
    assert [call.shape for call in turns[:4]] == [SHAPES[0]] * 4
    stays = speed_block(ARMS, SHAPES, 0, seed=4, together=False)
    assert len({call.arm for call in stays[:3]}) == 1


@pytest.mark.parametrize("together", [True, False])
def test_blocks_come_in_pairs_of_an_order_and_its_reverse(together: bool) -> None:
    def orders(block: int) -> dict[tuple[int, int], list[str]]:
        found: dict[tuple[int, int], list[str]] = {}
        for call in speed_block(ARMS, SHAPES, block, seed=9, together=together):
            found.setdefault(call.shape, []).append(call.arm)
        return found

    for block in range(0, 8, 2):
        first, second = orders(block), orders(block + 1)
        assert all(second[shape] == first[shape][::-1] for shape in SHAPES)
    # over two rounds of the design every arm stands first and last equally often
    places = Counter(orders(block)[SHAPES[0]][0] for block in range(8))
    assert set(places.values()) == {2}


def test_an_order_does_not_depend_on_how_many_blocks_follow() -> None:
    one = speed_block(ARMS, SHAPES, 3, seed=1, together=True)
    assert one == speed_block(ARMS, SHAPES, 3, seed=1, together=True)
    assert one != speed_block(ARMS, SHAPES, 3, seed=2, together=True)


def test_prompts_have_their_length_and_their_own_bytes() -> None:
    one = speed_prompt(40, seed=1, block=0, output=5)
    assert len(one.split(" ")) == 40
    assert one == speed_prompt(40, seed=1, block=0, output=5)
    others = [
        speed_prompt(40, seed=2, block=0, output=5),
        speed_prompt(40, seed=1, block=1, output=5),
        speed_prompt(40, seed=1, block=-1, output=5),
        speed_prompt(40, seed=1, block=0, output=6),
    ]
    assert len({one, *others}) == 5
    # no two begin alike for long: a cache of prompts has nothing to go by
    assert all(other.split()[:5] != one.split()[:5] for other in others)


def test_a_prompt_is_what_it_was() -> None:
    # what a run was asked has to follow from its study in any later version
    assert speed_prompt(4, seed=0, block=0, output=1).split() == expected(4)


def expected(count: int) -> list[str]:
    """The words by SHA-256, written out once more from the description in `design.orders`."""
    import hashlib

    from quantrial.design.speed_blocks import _WORDS

    found = []
    for number in range(1, count + 1):
        text = f"0\nspeed prompt {count} 1 0\n{number}"
        part = int(hashlib.sha256(text.encode()).hexdigest()[:12], 16) / 16**12
        found.append(_WORDS[int(part * len(_WORDS))])
    return found
