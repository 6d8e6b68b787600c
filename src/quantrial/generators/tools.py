"""Requests that need a function with the right arguments, two of them, or none."""

from __future__ import annotations

import json
from typing import Any

from quantrial.generators.base import Draw, Generator, Row, wrong_digit

_TOWNS = ("Riga", "Oslo", "Turin", "Porto", "Bergen", "Malaga", "Tampere", "Gdansk")
_PEOPLE = ("Ada", "Bo", "Chen", "Dina", "Emil", "Fatou")


def _tool(name: str, meaning: str, **types: str) -> dict[str, Any]:
    properties = {key: {"type": kind.removesuffix("?")} for key, kind in types.items()}
    required = [key for key, kind in types.items() if not kind.endswith("?")]
    schema = {"type": "object", "properties": properties, "required": required}
    return {
        "type": "function",
        "function": {"name": name, "description": meaning, "parameters": schema},
    }


TOOLS = (
    _tool("weather", "The weather in a town", town="string", days="integer?"),
    _tool("book_table", "Book a table", town="string", people="integer", hour="integer"),
    _tool("transfer", "Send money to a person", to="string", amount="number", note="string?"),
    _tool("remind", "Remind the user of something", text="string", hour="integer"),
)
_SMALL_TALK = (
    "Thank you, that was all.",
    "What does the word 'bank' mean?",
    "Tell me a short joke about {town}.",
    "How are you today, and do you like {town}?",
    "Which is nicer, {town} or the sea?",
    "{person} says hello to you from {town}.",
)


def _one(draw: Draw) -> tuple[str, dict[str, Any]]:
    town, person, hour = draw.one(_TOWNS), draw.one(_PEOPLE), draw.number(7, 22)
    which = draw.number(0, 3)
    if which == 0:
        days = draw.number(2, 9)
        said = f"What will the weather in {town} be for the next {days} days?"
        return said, {"name": "weather", "arguments": {"town": town, "days": days}}
    if which == 1:
        people = draw.number(2, 12)
        said = f"Book a table in {town} for {people} people at {hour} o'clock."
        given = {"town": town, "people": people, "hour": hour}
        return said, {"name": "book_table", "arguments": given}
    if which == 2:
        amount = draw.number(11, 4999)
        said = f"Send {amount} euros to {person}."
        return said, {"name": "transfer", "arguments": {"to": person, "amount": amount}}
    thing = f"call {person}"
    said = f"Remind me at {hour} o'clock of this: {thing}"
    return said, {"name": "remind", "arguments": {"text": thing, "hour": hour}}


def _make(group: str, draw: Draw) -> Row:
    if group == "no call":
        said = draw.one(_SMALL_TALK).format(town=draw.one(_TOWNS), person=draw.one(_PEOPLE))
        said = f"{draw.one(_PEOPLE)} here, number {draw.number(100, 999)}. {said}"
        return {"request": said, "tools": list(TOOLS), "gold": []}
    if group == "one call":
        said, call = _one(draw)
        return {"request": said, "tools": list(TOOLS), "gold": [call]}
    (first, one), (second, other) = _one(draw), _one(draw)
    while other["name"] == one["name"]:
        second, other = _one(draw)
    return {"request": f"{first} {second}", "tools": list(TOOLS), "gold": [one, other]}


def _written(calls: list[dict[str, Any]]) -> str:
    return json.dumps(calls) if calls else "No function is needed for this."


def _reworded(row: Row, draw: Draw) -> str:
    calls = [
        {
            "arguments": {
                key: call["arguments"][key]
                for key in draw.some(list(call["arguments"]), len(call["arguments"]))
            },
            "name": call["name"],
        }
        for call in row["gold"]
    ]
    if not calls:
        return draw.one(("You are welcome.", "Nothing to do here.\n"))
    return f"```json\n{json.dumps(calls, indent=2)}\n```"


def _damaged(row: Row, draw: Draw) -> str:
    calls = json.loads(json.dumps(row["gold"]))
    if not calls:  # it calls something all the same
        return _written([{"name": "remind", "arguments": {"text": "thanks", "hour": 9}}])
    call, which = calls[-1], draw.number(0, 2)
    required = ("town", "to", "text")
    if which == 0:
        del call["arguments"][next(name for name in required if name in call["arguments"])]
    elif which == 1:
        number = next(key for key, value in call["arguments"].items() if isinstance(value, int))
        call["arguments"][number] = int(wrong_digit(str(call["arguments"][number]), draw))
    else:
        return _written(calls)[:-12]
    return _written(calls)


TOOL_CALLS = Generator(
    task={
        "prompt": "You can call these functions:\n{{ tools | tojson }}\nAnswer with the calls and "
        'nothing else, as a JSON list of {"name": ..., "arguments": {...}}. Where none fits, '
        "answer in words.\n\n{{ request }}",
        "score": ["tool_call"],
        "max_tokens": 128,
    },
    groups=("one call", "two calls", "no call"),
    make=_make,
    right=lambda row: _written(row["gold"]),
    reworded=_reworded,
    damaged=_damaged,
    hurt=("one call", "two calls"),
    suits="about 1.5 billion weights",
    context=2048,
)
