"""Who is asked, in which order, and what it costs: pure functions of the study and its seed."""

from __future__ import annotations

from quantrial.design.sampling import draw

__all__ = ["draw"]
