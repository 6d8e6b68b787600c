"""The commands that stand in the pages of docs/, README and CONTRIBUTING."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "examples" / "engine-command" / "README.md",
    *sorted(page for page in (ROOT / "docs").glob("*.md") if page.name != "command-line.md"),
]
NEEDS = {"server", "hub", "GPU", "hours"}
_COMMAND = re.compile(r"(?:\.venv/bin/)?(quantrial|make|pip|python|llama-server|ollama) (.+)")
_MARK = re.compile(r"<!-- needs: (.+) -->")


@dataclass(frozen=True, slots=True)
class Command:
    """One command: where it stands, its program and arguments, and what its block needs."""

    where: str
    program: str
    arguments: str
    needs: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.where}: {self.program} {self.arguments}"


def commands(page: Path) -> list[Command]:
    """Return the commands in the indented blocks of a page, as they follow each other.

    A comment `<!-- needs: server -->` before a block says what a machine lacks that only has what
    `make setup` installs: `server`, `hub` (a download), `GPU` or `hours`.
    """
    found = []
    fenced, needs, last = False, (), ""
    lines = re.sub(r"\\\n\s*", "", page.read_text(encoding="utf-8")).splitlines()
    for number, line in enumerate(lines, 1):
        if line.startswith("```"):
            fenced = not fenced
        in_block = line.startswith("    ") and not fenced
        if in_block and not last.startswith("    "):
            mark = _MARK.fullmatch(last)
            needs = tuple(mark[1].split(", ")) if mark else ()
        if line.strip():
            last = line
        for part in line.split("  # ")[0].split("; ") if in_block else ():
            if match := _COMMAND.fullmatch(part.strip()):
                where = f"{page.relative_to(ROOT)}:{number}"
                found.append(Command(where, match[1], match[2].strip(), needs))
    return found


def inline(page: Path) -> list[Command]:
    """Return the commands of quantrial between backticks in the text of a page."""
    text = page.read_text(encoding="utf-8")
    return [
        Command(page.name, "quantrial", " ".join(said.split()), ())
        for said in re.findall(r"`(?:\.venv/bin/)?quantrial ([a-z][^`]*)`", text)
    ]
