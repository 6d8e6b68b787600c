"""Count the lines of the package by what they are: code, docstrings, comments, blank lines.

python benchmarks/lines.py               # the files as they are
python benchmarks/lines.py f86a510 HEAD  # at commits
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

HOME = Path(__file__).parents[1]


def kinds(text: str) -> Counter[str]:
    """Count the lines of one file by what they are."""
    docs = set[int]()
    for node in ast.walk(ast.parse(text)):
        value = getattr(node, "value", None) if isinstance(node, ast.Expr) else None
        if isinstance(value, ast.Constant) and isinstance(value.value, str):
            docs |= set(range(value.lineno, (value.end_lineno or value.lineno) + 1))
    found = Counter[str]()
    for number, line in enumerate(text.splitlines(), start=1):
        bare = line.strip()
        kind = "blank" if not bare else "comments" if bare.startswith("#") else "code"
        found["docstrings" if number in docs else kind] += 1
    return found


def git(*arguments: str) -> str:
    """Return what git prints."""
    done = subprocess.run(["git", *arguments], cwd=HOME, capture_output=True, text=True, check=True)
    return done.stdout


def texts(commit: str | None) -> Iterator[str]:
    """Yield the text of each Python file of the package, now or at a commit."""
    if commit is None:
        for path in (HOME / "src").rglob("*.py"):
            yield path.read_text(encoding="utf-8")
        return
    for name in git("ls-tree", "-r", "--name-only", commit, "src/quantrial").splitlines():
        if name.endswith(".py"):
            yield git("show", f"{commit}:{name}")


if __name__ == "__main__":
    names = ("code", "docstrings", "comments", "blank")
    print(f"{'':10}{'files':>8}{'lines':>8}" + "".join(f"{name:>12}" for name in names))
    commits: list[str | None] = [*sys.argv[1:]]
    for at in commits or [None]:
        files = [kinds(text) for text in texts(at)]
        every = sum(files, Counter[str]())
        row = "".join(f"{every[name]:>12,}" for name in names)
        print(f"{at or 'now':10}{len(files):>8,}{every.total():>8,}{row}")
