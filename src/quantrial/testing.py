"""For your own tests: a gate as one assertion, in pytest or any other runner."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import quantrial

if TYPE_CHECKING:
    from quantrial.gate import GateResult
    from quantrial.study import GatePart


def assert_gate(
    run: Path | str,
    gate: GatePart | Mapping[str, Any] | Path | str | None = None,
    *,
    baseline: Path | str | None = None,
) -> GateResult:
    """Fail a test unless a run meets what a pipeline requires; return the result.

    Args:
        run: the run folder.
        gate: the requirements, as `quantrial.check_gate` takes them.
        baseline: a folder of `quantrial.save_baseline`, whose answers stand for the reference's.

    Raises:
        AssertionError: a requirement is not met; the message has each in a line.
        StudyError: nothing is required, or a requirement names what the run does not have.
        RecordError: the baseline was edited, or is of other items, prompts or weights.

    Example:
        >>> from quantrial.testing import assert_gate
        >>> limits = {"arms": ["q8_0"], "require": [{"task": "sums", "no_worse_than": "50pp"}]}
        >>> assert_gate("runs/mine", limits).outcome
        'met'
    """
    result = quantrial.check_gate(run, gate, baseline=baseline)
    if not result.ok:
        lines = [f"{one.outcome}: {one.text}" for one in result.lines if one.outcome != "met"]
        lines += [f"invalid: {text}" for text in result.invalid]
        raise AssertionError("\n".join([f"{result.study}: gate {result.outcome}", *lines]))
    return result
