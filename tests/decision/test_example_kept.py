"""The committed example's numbers, keys, ids and their order, whatever its sentences say.

`python tests/decision/test_example_kept.py` writes what is kept anew: after a change of the
methods, never after a change of words.
"""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
DEMO = ROOT / "examples" / "demo"
KEPT = ROOT / "tests" / "data" / "example_without_prose.json"
FILES = ("summary.json", "decision.json")

# The one rule of what is prose: what stands under these keys, whatever the document. `made_of` is
# a fingerprint of a summary with its prose; versions and hashes of files say who derived it.
PROSE = frozenset({"text", "evidence", "warnings", "made_of", "quantrial", "inputs"})
_DEPTH = 3  # how far down parts have a hash of their own, so that a failure names its place


def without_prose(document: Any) -> Any:
    """Leave out what prose says; its key and the order of keys stay."""
    if isinstance(document, dict):
        return {k: None if k in PROSE else without_prose(v) for k, v in document.items()}
    if isinstance(document, list):
        return [without_prose(one) for one in document]
    return document


def skeleton(document: Any) -> dict[str, str]:
    """Return a hash of every part by its place, in the order of the document."""
    return dict(_hashes("", without_prose(document), _DEPTH))


def _hashes(place: str, part: Any, depth: int) -> Iterator[tuple[str, str]]:
    inside: list[tuple[Any, Any]] = []
    if depth and isinstance(part, (dict, list)):
        inside = list(part.items() if isinstance(part, dict) else enumerate(part))
    for name, value in inside:
        yield from _hashes(f"{place}/{name}", value, depth - 1)
    if not inside:
        said = json.dumps(part)  # in the order of the keys
        yield place, hashlib.sha256(said.encode()).hexdigest()[:12]


def example(file: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((DEMO / file).read_text(encoding="utf-8"))
    return found


@pytest.mark.parametrize("file", FILES)
def test_only_prose_of_the_example_may_change(file: str) -> None:
    kept = json.loads(KEPT.read_text(encoding="utf-8"))[file]
    found = skeleton(example(file))
    assert [place for place in found if kept.get(place) != found[place]] == []
    assert list(found) == list(kept)


def _last_contrast(document: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = document["tasks"]["people"]["endpoints"]["micro_f1"]["contrasts"][-1]
    return found


@pytest.mark.parametrize(
    ("change", "seen"),
    [
        (lambda d: _last_contrast(d).update(estimate=0.1), True),
        (lambda d: _last_contrast(d).update(verdict="better"), True),
        (lambda d: _last_contrast(d).update(more=None), True),
        (lambda d: _last_contrast(d).update(id=_last_contrast(d).pop("id")), True),  # the order
        (lambda d: d["assay"].reverse(), True),
        (lambda d: d["assay"].pop(), True),
        (lambda d: d.update(schema=d.pop("schema")), True),
        (lambda d: d["assay"][0].update(text="another sentence"), False),
        (lambda d: d["tasks"]["people"]["warnings"].pop(), False),
    ],
)
def test_what_is_kept_tells_numbers_from_prose(
    change: Callable[[dict[str, Any]], Any], seen: bool
) -> None:
    document = example("summary.json")
    before, changed = skeleton(document), copy.deepcopy(document)
    change(changed)
    assert (list(skeleton(changed).items()) != list(before.items())) is seen


if __name__ == "__main__":
    KEPT.write_text(json.dumps({file: skeleton(example(file)) for file in FILES}, indent=0) + "\n")
