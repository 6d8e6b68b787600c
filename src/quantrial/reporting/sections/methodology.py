"""How the numbers came about, after whom, and whether the study can be trusted."""

from __future__ import annotations

from collections.abc import Iterator

from quantrial.decision.disagreements import SETS, Parted, parted
from quantrial.documents import Summary, TaskSummary
from quantrial.documents.decision import Decision
from quantrial.inert import clean
from quantrial.reporting.blocks import Cell, Column, Group, Row, Section, Table, cells
from quantrial.reporting.contrasts import pair
from quantrial.words import (
    VERDICT_WORDS,
    amount,
    count,
    difference,
    endpoint,
    method,
    p_value,
    percent,
    plural,
    verdict,
)

_TANGO = (
    "Tango, T. (1998). Equivalence test and confidence interval for the difference in proportions "
    "for the paired-sample design. Statistics in Medicine 17, 891-908."
)
_BOOTSTRAP = (
    "Efron, B., Tibshirani, R. J. (1993). An Introduction to the Bootstrap. Chapman & Hall."
)
_CR2 = (
    "Pustejovsky, J. E., Tipton, E. (2018). Small-sample methods for cluster-robust variance "
    "estimation and hypothesis testing in fixed effects models. JBES 36, 672-683."
)
_TOST = (
    "Schuirmann, D. J. (1987). A comparison of the two one-sided tests procedure and the power "
    "approach. J. Pharmacokinet. Biopharm. 15, 657-680."
)
_SIGN_FLIP = (
    "Good, P. (2005). Permutation, Parametric and Bootstrap Tests of Hypotheses, 3.6. Springer."
)
_MID_P = (
    "Fagerland, M. W., Lydersen, S., Laake, P. (2013). The McNemar test for binary matched-pairs "
    "data: mid-p and asymptotic are better than exact conditional. BMC Med. Res. Methodol. 13, 91."
)
_MCNEMAR = (
    "McNemar, Q. (1947). Note on the sampling error of the difference between correlated "
    "proportions. Psychometrika 12, 153-157."
)
_STUART = (
    "Stuart, A. (1955). A test for homogeneity of the marginal distributions in a two-way "
    "classification. Biometrika 42, 412-416."
)
# name of a method -> what it does, where it comes from
_DESCRIBED = {
    "wilson": (
        "Score interval of one proportion.",
        "Wilson, E. B. (1927). Probable inference, the law of succession, and statistical "
        "inference. JASA 22, 209-212.",
    ),
    "score": (
        "Interval and tests of a paired difference from one construction: the variance is taken "
        "under the difference that is tested.",
        _TANGO,
    ),
    "score-strata": (
        "The same, less what of the variance lies between strata beyond chance; each stratum's "
        "mean counts with four items of the overall one.",
        _TANGO,
    ),
    "score-clusters": ("The same over clusters, with few-cluster degrees of freedom.", _CR2),
    "score-tost": ("Two one-sided score tests at the margin.", _TOST),
    "score-strata-tost": ("Two one-sided score tests at the margin, within strata.", _TOST),
    "score-clusters-tost": ("Two one-sided score tests at the margin, over clusters.", _TOST),
    "mcnemar-midp": ("Test of a difference, from the items whose answer turned.", _MID_P),
    "mcnemar-exact": ("Exact test of a difference, from the items that turned.", _MCNEMAR),
    "mcnemar-yates": ("Chi-squared test of a difference, with Yates's correction.", _MCNEMAR),
    "sign-flip": ("The arms' labels are swapped within items, at random and often.", _SIGN_FLIP),
    "sign-flip-exact": ("The arms' labels are swapped within items, in every way.", _SIGN_FLIP),
    "bootstrap-percentile": ("Items are drawn again, both arms together.", _BOOTSTRAP),
    "cluster-bootstrap-percentile": ("Whole clusters are drawn again.", _BOOTSTRAP),
    "bootstrap-centred": (
        "The bootstrap distribution, centred at no difference.",
        "Hall, P., Wilson, S. R. (1991). Two guidelines for bootstrap hypothesis testing. "
        "Biometrics 47, 757-762.",
    ),
    "bootstrap-tost": ("The bootstrap distribution, centred at either margin.", _TOST),
    "interaction-permutation": (
        "Whether a difference varies over strata: strata are exchanged between items.",
        _SIGN_FLIP,
    ),
    "interaction-clusters": (
        "Whether a difference varies over strata, over clusters: their jackknife variance, never "
        "below the item-level one, and Hotelling's T-squared with few-cluster degrees of freedom.",
        _CR2,
    ),
    "stuart-maxwell": ("Whether letters are preferred otherwise.", _STUART),
    "stuart-maxwell-clusters": (
        "Whether letters are preferred otherwise; the arms' labels are swapped within clusters.",
        _STUART,
    ),
    "stuart-maxwell-clusters-exact": (
        "Whether letters are preferred otherwise; every swap of labels within clusters is counted.",
        _STUART,
    ),
    "stuart-maxwell-exact": ("Whether letters are preferred otherwise, exactly.", _STUART),
    "holm": (
        "p-values adjusted together: of all pairs of arms; over all that is no primary endpoint.",
        "Holm, S. (1979). A simple sequentially rejective multiple test procedure. Scand. J. "
        "Statist. 6, 65-70.",
    ),
}


