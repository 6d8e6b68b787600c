"""YAML from strangers: bounded in size and time, no value that two versions read differently."""

from __future__ import annotations

import functools
import re
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from cpu import within_a_second
from quantrial.errors import StudyError
from quantrial.importers.reference import study_text
from quantrial.strict_yaml import MOST_BYTES, parse_yaml, write_yaml
from quantrial.study import load_study, parse_study
from quantrial.units import parse_bytes, parse_fraction, parse_price, parse_seconds
from strategies import attempt

GOOD = """
study: demo
reference: fp16
arms:
  fp16: {model: a.gguf}
  q8: {model: a.gguf, quantize: Q8_0}
tasks:
  quiz: {kind: choice, workload: reasoning, source: {type: bundled}}
"""


def filled(unit: str, before: str = "", after: str = "") -> str:
    """Fill a study file up to the largest that is read."""
    room = MOST_BYTES - len(GOOD) - len(before) - len(after)
    return GOOD + before + unit * (room // len(unit)) + after


def laughs(levels: int, width: int = 9) -> str:
    """Write aliases of aliases: every level is `width` times what the one before is."""
    lines = ["a0: &a0 [x]"]
    for level in range(1, levels + 1):
        lines.append(f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * width)}]")
    return "\n".join(lines)


TOO_MUCH = {
    "aliases of aliases": (laughs(5), "a4.5: the study file holds more than 10,000 values"),
    "one level more": (laughs(6), "a4.5: the study file holds more than 10,000 values"),
    "thirty levels, two wide": (laughs(30, 2), "more than 10,000 values"),
    "aliases as a merge": (
        f"{laughs(4)}\nb: &b {{x: *a4}}\nc: {{<<: *b}}",
        "more than 10,000 values",
    ),
    "a long text, many times": (
        f"{GOOD}notes: [&a '{'x' * 50_000}'{', *a' * 30}]",
        "notes.20: the study file holds more than 1,048,576 characters once its aliases",
    ),
    "many values": (filled("a,", "notes: [", "]"), "notes.9969: the study file holds more than"),
    "many keys": (
        GOOD + "".join(f"k{i}: 1\n" for i in range(15_000)),
        "k4985: the study file holds more than 10,000 values",
    ),
    "300 lists": (GOOD + "notes: " + "[" * 300 + "]" * 300, "line 9, column 39: nested too deeply"),
    "300 mappings": (GOOD + "".join(" " * i + "a:\n" for i in range(300)), "nested too deeply"),
    "deep by aliases": (
        "\n".join(["a0: &a0 [x]", *(f"a{i}: &a{i} [*a{i - 1}]" for i in range(1, 40))]),
        "line 32, column 12: nested too deeply; at most 32 levels are read",
    ),
    "a list within itself": (GOOD + "notes: &n [*n]", "the alias 'n' stands within itself"),
    "a mapping within itself": ("a: &n {b: {c: *n}}", "the alias 'n' stands within itself"),
    "too long": ("#" * (MOST_BYTES + 1), "the study file has 262,145 characters; at most 262,144"),
    "digits": (filled("9", "seed: "), "seed: is 99999"),
    "hexadecimal digits": (filled("f", "seed: 0x"), "which does not fit into 64 bits"),
    "sixties": (filled(":30", "seed: 1"), "is a number in YAML 1.1 and a text in YAML 1.2"),
    "an exponent": (filled("9", "alpha: 1e"), "too large for a number"),
    "digits in quotes": (filled("9", "margin: '", "!'"), "margin: '9999"),
    "digits of bytes": (filled("9", "decision: {max_memory: '", "GB'}"), "is no amount of memory"),
    "unknown keys": (GOOD + "".join(f"k{i}: 1\n" for i in range(4900)), "and: 4,880 more problems"),
    "misspelt keys": (
        f"{GOOD}design:\n" + "".join(f"  attempt{i}: 1\n" for i in range(4900)),
        "did you mean 'attempts'",
    ),
    "a long key": (f"{GOOD}? '{'study' * 40_000}'\n: 1\n", "unknown key"),
    "many arms": (
        GOOD.replace("reference: fp16", "reference: x").replace(
            "tasks:", "".join(f"  a{i}: {{model: x}}\n" for i in range(2400)) + "tasks:"
        ),
        "reference is 'x', which is not among the arms: fp16, q8, a0",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", TOO_MUCH)
def test_too_much_of_anything_is_one_short_error_within_a_second(name: str) -> None:
    text, message = TOO_MUCH[name]
    with within_a_second(name), pytest.raises(StudyError, match=re.escape(message)) as caught:
        parse_study(text)
    assert len(str(caught.value)) < 4000


@pytest.mark.parametrize("text", [laughs(5), laughs(9), laughs(30, 2)])
def test_aliases_take_no_memory(text: str) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(StudyError):
            parse_study(text)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 5e6


FILLINGS = {
    **{"comments": "#\n", "blank lines": "\n", "spaces": " ", "line ends": "\r", "ends": "...\n"},
    **{"open lists": "[", "open mappings": "{a: ", "dashes": "- ", "keys": "? ", "colons": ": "},
    **{"tags": "!x ", "anchors": "&a ", "documents": "---\n", "quotes": '"', "marks": "'"},
}


@pytest.mark.parametrize("name", FILLINGS)
def test_a_file_full_of_one_token_is_read_or_refused_within_a_second(name: str) -> None:
    with within_a_second(name):
        _, error = attempt(functools.partial(parse_study, filled(FILLINGS[name])), StudyError)
    assert len(str(error)) < 400


def test_a_file_of_any_size_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "study.yaml"
    with path.open("wb") as file:
        file.truncate(2**40)  # a hole: a terabyte to whoever reads it
    with within_a_second(), pytest.raises(StudyError, match="more than 262,144 bytes") as caught:
        load_study(path)
    assert caught.value.path == path


# what the file says; the key; what it is in 1.1 and in 1.2; what to write
DIFFERENT = [
    ("seed: 1:30", "seed", "90", "a text", "'1:30' in quotes, or 90 (line 9)"),
    ("seed: 1:30:59", "seed", "5459", "a text", "'1:30:59' in quotes, or 5459"),
    ("seed: 010", "seed", "8", "10", "'010' in quotes, or 8 or 10"),
    ("seed: -010", "seed", "-8", "-10", "'-010' in quotes, or -8 or -10"),
    ("seed: 08", "seed", "a text", "8", "'08' in quotes, or 8"),
    ("seed: 0o10", "seed", "a text", "8", "'0o10' in quotes, or 8"),
    ("seed: 1_000", "seed", "1000", "a text", "'1_000' in quotes, or 1000"),
    ("seed: 0b11", "seed", "3", "a text", "'0b11' in quotes, or 3"),
    ("seed: +0x1F", "seed", "31", "a text", "'+0x1F' in quotes, or 31"),
    ("alpha: 0.0_5", "alpha", "0.05", "a text", "'0.0_5' in quotes, or 0.05"),
    ("alpha: 1:30.5", "alpha", "90.5", "a text", "'1:30.5' in quotes, or 90.5"),
    ("notes: [a, no]", "notes.1", "false", "a text", "'no' in quotes, or false"),
    ("notes: [On]", "notes.0", "true", "a text", "'On' in quotes, or true"),
    ("no: 1", "no", "false", "a text", "'no' in quotes (line 9)"),
    ("a: {b: {off: 1}}", "a.b.off", "false", "a text", "'off' in quotes (line 9)"),
    ("a: {12:30: 0.1}", "a.12:30", "750", "a text", "'12:30' in quotes (line 9)"),
]


@pytest.mark.parametrize(("line", "key", "old", "new", "instead"), DIFFERENT)
def test_what_two_versions_read_differently_is_refused_with_what_was_meant(
    line: str, key: str, old: str, new: str, instead: str
) -> None:
    message = f"is {old} in YAML 1.1 and {new} in YAML 1.2; write {instead}"
    with pytest.raises(StudyError, match=re.escape(message)) as caught:
        parse_study(GOOD + line)
    assert caught.value.key == key


@pytest.mark.parametrize("label", ["no", "Yes", "ON", "010", "1:30", "1_0", "0o7", "~", "1e3"])
def test_in_quotes_each_is_a_text(label: str) -> None:
    text = (
        GOOD.replace("kind: choice", f"kind: spans, types: [se, '{label}']") + "notes: [!!str no]"
    )
    study = parse_study(text)
    assert getattr(study.tasks["quiz"], "types") == ("se", label)  # noqa: B009
    assert study.notes == ("no",)


@pytest.mark.parametrize(
    ("written", "value"),
    [
        *[("2026-01-01", "2026-01-01"), ("2024-13-01", "2024-13-01"), ("=", "="), ("y", "y")],
        *[("12", 12), ("-3", -3), ("0", 0), ("0x1F", 31), ("1e3", 1000.0), ("1.5e-3", 0.0015)],
        *[(".5", 0.5), ("1.", 1.0), ("TRUE", True), ("false", False), ("~", None), ("", None)],
        *[("!!str 12", "12"), ("!!float 12", 12.0), ("! 12", "12"), ("!!int '12'", 12)],
        *[("1:75", "1:75"), ("0.1.2", "0.1.2"), ("smol:135m", "smol:135m"), ("1e", "1e")],
        *[('"\\ud83d\\ude00"', "\U0001f600"), ("9223372036854775807", 2**63 - 1)],
    ],
)
def test_values_are_those_of_the_core_schema(written: str, value: Any) -> None:
    read = parse_yaml(f"a: {written}\n")["a"]
    assert read == value
    assert type(read) is type(value)


REFUSED = [
    ("seed: 9223372036854775808", "seed", "which does not fit into 64 bits (line 9)"),
    ("seed: -9223372036854775809", "seed", "which does not fit into 64 bits"),
    ("alpha: .inf", "alpha", "is .inf; a finite number is needed"),
    ("alpha: -.INF", "alpha", "is -.INF; a finite number is needed"),
    ("alpha: .NaN", "alpha", "is .NaN; a finite number is needed"),
    ("alpha: 'nan'", "alpha", "should be a finite number"),
    ("notes: ['\\0', \"\\0\"]", "notes.1", "holds a NUL character"),
    ('notes: ["a\\udc80"]', "notes.0", "holds \\udc80, half of a character"),
    ('"\\ud83d": 1', "\\ud83d", "holds \\ud83d, half of a character"),
    ("1: 1", "1", "should be a text; put it in quotes; got 1"),
    ("arms2: {a: {true: 1}}", "arms2.a.true", "should be a text; put it in quotes; got true"),
    ("design: {<<: 3}", "design.<<", "takes a mapping, or a list of mappings, to merge"),
    ("seed: !!int x", "seed", "is x, which is no !!int"),
    ("seed: !!bool 1", "seed", "is 1, which is no !!bool"),
]
MALFORMED = [
    ("notes: [!!binary aGk=]", "line 9, column 9: the tag '!!binary' is not read here"),
    ("notes: !!set {a, b}", "line 9, column 8: the tag '!!set' is not read here"),
    ("notes: !!timestamp 2026-01-01", "the tag '!!timestamp' is not read here"),
    ("notes: !own x", "the tag '!own' is not read here"),
    ("notes: !!seq x", "the tag '!!seq' is not read here"),
    ("notes: !!str [x]", "the tag '!!str' is not read here"),
    ("? {a: 1}\n: 1", "line 9, column 3: a key is a text, not a list or a mapping"),
    ("---\nstudy: two", "line 9, column 1: a second document begins"),
    ("'seed': 1\nseed: 2", "line 10, column 1: the key 'seed' occurs twice"),
    ("design: {<<: {slots: 1}, <<: {slots: 2}}", "the key '<<' occurs twice"),
    ('notes: ["\\U00110000"]', "line 9: a number is out of range, of an escape"),
    ('notes: ["\\UFFFFFFFF"]', "line 9: a number is out of range, of an escape"),
    ("# a\u2028seed: 1", "line 9: U+2028 ends a line in YAML 1.1 and none in YAML 1.2"),
    ("# a\x85seed: 1", 'line 9: U+0085 ends a line in YAML 1.1 and none in YAML 1.2; write it'),
    ("\0", "unacceptable character #x0000"),
]  # fmt: skip


@pytest.mark.parametrize(("line", "key", "message"), REFUSED)
def test_a_value_that_is_not_read_is_named_by_key_and_line(
    line: str, key: str, message: str
) -> None:
    with pytest.raises(StudyError, match=re.escape(message)) as caught:
        parse_study(GOOD + line)
    assert caught.value.key == key


@pytest.mark.parametrize(("line", "message"), MALFORMED)
def test_what_is_not_read_at_all_is_named_by_line(line: str, message: str) -> None:
    with pytest.raises(StudyError, match=re.escape(message)):
        parse_study(GOOD + line)


def test_merge_keys_give_way_to_a_mappings_own() -> None:
    text = "a: &a {x: 1, y: 1}\nb: &b {y: 2, z: 2}\nc: {<<: [*a, *b], z: 3}\nd: {<<: *b}\n"
    assert parse_yaml(text)["c"] == {"x": 1, "y": 1, "z": 3} == yaml.safe_load(text)["c"]
    assert parse_yaml(text)["d"] == {"y": 2, "z": 2}
    assert parse_yaml("a: {'<<': {x: 1}}")["a"] == {"<<": {"x": 1}}


@pytest.mark.parametrize("parse", [parse_bytes, parse_fraction, parse_price, parse_seconds])
@pytest.mark.parametrize("text", ["9" * 10**6, "9" * 10**6 + "!", " " * 10**6 + "1", "." * 10**6])
def test_a_quantity_without_end_is_none(parse: Any, text: str) -> None:
    with within_a_second(), pytest.raises(StudyError) as caught:
        parse(text, "--option")
    assert len(str(caught.value)) < 200


TRAPS = st.sampled_from(
    [
        *["no", "Yes", "on", "1:30", "010", "08", "0o10", "1_000", "1e3", "+.5", "0b1", ".inf"],
        *["=", "<<", "~", "null", "2026-01-01", "a: b", "#", "\x85", "\u2028", "a\u2029 b", "\r"],
    ]
)


@given(
    st.dictionaries(
        (st.text() | TRAPS).filter(lambda text: "\0" not in text and text.isprintable()),
        (st.text() | TRAPS).filter(lambda text: "\0" not in text)
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.integers(-(2**63), 2**63 - 1),
        max_size=4,
    )
)
@example({"a": "1e3", "b": "0o10", "c": "\x85", "d": "08"})
def test_property_what_is_written_reads_back_by_either_version(value: dict[str, Any]) -> None:
    text = write_yaml(value)
    assert parse_yaml(text) == value
    assert yaml.safe_load(text) == value


def test_a_study_that_is_written_reads_back_as_itself() -> None:
    text = GOOD + "notes: ['1e3', '0o10', 'no', \"\\u2028\"]"
    study = parse_study(text)
    assert parse_study(write_yaml(study.canonical())) == study
    imported = study_text(
        {"study": "1e3", "reference": "08"}, {}, {"08": "1e3", "1e3": "0o10"},
        scoring="first_letter", methods="classic", resamples=100,
    )  # fmt: skip
    assert parse_yaml(imported)["arms"]["08"]["model"] == "1e3"
