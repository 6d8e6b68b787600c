"""`init --workload` says what a file of items holds, and writes nothing over a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import quantrial
from command import command
from quantrial.commands.studies import start_workload
from quantrial.commands.workloads import Started
from quantrial.errors import QuantrialError, StudyError
from quantrial.tasks import make_task
from quantrial.tasks.sources import load_items

MESSY: list[dict[str, Any]] = [
    {"nr": 1, "Customer text": "Where is my parcel?", "Category": "shipping", "tier": "gold"},
    {"nr": 2, "Customer text": "Where is my parcel?", "Category": "Shipping", "tier": "free"},
    {"nr": 3, "Customer text": "I was charged twice.", "Category": "billing", "tier": "free"},
    {"nr": 4, "Customer text": "It is broken.", "Category": "yes: {{ no }}", "tier": "free"},
    {"nr": 5, "Customer text": "Ünïcode\u2028line", "Category": "billing", "tier": "gold"},
    {"nr": 6, "Customer text": "Bill me again.", "Category": "billing", "tier": "gold"},
]


def started(folder: Path, rows: list[dict[str, Any]], workload: str, **more: Any) -> Started:
    path = folder / "mine.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    found = start_workload(
        folder / "study.yaml", preset="embedded", workload=workload, items=path, **more
    )
    assert quantrial.load_study(found.study).tasks
    return found


def test_what_each_field_is_follows_from_names_and_values(tmp_path: Path) -> None:
    found = started(tmp_path, MESSY, "routing")
    items = found.items
    assert (items.gold, items.id, items.shown) == ("Category", "nr", ("Customer text",))
    assert items.groups == {"tier": 2}
    assert found.labels == {"shipping": 2, "billing": 3, "yes: {{ no }}": 1}
    assert (items.rows, items.longest_tokens) == (6, 20 // 4 + 1)  # "I was charged twice."
    (text,) = [field for field in items.fields if field.name == "Customer text"]
    assert (text.filled, text.values, text.shortest, text.longest) == (6, 5, 12, 20)


def test_a_field_with_blanks_in_its_name_and_a_label_like_a_template_are_asked(
    tmp_path: Path,
) -> None:
    found = started(
        tmp_path, [row | {"Category": row["Category"].lower()} for row in MESSY[1:]], "routing"
    )
    (shown, *_) = quantrial.prompts(found.study, item="3")
    assert "yes: {{ no }}" in (shown.text or "")
    assert "\n\nI was charged twice.<" in (shown.text or "")


def test_copies_contradictions_and_gaps_are_told_with_their_rows(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"question": "1 + 1?", "answer": 2},
        {"question": "1 + 1?", "answer": 2},
        {"question": "2 + 2?", "answer": 4},
        {"question": "2 + 2?", "answer": 5},
        {"question": "3 + 3?", "answer": None},
        {"question": "4 + 4?"},
    ]
    found = started(tmp_path, rows, "math")
    missing, copies, two = found.items.warnings
    assert missing.startswith("answer is missing or null in 2 rows (first: 5, 6)")
    assert copies.startswith("Row 2 asks what an earlier one asks")
    assert two.startswith("Rows 3 and 4 ask the same and have two right answers")
    assert found.refusal is not None
    assert "line 5" in found.refusal


@pytest.mark.parametrize(
    ("rows", "workload", "gold", "said"),
    [
        ([{"q": "a", "note": "b"}], "qa", None, "such as --gold FIELD"),
        ([{"q": "a", "note": "b"}], "qa", "notes", "did you mean 'note'?"),
        (
            [{"q": "a", "who": "b"}, {"q": "c", "who": "b c"}, {"q": "d", "who": "b"}],
            "routing",
            None,
            "(label, labels, category, intent, class, queue and so on); fields: q, who."
            " Name it, such as --gold who",
        ),
        ([{"q": "a", "label": "b"}], "routing", None, "routing needs at least two"),
        ([{"q": "a", "gold": "b"}], "extraction", None, "holds no JSON object"),
        ([{"gold": 1}], "math", None, "no field with texts"),
        ([{"q": "a", "gold": 1}], "sums", None, "there are routing"),
    ],
)
def test_items_that_do_not_fit_are_refused_and_nothing_is_written(
    tmp_path: Path, rows: list[dict[str, Any]], workload: str, gold: str | None, said: str
) -> None:
    with pytest.raises(QuantrialError) as caught:
        started(tmp_path, rows, workload, gold=gold)
    assert said in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.jsonl"]


def test_nothing_is_written_over(tmp_path: Path) -> None:
    (tmp_path / "tickets.jsonl").write_text("mine")
    with pytest.raises(StudyError, match=r"tickets\.jsonl: exists already; use it by `--items"):
        quantrial.init(tmp_path / "study.yaml", workload="routing")
    assert [path.name for path in tmp_path.iterdir()] == ["tickets.jsonl"]
    with pytest.raises(StudyError, match=r"--workload: .* routing"):
        quantrial.init(tmp_path / "study.yaml", items=tmp_path / "tickets.jsonl")


def test_long_items_get_a_context_that_holds_them(tmp_path: Path) -> None:
    rows = [{"question": "word " * 8000, "answer": "x"}, {"question": "b", "answer": "y"}]
    found = started(tmp_path, rows, "qa")
    assert found.items.warnings[0].startswith("The longest item needs a context of about 16,384")
    arm = quantrial.load_study(found.study).arms["f16"]
    assert arm.options["context"] == 16_384  # 40,000 / 4 tokens, the next power of two


def test_fields_of_objects_get_a_type_each(tmp_path: Path) -> None:
    gold = {"who": {"name": "Ada", "born": "10 December 1815"}, "tags": ["a"], "n": 3, "no": "A-1"}
    rows = [{"text": "b", "gold": gold}, {"text": "c", "gold": {"n": 1.5, "who": None}}]
    text = started(tmp_path, rows, "extraction").study.read_text(encoding="utf-8")
    fields = "who.name: casefold, who.born: date, tags: set, n: number, 'no': exact"
    assert fields in " ".join(text.split())


def test_a_table_is_read_as_its_source_reads_it(tmp_path: Path) -> None:
    (tmp_path / "q.csv").write_text("id,question,answer\n1,Capital of France?,Paris\n")
    done = command(*["init", "--workload", "qa", "--items", "q.csv"], cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "q.csv: 1 row" in done.stdout
    assert "Right answer: answer. --gold names another field." in done.stdout
    assert done.stdout.endswith("study.yaml written.\nNext: quantrial plan study.yaml\n")
    assert "{type: csv, path: q.csv}" in (tmp_path / "study.yaml").read_text(encoding="utf-8")


LONG = [
    {
        "document": f"{'Nothing here. ' * 50}The code of door {n} is {1000 + n}.",
        "question": f"What is the code of door {n}?",
        "answer": str(1000 + n),
        "length": ("short", "long")[n % 2],
    }
    for n in range(12)
]
RULES = [
    {"request": f"Write about boat {n}.", "constraints": {"lines": 1 + n % 2}, "kind": f"k{n % 3}"}
    for n in range(12)
]
SPOKEN = [
    {"question": f"Wie viel ist {n} plus 1?", "answer": str(n + 1), "language": ("de", "nl")[n % 2]}
    for n in range(12)
]


@pytest.mark.parametrize(
    ("workload", "rows", "groups", "right", "wrong"),
    [
        ("long-context", LONG, "length", "1000.", "1001"),
        ("instructions", RULES, "kind", "one line", "two\nlines"),
        ("languages", SPOKEN, "language", "1", "2"),
    ],
)
def test_own_items_take_the_place_of_generated_ones(
    tmp_path: Path, workload: str, rows: list[dict[str, Any]], groups: str, right: str, wrong: str
) -> None:
    found = started(tmp_path, rows, workload)
    assert len(found.study.read_text().splitlines()) <= 30
    study = quantrial.load_study(found.study)
    (spec,) = study.tasks.values()
    assert spec.stratify == groups
    (name,) = study.tasks
    items = load_items(name, spec, base=tmp_path).items
    task = make_task(name, spec, items=list(items))
    assert len(items) == 12
    asked = [rows[0][key] for key in ("document", "question", "request") if key in rows[0]]
    (first,) = [item for item in items if asked[-1] in item.content.values()]
    assert task.is_right(task.score(first, right))
    assert not task.is_right(task.score(first, wrong))
    (shown, *_) = quantrial.prompts(found.study, item=first.id)
    assert all(text in (shown.text or "") for text in asked)


def test_without_items_they_are_generated(tmp_path: Path) -> None:
    path = quantrial.init(tmp_path / "made.yaml", workload="languages")
    assert quantrial.plan(path).tasks[0].items == 300
    path = quantrial.init(tmp_path / "qa.yaml", workload="qa", generate=20)
    assert quantrial.plan(path).tasks[0].items == 20
    with pytest.raises(StudyError, match="another source of items"):
        quantrial.init(tmp_path / "x.yaml", workload="qa", generate=20, items="qa.jsonl")
