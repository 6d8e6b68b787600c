"""What a summary is derived from, checked by itself: hashes, the order of calls, speed prompts."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quantrial.commands.drifts import Drift, short
from quantrial.errors import RecordError
from quantrial.paths import is_file, is_there
from quantrial.runfolder import (
    ATTRIBUTES,
    DECISION,
    ITEMS,
    LOCK,
    LOGS,
    MANIFEST,
    RESPONSES,
    SPEED,
    STUDY,
    SUMMARY,
    RunFolder,
    RunSnapshot,
)
from quantrial.running.ordering import planned_calls, recorded_order
from quantrial.running.speed_prompts import Prompted, prompt_hash, speed_request

if TYPE_CHECKING:
    from quantrial.study import Study

_NEEDED = (STUDY, ITEMS, MANIFEST)
_NAMED = 5  # files that a note lists


def require_run(run: RunFolder) -> None:
    """Make sure that this is a run folder, whole.

    Raises:
        RunFolderError: it is none.
        RecordError: it is one, and a file that every run has is missing.
    """
    begun = [n for n in (MANIFEST, SUMMARY, DECISION, RESPONSES) if is_there(run.path / n)]
    missing = [name for name in _NEEDED if not is_file(run.path / name)]
    if begun and missing:
        raise RecordError(
            "missing; every run has it from its beginning on, so it was removed",
            path=run.path / missing[0],
        )
    run.require()


def input_drifts(run: RunSnapshot, recorded: Any) -> Iterator[Drift]:
    """Compare the files that results derive from with their hashes in the summary."""
    if not isinstance(recorded, Mapping):
        yield Drift(SUMMARY, "inputs", recorded, "hashes of the files it derives from are needed")
        return
    there = run.hashes()
    for name in sorted(recorded.keys() | there.keys()):
        if name not in there:
            yield Drift(name, "file", "missing", "it was there when the run was analysed")
        elif recorded.get(name) != there[name]:
            yield Drift(
                name,
                "sha256",
                recorded.get(name),
                f"the file now has {short(there[name])}: it changed after the analysis",
            )


def order_drifts(run: RunFolder, study: Study) -> Iterator[Drift]:
    """Check every response against the schedule that the study and the items give."""
    items = run.read_items()
    imported = any(spec.source.type == "imported" for spec in study.tasks.values())
    if imported:
        return
    ids = {task: [item.id for item in items.get(task, [])] for task in study.tasks}
    order = recorded_order(
        run.read_manifest(), sum(map(len, ids.values())), path=run.path / MANIFEST
    )
    planned = {
        (call.task, call.item, call.arm, call.replicate): (call.order, call.block)
        for call in planned_calls(order, ids, study)
    }
    prompts: dict[tuple[str, str], tuple[str | None, str]] = {}
    for task in study.tasks:
        for arm in study.arms:
            name = run.responses_path(task, arm).relative_to(run.path).as_posix()
            for response in run.read_responses(task, arm, known=set(ids[task])):
                key = (task, response.item, arm, response.replicate)
                place = f"item {response.item}, attempt {response.attempt}"
                at = (response.order, response.block)
                if planned.get(key) != at:
                    yield Drift(
                        name, f"{place}: order and block", at, f"planned {planned.get(key)}"
                    )
                if response.study != study.study:
                    yield Drift(name, f"{place}: study", response.study, f"is {study.study!r}")
                seen, first = prompts.setdefault(
                    (task, response.item), (response.prompt_sha256, arm)
                )
                if seen != response.prompt_sha256:
                    yield Drift(
                        name,
                        f"{place}: prompt_sha256",
                        response.prompt_sha256,
                        f"arm {first} saw {short(seen)}",
                    )


def speed_drifts(run: RunFolder, study: Study) -> Iterator[Drift]:
    """Check that every arm was shown the prompts that the study gives."""
    for number, record in enumerate(run.read_speed(arms=study.timed_arms), start=1):
        if record.kind != "measured":
            continue
        what = Prompted(record.shape, record.block, record.form)
        request = speed_request(what, (), seed=study.seed, timeout=1.0)
        expected = prompt_hash(request)
        if record.prompt_sha256 != expected:
            place = f"call {number}, block {record.block} of arm {record.arm}: prompt_sha256"
            yield Drift(SPEED, place, record.prompt_sha256, f"the study gives {short(expected)}")


def unknown_files(run: RunFolder, made: Collection[str]) -> Iterator[str]:
    """Say which files of the folder belong to nobody.

    Args:
        run: the run folder.
        made: the files of the report, by their path in the folder.
    """
    known = {*_NEEDED, SPEED, SUMMARY, DECISION, ATTRIBUTES, LOCK, LOGS, RESPONSES, ".git", *made}
    known |= {Path(name).parts[0] for name in made}
    found = [path for path in run.path.iterdir() if path.name not in known]
    for folder in sorted({str(Path(name).parent) for name in made} - {"."}):
        if (run.path / folder).is_dir():
            found += [
                path
                for path in (run.path / folder).iterdir()
                if path.relative_to(run.path).as_posix() not in made
            ]
    responses = set(run.response_files())
    if (run.path / RESPONSES).is_dir():
        found += [path for path in (run.path / RESPONSES).iterdir() if path not in responses]
    if not found:
        return
    names = sorted(path.relative_to(run.path).as_posix() for path in found)
    listed = ", ".join(names[:_NAMED])
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    belongs = "belongs" if len(names) == 1 else "belong"
    yield f"{listed}{more} {belongs} to no part of this run, and nothing was derived from it"
