"""Named entities as a JSON array: prompts, the reader of arrays, scoring, and the rules of a row.

A row has tagged tokens, or pairs of text and type, the same for every source. Tags are read as
IOB1, BIO, BIOES, BILOU or BMES; which of them, each tag says by itself.
"""

from __future__ import annotations

import functools
import json
import re
import warnings
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from quantrial.errors import DataWarning, StudyError
from quantrial.study import SpansTask
from quantrial.tasks.answer import as_answer
from quantrial.tasks.base import (
    FORMAT_BROKEN,
    Endpoint,
    FailureCount,
    FailureMode,
    Outcome,
    Prompt,
    Rate,
    Task,
)
from quantrial.tasks.prompting import Prompts
from quantrial.tasks.rows import KEYS, Row, Where, find, metadata_of, plain, shots_for
from quantrial.tasks.span_errors import NO_ERRORS, SpanErrors, classify
from quantrial.tasks.span_reader import Span, compared, composed, read_spans
from quantrial.tasks.tables import ANSWERS, CUT_SHORT, FailureColumn, FailureTable
from quantrial.words import plural

if TYPE_CHECKING:
    from quantrial.records import Item
    from quantrial.tasks.answer import Answer

__all__ = ["READERS", "Span", "Spans", "gold_spans", "normalize", "parse_spans"]

_TAG = re.compile(r"O|[BIELMSUW]-\S+")
_OPENS, _ENDS = "BSUW", "ELSUW"  # S, U and W do both: a span of one token
_BLANK = " \t\r\n"  # a token of real text may well be another white space


def check_token(token: Any, where: Where, *, number: int | None = None) -> str:
    """Return a token that is a text; `number` says which one it is in its row, from 1."""
    which = "the token" if number is None else f"token {number}"
    if not isinstance(token, str):
        raise where.error(f"{which} is {token!r:.40}; expected a text")
    if not token.strip(_BLANK):
        raise where.error(f"{which} is empty")
    return token


def check_tag(tag: Any, where: Where, *, number: int | None = None) -> str:
    """Return a tag that is O, or a type after a letter of BIO, BIOES, BILOU or BMES."""
    if not isinstance(tag, str) or not _TAG.fullmatch(tag):
        which = "the tag" if number is None else f"tag {number}"
        raise where.error(
            f"{which} is {tag!r:.40}; expected O, or a type after a letter of BIO, BIOES, BILOU "
            "or BMES: B-TYPE, I-TYPE, ..."
        )
    return tag


def named_tags(tags: Any, names: Sequence[str], where: Where) -> list[str]:
    """Turn the ids of tags into their names.

    Raises:
        DataError: an id that names no tag, such as -1 or -100, which stand for "no tag".
    """
    named = []
    for number, tag in enumerate(_listed(tags, "tags", where), start=1):
        whole = isinstance(tag, int) and not isinstance(tag, bool)
        if not whole or not 0 <= tag < len(names):
            missing = " (-1 and -100 stand for no tag at all)" if tag in (-1, -100) else ""
            raise where.error(
                f"tag {number} is {tag!r:.40}; expected the number of a tag, 0 to "
                f"{len(names) - 1}{missing}"
            )
        named.append(names[tag])
    return named


def tagged_row(tokens: Any, tags: Any, metadata: Mapping[str, str], where: Where) -> Row:
    """Make the row of one tagged sentence: tokens joined by one space, spans likewise.

    Raises:
        DataError: there is no token, one is empty or no text, a tag is none, or there are more of
            one than of the other.
    """
    words, marks = _listed(tokens, "tokens", where), _listed(tags, "tags", where)
    if not words:
        raise where.error("the sentence has no tokens")
    if len(words) != len(marks):
        raise where.error(f"the sentence has {len(words)} tokens, but {plural(len(marks), 'tag')}")
    for number, (token, tag) in enumerate(zip(words, marks, strict=True), start=1):
        check_token(token, where, number=number)
        check_tag(tag, where, number=number)
    pairs = [[surface, label] for surface, label in spans_from_tags(words, marks)]
    return entity_row(" ".join(words), pairs, metadata, where)


def entity_row(text: str, entities: Any, metadata: Mapping[str, str], where: Where) -> Row:
    """Make the row of a text and its entities, pairs of a text that occurs in it and a type."""
    if not text.strip(_BLANK):
        raise where.error("the text is empty")
    gold = []
    for entity in _listed(entities, "entities", where):
        if (
            not isinstance(entity, list)
            or len(entity) != 2
            or not all(isinstance(part, str) and part.strip(_BLANK) for part in entity)
        ):
            raise where.error(f'the entity {entity!r:.60} is not a pair such as ["Lisbon", "LOC"]')
        if entity[0] not in text:
            raise where.error(f"the entity {entity[0]!r:.60} does not occur in the text")
        gold.append(entity)
    return Row({"text": text}, gold, metadata, where)