_STRATA = (
    "Each p is the one that its set's verdict follows: of a difference adjusted with all else that "
    "is no primary endpoint, each set's own p-values in the other's place; of the margin adjusted "
    "over all strata and pairs of arms by calibrated, not adjusted by classic."
)
_NO_BOUND = (
    "What assumes nothing is a bound. Micro-F1 and precision have none where the candidate's "
    "answers are missing, for one may invent any number of entities: their figure takes each to "
    "find nothing and to invent as many as the longest answer of any arm to this task names."
)
_STATUS = {
    "fail": "✗ Does not hold",
    "warn": "! Deserves a look",
    "unknown": "? Cannot be told",
    "pass": "✓ Holds",
}
_ASSAY = (
    "Is it the experiment it claims to be? Precision should be all that differs, and the work "
    "should show harm."
)


def methods_section(summary: Summary) -> Section:
    """Say in words how the numbers of this report were computed, and after whom."""
    used = [name for name in dict.fromkeys((*_used(summary), "holm")) if name in _DESCRIBED]
    described = tuple(
        f"{method(name).removesuffix(' tost')}: {_DESCRIBED[name][0]}" for name in used
    )
    references = tuple(sorted({_DESCRIBED[name][1] for name in used}))
    verdicts = (
        f"Equivalent: a loss and a gain of the margin are both ruled out, each at "
        f"{percent(summary.alpha, 0)}. Non-inferior: the loss is. Better or worse: a difference "
        "is shown after adjustment, and neither of these is. Undecided: "
        "none of it; never read it as equality."
    )
    pairing = (
        "Every arm answered the same items. A contrast is candidate minus reference on the items "
        "both answered; the spread within items is what counts, so few items that turn give narrow "
        "intervals."
    )
    lead = f"The {summary.methods} set of methods; docs/methods.md tells them in full."
    return Section(
        "methods",
        "Methods",
        lead,
        (
            Group("How arms are compared", items=(pairing, verdicts, *_adjustment(summary))),
            Group("Methods used", items=described),
            Group("After whom", items=references, folded=True),
        ),
    )


def _adjustment(summary: Summary) -> Iterator[str]:
    """Say over what p-values are adjusted, and how often this report could raise a false alarm."""
    family = summary.alarms
    level = percent(family.alpha, 0)
    yield (
        "A primary endpoint's differences are adjusted over the pairs of arms, task by task. All "
        "else that could raise an alarm (secondary endpoints, failure modes, shifts of letters, "
        "strata, the reference against itself, speeds) is one family over all arms and tasks: "
        f"{plural(family.questions, 'question')}, adjusted together. Were the arms equal, at "
        f"most {level} of such reports would call any of it shown."
    )


def _used(summary: Summary) -> Iterator[str]:
    for part in summary.tasks.values():
        for results in part.endpoints.values():
            yield from (own.method for own in results.arms.values())
            yield from (one.equivalence.method for one in results.contrasts if one.equivalence)
            for one in results.contrasts:
                yield from (one.ci_method, one.p_method)
        for one in part.failure_contrasts:
            yield from (one.ci_method, one.p_method)
        yield from (test.method for test in part.heterogeneity)
        yield from (test.method for test in part.letter_shifts if test.method)


def assay_section(summary: Summary) -> Section:
    """List the checks by what they found, those that do not hold first."""
    groups = []
    for status, title in _STATUS.items():
        checks = tuple(
            f"{clean(one.id)}: {clean(one.text)}" for one in summary.assay if one.status == status
        )
        if checks:
            groups.append(Group(title, items=checks, folded=status == "pass"))
    return Section("assay", "Validity checks", _ASSAY, tuple(groups))


def checks_section(summary: Summary, decision: Decision) -> Section:
    """Put together what speaks for and against trusting this study."""
    groups = [
        _controls(summary, decision),
        *_shown(summary),
        _missing(summary),
        *disagreements(summary),
    ]
    lead = "Could this study have seen harm, and does its answer hang on a choice?"
    return Section("checks", "Checks", lead, tuple(groups))


def _controls(summary: Summary, decision: Decision) -> Group:
    controls = [clean(one.text) for one in decision.controls]
    if not controls:
        controls = ["There is no arm damaged on purpose: nothing shows that harm would be found."]
    floors = [
        f"{part.workload}: the reference reaches "
        f"{amount(_own(part, summary.reference), part.main.unit)}, blind guessing "
        f"{amount(part.chance, part.main.unit)}."
        for part in summary.tasks.values()
        if part.chance is not None
    ]
    return Group("Positive control and floor", items=(*controls, *map(clean, floors)))


