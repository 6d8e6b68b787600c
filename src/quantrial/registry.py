"""Leaves by name: engines, importers, loggers, scorers, sources, kinds of tasks, of any package.

Each is an entry point, `name = module:object`. An installed package adds one under the group of its
registry; those of this package stand in `OWN`, in the same form, and are looked up the same way.
Nothing is imported before it is asked for, and a name of this package is not taken by another.
"""

from __future__ import annotations

import difflib
import functools
import importlib.metadata
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from quantrial.errors import StudyError

OWN: dict[str, dict[str, str]] = {
    "quantrial.engines": {
        "llamacpp": "quantrial.engines.llamacpp:LlamaCppEngine",
        "ollama": "quantrial.engines.ollama:OllamaEngine",
        "openai": "quantrial.engines.openai:OpenAIEngine",
        "scripted": "quantrial.engines.scripted:scripted_from_options",
    },
    "quantrial.importers": {
        "auto": "quantrial.importers.auto:read_auto",
        "deepeval": "quantrial.importers.deepeval:read_deepeval",
        "helm": "quantrial.importers.helm:read_helm",
        "inspect": "quantrial.importers.inspect:read_inspect",
        "lighteval": "quantrial.importers.lighteval:read_lighteval",
        "lm-eval": "quantrial.importers.lm_eval:read_lm_eval",
        "promptfoo": "quantrial.importers.promptfoo:read_promptfoo",
        "reference": "quantrial.importers.reference:read_reference",
        "scores": "quantrial.importers.scores:read_scores",
        "table": "quantrial.importers.table:read_table",
    },
    "quantrial.generators": {
        "long-context": "quantrial.generators.long_context:LONG_CONTEXT",
        "math": "quantrial.generators.arithmetic:ARITHMETIC",
        "qa": "quantrial.generators.answers:ANSWERS",
        "routing": "quantrial.generators.routing:ROUTING",
        "extraction": "quantrial.generators.extraction:EXTRACTION",
        "tools": "quantrial.generators.tools:TOOL_CALLS",
        "instructions": "quantrial.generators.instructions:INSTRUCTIONS",
        "languages": "quantrial.generators.languages:LANGUAGES",
    },
    "quantrial.loggers": {n: f"quantrial.loggers.{n}:log" for n in ("mlflow", "trackio", "wandb")},
    "quantrial.scorers": {
        "exact": "quantrial.scorers.exact:Exact",
        "contains": "quantrial.scorers.contains:Contains",
        "regex": "quantrial.scorers.regex:Regex",
        "python": "quantrial.scorers.python:Python",
        "token_f1": "quantrial.scorers.token_f1:TokenF1",
        "number": "quantrial.scorers.number:Number",
        "json": "quantrial.scorers.json_fields:Json",
        "schema": "quantrial.scorers.schema:Schema",
        "similarity": "quantrial.scorers.similarity:Similarity",
        "rouge_l": "quantrial.scorers.similarity:RougeL",
        "chrf": "quantrial.scorers.translation:Chrf",
        "bleu": "quantrial.scorers.translation:Bleu",
        "label": "quantrial.scorers.label:Label",
        "math": "quantrial.scorers.mathematics:Math",
        "tool_call": "quantrial.scorers.tool_call:ToolCalls",
        "constraints": "quantrial.scorers.constraints:Constraints",
    },
    "quantrial.sources": {
        "bundled": "quantrial.tasks.sources._jsonl:BUNDLED",
        "mmlu_csv": "quantrial.tasks.sources._mmlu:MMLU",
        "conll": "quantrial.tasks.sources._conll:CONLL",
        "jsonl": "quantrial.tasks.sources._jsonl:JSONL",
        "rows": "quantrial.tasks.sources._rows:ROWS",
        "generated": "quantrial.tasks.sources._generated:GENERATED",
        "csv": "quantrial.tasks.sources._tables:CSV",
        "parquet": "quantrial.tasks.sources._tables:PARQUET",
        "excel": "quantrial.tasks.sources._tables:EXCEL",
        "hub": "quantrial.tasks.sources._hub:HUB",
        "imported": "quantrial.tasks.sources._items:IMPORTED",
    },
    "quantrial.tasks": {
        "choice": "quantrial.tasks.choice:Choice",
        "spans": "quantrial.tasks.spans:Spans",
        "text": "quantrial.tasks.text:Text",
        "recorded": "quantrial.tasks.recorded:Recorded",
        "redacted": "quantrial.tasks.recorded:Redacted",
    },
}


