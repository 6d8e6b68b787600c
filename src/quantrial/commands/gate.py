"""The gate of a pipeline: a run held against requirements."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quantrial import paths
from quantrial.commands.derived import load_run_study
from quantrial.commands.results import load_summary_of, sound
from quantrial.errors import StudyError
from quantrial.study import GatePart, parse_gate, read_gate

if TYPE_CHECKING:
    from quantrial.gate import GateResult, MustPass


def check_gate(
    run: Path | str, gate: GatePart | Mapping[str, Any] | Path | str | None = None
) -> GateResult:
    """Hold a run against what a pipeline requires: each line met, violated, undecided or invalid.

    Args:
        run: the run folder; analysed first where that is not done or out of date.
        gate: the requirements, as a part of a study file has them, or a YAML file of them; by
            default the part `gate` of the run's own study.

    Raises:
        StudyError: nothing is required, or a requirement names what the run does not have.

    Example:
        >>> result = quantrial.check_gate("runs/mine", {"require": [{"no_worse_than": "20pp"}]})
        >>> result.exit_code in (0, 1, 3, 4)
        True
    """
    from quantrial.decision.evidence import Evidence
    from quantrial.gate import judge
    from quantrial.runfolder import SUMMARY

    path = Path(run)
    required = _required(path, gate)
    evidence = Evidence(load_summary_of(path))
    with sound(path / SUMMARY):
        return judge(evidence, required, _must_pass(path, required, evidence))


def _required(run: Path, gate: GatePart | Mapping[str, Any] | Path | str | None) -> GatePart:
    if isinstance(gate, GatePart):
        return gate
    if isinstance(gate, Path | str):
        return read_gate(gate)
    if gate is not None:
        return parse_gate(dict(gate))
    own = load_run_study(run)[0].gate
    if own is None:
        raise StudyError(
            "nothing is required: give `--gate FILE` or `--non-inferior 2pp`, or write `gate:` "
            "into the study file",
            key="gate",
        )
    return own


def _must_pass(run: Path, gate: GatePart, evidence: Any) -> Sequence[MustPass]:
    """Find the items that must pass, by task, and which of them an arm did not answer."""
    if not gate.must_pass:
        return ()
    from quantrial.gate import MustPass
    from quantrial.runfolder import RunFolder

    folder = RunFolder(run)
    items = folder.read_items()
    found: dict[str, set[str]] = {}
    for number, wanted in enumerate(gate.must_pass):
        key, is_pair, value = wanted.partition("=")
        named = [
            (task, item.id)
            for task, of_task in items.items()
            for item in of_task
            if item.id == wanted or (is_pair and str(item.metadata.get(key)) == value)
        ]
        if not named:
            raise StudyError(
                f"the run has no item {wanted!r}; give an id or `key=value` of their metadata",
                key=f"gate.must_pass.{number}",
            )
        for task, item in named:
            found.setdefault(task, set()).add(item)
    lists = []
    for task, ids in found.items():
        unanswered = {}
        for arm in evidence.candidates:
            answered = [
                {one.item for one in folder.read_responses(task, each) if one.status == "ok"}
                for each in (arm, evidence.reference)
            ]
            unanswered[arm] = frozenset(ids - (answered[0] & answered[1]))
        lists.append(MustPass(task, frozenset(ids), unanswered))
    return lists


def write_outputs(result: GateResult, *, junit: Path | None, summary: Path | None) -> None:
    """Write a gate's result for a pipeline.

    Args:
        result: what `check_gate` returned.
        junit: a file of JUnit XML, written anew.
        summary: a file of Markdown, to which is appended, as `$GITHUB_STEP_SUMMARY` asks for.

    Raises:
        StudyError: one of them cannot be written.
    """
    from quantrial import gate
    from quantrial.runfolder import write_atomically

    place = junit
    try:
        if junit is not None:
            write_atomically(junit, gate.junit(result).encode())
        place = summary
        if summary is not None:
            with paths.open_to_append(summary) as file:
                file.write(gate.markdown(result).encode())
    except OSError as exc:
        raise StudyError(f"cannot be written ({exc.strerror})", path=place) from exc
