"""Free text: a prompt from a template, an answer that is read in steps and scored by scorers.

Which endpoints a task has follows from its `score:`; each list of scorers is a kind of its own,
made by `Text.variant`.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Self

import orjson

from quantrial.errors import ScoringError
from quantrial.records import canonical_json
from quantrial.registry import SCORERS
from quantrial.scorers.base import Said, Score, Scorer
from quantrial.scorers.regex import search
from quantrial.study import TextTask
from quantrial.study.tools import tools_of
from quantrial.tasks.answer import as_answer
from quantrial.tasks.base import Endpoint, Outcome, Prompt, Rate, Task
from quantrial.tasks.prompting import Prompts
from quantrial.tasks.rows import (
    KEYS,
    ReadRow,
    Row,
    Where,
    metadata_of,
    name_in_template,
    shots_for,
)

if TYPE_CHECKING:
    from quantrial.records import Item
    from quantrial.study.scoring import ReadStep
    from quantrial.tasks.answer import Answer

_LONGEST_ID = 200
_CELLS = frozenset({"csv", "excel"})  # sources whose cells hold no lists and objects but as text
_FENCED = re.compile(r"```[^\n`]*\n(.*?)(?:```|\Z)", re.DOTALL)
_MOST_STARTS = 1000  # places of a text where a JSON value is looked for


def first_json(text: str) -> str | None:
    """Return the first whole JSON object or array in a text; None where there is none."""
    decoder = json.JSONDecoder(parse_int=float)  # 10^5 digits are no reason to wait
    for count, start in enumerate(re.finditer(r"[{\[]", text)):
        if count >= _MOST_STARTS:
            break
        try:
            _, end = decoder.raw_decode(text, start.start())
        except (ValueError, RecursionError):
            continue
        return text[start.start() : end]
    bare = text.strip()
    try:
        decoder.decode(bare)
    except (ValueError, RecursionError):
        return None
    return bare


def _fenced(text: str) -> str | None:
    found = _FENCED.findall(text)
    return found[-1].strip() if found else None


_STEPS: Mapping[str, Callable[[str], str | None]] = {
    "strip": str.strip,
    "json": first_json,
    "fenced": _fenced,
}


def read_step(step: ReadStep, text: str) -> str | None:
    """Take one step from a text towards what is scored; None where it finds nothing.

    Raises:
        ScoringError: the search for a pattern takes too long.
    """
    if step.step is not None:
        return _STEPS[step.step](text)
    if step.after is not None:
        _, found, rest = text.rpartition(step.after)
        return rest.strip() if found else None
    return search(str(step.regex), text, step.take)


class Text(Task):
    """The task kind `text`, made from its part of the study; see `variant`."""

    kind = "text"
    part = TextTask
    endpoints: ClassVar[Sequence[Endpoint]] = ()
    scorers: Sequence[Scorer] = ()
    names: ClassVar[Sequence[str]] = ()
    refuses_contradictions = True

    def __init__(self, name: str, spec: TextTask, shots: Sequence[Item] = ()):
        super().__init__(name, spec, shots)
        self.spec = spec
        # with what their own entries know beside the options: the files that they run
        self.scorers = tuple(
            type(one)(part) for one, part in zip(self.scorers, spec.score, strict=True)
        )
        self.prompts = Prompts(name, spec)
        self._schema = self.scorers[0].schema() if spec.constrained else None
        needs = {"schema": spec.constrained, "tools": spec.tools}
        self.needs = frozenset(need for need, so in needs.items() if so)

    @classmethod
    def variant(cls, measures: Sequence[Mapping[str, Any]] | None) -> type[Task]:
        """Return the kind that scores so: with the endpoints of these entries of `score`."""
        return _variant(canonical_json(list(measures or ())))

    @classmethod
    def made(
        cls, name: str, spec: TextTask, shots: Sequence[Item] = (), items: Sequence[Item] = ()
    ) -> Self:
        """Make the task of a study; the templates' names are looked for in all its items."""
        task = cls(name, spec, shots)
        if items:
            task.prompts.check({key for item in items for key in task.fields(item)})
        return task

    @classmethod
    def reader(cls, spec: Any, key: str) -> ReadRow:
        """Read rows as the study names their parts; what the templates show is the content."""
        name = key.removeprefix("tasks.")
        shown = Prompts(name, spec).fields
        return functools.partial(_row, spec=spec, shown=shown, scorers=cls.scorers)

    @classmethod
    def shown(cls, row: Row) -> str:
        """Write a row's right answer for a message."""
        return f"{row.gold!r:.60}"

    def scorer_id(self) -> str:
        """Name the code that scores: of the modules, and of files of the study."""
        files = "".join(scorer.source for scorer in self.scorers)
        own = super().scorer_id()
        return hashlib.sha256((own + files).encode()).hexdigest()[:16] if own and files else own

    def limit(self, item: Item) -> int | None:
        """Return the most tokens that an answer may have; None where it was asked for elsewhere."""
        return None if self.spec.source.type == "imported" else self.spec.max_tokens

    def prompt(self, item: Item) -> Prompt:
        """Fill the templates in, after the solved examples."""
        made = self.prompts.prompt(
            item,
            shots_for(item, self.shots, self.spec.shots),
            self.fields,
            lambda shot: self.scorers[0].example(shot.gold),
            max_tokens=self.spec.max_tokens,
            stop=self.spec.stop,
            schema=self._schema,
            tools=self._tools(item),
        )
        # tools of an item's own stand in front of what prompts share
        return replace(made, shared=0) if isinstance(self.spec.tools, str) else made

    def _tools(self, item: Item) -> tuple[Mapping[str, Any], ...]:
        tools = self.spec.tools
        return tools_of(item.content[tools]) if isinstance(tools, str) else tools or ()

    def score(self, item: Item, answer: Answer | str) -> Outcome:
        """Read the answer and ask each scorer; the first one says what was understood.

        Raises:
            ScoringError: a scorer fails; the message names it and the item.
        """
        said = as_answer(answer)
        return self._outcome(item, lambda scorer: self._scored(scorer, item, said))

    def _outcome(self, item: Item, ask: Callable[[Scorer], Score]) -> Outcome:
        values: dict[str, float] = {}
        first: Score | None = None
        for name, scorer in zip(self.names, self.scorers, strict=True):
            try:
                one = ask(scorer)
            except ScoringError as exc:
                raise ScoringError(f"{self.name}, item {item.id}, {name}: {exc}") from exc
            mark = "" if first is None else f"{name}."
            values |= {f"{mark}{column}": value for column, value in one.values.items()}
            first = first or one
        assert first is not None
        return Outcome(values, first.parsed, first.answer)

    @property
    def has_gold(self) -> bool:
        """Whether a field of the items says what is right."""
        return self.spec.has_gold

    def compare(self, item: Item, first: Answer, answer: Answer, own: Answer) -> Outcome:
        """Ask each scorer whether an answer says the same; what needs no gold is scored by itself.

        Raises:
            ScoringError: a scorer fails; the message names it and the item.
        """

        def ask(scorer: Scorer) -> Score:
            if not scorer.compares:
                return self._scored(scorer, item, own)
            found = self._alike(scorer, item, first, answer)
            if own is answer:
                return found
            mine = self._alike(scorer, item, first, own)  # what was read is the first answer's
            return replace(mine, values=found.values)

        return self._outcome(item, ask)

    def _alike(self, scorer: Scorer, item: Item, first: Answer, answer: Answer) -> Score:
        gold = self._as_gold(scorer, item, first)
        if gold is not None:
            return self._scored(scorer, replace(item, gold=gold), answer)
        same = answer.text.strip() == first.text.strip()
        said = self._as_gold(scorer, item, answer)
        return Score(scorer.alike(same=same), said is not None, said)

    def _as_gold(self, scorer: Scorer, item: Item, answer: Answer) -> Any:
        """Return what an answer says; None where it cannot be read."""
        with contextlib.suppress(ValueError):
            if (text := self._read(scorer, answer)) is not None:
                return scorer.as_gold(text, Said(answer, item, self._tools(item)))
        return None

    def _read(self, scorer: Scorer, answer: Answer) -> str | None:
        text: str | None = answer.text
        for step in self.spec.read or (scorer.reads,):
            if text is not None:
                text = _STEPS[step](text) if isinstance(step, str) else read_step(step, text)
        return text

    def _scored(self, scorer: Scorer, item: Item, answer: Answer) -> Score:
        text, said = self._read(scorer, answer), Said(answer, item, self._tools(item))
        return (
            scorer.unread(item.gold, said) if text is None else scorer.score(item.gold, text, said)
        )

    def chance(self, items: Sequence[Item]) -> float | None:
        """Primary endpoint of guessing blindly, where the first scorer knows it."""
        return self.scorers[0].chance([item.gold for item in items]) if self.has_gold else None

    def failures(self, pairs: Sequence[tuple[Item, Outcome]], rate: Rate) -> dict[str, Any]:
        """Count what could not be read, and what the first scorer counts beside."""
        own = self.scorers[0].failures(pairs, rate) if self.has_gold else {}
        return super().failures(pairs, rate) | dict(own)


