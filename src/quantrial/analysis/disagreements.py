"""Where two sets of methods come to different verdicts on a contrast, and by which test."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from quantrial.analysis.comparing import METHODS, Comparing
from quantrial.analysis.contrasts import Documents
from quantrial.analysis.remarks import Remarks

# fewer resamples than lie a standard error or more to one side of the centre (.16 by the normal)
_BEYOND = 0.1


def disagreements(
    own: Comparing, endpoints: Mapping[str, Any], strata: Mapping[str, Any], primary: str
) -> list[dict[str, Any]]:
    """Name every contrast on which the other set of methods comes to another verdict.

    Args:
        own: the set that the summary is made by.
        endpoints: what it found of all items, as the summary holds it, by endpoint.
        strata: the same of the primary endpoint, by stratum.
        primary: the primary endpoint, which is looked at within strata too.

    Returns:
        One a contrast: its `id`, `endpoint`, `stratum` (None: of all items), `reference`,
        `candidate`, the verdict by each set's name, the `question` on which they part
        (`equivalence`, `difference`, `non_inferiority`) and `p`, by set, of its test: as each set's
        verdict follows it, adjusted or not; NaN where a set has none.
    """
    other = Comparing(
        own.study,
        own.name,
        own.scored,
        next(name for name in METHODS if name != own.make.name),
        Remarks(),
        brief=True,
    )
    methods = other.overall()
    found: list[dict[str, Any]] = []
    for endpoint, results in endpoints.items():
        label = f"{own.name}.{endpoint}"
        theirs = other.family(other.measure(methods, endpoint, label), label)
        mine = results["contrasts"], results["equivalence"]
        found += _parted((own, mine), (other, theirs), endpoint, None)
    # resampling each of many strata would cost more than all else here
    idle = {v for v, one in strata.items() if other.classic and surely_open(one, own.study.alpha)}
    inside = other.families(other.strata(primary, leaving_out=idle), primary)
    for value, results in strata.items():
        if value not in idle:
            mine = results["contrasts"], results["equivalence"]
            found += _parted((own, mine), (other, inside[value]), primary, value)
    return found


def surely_open(results: Mapping[str, Any], alpha: float) -> bool:
    """Say whether `classic` must find every contrast inconclusive too, without resampling.

    Args:
        results: `contrasts` and `equivalence` by `calibrated`, of shares over independent items.
        alpha: the level.

    McNemar's p, exact or with Yates's correction, is never below the mid-p, so it shows no
    difference either. Where no answer changed, resamples do not vary and show nothing; where the
    estimate lies less than one standard error above a loss of the margin, more than a tenth of the
    resamples centred there reach it, which at levels up to a tenth rules out nothing.
    """
    return all(
        one["verdict"] == "inconclusive"
        and one["p_method"] == "mcnemar-midp"
        and one["p_value"] >= alpha
        and (
            one["sd_paired"] == 0.0
            or (
                alpha <= _BEYOND
                and one["estimate"] + test["margin"] < one["sd_paired"] / math.sqrt(one["n"])
            )
        )
        for one, test in zip(results["contrasts"], results["equivalence"], strict=True)
    )


Told = tuple[Comparing, Documents]


def _parted(mine: Told, theirs: Told, endpoint: str, stratum: str | None) -> Iterator[Any]:
    alpha = mine[0].study.alpha
    pairs = zip(*mine[1], *theirs[1], strict=True)  # both sets answer the same pairs, in order
    for own, test, other, another in pairs:
        if own["verdict"] == other["verdict"]:
            continue
        names = mine[0].make.name, theirs[0].make.name
        asked = [
            _answers(one, two, alpha=alpha, adjusted=stratum is not None and not by.classic)
            for (one, two), (by, _) in zip(
                ((own, test), (other, another)), (mine, theirs), strict=True
            )
        ]
        # the first question, in the order of the verdicts, that the two answer otherwise
        question = next(q for q in asked[0] if asked[0][q][0] != asked[1][q][0])
        yield {
            "id": own["id"],
            "endpoint": endpoint,
            "stratum": stratum,
            "reference": own["reference"],
            "candidate": own["candidate"],
            **{name: one["verdict"] for name, one in zip(names, (own, other), strict=True)},
            "question": question,
            "p": {name: one[question][1] for name, one in zip(names, asked, strict=True)},
        }


def _answers(
    contrast: Mapping[str, Any], test: Mapping[str, Any], *, alpha: float, adjusted: bool
) -> dict[str, tuple[bool, float]]:
    """Return what a set answers to each question, and the p that it goes by."""
    after = "_adjusted" if adjusted else ""
    return {
        "equivalence": (test["equivalent"], test["p_adjusted" if adjusted else "p_value"]),
        "difference": (contrast["p_adjusted"] < alpha, contrast["p_adjusted"]),
        "non_inferiority": (test["non_inferior"], test[f"p_non_inferior{after}"]),
    }
