"""A committed baseline: the reference's answers of a run, or only their outcomes, as small files.

    baseline.json    which items, prompts and weights, and the hash of each file
    TASK.jsonl       a line an answer, sorted by item: what changes shows in a diff

Nothing in it depends on when or where it was saved: equal answers give equal bytes.
"""

from __future__ import annotations

import math
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import orjson

from quantrial import paths
from quantrial.errors import RecordError, RunFolderError
from quantrial.records import Response, canonical_json, response_from_json, sha256_of
from quantrial.runfolder import RunSnapshot, content_sha256, encode_document, write_atomically
from quantrial.strict_json import parse_json
from quantrial.words import plural, short_hash

if TYPE_CHECKING:
    from quantrial.analysis import TaskOutcomes
    from quantrial.records import ArmRecord, Item
    from quantrial.study import Study
    from quantrial.tasks import Outcome

SCHEMA = "quantrial.baseline/1"
FILE = "baseline.json"
_FACTS = ("engine", "model", "quantization", "sha256", "template_sha256", "options", "versions")
# of an answer, what tells what it says; never when, where or how fast it came
_KEPT = (
    *("item", "replicate", "status", "error", "output", "finish_reason", "prompt_tokens"),
    *("completion_tokens", "prompt_sha256", "decoded_tokens", "logprobs", "final", "thought"),
    *("tool_calls", "scores", "scored_by", "at_limit"),
)
_UNSTATED: Mapping[str, Any] = {
    **dict.fromkeys(("error", "finish_reason", "prompt_tokens", "completion_tokens")),
    **{"status": "ok", "output": "", "attempt": 1, "block": 0, "timing": {}, "started_at": ""},
    **{"replicate": 0, "schema": "quantrial.response/2"},
}


class _TaskFacts(msgspec.Struct, forbid_unknown_fields=True):
    items: int
    items_sha256: str
    scoring_sha256: str
    file_sha256: str


class _Facts(msgspec.Struct, forbid_unknown_fields=True):
    schema: str
    study: str
    reference: str
    outcomes_only: bool
    arm: dict[str, Any]
    tasks: dict[str, _TaskFacts]


@dataclass(frozen=True, slots=True)
class Baseline:
    """What was read of a baseline.

    Attributes:
        lines: by task, a record an answer: fields of a response, or `outcome` in place of its text.
    """

    path: Path
    reference: str
    outcomes_only: bool
    arm: Mapping[str, Any]
    tasks: Mapping[str, _TaskFacts]
    lines: Mapping[str, Sequence[Mapping[str, Any]]] = field(repr=False)


def save(
    out: Path, run: RunSnapshot, study: Study, outcomes: Mapping[str, TaskOutcomes] | None
) -> tuple[Path, ...]:
    """Write the reference's answers of a run as a baseline.

    Args:
        out: the folder; a baseline that is there already is replaced.
        run: the run folder.
        study: its study.
        outcomes: what scoring gave, to keep that and no text; None to keep the answers.

    Returns:
        The files that were written.

    Raises:
        RunFolderError: the folder holds something else, or the reference answered nothing.
        RecordError: outcomes alone do not tell, as of a task without gold.
    """
    if paths.is_there(out) and not paths.is_folder(out):
        raise RunFolderError("is a file; a folder for the baseline is needed", path=out)
    if paths.is_folder(out) and not paths.is_file(out / FILE) and any(out.iterdir()):
        raise RunFolderError("holds other files; give a new or empty folder", path=out)
    items, written, tasks = run.read_items(), {}, {}
    for name in study.tasks:
        known = {one.id for one in items.get(name, ())}
        answers = run.read_responses(name, study.reference, known=known)
        if outcomes is None:
            rows = list(_answers(answers))
        elif not outcomes[name].task.has_gold:
            raise RecordError(f"{name} has no gold, so outcomes alone tell nothing; keep answers")
        else:
            rows = list(_outcomes(outcomes[name], study.reference, answers))
        if not any(row.get("status", "ok") == "ok" for row in rows):
            raise RunFolderError(f"{study.reference} answered no item of {name}", path=run.path)
        rows.sort(key=lambda row: (row["item"], row.get("replicate", 0)))
        data = b"".join(canonical_json(row) + b"\n" for row in rows)
        written[f"{name}.jsonl"] = data
        tasks[name] = _TaskFacts(
            len(known), _items_hash(items.get(name, ())), _scoring_hash(study, run, name),
            content_sha256(data),
        )  # fmt: skip
    arm = run.read_manifest().arms[study.reference]
    facts = _Facts(SCHEMA, study.study, study.reference, outcomes is not None, _known(arm), tasks)
    document = encode_document(msgspec.to_builtins(facts, order="sorted"))
    paths.refuse_link(out)
    for name, data in {**written, FILE: document}.items():
        paths.refuse_link(out / name)
        write_atomically(out / name, data)
    return tuple(out / name for name in (FILE, *written))


