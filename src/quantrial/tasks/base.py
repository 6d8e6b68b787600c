"""What a task is: it turns items into prompts and texts into outcomes, and names its endpoints.

Pure: a task sees no engine, no file of a run, no statistic. A new endpoint is one `Endpoint` in
the task's file; everything after it (intervals, contrasts, verdicts, report) follows from the
declaration.
"""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

from quantrial.records import canonical_json
from quantrial.tasks.endpoints import Endpoint, FailureCount, FailureMode
from quantrial.tasks.rows import ReadRow, Row, Where, name_in_template
from quantrial.tasks.tables import UNREAD, FailureTable

__all__ = [
    "Endpoint",
    "FailureCount",
    "FailureMode",
    "Outcome",
    "Prompt",
    "Rate",
    "Task",
]

if TYPE_CHECKING:
    from quantrial.records import Item
    from quantrial.study import TaskPart
    from quantrial.tasks.answer import Answer


Rate = Callable[[int, int], dict[str, Any]]
# signs of trouble that any answer may show, and what catches each
_OF_ANY_TASK = {
    "not_truncated": "It hits the token limit on {loss} more of its answers than {reference}. "
    "Raise max_tokens, or reject answers that were cut off.",
    "not_refused": "It declines to answer {loss} more of the requests than {reference}. Detect "
    "refusals, and route them to {reference}.",
    "not_repeating": "It gets caught in a loop on {loss} more of its answers than {reference}. Cap "
    "the length, and reject repeated text.",
    "not_empty": "It answers nothing on {loss} more of the requests than {reference}. Reject empty "
    "answers, and retry.",
    "answered": "It leaves {loss} more of its calls without an answer than {reference}. Retry "
    "them, raise the time limit, or route them to {reference}.",
}


FORMAT_BROKEN = (
    "It breaks the output format on {loss} more of its answers than {reference}. Validate the "
    "output and retry, or constrain decoding."
)


