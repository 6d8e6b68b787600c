"""The part of the summary that speaks of one task."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from quantrial import documents
from quantrial.analysis.alarms import adjusted, unit_of_strata
from quantrial.analysis.answers.changes import accuracy_by_letter, flips, letter_shifts, repeats
from quantrial.analysis.answers.drawing import drawing, pairing, saturation
from quantrial.analysis.answers.failures import (
    error_table,
    f1_loss,
    failure_contrasts,
    failure_modes,
    spurious_per_sentence,
    unread,
)
from quantrial.analysis.answers.fidelity import fidelity
from quantrial.analysis.answers.reading import reading
from quantrial.analysis.answers.text_signs import text_signs
from quantrial.analysis.bounds import Bounds
from quantrial.analysis.comparison import TaskComparison, heterogeneity
from quantrial.analysis.contrasts import Judgement, Notes, judge, simultaneous_intervals, write
from quantrial.analysis.methods import POWER
from quantrial.analysis.methods.disagreements import OtherSet
from quantrial.analysis.outcomes import Panel, TaskOutcomes, labels
from quantrial.analysis.values import estimate_of
from quantrial.design.sampling import repeated, undeclared_groups
from quantrial.documents.codec import number
from quantrial.documents.contrasts import FAMILY
from quantrial.stats import detectable_difference

if TYPE_CHECKING:
    from quantrial.analysis.alarms import AlarmFamily, Asked
    from quantrial.analysis.contrasts import Draft
    from quantrial.analysis.methods import Methods
    from quantrial.analysis.question import Question

Arms = Mapping[str, documents.Estimate]


@dataclass(frozen=True, slots=True)
class _Compared:
    """Arms and contrasts of one endpoint, of all items or of the `n` of one stratum.

    `asked` is empty of the primary endpoint, whose contrasts are a family of their own.
    """

    arms: Arms
    drafts: list[Draft]
    asked: list[Asked] = field(default_factory=list)
    n: int = 0


class TaskAnalysis:
    """Measures one task, and asks of the report's one family; `summary` is made once it is closed.

    Args:
        question: says the margins, the seed, the level, the set of statistics.
        name: of the task.
        scored: its answers.
        family: is asked of all that can raise an alarm.
    """

    def __init__(self, question: Question, name: str, scored: TaskOutcomes, family: AlarmFamily):
        self.question = question
        self.name = name
        self.spec = question.tasks[name]
        self.scored = scored
        self.family = family
        self.notes = Notes()
        self.compared = TaskComparison(question, name, scored, question.methods, self.notes)
        self.pairs = self.compared.pairs
        self.bounds = Bounds.of_task(scored, question.controls)
        self.primary = scored.task.endpoints[0].name
        self._measure()

    def _measure(self) -> None:
        self._note_unanswered()
        for arm, said in () if self.compared.classic else unread(self.scored):
            self.notes.add(arm, said)
        methods = self.compared.overall()
        self._panel = methods.panel
        self._of_reference = [pair for pair in self.pairs if pair[0] == self.question.reference]
        names = [endpoint.name for endpoint in self.scored.task.endpoints]
        self._endpoints = {name: self._endpoint(methods, name) for name in names}
        self._strata = self._measured_strata()
        self._letters = self._letter_shifts()
        self._failures = (
            []
            if self.compared.classic
            else list(failure_contrasts(self.compared, self.bounds, self.family))
        )
        self._other = OtherSet(
            self.compared,
            {name: one.drafts for name, one in self._endpoints.items()},
            {value: one.drafts for value, one in self._strata.items()},
            self.primary,
        )
        self._repeats = repeats(
            self.scored, self.question.reference, name=self.name, family=self.family
        )
        self._interactions = self._heterogeneity(methods.panel)
        self._chance = self.scored.task.chance(self.scored.items)
        self._read = self._reading(self._endpoints[self.primary].arms, self._chance)
        self._starved = {arm for arm, one in self._read.items() if one.starved}
        self._judged: dict[str, tuple[Judgement, float]] = {}

    def other_p_values(self) -> dict[str, float]:
        """Return what the other set of methods finds of what is no primary endpoint, by id."""
        return self._other.p_values()

    def endpoints(self, size: int) -> dict[str, documents.EndpointSummary]:
        """Write arms and contrasts of each endpoint, once the one family is closed at a `size`."""
        return {
            name: documents.EndpointSummary(
                arms=one.arms, contrasts=self._contrasts(one, size), **self._measure_of(name)
            )
            for name, one in self._endpoints.items()
        }

    def _measure_of(self, endpoint: str) -> dict[str, Any]:
        """Return what is said of the values of an endpoint: unit, direction, range."""
        found = next(one for one in self.scored.task.endpoints if one.name == endpoint)
        names = ("unit", "direction", "low", "high", "label", "against")
        return {name: getattr(found, name) for name in names}

    def flips(self) -> tuple[documents.Flips, ...]:
        """Write which answers turned, of each pair of arms."""
        return tuple(flips(self.scored, r, c, self.spec.stratify) for r, c in self.pairs)

    def summary(self, size: int, other_adjusted: Mapping[str, float]) -> documents.TaskSummary:
        """Write everything about the task, once the report's one family is closed.

        Args:
            size: of the family.
            other_adjusted: `other_p_values`, adjusted in place of the set's own.
        """
        scored, key = self.scored, self.spec.stratify
        endpoints = self.endpoints(size)
        strata = {
            value: documents.StratumSummary(
                n=one.n,
                arms=one.arms,
                contrasts=self._contrasts(one, size, within=True),
                **self._measure_of(self.primary),
            )
            for value, one in self._strata.items()
        }
        return documents.TaskSummary(
            kind=scored.task.kind,
            workload=self.spec.workload,
            primary=self.primary,
            margin=self.spec.margin,
            chance=self._chance,
            always_empty=scored.task.always_empty(scored.items),
            flow=scored.flow,
            endpoints=endpoints,
            flips=self.flips(),
            repeats=None if self._repeats is None else self._repeats.written(),
            failure_modes={arm: self._failure_modes(arm) for arm in scored.arms},
            error_loss=self._error_loss(),
            letter_shifts=tuple(adjusted(*tested) for tested in self._letters),
            failure_contrasts=self._failure_contrasts(size),
            disagreements=self._other.disagreements(self._judged, other_adjusted),
            strata={key: strata} if key else {},
            heterogeneity=tuple(adjusted(*tested) for tested in self._interactions),
            power=self._power(endpoints[self.primary].contrasts),
            warnings=tuple(self.notes.sentences()),
            fidelity=self._fidelity(),
            alike=self._alike(),
            reading=self._read,
            measures=None if (measures := scored.task.measures) is None else tuple(measures),
            drawing=tuple(drawing(scored, self.pairs)),
            pairing=tuple(pairing(self._panel, self._of_reference)),
            saturation=saturation(scored, self.question.controls),
        )

    def _reading(self, arms: Arms, guess: float | None) -> dict[str, documents.Reading]:
        found, measure = {}, self.scored.task.endpoints[0]
        for arm in self.scored.arms:
            given, least = self.scored.given(arm), measure.floor(guess)
            floor = arm in arms and arms[arm].at_floor(least, measure.direction)
            if (one := reading(given, self.scored.opened.get(arm), floor=floor)) is not None:
                found[arm] = one
        return found

    def _alike(self) -> documents.Alike | None:
        """Say which items may be alike beyond what the study declares; None where none."""
        items = self.scored.items
        count, groups = repeated(items), undeclared_groups(items, self.spec.declared_groups)
        if not count and not groups:
            return None
        clustered = self.scored.panel.by_content and not self.compared.classic
        return documents.Alike(
            repeated_items=count or None,
            clustered=clustered if count else None,
            undeclared_groups=dict(groups),
        )

    def _fidelity(self) -> tuple[documents.Fidelity, ...]:
        """Hold every candidate's probabilities against the reference's, where they are recorded."""
        pairs = [(r, c) for r, c in self.pairs if r == self.question.reference]
        found = [fidelity(self.scored, r, c, alpha=self.question.alpha) for r, c in pairs]
        return tuple(one for one in found if one is not None)

    def _note_unanswered(self) -> None:
        """Note what is not there to be analysed."""
        panel = self.scored.panel
        for arm, failed in self.scored.unscored.items():
            count = f"{len(failed)} answer{'s' if len(failed) > 1 else ''}"
            first = next(iter(failed.values()))
            self.notes.add(
                arm, f"the scorer failed on {count}, taken as missing. The first: {first}"
            )
        answering = panel.arms_with_answers()
        for arm in panel.arms:
            if arm not in answering:
                gone = arm in {one.arm for one in self.scored.flow.token_mismatches}
                why = "no answer to the prompts of the reference" if gone else "no answer"
                why += " that could be scored" if arm in self.scored.unscored else ""
                self.notes.add(arm, f"{why}, so this study says nothing about it")
        for r, c in self.pairs:
            if {r, c} <= set(answering) and not panel.answered_by(r, c).any():
                self.notes.add(
                    f"{c} vs {r}", "no item was answered by both, so they are not compared"
                )

    def _failure_modes(self, arm: str) -> documents.FailureModes:
        found: dict[str, Any] = {
            **failure_modes(self.scored, arm, alpha=self.question.alpha),
            "texts": text_signs(self.scored.responses[arm]),
        }
        if self.scored.task.error_classes:
            found["errors"] = error_table(self.scored, arm)
            found["spurious"] = spurious_per_sentence(self.scored, arm)
        if self.scored.task.letters:
            found["by_letter"] = accuracy_by_letter(self.scored, arm)
        return documents.load_failures(found)

    def _error_loss(self) -> tuple[documents.ErrorLoss, ...]:
        """Split each candidate's change in micro-F1 over the classes of errors (spans)."""
        if not self.scored.task.error_classes:
            return ()
        return tuple(
            documents.ErrorLoss(reference=r, candidate=c, classes=f1_loss(self.scored, r, c))
            for r, c in self.pairs
            if r == self.question.reference and self.scored.panel.answered_by(r, c).any()
        )

    def _letter_shifts(self) -> list[tuple[documents.LetterShift, Asked]]:
        """Test each candidate's shift in answer letters (choice), in the one family."""
        if not self.scored.task.letters:
            return []
        classic = self.compared.classic
        clusters = None if classic else self.compared.grouped(self.scored.panel).clusters
        found = letter_shifts(self.question, self.scored, self.pairs, clusters)
        if any(one.method == "refused" for one in found):
            self.notes.add("letters", "too few clusters changed a letter to test for a shift")
        asked = []
        for one in found:
            identity = f"{self.name}.letter_shift.{one.candidate}.vs.{one.reference}"
            asked.append((one, self.family.ask("letter shift", identity, one.p_value)))
        return asked

    def _endpoint(self, methods: Methods, endpoint: str) -> _Compared:
        """Compare all pairs of arms: as a family where the endpoint is primary, else in the one."""
        arms = {}
        for arm in methods.panel.arms_with_answers():
            with self.notes.at(f"{endpoint}, {arm}"):
                arms[arm] = estimate_of(methods.arm(arm, endpoint))
        label = f"{self.name}.{endpoint}"
        measured = self.compared.measure(methods, endpoint, label)
        chosen_on = endpoint == self.primary
        drafts = self.compared.drafts(measured, label, bounds=self.bounds, chosen_on=chosen_on)
        if chosen_on:
            return _Compared(arms, drafts)
        asked = self.family.ask_contrasts("secondary endpoint", drafts, task=self.name)
        return _Compared(arms, drafts, asked)

    def _measured_strata(self) -> dict[str, _Compared]:
        """Repeat arms and contrasts on the primary endpoint in each value of the stratum's key.

        The contrasts of a candidate with the reference share one part of the family's alpha, and
        are asked once the test of whether its difference varies has shown that it does.
        """
        primary, key = self.primary, self.spec.stratify
        strata = self.compared.strata(primary)
        found = {}
        for value, drafts in self.compared.strata_drafts(strata, primary).items():
            one = strata[value]
            with self.notes.at(primary, stratum=value):
                answering = one.methods.panel.arms_with_answers()
                arms = {arm: estimate_of(one.methods.arm(arm, primary)) for arm in answering}
            bounds = self.bounds.subset(one.mask)
            bounded = [
                each.with_bound(bounds.of(each.result.methods.panel, each.result.one, primary))
                for each in drafts
            ]
            asked = self.family.ask_contrasts("stratum", bounded, task=self.name, key=key)
            found[value] = _Compared(arms, bounded, asked, int(one.mask.sum()))
        return found

    def _contrasts(
        self, compared: _Compared, size: int, *, within: bool = False
    ) -> tuple[documents.Contrast, ...]:
        """Write contrasts: of a family of their own, or as the report's one family decided."""
        drafts, alpha = compared.drafts, self.question.alpha
        if compared.asked:
            adjusted = [one.p_alarm for one in compared.asked]
        else:
            adjusted = [one.p_adjusted for one in drafts]
            size = max(1, sum(not math.isnan(p) for p in adjusted))
        intervals: Sequence[documents.Simultaneous | None] = [None] * len(drafts)
        if not within and drafts:
            intervals, said = simultaneous_intervals(drafts, adjusted, family=size, alpha=alpha)
            for one in said:
                self.notes.add(drafts[0].result.endpoint, one)
        found = []
        for at, (each, p, interval) in enumerate(zip(drafts, adjusted, intervals, strict=True)):
            asked = compared.asked[at] if compared.asked else None
            family = len(drafts) if asked is None else asked.family
            said_of = judge(each, p, family=family, alpha=alpha)
            self._judged[each.id] = said_of, p
            own = asked is None or self.compared.classic  # as published practice adjusts it
            found.append(
                write(
                    each,
                    self._plannable(each, said_of),
                    p_adjusted=each.p_adjusted if own else p,
                    family=each.family if own else FAMILY,
                    p_alarm=None if asked is None else p,
                    simultaneous=interval,
                )
            )
        return tuple(found)

    def _plannable(self, each: Draft, judgement: Judgement) -> Judgement:
        """Plan no items for an arm at its floor some of whose answers are empty for want of tokens.

        What it was asked with keeps it there, and no number of items does.
        """
        if self._starved & {each.result.one.reference, each.result.one.candidate}:
            return Judgement(judgement.verdict, judgement.also)
        return judgement

    def _failure_contrasts(self, size: int) -> tuple[documents.FailureContrast, ...]:
        found, alpha = [], self.question.alpha
        for mode in self._failures:
            adjusted = [one.p_alarm for one in mode.asked]
            intervals, said = simultaneous_intervals(
                mode.drafts, adjusted, family=size, alpha=alpha
            )
            for one in said:
                self.notes.add(mode.name, one)
            for each, asked, interval in zip(mode.drafts, mode.asked, intervals, strict=True):
                p, judgement = asked.p_alarm, Judgement()
                if mode.directed:
                    judgement = judge(each, p, family=asked.family, alpha=alpha)
                contrast = write(
                    each,
                    self._plannable(each, judgement),
                    p_adjusted=p,
                    p_alarm=p,
                    simultaneous=interval,
                )
                found.append(mode.written(contrast, asked, alpha))
        return tuple(found)

    def _heterogeneity(self, panel: Panel) -> list[tuple[documents.Heterogeneity, Asked]]:
        """Test once whether each candidate's difference is the same in all strata."""
        key, primary = self.spec.stratify, self.primary
        if key is None or self.compared.classic:
            return []
        found = []
        for r, c in self.pairs:
            if r != self.question.reference or not panel.answered_by(r, c).any():
                continue
            with self.notes.at(f"{primary}, {c} vs {r} over {key}"):
                tested = heterogeneity(
                    panel,
                    labels(self.scored.items, key),
                    key=key,
                    contrast=(r, c, primary),
                    seed=self.question.seed,
                    resamples=self.question.resamples,
                )
            unit = unit_of_strata(self.name, key, c, r)
            asked = self.family.gate(
                "interaction", f"{unit}.interaction", tested.p_value, unit=unit
            )
            found.append((tested, asked))
        return found

    def _power(self, contrasts: Sequence[documents.Contrast]) -> documents.Power | None:
        """Say what this size can detect, for the most variable candidate that is no control."""
        eligible = [
            (sd, one)
            for one in contrasts
            if one.reference == self.question.reference
            and one.candidate not in self.question.controls
            and (sd := one.sd_paired or 0.0) > 0
            and one.n > 1
        ]
        if not eligible:
            return None
        sd, widest = max(eligible, key=lambda one: one[0])
        alpha = self.question.alpha
        detectable = detectable_difference(sd, widest.n, power=POWER, alpha=alpha)
        return documents.Power(
            candidate=widest.candidate,
            sd_paired=sd,
            n=widest.n,
            detectable_difference=number(detectable),
            power=POWER,
            alpha=alpha,
        )
