"""The badge: its sentence by hand, its form, and that a changed one is found."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from xml.etree import ElementTree

import pytest

import quantrial
from command import command
from quantrial.documents.summary import Summary
from quantrial.errors import DocumentError
from quantrial.importers import import_answers
from quantrial.importers.scores import ScoreOptions
from reporting.browser.folders import HOSTILE

SVG = "{http://www.w3.org/2000/svg}"
NS = {"": SVG.strip("{}")}


def scored(folder: Path, arms: Mapping[str, int], *, n: int, margin: str, task: str) -> Path:
    """Import a run in which each arm answers the first so many of n items right."""
    rows = [
        f"{item},{arm},{task},{int(item < right)}\n"
        for arm, right in arms.items()
        for item in range(n)
    ]
    (folder / "scores.csv").write_text("id,arm,task,correct\n" + "".join(rows))
    options = ScoreOptions(reference="f16", margin=margin, scores=("correct",), scored_by="hand")
    import_answers("scores", folder / "scores.csv", folder / "run", options=options)
    quantrial.analyze(folder / "run")
    quantrial.decide(folder / "run")
    return folder / "run"


def title(svg: str) -> str:
    return ElementTree.fromstring(svg).findtext("title", namespaces=NS) or ""


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shipped")
    return scored(folder, {"f16": 600, "Q8_0": 601}, n=830, margin="1pp", task="tickets")


def test_what_is_proven_carries_its_condition(shipped: Path) -> None:
    svg = quantrial.export(shipped, "badge")
    assert title(svg) == "quantrial: Q8_0 non-inferior at 1 pp on tickets, n = 830"
    root = ElementTree.fromstring(svg)
    assert root.get("role") == "img"
    assert root.get("aria-label") == title(svg)
    assert [one.text for one in root.iter(f"{SVG}text")] == [
        "quantrial",
        "Q8_0 non-inferior at 1 pp on tickets, n = 830",
    ]
    assert {one.tag.removeprefix(SVG) for one in root.iter()} == {
        *("svg", "title", "desc", "rect", "path", "g", "text")
    }


@pytest.mark.parametrize(
    ("arms", "said"),
    [
        ({"q4": 100}, "q4 worse at 1 pp on tickets, n = 200"),
        ({"q4": 149}, "q4 undecided at 1 pp on tickets, n = 200"),
        (
            {"q8": 149, "q4": 100},
            "f16 stays: q8 undecided and q4 worse at 1 pp on tickets, n = 200",
        ),
    ],
)
def test_what_is_not_proven_says_so(tmp_path: Path, arms: Mapping[str, int], said: str) -> None:
    run = scored(tmp_path, {"f16": 150, **arms}, n=200, margin="1pp", task="tickets")
    svg = quantrial.export(run, "badge")
    assert title(svg) == f"quantrial: {said}"
    green = re.search(r'<rect[^>]*fill="#1e7033"', svg)
    assert green is None


def contrast(colour: str) -> float:
    """The contrast of a colour with white, by the formula of WCAG 2.2."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    shine = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return 1.05 / (shine + 0.05)


def test_letters_stand_out_from_every_colour() -> None:
    source = (Path(quantrial.__file__).parent / "reporting" / "charts" / "badge.py").read_text()
    colours = re.findall(r'"(#[0-9a-f]{6})"', source)
    assert len(colours) == 4
    assert min(map(contrast, colours)) >= 4.5


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_no_text_leaves_its_place(
    text: str, shipped: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Summary, "named", lambda self, task: text)
    root = ElementTree.fromstring(quantrial.export(shipped, "badge"))
    assert len(list(root.iter())) == 8
    assert int(root.get("width", "0")) < 1500


def test_a_badge_that_was_changed_is_found(shipped: Path, tmp_path: Path) -> None:
    path = tmp_path / "badge.svg"
    done = command("report", str(shipped), "--format", "badge", "-o", str(path))
    assert done.returncode == 0, done.stderr
    right = path.read_text()
    assert quantrial.verify_document(path, run=shipped).ok
    for old, new in (
        ("Q8_0", "Q4_0"),
        ("non-inferior", "equivalent"),
        ("1 pp", "0.5 pp"),
        ("tickets", "everything"),
        ("830", "8300"),
    ):
        path.write_text(right.replace(old, new))
        check = quantrial.verify_document(path, run=shipped)
        assert not check.ok
        assert new in check.problems[0].message
        assert title(right) in check.problems[0].message
    path.write_text(right.replace("#1e7033", "#a8201a"))
    assert "the picture" in quantrial.verify_document(path, run=shipped).problems[0].message
    done = command("verify", "--document", str(path), "--run", str(shipped))
    assert done.returncode == 1, done.stdout
    assert quantrial.verify_document(path, run=shipped, write=True).refreshed == 1
    assert path.read_text() == right


def test_what_is_no_badge_is_named(shipped: Path, tmp_path: Path) -> None:
    path = tmp_path / "other.svg"
    path.write_text('<svg xmlns="http://www.w3.org/2000/svg"><title>a map</title></svg>')
    with pytest.raises(DocumentError, match="is no badge"):
        quantrial.verify_document(path, run=shipped)
    with pytest.raises(DocumentError, match="name its run by --run"):
        quantrial.verify_document(path)
    with pytest.raises(DocumentError, match="cannot be read"):
        quantrial.verify_document(tmp_path / "none.svg", run=shipped)
