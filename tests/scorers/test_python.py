"""A scorer of the study's own: what its function may return, and when it runs at all."""

from __future__ import annotations

import json
import math
import re
import shutil
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

import quantrial
from command import command
from quantrial.cli.progress import InterimScores
from quantrial.errors import RecordWarning, ScoringError, StudyError
from quantrial.records import Item
from quantrial.runfolder import RunFolder
from quantrial.scorers.base import Said, Score
from quantrial.scorers.python import Python, PythonPart
from quantrial.study.code import FLAG, code_in
from quantrial.study.scoring import ScorerFile, Scoring
from quantrial.tasks.answer import Answer

# what an answer says is what the function returns: one process for all of them
TEXT = """
import json

def score(item, answer):
    if answer == "item":
        return sorted(item) == ["content", "gold", "id", "metadata"] and item["gold"] == "g"
    if answer == "fails":
        raise KeyError("no such key")
    while answer == "waits":
        pass
    return json.loads(answer)
"""
ITEM = Item("t", "id-1", {"q": "?"}, "g", {"topic": "geo"})
RATIO = {
    "f1": {"type": "ratio", "numerator": {"tp": 2}, "denominator": {"tp": 2, "fp": 1, "fn": 1}},
    "found": {"type": "proportion"},
}


def made(**options: Any) -> Python:
    python = {"scorer": "python", "python": "my_scorers.py:score"}
    return Python(PythonPart.model_validate({**python, **options}).whole(lambda _: TEXT.encode()))


def scored(answer: Any, **options: Any) -> Score:
    text = answer if isinstance(answer, str) else json.dumps(answer)
    return made(**options).score("g", text, Said(Answer(text), ITEM))


@pytest.mark.parametrize(
    ("answer", "options", "expected"),
    [
        ("item", {}, {"correct": 1}),
        (True, {}, {"correct": 1}),
        (False, {}, {"correct": 0}),
        (1, {}, {"correct": 1}),
        (0.5, {"range": [0, 1]}, {"value": 0.5, "correct": 0}),
        (1, {"range": [0, 1]}, {"value": 1, "correct": 1}),
        (0, {"range": [0, 9], "direction": "lower", "unit": "edits"}, {"value": 0, "correct": 1}),
        (
            {"tp": 1, "fp": 1, "fn": 0, "found": True, "more": 7},
            {"endpoints": RATIO},
            {"tp": 1, "fp": 1, "fn": 0, "found": 1, "correct": 0},
        ),
        (
            {"tp": 2, "fp": 0, "fn": 0, "found": 0},
            {"endpoints": RATIO},
            {"tp": 2, "fp": 0, "fn": 0, "found": 0, "correct": 1},
        ),
    ],
)
def test_by_hand(answer: Any, options: dict[str, Any], expected: dict[str, float]) -> None:
    assert scored(answer, **options).values == expected


@pytest.mark.parametrize(
    ("answer", "options", "said"),
    [
        (0.5, {}, r"returned 0\.5; True or False is needed, or `range` in the study"),
        (math.nan, {}, "returned nan; True or False"),
        ({"a": 1}, {}, r"returned \{'a': 1\.0\}; True or False"),
        (1.5, {"range": [0, 1]}, r"returned 1\.5; a number from 0 to 1 is needed"),
        (math.nan, {"range": [0, 1]}, "returned nan; a number from 0 to 1"),
        (-math.inf, {"range": [0, 1]}, "returned -inf"),
        ({"a": 1}, {"range": [0, 1]}, "a number from 0 to 1"),
        ("[1]", {"range": [0, 1]}, "TypeError: returned list; needed is a bool, a number or"),
        (1, {"endpoints": RATIO}, "a mapping with fn, found, fp, tp is needed"),
        ({"tp": 1, "fp": 1, "found": 1}, {"endpoints": RATIO}, "fn is missing"),
        ({"tp": 1, "fp": 0, "fn": math.nan, "found": 1}, {"endpoints": RATIO}, "fn must be a fin"),
        ({"tp": 1, "fp": 0, "fn": -1, "found": 1}, {"endpoints": RATIO}, "f1 must lie between 0"),
        ({"tp": 1, "fp": 0, "fn": 0, "found": 0.5}, {"endpoints": RATIO}, "found is a proportion"),
        ("fails", {}, r"KeyError: 'no such key' \(line 8\)"),
        ("1" * 100_000, {"range": [0, 1]}, "ValueError: Exceeds the limit"),
    ],
)
def test_what_no_endpoint_can_hold_is_a_fault_of_scoring(
    answer: Any, options: dict[str, Any], said: str
) -> None:
    with pytest.raises(ScoringError, match=rf"^my_scorers\.py:score.*{said}"):
        scored(answer, **options)


