"""Marked numbers: keys, formats, files; and the project's own pages against its example."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

import quantrial
from command import command
from quantrial.errors import DocumentError, FormatError, KeyNotFoundError
from quantrial.marking import find, written

ROOT = Path(__file__).parents[1]
EXAMPLE = ROOT / "examples" / "demo"
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
MARKED = [ROOT / "README.md", ROOT / "docs" / "decision.md", ROOT / "docs" / "quickstart.md"]

SUMMARY: dict[str, Any] = {
    "reference": "fp16",
    "tasks": {
        "quiz": {
            "n": 1405,
            "contrasts": [
                {"candidate": "q4", "reference": "q8", "estimate": -0.5},
                {"candidate": "q4", "reference": "fp16", "estimate": -0.0164, "ci": [-0.03, 0.0]},
            ],
            "strata": {"a.b [c]": {"n": 7}},
        }
    },
}
DOCUMENTS = {"summary": SUMMARY, "decision": {"default": {"arm": "fp16"}}}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("reference", "fp16"),
        ("tasks.quiz.n", 1405),
        ("tasks.quiz.contrasts[q4].estimate", -0.0164),
        ("tasks.quiz.contrasts[q4 vs q8].estimate", -0.5),
        ("tasks.quiz.contrasts[0].estimate", -0.5),
        ("tasks.quiz.contrasts[q4].ci[0]", -0.03),
        ('tasks.quiz.strata."a.b [c]".n', 7),
        ("decision.default.arm", "fp16"),
    ],
)
def test_keys_by_hand(key: str, value: Any) -> None:
    assert find(DOCUMENTS, key) == value


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("task.quiz.n", "there is no 'task' in the summary; the nearest is tasks.quiz.n"),
        ("tasks.quizz.n", "there is no 'quizz' in tasks; the nearest is tasks.quiz.n"),
        ("tasks.quiz.contrasts[q5].ci", "the nearest is tasks.quiz.contrasts[q4].ci"),
        ("tasks.quiz.strata.ab.n", 'the nearest is tasks.quiz.strata."a.b [c]".n'),
        ("tasks.quiz.n.more", "tasks.quiz.n is a value and holds no 'more'"),
        ("manifest.arms", "the run holds no manifest.json"),
        ("", "is no key; write one like tasks.quiz.flow.planned"),
        ("[0]", "is no key"),
        ("tasks.quiz.]", "is no key"),
    ],
)
def test_an_unknown_key_is_refused_with_the_nearest(key: str, said: str) -> None:
    with pytest.raises(KeyNotFoundError) as caught:
        find(DOCUMENTS, key)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("value", "form", "text"),
    [
        (0.0164, "pp", "+1.6"),
        (-0.0164, "pp", "−1.6"),
        (-0.0164, "pp.2", "−1.64"),
        (-0.0004, "pp", "0.0"),
        (-0.0164, "loss", "1.6"),
        (0.585, "%", "58.5"),
        (0.585, "%.0", "58"),
        ([-0.026, 0.0264], "pp", "−2.6 to +2.6"),
        ([None, 0.1], "%", "unknown to 10.0"),
        (1.2743, "x", "1.27"),
        (-2.5, "x.1", "−2.5"),
        (1405, "int", "1,405"),
        (0.0131, "p", ".013"),
        (0.0002, "p", "< .001"),
        (1.0, "p", "1"),
        (144_811_072, "MB", "145"),
        (8_540_000_000, "GB", "8.5"),
        ("fp16", "text", "fp16"),
        ("<b>\x1b[31m\u202e", "text", "\\<b>\\u001b[31m\\u202e"),
        (None, "pp", "unknown"),
    ],
)
def test_formats_by_hand(value: Any, form: str, text: str) -> None:
    assert written(value, form) == text


@pytest.mark.parametrize(
    ("value", "form"),
    [(1.0, "points"), (1.0, "p.3"), ("x", "pp"), (True, "int"), (1.0, "text"), (float("nan"), "x")],
)
def test_a_format_that_does_not_fit_is_refused(value: Any, form: str) -> None:
    with pytest.raises(FormatError):
        written(value, form)


def document(folder: Path, text: str, name: str = "page.md") -> Path:
    path = folder / name
    path.write_bytes(text.encode())
    return path


def problems(path: Path, **options: Any) -> list[tuple[int, str]]:
    found = quantrial.verify_document(path, run=EXAMPLE, **options)
    return [(one.line, one.message) for one in found.problems]


ACCURACY = "tasks.quiz.endpoints.accuracy.arms.q8_0.estimate"


def test_a_stale_number_is_named_and_refreshed_and_nothing_else_changes(tmp_path: Path) -> None:
    right = json.loads((EXAMPLE / "summary.json").read_bytes())
    value = right["tasks"]["quiz"]["endpoints"]["accuracy"]["arms"]["q8_0"]["estimate"]
    text = f"One\r\n\r\nTwo <!-- q: {ACCURACY} | % -->12.3<!-- /q --> %\ttail  \n"
    path = document(tmp_path, text)
    ((line, said),) = problems(path)
    assert (line, said) == (3, f"says '12.3', the run gives '{100 * value:.1f}'")
    assert path.read_bytes() == text.encode()
    assert quantrial.verify_document(path, run=EXAMPLE, write=True).refreshed == 1
    assert path.read_bytes() == text.replace("12.3", f"{100 * value:.1f}").encode()
    assert problems(path) == []
    assert quantrial.verify_document(path, run=EXAMPLE, write=True).refreshed == 0


def test_marks_within_code_are_left_alone(tmp_path: Path) -> None:
    stale = f"<!-- q: {ACCURACY} | % -->0<!-- /q -->"
    path = document(tmp_path, f"```text\n{stale}\n```\n`{stale}` ``{stale}``\n\n{stale}\n")
    assert [line for line, _ in problems(path)] == [6]
    quantrial.verify_document(path, run=EXAMPLE, write=True)
    assert path.read_text().count(stale) == 3


def test_in_a_table_the_bar_is_escaped(tmp_path: Path) -> None:
    path = document(tmp_path, f"| a |\n| --- |\n| <!-- q: {ACCURACY} \\| % -->0<!-- /q --> |\n")
    assert [line for line, _ in problems(path)] == [3]


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        (f"\n<!-- q: {ACCURACY} | % -->51", 2, "is not closed by"),
        (f"<!-- q: {ACCURACY} | % -->1 <!-- q: x -->2<!-- /q -->", 1, "is not closed by"),
        ("a <!-- /q -->", 1, "closes a mark that was not opened"),
        ("\n\n<!-- q tasks.quiz -->3<!-- /q -->", 3, "is no mark; write one like <!-- q: "),
        ("<!-- q: tasks.quit.n | int -->3<!-- /q -->", 1, "the nearest is tasks.quiz"),
        ("<!-- q: tasks.quiz.flow.planned | ints -->3<!-- /q -->", 1, "'ints' is no format"),
    ],
)
def test_a_mark_that_cannot_be_checked_is_a_problem(
    tmp_path: Path, text: str, line: int, said: str
) -> None:
    found = problems(document(tmp_path, text))
    assert found[0][0] == line
    assert said in found[0][1]
    # and writing does not hide it
    assert problems(tmp_path / "page.md", write=True)


def test_other_comments_are_nobodys_business(tmp_path: Path) -> None:
    text = f"<!-- quite so --> <!-- q: {ACCURACY} | % -->51.6<!-- note -->x<!-- /q -->"
    assert problems(document(tmp_path, text))[0][1].startswith("says '51.6<!-- note -->x'")


def test_which_run(tmp_path: Path) -> None:
    mark = "<!-- q: tasks.quiz.flow.planned | int -->1<!-- /q -->"
    path = document(tmp_path, mark)
    (one,) = quantrial.verify_document(path).problems
    assert one.message == "which run? --run, or <!-- q-run: FOLDER -->"
    path = document(tmp_path, f"<!-- q-run: nowhere -->{mark}")
    (one,) = quantrial.verify_document(path).problems
    assert "nowhere: no such run folder" in one.message
    # from the folder of the file, wherever one stands
    where = os.path.relpath(EXAMPLE, tmp_path)
    path = document(tmp_path, f"<!-- q-run: {where} -->{mark}")
    assert quantrial.verify_document(path, write=True).refreshed == 1


def test_files_that_are_no_documents(tmp_path: Path) -> None:
    with pytest.raises(DocumentError, match="no number is marked; mark one like <!-- q: "):
        quantrial.verify_document(document(tmp_path, "# Nothing"))
    with pytest.raises(DocumentError, match="cannot be read"):
        quantrial.verify_document(tmp_path / "nothing.md")
    (tmp_path / "latin.md").write_bytes(b"\xe4")
    with pytest.raises(DocumentError, match="not UTF-8"):
        quantrial.verify_document(tmp_path / "latin.md")


def test_the_command_line_says_line_and_key_and_exits_1(tmp_path: Path) -> None:
    path = document(tmp_path, "\n<!-- q: tasks.quiz.flow.planned | int -->1<!-- /q -->")
    words = ["verify", "--document", str(path), "--run", str(EXAMPLE)]
    done = command(*words)
    assert done.returncode == 1
    first, last = done.stdout.splitlines()
    assert first == f"{path}, line 2: tasks.quiz.flow.planned: says '1', the run gives '768'"
    assert last == f"{path}: 1 of 1 marked number is wrong"
    done = command(*words, "--write")
    assert (done.returncode, done.stdout) == (0, f"{path}: 1 of 1 marked number refreshed\n")
    # two that can be refreshed, and one that is not closed: it counts, and what was done is said
    marks = "<!-- q: tasks.quiz.flow.planned | int -->1<!-- /q -->\n" * 2
    path = document(tmp_path, f"\n{marks}<!-- q: tasks.quiz.primary | text -->accuracy")
    words[words.index("--document") + 1] = str(path)
    done = command(*words, "--write")
    assert done.returncode == 1
    last = done.stdout.splitlines()[-1]
    assert last == f"{path}: 1 of 3 marked numbers is wrong; 2 refreshed"


@pytest.mark.parametrize("page", MARKED, ids=lambda page: page.name)
def test_the_projects_own_pages(page: Path) -> None:
    found = quantrial.verify_document(page)
    assert [(one.line, one.key, one.message) for one in found.problems] == []


def test_every_page_with_marks_is_checked() -> None:
    marked = {
        page
        for page in PAGES
        if page.name != "marked-numbers.md"  # it shows a mark, within code
        and "<!-- q:" in page.read_text(encoding="utf-8")
    }
    assert marked == set(MARKED)
