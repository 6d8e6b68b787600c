"""MMLU as CSV: both published forms, folders, subjects, examples, and what can be wrong."""

from __future__ import annotations

import csv
import hashlib
import io
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantrial.errors import DataError, DataWarning, StudyError
from quantrial.tasks.sources import LoadedItems, load_items, shots_for
from quantrial.tasks.sources._mmlu import mmlu_rows
from strategies import TEXTS, attempt
from tasks.specs import Write, choice

HEADER = "question,choice0,choice1,choice2,choice3,answer\n"


def load(path: Path, **options: Any) -> LoadedItems:
    source: dict[str, Any] = {
        key: options.pop(key) for key in ("subjects", "split") if key in options
    }
    spec = choice({"type": "mmlu_csv", "path": path.name, **source}, **options)
    return load_items("mmlu", spec, base=path.parent)


def test_with_a_header_the_answer_is_an_index(write: Write, tmp_path: Path) -> None:
    write(
        "m/law_test.csv",
        HEADER + '"Who, then?",w,x,y,z,2\n"Two\nlines",1,2,3,4,0\nWhat?,a,b,c,d,3\n',
    )
    items = load(tmp_path / "m").items
    assert [item.gold for item in items] == ["C", "A", "D"]
    assert items[0].content == {"question": "Who, then?", "options": ["w", "x", "y", "z"]}
    assert items[1].content["question"] == "Two\nlines"
    # a quoted cell with a line break takes two lines of the file
    assert [item.source for item in items] == [f"law_test.csv:{line}" for line in (2, 3, 5)]
    assert {item.metadata["subject"] for item in items} == {"law"}
    assert all(item.id == item.content_sha256[:16] for item in items)


def test_without_a_header_the_answer_is_a_letter(write: Write, tmp_path: Path) -> None:
    write("m/law_test.csv", "Who?,w,x,y,z,C\r\nWhat?,a,b,c,d,A\r\n")
    items = load(tmp_path / "m").items
    assert [(item.gold, item.source) for item in items] == [
        ("C", "law_test.csv:1"),
        ("A", "law_test.csv:2"),
    ]


def test_both_forms_give_the_same_items(write: Write, tmp_path: Path) -> None:
    write("a/law_test.csv", HEADER + "Who?,w,x,y,z,2\n")
    write("b/law_test.csv", "\ufeffWho?,w,x,y,z,C\n")
    assert load(tmp_path / "a").items[0].id == load(tmp_path / "b").items[0].id


@pytest.mark.parametrize("options", [2, 3, 10])
def test_two_to_ten_options(write: Write, tmp_path: Path, options: int) -> None:
    header = ",".join(["question", *(f"choice{i}" for i in range(options)), "answer"])
    row = ",".join(["Q", *(f"o{i}" for i in range(options)), str(options - 1)])
    write("m/law_test.csv", f"{header}\n{row}\n")
    (item,) = load(tmp_path / "m").items
    assert item.gold == "ABCDEFGHIJ"[options - 1]


@pytest.mark.parametrize("folder", ["m", "m/test"])
@pytest.mark.parametrize("dev", ["m", "m/dev", "dev"])
def test_files_are_found_where_they_are_published(
    write: Write, tmp_path: Path, folder: str, dev: str
) -> None:
    write(f"{folder}/law_test.csv", "Who?,w,x,y,z,C\n")
    write(f"{dev}/law_dev.csv", "When?,w,x,y,z,B\n")
    loaded = load(tmp_path / "m", shots=1)
    assert len(loaded.items) == 1
    assert [shot.gold for shot in loaded.shots] == ["B"]
    assert sorted(loaded.provenance["files"]) == ["law_dev.csv", "law_test.csv"]


def test_subjects_and_split(write: Write, tmp_path: Path) -> None:
    for subject in ("law", "art", "math"):
        write(f"m/val/{subject}_val.csv", f"{subject}?,w,x,y,z,C\n")
    assert [i.metadata["subject"] for i in load(tmp_path / "m", split="val").items] == [
        "art",
        "law",
        "math",
    ]
    loaded = load(tmp_path / "m", split="val", subjects=["math", "art"])
    assert [i.metadata["subject"] for i in loaded.items] == ["math", "art"]


def test_examples_are_the_first_of_the_items_own_subject(write: Write, tmp_path: Path) -> None:
    for subject in ("law", "art"):
        write(f"m/test/{subject}_test.csv", f"{subject}?,w,x,y,z,C\n")
        write(
            f"m/dev/{subject}_dev.csv", "".join(f"{subject} dev {i},w,x,y,z,D\n" for i in range(3))
        )
    loaded = load(tmp_path / "m", shots=2)
    assert len(loaded.shots) == 6
    for item in loaded.items:
        questions = [s.content["question"] for s in shots_for(item, loaded.shots, 2)]
        subject = item.metadata["subject"]
        assert questions == [f"{subject} dev 0", f"{subject} dev 1"]


