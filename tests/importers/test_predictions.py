"""`check`, and predictions that are scored here: each exit code by files that really are so."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import quantrial
from quantrial.cli import app
from quantrial.errors import DataError, QuantrialError, StudyError
from quantrial.importers import TableOptions
from quantrial.runfolder import RunFolder

FORMATS = Path(__file__).parents[1] / "data" / "formats"
N = 200
GOLD = [("Paris", "Rome", "Oslo")[n % 3] for n in range(N)]


def answers(wrong: int) -> list[str]:
    return ["Bern" if n < wrong else gold for n, gold in enumerate(GOLD)]


def lines(path: Path, texts: Sequence[str]) -> Path:
    path.write_text("".join(f"{text}\n" for text in texts))
    return path


def with_ids(path: Path, texts: Sequence[Any], **more: Sequence[Any]) -> Path:
    rows = [
        {"id": n, "answer": text, **{name: values[n] for name, values in more.items()}}
        for n, text in enumerate(texts)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("predictions")
    lines(folder / "gold.txt", GOLD)
    (folder / "gold.csv").write_text(
        "id,gold\n" + "".join(f"{n},{gold}\n" for n, gold in enumerate(GOLD))
    )
    # of 200 items f16 answers 190 right; q8 189, q6 187, q2 150
    for arm, wrong in {"f16": 10, "q8": 11, "q6": 13, "q2": 50, "again": 10}.items():
        lines(folder / f"{arm}.txt", answers(wrong))
        with_ids(folder / f"{arm}.jsonl", answers(wrong), gold=GOLD)
    with_ids(folder / "few.jsonl", [*answers(10)[:180], *[None] * 20])
    with_ids(folder / "none.jsonl", [None] * N)
    return folder


CASES = [
    ("q8.txt", "5pp", "PASS", 0),
    ("q2.txt", "5pp", "FAIL", 1),
    ("q6.txt", "2pp", "UNDECIDED", 3),
    ("q8.txt", "0.1pp", "UNDECIDED", 3),  # fewer items than a spotless candidate needs
    ("again.txt", "5pp", "INVALID", 4),  # the same answers
]


@pytest.mark.parametrize(("candidate", "margin", "verdict", "code"), CASES)
def test_each_exit_code_is_reached_by_files_that_are_so(
    files: Path, candidate: str, margin: str, verdict: str, code: int
) -> None:
    found = CliRunner().invoke(
        app,
        ["check", f"f16={files / 'f16.txt'}", f"new={files / candidate}", "--margin", margin,
         "--gold", str(files / "gold.txt")],
    )  # fmt: skip
    assert found.output.startswith(f"{verdict}: "), found.output
    assert found.exit_code == code
    if verdict in ("FAIL", "UNDECIDED"):
        wrong = {"q2.txt": "−20.0 pp", "q6.txt": "−1.5 pp", "q8.txt": "−0.5 pp"}[candidate]
        assert f"200 items, difference {wrong}" in found.output


@pytest.mark.parametrize("name", ["few.jsonl", "none.jsonl"])
def test_missing_answers_beyond_the_limit_are_invalid(files: Path, name: str) -> None:
    found = quantrial.check(
        files / "f16.jsonl", files / name, margin="5pp", gold=files / "gold.csv"
    )
    assert (found.verdict, found.exit_code) == ("INVALID", 4)


def test_right_answers_may_stand_beside_the_answers(files: Path) -> None:
    found = quantrial.check(files / "f16.jsonl", files / "q8.jsonl", margin="5pp")
    assert (found.verdict, found.run) == ("PASS", None)
    (line,) = found.gate.lines
    assert (line.arm, line.n) == ("q8", 200)
    assert line.estimate == pytest.approx(-1 / 200)
    assert "no column holds scores; quantrial's scorer 'exact' gave them" in "".join(found.notes)


def test_tables_and_logs_are_checked_too(files: Path, tmp_path: Path) -> None:
    for arm, wrong in (("f16", 10), ("q2", 50)):
        (tmp_path / f"{arm}.csv").write_text(
            "id,correct\n" + "".join(f"{n},{int(n >= wrong)}\n" for n in range(N))
        )
    found = quantrial.check(tmp_path / "f16.csv", tmp_path / "q2.csv", margin=0.05)
    assert found.verdict == "FAIL"
    found = quantrial.check(
        FORMATS / "lm-eval" / "f16",
        FORMATS / "lm-eval" / "q4",
        margin="2pp",
        options=TableOptions(tasks=("toy_mc",)),
    )
    assert (found.verdict, found.gate.lines[0].n) == ("UNDECIDED", 36)


def test_a_run_is_kept_where_one_is_asked_for(files: Path, tmp_path: Path) -> None:
    words = [str(files / "f16.txt"), str(files / "q8.txt"), "--gold", str(files / "gold.txt")]
    kept = str(tmp_path / "kept")
    found = CliRunner().invoke(app, ["check", *words, "--margin", "5pp", "-o", kept, "--json"])
    said = json.loads(found.output)
    assert (said["verdict"], said["run"], said["gate"]["exit_code"]) == ("PASS", kept, 0)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["kept"]
    for arm, right in (("f16", 190), ("q8", 189)):
        answered = RunFolder(tmp_path / "kept").read_responses("table", arm, known=None)
        assert sum((one.scores or {})["exact_match"] or 0 for one in answered) == right
    quantrial.report(tmp_path / "kept")
    assert not quantrial.verify(tmp_path / "kept").drifts


@pytest.mark.parametrize(
    ("scorer", "answer", "wanted"),
    [
        (None, "  Paris ", 1.0),
        (None, "paris.", 0.0),
        ("{exact: {normalize: squad}}", "the paris.", 1.0),
        ({"exact": {"normalize": "case"}}, "PARIS", 1.0),
        ("contains", "It is Paris, I think", 1.0),
        (None, "<think>Rome?</think>Paris", 1.0),
        (None, "", 0.0),
        (None, None, None),
    ],
)
def test_answers_are_scored_as_a_study_does(
    tmp_path: Path, scorer: str | Mapping[str, Any] | None, answer: str | None, wanted: float | None
) -> None:
    logs = {arm: with_ids(tmp_path / f"{arm}.jsonl", ["Paris", one], gold=["Paris", "Paris"])
            for arm, one in (("a", "Paris"), ("b", answer))}  # fmt: skip
    report = quantrial.read_log(
        "table", logs, tmp_path / "run", options=TableOptions(scorer=scorer)
    )
    found = RunFolder(report.folder).read_responses(report.tasks[0], "b", known=None)
    values = [next(iter((one.scores or {}).values())) for one in found]
    assert values == ([1.0] if wanted is None else [1.0, wanted])


def test_a_cell_of_right_answers_may_hold_several(tmp_path: Path) -> None:
    gold = tmp_path / "gold.csv"
    gold.write_text('id,target\n0,"[""Paris"", ""Lutetia""]"\n1,5\n')
    logs = {arm: with_ids(tmp_path / f"{arm}.jsonl", ["Lutetia", 5]) for arm in "ab"}
    report = quantrial.read_log(
        "table", logs, tmp_path / "run", options=TableOptions(gold_file=gold)
    )
    found = RunFolder(report.folder).read_responses(report.tasks[0], "a", known=None)
    assert [(one.scores or {})["exact_match"] for one in found] == [1.0, 1.0]


REFUSED: list[tuple[str, str, str | None, Mapping[str, Any], str]] = [
    ("a.txt", "x\ny\n", "x\n", {}, "holds 2 lines, and gold.txt 1: without ids"),
    ("a.jsonl", '{"id": 1, "answer": "x"}\n', "x\n", {}, "holds a line an answer and no ids"),
    ("a.jsonl", '{"id": 1, "answer": "x", "gold": ""}\n', None, {"scorer": "exact"},
     "line 1: the right answer is empty"),
    ("a.jsonl", '{"id": 1, "answer": "x", "gold": {}}\n', None, {"scorer": "exact"},
     "line 1: the right answer of '1': "),
    ("a.jsonl", '{"id": 1, "answer": "x"}\n', None, {"scorer": "exact"},
     "say by --gold which column holds the right answers"),
    ("a.jsonl", '{"id": 1, "said": "x", "gold": "x"}\n', None, {"scorer": "exact"},
     "say by --output which column holds the answers"),
    ("a.txt", "x\n", "x\n", {"scorer": "exat"}, "unknown scorer 'exat'; did you mean 'exact'"),
    ("a.txt", "x\n", "x\n", {"scorer": "{exact: {normal: squad}}"}, "normal: Extra inputs"),
    ("a.txt", "x\n", "x\n", {"scorer": "{python: 'x.py:f'}"}, "code stands in a study file"),
    ("a.txt", "x\n", "x\n", {"scorer": "token_f1", "scores": ("s",)}, "leave one of the two out"),
    ("a.txt", "x\n", "\n", {}, "the right answer is empty"),
    ("a.txt", "x\xff\n", "x\n", {}, "not UTF-8"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "text", "gold", "options", "message"), REFUSED)
def test_what_cannot_be_scored_is_refused(
    tmp_path: Path,
    name: str,
    text: str,
    gold: str | None,
    options: Mapping[str, Any],
    message: str,
) -> None:
    for file in (name, f"other_{name}"):
        (tmp_path / file).write_bytes(text.encode("latin-1"))
    if gold is not None:
        (tmp_path / "gold.txt").write_text(gold)
        options = {**options, "gold_file": tmp_path / "gold.txt"}
    logs = {"a": tmp_path / name, "b": tmp_path / f"other_{name}"}
    with pytest.raises(QuantrialError, match=message):
        quantrial.read_log("table", logs, tmp_path / "run", options=TableOptions(**options))


def test_items_without_a_right_answer_or_a_prediction(tmp_path: Path) -> None:
    gold = tmp_path / "gold.csv"
    gold.write_text("id,gold\n0,x\n1,y\n2,z\n")
    logs = {arm: with_ids(tmp_path / f"{arm}.jsonl", ["x", "y"]) for arm in "ab"}
    with pytest.raises(DataError, match=r"1 of 3 items have no prediction of any arm \(2\)"):
        quantrial.read_log("table", logs, tmp_path / "run", options=TableOptions(gold_file=gold))
    more = {arm: with_ids(tmp_path / f"{arm}.jsonl", ["x"] * 4) for arm in "ab"}
    with pytest.raises(DataError, match=r"a.jsonl, line 4: item '3' has no right answer in gold"):
        quantrial.read_log("table", more, tmp_path / "run", options=TableOptions(gold_file=gold))


def test_predictions_without_right_answers_are_told_what_they_need(files: Path) -> None:
    with pytest.raises(DataError, match=r"Predictions need right answers: --gold FILE"):
        quantrial.check(files / "f16.txt", files / "q8.txt", margin="2pp")
    with pytest.raises(DataError, match=r"no such file or folder$"):
        quantrial.check(files / "f16.txt", files / "q9.txt", margin="2pp")
    with pytest.raises(StudyError, match="is a loss of everything"):
        quantrial.check(files / "f16.jsonl", files / "q8.jsonl", margin="2")


def test_equal_scores_alone_do_not_say_that_answers_are_equal(tmp_path: Path) -> None:
    for arm in ("f16", "q8"):
        (tmp_path / f"{arm}.csv").write_text(
            "id,correct\n" + "".join(f"{n},{int(n % 7 > 0)}\n" for n in range(300))
        )
    found = quantrial.check(tmp_path / "f16.csv", tmp_path / "q8.csv", margin="2pp")
    assert found.verdict == "PASS"  # one-sided: 0.05 ** (1 / n) of n = 148 and more
    assert any("the same content. Is one a copy?" in note for note in found.notes)
    logs = dict.fromkeys("ab", tmp_path / "f16.csv")
    with pytest.raises(StudyError, match="two arms are read from one file"):
        quantrial.read_log("table", logs, tmp_path / "run")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("p.json", '["Paris", "Rome", null, 5]'),
        ("p.jsonl", '"Paris"\n"Rome"\nnull\n5\n'),
        ("p.out", '{"id": 1, "answer": "Paris"}\n{"id": 2, "answer": "Rome"}\n'
                  '{"id": 3, "answer": null}\n{"id": 4, "answer": 5}\n'),
    ],
)  # fmt: skip
def test_a_list_of_answers_is_numbered(tmp_path: Path, name: str, text: str) -> None:
    gold = tmp_path / ("gold.jsonl" if name == "p.out" else "gold.txt")
    rows = enumerate(("Paris", "Oslo", "Rome", "5"), 1)
    gold.write_text(
        "".join(json.dumps({"id": n, "gold": one}) + "\n" for n, one in rows)
        if name == "p.out"
        else "Paris\nOslo\nRome\n5\n"
    )
    logs = {arm: tmp_path / f"{arm}{name}" for arm in "ab"}
    for path in logs.values():
        path.write_text(text)
    options = TableOptions(gold_file=gold)
    report = quantrial.read_log("table", logs, tmp_path / "run", options=options)
    found = RunFolder(report.folder).read_responses(report.tasks[0], "a", known=None)
    scored = {one.item: (one.scores or {})["exact_match"] for one in found}
    assert scored == {"1": 1.0, "2": 0.0, "4": 1.0}


def test_answers_that_are_objects_stay_lines(tmp_path: Path) -> None:
    for name in ("a.txt", "b.txt", "gold.txt"):
        lines(tmp_path / name, ['{"city": "Paris"}', '{"city": "Rome"}'])
    logs = {arm: tmp_path / f"{arm}.txt" for arm in "ab"}
    options = TableOptions(gold_file=tmp_path / "gold.txt")
    report = quantrial.read_log("table", logs, tmp_path / "run", options=options)
    found = RunFolder(report.folder).read_responses(report.tasks[0], "a", known=None)
    assert [(one.scores or {})["exact_match"] for one in found] == [1.0, 1.0]


def test_several_tasks_are_told_apart() -> None:
    words = ["check", str(FORMATS / "lm-eval" / "f16"), str(FORMATS / "lm-eval" / "q4")]
    words += ["--margin", "2pp", "--task", "toy_mc", "--task", "toy_colour"]
    found = CliRunner().invoke(app, words)
    assert found.exit_code == 3
    assert found.output.startswith("UNDECIDED: q4 compared with f16\n")
    assert "- toy_mc, undecided: 36 items cannot rule out a loss of 2 pp" in found.output
    assert "- toy_colour, undecided: 6 items cannot" in found.output


@pytest.mark.parametrize(
    ("wrapped", "share"),
    [
        (lambda text: [text], 0.95),
        (lambda text: [[text]], 0.95),  # as lm-eval's `resps` have it
        (lambda text: [text, text], 0.0),  # several answers, and no saying which one counts
        (lambda text: {"text": text}, 0.0),
    ],
)
def test_the_one_text_of_a_list_is_the_answer(tmp_path: Path, wrapped: Any, share: float) -> None:
    for arm, wrong in (("f16", 10), ("q8", 11)):
        with_ids(tmp_path / f"{arm}.jsonl", [wrapped(one) for one in answers(wrong)], gold=GOLD)
    options = TableOptions(outputs=("answer",), gold="gold", scorer="exact")
    arms = {arm: tmp_path / f"{arm}.jsonl" for arm in ("f16", "q8")}
    quantrial.read_log("table", arms, tmp_path / "run", options=options)
    (task,) = quantrial.analyze(tmp_path / "run")["tasks"].values()
    # f16 is wrong on 10 of 200
    (found,) = task["endpoints"].values()
    assert found["arms"]["f16"]["estimate"] == pytest.approx(share)
