"""What the speed phase measures: for each measure, what is summed over what."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from quantrial.records import SpeedRecord

Pair = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Measure:
    """What is measured: `pair` takes numerator and divisor from a call, None where unknown."""

    name: str
    unit: str
    higher_is_better: bool
    pair: Callable[[SpeedRecord], Pair | None]


def _decode(call: SpeedRecord) -> Pair | None:
    # the clock of an engine may miss the first token
    tokens = call.completion_tokens if call.decoded_tokens is None else call.decoded_tokens
    if call.decoded_tokens == 0:
        return 0.0, 0.0  # an answer of one token, from an engine that cannot be held to more
    return _over(tokens, call.timing.get("decode"))


def _prompt(call: SpeedRecord) -> Pair | None:
    return _over(call.prompt_tokens, call.timing.get("prompt"))


def _first_token(call: SpeedRecord) -> Pair | None:
    seconds, wall = call.timing.get("first_token"), call.timing.get("wall")
    decode = call.timing.get("decode")
    if seconds is None and wall is not None and decode is not None:
        seconds = wall - decode  # the decoding clock starts when the first token is there
    return _over(seconds, 1)


def _call(call: SpeedRecord) -> Pair | None:
    return _over(call.timing.get("wall"), 1)


def _energy(call: SpeedRecord) -> Pair | None:
    return _over(call.machine.get("energy_joules"), call.completion_tokens)


def _over(top: float | None, bottom: float | None) -> Pair | None:
    return (float(top), float(bottom)) if top and bottom and top > 0 else None


MEASURES = (
    Measure("decode", "tokens_per_second", True, _decode),
    Measure("prompt", "tokens_per_second", True, _prompt),
    Measure("first_token", "seconds", False, _first_token),
    Measure("call", "seconds", False, _call),
    Measure("energy", "joules_per_token", False, _energy),
)
BY_NAME = {measure.name: measure for measure in MEASURES}
UNITS = {
    **{m.name: {"unit": m.unit, "higher_is_better": m.higher_is_better} for m in MEASURES},
    "load": {"unit": "seconds", "higher_is_better": False},
    "memory": {"unit": "bytes", "higher_is_better": False},
}
