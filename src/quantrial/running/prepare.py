"""From a study to what will be asked: items drawn, tasks made, prompts looked at. Nothing is spent.

The same weights, template file and messages can still give another prompt: a server adds a system
prompt, a template writes the date. What comes out is hashed before the first call of a session, and
after the last one where it could have changed in between.
"""

from __future__ import annotations

import functools
import re
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quantrial.design.sampling import draw
from quantrial.engines.templates import rendered
from quantrial.errors import DataError, DataWarning, QuantrialError
from quantrial.running.asking import request_for
from quantrial.tasks import Task, make_task
from quantrial.tasks.sources import is_known_control_token, load_items, texts_of
from quantrial.thought_tags import opening_tag_at_end

if TYPE_CHECKING:
    from quantrial.engines.base import Engine, Request
    from quantrial.records import ArmRecord, Item
    from quantrial.study import Study

    Records = Mapping[str, ArmRecord]


_LISTED = 20  # places that a manifest keeps
_SHORTEST = 3  # characters; what is shorter stands in any text


@dataclass(frozen=True, slots=True)
class Held:
    """What a task's items hold that an arm's model reads as control tokens.

    `places`: where each such item stands, and its first token.
    """

    task: str
    arm: str
    places: tuple[tuple[str, str], ...]

    def __str__(self) -> str:
        count, (where, token) = len(self.places), self.places[0]
        return (
            f"tasks.{self.task}: {count} item{'s hold' if count > 1 else ' holds'} what the "
            f"model of {self.arm} reads as a control token, not as text (first: {where}, "
            f"{token!r}); take it out, or write it otherwise"
        )


def held_control_tokens(
    prepared: Prepared, engines: Mapping[str, Engine], records: Records
) -> Iterator[Held]:
    """Find items that hold a control token of a model's own vocabulary, where it is known.

    Those that stand in the templates of common models were told of when the items were read.

    Args:
        prepared: the items and solved examples.
        engines: by arm; those that know their vocabulary have a method `special_tokens`.
        records: the manifest's record of each arm: one vocabulary is looked at once.
    """
    looked_at: set[str | None] = set()  # vocabularies by their hash, and what was looked for
    for arm, engine in engines.items():
        vocabulary = records[arm].tokenizer_sha256
        if vocabulary is not None and vocabulary in looked_at:
            continue
        pattern = _pattern(engine)
        if pattern is None or pattern.pattern in looked_at:
            continue
        looked_at |= {vocabulary, pattern.pattern}
        for task in prepared.tasks:
            shots = getattr(prepared.tasks[task], "shots", ())
            places = tuple(
                (str(item.source), match[0])
                for item in (*prepared.items[task], *shots)
                if (match := _first(pattern, item))
            )
            if places:
                yield Held(task, arm, places)


def warn_of_control_tokens(
    prepared: Prepared, engines: Mapping[str, Engine], records: Records
) -> dict[str, dict[str, list[list[str]]]]:
    """Warn of what `held_control_tokens` finds; return it as a manifest keeps it, by task and arm.

    Warns:
        DataWarning: an item holds such a token.
    """
    kept: dict[str, dict[str, list[list[str]]]] = {}
    for held in held_control_tokens(prepared, engines, records):
        warnings.warn(str(held), DataWarning, stacklevel=3)
        places = [list(place) for place in held.places[:_LISTED]]
        kept.setdefault(held.task, {})[held.arm] = places
    return kept


def _pattern(engine: Engine) -> re.Pattern[str] | None:
    special: Iterable[str] = getattr(engine, "special_tokens", tuple)()
    tokens = {one for one in special if len(one) >= _SHORTEST and not is_known_control_token(one)}
    ordered = sorted(tokens, key=lambda token: (-len(token), token))
    return re.compile("|".join(map(re.escape, ordered))) if ordered else None


def _first(pattern: re.Pattern[str], item: Item) -> re.Match[str] | None:
    return next(filter(None, map(pattern.search, texts_of(item.content))), None)


_DEFAULTS = {"chatml": "ChatML (<|im_start|>role ... <|im_end|>)"}


def first_request(study: Study, prepared: Prepared) -> Request | None:
    """Return what is asked of the first item that has messages; without any, of the first item."""
    first = [
        request_for(task.prompt(item), study, name)
        for name, task in prepared.tasks.items()
        for item in prepared.items[name][:1]
    ]
    return next((one for one in first if one.messages), first[0] if first else None)


def with_templates(
    study: Study, prepared: Prepared, engines: Mapping[str, Engine], records: Records
) -> tuple[dict[str, ArmRecord], list[str]]:
    """Add to each arm's record what its template makes of the first item, where that can be known.

    Returns:
        The records with `template_applied_sha256`, `template_opens_thought` (the tag that the
        prompt ends in; None: no such tag, or not known) and, in `template_date`, whether the day is
        `written` in this prompt; and why an engine that could tell did not.
    """
    request = first_request(study, prepared)
    tags = [pair for task in prepared.tasks.values() for pair in task.thought_tags]
    found: dict[str, ArmRecord] = {}
    failed = []
    for arm, record in records.items():
        dated = record.template_date
        try:
            shown = request and rendered(
                engines[arm], request, held=dated.get("held") if dated else None
            )
        except (QuantrialError, ValueError) as exc:
            shown = None
            failed.append(f"the prompt as {arm} reads it is not known: {exc}")
        opens = opening_tag_at_end(shown.ending, tags) if shown else None
        found[arm] = record.with_template(shown.sha256 if shown else None, opens)
        if dated and dated["by"] and shown:
            written = {**dated, "written": shown.day_written}
            found[arm] = replace(found[arm], template_date=written)
    return found, failed


