"""The summary document, `quantrial.summary/1`: every number that is decided on or reported."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import quantrial
from quantrial.analysis.alarms import AlarmFamily
from quantrial.analysis.comparing import METHODS
from quantrial.analysis.drift import drift
from quantrial.analysis.outcomes import TaskOutcomes
from quantrial.analysis.speed import speed
from quantrial.analysis.speed_conditions import marks
from quantrial.analysis.speed_phase import speed_phase
from quantrial.analysis.statements import statements
from quantrial.analysis.task_summary import TaskSummary
from quantrial.analysis.timeline import timeline
from quantrial.analysis.told import plain
from quantrial.analysis.tradeoffs import tradeoffs
from quantrial.analysis.twins import twins, unpicked
from quantrial.analysis.versions import METHODS_VERSION
from quantrial.assay import Check, arm_checks, as_documents, data_checks, outcome_checks
from quantrial.cache_checks import Caches, cache_findings
from quantrial.errors import StudyError
from quantrial.precision import quantized_before, stated_of
from quantrial.prompt_checks import other_counts, other_templates

if TYPE_CHECKING:
    from quantrial.records import SpeedRecord
    from quantrial.study import Study

SUMMARY_SCHEMA = "quantrial.summary/1"


def summarise(
    study: Study,
    outcomes: Mapping[str, TaskOutcomes],
    *,
    arms: Mapping[str, Mapping[str, Any]],
    methods: str,
    speed_records: Sequence[SpeedRecord] = (),
    sources: Mapping[str, Mapping[str, Any]] | None = None,
) -> dict[str, Any]:
    """Derive the summary from scored tasks.

    Args:
        study: says the margins, the seed, the level.
        outcomes: scored and aligned, by task.
        arms: the manifest's record of each arm.
        methods: the set of statistics.
        speed_records: every call of the speed phase.
        sources: the manifest's record of where the items of each task come from.

    Raises:
        StudyError: there is no such set.
    """
    if methods not in METHODS:
        raise StudyError(
            f"there is no set of methods {methods!r}; there is {', '.join(METHODS)}", key="methods"
        )
    family = AlarmFamily(study.alpha, study.reference)
    parts = {
        name: TaskSummary(study, name, scored, methods, family) for name, scored in outcomes.items()
    }
    tasks = {name: part.document() for name, part in parts.items()}
    speeds = {
        name: dict(_speeds(scored, study.reference, study.alpha))
        for name, scored in outcomes.items()
    }
    unlike = other_templates({name: arms[name] for name in study.arms}, study.reference)
    records = {
        name: {
            "memory_bytes": arms[name].get("bytes_on_disk"),
            "artifact_sha256": arms[name].get("sha256"),
            "quantization": arms[name].get("quantization"),
            "quantized_before": quantized_before(arms[name]),
            "control": arm.control,
            **({"weights_stated": list(said)} if (said := stated_of(arms[name])) else {}),
            **({"other_template": True} if name in unlike else {}),
        }
        for name, arm in study.arms.items()
    }
    phase = speed_phase(study, speed_records)
    _ask_of_speeds(family, phase)
    alarms = family.close()
    _finish(study, parts, tasks, phase, family)
    own = {name: arms[name] for name in study.arms}
    pairs = list(twins(own, tasks, engines=study.question == "engines"))
    document = {
        "schema": SUMMARY_SCHEMA,
        "study": {
            "name": study.study,
            "hash": study.hash,
            "seed": study.seed,
            # whose missing answers nobody can be asked for
            **({"imported": True} if _imported(study) else {}),
        },
        "methods": methods,
        "methods_version": METHODS_VERSION,
        "quantrial": quantrial.__version__,
        "reference": study.reference,
        "alpha": study.alpha,
        "arms": records,
        "assay": list(as_documents(_assay(study, arms, tasks, sources or {}, outcomes))),
        "twins": pairs,
        "tasks": tasks,
        "alarms": alarms,
        "statements": list(
            statements(study, tasks, unpicked=unpicked(pairs) | {*unlike, *other_counts(tasks)})
        ),
        "speed": speeds,
        "timeline": timeline(outcomes),
        "speed_phase": phase,
        "tradeoffs": tradeoffs(records, tasks, speeds, phase),
    }
    result: dict[str, Any] = plain(document)
    return result


def _ask_of_speeds(family: AlarmFamily, phase: Mapping[str, Any] | None) -> None:
    """Add what the speed phase can raise: another speed of decoding, arms that slow down unlike."""
    for one in phase["ratios"] if phase else ():
        if one["measure"] == "decode":
            family.ask("speed", one["id"], one, one["p_value"])
    for arm, found in phase["drift"]["ratios"].items() if phase else ():
        if found is not None:
            family.ask("drift", f"speed.drift.{arm}", found, found["p_value"])


def _finish(
    study: Study,
    parts: Mapping[str, TaskSummary],
    tasks: Mapping[str, dict[str, Any]],
    phase: dict[str, Any] | None,
    family: AlarmFamily,
) -> None:
    """Write what follows from the family once it is adjusted."""
    others: dict[str, float] = {}
    for part in parts.values():
        others |= part.other_p_values()
    adjusted = family.instead(others)
    for name, part in parts.items():
        part.finish(tasks[name], max(1, family.size), adjusted)
    if phase is not None and study.speed is not None:
        phase["marks"] = marks(phase, busy_share=study.speed.busy_share, alpha=study.alpha)


def _imported(study: Study) -> bool:
    return any(task.source.type == "imported" for task in study.tasks.values())


def _assay(
    study: Study,
    arms: Mapping[str, Mapping[str, Any]],
    tasks: Mapping[str, Any],
    sources: Mapping[str, Mapping[str, Any]],
    outcomes: Mapping[str, TaskOutcomes],
) -> tuple[Check, ...]:
    """Check whether the study is the experiment it claims to be."""
    controls = [name for name, arm in study.arms.items() if arm.control]
    records = {name: arms[name] for name in study.arms}
    return (
        *arm_checks(records, study.reference, controls, study.question),
        *outcome_checks(tasks, study.reference, controls),
        *data_checks(sources),
        *(Check("cache", "warn", said) for said in cache_findings(caches(outcomes), records)),
    )


def caches(outcomes: Mapping[str, TaskOutcomes]) -> dict[str, Caches]:
    """Add up, by arm, what servers say that they did not read anew of the prompts they answered."""
    found: dict[str, Caches] = {}
    for scored in outcomes.values():
        for arm in scored.arms:
            given = [one for one in scored.responses[arm] if one is not None]
            own = Caches.of((one.prompt_tokens, one.cached_tokens) for one in given)
            found[arm] = found[arm] + own if arm in found else own
    return found


def _speeds(
    scored: TaskOutcomes, reference: str, alpha: float
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the speed of each arm, with what a drift of the machine could do to it."""
    drifts = drift(scored, reference, alpha=alpha)
    for arm in scored.arms:
        yield arm, {**speed(scored.responses[arm], alpha=alpha), "drift": drifts.get(arm)}
