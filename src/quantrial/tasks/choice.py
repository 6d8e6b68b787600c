"""Multiple choice: prompts, readers of answers, scoring, and the rules of a row.

A row has a question, 2 to 10 choices and the right one, the same for every source. Choices are a
list of texts, or labelled: `{text: [...], label: [...]}`, `[{text, label}, ...]`, or
`{A: ..., B: ...}`. The right one is an index from 0 or a letter (`answer`), or a label
(`answerKey`, as ARC has it).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from quantrial.study import ChoiceTask
from quantrial.tasks.answer import as_answer
from quantrial.tasks.base import Endpoint, Outcome, Prompt, Rate, Task
from quantrial.tasks.letters import LETTERS, answer_letter, first_letter, stated_letter
from quantrial.tasks.prompting import Prompts
from quantrial.tasks.rows import KEYS, Form, Row, Where, find, metadata_of, plain, shots_for
from quantrial.words import plural

if TYPE_CHECKING:
    from quantrial.records import Item
    from quantrial.tasks.answer import Answer

__all__ = ["LETTERS", "READERS", "Choice", "answer_letter", "first_letter", "option_grammar"]

_QUESTION = ("question", "question_stem")
_STEM = "stem"  # of a question that is a record of its own, as in ARC's own files
_LABELLED = {"text", "label"}
_KEY = "answerKey"


@dataclass(frozen=True, slots=True)
class _Choices:
    """The choices of a row as they stand there; `labels` is None where they have none."""

    texts: Sequence[Any]
    labels: tuple[str, ...] | None = None


def choice_record(record: Mapping[str, Any], where: Where, form: Form) -> Row:
    """Read a multiple-choice item from a record; whatever else stands there is its metadata.

    Raises:
        DataError: a part is missing, null or of a wrong type; a label occurs twice or is none of
            the row's; the answer names no choice.
    """
    lifted = _lifted(record)
    choices_key = find(lifted, form.choices, where, form)
    question_key = find(lifted, _QUESTION, where, form)
    choices = _choices(lifted[choices_key], choices_key, where)
    names = (_KEY, "answer") if choices.labels is not None else ("answer", _KEY)
    answer_key = find(lifted, names, where, form)
    question = lifted[question_key]
    if not isinstance(question, str):
        raise where.error(f"{question_key!r} is {question!r:.40}; expected {form.text}")
    for letter, text in zip(LETTERS, choices.texts, strict=False):
        if not isinstance(text, str):
            raise where.error(f"option {letter} is {text!r:.40}; expected {form.text}")
    index = _index(lifted[answer_key], answer_key, choices, where)
    metadata = metadata_of(lifted, {choices_key, question_key, answer_key}, where, form)
    return choice_row(question, [str(text) for text in choices.texts], index, metadata, where)


def choice_row(
    question: str, options: Sequence[str], answer: int, metadata: Mapping[str, str], where: Where
) -> Row:
    """Check the parts of a multiple-choice item and make its row; `answer` is an index from 0."""
    if not question.strip():
        raise where.error("the question is empty")
    if not 2 <= len(options) <= len(LETTERS):
        raise where.error(f"{plural(len(options), 'option')}; expected 2 to {len(LETTERS)}")
    if empty := [
        letter for letter, text in zip(LETTERS, options, strict=False) if not text.strip()
    ]:
        raise where.error(f"option {empty[0]} is empty")
    if not 0 <= answer < len(options):
        unpublished = " (-1 often stands for an answer that is not published)"
        raise where.error(
            f"the answer is index {answer}; with {len(options)} options, expected 0 to "
            f"{len(options) - 1}{unpublished if answer == -1 else ''}"
        )
    content = {"question": question, "options": list(options)}
    return Row(content, LETTERS[answer], metadata, where)


def letter_index(letter: str, options: int, where: Where) -> int:
    """Turn an answer's letter into its index, checking that there is such an option."""
    index = LETTERS.find(letter.strip().upper()) if len(letter.strip()) == 1 else -1
    if not 0 <= index < options:
        raise where.error(
            f"the answer is {letter!r:.40}; with {options} options, expected a letter from A to "
            f"{LETTERS[max(options, 1) - 1 : options] or LETTERS[-1]}"
        )
    return index


