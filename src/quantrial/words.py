"""The one place where numbers, verdicts, methods and endpoints become text.

What differs between places (a p of one is `1.000` in tables, `1` in sentences) has a name of its
own here, so that it is seen.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING

from quantrial.agreement import fixed

if TYPE_CHECKING:
    from quantrial.documents import Drawing
    from quantrial.documents.decision import Finding, Pace, PickerRow

UNKNOWN = "unknown"
NONE = "none"
_MINUS = "\N{MINUS SIGN}"

Bounds = Sequence[float | None] | None

# What people read. The keys stay as they are for machines.
VERDICT_WORDS = {
    "equivalent": "equivalent",
    "non_inferior": "non-inferior",
    "better": "better",
    "worse": "worse",
    "inconclusive": "undecided",
}
# The same where answers are held against the reference's own: a changed answer may be better.
_AGAIN_WORDS = {
    **VERDICT_WORDS,
    "equivalent": "differs as little",
    "non_inferior": "differs within the margin",
    "better": "differs less",
    "worse": "differs more",
}
# Shapes as well as words: a verdict is recognised without colour.
VERDICT_SIGNS = {
    "equivalent": "●",
    "non_inferior": "◆",
    "better": "▲",
    "worse": "▼",
    "inconclusive": "○",
}
_METHODS = {
    "wilson": "Wilson score",
    "bootstrap-percentile": "percentile bootstrap",
    "cluster-bootstrap-percentile": "cluster bootstrap",
    "bootstrap-centred": "centred bootstrap",
    "bootstrap-tost": "bootstrap TOST",
    "score": "score",
    "score-strata": "score, within strata",
    "score-clusters": "score, over clusters",
    "refused": "none: too few clusters",
    "sign-flip": "sign-flip permutation",
    "sign-flip-exact": "sign-flip, all outcomes",
    "mcnemar-midp": "McNemar, mid-p",
    "mcnemar-exact": "McNemar, exact",
    "mcnemar-yates": "McNemar, Yates",
}


# What an arm does to a limit, after its name. The page fills in the same words as controls move.
LIMIT_WORDS = {
    "missed_harm": "This study missed the harm in {controls}, {noun} damaged on purpose",
    "at_floor": (
        "On {work} even {reference} does no better than {baseline}, so this test cannot show a loss"
    ),
    "identity": "looks identical to {twin}, so this study says nothing about it",
    "other_prompts": "was shown other prompts than {reference}{why}, so this study says nothing "
    "about it",
    "nothing_in_common": "has no answered item in common with {reference} on {work}",
    "file": "needs {value} for its weights",
    "peak": "holds {value} at its peak",
    "min_speedup": "decodes {value} as fast as {reference}",
    "max_latency": "takes {value} an answer on {work}",
    "lost": "lost {value} on {work}",
    "lost_the_limit": "lost {side} {limit} on {work}",
    "could_lose": "could lose as much as {value} on {work}",
    "could_lose_the_limit": "could lose {limit} or more on {work}",
    "missing": "is undecided on {work}: {answers} missing",
    "loses_less": "loses less than {limit} on {work} {alone}",
    "alone": "when tested alone{p_alone}, but not as one of {candidates}{p_chosen}",
    "at_floor_again": "On {work} {reference} gives another answer each time it is asked, so this "
    "test cannot show a change",
    "lost_again": "gives another answer on {value} more of {work} than {reference} itself does "
    "when asked again",
    "lost_the_limit_again": "changes {side} {limit} more answers on {work} than {reference} itself",
    "could_lose_again": "could change as much as {value} more answers on {work} than {reference} "
    "itself",
    "could_lose_the_limit_again": "could change {limit} or more answers on {work} beyond what "
    "{reference} itself changes",
    "loses_less_again": "changes less than {limit} more answers on {work} than {reference} itself, "
    "{alone}",
    "none": "No arm keeps all your constraints",
    "memory_share": "needs {share} of the {memory} of {reference}",
    "speed_share": "decodes {value} as fast",
}


def limit_words(key: str, *, again: str | None = None, **values: object) -> str:
    """Say what an arm does to a limit: `LIMIT_WORDS` with its values filled in.

    `again` names the reference where its own answers stand in for right ones.
    """
    if again is not None:
        return LIMIT_WORDS[f"{key}_again"].format(reference=again, **values)
    return LIMIT_WORDS[key].format(**values)


def verdict_word(name: str, against: str = "gold") -> str:
    """Write a verdict as people read it; `against` says what answers were held against."""
    words = VERDICT_WORDS if against == "gold" else _AGAIN_WORDS
    return words.get(name, name.replace("_", "-"))


def verdict(name: str, against: str = "gold") -> str:
    """Write a verdict with its sign: `◆ non-inferior`."""
    known = verdict_word(name, against) if name in VERDICT_WORDS else name
    return f"{VERDICT_SIGNS.get(name, '?')} {known}"


def method(name: str) -> str:
    """Write the name of a method."""
    return _METHODS.get(name, name.replace("-", " "))


def endpoint(name: str) -> str:
    """Write the name of an endpoint in the report: `micro-F1`, `parse rate`."""
    return name.replace("_f1", "-F1").replace("_", " ")


def error_class(name: str) -> str:
    """Write the name of a class of errors."""
    return name.replace("_", " ")


def memory_noun(source: str | None) -> str:
    """Name what memory goes by (`picker.memory_source`): of a file it is just `memory`."""
    return {"peak": "peak memory", "stated": "stated memory"}.get(source or "", "memory")


def percent(value: float | None, digits: int = 1, *, none: str = UNKNOWN) -> str:
    """Write a fraction in percent: 0.585 is `58.5 %`."""
    return none if value is None else f"{fixed(100 * value, digits)} %"


def points(value: float | None) -> str:
    """Write a difference of fractions in percentage points, with its sign: `−2.6 pp`."""
    return UNKNOWN if value is None else f"{_signed(value)} pp"


def signed_percent(value: float | None) -> str:
    """Write a relative change in percent, with its sign: `−4.1 %`."""
    return UNKNOWN if value is None else f"{_signed(value)} %"


def signed_percent_interval(bounds: Bounds) -> str:
    """Write the interval of a relative change: `−7.0 to +1.2 %`."""
    known = _known(bounds)
    return NONE if known is None else f"{_signed(known[0])} to {_signed(known[1])} %"


def size_of_points(value: float | None, unit: str | None = None) -> str:
    """Write a difference that has no direction (a margin, say): `3.0 pp`, `2 edits`."""
    if value is None:
        return UNKNOWN
    return f"{fixed(100 * abs(value), 1)} pp" if unit is None else amount(abs(value), unit)


def size(value: float, unit: str | None = None) -> str:
    """Write how large a difference is in a sentence, whichever its direction: `3.1 pp`."""
    if unit is not None:
        return amount(abs(value), unit)
    shown = fixed(100 * abs(value), 1)
    return "less than 0.1 pp" if float(shown) == 0 else f"{shown} pp"


def margin(value: float, unit: str | None = None) -> str:
    """Write a margin with the digits that it was stated with: `3 pp`, `2 edits`."""
    return f"{100 * value:g} pp" if unit is None else f"{value:,g} {unit}"


def amount(value: float | None, unit: str | None) -> str:
    """Write a value of an endpoint: of a share in percent, else in its unit: `4.5 edits`."""
    if unit is None or value is None:
        return percent(value)
    return f"{_three_digits(value)} {unit}"


def amount_interval(bounds: Bounds, unit: str | None) -> str:
    """Write the interval of a value of an endpoint: `51.6 to 65.1 %`, `3.9 to 5.2 edits`."""
    known = _known(bounds)
    if unit is None or known is None:
        return percent_interval(bounds)
    return f"{_three_digits(known[0])} to {_three_digits(known[1])} {unit}"


def difference(value: float | None, unit: str | None) -> str:
    """Write a difference of two values of an endpoint: `−2.6 pp`, `+3.2 edits`."""
    if unit is None or value is None:
        return points(value)
    return f"{_three_digits(value, sign=True)} {unit}"


def difference_interval(bounds: Bounds, unit: str | None) -> str:
    """Write the interval of such a difference: `−21.9 to −5.2 pp`."""
    known = _known(bounds)
    if known is None:
        return NONE
    if unit is None:
        low, high = map(_signed, known)
    else:
        low, high = (_three_digits(end, sign=True) for end in known)
    return f"{low} to {high} {unit or 'pp'}"


def _three_digits(value: float, *, sign: bool = False) -> str:
    """Write a number with three digits that count, or all before its point."""
    places = 2 - math.floor(math.log10(abs(value))) if value else 0
    text = fixed(value, max(0, places), ",")
    text = text.rstrip("0").rstrip(".") if "." in text else text
    if text.lstrip("-") == "0":
        return "0"
    text = text.replace("-", _MINUS)
    return f"+{text}" if sign and value > 0 else text


def level(confidence: float) -> str:
    """Write the level of an interval: `95 %`, `97.5 %`."""
    return f"{round(100 * confidence, 1):g} %"


def percent_interval(bounds: Bounds) -> str:
    """Write the interval of a fraction: `51.6 to 65.1 %`."""
    known = _known(bounds)
    return NONE if known is None else f"{fixed(100 * known[0], 1)} to {fixed(100 * known[1], 1)} %"


def span_in_words(bounds: Bounds, unit: str | None = None, *, against: str = "gold") -> str:
    """Say in plain words how large a difference may be: `5.8 to 18.6 pp worse`.

    Negative is worse in these bounds; of answers that are held against the reference's, it is more
    changes.
    """
    down, up = ("worse", "better") if against == "gold" else ("more change", "fewer")
    known = _known(bounds)
    if known is None:
        return "how much is not known"
    low, high = known
    worse, better = (
        fixed(100 * abs(end), 1) if unit is None else _three_digits(abs(end)) for end in known
    )
    named = unit or "pp"
    if high <= 0:
        return f"{better} to {worse} {named} {down}"
    if low >= 0:
        return f"{worse} to {better} {named} {up}"
    return f"{worse} {named} {down} to {better} {up}"


def share(value: float | None, most: float) -> str:
    """Write how much of the most a value is, as a length in a style sheet: `53.5%`."""
    return "0%" if not value or not most else f"{fixed(100 * value / most, 1)}%"


def p_value(value: float | None) -> str:
    """Write a p-value in a table, without its leading zero: `.008`, `< .001`, `1.000`."""
    if value is None:
        return UNKNOWN
    return "< .001" if value < 0.001 else fixed(value, 3).removeprefix("0")


def p_value_in_sentence(value: float | None) -> str:
    """Write a p-value in a sentence or a mark, where one is a whole number: `.013`, `1`."""
    return "1" if value is not None and value >= 0.9995 else p_value(value)


def file_size(value: float | None, beside: Sequence[float | None] = ()) -> str:
    """Write bytes in decimal units: `270.9 MB`.

    Sizes that are read `beside` each other are all in the largest one's unit: `0.27 GB`, `16.1 GB`.
    """
    if value is None:
        return UNKNOWN
    largest = max(value, *(other for other in beside if other is not None), 0)
    for unit, name in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if largest >= unit:
            return f"{fixed(value / unit, 1 if value >= unit else 2)} {name}"
    return f"{fixed(value, 0)} B"


def terminal_size(value: float | None) -> str:
    """Write bytes on the terminal: `145 MB`, `16.1 GB`."""
    if value is None:
        return UNKNOWN
    return f"{value / 1e9:.1f} GB" if value >= 1e9 else f"{value / 1e6:.0f} MB"


def terminal_sizes(*values: float | None) -> list[str]:
    """Write sizes that are read beside each other, all in the largest one's unit."""
    if max((value for value in values if value is not None), default=0) < 1e9:
        return [terminal_size(value) for value in values]
    return [UNKNOWN if value is None else f"{value / 1e9:.2f} GB" for value in values]