def _answers(answers: Iterable[Response]) -> Iterator[dict[str, Any]]:
    """Yield the last answer to each call, or its last fault; fields that say nothing left out."""
    last: dict[tuple[str, int], Response] = {}
    for one in answers:
        before = last.get((one.item, one.replicate))
        if before is None or one.status == "ok" or before.status != "ok":
            last[one.item, one.replicate] = one
    for one in last.values():
        record = {name: getattr(one, name) for name in _KEPT}
        usual = (None, False)
        yield {k: v for k, v in record.items() if v not in usual and _UNSTATED.get(k, "") != v} | {
            "item": one.item
        }


def _outcomes(
    scored: TaskOutcomes, reference: str, answers: Iterable[Response]
) -> Iterator[dict[str, Any]]:
    prompts = {one.item: one.prompt_sha256 for one in answers if one.status == "ok"}
    for item, outcome in zip(scored.items, scored.outcomes[reference], strict=True):
        row: dict[str, Any] = {"item": item.id}
        if outcome is None:
            row["status"] = "engine_error"
        else:
            row["outcome"] = {"parsed": outcome.parsed, "values": dict(outcome.values)}
        if prompts.get(item.id) is not None:
            row["prompt_sha256"] = prompts[item.id]
        yield row


def _items_hash(items: Iterable[Item]) -> str:
    return sha256_of(sorted((one.id, one.content_sha256) for one in items))


def _scoring_hash(study: Study, run: RunSnapshot, task: str) -> str:
    """Hash how a task is asked and scored; where its items come from is no part of it."""
    part = {k: v for k, v in study.canonical()["tasks"][task].items() if k != "source"}
    code = {n: s for n, s in run.hashes().items() if n.startswith("scorers/")}
    return sha256_of([part, code])


def _known(arm: ArmRecord) -> dict[str, Any]:
    return {name: arm[name] for name in _FACTS if arm.get(name) not in (None, {}, "")}


def load(path: Path) -> Baseline:
    """Read a baseline, whoever wrote it; each file is held against its recorded hash.

    Raises:
        RunFolderError: there is none.
        RecordError: a file was edited, is malformed, or of another version; file and line.
    """
    if not paths.is_file(path / FILE):
        raise RunFolderError(
            f"no baseline: {FILE} is missing; `quantrial baseline save RUN -o DIR` makes one",
            path=path,
        )
    record = parse_json(_read(path / FILE), path=path / FILE)
    if not isinstance(record, dict) or record.get("schema") != SCHEMA:
        raise RecordError(f"is no {SCHEMA!r}, which this version reads", path=path / FILE)
    try:
        facts = msgspec.convert(record, _Facts)
    except msgspec.ValidationError as exc:
        raise RecordError(f"{exc}: the file was edited", path=path / FILE) from exc
    lines = {name: _lines(path, name, facts) for name in facts.tasks}
    return Baseline(path, facts.reference, facts.outcomes_only, facts.arm, facts.tasks, lines)