def repeated_option(row: Row) -> str | None:
    """Return the first option text that an item lists twice."""
    seen: set[str] = set()
    for option in row.content.get("options", ()):
        if (bare := option.strip()) in seen:
            return str(bare)
        seen.add(bare)
    return None


def _lifted(record: Mapping[str, Any]) -> Mapping[str, Any]:
    """Lift the parts of a question that is a record of its own: `{stem, choices}`."""
    inner = record.get("question")
    if not isinstance(inner, Mapping) or _STEM not in inner:
        return record
    beside = {name: value for name, value in inner.items() if name != _STEM}
    return {**record, **beside, "question": inner[_STEM]}


def _choices(value: Any, key: str, where: Where) -> _Choices:
    texts: Any = value
    labels: Any = ...
    if isinstance(value, Mapping) and value.keys() >= _LABELLED:
        texts, labels = value["text"], value["label"]
    elif isinstance(value, Mapping) and value and all(len(str(name)) == 1 for name in value):
        texts, labels = list(value.values()), list(value)
    elif isinstance(value, list) and value and all(isinstance(one, Mapping) for one in value):
        if lacking := [one for one in value if not one.keys() >= _LABELLED]:
            raise where.error(f"the choice {lacking[0]!r:.60} lacks a text or a label")
        texts, labels = [one["text"] for one in value], [one["label"] for one in value]
    if not isinstance(texts, list):
        raise where.error(f"{key!r} is {texts!r:.40}; expected a list of texts")
    return _Choices(texts, None if labels is ... else _labels(labels, len(texts), where))


def _labels(labels: Any, choices: int, where: Where) -> tuple[str, ...]:
    if not isinstance(labels, list) or len(labels) != choices:
        raise where.error(
            f"the labels are {labels!r:.40}; expected one for each of {choices} choices"
        )
    for label in labels:
        whole = isinstance(label, int) and not isinstance(label, bool)
        if not whole and not (isinstance(label, str) and label.strip()):
            raise where.error(f"the label {label!r:.40} is neither a text nor a whole number")
    bare = tuple(str(label).strip() for label in labels)
    folded = Counter(label.casefold() for label in bare)
    if twice := [label for label in bare if folded[label.casefold()] > 1]:
        raise where.error(f"the label {twice[0]!r:.40} occurs twice")
    return bare


def _index(answer: Any, key: str, choices: _Choices, where: Where) -> int:
    """Return the index of the right choice, from 0."""
    labels, count = choices.labels, len(choices.texts)
    whole = isinstance(answer, int) and not isinstance(answer, bool)
    if labels is not None and (isinstance(answer, str) or (whole and key == _KEY)):
        return _labelled(str(answer), key, labels, where)
    if labels is not None and whole and any(label.isdigit() for label in labels):
        raise where.error(
            f"{key!r} is {answer}. This may be an index from 0, or the label {str(answer)!r}. "
            f"Write `{_KEY}: {str(answer)!r}` if it is the label"
        )
    if key == _KEY and not isinstance(answer, str):
        expected = "a label" if labels is not None else "a letter, or a digit from '1'"
        raise where.error(f"{key!r} is {answer!r:.40}; expected {expected}")
    if isinstance(answer, str):
        bare = answer.strip()
        if key == _KEY and bare.isascii() and bare.isdigit():
            # the labels of ARC count from 1, and so does a key that has no labels beside it
            return _labelled(bare, key, [str(n + 1) for n in range(count)], where)
        return letter_index(answer, count, where)
    if not whole:
        raise where.error(f"{key!r} is {answer!r:.40}; expected an index from 0, or a letter")
    return int(answer)


