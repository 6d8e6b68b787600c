"""The part of a study file that says in which order, and how often, arms are asked."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from quantrial.study.part import Part


class Design(Part):
    """The order of calls."""

    schedule: Literal["auto", "blocked", "round_robin", "sequential"] = "auto"
    """`auto`: blocks of one item where all arms fit in memory together, else few large blocks.

    `blocked`: in each block every arm answers the block's items, one arm after another, the orders
    of arms balanced over blocks. `round_robin`: blocks of one item, the arm order rotated.
    `sequential`: one arm after the other.
    """
    blocks: int | None = Field(default=None, ge=1)
    """How many blocks (`auto`, `blocked`). By default 8, or more where loading models allows."""
    repeat_reference: int = Field(default=30, ge=0)
    """How many items of each task the reference answers twice: how far an arm strays from itself.

    All of them where a task has fewer; 0 for none.
    """
    slots: int = Field(default=1, ge=1, le=256)
    """How many calls an arm answers at once, the same for every arm.

    Above 1 the answers of most engines depend on which calls happened to run together.
    """
    logprobs: int = Field(default=0, ge=0, le=20)
    """How many alternatives of each token are recorded with their probabilities; 0 for none.

    The report then says how close each arm's probabilities are to the reference's.
    """
    attempts: int = Field(default=3, ge=1, le=10)
    """How often a call is tried before its fault is recorded for good."""
    restart_timeout: float = Field(default=120, ge=0, le=86_400)
    """How many seconds a server that is gone is waited for before the run stops; 0 for not at all.

    Nothing listens, or a proxy answers 502 or 503: it may be started anew. What fails so does not
    count against `attempts`.
    """

    @model_validator(mode="after")
    def _blocks_are_of_use(self) -> Design:
        if self.blocks is not None and self.schedule in ("round_robin", "sequential"):
            raise ValueError(f"`blocks` says nothing under the schedule {self.schedule!r}")
        return self
