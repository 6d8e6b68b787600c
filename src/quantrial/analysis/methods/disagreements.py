"""Where two sets of methods come to different verdicts on a contrast, and by which test."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from quantrial import documents
from quantrial.analysis.comparison import METHODS, TaskComparison
from quantrial.analysis.contrasts import Judgement, Notes, judge, write
from quantrial.documents.codec import nan, number

if TYPE_CHECKING:
    from quantrial.analysis.contrasts import Draft

# fewer resamples than lie a standard error or more to one side of the centre (.16 by the normal)
_BEYOND = 0.1


class OtherSet:
    """The contrasts of a task by the set of methods that the summary is not made by."""

    def __init__(
        self,
        own: TaskComparison,
        endpoints: Mapping[str, Sequence[Draft]],
        strata: Mapping[str, Sequence[Draft]],
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
        self._other = TaskComparison(
            own.question,
            own.name,
            own.scored,
            next(name for name in METHODS if name != own.make.name),
            Notes(),
            brief=True,
        )
        self._pairs: list[tuple[str, str | None, Draft, Draft]] = []
        methods = self._other.overall()
        for endpoint, mine in endpoints.items():
            label = f"{own.name}.{endpoint}"
            theirs = self._other.drafts(self._other.measure(methods, endpoint, label), label)
            self._pair(endpoint, None, mine, theirs)
        # resampling each of many strata would cost more than all else here
        idle = {
            value
            for value, mine in strata.items()
            if self._other.classic and surely_open(map(_undecided, mine), own.question.alpha)
        }
        measured = self._other.strata(primary, leaving_out=idle)
        inside = self._other.strata_drafts(measured, primary)
        for value, mine in strata.items():
            if value not in idle:
                self._pair(primary, value, mine, inside[value])

    def _pair(
        self,
        endpoint: str,
        stratum: str | None,
        mine: Sequence[Draft],
        theirs: Sequence[Draft],
    ) -> None:
        # both sets answer the same pairs, in order
        for one, other in zip(mine, theirs, strict=True):
            self._pairs.append((endpoint, stratum, one, other))

    def p_values(self) -> dict[str, float]:
        """Return the p of a difference, not adjusted, of what is no primary endpoint, by id."""
        return {
            other.id: other.result.one.p_value
            for endpoint, stratum, _, other in self._pairs
            if self._adjusted_with_all(endpoint, stratum)
        }

    def _adjusted_with_all(self, endpoint: str, stratum: str | None) -> bool:
        return stratum is not None or endpoint != self._primary

    def disagreements(
        self, judged: Mapping[str, tuple[Judgement, float]], adjusted: Mapping[str, float]
    ) -> tuple[documents.Disagreement, ...]:
        """Name every contrast on which the other set comes to another verdict.

        Args:
            judged: of the summary's own set, by id: its judgement, and the p that it went by.
            adjusted: the p of `p_values`, adjusted in the report's one family in place of the
                summary's own.

        Returns:
            One a contrast, with the `question` on which they part (`equivalence`, `difference`,
            `non_inferiority`) and the p, by set, of its test: as each set's verdict follows it,
            adjusted or not.
        """
        alpha, found = self._own.question.alpha, []
        for endpoint, stratum, own, other in self._pairs:
            with_all = self._adjusted_with_all(endpoint, stratum)
            p = adjusted[other.id] if with_all else other.p_adjusted
            mine, theirs = judged[own.id], (judge(other, p, family=1, alpha=alpha, plan=False), p)
            if mine[0].verdict != theirs[0].verdict:
                sets = {self._own: (own, *mine), self._other: (other, *theirs)}
                asked = {
                    by.make.name: _answers(
                        one, said, alpha, adjusted=stratum is not None and not by.classic
                    )
                    for by, (one, _, said) in sets.items()
                }
                answers = list(asked.values())
                # the first question, in the order of the verdicts, that the two answer otherwise
                question = next(q for q in answers[0] if answers[0][q][0] != answers[1][q][0])
                found.append(
                    documents.Disagreement(
                        id=own.id,
                        endpoint=endpoint,
                        stratum=stratum,
                        reference=own.result.one.reference,
                        candidate=own.result.one.candidate,
                        verdicts={
                            by.make.name: str(said.verdict) for by, (_, said, _) in sets.items()
                        },
                        question=question,
                        p={name: number(one[question][1]) for name, one in asked.items()},
                    )
                )
        return tuple(found)


def surely_open(contrasts: Iterable[documents.Contrast], alpha: float) -> bool:
    """Say whether `classic` must find every contrast inconclusive too, without resampling.

    Args:
        contrasts: by `calibrated`, of shares over independent items; negative is a loss.
        alpha: the level.

    McNemar's p, exact or with Yates's correction, is never below the mid-p, so it shows no
    difference either. Where no answer changed, resamples do not vary and show nothing; where the
    estimate lies less than one standard error above a loss of the margin, more than a tenth of the
    resamples centred there reach it, which at levels up to a tenth rules out nothing.
    """
    return all(
        one.equivalence is not None
        and not one.equivalence.non_inferior
        and one.p_method == "mcnemar-midp"
        and nan(one.p_value) >= alpha
        and (
            one.sd_paired == 0.0
            or (
                alpha <= _BEYOND
                and nan(one.estimate) + one.equivalence.margin
                < nan(one.sd_paired) / math.sqrt(one.n)
            )
        )
        for one in contrasts
    )


def _answers(
    one: Draft, p: float, alpha: float, *, adjusted: bool
) -> dict[str, tuple[bool, float | None]]:
    """Return what a set answers to each question, and the p that it goes by."""
    test = one.equivalence
    equal, no_loss = (None, None) if test is None else (test.p_value, test.p_non_inferior)
    if test is not None and adjusted:
        equal, no_loss = test.p_adjusted, test.p_non_inferior_adjusted
    return {
        "equivalence": (test is not None and test.equivalent, equal),
        "difference": (p < alpha, p),
        "non_inferiority": (test is not None and test.non_inferior, no_loss),
    }


def _undecided(each: Draft) -> documents.Contrast:
    return write(each, Judgement(), p_adjusted=each.p_adjusted, family=each.family).gain
