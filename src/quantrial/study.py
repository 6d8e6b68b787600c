"""The study: one experiment, described by one file.

Every key is a field below; `docs/study-file.md` and `docs/study.schema.json` are generated from
these models, so the help an editor gives is the help you read here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from quantrial.endpoints import ENDPOINTS, check_failure_modes, check_margins
from quantrial.errors import StudyError
from quantrial.records import sha256_of
from quantrial.study_decision import DecisionPart
from quantrial.study_design import Design
from quantrial.study_problems import explain
from quantrial.study_speed import Speed

NAME = r"^[A-Za-z0-9][A-Za-z0-9_-]*$"
Name = Annotated[str, Field(pattern=NAME, max_length=64)]
Quantization = Literal["F16", "Q8_0", "Q5_0", "Q4_0"]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


class Arm(_Part):
    """One artifact under test: an engine, a model reference, options."""

    engine: str = "llamacpp"
    """Which engine answers: `llamacpp` (embedded), `openai` (a server), `scripted` (for tests)."""
    model: str
    """A path, `hf://org/repo/file.gguf`, `package://package/file.gguf`, or one the engine knows."""
    quantize: Quantization | None = None
    """Make the arm's file from `model`: dequantize it and write this type (embedded engine)."""
    degrade: Literal["round_3bit"] | None = None
    """Damage the weights on purpose before writing them, for a positive control."""
    control: Literal["positive"] | None = None
    """`positive`: this arm shows that the trial can find harm. It is never recommended."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Options of the engine. `llamacpp`: `context`, `threads`, `batch`, `gpu_layers`, `slots`."""


class BundledSource(_Part):
    """The items that come with quantrial; needs no files and no network."""

    type: Literal["bundled"]


class MmluSource(_Part):
    """A folder of MMLU CSV files, `<subject>_<split>.csv`.

    With a header and the answer's index, or without one and the answer's letter.
    """

    type: Literal["mmlu_csv"]
    path: Path
    """Folder that holds the files (directly, or in `test/` and `dev/`)."""
    subjects: tuple[str, ...] | None = None
    """Which subjects; all of the folder by default."""
    split: str = "test"
    """Which split is asked."""


class ConllSource(_Part):
    """A file of CoNLL columns: a token and its tag a line, a blank line between sentences."""

    type: Literal["conll"]
    path: Path
    """The file. Two columns (token, tag) or four (CoNLL-2003); `-DOCSTART-` lines are skipped."""
    dev: Path | None = None
    """A file of the same form that the examples of `shots` are taken from."""


class JsonlSource(_Part):
    """One's own items, a JSON object a line.

    choice: `question`, `options` (2 to 10 texts), `answer` (index or letter). spans: `text`,
    `entities` (pairs of text and type). Any other key with a text or number is metadata: a stratum
    or cluster.
    """

    type: Literal["jsonl"]
    path: Path
    """The file."""
    dev: Path | None = None
    """A file of the same form that the examples of `shots` are taken from."""


class HubSource(_Part):
    """A data set of the Hugging Face hub, or a local folder in its layout; the extra `hub`."""

    type: Literal["hub"]
    repo: str
    """`cais/mmlu`, a CoNLL-2003 in parquet form, or a local folder."""
    revision: str | None = None
    """The commit to read; pin it. Without one, the newest is resolved and recorded."""
    config: str | None = None
    """The configuration, such as `all`."""
    split: str = "test"
    """Which split is asked."""
    dev_split: str | None = None
    """The split that the examples of `shots` are taken from."""


class ImportedSource(_Part):
    """Answers that another program collected, read by `quantrial import`; nothing is asked."""

    type: Literal["imported"]
    layout: Literal["reference"] = "reference"
    """The layout the answers were read from."""


Source = Annotated[
    BundledSource | MmluSource | ConllSource | JsonlSource | HubSource | ImportedSource,
    Field(discriminator="type"),
]


class _TaskBase(_Part):
    workload: str
    """The class of work this task stands for, such as `reasoning` or `extraction`."""
    source: Source
    """Where the items come from."""
    sample: int | None = Field(default=None, ge=1)
    """How many items to draw; all by default."""
    stratify: str | None = None
    """Metadata key whose values get equal shares of the sample (`subject`, for one); `calibrated`
    then speaks of these very groups: the variance between them is no error."""
    cluster: str | None = None
    """Metadata key of the random groups that items came from; what is said holds for groups like
    these: `calibrated` claims nothing below five of them, `classic` resamples whole groups."""
    margin: float | None = Field(default=None, gt=0, lt=1)
    """The largest loss that still counts as practically the same; the study's by default."""
    margins: dict[str, Annotated[float, Field(gt=0, lt=1)]] = Field(default_factory=dict)
    """Margins of single endpoints or failure modes, such as `{recall: 0.03}`, before `margin`."""
    shots: int = Field(default=0, ge=0, le=32)
    """How many solved examples stand before each item."""
    system: str | None = None
    """The system message (chat) or first line (completion); the task kind's own by default."""
    timeout: float = Field(default=120.0, gt=0)
    """Seconds after which a call counts as a fault."""

    @field_validator("margins")
    @classmethod
    def _of_known_endpoints(cls, margins: dict[str, float]) -> dict[str, float]:
        check_margins(get_args(cls.model_fields["kind"].annotation)[0], margins)
        return margins


