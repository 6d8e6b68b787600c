"""The same questions in ten languages and six scripts; the answer is a number.

The sentences stand in `languages.toml`, and were written for quantrial.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from importlib import resources

from quantrial.generators.base import Draw, Generator, Row, with_commas, wrong_digit

# {a}, {b} and {c} of a sentence are numbers
SENTENCES: Mapping[str, Mapping[str, str]] = tomllib.loads(
    resources.files("quantrial.generators").joinpath("languages.toml").read_text(encoding="utf-8")
)
_LATIN = ("English", "German", "French", "Spanish", "Polish")


def _make(group: str, draw: Draw) -> Row:
    kind = draw.one(("sum", "rest", "rows", "two"))
    a, b, c = draw.number(40, 480), draw.number(5, 39), draw.number(5, 60)
    gold = {"sum": a + b, "rest": a - b, "rows": a * b, "two": a - b + c}[kind]
    said = SENTENCES[group]
    question = said[kind].format(a=a, b=b, c=c)
    return {"question": f"{question} {said['ask']}", "gold": gold}


LANGUAGES = Generator(
    task={
        "prompt": "{{ question }}",
        "score": [{"number": {"take": "last"}}],
        "max_tokens": 32,
    },
    groups=tuple(SENTENCES),
    make=_make,
    right=lambda row: str(row["gold"]),
    reworded=lambda row, draw: draw.one(
        (f" {row['gold']}.\n", with_commas(row["gold"]), f"= {row['gold']}")
    ),
    damaged=lambda row, draw: wrong_digit(str(row["gold"]), draw),
    hurt=tuple(name for name in SENTENCES if name not in _LATIN),
    suits="about 3 billion weights, trained on these languages",
)