def test_provenance(write: Write, tmp_path: Path) -> None:
    text = "Who?,w,x,y,z,C\nWho?,w,x,y,z,C\nWhat?,a,b,c,d,A\nWho?,w,x,y,z,C\n"
    write("m/law_test.csv", text)
    with pytest.warns(
        DataWarning, match=r"tasks\.mmlu: 2 rows repeat an earlier one .*law_test\.csv:2"
    ):
        loaded = load(tmp_path / "m")
    first = loaded.items[0].id
    assert [item.id for item in loaded.items] == [
        first,
        f"{first}-2",
        loaded.items[2].id,
        f"{first}-3",
    ]
    digest = loaded.provenance.pop("content_sha256")  # type: ignore[attr-defined]
    assert re.fullmatch("[0-9a-f]{64}", digest)
    assert loaded.provenance == {
        "type": "mmlu_csv",
        "id": "m",
        "revision": None,
        "files": {"law_test.csv": hashlib.sha256(text.encode()).hexdigest()},
        "rows": 4,
        "duplicates": [[f"{first}-2", "law_test.csv:2"], [f"{first}-3", "law_test.csv:4"]],
    }


def test_published_items_with_an_option_listed_twice_are_kept(write: Write, tmp_path: Path) -> None:
    write("m/law_test.csv", "Who?,w,w ,y,z,C\n")
    with pytest.warns(
        DataWarning, match=r"1 item lists an option twice, as published .*csv:1, 'w'"
    ):
        assert len(load(tmp_path / "m").items) == 1


def test_an_item_among_its_examples_is_warned_of(write: Write, tmp_path: Path) -> None:
    write("m/law_test.csv", "Who?,w,x,y,z,C\n")
    write("m/law_dev.csv", "Who?,w,x,y,z,C\n")
    with pytest.warns(DataWarning, match="1 of the items is among the solved examples"):
        load(tmp_path / "m", shots=1)


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("Who?,w,x,y,z,C\nWhat?,a,b,c,D\n", 2, "5 columns; the first line has 6"),
        ("Who?,w,x,y,z,C\nWhat?,a,b,c,d,e,D\n", 2, "7 columns; the first line has 6"),
        ("Who?,w,C\n", 1, "3 columns; expected a question, 2 to 10 options and the answer"),
        ("Who?\n", 1, "1 column; expected a question, 2 to 10 options"),
        ("Q,1,2,3,4,5,6,7,8,9,10,11,A\n", 1, "11 options; expected 2 to 10"),
        ("Who?,w,x,y,z,E\n", 1, "the answer is 'E'; with 4 options, expected a letter from A to D"),
        ("Who?,w,x,y,z,AB\n", 1, "the answer is 'AB'; with 4 options"),
        ("Who?,w,x,y,z,\n", 1, "the answer is ''; with 4 options"),
        (
            "Who?,w,x,y,z,2\n",
            1,
            "the answer is 2. Write a letter, or begin the file with",
        ),
        (HEADER + "Who?,w,x,y,z,4\n", 2, "the answer is index 4; with 4 options, expected 0 to 3"),
        (HEADER + "Who?,w,x,y,z,-1\n", 2, "the answer is '-1'; with 4 options"),
        (HEADER + "Who?,w,,y,z,1\n", 2, "option B is empty"),
        (HEADER + " ,w,x,y,z,1\n", 2, "the question is empty"),
        (
            HEADER + '"Who?,w,x,y,z,1\nWhat?,a,b,c,d,1\n',
            2,
            "not a CSV row (unexpected end of data)",
        ),
        (HEADER + 'Who?,"w"w,x,y,z,1\n', 2, "not a CSV row ("),
        (
            "question,A,B,C,D,answer\nWho?,w,x,y,z,1\n",
            1,
            "header column 2 is 'A'; expected question,",
        ),
        ("question,choice0,answer\nWho?,w,0\n", 1, "the header names fewer than 2 options"),
        (HEADER, None, "holds a header but no question"),
        ("", None, "the file is empty"),
        (" \n\n", None, "the file is empty"),
        (
            b"Who?,w,x,y,z,C\nWh\xe4t?,a,b,c,d,D\n",
            2,
            "not UTF-8 (byte 17 is 0xe4): save it as UTF-8",
        ),
        ("Who?,w,x,y,z,C\n".encode("utf-16"), 1, "not UTF-8 (byte 0 is 0xff)"),
    ],
)
def test_a_malformed_file_names_its_line(
    write: Write, tmp_path: Path, text: str | bytes, line: int | None, message: str
) -> None:
    path = write("m/law_test.csv", text)
    with pytest.raises(DataError, match=re.escape(message)) as caught:
        load(tmp_path / "m")
    assert caught.value.path == path
    assert caught.value.line == line
    assert str(caught.value).startswith(f"{path}, line {line}: " if line else f"{path}: ")


