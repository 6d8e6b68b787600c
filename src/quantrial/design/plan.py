"""What a study will cost and can detect, from its numbers alone: pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from quantrial.assay import Check
from quantrial.design.forecast import (
    FlipModel,
    PowerModel,
    PowerQuery,
    Rates,
    Spread,
    SpreadModel,
)
from quantrial.design.schedule import Order
from quantrial.stats import least_items
from quantrial.stats.clusters import FEWEST_CLUSTERS

if TYPE_CHECKING:
    from quantrial.study import Code

# Shares of items on which two precisions of one model typically disagree: near, middling, far.
DISCORDANCES = (0.01, 0.05, 0.15)
TYPICAL = 0.05  # what is planned for where no earlier run is given
POWER = 0.8


@dataclass(frozen=True, slots=True)
class Prospect:
    """What a task can show if the arms disagree on a share `discordance` of its items.

    `detectable` is the difference found with 80 % chance, a fraction; None where even flips that
    all go one way are found less often. `items_for_margin` is how many items would show
    equivalence with 80 % chance, were there no difference at all, `items_for_no_loss` how many
    would show non-inferiority, which is what a decision to ship takes; `power_equivalent` and
    `power_non_inferior` are the chances that the task's own items show them. `method` is `exact`
    where every outcome was enumerated, else `normal-approximation`; `items_method` that of the
    items. Over random clusters it is `simulation` where few items flip, else `noncentral-t`, and
    `icc` the correlation of differences within them that is assumed; `clusters_for_margin` and
    `clusters_for_no_loss` are how many clusters of the task's mean size hold those items.
    """

    discordance: float
    detectable: float | None
    items_for_margin: int | None
    power_non_inferior: float
    power_equivalent: float
    method: str
    items_method: str
    icc: float | None = None
    clusters_for_margin: int | None = None
    items_for_no_loss: int | None = None
    clusters_for_no_loss: int | None = None


@dataclass(frozen=True, slots=True)
class EndpointMargin:
    """A margin that a study states for one endpoint of a task, beside the one of the task.

    `items` are those the endpoint is measured on; `least_items` is how many it takes to show
    equivalence even if no answer changes, None where that is not known.
    """

    endpoint: str
    margin: float
    items: int
    least_items: int | None
    unit: str | None = None  # of the margin; None of a share

    @property
    def out_of_reach(self) -> str | None:
        """Say that so few items cannot show equivalence, whatever they answer; None if they can."""
        return _out_of_reach(self.endpoint, self.margin, self.items, self.least_items)


@dataclass(frozen=True, slots=True)
class TaskPlan:
    """One task: its size, its calls over all arms, the margin, what it can show.

    `margin` is that of the primary endpoint, `margins` are those stated for others. `least_items`
    is how many items it takes to show equivalence even if no answer changes; None where that is not
    known (scores other than right or wrong).
    """

    name: str
    workload: str
    items: int
    available: int
    calls: int
    margin: float
    prospects: tuple[Prospect, ...]
    duplicates: int
    least_items: int | None = None
    margins: tuple[EndpointMargin, ...] = ()
    clusters: int | None = None  # random groups that the items come in
    few_clusters: str | None = None  # what follows from that, where they are few
    by_content: bool = False  # items of equal content count as one
    undeclared_groups: Mapping[str, int] = field(default_factory=dict)  # values of a key
    unit: str | None = None  # of the margin; None of a share

    @property
    def out_of_reach(self) -> str | None:
        """Say that so few items cannot show equivalence, whatever they answer; None if they can."""
        return _out_of_reach(self.name, self.margin, self.items, self.least_items)

    @property
    def typical(self) -> Prospect | None:
        """What the task can show at the typical discordance; None where nothing is known.

        At the highest of the correlations within clusters that are looked at.
        """
        there = [one for one in self.prospects if one.discordance == TYPICAL]
        return max(there, key=lambda one: one.icc or 0.0, default=None)

    @property
    def too_small(self) -> bool:
        """Whether its items are probably too few to show that less than the margin is lost."""
        if (one := self.typical) is None:
            return False
        return one.items_for_no_loss is None or self.items < one.items_for_no_loss

    @property
    def advice(self) -> str | None:
        """Say in a sentence how many items a decision takes, and whether they are there."""
        if self.unit is not None:
            return (
                f"{self.name}: how many items it takes depends on how far {self.unit} differ "
                "between answers. That is not known before a run. Run some, and quantrial power "
                "--from RUN tells."
            )
        if (one := self.typical) is None:
            return None
        return advice(
            self.name,
            items=self.items,
            needed=one.items_for_no_loss,
            clusters=one.clusters_for_no_loss,
            margin=self.margin,
            assumed=f"{100 * TYPICAL:g} % of answers flip",
        )

    @property
    def warnings(self) -> tuple[str, ...]:
        """Say of each margin that is out of reach that it is."""
        others = (f"{self.name}, {said}" for one in self.margins if (said := one.out_of_reach))
        return (*filter(None, (self.out_of_reach, self.few_clusters)), *others)


def advice(
    what: str,
    *,
    items: int | None,
    needed: int | None,
    clusters: int | None,
    margin: float,
    assumed: str,
    unit: str | None = None,
) -> str:
    """Say how many items it takes to show that less than the margin is lost.

    Args:
        what: the task; empty for none.
        items: that there are; None where that is not known.
        needed: items that show it with 80 % chance; None where no number does.
        clusters: that hold those; None where items are independent.
        margin: the largest loss that counts as the same.
        assumed: of the truth, as a clause.
        unit: of the margin; None of a share.
    """
    loss = f"{100 * margin:.4g} pp" if unit is None else f"{margin:.4g} {unit}"
    start = f"{what}: plan" if what else "Plan"
    if needed is None:
        none = f"{what}: no" if what else "No"
        return f"{none} number of items shows that the loss is less than {loss} if {assumed}."
    within = "" if clusters is None else f" in {clusters:,} clusters"
    plan = f"{start} for {needed:,} items{within} if {assumed}"
    if items is None:
        return f"{plan}."
    can = "can" if items >= needed else "cannot"
    return f"{plan}; you have {items:,}: this study {can} show that the loss is less than {loss}."


def _out_of_reach(what: str, margin: float, items: int, least: int | None) -> str | None:
    if least is None or items >= least:
        return None
    return (
        f"{what}: equivalence within {100 * margin:.4g} pp takes at least {least:,} items, even if "
        f"no answer changes. You have {items:,}."
    )


BYTES_PER_TOKEN = 4.0  # of UTF-8; English text in the vocabularies of today's models


@dataclass(frozen=True, slots=True)
class Tokens:
    """Tokens over all calls: of prompts, estimated from their bytes, and of answers at the most."""

    prompt: int
    answer: int

    @staticmethod
    def estimated(text_bytes: int) -> int:
        """Estimate the tokens of a text from its bytes in UTF-8: one for four, rounded up."""
        return math.ceil(text_bytes / BYTES_PER_TOKEN)


@dataclass(frozen=True, slots=True)
class ArmPlan:
    """One arm: its artifact in bytes, what it takes in memory, how often it is loaded.

    After a probe, seconds a call (over all slots), of one load (None where nothing was loaded;
    `was_loaded`: the server had it in memory), and in all with every load; `slots_gain` is how many
    times as fast the study's slots made it. `weights` is their type in words, with what they were
    before: `F16 from Q4_1`; `stated` names what of them the study states: `type`, `bytes`.
    """

    name: str
    model: str
    quantization: str | None
    bytes_on_disk: int | None
    kv_bytes: int | None = None
    loads: int = 1
    seconds_per_call: float | None = None
    load_seconds: float | None = None
    seconds: float | None = None
    slots_gain: float | None = None
    weights: str = "unknown"
    stated: tuple[str, ...] = ()
    was_loaded: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that is known before the first recorded call.

    `memory_needed` is the weights and contexts of all arms that are held at once (of the largest
    one where `together` is false); `memory_available` what the machine has left; `too_large` are
    arms that do not fit alone. `tokens` estimates prompts and answers, `disk_bytes` is what the
    weights take. `seconds` is None without a probe; `speed_seconds` is the most that the
    speed phase adds, where there is one. `assay` says whether the arms differ in their precision
    and in nothing else.
    """

    study: str
    reference: str
    calls: int
    tasks: tuple[TaskPlan, ...]
    arms: tuple[ArmPlan, ...]
    memory_needed: int | None
    memory_available: int | None
    seconds: float | None
    warnings: tuple[str, ...]
    assay: tuple[Check, ...] = ()
    tokens: Tokens | None = None
    together: bool = True
    order: Order | None = None  # that a run would decide on now
    too_large: tuple[str, ...] = ()
    disk_bytes: int | None = None
    gate: tuple[str, ...] = ()  # what it takes to meet the gate, in sentences
    speed_seconds: float | None = None
    slots: int = 1  # calls that are asked at once
    code: tuple[Code, ...] = ()  # what a run would run because the study names it

    @property
    def fits(self) -> bool:
        """Whether every arm fits in memory; true where that is not known."""
        return not self.too_large


