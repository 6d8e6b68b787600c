from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import strategies  # noqa: F401 - its profile of Hypothesis holds for every test here

SHARED = Path(__file__).parents[3] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The real benchmark files beside the project; shared/data/README.md describes them."""
    if not SHARED.is_dir():
        pytest.skip(
            f"the benchmark files are not there: {SHARED} (they are no part of the project)"
        )
    return SHARED


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, str | bytes], Path]:
    """Write a file under the temporary folder."""

    def write_file(name: str, content: str | bytes) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        data = content.encode() if isinstance(content, str) else content
        path.write_bytes(data)
        return path

    return write_file
