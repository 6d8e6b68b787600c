"""Whether all arms were shown the same prompts: what the counts of their tokens say, in words.

Pure: everything is read from a summary's tasks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

Document = Mapping[str, Any]


def token_findings(
    tasks: Mapping[str, Document],
) -> tuple[Literal["fail", "warn"], str] | None:
    """Say where arms read other numbers of tokens; None where nothing speaks against them.

    `fail` where an arm was shown other prompts, `warn` where that cannot be told or where too few
    items are concerned to make a loss of the margin.
    """
    unlike = list(_by_fact(tasks))
    barred = other_prompts(tasks)
    unsteady = {
        arm: counts
        for part in tasks.values()
        for arm, counts in (part["flow"].get("unsteady") or {}).items()
    }
    said = []
    if unlike:
        lead = "not all arms read the same prompts, by the counts of their tokens"
        said.append(f"{lead}: {'; '.join(unlike)}. The answers to these prompts are left out")
        if barred:
            were = "was" if len(barred) == 1 else "were"
            said.append(f"{_listed(list(barred))} {were} shown other prompts, and cannot be picked")
    for arm, (low, high) in unsteady.items():
        said.append(
            f"{arm} counts one and the same prompt as {low:,} and as {high:,} tokens, so its "
            "counts do not tell what it read: either they are of what no cache held, or its "
            "prompts changed during the run"
        )
    return ("fail" if barred else "warn", ". ".join(said)) if said else None


def other_prompts(tasks: Mapping[str, Document]) -> dict[str, list[str]]:
    """Return the arms that were shown other prompts than the reference, each with the tasks.

    That is an arm whose counts differ from the reference's by a rule (an offset, a window), or on
    as large a share of a task's items as the margin: so many could make a loss of the margin.
    """
    found: dict[str, list[str]] = {}
    for name, part in tasks.items():
        for one in part["flow"].get("token_mismatches", ()):
            if one["kind"] != "other" or one["items"] >= part["margin"] * one["counted"]:
                found.setdefault(one["arm"], []).append(name)
    return found


def _by_fact(tasks: Mapping[str, Document]) -> Iterator[str]:
    """Say each difference once, of all arms that show it."""
    for name, part in tasks.items():
        alike: dict[tuple[Any, ...], list[Document]] = {}
        seen: set[tuple[str, str]] = set()
        for one in part["flow"].get("token_mismatches", ()):
            if (one["against"], one["arm"]) in seen:
                continue  # the same difference, told from the other side
            seen.add((one["arm"], one["against"]))
            fact = tuple(value for key, value in one.items() if key not in ("arm", "limited"))
            whose = "arm" if one["limited"] == one["arm"] else one["limited"]
            alike.setdefault((*fact, whose), []).append(one)
        for same in alike.values():
            yield _in_words(_listed([one["arm"] for one in same]), len(same) > 1, same[0], name)


def _in_words(arms: str, several: bool, one: Document, task: str) -> str:
    against, items, counted = one["against"], one["items"], one["counted"]
    reads = "read" if several else "reads"
    where = f"{items:,} of {counted:,} items of {task}"
    if one["kind"] == "window":
        cut, whole = (against, arms) if one["limited"] == against else (arms, against)
        never = "never read" if several and cut == arms else "never reads"
        more = "read" if several and whole == arms else "reads"
        return (
            f"{cut} {never} more than {one['ceiling']:,} tokens on {task}, and {whole} {more} more "
            f"on {items:,} of {counted:,} items: longer prompts are cut by a smaller window"
        )
    text = f"{arms} {reads} {_amount(one['least'], one['most'])} than {against} on {where}"
    if one["kind"] == "offset":
        return f"{text}: another chat template or system prompt stands around them"
    return text


def _amount(least: int, most: int) -> str:
    if least == most:
        return _tokens(least)
    if least > 0:
        return f"{least:,} to {most:,} tokens more"
    if most < 0:
        return f"{-most:,} to {-least:,} tokens fewer"
    return f"up to {-least:,} tokens fewer and {most:,} more"


def _tokens(count: int) -> str:
    return (
        f"{abs(count):,} token{'' if abs(count) == 1 else 's'} {'more' if count > 0 else 'fewer'}"
    )


def _listed(words: list[str]) -> str:
    unique = list(dict.fromkeys(words))
    return " and ".join(filter(None, (", ".join(unique[:-1]), unique[-1])))
