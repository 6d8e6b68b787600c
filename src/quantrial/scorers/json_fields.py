"""The fields of a JSON object, each compared by its type."""

from __future__ import annotations

import datetime
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from quantrial.errors import RecordError
from quantrial.records import canonical_json
from quantrial.scorers.base import Said, Score, Scorer, ScorerPart, plain_names
from quantrial.scorers.number import NumberReader, near, written
from quantrial.strict_json import parse_json, readable
from quantrial.tasks.base import FORMAT_BROKEN, Endpoint, FailureMode, Outcome, Rate
from quantrial.tasks.tables import FailureColumn, FailureTable

if TYPE_CHECKING:
    from quantrial.records import Item

FieldType = Literal["exact", "casefold", "number", "date", "set", "ignore"]

FIELDS_F1 = Endpoint(
    "micro_f1",
    "ratio",
    {"tp": 2.0},
    {"tp": 2.0, "fp": 1.0, "fn": 1.0},
    hub_metric="f1",
    meaning="One score for filling in fields, from 0 to 100 %. It is high only when the arm misses "
    "few values and gives few wrong ones. All fields of all items count together.",
    written="micro-[fF]1",
)
ALL_FIELDS = Endpoint(
    "all_fields",
    "proportion",
    {"correct": 1.0},
    meaning="The share of answers in which every field is right.",
    mitigation="It gets at least one field wrong on {loss} more of the answers than {reference}. "
    "Check fields against each other where they must agree, and a sample by hand.",
)
VALID = Endpoint(
    "valid",
    "proportion",
    {"valid": 1.0},
    label="valid JSON",
    meaning="The share of answers that are a JSON object.",
    mitigation=FORMAT_BROKEN,
)

FIELD_ERRORS = FailureTable(
    "fields on {task} that are wrong",
    (
        FailureColumn("field", "field", form="text"),
        FailureColumn("wrong", "wrong", "another value than the right one"),
        FailureColumn("missing", "missing", "no value where there is one"),
        FailureColumn("invented", "invented", "a value where there is none"),
    ),
    rows="field_errors",
)

_MOST_ENDPOINTS = 25  # fields of which each is an endpoint; of more, none is
_DEEPEST = 100  # levels of a value that is compared
_LONGEST = 200  # characters of a date
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTH = (
    r"(?P<name>jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?"
    r"|sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)\.?"
)
_YEAR, _DAY = r"(?P<year>\d{4})", r"(?P<day>\d{1,2})"
_WEEKDAY = r"(?:(?:mon|tue|wed|thu|fri|sat|sun)[a-z]{0,6}\.?,?\s+)?"
_TIME = r"(?:(?:t|\s+)\d{1,2}:\d{2}[0-9:.,z+\-\s]{0,30})?"
_DATES = tuple(
    re.compile(form + _TIME, re.IGNORECASE | re.ASCII)
    for form in (
        rf"{_YEAR}(?P<mark>[-/.])(?P<month>\d{{1,2}})(?P=mark){_DAY}",
        rf"{_YEAR}(?P<month>\d{{2}})(?P<day>\d{{2}})",
        rf"{_YEAR}\s?年\s?(?P<month>\d{{1,2}})\s?月\s?{_DAY}\s?日",
        rf"{_WEEKDAY}{_DAY}(?:st|nd|rd|th)?[\s.\-/]*(?:of\s+)?{_MONTH}[\s,\-/]*{_YEAR}",
        rf"{_WEEKDAY}{_MONTH}[\s\-/]*{_DAY}(?:st|nd|rd|th)?[\s,\-/]+{_YEAR}",
        rf"{_DAY}\.\s?(?P<month>\d{{1,2}})\.\s?{_YEAR}",  # with points the day comes first
    )
)
_EITHER = re.compile(rf"(\d{{1,2}})([-/])(\d{{1,2}})\2{_YEAR}{_TIME}", re.IGNORECASE | re.ASCII)


