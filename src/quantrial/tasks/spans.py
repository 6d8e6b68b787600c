"""Named entities as a JSON array: prompts, the reader of arrays, scoring."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from quantrial.tasks.answer import as_answer
from quantrial.tasks.base import Endpoint, Outcome, Prompt
from quantrial.tasks.shots import shots_for
from quantrial.tasks.span_reader import Span, compared, composed, read_spans

if TYPE_CHECKING:
    from quantrial.records import Item
    from quantrial.study import SpansTask
    from quantrial.tasks.answer import Answer

__all__ = ["READERS", "Span", "Spans", "gold_spans", "normalize", "parse_spans", "spans_from_tags"]

MICRO_F1 = Endpoint("micro_f1", "ratio", {"tp": 2.0}, {"tp": 2.0, "fp": 1.0, "fn": 1.0})
MACRO_F1 = Endpoint("macro_f1", "mean", {"f1": 1.0})
PRECISION = Endpoint("precision", "ratio", {"tp": 1.0}, {"tp": 1.0, "fp": 1.0})
RECALL = Endpoint("recall", "ratio", {"tp": 1.0}, {"tp": 1.0, "fn": 1.0})
PARSE_RATE = Endpoint("parse_rate", "proportion", {"parsed": 1.0})
EXACT_MATCH = Endpoint("exact_match", "proportion", {"exact": 1.0})

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


_OPENS, _ENDS = "BSUW", "ELSUW"  # S, U and W do both: a span of one token


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


class Spans:
    """The task kind `spans`, made from its part of the study.

    `shots` is everything the source offers; each item takes its own `spec.shots` of it. `types` are
    those the source has; a study that says which are asked for overrides them. `gold` and
    `sentence` are in the form that the study's scoring compares.
    """

    kind = "spans"
    endpoints: Sequence[Endpoint] = (MICRO_F1, MACRO_F1, PRECISION, RECALL, PARSE_RATE, EXACT_MATCH)

    def __init__(
        self, name: str, spec: SpansTask, shots: Sequence[Item] = (), types: Sequence[str] = ()
    ):
        self.name = name
        self.spec = spec
        self.shots = tuple(shots)
        self.types = spec.types or tuple(types)
        self.thought_tags: Sequence[tuple[str, str]] = spec.thought_tags
        self.needs = frozenset({"schema"} if spec.constrained else ())
        self._reader = READERS[spec.scoring]

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


def _array(gold: Any) -> str:
    # written the way models write JSON: a space after colon and comma
    return json.dumps([{"text": t, "type": label} for t, label in gold], ensure_ascii=False)
