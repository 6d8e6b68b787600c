"""A study file around one's own items: `quantrial init --workload`."""

from __future__ import annotations

import contextlib
import importlib.resources
import os
import re
import textwrap
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import orjson

from quantrial.commands.items import ItemsFound, counted, inspect_items, type_of
from quantrial.errors import DataError, DataWarning, StudyError
from quantrial.registry import GENERATORS
from quantrial.strict_yaml import parse_yaml, write_yaml
from quantrial.study import load_study
from quantrial.study.names import name_like
from quantrial.tasks.rows import name_in_template
from quantrial.tasks.sources import load_items

MOST_LINES = 30
_WIDTH = 100
_UNFOLDED = 10**6
_CONTEXT = 1024  # tokens; the least that a study is written with
_TRAINED = 8192  # tokens that the small model of the presets was trained on at once
_MOST_TOKENS = 4096  # of an answer
_SCORER = '''"""Scores answers: `score: [{python: "my_scorer.py:score"}]` in a study names it."""


def score(item, answer):
    """Say whether an answer is right: %s.

    `item` has `content`, `gold`, `id` and `metadata`, `answer` is a text. Return True or False, or
    a number where the study says `range: [0, 1]`.
    """
    return %s
'''
_EXAMPLE = (
    "it names the order, in at most 60 words",
    'item["content"]["order"] in answer and len(answer.split()) <= 60',
)
_WITH_GOLD = ("it contains the right one", 'str(item["gold"]).casefold() in answer.casefold()')
_WITHOUT_GOLD = ("it has 1 to 60 words", "1 <= len(answer.split()) <= 60")


@dataclass(frozen=True, slots=True)
class Workload:
    """What a study of one sort of work asks, and what its example is called.

    Without an example the items are one's own, or made from a seed.
    """

    asks: str
    items: str | None
    max_tokens: int


WORKLOADS: Mapping[str, Workload] = {
    "routing": Workload(
        "Which label fits best? Answer with one label and nothing else.\nThe labels are: {labels}.",
        "tickets.jsonl",
        16,
    ),
    "extraction": Workload(
        "Answer with one JSON object with these keys: {keys}. A value that is not there is null.",
        "invoices.jsonl",
        256,
    ),
    "qa": Workload("Answer in as few words as possible.", "questions.jsonl", 32),
    "math": Workload("Think step by step. End with: Answer: <number>", "problems.jsonl", 512),
    "tools": Workload(
        "You can call these functions:\n{{{{ {tools} }}}}\nAnswer with the call and nothing "
        'else, as {{"name": ..., "arguments": {{...}}}}. Where none fits, answer in words.',
        "requests.jsonl",
        128,
    ),
    "custom": Workload("Reply to this in at most three sentences.", "messages.jsonl", 128),
    "long-context": Workload("Answer in as few words as possible, from the text alone.", None, 32),
    "instructions": Workload("Keep every constraint that is asked for.", None, 256),
    "languages": Workload(
        "Answer in the language of the question, in as few words as possible.", None, 32
    ),
}
"""The sorts of work that a study can be written for."""


@dataclass(frozen=True, slots=True)
class Started:
    """What was written, and what was found in the items.

    Attributes:
        study: the study file.
        written: every file that was written.
        items: what the file of items holds.
        labels: how often each label occurs; empty where the answers are no labels.
        refusal: why `plan` would refuse the items; None where it would not.
    """

    study: Path
    written: tuple[Path, ...]
    items: ItemsFound
    labels: Mapping[str, int]
    refusal: str | None


def is_generated(workload: str | None, items: object, generate: int | None) -> bool:
    """Whether a study asks items that are made from a seed.

    Where a number of them is asked for, or no items are given and the workload has no example.

    Raises:
        StudyError: items are given as well as a number to make.
    """
    if generate is not None and items is not None:
        raise StudyError("is another source of items than --generate; give one", key="--items")
    if workload is None or items is not None:
        return False
    example = workload in WORKLOADS and WORKLOADS[workload].items is not None
    return generate is not None or (workload in GENERATORS.names() and not example)


