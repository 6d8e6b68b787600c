"""Long texts: a code among codes that look alike, and numbers to add up over the whole text.

Texts are of three lengths, the longest of which fits a context of 8,192 tokens.
"""

from __future__ import annotations

from quantrial.generators.base import Draw, Generator, Row, with_commas, wrong_digit

_FIRST = ("Anna", "Hanna", "Marta", "Marte", "Jonas", "Jona", "Erik", "Erika", "Lina", "Lena")
_LAST = ("Berg", "Bergh", "Borg", "Maier", "Mayer", "Meyer", "Stein", "Steen", "Holm", "Holms")
_WHO = ("The baker", "A driver", "The guard", "A teacher", "The clerk", "A nurse", "The gardener")
_DOES = ("walks past", "looks at", "talks about", "cleans", "repairs", "paints", "measures")
_WHAT = ("the old gate", "a small boat", "the north wall", "two benches", "the well", "a lamp")
_WHEN = ("in the morning", "after lunch", "before the rain", "at night", "on market days")
_TOWNS = ("Riga", "Oslo", "Turin", "Porto", "Gdansk", "Bergen", "Malaga", "Tampere")
_LOOK_ALIKES = 6


def _filler(draw: Draw) -> str:
    return f"{draw.one(_WHO)} {draw.one(_DOES)} {draw.one(_WHAT)} {draw.one(_WHEN)}."


def _make(group: str, draw: Draw) -> Row:
    kind, words = group.split(", ")
    sentences = [_filler(draw) for _ in range(int(words.split()[0].replace(",", "")) // 9)]
    if kind == "needle":
        people = draw.some([f"{one} {two}" for one in _FIRST for two in _LAST], _LOOK_ALIKES)
        codes: list[int] = []
        while len(codes) < len(people):
            code = draw.number(10_000, 99_999)
            codes += [code] if code not in codes else []
        told = [
            f"The access code of {who} is {code}." for who, code in zip(people, codes, strict=True)
        ]
        question = f"What is the access code of {people[0]}?"
        gold, others = codes[0], codes[1:]
    else:
        towns = draw.some(_TOWNS, 4)
        parts = [draw.number(11, 400) for _ in towns]
        told = [
            f"The stall in {town} sold {part} lamps."
            for town, part in zip(towns, parts, strict=True)
        ]
        question = "How many lamps did all stalls sell together?"
        gold, others = sum(parts), parts
    places = sorted(draw.number(0, len(sentences)) for _ in told)
    for place, sentence in zip(reversed(places), draw.some(told, len(told)), strict=True):
        sentences.insert(place, sentence)
    return {"text": " ".join(sentences), "question": question, "gold": gold, "_others": others}


def _damaged(row: Row, draw: Draw) -> str:
    lost = [one for one in row["_others"] if one != row["gold"]]
    if len(str(row["gold"])) == 5 and draw.share() < 0.7:  # the code of somebody else
        return str(draw.one(lost))
    return wrong_digit(str(row["gold"]), draw)


LONG_CONTEXT = Generator(
    task={
        "prompt": "{{ text }}\n\n{{ question }} Answer with the number and nothing else.",
        "score": [{"number": {"take": "last"}}],
        "max_tokens": 24,
    },
    groups=tuple(
        f"{kind}, {length} words"
        for length in ("200", "800", "2,400")
        for kind in ("needle", "sum")
    ),
    make=_make,
    right=lambda row: str(row["gold"]),
    reworded=lambda row, draw: draw.one(
        (f" {row['gold']}\n", f"It is {row['gold']}.", with_commas(row["gold"]))
    ),
    damaged=_damaged,
    hurt=("needle, 2,400 words", "sum, 2,400 words"),
    suits="about 1.5 billion weights, trained on at least 8,192 tokens",
    context=8192,
)
