"""Tables: long, wide or a file an arm, of every kind of file; what is refused names its place."""

from __future__ import annotations

import csv
import io
import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import quantrial
from quantrial.cli import app
from quantrial.errors import DataError, QuantrialError, StudyError
from quantrial.importers import ImportReport, TableOptions
from quantrial.importers.table_files import records_of, score_of
from quantrial.runfolder import RunFolder
from quantrial.study import load_study
from quantrial.tasks.rows import Where

# six items of two arms, by hand: f16 gets 4 right, q4 3; item 2 is lost, item 5 gained, 6 lost
F16 = (1, 1, 0, 1, 0, 1)
Q4 = (1, 0, 0, 1, 1, 0)
SUBJECTS = ("x", "y", "x", "y", "x", "y")


def long_rows() -> list[dict[str, Any]]:
    return [
        {"id": str(n), "model": arm, "correct": str(score), "subject": subject, "answer": f"{arm}!"}
        for n, (subject, *scores) in enumerate(zip(SUBJECTS, F16, Q4, strict=True), 1)
        for arm, score in zip(("f16", "q4"), scores, strict=True)
    ]


def wide_rows() -> list[dict[str, Any]]:
    return [
        {"id": str(n), "correct_f16": str(one), "correct_q4": str(other), "subject": subject}
        for n, (subject, one, other) in enumerate(zip(SUBJECTS, F16, Q4, strict=True), 1)
    ]


