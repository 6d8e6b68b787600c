"""Messages to a help desk: one topic, one topic in a long message, or one beside a look-alike."""

from __future__ import annotations

from quantrial.generators.base import Draw, Generator, Row

_TOPICS = {
    "billing": (
        "Invoice {number} lists the {plan} plan twice.",
        "You charged {amount} euros for {plan}, and we agreed on less.",
        "There is a second charge of {amount} euros on my card for order {number}.",
    ),
    "refund": (
        "I sent order {number} back last week and want my {amount} euros returned.",
        "When do I get the money for the {thing} that I gave back?",
        "Please pay back the {amount} euros for order {number}: I cancelled it in time.",
    ),
    "shipping": (
        "Order {number} should have been in {town} last {day}. Where is it?",
        "Can you send the {thing} to my office in {town} in place of my flat?",
        "The parcel with the {thing} has stood in {town} since {day}.",
    ),
    "damaged_item": (
        "The {thing} arrived with a crack.",
        "One corner of the {thing} from order {number} is broken off.",
        "I opened the box in {town}, and the {thing} was in pieces.",
    ),
    "login": (
        "My password for account {number} is refused since {day}.",
        "I no longer get the code that I need to sign in as user {number}.",
        "Your site says that user {number} is locked after too many tries.",
    ),
    "cancellation": (
        "Please end my {plan} plan on {day}.",
        "I do not want to renew {plan}; contract {number} shall stop.",
        "How do I leave the {plan} plan? I moved to {town} and need it no more.",
    ),
    "upgrade": (
        "We are {people} people now: move us from {plan} to the larger plan.",
        "What does it take to add {people} seats to contract {number}?",
        "I would like more storage than {plan} has.",
    ),
    "bug_report": (
        "The app closes when I open page {number}.",
        "Since {day} the search finds nothing for '{thing}'.",
        "Exporting {people} rows gives an empty file.",
    ),
    "feature_request": (
        "It would help us in {town} if lists could be sorted by {day}.",
        "Could you add a dark theme and {people} more colours?",
        "Please let us attach a photo of the {thing} to a note.",
    ),
    "privacy": (
        "Which data about user {number} do you keep?",
        "Delete my address in {town} from your files, please.",
        "Who can see the notes that I wrote on {day}?",
    ),
}
_OPENINGS = (
    "Good morning from {town}. We have been with you for {people} years and were always content.",
    "Hello, I write for a team of {people} in {town}; my colleague was off until {day}.",
    "Dear all, it has been raining in {town} since {day}, and I finally find the time to write.",
)
_CLOSINGS = (
    "I am in the office until {day}. Many thanks.",
    "You can reach me in {town} on any {day}.",
    "Thank you for your patience; {people} of us wait for your answer.",
)
_SOLVED = "What I wrote on {day} is solved, no need to look at it: '{other}'"
_FILL = {
    "plan": ("Basic", "Team", "Studio", "Max"),
    "thing": ("lamp", "kettle", "desk", "speaker", "clock", "printer", "monitor", "chair"),
    "town": ("Riga", "Oslo", "Turin", "Porto", "Bergen", "Malaga", "Gdansk", "Leeds"),
    "day": ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday"),
}


def _filled(text: str, draw: Draw) -> str:
    values = {name: draw.one(words) for name, words in _FILL.items()}
    numbers = {
        "number": draw.number(1000, 9999),
        "amount": draw.number(12, 480),
        "people": draw.number(3, 60),
    }
    return text.format(**values, **numbers)


def _make(group: str, draw: Draw) -> Row:
    label, other = draw.some(list(_TOPICS), 2)
    said = _filled(draw.one(_TOPICS[label]), draw)
    solved = _filled(draw.one(_TOPICS[other]), draw)
    if group == "long":
        opening, closing = (_filled(draw.one(one), draw) for one in (_OPENINGS, _CLOSINGS))
        said = f"{opening} {said} {closing}"
    elif group == "two topics":
        first = _filled(_SOLVED.replace("{other}", "{{other}}"), draw).format(other=solved)
        said = f"{first} Now something else. {said}"
    return {"text": said, "gold": label, "_other": other}


def _damaged(row: Row, draw: Draw) -> str:
    if draw.number(0, 3) == 0:
        return f"{row['text'].split('.')[0]}. " * 3  # it repeats the message
    return str(row["_other"])


ROUTING = Generator(
    task={
        "prompt": "Which label fits best? Answer with one label and nothing else.\nThe labels are: "
        f"{', '.join(_TOPICS)}.\n\n{{{{ text }}}}",
        "score": [{"label": [*_TOPICS]}],
        "max_tokens": 16,
    },
    groups=("short", "long", "two topics"),
    make=_make,
    right=lambda row: str(row["gold"]),
    reworded=lambda row, draw: draw.one(("{}.", " {}\n", "**{}**", '"{}"')).format(row["gold"]),
    damaged=_damaged,
    hurt=("long", "two topics"),
    suits="about 1 billion weights",
)
