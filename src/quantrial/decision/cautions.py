"""What to be careful of before acting on a decision."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence

from quantrial.agreement import fixed
from quantrial.decision.disagreements import SETS, why
from quantrial.decision.evidence import Evidence, keeps_margin
from quantrial.decision.words import cited
from quantrial.documents import Reading, Summary
from quantrial.documents.decision import Caution
from quantrial.findings import adjusted_p
from quantrial.words import listed, p_value_in_sentence, plural, verdict_word


def cautions(evidence: Evidence, guarded: Collection[str] = ()) -> tuple[Caution, ...]:
    """List what the data could not show, what is missing, and where methods disagree.

    `guarded` are the ids of findings on secondary endpoints that sentences of the decision rest on.
    """
    return (
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


_ONE_MODEL = (
    "one file under two names, a wrong path, or a server that answers with one model whatever it "
    "is asked for"
)
_LIKELY = (
    f"Most likely they are one model: {_ONE_MODEL}; at temperature 0 the same weights give the "
    "same answers."
)
# Rounded weights turned an answer every 130 characters in the example. Were it one in 2,000 only,
# two models would still agree on this many in less than 1 % of trials (exp(-5)).
_TELLING = 10_000


def _identical_arms(evidence: Evidence) -> Iterator[Caution]:
    """Say which arms answered as one, and what that may mean."""
    for pair in evidence.summary.twins:
        one, other = sorted(pair.arms, key=lambda arm: arm != evidence.reference)
        everywhere = f"{other} answered exactly as {one} on {_items(pair.items)}, to the byte"
        if pair.weights == "other":
            text = (
                f"{everywhere}, though their files differ by their hashes. Answers as short as a "
                f"letter may well agree; with longer ones, look at what {other} loaded."
            )
            yield Caution(**cited(text))
            continue
        if not pair.answers:
            said = f"{other} and {one} are one file, asked in one way. What differs is noise."
        elif pair.weights == "same":
            said = f"{everywhere}, and is the same file. {_LIKELY}"
        else:
            meaning = _meaning(_characters(evidence, pair.arms))
            said = f"{everywhere}, and nothing tells that it has other weights. {meaning}"
        if one == evidence.reference:
            so = f"So this trial shows nothing of {other} as an arm of its own: it is not picked."
        else:
            so = "So this trial shows nothing of either as an arm of its own: neither is picked."
        yield Caution(kind="assay", **cited(f"{said} {so}"))


def _meaning(characters: float | None) -> str:
    """Say what equal answers mean where no hash tells two files: that depends on how many."""
    if characters is not None and characters >= _TELLING:
        return _LIKELY
    written = "" if characters is None else f" ({characters:,.0f} characters in all)"
    return (
        f"Either they are one model ({_ONE_MODEL}), or two that agree on answers as short and few "
        f"as these{written}. Hashes of their files, longer answers or more items would tell."
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
    """Make a sentence of a check's words: a capital first, but never in the name of an arm."""
    named = any(re.match(rf"{re.escape(arm)}(?![\w.-])", text) for arm in arms)
    return f"{text if named else text[0].upper() + text[1:]}."


def _cautions(evidence: Evidence) -> Iterator[Caution]:
    for task, part in evidence.tasks.items():
        answered = part.main.arms
        own = answered.get(evidence.reference)
        flow, floor = part.flow, part.chance or 0.0
        said = [
            f"{arm} answered nothing on {task}, so nothing is said of it there."
            for arm in evidence.by_cost
            if arm not in answered and task not in evidence.other_prompts.get(arm, ())
        ]
        if own is not None and own.estimate is None:
            said.append(
                f"On {task} there was nothing to find and {evidence.reference} found nothing: its "
                f"{part.primary.replace('_', '-')} has no value."
            )
        elif part.at_floor(evidence.reference):
            said.append(
                f"On {task} the reference itself is not shown to be above its floor "
                f"({fixed(100 * floor, 0)} %): a loss could not show there."
            )
        if any(one.ci_method == "refused" for one in part.main.contrasts):
            said.append(
                f"On {task} nothing is claimed: its clusters are too few to speak for others like "
                "them. Sample more of them, or ask about these alone (`stratify`)."
            )
        if flow.missing:
            were = "is" if flow.missing == 1 else "are"
            imported = evidence.summary.study.imported
            why = (
                "missing in what was imported: its pairs are left out"
                if imported
                else "not asked yet: this is a look at an unfinished run"
            )
            said.append(
                f"{flow.missing:,} of {plural(flow.planned, 'planned call')} on {task} "
                f"{were} {why}."
            )
        if flow.faulted:
            by_arm = {arm: lost for arm, lost in flow.faults.items() if lost}
            whose = f" ({listed(f'{lost:,} of {arm}' for arm, lost in by_arm.items())})"
            said.append(
                f"{flow.faulted:,} of {plural(flow.planned, 'call')} on {task} ended in a "
                f"fault{whose if by_arm else ''}. Estimates leave these out; where an arm is to be "
                "shipped, missing answers are held against it."
            )
        for text in said:
            yield Caution(task=task, **cited(text))


