import json
from pathlib import Path
from typing import Any

import pytest

REFERENCE = Path(__file__).parents[1] / "reference"


def stored(name: str) -> dict[str, Any]:
    values: dict[str, Any] = json.loads((REFERENCE / name).read_text(encoding="utf-8"))
    return values


@pytest.fixture(scope="session")
def statsmodels_values() -> dict[str, Any]:
    """Values from statsmodels; tests/reference/make_statsmodels.py made them."""
    return stored("statsmodels.json")


@pytest.fixture(scope="session")
def scipy_values() -> dict[str, Any]:
    """Values from scipy; tests/reference/make_scipy.py made them."""
    return stored("scipy.json")


@pytest.fixture(scope="session")
def r_values() -> dict[str, Any]:
    """Values from packages of R; tests/reference/make_r.R made them."""
    return stored("r.json")
