"""What a run refuses before its first call: another study, other items, other artifacts."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from warnings import warn

from quantrial.engines.identity import REMEDY, Asking, differences
from quantrial.errors import (
    RecordError,
    RecordWarning,
    RunChangedError,
    RunFolderError,
    StudyError,
)
from quantrial.runfolder import MANIFEST, SCORERS
from quantrial.running.prepare import writes_todays_date
from quantrial.study import code_in, load_study
from quantrial.study.code import scorer_files

if TYPE_CHECKING:
    from quantrial.engines.base import Engine
    from quantrial.records import ArmRecord, Manifest
    from quantrial.runfolder import RunFolder
    from quantrial.running.prepare import Prepared
    from quantrial.study import Study


# options that say how answers come about rather than what answers: an arm that has another value is
# another experiment
_SHARED_OPTIONS = ("slots", "prompt_cache")
# what a task may need of an engine -> the key that asks for it, what cannot be done, and a way out
_OTHER = "use the engine 'llamacpp', or 'openai' with the option `server: llama.cpp`"
_NEEDS = {
    "grammar": (
        "answer_mode",
        "its answers are held to the option texts, which the engine of {arms} cannot do",
        f"use answer_mode 'letter', {_OTHER}",
    ),
    "schema": (
        "constrained",
        "its answers are held to a JSON schema, which the engine of {arms} cannot do",
        f"leave `constrained` out, {_OTHER}",
    ),
    "tools": (
        "tools",
        "its prompts offer tools, and the engine or the chat template of {arms} does not show them "
        "to the model",
        "use a model whose template does, or write the tools into `system`",
    ),
}


def refuse_unable(study: Study, prepared: Prepared, engines: Mapping[str, Engine]) -> None:
    """Refuse what an arm's engine cannot do, and arms that are not asked in the same way."""
    _refuse_unequal(study)
    _refuse_asked_twice(study, engines)

    def lacking(ability: str) -> str:
        return ", ".join(arm for arm, one in engines.items() if ability not in one.abilities)

    if study.design.slots > 1 and (serial := lacking("parallel")):
        raise StudyError(
            f"the engine of {serial} answers one call at a time; slots are the same for "
            "every arm, so set it to 1",
            key="design.slots",
        )
    if study.design.logprobs and (mute := lacking("logprobs")):
        raise StudyError(
            f"the engine of {mute} reports no probabilities of tokens; leave it out",
            key="design.logprobs",
        )
    for name, task in prepared.tasks.items():
        for need in sorted(task.needs):
            if unable := lacking(need):
                key, cannot, way_out = _NEEDS[need]
                raise StudyError(
                    f"{cannot.format(arms=unable)}; {way_out}", key=f"tasks.{name}.{key}"
                )


def _refuse_asked_twice(study: Study, engines: Mapping[str, Engine]) -> None:
    """Refuse two arms that are one model on one server: nothing could differ but noise."""
    asked = {
        arm: (engine.name, engine.asked_as())
        for arm, engine in engines.items()
        if isinstance(engine, Asking)
    }
    for (one, ours), (other, theirs) in itertools.combinations(asked.items(), 2):
        if ours[0] == theirs[0] and ours[1].is_also(theirs[1]):
            raise StudyError(
                f"{one} and {other} ask the same server for {study.arms[other].model!r} in the "
                "same way: that is one arm twice. Correct the server or the model. To ask the "
                "reference twice, set `design.repeat_reference`",
                key=f"arms.{other}.model",
            )


def _refuse_unequal(study: Study) -> None:
    for option in _SHARED_OPTIONS:
        said = {
            name: arm.options.get(option)
            for name, arm in study.arms.items()
            if arm.engine == study.arms[study.reference].engine
        }
        other = [name for name in said if said[name] != said[study.reference]]
        if other:
            told = {
                name: "is not given" if value is None else f"is {value!r}"
                for name, value in said.items()
            }
            raise StudyError(
                f"{option} {told[other[0]]} for {other[0]} and {told[study.reference]} for "
                f"{study.reference}: it changes answers and speeds, so it must be the same for "
                "every arm",
                key=f"arms.{other[0]}.options.{option}",
            )


def refuse_foreign(study: Study, run: RunFolder) -> None:
    """Refuse a folder of another study before anything is loaded."""
    if not run.exists():
        if run.strangers():
            raise RunFolderError(
                "this folder holds other files; name a new folder for the run", path=run.path
            )
        return
    manifest = run.read_manifest()
    if missing := {"hash", "name"} - manifest.study.keys():
        raise RecordError(f"study.{min(missing)} is missing", path=run.path / MANIFEST)
    if study.is_of(manifest.study["hash"], early=not manifest.design):
        return
    if manifest.study["name"] != study.study:
        raise RunChangedError(
            f"this folder is a run of study {manifest.study['name']!r}, not of {study.study!r}; "
            "name another folder (--out)",
            path=run.path,
        )
    frozen = load_study(run.study_path)
    changed = _changed_keys(frozen.canonical(), study.canonical()) or ["study.yaml in the folder"]
    raise RunChangedError(
        f"the study changed since this run began: {', '.join(changed[:5])}. Undo the change, or "
        "name another folder for a new run (--out, or another name under `study:`)",
        path=run.path,
    )


