"""The summary, asked the questions that decisions are made of."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypedDict, cast

from msgspec import UNSET

from quantrial.documents import AnswerSpeed, Contrast, Reading, Summary, TaskSummary, Verdict
from quantrial.documents.contrasts import adjusted_p, is_finding
from quantrial.documents.decision import Cost, Finding, Pace
from quantrial.precision import bits_of
from quantrial.words import evidence_line, limit_words, listed, memory_noun, percent, times

OVER_CLUSTERS = "score-clusters"  # the method of an interval over random clusters

FindingKind = Literal["primary", "secondary", "failure_mode"]
MemorySource = Literal["peak", "file", "stated"]
OrderedBy = Literal["memory", "bits", "speed"]


class Cited(TypedDict):
    """What every entry says: a sentence, the ids of its findings, their numbers."""

    text: str
    because: tuple[str, ...]
    evidence: tuple[str, ...]


def cited(text: str, findings: Iterable[Finding | Pace | None] = ()) -> Cited:
    """Put a sentence beside the findings that it rests on, each once."""
    found = {one.id: one for one in findings if one is not None}
    lines = tuple(map(evidence_line, found.values()))
    return {"text": text, "because": tuple(found), "evidence": lines}


class Evidence:
    """A summary with its findings by id and its arms by cost.

    Arms that are controls are kept apart: they are never candidates. `identical` are the arms that
    nothing tells from another one, each with that one: what was seen of them is no evidence.
    `other_prompts` are those that were shown other prompts than the reference, with the tasks.
    `memory_source` says what memory goes by, see `_memory`. `ordered_by` names the cost: `memory`;
    where that of an arm is not known, `bits` (of the types' names); else `speed`.
    """

    def __init__(self, summary: Summary):
        self.summary = summary
        self.alpha = summary.alpha
        self.reference = summary.reference
        self.tasks: Mapping[str, TaskSummary] = summary.tasks
        self.controls = [name for name, arm in summary.arms.items() if arm.control]
        arms = [arm for arm in summary.arms if arm not in self.controls]
        self._workloads = Counter(part.workload for part in self.tasks.values())
        self.findings = {finding.id: finding for finding in _findings(summary)}
        self.paces = {pace.id: pace for pace in _paces(summary)}
        self.memory_source, self._memory = _memory(summary, arms)
        self.ordered_by, self._rank = self._ranked(arms)
        # among equals the reference first: another arm is not cheaper then
        self.by_cost = sorted(arms, key=lambda arm: (self._rank[arm], arm != self.reference))
        self.candidates = [arm for arm in self.by_cost if arm != self.reference]
        self.cheaper = self.cheaper_than(self.reference)
        self.identical = dict(_identical_arms(summary))
        self.other_prompts = dict(_other_prompts(summary))

    def _ranked(self, arms: Sequence[str]) -> tuple[OrderedBy, dict[str, tuple[float, float]]]:
        """Say what all arms can be ordered by, and where each stands; speed breaks ties."""
        records = self.summary.arms
        costs: dict[OrderedBy, dict[str, Any]] = {
            "memory": {arm: self.memory(arm) for arm in arms},
            "bits": {arm: _bits(records[arm].quantization, arm) for arm in arms},
            "speed": dict.fromkeys(arms, 0.0),
        }
        name, known = next(
            (name, cost) for name, cost in costs.items() if None not in cost.values()
        )
        return name, {arm: (known[arm], -(self.speedup(arm) or 0.0)) for arm in arms}

    def tiers(self) -> dict[str, int]:
        """Number what arms cost, the cheapest 0; one number where it is not known who costs more.

        By memory or bits, where known; speed tells equal ones apart where that of all is known.
        """
        paced = all(self.speedup(arm) is not None for arm in self.by_cost)
        if self.ordered_by == "speed" and not paced:
            return dict.fromkeys(self.by_cost, 0)
        keys = {arm: self._rank[arm] if paced else self._rank[arm][:1] for arm in self.by_cost}
        order = sorted(set(keys.values()))
        return {arm: order.index(key) for arm, key in keys.items()}

    def cost(self, arm: str) -> Cost:
        """Say what an arm costs: bytes, the share of the reference's, the speed-up."""
        memory, base = self.memory(arm), self.memory(self.reference)
        pace = self.pace(arm)
        return Cost(
            memory_bytes=memory,
            memory_ratio=memory / base if memory and base else None,
            speedup=self.speedup(arm),
            speedup_ci=pace.ci if pace else None,
            speedup_finding=pace.id if pace else None,
        )

    def pace(self, arm: str) -> Pace | None:
        """Return the finding of an arm's decoding speed; None where no phase measured it."""
        return self.paces.get(f"speed.decode.{arm}.vs.{self.reference}")

    def speedup(self, arm: str) -> float | None:
        """Return the ratio of an arm's decoding speed to the reference's.

        That of the speed phase, where there was one. Else the ratio of pooled tokens a second in
        the answers, the geometric mean over tasks, so that no task's number of tokens decides
        alone.
        """
        if pace := self.pace(arm):
            return pace.estimate
        ratios = []
        for task in self.summary.speed:
            own, base = self._speed(task, arm), self._speed(task, self.reference)
            if own and base and own.tokens_per_second and base.tokens_per_second:
                ratios.append(own.tokens_per_second / base.tokens_per_second)
        return math.exp(sum(map(math.log, ratios)) / len(ratios)) if ratios else None

    def memory(self, arm: str) -> int | None:
        """Return the bytes of memory that an arm takes, by `memory_source`; None: not known."""
        return self._memory[arm]

    def latency(self, task: str, arm: str) -> float | None:
        """Return the mean seconds an answer took on a task; None where no clock said so."""
        speed = self._speed(task, arm)
        return None if speed is None else speed.seconds_per_answer

    def _speed(self, task: str, arm: str) -> AnswerSpeed | None:
        return self.summary.speed.get(task, {}).get(arm)

    def cost_in_words(self, arm: str) -> str:
        """Say what an arm costs beside the reference: a sentence."""
        cost, parts = self.cost(arm), []
        if cost.memory_ratio:
            held = memory_noun(self.memory_source)
            share = percent(cost.memory_ratio, 0)
            parts.append(
                limit_words("memory_share", share=share, memory=held, reference=self.reference)
            )
        if cost.speedup:
            than = "" if parts else f" as {self.reference}"
            parts.append(limit_words("speed_share", value=times(cost.speedup)) + than)
        if parts:
            return f"It {' and '.join(parts)}."
        if arm in self.cheaper:
            types = (self.summary.arms[name].quantization for name in (arm, self.reference))
            named = any(bits_of(kind) is None for kind in types)
            fewer = f"has fewer bits a weight than {self.reference}; its"
            if named:
                return f"By its name it {fewer} size, memory and speed are not known."
            return f"It {fewer} memory and speed were not measured."
        return "Its cost was not measured."

    def cheaper_than(self, arm: str) -> list[str]:
        """List the candidates that cost less than an arm, the cheapest first."""
        return [a for a in self.candidates if self._rank[a] < self._rank[arm]]

    def again(self, task: str) -> bool:
        """Whether a task has no gold, so that answers are held against the reference's."""
        return self.tasks[task].main.against == "reference"

    def primary(self, task: str, arm: str) -> Finding | None:
        """Return the finding of an arm against the reference on a task's primary endpoint."""
        return self.of_endpoint(task, self.tasks[task].primary, arm)

    def primaries(self, arm: str, tasks: Iterable[str] | None = None) -> list[Finding]:
        """Return those of all tasks, or of some, on which the two share an answered item."""
        found = (self.primary(task, arm) for task in (self.tasks if tasks is None else tasks))
        return [finding for finding in found if finding is not None]

    def of_endpoint(self, task: str, endpoint: str, arm: str) -> Finding | None:
        """Return the finding of an arm against the reference on any endpoint."""
        return self.findings.get(f"{task}.{endpoint}.{arm}.vs.{self.reference}")

    def holds(self, task: str, arm: str) -> bool:
        """Whether a loss of the margin is ruled out for an arm on a task, by a test of its own.

        With every missing answer held against it. Never of an arm that was shown other prompts:
        what is shipped is the arm as it was run.
        """
        finding = self.primary(task, arm)
        return (
            finding is not None and MarginTest.of(finding).holds and arm not in self.other_prompts
        )

    def why_other_prompts(self, arm: str) -> str:
        """Say why an arm that was shown other prompts is not picked; empty of any other."""
        if arm not in self.other_prompts:
            return ""
        own = "its chat template" if self.summary.arms[arm].other_template else "its token counts"
        shows = "makes others" if self.summary.arms[arm].other_template else "show it"
        words = limit_words("other_prompts", reference=self.reference, why=f" ({own} {shows})")
        return f"{arm} {words}."

    def worse(self, arm: str) -> list[str]:
        """List the tasks on which an arm was found worse."""
        return [one.task for one in self.primaries(arm) if one.verdict == "worse"]

    def is_shown(self, finding: Finding) -> bool:
        """Whether the difference that a finding tells of is shown, after adjustment."""
        return finding.p_adjusted is not None and finding.p_adjusted < self.alpha

    def blindness(self) -> list[str]:
        """Say in sentences why the study could not have seen harm; empty where it could."""
        floors = [self.no_loss_can_show(task) for task in self.tasks]
        missed = [f"{self.missed_harm()}."] if self.saw_no_control else []
        return [*missed, *(f"{one}." for one in floors if one)]

    def missed_harm(self) -> str:
        """Say that the study did not see the harm of its controls: a sentence without its end."""
        noun = "an arm" if len(self.controls) == 1 else "arms"
        return limit_words("missed_harm", controls=listed(self.controls), noun=noun)

    def no_loss_can_show(self, task: str) -> str:
        """Say that the reference is at its floor on a task, without an end; else nothing."""
        baseline = self.baseline(task)
        if baseline is None:
            return ""
        if self.again(task):
            return limit_words("at_floor", again=self.reference, work=self.named(task))
        return limit_words(
            "at_floor", work=self.named(task), reference=self.reference, baseline=baseline
        )

    def baseline(self, task: str) -> str | None:
        """Name what the reference does no better than on a task; None where it does better."""
        part = self.tasks[task]
        if not part.at_floor(self.reference):
            return None
        guessing = f"guessing ({percent(part.chance, 0)})"
        return guessing if part.chance else "an arm that answers nothing"

    @property
    def saw_no_control(self) -> bool:
        """Whether arms were damaged on purpose, and not one of them was found worse anywhere."""
        return bool(self.controls) and not any(map(self.worse, self.controls))

    def undecided(self, arm: str) -> list[str]:
        """List the tasks on which nothing was shown for an arm."""
        return [t for t in self.tasks if not self.holds(t, arm) and t not in self.worse(arm)]

    def starved(self, task: str, arm: str) -> list[str]:
        """List those of the reference and an arm that empty answers keep at the floor of a task."""
        reading: Mapping[str, Reading] = self.tasks[task].reading
        return [one for one in (self.reference, arm) if one in reading and reading[one].starved]

    def cited(self, identity: str) -> Finding | Pace:
        """Return a finding of either kind by its id."""
        found = self.findings.get(identity)
        return self.paces[identity] if found is None else found

    def workloads(self, tasks: Sequence[str]) -> tuple[str, ...]:
        """Return the classes of work of several tasks, each once, in the order of their names."""
        return tuple(sorted({self.tasks[task].workload for task in tasks}))

    def named(self, task: str) -> str:
        """Name a task in a sentence: by its workload, and by itself where several share that."""
        workload = self.tasks[task].workload
        return workload if self._workloads[workload] == 1 else f"{workload} ({task})"


def _memory(
    summary: Summary, arms: Sequence[str]
) -> tuple[MemorySource | None, dict[str, int | None]]:
    """Say what memory goes by, and how much each arm takes.

    `peak`: the most that its process held, where the speed phase saw that of every one of `arms`;
    else `file`: the size of its weights, `stated` where the study states that of some arm; None
    where no size is known either.
    """
    timed = summary.speed_phase.arms if summary.speed_phase else {}
    peaks = {arm: timed[arm].memory_peak_bytes if arm in timed else None for arm in summary.arms}
    if arms and all(peaks[arm] for arm in arms):
        return "peak", {arm: None if held is None else round(held) for arm, held in peaks.items()}
    files = {arm: record.memory_bytes for arm, record in summary.arms.items()}
    known = [arm for arm in arms if files[arm] is not None]
    stated = any("bytes" in summary.arms[arm].weights_stated for arm in known)
    return "stated" if stated else "file" if known else None, files


def _other_prompts(summary: Summary) -> Iterator[tuple[str, list[str]]]:
    """Yield each arm that was shown other prompts than the reference, and on which tasks."""
    for arm, record in summary.arms.items():
        tasks = [
            name
            for name, part in summary.tasks.items()
            if record.other_template or arm in part.read_other_prompts()
        ]
        if tasks:
            yield arm, tasks


def _identical_arms(summary: Summary) -> Iterator[tuple[str, str]]:
    """Yield each arm that nothing tells from another one, and that one; never the reference."""
    for pair in summary.twins:
        # files that differ by their hashes are two models, though both may answer alike
        if pair.weights == "other":
            continue
        for arm, other in (pair.arms, pair.arms[::-1]):
            if arm != summary.reference:
                yield arm, other


@dataclass(frozen=True, slots=True)
class MarginTest:
    """An arm held against a loss of the margin, each missing answer counted against it.

    Negative is a loss, whichever values of the endpoint are better.
    `estimate` and `ci` are those of the test, `p` its one-sided p at the margin (None where there
    is none); `missing` counts the answers of the two arms that are not there. `lower_bounds`: the
    k-th is what is ruled out where the arm is one of k candidates.
    """

    estimate: float | None
    ci: tuple[float | None, float | None]
    p: float | None
    holds: bool
    missing: int
    lower_bounds: tuple[float | None, ...]

    @classmethod
    def of(cls, finding: Finding) -> MarginTest:
        """Read what a finding on a primary endpoint says."""
        finding = finding.gain
        worst, kept = finding.worst_case, keeps_margin(finding)
        bounds = finding.lower_bounds or ()
        if not worst:
            p = finding.non_inferiority_p
            return cls(finding.estimate, finding.equivalence_ci, p, kept, 0, bounds)
        # where no test could be made of it nothing is shown
        holds, ci = kept and worst.non_inferior is True, worst.ci or (None, None)
        missing = worst.missing_reference + worst.missing_candidate
        return cls(worst.bound, ci, worst.p_non_inferior, holds, missing, bounds)


def keeps_margin(finding: Finding) -> bool:
    """Whether a finding rules a loss of the margin out, among the items that both arms answered.

    `better` alone does not: its p and the interval come from two constructions, and with few
    changed items the interval may still reach beyond the margin.
    """
    kept = finding.verdict in ("equivalent", "non_inferior")
    return kept or (finding.verdict == "better" and finding.non_inferior)


def _bits(quantization: str | None, arm: str) -> float | None:
    """Read the bits a weight from the name of a type, or of the arm where that says nothing."""
    bits = bits_of(quantization)
    return bits_of(arm) if bits is None else bits


def _findings(summary: Summary) -> Iterator[Finding]:
    """Yield a finding for every contrast with a margin; failure modes come after the endpoints.

    A failure mode without one is counted in a unit of its own: the shares beside it say the same in
    points.
    """
    for task, part in summary.tasks.items():
        for endpoint, results in part.endpoints.items():
            kind: FindingKind = "primary" if endpoint == part.primary else "secondary"
            for contrast in results.contrasts:
                yield from _finding(contrast, kind, task, part.workload, endpoint)
        for mode in part.failure_contrasts:
            yield from _finding(
                mode, "failure_mode", task, part.workload, mode.endpoint, declared=mode.declared
            )


def _finding(
    contrast: Contrast,
    kind: FindingKind,
    task: str,
    workload: str,
    endpoint: str,
    *,
    declared: bool = True,
) -> Iterator[Finding]:
    test = contrast.equivalence
    if test is None or contrast.verdict is None:
        return
    yield Finding(
        id=contrast.id,
        kind=kind,
        task=task,
        workload=workload,
        endpoint=endpoint,
        reference=contrast.reference,
        candidate=contrast.candidate,
        estimate=contrast.estimate,
        ci=contrast.ci,
        confidence=contrast.confidence,
        p_value=contrast.p_value,
        p_adjusted=adjusted_p(contrast),
        p_alarm=UNSET if kind == "primary" else contrast.p_alarm,
        p_method=contrast.p_method,
        margin=test.margin,
        equivalence_ci=test.ci,
        equivalence_confidence=test.confidence,
        equivalence_p=test.p_value,
        equivalence_p_adjusted=test.p_adjusted,
        non_inferiority_p=test.p_non_inferior,
        non_inferiority_p_adjusted=test.p_non_inferior_adjusted,
        non_inferior=test.non_inferior,
        approximate=test.approximate,
        over_clusters=contrast.ci_method == OVER_CLUSTERS,
        declared=declared,
        n=contrast.n,
        verdict=contrast.verdict,
        also=cast(Verdict | None, contrast.also),
        worst_case=contrast.worst_case,
        lower_bounds=contrast.lower_bounds,
        items_needed=contrast.items_needed,
        settled_by=contrast.settled_by,
        unit=contrast.unit,
        direction=contrast.direction,
        label=contrast.label,
        against=contrast.against,
    )


def _paces(summary: Summary) -> Iterator[Pace]:
    """Yield a finding for every candidate's decoding speed; none without a speed phase.

    `estimate` is a ratio to the reference's speed; the verdict is `faster` or `slower` where the
    interval lies to one side of 1 and the adjusted p shows it, else `inconclusive`.
    """
    for one in summary.speed_phase.ratios if summary.speed_phase else ():
        low, high = one.ci
        if one.measure != "decode" or low is None or high is None:
            continue
        if one.estimate is None or one.confidence is None:
            continue
        verdict: Literal["faster", "slower", "inconclusive"] = "inconclusive"
        if one.p_alarm is None or is_finding(one, summary.alpha):
            verdict = "faster" if low > 1.0 else "slower" if high < 1.0 else "inconclusive"
        yield Pace(
            id=one.id,
            kind="speed",
            task=None,
            endpoint="decoding speed",
            reference=one.reference,
            candidate=one.candidate,
            estimate=one.estimate,
            ci=(low, high),
            confidence=one.confidence,
            n=one.n,
            verdict=verdict,
        )
