"""`quantrial label`: answers that changed, judged by a person who does not see whose they are.

The sheet has the two answers to each item in an order that is drawn, and nothing that names an arm.
Which answer is whose follows from the run itself, so that no key lies beside the sheet.
"""

from __future__ import annotations

import csv
import hashlib
import io
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import orjson

from quantrial.commands.derived import load_run_study, score_run
from quantrial.errors import DataError, StudyError
from quantrial.importers import ImportReport, import_answers
from quantrial.importers.scores import ScoreOptions
from quantrial.importers.table_files import records_of
from quantrial.registry import hint_of
from quantrial.reporting.exports import quoted_off
from quantrial.runfolder import RunFolder, write_atomically

if TYPE_CHECKING:
    from quantrial.analysis.outcomes import TaskOutcomes
    from quantrial.records import Item
    from quantrial.study import Study
    from quantrial.tasks import Task

COLUMNS = ("row", "task", "prompt", "answer_1", "answer_2", "better")
_SAME = ("same", "tie", "equal", "=", "0")
_LONGEST = 30_000  # characters; a spreadsheet's cell holds 32,767


@dataclass(frozen=True, slots=True)
class Sheet:
    """The sheet that was written: where, and how many of the answers that changed stand in it."""

    path: Path
    arm: str
    rows: int
    changed: int
    items: int


@dataclass(frozen=True, slots=True)
class _Pair:
    """Two answers to one item; `row` names them, `swapped`: the candidate's comes first."""

    task: str
    item: str
    row: str
    swapped: bool
    prompt: str
    answers: tuple[str, str]


def write_sheet(
    run: Path | str, out: Path | str, *, arm: str | None = None, most: int | None = None
) -> Sheet:
    """Write the answers of an arm that changed against the reference's, for a person to judge.

    Args:
        run: the run folder.
        out: the file of CSV to write; what is there already is not replaced.
        arm: whose answers; the study's only candidate by default.
        most: how many of them at most, drawn at random; all by default.

    Raises:
        StudyError: there is no such arm, or it has to be named.
        DataError: the file is there already.
    """
    path = Path(out)
    if path.exists():
        raise DataError("is there already; labels in it would be lost. Name another", path=path)
    study, pairs, items = _changed(Path(run), arm)
    chosen = pairs[:most]
    written = io.StringIO()
    writer = csv.writer(written, lineterminator="\n")
    writer.writerow(COLUMNS)
    for pair in chosen:
        first, second = pair.answers[::-1] if pair.swapped else pair.answers
        cells = (pair.row, pair.task, pair.prompt, first, second, "")
        writer.writerow([quoted_off(cell[:_LONGEST]) for cell in cells])
    write_atomically(path, written.getvalue().encode("utf-8", "replace"))
    return Sheet(path, _candidate(study, arm), len(chosen), len(pairs), items)


def read_sheet(
    run: Path | str,
    sheet: Path | str,
    out: Path | str,
    *,
    by: str,
    arm: str | None = None,
    margin: str | float = 0.01,
) -> ImportReport:
    """Read the labels back as a run of recorded scores, `preferred`: 1, 0, or a half of a tie.

    Of an item whose answers say the same both arms have a half. What was changed and not labelled
    has no score, and counts as missing.

    Args:
        run: the run folder that the sheet was written of.
        sheet: the file, with `1`, `2` or `same` under `better`.
        out: the run folder to make.
        by: who gave the labels.
        arm: as it was given for the sheet.
        margin: the largest loss of preference that counts as the same.

    Raises:
        DataError: a row is none of this run's, stands there twice, or says something else.
    """
    study, pairs, _ = _changed(Path(run), arm)
    said = _labels(Path(sheet), {pair.row: pair for pair in pairs})
    if not said:
        raise DataError("holds no label: write 1, 2 or same under `better`", path=Path(sheet))
    changed = {(pair.task, pair.item): pair for pair in pairs}
    candidate = _candidate(study, arm)
    lines = []
    for task, items in RunFolder(Path(run)).read_items().items():
        for item in items:
            pair = changed.get((task, item.id))
            value: float | None = 0.5 if pair is None else said.get(pair.row)
            for name in (study.reference, candidate):
                own = None if value is None else value if name == candidate else 1.0 - value
                lines.append({"id": item.id, "arm": name, "task": task, "preferred": own})
    asked = ScoreOptions(
        reference=study.reference, margin=margin, scores=("preferred",), scored_by=by
    )
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder) / "labels.jsonl"
        write_atomically(table, b"".join(orjson.dumps(line) + b"\n" for line in lines))
        return import_answers("scores", table, Path(out), options=asked)