def as_csv(rows: Sequence[Mapping[str, Any]], delimiter: str = ",") -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, rows[0], delimiter=delimiter)
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def typed(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return rows as a program writes them: whole numbers and booleans."""
    return [
        {k: int(v) if k == "id" else v == "1" if "correct" in k else v for k, v in row.items()}
        for row in rows
    ]


def write_parquet(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    import duckdb

    source = path.with_suffix(".for-parquet.jsonl")
    source.write_text("".join(json.dumps(row) + "\n" for row in typed(rows)))
    duckdb.sql(f"COPY (SELECT * FROM '{source}') TO '{path}'")


def write_excel(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    import openpyxl

    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    sheet.append(list(rows[0]))
    for row in typed(rows):
        sheet.append([float(row["id"]), *list(row.values())[1:]])  # as a sheet holds numbers
    book.save(path)


def write_json(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    path.write_text(json.dumps(typed(rows), indent=1))


def write_jsonl(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n\n" for row in typed(rows)))


Writer = Callable[[Path, Sequence[Mapping[str, Any]]], None]


def text_writer(delimiter: str, encoding: str) -> Writer:
    def write(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
        path.write_text(as_csv(rows, delimiter), encoding=encoding, newline="")

    return write


KINDS: Mapping[str, Writer] = {
    "t.csv": text_writer(",", "utf-8"),
    "semicolon.csv": text_writer(";", "utf-8"),
    "t.tsv": text_writer("\t", "utf-8"),
    "bom.csv": text_writer(",", "utf-8-sig"),
    "wide.characters.csv": text_writer(";", "utf-16"),
    "t.jsonl": write_jsonl,
    "t.json": write_json,
    "t.parquet": write_parquet,
    "t.xlsx": write_excel,
}


def read(out: Path, logs: Any, **options: Any) -> ImportReport:
    return quantrial.read_log("table", logs, out, options=TableOptions(**options))


def scores(run: Path, task: str, arm: str, metric: str = "correct") -> list[float | None]:
    found = RunFolder(run).read_responses(task, arm, known=None)
    return [(one.scores or {})[metric] for one in found]


@pytest.mark.parametrize("shape", ["long", "wide"])
@pytest.mark.parametrize("name", KINDS)
def test_each_kind_of_file_gives_the_scores_that_stand_in_it(
    tmp_path: Path, name: str, shape: str
) -> None:
    path = tmp_path / name
    KINDS[name](path, long_rows() if shape == "long" else wide_rows())
    report = read(tmp_path / "run", path, stratify="subject")
    (task,) = report.tasks
    assert (report.arms, report.responses) == (("f16", "q4"), 12)
    assert [scores(report.folder, task, arm) for arm in ("f16", "q4")] == [list(F16), list(Q4)]
    items = RunFolder(report.folder).read_items()[task]
    assert [item.id for item in items] == ["1", "2", "3", "4", "5", "6"]
    assert [item.metadata["subject"] for item in items] == list(SUBJECTS)


def test_a_file_an_arm_named_or_guessed(tmp_path: Path) -> None:
    for arm in ("f16", "q4"):
        rows = [row for row in long_rows() if row["model"] == arm]
        (tmp_path / f"mine_{arm}.csv").write_text(as_csv(rows))
    files = {arm: tmp_path / f"mine_{arm}.csv" for arm in ("f16", "q4")}
    for row in ("f16", "q4"):
        text = files[row].read_text().replace(f",{row},", ",").replace(",model", "")
        files[row].write_text(text)
    named = read(tmp_path / "named", files, scores=("correct",), outputs=("answer",))
    guessed = quantrial.read_log("auto", list(files.values()), tmp_path / "guessed")
    for report in (named, guessed):
        assert (report.tasks, report.arms) == (("mine",), ("f16", "q4"))
        assert scores(report.folder, "mine", "q4") == list(Q4)
    outputs = RunFolder(named.folder).read_responses("mine", "q4", known=None)
    assert {one.output for one in outputs} == {"q4!"}


def test_the_command_ends_in_the_decision_and_the_run_verifies(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(as_csv(long_rows()))
    words = [
        "--key",
        "id",
        "--arm",
        "model",
        "--score",
        "correct",
        "--output",
        "answer",
        "--group",
        "subject",
    ]
    run = str(tmp_path / "run")
    found = CliRunner().invoke(app, ["import", "table", str(tmp_path / "t.csv"), *words, "-o", run])
    assert found.exit_code == 0, found.output
    assert "Stay with f16" in found.output
    assert not quantrial.verify(run).drifts


def test_columns_that_are_named_as_arms(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("n,ok (a),ok (b),said a,said b\n1,1,0,x,y\n2,1,1,x,y\n")
    report = read(
        tmp_path / "run", path, key="n", scores=("a=ok (a)", "b=ok (b)"), outputs=("a=said a",)
    )
    assert [scores(report.folder, "t", arm, "ok") for arm in ("a", "b")] == [[1, 1], [0, 1]]
    said = RunFolder(report.folder).read_responses("t", "a", known=None)
    assert [one.output for one in said] == ["x", "x"]


def test_several_scores_and_a_range(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("id,arm,ok,rating\n" + "".join(f"{n},{a},1,{n % 5 + 1}\n"
                                                   for n in range(9) for a in "ab"))  # fmt: skip
    report = read(
        tmp_path / "run", path, scores=("rating", "ok"), ranges={"rating": (1, 5)}, margin="5pp"
    )
    part = load_study(RunFolder(report.folder).study_path).tasks["t"]
    assert part.margin == 0.2  # 5 % of the range of 4
    with pytest.raises(DataError, match=r"rating is left out; it goes from 1 to 5.*--range rating"):
        read(tmp_path / "other", path, scores=("rating",))
    with pytest.raises(DataError, match=r"t.csv, line 10: rating is 5; .* stated as 1 to 4"):
        read(tmp_path / "other", path, scores=("rating",), ranges={"": (1, 4)})


def test_samples_are_averaged_and_duplicates_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("id,arm,ok,epoch\n1,a,1,1\n1,a,0,2\n1,b,1,1\n1,b,1,2\n")
    report = read(tmp_path / "run", path, scores=("ok",), sample="epoch")
    assert [scores(report.folder, "t", arm, "ok") for arm in "ab"] == [[0.5], [1.0]]
    with pytest.raises(DataError, match=r"line 3: item '1' of a stands here again, after t.csv:2"):
        read(tmp_path / "other", path, scores=("ok",))
    report = read(tmp_path / "first", path, scores=("ok",), allow=frozenset({"duplicates"}))
    assert [scores(report.folder, "t", arm, "ok") for arm in "ab"] == [[1], [1]]
    assert sum("1 row repeats an item" in note for note in report.notes) == 2


@pytest.mark.parametrize(
    ("arms", "reference"),
    [
        (("Q4_K_M", "Q8_0", "BF16"), "BF16"),
        (("llama-q4", "llama-F16.gguf"), "llama-F16-gguf"),
        (("awq", "baseline"), "baseline"),
        (("af16x", "b"), "af16x"),
        (("b", "a"), "b"),
        ((f"/{'m' * 90}-Q4.gguf", f"/{'m' * 90}-F16.gguf"), f"{'m' * 55}-F16-gguf"),
    ],
)
def test_the_reference_is_the_arm_of_most_bits(
    tmp_path: Path, arms: Sequence[str], reference: str
) -> None:
    path = tmp_path / "t.csv"
    path.write_text("id,arm,ok\n" + "".join(f"{n},{arm},1\n" for n in range(3) for arm in arms))
    assert read(tmp_path / "run", path, scores=("ok",)).reference == reference


def test_what_has_no_score_is_counted(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("id,arm,ok\n1,a,1\n1,b,NaN\n2,a,\n2,b,1\n3,a,1\n3,b,n/a\n4,a,1\n4,b,0\n")
    report = read(tmp_path / "run", path, scores=("ok",))
    assert report.responses == 5
    assert {note for note in report.notes if "without a score" in note} == {
        "t: a has 1 answer without a score.",
        "t: b has 2 answers without a score.",
    }
    bad = tmp_path / "t.jsonl"
    bad.write_text('{"id": 1, "arm": "a", "ok": NaN}\n{"id": 1, "arm": "b", "ok": true}\n')
    assert read(tmp_path / "nan", bad, scores=("ok",)).responses == 1


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        ("gold,1\n", {"gold": "gold"}, "1 items have another right answer in another arm"),
        ("prompt,1\n", {"prompt": "gold"}, "1 of 2 items were asked in other words"),
    ],
)
def test_pairs_are_held_against_each_other(
    tmp_path: Path, content: str, options: Mapping[str, str], message: str
) -> None:
    path = tmp_path / "t.csv"
    path.write_text("id,arm,ok,gold\n1,a,1,x\n1,b,1,y\n2,a,1,x\n2,b,1,x\n")
    with pytest.raises(DataError, match=message):
        read(tmp_path / "run", path, scores=("ok",), **options)


def test_an_item_of_two_groups_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("id,arm,ok,g\n1,a,1,x\n1,b,1,y\n")
    with pytest.raises(DataError, match=r"line 3: item '1' of t is another one than in t.csv:2"):
        read(tmp_path / "run", path, scores=("ok",), stratify="g")


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        *((word, 1.0) for word in (True, 1, 1.0, "1", " TRUE ", "yes", "Correct", "pass", "1e0")),
        *((word, 0.0) for word in (False, 0, "0", "false", "No", "incorrect", "failed", "0.0")),
        *((word, None) for word in (None, "", "  ", "NaN", float("nan"), "N/A", "null", "#N/A")),
        ("0.25", 0.25),
    ],
)
def test_scores_are_read_in_words_and_numbers(value: object, wanted: float | None) -> None:
    assert score_of(value, Where("t.csv", 2), "ok") == wanted


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("maybe", "'ok' is 'maybe'; needed is a number"),
        ("0,5", "decimal point"),
        ("85%", "write 85% as 0.85"),
        ("=1+1", "a formula is not computed"),
        ("9" * 100_000, "needed is a number"),
        ("1_0", "needed is a number"),
        ("inf", "no finite number"),
        (10**400, "no finite number"),
        ([1], "needed is a number"),
        ("\x1b[31m1", "'\\\\x1b"),
    ],
)
def test_what_is_no_score_is_refused_with_its_column(value: object, message: str) -> None:
    with pytest.raises(DataError, match=rf"t.csv, line 2: .*{message}"):
        score_of(value, Where("t.csv", 2), "ok")


HOSTILE: list[tuple[str, bytes, str]] = [
    ("t.csv", b"id,arm,ok\n1,a\n", r"line 2: 2 cells, where the header has 3"),
    ("t.csv", b"id,arm,ok,ok\n1,a,1,1\n", "line 1: two columns are named 'ok'"),
    ("t.csv", b"id,arm,\n1,a,1\n", "line 1: a column has no name"),
    ("t.csv", b"id,arm,ok\n\x1b[31m,a,1\n", r"line 2: 'id' is '\\x1b\[31m'; needed is"),
    ("t.csv", b"id,arm,ok\n1,\x1b]0;x\x07,1\n", r"line 2: 'arm' is '\\x1b"),
    ("t.csv", b"id,arm,ok\n1,a,1\n,b,1\n", "line 3: 'id' is empty"),
    ("t.csv", b"id,arm,ok\n1,,1\n", "line 2: 'arm' is empty"),
    ("t.csv", b"id,arm,ok\n1,???,1\n", "needed is a name with letters or digits"),
    ("t.csv", b"id,arm,ok\n1,q 4,1\n2,q/4,1\n", "would both be named 'q-4'"),
    ("t.csv", b"id,arm,ok\n" + b"x" * 300 + b",a,1\n", "text of up to 200 characters"),
    ("t.csv", b"id,arm,ok\n1,a,\xe4\n", r"line 2: not UTF-8 \(byte 14 is 0xe4\)"),
    ("t.csv", b"id,arm,ok\n", "holds no row"),
    ("t.csv", b"", "is empty"),
    ("t.csv", b'id,arm,ok\n1,a,"1\n', "is no CSV"),
    ("t.csv", "id,arm,ok\n1,a,1\n".encode("utf-16-le"), "holds NUL bytes, as UTF-16 does"),
    ("t.jsonl", b'{"id": 1, "arm": "a", "ok": 1}\n{"id": "1", "arm": "b", "ok": 1}\n',
     "line 2: 'id' is '1' as a text, and as a number elsewhere"),
    ("t.jsonl", b'{"id": 1.5, "arm": "a", "ok": 1}\n', "line 1: 'id' is 1.5; needed is"),
    ("t.jsonl", b'{"id": true, "arm": "a", "ok": 1}\n', "line 1: 'id' is True"),
    ("t.jsonl", b'{"id": [1], "arm": "a", "ok": 1}\n', r"line 1: 'id' is \[1\]"),
    ("t.jsonl", b'{"id": ' + b"9" * 100_000 + b', "arm": "a", "ok": 1}\n', "line 1: "),
    ("t.jsonl", b'{"id": 1, "id": 2, "arm": "a", "ok": 1}\n', "line 1: the key 'id' occurs twice"),
    ("t.jsonl", b'{"id": 1\n', "line 1: not valid JSON"),
    ("t.jsonl", b'{"id": 1, "arm": "a", "ok": 1}\n[1]\n', r"line 2: expected an object of JSON"),
    ("t.jsonl", b'{"id": "\\ud800", "arm": "a", "ok": 1}\n', "line 1: not valid JSON"),
    ("t.json", b"[1]", "line 1: expected an object"),
    ("t.json", b"[" * 100_000, "not valid JSON"),
    ("t.xlsx", b"PK\x03\x04 no zip", "is no Excel file"),
    ("t.xls", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "is an old Excel file"),
    ("t.parquet", b"PAR1 no parquet", "is no Parquet file"),
    ("t.csv.gz", b"\x1f\x8b\x08\x00", "is packed by gzip"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "data", "message"), HOSTILE)
def test_hostile_files_end_in_a_message_with_their_place(
    tmp_path: Path, name: str, data: bytes, message: str
) -> None:
    (tmp_path / name).write_bytes(data)
    started = time.monotonic()
    with pytest.raises(QuantrialError, match=message):
        read(tmp_path / "run", tmp_path / name, key="id", arm="arm", scores=("ok",))
    assert time.monotonic() - started < 5
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"key": "nr"}, "no column 'nr' .--key.; did you mean 'n'"),
        ({}, "say by --key which column holds the items' ids; columns: 'n', 'a', 'b'"),
        ({"key": "n", "scores": ("f16=a", "q4=c")}, "no column 'c' .--score."),
        ({"key": "n", "scores": ("f16=a", "q4=b", "q4=n")}, "as many columns as the others"),
        ({"key": "n", "scores": ("f16=a",)}, "two arms are needed"),
        ({"key": "n", "scores": ("a",)}, "say by --arm which column holds the arms, or name a"),
        ({"key": "n", "scores": ("f16=a", "q4=b"), "outputs": ("q8=b",)}, "no scores of 'q8'"),
        ({"key": "n", "scores": ("f16=a", "q4=b"), "outputs": ("b",)}, "column of its own"),
        ({"key": "n", "scores": ("f16=a", "q4=b"), "stratify": "g"}, "no column 'g' .--group."),
    ],
)
def test_columns_that_do_not_fit_are_refused(
    tmp_path: Path, options: Mapping[str, Any], message: str
) -> None:
    (tmp_path / "t.csv").write_text("n,a,b\n1,1,1\n")
    with pytest.raises((DataError, StudyError), match=message):
        read(tmp_path / "run", tmp_path / "t.csv", **options)


def test_names_and_a_column_of_arms_exclude_each_other(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text(as_csv(long_rows()))
    copy = tmp_path / "copy.csv"
    copy.write_text(path.read_text())
    with pytest.raises(DataError, match="if 'model' holds several arms, leave the names before"):
        read(tmp_path / "run", {"f16": path, "q4": copy})
    with pytest.raises(StudyError, match="the files name the arms already"):
        read(tmp_path / "run", {"a": tmp_path / "a", "b": tmp_path / "b"}, arm="model")


def test_the_index_of_a_data_frame_has_a_name(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text(",arm,ok\n0,a,1\n")
    assert [record for _, record in records_of(path)] == [{"index": "0", "arm": "a", "ok": "1"}]


@pytest.mark.parametrize("text", ["1:5:7", "5:1", "x=1", "1", "nan:5", "x=1:inf"])
def test_a_range_is_two_numbers(tmp_path: Path, text: str) -> None:
    words = ["import", "table", "t.csv", "-o", str(tmp_path / "run"), "--range", text]
    found = CliRunner().invoke(app, words)
    assert isinstance(found.exception, StudyError)
    assert "expected a range like 1:5" in str(found.exception)


def test_a_broken_excel_file_is_one_message(tmp_path: Path) -> None:
    path = tmp_path / "t.xlsx"
    write_excel(path, long_rows())
    whole = path.read_bytes()
    place = whole.index(b"xl/worksheets/sheet1.xml") + 60  # inside its packed data
    path.write_bytes(whole[:place] + bytes(20) + whole[place + 20 :])
    with pytest.raises(DataError, match=r"t.xlsx: is no Excel file \(.xlsx\) that can be read"):
        read(tmp_path / "run", path)


def test_a_row_with_an_error_is_a_fault_and_no_wrong_answer(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("id,arm,ok,Error\n1,a,1,\n1,b,0,timeout\n2,a,1,\n2,b,ERR,\x1b[31mreset\n")
    report = read(tmp_path / "run", path, scores=("ok",), error="Error")
    found = RunFolder(report.folder).read_responses("t", "b", known=None)
    assert [(one.status, one.scores) for one in found] == [("engine_error", None)] * 2
    path.write_text("id,arm,ok,Error\n1,a,1,\n1,b,0,timeout\n")
    report = read(tmp_path / "other", path, scores=("ok",))
    said = "t.csv: 'Error' is filled in on 1 row; `--error Error` makes these answers missing."
    assert said in report.notes


def test_what_would_fill_the_memory_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("quantrial.importers.table_files._LONGEST_LINE", 2**20)
    monkeypatch.setattr("quantrial.importers.table_files._LARGEST_ARRAY", 2**20)
    for name, text, message in (
        ("t.csv", "id,arm,ok\n" + "x" * 2**21, "line 2: is longer than 1 million characters"),
        ("t.jsonl", '{"id": "' + "x" * 2**21, "line 1: is longer than 1 million characters"),
        ("t.json", "[" + " " * 2**21 + "]", "is one JSON array of more than 1 MB: write JSONL"),
        ("w.csv", ",".join(f"correct_{n}" for n in range(60)) + ",id\n" + "1," * 60 + "1\n",
         "60 columns look like scores of arms"),
    ):  # fmt: skip
        (tmp_path / name).write_text(text)
        with pytest.raises(DataError, match=message):
            read(tmp_path / "run", tmp_path / name)