def _labelled(answer: str, key: str, labels: Sequence[str], where: Where) -> int:
    folded = [label.casefold() for label in labels]
    if (bare := answer.strip().casefold()) not in folded:
        raise where.error(f"{key!r} is {answer!r:.40}; the labels are {', '.join(labels):.80}")
    return folded.index(bare)


SYSTEM = "You answer multiple-choice questions. Reply with the letter of the right option only."

ACCURACY = Endpoint(
    "accuracy",
    "proportion",
    {"correct": 1.0},
    meaning="The share of questions answered right.",
)

# what reads a letter from an answer, by its name in the study
READERS: Mapping[str, Callable[[Answer, str], str | None]] = {
    "answer_letter": lambda answer, letters: stated_letter(answer.text, letters),
    # the rule of published studies looks at the whole text
    "first_letter": lambda answer, letters: first_letter(answer.output, letters),
}


def option_grammar(options: Sequence[str]) -> str:
    """Write the GBNF grammar that admits one space and one of the option texts, nothing else."""
    return "root ::= " + " | ".join(_gbnf_literal(" " + option) for option in options)


def _gbnf_literal(text: str) -> str:
    def escape(ch: str) -> str:
        if ch in '"\\':
            return "\\" + ch
        if ch == "\n":
            return "\\n"
        if ch == "\r":
            return "\\r"
        if ch == "\t":
            return "\\t"
        return ch

    return '"' + "".join(escape(ch) for ch in text) + '"'


