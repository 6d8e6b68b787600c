"""The part `tasks:` of a study file: what the arms are asked, and how it is scored."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, get_args

from pydantic import Field, PrivateAttr, ValidationInfo, field_validator, model_validator

from quantrial.errors import StudyError
from quantrial.registry import SCORERS, TASKS, hint_of, kind_of
from quantrial.study.names import Words
from quantrial.study.parts import Counted, Margin, OneOf, Part
from quantrial.study.scoring import AGREEMENT, NO_GOLD, Reads, ScoredPart, measures_of
from quantrial.study.sources import Source
from quantrial.study.tools import tools_of
from quantrial.units import parse_amount

if TYPE_CHECKING:
    from quantrial.tasks import Endpoint


class Turn(Part):
    """One turn of a conversation that is shown."""

    role: Literal["system", "user", "assistant"]
    """Who speaks."""
    content: str
    """A template of what is said."""


class TaskPart(Part):
    """What a task of any kind says; a kind adds its own keys, and which kind it is."""

    workload: Words
    """The kind of work that this task represents, such as `reasoning` or `extraction`."""
    source: Source
    """Where the items come from."""
    sample: int | None = Field(default=None, ge=1)
    """Number of items to draw; all by default."""
    stratify: str | None = None
    """Metadata key whose values get equal shares of the sample, such as `subject`. Results of
    `calibrated` hold for exactly these groups; differences between them do not widen intervals."""
    cluster: str | None = None
    """Metadata key of the random groups that items come in. Results hold for groups like these:
    `calibrated` needs at least five of them, `classic` resamples whole groups."""
    icc: float | None = Field(default=None, ge=0, lt=1)
    """How alike differences within a cluster are (intraclass correlation), for `plan`, which
    otherwise shows 0, .02 and .1. `quantrial power --from RUN` prints that of a run."""
    equal_items: Literal["cluster", "independent"] = "cluster"
    """`cluster`: items of equal content count as one cluster, if no `cluster` is named.
    `independent`: each counts by itself."""
    ungrouped: tuple[str, ...] = ()
    """Metadata keys whose values are not groups of alike items; `plan` does not ask about them."""
    margin: Margin | None = None
    """Largest loss that you accept as practically the same; the study's by default. For an
    endpoint with its own unit, in that unit, such as `2 edits`."""
    margins: dict[str, Margin] = Field(default_factory=dict)
    """Margins of single endpoints or failure modes, such as `{recall: 0.03}`, before `margin`."""
    shots: int = Field(default=0, ge=0, le=32)
    """Number of solved examples before each item."""
    system: str | None = None
    """The system message (chat) or first line (completion); the task kind's own by default. Beside
    `prompt` or `messages` it is a template, too."""
    prompt: str | None = None
    """Jinja2 template of what is asked, with the fields of an item: `"Route this:\\n{{ text }}"`.
    The task kind's own by default. `quantrial prompts` shows the result."""
    messages: tuple[Turn, ...] = ()
    """Several turns in place of `prompt`, each a template:
    `[{role: user, content: "{{ question }}"}]`; the last one is the user's."""
    timeout: float = Field(default=120.0, gt=0)
    """Seconds after which a call counts as a fault."""

    thought_tags: tuple[tuple[str, str], ...] = ()
    """Further pairs of tags around a model's thoughts, such as `[["<ponder>", "</ponder>"]]`. Text
    between them is not part of the answer."""
    kind: str
    """Which kind of task it is."""
    prompt_format: Literal["chat", "completion"] = "chat"
    """`chat` uses the model's template, `completion` continues plain text."""
    max_tokens: int = Field(default=64, ge=1)
    """Longest answer."""

    @classmethod
    def measured(cls, data: Mapping[str, Any]) -> Sequence[Mapping[str, Any]] | None:
        """Return what endpoints follow from beside the kind, given the fields that are valid."""
        return None

    @property
    def has_gold(self) -> bool:
        """Whether items say what is right; else answers are held against the reference's."""
        return True

    _samples: int = PrivateAttr(default=1)  # as `design` says

    @property
    def measures(self) -> Sequence[Mapping[str, Any]] | None:
        """What endpoints follow from beside the kind, as plain JSON; None: the kind alone."""
        own = self.measured(dict(self))
        return own if self._samples == 1 else ({"samples": self._samples}, *(own or ()))

    def answered(self, samples: int) -> None:
        """Take note of how many answers each arm gives to an item."""
        self._samples = samples

    @classmethod
    def _kind(cls, data: Mapping[str, Any]) -> Any:
        """Return the kind of task; each model of a part names one."""
        kind = TASKS.load(get_args(cls.model_fields["kind"].annotation)[0])
        return kind.variant(cls.measured(data))

    @field_validator("margin", mode="before")
    @classmethod
    def _in_the_primary_unit(cls, margin: Any, info: ValidationInfo) -> Any:
        endpoints = cls._kind(info.data).endpoints
        return _amount(margin, endpoints[0]) if endpoints and margin is not None else margin

    @field_validator("margins", mode="before")
    @classmethod
    def _of_known_endpoints(cls, margins: Any, info: ValidationInfo) -> Any:
        measured = cls._kind(info.data)
        if not isinstance(margins, dict) or not measured.endpoints:
            return margins
        known = {one.name: one for one in measured.endpoints}
        shares = (*known, *measured.failure_shares())
        _check_names(map(str, margins), shares, f"a {measured.kind} task has no endpoint")
        return {name: _amount(value, known.get(name)) for name, value in margins.items()}

    @model_validator(mode="after")
    def _primary_has_a_margin(self) -> Self:
        primary = self._kind(dict(self)).endpoints[0]
        if primary.unit and self.margin is None and primary.name not in self.margins:
            raise ValueError(no_margin(primary.name, primary.unit))
        return self

    @model_validator(mode="after")
    def _one_way_to_ask(self) -> Self:
        if self.prompt is not None and self.messages:
            raise ValueError("give `prompt` or `messages`, not both")
        if self.messages and self.messages[-1].role != "user":
            last = self.messages[-1].role
            raise ValueError(f"the last of `messages` is the {last}'s; it has to be the user's")
        return self

    @field_validator("thought_tags", mode="before")
    @classmethod
    def _pairs_of_tags(cls, tags: Any) -> Any:
        wanted = 'pairs of an opening and a closing tag, such as [["<ponder>", "</ponder>"]]'
        pairs = list(tags) if isinstance(tags, (list, tuple)) else [tags]
        for pair in pairs:
            if not isinstance(pair, (list, tuple)) or len(pair) != 2:
                raise ValueError(f"should be a list of {wanted}; got {tags!r:.60}")
            if not all(isinstance(tag, str) and tag.strip() for tag in pair):
                raise ValueError(f"a tag is a text that is not empty; needed are {wanted}")
            if pair[0].casefold() == pair[1].casefold():
                raise ValueError(f"one tag cannot both open and close: {pair[0]!r}; use {wanted}")
        return pairs

    @model_validator(mode="after")
    def _icc_of_clusters(self) -> Self:
        if self.icc is not None and self.cluster is None:
            raise ValueError(
                "icc says how alike items of one cluster are, and no cluster is named: set "
                "`cluster` too, or leave icc out"
            )
        return self