def test_a_function_that_is_over_its_limit_each_time_ends_the_analysis() -> None:
    fault = r"^my_scorers\.py:score took longer than 0\.5 s$"
    with pytest.raises(ScoringError, match=fault):
        scored("waits", timeout=0.5)
    assert scored(True, timeout=0.5).values == {"correct": 1}  # it counts anew
    for _ in range(2):
        with pytest.raises(ScoringError, match=fault):
            scored("waits", timeout=0.5)
    with pytest.raises(StudyError, match="as for the 2 answers before: nothing more is scored"):
        scored("waits", timeout=0.5)


def test_nothing_read_is_the_worst_there_is() -> None:
    said = Said(Answer(""), ITEM)
    assert made().unread("g", said) == Score({"correct": 0.0}, parsed=False)
    lower = made(range=[0, 9], direction="lower", unit="edits").unread("g", said)
    assert lower.values == {"value": 9, "correct": 0}


@given(st.floats(0, 1))
def test_a_number_in_its_range_is_kept_property(value: float) -> None:
    assert scored(value, range=[0, 1]).values["value"] == value


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"python": "my_scorers:score"}, 'such as "my_scorers.py:score"'),
        ({"python": "my_scorers.py"}, 'such as "my_scorers.py:score"'),
        ({"range": [0, 9]}, "is no share of 0 to 1: say its `unit`"),
        ({"range": [1, 0], "unit": "edits"}, "is not below"),
        ({"range": [0, math.nan], "unit": "edits"}, "finite"),
        ({"direction": "lower"}, "`direction` needs `range`"),
        ({"unit": "edits"}, "`unit` needs `range`"),
        ({"endpoints": {"f1": {"type": "ratio"}}}, "a ratio needs a `denominator`"),
        ({"endpoints": {"f1": {"type": "mean"}}, "range": [0, 1]}, "stand in each of `endpoints`"),
        ({"endpoints": {"f 1": {"type": "mean"}}}, "should match pattern"),
        ({"endpoints": {"f": {"type": "mean", "label": "\x1b[2J"}}}, "visible characters"),
        ({"endpoints": {"f": {"type": "mean", "meaning": "a\n# b"}}}, "visible characters"),
        ({"range": [0, 9], "unit": "edits\u202e"}, "visible characters"),
    ],
)
def test_what_a_study_cannot_say(options: dict[str, Any], said: str) -> None:
    entry: TypeAdapter[Any] = TypeAdapter(Scoring)
    with pytest.raises(ValidationError, match=said):
        entry.validate_python({"python": {"python": "my_scorers.py:score", **options}})


