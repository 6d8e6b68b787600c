"""Word problems of several steps: the more steps, the sooner a wrong digit turns up."""

from __future__ import annotations

from quantrial.generators.base import Draw, Generator, Row, with_commas, wrong_digit

_NAMES = (
    "Ada",
    "Bo",
    "Chen",
    "Dina",
    "Emil",
    "Fatou",
    "Goran",
    "Hana",
    "Ivo",
    "Jun",
    "Kaya",
    "Lars",
)
_THINGS = ("apples", "tickets", "bricks", "stamps", "bolts", "candles", "pencils", "tiles", "coins")


def _make(group: str, draw: Draw) -> Row:
    name, thing = draw.one(_NAMES), draw.one(_THINGS)
    value = draw.number(12, 90)
    said = [f"{name} has {value} {thing}."]
    for _ in range(int(group.split(maxsplit=1)[0])):
        step = draw.number(0, 3)
        if step == 0:
            more = draw.number(11, 480)
            value += more
            said.append(f"{name} buys {more} more.")
        elif step == 1 and value > 20:
            less = draw.number(3, value - 10)
            value -= less
            said.append(f"{name} gives {less} away.")
        elif step == 2:
            times = draw.number(2, 6)
            value *= times
            said.append(f"Then the number becomes {times} times as large.")
        else:
            boxes, each = draw.number(3, 9), draw.number(4, 30)
            value += boxes * each
            said.append(f"{name} finds {boxes} boxes with {each} in each.")
    said.append(f"How many {thing} does {name} have now?")
    return {"question": " ".join(said), "gold": value}


def _damaged(row: Row, draw: Draw) -> str:
    if draw.share() < 0.25:  # it never comes to an end
        return "Let me think about it once more. " * 40
    return f"Answer: {wrong_digit(str(row['gold']), draw)}"


ARITHMETIC = Generator(
    task={
        "prompt": "{{ question }}\nThink step by step. End with: Answer: <number>",
        "score": [{"number": {"take": "last"}}],
        "max_tokens": 512,
    },
    groups=("2 steps", "4 steps", "6 steps"),
    make=_make,
    right=lambda row: f"Answer: {row['gold']}",
    reworded=lambda row, draw: draw.one(
        (
            f"So it is this.\n\nAnswer:  {with_commas(row['gold'])}",
            f"Answer: {with_commas(row['gold'])}.",
            f"**Answer: {row['gold']}**",
        )
    ),
    damaged=_damaged,
    hurt=("4 steps", "6 steps"),
    suits="about 1.5 billion weights",
)