def _labels(path: Path, pairs: Mapping[str, _Pair]) -> dict[str, float]:
    """Return what the candidate's answer is worth, by row."""
    found: dict[str, float] = {}
    for where, record in records_of(path):
        if "row" not in record or "better" not in record:
            raise where.error("needed are the columns `row` and `better` of a sheet")
        row, better = str(record["row"]).strip(), str(record["better"] or "").strip().casefold()
        if row not in pairs:
            raise where.error(f"the row {row!r:.40} is none of this run and arm")
        if row in found:
            raise where.error(f"the row {row!r:.40} stands there twice")
        if not better:
            continue
        if better in _SAME:
            found[row] = 0.5
        elif better.removesuffix(".0") in ("1", "2"):
            found[row] = float((better[0] == "1") == pairs[row].swapped)
        else:
            raise where.error(f"`better` is {better!r:.40}; needed is 1, 2 or same, or nothing")
    return found


def _candidate(study: Study, arm: str | None) -> str:
    others = [name for name in study.arms if name != study.reference]
    if arm is None:
        if len(others) > 1:
            raise StudyError(f"there are several: name one of {', '.join(others)}", key="--arm")
        return others[0]
    if arm not in others:
        raise StudyError(f"no candidate {arm!r}; {hint_of(arm, others, 'there is: ')}", key="--arm")
    return arm


def _changed(run: Path, arm: str | None) -> tuple[Study, list[_Pair], int]:
    """Return the study, the pairs of answers that differ in what they say, and all that there are.

    In an order that is drawn from the study: the first ones are a sample of all.
    """
    study, _, _ = load_run_study(RunFolder(run))
    candidate, pairs, items = _candidate(study, arm), list[_Pair](), 0
    for task, scored in score_run(run).items():
        for pair, turned in _pairs(study, task, scored, candidate):
            items += 1
            pairs += [pair] if turned else []
    return study, sorted(pairs, key=lambda pair: pair.row), items


def _pairs(
    study: Study, task: str, scored: TaskOutcomes, candidate: str
) -> Iterator[tuple[_Pair, bool]]:
    arms = (study.reference, candidate)
    answers = [scored.answers[arm] for arm in arms]
    outcomes = [scored.outcomes[arm] for arm in arms]
    for item, *said, own, other in zip(scored.items, *answers, *outcomes, strict=True):
        one, two = said
        if one is None or two is None or own is None or other is None:
            continue
        named = f"{study.hash}\n{study.seed}\nlabel\n{task}\n{item.id}\n{candidate}"
        digest = hashlib.sha256(named.encode("utf-8", "surrogatepass")).hexdigest()
        if scored.task.has_gold:
            turned = scored.task.is_right(own) != scored.task.is_right(other)
        else:  # the outcome says whether it is what the reference said
            turned = not scored.task.is_right(other)
        prompt = _shown(scored.task, item)
        swapped = int(digest[-1], 16) % 2 == 1
        yield _Pair(task, item.id, digest[:12], swapped, prompt, (one.text, two.text)), turned


def _shown(task: Task, item: Item) -> str:
    try:
        prompt = task.prompt(item)
    except NotImplementedError:  # what another program asked is not known
        return ""
    said = (content for _, content in prompt.messages)
    return prompt.text if prompt.text is not None else "\n\n".join(said)