def _shown(summary: Summary) -> Iterator[Group]:
    """List what is shown beyond the primary endpoints; all else there is an estimate."""
    family = summary.alarms
    title = "Shown beyond the primary endpoints"
    if not family.findings:
        words = (
            f"Nothing of {plural(family.questions, 'question')} is shown after adjustment: what "
            "differs on secondary endpoints, failure modes or strata may be chance."
        )
        yield Group(title, notes=(words,))
        return
    table = Table(
        "findings that are no primary endpoint",
        (Column("what", numeric=False), Column("id", numeric=False), Column("adj. p")),
        tuple(Row(cells(one.kind, clean(one.id), p_value(one.p_alarm))) for one in family.findings),
    )
    note = (
        f"Of {plural(family.questions, 'question')} that are adjusted together; the rest are "
        "estimates with their intervals."
    )
    yield Group(title, notes=(note,), tables=(table,), folded=True)


def _own(part: TaskSummary, arm: str) -> float | None:
    found = part.main.arms.get(arm)
    return found.estimate if found else None


def _missing(summary: Summary) -> Group:
    found = [
        (f"{task}, {endpoint(part.label(name))}", one, one.worst_case)
        for task, part in summary.tasks.items()
        for name, results in part.endpoints.items()
        for one in results.contrasts
        if one.worst_case
    ]
    if not found:
        flows = [part.flow for part in summary.tasks.values()]
        lost = sum(flow.faulted + flow.missing for flow in flows)
        words = (
            "No answer is missing: nothing to bound."
            if not lost
            else f"{plural(lost, 'answer')} missing; no bound can be given for these endpoints."
        )
        return Group("Missing answers", notes=(words,))
    table = Table(
        "differences with every missing answer held against the candidate",
        (
            Column("contrast", numeric=False),
            Column("endpoint", numeric=False),
            Column("missing there", hint="items that the candidate gave no answer to"),
            Column("missing here", hint="items that the reference gave no answer to"),
            Column("difference"),
            Column("against it", hint="every missing answer counted against the candidate"),
            Column("p (kept)", hint="of “loses less than the margin”"),
            Column("assuming", numeric=False, hint="entities that each missing answer invents"),
        ),
        tuple(
            Row(
                (
                    Cell(pair(one), target=one.id),
                    *cells(
                        where,
                        count(worst.missing_candidate),
                        count(worst.missing_reference),
                        difference(one.estimate, one.unit),
                        difference(worst.bound, one.unit),
                        p_value(worst.p_non_inferior),
                        _invented(worst.taken_to_invent),
                    ),
                )
            )
            for where, one, worst in found
        ),
    )
    assumed = any(worst.taken_to_invent is not None for _, _, worst in found)
    return Group("Missing answers", notes=(_NO_BOUND,) if assumed else (), tables=(table,))


def _invented(entities: int | None) -> str:
    return "nothing" if entities is None else f"{count(entities)} invented"


def disagreements(summary: Summary) -> Iterator[Group]:
    """Show where the other set of methods comes to another verdict."""
    title, found = "Classic against calibrated", parted(summary)
    if not found:
        words = "Both sets of methods come to the same verdict on every contrast that both answer."
        yield Group(title, notes=(words,))
    rows = [_parted(one) for one in found if not one.strata]
    if rows:
        table = Table(
            "contrasts on which the two sets of methods come to different verdicts",
            (
                Column("contrast", numeric=False),
                Column("endpoint", numeric=False),
                Column("test", numeric=False, hint="the test on which they part"),
                *(Column(f"{name}, p", numeric=False) for name in SETS),
            ),
            tuple(rows),
        )
        yield Group(title, tables=(table,))
    inside = tuple(_within(one) for one in found if one.strata)
    if inside:
        yield Group(f"{title}, within strata", notes=(_STRATA,), items=inside, folded=True)


def _parted(one: Parted) -> Row:
    return Row(
        (
            Cell(one.pair, target=one.id),
            Cell(f"{one.task}, {endpoint(one.endpoint)}"),
            Cell(one.test),
            *(Cell(f"{_verdict(one.verdicts[name])} {one.p[name]}") for name in SETS),
        )
    )


def _within(one: Parted) -> str:
    many = f"{plural(len(one.strata), 'stratum', 'strata')}: " if len(one.strata) > 1 else ""
    verdicts = ", ".join(f"{_verdict(one.verdicts[name])} by {name}" for name in SETS)
    where = clean(f"{one.pair} on {one.task}, {many}{', '.join(one.strata)}")
    return f"{where}: {verdicts} ({one.why})."


def _verdict(name: str) -> str:
    return verdict(name) if name in VERDICT_WORDS else name
