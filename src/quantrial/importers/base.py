"""What every format of another program's answers yields, and the one writer of its run folder."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from quantrial._version import __version__
from quantrial.engines.artifact import Artifact
from quantrial.errors import RunFolderError
from quantrial.records import Item, Manifest, Response, sha256_of
from quantrial.registry import IMPORTERS
from quantrial.runfolder import RunFolder, write_atomically
from quantrial.running.provenance import arm_record
from quantrial.study import Study, parse_study


@dataclass(frozen=True, slots=True)
class Imported:
    """What the answers of another program amount to.

    Attributes:
        study: the text of the study file; its arms are of the engine `imported`, its sources of
            the type `imported`.
        items: of all tasks, in order.
        responses: of a task and an arm, in the order of the items.
        artifacts: what is known of each arm's model.
        origin: the name of what was read.
        sources: by task, what else is recorded of where its answers came from (`files`, `rows`).
        experiment: what the other program wrote of its own run; kept whole.
        notes: what deserves a look.
        duplicates: every row that a later one replaces.
        score_differences: recorded scores that are not what scoring the outputs gives.
        origin_files: what the run folder keeps a copy of, by name.
    """

    study: str
    items: Sequence[Item]
    responses: Mapping[tuple[str, str], Sequence[Response]]
    artifacts: Mapping[str, Artifact]
    origin: str
    sources: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    experiment: Mapping[str, Any] | None = None
    notes: tuple[str, ...] = ()
    duplicates: tuple[str, ...] = ()
    score_differences: tuple[Any, ...] = ()
    origin_files: Mapping[str, bytes] = field(default_factory=dict)


LogPaths = Mapping[str, Path] | Sequence[Path]
"""Logs by the names of their arms; or without names, where the logs say what the arms are."""


@dataclass(frozen=True, slots=True)
class Recognised:
    """Why a path looks like logs of a format; `recognises` beside a format's reader returns it.

    Attributes:
        why: what was seen, to stand after the path: "holds samples_toy.jsonl".
        arms: the arms that the path holds, where it says so; of one arm, its name.
        general: most files of this kind fit, so any format that fits beside it goes before it.
    """

    why: str
    arms: tuple[str, ...] = ()
    general: bool = False


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What was imported. `arms` has the reference first; `duplicates` names every replaced row."""

    folder: Path
    tasks: tuple[str, ...]
    arms: tuple[str, ...]
    reference: str
    responses: int
    duplicates: tuple[str, ...]
    score_differences: tuple[Any, ...]
    notes: tuple[str, ...]


def import_answers(
    form: str,
    path: Path | LogPaths,
    folder: Path,
    *,
    beside: Sequence[tuple[str, Path]] = (),
    **options: Any,
) -> ImportReport:
    """Read what another program answered, and write it as a run folder.

    Args:
        form: the name of an importer: an entry point of the group `quantrial.importers`, called as
            `read(path, **options)`, that returns an `Imported`.
        path: what to read; of logs, what to read of each arm, or files that hold several.
        folder: the run folder to make; must not exist yet. A failed import leaves none.
        beside: benchmarks of arms, by the arm's name: evidence beside the verdict, in notes.
        options: the importer's own.

    Raises:
        StudyError: there is no such importer, or an option is wrong.
        DataError: what was read is not what it should be.
        RunFolderError: the folder exists already or cannot be written.
    """
    read: Callable[..., Imported] = IMPORTERS.load(form)
    if os.path.lexists(folder):
        raise RunFolderError("exists already; name a folder that does not", path=folder)
    found = read(path, **options)
    study = parse_study(found.study)
    if beside:
        from quantrial.importers.beside import notes_beside

        evidence = notes_beside(beside, tuple(study.arms), study.reference)
        found = replace(found, notes=(*found.notes, *evidence))
    _write_run(folder, found, _manifest(study, found))
    return ImportReport(
        folder=folder,
        tasks=tuple(study.tasks),
        arms=tuple(study.arms),
        reference=study.reference,
        responses=sum(map(len, found.responses.values())),
        duplicates=found.duplicates,
        score_differences=found.score_differences,
        notes=found.notes,
    )


def _manifest(study: Study, found: Imported) -> Manifest:
    """Write down what is known of the run; the experiment's own record is kept whole."""
    tasks = {}
    for name, spec in study.tasks.items():
        hashes = [item.content_sha256 for item in found.items if item.task == name]
        source = spec.source.model_dump(mode="json")
        tasks[name] = {
            "kind": spec.kind,
            "workload": spec.workload,
            "items": len(hashes),
            "source": {
                **source,
                "id": found.origin,
                "revision": None,
                "content_sha256": sha256_of([hashes, []]),
                **found.sources.get(name, {}),
                "available": len(hashes),
            },
        }
    return Manifest(
        study={
            "name": study.study,
            "hash": study.hash,
            "seed": study.seed,
            "base": ".",
            **({} if found.experiment is None else {"imported": found.experiment}),
        },
        arms={
            name: arm_record("imported", found.artifacts.get(name, Artifact(model=arm.model)), {})
            for name, arm in study.arms.items()
        },
        tasks=tasks,
        software={"quantrial": __version__},
        host={},
        notes=found.notes,
    )


def _write_run(folder: Path, found: Imported, manifest: Manifest) -> None:
    """Write a whole run folder, or nothing: it is made beside its place and moved there at the end.

    Raises:
        RunFolderError: it cannot be written.
    """
    beside = folder.parent / f".{folder.name}.{secrets.token_hex(4)}"
    run = RunFolder(beside)
    try:
        run.write_study(found.study)
        run.write_items(found.items)
        for (task, arm), answers in found.responses.items():
            lines = b"".join(response.to_json() + b"\n" for response in answers)
            write_atomically(run.responses_path(task, arm), lines)
        for name, data in found.origin_files.items():
            run.write_origin(name, data)
        run.write_manifest(manifest)
        beside.rename(folder)
    except OSError as exc:
        # the name of the folder being made means nothing to the reader
        cause = exc if exc.__cause__ is None else exc.__cause__
        why = getattr(cause, "strerror", None) or str(cause)
        raise RunFolderError(f"cannot be written ({why})", path=folder) from exc
    finally:
        shutil.rmtree(beside, ignore_errors=True)
