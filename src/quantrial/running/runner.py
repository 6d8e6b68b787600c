"""The only loop: ask, append the raw reply. It knows nothing of right and wrong."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quantrial.engines.base import Message, Reply, Request
from quantrial.errors import (
    ContextOverflowError,
    EngineError,
    EngineTimeoutError,
)
from quantrial.records import Manifest, Response, sha256_of
from quantrial.running.arms import arm_records, opened_engines
from quantrial.running.guard import refuse_changed, refuse_foreign, refuse_unconstrained
from quantrial.running.manifest import host, software
from quantrial.running.prepare import Prepared, prepare
from quantrial.running.progress import Listener, Progress
from quantrial.running.store import ResponseWriter, RunFolder, write_atomically

if TYPE_CHECKING:
    from quantrial.design.schedule import Call
    from quantrial.engines.base import Engine
    from quantrial.study import Study
    from quantrial.tasks import Prompt

_Key = tuple[str, str, str, int]

# An arm that fails this often in a row will go on failing; the study stops while little is lost.
BREAKER = 10


@dataclass(frozen=True, slots=True)
class RunResult:
    """What one session of a run did: calls asked now, recorded in all, and planned."""

    folder: Path
    asked: int
    recorded: int
    planned: int
    faulted: int
    repairs: tuple[str, ...]


def run_study(
    study: Study,
    *,
    text: str,
    base: Path,
    folder: Path,
    listener: Listener | None = None,
) -> RunResult:
    """Answer every scheduled call that is not recorded yet.

    Args:
        study: the study.
        text: the study file as it was written; frozen in the run folder.
        base: the folder that relative paths in the study start from.
        folder: the run folder; made when it is not there.
        listener: told of the progress after every call.

    Raises:
        RunChangedError: the study, the items or an artifact are not those of the run in `folder`.
        RunFolderError: the folder is in use, or cannot be written.
        DataError, ModelFileError, EngineError: as found before the first call.
    """
    run = RunFolder(folder)
    refuse_foreign(study, run)
    with contextlib.ExitStack() as stack:
        engines = stack.enter_context(opened_engines(study, base=base))
        prepared = prepare(study, base=base)
        refuse_unconstrained(prepared, engines)
        arms = arm_records(study, engines)
        stack.enter_context(run.locked())
        manifest = _settle(study, text=text, base=base, run=run, prepared=prepared, arms=arms)
        streams = [(task, arm) for task in prepared.tasks for arm in study.arms]
        writer = ResponseWriter(run, streams)
        stack.callback(writer.close)
        session = _Session(study, prepared, engines, writer, listener)
        session.recall(run, streams)
        return _answer(session, run, manifest)


def _answer(session: _Session, run: RunFolder, manifest: Manifest) -> RunResult:
    pending = session.pending()
    record: dict[str, Any] = {"started_at": _now(), "ended_at": None, "asked": 0}
    opened = dataclasses.replace(
        manifest,
        sessions=(*manifest.sessions, record),
        notes=(*manifest.notes, *session.writer.repairs),
    )
    if pending:
        run.write_manifest(opened)
        try:
            session.warm_up(pending)
            for call in pending:
                session.ask(call)
        finally:
            record |= {
                "ended_at": _now(),
                "asked": session.asked,
                "load_seconds": session.load_seconds,
            }
            run.write_manifest(opened)
    elif session.writer.repairs:
        run.write_manifest(dataclasses.replace(opened, sessions=manifest.sessions))
    return RunResult(
        folder=run.path,
        asked=session.asked,
        recorded=len(session.finished),
        planned=len(session.prepared.calls),
        faulted=sum(not ok for ok in session.finished.values()),
        repairs=tuple(session.writer.repairs),
    )


class _Session:
    """One process's share of a run: what is recorded, what is left, how fast it goes."""

    def __init__(
        self,
        study: Study,
        prepared: Prepared,
        engines: Mapping[str, Engine],
        writer: ResponseWriter,
        listener: Listener | None,
    ):
        self.study = study
        self.prepared = prepared
        self.engines = engines
        self.writer = writer
        self.listener = listener
        self.items = {
            (task, item.id): item for task, items in prepared.items.items() for item in items
        }
        self.finished: dict[_Key, bool] = {}  # key -> whether it was answered
        self.attempts: Counter[_Key] = Counter()
        self.asked = 0
        self.faults = 0
        self.in_a_row: Counter[str] = Counter()
        self.load_seconds: dict[str, float] = {}
        self.began = time.monotonic()
        self.total = Counter(call.arm for call in prepared.calls)
        self.done: Counter[str] = Counter()

    def recall(self, run: RunFolder, streams: list[tuple[str, str]]) -> None:
        """Take stock of what earlier sessions recorded."""
        for task, arm in streams:
            known = {item.id for item in self.prepared.items[task]}
            for response in run.read_responses(task, arm, known=known):
                key = (task, response.item, arm, response.replicate)
                self.attempts[key] = max(self.attempts[key], response.attempt)
                self._note(key, response.status)

    def _note(self, key: _Key, status: str) -> None:
        before = key in self.finished
        if status == "ok":
            self.finished[key] = True
        elif status == "context_overflow" or self.attempts[key] >= self.study.design.attempts:
            self.finished.setdefault(key, False)
        if key in self.finished and not before:
            self.done[key[2]] += 1

    def pending(self) -> list[Call]:
        """List the calls that are still to be asked, in their order."""
        return [
            call
            for call in self.prepared.calls
            if (call.task, call.item, call.arm, call.replicate) not in self.finished
        ]

    def warm_up(self, pending: list[Call]) -> None:
        """Load every arm that has calls left; it answers its first prompt once, unrecorded."""
        for name, engine in self.engines.items():
            first = next((call for call in pending if call.arm == name), None)
            if first is None:
                continue
            self._tell(f"loading {name}")
            self.load_seconds[name] = engine.start()
            with contextlib.suppress(EngineError):  # the recorded call will say what is wrong
                engine.ask(request_for(self._prompt(first), self.study, first.task))
        self.began = time.monotonic()

    def _prompt(self, call: Call) -> Prompt:
        return self.prepared.tasks[call.task].prompt(self.items[call.task, call.item])

    def ask(self, call: Call) -> None:
        """Ask one call until it is answered or its attempts are used up; record every attempt."""
        key = (call.task, call.item, call.arm, call.replicate)
        prompt = self._prompt(call)
        digest = sha256_of(prompt.canonical())
        request = request_for(prompt, self.study, call.task)
        while key not in self.finished:
            self.attempts[key] += 1
            started, clock = _now(), time.monotonic()
            reply, status, error, final = _outcome(self.engines[call.arm], request)
            timing = dataclasses.asdict(reply.timing)
            if timing["wall"] is None:
                timing["wall"] = time.monotonic() - clock
            self.writer.append(
                Response(
                    study=self.study.study,
                    task=call.task,
                    arm=call.arm,
                    item=call.item,
                    replicate=call.replicate,
                    attempt=self.attempts[key],
                    order=call.order,
                    block=call.block,
                    status=status,
                    error=error,
                    output=reply.output,
                    finish_reason=reply.finish_reason,
                    prompt_tokens=reply.prompt_tokens,
                    completion_tokens=reply.completion_tokens,
                    decoded_tokens=reply.decoded_tokens,
                    timing=timing,
                    started_at=started,
                    prompt_sha256=digest,
                )
            )
            if final and key not in self.finished:
                self.attempts[key] = max(self.attempts[key], self.study.design.attempts)
            self._note(key, status)
            self.faults += status != "ok"
            self._watch(call.arm, status, error)
        self.asked += 1
        self._tell("asking")

    def _watch(self, arm: str, status: str, error: str | None) -> None:
        # an overflow is the prompt's doing, and says nothing of the engine
        if status in ("ok", "context_overflow"):
            self.in_a_row[arm] = 0
            return
        self.in_a_row[arm] += 1
        if self.in_a_row[arm] >= BREAKER:
            raise EngineError(
                f"arm {arm!r} failed {BREAKER} times in a row, last with: {error}. The run stops "
                "here; what is recorded is kept, and the same command goes on once the cause is "
                "mended"
            )

    def _tell(self, phase: str) -> None:
        if self.listener is None:
            return
        seconds = time.monotonic() - self.began
        rate = self.asked / seconds if self.asked and seconds > 0 else None
        left = sum(self.total.values()) - sum(self.done.values())
        self.listener(
            Progress(
                phase=phase,
                done={arm: self.done[arm] for arm in self.study.arms},
                total={arm: self.total[arm] for arm in self.study.arms},
                rate=rate,
                seconds_left=left / rate if rate else None,
                faults=self.faults,
            )
        )