def _row(
    record: dict[str, Any],
    where: Where,
    spec: TextTask,
    shown: frozenset[str],
    scorers: Sequence[Scorer],
) -> Row:
    there = ", ".join(record) or "none"
    named = {name_in_template(name): name for name in record}
    shown = frozenset(named.get(name, name) for name in shown)
    offered = spec.tools if isinstance(spec.tools, str) else None
    shown |= {offered} if offered else set()
    wanted = [one for one in (spec.id, *sorted(shown)) if one is not None]
    if spec.has_gold and any(scorer.needs_gold for scorer in scorers):
        wanted.append(spec.gold)
    for name in wanted:
        if name not in record:
            raise where.error(f"the field {name!r} is missing; fields there: {there:.200}")
        if record[name] is None:
            raise where.error(f"the field {name!r} is null; every item needs a value there")
    if offered:
        try:
            tools_of(record[offered])
        except ValueError as exc:
            raise where.error(f"the field {offered!r}: {exc}") from exc
    gold = record.get(spec.gold) if spec.has_gold else None
    if spec.source.type in _CELLS and isinstance(gold, str) and gold.lstrip()[:1] in ("[", "{"):
        with contextlib.suppress(orjson.JSONDecodeError):  # else a text that begins so
            gold = orjson.loads(gold)
    for scorer in scorers if spec.has_gold else ():
        if gold is not None or scorer.needs_gold:
            try:
                scorer.check(gold)
            except ValueError as exc:
                raise where.error(f"the field {spec.gold!r}: {exc}") from exc
    apart = ({spec.gold} if spec.has_gold else set()) | ({spec.id} if spec.id else set())
    nested = {k for k, v in record.items() if isinstance(v, (list, dict))}
    content = {k: v for k, v in record.items() if k not in apart and (k in shown or k in nested)}
    if not content:
        raise where.error(f"no field is shown: name one in the prompt; fields there: {there:.200}")
    groups = {spec.stratify, spec.cluster}
    metadata = metadata_of(record, (apart | content.keys()) - groups, where, KEYS)
    return Row(content, gold, metadata, where, _id(record, spec.id, where))


