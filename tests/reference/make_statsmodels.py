"""Write statsmodels.json: values the tests of `quantrial.stats` are compared with.

Run from the repository root: .venv/bin/python tests/reference/make_statsmodels.py
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import scipy
import statsmodels
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import NormalIndPower, normal_sample_size_one_tail
from statsmodels.stats.proportion import proportion_confint

PROPORTIONS = [(0, 10, 0.95), (10, 10, 0.95), (3, 7, 0.9), (292, 499, 0.95), (81, 263, 0.99)]
FLIPS = [(3, 0), (2, 1), (5, 5), (14, 0), (27, 19), (9, 17), (120, 87), (700, 620)]
FAMILIES = [[0.01, 0.04, 0.03], [0.5, 0.5, 0.001, 0.02], [0.9], [0.02, 0.02, 0.02, 0.2, 1.0]]
PLANS = [(0.08, 0.01, 0.8, 0.05), (0.4, 0.05, 0.9, 0.01), (0.25, 0.03, 0.8, 0.1)]


def proportions() -> list[dict[str, Any]]:
    names = {"wilson": "wilson", "clopper_pearson": "beta", "jeffreys": "jeffreys"}
    return [
        {"successes": k, "n": n, "confidence": level}
        | {
            ours: [float(x) for x in proportion_confint(k, n, alpha=1 - level, method=theirs)]
            for ours, theirs in names.items()
        }
        for k, n, level in PROPORTIONS
    ]


def flips() -> list[dict[str, Any]]:
    rows = []
    for harmful, beneficial in FLIPS:
        table = np.array([[0, harmful], [beneficial, 0]])
        rows.append(
            {
                "harmful": harmful,
                "beneficial": beneficial,
                "exact": float(mcnemar(table, exact=True).pvalue),
                "yates": float(mcnemar(table, exact=False, correction=True).pvalue),
                "asymptotic": float(mcnemar(table, exact=False, correction=False).pvalue),
            }
        )
    return rows


def families() -> list[dict[str, Any]]:
    return [
        {
            "p": family,
            "holm": [float(x) for x in multipletests(family, method="holm")[1]],
            "hochberg": [float(x) for x in multipletests(family, method="simes-hochberg")[1]],
        }
        for family in FAMILIES
    ]


def plans() -> list[dict[str, Any]]:
    one_sample = NormalIndPower(ddof=0)
    return [
        {
            "sd": sd,
            "difference": difference,
            "power": power,
            "alpha": alpha,
            "two_sided": float(
                one_sample.solve_power(difference / sd, power=power, alpha=alpha, ratio=0)
            ),
            "one_sided": float(
                normal_sample_size_one_tail(
                    difference, power, alpha, std_null=sd, std_alternative=sd
                )
            ),
        }
        for sd, difference, power, alpha in PLANS
    ]


def main() -> None:
    document = {
        "made_with": {"statsmodels": statsmodels.__version__, "scipy": scipy.__version__},
        "proportions": proportions(),
        "flips": flips(),
        "families": families(),
        "plans": plans(),
    }
    path = Path(__file__).with_name("statsmodels.json")
    path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
