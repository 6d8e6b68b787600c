"""Aligned answers to a run folder: study, items, responses and manifest."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import quantrial
from quantrial.engines.artifact import Artifact
from quantrial.errors import RunFolderError
from quantrial.importers._quantization import quantization_of
from quantrial.importers._reference_items import SUBJECT, ScoreDifference, TaskAnswers
from quantrial.importers._reference_manifest import ArmFacts
from quantrial.importers._reference_rows import AnswerRow
from quantrial.records import Item, Manifest, Response, sha256_of
from quantrial.redaction import without_keys
from quantrial.runfolder import RunFolder, write_atomically
from quantrial.running.manifest import arm_record
from quantrial.strict_yaml import write_yaml

if TYPE_CHECKING:
    from quantrial.study import Study

_HEADER = """\
# Imported by `quantrial import reference` from answers that another program collected. The run can
# be analysed, decided on, reported and verified like one of your own; nothing is asked again.
"""


def study_text(
    settings: Mapping[str, Any],
    tasks: Mapping[str, TaskAnswers],
    models: Mapping[str, str],
    *,
    scoring: str,
    methods: str,
    resamples: int,
) -> str:
    """Write the study file of an imported run.

    Args:
        settings: the study's top-level values: name, seed, reference, margin.
        tasks: the aligned tasks.
        models: the model of each arm, in the study's order.
        scoring: the rule by which letters are read.
        methods: the set of statistics.
        resamples: bootstrap draws.
    """
    declared: dict[str, dict[str, Any]] = {}
    for task, answers in tasks.items():
        declared[task] = {
            "kind": answers.named.kind,
            "workload": answers.named.workload,
            "source": {"type": "imported", "layout": "reference"},
        }
        if answers.named.kind == "choice" and not answers.without_subject:
            declared[task] |= {"stratify": SUBJECT, "cluster": SUBJECT}
        declared[task]["scoring"] = scoring if answers.named.kind == "choice" else "spans_published"
    study = {
        **settings,
        "arms": {arm: {"engine": "imported", "model": model} for arm, model in models.items()},
        "tasks": declared,
        "analysis": {"methods": methods, "resamples": resamples},
    }
    return _HEADER + write_yaml(study)


def manifest_of(
    study: Study,
    tasks: Mapping[str, TaskAnswers],
    *,
    facts: Mapping[str, ArmFacts],
    differences: Mapping[str, Sequence[ScoreDifference]],
    experiment: Mapping[str, Any] | None,
    origin: str,
    notes: Sequence[str],
) -> Manifest:
    """Write down what is known of an imported run.

    `origin` is the name of the folder it was read from. The experiment's own manifest
    is kept whole under `study.imported`.
    """
    return Manifest(
        study={
            "name": study.study,
            "hash": study.hash,
            "seed": study.seed,
            "base": ".",
            **({} if experiment is None else {"imported": experiment}),
        },
        arms={arm: _arm(spec.model, arm, facts[arm]) for arm, spec in study.arms.items()},
        tasks={name: _task(answers, origin, differences[name]) for name, answers in tasks.items()},
        software={"quantrial": quantrial.__version__},
        host={},
        notes=tuple(notes),
    )


def _arm(model: str, arm: str, facts: ArmFacts) -> dict[str, Any]:
    artifact = Artifact(
        model=model,
        sha256=facts.sha256,
        bytes_on_disk=facts.bytes_on_disk,
        quantization=quantization_of(arm),
    )
    return arm_record("imported", artifact, {})


def _task(
    answers: TaskAnswers, origin: str, differences: Sequence[ScoreDifference]
) -> dict[str, Any]:
    files = answers.files.values()
    hashes = [item.content_sha256 for item in answers.items.values()]
    return {
        "kind": answers.named.kind,
        "workload": answers.named.workload,
        "items": len(answers.items),
        "source": {
            "type": "imported",
            "layout": "reference",
            "id": origin,
            "revision": None,
            "content_sha256": sha256_of([hashes, []]),
            "files": {file.path.name: file.sha256 for file in files},
            "rows": sum(len(file.rows) + len(file.superseded) for file in files),
            "duplicates": [
                [answers.items[row.example_id].id, f"{file.path.name}:{row.line}"]
                for _, file, row in answers.duplicates()
            ],
            "score_differences": [asdict(one) for one in differences],
            "available": len(answers.items),
        },
    }


def responses_of(
    study: Study, tasks: Mapping[str, TaskAnswers]
) -> dict[tuple[str, str], list[Response]]:
    """Make the responses of every task and arm, in item order.

    Every arm answers one item within one block, as in a run of one's own; the order in which the
    answers were really asked is not known.
    """
    found: dict[tuple[str, str], list[Response]] = {}
    block = 0
    for task, answers in tasks.items():
        for example, item in answers.items.items():
            for place, arm in enumerate(study.arms):
                file = answers.files.get(arm)
                row = None if file is None else file.rows.get(example)
                if row is not None:
                    at = (block * len(study.arms) + place, block)
                    response = _response(study.study, arm, item, row, at)
                    found.setdefault((task, arm), []).append(response)
            block += 1
    return found


def _response(study: str, arm: str, item: Item, row: AnswerRow, at: tuple[int, int]) -> Response:
    order, block = at
    return Response(
        study=study,
        task=item.task,
        arm=arm,
        item=item.id,
        replicate=0,
        attempt=1,
        order=order,
        block=block,
        status=row.status,
        error=None if row.error is None else without_keys(row.error),
        output=row.output,
        finish_reason=row.finish_reason,
        prompt_tokens=row.prompt_tokens,
        completion_tokens=row.completion_tokens,
        timing=row.timing,
        started_at=row.started_at,
        prompt_sha256=None if row.shown is None else sha256_of(row.shown),
        thought=row.thought,
    )


def write_run(
    folder: Path,
    text: str,
    items: Sequence[Item],
    responses: Mapping[tuple[str, str], Sequence[Response]],
    manifest: Manifest,
) -> None:
    """Write a whole run folder, or nothing: it is made beside its place and moved there at the end.

    Raises:
        RunFolderError: it cannot be written.
    """
    beside = folder.parent / f".{folder.name}.{secrets.token_hex(4)}"
    run = RunFolder(beside)
    try:
        run.write_study(text)
        run.write_items(items)
        for (task, arm), answers in responses.items():
            lines = b"".join(response.to_json() + b"\n" for response in answers)
            write_atomically(run.responses_path(task, arm), lines)
        run.write_manifest(manifest)
        beside.rename(folder)
    except OSError as exc:
        # the name of the folder being made means nothing to the reader
        cause = exc if exc.__cause__ is None else exc.__cause__
        why = getattr(cause, "strerror", None) or str(cause)
        raise RunFolderError(f"cannot be written ({why})", path=folder) from exc
    finally:
        shutil.rmtree(beside, ignore_errors=True)
