"""CSV, Parquet and Excel files of one's own items."""

from __future__ import annotations

import datetime
import decimal
import zipfile
from pathlib import Path
from typing import Any

import pytest

from quantrial.errors import DataError, StudyError
from quantrial.study import parse_study
from quantrial.study.memory import json_value
from quantrial.tasks.sources import load_items

STUDY = """
study: own
reference: a
arms: {a: {engine: scripted, model: m}, b: {engine: scripted, model: n}}
tasks:
  qa:
    kind: text
    workload: qa
    source: {type: %s, path: %s%s}
    prompt: "{{ q }}"
    id: nr
    stratify: topic
    score: [exact]
"""
ROWS: list[tuple[Any, ...]] = [
    (1, "Capital of France?", "Paris", "geo"),
    (2, 'Say "hi",\nplease', "hi", "talk"),
    (3, "Zürich – 東京?", "ja", "geo"),
]
HEADER = ("nr", "q", "gold", "topic")


def load(folder: Path, kind: str, name: str, more: str = "") -> list[tuple[Any, ...]]:
    spec = parse_study(STUDY % (kind, name, more)).tasks["qa"]
    found = load_items("qa", spec, base=folder).items
    return [(int(i.id), i.content["q"], i.gold, i.metadata["topic"]) for i in found]


def write_csv(path: Path, rows: list[tuple[Any, ...]], *, mark: str = ",") -> None:
    lines = [mark.join('"' + str(c).replace('"', '""') + '"' for c in row) for row in rows]
    path.write_text("\r\n".join(lines) + "\r\n", encoding="utf-8-sig", newline="")


def test_csv_and_tsv(tmp_path: Path) -> None:
    write_csv(tmp_path / "a.csv", [HEADER, *ROWS])
    write_csv(tmp_path / "a.tsv", [HEADER, *ROWS], mark="\t")
    write_csv(tmp_path / "a.txt", [HEADER, *ROWS], mark=";")
    assert load(tmp_path, "csv", "a.csv") == ROWS
    assert load(tmp_path, "csv", "a.tsv") == ROWS
    assert load(tmp_path, "csv", "a.txt", ", delimiter: ';'") == ROWS


def test_a_cell_of_json_is_a_gold_of_several(tmp_path: Path) -> None:
    rows = [
        HEADER,
        (1, '["is shown as it is"]', '["Paris", "Lutetia"]', "geo"),
        (2, "b", "[x", "g"),
    ]
    write_csv(tmp_path / "a.csv", rows)
    assert load(tmp_path, "csv", "a.csv") == [
        (1, '["is shown as it is"]', ["Paris", "Lutetia"], "geo"),
        (2, "b", "[x", "g"),
    ]


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("nr,q,gold,topic\n1,a,b\n", "line 2: 3 cells, where the header has 4"),
        ("nr,q,gold,topic\n1,a,b,c\n\n2,x,,c\n", "line 4: the field 'gold' is null"),
        ("nr,q,gold,gold\n", "two columns are named 'gold'"),
        ("nr,,gold,topic\n", "a column has no name"),
        ("nr;q;gold;topic\n1;a;b;c\n", "set `delimiter: ';'`"),
        ('nr,q,gold,topic\n1,"a,b,c\n', "is no CSV"),
        ("nr,q,gold,topic\n", "holds no items"),
        ("", "the file is empty"),
        ("nr,q,gold,topic\n1,a,b,c\n1,d,e,f\n", "the id '1' is that of a.csv:2 already"),
        ("nr,q,gold,topic\n1,\x00,b,c\n", "a.csv"),
    ],
)
def test_a_wrong_csv_is_refused_with_its_line(tmp_path: Path, text: str, wrong: str) -> None:
    (tmp_path / "a.csv").write_text(text, encoding="utf-8")
    if "\x00" in text:
        assert load(tmp_path, "csv", "a.csv") == [(1, "\x00", "b", "c")]
        return
    with pytest.raises(DataError) as caught:
        load(tmp_path, "csv", "a.csv")
    assert wrong in str(caught.value)