def ratio(value: float | None) -> str:
    """Write a ratio: `1.42×`."""
    return UNKNOWN if value is None else f"{fixed(value, 2)}\N{MULTIPLICATION SIGN}"


def ratio_interval(bounds: Bounds) -> str:
    """Write the interval of a ratio: `1.36 to 1.48×`."""
    known = _known(bounds)
    return NONE if known is None else f"{fixed(known[0], 2)} to {ratio(known[1])}"


def times(value: float) -> str:
    """Write a ratio of speeds in a sentence: `1.30 times`."""
    return f"{fixed(value, 2)} times"


def times_interval(ends: Sequence[float]) -> str:
    """Write the interval of a ratio in a sentence: `1.25 to 1.36`."""
    low, high = ends
    return f"{fixed(low, 2)} to {fixed(high, 2)}"


def rate(value: float | None) -> str:
    """Write a rate (tokens a second) with the digits that mean something."""
    if value is None:
        return UNKNOWN
    return fixed(value, 0, ",") if value >= 1000 else fixed(value, 1)


def seconds(value: float | None) -> str:
    """Write a duration with the unit that fits it."""
    if value is None:
        return UNKNOWN
    for unit, name in ((1.0, "s"), (1e-3, "ms")):
        if value >= unit:
            return f"{fixed(value / unit, 2)} {name}"
    return f"{fixed(value / 1e-6, 1)} µs"


