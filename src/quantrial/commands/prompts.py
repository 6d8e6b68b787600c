"""What an arm is really shown, item by item: the template applied where that can be known."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quantrial.commands.derived import open_study
from quantrial.errors import DataError, QuantrialError, StudyError
from quantrial.registry import hint_of

if TYPE_CHECKING:
    from quantrial.engines.base import Engine, Request
    from quantrial.records import Item
    from quantrial.running.prepare import OpenStudy, Prepared
    from quantrial.study import Study


@dataclass(frozen=True, slots=True)
class ShownPrompt:
    """What some arms are shown for one item.

    `text` is what their models read, template applied; None where that is not known, and `unknown`
    says why: then only the `messages` that are sent are known. `opens_thought` is the tag that the
    text ends in. `remarks` say what else is known of it. In a run folder, `tokens` are those that
    each arm counted, and `as_asked` whether these are the messages that were recorded.
    """

    task: str
    item: str
    arms: tuple[str, ...]
    text: str | None
    messages: tuple[tuple[str, str], ...]
    unknown: str | None = None
    opens_thought: str | None = None
    remarks: tuple[str, ...] = ()
    tokens: Mapping[str, int] = field(default_factory=dict)
    as_asked: bool | None = None
    max_tokens: int = 0
    stop: tuple[str, ...] = ()
    held_to: str | None = None
    tools: tuple[str, ...] = ()  # the names of those that may be called


def prompts(
    study: Study | OpenStudy | Path | str,
    *,
    task: str | None = None,
    item: str | None = None,
    arm: str | None = None,
    everything: bool = False,
    base: Path | str = ".",
) -> tuple[ShownPrompt, ...]:
    """Say what arms are shown, template applied where that can be known; no model is loaded.

    Args:
        study: a study, the path of its file, or the path of a run folder.
        task: only this one; all by default.
        item: the id of an item, or how it begins; the first of each task by default.
        arm: only this one; all by default, those together that are shown the same.
        everything: all items instead of one of each task.
        base: for a `Study` object: the folder that its relative paths start from.

    Raises:
        StudyError: the study has no such task, arm or item.
        DataError: its items cannot be read.

    Example:
        >>> first = quantrial.prompts("study.yaml")[0]
        >>> first.task, first.arms
        ('sums', ('f16', 'q8_0', 'q4_0'))
    """
    opened = open_study(study, base)
    study, folder = opened.study, opened.folder
    tasks = list(study.tasks) if task is None else [_named("task", task, study.tasks)]
    arms = list(study.arms) if arm is None else [_named("arm", arm, study.arms)]
    prepared = _prepared(opened)
    asked = list(_asked(study, prepared, tasks, item, everything=everything))
    if item is not None and not asked:
        some = ", ".join(one.id for name in tasks for one in prepared.items[name][:3])
        raise StudyError(f"no item begins with {item!r}; there is {some}, ...", key="--item")
    applied = {
        name: _applied(study, name, [one.request for one in asked], opened.base) for name in arms
    }
    recorded = {} if folder is None else _recorded(folder, tasks, arms)
    return tuple(
        shown for at, one in enumerate(asked) for shown in _shown(one, at, applied, recorded)
    )


@dataclass(frozen=True, slots=True)
class _Asked:
    """One chosen item, what is asked of it, the hash of that in a run, the task's own tags."""

    task: str
    item: str
    request: Request
    digest: str
    tags: Sequence[tuple[str, str]]


def _asked(
    study: Study, prepared: Prepared, tasks: Sequence[str], item: str | None, *, everything: bool
) -> Iterator[_Asked]:
    from quantrial.running.asking import prompt_hash, request_for

    for name in tasks:
        items = prepared.items.get(name, ())
        if item is not None:
            exact = [one for one in items if one.id == item]
            chosen: Sequence[Item] = exact or [one for one in items if one.id.startswith(item)]
        else:
            chosen = items if everything else items[:1]
        for one in chosen:
            prompt = prepared.tasks[name].prompt(one)
            request = request_for(prompt, study, name)
            tags = prepared.tasks[name].thought_tags
            yield _Asked(name, one.id, request, prompt_hash(prompt, request), tags)


@dataclass(frozen=True, slots=True)
class _Applied:
    """What an arm's template makes of every request, None where that is not known, and why not."""

    texts: Sequence[str | None]
    unknown: str | None = None
    remarks: tuple[str, ...] = ()


