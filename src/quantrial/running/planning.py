"""What a plan is made of: items, artifacts, what they cost in memory; when asked, a timed probe."""

from __future__ import annotations

import functools
import itertools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from quantrial.assay import arm_checks
from quantrial.design.clustered import cluster_prospects, cluster_warning
from quantrial.design.plan import (
    ArmPlan,
    EndpointMargin,
    Plan,
    TaskPlan,
    Tokens,
    least_for_margin,
    prospects,
)
from quantrial.design.sampling import content_key, repeated, undeclared_groups
from quantrial.engines.options import short_keys
from quantrial.errors import EngineError, EngineTimeoutError, StudyError
from quantrial.precision import weights_in_words
from quantrial.record_checks import unstated_parameters
from quantrial.redaction import LEAST
from quantrial.running.arms import arm_records, naming, open_engines
from quantrial.running.fetch import refuse_missing
from quantrial.running.guard import refuse_unable
from quantrial.running.ordering import (
    Memory,
    Probe,
    Tell,
    affordable,
    all_stayed,
    choose_order,
    fit_together,
    memory_of,
    planned_calls,
    server_decides,
    silently,
    with_loads,
)
from quantrial.running.ordering import probe as timed
from quantrial.running.penalty import probe_sampling
from quantrial.running.prepare import (
    OpenStudy,
    held_control_tokens,
    with_templates,
    without_template,
)
from quantrial.study import code_in
from quantrial.system import available_memory

if TYPE_CHECKING:
    from quantrial.design.schedule import Call
    from quantrial.engines.base import Engine
    from quantrial.records import ArmRecord
    from quantrial.running.prepare import Prepared
    from quantrial.study import Study
    from quantrial.study.code import BeforeCode
    from quantrial.tasks import Prompt


_HERE = ("llamacpp",)  # engines whose models are in the memory of this machine


def prompt_tokens(prompt: Prompt) -> int:
    """Estimate the tokens of a prompt, without those of a chat template."""
    texts = [text for _, text in prompt.messages] if prompt.text is None else [prompt.text]
    return Tokens.estimated(sum(len(text.encode()) for text in texts))


def tokens_of(calls: Sequence[Call], prepared: Prepared) -> Tokens:
    """Add up the tokens of all calls; answers are taken to be as long as they may be."""
    items = {(task, one.id): one for task, all_of in prepared.items.items() for one in all_of}
    asked = Counter((call.task, call.item) for call in calls)
    prompt = answer = 0
    for (task, item), times in asked.items():
        shown = prepared.tasks[task].prompt(items[task, item])
        prompt += times * prompt_tokens(shown)
        answer += times * shown.max_tokens
    return Tokens(prompt, answer)


def tight_contexts(prepared: Prepared, arms: Mapping[str, ArmRecord]) -> Iterator[str]:
    """Say where the longest prompt and its answer may not fit into an arm's context."""
    for name, task in prepared.tasks.items():
        needed = max(
            (
                prompt_tokens(shown) + shown.max_tokens
                for shown in map(task.prompt, prepared.items[name])
            ),
            default=0,
        )
        for arm, record in arms.items():
            context = record.context
            if context is not None and needed > context:
                yield (
                    f"{arm} has a context of {context:,} tokens. The longest prompt of {name} and "
                    f"its answer take about {needed:,}."
                )


_OF_SPEED = {
    "exact_length": "fix the number of answer tokens. The phase tries prompts with long answers.",
    "fresh": "skip its prompt cache. Reading a prompt may look faster than it is.",
}


def speed_limits(study: Study, engines: Mapping[str, Engine]) -> Iterator[str]:
    """Say what the speed phase would ask of each arm and its engine cannot do."""
    for arm in study.timed_arms if study.speed else ():
        lacking = [text for key, text in _OF_SPEED.items() if key not in engines[arm].abilities]
        if lacking:
            yield f"speed phase: the engine of {arm} cannot {' It cannot '.join(lacking)}"


def loads_of(calls: Sequence[Call], arms: Sequence[str], *, together: bool) -> dict[str, int]:
    """Count how often each arm is loaded: once, or whenever it takes over from another one."""
    if together:
        return dict.fromkeys(arms, 1)
    turns = Counter(arm for arm, _ in itertools.groupby(call.arm for call in calls))
    return {arm: turns[arm] for arm in arms}


def disk_bytes(arms: Mapping[str, ArmRecord]) -> int | None:
    """Add up the files of the arms, each once; None where some arm does not say."""
    files = {arm.sha256 or name: arm.bytes_on_disk for name, arm in arms.items()}
    sizes = list(files.values())
    return None if None in sizes else sum(size for size in sizes if size is not None)


def memory_here(arms: Mapping[str, ArmRecord], available: int | None) -> Memory:
    """Add up the memory of the arms that this machine itself has to hold."""
    return memory_of({name: arm for name, arm in arms.items() if arm.engine in _HERE}, available)