def resumed(recorded: Records, now: Records) -> dict[str, ArmRecord]:
    """Return the arms as they were recorded, with what was not known then and what has changed."""
    found = {}
    for arm, record in recorded.items():
        # a version that did not look at templates yet wrote neither
        applied = record if "template_applied_sha256" in record else now[arm]
        opens = record if "template_opens_thought" in record else now[arm]
        found[arm] = replace(
            record.with_template(applied.template_applied_sha256, opens.template_opens_thought),
            template_changed=record.template_changed or _other(record, now[arm]),
        )
    return found


def changed_since(
    study: Study, prepared: Prepared, engines: Mapping[str, Engine], records: Records
) -> list[str]:
    """Name the arms whose template makes something else of the first item now than was recorded.

    Asked of engines that answer with what they have at this moment alone.
    """
    open_ones = {arm: one for arm, one in engines.items() if not hasattr(one, "render_key")}
    known = {arm: records[arm] for arm in open_ones if records[arm].template_applied_sha256}
    now, _ = with_templates(study, prepared, open_ones, known)
    return [arm for arm, record in known.items() if _other(record, now[arm])]


def _other(then: ArmRecord, now: ArmRecord) -> bool:
    digests = {then.template_applied_sha256, now.template_applied_sha256} - {None}
    return len(digests) > 1


def writes_todays_date(record: ArmRecord) -> bool:
    """Whether an arm's template writes a date that nobody holds: another one every day."""
    dated = record.template_date or {}
    return bool(dated.get("by")) and not dated.get("held") and dated.get("written") is not False


def without_template(study: Study, prepared: Prepared, records: Records) -> Iterator[str]:
    """Say which model files hold no chat template though their tasks are chats."""
    request = first_request(study, prepared)
    for default, words in _DEFAULTS.items():
        arms = [arm for arm, one in records.items() if one.template_default == default]
        if arms and request is not None and request.messages:
            files = "file holds" if len(arms) == 1 else "files hold"
            yield (
                f"{', '.join(arms)}: the model {files} no chat template. llama.cpp uses "
                f"{words}, even if the model was not trained on it."
            )


@dataclass(frozen=True, slots=True)
class Prepared:
    """Everything that is decided before the first call."""

    tasks: Mapping[str, Task]
    items: Mapping[str, tuple[Item, ...]]
    provenance: Mapping[str, Mapping[str, Any]]

    @property
    def ids(self) -> dict[str, list[str]]:
        """The ids of each task's items, in the order they are asked."""
        return {name: [item.id for item in drawn] for name, drawn in self.items.items()}


@dataclass(frozen=True)
class OpenStudy:
    """A study that was read; its items are loaded once, when they are first asked for.

    `text` is the study file as it was written, `base` the folder that its relative paths start
    from, `folder` the run folder that it was read from, if it was.
    """

    study: Study
    text: str
    base: Path
    folder: Path | None = None

    @functools.cached_property
    def prepared(self) -> Prepared:
        """Its tasks and the items that are drawn.

        Raises:
            DataError: a source cannot be read, or holds fewer items than the sample asks for.
        """
        return prepare(self.study, base=self.base)


def prepare(study: Study, *, base: Path) -> Prepared:
    """Load and draw the items of every task.

    Args:
        study: the study.
        base: the folder that its relative paths start from.

    Raises:
        DataError: a source cannot be read, or holds fewer items than the sample asks for.
    """
    tasks: dict[str, Task] = {}
    items: dict[str, tuple[Item, ...]] = {}
    provenance: dict[str, Mapping[str, Any]] = {}
    for name, spec in study.tasks.items():
        try:
            loaded = load_items(name, spec, base=base)
            items[name] = draw(
                loaded.items, seed=study.seed, size=spec.sample, stratify=spec.stratify
            )
            _check_cluster(items[name], spec.cluster)
        except DataError as exc:
            raise DataError(f"{exc} (task {name!r})") from exc
        tasks[name] = make_task(name, spec, shots=loaded.shots, items=loaded.items)
        provenance[name] = {**loaded.provenance, "available": len(loaded.items)}
    return Prepared(tasks, items, provenance)


def _check_cluster(items: Sequence[Item], cluster: str | None) -> None:
    """Refuse a cluster that the items do not name, before anything is asked."""
    for item in items if cluster else ():
        if cluster not in item.metadata:
            there = ", ".join(sorted(item.metadata)) or "none"
            raise DataError(
                f"cannot cluster: {item.source or item.id} has no {cluster!r}; keys there: {there}"
            )