def _lines(path: Path, task: str, facts: _Facts) -> list[Mapping[str, Any]]:
    if paths.parts_within(task) != (task,):
        raise RecordError(f"{task!r:.60} is no name of a task", path=path / FILE)
    file = path / f"{task}.jsonl"
    data = _read(file)
    if content_sha256(data) != facts.tasks[task].file_sha256:
        raise RecordError(
            f"is not the file whose hash {FILE} holds: it was edited; save the baseline again",
            path=file,
        )
    found: list[Mapping[str, Any]] = []
    seen = set()
    for number, line in enumerate(data.splitlines(), 1):
        row = parse_json(line, path=file, line=number)
        if not isinstance(row, dict) or not isinstance(row.get("item"), str):
            raise RecordError("expected an object with `item`", path=file, line=number)
        if strange := row.keys() - {*_KEPT, *(["outcome"] if facts.outcomes_only else [])}:
            raise RecordError(f"unknown field {min(strange)!r:.60}", path=file, line=number)
        whole = {"study": facts.study, "task": task, "arm": facts.reference, "order": number - 1}
        rest = {name: value for name, value in row.items() if name != "outcome"}
        # read as a line of a run folder is: types, numbers and states are checked there
        record = {**_UNSTATED, **whole, **rest}
        response = response_from_json(orjson.dumps(record), path=file, line=number)
        if (response.item, response.replicate) in seen:
            raise RecordError(f"item {response.item!r:.60} occurs twice", path=file, line=number)
        seen.add((response.item, response.replicate))
        found.append({"response": response, "outcome": row.get("outcome"), "line": number})
    return found


def _read(path: Path) -> bytes:
    try:
        return paths.read_bytes(path)
    except OSError as exc:
        raise RunFolderError(f"cannot be read ({exc.strerror})", path=path) from exc


class BaselineRun(RunSnapshot):
    """A run in which the reference's answers are those of a baseline."""

    def __init__(self, path: Path, baseline: Baseline, samples: Mapping[str, int]):
        super().__init__(path)
        self.baseline = baseline
        self._samples = samples

    def read_responses(
        self, task: str, arm: str, *, known: Container[str] | None = None
    ) -> list[Response]:
        """Read responses, as `RunFolder.read_responses`; of the reference the baseline's."""
        if arm != self.baseline.reference:
            return super().read_responses(task, arm, known=known)
        found = [row["response"] for row in self.baseline.lines[task]]
        if not self.baseline.outcomes_only:
            return found
        return [replace(one, replicate=k) for one in found for k in range(self._samples[task])]


def refuse_other(run: RunSnapshot, study: Study, baseline: Baseline) -> tuple[str, ...]:
    """Make sure that a run can be held against a baseline.

    Returns:
        What deserves a look, and what could not be checked: sentences.

    Raises:
        RecordError: it is of another reference, other items, prompts, weights, or another scorer.
    """

    def refuse(
        what: str, then: str = "`quantrial baseline save RUN -o DIR` makes a new one"
    ) -> None:
        raise RecordError(f"{what}; {then}", path=baseline.path)

    if baseline.reference != study.reference:
        refuse(f"its reference is {baseline.reference!r:.60}, the run's is {study.reference!r}")
    if other := sorted(baseline.tasks.keys() ^ study.tasks.keys()):
        refuse(f"task {other[0]!r:.60} is in only one of baseline and run")
    items = run.read_items()
    for name, facts in baseline.tasks.items():
        own = items.get(name, [])
        known = {one.id for one in own}
        if facts.items_sha256 != _items_hash(own):
            refuse(f"it is of other items of {name} ({facts.items:,}; the run has {len(own):,})")
        for row in baseline.lines[name]:
            if row["response"].item not in known:
                said = f"holds item {row['response'].item!r:.60}, which the run does not have"
                raise RecordError(said, path=baseline.path / f"{name}.jsonl", line=row["line"])
        if baseline.outcomes_only and facts.scoring_sha256 != _scoring_hash(study, run, name):
            refuse(f"{name} is asked or scored otherwise now, and outcomes cannot be scored again")
        _refuse_other_prompts(run, study, baseline, name, refuse)
    arm = _known(run.read_manifest().arms[study.reference])
    then = baseline.arm
    notes = [
        "The reference's answers are the baseline's: they were not asked beside the others. "
        "`quantrial baseline save RUN -o DIR` writes another one, to review and commit."
    ]
    for key, what in (("sha256", "weights"), ("template_sha256", "chat template")):
        if key not in arm or key not in then:
            notes.append(f"Whether the reference has the same {what} is not known.")
        elif arm[key] != then[key]:
            hashes = f"{short_hash(str(then[key]))}, now {short_hash(str(arm[key]))}"
            refuse(f"{study.reference} has other {what} than in the baseline ({hashes})")
    for key, what in (("versions", "engine"), ("options", "options of the engine")):
        if arm.get(key) != then.get(key):
            notes.append(f"The baseline was made with another {what}: {_changed(then, arm, key)}.")
    return tuple(notes)