def _applied(study: Study, arm: str, requests: Sequence[Request], base: Path) -> _Applied:
    """Ask an arm's engine what its template makes of chats; texts are shown as they are."""
    from quantrial.engines import make_engine
    from quantrial.engines.templates import render

    chats = [request for request in requests if request.text is None]
    if not chats:
        return _Applied([request.text for request in requests])
    spec = study.arms[arm]
    try:
        with contextlib.closing(make_engine(arm, spec, base=base, seed=study.seed)) as engine:
            found = render(engine, chats)
            remarks = tuple(_remarks(engine))
            why = f"the engine {spec.engine!r} does not say what its template makes of messages"
    except QuantrialError as exc:
        found, remarks, why = None, (), str(exc)
    texts = iter(found or ())
    return _Applied(
        [next(texts, None) if one.text is None else one.text for one in requests],
        None if found is not None else why,
        remarks,
    )


def _remarks(engine: Engine) -> Iterator[str]:
    """Say what stands in for a template that is missing, and which day one is told."""
    tell = getattr(engine, "template_facts", None)
    facts: Mapping[str, Any] = {} if tell is None else tell()
    if facts.get("template_default"):
        yield "The model file holds no chat template: this is ChatML, llama.cpp's default."
    dated = facts.get("template_date") or {}
    if dated.get("held"):
        yield f"The template asks for the date; it gets {dated['held']}."
    elif dated.get("by"):
        yield "The template asks for the date; it always gets today's."


@dataclass(frozen=True, slots=True)
class _Recorded:
    """What a run recorded of one arm's answer to one item."""

    digest: str | None
    tokens: int | None


def _recorded(
    folder: Path, tasks: Sequence[str], arms: Sequence[str]
) -> dict[tuple[str, str, str], _Recorded]:
    from quantrial.runfolder import RunFolder

    return {
        (task, one.item, arm): _Recorded(one.prompt_sha256, one.prompt_tokens)
        for task in tasks
        for arm in arms
        for one in RunFolder(folder).read_responses(task, arm)
        if one.status == "ok" and not one.replicate
    }


def _shown(
    asked: _Asked,
    at: int,
    applied: Mapping[str, _Applied],
    recorded: Mapping[tuple[str, str, str], _Recorded],
) -> Iterator[ShownPrompt]:
    """Put the arms together that are shown the same, or of which the same is not known."""
    from quantrial.thought_tags import opening_tag_at_end

    request, chat = asked.request, asked.request.text is None
    alike: dict[Any, list[str]] = {}
    for arm, one in applied.items():
        alike.setdefault((one.texts[at], one.unknown, one.remarks), []).append(arm)
    held = "a JSON schema" if request.schema is not None else None
    for (text, unknown, remarks), arms in alike.items():
        records = {arm: recorded.get((asked.task, asked.item, arm)) for arm in arms}
        digests = {one.digest for one in records.values() if one and one.digest}
        yield ShownPrompt(
            task=asked.task,
            item=asked.item,
            arms=tuple(arms),
            text=text,
            messages=tuple((m.role, m.content) for m in request.messages),
            unknown=unknown if text is None else None,
            opens_thought=opening_tag_at_end(text, asked.tags)
            if chat and text is not None
            else None,
            remarks=remarks if chat else (),
            tokens={arm: one.tokens for arm, one in records.items() if one and one.tokens},
            as_asked=digests == {asked.digest} if digests else None,
            max_tokens=request.max_tokens,
            stop=request.stop,
            held_to=held or (None if request.grammar is None else "a grammar"),
            tools=tuple(str(one.get("function", one)["name"]) for one in request.tools),
        )


def _prepared(opened: OpenStudy) -> Prepared:
    """Read the items of a study; those of a run are its own, its source has the examples alone."""
    from quantrial.runfolder import RunFolder
    from quantrial.running.prepare import Prepared
    from quantrial.tasks import make_task

    if opened.folder is None:
        return opened.prepared
    items = {name: tuple(read) for name, read in RunFolder(opened.folder).read_items().items()}
    specs = opened.study.tasks
    try:
        tasks = opened.prepared.tasks
    except DataError:
        if any(spec.shots for spec in specs.values()):
            raise
        tasks = {n: make_task(n, spec, items=items.get(n, ())) for n, spec in specs.items()}
    return Prepared(tasks, items, {})


def _named(what: str, wanted: str, known: Iterable[str]) -> str:
    names = list(known)
    if wanted in names:
        return wanted
    hint = hint_of(wanted, names, "there is ")
    raise StudyError(f"no {what} {wanted!r}; {hint}", key=f"--{what}")
