"""The part of the summary that speaks of one task."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from quantrial.analysis.alarms import unit_of_strata
from quantrial.analysis.bounds import Bounds
from quantrial.analysis.comparing import Comparing, Stratum
from quantrial.analysis.contrasts import Written, add_simultaneous, documents
from quantrial.analysis.disagreements import OtherSet
from quantrial.analysis.error_classes import error_table, f1_loss
from quantrial.analysis.failure_contrasts import failure_contrasts
from quantrial.analysis.failure_counts import spurious_per_sentence, unread
from quantrial.analysis.failure_modes import failure_modes
from quantrial.analysis.fidelity import fidelity
from quantrial.analysis.flips import flips, flips_by
from quantrial.analysis.heterogeneity import heterogeneity
from quantrial.analysis.letters import accuracy_by_letter, letter_shifts
from quantrial.analysis.methods import POWER
from quantrial.analysis.outcomes import Panel, TaskOutcomes, labels
from quantrial.analysis.reading import leave_unplanned, reading
from quantrial.analysis.remarks import Remarks
from quantrial.analysis.repeats import KINDS, repeats, tell, two_sided
from quantrial.analysis.text_signs import text_signs
from quantrial.analysis.told import told_estimate
from quantrial.design.grouping import repeated, undeclared_groups
from quantrial.stats import detectable_difference

if TYPE_CHECKING:
    from quantrial.analysis.alarms import AlarmFamily
    from quantrial.analysis.methods import Methods
    from quantrial.study import Study


class TaskSummary:
    """The part of the summary that speaks of one task.

    `document` measures everything, and judges the primary endpoint. The rest is asked of the
    report's one family; `finish` writes what follows once that is adjusted.
    """

    def __init__(
        self, study: Study, name: str, scored: TaskOutcomes, methods: str, family: AlarmFamily
    ):
        self.study = study
        self.name = name
        self.spec = study.tasks[name]
        self.scored = scored
        self.family = family
        self.remarks = Remarks()
        self.compared = Comparing(study, name, scored, methods, self.remarks)
        self.pairs = self.compared.pairs
        controls = [arm for arm in scored.arms if study.arms[arm].control is not None]
        self.bounds = Bounds.of_task(scored, controls)
        self._later: list[list[Written]] = []  # contrasts of one endpoint, not primary
        self._other: OtherSet | None = None

    def document(self) -> dict[str, Any]:
        """Derive everything about the task that does not hang on the report's one family.

        `disagreements` and `warnings` (what a statistic could not say) are empty until `finish`.
        """
        primary = self.scored.task.endpoints[0].name
        self._unanswered()
        for arm, said in () if self.compared.classic else unread(self.scored):
            self.remarks.add(arm, said)
        methods = self.compared.overall()
        written: dict[str, list[Written]] = {}
        endpoints: dict[str, Any] = {}
        for name in (endpoint.name for endpoint in self.scored.task.endpoints):
            arms = self._arms(methods, name)
            written[name] = self._contrasts(methods, name, primary)
            contrasts, tests = documents(written[name])
            endpoints[name] = {"arms": arms, "contrasts": contrasts, "equivalence": tests}
        strata, inside = self._strata(primary)
        shifts, failures = self._letter_shifts(), self._failure_contrasts()
        self._other = OtherSet(self.compared, written, inside, primary)
        document = {
            "kind": self.scored.task.kind,
            "workload": self.spec.workload,
            "primary": primary,
            "margin": self.study.margin_of(self.name),
            "chance": self.scored.task.chance(self.scored.items),
            "always_empty": self.scored.task.always_empty(self.scored.items),
            "flow": self._flow(),
            "endpoints": endpoints,
            "flips": [self._flips(r, c) for r, c in self.pairs],
            "repeats": self._repeats(),
            "failure_modes": {arm: self._failures(arm) for arm in self.scored.arms},
            "error_loss": self._error_loss(),
            "letter_shifts": shifts,
            "failure_contrasts": failures,
            "disagreements": [],
            "strata": {self.spec.stratify: strata} if self.spec.stratify else {},
            "heterogeneity": self._heterogeneity(methods.panel, primary),
            "power": self._power(endpoints[primary]["contrasts"]),
            "warnings": [],
            **({"fidelity": found} if (found := self._fidelity()) else {}),
            **({"alike": alike} if (alike := self._alike()) else {}),
        }
        if told := {arm: one for arm in self.scored.arms if (one := reading(self.scored, arm))}:
            document["reading"] = told
        return document

    def _flow(self) -> dict[str, Any]:
        found = asdict(self.scored.flow)
        if not found["ceilings"]:  # as in summaries of before
            del found["ceilings"]
        return found

    def other_p_values(self) -> dict[str, float]:
        """Return what the other set of methods finds of what is no primary endpoint, by id."""
        return {} if self._other is None else self._other.p_values()

    def finish(
        self, document: dict[str, Any], size: int, other_adjusted: Mapping[str, float]
    ) -> None:
        """Write what follows once the report's one family is adjusted.

        Args:
            document: the task's, as `document` made it.
            size: of the family.
            other_adjusted: `other_p_values`, adjusted in place of the set's own.
        """
        for written in self._later:
            adjusted = [float(each.contrast["p_alarm"]) for each in written]
            self._simultaneous(written, adjusted, size)
        if document["repeats"]:
            tell(document["repeats"], self.study.alpha)
        if self._other is not None:
            document["disagreements"] = self._other.disagreements(other_adjusted)
        if "reading" in document:
            leave_unplanned(document)
        document["warnings"] = self.remarks.sentences()

    def _alike(self) -> dict[str, Any]:
        """Say which items may be alike beyond what the study declares; empty where none."""
        items = self.scored.items
        found: dict[str, Any] = {}
        if count := repeated(items):
            found["repeated_items"] = count
            found["clustered"] = self.scored.panel.by_content and not self.compared.classic
        if groups := undeclared_groups(items, self.spec):
            found["undeclared_groups"] = dict(groups)
        return found

    def _fidelity(self) -> list[dict[str, Any]]:
        """Hold every candidate's probabilities against the reference's, where they are recorded."""
        pairs = [(r, c) for r, c in self.pairs if r == self.study.reference]
        found = [fidelity(self.scored, r, c, alpha=self.study.alpha) for r, c in pairs]
        return [one for one in found if one is not None]

    def _unanswered(self) -> None:
        """Remark on what is not there to be analysed."""
        panel = self.scored.panel
        answering = panel.arms_with_answers()
        for arm in panel.arms:
            if arm not in answering:
                gone = arm in {one.arm for one in self.scored.flow.token_mismatches}
                why = "no answer to the prompts of the reference" if gone else "no answer"
                self.remarks.add(arm, f"{why}, so nothing is said of it")
        for r, c in self.pairs:
            if {r, c} <= set(answering) and not panel.answered_by(r, c).any():
                self.remarks.add(f"{c} vs {r}", "no item was answered by both; not compared")

    def _failures(self, arm: str) -> dict[str, Any]:
        found = failure_modes(self.scored, arm, alpha=self.study.alpha)
        found["texts"] = text_signs(self.scored.responses[arm])
        if self.scored.task.error_classes:
            found["errors"] = error_table(self.scored, arm)
            found["spurious"] = spurious_per_sentence(self.scored, arm)
        if self.scored.task.letters:
            found["by_letter"] = accuracy_by_letter(self.scored, arm)
        return found

    def _flips(self, reference: str, candidate: str) -> dict[str, Any]:
        found = flips(self.scored, reference, candidate)
        if self.spec.stratify:
            key = self.spec.stratify
            found["strata"] = {key: flips_by(self.scored, reference, candidate, key)}
        return found

    def _error_loss(self) -> list[dict[str, Any]]:
        """Split each candidate's change in micro-F1 over the classes of errors (spans)."""
        if not self.scored.task.error_classes:
            return []
        return [
            {"reference": r, "candidate": c, "classes": f1_loss(self.scored, r, c)}
            for r, c in self.pairs
            if r == self.study.reference and self.scored.panel.answered_by(r, c).any()
        ]

    def _repeats(self) -> dict[str, Any] | None:
        """Hold the reference against itself; what is shown of it follows the one family."""
        found = repeats(self.scored, self.study.reference, alpha=self.study.alpha)
        for one in found["candidates"] if found else ():
            for kind in KINDS:
                tested = one["same_items"][kind]
                self.family.ask(
                    "reference against itself",
                    f"{self.name}.repeats.{kind}.{one['candidate']}",
                    tested,
                    two_sided(tested),
                    counts=bool(tested["differ"] or tested["strayed"]),
                )
        return found

    def _letter_shifts(self) -> list[dict[str, Any]]:
        """Test each candidate's shift in answer letters (choice), in the one family."""
        if not self.scored.task.letters:
            return []
        classic = self.compared.classic
        clusters = None if classic else self.compared.grouped(self.scored.panel).clusters
        found = letter_shifts(self.study, self.scored, self.pairs, clusters)
        if any(one["method"] == "refused" for one in found):
            self.remarks.add("letters", "too few clusters changed a letter to test for a shift")
        for one in found:
            declared = "letter_shift" in self.study.analysis.declared_failure_modes
            one |= {"declared": declared, "p_adjusted": math.nan}
            pair = f"{one['candidate']}.vs.{one['reference']}"
            identity = f"{self.name}.letter_shift.{pair}"
            self.family.ask("letter shift", identity, one, one["p_value"])
        return found

    def _failure_contrasts(self) -> list[dict[str, Any]]:
        """Test the failure modes that are no endpoint of the task, where there are any."""
        if self.compared.classic:
            return []
        found = failure_contrasts(self.compared, self.bounds, self.family)
        self._later += found
        return [each.contrast for written in found for each in written]

    def _contrasts(self, methods: Methods, endpoint: str, primary: str) -> list[Written]:
        """Compare all pairs of arms: as a family where the endpoint is primary, else in the one."""
        label = f"{self.name}.{endpoint}"
        measured = self.compared.measure(methods, endpoint, label)
        written = self.compared.written(
            measured, label, bounds=self.bounds, chosen_on=endpoint == primary
        )
        if endpoint != primary:
            published = self.compared.classic
            self.family.ask_contrasts(
                "secondary endpoint", written, task=self.name, published=published
            )
            self._later.append(written)
            return written
        adjusted = [each.contrast["p_adjusted"] for each in self.compared.judged(written)]
        tested = sum(not math.isnan(p) for p in adjusted)
        self._simultaneous(written, adjusted, max(1, tested))
        return written

    def _arms(self, methods: Methods, endpoint: str) -> dict[str, Any]:
        arms = {}
        for arm in methods.panel.arms_with_answers():
            with self.remarks.at(f"{endpoint}, {arm}"):
                arms[arm] = told_estimate(methods.arm(arm, endpoint))
        return arms

    def _simultaneous(self, written: list[Written], adjusted: list[float], family: int) -> None:
        if not written:
            return
        endpoint = written[0].measured.endpoint
        for said in add_simultaneous(written, adjusted, family=family, alpha=self.study.alpha):
            self.remarks.add(endpoint, said)

    def _strata(self, primary: str) -> tuple[dict[str, Any], dict[str, list[Written]]]:
        """Repeat arms and contrasts on the primary endpoint in each value of the stratum's key.

        The contrasts of a candidate with the reference share one part of the family's alpha, and
        are asked once the test of whether its difference varies has shown that it does.
        """
        strata = self.compared.strata(primary)
        written = self.compared.written_strata(strata, primary)
        table: dict[str, Any] = {}
        for value, one in strata.items():
            with self.remarks.at(primary, stratum=value):
                answering = one.methods.panel.arms_with_answers()
                arms = {arm: told_estimate(one.methods.arm(arm, primary)) for arm in answering}
            contrasts, tests = documents(written[value])
            self._bound(contrasts, one)
            table[value] = {
                "n": int(one.mask.sum()),
                "arms": arms,
                "contrasts": contrasts,
                "equivalence": tests,
            }
            self.family.ask_contrasts(
                "stratum",
                written[value],
                task=self.name,
                published=self.compared.classic,
                key=self.spec.stratify,
            )
        return table, written

    def _bound(self, contrasts: list[dict[str, Any]], stratum: Stratum) -> None:
        bounds = self.bounds.subset(stratum.mask)
        for written, each in zip(contrasts, stratum.measured, strict=True):
            written["worst_case"] = bounds.of(each.methods.panel, each.one, each.endpoint)

    def _heterogeneity(self, panel: Panel, primary: str) -> list[dict[str, Any]]:
        """Test once whether each candidate's difference is the same in all strata."""
        key = self.spec.stratify
        if key is None or self.compared.classic:
            return []
        found = []
        for r, c in self.pairs:
            if r != self.study.reference or not panel.answered_by(r, c).any():
                continue
            with self.remarks.at(f"{primary}, {c} vs {r} over {key}"):
                tested = heterogeneity(
                    panel,
                    labels(self.scored.items, key),
                    contrast=(r, c, primary),
                    seed=self.study.seed,
                    resamples=self.study.analysis.resamples,
                )
            one = {"key": key, **tested, "p_adjusted": math.nan}
            unit = unit_of_strata(self.name, key, c, r)
            self.family.gate("interaction", f"{unit}.interaction", one, one["p_value"], unit=unit)
            found.append(one)
        return found

    def _power(self, contrasts: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
        """Say what this size can detect, for the most variable candidate that is no control."""
        eligible = [
            c
            for c in contrasts
            if c["reference"] == self.study.reference
            and self.study.arms[c["candidate"]].control is None
            and c["sd_paired"] > 0
            and c["n"] > 1
        ]
        if not eligible:
            return None
        widest = max(eligible, key=lambda c: c["sd_paired"])
        return {
            "candidate": widest["candidate"],
            "sd_paired": widest["sd_paired"],
            "n": widest["n"],
            "detectable_difference": detectable_difference(
                widest["sd_paired"], widest["n"], power=POWER, alpha=self.study.alpha
            ),
            "power": POWER,
            "alpha": self.study.alpha,
        }