def request_for(prompt: Prompt, study: Study, task: str) -> Request:
    """Turn a task's prompt into the request that every arm gets, byte for byte."""
    return Request(
        messages=tuple(Message(role, content) for role, content in prompt.messages),
        text=prompt.text,
        max_tokens=prompt.max_tokens,
        stop=prompt.stop,
        grammar=prompt.grammar,
        schema=prompt.schema,
        seed=study.seed,
        timeout=study.tasks[task].timeout,
    )


def _outcome(engine: Engine, request: Request) -> tuple[Reply, str, str | None, bool]:
    """Ask once: the reply, the status, the error, and whether asking again could not help."""
    try:
        return engine.ask(request), "ok", None, True
    except ContextOverflowError as exc:
        return Reply(""), "context_overflow", str(exc), True
    except EngineTimeoutError as exc:
        return Reply(""), "timeout", str(exc), not exc.retryable
    except EngineError as exc:
        return Reply(""), "engine_error", str(exc), not exc.retryable
    except Exception as exc:  # an engine of a third party may raise anything; it is its fault
        said = f"the engine {engine.name!r} raised {type(exc).__name__}: {exc}"
        return Reply(""), "engine_error", said, True


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _settle(
    study: Study,
    *,
    text: str,
    base: Path,
    run: RunFolder,
    prepared: Prepared,
    arms: Mapping[str, Mapping[str, Any]],
) -> Manifest:
    """Write what the run is about, or check that it is still about the same."""
    if run.exists():
        manifest = run.read_manifest()
        refuse_changed(run, manifest, prepared, arms)
        return manifest
    write_atomically(run.study_path, text.encode())
    run.write_items(item for items in prepared.items.values() for item in items)
    manifest = Manifest(
        study={
            "name": study.study,
            "hash": study.hash,
            "seed": study.seed,
            "base": _relative(base, run.path),
        },
        arms=arms,
        tasks={
            name: {
                "kind": task.kind,
                "workload": study.tasks[name].workload,
                "items": len(prepared.items[name]),
                "source": dict(prepared.provenance[name]),
            }
            for name, task in prepared.tasks.items()
        },
        software=software(base),
        host=host(),
    )
    run.write_manifest(manifest)
    return manifest


def _relative(base: Path, folder: Path) -> str:
    return Path(os.path.relpath(base.resolve(), folder.resolve())).as_posix()
