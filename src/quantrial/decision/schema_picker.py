"""The shape of `decision["picker"]`, the table that a pick is made from."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict


class _Part(BaseModel):
    model_config = ConfigDict(use_attribute_docstrings=True)


class PickerArm(_Part):
    """An arm, as the rules of the pick see it."""

    rank: int
    tier: int | None = None
    """What it costs; equal where it is not known which of two costs more, null of a control."""
    control: bool
    memory: int | None
    speedup: float | None
    twin: str | None = None
    """The arm that nothing tells it from: one file, or the same answers to the byte."""
    other_prompts: bool = False
    """Whether it was shown other prompts than the reference: it is not picked."""


class PickerLevel(_Part):
    """What is ruled out of a loss."""

    bound: float | None
    holds: bool


class PickerRow(_Part):
    """An arm on a task, as the rules of the pick see it."""

    finding: str | None
    estimate: float | None
    bound: float | None
    margin: float
    holds: bool
    worse: bool
    latency: float | None
    missing: int = 0
    """Answers of the two arms that are not there; each is held against the arm in `bound` and
    `holds`."""
    answered: PickerLevel | None = None
    """The same of the items that both answered, where answers are missing."""
    among: list[PickerLevel] = []
    """The same where the arm is one of 2, 3, ... candidates of which one is chosen."""


class PickerTask(_Part):
    """A task, as the rules of the pick see it."""

    workload: str
    margin: float
    at_floor: bool
    arms: dict[str, PickerRow]


class Picker(_Part):
    """The table a pick is made from."""

    reference: str
    insensitive: bool
    memory_source: Literal["peak", "file", "stated"] | None = None
    """What `memory` is: the most each arm's process held, or the size of its weights, of some arm
    as the study states it."""
    arms: dict[str, PickerArm]
    tasks: dict[str, PickerTask]
