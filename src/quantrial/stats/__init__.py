"""Statistics for paired comparisons, over arrays: no files, no engines, no printing.

A difference is always candidate minus reference, paired by item; negative is a loss. Where two
columns are given, the first is the reference.

- `results`: what everything hands back
- `proportions`: one proportion (Wilson, Clopper-Pearson, Jeffreys); McNemar's tests of two
- `score`: interval, superiority, non-inferiority, equivalence of paired proportions (Tango)
- `linearised`: the same of ratios and means (micro-F1, macro-F1), with strata or clusters
- `permutation`: the sign-flip test of two ratios or means
- `clusters`: cluster-robust variance (CR2, Satterthwaite); CR1, wild bootstrap for comparison
- `intraclass`: how alike values of one cluster are
- `resampling`: the paired bootstrap of ratios of sums, as published studies use it
- `multiplicity`: Holm, also over units with gates; Hochberg, fixed sequence, "on every task", "on
  some task"
- `simultaneous`: intervals that match Holm's decisions
- `heterogeneity`: is the difference the same in all strata? one test
- `cluster_heterogeneity`: the same where items come in random clusters
- `homogeneity`: is each category answered equally often? (Stuart and Maxwell), over clusters too
- `shrinkage`: differences of strata, pulled towards their mean
- `pace`: how a machine drifted while several arms worked on it in turn
- `rates`: rates and their ratios from repeated blocks; linear drift
- `missing`: the worst case of missing answers
- `spread_power`, `flip_power`, `score_power`: detectable difference, power, and items needed
- `flip_items`: items from which on flips give the power asked for
- `cluster_power`: clusters needed
"""

from quantrial.stats.cluster_heterogeneity import cluster_interaction
from quantrial.stats.cluster_power import (
    cluster_power,
    clusters_for_score,
    clusters_for_spread,
    detectable_over_clusters,
    in_clusters,
    score_power_over_clusters,
)
from quantrial.stats.clusters import (
    ClusterMethod,
    ClusterVariance,
    cluster_variance,
    wild_clusters,
)
from quantrial.stats.flip_items import items_for_flips
from quantrial.stats.flip_power import PowerResult, Question, flip_power, least_items
from quantrial.stats.heterogeneity import interaction
from quantrial.stats.homogeneity import (
    HomogeneityResult,
    stuart_maxwell,
    stuart_maxwell_clusters,
)
from quantrial.stats.intraclass import intraclass
from quantrial.stats.linearised import score_ratios
from quantrial.stats.missing import WorstCase, worst_case
from quantrial.stats.multiplicity import (
    AdjustedUnit,
    FamilyUnit,
    fixed_sequence,
    hochberg,
    holm,
    holm_in_units,
    intersection_union,
    worse_on_any,
)
from quantrial.stats.pace import Calls, block_paces, common_drift
from quantrial.stats.permutation import sign_flip
from quantrial.stats.proportions import (
    McNemarMethod,
    clopper_pearson,
    jeffreys,
    mcnemar,
    wilson,
)
from quantrial.stats.rates import drift, pooled_rate, rate_ratio, ratio_between
from quantrial.stats.resampling import PairedBootstrap, RatioBootstrap, bootstrap_ratios
from quantrial.stats.results import (
    Alternative,
    EquivalenceResult,
    Estimate,
    Interval,
    TestResult,
)
from quantrial.stats.score import PairedScore, score_flips
from quantrial.stats.score_power import MarginQuestion, items_for_score, score_power
from quantrial.stats.shrinkage import ShrunkenResult, shrunken, shrunken_ratios
from quantrial.stats.simultaneous import holm_intervals
from quantrial.stats.spread_power import (
    detectable_difference,
    items_for_difference,
    items_for_equivalence,
    items_for_non_inferiority,
)

__all__ = [
    "AdjustedUnit",
    "Alternative",
    "Calls",
    "ClusterMethod",
    "ClusterVariance",
    "EquivalenceResult",
    "Estimate",
    "FamilyUnit",
    "HomogeneityResult",
    "Interval",
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
    "hochberg",
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
    "jeffreys",
    "least_items",
    "mcnemar",
    "pooled_rate",
    "rate_ratio",
    "ratio_between",
    "score_flips",
    "score_power",
    "score_power_over_clusters",
    "score_ratios",
    "shrunken",
    "shrunken_ratios",
    "sign_flip",
    "stuart_maxwell",
    "stuart_maxwell_clusters",
    "wild_clusters",
    "wilson",
    "worse_on_any",
    "worst_case",
]