def _disagreements(evidence: Evidence, guarded: Collection[str]) -> Iterator[Caution]:
    """Say where the other set of methods comes to another verdict that the decision rests on."""
    for task, part in evidence.tasks.items():
        for one in part.disagreements:
            candidate, endpoint = one.candidate, one.endpoint
            primary = endpoint == part.primary
            if one.stratum is not None or not (primary or one.id in guarded):
                continue
            if one.reference != evidence.reference or candidate in evidence.controls:
                continue
            said = " and ".join(
                f"{verdict_word(one.verdicts[name])} by the {name}" for name in SETS
            )
            what = candidate if primary else f"{endpoint.replace('_', '-')} of {candidate}"
            text = (
                f"On {evidence.named(task)}, {what} is {said} methods "
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
            text = f"That {arm} keeps the margin on {evidence.named(task)} is approximate: "
            shown = [finding]
            if finding.over_clusters:
                text += (
                    "it speaks for clusters like these, whose chances of leaning one way are not "
                    "known. More clusters, not more items, make it surer."
                )
            else:
                text += (
                    "a loss of the margin would rest on fewer than ten equal changes, so the "
                    "chance of a wrong claim may be above 6 %. More items settle it."
                )
                bounded = evidence.of_endpoint(task, "macro_f1", arm)
                if bounded is not None and bounded is not finding:
                    verdict = verdict_word(bounded.verdict)
                    text += f" By the mean F1 of items, whose bounds are known, it is {verdict}."
                    shown.append(bounded)
            yield Caution(task=task, **cited(text, shown))


def _disturbed(evidence: Evidence) -> Iterator[Caution]:
    """Warn of speeds that were not measured on a quiet machine."""
    if found := _disturbances(evidence.summary):
        text = (
            f"While speed was measured, {listed(found)}: on a quiet machine the speed-ups may be "
            "others. The same study run there measures them again."
        )
        yield Caution(**cited(text, map(evidence.pace, evidence.candidates)))


def _repeatability(evidence: Evidence) -> Iterator[Caution]:
    """Say where the reference is shown to disagree with itself more than a candidate with it."""
    for task, part in evidence.tasks.items():
        found = part.repeats
        if found is None or not found.strays_more:
            continue
        same = {one.candidate: one.same_items for one in found.candidates}
        scores = {arm: one.score for arm, one in same.items()}
        texts = {arm: one.text for arm, one in same.items()}
        for own, tests, changed in (
            (found.score, scores, "scored differently"),
            (found.text, texts, "worded differently"),
        ):
            less = {arm: one for arm, one in tests.items() if one.told == "less"}
            (low, high), rate = own.ci, own.rate
            if not less or low is None or high is None or rate is None:
                continue
            rates = listed(
                f"{arm} differs from it on {one.differ:,} "
                f"(adjusted p {p_value_in_sentence(adjusted_p(one))})"
                for arm, one in less.items()
            )
            text = (
                f"{found.arm} disagrees with itself more than {listed(less)} "
                f"{'disagrees' if len(less) == 1 else 'disagree'} with it on "
                f"{evidence.named(task)}: "
                f"asked twice, {own.differ} of {plural(found.n, 'answer')} "
                f"{'was' if own.differ == 1 else 'were'} {changed} the second time "
                f"({_share(rate)}, {_share(own.confidence or 0.0, 0)} interval "
                f"{fixed(100 * low, 1)} to {_share(high)}); on the same items {rates}, by "
                "McNemar's mid-p. Differences of this size can be noise of the machinery."
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
                f"Calls on {evidence.named(task)} were asked again unequally often ({shown}): the "
                "arms did not answer under the same conditions."
            )
            yield Caution(task=task, **cited(text))


def _share(value: float, digits: int = 1) -> str:
    return f"{fixed(100 * value, digits)} %"


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
        f"On {work}, {listed(counts)} end without an answer although tokens were spent: that is a "
        f"setting, not a quality. Raise `max_tokens`{now} or turn reasoning off, and run again."
    )


def _doubtful(work: str, told: Mapping[str, Reading]) -> Iterator[str]:
    counts = [
        f"{one.doubtful:,} of {plural(one.n, 'answer')} of {arm}"
        for arm, one in told.items()
        if one.doubtful
    ]
    if counts:
        yield (
            f"On {work}, {listed(counts)} end at the limit of tokens without a tag, and whether "
            "the chat template opens a thought is not known: if it does, what was scored there are "
            "thoughts. Raise `max_tokens` until answers end by themselves."
        )


def _strange(work: str, told: Mapping[str, Reading]) -> Iterator[str]:
    arms: dict[str, list[str]] = {}
    for arm, one in told.items():
        for tag, count in one.unknown_tags.items():
            arms.setdefault(tag, []).append(f"{plural(count, 'answer')} of {arm}")
    for tag, counts in arms.items():
        yield (
            f"On {work}, {tag} in {listed(counts)} looks like a tag of a thought and is not known "
            "as one: what stands there was read as part of the answer. If models think there, name "
            "the pair in the task's `thought_tags`."
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
