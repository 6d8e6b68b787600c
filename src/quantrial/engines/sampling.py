"""How an arm's tokens are drawn, as far as its engine cannot state it in every call."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable


@dataclass(frozen=True, slots=True)
class Sampling:
    """What is known of a server's own sampling.

    `served_by` is the software that answers, where it tells itself. `unstated` names the parameters
    that no call states, so that the server's own values hold. `penalty` is one for repetition that
    the software keeps whatever it is told. `advice` says how the arm is asked rightly.
    """

    served_by: str | None = None
    unstated: tuple[str, ...] = ()
    penalty: str | None = None
    advice: str | None = None

    @property
    def doubtful(self) -> bool:
        """Whether a penalty may be in force of which nothing is known."""
        return self.penalty is None and any("penalty" in name for name in self.unstated)


@runtime_checkable
class SamplingTold(Protocol):
    """An engine whose server has sampling of its own."""

    def sampling(self) -> Sampling:
        """Say what is known of it by now; asks nobody."""
        ...
