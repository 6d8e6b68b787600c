"""Values taken from a stream are those of a parser, wherever the pieces end."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quantrial.errors import DataError
from quantrial.importers import json_stream
from quantrial.importers.json_stream import JsonStream
from quantrial.tasks.rows import Where

HERE = Where("log.json", 1)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(-1e9, 1e9) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=50)
@given(st.dictionaries(st.text(), VALUES, max_size=5), st.integers(1, 9), st.booleans())
def test_members_against_a_parser(whole: dict[str, Any], piece: int, escaped: bool) -> None:
    text = json.dumps(whole, ensure_ascii=escaped, indent=1).encode("utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_stream, "_PIECE", piece)
        stream = JsonStream(io.BytesIO(text), HERE)
        taken = {name: stream.take(10**6) for name in stream.members()}
        passed = JsonStream(io.BytesIO(text), HERE)
        names = list(passed.members())
    assert taken == whole
    assert names == list(whole)


def test_what_is_too_large_is_passed_over() -> None:
    text = json.dumps({"a": "x" * 5_000_000, "b": [1, [2]], "c": 3}).encode()
    stream = JsonStream(io.BytesIO(text), HERE)
    found = {name: (stream.take(100), stream.cut) for name in stream.members()}
    assert found == {"a": (None, True), "b": ([1, [2]], False), "c": (3, False)}


def test_lists_in_objects_are_gone_through() -> None:
    stream = JsonStream(io.BytesIO(b'\xef\xbb\xbf {"n": 1, "rows": [{"a": 2}, {"a": NaN}]}'), HERE)
    found = []
    for name in stream.members():
        if name == "rows":
            for number in stream.elements():
                found += [(number, stream.take(9)) for _ in stream.members()]
    assert found == [(1, 2), (2, None)]


@pytest.mark.parametrize(
    "text",
    [b"", b"{", b'{"a', b'{"a"', b'{"a":', b'{"a":1', b'{"a" 1}', b'{"a":1 "b":2}', b"{3:1}",
     b'{"a":]}', b'{"a":' + b"[" * 2000, b'{"a":"x', b'{"a":tru}', b"[1]", b'{"a":1,}'],
)  # fmt: skip
def test_what_is_no_json_is_refused(text: bytes) -> None:
    stream = JsonStream(io.BytesIO(text), HERE)
    with pytest.raises(DataError, match=r"log\.json"):
        [stream.take(10**4) for _ in stream.members()]