def start(
    path: Path,
    workload: str,
    *,
    preset: str,
    items: Path | None = None,
    gold: str | None = None,
) -> Started:
    """Write a study file around one's own items, or around a few examples that are written beside.

    Args:
        path: where the study is written.
        workload: one of `WORKLOADS`.
        preset: the text of a study whose arms are taken.
        items: the file of items; examples by default.
        gold: the field with the right answer; by its name by default.

    Raises:
        StudyError: a file is there already, or the items lack what the workload needs.
        DataError: the items cannot be read.
    """
    if workload not in WORKLOADS:
        raise StudyError(
            f"there is no workload {workload!r}; there are {', '.join(WORKLOADS)}", key="--workload"
        )
    new: dict[Path, str] = {}
    example = WORKLOADS[workload].items
    if items is None:
        if example is None:
            raise StudyError("has no example items; give your own by --items FILE", key="--items")
        items = path.parent / example
        new[items] = _example(f"{workload}.jsonl")
    scorer = path.parent / "my_scorer.py"
    if workload == "custom":
        new[scorer] = _SCORER % _EXAMPLE
    for one in (path, *new):
        if one.exists() or one.is_symlink():
            hint = {path: "; name another file", items: f"; use it by `--items {one.name}`"}
            raise StudyError(f"exists already{hint.get(one, '')}; nothing was written", path=one)
    for one, text in new.items():
        if one != scorer:
            _write(one, text)
    found = inspect_items(items, workload, gold)
    writer = _Writer(path, workload, found, preset)
    if scorer in new:
        if items not in new:
            new[scorer] = _SCORER % (_WITH_GOLD if found.gold else _WITHOUT_GOLD)
        _write(scorer, new[scorer])
    _write(path, writer.text())
    if (context := writer.context()) > _TRAINED:
        long = (
            f"The longest item needs a context of about {context:,} tokens. Name a model that was "
            f"trained on so many; the small one of `--preset embedded` was on {_TRAINED:,}."
        )
        found = replace(found, warnings=(*found.warnings, long))
    return Started(path, (path, *new), found, writer.labels, _refusal(path))


def _example(name: str) -> str:
    source = importlib.resources.files("quantrial.presets") / "workloads" / name
    return source.read_text(encoding="utf-8")


def _write(path: Path, text: str) -> None:
    try:
        with path.open("x", encoding="utf-8", newline="\n") as file:
            file.write(text)
    except FileExistsError as exc:
        raise StudyError("exists already; name another file", path=path) from exc
    except OSError as exc:
        raise StudyError(f"cannot be written ({exc.strerror})", path=path) from exc


def _refusal(path: Path) -> str | None:
    study = load_study(path)
    ((name, task),) = study.tasks.items()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DataWarning)
            load_items(name, task, base=path.parent)
    except (DataError, StudyError) as exc:
        return str(exc)
    return None


