"""The readers of files: of a run folder, of logs that are imported, of items."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from importers.fabricated import import_reference
from quantrial.importers import ImportOptions
from quantrial.records import (
    item_from_json,
    manifest_from_json,
    response_from_json,
    speed_from_json,
)
from quantrial.registry import TASKS
from quantrial.strict_json import parse_json
from quantrial.tasks.rows import decode_text
from quantrial.tasks.sources._conll import conll_rows
from quantrial.tasks.sources._jsonl import jsonl_rows
from quantrial.tasks.sources._mmlu import mmlu_rows

PATH = Path("file")
GOOD = b'{"example_id":1,"output":"A","gold":"B","score":0}\n'


def record(data: bytes) -> None:
    """Read one line of a run folder; its first byte says of which file."""
    which, line = data[:1], data[1:]
    if which == b"r":
        response_from_json(line, path=PATH, line=1).to_json()
    elif which == b"i":
        item_from_json(line, path=PATH, line=1).to_json()
    elif which == b"s":
        speed_from_json(line, path=PATH, line=1).to_json()
    elif which == b"m":
        manifest_from_json(line, path=PATH).to_json()
    else:
        parse_json(line, path=PATH, nulls=which == b"n")


def log(data: bytes, folder: Path) -> None:
    """Import a log: one arm's file, or (after a NUL) with the manifest of the experiment."""
    rows, _, manifest = data.partition(b"\0")
    kind = "extraction" if b"[[" in rows[:2000] else "mmlu"
    folder.mkdir()
    try:
        (folder / f"{kind}_fp16.jsonl").write_bytes(rows)
        good = GOOD if kind == "mmlu" else GOOD.replace(b'"B"', b"[]")
        (folder / f"{kind}_q8_0.jsonl").write_bytes(good)
        if manifest:
            (folder / "experiment_manifest.json").write_bytes(manifest)
        report = import_reference(folder, folder / "run", options=ImportOptions(name="log"))
        json.dumps([str(note) for note in report.notes])
    finally:
        shutil.rmtree(folder)


def item_file(data: bytes) -> None:
    """Read items; the first byte says from which kind of file."""
    which, text = data[:1], decode_text(data[1:], PATH)
    if which == b"c":
        list(conll_rows(text, PATH))
    elif which == b"m":
        list(mmlu_rows(text, PATH, "subject"))
    elif which == b"q":
        list(jsonl_rows(text, PATH, TASKS.load("choice").row))
    else:
        list(jsonl_rows(text, PATH, TASKS.load("spans").row))
