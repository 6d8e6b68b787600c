"""Instructions that a program can check: how many lines, which word ends, what must not occur."""

from __future__ import annotations

from typing import Any

from quantrial.generators.base import Draw, Generator, Row

_TOPICS = ("tea", "rivers", "trains", "bread", "winter", "maps", "bees", "ladders", "music", "salt")
_WORDS = ("amber", "harbour", "lantern", "meadow", "copper", "violet", "granite", "willow", "ember")


def _make(group: str, draw: Draw) -> Row:
    topic, many = draw.one(_TOPICS), int(group.split(maxsplit=1)[0])
    lines, word, end = draw.number(2, 6), draw.one(_WORDS[:5]), draw.one(_WORDS[5:])
    offered: list[tuple[str, dict[str, Any]]] = [
        (f"Write exactly {lines} lines.", {"lines": lines}),
        (f"Use the word '{word}'.", {"contains": word}),
        (f"Let the last word be '{end}'.", {"ends_with": end}),
        ("Use small letters only.", {"lower_case": True}),
        ("Use no comma.", {"without": ","}),
        (f"Use at most {lines * 8} words.", {"words_at_most": lines * 8}),
        ("Begin each line with '- '.", {"lines_begin_with": "- "}),
    ]
    chosen = draw.some(offered, many)
    gold: dict[str, Any] = {}
    for _, one in chosen:
        gold |= one
    asks = " ".join(said for said, _ in chosen)
    serial = draw.number(100, 999)
    return {
        "request": f"Note {serial}: write a few words about {topic}. {asks}",
        "gold": gold,
        "_topic": topic,
        "_count": lines,
        "_word": word,
        "_end": end,
    }


def _lines(row: Row) -> list[str]:
    wanted = row["gold"].get("lines", row["_count"])
    lines = [f"- {row['_topic']} is good" for _ in range(wanted)]
    lines[0] = f"- {row['_topic']} and {row['_word']}"
    lines[-1] = f"- more of the {row['_end']}" if wanted > 1 else f"{lines[0]} {row['_end']}"
    return lines


def _damaged(row: Row, draw: Draw) -> str:
    """Break the first instruction: what is asked first is forgotten."""
    first = next(iter(row["gold"]))
    lines = _lines(row)
    text = "\n".join(lines)
    if first == "lines":
        return f"{lines[0]}\n{text}"
    if first == "contains":
        return text.replace(row["_word"], "it")
    if first == "ends_with":
        return f"{text} indeed"
    if first == "lower_case":
        return text.upper()
    if first == "without":
        return text.replace(" ", ", ", 2)
    if first == "words_at_most":
        return (lines[0] + " again and again" * 60) + "\n" + text
    return text.replace("- ", "* ") if draw.share() < 0.5 else text.replace("- ", "")


INSTRUCTIONS = Generator(
    task={
        "prompt": "{{ request }} Answer with the text and nothing else.",
        "score": ["constraints"],
        "max_tokens": 160,
    },
    groups=("1 instruction", "2 instructions", "3 instructions"),
    make=_make,
    right=lambda row: "\n".join(_lines(row)),
    reworded=lambda row, draw: (
        "\n".join(line.replace("good", draw.one(("fine", "old", "here"))) for line in _lines(row))
        + draw.one(("\n", " ", ""))
    ),
    damaged=_damaged,
    hurt=("2 instructions", "3 instructions"),
    suits="about 1 billion weights",
)
