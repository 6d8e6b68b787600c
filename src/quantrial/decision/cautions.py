"""What to be careful of before acting on a decision."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from quantrial.decision.evidence import Evidence, cited, keeps_margin
from quantrial.documents import Disagreement, Reading, Summary, TaskSummary
from quantrial.documents.contrasts import adjusted_p
from quantrial.documents.decision import Caution
from quantrial.words import (
    endpoint,
    equals,
    level,
    listed,
    p_value_in_sentence,
    percent,
    percent_interval,
    plural,
    verdict_word,
)


def cautions(evidence: Evidence, guarded: Collection[str] = ()) -> tuple[Caution, ...]:
    """List what the data could not show, what is missing, and where methods disagree.

    `guarded` are the ids of findings on secondary endpoints that sentences of the decision rest on.
    """
    return (
        *_without_gold(evidence),
        *_identical_arms(evidence),
        *_assay(evidence),
        *_repeatability(evidence),
        *_reading(evidence),
        *_cautions(evidence),
        *_uneven_faults(evidence),
        *_approximate(evidence),
        *_disagreements(evidence, guarded),
        *_disturbed(evidence),
    )


def _without_gold(evidence: Evidence) -> Iterator[Caution]:
    """Say what a loss means where no right answers are known, and how many change by themselves."""
    reference = evidence.reference
    for task, part in evidence.tasks.items():
        own = part.main.arms.get(reference)
        if not evidence.again(task) or own is None or own.estimate is None:
            continue
        repeats = f"{reference} itself agrees with its first answer by {percent(own.estimate)}"
        text = (
            f"On {evidence.named(task)} no right answers are known: answers are held against the "
            f"first one of {reference}. Asked again, {repeats}. A loss is an agreement below that: "
            "answers that change. Whether they are worse is not known."
        )
        yield Caution(**cited(text))


_ONE_MODEL = "one file under two names, a wrong path, or a server that holds one model alone"
_LIKELY = f"Most likely one model answered for both: {_ONE_MODEL}."
# Rounded weights turned an answer every 130 characters in the example. Were it one in 2,000 only,
# two models would still agree on this many in less than 1 % of trials (exp(-5)).
_TELLING = 10_000


def _identical_arms(evidence: Evidence) -> Iterator[Caution]:
    """Say which arms answered as one, and what that may mean."""
    for pair in evidence.summary.twins:
        one, other = sorted(pair.arms, key=lambda arm: arm != evidence.reference)
        everywhere = (
            f"{other} and {one} gave the same answers, to the byte, on {_items(pair.items)}."
        )
        if pair.weights == "other":
            text = (
                f"{everywhere} Their files differ. Answers as short as a letter often agree; with "
                f"longer ones, check what {other} loaded."
            )
            yield Caution(**cited(text))
            continue
        if not pair.answers:
            said = f"{other} and {one} are one file, run in one way. Any difference is chance."
        elif pair.weights == "same":
            said = f"{everywhere} They are the same file. {_LIKELY}"
        else:
            meaning = _meaning(_characters(evidence, pair.arms))
            said = f"{everywhere} Nothing shows that their weights differ. {meaning}"
        so = (
            f"{other}, and does not pick it"
            if one == evidence.reference
            else "either, and picks neither"
        )
        text = f"{said} So this study says nothing about {so}."
        yield Caution(kind="assay", **cited(text))


def _meaning(characters: float | None) -> str:
    """Say what equal answers mean where no hash tells two files: that depends on how many."""
    if characters is not None and characters >= _TELLING:
        return _LIKELY
    written = "" if characters is None else f" ({characters:,.0f} characters in all)"
    return (
        f"Either one model answered for both: {_ONE_MODEL}. Or two models agree on answers as "
        f"short and few as these{written}. To find out, record the hashes of their files, or ask "
        "for longer answers or more items."
    )


def _characters(evidence: Evidence, arms: Sequence[str]) -> float | None:
    """Return how much the arm that wrote less wrote in all; None where no length is known."""
    written = []
    for arm in arms:
        modes = [part.failure_modes.get(arm) for part in evidence.tasks.values()]
        lengths = [one.texts.characters for one in modes if one is not None]
        written.append(sum(one.n * (one.mean or 0.0) for one in lengths) if lengths else None)
    known = [one for one in written if one is not None]
    return min(known) if len(known) == len(written) else None


def _items(count: int) -> str:
    return f"all {plural(count, 'item')} that both answered" if count > 1 else "the only item"


# what the checks of the assay say that nothing else here does
_ASSAYED = {
    "fail": (
        *("weights", "metadata", "tensors", "tokenizer", "template", "prompts", "sampling"),
        "identity",
    ),
    "warn": (
        *("origin", "metadata", "tensors", "precision", "setup"),
        *("prompts", "template", "date", "sampling", "repeats", "groups", "data", "weights"),
        *("identity", "cache"),
    ),
}
_FIRST = ("origin",)  # said before anything else though nothing fails: what all figures stand on


def _assay(evidence: Evidence) -> Iterator[Caution]:
    """Say where the comparison is not the one it claims to be; then where it may not be."""
    # of one file under two names more is said where it is said that neither is picked
    one_file = any(pair.weights == "same" for pair in evidence.summary.twins)
    told = {"weights"} if one_file else set[str]()
    for status, known in _ASSAYED.items():
        for check in evidence.summary.assay:
            kind_of = check.id.partition(".")[0]
            if check.status == status and kind_of in known and kind_of not in told:
                text = sentence_of(check.text, evidence.summary.arms)
                first = status == "fail" or check.id in _FIRST
                yield Caution(kind="assay" if first else None, **cited(text))


def sentence_of(text: str, arms: Collection[str]) -> str:
    """Make a sentence of a check's words, as older versions recorded them: a capital, a full stop.

    The name of an arm keeps its letters.
    """
    named = any(re.match(rf"{re.escape(arm)}(?![\w.-])", text) for arm in arms)
    return f"{text if named else text[0].upper() + text[1:]}".removesuffix(".") + "."


def _cautions(evidence: Evidence) -> Iterator[Caution]:
    for task, part in evidence.tasks.items():
        answered = part.main.arms
        own, flow, work = answered.get(evidence.reference), part.flow, evidence.named(task)
        said = [
            (
                f"{arm} answered nothing on {work}"
                if flow.missing or flow.faults.get(arm)
                else f"No answer of {arm} on {work} could be used"
            )
            + ", so this study says nothing about it there."
            for arm in evidence.by_cost
            if arm not in answered and task not in evidence.other_prompts.get(arm, ())
        ]
        if own is not None and own.estimate is None:
            said.append(
                f"On {work} there was nothing to find and {evidence.reference} found nothing, so "
                f"its {endpoint(part.primary)} has no value."
            )
        elif floor := evidence.no_loss_can_show(task):
            said.append(f"{floor}.")
        if any(one.ci_method == "refused" for one in part.main.contrasts):
            said.append(
                f"On {work} there are too few clusters to speak for others like them, so nothing "
                "is claimed. Sample more clusters, or ask about these alone with stratify."
            )
        if flow.missing:
            many = f"On {work}, {flow.missing:,} of {plural(flow.planned, 'planned call')}"
            is_, was, their = (
                ("is", "was", "Its") if flow.missing == 1 else ("are", "were", "Their")
            )
            if evidence.summary.study.imported:
                said.append(
                    f"{many} {is_} missing in what was imported. {their} pairs are left out."
                )
            else:
                said.append(f"{many} {was} not asked yet: the run is unfinished.")
        if flow.faulted:
            by_arm = {arm: lost for arm, lost in flow.faults.items() if lost}
            whose = f" ({listed(f'{lost:,} of {arm}' for arm, lost in by_arm.items())})"
            said.append(
                f"On {work}, {flow.faulted:,} of {plural(flow.planned, 'call')} ended in a fault"
                f"{whose if by_arm else ''}. Estimates leave these out. The test behind shipping "
                "counts missing answers against the arm."
            )
        for text in said:
            yield Caution(task=task, **cited(text))


def _disagreements(evidence: Evidence, guarded: Collection[str]) -> Iterator[Caution]:
    """Say where the other set of methods comes to another verdict that the decision rests on."""
    for task, part in evidence.tasks.items():
        for one in part.disagreements:
            candidate, primary = one.candidate, one.endpoint == part.primary
            if one.stratum is not None or not (primary or one.id in guarded):
                continue
            if one.reference != evidence.reference or candidate in evidence.controls:
                continue
            said = ", ".join(f"{name} says {verdict_word(one.verdicts[name])}" for name in SETS)
            what = candidate if primary else f"the {endpoint(one.endpoint)} of {candidate}"
            text = (
                f"On {evidence.named(task)}, the two sets of methods disagree about {what}: {said} "
                f"({why([one], evidence.alpha)})."
            )
            yield Caution(task=task, **cited(text, [evidence.findings[one.id]]))


def _approximate(evidence: Evidence) -> Iterator[Caution]:
    """Warn where the error rate of a claim about the margin is not known."""
    for task in evidence.tasks:
        for arm in evidence.candidates:
            finding = evidence.primary(task, arm)
            if not (finding and keeps_margin(finding) and finding.approximate):
                continue
            text = f"That {arm} keeps the margin on {evidence.named(task)} is approximate. "
            shown = [finding]
            if finding.over_clusters:
                text += (
                    "It speaks for other clusters like these, and how these lean is not known. "
                    "Sample more clusters; more items in these help less."
                )
            else:
                text += (
                    "Fewer than ten equal changes make a loss of the margin here, so the chance of "
                    "a wrong claim may exceed 6 %. Use more items."
                )
                bounded = evidence.of_endpoint(task, "macro_f1", arm)
                if bounded is not None and bounded is not finding:
                    verdict = verdict_word(bounded.verdict)
                    text += f" By the mean F1 of items, with known bounds, it is {verdict}."
                    shown.append(bounded)
            yield Caution(task=task, **cited(text, shown))


def _disturbed(evidence: Evidence) -> Iterator[Caution]:
    """Warn of speeds that were not measured on a quiet machine."""
    if found := _disturbances(evidence.summary):
        text = (
            f"While speed was measured, {listed(found)}. Speed-ups may differ on a quiet machine. "
            "Run the same study there to measure them again."
        )
        yield Caution(**cited(text, map(evidence.pace, evidence.candidates)))


def _repeatability(evidence: Evidence) -> Iterator[Caution]:
    """Say where the reference is shown to disagree with itself more than with a candidate."""
    for task, part in evidence.tasks.items():
        found = part.repeats
        if found is None or not found.strays_more:
            continue
        same = {one.candidate: one.same_items for one in found.candidates}
        scores = {arm: one.score for arm, one in same.items()}
        texts = {arm: one.text for arm, one in same.items()}
        for own, tests, scored in ((found.score, scores, "scored"), (found.text, texts, "worded")):
            less = {arm: one for arm, one in tests.items() if one.told == "less"}
            if not less or None in own.ci or own.rate is None:
                continue
            rates = " ".join(
                f"{arm} differs from it on {one.differ:,} of the same items (adjusted p "
                f"{equals(adjusted_p(one))})."
                for arm, one in less.items()
            )
            at = level(own.confidence or 0.0)
            text = (
                f"On {evidence.named(task)}, {found.arm} disagrees with itself more than with "
                f"{listed(less)}. Asked twice, {own.differ} of {plural(found.n, 'answer')} "
                f"{'was' if own.differ == 1 else 'were'} {scored} differently "
                f"({percent(own.rate)}, {at} interval {percent_interval(own.ci)}). {rates} So "
                "differences of this size can be chance."
            )
            yield Caution(task=task, kind="noise", **cited(text))
            break  # scores say more than texts


def _uneven_faults(evidence: Evidence) -> Iterator[Caution]:
    """Say where arms were asked again unequally often: their answers may be a selection."""
    for task, part in evidence.tasks.items():
        retries = part.flow.retries
        if len(set(retries.values())) > 1:
            shown = listed(f"{arm} {n:,}" for arm, n in retries.items())
            text = (
                f"Calls on {evidence.named(task)} were asked again unequally often ({shown}). The "
                "arms did not answer under the same conditions."
            )
            yield Caution(task=task, **cited(text))


def _reading(evidence: Evidence) -> Iterator[Caution]:
    """Name empty answers that cost tokens, cut ones that may be thoughts, and unknown tags."""
    for task, part in evidence.tasks.items():
        work = evidence.named(task)
        told = {arm: part.reading[arm] for arm in evidence.by_cost if arm in part.reading}
        for text in (*_spent(work, told), *_doubtful(work, told), *_strange(work, told)):
            yield Caution(task=task, **cited(text))


def _spent(work: str, told: Mapping[str, Reading]) -> Iterator[str]:
    spent = {arm: one for arm, one in told.items() if one.spent}
    if not spent:
        return
    counts = []
    for arm, one in spent.items():
        said = f"{one.spent:,} of {plural(one.n, 'answer')} of {arm}"
        if one.unfinished:
            said += f" ({one.unfinished:,} inside a thought)"
        counts.append(said)
    limits = {one.max_tokens for one in spent.values()} - {None}
    now = f" (now {limits.pop():,})" if len(limits) == 1 else ""
    yield (
        f"On {work}, {listed(counts)} spent tokens and ended without an answer. That is a setting, "
        f"not quality. Raise max_tokens{now} or turn reasoning off, and run again."
    )


def _doubtful(work: str, told: Mapping[str, Reading]) -> Iterator[str]:
    counts = [
        f"{one.doubtful:,} of {plural(one.n, 'answer')} of {arm}"
        for arm, one in told.items()
        if one.doubtful
    ]
    if counts:
        yield (
            f"On {work}, {listed(counts)} end at the token limit without a tag. They may be "
            "thoughts: whether the chat template opens a thought is not known. Raise max_tokens "
            "until answers end by themselves."
        )


def _strange(work: str, told: Mapping[str, Reading]) -> Iterator[str]:
    arms: dict[str, list[str]] = {}
    for arm, one in told.items():
        for tag, count in one.unknown_tags.items():
            arms.setdefault(tag, []).append(f"{plural(count, 'answer')} of {arm}")
    for tag, counts in arms.items():
        yield (
            f"On {work}, {tag} in {listed(counts)} looks like the tag of a thought, but is no "
            "known one. The text there was read as part of the answer. If models think there, name "
            "the pair in thought_tags of the task."
        )


# Conditions of the machine under which a figure of speed is not what a quiet one would show.
_DISTURBED = {
    "busy": "other processes were using the machine",
    "swap": "the machine was swapping",
    "throttled": "the processor slowed down for heat",
    "battery": "the machine ran on its battery",
}


def _disturbances(summary: Summary) -> list[str]:
    """Say what disturbed the machine while speed was measured."""
    marks = summary.speed_phase.marks if summary.speed_phase else ()
    return [_DISTURBED[one.mark] for one in marks if one.mark in _DISTURBED]


SETS = ("calibrated", "classic")

_ASKED = {
    "equivalence": "equivalence",
    "difference": "a difference",
    "non_inferiority": "non-inferiority",
}


@dataclass(frozen=True, slots=True)
class Parted:
    """A contrast of two verdicts. `strata` names those that part alike; empty: of all items.

    `verdicts` by set; `test` is the one they part on, `p` its p by set, in words; `why` says which
    p lies on which side.
    """

    id: str
    task: str
    workload: str
    endpoint: str
    pair: str
    strata: tuple[str, ...]
    verdicts: Mapping[str, str]
    test: str
    p: Mapping[str, str]
    why: str


def parted(summary: Summary) -> list[Parted]:
    """List where the sets part: contrasts of all items first, then strata, alike ones together."""
    found = [one for task, part in summary.tasks.items() for one in _of(summary.alpha, task, part)]
    return sorted(found, key=lambda one: bool(one.strata))


def _of(alpha: float, task: str, part: TaskSummary) -> Iterator[Parted]:
    alike: dict[tuple[str, ...], list[Disagreement]] = {}
    for one in part.disagreements:
        if one.stratum is not None:
            told = (one.verdicts[name] for name in SETS)
            key = (one.endpoint, one.candidate, one.reference, *told, one.question)
            alike.setdefault(key, []).append(one)
            continue
        yield _told([one], task, part.workload, (), alpha)
    for several in alike.values():
        strata = tuple(one.stratum for one in several if one.stratum is not None)
        yield _told(several, task, part.workload, strata, alpha)


def _told(
    alike: Sequence[Disagreement], task: str, workload: str, strata: tuple[str, ...], alpha: float
) -> Parted:
    one = alike[0]
    return Parted(
        id=one.id,
        task=task,
        workload=workload,
        endpoint=one.endpoint,
        pair=f"{one.candidate} vs {one.reference}",
        strata=strata,
        verdicts={name: one.verdicts[name] for name in SETS},
        test=_ASKED[one.question].removeprefix("a "),
        p={name: _p(alike, name) for name in SETS},
        why=why(alike, alpha),
    )


def _p(alike: Sequence[Disagreement], name: str) -> str:
    """Write a set's p, from the least to the largest of several."""
    known = _known(alike, name)
    if not known:
        return "none"
    return listed(map(p_value_in_sentence, (min(known), max(known))), "to")


def _known(alike: Sequence[Disagreement], name: str) -> list[float]:
    return [p for one in alike if (p := one.p[name]) is not None]


def why(alike: Sequence[Disagreement], alpha: float) -> str:
    """Say by which test the sets part, and which p lies on which side of alpha.

    `p of equivalence: .054 by calibrated, not below .05; .020 by classic, below it`. Contrasts that
    part alike are told together, each set's p from the least to the largest.
    """
    level = f"{alpha:g}".removeprefix("0")
    sides = []
    for name, bar in zip(SETS, (level, "it"), strict=True):
        shown = _p(alike, name)
        known = _known(alike, name)
        side = f", {'' if known[0] < alpha else 'not '}below {bar}" if known else ""
        sides.append(f"{shown} by {name}{side}")
    return f"p of {_ASKED[alike[0].question]}: {'; '.join(sides)}"
