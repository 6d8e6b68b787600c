"""Where two sets of methods come to different verdicts on a contrast, and by which test."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from quantrial.analysis.comparing import METHODS, Comparing
from quantrial.analysis.contrasts import documents, judge
from quantrial.analysis.remarks import Remarks
from quantrial.findings import adjusted_p, is_finding

if TYPE_CHECKING:
    from quantrial.analysis.contrasts import Written

# fewer resamples than lie a standard error or more to one side of the centre (.16 by the normal)
_BEYOND = 0.1


class OtherSet:
    """The contrasts of a task by the set of methods that the summary is not made by."""

    def __init__(
        self,
        own: Comparing,
        endpoints: Mapping[str, Sequence[Written]],
        strata: Mapping[str, Sequence[Written]],
        primary: str,
    ):
        """Measure every contrast that both sets answer; verdicts and p-values alone.

        Args:
            own: the set that the summary is made by.
            endpoints: what it wrote of all items, by endpoint; judged later but for the primary.
            strata: the same of the primary endpoint, by stratum.
            primary: the primary endpoint, which is looked at within strata too.
        """
        self._own, self._primary = own, primary
        self._other = Comparing(
            own.study,
            own.name,
            own.scored,
            next(name for name in METHODS if name != own.make.name),
            Remarks(),
            brief=True,
        )
        self._pairs: list[tuple[str, str | None, Written, Written]] = []
        methods = self._other.overall()
        for endpoint, mine in endpoints.items():
            label = f"{own.name}.{endpoint}"
            theirs = self._other.written(self._other.measure(methods, endpoint, label), label)
            if endpoint == primary:
                self._other.judged(theirs)
            self._pair(endpoint, None, mine, theirs)
        # resampling each of many strata would cost more than all else here
        idle = {
            value
            for value, mine in strata.items()
            if self._other.classic and surely_open(_results(mine), own.study.alpha)
        }
        measured = self._other.strata(primary, leaving_out=idle)
        inside = self._other.written_strata(measured, primary)
        for value, mine in strata.items():
            if value not in idle:
                self._pair(primary, value, mine, inside[value])

    def _pair(
        self,
        endpoint: str,
        stratum: str | None,
        mine: Sequence[Written],
        theirs: Sequence[Written],
    ) -> None:
        # both sets answer the same pairs, in order
        for one, other in zip(mine, theirs, strict=True):
            self._pairs.append((endpoint, stratum, one, other))

    def p_values(self) -> dict[str, float]:
        """Return the p of a difference, not adjusted, of what is no primary endpoint, by id."""
        return {
            other.contrast["id"]: other.measured.one.p_value
            for endpoint, stratum, _, other in self._pairs
            if self._adjusted_with_all(endpoint, stratum)
        }

    def _adjusted_with_all(self, endpoint: str, stratum: str | None) -> bool:
        return stratum is not None or endpoint != self._primary

    def disagreements(self, adjusted: Mapping[str, float]) -> list[dict[str, Any]]:
        """Name every contrast on which the other set comes to another verdict.

        Args:
            adjusted: the p of `p_values`, adjusted in the report's one family in place of the
                summary's own.

        Returns:
            One a contrast: its `id`, `endpoint`, `stratum` (None: of all items), `reference`,
            `candidate`, the verdict by each set's name, the `question` on which they part
            (`equivalence`, `difference`, `non_inferiority`) and `p`, by set, of its test: as each
            set's verdict follows it, adjusted or not; NaN where a set has none.
        """
        alpha, found = self._own.study.alpha, []
        for endpoint, stratum, own, other in self._pairs:
            if self._adjusted_with_all(endpoint, stratum):
                p = adjusted[other.contrast["id"]]
                judge(other, p, family=1, alpha=alpha, plan=False)
                other.contrast["p_alarm"] = p
            if own.contrast["verdict"] != other.contrast["verdict"]:
                found.append(self._parted(endpoint, stratum, own, other))
        return found

    def _parted(
        self, endpoint: str, stratum: str | None, own: Written, other: Written
    ) -> dict[str, Any]:
        sets = {self._own.make.name: (self._own, own), self._other.make.name: (self._other, other)}
        asked = {
            name: _answers(
                one, self._own.study.alpha, adjusted=stratum is not None and not by.classic
            )
            for name, (by, one) in sets.items()
        }
        mine, theirs = asked.values()
        # the first question, in the order of the verdicts, that the two answer otherwise
        question = next(q for q in mine if mine[q][0] != theirs[q][0])
        return {
            "id": own.contrast["id"],
            "endpoint": endpoint,
            "stratum": stratum,
            "reference": own.contrast["reference"],
            "candidate": own.contrast["candidate"],
            **{name: one.contrast["verdict"] for name, (_, one) in sets.items()},
            "question": question,
            "p": {name: one[question][1] for name, one in asked.items()},
        }


def _results(written: Sequence[Written]) -> dict[str, Any]:
    contrasts, tests = documents(written)
    return {"contrasts": contrasts, "equivalence": tests}


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
        not test["non_inferior"]
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


def _answers(written: Written, alpha: float, *, adjusted: bool) -> dict[str, tuple[bool, float]]:
    """Return what a set answers to each question, and the p that it goes by."""
    after, test = "_adjusted" if adjusted else "", written.test or {}
    return {
        "equivalence": (test["equivalent"], test["p_adjusted" if adjusted else "p_value"]),
        "difference": (is_finding(written.contrast, alpha), _p(written.contrast)),
        "non_inferiority": (test["non_inferior"], test[f"p_non_inferior{after}"]),
    }


def _p(contrast: Mapping[str, Any]) -> float:
    p = adjusted_p(contrast)
    return math.nan if p is None else p