def _changed(then: Mapping[str, Any], now: Mapping[str, Any], key: str) -> str:
    before, after = then.get(key) or {}, now.get(key) or {}
    if not isinstance(before, dict) or not isinstance(after, dict):
        return "not told alike"
    names = [one for one in {**before, **after} if before.get(one) != after.get(one)]
    return ", ".join(f"{n} {before.get(n)!s:.60} then, {after.get(n)!s:.60} now" for n in names[:3])


def _refuse_other_prompts(
    run: RunSnapshot, study: Study, baseline: Baseline, task: str, refuse: Any
) -> None:
    """Refuse where the reference, or the arms where it was not asked, got other prompts now."""
    then = {
        row["response"].item: row["response"].prompt_sha256
        for row in baseline.lines[task]
        if row["response"].replicate == 0 and row["response"].status == "ok"
    }
    for arm in (study.reference, *study.arms):
        answers = run.read_responses(task, arm)
        now = {one.item: one.prompt_sha256 for one in answers if one.replicate == 0}
        both = [one for one, digest in now.items() if digest and then.get(one)]
        other = [one for one in both if now[one] != then[one]]
        if other:
            refuse(
                f"{len(other):,} of {plural(len(both), 'prompt')} of {task} differ from the "
                f"baseline's, first that of item {min(other)}"
            )
        if both:
            return


def with_outcomes(scored: Mapping[str, TaskOutcomes], baseline: Baseline) -> dict[str, Any]:
    """Put a baseline's outcomes in place of what scoring gave the reference.

    Raises:
        RecordError: an outcome is malformed, or lacks a number that an endpoint is made of.
    """
    from quantrial.analysis.outcomes import with_outcomes_of

    found = {}
    for name, one in scored.items():
        path = baseline.path / f"{name}.jsonl"
        known = {r["response"].item: _outcome(r, one, path) for r in baseline.lines[name]}
        row = tuple(known.get(item.id) for item in one.items)
        found[name] = with_outcomes_of(one, baseline.reference, row)
    return found


def _outcome(row: Mapping[str, Any], scored: TaskOutcomes, path: Path) -> Outcome | None:
    from quantrial.tasks import Outcome

    record = row["outcome"]
    if row["response"].status != "ok":
        return None
    match record:
        case {"parsed": bool(parsed), "values": dict(values), **rest} if not rest:
            pass
        case _:
            raise RecordError("`outcome` needs `parsed` and `values`", path=path, line=row["line"])
    needed = {n for e in scored.task.endpoints for n in (*e.numerator, *e.denominator)}
    for name in needed | values.keys():
        value = values.get(name)
        if (
            isinstance(value, bool)
            or not isinstance(value, int | float)
            or not math.isfinite(value)
        ):
            said = f"outcome.values.{name!s:.60} is {value!r:.40}; a number is needed"
            raise RecordError(said, path=path, line=row["line"])
    return Outcome({name: float(value) for name, value in values.items()}, parsed)