def _listed(value: Any, name: str, where: Where) -> list[Any]:
    if not isinstance(value, (list, tuple)):
        raise where.error(f"{name!r} is {value!r:.40}; expected a list")
    return list(value)


def spans_from_tags(tokens: Sequence[str], tags: Sequence[str]) -> list[tuple[str, str]]:
    """Join tags of BIO, IOB1, BIOES, BILOU or BMES to spans.

    B, S, U and W open one, and so does a change of type; E, L, S, U and W end one. The texts of its
    tokens are joined by one space.
    """
    spans: list[tuple[list[str], str]] = []
    current: str | None = None
    for token, tag in zip(tokens, tags, strict=True):
        prefix, _, label = tag.partition("-")
        if not label:
            current = None
            continue
        if prefix in _OPENS or label != current:
            spans.append(([token], label))
        else:
            spans[-1][0].append(token)
        current = None if prefix in _ENDS else label
    return [(" ".join(words), label) for words, label in spans]


MICRO_F1 = Endpoint(
    "micro_f1",
    "ratio",
    {"tp": 2.0},
    {"tp": 2.0, "fp": 1.0, "fn": 1.0},
    hub_metric="f1",
    meaning="One score for finding things in text, from 0 to 100 %. It is high only when the arm "
    "misses little and invents little. All texts count together.",
    written="micro-[fF]1",
)
MACRO_F1 = Endpoint(
    "macro_f1",
    "mean",
    {"f1": 1.0},
    meaning="The same score for each text, then averaged.",
    written="macro-[fF]1",
)
PRECISION = Endpoint(
    "precision",
    "ratio",
    {"tp": 1.0},
    {"tp": 1.0, "fp": 1.0},
    meaning="Of what the arm returned, the share that is right.",
    mitigation="It returns wrong entities more often. Check that every entity it returns stands in "
    "the input, and test it on inputs without entities. Schema validation does not find these.",
    written="precision",
)
RECALL = Endpoint(
    "recall",
    "ratio",
    {"tp": 1.0},
    {"tp": 1.0, "fn": 1.0},
    meaning="Of what was there to find, the share that the arm found.",
    mitigation="It misses entities more often. Check a sample by hand. No validator finds what is "
    "absent.",
    written="recall",
)
PARSE_RATE = Endpoint(
    "parse_rate",
    "proportion",
    {"parsed": 1.0},
    meaning="The share of answers in the form that was asked for.",
    mitigation=FORMAT_BROKEN,
    written="parse[- ]rate",
)
EXACT_MATCH = Endpoint(
    "exact_match",
    "proportion",
    {"exact": 1.0},
    meaning="The share of texts where the arm returned everything there was, and nothing else.",
    written="exact[- ]match",
)

PERFECT = 1.0  # F1
_REMEMBERED = 4096  # texts and golds: arms say the same, and more than one table asks for them
_LONG = 10_000  # characters: beyond that a text is not remembered
_FENCE = re.compile(r"```[A-Za-z]*")
_TEXT_KEYS = ("text", "entity", "span")
_TYPE_KEYS = ("type", "label", "tag")


def normalize(text: str, label: str) -> Span:
    """Bring a span to the form that published studies compare: text lower, TYPE upper, stripped."""
    return text.strip().lower(), label.strip().upper()


def parse_spans(text: str) -> frozenset[Span] | None:
    """Read the set of spans as published studies did; None where a text is no JSON array.

    Code fences are stripped, then everything from the first `[` to the last `]` is parsed. An
    element that is no object, or lacks a text or a type under a known key, is left out: it names no
    span.
    """
    return _remembered(text) if len(text) <= _LONG else _parse(text)


@functools.lru_cache(maxsize=_REMEMBERED)
def _remembered(text: str) -> frozenset[Span] | None:
    return _parse(text)


def _parse(text: str) -> frozenset[Span] | None:
    bare = _FENCE.sub("", text)
    start, end = bare.find("["), bare.rfind("]")
    if start < 0 or end < start:
        return None
    try:
        array = json.loads(bare[start : end + 1])
    except (ValueError, RecursionError):
        return None
    if not isinstance(array, list):
        return None
    found = (_span(element) for element in array)
    return frozenset(span for span in found if span is not None)