def refuse_too_large(arms: Mapping[str, ArmRecord], available: int | None) -> None:
    """Refuse an arm that would not fit in memory, rather than have it killed by the system.

    Raises:
        StudyError: names the arm and the numbers.
    """
    memory = memory_here(arms, available)
    for name in memory.too_large:
        raise StudyError(too_large_text(arms[name], available), key=f"arms.{name}")


def too_large_text(arm: ArmRecord, available: int | None) -> str:
    """Say in numbers why an arm does not fit."""
    weights, cache = arm.bytes_on_disk or 0, arm.kv_bytes or 0
    return (
        f"does not fit in memory: it needs {weights / 1e9:.2f} GB for weights and "
        f"{cache / 1e9:.2f} GB for a context of {arm.context:,} tokens; "
        f"{(available or 0) / 1e9:.2f} GB are free. Take a smaller file or context, or close other "
        "programs"
    )


def plan_study(
    opened: OpenStudy,
    *,
    probe: bool | None = False,
    tell: Tell | None = None,
    before_code: BeforeCode | None = None,
) -> Plan:
    """Plan a study. Without a probe no model is loaded; files that an arm is made of are made.

    Args:
        opened: the study.
        probe: load every arm and time a few calls; None where that costs little and no money.
        tell: told in a few words what takes a while.
        before_code: called with the study before code that it names is run; raises to refuse it.

    Raises:
        StudyError, DataError, ModelFileError: what is wrong with the study, its items, its models.
    """
    study, base, tell = opened.study, opened.base, tell or silently
    with open_engines(study, base=base) as engines:
        refuse_missing(study, engines, base)
        tell("reading the items")
        prepared = opened.prepared
        refuse_unable(study, prepared, engines)
        described = arm_records(study, engines, tell)
        refuse_unable(study, prepared, engines)  # some know only now what their models can do
        records, unknown = with_templates(study, prepared, engines, described)
        special = tuple(map(str, held_control_tokens(prepared, engines, records)))
        available = available_memory()
        probes: dict[str, Probe] = {}
        failed: list[str] = []
        if probe is None:
            too_large = memory_here(records, available).too_large
            asked, probe = False, not too_large and affordable(engines, records)
        else:
            asked = probe
        if probe:
            if before_code is not None:
                before_code(study)
            probes, failed = _probed(study, prepared, engines, records, asked=asked, tell=tell)
        together = fit_together(records)
        if server_decides(records):
            together = len(probes) == len(engines) and all_stayed(engines)
            failed += [] if probes else [_undecided(records)]
        if not together:
            probes = with_loads(engines, probes)
    order = choose_order(study, prepared, together=together, probes=probes)
    calls = planned_calls(order, prepared.ids, study)
    loads = loads_of(calls, list(study.arms), together=together)
    arms = tuple(
        ArmPlan(
            name=name,
            model=record.model or "",
            quantization=record.quantization,
            weights=weights_in_words(record),
            stated=tuple(record.weights_stated),
            bytes_on_disk=record.bytes_on_disk,
            kv_bytes=record.kv_bytes,
            loads=loads[name],
            **_times(probes.get(name), prepared, loads[name]),
        )
        for name, record in records.items()
    )
    tasks = task_plans(study, prepared)
    controls = [name for name, arm in study.arms.items() if arm.control]
    memory = memory_of(records, available)
    here = memory_here(records, available)
    return Plan(
        study=study.study,
        speed_seconds=study.speed.time_limit if study.speed else None,
        reference=study.reference,
        calls=len(calls),
        tasks=tasks,
        arms=arms,
        memory_needed=(memory if together else replace(memory, one_at_a_time=True)).needed,
        memory_available=available,
        seconds=sum(arm.seconds or 0.0 for arm in arms) if probes else None,
        warnings=(
            *(said for task in tasks for said in task.warnings),
            *special,
            *tight_contexts(prepared, records),
            *without_template(study, prepared, records),
            *unknown,
            *(f"{name} {too_large_text(records[name], available)}" for name in here.too_large),
            *failed,
            *speed_limits(study, engines),
            *unstated_parameters(records),
            *_short_keys(study),
        ),
        assay=arm_checks(records, study.reference, controls, study.question),
        tokens=tokens_of(calls, prepared),
        together=together,
        order=order,
        too_large=here.too_large,
        disk_bytes=disk_bytes(records),
        slots=study.design.slots,
        code=code_in(study),
    )


def _short_keys(study: Study) -> Iterator[str]:
    for variable in dict.fromkeys(
        v for arm in study.arms.values() for v in short_keys(arm.options)
    ):
        yield (
            f"the key in {variable} has fewer than {LEAST} characters. It is too short to be "
            "removed from what its server writes. Check the run folder before you share it."
        )