def _changed_keys(old: Any, new: Any, at: str = "") -> list[str]:
    if isinstance(old, dict) and isinstance(new, dict):
        return [
            key
            for name in sorted(old.keys() | new.keys())
            for key in _changed_keys(old.get(name), new.get(name), f"{at}.{name}" if at else name)
        ]
    return [] if old == new else [at]


def refuse_changed(
    run: RunFolder,
    manifest: Manifest,
    prepared: Prepared,
    arms: Mapping[str, ArmRecord],
) -> None:
    """Refuse to go on with other items or other artifacts than the run began with."""
    recorded = run.read_items()
    for task, items in prepared.items.items():
        then = [item.id for item in recorded.get(task, [])]
        now = [item.id for item in items]
        if then != now:
            raise RunChangedError(
                f"the items of task {task!r} changed since this run began: "
                f"{len(set(now) - set(then))} are new, {len(set(then) - set(now))} are gone. "
                "Restore the source, or name another folder for a new run",
                path=run.path,
            )
    refuse_changed_arms(run, manifest, arms)


def refuse_changed_arms(run: RunFolder, manifest: Manifest, arms: Mapping[str, ArmRecord]) -> None:
    """Refuse to go on with other artifacts than the run began with."""
    if missing := arms.keys() - manifest.arms.keys():
        raise RecordError(f"arm {min(missing)!r} is missing", path=run.path / MANIFEST)
    for name, arm in arms.items():
        _refuse_other_template(run, name, manifest.arms[name], arm)
        for key in ("sha256", "quantization", "template_sha256", "options", "details"):
            # what an older manifest does not hold is as good as empty
            if (manifest.arms[name].get(key) or None) != (arm.get(key) or None):
                raise RunChangedError(
                    f"the artifact of arm {name!r} changed since this run began: {key} was "
                    f"{manifest.arms[name].get(key)!r:.30}, is {arm.get(key)!r:.30}. Restore it, "
                    "or name another folder for a new run",
                    path=run.path,
                )
        if said := differences(manifest.arms[name].identity or {}, arm.identity):
            raise RunChangedError(
                f"the server of arm {name!r} is another one than when this run began: {said}. "
                f"{REMEDY}",
                path=run.path,
            )


def refuse_changed_code(run: RunFolder, manifest: Manifest, study: Study) -> None:
    """Refuse to go on where the study names other code than the run began with."""
    then = {one.get("key"): one.get("sha256") for one in manifest.code}
    for code in code_in(study, "plan") if then else ():  # older manifests do not say
        if then.get(code.key) != code.sha256:
            raise RunChangedError(
                f"the code that {code.key} names changed since this run began. Restore it, or name "
                "another folder for a new run",
                path=run.path,
            )


def warn_of_changed_scorers(run: RunFolder, study: Study) -> None:
    """Say that a file that the study scores by changed since the run began: its copy scores."""
    kept = scorer_files(load_study(run.study_path))
    for name, file in scorer_files(study).items():
        if name in kept and kept[name].sha256 != file.sha256:
            copy = run.path / SCORERS / name
            warn(
                f"{file.name} changed since the run began, and the run is scored by its copy of "
                f"then; to score by the new one, put it in place of {copy}",
                RecordWarning,
                stacklevel=2,
            )


def _refuse_other_template(run: RunFolder, name: str, then: ArmRecord, now: ArmRecord) -> None:
    """Refuse another day in the template, and a template that makes another prompt of an item.

    One that writes each day's date does the latter overnight; that it does is said of the run.
    """
    days = [(one.template_date or {}).get("held") for one in (then, now)]
    if days[0] != days[1]:
        raise RunChangedError(
            f"the day that the chat template of arm {name!r} writes changed since this run began: "
            f"it was {days[0] or 'that of each call'}, is {days[1] or 'that of each call'}. Say "
            "the same in the option `date`, or name another folder for a new run",
            path=run.path,
        )
    known = then.template_applied_sha256, now.template_applied_sha256
    overnight = writes_todays_date(then) or writes_todays_date(now)
    if None not in known and known[0] != known[1] and not overnight:
        raise RunChangedError(
            f"what the chat template of arm {name!r} makes of the first item changed since this "
            f"run began: its hash was {str(known[0])[:12]}, is {str(known[1])[:12]}. Restore the "
            "template, or name another folder for a new run",
            path=run.path,
        )