def least_for_margin(
    margin: float, *, alpha: float, proportion: bool, clusters: int | None = None
) -> int | None:
    """Count the items below which equivalence is out of reach.

    None for other scores, and where the items come in too few clusters for any claim.
    """
    if not proportion or (clusters is not None and clusters < FEWEST_CLUSTERS):
        return None
    return least_items(margin, alpha=alpha, clusters=clusters)


def prospects(
    n: int, margin: float, *, alpha: float, proportion: bool = False
) -> tuple[Prospect, ...]:
    """Say what `n` items can show at each typical discordance.

    Args:
        n: items; nothing is said of fewer than two.
        margin: the largest loss that still counts as the same.
        alpha: level of the tests.
        proportion: whether items are right or wrong, and independent; then everything is
            enumerated as long as that is possible. Else the normal approximation is taken, and
            sqrt(discordance) for the spread of a paired difference without a true difference.
    """
    if n < 2:
        return ()
    asked = PowerQuery(n, POWER, margin, alpha)
    return tuple(
        prospect(
            FlipModel(Rates(share / 2.0, share / 2.0), asked)
            if proportion
            else SpreadModel(Spread(math.sqrt(share)), asked),
            n,
            share,
        )
        for share in DISCORDANCES
    )


def prospect(model: PowerModel, n: int, share: float, icc: float | None = None) -> Prospect:
    """Say what `n` items show by one model, which takes arms to disagree on a `share` of items.

    Args:
        model: of what studies show; its clusters, where it has some, are counted too.
        n: items.
        share: the discordance that it assumes.
        icc: the intraclass correlation that it assumes, over clusters.
    """
    same, kept = model.items("equivalent"), model.items("non_inferior")
    shown, method = model.at("equivalent", n)
    clusters = model.clusters
    return Prospect(
        discordance=share,
        detectable=model.detectable(n),
        items_for_margin=same,
        power_non_inferior=model.at("non_inferior", n)[0],
        power_equivalent=shown,
        method=method,
        items_method=method if same is None else model.at("equivalent", same)[1],
        icc=icc,
        clusters_for_margin=None if clusters is None else clusters.holding(same),
        items_for_no_loss=kept,
        clusters_for_no_loss=None if clusters is None else clusters.holding(kept),
    )
