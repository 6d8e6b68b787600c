"""How an arm fails, not just whether: by kind of task, and item by item between arms."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from quantrial.analysis.error_classes import spurious_counts
from quantrial.analysis.outcomes import Panel, labels
from quantrial.analysis.text_signs import panel_without, sign_panels
from quantrial.stats import wilson
from quantrial.tasks import Endpoint

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from quantrial.analysis.outcomes import TaskOutcomes

_PERFECT = 1.0
# a shift's p is exact up to so many distinct outcomes and changed letters; beyond, chi-squared is
_COUNT_UP_TO = 20_000
_CHANGED_UP_TO = 1_000


def failure_modes(outcomes: TaskOutcomes, arm: str, *, alpha: float) -> dict[str, Any]:
    """Describe one arm's failures on one task, on the items it answered."""
    if outcomes.task.kind == "spans":
        return _spans(outcomes, arm, alpha)
    return _choice(outcomes, arm, alpha)


def _choice(outcomes: TaskOutcomes, arm: str, alpha: float) -> dict[str, Any]:
    scored = [o for o in outcomes.outcomes[arm] if o is not None]
    n = len(scored)
    letters = Counter(str(o.answer) for o in scored if o.answer is not None)
    golds = Counter(
        str(item.gold)
        for item, o in zip(outcomes.items, outcomes.outcomes[arm], strict=True)
        if o is not None
    )
    unparsed = sum(not o.parsed for o in scored)
    return {
        "n": n,
        "unparsed": unparsed,
        "unparsed_rate": unparsed / n if n else None,
        "letters": dict(sorted(letters.items())),
        "gold_letters": dict(sorted(golds.items())),
        "truncated": _truncated(outcomes, arm),
    }


def _spans(outcomes: TaskOutcomes, arm: str, alpha: float) -> dict[str, Any]:
    pairs = [
        (item, o)
        for item, o in zip(outcomes.items, outcomes.outcomes[arm], strict=True)
        if o is not None
    ]
    tp, fp, fn = (int(sum(o.values[name] for _, o in pairs)) for name in ("tp", "fp", "fn"))
    parsed = sum(o.parsed for _, o in pairs)
    empty = [o for item, o in pairs if not item.gold]
    right = sum(o.values["f1"] == _PERFECT for o in empty)
    entity_free: dict[str, Any] = {"n": len(empty), "correct": right, "rate": None, "ci": None}
    if empty:
        rate = wilson(right, len(empty), confidence=1.0 - alpha)
        entity_free |= {"rate": rate.estimate, "ci": [rate.interval.low, rate.interval.high]}
    return {
        "n": len(pairs),
        "tp": tp,
        "fp": fp,
        "fn": fn,
        "precision": tp / (tp + fp) if tp + fp else None,
        "recall": tp / (tp + fn) if tp + fn else None,
        "parsed": parsed,
        "parse_rate": parsed / len(pairs) if pairs else None,
        "entity_free": entity_free,
        "truncated": _truncated(outcomes, arm),
    }


def _truncated(outcomes: TaskOutcomes, arm: str) -> int:
    return sum(r is not None and r.finish_reason == "length" for r in outcomes.responses[arm])


def failure_panels(outcomes: TaskOutcomes) -> list[Panel]:
    """Score the failure modes that are no endpoint of the task, one panel of one endpoint each.

    `entity_free_correct` on entity-free items and `no_spurious` (spans), `parse_rate` (choice),
    then the signs of `sign_panels` on all items. Every endpoint is a share of items that are well,
    so that negative is a loss; one that nothing can be said of is left out. What a
    malformed answer invents is not known, so `no_spurious` leaves its item out; `parse_rate` speaks
    of it. Panels keep the clusters and strata of the
    task.
    """
    if outcomes.task.kind == "spans":
        panels = [_entity_free(outcomes), _no_spurious(outcomes)]
    else:
        panels = [_parse_rate(outcomes)]
    return [panel for panel in panels if panel is not None] + sign_panels(outcomes)


def _entity_free(outcomes: TaskOutcomes) -> Panel | None:
    mask = np.array([not item.gold for item in outcomes.items], dtype=np.bool_)
    if outcomes.task.kind != "spans" or not mask.any():
        return None
    panel = outcomes.panel.subset(mask)
    endpoint = Endpoint("entity_free_correct", "proportion", {"correct": 1.0})
    rows = [
        [right(outcomes, arm, int(i)) or False for arm in panel.arms] for i in np.flatnonzero(mask)
    ]
    return replace(
        panel,
        endpoints=(endpoint,),
        numerators=np.array(rows, dtype=np.float64)[:, :, None],
        denominators=panel.answered.astype(np.float64)[:, :, None],
    )


