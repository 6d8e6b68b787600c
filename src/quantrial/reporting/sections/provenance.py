"""What ran, on what, made of what; how to get it again; and what the study cannot say."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from quantrial.precision import stated_size, weights_in_words
from quantrial.reporting.blocks import Fact, Group, Section
from quantrial.reporting.glossary import section
from quantrial.reporting.sentences import flags
from quantrial.words import UNKNOWN, count, file_size, listed, moment, plural, short_hash

if TYPE_CHECKING:
    from quantrial.documents import Summary
    from quantrial.documents.decision import Decision
    from quantrial.records import ArmRecord, Manifest
    from quantrial.study import Study

Record = Mapping[str, Any]  # of the manifest


def provenance_section(manifest: Manifest) -> Section:
    """Name everything that the numbers depend on."""
    groups = []
    for arm, record in manifest.arms.items():
        groups.append(Group(f"Arm: {arm}", facts=tuple(_arm(record)), folded=True))
    for task, record in manifest.tasks.items():
        groups.append(Group(f"Data: {task}", facts=tuple(_task(record)), folded=True))
    groups.append(Group("Software and host", facts=tuple(_machine(manifest)), folded=True))
    sessions = tuple(_session(one) for one in manifest.sessions)
    if sessions:
        groups.append(Group("Sessions", items=sessions, folded=True))
    if manifest.notes:
        groups.append(Group("Notes of the run", items=tuple(map(str, manifest.notes)), folded=True))
    return section("provenance", "Provenance", groups)


def _arm(record: ArmRecord) -> Iterator[Fact]:
    engine = ", ".join(f"{name} {version}" for name, version in (record.versions or {}).items())
    yield Fact("model", _text(record.model), code=True)
    name = _text(record.engine)
    yield Fact("engine", f"{name} ({engine})" if engine else name)
    yield Fact("type", weights_in_words(record))
    yield Fact("weights", stated_size(record, file_size(record.bytes_on_disk)))
    if record.architecture:
        yield Fact("architecture", _text(record.architecture))
    if record.parameters:
        yield Fact("parameters", count(record.parameters))
    if record.context:
        yield Fact("context", plural(record.context, "token"))
    yield _hash("sha256", record.sha256)
    yield _hash("tokenizer", record.tokenizer_sha256)
    yield _hash("chat template", record.template_sha256)
    if record.derived_from:
        yield Fact("made from", _text(record.derived_from), code=True)
        yield Fact("source type", _text(record.source_quantization))
        yield _hash("source sha256", record.source_sha256)
    if record.options:
        yield Fact("options", _text(record.options), code=True)


def _task(record: Record) -> Iterator[Fact]:
    source = record.get("source") or {}
    yield Fact("source", _text(source.get("id")), code=True)
    if source.get("revision"):
        yield Fact("revision", _text(source["revision"]), code=True)
    yield _hash("content", source.get("content_sha256"))
    if judges := source.get("scored_by"):
        yield Fact("scored by", ", ".join(map(_text, judges)))
    yield Fact("items", count(record.get("items")))
    if source.get("available") is not None:
        yield Fact("available", count(source["available"]))
    duplicates = source.get("duplicates")
    if isinstance(duplicates, Sequence) and not isinstance(duplicates, str) and duplicates:
        yield Fact("rows of equal content", count(len(duplicates)))
    for key, name in (
        ("contradictions", "one question, two answers"),
        ("control_tokens", "control tokens in texts"),
    ):
        if places := source.get(key):
            shown = "; ".join(" and ".join(map(_text, place)) for place in places[:3])
            yield Fact(name, f"{shown} and more" if len(places) > 3 else shown)
    for name, digest in (source.get("files") or {}).items():
        yield Fact(f"file {name}", short_hash(digest), title=_text(digest), code=True)


def _machine(manifest: Manifest) -> Iterator[Fact]:
    software, host = manifest.software, manifest.host
    yield _hash("study", manifest.study.get("hash"))
    yield Fact("seed", _text(manifest.study.get("seed")))
    yield Fact("quantrial", _text(software.get("quantrial")))
    if software.get("python"):
        yield Fact("Python", _text(software["python"]))
    for name, version in (software.get("packages") or {}).items():
        yield Fact(str(name), _text(version))
    git = software.get("git")
    if git:
        state = "with uncommitted changes" if git.get("dirty") else "clean"
        commit = _text(git.get("commit"))
        yield Fact("git", f"{short_hash(commit)}, {state}", title=commit)
    else:
        yield Fact("git", "not in a checkout")
    if not host:
        yield Fact("host", UNKNOWN)
        return
    yield Fact("system", " ".join(_text(host.get(key)) for key in ("system", "release", "machine")))
    yield Fact("processor", _text(host.get("cpu")))
    yield Fact("cores", _text(host.get("cores")))
    yield Fact("memory", file_size(host.get("memory_bytes")))


def _session(record: Record) -> str:
    asked = record.get("asked")
    calls = plural(asked, "call") if isinstance(asked, int) else "calls unknown"
    return f"{moment(record.get('started_at'))} to {moment(record.get('ended_at'))}: {calls}"


def _hash(name: str, digest: Any) -> Fact:
    return Fact(name, short_hash(digest), title=digest or "", code=bool(digest))


def _text(value: Any) -> str:
    if value is None or value == "":
        return UNKNOWN
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True, default=str)


def limits_section(study: Study, summary: Summary, manifest: Manifest) -> Section:
    """Say what the study did not vary, and so cannot speak of."""
    items = list(_limits(study, summary, manifest))
    notes = tuple(study.notes)
    groups = [Group("What this study did not vary", items=tuple(items))]
    if notes:
        groups.append(Group("Notes of the study", items=notes))
    return section("limits", "Limits", groups)


def _limits(study: Study, summary: Summary, manifest: Manifest) -> Iterator[str]:
    imported = [n for n, task in study.tasks.items() if task.source.type == "imported"]
    if study.question == "engines":
        yield (
            f"One model, run in {plural(len(study.arms), 'way')}: {listed(list(study.arms))}. "
            "What is compared is the engines that run it, with their versions and options. Other "
            "models, and other versions of these engines, may behave otherwise."
        )
    else:
        yield (
            f"One model, as {plural(len(study.arms), 'artifact')}: {listed(list(study.arms))}. "
            "Other models, and other ways to quantize this one, may behave otherwise."
        )
    for name, task in study.tasks.items():
        asked = summary.tasks[name].flow.analysed_items
        words = f"{task.workload} is represented by one task, {name}: {plural(asked, 'item')}"
        if name in imported:
            by = "scored elsewhere" if task.kind == "recorded" else "asked by another program"
            yield f"{words}, {by}. Others may give another result."
        else:
            shots = plural(task.shots, "solved example") if task.shots else "no solved example"
            yield (
                f"{words}, one prompt ({task.prompt_format} format, {shots}), at most "
                f"{task.max_tokens} tokens an answer. Other items or prompts may give another "
                "result."
            )
    if imported:
        yield (
            "Another program collected the answers. Its records say how they were sampled, in what "
            "order and on what machine; nothing of it was controlled here."
        )
    else:
        yield (
            "Temperature 0 and one answer an item. This study did not look at sampling, nor at how "
            "answers vary when a question is repeated."
        )
        yield (
            f"One machine ({_text(manifest.host.get('cpu'))}, {_text(manifest.host.get('cores'))} "
            "cores): speeds, and on other hardware some answers, differ elsewhere."
        )
    yield f"One seed ({study.seed}) for the order of calls and for every draw."
    phase = summary.speed_phase
    if phase and phase.calls:
        yield (
            "Speed was measured one call at a time, without caches, at fixed lengths. It says "
            "nothing about many users at once, nor about prompts that share a beginning."
        )
    else:
        yield (
            "Speed was not measured in a phase of its own. It is taken from the timings of the "
            "same answers, one call at a time. It says nothing about many users at once."
        )
    if summary.methods == "classic":
        yield (
            "The classic method set claims equivalence too often when few answers change. Its "
            "percentile bootstrap then gives intervals that are too narrow, or none."
        )
    else:
        yield (
            "The calibrated method set was simulated, not proven. Its claims about F1 are rough "
            "where fewer than about ten answers changed; its claims over clusters, where these are "
            "few."
        )
    if not any(arm.control for arm in study.arms.values()):
        yield (
            "There is no positive control: nothing in this study shows that it would have found "
            "real harm."
        )
    if len(manifest.sessions) > 1:
        yield (
            f"The calls were made in {plural(len(manifest.sessions), 'session')}: what changed on "
            "the machine between them may show in the speeds."
        )
    git = manifest.software.get("git")
    if git and git.get("dirty"):
        yield "The git checkout held uncommitted changes when the run began."


def reproduce_section(
    study: Study, summary: Summary, decision: Decision, version: str | None
) -> Section:
    """The commands that give this report again."""
    imported = [task for task in study.tasks.values() if task.source.type == "imported"]
    run = "quantrial run study.yaml"
    if imported:
        layout = getattr(imported[0].source, "layout", "reference")
        layout = "scores" if imported[0].kind == "recorded" else layout
        run = f"quantrial import {layout} PATH -o RUN"
    given = decision.constrained
    commands = (
        run,
        f"quantrial analyze RUN --methods {summary.methods}",
        f"quantrial decide RUN{flags(given.constraints if given else None)}",
        "quantrial report RUN",
        "quantrial verify RUN",
    )
    groups = (
        Group("Commands", commands=commands),
        Group("To cite this report", items=(_citation(study, summary, version),)),
    )
    return section("reproduce", "How to reproduce", groups)


def _citation(study: Study, summary: Summary, version: str | None) -> str:
    made = f"quantrial {version}" if version else "quantrial"
    return (
        f"Study “{study.study}” (hash {short_hash(study.hash)}, seed {study.seed}): "
        f"{listed(list(summary.arms))}, compared by a paired trial with {made}, "
        f"{summary.methods} methods."
    )
