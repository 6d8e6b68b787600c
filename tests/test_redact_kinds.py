"""Runs of every kind, redacted: no text of theirs is left, and every number is."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

import quantrial
from command import command
from drawings import draw_nothing
from marks import Marks, contrasts, files
from quantrial.commands.labels import read_sheet, write_sheet
from quantrial.errors import RunFolderError
from quantrial.importers import import_answers
from quantrial.importers.scores import ScoreOptions
from studies import read_lines

ITEMS = 18
mark = Marks(7)
Rows = list[dict[str, Any]]


def texts(gold: Callable[[], Any]) -> Rows:
    return [{"text": mark(), "gold": gold(), "group": f"g{i % 3}"} for i in range(ITEMS)]


def call(name: str) -> list[dict[str, Any]]:
    return [{"name": name, "arguments": {"town": mark()}}]


def described(function: str) -> dict[str, Any]:
    town = {"type": "object", "properties": {"town": {"type": "string"}}, "required": ["town"]}
    return {"name": function, "description": mark(), "parameters": town}


def scored() -> dict[str, tuple[Rows, Any, dict[str, Any]]]:
    """Give the items of a task for each scorer, the scorer, and more of the task."""
    names = [f"f{mark()}" for _ in range(ITEMS)]
    calls = [
        {"text": mark(), "gold": call(name), "tools": [described(name)], "group": "g"}
        for name in names
    ]
    schema = {"type": "object", "properties": {"name": {"const": mark()}}, "required": ["name"]}
    return {
        "equal": (texts(mark), "exact", {}),
        "alias": (texts(lambda: [mark(), mark()]), {"exact": {"normalize": "squad"}}, {}),
        "holds": (texts(mark), "contains", {}),
        "like": (texts(mark), {"regex": "{{ gold }}"}, {"read": [{"after": mark()}]}),
        "sums": (texts(mark.number), "number", {}),
        "words": (texts(lambda: f"{mark()} {mark()}"), "token_f1", {}),
        "near": (texts(lambda: f"{mark()} {mark()}"), "similarity", {}),
        "chars": (texts(lambda: f"{mark()} {mark()}"), "chrf", {}),
        "common": (texts(lambda: f"{mark()} {mark()}"), "rouge_l", {}),
        "valid": (texts(lambda: ""), {"schema": {"inline": schema}}, {}),
        "calls": (calls, "tool_call", {"prompt": "{{ tools | tojson }} {{ text }}"}),
        "limits": (texts(lambda: {"contains": mark()}), "constraints", {"stratify": "group"}),
    }


def write(folder: Path, tasks: Mapping[str, tuple[Rows, Any, dict[str, Any]]], **more: Any) -> Path:
    """Write a study; each text in it that is not a name of its own is a mark."""
    folder.mkdir(parents=True, exist_ok=True)
    made = {}
    for name, (rows, score, own) in tasks.items():
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / f"{name}.jsonl").write_text(lines, encoding="utf-8")
        made[name] = {
            "kind": "text",
            "workload": name,
            "source": {"type": "jsonl", "path": f"{name}.jsonl"},
            "prompt": f"{mark()} {{{{ text }}}}",
            "score": [score],
            **own,
        }
    arms = {name: {"engine": "scripted", "model": f"/x/{mark()}.gguf"} for name in ("f16", "q4")}
    study = {"study": "shown", "reference": "f16", "margin": 0.1, "arms": arms, "tasks": made}
    path = folder / "study.yaml"
    study |= {"analysis": {"resamples": 200}, "design": {"repeat_reference": 4}} | more
    path.write_text(yaml.safe_dump(study, sort_keys=False), encoding="utf-8")
    return path


def answer(run: Path, said: Callable[[int, dict[str, Any]], str | None]) -> Path:
    """Put answers in place of those of the scripted engine; None leaves one out."""
    for path in sorted((run / "responses").iterdir()):
        lines = []
        for number, line in enumerate(read_lines(path)):
            text = said(number, line)
            if text is not None:
                lines.append(json.dumps(line | {"output": text}) + "\n")
        path.write_text("".join(lines), encoding="utf-8")
    return run


def golds(run: Path) -> dict[tuple[str, str], Any]:
    return {(one["task"], one["id"]): one["gold"] for one in read_lines(run / "items.jsonl")}


def right(gold: Any) -> str:
    if isinstance(gold, list) and gold and isinstance(gold[0], str):
        gold = gold[0]
    if isinstance(gold, dict) and "contains" in gold:
        gold = gold["contains"]
    return gold if isinstance(gold, str) else json.dumps(gold)


def mostly(run: Path) -> Path:
    """Answer what is right, apart from some; the candidate gets more wrong."""
    known = golds(run)

    def said(number: int, line: dict[str, Any]) -> str:
        wrong = number % (7 if line["arm"] == "f16" else 3) == 0
        return mark() if wrong else right(known[line["task"], line["item"]])

    return answer(run, said)


def of_scorers(folder: Path) -> Path:
    return mostly(quantrial.run(write(folder, scored()), out=folder / "run").folder)


def without_gold(folder: Path) -> Path:
    rows = [{"text": mark()} for _ in range(ITEMS)]
    study = write(folder, {"tickets": (rows, "exact", {"gold": "none"})}, design={})
    run = quantrial.run(study, out=folder / "run").folder
    same = {one["id"]: mark() for one in read_lines(run / "items.jsonl")}
    turn = itertools.count()
    return answer(run, lambda _, one: same[one["item"]] if next(turn) % 3 else mark())


def of_samples(folder: Path) -> Path:
    study = write(
        folder, {"many": (texts(mark), "exact", {})}, design={"samples": 3, "temperature": 0.6}
    )
    return mostly(quantrial.run(study, out=folder / "run").folder)


def unfinished(folder: Path) -> Path:
    run = mostly(
        quantrial.run(write(folder, {"few": (texts(mark), "exact", {})}), out=folder / "run").folder
    )
    path = run / "responses" / "few.q4.jsonl"
    path.write_text("".join(line + "\n" for line in path.read_text().splitlines()[:7]))
    return run


def with_control(folder: Path) -> Path:
    study = yaml.safe_load(write(folder, {"one": (texts(mark), "exact", {})}).read_text())
    study["arms"]["bad"] = {"engine": "scripted", "model": mark(), "control": "positive"}
    (folder / "study.yaml").write_text(yaml.safe_dump(study, sort_keys=False), encoding="utf-8")
    return mostly(quantrial.run(folder / "study.yaml", out=folder / "run").folder)


def with_tokens(folder: Path) -> Path:
    """Faults, cut answers, thoughts, calls, hosts, probabilities of tokens: what a server says."""
    run = unfinished(folder)
    path = run / "responses" / "few.f16.jsonl"
    lines = read_lines(path)
    for number, line in enumerate(lines):
        line["logprobs"] = [{"token": mark(), "logprob": -0.1, "top": [[mark(), -0.1]]}]
        line["host"] = mark()
        line["thought"] = mark()
        line["finish_reason"] = mark() if number % 2 else "length"
        line["tool_calls"] = [{"function": {"name": mark(), "arguments": mark()}}]
        if number % 5 == 4:
            line |= {"status": "engine_error", "error": f"{mark()}", "output": "", "logprobs": None}
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return run


def recorded(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    rows = [
        {"id": f"n{mark()}{i}", "arm": arm, "grade": (i % 5) / 4, "output": mark(), "scored_by": by}
        for by in [mark()]
        for i in range(ITEMS)
        for arm in ("f16", "q4")
    ]
    table = folder / f"{mark()}.jsonl"
    table.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    asked = ScoreOptions(reference="f16", scores=("grade",), workload="grades")
    import_answers("scores", table, folder / "run", options=asked)
    study = folder / "run" / "study.yaml"
    mark.all[:] = [one for one in mark.all if one not in study.read_text()]  # the study's own name
    return folder / "run"


def labelled(folder: Path) -> Path:
    run = without_gold(folder)
    quantrial.analyze(run)
    sheet = write_sheet(run, folder / "sheet.csv").path
    lines = sheet.read_text().splitlines()
    at = lines[0].split(",").index("better")
    assert at == len(lines[0].split(",")) - 1, lines[0]
    sheet.write_text("\n".join([lines[0], *(f"{line.rstrip(',')},1" for line in lines[1:])]) + "\n")
    return read_sheet(run, sheet, folder / "labelled", by="Bo").folder


def again(folder: Path) -> Path:
    return quantrial.redact(with_tokens(folder), folder / "once").folder


KINDS = {
    "scorers": of_scorers,
    "no-gold": without_gold,
    "samples": of_samples,
    "unfinished": unfinished,
    "control": with_control,
    "tokens": with_tokens,
    "recorded": recorded,
    "labelled": labelled,
    "again": again,
}


def guessed(run: Path, out: Path) -> list[str]:
    """Return the right answers and ids whose plain hash is in a file."""
    data = b"".join(files(out).values())
    rows = read_lines(run / "items.jsonl")
    plain = {text for row in rows for text in (row["gold"], row["id"]) if isinstance(text, str)}
    names = ("md5", "sha1", "sha256", "sha512", "blake2b")
    return [
        text
        for text, name in itertools.product(plain, names)
        for form in (text, json.dumps(text), f"{text}\n")
        if hashlib.new(name, form.encode()).hexdigest()[:12].encode() in data
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_of_every_kind_the_numbers_stay_and_no_text(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if kind != "control":  # plots of one run are enough
        draw_nothing(monkeypatch)
    mark.all.clear()
    run = KINDS[kind](tmp_path / "made")
    (tmp_path / f"{mark()}.txt").write_text(mark())
    (run / "notes").symlink_to(tmp_path)  # what is no part of a run, and leads out of it
    (run / f"{mark()}.log").write_text(mark())
    quantrial.analyze(run)
    if kind not in ("again", "labelled"):
        assert len(mark.missing(run)) <= len(mark.all) / 2  # the search can find most of them
    out = quantrial.redact(run, tmp_path / "shown" / "out").folder
    assert not mark.found(out)
    assert contrasts(out) == contrasts(run)
    check = quantrial.verify(out)
    assert check.ok, check.drifts
    assert "Scores cannot be derived from answers here" in " ".join(check.notes)
    assert not [path for path in out.rglob("*") if path.is_symlink()]
    assert {one.name for one in out.parent.iterdir()} == {"out", "out.key"}
    assert not guessed(run, out)


def test_all_of_it_is_there_or_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = unfinished(tmp_path / "made")
    for place in ("analyze", "decide", "report"):

        def fails(*_: Any, **__: Any) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(f"quantrial.commands.results.{place}", fails)
            with pytest.raises(KeyboardInterrupt):
                quantrial.redact(run, tmp_path / "out")
        assert {one.name for one in tmp_path.iterdir()} == {"made"}
    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", lambda *_: os.rename(tmp_path / "none", tmp_path / "other"))
        with pytest.raises(RunFolderError, match="cannot be written"):
            quantrial.redact(run, tmp_path / "out")
    assert {one.name for one in tmp_path.iterdir()} == {"made"}


def test_the_command_says_what_it_made(tmp_path: Path) -> None:
    run = unfinished(tmp_path / "made")
    done = command("redact", str(run), "-o", str(tmp_path / "out"), drawn=False)
    assert done.returncode == 0, done.stderr
    assert f"{ITEMS} items" in done.stdout
    assert "Do not publish it" in done.stdout
    done = command("redact", str(run), "-o", str(tmp_path / "out"))
    assert done.returncode == 2
    assert "exists already" in done.stderr
    done = command("redact", str(run), "-o", str(tmp_path / "more"), "--keep", "grup")
    assert done.returncode == 2
    assert "there is no field 'grup'" in done.stderr
    assert "group" in done.stderr
