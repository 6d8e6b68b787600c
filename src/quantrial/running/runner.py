"""A run: settle what it is about, go on with what is recorded, ask the rest."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quantrial.errors import RecordWarning, RunFolderError
from quantrial.records import ArmRecord, Manifest
from quantrial.redaction import public
from quantrial.runfolder import ResponseWriter, RunFolder
from quantrial.running.arms import (
    ModelPool,
    arm_records,
    log_into,
    open_engines,
    refuse_whole_keys,
    texts_of,
)
from quantrial.running.fetch import refuse_missing
from quantrial.running.guard import (
    refuse_changed,
    refuse_changed_code,
    refuse_foreign,
    refuse_unable,
    warn_of_changed_scorers,
)
from quantrial.running.ordering import (
    planned_calls,
    recorded_order,
    settle_order,
)
from quantrial.running.penalty import probe_sampling
from quantrial.running.planning import refuse_too_large
from quantrial.running.prepare import (
    OpenStudy,
    Prepared,
    changed_since,
    resumed,
    warn_of_control_tokens,
    with_templates,
)
from quantrial.running.provenance import host, software
from quantrial.running.session import Equipment, Session
from quantrial.running.waiting import Clock
from quantrial.running.watch import Watch
from quantrial.study import code_in
from quantrial.study.code import scorer_files
from quantrial.system import available_memory

if TYPE_CHECKING:
    from quantrial.design.schedule import Call
    from quantrial.engines.base import Engine
    from quantrial.running import Listener, SpeedResult
    from quantrial.study import Study
    from quantrial.study.code import BeforeCode


@dataclass(frozen=True, slots=True)
class RunResult:
    """What one session of a run did: calls asked now, recorded in all, and planned.

    `faulted` calls stand as faults; `faults` says how many of each arm that has some. `unanswered`
    names the arms that answered none of their calls, with what was said of the first. `speed` is
    what the speed phase did, where there was one.
    """

    folder: Path
    asked: int
    recorded: int
    planned: int
    faulted: int
    repairs: tuple[str, ...]
    faults: Mapping[str, int] = dataclasses.field(default_factory=dict)
    unanswered: Mapping[str, str] = dataclasses.field(default_factory=dict)
    speed: SpeedResult | None = None


def run_study(
    opened: OpenStudy,
    *,
    folder: Path,
    retry_faults: bool = False,
    listener: Listener | None = None,
    clock: Clock | None = None,
    before_code: BeforeCode | None = None,
) -> RunResult:
    """Answer every scheduled call that is not recorded yet.

    Args:
        opened: the study; its text is kept in the run folder.
        folder: the run folder; made when it is not there.
        retry_faults: ask the calls that ended in a fault again, and no others.
        listener: told of the progress after every call.
        clock: what time it is; the machine's clocks by default.
        before_code: called with the study before code that it names is run; raises to refuse it.

    Raises:
        RunChangedError: the study, the items or an artifact are not those of the run in `folder`.
        RunFolderError: the folder is in use, or cannot be written.
        DataError, ModelFileError, EngineError: as found before the first call.
    """
    study, text, base = opened.study, opened.text, opened.base
    run = RunFolder(folder)
    refuse_foreign(study, run)
    if before_code is not None and not run.exists():
        before_code(study)
    with contextlib.ExitStack() as stack:
        engines = stack.enter_context(open_engines(study, base=base))
        log_into(run, engines)
        refuse_whole_keys([text])
        refuse_missing(study, engines, base)
        prepared = opened.prepared
        stack.enter_context(public(_texts(text, prepared)))
        refuse_unable(study, prepared, engines)
        described = arm_records(study, engines)
        refuse_unable(study, prepared, engines)  # some know only now what their models can do
        arms, _ = with_templates(study, prepared, engines, described)
        tokens = warn_of_control_tokens(prepared, engines, arms)
        refuse_too_large(arms, available_memory())
        stack.enter_context(run.locked())
        if run.exists():
            manifest = run.read_manifest()
            refuse_changed(run, manifest, prepared, arms)
            refuse_changed_code(run, manifest, study)
            warn_of_changed_scorers(run, study)
            manifest = dataclasses.replace(manifest, arms=resumed(manifest.arms, arms))
        else:
            manifest = _begun(
                run, study, prepared, engines, arms, text=text, base=base, tokens=tokens
            )
        order = recorded_order(
            manifest, sum(map(len, prepared.items.values())), path=run.path / "manifest.json"
        )
        streams = [(task, arm) for task in prepared.tasks for arm in study.arms]
        writer = ResponseWriter(run, streams)
        stack.callback(writer.close)
        clock = clock or Clock()
        equipment = Equipment(
            engines,
            ModelPool(engines, together=order.together),
            writer,
            Watch(engines, clock, manifest.arms),
            listener,
            clock,
        )
        calls = planned_calls(order, prepared.ids, study)
        session = Session(study, prepared, calls, equipment)
        session.restore(run, streams)
        pending = session.reset_faults() if retry_faults else session.pending()
        if pending:
            if before_code is not None:
                before_code(study)
            _answer(session, equipment, pending, run, manifest, warm=order.together)
        elif writer.repairs:
            notes = (*manifest.notes, *writer.repairs)
            run.write_manifest(dataclasses.replace(manifest, notes=notes))
        faults = session.faulted
        return RunResult(
            folder=run.path,
            asked=session.asked,
            recorded=session.recorded,
            planned=len(calls),
            faulted=sum(faults.values()),
            repairs=tuple(writer.repairs),
            faults=faults,
            unanswered=session.unanswered,
        )


def _answer(
    session: Session,
    equipment: Equipment,
    pending: list[Call],
    run: RunFolder,
    manifest: Manifest,
    *,
    warm: bool,
) -> None:
    """Ask what is pending, with a record of the session before and after."""
    pool, clock, watch = equipment.pool, equipment.clock, equipment.watch
    record: dict[str, Any] = {"started_at": clock.stamp(), "ended_at": None, "asked": 0}
    opened = dataclasses.replace(
        manifest,
        sessions=(*manifest.sessions, record),
        notes=(*manifest.notes, *equipment.writer.repairs),
    )

    def close(changed: Sequence[str] = ()) -> None:
        record.update(
            ended_at=clock.stamp(),
            asked=session.asked,
            faults=session.faults,
            loads=dict(pool.loads),
            load_seconds=dict(pool.seconds),
        )
        arms = {
            arm: dataclasses.replace(one, template_changed=one.template_changed or arm in changed)
            for arm, one in watch.noted(opened.arms).items()
        }
        said = [note for note in (session.doubts, session.broken_off, *session.mended) if note]
        notes = (*opened.notes, *session.notes, *session.outages, *said)
        run.write_manifest(dataclasses.replace(opened, arms=arms, notes=notes))

    run.write_manifest(opened)
    try:
        left = {call.arm for call in pending}
        engines = {arm: engine for arm, engine in equipment.engines.items() if arm in left}
        if probed := probe_sampling(engines):
            record["sampling"] = {arm: dataclasses.asdict(one) for arm, one in probed.items()}
        looked = set[str]()
        for arm in engines if warm else ():
            pool.ready(arm)
            if watch.look(arm):  # those whose servers do not say what they serve
                looked.add(arm)
        if looked:
            run.write_manifest(dataclasses.replace(opened, arms=watch.noted(opened.arms)))
        if warm:
            session.warm_up(pending, asked={*probed, *looked})
        session.answer(pending)
        watch.finish()
    except BaseException:
        with contextlib.suppress(RunFolderError):  # what went wrong first says more
            close()
        raise
    close(changed_since(session.study, session.prepared, equipment.engines, opened.arms))
    for said in (session.doubts, *session.mended):
        if said is not None:
            warnings.warn(said, RecordWarning, stacklevel=4)


def _begun(
    run: RunFolder,
    study: Study,
    prepared: Prepared,
    engines: Mapping[str, Engine],
    arms: Mapping[str, ArmRecord],
    *,
    text: str,
    base: Path,
    tokens: Mapping[str, Mapping[str, Any]],
) -> Manifest:
    """Write what the run is about, and the order of its calls, before the first of them."""
    order = settle_order(study, prepared, engines, arms)
    run.write_study(text)
    for name, file in scorer_files(study).items():
        run.write_scorer(name, file.text)
    run.write_items(item for items in prepared.items.values() for item in items)
    manifest = Manifest(
        study={
            "name": study.study,
            "hash": study.hash,
            "seed": study.seed,
            "base": Path(os.path.relpath(base.resolve(), run.path.resolve())).as_posix(),
        },
        arms=arms,
        tasks={
            name: {
                "kind": task.kind,
                "workload": study.tasks[name].workload,
                "items": len(prepared.items[name]),
                **({"scorer": scorer} if (scorer := task.scorer_id()) else {}),
                "source": {
                    **prepared.provenance[name],
                    **({"control_tokens_of": tokens[name]} if name in tokens else {}),
                },
            }
            for name, task in prepared.tasks.items()
        },
        software=software(base),
        host=host(),
        design={**dataclasses.asdict(order), "slots": study.design.slots},
        code=[code.recorded() for code in code_in(study)],
    )
    run.write_manifest(manifest)
    return manifest


def _texts(text: str, prepared: Prepared) -> Iterator[str]:
    """Yield what the run folder begins with: parts of a key that are words there are no secret."""
    yield text
    for items in prepared.items.values():
        for item in items:
            yield from texts_of([item.content, item.gold, item.metadata])