class Choice(Task):
    """The task kind `choice`, made from its part of the study.

    `shots` is everything the source offers; each item takes its own `spec.shots` of it.
    """

    kind = "choice"
    part = ChoiceTask
    endpoints = (ACCURACY,)
    right = ACCURACY.name
    letters = True
    hub_task = "multiple-choice"
    scored_by = (
        "quantrial.tasks.letters",
        "quantrial.tasks.letter_reader",
        "quantrial.tasks.letter_languages",
        "quantrial.tasks.answer",
        "quantrial.thought_tags",
    )

    def __init__(self, name: str, spec: ChoiceTask, shots: Sequence[Item] = ()):
        super().__init__(name, spec, shots)
        self.spec = spec
        self.needs = frozenset({"grammar"} if spec.answer_mode == "option" else ())
        self.prompts = Prompts.of(name, spec, SYSTEM if spec.answer_mode == "letter" else None)

    def prompt(self, item: Item) -> Prompt:
        """Ask for a letter (options listed) or for the option's text (decoding constrained)."""
        spec, shots = self.spec, shots_for(item, self.shots, self.spec.shots)
        options = [str(option) for option in item.content["options"]]
        option_mode = spec.answer_mode == "option"
        if self.prompts is not None:
            how: dict[str, Any] = (
                {"max_tokens": _longest(options), "grammar": option_grammar(options)}
                if option_mode
                else {"max_tokens": spec.max_tokens}
            )
            if spec.prompt_format == "completion" and not option_mode:
                how["stop"] = ("\n\n",)
            gold = _gold_text if option_mode else lambda shot: str(shot.gold)
            return self.prompts.prompt(item, shots, self.fields, gold, **how)
        if option_mode:
            parts = [spec.system] if spec.system else []
            parts += [f"Question: {s.content['question']}\nAnswer: {_gold_text(s)}" for s in shots]
            parts.append(f"Question: {item.content['question']}\nAnswer:")
            return Prompt.continued(
                parts,
                max_tokens=_longest(options),
                grammar=option_grammar(options),
            )
        system = SYSTEM if spec.system is None else spec.system
        if spec.prompt_format == "completion":
            parts = [system] if system else []
            parts += [f"{_listed(s)}\nAnswer: {s.gold}" for s in shots]
            parts.append(f"{_listed(item)}\nAnswer:")
            return Prompt.continued(parts, max_tokens=spec.max_tokens, stop=("\n\n",))
        messages = [("system", system)] if system else []
        for shot in shots:
            messages += [("user", f"{_listed(shot)}\nAnswer:"), ("assistant", str(shot.gold))]
        messages.append(("user", f"{_listed(item)}\nAnswer:"))
        return Prompt.conversation(messages, max_tokens=spec.max_tokens)

    def fields(self, item: Item) -> Mapping[str, Any]:
        """Return what a template can name: `question`, `options`, both `listed` with letters."""
        return {**super().fields(item), "listed": _listed(item)}

    def limit(self, item: Item) -> int | None:
        """Return the most tokens that an answer may have; None where it was asked for elsewhere."""
        if self.spec.source.type == "imported":
            return None
        if self.spec.answer_mode == "letter":
            return self.spec.max_tokens
        return _longest([str(option) for option in item.content["options"]])

    def score(self, item: Item, answer: Answer | str) -> Outcome:
        """1 for the gold option, 0 for another one or for a text nothing can be read from."""
        said = as_answer(answer)
        options = [str(option).strip() for option in item.content["options"]]
        letters = LETTERS[: len(options)]
        if self.spec.answer_mode == "option":
            letter = _option_letter(said.text.strip(), options, str(item.gold))
        else:
            letter = READERS[self.spec.scoring](said, letters)
        return Outcome({"correct": float(letter == item.gold)}, letter is not None, letter)

    @classmethod
    def row(cls, record: dict[str, Any], where: Where) -> Row:
        """Read a question, its options and the answer from an object of JSONL."""
        row = choice_record(record, where, KEYS)
        if (repeated := repeated_option(row)) is not None:
            raise where.error(f"the option {repeated!r:.60} occurs twice")
        return row

    @classmethod
    def asked(cls, row: Row) -> Hashable:
        """Return the question with its options, in whatever order."""
        return plain(row.content["question"]), frozenset(map(plain, row.content["options"]))

    @classmethod
    def answer(cls, row: Row) -> Hashable:
        """Return the text of the right option."""
        return plain(row.content["options"][LETTERS.index(row.gold)])

    @classmethod
    def shown(cls, row: Row) -> str:
        """Write the letter of the right option and its text."""
        return f"{row.gold} ({row.content['options'][LETTERS.index(row.gold)]!r:.40})"

    def chance(self, items: Sequence[Item]) -> float | None:
        """Accuracy of guessing blindly, over the items."""
        if not items:
            return None
        return sum(1 / len(item.content["options"]) for item in items) / len(items)

    def failures(self, pairs: Sequence[tuple[Item, Outcome]], rate: Rate) -> dict[str, Any]:
        """Count what could not be read, and the letters beside those of the gold answers."""
        letters = Counter(str(one.answer) for _, one in pairs if one.answer is not None)
        golds = Counter(str(item.gold) for item, _ in pairs)
        return super().failures(pairs, rate) | {
            "letters": dict(sorted(letters.items())),
            "gold_letters": dict(sorted(golds.items())),
        }


def _longest(options: Sequence[str]) -> int:
    # a token is at least one byte, so this always has room for the longest option
    return max(len(option.encode()) for option in options) + 4


def _option_letter(text: str, options: Sequence[str], gold: str) -> str | None:
    # published items list an option twice now and then: either copy of the gold text is the gold
    if text == options[LETTERS.index(gold)]:
        return gold
    return LETTERS[options.index(text)] if text in options else None


def _listed(item: Item) -> str:
    lines = [str(item.content["question"])]
    lines += [
        f"{letter}. {text}" for letter, text in zip(LETTERS, item.content["options"], strict=False)
    ]
    return "\n".join(lines)


def _gold_text(item: Item) -> str:
    return str(item.content["options"][LETTERS.index(item.gold)])
