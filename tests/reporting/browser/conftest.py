"""The page in a real browser: Debian's chromium, driven by Playwright."""

from __future__ import annotations

import functools
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from quantrial.reporting import answers
from reporting.browser.folders import PICTURES, hostile_trial, plain_trial, write
from reporting.trials import Trial

REQUIRED = os.environ.get("QUANTRIAL_BROWSER") == "required"


def missing(what: str, install: str) -> None:
    """Skip what a machine cannot run, and say how it could; in CI that is a failure."""
    words = f"{what} is missing; `{install}` installs it"
    if REQUIRED:
        pytest.fail(words)
    pytest.skip(words)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        missing("chromium", "apt-get install chromium")
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield found
        found.close()


@dataclass
class Visit:
    """A page that is open, and what it asked for and complained about."""

    page: Page
    asked: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def picture(self, name: str) -> None:
        if "QUANTRIAL_PICTURES" not in os.environ:
            return  # slow, and only to look at
        PICTURES.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=PICTURES / f"{name}.png")


Open = Callable[..., Visit]


@pytest.fixture(scope="session")
def context(browser: Browser) -> Callable[..., BrowserContext]:
    """Keep a context of each kind: a new one starts a process, which takes longer than a page.

    The report keeps nothing in a browser, so that no page finds anything of one before it.
    """

    @functools.cache
    def kept(scheme: str, *, has_touch: bool) -> BrowserContext:
        given: dict[str, Any] = {"color_scheme": scheme, "has_touch": has_touch}
        made = browser.new_context(**given, accept_downloads=True)
        made.new_page()  # the process ends with its last page
        return made

    return kept


@pytest.fixture
def visit(context: Callable[..., BrowserContext]) -> Iterator[Open]:
    visits: list[Visit] = []

    def opened(path: Path, *, width: int = 1280, scheme: str = "light", at: str = "") -> Visit:
        page = context(scheme, has_touch=width < 500).new_page()
        page.set_viewport_size({"width": width, "height": 900})
        page.set_default_timeout(8000)
        seen = Visit(page)
        visits.append(seen)
        page.on("request", lambda request: seen.asked.append(request.url))
        page.on("pageerror", lambda error: seen.problems.append(str(error)))
        page.on("dialog", lambda dialog: seen.problems.append(f"dialog: {dialog.message}"))
        page.on(
            "console",
            lambda said: seen.problems.append(said.text) if said.type == "error" else None,
        )
        page.goto(path.as_uri() + at)
        return seen

    yield opened
    for seen in visits:
        seen.page.close()
    for seen in visits:
        assert seen.problems == []
        outside = [url for url in seen.asked if not url.startswith(("file:", "data:", "blob:"))]
        assert outside == []


@pytest.fixture(scope="session")
def trial(tmp_path_factory: pytest.TempPathFactory) -> Trial:
    """Run a small trial with flips, errors and a fault, once for all tests."""
    return plain_trial(tmp_path_factory.mktemp("plain"))


@pytest.fixture(scope="session")
def attacked(trial: Trial) -> Trial:
    """Put an attack into every text of the trial."""
    return hostile_trial(trial)


@pytest.fixture(scope="session")
def report(trial: Trial, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the page of the small trial."""
    return write(trial, tmp_path_factory.mktemp("page"))


@pytest.fixture(scope="session")
def hostile(attacked: Trial, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the page of the trial whose every text is an attack, and stands in the page itself."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(answers, "MOST_INLINE", 10**9)
        return write(attacked, tmp_path_factory.mktemp("page"))


@pytest.fixture(scope="session")
def hostile_apart(attacked: Trial, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the same page; its texts are too large for it, and stand in a file of their own."""
    return write(attacked, tmp_path_factory.mktemp("page"))


@pytest.fixture(scope="session")
def cut(attacked: Trial, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the same page, with room for 20,000 characters of an answer."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(answers, "most_of_each", lambda lengths, most: 20_000)
        return write(attacked, tmp_path_factory.mktemp("page"))