def duration(seconds: float | None) -> str:
    """Write how long something takes as a person would say it: `40 s`, `12 min`, `1.5 h`."""
    if seconds is None:
        return "not probed"
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def short_seconds(value: float) -> str:
    """Write a time with three digits, or in whole seconds: `4.1 ms`, `0.323 s`, `1,234 s`."""
    if value >= 999.5:
        return f"{fixed(value, 0, ',')} s"
    return f"{value:.3g} s" if value >= 0.1 else f"{1000 * value:.3g} ms"


def decimal(value: float | None) -> str:
    """Write a plain number with three decimals, a standard deviation for one."""
    return UNKNOWN if value is None else fixed(value, 3)


def signed(value: float | None) -> str:
    """Write a difference that is no share, with its sign: `+0.24`, `−12.3`."""
    if value is None:
        return UNKNOWN
    text = fixed(value, 2, "+") if abs(value) < 10 else fixed(value, 1, "+,")
    return "0.00" if text[1:] == "0.00" else text.replace("-", _MINUS)


def signed_interval(bounds: Bounds) -> str:
    """Write the interval of a difference that is no share: `−0.30 to +0.12`."""
    known = _known(bounds)
    return NONE if known is None else f"{signed(known[0])} to {signed(known[1])}"


def count(value: float | None) -> str:
    """Write a count with thousands apart."""
    return UNKNOWN if value is None else f"{value:,}"