@dataclass(frozen=True, slots=True)
class Registry:
    """The leaves of one sort: the `group` of their entry points, and what one is called."""

    group: str
    noun: str

    def names(self) -> list[str]:
        """Name all that there are: this package's in their order, then the others', sorted."""
        own = OWN[self.group]
        return [*own, *sorted(self._points().keys() - own.keys())]

    def load(self, name: str, *, key: str | None = None) -> Any:
        """Import the object that a name stands for.

        Args:
            name: as a study writes it.
            key: where it stands in the study, for messages.

        Raises:
            StudyError: there is none of that name (the nearest is named), or what an installed
                package says of it cannot be imported; of a package that it lacks, what installs it.
        """
        points = self._points()
        if name not in points:
            hint = hint_of(name, self.names(), "there is: ")
            raise StudyError(f"unknown {self.noun} {name!r}; {hint}", key=key)
        try:
            return points[name].load()
        except Exception as exc:  # another package's code may raise anything
            if name in OWN[self.group]:
                raise
            message = f"the {self.noun} {name!r} could not be made ({type(exc).__name__}: {exc})"
            if isinstance(exc, ModuleNotFoundError):
                message += _what_installs(points[name], exc.name or "")
            raise StudyError(message, key=key) from exc

    def _points(self) -> dict[str, importlib.metadata.EntryPoint]:
        own = OWN[self.group]
        point = importlib.metadata.EntryPoint
        points = _installed(self.group, tuple(sys.path))
        return points | {name: point(name, where, self.group) for name, where in own.items()}


def _what_installs(point: importlib.metadata.EntryPoint, missing: str) -> str:
    """Say what installs the package that an entry point's module lacks: its extra, where named.

    An entry point names one as `name = module:object [extra]`. Nothing is said where the module
    itself is missing.
    """
    package = missing.partition(".")[0]
    if not package or package == point.module.partition(".")[0]:
        return ""
    own = point.dist.name if point.dist is not None else None
    wanted = f"{own}[{','.join(point.extras)}]" if own and point.extras else package
    return f"; `pip install '{wanted}'` installs what it lacks"


@functools.cache
def _installed(group: str, path: tuple[str, ...]) -> dict[str, importlib.metadata.EntryPoint]:
    """Find what packages add to a group, once for each path that they are looked for on."""
    return {point.name: point for point in importlib.metadata.entry_points(group=group)}


ENGINES = Registry("quantrial.engines", "engine")
GENERATORS = Registry("quantrial.generators", "generator of items")
IMPORTERS = Registry("quantrial.importers", "importer")
LOGGERS = Registry("quantrial.loggers", "tracker")
SCORERS = Registry("quantrial.scorers", "scorer")
SOURCES = Registry("quantrial.sources", "source")
TASKS = Registry("quantrial.tasks", "kind of task")


class Measured(Protocol):
    """What says which kind of task something is of, and what else its endpoints follow from."""

    @property
    def kind(self) -> str:
        """The name of the kind."""

    @property
    def measures(self) -> Sequence[Mapping[str, Any]] | None:
        """What is measured where the kind alone does not say it, such as entries of `score`."""


def kind_of(part: Measured) -> Any:
    """Return the kind of task, as a class, that a part of a study or of a summary is of."""
    kind, measures = TASKS.load(part.kind), part.measures
    if not measures or "samples" not in measures[0]:
        return kind.variant(measures)
    from quantrial.tasks.sampling import sampled

    return sampled(kind.variant(measures[1:] or None), measures[0]["samples"])


def nearest(asked: str, names: Collection[str], *, cutoff: float = 0.5) -> str | None:
    """Return the name that was most likely meant; None where none is near."""
    near = difflib.get_close_matches(asked, names, n=1, cutoff=cutoff)
    return near[0] if near else None


def hint_of(asked: str, names: Collection[str], otherwise: str) -> str:
    """Ask after the nearest name, or, where none is near, list them all after `otherwise`."""
    near = nearest(asked, names)
    return f"did you mean {near!r}?" if near else f"{otherwise}{', '.join(names)}"
