"""Calls of tools: Berkeley's own cases, every form that models write them in, and hostile ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cpu import within_a_second
from quantrial.records import Item
from quantrial.scorers.base import Said, Score
from quantrial.scorers.calls import ToolCall, written
from quantrial.scorers.tool_call import MALFORMED, ToolCallPart, ToolCalls
from quantrial.tasks.answer import Answer

DATA = Path(__file__).parent.parent / "data" / "scorers" / "tool_calls.json"
CASES = json.loads(DATA.read_text(encoding="utf-8"))["cases"]
SCORER = ToolCalls(ToolCallPart(scorer="tool_call"))
RIGA = [{"name": "weather", "arguments": {"town": "Riga", "days": 3}}]
CALL = ToolCall("weather", {"town": "Riga"})
WRITTEN = '{"name": "weather", "arguments": {"town": "Riga"}}'


def scored(gold: Any, text: str, calls: Any = (), tools: Any = ()) -> Score:
    SCORER.check(gold)
    said = Said(Answer(text, calls=tuple(calls)), Item("t", "1", {}, gold), tools)
    return SCORER.score(gold, text, said)


def handed(name: str, arguments: Any) -> dict[str, Any]:
    return {"id": "x", "type": "function", "function": {"name": name, "arguments": arguments}}


@pytest.mark.parametrize(
    ("case", "answer", "right"),
    [
        pytest.param(one, text, verdict, id=f"{one['id']}-{key}-{number}")
        for one in CASES
        for key, verdict in (("right", 1.0), ("wrong", 0.0))
        for number, text in enumerate(one[key])
    ],
)
def test_calls_against_reference_of_berkeleys_leaderboard(
    case: dict[str, Any], answer: str, right: float
) -> None:
    found = scored(case["ground_truth"], answer, tools=case["function"])
    assert found.parsed
    assert found.values["correct"] == right
    # the same calls as a server hands them over
    calls = [handed(c["name"], json.dumps(c["arguments"])) for c in found.answer or []]  # type: ignore[attr-defined]
    assert scored(case["ground_truth"], "", calls, case["function"]) == found


@pytest.mark.parametrize(
    "text",
    [
        WRITTEN,
        f"[{WRITTEN}]",
        f"<tool_call>\n{WRITTEN}\n</tool_call>",
        f"I look it up. <tool_call>{WRITTEN}",
        f"<|tool_call|>[{WRITTEN}]<|/tool_call|>",
        f"<TOOLCALL>[{WRITTEN}]</TOOLCALL>",
        "<|tool_call_start|>[weather(town='Riga')]<|tool_call_end|>I call it.",
        f"[TOOL_CALLS] [{WRITTEN}]",
        f"<|python_tag|>{WRITTEN}",
        f"functools[{WRITTEN}]",
        f"Sure:\n```json\n{WRITTEN}\n```\nDone.",
        f"Sure: {WRITTEN} is what I call.",
        '{"name": "weather", "parameters": {"town": "Riga"}}',
        '{"type": "function", "function": {"name": "weather", "arguments": {"town": "Riga"}}}',
        r'{"function": {"name": "weather", "arguments": "{\"town\": \"Riga\"}"}}',
        '{"function": "weather", "parameters": {"town": "Riga"}}',
        f'{{"tool_calls": [{WRITTEN}]}}',
        '<function=weather>{"town": "Riga"}</function>',
        'weather(town="Riga")',
        "[weather(town='Riga')]",
        "```python\nweather(town='Riga')\n```",
    ],
)
def test_a_call_is_read_however_it_is_written(text: str) -> None:
    assert written(text) == (CALL,)


TAGS = {
    "Qwen3-Coder": "<tool_call>\n<function=f>\n<parameter=a>\n5\n</parameter>\n"
    "<parameter=b>\nTrue\n</parameter>\n</function>\n</tool_call>",
    "without the outer tag": "<function=f><parameter=a>5</parameter><parameter=b>true</parameter>",
    "GLM": "<tool_call>f\n<arg_key>a</arg_key>\n<arg_value>5</arg_value>\n"
    "<arg_key>b</arg_key>\n<arg_value>true</arg_value>\n</tool_call>",
}


@pytest.mark.parametrize("text", TAGS.values(), ids=TAGS)
def test_arguments_in_tags_are_of_the_type_that_is_right(text: str) -> None:
    for a in (5, "5"):
        found = scored([{"name": "f", "arguments": {"a": a, "b": True}}], text)
        assert (found.values["correct"], found.values["tp"]) == (1.0, 2.0)
        schema = {"properties": {"a": {"type": "integer"}}}
        tools = [{"name": "f", "parameters": schema}]
        found = scored([{"name": "f", "arguments": {"a": a, "b": True}}], text, tools=tools)
        assert found.values["correct"] == 1.0
    for wrong in (6, "6", [5], 5.5):
        gold = [{"name": "f", "arguments": {"a": wrong, "b": True}}]
        assert scored(gold, text).values["tp"] == 1.0
    assert written("<tool_call><function=f></function></tool_call>") == (ToolCall("f", {}),)
    both = f"{text}</function>{text}" if text.startswith("<f") else text * 2
    assert [one.name for one in written(both) or ()] == ["f", "f"]


def test_types_are_those_of_the_items_field_where_the_task_offers_none() -> None:
    tools = [{"name": "f", "parameters": {"properties": {"a": {"type": "integer"}}}}]
    said = Said(Answer("f(a=5.0)"), Item("t", "1", {"tools": tools}, []))
    gold = [{"name": "f", "arguments": {"a": 5}}]
    assert SCORER.score(gold, "f(a=5.0)", said).values["correct"] == 0.0
    assert scored(gold, "f(a=5.0)").values["correct"] == 1.0


def test_several_calls_are_read_in_their_order() -> None:
    two = (CALL, ToolCall("clock", {}))
    clock = '{"name": "clock", "arguments": {}}'
    for text in (
        f"[{WRITTEN}, {clock}]",
        f"{WRITTEN}\n{clock}",
        f"{WRITTEN}; {clock}",
        f"<tool_call>{WRITTEN}</tool_call>\n<tool_call>{clock}</tool_call>",
        f"First {WRITTEN}, then {clock}.",
        "weather(town='Riga')\nclock()",
        "[weather(town='Riga'), clock()]",
    ):
        assert written(text) == two


@pytest.mark.parametrize(
    "text",
    ["", "It rains.", "{}", '{"name": "Bo", "age": 3}', "[1, 2]", "print('hi')", "a = 1", "f(*a)"],
)
def test_what_is_no_call_is_none(text: str) -> None:
    assert written(text) == ()


@pytest.mark.parametrize(
    "text",
    [
        '<tool_call>{"name": "weather", "arguments": {"town": "Riga"</tool_call>',
        "<tool_call></tool_call>",
        f"<tool_call>{WRITTEN}</tool_call><tool_call>weather</tool_call>",
        '{"name": "weather", "arguments": {"town": "Riga"',
        "<function=weather>town: Riga</function>",
        "[TOOL_CALLS] weather",
    ],
)
def test_what_is_begun_as_a_call_and_cannot_be_read_is_malformed(text: str) -> None:
    assert written(text) is None
    found = scored(RIGA, text)
    assert (found.parsed, found.answer) == (False, MALFORMED)
    assert found.values == {"correct": 0.0, "functions": 0.0, "tp": 0.0, "fp": 0.0, "fn": 2.0}
    # as on Berkeley's leaderboard, what cannot be read calls nothing
    assert scored([], text).values["correct"] == 1.0


def test_arguments_by_hand() -> None:
    """Of two arguments: both, one right and one wrong, one missing, one too many, none read."""
    for arguments, counts in (
        ('{"town": "riga", "days": 3}', (2, 0, 0)),
        ('{"town": "Oslo", "days": 3}', (1, 1, 1)),
        ('{"town": "Riga"}', (1, 0, 1)),
        ('{"town": "Riga", "days": 3, "unit": "C"}', (2, 1, 0)),
        ('{"town": "Riga"', (0, 0, 2)),
    ):
        found = scored(RIGA, "", [handed("weather", arguments)])
        assert tuple(int(found.values[name]) for name in ("tp", "fp", "fn")) == counts
        assert found.values["correct"] == float(counts == (2, 0, 0))
        assert found.values["functions"] == float(arguments.endswith("}"))
    other = scored(RIGA, "", [handed("clock", '{"zone": "UTC"}')])
    assert other.values == {"correct": 0.0, "functions": 0.0, "tp": 0.0, "fp": 1.0, "fn": 2.0}


def test_no_call_where_one_is_wanted_is_not_read_and_a_call_where_none_is_wanted_is_wrong() -> None:
    silent = scored(RIGA, "It rains.")
    assert (silent.parsed, silent.answer, silent.values["fn"]) == (False, [], 2.0)
    quiet = scored([], "It rains.")
    assert (quiet.parsed, quiet.values["correct"], quiet.values["functions"]) == (True, 1.0, 1.0)
    loud = scored([], "", [handed("weather", '{"town": "Riga"}')])
    assert (loud.parsed, loud.values["correct"], loud.values["fp"]) == (True, 0.0, 1.0)
    broken = scored([], "", [handed("weather", "{")])
    assert (broken.values["correct"], broken.answer) == (0.0, MALFORMED)


def test_failure_modes_tell_no_call_from_a_wrong_one() -> None:
    abstains, no_wrong, well_formed = SCORER.failure_modes
    wanted, unwanted = Item("t", "1", {}, RIGA), Item("t", "2", {}, [])
    assert abstains.applies is not None
    assert no_wrong.applies is not None
    assert [abstains.applies(one) for one in (wanted, unwanted)] == [False, True]
    assert [no_wrong.applies(one) for one in (wanted, unwanted)] == [True, False]
    wrong = scored(RIGA, "weather(town='Oslo', days=3)")
    silent, broken = scored(RIGA, "It rains."), scored(RIGA, "<tool_call>{</tool_call>")
    shown = [
        (bool(no_wrong.shows(None, wanted, one)), bool(well_formed.shows(None, wanted, one)))  # type: ignore[arg-type]
        for one in (wrong, silent, broken)
    ]
    assert shown == [(True, False), (False, False), (False, True)]


def test_a_call_handed_over_counts_before_the_text_and_where_nothing_is_read_of_it() -> None:
    right = [handed("weather", {"town": "Riga", "days": 3})]
    assert scored(RIGA, "weather(town='Oslo')", right).values["correct"] == 1.0
    said = Said(Answer("", calls=tuple(right)), Item("t", "1", {}, RIGA))
    assert SCORER.unread(RIGA, said).values["correct"] == 1.0


def test_a_solved_example_is_right_of_itself_and_silence_is_right_where_no_call_is_wanted() -> None:
    for case in CASES:
        gold = case["ground_truth"]
        text = SCORER.example(gold)
        assert scored(gold, text, tools=case["function"]).values["correct"] == 1.0
    plain = '{"name": "weather", "arguments": {"town": "Riga", "days": 3}}'
    assert SCORER.example(RIGA) == plain
    assert SCORER.example([{"weather": {"town": ["Riga"], "days": [3], "unit": [""]}}]) == plain
    people = [{"f": {"a": [[{"name": ["Li", "Lee"], "age": [18]}]]}}]
    assert SCORER.example(people) == (
        '{"name": "f", "arguments": {"a": [{"name": "Li", "age": 18}]}}'
    )
    assert SCORER.example(RIGA * 2) == f"[{plain}, {plain}]"
    assert SCORER.chance([RIGA, [], RIGA, RIGA]) == 0.25
    assert SCORER.chance([RIGA]) is None


def test_the_right_match_is_found_where_the_first_one_is_not_it() -> None:
    gold = [{"f": {"a": [1, 2]}}, {"f": {"a": [1]}}]
    for first, second in ((1, 2), (2, 1)):
        found = scored(gold, f"[f(a={first}), f(a={second})]")
        assert (found.values["correct"], found.values["tp"]) == (1.0, 2.0)
    assert scored(gold, "[f(a=2), f(a=2)]").values["correct"] == 0.0


def test_plain_objects_and_lists_are_no_alternatives() -> None:
    gold = [{"name": "f", "arguments": {"where": {"tags": ["a", "b"], "n": 1}}}]
    assert scored(gold, "f(where={'n': 1, 'tags': ['A', 'b']})").values["correct"] == 1.0
    for wrong in ("{'n': 1, 'tags': 'a'}", "{'n': True, 'tags': ['a', 'b']}", "{'tags': []}", "1"):
        assert scored(gold, f"f(where={wrong})").values["correct"] == 0.0


def test_types_are_the_tools_own_where_it_declares_them() -> None:
    gold = [{"name": "f", "arguments": {"a": 5}}]
    for declared, right in (("integer", 0.0), ("number", 1.0), (None, 1.0)):
        schema = {"properties": {"a": {"type": declared} if declared else {}}}
        tools = [{"type": "function", "function": {"name": "f", "parameters": schema}}]
        assert scored(gold, "f(a=5.0)", tools=tools).values["correct"] == right
        assert scored(gold, "f(a=5)", tools=tools).values["correct"] == 1.0
        assert scored(gold, "f(a='5')", tools=tools).values["correct"] == 0.0


@pytest.mark.parametrize(
    ("gold", "wrong"),
    [
        ("weather", "is no list of calls"),
        (None, "is no list of calls"),
        ([1], "is no call"),
        ([{"name": "f"}], "expected an object"),
        ([{"f": {"a": 1}}], "expected a list of the values that are right"),
        ([{"f": {"a": []}}], "expected a list of the values that are right"),
        ([{"name": "f", "arguments": "{"}], "are no object"),
        ([{"name": "f", "arguments": {"a": float("nan")}}], "not JSON compliant"),
        ([{"name": "f", "arguments": {}}] * 101, "101 calls are right at once"),
        ([{"name": "f", "arguments": {"a": "x" * 10**6}}], "1,000,0.. characters"),
    ],
)
def test_a_gold_that_no_calls_could_be_held_against_is_refused(gold: Any, wrong: str) -> None:
    with pytest.raises(ValueError, match=wrong):
        SCORER.check(gold)


DEEP = "[" * 50_000
HOSTILE = {
    "brackets": DEEP,
    "objects": '{"a":' * 50_000,
    "a call as deep": f'{{"name": "weather", "arguments": {{"town": {DEEP}',
    "closed": f'{{"name": "weather", "arguments": {{"town": {DEEP}{DEEP.replace("[", "]")}}}}}',
    "digits": f'{{"name": "weather", "arguments": {{"town": 1{"0" * 100_000}}}}}',
    "NaN": '{"name": "weather", "arguments": {"town": NaN, "days": 1e999}}',
    "tags": "<tool_call>" * 90_000,
    "open braces": '{"name": ' * 110_000,
    "texts": '["' * 500_000,
    "calls": f"[{', '.join([WRITTEN] * 20_000)}]",
    "arguments": json.dumps({"name": "weather", "arguments": {f"a{i}": i for i in range(60_000)}}),
    "python": f"weather(town={'(' * 50_000}",
    "signs": f"weather(town={'-' * 50_000}1)",
    "attributes": f"a{'.a' * 40_000}(town=1)",
    "sums": f"weather(town={'1+' * 40_000}1)",
    "python digits": f"weather(town=1{'0' * 90_000})",
    "escapes": "weather(town='\\d\\q')",
    "surrogates": '{"name": "\\ud800", "arguments": {"\\udfff": "\\ud800"}}',
    "null": "weather(\0)",
    "fences": "```\n" * 250_000,
    "functions": "<function=a>" * 80_000,
    "parameters": "<function=a>" + "<parameter=b>" * 70_000,
    "pairs": "<tool_call>f " + "<arg_key>a</arg_key>" * 50_000,
    "long": "x" * 1_000_000,
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_answer_is_wrong_within_a_second(text: str) -> None:
    with within_a_second():
        found = scored(RIGA, text)
    assert found.values["correct"] == 0.0
    orjson.dumps(found.answer)


@given(
    st.dictionaries(
        st.from_regex(r"[a-z]{1,6}", fullmatch=True),
        st.recursive(
            st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.text(max_size=9),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(st.text(max_size=4), inner, max_size=3)
            ),
            max_leaves=6,
        ),
        max_size=4,
    )
)
def test_property_a_call_is_right_of_itself_in_every_form(arguments: dict[str, Any]) -> None:
    gold = [{"name": "do.it", "arguments": arguments}]
    inside = json.dumps({"name": "do_it", "arguments": arguments})
    python = ", ".join(f"{name}_={value!r}" for name, value in arguments.items())
    named = [{"do.it": {f"{name}_": [value] for name, value in arguments.items()}}]
    for right, text in ((gold, inside), (gold, f"<tool_call>{inside}</tool_call>")):
        assert scored(right, text).values["correct"] == 1.0
    assert scored(named, f"do.it({python})").values["correct"] == 1.0
    assert scored(gold, "", [handed("do_it", json.dumps(arguments))]).values["correct"] == 1.0
    assert scored(gold, "", [handed("do_it", json.dumps({**arguments, "A": 1}))]).values["fp"] == 1
