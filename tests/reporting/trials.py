"""A small trial to report on, and readers of what was written about it."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import quantrial
from quantrial.analysis import TaskOutcomes
from quantrial.commands.derived import score_run
from quantrial.decision import decide_from
from quantrial.documents import load_summary
from quantrial.documents.decision import load_decision
from quantrial.records import Manifest, manifest_from_json
from quantrial.reporting import ReportFiles, Results, render, write_report
from quantrial.study import Study, load_study
from studies import write_study
from summaries import tradeoffs_of

Rows = list[dict[str, str]]


@dataclass(frozen=True)
class Trial:
    """Everything a report is made from."""

    study: Study
    summary: dict[str, Any]
    decision: dict[str, Any]
    manifest: Manifest
    outcomes: Mapping[str, TaskOutcomes] | None = None

    def results(self) -> Results:
        return Results(
            self.study,
            load_summary(self.summary),
            load_decision(self.decision),
            self.manifest,
            self.outcomes,
        )

    def render(self) -> dict[str, str]:
        return render(self.results()).documents

    def with_summary(self, summary: dict[str, Any]) -> Trial:
        """Replace the summary, and the trade-offs and the decision that follow from it."""
        summary = summary | {"tradeoffs": tradeoffs_of(summary)}
        return replace(self, summary=summary, decision=decide_from(summary))

    def copied(self) -> dict[str, Any]:
        return copy.deepcopy(self.summary)


def run_trial(folder: Path, **changes: Any) -> Trial:
    """Answer, analyse and decide a scripted study."""
    run = folder / "run"
    quantrial.run(write_study(folder, **changes), out=run)
    summary = quantrial.analyze(run)
    manifest = (run / "manifest.json").read_bytes()
    return Trial(
        load_study(run / "study.yaml"),
        summary,
        quantrial.decide(run),
        manifest_from_json(manifest, path="manifest.json"),
        outcomes=score_run(run),
    )


def markdown_tables(text: str) -> dict[str, list[Rows]]:
    """Read the tables of a Markdown text, by the heading they stand under."""
    found: dict[str, list[Rows]] = {}
    heading, block = "", list[str]()
    for line in [*text.splitlines(), ""]:
        if line.startswith("#"):
            heading = line.lstrip("# ")
        if line.startswith("|"):
            block.append(line)
        elif block:
            heads, _, *rows = (_fields(one) for one in block)
            found.setdefault(heading, []).append(
                [dict(zip(heads, row, strict=True)) for row in rows]
            )
            block = []
    return found


def _fields(line: str) -> list[str]:
    fields = re.split(r"(?<!\\)\|", line)[1:-1]
    return [re.sub(r"\\([^\w\s])", r"\1", one.strip()) for one in fields]


@dataclass
class Page(HTMLParser):
    """What stands in an HTML page."""

    html: str
    tags: list[str] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    attributes: list[tuple[str, str]] = field(default_factory=list)
    rows: dict[str, list[str]] = field(default_factory=dict)
    tables: list[list[list[str]]] = field(default_factory=list)
    text: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._row_id, self._cell = "", False
        self.feed(self.html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.tags.append(tag)
        self.attributes += given.items()
        if "id" in given:
            self.ids.append(given["id"])
        if "href" in given:
            self.links.append(given["href"])
        if tag == "table":
            self.tables.append([])
        if tag == "tr":
            self.tables[-1].append([])
            self._row_id = given.get("id", "")
            if self._row_id:
                self.rows[self._row_id] = self.tables[-1][-1]
        if tag in ("td", "th"):
            self._cell = True
            self.tables[-1][-1].append("")

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th"):
            self._cell = False

    def handle_data(self, data: str) -> None:
        self.text.append(data)
        if self._cell:
            self.tables[-1][-1][-1] += data


def written(trial: Trial, folder: Path) -> ReportFiles:
    """Write the report of a trial into a folder."""
    return write_report(folder, trial.results())
