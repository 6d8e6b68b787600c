"""Write paule_mandel.json: variances between strata that `shrunken` is compared with.

Run from the repository root: .venv/bin/python tests/reference/make_paule_mandel.py
"""

import json
from pathlib import Path

import numpy as np
import statsmodels
from statsmodels.stats.meta_analysis import combine_effects

CASES = [
    ([-0.02, 0.01, -0.06, 0.03, -0.11], [0.0004, 0.0009, 0.0002, 0.0016, 0.0005]),
    ([0.10, 0.11, 0.09], [0.01, 0.02, 0.03]),
    ([28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0], [225.0, 100, 256, 121, 81, 121, 100, 324]),
    ([-0.3, 0.4], [0.01, 0.002]),
]


def main() -> None:
    rows = []
    for estimates, variances in CASES:
        result = combine_effects(
            np.array(estimates), np.array(variances), method_re="iterated", atol=1e-14
        )
        rows.append(
            {
                "estimates": estimates,
                "variances": variances,
                "variance_between": float(result.tau2),
                "mean": float(result.mean_effect_re),
            }
        )
    document = {"made_with": {"statsmodels": statsmodels.__version__}, "cases": rows}
    path = Path(__file__).with_name("paule_mandel.json")
    path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