def read_date(value: Any) -> str:
    """Write a date in the form of ISO 8601; a time beside it is left out.

    Read are 2024-03-31, 20240331, 31 March 2024, March 31st, 2024, 31-Mar-2024, 31.3.2024,
    2024年3月31日, and 31/3/2024 or 3/31/2024 where only one of them can be meant.

    Raises:
        ValueError: it is none, or could be two dates.
    """
    text = " ".join(value.split()) if isinstance(value, str) and len(value) <= _LONGEST else ""
    day: tuple[str, ...] | None = None
    if either := _EITHER.fullmatch(text):
        first, second = int(either[1]), int(either[3])
        if first != second and first <= 12 and second <= 12:
            raise ValueError(f"{text!r} could be two dates; write it as 2024-12-31")
        day = (either["year"], str(min(first, second)), str(max(first, second)))
    for form in _DATES:
        if day is None and (match := form.fullmatch(text)):
            groups = match.groupdict()
            name = groups.get("name")
            month = str(_MONTHS.index(name[:3].lower()) + 1) if name else match["month"]
            day = (match["year"], month, match["day"])
    if day is None:
        raise ValueError(f"{_brief(value)} is no date; expected one as 2024-12-31")
    return datetime.date(*map(int, day)).isoformat()  # ValueError: there is no such day


def _text(value: Any) -> str:
    """Bring a text, or a number as JSON writes it, to the form in which case is no difference.

    Raises:
        ValueError: it is neither.
    """
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise ValueError(f"{_brief(value)} is no text")
    return " ".join(unicodedata.normalize("NFC", str(value)).casefold().split())


def _set(value: Any) -> list[str]:
    parts = re.split(r"[,;\n]", value) if isinstance(value, str) else value
    if not isinstance(parts, list):
        raise ValueError(f"{_brief(value)} is no list")
    return sorted({text for one in parts if (text := _text(one))})


def _brief(value: Any) -> str:
    try:
        return readable(repr(value))[:60]
    except RecursionError:
        return "a value that is nested too deeply"


def _exact(value: Any, depth: int = 0) -> Any:
    if depth > _DEEPEST:
        raise ValueError("it is nested too deeply")
    if isinstance(value, str):
        return " ".join(unicodedata.normalize("NFC", value).split())
    if isinstance(value, float) and value.is_integer():
        return int(value) if abs(value) < 2**53 else value
    if isinstance(value, int) and not -(2**63) <= value < 2**64:
        raise ValueError("it is too large a number")
    if isinstance(value, list):
        return [_exact(one, depth + 1) for one in value]
    if isinstance(value, dict):
        return {_exact(name): _exact(one, depth + 1) for name, one in value.items()}
    return value


class JsonPart(ScorerPart):
    """The answer is a JSON object whose fields are right, each by its type.

    A field that is null, empty or not there has no value. Fields that are not named here do not
    count. What is right is an object too, or its JSON in a text.
    """

    short: ClassVar[str | None] = "fields"
    scorer: Literal["json"]
    fields: dict[Annotated[str, Field(max_length=200)], FieldType] = Field(
        min_length=1, max_length=200
    )
    """The type of each field: `exact` as it is, but for white space; `casefold` a text in any case;
    `number`, also as "1,234.50" or "$5"; `date` in any form that can only mean one day; `set` a
    list in any order; `ignore` does not count. `vendor.name` is the field `name` within `vendor`.
    With at most 25, each is an endpoint."""
    abs: float = Field(default=0.0, ge=0)
    """How far a number may be off."""
    rel: float = Field(default=0.0, ge=0)
    """The same as a share of the right number: 0.01 is one percent of it. The larger one counts."""

    @model_validator(mode="after")
    def _can_all_be_there(self) -> Self:
        for path in self.fields:
            parts = path.split(".")
            if not all(part and part.isprintable() for part in parts):
                raise ValueError(f"the field {path!r:.60} has an empty or invisible part")
            for n in range(1, len(parts)):
                if (outer := ".".join(parts[:n])) in self.fields:
                    raise ValueError(
                        f"the field {path!r:.60} is within {outer!r:.60}, which counts as a whole; "
                        "name one of them"
                    )
        if set(self.fields.values()) == {"ignore"}:
            raise ValueError("every field is ignored; name one that counts")
        return self


