"""Fields of invoices, with dates and amounts, in three layouts."""

from __future__ import annotations

import json
from typing import Any

from quantrial.generators.base import Draw, Generator, Row, wrong_digit

_VENDORS = ("Nordlicht GmbH", "Blue Pine Ltd", "Casa Verde SA", "Okonkwo & Sons", "Miller Tools")
_PLACES = ("Hamburg", "Leeds", "Lisbon", "Lagos", "Denver", "Pune", "Turku", "Lyon")
_MONTHS = (
    *("January", "February", "March", "April", "May", "June", "July", "August", "September"),
    *("October", "November", "December"),
)
_CURRENCIES = ("EUR", "USD", "GBP")


def _make(group: str, draw: Draw) -> Row:
    day, month, year = draw.number(1, 28), draw.number(1, 12), draw.number(2021, 2026)
    total_due = draw.number(20_00, 9_999_99) / 100
    net = f"{total_due * 0.8:,.2f}"
    gold = {
        "vendor": draw.one(_VENDORS),
        "number": f"{draw.one('ABKRX')}-{draw.number(10_000, 99_999)}",
        "date": f"{year}-{month:02}-{day:02}",
        "total": total_due,
        "currency": draw.one(_CURRENCIES),
    }
    date, total = f"{day} {_MONTHS[month - 1]} {year}", f"{total_due:,.2f}"
    place, order = draw.one(_PLACES), draw.number(1000, 9999)
    if group == "letter":
        text = (
            f"{gold['vendor']}, {place}\n\nDear customer,\nthank you for order {order}. We send "
            f"you invoice {gold['number']} of {date}. Please pay {total} {gold['currency']} (net "
            f"{net}) within 14 days.\n\nKind regards"
        )
    elif group == "table":
        text = (
            f"INVOICE | {gold['number']}\nfrom    | {gold['vendor']}, {place}\ndate    | {date}\n"
            f"order   | {order}\nnet     | {net}\nTOTAL   | {total} {gold['currency']}"
        )
    else:
        text = (
            f"Hi, as agreed on the phone: {gold['number']}, {gold['currency']} {total} all in "
            f"({net} before tax), dated {date}. It belongs to order {order}. Best, the "
            f"{gold['vendor']} team in {place}"
        )
    return {"text": text, "gold": gold}


def _reworded(row: Row, draw: Draw) -> str:
    gold: dict[str, Any] = dict(row["gold"])
    year, month, day = gold["date"].split("-")
    gold["date"] = draw.one((gold["date"], f"{int(day)} {_MONTHS[int(month) - 1]} {year}"))
    gold["total"] = draw.one((gold["total"], f"{gold['total']:,.2f}"))
    gold["vendor"] = f" {gold['vendor']} "
    ordered = {name: gold[name] for name in draw.some(list(gold), len(gold))}
    return f"```json\n{json.dumps(ordered, indent=draw.one((None, 2)))}\n```"


def _damaged(row: Row, draw: Draw) -> str:
    gold: dict[str, Any] = dict(row["gold"])
    which = draw.number(0, 3)
    if which == 0:
        del gold[draw.one(("number", "date", "currency"))]
    elif which == 1:
        gold["total"] = float(wrong_digit(f"{gold['total']:.2f}", draw))
    elif which == 2:
        gold["number"] = wrong_digit(gold["number"], draw)
    else:
        return json.dumps(gold)[:-9]  # it breaks off
    return json.dumps(gold)


EXTRACTION = Generator(
    task={
        "prompt": "Answer with one JSON object with these keys: vendor, number, date (YYYY-MM-DD), "
        "total (a number), currency.\n\n{{ text }}",
        "score": [
            {
                "json": {
                    "fields": {
                        "vendor": "casefold",
                        "number": "exact",
                        "date": "date",
                        "total": "number",
                        "currency": "exact",
                    }
                }
            }
        ],
        "max_tokens": 160,
    },
    groups=("letter", "table", "mail"),
    make=_make,
    right=lambda row: json.dumps(row["gold"]),
    reworded=_reworded,
    damaged=_damaged,
    hurt=("letter", "table", "mail"),
    margin=0.01,  # of micro-F1: one field of five goes wrong
    suits="about 0.5 billion weights",
)
