"""Whether all arms were shown the same prompts: by the counts of their tokens, by their templates.

Pure: everything is read from a summary's tasks and from a manifest's records of the arms. A finding
is a status of a check (`Finding`) and its words.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from quantrial.documents import Status, TaskSummary, TokenCeiling, TokenMismatch
from quantrial.words import listed

if TYPE_CHECKING:
    from quantrial.records import ArmRecord

Finding = tuple[Status, str]
_APPLIED = "template_applied_sha256"  # of what a template makes of the first item


def token_findings(tasks: Mapping[str, TaskSummary]) -> Finding | None:
    """Say where arms read other numbers of tokens; None where nothing speaks against them.

    `fail` where an arm was shown other prompts, `warn` where that cannot be told or where too few
    items are concerned to make a loss of the margin.
    """
    unlike = list(_by_fact(tasks))
    barred = other_counts(tasks)
    unsteady = {
        arm: counts for part in tasks.values() for arm, counts in part.flow.unsteady.items()
    }
    said = []
    if unlike:
        lead = "By the counts of their tokens, arms read different prompts."
        said.append(f"{lead} {' '.join(unlike)} The answers to these prompts are left out.")
        if barred:
            were = "was" if len(barred) == 1 else "were"
            said.append(f"{listed(list(barred))} {were} shown other prompts and cannot be picked.")
    for arm, (low, high) in unsteady.items():
        said.append(
            f"{arm} counts the same prompt as {low:,} and as {high:,} tokens, so its counts do not "
            "show what it read. Either they leave out what a cache held, or its prompts changed "
            "during the run."
        )
    flat = list(_flat(tasks))
    said += [text for _, text in flat]
    fails = barred or any(cut for cut, _ in flat)
    return ("fail" if fails else "warn", " ".join(said)) if said else None


def _flat(tasks: Mapping[str, TaskSummary]) -> Iterator[tuple[bool, str]]:
    """Say where counts do not grow with the prompts' length, and whether prompts were cut so."""
    for name, part in tasks.items():
        cut = {
            one.arm if one.limited is None else one.limited for one in part.flow.token_mismatches
        }
        alike: dict[TokenCeiling, list[str]] = {}
        for arm, ceiling in part.flow.ceilings.items():
            if arm not in cut:
                alike.setdefault(ceiling, []).append(arm)
        for one, arms in alike.items():
            lead = (
                f"{listed(arms)} {'read' if len(arms) > 1 else 'reads'} {one.tokens:,} tokens on "
                f"{one.items:,} of {one.counted:,} items of {name}, though their texts have "
                f"{one.shortest:,} to {one.longest:,} bytes."
            )
            if one.items < one.counted:
                yield True, f"{lead} The window cuts longer prompts."
            else:
                yield (
                    False,
                    f"{lead} Either every prompt is cut, or this is not a count of its tokens.",
                )


def other_counts(tasks: Mapping[str, TaskSummary]) -> dict[str, list[str]]:
    """Return the arms that read other prompts than the reference, each with the tasks."""
    found: dict[str, list[str]] = {}
    for name, part in tasks.items():
        for arm in part.read_other_prompts():
            found.setdefault(arm, []).append(name)
    return found


def other_templates(arms: Mapping[str, ArmRecord], reference: str) -> list[str]:
    """Name the arms whose template makes another prompt of the first item than the reference's.

    Only of one engine: another one may leave the token that a text begins with to the model.
    """
    base = arms[reference]
    return [
        name
        for name, arm in arms.items()
        if arm.engine == base.engine and _compared(arm, base, _APPLIED) is False
    ]


