"""A run folder that may be shown: its texts are replaced by keyed hashes, its results stay.

What is written is chosen, not what is left out: a field that is not named here does not get out.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quantrial import paths
from quantrial.errors import RunFolderError, StudyError
from quantrial.records import (
    ArmRecord,
    Item,
    Manifest,
    Response,
    SpeedRecord,
    canonical_json,
    content_hash,
    sha256_of,
)
from quantrial.registry import OWN, kind_of

if TYPE_CHECKING:
    from quantrial.analysis import TaskOutcomes
    from quantrial.runfolder import RunFolder
    from quantrial.study import Study

KEY_BYTES = 32
_LENGTH = 32  # hexadecimal digits of a hash: 128 bits
ERRORS = "error"  # `--keep error`: what faults said, beside the fields of metadata
# Names of endpoints and failure modes that are quantrial's own. Others may hold a label or a field.
_PUBLIC = frozenset(
    {
        *("accuracy", "micro_f1", "macro_f1", "precision", "recall", "parse_rate", "exact_match"),
        *("entity_free_correct", "no_spurious", "spurious_per_sentence", "no_invented_values"),
        *("abstains", "no_wrong_call", "well_formed_calls", "calls_right", "functions_right"),
        *("arguments_f1", "pass_at_k", "majority", "token_f1", "numeric_match", "math", "chrf"),
        *("all_constraints", "constraints_kept", "bleu", "contains", "schema_valid", "all_labels"),
        *("pattern_match", "rouge_l", "all_fields", "valid", "output_length", "letter_shift"),
        *("similarity", "not_truncated", "not_refused", "not_repeating", "not_empty", "answered"),
    }
)
_OWN_LABEL = {"similarity"}  # its label names a model
_REASONS = ("stop", "length", "repeat_limit", "broken_off", "max_tokens", "tool_calls")
_ARM = (  # of an arm's record: numbers, types, and hashes of weights, which are no texts
    *("bytes_on_disk", "quantization", "parameters", "architecture", "context", "stored_as"),
    *("weights_stated", "kv_bytes", "one_at_a_time", "resident", "sha256", "source_sha256"),
    *("source_quantization", "quantized_before", "doubtful_answers", "template_changed"),
)
_ARM_HASHED = ("model", "derived_from", "tokenizer_sha256", "template_sha256")
_SESSION = ("started_at", "ended_at", "asked", "faults", "loads", "load_seconds")
_HOST = ("system", "machine", "cores", "memory_bytes", "python_implementation")


@dataclass(frozen=True, slots=True)
class Redacted:
    """What was written: the folder, and the file of the key, which is to stay where it is."""

    folder: Path
    key: Path
    items: int
    responses: int
    kept: tuple[str, ...]


class _Hasher:
    """Replaces texts by a hash that needs the key."""

    def __init__(self, key: bytes):
        self._key = key

    def __call__(self, value: Any) -> str:
        if isinstance(value, str):
            data = value.encode("utf-8", "surrogatepass")
        else:
            data = canonical_json(value)
        return hmac.new(self._key, data, hashlib.sha256).hexdigest()[:_LENGTH]

    def maybe(self, value: Any) -> str | None:
        """Hash a value, unless there is none."""
        return None if value is None else self(value)

    def name(self, name: str) -> str:
        """Return the name of an endpoint: quantrial's own, or one that tells nothing."""
        return name if name in _PUBLIC else f"measure_{self(name)[:12]}"


