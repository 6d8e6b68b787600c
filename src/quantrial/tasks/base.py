"""What a task is: it turns items into prompts and texts into outcomes, and names its endpoints.

Pure: a task sees no engine, no file of a run, no statistic. A new endpoint is one `Endpoint` in
the task's file; everything after it (intervals, contrasts, verdicts, report) follows from the
declaration.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from quantrial.records import Item
    from quantrial.tasks.answer import Answer


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
        if said["schema"] is None:
            del said["schema"]
        return said


@dataclass(frozen=True, slots=True)
class Outcome:
    """What scoring makes of one text: numbers by column name, and what was understood.

    `values` holds what endpoints are built from (`correct`; `tp`, `fp`, `fn`; ...). `parsed` says
    whether the text could be read at all; `answer` is what was read, in a comparable form.
    """

    values: Mapping[str, float]
    parsed: bool
    answer: object = None


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An estimand: a ratio of sums over items, between 0 and 1, where more is better.

    `numerator` and `denominator` weigh columns of the outcomes; an empty denominator counts items.
    `type` says which statistics fit: `proportion` (0 or 1 an item), `mean`, or pooled `ratio`.
    """

    name: str
    type: Literal["proportion", "mean", "ratio"]
    numerator: Mapping[str, float]
    denominator: Mapping[str, float] = field(default_factory=dict)


class Task(Protocol):
    """One kind of work. `endpoints[0]` is primary."""

    kind: str
    name: str
    needs: frozenset[str]  # abilities of an engine that its prompts ask for: grammar, schema
    thought_tags: Sequence[tuple[str, str]]  # what the study adds to the known ones
    endpoints: Sequence[Endpoint]

    def prompt(self, item: Item) -> Prompt:
        """Say what an arm is shown."""
        ...

    def limit(self, item: Item) -> int | None:
        """Return the most tokens that an answer may have; None where it was asked for elsewhere."""
        ...

    def score(self, item: Item, answer: Answer | str) -> Outcome:
        """Score one answer against the item's gold; a text is read first."""
        ...
