"""What an arm, task, workload or group may be called: it works throughout, or is refused."""

from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

import quantrial
from odd_names import ARMS, odd_study
from quantrial.errors import StudyError
from quantrial.marking import find
from quantrial.study import load_study
from quantrial.study.names import is_name, name_like
from studies import write_study


@pytest.fixture(scope="module")
def odd_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("odd")
    quantrial.run(odd_study(folder), out=folder / "run")
    quantrial.analyze(folder / "run")
    quantrial.decide(folder / "run")
    quantrial.report(folder / "run")
    return folder / "run"


@pytest.mark.filterwarnings("ignore")
def test_a_run_of_odd_names_is_reported_verified_exported_and_compared(odd_run: Path) -> None:
    assert quantrial.verify(odd_run).ok
    text = (odd_run / "report.md").read_text(encoding="utf-8")
    for name in ARMS:
        assert name in text
    assert "<script>" not in text.replace("\\<script\\>", "").replace("`", "")
    assert (odd_run / "plots" / "strata.svg").is_file()
    rows = list(csv.DictReader(io.StringIO(quantrial.export(odd_run, "csv"))))
    assert {row["task"] for row in rows} == {"constructor", "max_memory", "null"}
    assert {row["arm"] for row in rows} >= {"q4", "q4_0", "1", "true"}
    for form in ("json", "latex", "model-card", "paragraph"):
        assert quantrial.export(odd_run, form)
    assert "q4_0" in quantrial.export(odd_run, "latex").replace("\\_", "_")
    again = odd_run.parent / "again"
    shutil.copytree(odd_run, again, dirs_exist_ok=True)
    assert quantrial.compare(odd_run, again)


@pytest.mark.filterwarnings("ignore")
def test_numbers_are_marked_by_odd_names(odd_run: Path) -> None:
    summary = json.loads((odd_run / "summary.json").read_text())
    documents = {"summary": summary}
    endpoint = "tasks.constructor.endpoints.accuracy"
    for name in ("q4", "q4_0", "1", "true"):
        (own,) = (
            one
            for one in find(documents, f"{endpoint}.contrasts")
            if (one["candidate"], one["reference"]) == (name, "constructor")
        )
        assert find(documents, f"{endpoint}.contrasts[{name}].id") == own["id"]
    strata = summary["tasks"]["constructor"]["strata"]["group"]
    for value in strata:
        quoted = value.replace("\\", "\\\\").replace('"', '\\"')
        assert find(documents, f'tasks.constructor.strata.group."{quoted}".n') == strata[value]["n"]


REFUSED = (
    *(
        "__proto__",
        "nul.txt",
        "a.b",
        "a/b",
        "..",
        ".",
        "\U0001d4b6",
        "e\u0301",
        "\u00e9",
        "x" * 300,
    ),
    *(
        " a",
        "a b",
        "\u200fab",
        "<script>",
        "a'b",
        'a"b',
        "a`b",
        "a|b",
        "#a",
        "a%b",
        "a&b",
        "_a",
        "{a",
    ),
    *("-a", "=a", "a\n", "", ".hidden", "a\x00", "a:b", "a\\b", "~", "*", "?"),
    *("CON", "con", "Nul", "aux", "PRN", "COM1", "lpt9"),
)
TAKEN = (
    "constructor",
    "toString",
    "hasOwnProperty",
    "valueOf",
    "null",
    "true",
    "q4",
    "q4_0",
    "1e5",
)


@pytest.mark.parametrize("name", [*REFUSED, *TAKEN], ids=lambda name: repr(name)[:20])
@pytest.mark.parametrize("what", ["study", "arm", "task"])
def test_a_name_is_taken_or_refused_at_once_with_a_reason(
    tmp_path: Path, what: str, name: str
) -> None:
    path = write_study(tmp_path)
    study: dict[str, Any] = yaml.safe_load(path.read_text())
    if what == "study":
        study["study"] = name
    elif what == "arm":
        study["arms"][name] = study["arms"].pop("q4_0")
    else:
        study["tasks"][name] = study["tasks"].pop("names")
    path.write_text(json.dumps(study, ensure_ascii=False), encoding="utf-8")
    assert is_name(name) is (name in TAKEN)
    if name in TAKEN:
        load_study(path)
        return
    with pytest.raises(StudyError) as caught:
        load_study(path)
    reason = "letters, digits, - and _|device on Windows|at most 64|should have at least|NUL"
    assert any(words in str(caught.value) for words in reason.split("|")), str(caught.value)


@pytest.mark.parametrize(("one", "other"), [("q4", "Q4"), ("Q4_k_M", "q4_K_m")])
@pytest.mark.parametrize("what", ["arms", "tasks"])
def test_names_that_a_disk_may_not_tell_apart_are_refused(
    tmp_path: Path, what: str, one: str, other: str
) -> None:
    path = write_study(tmp_path)
    study: dict[str, Any] = yaml.safe_load(path.read_text())
    named = list(study[what])[-2:] if what == "tasks" else ["q8_0", "q4_0"]
    for old, new in zip(named, (one, other), strict=True):
        study[what][new] = study[what].pop(old)
    path.write_text(json.dumps(study, ensure_ascii=False), encoding="utf-8")
    with pytest.raises(StudyError, match="differ only in capital letters"):
        load_study(path)


@pytest.mark.parametrize(
    ("workload", "reason"),
    [
        ("", "words without blanks"),
        ("  ", "words without blanks"),
        ("a ", "words without blanks"),
        ("a\nb", "visible characters"),
        ("a\x00b", "NUL"),
        ("\u202egnp", "visible characters"),
        ("x" * 201, "at most 200"),
        (None, "should be a text"),
        ("e\u0301 \U0001d4b6 <b>|`_", None),
    ],
)
def test_a_workload_is_words_on_one_line(
    tmp_path: Path, workload: str | None, reason: str | None
) -> None:
    path = write_study(tmp_path)
    study: dict[str, Any] = yaml.safe_load(path.read_text())
    study["tasks"]["names"]["workload"] = workload
    path.write_text(json.dumps(study, ensure_ascii=False), encoding="utf-8")
    if reason is None:
        load_study(path)
    else:
        with pytest.raises(StudyError, match=reason):
            load_study(path)


@pytest.mark.parametrize("text", [*REFUSED, *TAKEN, "Q8_0 (new)", "--", "con ", "x" * 80 + "!"])
def test_a_name_is_made_of_any_text(text: str) -> None:
    made = name_like(text)
    assert not made or is_name(made)
    assert made == text or text not in TAKEN