def _parse_rate(outcomes: TaskOutcomes) -> Panel | None:
    shown = [
        [None if outcome is None else not outcome.parsed for outcome in outcomes.outcomes[arm]]
        for arm in outcomes.arms
    ]
    return panel_without(outcomes, "parse_rate", shown)


def _no_spurious(outcomes: TaskOutcomes) -> Panel | None:
    shown = [
        [None if count is None else count > 0 for count in spurious_counts(outcomes, arm)]
        for arm in outcomes.arms
    ]
    return panel_without(outcomes, "no_spurious", shown)


def accuracy_by_letter(outcomes: TaskOutcomes, arm: str) -> dict[str, dict[str, int]]:
    """Count one arm's right answers by the letter of the right option, on items it answered."""
    table: dict[str, dict[str, int]] = {}
    for i, item in enumerate(outcomes.items):
        is_right = right(outcomes, arm, i)
        if is_right is not None:
            row = table.setdefault(str(item.gold), {"n": 0, "correct": 0})
            row["n"] += 1
            row["correct"] += is_right
    return dict(sorted(table.items()))


def letter_shift(outcomes: TaskOutcomes, reference: str, candidate: str) -> dict[str, Any]:
    """Test whether a candidate prefers other letters than the reference (position bias).

    The question is whether both arms give each letter equally often, on the items where a letter
    could be read from both; an arm that stops giving letters shows in `unparsed_rate` instead. The
    statistic is Stuart and Maxwell's [1]_ [2]_. Given how often two letters were exchanged, each
    direction is a fair coin if the arms do not differ; where up to 20,000 distinct outcomes can be
    counted, p is the exact share of those at least as far from no shift (`stuart-maxwell-exact`),
    else that of the chi-squared distribution on `df` degrees of freedom (`stuart-maxwell`). With
    two letters the exact one is McNemar's exact test.

    Returns:
        `statistic`, `p_value`, `method`, `n` (items compared), `changed` (another letter), `df`,
        and `shift`: by how many the number of each letter grew. Where no letter changed, statistic,
        p-value and method are None.

    References:
        .. [1] Stuart, A. (1955). A test for homogeneity of the marginal distributions in a two-way
           classification. Biometrika 42, 412-416.
        .. [2] Maxwell, A. E. (1970). Comparing the classification of subjects by two independent
           judges. British Journal of Psychiatry 116, 651-655.
    """
    pairs = [
        (str(before.answer), str(after.answer))
        for before, after in zip(
            outcomes.outcomes[reference], outcomes.outcomes[candidate], strict=True
        )
        if before is not None and after is not None
        if before.answer is not None and after.answer is not None
    ]
    letters = sorted({letter for pair in pairs for letter in pair})
    old, new = (Counter(column) for column in zip(*pairs, strict=True)) if pairs else ({}, {})
    changed = Counter(pair for pair in pairs if pair[0] != pair[1])
    found: dict[str, Any] = {
        "reference": reference,
        "candidate": candidate,
        "statistic": None,
        "p_value": None,
        "method": None,
        "n": len(pairs),
        "changed": changed.total(),
        "df": 0,
        "shift": {letter: new[letter] - old[letter] for letter in letters},
    }
    return found | _homogeneity(changed) if changed else found


def _homogeneity(changed: Counter[tuple[str, str]]) -> dict[str, Any]:
    letters = sorted({letter for pair in changed for letter in pair})
    at = {letter: i for i, letter in enumerate(letters)}
    exchanged = Counter[tuple[int, int]]()
    shift = np.zeros(len(letters))
    for (before, after), count in changed.items():
        i, j = sorted((at[before], at[after]))
        exchanged[i, j] += count
        shift[at[after]] += count
        shift[at[before]] -= count
    covariance = np.zeros((len(letters), len(letters)))
    for (i, j), count in exchanged.items():
        covariance[[i, j], [i, j]] += count
        covariance[[i, j], [j, i]] -= count
    # letters exchanged among themselves only have a sum that cannot shift: the rank says how many
    inverse = np.linalg.pinv(covariance, hermitian=True)
    df = int(np.linalg.matrix_rank(covariance, hermitian=True))
    statistic = float(shift @ inverse @ shift)
    outcomes = _all_shifts(exchanged, len(letters))
    if outcomes is None:
        p, method = _chi_squared_tail(statistic, df), "stuart-maxwell"
    else:
        shifts, chances = outcomes
        distances = np.einsum("si,ij,sj->s", shifts, inverse, shifts)
        # outcomes as far as the one observed count too, whatever rounding did to them
        p = min(float(chances[distances >= statistic * (1 - 1e-9) - 1e-9].sum()), 1.0)
        method = "stuart-maxwell-exact"
    return {"statistic": statistic, "p_value": p, "method": method, "df": df}


