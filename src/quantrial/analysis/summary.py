"""The summary, `quantrial.summary/1`: every number that is decided on or reported."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from quantrial import documents
from quantrial._version import __version__
from quantrial.analysis.alarms import AlarmFamily
from quantrial.analysis.comparison import METHODS
from quantrial.analysis.outcomes import TaskOutcomes
from quantrial.analysis.speed.phase import measure_phase
from quantrial.analysis.speed.timings import drift, speed, timeline
from quantrial.analysis.statements import identical_arms, statements, unpicked
from quantrial.analysis.task_summary import TaskAnalysis
from quantrial.analysis.tradeoffs import tradeoffs
from quantrial.assay import Check, arm_checks, data_checks, outcome_checks
from quantrial.documents.codec import METHODS_VERSION
from quantrial.errors import RecordError, StudyError
from quantrial.precision import quantized_before
from quantrial.prompt_checks import other_counts, other_templates
from quantrial.record_checks import Caches, cache_findings

if TYPE_CHECKING:
    from quantrial.analysis.question import Question
    from quantrial.records import ArmRecord, SpeedRecord

SUMMARY_SCHEMA = "quantrial.summary/1"


def summarise(
    question: Question,
    outcomes: Mapping[str, TaskOutcomes],
    *,
    arms: Mapping[str, ArmRecord],
    speed_records: Sequence[SpeedRecord] = (),
    sources: Mapping[str, Mapping[str, Any]] | None = None,
) -> documents.Summary:
    """Derive the summary from scored tasks.

    Args:
        question: says the margins, the seed, the level, the set of statistics.
        outcomes: scored and aligned, by task.
        arms: the manifest's record of each arm.
        speed_records: every call of the speed phase.
        sources: the manifest's record of where the items of each task come from.

    Raises:
        StudyError: there is no such set.
    """
    family = AlarmFamily(question.alpha, question.reference)
    parts = _analysed(question, outcomes, family)
    phase = None
    if question.speed is not None:
        phase = measure_phase(question.speed, speed_records, family)
    alarms = family.close()
    others: dict[str, float] = {}
    for part in parts.values():
        others |= part.other_p_values()
    adjusted = family.instead(others)
    tasks = {name: part.summary(max(1, family.size), adjusted) for name, part in parts.items()}
    own = {name: arms[name] for name in question.arms}
    unlike = other_templates(own, question.reference)
    records = {name: _arm(question, name, own[name], other=name in unlike) for name in own}
    pairs = tuple(
        identical_arms(own, tasks, outcomes, engines=question.arms_differ_in == "engines")
    )
    left = unpicked(pairs) | {*unlike, *other_counts(tasks)}
    speeds = {name: _speeds(scored, question) for name, scored in outcomes.items()}
    timed = None if phase is None else phase.written()
    checks = _checks(question, own, tasks, sources or {}, outcomes)
    summary = documents.Summary(
        schema=SUMMARY_SCHEMA,
        study=question.study,
        methods=question.methods,
        methods_version=METHODS_VERSION,
        quantrial=__version__,
        reference=question.reference,
        alpha=question.alpha,
        arms=records,
        assay=tuple(documents.AssayCheck(id=c.id, status=c.status, text=c.text) for c in checks),
        twins=pairs,
        tasks=tasks,
        alarms=alarms,
        statements=tuple(statements(question, tasks, unpicked=left)),
        speed=speeds,
        timeline=timeline(outcomes),
        speed_phase=timed,
        tradeoffs=tradeoffs(records, tasks, speeds, timed),
    )
    # as it is when read back: plain numbers, None where there is none
    return documents.load_summary(documents.to_dict(summary))


@dataclass(frozen=True, slots=True)
class TaskContrasts:
    """How the arms compare on one task: the part of its summary that asks for nothing else."""

    workload: str
    primary: str
    endpoints: Mapping[str, documents.EndpointSummary]
    flips: tuple[documents.Flips, ...]


def contrasts_of(
    question: Question, outcomes: Mapping[str, TaskOutcomes]
) -> dict[str, TaskContrasts]:
    """Compare all pairs of arms on every endpoint of scored tasks, as `summarise` does.

    Raises:
        StudyError: there is no such set of methods.
    """
    family = AlarmFamily(question.alpha, question.reference)
    parts = _analysed(question, outcomes, family)
    family.close()
    return {
        name: TaskContrasts(
            workload=question.tasks[name].workload,
            primary=part.primary,
            endpoints=part.endpoints(max(1, family.size)),
            flips=part.flips(),
        )
        for name, part in parts.items()
    }


def _analysed(
    question: Question, outcomes: Mapping[str, TaskOutcomes], family: AlarmFamily
) -> dict[str, TaskAnalysis]:
    if question.methods not in METHODS:
        raise StudyError(
            f"there is no set of methods {question.methods!r}; there is {', '.join(METHODS)}",
            key="methods",
        )
    return {name: TaskAnalysis(question, name, scored, family) for name, scored in outcomes.items()}


def _arm(question: Question, name: str, arm: ArmRecord, *, other: bool) -> documents.ArmSummary:
    try:
        before = msgspec.convert(quantized_before(arm), documents.WeightsBefore | None)
    except msgspec.ValidationError as exc:
        place = f"arms.{name}.quantized_before"
        raise RecordError(f"{place}: {exc}: the file was edited", path="manifest.json") from exc
    return documents.ArmSummary(
        memory_bytes=arm.bytes_on_disk,
        artifact_sha256=arm.sha256,
        quantization=arm.quantization,
        quantized_before=before,
        control=question.arms[name],
        weights_stated=tuple(arm.weights_stated),
        other_template=other,
        stored_mostly=arm.stored_mostly,
    )


def _checks(
    question: Question,
    arms: Mapping[str, ArmRecord],
    tasks: Mapping[str, documents.TaskSummary],
    sources: Mapping[str, Mapping[str, Any]],
    outcomes: Mapping[str, TaskOutcomes],
) -> Iterator[Check]:
    """Check whether the study is the experiment it claims to be."""
    yield from arm_checks(arms, question.reference, question.controls, question.arms_differ_in)
    yield from outcome_checks(tasks, question.reference, question.controls)
    yield from data_checks(sources)
    yield from (Check("cache", "warn", text) for text in cache_findings(caches(outcomes), arms))


def caches(outcomes: Mapping[str, TaskOutcomes]) -> dict[str, Caches]:
    """Add up, by arm, what servers say that they did not read anew of the prompts they answered."""
    found: dict[str, Caches] = {}
    for scored in outcomes.values():
        for arm in scored.arms:
            replies = [reply for reply in scored.responses[arm] if reply is not None]
            own = Caches.of((reply.prompt_tokens, reply.cached_tokens) for reply in replies)
            found[arm] = found[arm] + own if arm in found else own
    return found


def _speeds(scored: TaskOutcomes, question: Question) -> dict[str, documents.AnswerSpeed]:
    """Return the speed of each arm, with what a drift of the machine could do to it."""
    drifts = drift(scored, question.reference, alpha=question.alpha)
    return {
        arm: speed(scored.responses[arm], alpha=question.alpha, drift=drifts.get(arm))
        for arm in scored.arms
    }
