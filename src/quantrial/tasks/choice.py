"""Multiple choice: prompts, readers of answers, scoring."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from quantrial.study import ChoiceTask
from quantrial.tasks.answer import as_answer
from quantrial.tasks.base import Endpoint, Outcome, Prompt, Rate, Task
from quantrial.tasks.choice_rows import choice_record, repeated_option
from quantrial.tasks.letters import LETTERS, answer_letter, first_letter, stated_letter
from quantrial.tasks.rows import KEYS, Row, Where, plain
from quantrial.tasks.shots import shots_for

if TYPE_CHECKING:
    from quantrial.records import Item
    from quantrial.tasks.answer import Answer

__all__ = ["LETTERS", "READERS", "Choice", "answer_letter", "first_letter", "option_grammar"]

SYSTEM = "You answer multiple-choice questions. Reply with the letter of the right option only."

ACCURACY = Endpoint("accuracy", "proportion", {"correct": 1.0})

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

    def __init__(self, name: str, spec: ChoiceTask, shots: Sequence[Item] = ()):
        super().__init__(name, spec, shots)
        self.spec = spec
        self.needs = frozenset({"grammar"} if spec.answer_mode == "option" else ())

    def prompt(self, item: Item) -> Prompt:
        """Ask for a letter (options listed) or for the option's text (decoding constrained)."""
        spec, shots = self.spec, shots_for(item, self.shots, self.spec.shots)
        options = [str(option) for option in item.content["options"]]
        if spec.answer_mode == "option":
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
            raise where.error(f"the option {repeated!r:.60} is there twice")
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
