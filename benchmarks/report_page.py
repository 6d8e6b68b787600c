"""How large the report's page is, how soon it can be used, how long its controls take.

    python benchmarks/report_page.py --items 800 --arms 3
    python benchmarks/report_page.py --items 100000 --arms 3

Needs chromium. Times are of this machine at this hour; each is the median of several, in
milliseconds. `search` and `filter` run until the list shows what was found.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import yaml
from playwright.sync_api import Page, sync_playwright

import quantrial
from quantrial.study import load_study

WORDS = [
    "the",
    "of",
    "and",
    "to",
    "in",
    "is",
    "that",
    "it",
    "was",
    "for",
    "on",
    "are",
    "with",
    "as",
]


def write_study(folder: Path, items: int, arms: int) -> Path:
    """Write a study of questions, answered by a script: a few hundred characters an item."""
    rng = np.random.default_rng(1)
    with (folder / "questions.jsonl").open("w", encoding="utf-8") as file:
        for i in range(items):
            words = " ".join(rng.choice(WORDS, size=40))
            options = [" ".join(rng.choice(WORDS, size=6)) for _ in range(4)]
            row = {
                "question": f"Number {i}: {words}?",
                "options": options,
                "answer": int(rng.integers(4)),
                "subject": f"s{i % 12}",
            }
            file.write(json.dumps(row) + "\n")
    said = ["A", "B", "C", "The answer is D, because " + " ".join(WORDS) + "."]
    study = {
        "study": "large",
        "seed": 1,
        "reference": "a0",
        "arms": {
            f"a{i}": {
                "engine": "scripted",
                "model": f"m{i}",
                "options": {"replies": said[: 2 + i % 3], "bytes": 1000 - 100 * i},
            }
            for i in range(arms)
        },
        "tasks": {
            "quiz": {
                "kind": "choice",
                "workload": "reasoning",
                "source": {"type": "jsonl", "path": "questions.jsonl"},
                "stratify": "subject",
            }
        },
        "analysis": {"resamples": 200},
    }
    path = folder / "study.yaml"
    path.write_text(yaml.safe_dump(study, sort_keys=False), encoding="utf-8")
    load_study(path)
    return path


# inside the page: from an event to the list that follows from it, without the wire to this program
_ACT = """([part, value, event]) => new Promise((done) => {
  const list = document.querySelector('#answers [data-part=list]');
  const control = document.querySelector(`#answers [data-part=${part}]`);
  const start = performance.now();
  new MutationObserver((_, seen) => { seen.disconnect(); done(performance.now() - start); })
    .observe(list, { childList: true });
  if (event === 'click') control.click();
  else { control.value = value; control.dispatchEvent(new Event(event)); }
})"""

_OPEN = """() => new Promise((done) => {
  const links = document.querySelectorAll('#answers [data-part=list] a:not([aria-current])');
  const start = performance.now();
  new MutationObserver((_, seen) => { seen.disconnect(); done(performance.now() - start); })
    .observe(document.querySelector('#answers [data-part=detail]'), { childList: true });
  links[Math.floor(links.length / 2)].click();
})"""

_PICK = """() => {
  const input = document.querySelector('#pick input[type=range]');
  const start = performance.now();
  input.value = String(Number(input.value) > 100 ? 40 : 180);
  input.dispatchEvent(new Event('input'));
  document.body.offsetHeight;
  return performance.now() - start;
}"""


def inside_ms(page: Page, *given: str, times: int = 5) -> float:
    """Time an interaction by the page's own clock."""
    taken = [float(page.evaluate(_ACT, list(given))) for _ in range(times)]
    return round(statistics.median(taken), 1)


def measure(page: Page, address: str) -> dict[str, float]:
    """Open the page and use it."""
    loads = []
    for _ in range(3):
        page.goto(address)
        loads.append(page.evaluate("performance.getEntriesByType('navigation')[0].loadEventEnd"))
    found = {"load": round(statistics.median(loads), 1)}
    start = time.perf_counter()
    page.evaluate("document.getElementById('answers').scrollIntoView()")
    page.wait_for_selector("#answers [data-part=list] a", timeout=120_000)
    found["answers shown"] = round(1000 * (time.perf_counter() - start), 1)
    found["next page"] = inside_ms(page, "after", "", "click")
    found["filter"] = inside_ms(page, "turn", "harmful", "change")
    # typing waits 40 ms for the next key before it searches
    found["search, with its wait"] = inside_ms(page, "text", "Number 7", "input")
    found["reset"] = inside_ms(page, "reset", "", "click")
    found["open an item"] = round(statistics.median(page.evaluate(_OPEN) for _ in range(5)), 1)
    found["pick"] = round(statistics.median(page.evaluate(_PICK) for _ in range(9)), 1)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=800)
    parser.add_argument("--arms", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    args = parser.parse_args()
    chromium = shutil.which("chromium")
    if chromium is None:
        sys.exit("chromium is missing; `apt-get install chromium` installs it")
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        folder = Path(name)
        run = folder / "run"
        quantrial.run(write_study(folder, args.items, args.arms), out=run)
        quantrial.analyze(run)
        start = time.perf_counter()
        files = quantrial.report(run)
        wrote = round(time.perf_counter() - start, 2)
        sizes = {
            path.name: round(path.stat().st_size / 1e6, 2)
            for path in (files.html, run / "report-data.js")
            if path.is_file()
        }
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        found = measure(browser.new_page(), files.html.as_uri())
        browser.close()
    if args.json:
        print(json.dumps({"responses": args.items * args.arms, "mb": sizes, "ms": found}))
        return
    print(f"{args.items * args.arms:,} responses; report written in {wrote} s")
    for file, size in sizes.items():
        print(f"{file:22} {size:8.2f} MB")
    for what, value in found.items():
        print(f"{what:22} {value:8.1f} ms")


if __name__ == "__main__":
    main()
