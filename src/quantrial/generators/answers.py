"""Questions with a few words as the answer, about a passage that holds look-alikes of it."""

from __future__ import annotations

from quantrial.generators.base import Draw, Generator, Row, wrong_digit

_FIRST = ("Ada", "Boris", "Chen", "Dina", "Emil", "Fatou", "Greta", "Hamid", "Ines", "Jonas")
_LAST = ("Moreno", "Lindqvist", "Okafor", "Petrova", "Rossi", "Sato", "Tamm", "Varga", "Weber")
_TOWNS = ("Riga", "Oslo", "Turin", "Porto", "Bergen", "Malaga", "Tampere", "Gdansk", "Leeds")
_TRADES = ("baker", "engineer", "teacher", "nurse", "painter", "lawyer", "farmer", "pilot")
_MONTHS = ("January", "March", "April", "June", "July", "September", "October", "December")
_PEOPLE = 3  # of a passage


def _make(group: str, draw: Draw) -> Row:
    names = [f"{draw.one(_FIRST)} {last}" for last in draw.some(_LAST, _PEOPLE)]
    towns, trades = draw.some(_TOWNS, _PEOPLE), draw.some(_TRADES, _PEOPLE)
    dates = [
        f"{draw.number(2, 28)} {month} {draw.number(1950, 2004)}"
        for month in draw.some(_MONTHS, _PEOPLE)
    ]
    counts = draw.some([draw.number(low, low + 2_899) for low in (1_100, 4_000, 6_900)], _PEOPLE)
    facts = [
        f"{name} was born on {date} and works as a {trade} in {town}. In {name.split()[1]}'s house "
        f"there are {count} books."
        for name, date, trade, town, count in zip(names, dates, trades, towns, counts, strict=True)
    ]
    asked, other = draw.some(range(_PEOPLE), 2)
    name = names[asked]
    question, gold, near = {
        "person": (f"Who works as a {trades[asked]}?", name, names[other]),
        "place": (f"In which town does {name} work?", towns[asked], towns[other]),
        "number": (
            f"How many books are in the house of {name}?",
            str(counts[asked]),
            str(counts[other]),
        ),
        "date": (f"When was {name} born?", dates[asked], dates[other]),
    }[group]
    return {"passage": " ".join(facts), "question": question, "gold": gold, "_near": near}


def _damaged(row: Row, draw: Draw) -> str:
    gold = str(row["gold"])
    which = draw.number(0, 2)
    if which == 0 and any(sign.isdigit() for sign in gold):
        return wrong_digit(gold, draw)
    if which == 1:
        return f"The answer is the answer is the answer is {gold[:2]}"  # it loops
    return str(row["_near"])  # the look-alike beside it


ANSWERS = Generator(
    task={
        "prompt": "{{ passage }}\n\n{{ question }} Answer in as few words as possible.",
        "score": [{"exact": {"normalize": "squad"}}, "token_f1"],
        "max_tokens": 24,
    },
    groups=("person", "place", "number", "date"),
    make=_make,
    right=lambda row: str(row["gold"]),
    reworded=lambda row, draw: draw.one(("{}.", " {}\n", "the {}", '"{}"')).format(row["gold"]),
    damaged=_damaged,
    hurt=("number", "date"),
    suits="about 0.5 billion weights",
)
