"""A redacted run shows its results, and nothing that was asked, answered or labelled."""

from __future__ import annotations

import hashlib
import hmac
import itertools
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

import quantrial
from command import command
from marks import Marks, contrasts, files
from quantrial.commands.verification.redacting import redact
from quantrial.errors import RunFolderError, StudyError
from quantrial.importers.log_rows import LogOptions
from studies import read_lines

FORMATS = Path(__file__).parent / "data" / "formats"
ITEMS = 24
LABELS = ["billing", "login"]
mark = Marks(5)


def _write(folder: Path, name: str, rows: list[dict[str, Any]]) -> dict[str, str]:
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / f"{name}.jsonl").write_text(text, encoding="utf-8")
    return {"type": "jsonl", "path": f"{name}.jsonl"}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a run of each kind; every text in it holds a mark. An arm fails on some calls."""
    folder = tmp_path_factory.mktemp("redact")
    group = [mark() for _ in range(3)]
    options = [[mark() for _ in range(4)] for _ in range(ITEMS)]
    choice = [
        {"question": mark(), "options": options[i], "answer": i % 4, "subject": group[i % 3]}
        for i in range(ITEMS)
    ]
    names = [mark() for _ in range(ITEMS)]
    spans = [{"text": f"{one} came. {mark()}", "entities": [[one, "PER"]]} for one in names]
    routed = [{"text": mark(), "gold": LABELS[i % 2], "customer": mark()} for i in range(ITEMS)]
    fields = [{"text": mark(), "gold": {"name": mark(), "city": mark()}} for _ in range(ITEMS)]
    arms = {
        name: {"engine": "scripted", "model": f"/home/{mark()}/m.gguf"} for name in ("f16", "q4_0")
    }
    prompt = "{{ text }} " + mark()
    study = {
        "study": "shown",
        "reference": "f16",
        "margin": 0.05,
        "notes": [mark()],
        "arms": arms,
        "tasks": {
            "quiz": {
                "kind": "choice",
                "workload": "reasoning",
                "source": _write(folder, "choice", choice),
                "stratify": "subject",
                "system": mark(),
            },
            "people": {
                "kind": "spans",
                "workload": "extraction",
                "source": _write(folder, "spans", spans),
            },
            "routing": {
                "kind": "text",
                "workload": "routing",
                "source": _write(folder, "routed", routed),
                "prompt": prompt,
                "score": [{"label": LABELS}],
            },
            "forms": {
                "kind": "text",
                "workload": "forms",
                "source": _write(folder, "forms", fields),
                "prompt": prompt,
                "score": [{"json": {"fields": {"name": "exact", "city": "exact"}}}],
            },
        },
        "design": {"repeat_reference": 6, "schedule": "sequential"},
        "analysis": {"resamples": 500},
    }
    path = folder / "study.yaml"
    path.write_text(yaml.safe_dump(study, sort_keys=False), encoding="utf-8")
    done = quantrial.run(path, out=folder / "run").folder
    golds = {(one["task"], one["id"]): one["gold"] for one in read_lines(done / "items.jsonl")}
    for path in (done / "responses").iterdir():
        lines = read_lines(path)
        for number, line in enumerate(lines):
            gold = golds[line["task"], line["item"]]
            if line["task"] == "people":
                gold = [{"text": text, "type": kind} for text, kind in gold]
            line["output"] = gold if isinstance(gold, str) else json.dumps(gold)
            if number % (9 if line["arm"] == "f16" else 4) == 0:
                line["output"] = mark() if number % 8 else "A"
        path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    answers = done / "responses" / "routing.q4_0.jsonl"
    lines = read_lines(answers)
    for line in lines[:2]:
        line |= {"status": "engine_error", "error": f"refused: {mark()}", "output": ""}
    lines[2]["thought"] = mark()
    call = {"function": {"name": mark(), "arguments": mark()}}
    lines[3]["tool_calls"] = [call]
    answers.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    quantrial.report(done)
    return done


@pytest.fixture(scope="module")
def shown(run: Path) -> Path:
    return redact(run, run.parent / "shown").folder


def test_no_mark_is_in_any_file(run: Path, shown: Path) -> None:
    assert not mark.missing(run)  # the search can find them
    assert not mark.found(shown)
    for name, data in files(shown).items():
        assert not [label for label in LABELS if label.encode() in data], name
    assert not list(shown.glob("*.key"))


def test_short_texts_are_not_found_by_hashing_candidates(shown: Path) -> None:
    hashes = {
        found.decode()
        for name, data in files(shown).items()
        if name.endswith((".json", ".jsonl", ".yaml"))
        for found in re.findall(rb"[0-9a-f]{12,64}", data)
    }
    hashes = {one[:12] for one in hashes}
    texts = [*"ABCD", *LABELS, "recall_billing", "field_name", "PER", "f16", "q4"]
    keys = (b"", bytes(32), b"quantrial", b"\xff" * 32)
    for text, wrapped in itertools.product(texts, (str, json.dumps)):
        data = wrapped(text).encode()
        guesses: list[Any] = [hashlib.new(name, data) for name in ("sha256", "sha1", "md5")]
        guesses += [hmac.new(key, data, hashlib.sha256) for key in keys]
        assert not {guess.hexdigest()[:12] for guess in guesses} & hashes, text
    # with the key they are found: that is why it stays away
    key = bytes.fromhex(shown.with_name("shown.key").read_text().strip())
    assert hmac.new(key, b"A", hashlib.sha256).hexdigest()[:12] in hashes


def test_decision_and_numbers_are_those_of_the_run(run: Path, shown: Path) -> None:
    assert contrasts(shown) == contrasts(run)
    before, after = (json.loads((one / "decision.json").read_text()) for one in (run, shown))
    assert after["default"]["arm"] == before["default"]["arm"]
    assert after["default"]["text"] == before["default"]["text"]


def test_it_verifies_and_says_what_cannot_be_derived(shown: Path) -> None:
    found = quantrial.verify(shown)
    assert found.ok, found.drifts
    assert "Scores cannot be derived from answers here" in " ".join(found.notes)


def test_an_edited_score_is_found(run: Path, tmp_path: Path) -> None:
    out = redact(run, tmp_path / "out").folder
    path = out / "responses" / "quiz.q4_0.jsonl"
    path.write_text(path.read_text().replace('"correct":1.0', '"correct":0.0', 1))
    assert not quantrial.verify(out).ok


def test_equal_stays_equal_under_one_key_only(run: Path, shown: Path, tmp_path: Path) -> None:
    ids = [one["id"] for one in read_lines(shown / "items.jsonl")]
    again = redact(run, tmp_path / "again", key=shown.with_name("shown.key")).folder
    other = redact(run, tmp_path / "other", keep=["subject"]).folder
    assert [one["id"] for one in read_lines(again / "items.jsonl")] == ids
    assert not {one["id"] for one in read_lines(other / "items.jsonl")} & {*ids}
    assert not (tmp_path / "again.key").exists()
    assert (tmp_path / "other.key").stat().st_mode & 0o777 == 0o600
    subjects = {one["metadata"]["subject"] for one in read_lines(run / "items.jsonl")[:ITEMS]}
    kept = [one["metadata"] for one in read_lines(other / "items.jsonl")]
    assert {one["subject"] for one in kept if one} == subjects


def test_what_takes_a_run_takes_a_redacted_one(run: Path, shown: Path, tmp_path: Path) -> None:
    codes = [command("gate", one, "--non-inferior", "2pp").returncode for one in (run, shown)]
    assert codes[0] == codes[1]
    again = redact(run, tmp_path / "again", key=shown.with_name("shown.key")).folder
    assert command("compare", shown, again).returncode == 0
    for form in ("json", "csv", "latex", "model-card", "paragraph"):
        assert quantrial.export(shown, form)
    assert quantrial.results(shown)


@pytest.mark.parametrize("form", ["lm-eval", "inspect"])
def test_nothing_of_imported_logs_is_left(form: str, tmp_path: Path) -> None:
    other = "q4" if form == "lm-eval" else "q4_0"
    arms = {name: FORMATS / form / name for name in ("f16", other)}
    tasks = ("toy_colour",) if form == "lm-eval" else ("toy_match",)
    quantrial.read_log(form, arms, tmp_path / "run", options=LogOptions(tasks=tasks))
    out = redact(tmp_path / "run", tmp_path / "out").folder
    texts = {
        text
        for path in [tmp_path / "run" / "items.jsonl", *(tmp_path / "run/responses").iterdir()]
        for row in read_lines(path)
        for key in ("content", "gold", "output", "item", "id", "prompt_sha256", "content_sha256")
        for text in _texts(row.get(key))
        if len(text) > 7
    }
    assert texts
    data = b"".join(files(out).values())
    assert not [text for text in texts if json.dumps(text)[1:-1].encode() in data]
    quantrial.analyze(tmp_path / "run")
    assert contrasts(out) == contrasts(tmp_path / "run")


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping | list):
        for one in value.values() if isinstance(value, Mapping) else value:
            yield from _texts(one)


def test_what_is_there_is_not_written_over(run: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with pytest.raises(RunFolderError, match="exists already"):
        redact(run, tmp_path / "out")
    (tmp_path / "new.key").write_text("mine")
    with pytest.raises(RunFolderError, match="reuse it by `--key"):
        redact(run, tmp_path / "new")
    assert (tmp_path / "new.key").read_text() == "mine"
    with pytest.raises(RunFolderError, match="lies within the run"):
        redact(run, run / "out")
    with pytest.raises(StudyError, match="holds no key"):
        redact(run, tmp_path / "new", key=tmp_path / "new.key")
    with pytest.raises(StudyError, match="no field 'nothing'"):
        redact(run, tmp_path / "newer", keep=["nothing"])
    assert {path.name for path in tmp_path.iterdir()} == {"out", "new.key"}