class ChoiceTask(_TaskBase):
    """Multiple choice: one of 2 to 10 options."""

    kind: Literal["choice"]
    answer_mode: Literal["letter", "option"] = "letter"
    """`letter`: options are listed, a letter answers. `option`: decoding is held to their texts."""
    scoring: Literal["answer_letter", "first_letter"] = "answer_letter"
    """How a letter is read from the text (letter mode)."""
    prompt_format: Literal["chat", "completion"] = "chat"
    """`chat` uses the model's template, `completion` continues plain text."""
    max_tokens: int = Field(default=16, ge=1)
    """Longest answer. Option mode has room for the longest option whatever is said here."""

    @model_validator(mode="after")
    def _option_mode_continues(self) -> ChoiceTask:
        if self.answer_mode == "option" and self.prompt_format == "chat":
            raise ValueError(
                "answer_mode 'option' continues plain text: set prompt_format to 'completion'"
            )
        return self


class SpansTask(_TaskBase):
    """Named entities: a JSON array of text and type."""

    kind: Literal["spans"]
    types: tuple[str, ...] | None = None
    """Entity types asked for; gold of other types is left out. All that occur by default."""
    prompt_format: Literal["chat", "completion"] = "chat"
    """`chat` uses the model's template, `completion` continues plain text."""
    constrained: bool = False
    """Hold decoding to a JSON array of text and type; an engine that cannot is refused."""
    max_tokens: int = Field(default=256, ge=1)
    """Longest answer."""


Task = Annotated[ChoiceTask | SpansTask, Field(discriminator="kind")]


class Analysis(_Part):
    """How responses become findings."""

    methods: Literal["calibrated", "classic"] = "calibrated"
    """Which set of statistics: `calibrated`, or `classic` to reproduce published practice."""
    resamples: int = Field(default=10_000, ge=100, le=1_000_000)
    """Bootstrap and permutation draws."""
    declared_failure_modes: tuple[str, ...] = ()
    """Failure modes to be tested from the start; the others are reported as exploratory."""

    @field_validator("declared_failure_modes")
    @classmethod
    def _of_known_names(cls, declared: tuple[str, ...]) -> tuple[str, ...]:
        check_failure_modes(declared)
        return declared


class Study(_Part):
    """One experiment: arms, tasks, and what counts as the same."""

    study: Name
    """The study's name; its run folder is called after it."""
    seed: int = Field(default=0, ge=0, lt=2**63)
    """Everything that is drawn follows from it."""
    reference: str
    """The arm that the others are compared with."""
    margin: float = Field(default=0.01, gt=0, lt=1)
    """The largest loss that still counts as practically the same, as a fraction."""
    alpha: float = Field(default=0.05, gt=0, lt=0.5)
    """The error rate of each test; intervals have confidence 1 - alpha."""
    notes: tuple[str, ...] = ()
    """Sentences about this study that the report prints as they are."""
    arms: dict[Name, Arm]
    """The artifacts under test, by name."""
    tasks: dict[Name, Task]
    """What they are asked, by name."""
    design: Design = Design.model_construct()
    """The order of calls."""
    analysis: Analysis = Analysis.model_construct()
    """How responses become findings."""
    speed: Speed | None = None
    """The speed phase; left out, speed is read off the timings of the answers."""
    decision: DecisionPart = DecisionPart.model_construct()
    """What you cannot give up, and what things cost."""

    @field_validator("arms")
    @classmethod
    def _two_arms(cls, arms: dict[str, Arm]) -> dict[str, Arm]:
        if len(arms) < 2:
            raise ValueError("a comparison needs at least two arms: the reference and a candidate")
        return arms

    @field_validator("tasks")
    @classmethod
    def _a_task(cls, tasks: dict[str, Task]) -> dict[str, Task]:
        if not tasks:
            raise ValueError("at least one task is needed")
        return tasks

    @model_validator(mode="after")
    def _reference_is_an_arm(self) -> Study:
        if self.reference not in self.arms:
            raise ValueError(
                f"reference is {self.reference!r}, which is not among the arms: "
                f"{', '.join(self.arms)}"
            )
        if self.arms[self.reference].control:
            raise ValueError(f"reference {self.reference!r} cannot be a control arm")
        return self

    def margin_of(self, task: str, endpoint: str | None = None) -> float:
        """Return the margin that holds for an endpoint of a task, by default its primary one.

        The endpoint's own, or the task's, or the study's.
        """
        spec = self.tasks[task]
        own = spec.margins.get(endpoint or ENDPOINTS[spec.kind][0], spec.margin)
        return self.margin if own is None else own

    def canonical(self) -> dict[str, Any]:
        """Return what the study says as plain JSON values, without what is the default anyway.

        A later version with a new optional key therefore gives an old study the same hash.
        """
        return self.model_dump(mode="json", exclude_defaults=True)

    @property
    def hash(self) -> str:
        """SHA-256 of the canonical study: what decides whether a run folder belongs to it."""
        return sha256_of(self.canonical())

    def is_of(self, digest: str, *, early: bool) -> bool:
        """Whether a recorded hash is that of this study.

        `early`: it is from before orders were recorded, when `round_robin` was the default.
        """
        if digest == self.hash or not early or self.design.schedule != "round_robin":
            return digest == self.hash
        unsaid = self.design.model_copy(update={"schedule": "auto"})
        return digest == self.model_copy(update={"design": unsaid}).hash