def _span(element: Any) -> Span | None:
    if not isinstance(element, dict):
        return None
    text = next((element[key] for key in _TEXT_KEYS if key in element), None)
    label = next((element[key] for key in _TYPE_KEYS if key in element), None)
    if not isinstance(text, str) or not isinstance(label, str):
        return None
    return normalize(text, label)


def gold_spans(gold: Any, form: Callable[[str, str], Span] = normalize) -> frozenset[Span]:
    """Bring an item's gold pairs to a compared form; repeated mentions are one."""
    return _compared(tuple((text, label) for text, label in gold), form)


@functools.lru_cache(maxsize=_REMEMBERED)
def _compared(pairs: tuple[Span, ...], form: Callable[[str, str], Span]) -> frozenset[Span]:
    return frozenset(form(text, label) for text, label in pairs)


@dataclass(frozen=True, slots=True)
class SpansReader:
    """How spans are read from an answer, and in which form they are compared."""

    read: Callable[[Answer], frozenset[Span] | None]
    form: Callable[[str, str], Span]
    sentence: Callable[[str], str]


def _as_it_is(text: str) -> str:
    return text


# what reads spans from an answer, by its name in the study
READERS: Mapping[str, SpansReader] = {
    "first_array": SpansReader(lambda answer: read_spans(answer.text), compared, composed),
    # the rule of published studies looks at the whole text
    "spans_published": SpansReader(lambda answer: parse_spans(answer.output), normalize, _as_it_is),
}