def template_finding(arms: Mapping[str, ArmRecord], reference: str) -> Finding:
    """Compare what the templates make of the first item; where that is not known, their texts."""
    base = arms[reference]
    others = {name: arm for name, arm in arms.items() if name != reference}
    shown = other_templates(arms, reference)
    apart, texts, elsewhere, unknown = list[str](), list[str](), list[str](), list[str]()
    for name, arm in others.items():
        same_engine = arm.engine == base.engine
        applied = _compared(arm, base, _APPLIED)
        text = _compared(arm, base, "template_sha256") if same_engine else None
        if applied is None and text is False:
            apart.append(name)
        elif applied is True and text is False:
            texts.append(name)
        elif applied is False and not same_engine:
            elsewhere.append(name)
        elif applied is None and text is None:
            unknown.append(name)
    said = [
        (shown, "make different prompts of the first item with their chat templates", "fail"),
        (apart, "have different chat templates, so they saw different bytes", "fail"),
        (elsewhere, "make different prompts of the first item, on different engines", "warn"),
        (
            texts,
            "have different chat templates, but make the same prompt of the first item",
            "warn",
        ),
    ]
    found: list[Finding] = [
        (status, f"{listed([*names, reference])} {words}.")  # type: ignore[misc]
        for names, words, status in said
        if names
    ]
    if changed := [name for name, arm in arms.items() if arm.template_changed]:
        words = "made another prompt of the first item later in the run."
        found.append(("warn", f"The chat template of {listed(changed)} {words}"))
    if found:
        return found[0][0], " ".join(words for _, words in found)
    if unknown or not others:
        names = listed(unknown or arms)
        return "unknown", f"The chat template of {names} cannot be compared with {reference}'s."
    if all(_compared(arm, base, _APPLIED) for arm in others.values()):
        return "pass", "All chat templates make the same prompt of the first item."
    return "pass", "All arms have the same chat template."


def date_finding(arms: Mapping[str, ArmRecord]) -> Finding:
    """Say whether a template writes the day's date, and whether that day is held.

    A date changes the prompt overnight while every hash of files stays.
    """
    dated = {name: arm.template_date for name, arm in arms.items()}
    held: dict[str, list[str]] = {}
    free, asked = list[str](), list[str]()
    for name, one in dated.items():
        if not one or not one.get("by"):
            continue
        if one.get("written") is False:
            asked.append(name)  # for tools, or without a system message: not in these prompts
        elif one.get("held"):
            held.setdefault(one["held"], []).append(name)
        else:
            free.append(name)
    said = []
    if free:
        said.append(
            f"The chat template of {listed(free)} writes the day's date, and no other can be set. "
            "So prompts change overnight. Answer all items within a day."
        )
    said += [
        f"The chat template of {listed(names)} writes the day's date. Every prompt says {day} in "
        "its place."
        for day, names in held.items()
    ]
    if said:
        return "warn", " ".join(said)
    if unknown := [name for name, one in dated.items() if one is None]:
        names = listed(unknown)
        return "unknown", f"It is not known whether the chat template of {names} writes the date."
    if asked:
        return "pass", "No chat template writes the day's date into these prompts."
    return "pass", "No chat template asks for the day's date."


def _compared(arm: ArmRecord, base: ArmRecord, key: str) -> bool | None:
    """Whether two arms have the same under a key; None where one of them does not say."""
    own, other = getattr(arm, key), getattr(base, key)
    return own == other if own and other else None


def _by_fact(tasks: Mapping[str, TaskSummary]) -> Iterator[str]:
    """Say each difference once, of all arms that show it."""
    for name, part in tasks.items():
        alike: dict[tuple[object, ...], list[TokenMismatch]] = {}
        seen: set[tuple[str, str]] = set()
        for one in part.flow.token_mismatches:
            if (one.against, one.arm) in seen:
                continue  # the same difference, told from the other side
            seen.add((one.arm, one.against))
            whose = "arm" if one.limited == one.arm else one.limited
            amount = (one.items, one.counted, one.least, one.most, one.ceiling)
            alike.setdefault((one.against, one.kind, *amount, whose), []).append(one)
        for same in alike.values():
            yield _in_words(listed([one.arm for one in same]), len(same) > 1, same[0], name)


def _in_words(arms: str, several: bool, one: TokenMismatch, task: str) -> str:
    reads = "read" if several else "reads"
    where = f"{one.items:,} of {one.counted:,} items of {task}"
    if one.kind == "window":
        cut, whole = (one.against, arms) if one.limited == one.against else (arms, one.against)
        never = "never read" if several and cut == arms else "never reads"
        more = "read" if several and whole == arms else "reads"
        return (
            f"{cut} {never} more than {one.ceiling or 0:,} tokens on {task}, and {whole} {more} "
            f"more on {one.items:,} of {one.counted:,} items. A smaller window cuts longer prompts."
        )
    text = f"{arms} {reads} {_amount(one.least, one.most)} than {one.against} on {where}"
    if one.kind == "offset":
        return f"{text}. Another chat template or system prompt stands around them."
    return f"{text}."


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
