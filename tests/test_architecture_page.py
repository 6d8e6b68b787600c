"""The page on how the code is built: every file and name on it exists, and its way is short."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "quantrial"
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
SPINE = re.findall(r"`([^`]+\.py)`", PAGE.split("<!-- spine -->")[1].split("<!-- /spine -->")[0])
ANSWERS = re.findall(r"^\*\*(?P<asked>[^*]+\?)\*\* (?P<answer>.+?)(?=^\*\*|\Z)", PAGE, re.M | re.S)
_FILE = re.compile(r"(?:[\w.]+/)*[\w.]+\.py|(?:[\w.]+/)+")
OTHERS = {"quantrial", "default", "verify", "read", "kind", "score"}  # commands, keys, parameters
NAMED = sorted({*SPINE, *_FILE.findall(" ".join(re.findall(r"`([^`]+)`", PAGE)))})
_PLAIN = re.compile(r"[A-Za-z_]\w*")


def there(name: str) -> Path:
    """Return where a file or folder of the page is."""
    return ROOT / name if name.startswith("tests/") else SOURCE / name


@cache
def defined(path: Path) -> frozenset[str]:
    """Name everything that a file defines, methods and fields included."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
    return frozenset(found)


def test_the_way_is_short() -> None:
    assert 8 <= len(SPINE) <= 14
    lines = sum(len(there(name).read_text(encoding="utf-8").splitlines()) for name in SPINE)
    assert lines < 2000, f"{lines} lines are no hour's reading"


def test_twelve_questions_are_answered_in_three_lines_each() -> None:
    assert len(ANSWERS) >= 12
    for asked, answer in ANSWERS:
        assert len(answer.strip().splitlines()) <= 3, asked
        assert "`" in answer, asked


@pytest.mark.parametrize("name", NAMED)
def test_every_file_on_it_exists(name: str) -> None:
    if name not in {"responses/"}:  # of a run folder
        assert there(name).exists(), name


@pytest.mark.parametrize(("asked", "answer"), ANSWERS, ids=[asked for asked, _ in ANSWERS])
def test_every_name_of_an_answer_is_defined_in_a_file_of_it(asked: str, answer: str) -> None:
    marked = re.findall(r"`([^`]+)`", answer)
    files = [there(name) for name in marked if _FILE.fullmatch(name)]
    assert files, asked
    known = frozenset[str]().union(
        *(defined(p) for file in files for p in ([file] if file.is_file() else file.rglob("*.py")))
    )
    for name in marked:
        parts = [part for part in name.split("(")[0].split(".") if part]
        is_name = all(map(_PLAIN.fullmatch, parts)) and not _FILE.fullmatch(name)
        if is_name and parts[0] not in OTHERS and not name.endswith(".json"):
            for part in parts:
                assert part in known, f"{name} is in none of the files that the answer names"
