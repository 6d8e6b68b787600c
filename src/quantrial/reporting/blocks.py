"""What a report is made of: sentences, tables, sections. Text only: numbers come formatted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a sentence. `target` is the id of the finding it names.

    `label` names the finding in few words, `title` says it whole, `tone` is its verdict. `term` is
    the key of the word that explains this piece.
    """

    text: str
    target: str | None = None
    label: str = ""
    title: str = ""
    tone: str = ""
    term: str = ""


Sentence = tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Claim:
    """What the decision says: a sentence, and the details that have findings of their own."""

    words: Sentence
    details: tuple[Sentence, ...] = ()


@dataclass(frozen=True, slots=True)
class Cell:
    """One field of a table. `title` is shown on hover, `tone` is a verdict, `target` a finding."""

    text: str
    title: str = ""
    tone: str = ""
    target: str = ""
    code: bool = False


@dataclass(frozen=True, slots=True)
class Column:
    """The head of a column. `hint` explains its term."""

    head: str
    numeric: bool = True
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a table. `finding` is the id of what it shows, and becomes its anchor."""

    cells: tuple[Cell, ...]
    finding: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """A table; `caption` says what it shows to who cannot see it."""

    caption: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class Group:
    """Part of a section under its own heading. `folded`: closed at first where that is possible."""

    title: str
    notes: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()
    facts: tuple[Fact, ...] = ()
    items: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()
    folded: bool = False


@dataclass(frozen=True, slots=True)
class Fact:
    """A name and its value."""

    name: str
    value: str
    title: str = ""
    code: bool = False


@dataclass(frozen=True, slots=True)
class Section:
    """A chapter of the report."""

    anchor: str
    title: str
    lead: str
    groups: tuple[Group, ...]


@dataclass(frozen=True, slots=True)
class Advice:
    """A list of recommendations of one kind."""

    anchor: str
    title: str
    claims: tuple[Claim, ...]


@dataclass(frozen=True, slots=True)
class Word:
    """A term of the report and what it means. `key` is what a part of a sentence names it by.

    `written` is a regular expression of how sentences have it; None where none marks it.
    """

    key: str
    name: str
    value: str
    written: str | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """How one arm stands on one workload.

    `verdict` is a sign and a word, `term` the key of that word; `range` says in plain words how
    large the difference may be, by the interval that the verdict rests on, `level` how sure that
    is; `strip` is the name of its small drawing.
    """

    workload: str
    quality: str
    measure: Sentence
    tone: str
    sign: str
    verdict: str
    term: str
    difference: str
    range: str
    target: str
    level: str = ""
    strip: str = ""


@dataclass(frozen=True, slots=True)
class Meter:
    """A cost of an arm: what it is, its value, a note, and the share of the largest in percent.

    `hint` explains the name.
    """

    name: str
    value: str
    note: str
    share: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Card:
    """One arm at a glance; `advice` says what to do with it, `worst` the worst that is known of it.

    `origin` says that its weights had been quantized before, and as what; else it is empty.
    """

    arm: str
    advice: str
    badges: tuple[str, ...]
    facts: tuple[Fact, ...]
    meters: tuple[Meter, ...]
    standings: tuple[Standing, ...]
    chosen: bool
    origin: str = ""
    worst: str = ""

    @property
    def drawn(self) -> bool:
        """Whether a drawing stands on it, above the ticks of the scale."""
        return any(one.strip for one in self.standings)


@dataclass(frozen=True, slots=True)
class Plot:
    """A drawing: file name without its ending, heading, what it shows in words and as a table."""

    name: str
    title: str
    caption: str
    alternative: str
    table: Table | None = None


@dataclass(frozen=True, slots=True)
class Serving:
    """How to serve the arm that is recommended: commands for a shell, and what to know of them."""

    title: str
    commands: tuple[str, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class View:
    """The whole report, ready to be written down.

    Under constraints, `headline` and `summary` answer them, `constraints` lists them, and
    `unconstrained` is what would hold without; else these two are empty. `alarms` is said before
    anything else. `serving` is None where no arm is recommended.
    """

    title: str
    subtitle: str
    alarms: tuple[str, ...]
    headline: str
    summary: Claim
    constraints: tuple[str, ...]
    unconstrained: Sentence
    rejected: Advice | None
    advice: tuple[Advice, ...]
    evidence: tuple[Sentence, ...]
    cards: tuple[Card, ...]
    costs: Table
    standings: Table
    plots: tuple[Plot, ...]
    sections: tuple[Section, ...]
    words: tuple[Word, ...]
    serving: Serving | None = None


Shown = tuple[Column, Callable[[T], str]]  # a column, and what it shows of a row


def tabulate(caption: str, rows: Iterable[T], *columns: Shown[T]) -> Table:
    """Make a table of plain cells, with what a column shows beside its head."""
    return Table(
        caption,
        tuple(head for head, _ in columns),
        tuple(Row(cells(*(show(one) for _, show in columns))) for one in rows),
    )


def by_name(caption: str, name: Column, rows: Mapping[str, T], *columns: Shown[T]) -> Table:
    """Make a table like `tabulate`'s whose rows have names: `name` heads the column of them."""
    return Table(
        caption,
        (name, *(head for head, _ in columns)),
        tuple(Row(cells(key, *(show(one) for _, show in columns))) for key, one in rows.items()),
    )


def cells(*texts: str) -> tuple[Cell, ...]:
    """Make plain cells."""
    return tuple(Cell(text) for text in texts)
