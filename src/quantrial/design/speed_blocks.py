"""What the speed phase asks, in which order: pure, and the same whenever it is asked again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from quantrial.design.orders import Draws, balanced_orders

Shape = tuple[int, int]  # tokens of prompt and of answer

# Common words, one token each in the vocabularies of common models; so a text of n words has about
# n tokens, and the exact number is the engine's to say.
_WORDS = (
    (
        "time year people way day man thing woman life child world school state family student "
        "group country problem hand part place case week company system program question work "
        "government number night point home water room mother area money story fact month lot "
        "right study book eye job word business issue side kind head house service friend father "
        "power hour game line end member law car city community name president team minute idea "
        "body information back parent face others level office door health person art war history "
        "party result change "
    )
    .strip()
    .split(" ")
)


@dataclass(frozen=True, slots=True)
class SpeedCall:
    """One planned call: `position` is its place in its block."""

    block: int
    position: int
    arm: str
    shape: Shape


Form = Literal["words", "list", "request"]


def speed_block(
    arms: Sequence[str], shapes: Sequence[Shape], block: int, *, seed: int, together: bool
) -> tuple[SpeedCall, ...]:
    """Order the calls of one block: every arm once at every shape.

    The order of arms is balanced over blocks, and blocks come in pairs of an order and its
    reverse, so that a linear drift cancels within each pair.

    Args:
        arms: names of the arms.
        shapes: lengths of prompt and answer.
        block: its number, from 0.
        seed: the study's.
        together: whether the arms are in memory together: then they take turns at each shape, and
            what slows the machine for a moment meets all of them; else each answers all shapes in
            one turn, so that it is loaded once.
    """
    turned = [shapes[(i + block) % len(shapes)] for i in range(len(shapes))]
    if together:
        orders = {shape: _order(arms, block, seed, of=i) for i, shape in enumerate(shapes)}
        turns = [(arm, shape) for shape in turned for arm in orders[shape]]
    else:
        turns = [(arm, shape) for arm in _order(arms, block, seed, of=0) for shape in turned]
    return tuple(SpeedCall(block, i, arm, shape) for i, (arm, shape) in enumerate(turns))


def _order(arms: Sequence[str], block: int, seed: int, *, of: int) -> tuple[str, ...]:
    rng = Draws(seed, f"speed order {of}")
    return balanced_orders(arms, block + 1, rng=rng)[block]


def speed_prompt(tokens: int, *, seed: int, block: int, output: int) -> str:
    """Make a prompt of about `tokens` tokens: common words at random.

    It follows from its arguments, so that every arm reads the same bytes; it differs from block to
    block, so that an engine that caches prompts whatever it is told has not seen it.

    Args:
        tokens: words; a chat template adds its own tokens.
        seed: the study's.
        block: the block it is for; -1 for warming up.
        output: the length of its answer.
    """
    rng = Draws(seed, f"speed prompt {tokens} {output} {block}")
    return " ".join(_WORDS[int(rng.random() * len(_WORDS))] for _ in range(tokens))


_LINE = 5  # tokens of a line of a list, about: its number, a point, a word, an end
_LINES = 10
_COUNT = "Write the numbers from 1 to 1000 in words, one after another, and nothing else."
_COUNTED = 20  # tokens that takes, about


def list_prompt(tokens: int, *, seed: int, block: int, output: int) -> str:
    """Make a text of about `tokens` tokens that ends in the midst of a numbered list.

    A greedy continuation goes on with the list: it ends at its limit and not before, on good and
    on badly quantized weights alike, and says no piece twice in a row.
    """
    words = speed_prompt(tokens, seed=seed, block=block, output=output).split(" ")
    lines = max(2, min(_LINES, tokens // (2 * _LINE)))
    head = words[: max(tokens - _LINE * lines - 2, 0)]
    listed = words[len(head) :][:lines]
    text = "\n".join(f"{number}. {word}" for number, word in enumerate(listed, start=1))
    return (" ".join(head) + "\n\n" if head else "") + f"{text}\n{len(listed) + 1}."


def request_prompt(tokens: int, *, seed: int, block: int, output: int) -> str:
    """Make a message of about `tokens` tokens that asks for an answer of any length."""
    words = speed_prompt(tokens, seed=seed, block=block, output=output).split(" ")
    head = words[: max(tokens - _COUNTED, 0)]
    return (" ".join(head) + "\n\n" if head else "") + _COUNT