def redact(
    run: Path | str,
    out: Path | str,
    *,
    key: Path | str | None = None,
    keep: Collection[str] = (),
) -> Redacted:
    """Write a run folder that may be shown: texts and what was made of them are keyed hashes.

    Args:
        run: the run folder.
        out: the folder to make; must not exist yet.
        key: a file with the key of an earlier call, so that equal texts of both stay equal; by
            default a new one is written beside `out`.
        keep: fields of the items' metadata that stay as they are, and `error` for what faults said.

    Raises:
        RunFolderError: there is no run, or `out` or its key exists already or cannot be written.
        StudyError: the key is none, or no item has a field to keep.

    Example:
        >>> quantrial.redact("runs/mine", "shown").key.name
        'shown.key'
    """
    from quantrial.commands.derived import load_run_study, score_run
    from quantrial.commands.results import analyze, decide, report
    from quantrial.runfolder import RunFolder, RunSnapshot

    source, out = RunSnapshot(Path(run)), Path(out)
    source.require()
    key_path = out.with_name(out.name + ".key")
    _check_places(source.path, out, key_path, new_key=key is None)
    study = load_run_study(source)[0]
    items = source.read_items()
    known = {name for own in items.values() for item in own for name in item.metadata}
    if strange := set(keep) - known - {ERRORS}:
        there = ", ".join(sorted(known | {ERRORS}))
        raise StudyError(f"there is no field {min(strange)!r}; there are {there}", key="--keep")
    secret = secrets.token_bytes(KEY_BYTES) if key is None else read_key(Path(key))
    outcomes = score_run(source)
    if not any(scored.flow.answered for scored in outcomes.values()):
        raise RunFolderError("no answer is recorded yet, so there is nothing to show", path=run)
    made = _Redaction(source, study, outcomes, _Hasher(secret), frozenset(keep))
    beside, own_key = out.parent / f".{out.name}.{secrets.token_hex(4)}", False
    try:
        made.write(RunFolder(beside))
        analyze(beside, methods=_methods(source))
        decide(beside, _constraints(source))
        report(beside)
        if key is None:
            _write_key(key_path, secret)
            own_key = True
        _move(beside, out)
    except BaseException:  # all of it or nothing: no key stays without its folder
        if own_key:
            key_path.unlink(missing_ok=True)
        raise
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return Redacted(
        folder=out,
        key=key_path if key is None else Path(key),
        items=sum(map(len, items.values())),
        responses=made.responses,
        kept=tuple(sorted(keep)),
    )


def _move(made: Path, out: Path) -> None:
    try:
        made.rename(out)
    except OSError as exc:
        raise RunFolderError(f"cannot be written ({exc.strerror})", path=out) from exc


def _check_places(run: Path, out: Path, key: Path, *, new_key: bool) -> None:
    if not out.name or out.name == "..":
        raise RunFolderError("names no folder to make", path=out)
    if out.resolve().is_relative_to(run.resolve()):
        raise RunFolderError("lies within the run; name a folder outside of it", path=out)
    if os.path.lexists(out):
        raise RunFolderError("exists already; name a folder that does not", path=out)
    if new_key and os.path.lexists(key):
        said = f"exists already; reuse it by `--key {key}`, or name another folder"
        raise RunFolderError(said, path=key)


def read_key(path: Path) -> bytes:
    """Read a key.

    Raises:
        StudyError: the file cannot be read, or holds no key.
    """
    try:
        text = paths.read_bytes(path).decode("ascii").strip()
    except (OSError, ValueError) as exc:
        raise StudyError(f"{path} cannot be read as a key ({exc})", key="--key") from exc
    if not re.fullmatch(rf"[0-9a-f]{{{2 * KEY_BYTES}}}", text):
        said = f"{path} holds no key: needed are {2 * KEY_BYTES} hexadecimal digits"
        raise StudyError(said, key="--key")
    return bytes.fromhex(text)


def _write_key(path: Path, key: bytes) -> None:
    """Write a key that nobody else may read, where nothing stands yet."""
    try:
        paths.write_private(path, key.hex().encode() + b"\n")
    except OSError as exc:
        raise RunFolderError(f"the key cannot be written ({exc.strerror})", path=path) from exc


def _methods(run: RunFolder) -> str | None:
    from quantrial.runfolder import SUMMARY

    if not paths.is_file(run.path / SUMMARY):
        return None
    found = run.read_document(SUMMARY, command="analyze").get("methods")
    return found if found in ("calibrated", "classic") else None


def _constraints(run: RunFolder) -> Any:
    """Return the constraints of the run's decision, so that this one is made under the same."""
    from quantrial.decision import load_constraints
    from quantrial.runfolder import DECISION

    if not paths.is_file(run.path / DECISION):
        return None
    found: Any = run.read_document(DECISION, command="decide")
    return load_constraints(found, path=run.path / DECISION)


