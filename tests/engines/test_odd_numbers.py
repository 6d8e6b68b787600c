"""Numbers of servers that nothing can write again, and nesting without end: in every engine."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import orjson
import pytest

from cpu import within_a_second
from fuzz.replies import exchanges
from quantrial.errors import EngineError, QuantrialError
from quantrial.strict_json import read_with_nulls, whole_number
from strategies import attempt

Ask = Callable[[bytes], None]
HUGE = ["18446744073709551616", "-9223372036854775809", "9" * 40, "9" * 400, "9" * 100_000]


@pytest.fixture(scope="module")
def wire() -> Iterator[tuple[dict[str, bytes], Ask]]:
    with exchanges() as (samples, ask):
        yield {sample[:1].decode(): sample for sample in samples}, ask


@pytest.mark.parametrize("number", HUGE)
@pytest.mark.parametrize("letter", "optmxaglshcd")
def test_a_number_beyond_64_bits_anywhere_can_be_written_or_is_an_error(
    wire: tuple[dict[str, bytes], Ask], letter: str, number: str
) -> None:
    """`ask` writes what came as JSON: each number of a document is exchanged in turn."""
    samples, ask = wire
    data = samples[letter].decode()
    places = [i for i in range(1, len(data)) if data[i].isdigit() and data[i - 1] in " [:"]
    assert places
    with within_a_second(f"{len(places)} answers"):
        for place in places:
            end = place
            while data[end] in "0123456789.e-":
                end += 1
            mangled = (data[:place] + number + data[end:]).encode()
            attempt(lambda mangled=mangled: ask(mangled), QuantrialError)  # type: ignore[misc]


@pytest.mark.parametrize("letter", "ptmxeaglshrvcdf")
@pytest.mark.parametrize("depth", [400, 950, 100_000])
@pytest.mark.parametrize(("opens", "closes"), [("[", "]"), ('{"text":', "}")])
def test_nesting_without_end_is_an_error(
    wire: tuple[dict[str, bytes], Ask], letter: str, depth: int, opens: str, closes: str
) -> None:
    samples, ask = wire
    nested = opens * depth + "1" + closes * depth
    for before in ('"content": ', '"message": ', '"data": ', '"models": ', '"error": ', ": "):
        data = samples[letter].decode()
        at = data.find(before) + len(before)
        if at >= len(before):
            end = json.JSONDecoder().raw_decode(data, at)[1]
            mangled = (data[:at] + nested + data[end:]).encode()
            with within_a_second():
                attempt(lambda mangled=mangled: ask(mangled), QuantrialError)  # type: ignore[misc]


@pytest.mark.parametrize("letter", "lh")
@pytest.mark.parametrize("value", ["null", '"x"', "[1]", '{"a": 1}', "NaN", "true", '"\\ud800"'])
def test_an_ollama_server_may_describe_its_model_in_any_way(
    wire: tuple[dict[str, bytes], Ask], letter: str, value: str
) -> None:
    samples, ask = wire
    data = samples[letter].decode()
    for key in ("size", "details", "template", "modelfile", "model_info", "digest", "family"):
        at = data.find(f'"{key}": ') + len(key) + 4
        if at > len(key) + 4:
            end = json.JSONDecoder().raw_decode(data, at)[1]
            mangled = (data[:at] + value + data[end:]).encode()
            attempt(lambda mangled=mangled: ask(mangled), EngineError)  # type: ignore[misc]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *[("0", 0), ("-7", -7), (str(2**64 - 1), 2**64 - 1), (str(-(2**63)), -(2**63))],
        *[(str(2**64), float(2**64)), ("9" * 40, 1e40), ("9" * 400, None), ("-" + "9" * 400, None)],
    ],
)
def test_whole_numbers_are_those_that_can_be_written(text: str, value: float | None) -> None:
    assert whole_number(text) == value
    assert type(whole_number(text)) is type(value)
    assert orjson.loads(orjson.dumps(whole_number(text))) == value
    read = read_with_nulls(f"[NaN, {text}]".encode(), ValueError())
    assert read == [None, value]
