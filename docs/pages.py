"""What the site needs beyond the pages: README, CONTRIBUTING and CHANGELOG as pages of it.

A hook of mkdocs (`mkdocs.yml` names it). Links to files that are no page lead to the repository;
one to a file that is not there fails the build.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
OUTSIDE = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
}
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_LINK = re.compile(r"(?<=\]\()(?!https?:|#)([^)#\s]+)")


def on_config(config: Any) -> Any:
    """Give each hard choice its place in the navigation."""
    choices = [f"decisions/{path.name}" for path in sorted((ROOT / "docs/decisions").glob("*.md"))]
    config["nav"].append({"Hard choices": choices})
    return config


def on_files(files: Files, config: Any) -> Files:
    """Add the pages from outside docs/."""
    for name, page in OUTSIDE.items():
        text = (ROOT / name).read_text(encoding="utf-8")
        files.append(File.generated(config, page, content=_linked(text, "", config)))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, **_: Any) -> str:
    """Mend the links of a page that lead out of docs/."""
    if page.file.src_uri in OUTSIDE.values():
        return markdown
    return _linked(markdown, posixpath.join("docs", posixpath.dirname(page.file.src_uri)), config)


def _linked(text: str, folder: str, config: Any) -> str:
    """Return a text of a file in `folder` with its links as the site needs them.

    Raises:
        PluginError: a link leads to no file.
    """

    def lead(match: re.Match[str]) -> str:
        path = posixpath.normpath(posixpath.join(folder, match[1]))
        if not (ROOT / path).exists():
            raise PluginError(f"a link leads to {path}, which is not there")
        if path in OUTSIDE:
            path = f"docs/{OUTSIDE[path]}"
        elif (ROOT / path).is_dir() and (pages := sorted((ROOT / path).glob("*.md"))):
            path = pages[0].relative_to(ROOT).as_posix()  # a folder is read from its first page
        if not path.startswith("docs/"):
            kind = "tree" if (ROOT / path).is_dir() else "blob"
            return f"{config['repo_url']}/{kind}/main/{path}"
        return posixpath.relpath(path, folder or "docs")

    # a comment at the beginning of a line (the marks of numbers) would break its paragraph
    return _LINK.sub(lead, _COMMENT.sub("", text))