def signed_count(value: int) -> str:
    """Write by how much a count grew: `+4`, `−7`, `0`."""
    return f"{value:+,}".replace("-", _MINUS) if value else "0"


def out_of(value: int, of: int) -> str:
    """Write a count beside what it is counted among: `15 of 24`."""
    return f"{value:,} of {of:,}"


def plain_number(value: float) -> str:
    """Write a number for a machine to read: every digit, no exponent, no thousands apart."""
    return f"{Decimal(repr(value)):f}"


def plural(value: int, one: str, many: str | None = None) -> str:
    """Write a count with its noun: `1 item`, `192 items`."""
    return f"{value:,} {one if value == 1 else many or one + 's'}"


def short_hash(value: str | None) -> str:
    """Write the first twelve characters of a digest."""
    return UNKNOWN if not value else value[:12]


def moment(value: str | None) -> str:
    """Write an ISO time to the second: `2026-11-23 18:58:36 UTC`."""
    if not value:
        return UNKNOWN
    match = re.match(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(?:\.\d+)?(Z|\+00:00)$", value)
    return f"{match[1]} {match[2]} UTC" if match else value


def listed(words: Iterable[str], last: str = "and") -> str:
    """Join words as a sentence does: `a, b and c`, each once."""
    unique = list(dict.fromkeys(words))
    if len(unique) < 2:
        return "".join(unique)
    return f"{', '.join(unique[:-1])} {last} {unique[-1]}"


def by_margin(kept: Iterable[tuple[str, str]]) -> str:
    """Say which margin, in words, holds where: `1 pp on a and b and 3 pp on c`."""
    where: dict[str, list[str]] = {}
    for bound, what in kept:
        where.setdefault(bound, []).append(what)
    return listed(f"{bound} on {listed(what)}" for bound, what in where.items())


def undecided(missing: int) -> str:
    """Say that answers which are missing leave a contrast open: `undecided: 50 answers missing`."""
    return f"undecided: {plural(missing, 'answer')} missing"


def left_open(row: PickerRow) -> str:
    """Say of a row of the picker's table that missing answers alone leave it open; else nothing."""
    kept = row.answered is not None and row.answered.holds
    return undecided(row.missing) if kept and not row.holds else ""


def possible_loss(
    bound: float | None,
    limit: float,
    where: str,
    *,
    unit: str | None,
    accepted: bool,
    again: str | None = None,
) -> str:
    """Say how much could be lost beside what is allowed, one number where both round alike.

    Args:
        bound: the least gain that is not ruled out, in the endpoint's unit; None: not known.
        limit: the loss that is too large, above 0.
        where: the workload.
        unit: of the endpoint; None of a share, whose differences are in points.
        accepted: whether the user stated the limit; else it is the study's margin.
        again: the reference, where its own answers stand in for right ones.
    """
    allowed = margin(limit, unit)
    if bound is None or bound >= -limit or size(bound, unit) == size(limit, unit):
        own = "you accept less" if accepted else "that is the margin"
        could = limit_words("could_lose_the_limit", again=again, limit=allowed, work=where)
        return f"{could}; {own}"
    allowed = f"you accept less than {allowed}" if accepted else f"the margin is {allowed}"
    could = limit_words("could_lose", again=again, value=size(bound, unit), work=where)
    return f"{could}; {allowed}"


def seen_loss(
    loss: float,
    limit: float,
    where: str,
    *,
    unit: str | None,
    accepted: bool,
    again: str | None = None,
) -> str:
    """Say how much was lost, at least the limit; arguments as in `possible_loss`."""
    allowed, lost = margin(limit, unit), size(loss, unit)
    if lost == size(limit, unit):
        side = "slightly more than" if loss > limit else "exactly"
        own = "the loss you accept" if accepted else "the margin"
        said = limit_words("lost_the_limit", again=again, side=side, limit=allowed, work=where)
        return f"{said}, {own}"
    allowed = f"{allowed} you accept" if accepted else f"margin of {allowed}"
    return f"{limit_words('lost', again=again, value=lost, work=where)}, more than the {allowed}"


def evidence_line(finding: Finding | Pace, *, tolerated: float | None = None) -> str:
    """Write a finding as one line: estimate, interval, adjusted p of a difference, verdict, id.

    Where equivalence or non-inferiority carries the verdict, its own p stands beside and the
    interval is the one that belongs to its test. So it is where a loss other than the margin is
    `tolerated`: its lower end is what that is held against, and the p at the margin says nothing.
    """
    if finding.kind == "speed":
        return (
            f"{finding.endpoint}: {times(finding.estimate)} {finding.reference}'s, "
            f"{level(finding.confidence)} interval {times_interval(finding.ci)}, "
            f"{plural(finding.n, 'block')} [{finding.id}]"
        )
    other = tolerated is not None and tolerated != finding.margin
    (low, high), confidence = finding.ci, finding.confidence
    if finding.verdict in ("equivalent", "non_inferior") or tolerated is not None:
        (low, high), confidence = finding.equivalence_ci, finding.equivalence_confidence
    at = level(confidence)
    interval = (
        f"no {at} interval (too little differs)"
        if low is None or high is None
        else f"{at} interval {difference_interval((low, high), finding.unit)}"
    )
    tests = f"difference p {equals(finding.p_adjusted)} adjusted"
    if not other:
        # the test beside the one for a difference that carries the verdict
        if finding.verdict == "equivalent":
            tests += f", equivalence p {equals(finding.equivalence_p)}"
        elif finding.verdict in ("non_inferior", "inconclusive"):
            tests += f", non-inferiority p {equals(finding.non_inferiority_p)}"
    said = verdict_word(finding.verdict, finding.against)
    if finding.also:
        said += f", and {verdict_word(finding.also, finding.against)}"
    if other:
        said += f" at the margin of {margin(finding.margin, finding.unit)}"
    return (
        f"{finding.workload}, {finding.named.replace('_', '-')}: "
        f"{difference(finding.estimate, finding.unit)}, {interval}, {tests}: {said} [{finding.id}]"
    )


def drawn_in_words(one: Drawing) -> str:
    """Say what more answers to each item buy, beside more items."""
    return (
        f"Of the variance of the difference of {one.candidate}, {percent(one.within_share, 0)} is "
        f"the chance of drawing {one.samples} answers to each item: twice as many answers would "
        f"tell as much as {percent(one.twice, 0)} more items."
    )


def equals(value: float | None) -> str:
    """Write what p is, to stand after `p`: `= .013`, `< .001`."""
    shown = p_value_in_sentence(value)
    return shown if shown.startswith(("<", "u")) else f"= {shown}"


def _signed(value: float) -> str:
    text = fixed(100 * value, 1, "+")
    # what rounds to nothing has no sign
    return "0.0" if text[1:] == "0.0" else text.replace("-", _MINUS)


def _known(bounds: Bounds) -> tuple[float, float] | None:
    if bounds is None:
        return None
    low, high = bounds
    return None if low is None or high is None else (low, high)