def _chi_squared_tail(value: float, df: int) -> float:
    # Q(a + 1, x) = Q(a, x) + x^a e^-x / Gamma(a + 1), from a = 1/2 or 1: SciPy's is slow to import
    x, a = value / 2, 0.5 if df % 2 else 1.0
    tail = math.erfc(math.sqrt(x)) if df % 2 else math.exp(-x)
    while 2 * a < df:
        tail += math.exp(a * math.log(x) - x - math.lgamma(a + 1)) if x > 0 else 0.0
        a += 1
    return tail


def _all_shifts(
    exchanged: Counter[tuple[int, int]], letters: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Every distinct shift with its chance, were directions fair coins; None where too many."""
    total = exchanged.total()
    # a shift as one number, a digit from -total to total a letter; the last letter's follows
    base = 2 * total + 1
    if total > _CHANGED_UP_TO or base ** (letters - 1) > np.iinfo(np.int64).max:
        return None
    places = np.array([*(base**i for i in range(letters - 1)), 0], dtype=np.int64)
    codes: NDArray[np.int64] = np.zeros(1, dtype=np.int64)
    chances: NDArray[np.float64] = np.ones(1)
    for (i, j), count in sorted(exchanged.items()):
        if len(chances) * (count + 1) > _COUNT_UP_TO:
            return None
        heads = np.arange(count + 1)
        coins = np.array([math.comb(count, k) / 2**count for k in range(count + 1)])
        steps = (2 * heads - count) * (places[i] - places[j])
        codes, where = np.unique((codes[:, None] + steps).ravel(), return_inverse=True)
        weights = (chances[:, None] * coins).ravel()
        chances = np.bincount(where, weights=weights).astype(np.float64)
    shifts = np.zeros((len(codes), letters))
    for i in range(letters - 1):
        digit = (codes + total) % base - total
        shifts[:, i] = digit
        codes = (codes - digit) // base
    shifts[:, -1] = -shifts.sum(axis=1)
    return shifts, chances


def right(outcomes: TaskOutcomes, arm: str, index: int) -> bool | None:
    """Whether an arm's answer to an item is wholly right; None without an answer."""
    outcome = outcomes.outcomes[arm][index]
    if outcome is None:
        return None
    return outcome.values["f1" if outcomes.task.kind == "spans" else "correct"] == _PERFECT


def flips(outcomes: TaskOutcomes, reference: str, candidate: str) -> dict[str, Any]:
    """Count the items whose answer turned, between two arms, among those both answered.

    `harmful`: reference wholly right, candidate not; `beneficial`: the reverse; `churn`: the raw
    text changed and every score stayed. `items` lists the flipped ids.
    """
    turns = [turn for turn in _turns(outcomes, reference, candidate) if turn is not None]
    ids = {
        kind: [item for item, turned, _ in turns if turned == kind]
        for kind in ("harmful", "beneficial")
    }
    return {
        "reference": reference,
        "candidate": candidate,
        "harmful": len(ids["harmful"]),
        "beneficial": len(ids["beneficial"]),
        "churn": sum(churn for _, _, churn in turns),
        "n": len(turns),
        "items": ids,
    }


def flips_by(
    outcomes: TaskOutcomes, reference: str, candidate: str, key: str
) -> dict[str, dict[str, Any]]:
    """Count flips, as `flips` does, in each value of a key of the items' metadata, with their ids.

    Raises:
        DataError: an item has no such key.
    """
    values = labels(outcomes.items, key).tolist() if outcomes.items else []
    table: dict[str, dict[str, Any]] = {
        value: {
            "harmful": 0,
            "beneficial": 0,
            "churn": 0,
            "n": 0,
            "items": {"harmful": [], "beneficial": []},
        }
        for value in sorted(set(values))
    }
    for value, turn in zip(values, _turns(outcomes, reference, candidate), strict=True):
        if turn is None:
            continue
        item, turned, churn = turn
        row = table[value]
        row["n"] += 1
        row["churn"] += churn
        if turned is not None:
            row[turned] += 1
            row["items"][turned].append(item)
    return table


def _turns(
    outcomes: TaskOutcomes, reference: str, candidate: str
) -> Iterator[tuple[str, str | None, bool] | None]:
    """Give, item by item, its id, how its answer turned, and whether it is churn.

    None where one of the arms gave no answer.
    """
    for i, item in enumerate(outcomes.items):
        before, after = outcomes.outcomes[reference][i], outcomes.outcomes[candidate][i]
        old, new = outcomes.responses[reference][i], outcomes.responses[candidate][i]
        if before is None or after is None or old is None or new is None:
            yield None
            continue
        was, now = right(outcomes, reference, i), right(outcomes, candidate, i)
        turned = None if was == now else "harmful" if was else "beneficial"
        yield item.id, turned, old.output != new.output and before.values == after.values