class Json(Scorer):
    """Whether the fields of an object are right."""

    part = JsonPart
    compares = True
    reads = "json"
    scored_by = ("quantrial.scorers.number", "quantrial.strict_json")
    right = ALL_FIELDS.name
    failure_tables = (FIELD_ERRORS,)

    def __init__(self, spec: JsonPart):
        super().__init__(spec)
        self._types = {path: kind for path, kind in spec.fields.items() if kind != "ignore"}
        self._names = {path: f"field_{one}" for path, one in plain_names(list(self._types)).items()}
        each = self._names.items() if len(self._names) <= _MOST_ENDPOINTS else ()
        fields = [_field_endpoint(path, name) for path, name in each]
        self.endpoints = (FIELDS_F1, ALL_FIELDS, VALID, *fields)
        number = NumberReader()
        self._readers: Mapping[str, Callable[[Any], Any]] = {
            "exact": _exact,
            "casefold": _text,
            "number": lambda value: written(number.exact(value)),
            "date": read_date,
            "set": _set,
        }
        self.failure_modes = (
            FailureMode(
                "no_invented_values",
                lambda _task, _item, outcome: outcome.values["invented"] > 0,
                lambda item: len(self._gold(item.gold)) < len(self._types),
                mitigation="It fills in a field that has no value on {loss} more of such items "
                "than {reference}. Check that each value stands in the input.",
            ),
        )

    def check(self, gold: Any) -> None:
        """Refuse what is no object, has none of the fields, or a value that is not of its type."""
        if not self._gold(gold, strict=True):
            raise ValueError(f"it has a value for none of the fields {', '.join(self._types):.200}")

    def schema(self) -> Mapping[str, Any]:
        """Hold decoding to an object with all fields, of which any may be null."""
        root: dict[str, Any] = _object()
        for path, kind in self.spec.fields.items():
            *outer, last = path.split(".")
            inside = root
            for part in outer:
                inside = inside["properties"].setdefault(part, _object())
            inside["properties"][last] = dict(_SCHEMAS[kind])
        return _required(root)

    def as_gold(self, text: str, said: Said) -> Any:
        """Return the fields of an answer's object, all that have a value."""
        try:
            found = parse_json(text.encode("utf-8", "replace"), path="answer")
        except RecordError as exc:
            raise ValueError("it is no JSON object") from exc
        self._values(found)
        return found

    def score(self, gold: Any, text: str, said: Said) -> Score:
        """Compare each field with the right value; a text that is no object has none."""
        right = self._gold(gold)
        try:
            found = self._values(parse_json(text.encode("utf-8", "replace"), path="answer"))
        except (RecordError, ValueError):
            return self._missed(right)
        return self._scored(right, found)

    def unread(self, gold: Any, said: Said) -> Score:
        """Every right value is missed."""
        return self._missed(self._gold(gold))

    def _missed(self, right: Mapping[str, Any]) -> Score:
        values = dict.fromkeys(("tp", "fp", "correct", "valid", "invented"), 0.0)
        values["fn"] = float(len(right))
        return Score(values | dict.fromkeys(self._names.values(), 0.0), parsed=False)

    def _scored(self, right: Mapping[str, Any], found: Mapping[str, Any]) -> Score:
        states = {path: self._state(path, right, found) for path in self._types}
        count = Counter(states.values())
        values = {
            "tp": float(count["right"]),
            "fp": float(count["wrong"] + count["invented"]),
            "fn": float(count["wrong"] + count["missing"]),
            "correct": float(count["right"] + count["absent"] == len(states)),
            "valid": 1.0,
            "invented": float(count["invented"]),
        }
        for path, name in self._names.items():
            values[name] = float(states[path] in ("right", "absent"))
        return Score(values, answer=dict(found))

    def _state(self, path: str, right: Mapping[str, Any], found: Mapping[str, Any]) -> str:
        if path not in right:
            return "invented" if path in found else "absent"
        if path not in found:
            return "missing"
        one, gold = found[path], right[path]
        if self._types[path] == "number" and isinstance(one, str) and isinstance(gold, str):
            same = near(Fraction(one), Fraction(gold), self.spec.abs, self.spec.rel)
        else:
            same = canonical_json(one) == canonical_json(gold)
        return "right" if same else "wrong"

    def _gold(self, gold: Any, *, strict: bool = False) -> dict[str, Any]:
        """Return the right values, each in the form that is compared.

        Raises:
            ValueError: it is no object; or, if `strict`, a value is not of its type.
        """
        if isinstance(gold, str):
            try:
                gold = parse_json(gold.encode("utf-8", "replace"), path="gold")
            except RecordError as exc:
                raise ValueError(f"{_brief(gold)} is no JSON object") from exc
        return self._values(gold, strict=strict)

    def _values(self, value: Any, *, strict: bool = False) -> dict[str, Any]:
        """Return the fields that have a value; what is not of its type is kept as such."""
        if not isinstance(value, dict):
            raise ValueError(f"{_brief(value)} is no JSON object")
        found = {}
        for path, kind in self._types.items():
            inside: Any = value
            for part in path.split("."):
                inside = inside.get(part) if isinstance(inside, dict) else None
            if isinstance(inside, str):
                inside = inside.strip()
            if inside is None or inside in ("", [], {}):
                continue
            try:
                found[path] = self._readers[kind](inside)
            except ValueError as exc:
                if strict:
                    raise ValueError(f"the field {path!r:.60}: {exc}") from exc
                found[path] = {"unreadable": _brief(inside)}
        return found

    def failures(self, pairs: Sequence[tuple[Item, Outcome]], rate: Rate) -> Mapping[str, Any]:
        """Count how each field went wrong, of the answers that could be read; most first."""
        counts: dict[str, Counter[str]] = {path: Counter() for path in self._types}
        for item, one in pairs:
            if isinstance(one.answer, dict):
                right = self._gold(item.gold)
                for path, count in counts.items():
                    count[self._state(path, right, one.answer)] += 1
        rows = [
            {"field": path, **{key: count[key] for key in ("wrong", "missing", "invented")}}
            for path, count in counts.items()
            if count["wrong"] + count["missing"] + count["invented"]
        ]
        return {
            "field_errors": sorted(
                rows, key=lambda row: -row["wrong"] - row["missing"] - row["invented"]
            )
        }


_SCHEMAS: Mapping[str, Mapping[str, Any]] = {
    "exact": {},
    "ignore": {},
    "casefold": {"type": ["string", "null"]},
    "number": {"type": ["number", "null"]},
    "date": {"type": ["string", "null"]},
    "set": {"type": "array", "items": {"type": "string"}},
}


def _object() -> dict[str, Any]:
    return {"type": "object", "properties": {}, "additionalProperties": False}


def _required(schema: dict[str, Any]) -> dict[str, Any]:
    """Require every field of an object, and of the objects within it."""
    schema["required"] = list(schema["properties"])
    for inside in schema["properties"].values():
        if "properties" in inside:
            _required(inside)
    return schema


def _field_endpoint(path: str, name: str) -> Endpoint:
    # a mitigation is divided at the end of its first sentence
    said = f"the field {path}" if re.fullmatch(r"[\w -]+(?:\.[\w-]+)*", path) else "one field"
    return Endpoint(
        name,
        "proportion",
        {name: 1.0},
        label=f"field {path}",
        meaning=f"The share of answers whose field {path} is right; so is no value where none is.",
        mitigation=f"It gets {said} wrong on {{loss}} more of the answers than {{reference}}. "
        "Check its values by a rule, or against the input.",
    )
