"""A study that is run without a folder, and what comes of it as types."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from quantrial.analysis.outcomes import clusters_of
from quantrial.commands.results import analyze, load_results
from quantrial.commands.studies import run
from quantrial.documents import ScoreComparison, TurnedScores
from quantrial.errors import StudyError
from quantrial.registry import hint_of, kind_of
from quantrial.runfolder import RunFolder
from quantrial.words import evidence_line

if TYPE_CHECKING:
    from quantrial.documents import Summary, TaskSummary
    from quantrial.documents.decision import Decision
    from quantrial.running import Listener
    from quantrial.study import Study


@dataclass(frozen=True, slots=True)
class Trial:
    """What a study comes to: `summary.json` and `decision.json` as types.

    It prints as the decision and its evidence; in a notebook, with tables of each task. Calling
    `comparison` gives a task's result in the type that `compare_scores` returns.
    """

    summary: Summary
    decision: Decision
    clusters: Mapping[str, int | None]

    def comparison(
        self, task: str | None = None, candidate: str | None = None, endpoint: str | None = None
    ) -> ScoreComparison:
        """Return one arm against the reference on one endpoint of a task.

        Args:
            task: its name; the only one by default.
            candidate: the arm; the only candidate by default.
            endpoint: its name; the task's primary one by default.

        Raises:
            StudyError: there is none of that name, or it has to be named.
        """
        part = self.summary.tasks[_one("task", task, list(self.summary.tasks))]
        named = next(name for name, own in self.summary.tasks.items() if own is part)
        reference = self.summary.reference
        others = [name for name in self.summary.arms if name != reference]
        arm = _one("candidate", candidate, others)
        name = _one("endpoint", endpoint or part.primary, list(part.endpoints))
        own = part.endpoints[name]
        pair = (reference, arm)
        contrasts = tuple(one for one in own.contrasts if (one.reference, one.candidate) == pair)
        test = contrasts[0].equivalence if contrasts else None
        return ScoreComparison(
            endpoint=name,
            arms={one: own.arms[one] for one in pair if one in own.arms},
            contrasts=contrasts,
            unit=own.unit,
            direction=own.direction,
            low=own.low,
            high=own.high,
            label=own.label,
            against=own.against,
            margin=None if test is None else test.margin,
            alpha=self.summary.alpha,
            methods=self.summary.methods,
            seed=self.summary.study.seed,
            clusters=self.clusters[named],
            turned=_turned(part, pair) if name in _shares(part) else None,
            warnings=part.warnings,
        )

    def __str__(self) -> str:
        lines = (evidence_line(one) for one in self.decision.findings.values() if _main(one.kind))
        return "\n".join((self.decision.default.text, *(f"- {line}" for line in lines)))

    def _repr_html_(self) -> str:
        from quantrial.documents.notebook import endpoint_html

        tables = (
            endpoint_html(part.main, f"{task}, {part.label(part.primary)}".replace("_", " "))
            for task, part in self.summary.tasks.items()
        )
        cautions = (f"<li>{escape(one.text)}</li>" for one in self.decision.cautions)
        return (
            f"<p><b>{escape(self.decision.default.text)}</b></p>"
            f"<ul>{''.join(cautions)}</ul>{''.join(tables)}"
        )


def trial(
    study: Study | Path | str,
    *,
    base: Path | str = ".",
    listener: Listener | None = None,
) -> Trial:
    """Ask, score, compare and decide, and keep nothing on disk: for a study built in code.

    The answers lie in a temporary folder while it runs, and are gone afterwards; an interrupted
    one begins anew. `quantrial.run` keeps them in a folder, goes on after a kill, and is what
    `verify` can check.

    Args:
        study: a study, or the path of its file.
        base: the folder that the study's relative paths start from.
        listener: told of the progress.

    Raises:
        StudyError, DataError, ModelFileError, EngineError: as `quantrial.run`.

    Example:
        >>> found = quantrial.trial("study.yaml")
        >>> found.comparison("sums", "q8_0").verdict is not None
        True
    """
    with tempfile.TemporaryDirectory(prefix="quantrial-") as folder:
        done = run(study, out=Path(folder) / "run", base=base, listener=listener).folder
        analyze(done)
        parsed, summary, decision = load_results(done)
        clusters: dict[str, int | None] = {}
        for task, items in RunFolder(done).read_items().items():
            spec = parsed.tasks[task]
            groups, _ = clusters_of(items, spec.cluster, spec.stratify, spec.equal_items)
            clusters[task] = None if groups is None else len(np.unique(groups))
    return Trial(summary, decision, clusters)


def _one(what: str, asked: str | None, names: list[str]) -> str:
    if asked is None and len(names) == 1:
        return names[0]
    if asked is None:
        raise StudyError(f"there are several: name one of {', '.join(names)}", key=what)
    if asked not in names:
        raise StudyError(f"there is no {asked!r}; {hint_of(asked, names, 'there is: ')}", key=what)
    return asked


def _shares(part: TaskSummary) -> set[str]:
    """Name the endpoints of which 0 and 1 are all that an item can have: those that flips count."""
    kind = kind_of(part)
    right = kind.right or part.primary
    return {one.name for one in kind.endpoints if one.type == "proportion" and one.name == right}


def _turned(part: TaskSummary, pair: tuple[str, str]) -> TurnedScores | None:
    found = next((one for one in part.flips if (one.reference, one.candidate) == pair), None)
    if found is None:
        return None
    return TurnedScores(harmful=found.harmful, beneficial=found.beneficial)


def _main(kind: str) -> bool:
    return kind == "primary"