def load_study(path: Path | str) -> Study:
    """Read and check a study file.

    Raises:
        StudyError: the file is missing, unreadable, not YAML, or a key or value in it is wrong; the
            message names the key and, for a misspelt one, the nearest valid key.
    """
    path = Path(path)
    return parse_study(read_study_text(path), path=path)


def read_study_text(path: Path) -> str:
    """Read a study file as text, explaining why when it cannot be read."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as exc:
        raise StudyError(
            "no such study file; `quantrial init` writes one to start from", path=path
        ) from exc
    except UnicodeDecodeError as exc:
        raise StudyError(f"not UTF-8 (byte {exc.start}): save it as UTF-8", path=path) from exc
    except OSError as exc:
        raise StudyError(f"cannot be read ({exc.strerror})", path=path) from exc


def parse_study(text: str, *, path: Path | str | None = None) -> Study:
    """Check the text of a study file; `path` is for messages only."""
    try:
        data = yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as exc:
        mark = getattr(exc, "problem_mark", None)
        where = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        problem = getattr(exc, "problem", None) or str(exc).splitlines()[0]
        raise StudyError(f"not valid YAML{where}: {problem}", path=path) from exc
    except ValueError as exc:  # a date such as 2024-13-01
        raise StudyError(f"not valid YAML: {exc}", path=path) from exc
    except RecursionError as exc:
        raise StudyError("not valid YAML: nested too deeply", path=path) from exc
    if not isinstance(data, dict):
        raise StudyError(
            "expected a mapping of keys such as `study:`, `arms:`, `tasks:`", path=path
        )
    try:
        return Study.model_validate(data)
    except ValidationError as exc:
        # a misspelt key is two problems, of which "unknown" explains "missing"
        errors = sorted(exc.errors(), key=lambda error: error["type"] != "extra_forbidden")
        key, message = explain(errors[0], _valid_keys)
        more = exc.error_count() - 1
        suffix = f" (and {more} more problem{'s' if more > 1 else ''})" if more else ""
        raise StudyError(message + suffix, path=path, key=key or None) from exc


class _Loader(yaml.SafeLoader):
    """YAML as it is, but a key that stands twice is an error: the first one would be lost."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value if isinstance(node, yaml.MappingNode) else ():
            if not isinstance(key, yaml.ScalarNode):
                continue
            if key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key.value!r} stands twice", key.start_mark
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def _valid_keys(location: list[str]) -> list[str]:
    model: Any = None
    match location[:-1]:
        case []:
            model = Study
        case ["design"]:
            model = Design
        case ["analysis"]:
            model = Analysis
        case ["speed"]:
            model = Speed
        case ["decision"]:
            model = DecisionPart
        case ["arms", _]:
            model = Arm
        case ["tasks", _, kind]:
            model = _KINDS[kind]
        case ["tasks", _, _, "source", of]:
            model = _TYPES[of]
    return list(model.model_fields) if model else []


_KINDS: dict[str, Any] = {"choice": ChoiceTask, "spans": SpansTask}
_TYPES: dict[str, Any] = {
    get_args(source.model_fields["type"].annotation)[0]: source
    for source in get_args(get_args(Source)[0])
}
