"""The part of the summary that speaks of one task."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from quantrial.analysis.bounds import Bounds
from quantrial.analysis.comparing import Comparing, Stratum
from quantrial.analysis.contrasts import Documents, Measured, add_simultaneous, documents
from quantrial.analysis.disagreements import disagreements
from quantrial.analysis.error_classes import error_table, f1_loss
from quantrial.analysis.failure_counts import (
    LENGTH,
    length_panel,
    spurious_panel,
    spurious_per_sentence,
    unread,
)
from quantrial.analysis.failure_modes import failure_modes, failure_panels
from quantrial.analysis.fidelity import fidelity
from quantrial.analysis.flips import flips, flips_by
from quantrial.analysis.floors import always_empty, chance
from quantrial.analysis.heterogeneity import heterogeneity
from quantrial.analysis.letters import accuracy_by_letter, letter_shifts
from quantrial.analysis.methods import POWER, Methods
from quantrial.analysis.outcomes import Panel, TaskOutcomes, labels
from quantrial.analysis.reading import leave_unplanned, reading
from quantrial.analysis.remarks import Remarks
from quantrial.analysis.repeats import repeats
from quantrial.analysis.text_signs import text_signs
from quantrial.analysis.told import told_estimate
from quantrial.design.grouping import repeated, undeclared_groups
from quantrial.stats import detectable_difference, holm

if TYPE_CHECKING:
    from quantrial.study import Study

_LENGTH_DRAWS = 2_000  # lengths take many values, and each draw deals with every one of them


class TaskSummary:
    """The part of the summary that speaks of one task."""

    def __init__(self, study: Study, name: str, scored: TaskOutcomes, methods: str):
        self.study = study
        self.name = name
        self.spec = study.tasks[name]
        self.scored = scored
        self.remarks = Remarks()
        self.compared = Comparing(study, name, scored, methods, self.remarks)
        self.pairs = self.compared.pairs
        controls = [arm for arm in scored.arms if study.arms[arm].control is not None]
        self.bounds = Bounds.of_task(scored, controls)

    def document(self) -> dict[str, Any]:
        """Derive everything about the task; what a statistic could not say stands in `warnings`."""
        primary = self.scored.task.endpoints[0].name
        self._unanswered()
        for arm, said in () if self.compared.classic else unread(self.scored):
            self.remarks.add(arm, said)
        methods = self.compared.overall()
        endpoints = {e.name: self._endpoint(methods, e.name) for e in self.scored.task.endpoints}
        strata = self._strata(primary)
        document = {
            "kind": self.scored.task.kind,
            "workload": self.spec.workload,
            "primary": primary,
            "margin": self.study.margin_of(self.name),
            "chance": chance(self.scored),
            "always_empty": always_empty(self.scored),
            "flow": asdict(self.scored.flow),
            "endpoints": endpoints,
            "flips": [self._flips(r, c) for r, c in self.pairs],
            "repeats": repeats(self.scored, self.study.reference, alpha=self.study.alpha),
            "failure_modes": {arm: self._failures(arm) for arm in self.scored.arms},
            "error_loss": self._error_loss(),
            "letter_shifts": self._letter_shifts(),
            "failure_contrasts": self._failure_contrasts(),
            "disagreements": disagreements(self.compared, endpoints, strata, primary),
            "strata": {self.spec.stratify: strata} if self.spec.stratify else {},
            "heterogeneity": self._heterogeneity(methods.panel, primary),
            "power": self._power(endpoints[primary]["contrasts"]),
            "warnings": self.remarks.sentences(),
            **({"fidelity": found} if (found := self._fidelity()) else {}),
            **({"alike": alike} if (alike := self._alike()) else {}),
        }
        if told := {arm: one for arm in self.scored.arms if (one := reading(self.scored, arm))}:
            document["reading"] = told
            leave_unplanned(document)
        return document

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
        if self.scored.task.kind == "spans":
            found["errors"] = error_table(self.scored, arm)
            found["spurious"] = spurious_per_sentence(self.scored, arm)
        else:
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
        if self.scored.task.kind != "spans":
            return []
        return [
            {"reference": r, "candidate": c, "classes": f1_loss(self.scored, r, c)}
            for r, c in self.pairs
            if r == self.study.reference and self.scored.panel.answered_by(r, c).any()
        ]

    def _letter_shifts(self) -> list[dict[str, Any]]:
        """Test each candidate's shift in answer letters (choice), adjusted over the candidates."""
        if self.scored.task.kind != "choice":
            return []
        classic = self.compared.classic
        clusters = None if classic else self.compared.grouped(self.scored.panel).clusters
        found = letter_shifts(self.study, self.scored, self.pairs, clusters)
        if any(one["method"] == "refused" for one in found):
            self.remarks.add("letters", "too few clusters changed a letter to test for a shift")
        p = [math.nan if one["p_value"] is None else one["p_value"] for one in found]
        told = {"declared": self._declared("letter_shift")}
        return [
            one | told | {"p_adjusted": float(q)} for one, q in zip(found, holm(p), strict=True)
        ]

    def _failure_contrasts(self) -> list[dict[str, Any]]:
        """Test the failure modes that are no endpoint of the task, where there are any."""
        if self.compared.classic:
            return []
        found = []
        for panel in map(self.compared.grouped, failure_panels(self.scored)):
            name = panel.endpoints[0].name
            contrasts, equivalence = self._compare(
                self.compared.bound(panel, f"{self.name}.{name}"), name, f"{self.name}.{name}"
            )
            found += [
                {"endpoint": name, "declared": self._declared(name), **one, "equivalence": test}
                for one, test in zip(contrasts, equivalence, strict=True)
            ]
        return found + self._count_contrasts()

    def _count_contrasts(self) -> list[dict[str, Any]]:
        """Test what is counted: for a difference only, in its own unit, with no margin."""
        spurious, length = spurious_panel(self.scored), length_panel(self.scored)
        asked = []
        if spurious is not None:
            asked.append((spurious, "entities a sentence", self.study.analysis.resamples))
        if length is not None:
            panel, unit = length
            asked.append((panel, f"{unit} an answer", _LENGTH_DRAWS))
        found = []
        for panel, unit, draws in asked:
            name = panel.endpoints[0].name
            label = f"{self.name}.{name}"
            methods = self.compared.bound(self.compared.grouped(panel), label, most=draws)
            measured = self.compared.measure(methods, name, label, margin=None)
            contrasts, _ = documents(measured, family=label, alpha=self.study.alpha)
            self._simultaneous(contrasts, measured, name)
            for one in contrasts:
                if name == LENGTH:  # neither better nor worse
                    one["shown"] = _direction(one, self.study.alpha)
                    one["verdict"] = one["items_needed"] = one["settled_by"] = None
                found.append(
                    {
                        "endpoint": name,
                        "declared": self._declared(name),
                        "unit": unit,
                        **one,
                        "equivalence": None,
                    }
                )
        return found

    def _declared(self, failure_mode: str) -> bool:
        return failure_mode in self.study.analysis.declared_failure_modes

    def _endpoint(self, methods: Methods, endpoint: str) -> dict[str, Any]:
        arms = {}
        for arm in methods.panel.arms_with_answers():
            with self.remarks.at(f"{endpoint}, {arm}"):
                arms[arm] = told_estimate(methods.arm(arm, endpoint))
        primary = endpoint == self.scored.task.endpoints[0].name
        label = f"{self.name}.{endpoint}"
        contrasts, tests = self._compare(methods, endpoint, label, chosen_on=primary)
        return {"arms": arms, "contrasts": contrasts, "equivalence": tests}

    def _compare(
        self, methods: Methods, endpoint: str, label: str, *, chosen_on: bool = False
    ) -> Documents:
        """Compare all pairs of arms as one family."""
        measured = self.compared.measure(methods, endpoint, label)
        # `bounds` is of all items; panels of some of them are shares, whose bound needs no gold
        found = self.compared.family(measured, label, bounds=self.bounds, chosen_on=chosen_on)
        self._simultaneous(found[0], measured, endpoint)
        return found

    def _simultaneous(
        self, contrasts: list[dict[str, Any]], measured: list[Measured], endpoint: str
    ) -> None:
        for said in add_simultaneous(contrasts, measured, alpha=self.study.alpha):
            self.remarks.add(endpoint, said)

    def _strata(self, primary: str) -> dict[str, dict[str, Any]]:
        """Repeat arms and contrasts on the primary endpoint in each value of the stratum's key."""
        strata = self.compared.strata(primary)
        written = self.compared.families(strata, primary)
        table: dict[str, dict[str, Any]] = {}
        for value, one in strata.items():
            with self.remarks.at(primary, stratum=value):
                answering = one.methods.panel.arms_with_answers()
                arms = {arm: told_estimate(one.methods.arm(arm, primary)) for arm in answering}
            contrasts, tests = written[value]
            self._bound(contrasts, one)
            table[value] = {
                "n": int(one.mask.sum()),
                "arms": arms,
                "contrasts": contrasts,
                "equivalence": tests,
            }
        return table

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
                found.append(
                    heterogeneity(
                        panel,
                        labels(self.scored.items, key),
                        contrast=(r, c, primary),
                        seed=self.study.seed,
                        resamples=self.study.analysis.resamples,
                    )
                )
        adjusted = holm([float(one["p_value"]) for one in found])
        return [
            {"key": key, **one, "p_adjusted": float(p)}
            for one, p in zip(found, adjusted, strict=True)
        ]

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


def _direction(one: Mapping[str, Any], alpha: float) -> str | None:
    if not one["p_adjusted"] < alpha:  # NaN too
        return None
    return "longer" if one["estimate"] > 0 else "shorter"
