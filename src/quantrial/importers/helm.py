"""Runs of HELM: folders with `per_instance_stats.json` and `scenario_state.json`.

Follows HELM 0.5: `Runner.run_one` (what a run's folder holds), `PerInstanceStats`, `Stat`,
`RequestState` and `RequestResult`. A folder is one model on one scenario; its name says both, as in
`mmlu:subject=anatomy,model=org_name`. Each metric has its own entries, so an instance stands
several times. Training trials are samples of one item. Perturbed copies are left and counted.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from quantrial import paths
from quantrial.engines.artifact import Artifact
from quantrial.errors import DataError
from quantrial.importers.auto import files_under
from quantrial.importers.base import Imported, LogPaths, Recognised
from quantrial.importers.json_stream import JsonStream
from quantrial.importers.log_rows import (
    ArmLog,
    LogOptions,
    LogRow,
    as_name,
    as_number,
    digest,
    listed,
    newest,
    parse_log,
    short_text,
)
from quantrial.importers.logs import pair_logs
from quantrial.study.names import name_like
from quantrial.tasks.rows import Where

_STATS, _STATES, _SPEC = "per_instance_stats.json", "scenario_state.json", "run_spec.json"
_MODEL = re.compile(r"(?:(?<=:)|(?<=,)|^)model(?:_deployment)?=(?P<model>[^,]+)(?:,|$)")
# counts, times and probabilities that HELM keeps beside the scores
_NO_SCORE = re.compile(
    r"(num_|training_|inference_|batch_size|finish_reason_|prompt_truncated|max_prob|logprob|"
    r"predicted_index|perplexity|bits_per_byte|log_perplexity)"
)
_LARGEST = 64 * 2**20  # bytes of one instance

_Runs = dict[str, dict[str, Path]]  # by task and suite, the folder


def read_helm(logs: LogPaths, *, options: LogOptions | None = None) -> Imported:
    """Read runs of HELM, such as `benchmark_output/runs/SUITE`.

    Args:
        logs: folders with runs of one model an arm; or without names, of several models.
        options: what the runs do not say.

    Raises:
        DataError: a run is not what it should be; names the entry.
        StudyError: an option does not fit.
    """
    return pair_logs("helm", logs, _read_arm, options or LogOptions(), inside=_read_arms)


def recognises(path: Path) -> Recognised | None:
    """Say whether a path holds runs of HELM, and of which models."""
    if not paths.is_folder(path):
        return None
    found = _models(path)
    return Recognised(f"holds runs of HELM ({_STATS})", tuple(map(_arm, found))) if found else None


def _arm(model: str) -> str:
    return name_like(model.rpartition("/")[2])


def _models(path: Path) -> dict[str, _Runs]:
    """Return the runs under a folder, by their models."""
    found: dict[str, _Runs] = {}
    for file in files_under(path, most=100_000):
        if file.name != _STATS:
            continue
        folder = file.parent
        named = _MODEL.search(folder.name)
        task = _MODEL.sub("", folder.name).rstrip(",:") or folder.name
        model = named["model"] if named else ""
        found.setdefault(model, {}).setdefault(task, {})[folder.parent.name] = folder
    return found


def _some(path: Path) -> dict[str, _Runs]:
    if not paths.is_folder(path):
        raise DataError("is no folder; needed is one with runs of HELM", path=path)
    if not (found := _models(path)):
        raise DataError(f"holds no {_STATS}, so no run of HELM", path=path)
    return found


def _read_arm(arm: str, path: Path, options: LogOptions) -> ArmLog:
    found = _some(path)
    if len(found) > 1:
        raise DataError(
            f"holds runs of several models ({listed(list(found))}): leave out the arms' names, or "
            "give each model a folder",
            path=path,
        )
    return _read_model(arm, next(iter(found.values())), options)


def _read_arms(logs: Sequence[Path], options: LogOptions) -> dict[str, ArmLog]:
    models = [one for path in logs for one in _some(path).items()]
    names = [_arm(model) or f"arm-{n}" for n, (model, _) in enumerate(models, 1)]
    if len(set(names)) < len(names):
        raise DataError(
            f"several models are called alike ({listed(names)}): name each, as in f16=PATH q4=PATH",
            path=logs[0],
        )
    return {
        arm: _read_model(arm, runs, options) for arm, (_, runs) in zip(names, models, strict=True)
    }


def _read_model(arm: str, runs: _Runs, options: LogOptions) -> ArmLog:
    chosen = {
        task: newest(own, arm, task, latest=options.latest) for task, own in sorted(runs.items())
    }
    first = next(iter(chosen.values()))
    adapter = _part(_spec(first), "adapter_spec")
    model = adapter.get("model_deployment") or adapter.get("model")
    log = ArmLog(
        "HELM of unknown version",
        Artifact(model=short_text(model)[:200] if isinstance(model, str) and model else arm),
    )
    heads: dict[str, list[str]] = {}
    for task in chosen:
        heads.setdefault(task.partition(":")[0], []).append(task)
    log.groups = {head: own for head, own in heads.items() if len(own) > 1 and head not in chosen}
    wanted = {leaf for name in options.tasks for leaf in log.groups.get(name, [name])}
    for task, folder in chosen.items():
        if not wanted or task in wanted:
            _read_run(log, task, folder)
    return log


def _spec(folder: Path) -> Mapping[str, Any]:
    """Return what a run says of itself; nothing where it does not."""
    file = folder / _SPEC
    if not paths.is_file(file):
        return {}
    try:
        found = parse_log(paths.read_bytes(file), Where(file, 1))
    except OSError as exc:
        raise DataError(f"cannot be read ({exc.strerror or exc})", path=file) from exc
    return found if isinstance(found, dict) else {}


def _entries(path: Path, member: str = "") -> Iterator[tuple[Where, dict[str, Any]]]:
    """Yield the objects of a list: of a whole file, or of a member of the object it holds."""
    try:
        with paths.open_file(path) as file:
            stream = JsonStream(file, Where(path, 1))
            if not member:
                yield from _elements(stream, path)
                return
            if not stream.starts_with(b"{"):
                raise DataError("expected a JSON object", path=path)
            for name in stream.members():
                if name == member:
                    yield from _elements(stream, path)
    except OSError as exc:
        raise DataError(f"cannot be read ({exc.strerror or exc})", path=path) from exc


def _elements(stream: JsonStream, path: Path) -> Iterator[tuple[Where, dict[str, Any]]]:
    if not stream.starts_with(b"["):
        raise DataError("expected a list", path=path)
    for number in stream.elements():
        where = stream.where = Where(path, number)
        value = stream.take(_LARGEST)
        if stream.cut:
            raise where.error(f"is larger than {_LARGEST // 2**20} MB")
        if not isinstance(value, dict):
            raise where.error("expected an instance, a JSON object")
        yield where, value


def _part(value: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = value.get(name)
    return found if isinstance(found, dict) else {}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


_Key = tuple[str, int]  # the instance, and the trial


def _key(where: Where, name: Any, trial: Any) -> _Key:
    if not isinstance(name, str) or not name or not name.isprintable() or len(name) > 200:
        raise where.error(f"the instance's id is {name!r:.40}; needed is a short text")
    return name, trial if type(trial) is int else 0


@dataclass(slots=True)
class _State:
    """What was asked of an instance in one trial, and answered, by one request or several."""

    text: str
    split: str
    golds: list[str]
    prompts: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)
    raw: list[bytes] = field(default_factory=list)
    chosen: str | None = None  # what the answer stands for, of multiple choice
    fault: str | None = None
    cached: bool = False


def _states(folder: Path) -> dict[_Key, _State]:
    """Read what was asked and answered; empty where the run does not hold it."""
    found: dict[_Key, _State] = {}
    file = folder / _STATES
    for where, one in _entries(file, "request_states") if paths.is_file(file) else ():
        instance, result = _part(one, "instance"), _part(one, "result")
        if instance.get("perturbation") or one.get("request_mode") == "calibration":
            continue
        references = instance.get("references")
        golds = [
            _text(_part(each, "output").get("text"))
            for each in (references if isinstance(references, list) else ())
            if isinstance(each, dict) and _is_correct(each.get("tags"))
        ]
        state = found.setdefault(
            _key(where, instance.get("id"), one.get("train_trial_index")),
            _State(
                _text(_part(instance, "input").get("text")), _text(instance.get("split")), golds
            ),
        )
        state.prompts.append(_text(_part(one, "request").get("prompt")))
        state.cached |= result.get("cached") is True
        if result.get("success") is False:
            state.fault = _text(result.get("error")) or "no answer"
        completions = result.get("completions")
        for each in completions if isinstance(completions, list) else ():
            if isinstance(each, dict):
                state.outputs.append(short_text(_text(each.get("text"))))
                state.raw.append(digest([each.get("text"), each.get("logprob")]))
        mapping = _part(one, "output_mapping")
        if mapping and state.outputs:
            state.chosen = _text(mapping.get(state.outputs[0].strip()))
    return found


def _is_correct(tags: Any) -> bool:
    return isinstance(tags, list) and "correct" in tags


def _read_run(log: ArmLog, task: str, folder: Path) -> None:
    path = folder / _STATS
    scores: dict[_Key, dict[str, float | None]] = {}
    places: dict[_Key, Where] = {}
    perturbed = 0
    for where, entry in _entries(path):
        key = _key(where, entry.get("instance_id"), entry.get("train_trial_index"))
        if entry.get("perturbation"):
            perturbed += 1
            continue
        places.setdefault(key, where)
        own = scores.setdefault(key, {})
        for metric, value in _metrics(entry):
            if own.setdefault(metric, value) != value:
                raise where.error(f"{metric} of instance {key[0]!r} stands twice, and differs")
    if not scores:
        raise DataError("holds no instance that was not perturbed", path=path)
    states = _states(folder)
    rows = [_row(places[key], key, own, states.get(key)) for key, own in scores.items()]
    cached = sum(one.cached for one in states.values())
    if perturbed:
        log.notes.append(f"{task}: {perturbed:,} entries of perturbed instances are left out.")
    if cached:
        log.notes.append(
            f"{task}: {cached:,} of {len(states):,} answers of {folder.name} came from a cache."
        )
    if len(states) < len(scores):
        log.notes.append(
            f"{task}: {len(scores) - len(states):,} instances of {folder.name} are not in "
            f"{_STATES}: that the arms were asked the same could not be checked."
        )
    with paths.open_file(path) as file:
        log.files[f"{folder.name}/{_STATS}"] = hashlib.file_digest(file, "sha256").hexdigest()
    log.tasks[task] = rows


def _metrics(entry: Mapping[str, Any]) -> Iterator[tuple[str, float | None]]:
    """Yield each metric of an entry with its mean."""
    stats = entry.get("stats")
    for one in stats if isinstance(stats, list) else ():
        name = _text(_part(one, "name").get("name")) if isinstance(one, dict) else ""
        if not name or _NO_SCORE.match(name):
            continue
        mean, count = as_number(one.get("mean")), as_number(one.get("count"))
        total = as_number(one.get("sum"))
        if mean is None and total is not None and count:
            mean = total / count
        yield as_name(name), mean


def _row(where: Where, key: _Key, scores: dict[str, float | None], state: _State | None) -> LogRow:
    if state is None:
        return LogRow(where, key[0], "", scores, "", b"", _sha256(f"id {key[0]}"), key[0], "")
    recorded = scores.get("exact_match")
    checked = {}
    if recorded is not None and state.golds and len(state.outputs) == 1 and not state.fault:
        said = state.outputs[0] if state.chosen is None else state.chosen
        right = bool(said) and said.strip() in {gold.strip() for gold in state.golds}
        checked["exact_match"] = recorded == float(right)
    return LogRow(
        where,
        key[0],
        "",
        {} if state.fault else scores,
        "\n".join(state.outputs),
        digest(state.raw) if state.raw else b"",
        _sha256(state.text),
        short_text(state.text),
        state.golds[0] if len(state.golds) == 1 else json.dumps(state.golds),
        _sha256(json.dumps(state.prompts)) if any(state.prompts) else None,
        {"split": state.split} if state.split else {},
        error=state.fault,
        checked=checked,
    )


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