@pytest.mark.parametrize(
    ("files", "options", "error", "message"),
    [
        ([], {}, DataError, "m: no such folder"),
        (["m"], {}, DataError, "m: is a file; name the folder that holds it"),
        (
            ["m/law_dev.csv"],
            {},
            DataError,
            "holds no file <subject>_test.csv, neither directly nor in",
        ),
        (
            ["m/law_test.csv", "m/art_test.csv"],
            {"subjects": ["law", "lore"]},
            StudyError,
            "tasks.mmlu.source.subjects: no subject 'lore' in the test files; there are: art, law",
        ),
        (["m/law_test.csv"], {"subjects": []}, StudyError, "subjects: is empty; leave it out"),
        (["m/law_test.csv"], {"subjects": ["law", "law"]}, StudyError, "names 'law' twice"),
        (
            ["m/law_test.csv"],
            {"shots": 1},
            DataError,
            "no file law_dev.csv in dev/, ../dev/ or the",
        ),
        (
            ["m/law_test.csv", "m/law_dev.csv"],
            {"shots": 2},
            StudyError,
            "tasks.mmlu.shots: asks for 2 examples, but the source offers 1",
        ),
        (
            ["m/dev/law_dev.csv"],
            {"shots": 1, "split": "dev"},
            StudyError,
            "tasks.mmlu.shots: asks for 1 examples, but the source offers 0",
        ),
    ],
)
def test_what_the_folder_does_not_offer(
    write: Write,
    tmp_path: Path,
    files: list[str],
    options: dict[str, Any],
    error: type[Exception],
    message: str,
) -> None:
    for file in files:
        write(file, f"{file}?,w,x,y,z,C\n")
    with pytest.raises(error, match=re.escape(message)):
        load(tmp_path / "m", **options)


def test_examples_of_another_subject_never_fill_up(write: Write, tmp_path: Path) -> None:
    for subject, examples in (("law", 1), ("art", 3)):
        write(f"m/{subject}_test.csv", f"{subject}?,w,x,y,z,C\n")
        write(
            f"m/{subject}_dev.csv", "".join(f"{subject} {i},w,x,y,z,D\n" for i in range(examples))
        )
    with pytest.raises(StudyError, match="asks for 2 examples, but 'law' has 1"):
        load(tmp_path / "m", shots=2)


def test_spans_are_not_in_it(tmp_path: Path) -> None:
    from tasks.specs import spans

    spec = spans({"type": "mmlu_csv", "path": "m"})
    message = "tasks.ner.source.type: a source of type 'mmlu_csv' holds items of kind 'choice'"
    with pytest.raises(StudyError, match=re.escape(message)):
        load_items("ner", spec, base=tmp_path)


@given(
    st.lists(
        st.tuples(st.lists(TEXTS, min_size=5, max_size=5), st.integers(0, 3)),
        min_size=1,
        max_size=5,
    )
)
def test_property_what_csv_writes_is_read_back(rows: list[tuple[list[str], int]]) -> None:
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer)
    writer.writerow(HEADER.strip().split(","))
    writer.writerows([*cells, answer] for cells, answer in rows)
    read = list(mmlu_rows(buffer.getvalue(), Path("law_test.csv"), "law"))
    assert [[r.content["question"], *r.content["options"]] for r in read] == [c for c, _ in rows]
    assert [r.gold for r in read] == ["ABCD"[answer] for _, answer in rows]


@given(st.text(max_size=80))
def test_property_any_text_is_rows_or_an_error_with_a_place(text: str) -> None:
    rows, error = attempt(lambda: list(mmlu_rows(text, Path("law_test.csv"), "law")), DataError)
    assert error is None or error.line is not None
    assert all(row.gold in "ABCDEFGHIJ" for row in rows or ())


def test_real_files(shared_data: Path) -> None:
    with pytest.warns(DataWarning, match="1 item lists an option twice"):  # business ethics, row 4
        loaded = load(shared_data / "mmlu", shots=5)
    assert loaded.provenance["duplicates"] == []
    by_subject = {item.metadata["subject"] for item in loaded.items}
    assert by_subject == {
        "astronomy",
        "business_ethics",
        "formal_logic",
        "high_school_geography",
        "nutrition",
        "world_religions",
    }
    # counted with another reader: 152 + 100 + 126 + 198 + 306 + 171
    assert len(loaded.items) == len({item.id for item in loaded.items}) == 1053
    assert len(loaded.shots) == 30
    letters = [item.gold for item in loaded.items]
    assert all(0.15 < letters.count(letter) / len(letters) < 0.35 for letter in "ABCD")
