"""What a published pair of scores can show: two shares of right answers, and how many items.

A table gives how many answers each arm has right, and not how many changed. The same two shares
may come from a few changes, all to the worse, or from hundreds that nearly cancel out. So its p has
a range, and so has the smallest loss that is ruled out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from quantrial.errors import StudyError
from quantrial.stats import mcnemar, score_flips
from quantrial.words import equals, percent, plural, size

_ALPHA = 0.05


@dataclass(frozen=True, slots=True)
class Changes:
    """How many answers may have turned, and what would follow.

    Attributes:
        harmful: answers that turned from right to wrong.
        beneficial: those that turned from wrong to right.
        p_value: that the arms differ (McNemar, mid-p, two-sided).
        ruled_out: the smallest loss that is ruled out at 5 %, as a share; below 0 a gain is shown.
    """

    harmful: int
    beneficial: int
    p_value: float
    ruled_out: float

    @property
    def changed(self) -> int:
        """How many turned in all."""
        return self.harmful + self.beneficial


@dataclass(frozen=True, slots=True)
class Audit:
    """What `audit` finds: with the fewest changes that there can be, the most, and those stated.

    `right` counts the right answers of reference and candidate; `text` says it in sentences.
    """

    n: int
    right: tuple[int, int]
    fewest: Changes
    most: Changes
    stated: Changes | None
    text: str


def audit(n: int, reference: float, candidate: float, *, discordance: float | None = None) -> Audit:
    """Say what two published shares of right answers can and cannot show.

    Args:
        n: the items that both were scored on.
        reference: the reference's share of right answers, 0 to 1.
        candidate: the candidate's.
        discordance: the share of items on which the two differ, where it is known or guessed.

    Raises:
        StudyError: a value is out of range, or so few or so many items cannot have changed.

    Example:
        >>> found = quantrial.audit(500, 0.584, 0.568)
        >>> found.fewest.changed, round(found.fewest.p_value, 4)
        (8, 0.0039)
    """
    if not 1 <= n <= 10_000_000:
        raise StudyError(f"should be from 1 to 10,000,000 items; got {n:,}", key="n")
    named = {"reference": reference, "candidate": candidate}
    for key, share in named.items():
        if not 0 <= share <= 1:
            raise StudyError(f"should be a share from 0 to 1; got {share:g}", key=key)
    before, after = round(n * reference), round(n * candidate)
    lost = before - after
    most_gained = min(after, n - before)
    least_gained = max(0, -lost)
    fewest = _changes(least_gained + lost, least_gained, n)
    most = _changes(most_gained + lost, most_gained, n)
    stated = None if discordance is None else _stated(discordance, fewest, most, n)
    found = Audit(n, (before, after), fewest, most, stated, "")
    return Audit(n, (before, after), fewest, most, stated, _in_words(found, reference, candidate))


def _stated(discordance: float, fewest: Changes, most: Changes, n: int) -> Changes:
    if not 0 <= discordance <= 1:
        raise StudyError(f"should be a share from 0 to 1; got {discordance:g}", key="discordance")
    wanted = discordance * n
    if not fewest.changed - 1 <= wanted <= most.changed + 1:
        raise StudyError(
            f"{percent(discordance)} are {wanted:g} of {n:,} items; with these scores from "
            f"{fewest.changed:,} to {most.changed:,} can have changed",
            key="discordance",
        )
    # what turned back and forth comes in pairs
    pairs = round((wanted - fewest.changed) / 2)
    gained = fewest.beneficial + min(max(pairs, 0), most.beneficial - fewest.beneficial)
    return _changes(fewest.harmful - fewest.beneficial + gained, gained, n)


def _changes(harmful: int, beneficial: int, n: int) -> Changes:
    low = score_flips(harmful, beneficial, n=n).interval(1 - 2 * _ALPHA).low
    p = mcnemar(harmful, beneficial, n=n, method="midp").p_value
    return Changes(harmful, beneficial, p, 1.0 if math.isnan(low) else -low)


def _in_words(found: Audit, reference: float, candidate: float) -> str:
    n, (before, after) = found.n, found.right
    lost = before - after
    far = [
        f"{percent(share, 2)} of {n:,} items are {n * share:.1f} answers, taken as {count:,}."
        for share, count in zip((reference, candidate), found.right, strict=True)
        if abs(n * share - count) > 0.25
    ]
    how, far_apart = "as many right answers as", ""
    if lost:
        how = f"{plural(abs(lost), 'right answer')} {'fewer' if lost > 0 else 'more'} than"
        far_apart = f" ({size(lost / n)})"
    sentences = [
        *far,
        f"Of {n:,} items, the candidate has {how} the reference{far_apart}. How many answers "
        "changed, a table does not say.",
        f"At least {_case(found.fewest)}.",
        f"At most {_case(found.most)}.",
    ]
    if found.stated is not None:
        sentences.append(f"If {_case(found.stated)}.")
    sentences.append(_verdict(found, lost))
    return " ".join(sentences)


def _case(one: Changes) -> str:
    said = f"{plural(one.changed, 'answer')} changed ({one.harmful:,} from right to wrong)"
    said += f": then p {equals(one.p_value)} for a difference"
    if one.ruled_out <= 0:
        return f"{said}, and any loss is ruled out"
    return f"{said}, and no loss below {size(one.ruled_out)} is ruled out"


def _verdict(found: Audit, lost: int) -> str:
    low, high = found.fewest.p_value, found.most.p_value
    if not lost:
        return "The two scores are equal, so no difference is shown."
    what = "a loss" if lost > 0 else "a gain"
    if max(low, high) < _ALPHA:
        return f"So {what} is shown, whatever changed."
    if min(low, high) >= _ALPHA:
        return f"So {what} is not shown, whatever changed."
    return (
        f"So this table alone cannot say whether {what} is more than chance: that takes the items."
    )