def test_endpoints_are_as_the_study_says() -> None:
    first, second = made(endpoints=RATIO).endpoints
    assert (first.name, first.type, dict(first.numerator)) == ("f1", "ratio", {"tp": 2})
    assert dict(first.denominator) == {"tp": 2, "fp": 1, "fn": 1}
    assert (second.name, dict(second.numerator)) == ("found", {"found": 1})
    (edits,) = made(range=[0, 9], direction="lower", unit="edits").endpoints
    assert (edits.name, edits.type, edits.high, edits.best) == ("score", "mean", 9, 0)
    assert made().right == "score"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("def other(): pass", r"has no function 'score'; it has: other"),
        ("def scores(): pass", "has no function 'score'; did you mean 'scores'"),
        ("", "has no function 'score'; it has none"),
        ("x = (", r"my_scorers\.py, line 1 is no Python: '\(' was never closed"),
        ("\0", "is no Python"),
        ("(" * 10_000, "is no Python"),
    ],
)
def test_a_file_that_holds_no_such_function(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        ScorerFile("my_scorers.py", text).require("score")


@pytest.mark.parametrize(
    "text",
    [
        "async_ = 1\ndef score(a, b): pass",
        "from functools import partial\nscore = partial(print)",
        "from other import *",
        "from other import score",
        "try:\n    def score(a, b): pass\nexcept ImportError: pass",
    ],
)
def test_a_file_that_may_hold_it(text: str) -> None:
    ScorerFile("my_scorers.py", text).require("score")


# the whole way: a study, its run, and what the command line says

OWN = '''
def score(item, answer):
    """Whether the answer names the right city."""
    return item["gold"].lower() in answer.lower()


def letters(item, answer):
    if answer == "Oslo!":
        raise LookupError("Oslo")
    return min(abs(len(answer) - len(item["gold"])), 9)
'''


def write_own(folder: Path, text: str = OWN) -> Path:
    folder.mkdir(exist_ok=True)
    rows = [{"q": f"{i}?", "gold": "Paris"} for i in range(24)]
    (folder / "items.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    (folder / "my_scorers.py").write_text(text, encoding="utf-8")
    path = folder / "study.yaml"
    path.write_text(
        """
study: own
reference: a
margin: 0.05
arms:
  a: {engine: scripted, model: m, options: {replies: [Paris], bytes: 400}}
  b: {engine: scripted, model: n, options: {replies: [paris!], bytes: 200}}
tasks:
  qa:
    kind: text
    workload: qa
    source: {type: jsonl, path: items.jsonl}
    prompt: "{{ q }}"
    margins: {letters: 2 letters}
    score:
      - python: "my_scorers.py:score"
      - python:
          {python: "my_scorers.py:letters", name: letters, range: [0, 9], direction: lower,
           unit: letters}
design: {repeat_reference: 0}
analysis: {resamples: 500}
""",
        encoding="utf-8",
    )
    return path


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study with a scorer of its own, and its run."""
    home = tmp_path_factory.mktemp("own")
    study = write_own(home)
    done = command("run", study.name, "-o", "run", FLAG, cwd=home, drawn=False)
    assert done.returncode == 0, done.stderr
    return home


# plots are not looked at here
pytestmark = pytest.mark.usefixtures("undrawn")


def ask(home: Path, *words: str) -> Any:
    return command(*words, cwd=home, allow=False, drawn=False)


def scores(run: Path) -> dict[str, Any]:
    summary = json.loads((run / "summary.json").read_text(encoding="utf-8"))
    found = summary["tasks"]["qa"]["endpoints"]
    return {
        name: {arm: one["estimate"] for arm, one in of["arms"].items()}
        for name, of in found.items()
    }


def test_a_run_is_scored_by_the_function(own: Path) -> None:
    # "paris!" is right whatever the case, and a letter longer
    assert scores(own / "run") == {"score": {"a": 1, "b": 1}, "letters": {"a": 0, "b": 1}}
    assert (own / "run" / "scorers" / "my_scorers.py").read_text(encoding="utf-8") == OWN
    manifest = json.loads((own / "run" / "manifest.json").read_text(encoding="utf-8"))
    hashes = {one["key"]: one["sha256"] for one in manifest["code"]}
    assert hashes["tasks.qa.score.0"] == sha256(OWN.encode()).hexdigest()


@pytest.mark.parametrize(
    "words",
    [
        ("run", "study.yaml", "-o", "new"),
        ("analyze", "run"),
        ("report", "run"),
        ("verify", "run"),
        ("compare", "run", "other"),
        ("decide", "unsettled"),
    ],
)
def test_without_the_flag_the_file_is_printed(own: Path, words: tuple[str, ...]) -> None:
    for name in ("other", "unsettled"):
        shutil.copytree(own / "run", own / name, dirs_exist_ok=True)
    (own / "unsettled" / "summary.json").unlink()
    done = ask(own, *words)
    assert done.returncode == 2, done.stdout
    assert "tasks.qa.score.0: the function score of my_scorers.py" in done.stderr
    assert '        """Whether the answer names the right city."""' in done.stderr
    assert FLAG in done.stderr
    assert not (own / "new").exists()
    if words[0] in ("analyze", "decide", "verify"):
        assert ask(own, *words, FLAG).returncode == 0


@pytest.mark.parametrize(
    "words",
    [
        ("plan", "study.yaml", "--no-probe"),
        ("prompts", "study.yaml"),
        ("decide", "run"),
        ("power", "--from", "run"),
    ],
)
def test_what_scores_nothing_needs_no_flag(own: Path, words: tuple[str, ...]) -> None:
    done = ask(own, *words)
    assert done.returncode == 0, done.stderr
    assert words[0] != "plan" or "the function score of my_scorers.py" in done.stdout


def test_a_changed_scorer_is_told_from_a_changed_answer(own: Path, tmp_path: Path) -> None:
    run = shutil.copytree(own / "run", tmp_path / "run")
    copy = run / "scorers" / "my_scorers.py"
    copy.write_text(OWN.replace(".lower()", ""), encoding="utf-8")
    found = quantrial.verify(run)
    places = [(drift.file, drift.key) for drift in found.drifts]
    assert ("scorers/my_scorers.py", "sha256") in places
    assert not any(file.startswith("responses/") for file, _ in places)
    assert any("the code that scores qa changed since the run" in note for note in found.notes)
    # who means it analyses again: all follows, and what changed is still said
    quantrial.analyze(run)
    quantrial.decide(run)
    quantrial.report(run)
    assert scores(run)["score"] == {"a": 1, "b": 0}
    found = quantrial.verify(run)
    assert found.ok
    assert any("the file changed since the run began" in one for one in found.warnings)


def test_the_hash_of_the_study_is_that_of_any_scorer(own: Path, tmp_path: Path) -> None:
    other = write_own(tmp_path, OWN.replace("9)", "8)"))
    ours, theirs = quantrial.load_study(own / "study.yaml"), quantrial.load_study(other)
    assert ours.hash == theirs.hash
    assert [a.sha256 != b.sha256 for a, b in zip(code_in(ours), code_in(theirs), strict=True)] == [
        *(False, False, True, True)
    ]
    # a run goes on with the file that it began with, and says so
    run = shutil.copytree(own / "run", tmp_path / "run")
    with pytest.warns(RecordWarning, match=r"my_scorers\.py changed since the run began"):
        quantrial.run(other, out=run)
    assert (run / "scorers" / "my_scorers.py").read_text(encoding="utf-8") == OWN


def test_a_fault_of_scoring_is_no_wrong_answer(own: Path, tmp_path: Path) -> None:
    study = write_own(tmp_path)
    study.write_text(study.read_text().replace("[paris!]", "[Oslo!, Paris]"))
    run = quantrial.run(study, out=tmp_path / "run").folder
    folder, scores = RunFolder(run), InterimScores(run)
    for response in folder.read_responses("qa", "b"):
        shown = scores(response)
    assert shown == {"b": "qa 100 %"}  # interim scores go without those answers
    said = r"item [\w-]+, letters: my_scorers\.py:letters: LookupError: Oslo \(line 9\)"
    task = quantrial.analyze(run)["tasks"]["qa"]
    assert any(re.search(said, str(one)) for one in task["warnings"]), task["warnings"]
    found = task["endpoints"]["score"]["arms"]["b"]
    assert 0 < found["n"] < 24
    assert found["estimate"] == 1


def test_a_scorer_that_fails_on_every_answer_ends_in_exit_1(tmp_path: Path) -> None:
    fails = "def score(item, answer):\n    raise ValueError('broken')\n\n\nletters = score\n"
    study = write_own(tmp_path, fails)
    done = ask(tmp_path, "run", study.name, "-o", "run", FLAG)
    assert done.returncode == 1
    assert "error: qa: no answer has a score" in done.stderr
    assert (tmp_path / "run" / "report.md").is_file()  # which says why


def test_a_file_that_is_not_there_is_named(own: Path, tmp_path: Path) -> None:
    study = write_own(tmp_path)
    (tmp_path / "my_scorers.py").unlink()
    with pytest.raises(StudyError, match=r"tasks\.qa\.score\.0: .*my_scorers\.py cannot be read"):
        quantrial.load_study(study)
    study.write_text(study.read_text().replace("my_scorers.py:letters", "more/my_scorers.py:it"))
    (tmp_path / "my_scorers.py").write_text(OWN, encoding="utf-8")
    with pytest.raises(StudyError, match="have one name, and a run keeps a copy of each"):
        quantrial.load_study(study)
    run = shutil.copytree(own / "run", tmp_path / "run")
    (run / "scorers" / "my_scorers.py").unlink()
    with pytest.raises(StudyError, match=r"scorers/my_scorers\.py cannot be read"):
        quantrial.analyze(run)
