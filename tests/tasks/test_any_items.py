"""Files of items from strangers: rows or an error with its line, within a second of CPU."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cpu import within_a_second
from fuzz.records import item_file
from quantrial.errors import DataError

MANY = 200_000
LABELS = json.dumps({"text": ["x"] * MANY, "label": [str(i) for i in range(MANY)]})
FILES = {
    "an index of a hundred thousand digits": (
        b"mquestion,choice0,choice1,answer\nq,x,y," + b"9" * 100_000, "the answer is 9999",
    ),
    "an index of ten digits": (
        b"mquestion,choice0,choice1,answer\nq,x,y,9999999999", "the answer is 9999999999",
    ),
    "a cell of 5 MB": (b"mq,x,y," + b"A" * 5_000_000, "line 1: "),
    "a hundred thousand labels": (
        b'q{"question": "q", "answerKey": "1", "choices": ' + LABELS.encode() + b"}", "200,000 opt",
    ),
    "nested without end": (b'q{"question": ' + b"[" * 10**6, "line 1: not valid JSON"),
    "a number of a hundred thousand digits": (
        b'q{"question": "q", "options": ["x", "y"], "answer": ' + b"9" * 100_000 + b"}", "line 1: ",
    ),
    "a question that is half of a character": (
        b'q{"question": "\\ud800", "options": ["x", "y"], "answer": 0}', "line 1: not valid JSON",
    ),
    "a token of 5 MB": (b"c" + b"x" * 5_000_000 + b" O O O O\n", "line 1: 5 columns"),
    "blank lines": (b"c" + b"\n" * 10**6, "the file is empty"),
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_a_row_is_read_or_named_within_a_second(name: str) -> None:
    data, message = FILES[name]
    with within_a_second(name), pytest.raises(DataError, match=message) as caught:
        item_file(data)
    assert len(str(caught.value)) < 400
    assert caught.value.path == Path("file")
