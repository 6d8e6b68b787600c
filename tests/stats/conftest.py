import json
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="session")
def statsmodels_values() -> dict[str, Any]:
    """Values from statsmodels; tests/reference/make_statsmodels.py made them."""
    path = Path(__file__).parents[1] / "reference" / "statsmodels.json"
    values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return values