def _probed(
    study: Study,
    prepared: Prepared,
    engines: Mapping[str, Engine],
    records: dict[str, ArmRecord],
    *,
    asked: bool,
    tell: Tell,
) -> tuple[dict[str, Probe], list[str]]:
    """Time every arm, and say why it could not be done.

    What is found of an arm's sampling on the way is added to its record.

    What passes (a time-out, an overload), or is one prompt's doing, does not fail a plan whose
    probe nobody asked for; then no times are known.

    Raises:
        EngineError: an arm refuses what a run would ask of it: its model, the key, a parameter,
            probabilities of tokens, a schema.
    """
    refuse_too_large(records, available_memory())
    together, probes, failed = fit_together(records) or server_decides(records), {}, []
    for name, engine in engines.items():
        of_arm = functools.partial(_of_arm, tell, name)
        of_arm("how it draws tokens")
        try:
            with naming(name, engine):
                for arm, found in probe_sampling({name: engine}).items():
                    records[arm] = replace(records[arm], sampling_probe=asdict(found))
                probes[name] = timed(study, prepared, engine, alone=not together, tell=of_arm)
        except EngineError as exc:
            passes = exc.retryable or exc.of_prompt or isinstance(exc, EngineTimeoutError)
            if asked or not passes:
                raise
            # the other arms are asked all the same: one of them may refuse what it is asked
            failed.append(f"times are not known: {exc}")
    return ({}, failed) if failed else (probes, [])


def _of_arm(tell: Tell, arm: str, step: str) -> None:
    tell(f"timing {arm}: {step}")


def _undecided(records: Mapping[str, ArmRecord]) -> str:
    unknown = [name for name, arm in records.items() if arm.one_at_a_time is None]
    return (
        f"the server may hold {', '.join(unknown)} in memory at once or one at a time. This plan "
        "assumes one at a time. quantrial plan --probe finds out, and quantrial run does so first."
    )


def _times(probed: Probe | None, prepared: Prepared, loads: int) -> dict[str, Any]:
    if probed is None:
        return {}
    answering = sum(probed.seconds.values())
    return {
        "seconds_per_call": answering / sum(map(len, prepared.items.values())),
        "load_seconds": probed.load_seconds,
        "seconds": answering + loads * (probed.load_seconds or 0.0),
        "slots_gain": probed.gain,
        "was_loaded": probed.was_loaded,
    }


def task_plans(study: Study, prepared: Prepared) -> tuple[TaskPlan, ...]:
    """Say of each task what its items can show."""
    return tuple(_task_plan(study, prepared, name) for name in prepared.tasks)


def _task_plan(study: Study, prepared: Prepared, name: str) -> TaskPlan:
    spec, items = study.tasks[name], prepared.items[name]
    margin = study.primary_margin(name)
    primary = prepared.tasks[name].endpoints[0]
    proportion = primary.type == "proportion"
    # a key that is a stratum too is taken as strata
    key = None if spec.cluster == spec.stratify else spec.cluster
    groups = None if key is None else len({item.metadata.get(key) for item in items})
    by_content = key is None and spec.equal_items == "cluster" and repeated(items) > 0
    # equal items are answered alike: each content is worth one item
    worth = len({content_key(item) for item in items}) if by_content else len(items)
    return TaskPlan(
        name=name,
        workload=spec.workload,
        items=len(items),
        available=int(prepared.provenance[name]["available"]),
        calls=len(items) * (len(study.arms) * study.design.samples + (not spec.has_gold)),
        margin=margin,
        prospects=(
            ()  # what spread is typical is known of shares alone
            if primary.unit is not None
            else prospects(worth, margin, alpha=study.alpha, proportion=proportion)
            if groups is None
            else cluster_prospects(
                len(items),
                groups,
                margin,
                alpha=study.alpha,
                proportion=proportion,
                icc=spec.icc,
            )
        ),
        duplicates=len(prepared.provenance[name]["duplicates"]),
        least_items=least_for_margin(
            margin, alpha=study.alpha, proportion=proportion, clusters=groups
        ),
        margins=tuple(_endpoint_margins(study, prepared, name, groups)),
        clusters=groups,
        few_clusters=None if key is None else cluster_warning(name, key, groups or 0),
        by_content=by_content,
        undeclared_groups=undeclared_groups(items, {spec.stratify, spec.cluster, *spec.ungrouped}),
        unit=primary.unit,
    )


def _endpoint_margins(
    study: Study, prepared: Prepared, name: str, clusters: int | None
) -> Iterator[EndpointMargin]:
    """List the margins that are stated for other endpoints than the primary one."""
    task = prepared.tasks[name]
    primary, *others = task.endpoints
    applies = {mode.name: mode.applies for mode in task.failure_modes}  # to some items alone
    scores = {endpoint.name for endpoint in others if endpoint.type != "proportion"}
    for endpoint, margin in study.tasks[name].margins.items():
        if endpoint == primary.name:
            continue
        on = applies.get(endpoint)
        items = [item for item in prepared.items[name] if on is None or on(item)]
        least = least_for_margin(
            margin, alpha=study.alpha, proportion=endpoint not in scores, clusters=clusters
        )
        unit = next((one.unit for one in others if one.name == endpoint), None)
        yield EndpointMargin(endpoint, margin, len(items), least, unit)
