from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from importers.fabricated import answers, read_rows, write_rows
from quantrial import redaction


@pytest.fixture(autouse=True)
def _no_key_of_another_test() -> Iterator[None]:
    """A key is looked for while its engine is there: engines of other tests may be kept."""
    redactor = redaction._REDACTOR
    kept = redactor._hidden.copy()
    redactor._hidden.clear()
    redactor._settle()
    yield
    redactor._hidden.update(kept)
    redactor._settle()


@pytest.fixture
def published(tmp_path: Path) -> Path:
    directory = tmp_path / "published study"
    directory.mkdir()
    for name, rows in answers().items():
        write_rows(directory / f"{name}.jsonl", rows)
    return directory


@pytest.fixture
def edit(published: Path) -> Callable[[str, int, dict[str, Any]], Path]:
    """Change fields of one row, counted from 0; what is there is overwritten."""

    def change(name: str, index: int, fields: dict[str, Any]) -> Path:
        path = published / f"{name}.jsonl"
        rows = read_rows(path)
        rows[index] |= fields
        write_rows(path, rows)
        return path

    return change