def _id(record: Mapping[str, Any], name: str | None, where: Where) -> str | None:
    if name is None:
        return None
    value = record[name]
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        raise where.error(f"the field {name!r} is {value!r:.40}; an id is a text or a whole number")
    text = str(value)
    if not text.isprintable() or not 0 < len(text.strip()) <= _LONGEST_ID:
        raise where.error(
            f"the field {name!r} is {text!r:.60}; an id has 1 to {_LONGEST_ID} letters"
        )
    return text


@functools.lru_cache(maxsize=64)
def _variant(measures: bytes) -> type[Text]:
    from pydantic import TypeAdapter

    from quantrial.study.scoring import AGREEMENT, Scoring, measures_of

    entry: TypeAdapter[Any] = TypeAdapter(Scoring)
    said = orjson.loads(measures)
    compared = said[:1] == [AGREEMENT]
    parts = [entry.validate_python(one) for one in said[compared:]]
    scorers = [SCORERS.load(part.scorer)(part) for part in parts]
    names = [part.name or part.scorer for part in parts]
    endpoints = [
        _agreement(own) if compared and scorer.compares else own
        for place, (part, scorer) in enumerate(zip(parts, scorers, strict=True))
        for own in _endpoints(scorer, part.name, names[place] if place else None)
    ]
    if not scorers:
        return Text
    first = scorers[0]
    right = None if first.right is None else _named(first.right, parts[0].name, first)
    return type(
        "Text",
        (Text,),
        {
            "__module__": Text.__module__,
            "endpoints": tuple(endpoints),
            "right": right,
            # how an answer fails beside what is right is not known where nothing is
            "failure_modes": (*Task.failure_modes, *(() if compared else first.failure_modes)),
            "failure_tables": (*Task.failure_tables, *(() if compared else first.failure_tables)),
            "scored_by": (
                *("quantrial.tasks.answer", "quantrial.thought_tags"),
                *dict.fromkeys(
                    name for one in scorers for name in (type(one).__module__, *one.scored_by)
                ),
            ),
            "scorers": tuple(scorers),
            "names": tuple(names),
            "measures": (*([AGREEMENT] if compared else []), *measures_of(parts)),
        },
    )


def _agreement(endpoint: Endpoint) -> Endpoint:
    """Turn an endpoint into that of saying the same as the reference's first answer."""
    said = endpoint.label or endpoint.name.replace("_", " ")
    return replace(
        endpoint,
        hub_metric=None,
        label=f"agreement ({said})",
        meaning="How far answers say the same as the reference's first answer. Of the reference "
        "itself it is that of its second answer to the same items. Counted as where a right answer "
        f"is known: {endpoint.meaning or said}",
        mitigation=None,
        written=None,
        against="reference",
    )


def _named(endpoint: str, name: str | None, scorer: Scorer) -> str:
    if name is None:
        return endpoint
    own = re.sub(r"\W", "_", name)
    return own if endpoint == scorer.endpoints[0].name else f"{own}_{endpoint}"


def _endpoints(scorer: Scorer, name: str | None, mark: str | None) -> Iterator[Endpoint]:
    """Name a scorer's endpoints, and its columns where it is not the first."""

    def marked(weights: Mapping[str, float]) -> Mapping[str, float]:
        return weights if mark is None else {f"{mark}.{k}": w for k, w in weights.items()}

    for endpoint in scorer.endpoints:
        yield replace(
            endpoint,
            name=_named(endpoint.name, name, scorer),
            numerator=marked(endpoint.numerator),
            denominator=marked(endpoint.denominator),
        )