@dataclass(frozen=True, slots=True)
class Prompt:
    """What an arm is shown for one item.

    `messages` (pairs of role and text) for the model's chat template, or `text` to be continued.
    Holds nothing of the gold answer. The first `shared` messages, or characters of the text, stand
    in front of other items too; engines may read them once, and answers do not depend on it.
    """

    messages: tuple[tuple[str, str], ...] = ()
    text: str | None = None
    shared: int = 0
    max_tokens: int = 64
    stop: tuple[str, ...] = ()
    grammar: str | None = None
    schema: Mapping[str, Any] | None = None  # a JSON schema that the answer is held to
    tools: tuple[Mapping[str, Any], ...] = ()  # functions it may call, in OpenAI's form

    @classmethod
    def continued(cls, parts: Sequence[str], **how: Any) -> Prompt:
        """Make a text to be continued; all its parts but the last are shared."""
        return cls(text="\n\n".join(parts), shared=len("\n\n".join(parts[:-1])), **how)

    @classmethod
    def conversation(cls, messages: Sequence[tuple[str, str]], **how: Any) -> Prompt:
        """Make messages for the chat template; all but the last are shared."""
        return cls(messages=tuple(messages), shared=len(messages) - 1, **how)

    def canonical(self) -> dict[str, Any]:
        """Return what is hashed: without keys that came later and are not used."""
        said = asdict(self)
        del said["shared"]  # it changes what is read anew, not what is shown
        later = {"schema": None, "tools": ()}
        return {key: one for key, one in said.items() if key not in later or one != later[key]}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What scoring makes of one text: numbers by column name, and what was understood.

    `values` holds what endpoints are built from (`correct`; `tp`, `fp`, `fn`; ...). `parsed` says
    whether the text could be read at all; `answer` is what was read, in a comparable form.
    """

    values: Mapping[str, float]
    parsed: bool
    answer: object = None


class Task:
    """One kind of work, made from its part of a study: a kind is a class derived from this one.

    It is an entry point of the group `quantrial.tasks`, and says by `part` which model its part of
    the study file has. `endpoints[0]` is primary. What is here is enough for most kinds; the rest
    says more of how one fails.
    """

    kind: ClassVar[str]
    part: ClassVar[type[TaskPart]]
    endpoints: ClassVar[Sequence[Endpoint]]
    right: ClassVar[str | None] = None  # the endpoint that is the share of answers wholly right
    over_named: ClassVar[str | None] = None  # the ratio to all that an answer names
    failure_modes: ClassVar[Sequence[FailureMode]] = (
        FailureMode(
            "parse_rate",
            lambda _task, _item, outcome: not outcome.parsed,
            mitigation=FORMAT_BROKEN,
        ),
    )
    counts: ClassVar[Sequence[FailureCount]] = ()
    failure_tables: ClassVar[Sequence[FailureTable]] = (UNREAD,)
    letters: ClassVar[bool] = False  # answers are letters of options, and may shift as a whole
    error_classes: ClassVar[bool] = False  # answers are spans, whose errors have classes
    hub_task: ClassVar[str] = "text-generation"  # the Hugging Face hub's own name
    scored_by: ClassVar[Sequence[str]] = ()  # modules that `score` needs beside the kind's own
    measures: ClassVar[Sequence[Mapping[str, Any]] | None] = None  # of a kind made by `variant`
    samples: ClassVar[int] = 1  # how often each arm answers an item
    refuses_contradictions: ClassVar[bool] = False  # one question with two golds: error, or warning

    def __init__(self, name: str, spec: TaskPart, shots: Sequence[Item] = ()):
        """Take the task's part of the study, and all solved examples that its source offers."""
        self.name = name
        self.shots = tuple(shots)
        self.thought_tags: Sequence[tuple[str, str]] = spec.thought_tags
        self.needs: frozenset[str] = frozenset()  # of an engine: grammar, schema, tools

    @classmethod
    def made(
        cls, name: str, spec: Any, shots: Sequence[Item] = (), items: Sequence[Item] = ()
    ) -> Self:
        """Make the task of a study; `items` are all that its source has."""
        return cls(name, spec, shots)

    @classmethod
    def variant(cls, measures: Sequence[Mapping[str, Any]] | None) -> type[Task]:
        """Return the kind whose endpoints are those of a part that measures this."""
        return cls

    @classmethod
    def reader(cls, spec: Any, key: str) -> ReadRow:
        """Return what reads rows for a part of a study, which stands there under `key`."""
        return cls.row

    @classmethod
    def row(cls, record: dict[str, Any], where: Where) -> Row:
        """Read an item from an object of JSONL: `gold` is what is right, the rest what is shown."""
        if "gold" not in record:
            raise where.error(f"the key 'gold' is missing; keys there: {', '.join(record):.80}")
        content = {key: value for key, value in record.items() if key != "gold"}
        return Row(content, record["gold"], {}, where)

    @classmethod
    def asked(cls, row: Row) -> Hashable:
        """Return what a row asks: rows that ask the same have one right answer."""
        return canonical_json(row.content)

    @classmethod
    def answer(cls, row: Row) -> Hashable:
        """Return a row's right answer, the same however it is written."""
        return canonical_json(row.gold)

    @classmethod
    def shown(cls, row: Row) -> str:
        """Write a row's right answer for a message."""
        return f"{row.gold!r:.40}"

    @classmethod
    def chosen(
        cls, spec: Any, rows: list[Row], shots: list[Row], key: str
    ) -> tuple[list[Row], list[Row]]:
        """Return the rows and examples as the study asks for them; `key` is the task's."""
        return rows, shots

    @classmethod
    def failure_shares(cls) -> tuple[str, ...]:
        """Name the shares of items that are well: negative is a loss, and a margin makes sense."""
        return (*(mode.name for mode in cls.failure_modes), *_OF_ANY_TASK)

    @classmethod
    def mitigations(cls) -> dict[str, str]:
        """Say what a loss means, and what catches it, by secondary endpoint and failure mode."""
        named: list[Endpoint | FailureMode] = [*cls.endpoints[1:], *cls.failure_modes]
        own = {one.name: one.mitigation for one in named if one.mitigation}
        # what is wrong first, then signs of trouble, then what is not there or cannot be read
        absent = {name: own.pop(name) for name in ("recall", "parse_rate") if name in own}
        return own | _OF_ANY_TASK | absent

    @classmethod
    def failure_counts(cls) -> tuple[str, ...]:
        """Name what is tested for a difference only: counts, and what has no better or worse."""
        shift = ("letter_shift",) if cls.letters else ()
        return (*(count.name for count in cls.counts), "output_length", *shift)

    def prompt(self, item: Item) -> Prompt:
        """Say what an arm is shown."""
        raise NotImplementedError

    def fields(self, item: Item) -> Mapping[str, Any]:
        """Return what a template of the study can name of an item."""
        fields = {**item.metadata, **item.content}
        return {name_in_template(name): value for name, value in fields.items()}

    def limit(self, item: Item) -> int | None:
        """Return the most tokens that an answer may have; None where it was asked for elsewhere."""
        return None

    @property
    def has_gold(self) -> bool:
        """Whether items say what is right; else `compare` holds answers against the reference's."""
        return True

    def compare(self, item: Item, first: Answer, answer: Answer, own: Answer) -> Outcome:
        """Hold an answer against the reference's `first` one, where no gold says what is right.

        `own` is the arm's first answer: it stands for the arm in all but the comparison.
        """
        raise NotImplementedError

    def score(self, item: Item, answer: Answer | str) -> Outcome:
        """Score one answer against the item's gold; a text is read first."""
        raise NotImplementedError

    def scorer_id(self) -> str:
        """Name the code that scores: a hash of the source of its modules; empty where none is.

        A run records it, so that `verify` can tell a changed scorer from a changed answer.
        """
        digest = hashlib.sha256()
        for name in (type(self).__module__, *self.scored_by):
            found = importlib.util.find_spec(name)
            source = getattr(found.loader, "get_source", None) if found is not None else None
            text = source(name) if source is not None else None
            if text is None:
                return ""
            digest.update(text.encode())
        return digest.hexdigest()[:16]

    def is_right(self, outcome: Outcome) -> bool:
        """Whether an answer is wholly right: the column `correct`, else the best value there is."""
        if "correct" in outcome.values:
            return outcome.values["correct"] == 1.0
        primary = self.endpoints[0]
        value = sum(weight * outcome.values[key] for key, weight in primary.numerator.items())
        return not primary.denominator and value == primary.best

    def chance(self, items: Sequence[Item]) -> float | None:
        """Accuracy of guessing blindly; None where nothing is guessed."""
        return None

    def always_empty(self, items: Sequence[Item]) -> float | None:
        """Primary endpoint of always answering with nothing; None where that is never right."""
        return None

    def gold_size(self, item: Item) -> int | None:
        """Count what there is to find; None for a kind that finds nothing."""
        return None

    def failures(self, pairs: Sequence[tuple[Item, Outcome]], rate: Rate) -> dict[str, Any]:
        """Describe how one arm failed on the items it answered.

        Args:
            pairs: each item with what scoring made of the answer.
            rate: turns a count and a total into a `rate` with its `ci`.
        """
        unparsed = sum(not outcome.parsed for _, outcome in pairs)
        return {
            "n": len(pairs),
            "unparsed": unparsed,
            "unparsed_rate": unparsed / len(pairs) if pairs else None,
        }