class Spans(Task):
    """The task kind `spans`, made from its part of the study.

    `shots` is everything the source offers; each item takes its own `spec.shots` of it. `types` are
    those the source has; a study that says which are asked for overrides them. `gold` and
    `sentence` are in the form that the study's scoring compares.
    """

    kind = "spans"
    part = SpansTask
    endpoints = (MICRO_F1, MACRO_F1, PRECISION, RECALL, PARSE_RATE, EXACT_MATCH)
    right = EXACT_MATCH.name
    over_named = PRECISION.name
    error_classes = True
    hub_task = "token-classification"
    scored_by = (
        "quantrial.tasks.span_reader",
        "quantrial.tasks.answer",
        "quantrial.thought_tags",
    )

    def __init__(
        self, name: str, spec: SpansTask, shots: Sequence[Item] = (), types: Sequence[str] = ()
    ):
        super().__init__(name, spec, shots)
        self.spec = spec
        self.types = spec.types or tuple(types)
        self.needs = frozenset({"schema"} if spec.constrained else ())
        self._reader = READERS[spec.scoring]
        system = self._system() if spec.prompt_format == "chat" else None
        self.prompts = Prompts.of(name, spec, system)

    @classmethod
    def made(
        cls, name: str, spec: SpansTask, shots: Sequence[Item] = (), items: Sequence[Item] = ()
    ) -> Self:
        """Make the task of a study; the entity types are those of all items of the source."""
        return cls(name, spec, shots, entity_types(items))

    @classmethod
    def row(cls, record: dict[str, Any], where: Where) -> Row:
        """Read a text and its entities from an object of JSONL."""
        text = record[find(record, ("text",), where, KEYS)]
        if not isinstance(text, str):
            raise where.error(f"'text' is {text!r:.40}; expected {KEYS.text}")
        entities = record[find(record, ("entities",), where, KEYS)]
        metadata = metadata_of(record, {"text", "entities"}, where, KEYS)
        return entity_row(text, entities, metadata, where)

    @classmethod
    def asked(cls, row: Row) -> Hashable:
        """Return the text that spans are looked for in."""
        return plain(row.content["text"])

    @classmethod
    def answer(cls, row: Row) -> Hashable:
        """Return the entities that there are to find."""
        return frozenset((plain(text), label.upper()) for text, label in row.gold)

    @classmethod
    def shown(cls, row: Row) -> str:
        """Count the entities that there are to find."""
        return f"{len(row.gold)} {'entity' if len(row.gold) == 1 else 'entities'}"

    @classmethod
    def chosen(
        cls, spec: SpansTask, rows: list[Row], shots: list[Row], key: str
    ) -> tuple[list[Row], list[Row]]:
        """Leave out gold of the types that the study does not ask for."""
        if spec.types is None:
            return rows, shots
        _check_types(spec.types, rows, key)
        types = spec.types
        return [_restricted(row, types) for row in rows], [_restricted(row, types) for row in shots]

    def is_right(self, outcome: Outcome) -> bool:
        """Whether an answer holds just what was to be found."""
        return outcome.values["f1"] == PERFECT

    def always_empty(self, items: Sequence[Item]) -> float | None:
        """Mean F1 of always answering with nothing: right where there is nothing."""
        return sum(not item.gold for item in items) / len(items) if items else None

    def gold_size(self, item: Item) -> int | None:
        """Count the entities that there are to find."""
        return len(gold_spans(item.gold))

    def errors(self, item: Item, outcome: Outcome) -> SpanErrors:
        """Class the errors of one answer."""
        if outcome.parsed and not outcome.values["fp"] and not outcome.values["fn"]:
            return NO_ERRORS
        found: Any = outcome.answer if outcome.parsed else None
        return classify(
            self.gold(item),
            None if found is None else [(text, label) for text, label in found],
            self.sentence(item),
        )

    def spurious(self, item: Item, outcome: Outcome) -> int | None:
        """Count the spans that an answer invents.

        None for one that could not be read: it names nothing, which is no merit.
        """
        return self.errors(item, outcome).fp("spurious") if outcome.parsed else None

    def failures(self, pairs: Sequence[tuple[Item, Outcome]], rate: Rate) -> dict[str, Any]:
        """Count what was found, invented and missed, and how items without an entity fared."""
        tp, fp, fn = (int(sum(o.values[name] for _, o in pairs)) for name in ("tp", "fp", "fn"))
        parsed = sum(o.parsed for _, o in pairs)
        empty = [o for item, o in pairs if not item.gold]
        right = sum(map(self.is_right, empty))
        return {
            "n": len(pairs),
            "tp": tp,
            "fp": fp,
            "fn": fn,
            "precision": tp / (tp + fp) if tp + fp else None,
            "recall": tp / (tp + fn) if tp + fn else None,
            "parsed": parsed,
            "parse_rate": parsed / len(pairs) if pairs else None,
            "entity_free": {"n": len(empty), "correct": right, **rate(right, len(empty))},
        }

    failure_modes = (
        FailureMode(
            "entity_free_correct",
            lambda task, _item, outcome: not task.is_right(outcome),
            lambda item: not item.gold,
            mitigation="It invents entities in {loss} more of the inputs without any than "
            "{reference}. Test it on inputs without entities. Schema validation does not find "
            "these.",
        ),
        FailureMode(
            "no_spurious",
            lambda task, item, outcome: (
                None if (count := task.spurious(item, outcome)) is None else count > 0
            ),
        ),
    )
    counts = (FailureCount("spurious_per_sentence", "entities a sentence", spurious),)
    failure_tables = (
        FailureTable(
            "entities found and missed on {task}",
            (
                FailureColumn("tp", "found", "true positives: text and type both right"),
                FailureColumn("fp", "invented", "false positives: returned, not in the gold"),
                FailureColumn("fn", "missed", "false negatives: in the gold, not returned"),
                FailureColumn(
                    "precision",
                    "precision",
                    "share of the returned entities that are right",
                    form="share",
                ),
                FailureColumn(
                    "recall",
                    "recall",
                    "share of the gold entities that are returned",
                    form="share",
                ),
                FailureColumn(
                    "spurious.per_sentence",
                    "spurious a sentence",
                    "returned entities that overlap nothing in the gold",
                    form="number",
                ),
            ),
        ),
        FailureTable(
            "form of the answers on {task}",
            (
                ANSWERS,
                FailureColumn("parsed", "parsed", "answers that are a JSON array"),
                FailureColumn("parse_rate", "parse rate", form="share"),
                CUT_SHORT,
            ),
        ),
        FailureTable(
            "items of {task} that hold no entity",
            (
                FailureColumn(
                    "entity_free.n", "without entity", "items whose gold holds no entity"
                ),
                FailureColumn(
                    "entity_free.correct",
                    "left empty",
                    "answered with an empty array, as is right",
                ),
                FailureColumn("entity_free.rate", "rate", form="share"),
                FailureColumn("entity_free.ci", "interval", form="interval"),
            ),
        ),
    )

    def limit(self, item: Item) -> int | None:
        """Return the most tokens that an answer may have; None where it was asked for elsewhere."""
        return None if self.spec.source.type == "imported" else self.spec.max_tokens

    def gold(self, item: Item) -> frozenset[Span]:
        """Return what is to be found."""
        return gold_spans(item.gold, self._reader.form)

    def sentence(self, item: Item) -> str:
        """Return the text that spans are looked for in."""
        return self._reader.sentence(str(item.content.get("text", "")))

    def prompt(self, item: Item) -> Prompt:
        """Ask for the array, in the model's chat format or as a text to be continued."""
        spec, shots = self.spec, shots_for(item, self.shots, self.spec.shots)
        if self.prompts is not None:
            stop = ("\n",) if spec.prompt_format == "completion" and not spec.constrained else ()
            return self.prompts.prompt(
                item,
                shots,
                self.fields,
                lambda shot: _array(shot.gold),
                max_tokens=spec.max_tokens,
                stop=stop,
                schema=self._schema(),
            )
        if spec.prompt_format == "completion":
            parts = [spec.system] if spec.system else []
            parts += [f"Sentence: {s.content['text']}\nEntities: {_array(s.gold)}" for s in shots]
            parts.append(f"Sentence: {item.content['text']}\nEntities:")
            # held to an array, an answer may break lines within it, and ends by itself
            return Prompt.continued(
                parts,
                max_tokens=spec.max_tokens,
                stop=() if spec.constrained else ("\n",),
                schema=self._schema(),
            )
        system = self._system() if spec.system is None else spec.system
        messages = [("system", system)] if system else []
        for shot in shots:
            messages += [("user", str(shot.content["text"])), ("assistant", _array(shot.gold))]
        messages.append(("user", str(item.content["text"])))
        return Prompt.conversation(messages, max_tokens=spec.max_tokens, schema=self._schema())

    def fields(self, item: Item) -> Mapping[str, Any]:
        """Return what a template can name: `text`, the `types` asked for, and metadata."""
        return {**super().fields(item), "types": list(self.types)}

    def _schema(self) -> dict[str, Any] | None:
        if not self.spec.constrained:
            return None
        named = {"enum": list(self.types)} if self.types else {"type": "string"}
        return {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"text": {"type": "string"}, "type": named},
                "required": ["text", "type"],
                "additionalProperties": False,
            },
        }

    def _system(self) -> str:
        types = ", ".join(self.types)
        return (
            "Extract the named entities of the sentence. Reply with a JSON array only, one object "
            f'an entity: [{{"text": "...", "type": "..."}}]. Types: {types}. '
            "The text is copied exactly. No entities: []."
        )

    def score(self, item: Item, answer: Answer | str) -> Outcome:
        """Count true and false positives and misses; the per-item F1; whether an array was there.

        `exact` is whether it holds just what was to be found.
        Malformed text finds nothing: its gold counts as missed, its own F1 is 0. Nothing to find
        and nothing found is an F1 of 1.
        """
        gold = self.gold(item)
        found = self._reader.read(as_answer(answer))
        if found is None:
            values = {"tp": 0.0, "fp": 0.0, "fn": float(len(gold)), "f1": 0.0, "parsed": 0.0}
            values["exact"] = 0.0
            return Outcome(values, parsed=False)
        tp, fp, fn = len(found & gold), len(found - gold), len(gold - found)
        f1 = 1.0 if not found and not gold else 2 * tp / (2 * tp + fp + fn)
        values = {"tp": float(tp), "fp": float(fp), "fn": float(fn), "f1": f1, "parsed": 1.0}
        values["exact"] = float(found == gold)
        return Outcome(values, parsed=True, answer=sorted(found))


def entity_types(items: Iterable[Item]) -> tuple[str, ...]:
    """Name the entity types that occur in the gold of spans items, sorted."""
    return tuple(sorted({label for item in items for _, label in item.gold}))


def _restricted(row: Row, types: Sequence[str]) -> Row:
    asked = {label.upper() for label in types}
    gold = [[text, label] for text, label in row.gold if label.upper() in asked]
    return Row(row.content, gold, row.metadata, row.where)


def _check_types(types: Sequence[str], rows: Sequence[Row], key: str) -> None:
    there = {label.upper(): label for row in rows for _, label in row.gold}
    absent = [label for label in types if label.upper() not in there]
    present = f"types in the source: {', '.join(sorted(there.values())) or 'none'}"
    if len(absent) == len(types):
        raise StudyError(
            f"none of {', '.join(types) or '(empty)'} occurs; {present}", key=f"{key}.types"
        )
    if absent:
        warnings.warn(
            f"{key}.types: {', '.join(absent)} never occurs; {present}", DataWarning, stacklevel=4
        )


def _array(gold: Any) -> str:
    # written the way models write JSON: a space after colon and comma
    return json.dumps([{"text": t, "type": label} for t, label in gold], ensure_ascii=False)