class ChoiceTask(TaskPart):
    """Multiple choice: one of 2 to 10 options."""

    kind: Literal["choice"]
    answer_mode: Literal["letter", "option"] = "letter"
    """`letter`: options are listed, a letter answers. `option`: decoding is held to their texts."""
    scoring: Literal["answer_letter", "first_letter"] = "answer_letter"
    """How a letter is read (letter mode): from what the answer states, or, to reproduce published
    studies, as the first of A to D in the whole text."""
    max_tokens: int = Field(default=16, ge=1)
    """Longest answer. Option mode always has room for the longest option."""

    @model_validator(mode="after")
    def _option_mode_continues(self) -> ChoiceTask:
        if self.answer_mode == "option" and self.prompt_format == "chat":
            raise ValueError(
                "answer_mode 'option' continues plain text: set prompt_format to 'completion'"
            )
        return self


class SpansTask(TaskPart):
    """Named entities: a JSON array of text and type."""

    kind: Literal["spans"]
    types: tuple[str, ...] | None = None
    """Entity types asked for; gold of other types is left out. All that occur by default."""
    constrained: bool = False
    """Hold decoding to a JSON array of text and type; an engine that cannot is refused."""
    scoring: Literal["first_array", "spans_published"] = "first_array"
    """How spans are read: from the first whole array of the right shape, or, to reproduce published
    studies, from the first `[` to the last `]` of the whole text."""
    max_tokens: int = Field(default=256, ge=1)
    """Longest answer."""