class _Writer:
    """Writes the study of one file of items."""

    def __init__(self, path: Path, workload: str, found: ItemsFound, preset: str):
        self.path, self.workload, self.found = path, workload, found
        self.what = WORKLOADS[workload]
        self.preset: Any = parse_yaml(preset)
        self.name = name_like(found.path.stem) or workload
        self.labels = counted(found.golds) if workload == "routing" else {}
        self.fields = _field_types(found.golds) if workload == "extraction" else {}
        if workload == "routing" and len(self.labels) < 2:
            raise StudyError(
                f"{found.gold} of {found.path.name} holds {len(self.labels)} labels; routing needs "
                "at least two. Name another field by --gold FIELD"
            )
        if workload == "extraction" and not self.fields:
            raise StudyError(
                f"{found.gold} of {found.path.name} holds no JSON object; extraction needs one in "
                "each row, with the right values by name. Name another field by --gold FIELD"
            )

        offered = {one.name.casefold(): one for one in found.fields if one.longest}
        self.offered = next((offered[name] for name in _TOOLS if name in offered), None)
        self.tools = ""
        if workload == "tools":
            if self.offered is None:
                raise StudyError(
                    f"no field of {found.path.name} is named {', '.join(_TOOLS[:3])}; each row "
                    "needs the list of functions that may be called, as JSON schemas"
                )
            said = self.offered.holds == "text"
            self.tools = name_in_template(self.offered.name) + ("" if said else " | tojson")

    def text(self) -> str:
        """Return the text of the study; a long list stands on one line where it would be long."""
        lines: list[str] = []
        for width in (_WIDTH, _UNFOLDED):
            lines = [*self._head(), *self._task(width)]
            if len(lines) <= MOST_LINES:
                break
        return "\n".join(lines) + "\n"

    def _head(self) -> list[str]:
        lines = [
            f"# Next: `quantrial plan {self.path.name}` says what this costs, `quantrial prompts`",
            "# what is asked, `quantrial run` asks it and decides. All keys: docs/study-file.md",
            f"study: {self.name}",
            f"seed: {self.preset['seed']}",
            f"reference: {self.preset['reference']} # the arm that the others are compared with",
            "margin: 0.05 # the largest loss that you accept",
            "arms: # one model at several precisions; put yours here (docs/engines.md)",
        ]
        for name, arm in self.preset["arms"].items():
            if "control" not in arm:
                lines.append(f"  {name}: {_flow(self._arm(arm))}")
        return lines

    def _arm(self, arm: Mapping[str, Any]) -> Mapping[str, Any]:
        """Give an arm's context room for the longest item and its answer."""
        if "context" not in arm.get("options", {}):
            return arm
        return {**arm, "options": {**arm["options"], "context": self.context()}}

    def context(self) -> int:
        """Return how many tokens the longest item and its answer need, roughly: a power of two."""
        needed = self.found.longest_tokens + self._max_tokens() + 256
        if self.tools and self.offered is not None:
            needed += self.offered.longest // 3
        context = _CONTEXT
        while context < needed:
            context *= 2
        return context

    def _max_tokens(self) -> int:
        """Allow about twice what the longest right answer takes, if answers are such."""
        tokens = self.what.max_tokens
        if self.workload in ("extraction", "qa", "routing", "long-context", "languages"):
            longest = max(len(orjson.dumps(gold)) for gold in self.found.golds)
            while tokens < longest / 2 and tokens < _MOST_TOKENS:
                tokens *= 2
        return tokens

    def _task(self, width: int) -> list[str]:
        found = self.found
        path = Path(os.path.relpath(found.path, self.path.parent)).as_posix()
        gold, identity = _flow(found.gold), _flow(found.id)
        return [
            "tasks:",
            f"  {self.name}:",
            "    kind: text",
            f"    workload: {self.workload}",
            f"    source: {_flow({'type': type_of(found.path), 'path': path})}",
            *([f"    gold: {gold} # the field with the right answer"] if found.gold else []),
            *([f"    id: {identity}"] if found.id else []),
            *self._groups(),
            "    prompt: |- # {{ name }} is the value of a field",
            *(f"      {line}".rstrip() for line in self._prompt(width)),
            f"    max_tokens: {self._max_tokens()} # longer answers are cut",
            *self._score(width),
        ]

    def _groups(self) -> list[str]:
        """Declare the groups where the workload is about them; else name what looks like some."""
        groups = [*self.found.groups]
        if groups and WORKLOADS[self.workload].items is None:
            return [f"    stratify: {groups[0]} # is the loss larger in some of them?"]
        named = " or ".join(groups)
        return [f"    # stratify: {named} # or `cluster`: for groups like these"] if named else []

    def _prompt(self, width: int) -> Iterator[str]:
        keys = ", ".join(name + _KEYS.get(kind, "") for name, kind in self.fields.items())
        asks = self.what.asks.format(
            labels=_raw(", ".join(self.labels)), keys=_raw(keys), tools=self.tools
        )
        for line in asks.splitlines():
            yield from textwrap.wrap(
                line, width - 6, break_long_words=False, break_on_hyphens=False
            )
        yield ""
        names = [name_in_template(name) for name in self.found.shown]
        for name in names:
            yield f"{name}: {{{{ {name} }}}}" if len(names) > 1 else f"{{{{ {name} }}}}"

    def _score(self, width: int) -> Sequence[str]:
        if self.workload == "routing":
            many = any(isinstance(gold, list) for gold in self.found.golds)
            labels = _flow(
                {"labels": [*self.labels], "many": many} if many else [*self.labels], width
            )
            return (
                "    # constrained: true # decoding is held to the labels",
                "    score:",
                *_indented(f"- label: {labels}"),
            )
        if self.workload == "extraction":
            return (
                "    # constrained: true # decoding is held to an object of these fields",
                "    score: # each field by its type; docs/study-file.md lists the types",
                *_indented(f"- json: {_flow({'fields': self.fields}, width)}"),
            )
        if self.workload == "custom":
            more = "" if self.found.gold else ", needs_gold: false"
            python = f"{{python: my_scorer.py:score{more}}}" if more else "my_scorer.py:score"
            return (
                "    score: # your own code; it runs only with --allow-code",
                f"      - python: {python}",
            )
        if self.offered is not None and self.tools:
            template = (
                f"    # tools: {_flow(self.offered.name)} # in place of the list above, if the"
            )
            template += " model's own template shows tools"
            return (template, "    score:", *_indented(_SCORES["tools"]))
        return ("    score: # the first one decides", *_indented(_SCORES[self.workload]))