def test_a_line_is_that_of_the_file_where_cells_have_several(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('nr,q,gold,topic\n1,"a\nb\nc",d,e\n2,f,,g\n')
    with pytest.raises(DataError, match="line 5: the field 'gold' is null"):
        load(tmp_path, "csv", "a.csv")


def test_parquet(tmp_path: Path) -> None:
    import duckdb

    values = ", ".join(
        f"({nr}, '{q.replace(chr(39), chr(39) * 2)}', '{gold}', '{topic}', DATE '2026-11-30', "
        f"1.50::DECIMAL(5,2), [{nr}], 'x'::BLOB)"
        for nr, q, gold, topic in ROWS
    )
    with duckdb.connect() as connection:
        connection.execute(
            f"COPY (SELECT * FROM (VALUES {values}) t(nr, q, gold, topic, day, price, list, raw)) "
            f"TO '{tmp_path}/it''s.parquet' (FORMAT parquet)"
        )
    assert load(tmp_path, "parquet", '"it\'s.parquet"') == ROWS
    spec = parse_study(STUDY % ("parquet", '"it\'s.parquet"', "")).tasks["qa"]
    first = load_items("qa", spec, base=tmp_path).items[0]
    assert first.metadata == {"topic": "geo", "day": "2026-11-30", "price": "1.5"}
    assert first.content["list"] == [1]


def test_excel(tmp_path: Path) -> None:
    import openpyxl

    book = openpyxl.Workbook()
    book.active.append([*HEADER, "day"])
    for row in ROWS:
        book.active.append([*row, datetime.date(2026, 11, 30)])
    book.active.append([])
    book.create_sheet("other").append(["nothing"])
    book.save(tmp_path / "a.xlsx")
    assert load(tmp_path, "excel", "a.xlsx") == ROWS
    with pytest.raises(DataError, match="holds no items"):
        load(tmp_path, "excel", "a.xlsx", ", sheet: other")
    with pytest.raises(DataError, match="has no sheet 'third'; there are: Sheet, other"):
        load(tmp_path, "excel", "a.xlsx", ", sheet: third")


@pytest.mark.parametrize("kind", ["parquet", "excel"])
@pytest.mark.parametrize("data", [b"", b"PAR1", b"PK\x03\x04 no zip", b"nr,q\n1,2\n"])
def test_what_is_no_such_file_is_refused(tmp_path: Path, kind: str, data: bytes) -> None:
    (tmp_path / "a.bin").write_bytes(data)
    with pytest.raises(DataError, match=r"a\.bin"):
        load(tmp_path, kind, "a.bin")
    with pytest.raises(DataError, match="no such file"):
        load(tmp_path, kind, "b.bin")


def test_a_sheet_that_unpacks_to_gigabytes_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("quantrial.tasks.sources._tables._LARGEST_SHEET", 1_000_000)
    with zipfile.ZipFile(tmp_path / "a.xlsx", "w", zipfile.ZIP_DEFLATED) as members:
        members.writestr("xl/worksheets/sheet1.xml", bytes(2_000_000))
    with pytest.raises(DataError, match="too large once it is unpacked"):
        load(tmp_path, "excel", "a.xlsx")


def test_a_parquet_source_reads_no_other_file(tmp_path: Path) -> None:
    (tmp_path / "*.parquet").write_bytes(b"")
    with pytest.raises(DataError, match="stand for other files"):
        load(tmp_path, "parquet", "'*.parquet'")
    with pytest.raises((DataError, StudyError)):
        load(tmp_path, "parquet", "https://127.0.0.1:9/a.parquet")


def test_numbers_of_a_table_are_numbers() -> None:
    assert json_value(decimal.Decimal("3.00")) == 3
    assert json_value(decimal.Decimal("3.25")) == 3.25
    assert json_value({"a": [datetime.datetime(2026, 1, 2, 3, 4)]}) == {
        "a": ["2026-01-02T03:04:00"]
    }
