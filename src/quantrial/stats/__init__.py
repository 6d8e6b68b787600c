"""Statistics for paired comparisons, over arrays: no files, no engines, no printing.

A difference is always candidate minus reference, paired by item; negative is a loss. Where two
columns are given, the first is the reference.

- `results`: what everything hands back
- `proportions`: one proportion (Wilson, Clopper-Pearson); McNemar's tests of two paired ones; is
  each category answered equally often? (Stuart and Maxwell), over clusters too
- `score`: interval, superiority, non-inferiority, equivalence of paired proportions (Tango)
- `linearised`: the same of ratios and means (micro-F1, macro-F1), with strata or clusters
- `permutation`: the sign-flip test of two ratios or means
- `clusters`: cluster-robust variance (CR2, Satterthwaite); how alike values of one cluster are
- `resampling`: the paired bootstrap of ratios of sums, as published studies use it
- `error.multiplicity`: Holm, also over units with gates; fixed sequence, "on every task", "on some
  task"; intervals that match Holm's decisions
- `strata`: is the difference the same in all strata? one test, and one where items come in random
  clusters; differences of strata, pulled towards their mean
- `rates`: rates and their ratios from repeated blocks; how a machine drifted
- `error.looks`: bounds of looks before the last item, and one p over all of them
- `missing`: the worst case of missing answers
- `power`: detectable difference, power, items and clusters needed; from flips, standard deviations
  or the evidence of a pilot
"""

from quantrial.stats.clusters import (
    ClusterVariance,
    cluster_variance,
    intraclass,
)
from quantrial.stats.error.looks import LookBounds, look_bounds, sequential_p
from quantrial.stats.error.multiplicity import (
    AdjustedUnit,
    FamilyUnit,
    fixed_sequence,
    holm,
    holm_in_units,
    holm_intervals,
    intersection_union,
    worse_on_any,
)
from quantrial.stats.linearised import score_ratios
from quantrial.stats.missing import WorstCase, worst_case
from quantrial.stats.permutation import sign_flip
from quantrial.stats.power.clusters import (
    cluster_power,
    clusters_for_score,
    clusters_for_spread,
    detectable_over_clusters,
    in_clusters,
    score_power_over_clusters,
)
from quantrial.stats.power.flip_items import items_for_flips
from quantrial.stats.power.flips import PowerResult, Question, flip_power, least_items
from quantrial.stats.power.items import (
    MarginQuestion,
    detectable_difference,
    items_for_difference,
    items_for_equivalence,
    items_for_non_inferiority,
    items_for_score,
    score_power,
)
from quantrial.stats.proportions import (
    HomogeneityResult,
    McNemarMethod,
    clopper_pearson,
    mcnemar,
    stuart_maxwell,
    stuart_maxwell_clusters,
    wilson,
)
from quantrial.stats.rates import (
    Calls,
    block_paces,
    common_drift,
    drift,
    pooled_rate,
    rate_ratio,
    ratio_between,
)
from quantrial.stats.resampling import PairedBootstrap, RatioBootstrap, bootstrap_ratios
from quantrial.stats.results import (
    Alternative,
    EquivalenceResult,
    Estimate,
    Interval,
    TestResult,
)
from quantrial.stats.score import PairedScore, score_flips
from quantrial.stats.strata.interaction import cluster_interaction, interaction
from quantrial.stats.strata.shrinkage import ShrunkenResult, shrunken, shrunken_ratios

__all__ = [
    "AdjustedUnit",
    "Alternative",
    "Calls",
    "ClusterVariance",
    "EquivalenceResult",
    "Estimate",
    "FamilyUnit",
    "HomogeneityResult",
    "Interval",
    "LookBounds",
    "MarginQuestion",
    "McNemarMethod",
    "PairedBootstrap",
    "PairedScore",
    "PowerResult",
    "Question",
    "RatioBootstrap",
    "ShrunkenResult",
    "TestResult",
    "WorstCase",
    "block_paces",
    "bootstrap_ratios",
    "clopper_pearson",
    "cluster_interaction",
    "cluster_power",
    "cluster_variance",
    "clusters_for_score",
    "clusters_for_spread",
    "common_drift",
    "detectable_difference",
    "detectable_over_clusters",
    "drift",
    "fixed_sequence",
    "flip_power",
    "holm",
    "holm_in_units",
    "holm_intervals",
    "in_clusters",
    "interaction",
    "intersection_union",
    "intraclass",
    "items_for_difference",
    "items_for_equivalence",
    "items_for_flips",
    "items_for_non_inferiority",
    "items_for_score",
    "least_items",
    "look_bounds",
    "mcnemar",
    "pooled_rate",
    "rate_ratio",
    "ratio_between",
    "score_flips",
    "score_power",
    "score_power_over_clusters",
    "score_ratios",
    "sequential_p",
    "shrunken",
    "shrunken_ratios",
    "sign_flip",
    "stuart_maxwell",
    "stuart_maxwell_clusters",
    "wilson",
    "worse_on_any",
    "worst_case",
]