_SCORES = {
    "qa": "- exact: {normalize: squad} # case, punctuation, a, an, the make no difference\n"
    "- token_f1 # the share of words that are right",
    "math": "- number: {abs: 0.001} # `math` reads formulas, too",
    "tools": "- tool_call # function and arguments",
}
_SCORES |= {
    "long-context": _SCORES["qa"],
    "languages": _SCORES["qa"],
    "instructions": "- constraints # lines, words, beginnings; docs/study-file.md lists them",
}
_TOOLS = ("tools", "functions", "function", "available_tools")
_KEYS = {"number": " (a number)", "date": " (YYYY-MM-DD)", "set": " (a list)"}


def _field_types(golds: Sequence[Any]) -> dict[str, str]:
    """Guess the type of each field of objects, for the scorer `json`; `a.b` is a field within."""
    values: dict[str, list[Any]] = {}

    def add(found: Mapping[str, Any], before: str = "") -> None:
        for name, value in found.items():
            if isinstance(value, dict) and value:
                add(value, f"{before}{name}.")
            elif value not in (None, "", []):
                values.setdefault(f"{before}{name}", []).append(value)

    for gold in golds:
        found = gold
        if isinstance(gold, str):
            with contextlib.suppress(orjson.JSONDecodeError):
                found = orjson.loads(gold)
        if isinstance(found, dict):
            add(found)
    inside = {name[:at] for name in values for at, sign in enumerate(name) if sign == "."}
    return {name: _type(found) for name, found in values.items() if name not in inside}


def _type(values: Sequence[Any]) -> str:
    from quantrial.scorers.json_fields import read_date

    if all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in values):
        return "number"
    if all(isinstance(v, list) and all(isinstance(one, str) for one in v) for v in values):
        return "set"
    if not all(isinstance(v, str) for v in values):
        return "exact"
    with contextlib.suppress(ValueError):
        return "date" if all(map(read_date, values)) else ""
    return "exact" if any(re.search(r"\d", v) for v in values) else "casefold"


def _raw(text: str) -> str:
    """Keep a label that looks like a template from being read as one."""
    return f"{{% raw %}}{text}{{% endraw %}}" if re.search(r"\{[{%#]", text) else text


def _flow(value: Any, width: int = 10**9) -> str:
    return write_yaml(value, width=width - 20, flow=True)


def _indented(text: str) -> list[str]:
    return textwrap.indent(text, "      ").split("\n")