class TextTask(TaskPart, ScoredPart):
    """Free text: what is asked is a template, what is answered is read and scored."""

    kind: Literal["text"]
    gold: str = "gold"
    """The field that holds what is right: a text, a list of texts, a number or an object. `none`:
    nothing is known to be right; the reference is asked every item twice, and answers are held
    against its first one."""
    id: str | None = None
    """The field that names an item; its content does by default."""
    read: Reads = ()
    """How an answer is read before it is scored, one step or several: `strip`, `json`, `fenced`,
    `{regex: ..., take: last}`, `{after: "Answer:"}`. By default as the scorer needs it."""
    constrained: bool = False
    """Hold decoding to what the first scorer can score: its labels, fields or schema."""
    stop: tuple[str, ...] = ()
    """Texts that end an answer."""
    tools: str | tuple[dict[str, Any], ...] | None = None
    """Functions that the model may call: a list in OpenAI's form, or the field of the items that
    holds one. Every engine shows them by its chat template; score the calls with `tool_call`."""
    max_tokens: int = Field(default=256, ge=1)
    """Longest answer."""

    @field_validator("gold", mode="before")
    @classmethod
    def _null_is_none(cls, gold: Any) -> Any:
        return NO_GOLD if gold is None else gold

    @field_validator("tools", mode="before")
    @classmethod
    def _are_tools(cls, tools: Any) -> Any:
        return tools if tools is None or isinstance(tools, str) else tools_of(tools)

    @classmethod
    def measured(cls, data: Mapping[str, Any]) -> Sequence[Mapping[str, Any]] | None:
        """Return the entries of `score`, after `AGREEMENT` where items have no gold."""
        scorers = measures_of(data.get("score", ()))
        return (AGREEMENT, *scorers) if scorers and data.get("gold") == NO_GOLD else scorers

    @property
    def has_gold(self) -> bool:
        """Whether a field says what is right."""
        return self.gold != NO_GOLD

    def _compares(self, kind: Any) -> None:
        if self.has_gold:
            return
        if self.shots:
            raise ValueError("gold: none leaves no solved examples to show; leave `shots` out")
        for one, scorer in zip(self.score, kind.scorers, strict=True):
            first = one is self.score[0]
            if not scorer.compares and (first or scorer.needs_gold):
                able = ", ".join(name for name in SCORERS.names() if SCORERS.load(name).compares)
                later = "" if scorer.needs_gold else " (it may come later in the list)"
                raise ValueError(
                    f"gold: none holds answers against the reference's; the scorer {one.scorer} "
                    f"cannot do that{later}; use one of {able}"
                )

    @model_validator(mode="after")
    def _asks(self) -> Self:
        if self.prompt is None and not self.messages and self.source.type != "imported":
            raise ValueError('`prompt` is missing: a template such as "{{ question }}"')
        if self.tools and self.prompt_format != "chat":
            raise ValueError("tools are shown by a chat template: set prompt_format to 'chat'")
        kind = self._kind(dict(self))
        names = [one.name for one in kind.endpoints]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(
                f"score: two scorers have an endpoint named {twice[0]!r}; give one of them a `name`"
            )
        self._compares(kind)
        if self.constrained and kind.scorers[0].schema() is None:
            raise ValueError(
                f"constrained: the scorer {self.score[0].scorer} names no form that decoding can "
                "be held to; begin `score` with label, number, json or schema, or leave it out"
            )
        return self


Task = Annotated[TaskPart, OneOf(TASKS, "kind")]


def no_margin(endpoint: str, unit: str | None) -> str:
    """Say that an endpoint with a unit of its own needs a margin in it."""
    return (
        f"{endpoint} is counted in {unit}, so the study's margin, a share, does not hold for it; "
        f"state the largest difference that still counts as the same: `margin: 2 {unit}`"
    )


def _amount(value: Any, endpoint: Endpoint | None) -> Any:
    """Read a margin in the unit of its endpoint; of shares, as failure modes are, leave it."""
    if endpoint is None or endpoint.unit is None:
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return Counted(value)
    if not isinstance(value, str):
        return value
    try:
        return Counted(parse_amount(value, endpoint.unit))
    except StudyError as exc:
        raise ValueError(f"{endpoint.name}: {exc}") from exc


def check_failure_modes(names: Iterable[str], tasks: Iterable[TaskPart]) -> None:
    """Refuse names of failure modes that neither a kind of task nor a scorer here is tested for.

    Raises:
        ValueError: names the one that is wrong, and the nearest valid one.
    """
    if names := tuple(names):
        kinds = [*(kind_of(task) for task in tasks), *map(TASKS.load, TASKS.names())]
        shares = [name for kind in kinds for name in kind.failure_shares()]
        counts = [name for kind in kinds for name in kind.failure_counts()]
        valid = tuple(dict.fromkeys((*shares, *counts)))
        _check_names(names, valid, "there is no failure mode")


def _check_names(names: Iterable[str], valid: tuple[str, ...], refusal: str) -> None:
    for name in names:
        if name not in valid:
            raise ValueError(f"{refusal} {name!r}; {hint_of(name, valid, 'there are ')}")
