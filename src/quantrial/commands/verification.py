"""Derive everything again from the responses, and name every place that differs."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import quantrial
from quantrial.commands.derived import derive_summary, score_run
from quantrial.decision import Constraints, constraints_of, decide_from
from quantrial.running.ordering import planned_calls, recorded_order
from quantrial.running.speed_phase import prompt_hash, speed_request
from quantrial.running.speed_store import read_speed
from quantrial.running.store import DECISION, SPEED, SUMMARY, RunFolder
from quantrial.study import load_study

if TYPE_CHECKING:
    from quantrial.study import Study

# Sums of floats may differ in their last bits between kinds of processors.
_RELATIVE = 1e-9


@dataclass(frozen=True, slots=True)
class Drift:
    """One place where what is recorded is not what follows: file, key within it, both values.

    `remedy` says what to run, where that is known.
    """

    file: str
    key: str
    recorded: Any
    derived: Any
    remedy: str = ""

    def __str__(self) -> str:
        said = f"{self.file}: {self.key}: recorded {_short(self.recorded)}, {_short(self.derived)}"
        return f"{said}; {self.remedy}" if self.remedy else said


@dataclass(frozen=True, slots=True)
class Verification:
    """What `verify` found. `drifts` must be empty; `warnings` deserve a look and do not fail."""

    folder: Path
    drifts: tuple[Drift, ...]
    warnings: tuple[str, ...]

    @property
    def ok(self) -> bool:
        """Whether everything recorded follows from the responses."""
        return not self.drifts


def verify_run(folder: Path) -> Verification:
    """Verify a run folder: records, order, hashes, summary, decision, report.

    Raises:
        RecordError, RunFolderError: a file cannot be read as what it should be; that too names its
            place.
    """
    run = RunFolder(folder)
    run.require()
    study = load_study(run.study_path)
    manifest = run.read_manifest()
    recorded = run.read_document(SUMMARY, command="analyze")
    derived = derive_summary(folder, methods=str(recorded.get("methods")))
    drifts = [
        *_input_drifts(recorded.get("inputs"), derived["inputs"]),
        *_order_drifts(run, study),
        *_speed_drifts(run, study),
        *document_drifts(SUMMARY, _without_inputs(recorded), _without_inputs(derived)),
    ]
    drifts += _decision_drifts(run, study, _as_recorded(recorded, derived))
    warnings = [one["text"] for one in derived["assay"] if one["status"] in ("warn", "fail")]
    version = manifest.software.get("quantrial")
    if version not in (None, quantrial.__version__):
        warnings.append(f"the run was made by quantrial {version}; this is {quantrial.__version__}")
    return Verification(folder, tuple(drifts), tuple(warnings))


def _without_inputs(document: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in document.items() if key != "inputs"}


def _input_drifts(recorded: Any, derived: Mapping[str, str]) -> Iterator[Drift]:
    if not isinstance(recorded, Mapping):
        yield Drift(SUMMARY, "inputs", recorded, "hashes of the files it derives from are needed")
        return
    for name in sorted(recorded.keys() | derived.keys()):
        if recorded.get(name) != derived.get(name):
            yield Drift(
                name,
                "sha256",
                recorded.get(name),
                f"the file now has {_short(derived.get(name))}: it changed after the analysis",
            )


def _order_drifts(run: RunFolder, study: Study) -> Iterator[Drift]:
    """Check every response against the schedule that the study and the items give."""
    items = run.read_items()
    imported = any(spec.source.type == "imported" for spec in study.tasks.values())
    if imported:
        return
    ids = {task: [item.id for item in items.get(task, [])] for task in study.tasks}
    order = recorded_order(
        run.read_manifest(), sum(map(len, ids.values())), path=run.path / "manifest.json"
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
                        f"arm {first} saw {_short(seen)}",
                    )


def _speed_drifts(run: RunFolder, study: Study) -> Iterator[Drift]:
    """Check that every arm was shown the prompts that the study gives."""
    for number, record in enumerate(read_speed(run, arms=study.timed_arms), start=1):
        if record.kind != "measured":
            continue
        request = speed_request(record.shape, record.block, (), seed=study.seed, timeout=1.0)
        expected = prompt_hash(request)
        if record.prompt_sha256 != expected:
            place = f"call {number}, block {record.block} of arm {record.arm}: prompt_sha256"
            yield Drift(SPEED, place, record.prompt_sha256, f"the study gives {_short(expected)}")


def _decision_drifts(run: RunFolder, study: Study, summary: Mapping[str, Any]) -> Iterator[Drift]:
    """Check decision, report and plots; where one is merely older than another, say only that.

    Commands that were run in another order explain every line that differs: to name them is enough.
    """
    from quantrial.reporting.constrained import flags

    decision: Any = run.read_document(DECISION, command="decide")
    stated = constraints_of(decision)
    options = flags(decision["constrained"]) if stated else ""
    if decision.get("methods") != summary["methods"]:
        since = f"summary.json was made by {summary['methods']} since"
        remedy = f"`quantrial decide {run.path}{options}`, then `quantrial report {run.path}`"
        yield Drift(DECISION, "methods", decision.get("methods"), since, remedy)
        return
    decided = decide_from(summary, stated, of_study=Constraints(**dict(study.decision)))
    yield from document_drifts(DECISION, decision, decided)
    decided = _as_recorded(decision, decided)
    made, now = _constraints_of_report(run), options.strip()
    if made is not None and made != now:
        since = f"decision.json was made under {now or 'no constraints'} since"
        remedy = f"`quantrial report {run.path}` writes the report of that decision"
        yield Drift(_REPORT, "constraints", made or "none", since, remedy)
    else:
        yield from _report_drifts(run, study, summary, decided)
    yield from _plot_drifts(run, summary)


_REPORT = "report.md"


def _constraints_of_report(run: RunFolder) -> str | None:
    """Read which options of `decide` a report names among its commands; None where it names none.

    It is asked only where files are as the program writes them: what was edited is found line by
    line.
    """
    path = run.path / _REPORT
    if not path.is_file():
        return None
    found = re.findall(r"^\s*quantrial decide RUN(.*)$", path.read_text("utf-8"), re.MULTILINE)
    return found[-1].strip() if found else None


def _report_drifts(
    run: RunFolder, study: Study, summary: Mapping[str, Any], decision: Mapping[str, Any]
) -> Iterator[Drift]:
    from quantrial.reporting import render_documents

    manifest = run.read_manifest()
    rendered = render_documents(study, summary, decision, manifest, outcomes=score_run(run.path))
    for name, text in rendered.items():
        path = run.path / name
        if not path.is_file():
            yield Drift(name, "file", "missing", "`quantrial report` makes it")
            continue
        have = path.read_text(encoding="utf-8").splitlines()
        want = text.splitlines()
        if have == want:
            continue
        pairs = zip(have, want, strict=False)
        at = next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(have), len(want)))
        line = have[at] if at < len(have) else "the end of the file"
        should = want[at] if at < len(want) else "the end of the file"
        yield Drift(name, f"line {at + 1}", line, f"summary and decision give {_short(should)}")


def _plot_drifts(run: RunFolder, summary: Mapping[str, Any]) -> Iterator[Drift]:
    """Draw the plots again; a PNG is held against the hash that was written beside it."""
    from quantrial.reporting import SUMS, render_plots

    drawn = render_plots(summary)
    sums = run.path / SUMS
    recorded = dict[str, str]()
    if sums.is_file():
        for line in sums.read_text(encoding="utf-8").splitlines():
            digest, _, name = line.partition("  ")
            recorded[name] = digest
    for name, svg in drawn.items():
        image = name.removesuffix(".svg") + ".png"
        for file in (name, image, SUMS):
            if not (run.path / file).is_file():
                yield Drift(file, "file", "missing", "`quantrial report` makes it")
        if (run.path / name).is_file() and (run.path / name).read_bytes() != svg.encode():
            yield Drift(name, "content", "another drawing", "the summary gives another one")
        if (run.path / image).is_file():
            digest = hashlib.sha256((run.path / image).read_bytes()).hexdigest()
            known = recorded.get(Path(image).name)
            if digest != known:
                yield Drift(image, "sha256", known, f"the file has {_short(digest)}")


def document_drifts(file: str, recorded: Any, derived: Any) -> list[Drift]:
    """Compare a recorded document with the derived one, key by key."""
    return list(_drifts(file, "", recorded, derived))


def _as_recorded(recorded: Any, derived: Any) -> Any:
    """Return what is derived, with each number as it is recorded where the two are the same.

    Pages and drawings were made from the recorded numbers; on another kind of processor the derived
    ones differ in their last bits, and a drawing of them in what it rounds to.
    """
    if isinstance(recorded, Mapping) and isinstance(derived, Mapping):
        return {
            key: _as_recorded(recorded[key], value) if key in recorded else value
            for key, value in derived.items()
        }
    if isinstance(recorded, list) and isinstance(derived, list):
        if len(recorded) != len(derived):
            return derived
        return [_as_recorded(*pair) for pair in zip(recorded, derived, strict=True)]
    return recorded if _same(recorded, derived) else derived


def _drifts(file: str, key: str, recorded: Any, derived: Any) -> Iterator[Drift]:
    if isinstance(recorded, Mapping) and isinstance(derived, Mapping):
        for name in dict.fromkeys([*recorded, *derived]):
            below = f"{key}.{name}" if key else str(name)
            if name not in recorded:
                yield Drift(file, below, "nothing", f"derived {_short(derived[name])}")
            elif name not in derived:
                yield Drift(file, below, recorded[name], "derived nothing")
            else:
                yield from _drifts(file, below, recorded[name], derived[name])
    elif (
        isinstance(recorded, Sequence)
        and isinstance(derived, Sequence)
        and not isinstance(recorded, str)
    ):
        if len(recorded) != len(derived):
            yield Drift(file, key, f"{len(recorded)} entries", f"derived {len(derived)}")
        for i, (one, other) in enumerate(zip(recorded, derived, strict=False)):
            yield from _drifts(file, f"{key}[{i}]", one, other)
    elif not _same(recorded, derived):
        yield Drift(file, key, recorded, f"derived {_short(derived)}")


def _same(one: Any, other: Any) -> bool:
    if type(one) is not type(other) and not (_number(one) and _number(other)):
        return False
    if _number(one) and _number(other):
        return math.isclose(one, other, rel_tol=_RELATIVE, abs_tol=1e-12)
    return bool(one == other)


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