class _Redaction:
    """One run and its key; `write` makes the folder."""

    def __init__(
        self,
        run: RunFolder,
        study: Study,
        outcomes: Mapping[str, TaskOutcomes],
        hashed: _Hasher,
        keep: frozenset[str],
    ):
        self.run, self.study, self.outcomes = run, study, outcomes
        self.hashed, self.keep = hashed, keep
        self.responses = 0

    def write(self, out: RunFolder) -> None:
        """Write study, items, answers, speed and manifest."""
        from quantrial.runfolder import SPEED, write_atomically
        from quantrial.strict_yaml import write_yaml
        from quantrial.study import parse_study

        text = write_yaml(self.canonical())
        study = parse_study(text)
        out.write_study(text)
        items = [self.item(name, item) for name, own in self.outcomes.items() for item in own.items]
        out.write_items(items)
        for task in self.study.tasks:
            for arm in self.study.arms:
                lines = [one.to_json() + b"\n" for one in self.answers(task, arm)]
                self.responses += len(lines)
                if lines:
                    write_atomically(out.responses_path(task, arm), b"".join(lines))
        if speed := self.run.read_speed(arms=self.study.timed_arms):
            data = b"".join(self.speed(one).to_json() + b"\n" for one in speed)
            write_atomically(out.path / SPEED, data)
        out.write_manifest(self.manifest(study, items))

    def canonical(self) -> dict[str, Any]:
        """Return the study without its texts: what is compared, by what margin and rule."""
        own = self.study.canonical()
        kept = ("study", "seed", "reference", "question", "margin", "alpha", "analysis", "speed")
        study = {name: own[name] for name in (*kept, "decision") if name in own}
        if declared := own.get("analysis", {}).get("declared_failure_modes"):
            study["analysis"]["declared_failure_modes"] = list(map(self.hashed.name, declared))
        design = own.get("design", {})
        study["design"] = {n: design[n] for n in ("schedule", "blocks", "slots") if n in design}
        study["arms"] = {name: self.arm(arm) for name, arm in own["arms"].items()}
        study["tasks"] = {name: self.task(name, task) for name, task in own["tasks"].items()}
        if (gate := self.gate(own.get("gate"))) is not None:
            study["gate"] = gate
        return study

    def arm(self, arm: Mapping[str, Any]) -> dict[str, Any]:
        """Return what the study says of an arm: how its weights are stored, no path, no server."""
        engine = arm.get("engine", "llamacpp")
        known = engine in (*OWN["quantrial.engines"], "imported")
        kept = ("quantize", "degrade", "weights", "control")
        return {
            "engine": engine if known else "imported",
            "model": self.hashed(arm["model"]),
            **{name: arm[name] for name in kept if name in arm},
        }

    def task(self, name: str, task: Mapping[str, Any]) -> dict[str, Any]:
        """Return a task whose outcomes are recorded."""
        spec, scored = self.study.tasks[name], self.outcomes[name]
        kind = kind_of(spec)
        recorded = spec.source.all_recorded
        made: dict[str, Any] = {
            "kind": "redacted",
            "workload": task["workload"],
            "source": {"type": "imported", "layout": "redacted" if recorded else "imported"},
            "endpoints": [self.endpoint(one) for one in kind.endpoints],
        }
        made |= {n: task[n] for n in ("margin", "equal_items", "icc") if n in task}
        if "margins" in task:
            made["margins"] = {self.hashed.name(n): m for n, m in task["margins"].items()}
        for own, key in self._groups(name).items():
            made["stratify" if own == spec.stratify else "cluster"] = key
        if spec.stratify and spec.stratify == spec.cluster:
            made["cluster"] = made["stratify"] = self._groups(name)[spec.stratify]
        modes = [self.mode(one) for one in scored.task.failure_modes]
        counts = [{"name": one.name, "unit": one.unit} for one in scored.task.counts]
        said = {
            "modes": modes,
            "counts": counts,
            "right": None if kind.right is None else self.hashed.name(kind.right),
            "over_named": None if kind.over_named is None else self.hashed.name(kind.over_named),
            "letters": kind.letters or None,
            "chance": scored.task.chance(scored.items),
            "always_empty": scored.task.always_empty(scored.items),
        }
        return made | {key: value for key, value in said.items() if value not in (None, [])}

    def _groups(self, task: str) -> dict[str, str]:
        """Return what the keys of strata and clusters are called."""
        spec = self.study.tasks[task]
        named = {"cluster": spec.cluster, "stratum": spec.stratify}
        return {own: own if own in self.keep else new for new, own in named.items() if own}

    def endpoint(self, one: Any) -> dict[str, Any]:
        """Declare an endpoint under a name that tells nothing of the user's data."""
        said = {key: value for key, value in asdict(one).items() if value is not None}
        for part in ("numerator", "denominator"):
            said[part] = {self.column(name): w for name, w in said[part].items()}
        said |= {end: getattr(one, end) for end in ("low", "high")}  # None: there is no end
        return self._public(said)

    def mode(self, one: Any) -> dict[str, Any]:
        """Declare a failure mode."""
        texts = ("name", "label", "meaning", "mitigation", "written")
        said = {key: own for key in texts if (own := getattr(one, key)) is not None}
        return self._public(said) | ({"some": True} if one.applies is not None else {})

    def _public(self, said: dict[str, Any]) -> dict[str, Any]:
        name = said["name"]
        if name not in _PUBLIC or name in _OWN_LABEL:
            for key in ("label", "meaning", "mitigation", "written", "hub_metric"):
                said.pop(key, None)
        return said | {"name": self.hashed.name(name)}

    def column(self, name: str) -> str:
        """Name a column of scores: endpoints are sums of them."""
        return name if name in ("correct", "tp", "fp", "fn") else f"c_{self.hashed(name)[:12]}"

    def gate(self, gate: Mapping[str, Any] | None) -> dict[str, Any] | None:
        """Return the requirements, with the ids of items as they are now."""
        if gate is None:
            return None
        made = {key: gate[key] for key in ("arms", "inconclusive", "max_missing") if key in gate}
        if required := gate.get("require"):
            made["require"] = [
                {k: self.hashed.name(v) if k == "endpoint" else v for k, v in one.items()}
                for one in required
            ]
        ids = {
            self.hashed(item.id): None
            for wanted in gate.get("must_pass", ())
            for scored in self.outcomes.values()
            for item in scored.items
            if _is_named(item, wanted)
        }
        if ids:
            made["must_pass"] = list(ids)
        return made if required or ids else None

    def item(self, task: str, item: Item) -> Item:
        """Replace what is asked and what is right; a group keeps a name that tells nothing."""
        from quantrial.analysis.outcomes import lengths_of
        from quantrial.design.sampling import content_key

        scored = self.outcomes[task].task
        content: dict[str, Any] = {
            "text": self.hashed(content_key(item)),
            "redacted_lengths": list(lengths_of(item)),
        }
        applies = [
            self.hashed.name(mode.name)
            for mode in scored.failure_modes
            if mode.applies is not None and mode.applies(item)
        ]
        if applies:
            content["applies"] = applies
        groups = self._groups(task)
        metadata = {
            groups.get(key, key): value if key in self.keep else self.hashed(value)
            for key, value in item.metadata.items()
            if key in groups or key in self.keep
        }
        gold = self.hashed.maybe(item.gold)
        return Item(
            task=task,
            id=self.hashed(item.id),
            content=content,
            gold=gold,
            metadata=metadata,
            content_sha256=content_hash(content, gold),
        )

    def answers(self, task: str, arm: str) -> Iterator[Response]:
        """Yield the answers and faults of an arm; those that count have their outcome."""
        scored = self.outcomes[task]
        seen: dict[int, tuple[int | None, Any]] = {
            id(one): (at, outcome) for at, (one, outcome) in scored.again.get(arm, {}).items()
        }
        for at, one in enumerate(scored.responses[arm]):
            if one is not None:
                seen[id(one)] = at, scored.outcomes[arm][at]
        samples = scored.task.samples
        for response in self.run.read_responses(task, arm):
            if samples > 1 and response.replicate:
                continue  # the score of an item is that of all its answers
            yield self.answer(scored, response, *seen.get(id(response), (None, None)))

    def answer(
        self, scored: TaskOutcomes, response: Response, at: int | None, outcome: Any
    ) -> Response:
        """Replace the texts of an answer; what was seen in them is recorded beside their hash."""
        from quantrial.tasks.recorded import NO_ANSWER

        ok = response.status == "ok"
        read = None if outcome is None else outcome.answer
        own = NO_ANSWER if read is None else self.hashed(str(read))
        error = response.error
        if error is not None and ERRORS not in self.keep:
            error = "redacted"
        return replace(
            response,
            item=self.hashed(response.item),
            output=f"{self.hashed(response.said)} {own}" if ok else "",
            error=error,
            finish_reason=_reason(response.finish_reason),
            prompt_sha256=self.hashed.maybe(response.prompt_sha256),
            timing=_own_names(response.timing),
            logprobs=self.logprobs(response.logprobs),
            thought=None,
            tool_calls=None,
            scores=self.scores(scored, response, at, outcome) if ok else None,
            scored_by="the original run" if ok else None,
            host=self.hashed.maybe(response.host),
        )

    def scores(
        self, scored: TaskOutcomes, response: Response, at: int | None, outcome: Any
    ) -> dict[str, float | None]:
        """Return columns of the outcome, and what the text showed."""
        from quantrial.analysis.answers.reading import Given
        from quantrial.analysis.answers.text_signs import SIGNS
        from quantrial.tasks.recorded import COUNT, MODE, PARSED, RIGHT

        count = response.characters
        said: dict[str, float | None] = {"text.characters": None if count is None else float(count)}
        said |= {f"text.{name}": _number(sign(response)) for name, sign in SIGNS.items()}
        if at is None or outcome is None:
            return said
        item = scored.items[at]
        if scored.responses[response.arm][at] is response:
            answer = scored.answers[response.arm][at]
            if answer is not None:
                given = Given(response, answer, outcome.parsed, scored.task.limit(item))
                said |= {f"sign.{name}": _number(sign(given)) for name, sign in SIGNS.items()}
        said |= {self.column(name): float(value) for name, value in outcome.values.items()}
        said[PARSED] = float(outcome.parsed)
        said[RIGHT] = float(scored.task.is_right(outcome))
        for mode in scored.task.failure_modes:
            shown = mode.shows(scored.task, item, outcome)
            said[MODE + self.hashed.name(mode.name)] = _number(shown)
        for counted in scored.task.counts:
            said[COUNT + counted.name] = _number(counted.of(scored.task, item, outcome))
        return said

    def logprobs(self, tokens: Any) -> Any:
        """Replace tokens by their hashes; what has another form is dropped."""
        if not isinstance(tokens, list):
            return None
        made = []
        for token in tokens:
            top = token.get("top") if isinstance(token, dict) else None
            if not isinstance(top, list) or not isinstance(token.get("token"), str):
                return None
            if not all(isinstance(one, list | tuple) and len(one) == 2 for one in top):
                return None
            made.append(
                {
                    "token": self.hashed(token["token"]),
                    "logprob": _number(token.get("logprob")),
                    "top": [[self.hashed(str(text)), _number(p)] for text, p in top],
                }
            )
        return made

    def speed(self, record: SpeedRecord) -> SpeedRecord:
        """Return a call of the speed phase, whose prompts are quantrial's own."""
        said = record.error if record.error is None or ERRORS in self.keep else "redacted"
        return replace(
            record,
            error=said,
            finish_reason=_reason(record.finish_reason),
            timing=_own_names(record.timing),
            machine=_own_names(record.machine),
        )

    def manifest(self, study: Study, items: Sequence[Item]) -> Manifest:
        """Return what of the manifest holds no text, path or name of a machine or user."""
        own = self.run.read_manifest()
        tasks = {}
        for name, spec in study.tasks.items():
            hashes = [item.content_sha256 for item in items if item.task == name]
            source = (own.tasks.get(name) or {}).get("source") or {}
            tasks[name] = {
                "kind": "redacted",
                "workload": spec.workload,
                "items": len(hashes),
                "scorer": kind_of(spec)(name, spec).scorer_id(),
                "source": {
                    "type": "imported",
                    "id": "redacted",
                    "revision": None,
                    "content_sha256": sha256_of([hashes, []]),
                    "available": _whole(source.get("available")),
                },
            }
        packages = own.software.get("packages") or {}
        return Manifest(
            study={"name": study.study, "hash": study.hash, "seed": study.seed, "base": "."},
            arms={name: self.arm_record(own.arms[name]) for name in study.arms},
            tasks=tasks,
            software={
                **{n: own.software[n] for n in ("quantrial", "python") if n in own.software},
                "packages": {n: packages[n] for n in ("numpy", "scipy") if n in packages},
            },
            host={name: own.host[name] for name in _HOST if name in own.host},
            sessions=tuple({n: one[n] for n in _SESSION if n in one} for one in own.sessions),
            notes=("The texts of this run were replaced by keyed hashes (quantrial redact).",),
            design={n: v for n, v in own.design.items() if isinstance(v, int | float)}
            | {n: v for n, v in own.design.items() if n == "schedule"},
        )

    def arm_record(self, arm: ArmRecord) -> ArmRecord:
        """Return what is recorded of an arm's weights."""
        said = {name: arm[name] for name in _ARM if name in arm}
        said |= {name: self.hashed.maybe(arm[name]) for name in _ARM_HASHED if name in arm}
        if arm.engine == "scripted" and "sha256" in said:  # it has no weights: a hash of its name
            said["sha256"] = self.hashed.maybe(said["sha256"])
        known = arm.engine in (*OWN["quantrial.engines"], "imported")
        options = {n: v for n, v in arm.options.items() if isinstance(v, bool | int | float)}
        if known:
            said["engine"], said["options"] = arm.engine, options
        return ArmRecord.from_json(said)


def _is_named(item: Item, wanted: str) -> bool:
    name, pair, value = wanted.partition("=")
    return item.id == wanted or (bool(pair) and str(item.metadata.get(name)) == value)


def _own_names(values: Mapping[str, float | None]) -> dict[str, float | None]:
    """Keep numbers under names such as quantrial writes."""
    return {n: value for n, value in values.items() if re.fullmatch(r"[a-z_]{1,32}", n)}


def _reason(reason: str | None) -> str | None:
    """Return why an answer ended, where it is a word that servers have for it."""
    return reason if reason is None or reason in _REASONS else "other"


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, bool | int | float) else None


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) else None
