"""The part of a study file that asks for a speed phase."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator

from quantrial.study.part import Part

Length = Annotated[int, Field(ge=1, le=1_000_000)]


class Speed(Part):
    """The speed phase: fixed prompts, one call at a time, arms in turn, block after block.

    Left out, speed is read off the timings of the answers, and the report says so.
    """

    prompt_tokens: tuple[Length, ...] = (128, 512)
    """Lengths of the prompts, about; what counts is what the engine says."""
    output_tokens: tuple[Length, ...] = (32, 128)
    """Lengths of the answers, each after each prompt; exact where the engine can do that."""
    precision: float = Field(default=0.03, gt=0, lt=1)
    """It ends when every ratio's interval is at most this wide to either side, relative."""
    blocks: int = Field(default=8, ge=2, le=1000)
    """Fewest blocks, each arm at each length once a block; below 8, intervals promise too much."""
    time_limit: float = Field(default=1800.0, gt=0)
    """Most seconds of measuring, loads and pauses included; it ends then, narrow or not."""
    busy_share: float = Field(default=0.1, gt=0, le=1)
    """Share of the machine's CPU time that other processes may take before it counts as busy."""
    pause: float = Field(default=60.0, ge=0)
    """Most seconds in all to wait for a busy machine; figures are marked when that is over."""
    timeout: float = Field(default=600.0, gt=0)
    """Seconds after which a call counts as a fault."""

    @field_validator("prompt_tokens", "output_tokens")
    @classmethod
    def _some_lengths(cls, lengths: tuple[int, ...]) -> tuple[int, ...]:
        if not lengths:
            raise ValueError("at least one length is needed")
        if len(set(lengths)) < len(lengths):
            raise ValueError("a length stands twice")
        return lengths

    @property
    def shapes(self) -> tuple[tuple[int, int], ...]:
        """Every prompt length with every output length."""
        return tuple((prompt, out) for prompt in self.prompt_tokens for out in self.output_tokens)
